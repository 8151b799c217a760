"""The search for a learning rate, on a problem whose answer is known, and that it leaves no trace."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn.train import Trainer, find_lr
from tests.test_train_trainer import make, same


def test_it_leaves_no_trace():
    trainer, train, _ = make()
    trainer.fit(train, epochs=1)
    before = trainer.state_dict()
    curve = find_lr(trainer, train, steps=20)
    state = trainer.state_dict()
    same({k: v for k, v in state.items() if k != "loader"}, {k: v for k, v in before.items() if k != "loader"})
    assert all(p.grad is None for p in trainer.model.parameters())
    assert len(curve.lrs) == len(curve.losses) <= 20
    assert curve.suggestion in curve.lrs


def test_the_rates_grow_by_a_factor_and_the_loss_is_smoothed():
    mg.manual_seed(0)
    model = nn.Linear(2, 2)
    x, y = np.random.default_rng(0).normal(size=(16, 2)).astype("float32"), np.arange(16) % 2
    trainer = Trainer(model, nn.optim.SGD(model.parameters(), lr=0.1))
    curve = find_lr(trainer, [(x, y)], start=1e-12, end=1e-10, steps=5, smoothing=0.9)  # too small to change the loss
    np.testing.assert_allclose(curve.lrs, [1e-12, 10**-11.5, 1e-11, 10**-10.5, 1e-10])
    np.testing.assert_allclose(curve.losses, trainer.evaluate([(x, y)]).loss, rtol=1e-6)


def test_the_suggestion_lies_where_gradient_descent_is_stable():
    """Of a quadratic with curvature 1, steps above 2 diverge."""
    model = nn.Linear(1, 1, bias=False)
    model.load_state_dict({"weight": [[5.0]]})
    trainer = Trainer(
        model,
        nn.optim.SGD(model.parameters(), lr=1.0),
        lambda out, _: (out * out).sum() / 2,
        to_scores=lambda out: mg.concatenate([out, -out], axis=1),
    )
    curve = find_lr(
        trainer, [(np.ones((1, 1), "float32"), np.array([0]))], start=1e-3, end=100, steps=60, smoothing=0.0
    )
    assert 0.01 < curve.suggestion < 2
    assert curve.lrs[-1] < 100  # it ended early
    assert curve.losses[-1] > 4 * min(curve.losses)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 0.0}, "start must be positive, got 0.0"),
        ({"start": 1.0, "end": 0.5}, "end must be above start, 1, got 0.5"),
        ({"steps": 2}, "steps must be at least 3, got 2"),
        ({"smoothing": 1.0}, "smoothing must be at least 0 and below 1, got 1.0"),
        ({"start": 1e30, "end": 1e31}, r"the loss diverges at once, at a learning rate of 1e\+30"),
    ],
)
def test_bad_arguments(options: dict, message: str):
    trainer, train, _ = make(clip_norm=None)
    with pytest.raises(ValueError, match=message):
        find_lr(trainer, train, **options)


def test_the_first_epoch_is_the_same_after_it():
    trainer, train, _ = make()
    trainer.fit(train)
    searched, train, _ = make()
    find_lr(searched, train, steps=10)
    searched.fit(train)
    same(searched.state_dict(), trainer.state_dict())


@pytest.mark.parametrize("batches", [[], iter([(np.zeros((2, 1, 8, 8), "float32"), np.array([0, 1]))])])
def test_batches_that_end(batches: object):
    trainer, _, _ = make()
    with pytest.raises(ValueError, match="batches must give batches from the start again: pass a loader or a list"):
        find_lr(trainer, batches)  # type: ignore[arg-type]
