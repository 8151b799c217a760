"""Convolution with a large stride, as one with stride 1: pixels within a stride become channels.

With a stride of s, output o reads the inputs `s*o + t`. Write t as `s*q + r`: what has the same r is an image of its
own, s times smaller, and o reads its pixels `o + q`. Those s*s images of C channels are one image of s*s*C channels,
and the kernel, filled up with zeros to a multiple of s, becomes one of ceil(k/s) taps. AlexNet's first layer, 11x11
with a stride of 4 on 3 channels, turns into 3x3 on 48, for which there is Winograd's algorithm.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from minigrad.kernels.cpu.cost import Case, Cost
from minigrad.kernels.cpu.memory import Array, Block, Sizes
from minigrad.window import Geometry

COPY = 3.0  # nanoseconds to move a number of the image, see kernels/cpu/cost.py


class SpaceToDepth:
    """The kernels of convolution by another algorithm's, on the folded image."""

    def __init__(self, inner: Any):
        self.inner = inner
        self.ERROR, self.GAIN = inner.ERROR, inner.GAIN

    def refusal(self, w_shape: Sizes, geometry: Geometry, dtype: np.dtype) -> str:
        """Why it cannot compute a convolution."""
        if max(geometry.stride) == 1 or max(geometry.dilation) > 1:
            return f"it is for strides without dilation, got stride {geometry.stride}, dilation {geometry.dilation}"
        if geometry.groups > 1:
            return f"it is for one group, got groups={geometry.groups}"
        taps, unstrided = folded_taps(w_shape[2:], geometry.stride), _unstrided(geometry)
        why = self.inner.refusal((*w_shape[:2], *taps), unstrided, dtype)
        return f"folded, the kernel has {taps} taps, and {why}" if why else ""

    def cost(self, case: Case) -> Cost:
        """That of the folded convolution, and of moving the image and the kernels."""
        stride = case.geometry.stride
        taps, c = folded_taps(case.taps, stride), case.c * prod(stride)
        sizes = tuple(o + q - 1 for o, q in zip(case.out, taps, strict=True))
        folded = case._replace(c=c, taps=taps, sizes=sizes, geometry=_unstrided(case.geometry))
        inner, moved = self.inner.cost(folded), c * (case.n * prod(sizes) + case.k * prod(taps))
        return Cost(inner.time + moved * COPY, inner.multiply_adds, inner.workspace + moved)

    def conv(self, x: Array, w: Array, b: Array | None, geometry: Geometry, y: Array) -> None:
        """The forward pass into y (*out, N, K); x is (*spatial, N, C), w is (K, C, *kernel)."""
        image = _folded_image(x, y.shape[:-2], w.shape[2:], geometry)
        self.inner.conv(image, _folded_kernels(w, geometry.stride), b, _unstrided(geometry), y)

    def conv_input(self, w: Array, g: Array, geometry: Geometry, dx: Array) -> None:
        """The gradient in x into dx (*spatial, N, C); g is (*out, N, K)."""
        kernels, n = _folded_kernels(w, geometry.stride), w.ndim - 2
        sizes = tuple(o + q - 1 for o, q in zip(g.shape[:n], kernels.shape[2:], strict=True))
        image = np.empty((*sizes, dx.shape[-2], dx.shape[-1] * prod(geometry.stride)), dx.dtype)
        self.inner.conv_input(kernels, g, _unstrided(geometry), image)
        parts = image.reshape(*sizes, dx.shape[-2], *geometry.stride, dx.shape[-1])
        pairs = [axis for i in range(n) for axis in (i, n + 1 + i)]
        whole = parts.transpose(*pairs, n, 2 * n + 1).reshape(*_times(sizes, geometry.stride), *dx.shape[-2:])
        kept, source = _inside(dx.shape[:n], whole.shape[:n], geometry)
        dx[...] = 0  # the last elements may be read by no window
        dx[kept] = whole[source]

    def conv_weight(self, x: Array, g: Array, geometry: Geometry, dw: Array) -> None:
        """The gradient in w into dw (*kernel, C, K)."""
        stride, n = geometry.stride, dw.ndim - 2
        taps, (c, k) = folded_taps(dw.shape[:n], stride), dw.shape[-2:]
        kernels = np.empty((*taps, c * prod(stride), k), dw.dtype)
        self.inner.conv_weight(_folded_image(x, g.shape[:n], dw.shape[:n], geometry), g, _unstrided(geometry), kernels)
        pairs = [axis for i in range(n) for axis in (i, n + i)]
        whole = kernels.reshape(*taps, *stride, c, k).transpose(*pairs, 2 * n, 2 * n + 1)
        dw[...] = whole.reshape(*_times(taps, stride), c, k)[tuple(slice(0, length) for length in dw.shape[:n])]


def folded_taps(kernel: Sizes, stride: Sizes) -> Sizes:
    """The taps of the folded kernel."""
    return tuple(-(-k // s) for k, s in zip(kernel, stride, strict=True))


def _unstrided(geometry: Geometry) -> Geometry:
    n = len(geometry.stride)
    return geometry._replace(stride=(1,) * n, padding=((0, 0),) * n)


def _times(sizes: Sizes, stride: Sizes) -> Sizes:
    return tuple(q * s for q, s in zip(sizes, stride, strict=True))


def _inside(sizes: Sizes, whole: Sizes, geometry: Geometry) -> tuple[Block, Block]:
    """What of an image is in the padded one of size `whole`, and where it is there."""
    lows = [lo for lo, _ in geometry.padding]
    counts = [min(size, most - lo) for size, most, lo in zip(sizes, whole, lows, strict=True)]
    kept = tuple(slice(0, max(0, count)) for count in counts)
    return kept, tuple(slice(lo, max(lo, lo + count)) for lo, count in zip(lows, counts, strict=True))


def _folded_image(x: Array, out: Sizes, kernel: Sizes, geometry: Geometry) -> Array:
    """x (*spatial, N, C) with its padding as (*folded, N, strides * C)."""
    stride, n = geometry.stride, len(out)
    sizes = tuple(o + q - 1 for o, q in zip(out, folded_taps(kernel, stride), strict=True))
    whole: Array = np.zeros((*_times(sizes, stride), *x.shape[-2:]), x.dtype)
    kept, target = _inside(x.shape[:n], whole.shape[:n], geometry)
    whole[target] = x[kept]
    cut = whole.reshape(*(length for pair in zip(sizes, stride, strict=True) for length in pair), *x.shape[-2:])
    parts = cut.transpose(*range(0, 2 * n, 2), 2 * n, *range(1, 2 * n, 2), 2 * n + 1)
    return parts.reshape(*sizes, x.shape[-2], prod(stride) * x.shape[-1])


def _folded_kernels(w: Array, stride: Sizes) -> Array:
    """w (K, C, *kernel) as (K, strides * C, *taps), in memory taps first."""
    k, c, *kernel = w.shape
    n, taps = len(stride), folded_taps(tuple(kernel), stride)
    whole: Array = np.zeros((*_times(taps, stride), c, k), w.dtype)
    whole[tuple(slice(0, length) for length in kernel)] = w.transpose(*range(2, w.ndim), 1, 0)
    cut = whole.reshape(*(length for pair in zip(taps, stride, strict=True) for length in pair), c, k)
    parts = cut.transpose(*range(0, 2 * n, 2), *range(1, 2 * n, 2), 2 * n, 2 * n + 1)
    folded = parts.reshape(*taps, prod(stride) * c, k)
    return folded.transpose(n + 1, n, *range(n))
