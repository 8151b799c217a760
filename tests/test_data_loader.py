"""Loaders: the same batches whatever the workers, the place to go on from, and what goes wrong in a worker."""

from __future__ import annotations

import gc
import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.nn.data import (
    ArrayDataset,
    DataLoader,
    RandomSampler,
    Sampler,
    SequentialSampler,
    WeightedRandomSampler,
    messages,
)
from tests.loaderparts import Big, Elsewhere, Noisy, Sizes, Trouble, Unloadable, Written, crop, noise, pair, slow

NUMBERS = ArrayDataset(np.arange(10), np.arange(10) * 10)


@pytest.fixture(autouse=True)
def _nobody_is_left():
    """No thread and no process outlives its loop."""
    before = threading.active_count()
    yield
    if threading.active_count() != before or multiprocessing.active_children():
        gc.collect()  # an iterator that a traceback holds
    assert threading.active_count() == before
    assert multiprocessing.active_children() == []


@pytest.fixture(autouse=True)
def _processes_do_without_pytest(monkeypatch):
    """A spawned process imports the main program, here pytest, which takes it a third of its start."""
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)


def numbers(loader):
    """The numbers of an epoch's samples, batch by batch."""
    return [x.tolist() for x, *_ in loader]


def flat(loader):
    """The numbers of an epoch's samples in one list."""
    return list(itertools.chain(*numbers(loader)))


def same(a, b):
    """Whether two rows of batches are the same bits."""
    return len(a) == len(b) and all(
        x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()
        for p, q in zip(a, b, strict=True)
        for x, y in zip(p, q, strict=True)
    )


# ---- batches and their order -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch_size", "drop_last", "expected"),
    [
        (4, False, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]),
        (4, True, [[0, 1, 2, 3], [4, 5, 6, 7]]),
        (5, True, [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]),
        (10, True, [list(range(10))]),
        (99, False, [list(range(10))]),
        (1, False, [[i] for i in range(10)]),
    ],
)
@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches(batch_size, drop_last, expected, num_workers):
    loader = DataLoader(NUMBERS, batch_size, drop_last=drop_last, num_workers=num_workers)
    assert len(loader) == len(expected)
    batches = list(loader)
    assert [x.tolist() for x, _ in batches] == expected
    assert all((y == 10 * x).all() and isinstance(b, tuple) for b in batches for x, y in [b])


