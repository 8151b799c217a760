"""Training: the trainer, its callbacks, metrics, checkpoints, logs, and the papers' recipes."""

from minigrad.nn.train.scaler import GradScaler

__all__ = ["GradScaler"]
