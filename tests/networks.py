"""A small residual network without batch norm, written with ops alone, for minigrad and PyTorch alike.

The shape is that of the 20-layer network for 32x32 images: K. He et al., "Deep Residual Learning for Image
Recognition", CVPR 2016, section 4.2. In place of batch norm the last convolution of each branch starts small, so that
the sum over the branches does not grow.
"""

from __future__ import annotations

from typing import Any

import numpy as np

WIDTHS = (16, 32, 64)


def weights(
    rng: np.random.Generator, widths: tuple[int, ...] = WIDTHS, blocks: int = 3, classes: int = 10
) -> list[np.ndarray]:
    """What `residual` multiplies with, in the order in which it does, as float32."""

    def drawn(out: int, inside: int, size: int, scale: float = 1.0) -> np.ndarray:
        bound = scale * (2 / (inside * size * size)) ** 0.5
        return (bound * rng.standard_normal((out, inside, size, size))).astype(np.float32)

    found, c = [drawn(widths[0], 3, 3)], widths[0]
    for stage, width in enumerate(widths):
        for block in range(blocks):
            found += [drawn(width, c, 3), drawn(width, width, 3, 0.3)]
            if block == 0 and stage:
                found.append(drawn(width, c, 1))
            c = width
    return [*found, (rng.standard_normal((c, classes)) / c**0.5).astype(np.float32)]


def residual(x: Any, ws: list, lib: Any, widths: tuple[int, ...] = WIDTHS, blocks: int = 3) -> Any:
    """Images (N, 3, H, W) -> logits (N, classes); `lib` has conv2d and relu: minigrad, or torch."""
    left = iter(ws)
    x = lib.relu(lib.conv2d(x, next(left), stride=1, padding=1))
    for stage in range(len(widths)):
        for block in range(blocks):
            stride = 2 if block == 0 and stage else 1
            branch = lib.relu(lib.conv2d(x, next(left), stride=stride, padding=1))
            branch = lib.conv2d(branch, next(left), stride=1, padding=1)
            x = lib.conv2d(x, next(left), stride=stride, padding=0) if stride == 2 else x
            x = lib.relu(x + branch)
    return x.mean((2, 3)) @ next(left)
