"""The pool: results do not depend on it, and errors, forks, interrupts and the user's own threads pass through it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn, threads
from minigrad.kernels.cpu import memory

COUNTS = (2, 3, 5)


@pytest.fixture
def several() -> Iterator[Callable[[int], None]]:
    """A function that sets the number of threads for the test."""
    before = mg.get_num_threads()
    yield mg.set_num_threads
    mg.set_num_threads(before)


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


# ---- results --------------------------------------------------------------------------------------------------------


def layer(n: int, c: int, k: int, size: int, taps: int, **options: object) -> list[np.ndarray]:
    x = mg.tensor(memory.channels_second(numbers(size, size, n, c)), requires_grad=True)
    w = mg.tensor(numbers(k, c // options.get("groups", 1), taps, taps), requires_grad=True)  # type: ignore[operator]
    y = mg.conv(x, w, numbers(k), **options)
    y.backward(mg.tensor(numbers(*y.shape)))
    return [y.numpy(), x.grad.numpy(), w.grad.numpy()]


def product(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    x, y = (mg.tensor(numbers(*shape), requires_grad=True) for shape in shapes)
    out = x @ y
    out.backward(mg.tensor(numbers(*out.shape)))
    return [out.numpy(), x.grad.numpy(), y.grad.numpy()]


def fully_connected(n: int, inputs: int, outputs: int) -> list[np.ndarray]:
    mg.manual_seed(0)
    fc = nn.Linear(inputs, outputs)
    y = fc(numbers(n, inputs))
    y.backward(mg.tensor(numbers(*y.shape)))
    return [y.numpy(), fc.weight.grad.numpy(), fc.bias.grad.numpy()]


def steps(make: Callable[[], nn.Module], size: int, optimizer: type) -> list[np.ndarray]:
    """Two steps of training: all parameters, moments of batch norm among them."""
    mg.manual_seed(1)
    net = make()
    optim = optimizer(net.parameters(), lr=1e-3)
    for _ in range(2):
        optim.zero_grad()
        mg.cross_entropy(net(numbers(4, 3, size, size)), np.arange(4)).backward()
        optim.step()
    return [value.numpy() for value in net.state_dict().values()]


WORK = {
    "winograd4, one block": lambda: layer(4, 64, 96, 14, 3, padding=1, algorithm="winograd4"),
    "winograd4, long runs": lambda: layer(16, 128, 256, 14, 3, padding=1, algorithm="winograd4"),
    "winograd4, strips of columns": lambda: layer(2, 48, 48, 97, 3, padding=(1, 0), algorithm="winograd4"),
    "winograd4, one image": lambda: layer(1, 64, 64, 120, 3, padding=1, algorithm="winograd4"),
    "winograd2": lambda: layer(2, 64, 64, 57, 3, padding=1, algorithm="winograd2"),
    "winograd5, strips of columns": lambda: layer(1, 48, 64, 75, 5, padding=2, algorithm="winograd5"),
    "winograd_s2": lambda: layer(2, 64, 64, 90, 3, stride=2, algorithm="winograd_s2"),
    "space to depth": lambda: layer(2, 3, 64, 224, 11, stride=4, algorithm="space_to_depth"),
    "im2col": lambda: layer(2, 64, 64, 57, 3, padding=1, algorithm="im2col"),
    "im2col, few channels": lambda: layer(4, 3, 32, 64, 7, stride=2, padding=3, algorithm="im2col"),
    "im2col, groups": lambda: layer(2, 64, 96, 31, 3, padding=1, groups=4, algorithm="im2col"),
    "1x1": lambda: layer(4, 64, 256, 56, 1),
    "1x1, deep": lambda: layer(8, 2048, 512, 7, 1),
    "product of matrices": lambda: product((1100, 300), (300, 900)),
    "stack of matrices": lambda: product((6, 130, 200), (6, 200, 150)),
    "stack times a matrix": lambda: product((6, 130, 200), (200, 150)),
    "fully connected": lambda: fully_connected(8, 2048, 1030),
    "resnet, SGD": lambda: steps(lambda: models.resnet18(num_classes=10, stem="cifar", width=0.5), 64, nn.optim.SGD),
    "googlenet, Adam": lambda: steps(lambda: models.googlenet(num_classes=10, aux_logits=False), 64, nn.optim.Adam),
}


@pytest.mark.parametrize("name", WORK)
def test_results_do_not_depend_on_the_number_of_threads(name: str, several: Callable[[int], None]) -> None:
    several(1)
    alone = WORK[name]()
    for count in COUNTS:
        several(count)
        for got, expected in zip(WORK[name](), alone, strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    "name", ["winograd4, strips of columns", "winograd5, strips of columns", "winograd4, long runs", "1x1", "im2col"]
)
def test_the_work_is_really_shared(name: str, several: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the test above compares nothing."""
    pieces = []
    take = threads._Work.take

    def watched(self: threads._Work) -> None:
        pieces.append(threading.current_thread())
        take(self)

    monkeypatch.setattr(threads._Work, "take", watched)
    several(2)
    WORK[name]()
    assert len(set(pieces)) >= 2