def test_shuffling_gives_every_sample_once_in_each_epoch_and_another_order():
    loader = DataLoader(NUMBERS, 3, shuffle=True, seed=0)
    epochs = [flat(loader) for _ in range(20)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 20
    other = DataLoader(NUMBERS, 3, shuffle=True, seed=1)
    assert flat(other) not in epochs


def test_all_orders_are_equally_likely():
    """Chi-squared over the 24 orders of four samples: below 49.7 in 999 of 1000 cases, with 23 degrees of freedom."""
    loader = DataLoader(ArrayDataset(np.arange(4)), 4, shuffle=True, seed=0)
    counts = Counter(tuple(numbers(loader)[0]) for _ in range(2400))
    assert sum((counts[order] - 100) ** 2 / 100 for order in itertools.permutations(range(4))) < 49.7


def test_the_default_generator_decides_where_no_seed_is_given():
    def loader():
        return DataLoader(NUMBERS, 10, shuffle=True)

    mg.manual_seed(3)
    a, b = numbers(loader()), numbers(loader())
    mg.manual_seed(3)
    assert numbers(loader()) == a
    assert a != b


def test_the_seed_is_drawn_once_and_iterating_draws_nothing_more():
    mg.manual_seed(3)
    loader = DataLoader(Noisy(), 4, shuffle=True, transform=noise)
    state = mg.get_rng_state()
    list(loader)
    assert mg.get_rng_state() == state


def test_two_iterations_at_once_are_two_epochs():
    loader, apart = DataLoader(NUMBERS, 4, shuffle=True, seed=0), DataLoader(NUMBERS, 4, shuffle=True, seed=0)
    first, second = zip(*zip(loader, loader, strict=True), strict=True)
    assert [same(first, list(apart)), same(second, list(apart))] == [True, True]


def test_the_state_follows_the_iteration_begun_last():
    loader = DataLoader(NUMBERS, 4, seed=0)
    first = iter(loader)
    next(first)
    second = iter(loader)
    next(first)
    assert (loader.state_dict()["epoch"], loader.state_dict()["batch"]) == (1, 0)
    next(second)
    assert (loader.state_dict()["epoch"], loader.state_dict()["batch"]) == (1, 1)
    list(first)
    assert (loader.state_dict()["epoch"], loader.state_dict()["batch"]) == (1, 1)


def test_an_epoch_that_was_left_is_over():
    loader, apart = DataLoader(NUMBERS, 4, shuffle=True, seed=0), DataLoader(NUMBERS, 4, shuffle=True, seed=0)
    next(iter(loader))
    list(apart)
    assert numbers(loader) == numbers(apart)


def test_set_epoch():
    loader = DataLoader(NUMBERS, 4, shuffle=True, seed=0)
    epochs = [numbers(loader) for _ in range(3)]
    for e in (1, 0, 2, 2):
        loader.set_epoch(e)
        assert numbers(loader) == epochs[e]
    batches = iter(loader)
    next(batches)
    loader.set_epoch(3)
    assert loader.state_dict()["batch"] == 0  # begun, it starts anew
    with pytest.raises(ValueError, match="epoch must be at least 0, got -1"):
        loader.set_epoch(-1)


# ---- samplers --------------------------------------------------------------------------------------------------------


class Evens(Sampler):
    def __len__(self):
        return 5

    def order(self, generator):
        return 2 * generator.permutation(5)


def test_samplers_give_the_order():
    assert numbers(DataLoader(NUMBERS, 2, sampler=[3, 1, 3])) == [[3, 1], [3]]
    assert numbers(DataLoader(NUMBERS, 2, sampler=np.array([9, 0]), num_workers=1)) == [[9, 0]]
    loader = DataLoader(NUMBERS, 2, sampler=Evens(), seed=0)
    epochs = [flat(loader) for _ in range(5)]
    assert len(loader) == 3
    assert all(sorted(epoch) == [0, 2, 4, 6, 8] for epoch in epochs)
    assert len(set(map(tuple, epochs))) > 1
    loader.set_epoch(2)
    assert flat(loader) == epochs[2]


def test_sequential_and_random_sampler():
    assert list(SequentialSampler(NUMBERS)) == list(range(10))
    g = np.random.default_rng(0)
    assert sorted(RandomSampler(NUMBERS).order(g)) == list(range(10))
    longer = RandomSampler(NUMBERS, num_samples=25)
    order = longer.order(g).tolist()
    assert len(longer) == len(order) == 25
    assert sorted(order[:10]) == sorted(order[10:20]) == list(range(10))
    assert len(set(order[20:])) == 5
    drawn = RandomSampler(NUMBERS, replacement=True, num_samples=10_000).order(g)
    assert set(np.bincount(drawn, minlength=10) // 100) <= {8, 9, 10, 11}  # 1000 each, deviation 30
    assert len(RandomSampler(NUMBERS, replacement=True)) == 10


def test_weighted_random_sampler():
    g = np.random.default_rng(0)
    sampler = WeightedRandomSampler([1, 0, 3], 40_000)
    shares = np.bincount(sampler.order(g), minlength=3) / 40_000
    assert shares[1] == 0
    assert abs(shares[0] - 0.25) < 0.01  # a deviation is 0.0022
    without = WeightedRandomSampler([1, 0, 3], 2, replacement=False)
    orders = [tuple(without.order(g).tolist()) for _ in range(4000)]
    assert set(orders) == {(0, 2), (2, 0)}
    assert abs(orders.count((2, 0)) / 4000 - 0.75) < 0.03
    assert numbers(DataLoader(NUMBERS, 2, sampler=WeightedRandomSampler([0] * 9 + [1], 3))) == [[9, 9], [9]]


# ---- transforms ------------------------------------------------------------------------------------------------------


def test_transform_and_mix_get_the_batch():
    images, labels = next(iter(DataLoader(NUMBERS, 4, transform=lambda x, g: x + 0.5, mix=lambda x, y, g: (-x, y + 1))))
    assert images.tolist() == [-0.5, -1.5, -2.5, -3.5]
    assert labels.tolist() == [1, 11, 21, 31]


def test_data_sets_of_one_part_and_of_three():
    (x,) = next(iter(DataLoader(ArrayDataset(np.arange(4)), 2, transform=lambda x, g: -x)))
    assert x.tolist() == [0, -1]
    three = ArrayDataset(np.arange(4), np.arange(4) + 10, np.arange(4) + 20)
    x, y, z = next(iter(DataLoader(three, 2, mix=lambda x, y, g: (x * 2, y * 2))))
    assert (x.tolist(), y.tolist(), z.tolist()) == ([0, 2], [20, 22], [20, 21])
    with pytest.raises(ValueError, match="mix needs images and labels, but the data set has one part only"):
        next(iter(DataLoader(ArrayDataset(np.arange(4)), 2, mix=pair)))


def test_a_batch_that_is_no_tuple_is_refused():
    class Rows(ArrayDataset):
        def batch(self, indices):
            return self.arrays[0][indices]

    with pytest.raises(TypeError, match=r"dataset.batch must return a tuple such as \(images, labels\), got ndarray"):
        next(iter(DataLoader(Rows(np.zeros((4, 3))), 2)))


def test_images_of_several_sizes_are_stacked_once_they_are_equal():
    images, labels = next(iter(DataLoader(Sizes(), 4, transform=crop)))
    assert images.shape == (4, 1, 4, 4)
    assert images[:, 0, 0, 0].tolist() == labels.tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match=r"one size after transform, got \(1, 4, 5\), \(1, 5, 5\): give .* Resize"):
        next(iter(DataLoader(Sizes(), 2)))


def test_batches_are_never_written_to_again():
    loader = DataLoader(NUMBERS, 5, num_workers=2)
    batches = list(loader)
    assert not any(np.shares_memory(a[0], b[0]) for a, b in itertools.combinations(batches, 2))
    batches[0][0][:] = -1
    assert numbers(loader)[0] == [0, 1, 2, 3, 4]


# ---- the same whatever the workers -----------------------------------------------------------------------------------


def test_draws_depend_on_seed_epoch_and_batch_only():
    """The second witness: the same batches by hand, from the generators that the documentation tells."""
    loader = DataLoader(NUMBERS, 4, shuffle=True, transform=noise, seed=7, num_workers=2)
    list(loader)
    order = np.random.default_rng(np.random.SeedSequence(7, spawn_key=(1,))).permutation(10)
    for b, (x, y) in enumerate(loader):
        indices = order[4 * b : 4 * b + 4]
        draws = np.random.default_rng(np.random.SeedSequence(7, spawn_key=(1, b)))
        assert (x == indices + draws.random(len(indices), np.float32)).all()
        assert (y == 10 * indices).all()


@pytest.mark.parametrize(
    ("workers", "counts"), [("thread", [1, 2, 5]), ("process", [1, 2, 5])], ids=["threads", "processes"]
)
def test_batches_are_the_same_bits_whatever_the_workers(workers, counts):
    """Also where a data set draws from the default generator, which a batch's own stands in for."""

    def epochs(**options):
        loader = DataLoader(Noisy(), 4, shuffle=True, transform=noise, mix=pair, seed=5, **options)
        return list(loader) + list(loader)

    expected = epochs()
    assert not same(expected[:6], expected[6:])
    for count in counts:
        assert same(epochs(num_workers=count, workers=workers, persistent_workers=count > 1), expected)


# ---- ahead of need, and its end --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workers", "image"),
    [("thread", (1,)), ("process", (1,)), ("process", (100_000,))],
    ids=["thread", "process", "big"],
)
def test_batches_are_made_ahead_but_not_without_bound(workers, image, tmp_path):
    data = Written(tmp_path / "made", image)
    batches = iter(DataLoader(data, 2, num_workers=2, workers=workers, prefetch_factor=3))
    for taken in (1, 2, 3):
        next(batches)
        until = time.monotonic() + 60
        while data.made() < taken + 6 and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.05)
        assert data.made() == taken + 6
    batches.close()


