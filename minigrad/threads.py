"""Threads of the CPU's kernels: blocks of work on a pool of them, while BLAS keeps to one thread.

A kernel cuts its work into blocks, `run` hands them out to whoever is free, and each thread multiplies its own matrices
on its own core. BLAS's threads would meet after every product; these meet after a layer, or a step of it, and share the
copies, transforms and sums too. How the work is cut depends on shapes alone, and blocks write to different places:
so results are the same, bit for bit, for any number of threads.

OpenBLAS, which comes with NumPy, lets its threads be counted and set from here; so does MKL. With another BLAS, all
stays on the caller's thread.
"""

from __future__ import annotations

import contextvars
import ctypes
import importlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from queue import SimpleQueue
from typing import Any, TypeVar

from minigrad.checks import positive_int

Item = TypeVar("Item")
Function = TypeVar("Function", bound=Callable)

SYMBOLS = (  # to get and to set the number of threads, in NumPy's own builds of OpenBLAS, in others, and in MKL
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
    ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads"),
)


class _Blas:
    """The number of threads of the BLAS that NumPy is linked to."""

    def __init__(self) -> None:
        numpy = importlib.import_module("numpy._core._multiarray_umath")
        library = ctypes.CDLL(numpy.__file__)  # its symbols, and those of what it is linked to
        found = [pair for pair in SYMBOLS if all(hasattr(library, name) for name in pair)]
        self.known = bool(found)
        self.get: Callable[[], int] = getattr(library, found[0][0]) if found else lambda: 1
        self.set: Callable[[int], Any] = getattr(library, found[0][1]) if found else lambda n: None
        self.lock, self.inside, self.outside = threading.Lock(), 0, self.get()

    def enter(self) -> None:
        """One thread from here on; who is the first to come notes how many there were."""
        with self.lock:
            if self.inside == 0:
                self.outside = self.get()
                if self.outside > 1:  # OpenBLAS moves its buffers about: the next product takes 10 microseconds more
                    self.set(1)
            self.inside += 1
            _this.depth += 1

    def leave(self) -> None:
        """Who is the last to go puts the number back."""
        with self.lock:
            self.inside -= 1
            _this.depth -= 1
            if self.inside == 0 and self.outside > 1:
                self.set(self.outside)

    def forked(self) -> None:
        """In the child of a fork only the thread that forked goes on, be it inside of a module's call or not."""
        self.lock, self.inside = threading.Lock(), _this.depth
        if not self.inside and self.outside > 1:
            self.set(self.outside)


def _nothing(item: Any) -> None:
    """What is left of work that is done."""


class _Work:
    """Items that several threads take from until none is left."""

    def __init__(self, work: Callable[[Any], Any], items: list):
        self.work = work
        self.items = iter(items)
        self.lock, self.done = threading.Lock(), threading.Lock()
        self.done.acquire()
        self.helpers, self.waiting = 0, False
        self.error: BaseException | None = None

    def take(self) -> None:
        """Do items until there are no more; after an error, no more are taken."""
        nothing = object()
        while True:
            with self.lock:
                item = next(self.items, nothing)
            if item is nothing:
                return
            try:
                self.work(item)
            except BaseException as error:
                with self.lock:
                    self.error = self.error or error
                    self.items = iter(())

    def help(self) -> None:
        """What a thread of the pool does, if it does not come too late."""
        with self.lock:
            self.helpers += 1
        self.take()
        with self.lock:
            self.helpers -= 1
            if self.waiting and self.helpers == 0:
                self.waiting = False
                self.done.release()

    def finish(self) -> None:
        """Wait for those who still work on an item: it is the caller's memory that they write to."""
        interrupt = None
        with self.lock:
            self.items = iter(())  # for those who come too late
            self.waiting = self.helpers > 0
        while self.waiting:  # who is the last to go says so, and then releases
            try:
                self.done.acquire()
            except BaseException as error:  # Ctrl-C again: an item is short
                interrupt = error
        self.work = _nothing  # it may wait in the queue for long, and should not hold the caller's arrays
        if interrupt is not None:
            raise interrupt


