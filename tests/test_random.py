"""Random numbers: seeds, states, generators of one's own."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import minigrad as mg


def test_same_seed_same_bits() -> None:
    draws = []
    for _ in range(2):
        mg.manual_seed(7)
        draws.append([mg.rand(3), mg.randn((2, 2)), mg.randint(0, 9, (4,)), mg.permutation(5)])
    for a, b in zip(*draws, strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()


def test_the_state_is_plain_data_and_restores_all() -> None:
    state = pickle.loads(pickle.dumps(mg.get_rng_state()))
    first = mg.rand(4).tolist(), mg.permutation(4).tolist()
    mg.set_rng_state(state)
    assert (mg.rand(4).tolist(), mg.permutation(4).tolist()) == first
    with pytest.raises(ValueError, match=r"state must come from get_rng_state\(\), got int"):
        mg.set_rng_state(3)
    with pytest.raises(ValueError, match="got dict"):
        mg.set_rng_state({"gpu": state["cpu"]})


def test_a_generator_of_ones_own_leaves_the_default_alone() -> None:
    state = mg.get_rng_state()
    mine = np.random.default_rng(1)
    mg.rand(3, generator=mine), mg.randn(3, generator=mine), mg.randint(0, 2, 3, generator=mine)
    mg.permutation(3, generator=mine)
    assert mg.get_rng_state() == state


def test_ranges_shapes_and_dtypes() -> None:
    drawn = mg.randint(-2, 3, (1000,), dtype="int32")
    assert set(drawn.tolist()) == {-2, -1, 0, 1, 2}
    assert drawn.dtype == np.int32
    assert sorted(mg.permutation(6).tolist()) == list(range(6))
    assert mg.rand().shape == ()
    assert mg.randn(2, 3, requires_grad=True).requires_grad
    with pytest.raises(ValueError, match="low must be below high, got low=3 and high=3"):
        mg.randint(3, 3, 2)
