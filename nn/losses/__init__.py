"""Losses as modules."""

from minigrad.nn.losses.classification import BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, FocalLoss, NLLLoss
from minigrad.nn.losses.divergence import KLDivLoss
from minigrad.nn.losses.lenet import LeNetMAPLoss, LeNetMSELoss
from minigrad.nn.losses.margin import HingeEmbeddingLoss, HingeLoss, MultiMarginLoss, TripletMarginLoss
from minigrad.nn.losses.regression import HuberLoss, L1Loss, MSELoss, SmoothL1Loss

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "FocalLoss",
    "HingeEmbeddingLoss",
    "HingeLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "LeNetMAPLoss",
    "LeNetMSELoss",
    "MSELoss",
    "MultiMarginLoss",
    "NLLLoss",
    "SmoothL1Loss",
    "TripletMarginLoss",
]
