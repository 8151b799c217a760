"""Neural networks on minigrad: modules, layers, losses, initialisers, optimizers, data and saved weights."""

if __name__ != "minigrad.nn":
    raise ImportError(
        f"this folder is the package minigrad.nn; imported as {__name__!r} it would be a second copy, whose Parameter "
        f"the first does not know: use `from minigrad import nn`"
    )

from minigrad.nn import averaging, data, init, optim, schedule, utils
from minigrad.nn.layers.activation import ReLU, Sigmoid, Softmax, Tanh
from minigrad.nn.layers.container import ModuleList, Sequential
from minigrad.nn.layers.conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvNd,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    ConvTransposeNd,
)
from minigrad.nn.layers.flatten import Flatten
from minigrad.nn.layers.linear import Linear
from minigrad.nn.layers.pool import (
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    LPPool1d,
    LPPool2d,
    LPPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
    MaxUnpool1d,
    MaxUnpool2d,
    MaxUnpool3d,
    MinPool1d,
    MinPool2d,
    MinPool3d,
)
from minigrad.nn.layers.pool_adaptive import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
    GlobalAvgPool,
    GlobalMaxPool,
    GlobalMinPool,
)
from minigrad.nn.losses import CrossEntropyLoss
from minigrad.nn.module import Module, Parameter
from minigrad.nn.serialize import load, save

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvNd",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "ConvTransposeNd",
    "CrossEntropyLoss",
    "Flatten",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GlobalMinPool",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "Linear",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
    "MinPool1d",
    "MinPool2d",
    "MinPool3d",
    "Module",
    "ModuleList",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "averaging",
    "data",
    "init",
    "load",
    "optim",
    "save",
    "schedule",
    "utils",
]
