"""Learning-rate schedules: how the step size of an optimizer changes from step to step."""

from minigrad.nn.schedule.composition import ChainedScheduler, SequentialLR
from minigrad.nn.schedule.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from minigrad.nn.schedule.factor import ConstantLR, ExponentialLR, LambdaLR, LinearLR, MultiStepLR, PolynomialLR, StepLR
from minigrad.nn.schedule.one_cycle import OneCycleLR
from minigrad.nn.schedule.plateau import ReduceLROnPlateau
from minigrad.nn.schedule.scheduler import ClosedForm, LRScheduler
from minigrad.nn.schedule.swa import SWALR
from minigrad.nn.schedule.table import LENET_1998, TableLR

__all__ = [
    "LENET_1998",
    "SWALR",
    "ChainedScheduler",
    "ClosedForm",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
    "TableLR",
]
