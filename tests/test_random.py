"""Random numbers: seeds, states, generators of one's own."""

from __future__ import annotations

import json
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
    with pytest.raises(ValueError, match="permutation needs an n of at least 0, got -1"):
        mg.permutation(-1)
    with pytest.raises(ValueError, match="seed must be an integer of at least 0, got -1"):
        mg.manual_seed(-1)


def test_a_bad_state_changes_nothing() -> None:
    state = mg.get_rng_state()
    bad = {**state, "cuda": {"bit_generator": "MT19937"}}
    with pytest.raises(ValueError, match=r"got dict: pass what it returned, with the keys cpu, cuda"):
        mg.set_rng_state(bad)
    assert mg.get_rng_state() == state


def test_each_device_has_a_generator_of_its_own_and_one_seed_for_all() -> None:
    here, there = (mg.random.default_generator(d) for d in ("cpu", "cuda"))
    assert mg.manual_seed(3) is here
    first = here.random(2).tolist(), there.random(2).tolist()
    assert first[0] != first[1]
    mg.manual_seed(3)
    there.random(5)
    assert here.random(2).tolist() == first[0] == np.random.default_rng(3).random(2).tolist()


def test_the_state_survives_json() -> None:
    state = json.loads(json.dumps(mg.get_rng_state()))
    first = mg.rand(3).tolist()
    mg.set_rng_state(state)
    assert mg.rand(3).tolist() == first
