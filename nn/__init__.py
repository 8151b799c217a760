"""Neural networks on minigrad: modules, layers, losses, initialisers, optimizers, data and saved weights."""

if __name__ != "minigrad.nn":
    raise ImportError(
        f"this folder is the package minigrad.nn; imported as {__name__!r} it would be a second copy, whose Parameter "
        f"the first does not know: use `from minigrad import nn`"
    )

from importlib import import_module
from typing import TYPE_CHECKING, Any

from minigrad.nn import averaging, init, optim, schedule, utils
from minigrad.nn.layers.activation import (
    CELU,
    ELU,
    GELU,
    GLU,
    SELU,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Maxout,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    ScaledTanh,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
)
from minigrad.nn.layers.batch_norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from minigrad.nn.layers.bilinear import Bilinear
from minigrad.nn.layers.container import Concat, ModuleDict, ModuleList, Residual, Sequential
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
from minigrad.nn.layers.dropout import Dropout, Dropout1d, Dropout2d, Dropout3d, DropPath, UnscaledDropout
from minigrad.nn.layers.embedding import Embedding
from minigrad.nn.layers.flatten import Flatten, Unflatten
from minigrad.nn.layers.identity import Identity
from minigrad.nn.layers.lenet import RBFOutput, Subsampling
from minigrad.nn.layers.linear import Linear
from minigrad.nn.layers.local import LocallyConnected2d
from minigrad.nn.layers.norm import (
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    LayerNorm,
    RMSNorm,
)
from minigrad.nn.layers.padding import (
    CircularPad1d,
    CircularPad2d,
    CircularPad3d,
    ConstantPad1d,
    ConstantPad2d,
    ConstantPad3d,
    ReflectionPad1d,
    ReflectionPad2d,
    ReflectionPad3d,
    ReplicationPad1d,
    ReplicationPad2d,
    ReplicationPad3d,
    ZeroPad1d,
    ZeroPad2d,
    ZeroPad3d,
)
from minigrad.nn.layers.pixel_shuffle import PixelShuffle, PixelUnshuffle
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
from minigrad.nn.layers.response_norm import LocalResponseNorm
from minigrad.nn.layers.upsample import Upsample
from minigrad.nn.losses import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    FocalLoss,
    HingeEmbeddingLoss,
    HingeLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    LeNetMAPLoss,
    LeNetMSELoss,
    MSELoss,
    MultiMarginLoss,
    NLLLoss,
    SmoothL1Loss,
    TripletMarginLoss,
)
from minigrad.nn.module import Module
from minigrad.nn.parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter
from minigrad.nn.serialize import load, save

if TYPE_CHECKING:
    from minigrad.nn import data, pictures, train

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Bilinear",
    "Buffer",
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "Concat",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvNd",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "ConvTransposeNd",
    "CrossEntropyLoss",
    "DropPath",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "Embedding",
    "Flatten",
    "FocalLoss",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GlobalMinPool",
    "GroupNorm",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "HingeEmbeddingLoss",
    "HingeLoss",
    "HuberLoss",
    "Identity",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "KLDivLoss",
    "L1Loss",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "LayerNorm",
    "LeNetMAPLoss",
    "LeNetMSELoss",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LocallyConnected2d",
    "LogSigmoid",
    "LogSoftmax",
    "MSELoss",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
    "Maxout",
    "MinPool1d",
    "MinPool2d",
    "MinPool3d",
    "Mish",
    "Module",
    "ModuleDict",
    "ModuleList",
    "MultiMarginLoss",
    "NLLLoss",
    "PReLU",
    "Parameter",
    "PixelShuffle",
    "PixelUnshuffle",
    "RBFOutput",
    "RMSNorm",
    "ReLU",
    "ReLU6",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "Residual",
    "ScaledTanh",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softmax",
    "Softplus",
    "Softsign",
    "Subsampling",
    "Tanh",
    "TripletMarginLoss",
    "Unflatten",
    "UninitializedBuffer",
    "UninitializedParameter",
    "UnscaledDropout",
    "Upsample",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
    "averaging",
    "data",
    "init",
    "load",
    "optim",
    "pictures",
    "save",
    "schedule",
    "train",
    "utils",
]

# Who wants a layer should not wait for what downloads, archives, threads and TOML need: the packages that bring it are
# imported when they are first asked for (PEP 562).
_AT_FIRST_USE = ("data", "pictures", "train")


def __getattr__(name: str) -> Any:
    if name in _AT_FIRST_USE:
        return import_module(
            f"{__name__}.{name}"
        )  # which also puts it into this module: the next use is an ordinary one
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_AT_FIRST_USE})