def fail_in(loader):
    for x, y in loader:
        x(y)


@pytest.mark.parametrize("workers", ["thread", "process"])
def test_a_loop_that_is_left_ends_its_workers(workers, tmp_path):
    data = Written(tmp_path / "made")
    before = threading.active_count()
    loader = DataLoader(data, 1, num_workers=1, workers=workers, transform=slow, persistent_workers=True)
    for _ in loader:
        break
    with pytest.raises(TypeError):
        fail_in(loader)
    assert threading.active_count() == before
    assert multiprocessing.active_children() == []
    made = data.made()
    time.sleep(0.2)
    assert data.made() == made < 20


def test_the_last_batch_ends_the_workers():
    """Also for one who keeps the iterator, or stops asking after the last batch."""
    before = threading.active_count()
    for workers in ("thread", "process"):
        loader = DataLoader(NUMBERS, 5, num_workers=1, workers=workers)
        batches = iter(loader)
        next(batches), next(batches)
        assert threading.active_count() == before
        assert multiprocessing.active_children() == []


def test_persistent_processes_stay_until_the_loader_goes():
    loader = DataLoader(Big(), 2, num_workers=1, workers="process", persistent_workers=True)
    pids = [{int(p) for *_, batch in loader for p in batch} for _ in range(2)]
    assert pids[0] == pids[1] == {process.pid for process in multiprocessing.active_children()}
    both = list(zip(loader, loader, strict=True))
    assert len(both) == 4
    assert len(multiprocessing.active_children()) == 1
    del loader
    gc.collect()
    assert multiprocessing.active_children() == []


