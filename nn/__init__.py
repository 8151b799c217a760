"""Neural networks on minigrad: modules, layers, losses, initialisers, optimizers, data and saved weights."""

if __name__ != "minigrad.nn":
    raise ImportError(
        f"this folder is the package minigrad.nn; imported as {__name__!r} it would be a second copy, whose Parameter "
        f"the first does not know: use `from minigrad import nn`"
    )

from minigrad.nn import data, init, optim
from minigrad.nn.layers.activation import ReLU, Sigmoid, Softmax, Tanh
from minigrad.nn.layers.container import ModuleList, Sequential
from minigrad.nn.layers.conv import Conv2d
from minigrad.nn.layers.flatten import Flatten
from minigrad.nn.layers.linear import Linear
from minigrad.nn.layers.pool import AvgPool2d, MaxPool2d
from minigrad.nn.losses import CrossEntropyLoss
from minigrad.nn.module import Module, Parameter
from minigrad.nn.serialize import load, save

__all__ = [
    "AvgPool2d",
    "Conv2d",
    "CrossEntropyLoss",
    "Flatten",
    "Linear",
    "MaxPool2d",
    "Module",
    "ModuleList",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "data",
    "init",
    "load",
    "optim",
    "save",
]