# ---- the pool -------------------------------------------------------------------------------------------------------


def test_every_item_runs_once(several: Callable[[int], None]) -> None:
    for count in (1, 2, 7):
        several(count)
        for size in (0, 1, 2, 100):
            done: list[int] = []
            threads.run(done.append, range(size))
            assert sorted(done) == list(range(size))


def test_items_overlap_in_time(several: Callable[[int], None]) -> None:
    several(3)
    barrier = threading.Barrier(3, timeout=20)  # broken unless three threads are in it at once
    threads.run(lambda item: barrier.wait() and None, range(3))


def test_an_item_that_fails_stops_the_rest(several: Callable[[int], None]) -> None:
    several(2)
    done = []

    def work(item: int) -> None:
        if item == 3:
            raise ValueError("item 3")
        time.sleep(0.001)
        done.append(item)

    before = threads._blas.get()
    with pytest.raises(ValueError, match="item 3"):
        threads.run(work, range(1000))
    count = len(done)
    time.sleep(0.02)
    assert count == len(done) < 20  # nobody goes on behind the caller's back
    assert threads._blas.get() == before
    threads.run(done.append, range(4))  # and the pool still works
    assert len(done) == count + 4


def test_an_error_in_a_thread_of_the_pool_is_raised_by_the_caller(several: Callable[[int], None]) -> None:
    several(2)
    barrier = threading.Barrier(2, timeout=20)

    def work(item: int) -> None:
        barrier.wait()
        if threading.current_thread() is not threading.main_thread():
            raise KeyError("in the pool")

    with pytest.raises(KeyError, match="in the pool"):
        threads.run(work, range(2))


