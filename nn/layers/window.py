"""The sizes of a sliding window's output as arithmetic, for error messages."""

from __future__ import annotations

from minigrad.ops.conv import output_size

Pair = tuple[int, ...]


def explain(sizes: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> str:
    """`(i + 2*p - k)/s + 1 = o` for each axis, once where all are the same; k is the span of a dilated kernel.

    >>> explain((28, 28), (5, 5), (1, 1), (0, 0), (1, 1))
    '(28 + 2*0 - 5)/1 + 1 = 24'
    >>> explain((9, 8), (3, 3), (2, 2), (1, 1), (1, 2))
    '(9 + 2*1 - 3)/2 + 1 = 5 and floor((8 + 2*1 - 5)/2) + 1 = 3'
    """
    texts = []
    for i, k, s, p, d in zip(sizes, kernel, stride, padding, dilation, strict=True):
        span = d * (k - 1) + 1
        ratio = f"({i} + 2*{p} - {span})/{s}"
        ratio = f"floor({ratio})" if (i + 2 * p - span) % s else ratio
        texts.append(f"{ratio} + 1 = {output_size(i, k, s, (p, p), d)}")
    return " and ".join(dict.fromkeys(texts))
