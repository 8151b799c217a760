"""Random numbers: default generators, seeded by `manual_seed`; every function also takes a generator of yours.

There is one default generator for each device, so that work on one does not disturb the numbers of the other. All of
them are NumPy's and draw on the CPU, whatever the device of the result: their state is then a few plain numbers that
can be saved, restored and replayed (CuPy's generators have no public way to read or set theirs), and a seed gives the
same bits on every machine. What is not on a device by nature, permutations and initial weights, comes from "cpu".
"""

from __future__ import annotations

import copy
import operator
import pickle
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigrad.backend import DEVICES, transfer_array
from minigrad.tensor import Tensor, wrap


def _seeded(seed: int | None, device: str) -> np.random.Generator:
    if device == "cpu":
        return np.random.default_rng(seed)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(DEVICES.index(device),)))


_defaults = {device: _seeded(None, device) for device in DEVICES}


def manual_seed(seed: int) -> np.random.Generator:
    """Restart the default generators of all devices from a seed; returns the one of the CPU.

    Args:
        seed: an integer of at least 0.

    Raises:
        ValueError: a negative seed.

    >>> _ = manual_seed(0)
    >>> a = rand(3)
    >>> _ = manual_seed(0)
    >>> bool((rand(3) == a).all())
    True
    """
    if operator.index(seed) < 0:
        raise ValueError(f"seed must be an integer of at least 0, got {seed}")
    for device in DEVICES:
        default_generator(device).bit_generator.state = _seeded(seed, device).bit_generator.state
    return default_generator()


def default_generator(device: str = "cpu") -> np.random.Generator:
    """The generator that is used for a device when none is given; it stays the same object for ever."""
    return _in_use(_defaults[device])


def get_rng_state() -> dict[str, dict]:
    """The state of the default generators, as plain data: a dict for each device, which can be pickled or put in JSON.

    Source: numpy.random.PCG64.state.

    >>> state = get_rng_state()
    >>> a = rand(3)
    >>> set_rng_state(state)
    >>> bool((rand(3) == a).all())
    True
    """
    return {device: default_generator(device).bit_generator.state for device in DEVICES}  # type: ignore[misc]


def set_rng_state(state: dict[str, dict]) -> None:
    """Put the default generators of all devices back into a state.

    Args:
        state: what `get_rng_state` returned, in this process or another.

    Raises:
        ValueError: something else.
    """
    trial = np.random.PCG64(0)
    try:
        for device in DEVICES:
            trial.state = state[device]  # type: ignore[assignment]
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            f"state must come from get_rng_state(), got {type(state).__name__}: pass what it returned, with the keys "
            f"{', '.join(DEVICES)}"
        ) from None
    for device in DEVICES:
        default_generator(device).bit_generator.state = state[device]


# ---- drawing --------------------------------------------------------------------------------------------------------


def _sizes(shape: tuple) -> Any:
    """rand(2, 3) and rand((2, 3)) mean the same."""
    return shape[0] if len(shape) == 1 else shape


def _drawn(array: Any, device: str, requires_grad: bool = False) -> Tensor:
    return wrap(transfer_array(np.asarray(array), device)).requires_grad_(requires_grad)


def _chosen(generator: np.random.Generator | None, device: str) -> np.random.Generator:
    if generator is not None:
        return _in_use(generator)
    return default_generator(device if device in DEVICES else "cpu")  # an unknown device raises where it is used


