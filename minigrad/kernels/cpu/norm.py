"""Batch norm and local response norm, over bands of pixels in which all sweeps stay in the cache."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from minigrad.kernels.cpu.memory import Array, above_zero, accumulator, as_images, as_rows, bits, chosen, workspace
from minigrad.threads import run

BAND = 1 << 18  # numbers of a band; smaller ones would stay in a nearer cache, but threads wait for Python's lock
RUN = 512  # numbers in a row that sums go down


class _Bands:
    """Arrays of pixels and channels, flat and in bands of whole pixels, with numbers of the channels repeated to match.

    Everything is then one long vector: NumPy takes twice as long where it broadcasts short rows, or a single number.
    """

    def __init__(self, rows: Array):
        self.pixels, self.channels = rows.shape
        self.dtype = accumulator(rows)
        self._together = max(1, RUN // max(1, self.channels))  # pixels in a row for summing
        self.size = max(1, BAND // max(1, self._together * self.channels)) * self._together * self.channels
        self.size = min(self.size, rows.size)

    def __iter__(self) -> Iterator[slice]:
        total = self.pixels * self.channels
        return (slice(low, min(low + self.size, total)) for low in range(0, total, self.size or 1))

    def of(self, x: Array, part: slice) -> Array:
        """A band of (pixels, C) in the dtype that is computed in: a view, where x has that dtype."""
        return x.reshape(-1)[part].astype(self.dtype, copy=False)

    def write(self, x: Array, part: slice, y: Array) -> None:
        """Put y, made in place of the band of x, back into x: needed only where it was converted."""
        if x.dtype != self.dtype:
            x.reshape(-1)[part] = y

    def each(self, v: Array) -> Array:
        """(C,) repeated over a band."""
        return np.tile(v.astype(self.dtype, copy=False), self.size // max(1, self.channels))

    def _runs(self, x: Array) -> Array:
        """A band as rows of whole pixels."""
        run = self._together * self.channels
        return x.reshape(-1, run if x.size % run == 0 else self.channels)

    def minus(self, x: Array, v: Array, out: Array) -> Array:
        """A band minus v (C,), which serves only once: it is repeated for one row alone."""
        rows = self._runs(x)
        np.subtract(rows, np.tile(v, rows.shape[1] // self.channels), out=out.reshape(rows.shape))
        return out

    def total(self, x: Array, y: Array | None = None) -> Array:
        """The sum over a band of x, or of x * y, for each channel, in float64."""
        rows = self._runs(x)
        sums = rows.sum(0) if y is None else np.einsum("ij,ij->j", rows, self._runs(y))
        return sums.reshape(-1, self.channels).sum(0, dtype=np.float64)


def moments(x: Array) -> tuple[Array, Array]:
    """The mean and the variance (divided by n) of each channel of x (N, C, *spatial), float16 in float32.

    E[x^2] - E[x]^2 would lose the variance of what lies far from 0. So each band is taken about a centre, the mean of
    its first sixteenth: the square of the distance from there to the band's mean is at most 16 times its variance, so
    the correction costs one digit at most. The bands are then put together exactly.

    Source: T. Chan, G. Golub and R. LeVeque, "Algorithms for computing the sample variance", 1983.
    """
    rows = as_rows(x)
    bands = _Bands(rows)
    found: dict[int, tuple[int, Array, Array]] = {}  # of each band: pixels, their mean, the sum of squares about it

    def look_at(part: slice) -> None:
        band = bands.of(rows, part)
        pixels = band.size // bands.channels
        few = -(-pixels // 16)
        centre = (bands.total(band[: few * bands.channels]) / few).astype(bands.dtype)
        with workspace() as memory:
            d = bands.minus(band, centre, memory((band.size,), bands.dtype))
            off = bands.total(d) / pixels
            found[part.start] = pixels, centre + off, bands.total(d, d) - off * off * pixels

    run(look_at, bands)
    count, mean, spread = 0, np.zeros(bands.channels), np.zeros(bands.channels)
    for start in sorted(found):
        more, centre, squares = found[start]
        away = centre - mean
        spread += squares + away * away * (count * more / (count + more))
        count += more
        mean += away * (more / count)
    return mean.astype(bands.dtype), (spread / max(count, 1)).astype(bands.dtype)


@lru_cache(maxsize=4)
def _zeros(size: int, dtype: np.dtype) -> Array:
    """What nobody writes to: nearly always as many as a band has at most."""
    return np.zeros(size, dtype)


def affine(x: Array, scale: Array, shift: Array, residual: Array | None, relu: bool) -> Array:
    """x * scale + shift (+ residual), scale and shift (C,), then max(0, .) if asked for."""
    rows, more = as_rows(x), None if residual is None else as_rows(residual)
    bands, out = _Bands(rows), np.empty(rows.shape, x.dtype)
    scales, shifts = bands.each(scale), bands.each(shift)
    zeros = _zeros(max(BAND, bands.size), bands.dtype) if relu else None

    def write(part: slice) -> None:
        n = part.stop - part.start
        y = bands.of(out, part)
        np.multiply(bands.of(rows, part), scales[:n], out=y)
        y += shifts[:n]
        if more is not None:
            y += bands.of(more, part)
        if zeros is not None:
            np.maximum(y, zeros[:n], out=y)
        bands.write(out, part, y)

    run(write, bands)
    return as_images(out, x.shape)


def norm_backward(
    g: Array, x: Array, mean: Array, rstd: Array, scale: Array, out: Array | None
) -> tuple[Array, Array, Array]:
    """For y = (x - mean)*scale + shift with x's own mean and rstd: the gradient in x, sum(g), and sum(g * x^).

    x^ = (x - mean)*rstd. With `out`, g counts only where not out <= 0: y went through a relu.
    dx = scale * (g - sum(g)/n - x^ * sum(g*x^)/n).
    """
    rows, gs, outs = as_rows(x), as_rows(g), None if out is None else as_rows(out)
    bands, dx = _Bands(rows), np.empty(rows.shape, x.dtype)
    means = bands.each(mean)
    found: dict[int, tuple[Array, Array]] = {}  # the sums of each band

    def add_up(part: slice) -> None:
        n = part.stop - part.start
        passed = bands.of(gs, part)
        with workspace() as memory:
            if outs is not None:  # what passed waits in dx for the second sweep
                y = bands.of(dx, part)
                keep = above_zero(outs.reshape(-1)[part], memory((n,), np.dtype(bool)))
                passed = chosen(passed, keep, out=bits(y)).view(bands.dtype)
                bands.write(dx, part, passed)
            apart = np.subtract(bands.of(rows, part), means[:n], out=memory((n,), bands.dtype))
            found[part.start] = bands.total(passed), bands.total(apart, passed)

    run(add_up, bands)
    sums, products = np.zeros(bands.channels), np.zeros(bands.channels)
    for start in sorted(found):
        sums += found[start][0]
        products += found[start][1]
    products *= rstd
    count = max(bands.pixels, 1)
    slope = -scale * rstd * products / count
    slopes, levels, scales = bands.each(slope), bands.each(-scale * sums / count - slope * mean), bands.each(scale)

    def write(part: slice) -> None:
        n = part.stop - part.start
        with workspace() as memory:
            d = np.multiply(bands.of(rows, part), slopes[:n], out=memory((n,), bands.dtype))
            d += levels[:n]
            y = bands.of(dx, part)
            np.multiply(bands.of(gs, part) if outs is None else y, scales[:n], out=y)
            y += d
        bands.write(dx, part, y)

    run(write, bands)
    return as_images(dx, x.shape), sums.astype(bands.dtype), products.astype(bands.dtype)


# ---- local response norm --------------------------------------------------------------------------------------------


def _to_minus(s: Array, beta: float) -> Array:
    """s**-beta; for the exponent that everyone uses by square roots, in a tenth of the time of a power."""
    if beta == 0.75:
        root = np.sqrt(s)
        root *= np.sqrt(root)
        return np.divide(1, root, out=root)
    return s**-beta


def _window_sums(x: Array, low: int, high: int) -> Array:
    """The sum of x (rows, C) over the channels from c - low to c + high."""
    padded = np.zeros((len(x), x.shape[1] + low + high), x.dtype)
    padded[:, low : low + x.shape[1]] = x
    total = padded[:, : x.shape[1]].copy()
    for shift in range(1, low + high + 1):
        total += padded[:, shift : shift + x.shape[1]]
    return total


def _few(rows: Array) -> Iterator[slice]:
    """Bands of rows."""
    step = max(1, BAND // max(1, rows.shape[1]))
    return (slice(low, low + step) for low in range(0, len(rows), step))


def lrn(x: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    """x * (k + alpha * sum of x^2 over `size` neighbouring channels)**-beta, the window from c - size//2."""
    rows, dtype = as_rows(x), accumulator(x)
    out, low = np.empty(rows.shape, x.dtype), size // 2

    def write(part: slice) -> None:
        v = rows[part].astype(dtype, copy=False)
        s = _window_sums(v * v, low, size - 1 - low)
        s *= alpha
        s += k
        out[part] = _to_minus(s, beta) * v

    run(write, _few(rows))
    return as_images(out, x.shape)


def lrn_input(g: Array, x: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    """The gradient of `lrn` in x: with s = k + alpha*W(x^2), g * s**-beta - 2*alpha*beta * x * W'(g*x*s**(-beta-1)).

    W sums over the window of a channel, its adjoint W' over the channels whose windows it is in.
    """
    rows, gs, dtype = as_rows(x), as_rows(g), accumulator(x)
    out, low = np.empty(rows.shape, x.dtype), size // 2
    high = size - 1 - low

    def write(part: slice) -> None:
        v, u = rows[part].astype(dtype, copy=False), gs[part].astype(dtype, copy=False)
        s = _window_sums(v * v, low, high)
        s *= alpha
        s += k
        power = _to_minus(s, beta)
        power *= u  # g * s**-beta
        np.divide(power, s, out=s)
        s *= v
        d = _window_sums(s, high, low)
        d *= v
        d *= -2 * alpha * beta
        d += power
        out[part] = d

    run(write, _few(rows))
    return as_images(out, x.shape)