class _Pool:
    """Threads that wait for work. They are daemons: an interpreter that ends does not wait for them."""

    def __init__(self) -> None:
        self.size, self.queue, self.lock = 0, SimpleQueue[Any](), threading.Lock()

    def call(self, work: _Work, count: int) -> None:
        """Ask so many threads for help, each with the caller's context: that is where NumPy keeps `errstate`."""
        with self.lock:
            while self.size < count:
                threading.Thread(target=self.serve, args=(self.queue,), name="minigrad", daemon=True).start()
                self.size += 1
        for _ in range(count):
            self.queue.put((contextvars.copy_context(), work))

    @staticmethod
    def serve(queue: SimpleQueue) -> None:
        _this.inside = True
        while True:
            context, work = queue.get()
            context.run(work.help)
            del context, work  # they hold the caller's arrays


class _This(threading.local):
    inside = False  # an item of work: what it runs itself stays in its thread
    depth = 0  # how many calls of this thread have set BLAS to one thread


_this, _blas, _pool = _This(), _Blas(), _Pool()
_number = _blas.outside


def _after_fork() -> None:
    global _pool
    _pool = _Pool()  # threads do not survive a fork
    _blas.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def get_num_threads() -> int:
    """How many threads the kernels of the CPU use: as many as BLAS did at the import, until `set_num_threads`.

    OpenBLAS takes one for each core that the process may use, or what OPENBLAS_NUM_THREADS or OMP_NUM_THREADS say.
    """
    return _number


def set_num_threads(n: int) -> None:
    """Use n threads in the kernels of the CPU (convolution, pooling, norms, products, optimizers), and in BLAS.

    Results do not depend on it. BLAS has one thread while a kernel runs, and over the whole of a module's call, of
    `backward()` and of an optimizer's step, and n again when that is done: outside, NumPy's own products and LAPACK
    (`inv`, `solve`, `cholesky`, ...) run on n threads. All threads of a program share the setting and the pool. The
    number is not bounded by that of the cores, but more than those do not help.

    Args:
        n: at least 1.

    Raises:
        ValueError: n is not an int of at least 1.
        RuntimeError: n > 1 with a BLAS whose threads cannot be set, which would get in the way of ours.

    >>> import minigrad as mg
    >>> before = mg.get_num_threads()
    >>> mg.set_num_threads(1)
    >>> mg.get_num_threads()
    1
    >>> mg.set_num_threads(before)
    """
    global _number
    n = positive_int("n", n)
    if n > 1 and not _blas.known:
        raise RuntimeError(
            f"set_num_threads({n}): the threads of NumPy's BLAS cannot be set from here, only those of OpenBLAS and MKL"
        )
    _number = n
    with _blas.lock:
        _blas.outside = n
        if _blas.inside == 0:
            _blas.set(n)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Inside, products of matrices stay on the thread that asks for them. May be nested, and entered by threads."""
    _blas.enter()
    try:
        yield
    finally:
        _blas.leave()


def serial_blas(function: Function) -> Function:
    """A decorator for kernels: `one_blas_thread` around each call."""

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        _blas.enter()
        try:
            return function(*args, **options)
        finally:
            _blas.leave()

    return call  # type: ignore[return-value]


def run(work: Callable[[Item], Any], items: Iterable[Item]) -> None:
    """Call work(item) for each of the items, on all threads, in no particular order; return when all are done.

    Items must not need each other, and write to different places. The first error that one of them raises is raised
    here, when the rest has stopped. Within an item, `run` stays in its thread.
    """
    if _number == 1 or _this.inside:
        for item in items:
            work(item)
        return
    several = list(items)
    if len(several) < 2:
        for item in several:
            work(item)
        return
    together = _Work(work, several)
    _blas.enter()
    _this.inside = True
    try:
        _pool.call(together, min(_number, len(several)) - 1)
        together.take()
    finally:
        try:
            together.finish()
        finally:
            _this.inside = False
            _blas.leave()
    if together.error is not None:
        raise together.error