def rand(
    *shape: int | Sequence[int],
    dtype: Any = np.float32,
    device: str = "cpu",
    requires_grad: bool = False,
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Numbers drawn evenly from [0, 1).

    >>> rand(2, 3).shape, rand((2, 3)).shape
    ((2, 3), (2, 3))
    """
    return _drawn(_chosen(generator, device).random(_sizes(shape), dtype), device, requires_grad)


def randn(
    *shape: int | Sequence[int],
    dtype: Any = np.float32,
    device: str = "cpu",
    requires_grad: bool = False,
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Numbers drawn from the normal distribution with mean 0 and variance 1.

    >>> randn(2, 3).shape
    (2, 3)
    """
    return _drawn(_chosen(generator, device).standard_normal(_sizes(shape), dtype), device, requires_grad)


def randint(
    low: int,
    high: int,
    shape: int | Sequence[int] = (),
    *,
    dtype: Any = np.int64,
    device: str = "cpu",
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Integers drawn evenly from low, ..., high - 1.

    Args:
        low, high: the bounds; high itself is never drawn, as in PyTorch.
        shape: of the result; () gives one number.
        dtype, device: of the result.
        generator: to draw from; default: the one of the device.

    Raises:
        ValueError: there is no integer from low to high - 1.

    >>> x = randint(2, 4, (100,))
    >>> x.dtype, sorted(set(x.tolist()))
    (dtype('int64'), [2, 3])
    """
    if low >= high:
        raise ValueError(f"low must be below high, got low={low} and high={high}: high itself is never drawn")
    return _drawn(_chosen(generator, device).integers(low, high, shape, dtype), device)


def permutation(n: int, *, device: str = "cpu", generator: np.random.Generator | None = None) -> Tensor:
    """The integers 0, ..., n - 1 in random order, as int64.

    Drawn from the default generator of the CPU whatever the device, so that the order of the batches of a training does
    not depend on where it runs.

    Raises:
        ValueError: n is negative.

    >>> sorted(permutation(5).tolist())
    [0, 1, 2, 3, 4]
    """
    if operator.index(n) < 0:
        raise ValueError(f"permutation needs an n of at least 0, got {n}")
    return _drawn(_chosen(generator, "cpu").permutation(n), device)


# ---- drawing the same once more --------------------------------------------------------------------------------------


class Draws:
    """The generators that a computation drew from: a copy of each, and its state at each draw.

    >>> draws, mine = Draws(), np.random.default_rng(0)
    >>> with draws.noting():
    ...     first = rand(3), rand(3, generator=mine)
    >>> with draws.replaying():
    ...     again = rand(3), rand(3, generator=mine)
    >>> all(bool((a == b).all()) for a, b in zip(first, again))
    True
    """

    def __init__(self) -> None:
        self._copies: dict[int, tuple[np.random.Generator, np.random.Generator]] = {}  # id -> the original, its copy
        self._states: list[bytes] = []  # of the generator in use, before each draw

    def note(self, generator: np.random.Generator) -> None:
        """Remember how a generator is before a draw."""
        in_use = _local.stand_ins.get(id(generator), generator)
        if id(generator) not in self._copies:  # the original is kept alive, so that its id stays its own
            self._copies[id(generator)] = generator, copy.deepcopy(in_use)
        self._states.append(pickle.dumps(in_use.bit_generator.state))

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note each draw of this thread with the functions of this module."""
        before, _local.notes = _local.notes, (*_local.notes, self)
        try:
            yield
        finally:
            _local.notes = before

    @contextmanager
    def replaying(self) -> Iterator[None]:
        """Let this thread draw the same numbers once more, from copies: no generator is touched.

        Raises:
            RuntimeError: the draws were not the same.
        """
        again = Draws()
        before = _local.stand_ins, _local.notes
        stand_ins = {key: copy.deepcopy(noted) for key, (_, noted) in self._copies.items()}
        _local.stand_ins, _local.notes = {**before[0], **stand_ins}, (again,)
        try:
            yield
        finally:
            _local.stand_ins, _local.notes = before
        if again._states != self._states:
            raise RuntimeError(
                "the second run of a checkpointed function drew other random numbers than the first: seed the "
                "generators that it makes, and let no other thread draw from the ones it uses"
            )


@contextmanager
def drawing_from(generator: np.random.Generator) -> Iterator[None]:
    """Let this thread draw from a generator wherever it would draw from a default one.

    A loader's workers draw in no order that could be told beforehand; what a batch draws from a generator of its own is
    the same at every run.

    >>> with drawing_from(np.random.default_rng(0)):
    ...     a = rand(3)
    >>> bool((rand(3, generator=np.random.default_rng(0)) == a).all())
    True
    """
    before = _local.stand_ins
    _local.stand_ins = {**before, **{id(default): generator for default in _defaults.values()}}
    try:
        yield
    finally:
        _local.stand_ins = before


class _Local(threading.local):
    stand_ins: dict[int, np.random.Generator] = {}  # noqa: RUF012 (replaced as a whole, never changed)
    notes: tuple[Draws, ...] = ()


_local = _Local()


def _in_use(generator: np.random.Generator) -> np.random.Generator:
    """What this thread draws from in place of a generator: nearly always the generator itself."""
    for draws in _local.notes:
        draws.note(generator)
    return _local.stand_ins.get(id(generator), generator)