def test_processes_share_a_data_set_but_not_what_they_write_to_it():
    data = Big()
    batches = list(DataLoader(data, 1, num_workers=2, workers="process"))
    for i, (rows, firsts, _) in enumerate(batches):
        assert rows.flags.writeable
        assert (rows[0, 1:] == np.arange(i * 2**18 + 1, (i + 1) * 2**18)).all()
        written = range(i % 2, i + 1, 2)  # by the process that takes every other batch
        assert [j for j in range(8) if firsts[0, j] == -1] == list(written)
    assert (data.rows[:, 0] >= 0).all()


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_messages_arrive_as_they_were_sent(in_memory, shared, monkeypatch):
    if in_memory and not messages.IN_MEMORY:
        pytest.skip("this system has no anonymous files in memory")
    monkeypatch.setattr(messages, "IN_MEMORY", in_memory)
    monkeypatch.setattr(messages, "SMALL", 2**10)
    g = np.random.default_rng(0)
    arrays = [
        g.random((7, 5)),
        g.random((50, 30)).T,
        g.random((9, 9))[::2],
        np.zeros((0, 3)),
        np.float32(2),
        np.arange(3),
    ]
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        for value in (arrays, [np.arange(3)], "text", None, np.zeros(0)):
            with messages.Packed(value) as packed:
                packed.send(ours)
            got = messages.receive(theirs, shared=shared)
            if isinstance(value, list):
                assert same([got], [value])
                assert all(x.flags.writeable and x.flags.aligned for x in got if isinstance(x, np.ndarray))
            else:
                np.testing.assert_equal(got, value)


def test_processes_where_everything_goes_through_the_pipe(monkeypatch):
    monkeypatch.setattr(messages, "IN_MEMORY", False)
    data = Elsewhere()
    options = {"num_workers": 1, "workers": "process", "prefetch_factor": 3}
    for i, (rows, number) in enumerate(DataLoader(data, **options)):
        assert number == i
        assert rows.flags.writeable
        assert (rows == data.rows[i]).all()


@pytest.mark.skipif(not messages.IN_MEMORY, reason="this system has no anonymous files in memory")
def test_a_message_to_several_is_in_memory_once():
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs, messages.Packed(np.zeros(2**17)) as packed:
        packed.send(ours)
        packed.send(ours)
        a, b = (messages.receive(theirs, shared=True) for _ in range(2))
        maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if "memfd:minigrad" in line]
        assert len(maps) == 2
        assert len({inode for _, _, _, _, inode, *_ in maps}) == 1
        a[0] = 1
        assert (a[0], b[0]) == (1, 0)
        del a, b
    assert "memfd:minigrad" not in Path("/proc/self/maps").read_text()


