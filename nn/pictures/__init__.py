"""Pictures of a training run and of what a network has learned; they need the package matplotlib.

Each function returns a `matplotlib.figure.Figure`, and `save` writes it as PNG or SVG. No window is opened, and
matplotlib's settings stay the user's.
"""

from minigrad.nn.pictures.confusion_matrix import confusion_matrix
from minigrad.nn.pictures.curves import curves
from minigrad.nn.pictures.feature_maps import feature_maps
from minigrad.nn.pictures.filters import filters
from minigrad.nn.pictures.gradient_norms import gradient_norms
from minigrad.nn.pictures.learning_rate import learning_rate
from minigrad.nn.pictures.lr_finder import lr_finder
from minigrad.nn.pictures.mistakes import mistakes
from minigrad.nn.pictures.overview import overview
from minigrad.nn.pictures.saving import save

__all__ = [
    "confusion_matrix",
    "curves",
    "feature_maps",
    "filters",
    "gradient_norms",
    "learning_rate",
    "lr_finder",
    "mistakes",
    "overview",
    "save",
]