def test_work_within_work_stays_in_its_thread(several: Callable[[int], None]) -> None:
    several(2)
    barrier, found = threading.Barrier(2, timeout=20), []

    def inner(item: int) -> None:
        found.append((item // 10, threading.get_ident()))

    def outer(item: int) -> None:
        barrier.wait()
        threads.run(inner, range(10 * item, 10 * item + 5))

    threads.run(outer, range(2))
    assert len(found) == 10
    assert len(set(found)) == 2


def test_warnings_of_numpy_are_those_of_the_caller(several: Callable[[int], None]) -> None:
    several(2)
    barrier = threading.Barrier(2, timeout=20)

    def work(item: int) -> None:
        barrier.wait()
        np.ones(1) / np.zeros(1)  # a warning, which is an error in these tests

    with np.errstate(divide="ignore"):
        threads.run(work, range(2))
    with pytest.raises(RuntimeWarning):
        threads.run(work, range(2))


def test_the_pool_keeps_nothing_of_the_caller(several: Callable[[int], None]) -> None:
    import weakref

    several(3)
    array = np.zeros(1000)
    watched = weakref.ref(array)
    threads.run(lambda item, array=array: array.sum() and None, range(20))
    del array
    deadline = time.monotonic() + 20
    while watched() is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert watched() is None


def test_threads_of_the_user_share_the_pool(several: Callable[[int], None]) -> None:
    several(1)
    alone = WORK["winograd4, one block"]()
    several(3)
    with ThreadPoolExecutor(4) as users:
        for results in users.map(lambda i: WORK["winograd4, one block"](), range(12)):
            for got, expected in zip(results, alone, strict=True):
                np.testing.assert_array_equal(got, expected)
    assert threads._blas.inside == 0


# ---- BLAS -----------------------------------------------------------------------------------------------------------


def test_blas_has_one_thread_inside_and_its_own_number_outside(several: Callable[[int], None]) -> None:
    several(3)
    assert threads._blas.get() == 3
    seen = []
    threads.run(lambda item: seen.append(threads._blas.get()), range(5))
    with threads.one_blas_thread():
        seen.append(threads._blas.get())
        with threads.one_blas_thread():
            pass
        seen.append(threads._blas.get())
        mg.set_num_threads(2)  # in the middle: it counts from the end on
        seen.append(threads._blas.get())
    assert seen == [1] * 8
    assert threads._blas.get() == mg.get_num_threads() == 2


def test_the_default_is_that_of_blas() -> None:
    code = "import minigrad as mg; print(mg.get_num_threads())"
    for count in ("1", "2"):
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": count}
        got = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert got.stdout.strip() == count if (os.cpu_count() or 1) >= 2 else "1"


@pytest.mark.parametrize("bad", [0, -1, 1.5, "2", None, True])
def test_a_number_of_threads_is_a_positive_integer(bad: object) -> None:
    before = mg.get_num_threads()
    with pytest.raises(ValueError, match=f"n must be a positive integer, got {bad!r}"):
        mg.set_num_threads(bad)  # type: ignore[arg-type]
    assert mg.get_num_threads() == before


def test_without_a_blas_that_can_be_set_there_is_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "SYMBOLS", (("no_such_get", "no_such_set"),))
    blas = threads._Blas()
    assert (blas.known, blas.get()) == (False, 1)
    monkeypatch.setattr(threads, "_blas", blas)
    with pytest.raises(RuntimeError, match=r"set_num_threads\(2\): the threads of NumPy's BLAS cannot be set from he"):
        mg.set_num_threads(2)
    with threads.one_blas_thread():
        assert blas.inside == 1
    assert blas.inside == 0


# ---- forks and signals ----------------------------------------------------------------------------------------------


def _in_a_child(connection: object) -> None:
    results = WORK["winograd4, one block"]()
    connection.send([mg.get_num_threads(), threads._blas.inside, *results])  # type: ignore[attr-defined]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="NOT CHECKED here: there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_in_the_middle_of_work_gets_a_pool_of_its_own(several: Callable[[int], None]) -> None:
    several(2)
    expected = WORK["winograd4, one block"]()
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            WORK["winograd4, one block"]()

    user = threading.Thread(target=busy)
    user.start()
    try:
        for _ in range(5):
            here, there = multiprocessing.Pipe()
            child = multiprocessing.get_context("fork").Process(target=_in_a_child, args=(there,))
            child.start()
            assert here.poll(60), "the child hangs"
            count, inside, *results = here.recv()
            child.join(20)
            assert (child.exitcode, count, inside) == (0, 2, 0)
            for got, exact in zip(results, expected, strict=True):
                np.testing.assert_array_equal(got, exact)
    finally:
        stop.set()
        user.join()


@pytest.mark.skipif(os.name != "posix", reason="NOT CHECKED here: signals of POSIX")
def test_an_interrupt_waits_for_those_who_write_to_the_callers_memory(several: Callable[[int], None]) -> None:
    several(2)
    writing = threading.Event()
    running = []

    def work(item: int) -> None:
        if threading.current_thread() is threading.main_thread():
            writing.wait(20)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        else:
            running.append(item)
            writing.set()
            time.sleep(0.2)
            running.remove(item)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have switched it off
    try:
        with pytest.raises(KeyboardInterrupt):
            threads.run(work, range(100))
        assert not running
    finally:
        signal.signal(signal.SIGINT, before)
    assert threads._blas.inside == 0
