"""Training: the trainer, its callbacks, metrics, checkpoints, logs, and the papers' recipes."""

from minigrad.nn.train.log import read_log

__all__ = ["read_log"]
