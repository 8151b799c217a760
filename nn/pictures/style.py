"""How all pictures look: colours that colour-blind people can tell apart, letters of a readable size, a quiet grid."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigrad import asarray
from minigrad.nn.optional import need

# Source: M. Okabe, K. Ito: Color Universal Design, 2008 (https://jfly.uni-koeln.de/color/).
BLUE, VERMILION, GREEN, PURPLE, ORANGE = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"
TRAINING, VALIDATION, WRONG = BLUE, VERMILION, VERMILION
FAINT = "0.85"  # a grey, for what is absent
DIVERGING = "RdBu_r"  # blue below 0, white at 0, red above
SEQUENTIAL = "cividis"

STYLE: dict[str, Any] = {
    "figure.dpi": 120,
    "savefig.dpi": "figure",
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.titlesize": 12,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.axisbelow": True,
    "axes.edgecolor": "0.4",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "0.88",
    "legend.framealpha": 0.9,
    "lines.linewidth": 1.8,
    "image.interpolation": "nearest",  # a pixel is a pixel
    "text.parse_math": False,  # a class may be called "$"
    "svg.hashsalt": "minigrad",  # the same names inside the file each time
}
# For letters that matplotlib's own font lacks, as Japanese names of classes.
OTHER_FONTS = ("Noto Sans CJK JP", "Noto Sans JP", "IPAGothic", "Hiragino Sans", "Yu Gothic", "WenQuanYi Zen Hei")


@contextmanager
def styled(user: str) -> Iterator[None]:
    """matplotlib's settings are its defaults and `STYLE`, whatever the user's are; afterwards they are the user's."""
    fonts = need("matplotlib.font_manager", user).fontManager.get_font_names()
    family = ["DejaVu Sans", *(name for name in OTHER_FONTS if name in fonts)]
    with (
        need("matplotlib.style", user).context([STYLE, {"font.family": family}], after_reset=True),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # the box in its place says it
        yield


@contextmanager
def drawing(user: str, width: float, height: float) -> Iterator[Any]:
    """A new `Figure` of this size in inches, to be drawn inside the `with` block."""
    with styled(f"nn.pictures.{user}"):
        figure = need("matplotlib.figure", f"nn.pictures.{user}").Figure((width, height))  # pyplot looks for a screen
        yield figure
        for _ in range(2 if figure.axes else 0):  # once leaves axes whose shape is fixed too low
            figure.get_layout_engine().execute(figure)
        figure.set_layout_engine("none")  # it moves things a little each time it runs: no two files would be equal


def host(x: Any) -> np.ndarray:
    """A Tensor, an array of any device or a nested list as a NumPy array."""
    return asarray(x).detach().to("cpu").numpy()


def short(text: Any, width: int) -> str:
    """A text on one line; where it is too long, its beginning and its end.

    >>> short("a very long name of a class", 15)
    'a very…a class'
    """
    words = " ".join(str(text).split())
    if len(words) <= width:
        return words
    left = width // 2
    return f"{words[:left].rstrip()}…{words[len(words) - (width - left - 1) :]}"


def names_for(classes: Sequence[Any], count: int, width: int = 20) -> list[str]:
    """The names of `count` classes, shortened; their numbers where there are no names.

    Raises:
        ValueError: another number of names.
    """
    if not len(classes):
        return [str(i) for i in range(count)]
    if len(classes) != count:
        raise ValueError(f"classes must name {count} classes, got {len(classes)} names")
    return [short(name, width) for name in classes]


def percent(fraction: float) -> str:
    """A fraction as text, which is 0 % or 100 % only if it is.

    >>> percent(0.25), percent(0.99999), percent(1e-5), percent(0.0)
    ('25.0 %', '>99.9 %', '<0.1 %', '0 %')
    """
    if fraction in (0, 1):
        return f"{fraction:.0%}".replace("%", " %")
    if fraction < 0.001:
        return "<0.1 %"
    return ">99.9 %" if fraction > 0.999 else f"{100 * fraction:.1f} %"


def color_bar(figure: Any, image: Any, axes: Any, height: float, label: str, shrink: float = 1.0) -> Any:
    """A bar beside axes that says what the colours mean, as thick as others whatever its height in inches."""
    return figure.colorbar(image, ax=axes, shrink=shrink, aspect=max(4 * height, 4), pad=0.02, label=label)


def log_axis(axes: Any, which: str) -> None:
    """Make the "x" or the "y" axis logarithmic, with its numbers written out, as 0.001 or 1e-07."""
    ticker = need("matplotlib.ticker", "nn.pictures")
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = sorted(axis.get_view_interval())
    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(ticker.NullFormatter())