# ---- errors of workers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("num_workers", "workers"), [(0, "thread"), (2, "thread"), (1, "process")])
def test_an_exception_reaches_the_caller(num_workers, workers):
    loader = DataLoader(Trouble("raise"), 2, num_workers=num_workers, workers=workers)
    batches = iter(loader)
    assert [next(batches)[1].tolist() for _ in range(2)] == [[0, 1], [2, 3]]  # those before it come
    with pytest.raises(KeyError, match="no such photograph") as caught:
        next(batches)
    assert "in batch 2 of epoch 0: samples 4, 5" in caught.value.__notes__
    text = "".join(caught.value.__notes__) + "".join(str(entry) for entry in caught.traceback)
    assert "loaderparts.py" in text
    assert "__getitem__" in text
    assert (workers == "process") == ("in worker process" in text)
    assert (loader.state_dict()["epoch"], loader.state_dict()["batch"]) == (0, 2)


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("raise unpicklable", RuntimeError, "TornError: photograph torn"),
        ("unpicklable", TypeError, "cannot pickle '_thread.lock' object"),
        ("kill", RuntimeError, r"worker process \d+ was killed by SIGKILL before batch 0: the system kills .* memory"),
        ("exit", RuntimeError, r"worker process \d+ ended with exit code 3 before batch 0: see its output"),
        (
            "hang",
            RuntimeError,
            r"batch 0 did not come from worker process \d+ within timeout=0.2 seconds: .* allow more",
        ),
    ],
)
def test_what_goes_wrong_in_a_process(kind, error, message):
    timeout = 0.2 if kind == "hang" else 0
    loader = DataLoader(Trouble(kind), 1, sampler=[5, 0], num_workers=1, workers="process", timeout=timeout)
    with pytest.raises(error, match=message) as caught:
        list(loader)
    if kind == "raise unpicklable":
        assert "in batch 0 of epoch 0: samples 5" in caught.value.__notes__[0]
        assert "tests.loaderparts.TornError: photograph torn" in caught.value.__notes__[0]


def test_a_process_that_is_killed_while_nobody_waits():
    loader = DataLoader(NUMBERS, 1, num_workers=1, workers="process", prefetch_factor=1)
    batches = iter(loader)
    next(batches)
    (process,) = multiprocessing.active_children()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with pytest.raises(RuntimeError, match="was killed by SIGKILL before batch"):
        list(batches)


def test_what_cannot_be_sent_to_a_process():
    loader = DataLoader(NUMBERS, 1, num_workers=1, workers="process", transform=lambda x, g: x)
    with pytest.raises(TypeError, match=r"cannot be pickled: .*lambda.*; take functions .* workers=\"thread\""):
        list(loader)
    loader = DataLoader(Unloadable(), 1, num_workers=1, workers="process")
    with pytest.raises(LookupError, match="on another disk") as caught:
        list(loader)
    assert "a worker process could not load the data set, transform or mix: " in caught.value.__notes__[0]


def run(*arguments, **options):
    environment = dict(os.environ, PYTHONPATH=str(Path(__file__).parent.parent))
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
        **options,
    )


@pytest.mark.parametrize("workers", ["thread", "process"])
@pytest.mark.parametrize("how", ["leave", "interrupt", "kill"])
def test_python_ends_with_a_loader_at_work(workers, how):
    """An iterator left open at the end, Ctrl-C, which goes to the workers too, kill -9: no hanging, no babbling."""
    with run("-m", "tests.loaderparts", workers, how) as python:
        assert python.stdout.readline() == "begun\n"
        if how == "interrupt":
            os.killpg(python.pid, signal.SIGINT)
        if how == "kill":
            python.kill()
        _, errors = python.communicate(timeout=60)  # until the last of its processes has closed its end
    if how == "interrupt":
        assert python.returncode == -signal.SIGINT
        assert errors.count("Traceback") == 1
        assert errors.endswith("KeyboardInterrupt\n")
    else:
        assert (python.returncode, errors) == (-signal.SIGKILL if how == "kill" else 0, "")


