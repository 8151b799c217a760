"""Training: the trainer, its callbacks, metrics, checkpoints, logs, and the papers' recipes."""

from minigrad.nn.train.checkpoints import Checkpoints

__all__ = ["Checkpoints"]
