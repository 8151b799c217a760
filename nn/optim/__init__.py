"""Optimizers: how parameters change, given their gradients."""

from minigrad.nn.optim.adadelta import Adadelta
from minigrad.nn.optim.adagrad import Adagrad
from minigrad.nn.optim.adam import Adam
from minigrad.nn.optim.adamw import AdamW
from minigrad.nn.optim.decay import decay_groups
from minigrad.nn.optim.diagonal import DiagonalLM
from minigrad.nn.optim.lamb import LAMB
from minigrad.nn.optim.lars import LARS
from minigrad.nn.optim.lbfgs import LBFGS
from minigrad.nn.optim.lion import Lion
from minigrad.nn.optim.nadam import NAdam
from minigrad.nn.optim.optimizer import Optimizer
from minigrad.nn.optim.rmsprop import RMSprop
from minigrad.nn.optim.sgd import SGD

__all__ = [
    "LAMB",
    "LARS",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "DiagonalLM",
    "Lion",
    "NAdam",
    "Optimizer",
    "RMSprop",
    "decay_groups",
]