def test_a_script_without_a_guard_is_told_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from minigrad.nn.data import ArrayDataset, DataLoader\n"
        "next(iter(DataLoader(ArrayDataset(range(4)), num_workers=1, workers='process')))\n"
    )
    with run(str(script)) as python:
        _, errors = python.communicate(timeout=60)
    assert python.returncode == 1
    assert (
        "ended with exit code 1 before it could begin: see its output; a script must start its work under `if" in errors
    )


# ---- the place to go on from -----------------------------------------------------------------------------------------


def place(loader):
    state = loader.state_dict()
    return state["epoch"], state["batch"]


def test_the_state_counts_what_was_yielded():
    for num_workers in (0, 2):
        loader = DataLoader(NUMBERS, 4, shuffle=True, seed=0, num_workers=num_workers)
        assert place(loader) == (0, 0)
        places = [place(loader) for _ in loader]
        assert places == [(0, 1), (0, 2), (1, 0)]
        assert place(loader) == (1, 0)


@given(
    samples=st.integers(1, 12),
    batch_size=st.integers(1, 5),
    yielded=st.integers(0, 30),
    num_workers=st.integers(0, 3),
    seed=st.integers(0, 2**64),
)
def test_the_rest_of_an_epoch_is_the_same_bits(samples, batch_size, yielded, num_workers, seed):
    def loader(seed, num_workers=0):
        data = ArrayDataset(np.arange(samples, dtype=np.float32), np.arange(samples))
        return DataLoader(data, batch_size, shuffle=True, transform=noise, seed=seed, num_workers=num_workers)

    first = loader(seed)
    endless = itertools.chain.from_iterable(itertools.repeat(first))
    list(itertools.islice(endless, yielded))
    state = json.loads(json.dumps(first.state_dict()))
    assert place(first) == divmod(yielded, len(first))
    second = loader(seed + 1, num_workers)
    second.load_state_dict(state)
    assert second.state_dict() == state
    rest = len(first) - state["batch"]
    got = list(second)
    assert len(got) == rest
    whole = loader(seed)
    whole.set_epoch(state["epoch"])
    assert same(got, list(whole)[state["batch"] :])
    assert place(second) == (state["epoch"] + 1, 0)


def test_going_on_with_processes():
    options = {"shuffle": True, "transform": noise, "seed": 0}
    loader = DataLoader(Noisy(), 4, num_workers=1, workers="process", persistent_workers=True, **options)
    batches = iter(loader)
    list(itertools.islice(batches, 3))
    state = loader.state_dict()
    batches.close()
    loader.load_state_dict(state)
    loader.set_epoch(0)  # as a training loop does: the epoch it is in already
    assert same(list(loader), list(DataLoader(Noisy(), 4, **options))[3:])


STATE = {"seed": 0, "epoch": 2, "batch": 1, "samples": 10, "batch_size": 4, "order": 1}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (None, r"state must come from state_dict\(\), with the keys seed, epoch, batch, .*; got NoneType"),
        ({"epoch": 1}, r"with the keys seed, epoch, batch, samples, batch_size, order; got \['epoch'\]"),
        ({**STATE, "epoch": -1}, "epoch must be an integer of at least 0, got -1"),
        ({**STATE, "seed": 1.5}, "seed must be an integer of at least 0, got 1.5"),
        ({**STATE, "batch": True}, "batch must be an integer of at least 0, got True"),
        ({**STATE, "samples": 11}, "state is of another loader: its samples is 11, here it is 10"),
        ({**STATE, "batch_size": 5}, "state is of another loader: its batch_size is 5, here it is 4"),
        ({**STATE, "batch": 3}, "state is of another loader: its batch is 3, here an epoch has 3"),
        (STATE, "state is of another loader: the order of its epoch 2 is not the one here; shuffle and sampler"),
    ],
)
def test_another_state_is_refused_and_changes_nothing(state, message):
    loader = DataLoader(NUMBERS, 4, shuffle=True, seed=3)
    next(iter(loader))
    before = loader.state_dict()
    with pytest.raises(ValueError, match=message):
        loader.load_state_dict(state)
    assert loader.state_dict() == before


