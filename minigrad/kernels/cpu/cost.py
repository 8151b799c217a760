"""What an algorithm costs for a convolution: a model of its time, from shapes alone.

Times are nanoseconds of one thread on the machine that the constants were fitted on (AMD Zen 3, AVX2, OpenBLAS 0.3.31,
float32); on another, only their ratios matter, and those of arithmetic to memory move little between CPUs of an age.
`bench/NOTES.md` has the measurements and how often the model picks the fastest.
"""

from __future__ import annotations

from math import prod, sqrt
from typing import Any, NamedTuple

from minigrad.window import Geometry, Sizes, out_sizes

KERNELS = ("forward", "input gradient", "weight gradient")
MULTIPLY_ADD = 0.0235  # in a large product of matrices: 85 GFLOP/s


class Case(NamedTuple):
    """One of the three kernels of convolution for certain shapes; c and k are the channels of one group."""

    kernel: str
    n: int
    c: int
    k: int
    sizes: Sizes
    taps: Sizes
    out: Sizes
    geometry: Geometry

    @property
    def multiply_adds(self) -> int:
        """What the formula has."""
        return self.n * self.geometry.groups * self.c * self.k * prod(self.taps) * prod(self.out)

    @property
    def terms(self) -> int:
        """How many products an element of the result is the sum of, at most."""
        k, c, positions = self.k, self.c, self.n * prod(self.out)
        return {"forward": c * prod(self.taps), "input gradient": k * prod(self.taps)}.get(self.kernel, positions)


class Cost(NamedTuple):
    """What an algorithm needs for a case."""

    time: float  # nanoseconds, see above
    multiply_adds: int  # in its products
    workspace: int  # numbers in memory that one thread needs, beyond arguments and result


def error(algorithm: Any, kernel: str, terms: int) -> float:
    """A bound of the error of a sum of products, in units of eps * the largest sum of |products|.

    Roundings add up like a random walk, so that a sum of t terms is off by some sqrt(t); what an algorithm adds of its
    own (ERROR) does not depend on t. Winograd's input gradients of numbers that are all positive are differences of
    larger ones, and so are what they rounded (GAIN). All were measured over random layers; where numbers are equal,
    roundings are, too, and add up faster. tests/test_conv_algorithms.py holds all algorithms to it.
    """
    gain = getattr(algorithm, "GAIN", 1) if kernel == KERNELS[1] else 1
    return gain * (algorithm.ERROR + sqrt(terms) / 2)


def case(kernel: str, x_shape: Sizes, w_shape: Sizes, geometry: Geometry) -> Case:
    """The case of arrays x (N, C, *spatial) and w (K, C/groups, *kernel)."""
    sizes, taps = x_shape[2:], w_shape[2:]
    k = w_shape[0] // geometry.groups
    return Case(kernel, x_shape[0], w_shape[1], k, sizes, taps, out_sizes(sizes, taps, geometry), geometry)
