"""Training: the trainer, its callbacks, metrics, checkpoints, logs, and the papers' recipes."""