def test_an_order_that_does_not_come_again_is_refused():
    shuffled = DataLoader(NUMBERS, 4, shuffle=True, seed=3)
    next(iter(shuffled))
    with pytest.raises(ValueError, match="the order of its epoch 0 is not the one here"):
        DataLoader(NUMBERS, 4).load_state_dict(shuffled.state_dict())
    list(shuffled)
    assert shuffled.state_dict()["order"] is None  # between two epochs any order will do


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (TypeError, "dataset must be a minigrad.nn.data.Dataset, got list: subclass", {"dataset": [1, 2]}),
        (ValueError, "dataset must have at least one sample, got an empty one", {"dataset": ArrayDataset([])}),
        (ValueError, "batch_size must be at least 1, got 0", {"batch_size": 0}),
        (TypeError, "batch_size must be an integer, got 2.0", {"batch_size": 2.0}),
        (TypeError, "batch_size must be an integer, got None", {"batch_size": None}),
        (TypeError, "num_workers must be an integer, got True", {"num_workers": True}),
        (ValueError, "num_workers must be at least 0, got -1", {"num_workers": -1}),
        (ValueError, "prefetch_factor must be at least 1, got 0", {"prefetch_factor": 0}),
        (ValueError, "seed must be at least 0, got -1", {"seed": -1}),
        (ValueError, "workers must be 'thread' or 'process', got 'fork'", {"workers": "fork"}),
        (ValueError, "timeout must be at least 0 seconds, got -1", {"timeout": -1}),
        (ValueError, 'timeout needs workers="process" and num_workers of at least 1, .* timeout=1', {"timeout": 1}),
        (ValueError, "sampler decides the order, so shuffle must be False", {"sampler": [1], "shuffle": True}),
        (TypeError, "sampler must be numbers with a length, got generator", {"sampler": (i for i in [1])}),
        (ValueError, "sampler must give at least one sample, got an empty one", {"sampler": []}),
        (
            ValueError,
            "drop_last leaves no batch at all: there are 10 samples, fewer than batch_size=11",
            {"batch_size": 11, "drop_last": True},
        ),
    ],
)
def test_options_that_are_refused(error, message, options):
    with pytest.raises(error, match=message):
        DataLoader(**{"dataset": NUMBERS, **options})


class Lies(Evens):
    def __len__(self):
        return 6


@pytest.mark.parametrize(
    ("error", "message", "sampler"),
    [
        (IndexError, "sampler must give numbers from 0 to 9, got 10", [3, 10]),
        (IndexError, "sampler must give numbers from 0 to 9, got -1", [-1]),
        (ValueError, r"sampler must give as many integers as its length, 1, got float64 \(1,\)", [0.5]),
        (ValueError, r"sampler must give as many integers as its length, 6, got int64 \(5,\)", Lies()),
    ],
)
def test_orders_that_are_refused(error, message, sampler):
    with pytest.raises(error, match=message):
        next(iter(DataLoader(NUMBERS, sampler=sampler)))


@pytest.mark.parametrize(
    ("message", "make"),
    [
        ("data_source must have at least one sample", lambda: RandomSampler([])),
        ("num_samples must be at least 1, got 0", lambda: RandomSampler([1], num_samples=0)),
        ("num_samples must be at least 1, got 0", lambda: WeightedRandomSampler([1], 0)),
        (
            "num_samples must be at least 1 and at most the 1 samples of weights above 0, got 2",
            lambda: WeightedRandomSampler([1, 0], 2, replacement=False),
        ),
        (r"weights must be one row of finite numbers .* got \[0.0, 0.0\]", lambda: WeightedRandomSampler([0, 0], 1)),
        (r"weights must be .* got \[-1.0, 2.0\]", lambda: WeightedRandomSampler([-1, 2], 1)),
        (r"weights must be .* got \[nan\]", lambda: WeightedRandomSampler([np.nan], 1)),
        (r"weights must be .* got \[\[1.0\]\]", lambda: WeightedRandomSampler([[1]], 1)),
    ],
)
def test_samplers_that_are_refused(message, make):
    with pytest.raises(ValueError, match=message):
        make()
