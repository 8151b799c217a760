"""From a data set to batches: their order, their random draws, and the place to go on from."""

from __future__ import annotations

import operator
import zlib
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minigrad.checks import one_of
from minigrad.nn.data.dataset import Dataset
from minigrad.nn.data.sampler import RandomSampler, Sampler, SequentialSampler
from minigrad.nn.data.threads import in_threads
from minigrad.random import default_generator, drawing_from

if TYPE_CHECKING:
    from minigrad.nn.data.processes import Processes


class Plan(NamedTuple):
    """An epoch: all that its batches are a function of."""

    seed: int
    epoch: int
    order: np.ndarray


def generator_of(seed: int, *place: int) -> np.random.Generator:
    """The random numbers of a place alone: of an epoch, or of an epoch and a batch."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=place))


@dataclass(frozen=True)
class BatchMaker:
    """Makes a batch, in whatever thread or process."""

    dataset: Dataset
    transform: Callable[..., Any] | None
    mix: Callable[..., tuple[Any, Any]] | None
    batch_size: int

    def __call__(self, plan: Plan, number: int) -> tuple[Any, ...]:
        """Batch number 0, 1, ... of an epoch; an error gets a note that says which it is."""
        indices = plan.order[number * self.batch_size : (number + 1) * self.batch_size]
        generator = generator_of(plan.seed, plan.epoch, number)
        try:
            with drawing_from(generator):
                return self._make(indices, generator)
        except BaseException as error:
            shown = ", ".join(map(str, indices[:16])) + (", ..." if len(indices) > 16 else "")
            error.add_note(f"in batch {number} of epoch {plan.epoch}: samples {shown}")
            raise

    def _make(self, indices: np.ndarray, generator: np.random.Generator) -> tuple[Any, ...]:
        parts = self.dataset.batch(indices)
        if not isinstance(parts, tuple | list):
            raise TypeError(
                f"dataset.batch must return a tuple such as (images, labels), got {type(parts).__name__}: a tuple also "
                f"of one part, (images,)"
            )
        images, *rest = parts
        if self.transform is not None:
            images = self.transform(images, generator)
        if isinstance(images, list):
            images = stacked(images)
        if self.mix is None:
            return (images, *rest)
        if not rest:
            raise ValueError("mix needs images and labels, but the data set has one part only")
        return (*self.mix(images, rest[0], generator), *rest[1:])


def stacked(images: list[Any]) -> np.ndarray:
    """Images of one size as one array.

    Raises:
        ValueError: they are of several sizes: says which, and what makes them equal.
    """
    shapes = sorted({np.shape(image) for image in images})
    if len(shapes) > 1:
        sizes = ", ".join(map(str, shapes[:4])) + (", ..." if len(shapes) > 4 else "")
        raise ValueError(
            f"the images of a batch must be of one size after transform, got {sizes}: give the loader a transform that "
            f"makes them equal, such as Resize((h, w)), or Resize and RandomCrop"
        )
    return np.stack(images)


@dataclass
class Position:
    """How far an iteration has got: the next batch it yields is `batch` of `epoch`."""

    epoch: int
    batch: int = 0
    order: int | None = None  # a checksum of the order, where it has been told
    begun: bool = False


class DataLoader:
    """Batches of a data set, epoch after epoch: shuffled, transformed and made ahead by workers, the same at every run.

    Iterating yields tuples of NumPy arrays, (images, labels) for most data sets, which are never written to again. The
    order of epoch e is a function of (seed, e) alone, and the random draws of its batch b are one of (seed, e, b): so
    the batches are the same, bit for bit, whatever the number and kind of the workers. That holds for draws from the
    generator that `transform` and `mix` are given and, in them and in the data set, for minigrad's random functions,
    whose default generator it stands in for meanwhile. It does not hold for draws from `random` or `numpy.random`.

    Each `iter(loader)` goes through the next epoch, also when the one before was left early; two iterations at once are
    independent of each other, as two epochs. `state_dict` follows the one that was begun last.

    Unlike PyTorch's there is no collate_fn, for a data set has a method `batch`, and no worker_init_fn, for a batch's
    draws do not depend on its worker.

    Args:
        dataset: what the samples are taken from.
        batch_size: samples in a batch; the last one has what is left.
        shuffle: go through the samples in a random order, another one in each epoch.
        sampler: the order instead: a `Sampler`, or numbers with a length, such as a list, gone through in each epoch.
        transform: called as transform(images, generator) with the first part of each batch.
        mix: called as mix(images, labels, generator) after that, and returns both anew, such as `MixUp`.
        drop_last: leave out a last batch with fewer samples.
        num_workers: how many threads or processes make the batches; 0: none, each is made when it is asked for.
        workers: "thread" or "process". Threads start at once, share all memory and take any function; they pay where
            the time goes into NumPy on large arrays or into reading files. Where it goes into many small steps of
            Python, only processes run side by side: each takes some tenths of a second to start, and the data set,
            transform and mix must be picklable.
        prefetch_factor: how many batches for each worker are made ahead.
        timeout: seconds to wait for a batch from a process; 0: for ever.
        persistent_workers: keep the processes from epoch to epoch, with the data set and transforms as they were at
            first, until the loader is deleted or a loop is left early; otherwise each epoch starts its own.
        seed: an integer of at least 0; default: drawn from minigrad's default generator, so that `manual_seed` decides.

    Raises:
        TypeError: a dataset that is no Dataset, or a sampler without a length.
        ValueError: an empty data set, or options out of their range. Unlike PyTorch, drop_last with fewer samples than
            a batch is refused, for there would be no batch at all.

    >>> from minigrad.nn.data import ArrayDataset, DataLoader
    >>> data = ArrayDataset(np.arange(10), np.arange(10) % 2)
    >>> loader = DataLoader(data, batch_size=4, shuffle=True, seed=0)
    >>> len(loader), [len(x) for x, label in loader]
    (3, [4, 4, 2])
    >>> loader.state_dict()["epoch"]
    1
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        sampler: Sampler | Iterable[int] | None = None,
        transform: Callable[..., Any] | None = None,
        mix: Callable[..., tuple[Any, Any]] | None = None,
        drop_last: bool = False,
        num_workers: int = 0,
        workers: str = "thread",
        prefetch_factor: int = 2,
        timeout: float = 0,
        persistent_workers: bool = False,
        seed: int | None = None,
    ):
        if not isinstance(dataset, Dataset):
            raise TypeError(
                f"dataset must be a minigrad.nn.data.Dataset, got {type(dataset).__name__}: subclass Dataset, or put "
                f"arrays in an ArrayDataset"
            )
        if len(dataset) == 0:
            raise ValueError("dataset must have at least one sample, got an empty one")
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("num_workers", num_workers, 0),
            ("prefetch_factor", prefetch_factor, 1),
            ("seed", 0 if seed is None else seed, 0),
        ):
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise TypeError(f"{name} must be an integer, got {value!r}")
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        one_of("workers", workers, ("thread", "process"))
        if not timeout >= 0:
            raise ValueError(f"timeout must be at least 0 seconds, got {timeout}")
        if timeout and not (num_workers and workers == "process"):
            raise ValueError(
                f'timeout needs workers="process" and num_workers of at least 1, for a thread cannot be ended: got '
                f"timeout={timeout}, workers={workers!r} and num_workers={num_workers}"
            )
        if sampler is not None and shuffle:
            raise ValueError("sampler decides the order, so shuffle must be False with it, got True")
        if sampler is None:
            sampler = RandomSampler(dataset) if shuffle else SequentialSampler(dataset)
        try:
            samples = len(sampler)  # type: ignore[arg-type]
        except TypeError:
            raise TypeError(
                f"sampler must be numbers with a length, got {type(sampler).__name__}: a list of them, or a subclass "
                f"of minigrad.nn.data.Sampler"
            ) from None
        if samples == 0:
            raise ValueError("sampler must give at least one sample, got an empty one")
        if drop_last and samples < batch_size:
            raise ValueError(
                f"drop_last leaves no batch at all: there are {samples} samples, fewer than batch_size={batch_size}"
            )
        self.dataset = dataset
        self.batch_size = int(batch_size)
        self.sampler = sampler
        self.transform = transform
        self.mix = mix
        self.drop_last = drop_last
        self.num_workers = num_workers
        self.workers = workers
        self.prefetch_factor = prefetch_factor
        self.timeout = timeout
        self.persistent_workers = persistent_workers
        self.seed = int(default_generator().integers(2**63)) if seed is None else int(seed)
        self._position = Position(0)
        self._idle: Processes | None = None

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        samples = len(self.sampler)  # type: ignore[arg-type]
        return samples // self.batch_size if self.drop_last else -(-samples // self.batch_size)

    def __iter__(self) -> Generator[tuple[Any, ...]]:
        """The batches of the next epoch; after `load_state_dict`, those that were left of it."""
        last = self._position
        here = Position(last.epoch + 1) if last.begun else Position(last.epoch, last.batch)
        plan = Plan(self.seed, here.epoch, self._order(self.seed, here.epoch))
        here.order, here.begun = checksum(plan.order), True
        self._position = here
        return self._iterate(here, plan)

    def set_epoch(self, epoch: int) -> None:
        """Go through this epoch next: from its start, unless `load_state_dict` has just put the loader into it.

        Raises:
            ValueError: a negative epoch.
        """
        if operator.index(epoch) < 0:
            raise ValueError(f"epoch must be at least 0, got {epoch}")
        if self._position.begun or self._position.epoch != epoch:
            self._position = Position(int(epoch))

    def state_dict(self) -> dict[str, int | None]:
        """The place to go on from, as plain numbers: after the batches that were yielded, not those made ahead.

        Returns:
            seed, epoch, batch: the next batch and what it is drawn from; after an epoch's last, batch 0 of the next.
            samples, batch_size, order: to know another data set by, or another order (a checksum, in mid-epoch).
        """
        here = self._position
        return {
            "seed": self.seed,
            "epoch": here.epoch,
            "batch": here.batch,
            "samples": len(self.dataset),
            "batch_size": self.batch_size,
            "order": here.order if here.batch else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a place: the next iteration yields the batches that were left of its epoch, the same bits.

        Args:
            state: what `state_dict` returned, here or in another process. Its seed replaces the loader's.

        Raises:
            ValueError: something else, or the state of another data set, batch size or order; nothing has changed then.

        >>> from minigrad.nn.data import ArrayDataset, DataLoader
        >>> loader = DataLoader(ArrayDataset(np.arange(6)), 2, shuffle=True, seed=0)
        >>> batches = iter(loader)
        >>> first, state = next(batches), loader.state_dict()
        >>> rest = list(batches)
        >>> loader.load_state_dict(state)
        >>> [bool((a[0] == b[0]).all()) for a, b in zip(rest, loader, strict=True)]
        [True, True]
        """
        keys = self.state_dict().keys()
        if not isinstance(state, dict) or state.keys() != keys:
            got = sorted(map(str, state)) if isinstance(state, dict) else type(state).__name__
            raise ValueError(f"state must come from state_dict(), with the keys {', '.join(keys)}; got {got}")
        for name in ("seed", "epoch", "batch"):
            if type(state[name]) is not int or state[name] < 0:
                raise ValueError(
                    f"state must come from state_dict(): {name} must be an integer of at least 0, got {state[name]!r}"
                )
        for name, ours in (("samples", len(self.dataset)), ("batch_size", self.batch_size)):
            if state[name] != ours:
                raise ValueError(f"state is of another loader: its {name} is {state[name]}, here it is {ours}")
        if state["batch"] >= len(self):
            raise ValueError(
                f"state is of another loader: its batch is {state['batch']}, here an epoch has {len(self)}"
            )
        if state["batch"] and state["order"] != checksum(self._order(state["seed"], state["epoch"])):
            raise ValueError(
                f"state is of another loader: the order of its epoch {state['epoch']} is not the one here; shuffle and "
                f"sampler must be the same, and a sampler must be a list or a minigrad.nn.data.Sampler to be repeated"
            )
        self.seed = state["seed"]
        self._position = Position(state["epoch"], state["batch"], state["order"])

    def _order(self, seed: int, epoch: int) -> np.ndarray:
        """The numbers of the samples of an epoch, checked."""
        if isinstance(self.sampler, Sampler):
            order = np.asarray(self.sampler.order(generator_of(seed, epoch)))
        else:
            order = np.asarray(list(self.sampler))
        n, samples = len(self.dataset), len(self.sampler)  # type: ignore[arg-type]
        if order.shape != (samples,) or order.dtype.kind not in "iu":
            raise ValueError(
                f"sampler must give as many integers as its length, {samples}, got {order.dtype} {order.shape}"
            )
        wrong = order[(order < 0) | (order >= n)]
        if len(wrong):
            raise IndexError(f"sampler must give numbers from 0 to {n - 1}, got {wrong[0]}")
        return order.astype(np.int64)

    def _iterate(self, here: Position, plan: Plan) -> Generator[tuple[Any, ...]]:
        total = len(self)
        with closing(self._made(plan, range(here.batch, total))) as batches:
            for batch in batches:
                here.batch += 1
                if here.batch == total:
                    here.epoch, here.batch, here.order, here.begun = here.epoch + 1, 0, None, False
                    batches.close()
                yield batch

    def _made(self, plan: Plan, numbers: range) -> Generator[tuple[Any, ...]]:
        make = BatchMaker(self.dataset, self.transform, self.mix, self.batch_size)
        count = min(self.num_workers, len(self))
        ahead = count * self.prefetch_factor
        if count == 0:
            return (make(plan, number) for number in numbers)
        if self.workers == "thread":
            return in_threads(partial(make, plan), numbers, count, ahead)
        return self._made_in_processes(make, plan, numbers, count, ahead)

    def _made_in_processes(
        self, make: BatchMaker, plan: Plan, numbers: range, count: int, ahead: int
    ) -> Generator[tuple[Any, ...]]:
        from minigrad.nn.data.processes import Processes  # multiprocessing, which not every Python has

        processes, self._idle = self._idle or Processes(make, count, self.timeout or None), None
        try:
            yield from processes.run(plan, numbers, ahead)
        finally:
            if self.persistent_workers and processes.idle and self._idle is None:
                self._idle = processes
            else:
                processes.close()


def checksum(order: np.ndarray) -> int:
    """A number by which to know an order again, on any machine."""
    return zlib.crc32(order.astype("<i8").tobytes())
