"""Training: the trainer, its callbacks, metrics, checkpoints, logs, and the papers' recipes."""

from minigrad.nn.train import recipe
from minigrad.nn.train.callbacks import Callback, EarlyStopping
from minigrad.nn.train.checkpoints import Checkpoints
from minigrad.nn.train.curvature import EstimateCurvature
from minigrad.nn.train.log import read_log
from minigrad.nn.train.lr_finder import LRCurve, find_lr
from minigrad.nn.train.metrics import Metrics, per_class, rank_of_label, top_k_accuracy
from minigrad.nn.train.recipe import Recipe
from minigrad.nn.train.run_log import RunLog
from minigrad.nn.train.scaler import GradScaler
from minigrad.nn.train.tensorboard import TensorBoard
from minigrad.nn.train.trainer import DivergedError, Trainer

__all__ = [
    "Callback",
    "Checkpoints",
    "DivergedError",
    "EarlyStopping",
    "EstimateCurvature",
    "GradScaler",
    "LRCurve",
    "Metrics",
    "Recipe",
    "RunLog",
    "TensorBoard",
    "Trainer",
    "find_lr",
    "per_class",
    "rank_of_label",
    "read_log",
    "recipe",
    "top_k_accuracy",
]
