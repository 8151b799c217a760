"""Optimizers: how parameters change, given their gradients."""

from minigrad.nn.optim.adam import Adam
from minigrad.nn.optim.diagonal import DiagonalLM
from minigrad.nn.optim.lbfgs import LBFGS
from minigrad.nn.optim.optimizer import Optimizer
from minigrad.nn.optim.sgd import SGD

__all__ = ["LBFGS", "SGD", "Adam", "DiagonalLM", "Optimizer"]
