"""Convolution by the fast Fourier transform: for very large kernels, since its work does not depend on their size.

A shift is a factor in the frequency domain, so that sliding over all positions is one product for each frequency f:

    Y[f] = X[f] conj(W[f])        dX[f] = G[f] W[f]t        dW[f] = X[f]t conj(G[f])

matrices (N, C) and (C, K) and so on, over channels. The discrete transform goes round in a circle; on one as long as
the padded image, what comes round does not reach the positions of the result.

Source: M. Mathieu, M. Henaff and Y. LeCun, "Fast training of convolutional networks through FFTs", ICLR 2014.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log2, prod

import numpy as np

from minigrad.kernels.cpu.cost import KERNELS, Case, Cost
from minigrad.kernels.cpu.memory import WORKSPACE, Array, Sizes
from minigrad.window import Geometry

ERROR = 4  # of its own, see kernels/cpu/cost.py
# Nanoseconds, see kernels/cpu/cost.py: to transform a number, for each halving of the size; of a complex multiply-add.
TRANSFORM, PRODUCT, CALLS = 1.2, 0.3, 200_000


def refusal(w_shape: Sizes, geometry: Geometry, dtype: np.dtype) -> str:
    """Why it cannot compute a convolution."""
    if max(geometry.stride) > 1 or max(geometry.dilation) > 1 or geometry.groups > 1:
        options = f"stride {geometry.stride}, dilation {geometry.dilation}, groups={geometry.groups}"
        return f"it is for a stride and a dilation of 1 and one group, got {options}"
    return "" if dtype.kind == "f" else f"it has fractions, so that it is for floating numbers, got {dtype}"


def cost(case: Case) -> Cost:
    """Transforms of image, result and kernels, and products at every frequency."""
    circle = _circle(case.sizes, case.geometry)
    size = prod(circle)
    frequencies = size // 2 + prod(circle[:-1])
    numbers = size * (case.n * (case.c + case.k) + case.c * case.k)
    products = frequencies * case.n * case.c * case.k
    images = min(case.n, _images(circle, case.c + case.k))
    time = numbers * log2(size) * TRANSFORM + products * PRODUCT + CALLS
    kept = size * (images * (case.c + case.k) + case.c * case.k * (2 if case.kernel == KERNELS[2] else 1))
    return Cost(time, 4 * products, 2 * kept)


def conv(x: Array, w: Array, b: Array | None, geometry: Geometry, y: Array) -> None:
    """The forward pass into y (*out, N, K); x is (*spatial, N, C), w is (K, C, *kernel)."""
    circle = _circle(x.shape[:-2], geometry)
    kernels = _spectrum(_taps_first(w), circle).conj()
    for some in _batches(circle, x, y):
        spectrum = _spectrum(x[..., some, :], circle, geometry)
        y[..., some, :] = _back(spectrum @ kernels, circle)[_first(y.shape[:-2])]
    if b is not None:
        y += b


def conv_input(w: Array, g: Array, geometry: Geometry, dx: Array) -> None:
    """The gradient in x into dx (*spatial, N, C); g is (*out, N, K)."""
    circle = _circle(dx.shape[:-2], geometry)
    kernels = _spectrum(_taps_first(w), circle).swapaxes(-1, -2)
    where = tuple(slice(lo, lo + size) for (lo, _), size in zip(geometry.padding, dx.shape, strict=False))
    for some in _batches(circle, dx, g):
        dx[..., some, :] = _back(_spectrum(g[..., some, :], circle) @ kernels, circle)[where]


def conv_weight(x: Array, g: Array, geometry: Geometry, dw: Array) -> None:
    """The gradient in w into dw (*kernel, C, K)."""
    circle = _circle(x.shape[:-2], geometry)
    total = 0
    for some in _batches(circle, x, g):
        images = _spectrum(x[..., some, :], circle, geometry).swapaxes(-1, -2)
        total = total + images @ _spectrum(g[..., some, :], circle).conj()
    dw[...] = _back(total, circle)[_first(dw.shape[:-2])]


def _circle(sizes: Sizes, geometry: Geometry) -> Sizes:
    """Lengths to transform: of the padded image, and rounded up to products of 2, 3 and 5, which are fast."""
    return tuple(_smooth(size + lo + hi) for size, _, (lo, hi), _ in geometry.along(sizes))


def _smooth(least: int) -> int:
    """The first number from `least` on without a prime factor above 5."""
    rest = number = least
    while True:
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return number
        rest = number = number + 1


def _images(circle: Sizes, channels: int) -> int:
    """Images whose spectra fit the workspace."""
    return max(1, WORKSPACE // max(1, 2 * prod(circle) * channels))


def _batches(circle: Sizes, x: Array, y: Array) -> Iterator[slice]:
    """Cuts of the batch."""
    count = _images(circle, x.shape[-1] + y.shape[-1])
    for start in range(0, x.shape[-2], count):
        yield slice(start, start + count)


def _taps_first(w: Array) -> Array:
    """w (K, C, *kernel) as (*kernel, C, K): a view."""
    return w.transpose(*range(2, w.ndim), 1, 0)


def _first(sizes: Sizes) -> tuple[slice, ...]:
    return tuple(slice(0, size) for size in sizes)


def _spectrum(x: Array, circle: Sizes, geometry: Geometry | None = None) -> Array:
    """The transform along the spatial axes of (*spatial, m, n), laid into a circle, behind its padding."""
    lows = [0] * len(circle) if geometry is None else [lo for lo, _ in geometry.padding]
    whole: Array = np.zeros((*circle, *x.shape[-2:]), np.float32 if x.dtype == np.float16 else x.dtype)
    whole[tuple(slice(lo, lo + size) for lo, size in zip(lows, x.shape, strict=False))] = x
    return np.fft.rfftn(whole, axes=tuple(range(len(circle))))


def _back(spectrum: Array, circle: Sizes) -> Array:
    return np.fft.irfftn(spectrum, circle, axes=tuple(range(len(circle))))
