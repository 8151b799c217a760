"""The trainer, against the loop written out, against itself after a stop, and against what its errors promise."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn
from minigrad.nn.data import ArrayDataset, DataLoader
from minigrad.nn.train import Callback, Checkpoints, DivergedError, EarlyStopping, Trainer
from minigrad.nn.train.interrupt import Interrupt


def blobs(n: int = 96, classes: int = 3, size: int = 8, seed: int = 0) -> ArrayDataset:
    """Images whose mean tells the class, with noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    images = rng.normal(size=(n, 1, size, size)) + labels[:, None, None, None]
    return ArrayDataset(images.astype(np.float32), labels, classes=[f"class {i}" for i in range(classes)])


def small_net() -> nn.Module:
    """A little of everything that has a state: batch norm, and dropout from two generators."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Dropout(0.2, generator=np.random.default_rng(5)),
        nn.Linear(4 * 36, 3),
    )


def make(folder: Path | None = None, seed: int = 0, **options: Any) -> tuple[Trainer, DataLoader, DataLoader]:
    """A trainer with everything that has a state, and its loaders."""
    mg.manual_seed(seed)
    model = small_net()
    optimizer = nn.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    given: dict[str, Any] = {
        "schedule": nn.schedule.CosineAnnealingLR(optimizer, T_max=24),
        "schedule_per": "step",
        "average": nn.averaging.EMA(model, 0.9),
        "callbacks": [EarlyStopping("train_loss", patience=9)],
        "clip_norm": 5.0,
    } | options
    if folder is not None:
        given["checkpoints"] = Checkpoints(folder)
        given["callbacks"] = [*given["callbacks"], nn.train.RunLog(folder)]
    trainer = Trainer(model, optimizer, **given)
    mix = nn.data.transforms.MixUp(alpha=0.2, num_classes=3)
    return trainer, DataLoader(blobs(), 16, shuffle=True, mix=mix), DataLoader(blobs(30, seed=1), 15)


def same(a: Any, b: Any, path: str = "") -> None:
    """Equal, bit for bit, all the way down; times excepted."""
    if isinstance(a, dict):
        assert list(a) == list(b), path
        for key in a:
            if key not in ("seconds", "images_per_second"):
                same(a[key], b[key], f"{path}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, f"{path}[{i}]")
    elif isinstance(a, (mg.Tensor, np.ndarray)):
        x, y = (np.asarray(v.detach() if isinstance(v, mg.Tensor) else v) for v in (a, b))
        assert x.dtype == y.dtype, path
        assert x.tobytes() == y.tobytes(), path
    else:
        assert a == b or (a != a and b != b), f"{path}: {a} and {b}"


# ---- the loop -------------------------------------------------------------------------------------------------------


def test_it_is_the_loop_that_everyone_writes():
    data = blobs()
    mg.manual_seed(3)
    model = small_net().eval()  # no dropout: the loop below calls the model in another order
    twin = small_net().eval()
    twin.load_state_dict(model.state_dict())
    model.train = twin.train = lambda mode=True: model  # type: ignore[method-assign]
    optimizer = nn.optim.Adam(twin.parameters(), lr=0.01)
    trainer = Trainer(model, nn.optim.Adam(model.parameters(), lr=0.01))
    rows = trainer.fit(DataLoader(data, 20, shuffle=True, seed=1), epochs=2)
    loader = DataLoader(data, 20, shuffle=True, seed=1)
    for row in rows:
        losses, hits = [], 0
        for images, labels in loader:
            logits = twin(images)
            loss = mg.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses += [loss.item()] * len(images)
            hits += (logits.detach().numpy().argmax(axis=1) == labels).sum()
        assert row["train_loss"] == pytest.approx(np.mean(losses), rel=1e-12)
        assert row["train_top1"] == hits / len(data)
        assert row["grad_norms"] == nn.utils.grad_norms(twin)
    same(model.state_dict(), twin.state_dict())
    assert [row["step"] for row in rows] == [5, 10]
    assert all(p.grad is None for p in model.parameters())


def test_it_learns():
    trainer, train, test = make()
    rows = trainer.fit(train, test, epochs=8)
    assert rows[-1]["val_top1"] > 0.9 > rows[0]["train_top1"]
    assert rows is trainer.history
    assert trainer.evaluate(test).top1 == rows[-1]["val_top1"]
    images, labels = blobs(30, seed=1).arrays
    assert (trainer.predict(images).argmax(axis=1) == labels).mean() == rows[-1]["val_top1"]


@pytest.mark.parametrize("sizes", [(16, 16), (20, 12)])
def test_accumulated_batches_are_one_large_batch(sizes: tuple[int, int]):
    data = blobs(32)
    x, y = data.arrays[0].astype(np.float64), data.arrays[1]
    states = []
    for batches, accumulate in (
        ([(x, y)], 1),
        ([(x[: sizes[0]], y[: sizes[0]]), (x[sizes[0] :], y[sizes[0] :])], 2),
        ([(x[: sizes[0]], y[: sizes[0]]), (x[sizes[0] :], y[sizes[0] :])], 3),  # the rest of an epoch is a step too
    ):
        mg.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).to("float64")
        optimizer = nn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        rows = Trainer(model, optimizer, accumulate=accumulate, clip_norm=1.0).fit(batches, epochs=3)
        assert rows[-1]["step"] == 3
        states.append(model.state_dict())
    for state in states[1:]:
        for name, value in state.items():
            np.testing.assert_allclose(value.numpy(), states[0][name].numpy(), rtol=1e-12, atol=1e-14)


def test_clipping():
    norms: list[float] = []

    class Watch(Callback):
        def on_step_end(self, trainer: Trainer, row: dict) -> None:
            norms.append(float(np.sqrt(sum(v**2 for v in nn.utils.grad_norms(trainer.model).values()))))
            assert row["grad_norm"] >= norms[-1] * (1 - 1e-5)
            assert max(abs(p.grad).max().item() for p in trainer.model.parameters()) <= 0.01

    trainer, train, _ = make(clip_norm=0.05, clip_value=0.01, callbacks=[Watch()])
    trainer.fit(train, epochs=1)
    assert len(norms) == 6
    assert max(norms) < 0.0501


@pytest.mark.parametrize(("per", "expected"), [("epoch", [0.1, 0.01]), ("step", [0.1 * 0.1**5, 0.1 * 0.1**11])])
def test_a_schedule_steps_once_an_epoch_or_once_a_step(per: str, expected: list[float]):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    optimizer = nn.optim.SGD(model.parameters(), lr=0.1)
    schedule = nn.schedule.ExponentialLR(optimizer, gamma=0.1)
    rows = Trainer(model, optimizer, schedule=schedule, schedule_per=per).fit(DataLoader(blobs(), 16), epochs=2)
    assert [row["lr"] for row in rows] == pytest.approx(expected)


def test_a_plateau_looks_at_its_metric():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    optimizer = nn.optim.SGD(model.parameters(), lr=1e-12)  # nothing improves
    schedule = nn.schedule.ReduceLROnPlateau(optimizer, patience=0, factor=0.5, eps=0)
    trainer = Trainer(model, optimizer, schedule=schedule)
    rows = trainer.fit(DataLoader(blobs(), 16), DataLoader(blobs(), 16), epochs=3)
    assert [row["lr"] for row in rows] == [1e-12, 1e-12, 5e-13]
    trainer.monitor = "val_top9"
    with pytest.raises(ValueError, match=r"monitor must be one of lr, train_loss, .*val_top5.*got 'val_top9'"):
        trainer.fit(DataLoader(blobs(), 16), DataLoader(blobs(), 16), epochs=4)


def test_without_validation_a_metric_of_it_is_not_there():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    trainer = Trainer(model, nn.optim.SGD(model.parameters(), lr=0.1), callbacks=[EarlyStopping()])
    with pytest.raises(ValueError, match=r"got 'val_loss' \(a validation set gives val_loss"):
        trainer.fit(DataLoader(blobs(), 16))


def test_auxiliary_heads_count_as_much_as_is_said():
    """The gradient of (main + 0.3 aux2 + 0.3 aux1), GoogLeNet's loss."""
    mg.manual_seed(0)
    net = models.googlenet(num_classes=3, width=0.125, dropout=0.0, dropout_aux=0.0, in_channels=1)
    twin = models.googlenet(num_classes=3, width=0.125, dropout=0.0, dropout_aux=0.0, in_channels=1)
    twin.load_state_dict(net.state_dict())
    data = blobs(8, size=32)
    images, labels = data.arrays
    row = Trainer(net, nn.optim.SGD(net.parameters(), lr=0.1)).fit([(images, labels)])[0]
    out = twin(images)
    loss = mg.cross_entropy(out[0], labels) + sum(mg.cross_entropy(o, labels) * 0.3 for o in out[1:])
    loss.backward()
    assert row["train_loss"] == pytest.approx(loss.item(), rel=1e-6)
    for name, norm in nn.utils.grad_norms(twin).items():
        assert row["grad_norms"][name] == pytest.approx(norm, rel=1e-5)


def test_penalties_are_scored_by_the_least():
    net = models.lenet5_1998()
    images, labels = np.zeros((4, 1, 32, 32), np.float32), np.array([1, 2, 3, 4])
    trainer = Trainer(net, nn.optim.SGD(net.parameters(), lr=0.1), nn.LeNetMSELoss(), to_scores=lambda p: -p)
    metrics = trainer.evaluate([(images, labels)])
    best = net.predict(mg.tensor(images)).numpy()
    assert metrics.top1 == (best == labels).mean()
    assert trainer.predict(images).argmax(axis=1).tolist() == best.tolist()


def test_several_views_are_judged_by_their_mean_probability():
    trainer, _, _ = make()
    views = np.random.default_rng(0).normal(size=(5, 10, 1, 8, 8)).astype(np.float32)
    labels = np.array([0, 1, 2, 0, 1])
    each = np.stack([trainer.predict(views[:, i]) for i in range(10)], axis=1).astype(np.float64)
    np.testing.assert_allclose(trainer.predict(views), each.mean(axis=1), rtol=1e-5)
    expected = -np.log(each.mean(axis=1)[np.arange(5), labels]).mean()
    assert trainer.evaluate([(views, labels)]).loss == pytest.approx(expected, rel=1e-6)


def test_evaluation_uses_the_average_and_leaves_no_trace():
    trainer, train, test = make()
    trainer.fit(train, epochs=1)
    before = trainer.state_dict()
    trainer.model[3].eval()  # a frozen part stays frozen
    metrics = trainer.evaluate(test)
    assert [m.training for m in trainer.model] == [True, True, True, False, True, True, True]
    trainer.model[3].train()
    same(trainer.state_dict(), before)
    trainer.model.load_state_dict(trainer.average.average)  # type: ignore[union-attr]
    trainer.average = None
    assert trainer.evaluate(test).loss == metrics.loss


def test_a_loss_that_is_no_number_ends_the_training():
    trainer, _, _ = make(clip_norm=None)
    before = trainer.model.state_dict()
    with pytest.raises(DivergedError, match=r"the loss is nan in step 1, epoch 1: lower the learning rate \(0.05\)"):
        trainer.fit([(np.full((2, 1, 8, 8), np.nan, np.float32), [0, 1])])
    same(
        {k: v for k, v in trainer.model.state_dict().items() if "weight" in k},
        {k: v for k, v in before.items() if "weight" in k},
    )


def test_early_stopping():
    class Losses(Callback):
        values = iter([3.0, 2.0, 2.5, float("nan"), 1.9, 2.0, 2.0, 2.0])

        def on_epoch_end(self, trainer: Trainer, row: dict) -> None:
            row["val_loss"] = next(self.values)

    stopping = EarlyStopping(patience=3)
    trainer, train, _ = make(callbacks=[Losses(), stopping])
    rows = trainer.fit(train, epochs=100)
    assert len(rows) == 8
    assert (stopping.best, stopping.best_epoch) == (1.9, 5)
    assert len(trainer.fit(train, epochs=100)) == 8  # going on does not train one epoch more
    with pytest.raises(ValueError, match="patience must be a positive integer, got 0"):
        EarlyStopping(patience=0)


def test_in_float16_it_learns_as_well():
    trainer, train, test = make(autocast="float16")
    assert trainer.fit(train, test, epochs=8)[-1]["val_top1"] > 0.9
    assert all(p.dtype == np.float32 for p in trainer.model.parameters())


# ---- stopping and going on ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2])
def test_2k_epochs_are_k_epochs_a_restart_and_k_epochs(tmp_path: Path, k: int):
    whole, train, test = make(tmp_path / "whole")
    whole.fit(train, test, epochs=2 * k)
    first, train, test = make(tmp_path / "parts")
    first.fit(train, test, epochs=k)
    second, train, test = make(tmp_path / "parts", seed=99)  # other weights, other random numbers: all is loaded
    assert second.resume()
    assert second.epoch == k
    second.fit(train, test, epochs=2 * k)
    same(second.state_dict(), whole.state_dict())
    logs = [nn.train.read_log(tmp_path / name / "log.jsonl") for name in ("whole", "parts")]
    same(*logs)


class Stop(Callback):
    """Send a signal after a step."""

    def __init__(self, step: int, number: signal.Signals = signal.SIGINT):
        self.step, self.number = step, number

    def on_step_end(self, trainer: Trainer, row: dict) -> None:
        if row["step"] == self.step:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize(("step", "number"), [(1, signal.SIGINT), (8, signal.SIGTERM), (12, signal.SIGINT)])
def test_ctrl_c_saves_and_goes_on_in_the_middle_of_an_epoch(tmp_path: Path, step: int, number: signal.Signals):
    """Also after the last step of an epoch, 12, where the epoch is finished first; and in the same process."""
    whole, train, test = make(callbacks=[Stop(-1)])
    whole.fit(train, test, epochs=3)
    for again in (True, False):
        stopped, train, test = make(tmp_path / str(again), callbacks=[Stop(step, number)])
        handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
        with pytest.raises(KeyboardInterrupt):
            stopped.fit(train, test, epochs=3)
        assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
        assert (stopped.step, stopped.epoch) == (step, step // 6)
        stopped.callbacks[0] = Stop(-1)
        resumed = stopped
        if again:
            resumed, train, test = make(tmp_path / str(again), seed=7, callbacks=[Stop(-1)])
            assert resumed.resume()
        resumed.fit(train, test, epochs=3)
        resumed.callbacks.pop()  # the log, which the other has not
        same(resumed.state_dict(), whole.state_dict())


def test_a_second_ctrl_c_does_not_wait():
    class Twice(Callback):
        def on_step_end(self, trainer: Trainer, row: dict) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("the second one must raise at once")

    trainer, train, _ = make(callbacks=[Twice()])
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(train)


def test_plain_lists_cannot_go_on_in_the_middle(tmp_path: Path):
    trainer, train, _ = make(tmp_path, callbacks=[Stop(2)])
    batches = list(train)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(batches)
    assert Checkpoints(tmp_path).latest() is None  # nothing to go on from was written
    with pytest.raises(ValueError, match="train must be a DataLoader to go on in the middle of epoch 1, got list"):
        trainer.fit(batches)


def test_it_runs_in_a_thread_where_signals_do_not_come():
    trainer, train, _ = make()
    thread = threading.Thread(target=trainer.fit, args=(train,))
    thread.start()
    thread.join()
    assert trainer.epoch == 1


def test_nothing_to_resume():
    trainer, _, _ = make()
    assert not trainer.resume()


def test_a_state_of_other_parts_is_refused_and_changes_nothing(tmp_path: Path):
    trainer, train, _ = make(tmp_path)
    trainer.fit(train)
    state = trainer.state_dict()
    for options, message in (
        ({"schedule": None}, "the state was saved with a schedule"),
        ({"average": None}, "the state was saved with a average"),
        ({"callbacks": []}, r"the state was saved with the callbacks \['EarlyStopping', 'RunLog'\], the trainer has"),
    ):
        other, _, _ = make(**options)
        before = other.state_dict()
        with pytest.raises(ValueError, match=message):
            other.load_state_dict(state)
        same(other.state_dict(), before)
    other, _, _ = make(tmp_path)
    before = other.state_dict()
    for key in ("model", "optimizer", "average", "random"):
        with pytest.raises((ValueError, KeyError, TypeError)):
            other.load_state_dict({**state, key: {"nonsense": 1}})
        same(other.state_dict(), before)
    with pytest.raises(ValueError, match="state must be a trainer's of version 1, got version None"):
        other.load_state_dict({})


def test_a_checkpoint_of_another_model_says_where_it_is(tmp_path: Path):
    trainer, train, _ = make(tmp_path)
    trainer.fit(train)
    model = nn.Linear(2, 2)
    other = Trainer(model, nn.optim.SGD(model.parameters(), lr=1), checkpoints=Checkpoints(tmp_path))
    with pytest.raises(ValueError, match="the state was saved with") as caught:
        other.resume()
    assert f"while resuming from {tmp_path}" in caught.value.__notes__[-1]


# ---- what goes wrong quietly ----------------------------------------------------------------------------------------


class Boom(Callback):
    """Raise once, after a step or an epoch."""

    def __init__(self, step: int = -1, epoch: int = -1):
        self.step, self.epoch = step, epoch

    def on_step_end(self, trainer: Trainer, row: dict) -> None:
        if row["step"] == self.step:
            self.step = -1
            raise RuntimeError("boom")

    def on_epoch_end(self, trainer: Trainer, row: dict) -> None:
        if row["epoch"] == self.epoch:
            self.epoch = -1
            raise RuntimeError("boom")


@pytest.mark.parametrize("where", [{"step": 8}, {"step": 12}, {"epoch": 2}])
def test_a_callback_that_raises_costs_no_step_and_no_row(where: dict[str, int]):
    """12 is the last step of an epoch: the loader stands at the next one."""
    whole, train, test = make(callbacks=[Boom()])
    whole.fit(train, test, epochs=3)
    broken, train, test = make(callbacks=[Boom(**where)])
    with pytest.raises(RuntimeError, match="boom"):
        broken.fit(train, test, epochs=3)
    broken.fit(train, test, epochs=3)
    same(broken.state_dict(), whole.state_dict())


class Keep(Callback):
    """Take the state at a moment."""

    def __init__(self, event: str, step: int):
        self.kept: Any = None

        def take(trainer: Trainer, *row: Any) -> None:
            if trainer.step == step:
                self.kept = trainer.state_dict()

        setattr(self, event, take)


@pytest.mark.parametrize(("event", "step"), [("on_step_end", 6), ("on_epoch_start", 6), ("on_epoch_start", 0)])
def test_a_state_of_the_edge_of_an_epoch_goes_on_from_there(event: str, step: int):
    keep = Keep(event, step)
    whole, train, test = make(callbacks=[keep])
    whole.fit(train, test, epochs=3)
    again, train, test = make(callbacks=[Keep("on_fit_start", -1)])
    again.load_state_dict(keep.kept)
    again.fit(train, test, epochs=3)
    for trainer in (whole, again):
        for row in trainer.history:
            row["grad_norms"] = {}  # the gradients of the last step are no part of a state
    if step:
        same(again.state_dict(), whole.state_dict())
    else:  # nothing was drawn yet: the loader is that of the new process
        assert [row["step"] for row in again.history] == [6, 12, 18]


def test_a_shuffled_validation_goes_on_as_if_not_interrupted(tmp_path: Path):
    whole, train, _ = make(callbacks=[])
    whole.fit(train, DataLoader(blobs(30, seed=1), 7, shuffle=True, seed=3), epochs=3)
    first, train, _ = make(tmp_path, callbacks=[])
    first.fit(train, DataLoader(blobs(30, seed=1), 7, shuffle=True, seed=3), epochs=1)
    second, train, _ = make(tmp_path, callbacks=[])
    assert second.resume()
    second.fit(train, DataLoader(blobs(30, seed=1), 7, shuffle=True, seed=3), epochs=3)
    same(second.history, whole.history)


def test_a_loader_that_does_not_fit_changes_nothing():
    trainer, train, _ = make(callbacks=[Boom(step=2)])
    with pytest.raises(RuntimeError):
        trainer.fit(train)
    other = DataLoader(blobs(), 4)
    before = trainer.state_dict()
    with pytest.raises(ValueError, match="state is of another loader: its batch_size is 16, here it is 4"):
        trainer.fit(other)
    same(trainer.state_dict(), before)


def test_numbers_that_callbacks_add_may_be_of_any_kind(tmp_path: Path):
    class Add(Callback):
        def on_epoch_end(self, trainer: Trainer, row: dict) -> None:
            row |= {"f1": np.float32(0.5), "errors": 7, "right": np.int64(9)}

    trainer, train, _ = make(tmp_path, callbacks=[Add()])
    trainer.fit(train)
    expected = {"f1": 0.5, "errors": 7, "right": 9}
    assert expected.items() <= nn.train.read_log(tmp_path / "log.jsonl")[-1].items()
    assert expected.items() <= trainer.checkpoints.metrics()[6].items()  # type: ignore[union-attr]


def test_parameters_that_are_not_trained_do_not_count_in_the_clipping():
    """Their gradients, which nobody resets, would grow from step to step, and shrink the others."""
    images, labels = blobs(16).arrays
    weights = []
    for frozen in (False, True):
        mg.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Linear(8, 3))
        model[1].requires_grad_(not frozen)
        trainer = Trainer(model, nn.optim.SGD(model[2].parameters(), lr=0.1), clip_norm=0.1, accumulate=2)
        trainer.fit([(images, labels)] * 6)
        weights.append(model[2].weight.detach().numpy())
    assert weights[0].tobytes() == weights[1].tobytes()


class Kink(nn.Module):
    """Whose loss is a number, and whose gradient is none: that of a root in 0."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 3)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        z = self.linear(x.reshape(-1, 64))
        return z + mg.sqrt(z * 0)


def test_a_gradient_that_is_no_number_ends_the_training_before_the_step():
    model = Kink()
    before = model.state_dict()
    trainer = Trainer(model, nn.optim.SGD(model.parameters(), lr=0.1), clip_norm=1.0)
    with pytest.raises(DivergedError, match="the norm of the gradients is nan in step 1, epoch 1: lower the learning"):
        trainer.fit([blobs(8).arrays])
    same(model.state_dict(), before)


def test_steps_that_float16_leaves_out_for_ever_end_the_training():
    model = Kink()
    before = model.state_dict()
    trainer = Trainer(model, nn.optim.SGD(model.parameters(), lr=0.1), autocast="float16", accumulate=2)
    with pytest.raises(DivergedError, match="the gradients overflow at any scale in step 41, epoch 1"):
        trainer.fit([blobs(8).arrays] * 300)
    same(model.state_dict(), before)


def test_many_views_of_which_none_is_likely():
    """The logarithm of a mean of probabilities that are all 0 in float32."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    model.load_state_dict({"1.weight": [[0.0] * 4, [100.0] * 4]})
    trainer = Trainer(model, nn.optim.SGD(model.parameters(), lr=0.1))
    views = np.ones((1, 3, 1, 2, 2), np.float32)
    for labels in (np.array([0]), np.array([[1.0, 0.0]], np.float32)):
        assert trainer.evaluate([(views, labels)]).loss == 400


def test_a_criterion_that_learns_is_part_of_the_state(tmp_path: Path):
    class Warm(nn.Module):
        """Cross entropy at a temperature that is learned."""

        def __init__(self) -> None:
            super().__init__()
            self.heat = nn.Parameter([1.0])

        def forward(self, x: mg.Tensor, labels: mg.Tensor) -> mg.Tensor:
            return mg.cross_entropy(x * self.heat, labels)

    def warm() -> Trainer:
        mg.manual_seed(0)
        model, criterion = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), Warm()
        optimizer = nn.optim.SGD([*model.parameters(), *criterion.parameters()], lr=0.1)
        return Trainer(model, optimizer, criterion, checkpoints=Checkpoints(tmp_path), accumulate=2)

    trainer = warm()
    trainer.fit([blobs(16).arrays] * 4)
    again = warm()
    assert again.resume()
    same(again.criterion.state_dict(), trainer.criterion.state_dict())  # type: ignore[attr-defined]
    assert again.criterion.heat.item() != 1  # type: ignore[attr-defined]
    again.criterion = mg.cross_entropy
    with pytest.raises(ValueError, match="the state was saved with another kind of criterion"):
        again.resume()


def test_the_generator_of_a_layer_is_saved_whatever_its_name():
    class Noise(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rng = np.random.default_rng(3)

    model = nn.Sequential(Noise(), nn.Linear(2, 2))
    trainer = Trainer(model, nn.optim.SGD(model.parameters(), lr=1.0))
    state = trainer.state_dict()
    expected = model[0].rng.normal()
    trainer.load_state_dict(state)
    assert model[0].rng.normal() == expected


def test_a_signal_is_never_lost():
    with pytest.raises(KeyboardInterrupt), Interrupt():
        os.kill(os.getpid(), signal.SIGTERM)


# ---- bad input ------------------------------------------------------------------------------------------------------


def test_parts_that_do_not_belong_together():
    model, other = nn.Linear(2, 2), nn.Linear(2, 2)
    optimizer, foreign = (nn.optim.SGD(m.parameters(), lr=1.0) for m in (model, other))
    with pytest.raises(ValueError, match="optimizer must be of the model's parameters, it has none of them"):
        Trainer(model, foreign)
    with pytest.raises(ValueError, match="schedule must be of the optimizer that is given, it is of another one"):
        Trainer(model, optimizer, schedule=nn.schedule.StepLR(foreign, 1))


def test_bad_arguments():
    model = nn.Linear(2, 2)
    optimizer = nn.optim.SGD(model.parameters(), lr=1.0)
    for arguments, options, message in (
        ((3, optimizer), {}, "model must be a Module, got int"),
        ((model, model), {}, "optimizer must be an Optimizer, got Linear"),
        (
            (model, nn.optim.LBFGS(model.parameters())),
            {},
            "optimizer must take one gradient a step, LBFGS asks for many",
        ),
        ((model, optimizer), {"schedule_per": "batch"}, "schedule_per must be 'epoch' or 'step', got 'batch'"),
        ((model, optimizer), {"accumulate": 0}, "accumulate must be a positive integer, got 0"),
        ((model, optimizer), {"clip_norm": 0}, "clip_norm must be positive, got 0"),
        ((model, optimizer), {"clip_value": -1}, "clip_value must be positive, got -1"),
        ((model, optimizer), {"autocast": "int8"}, "autocast must be None or 'float16', got 'int8'"),
        ((model, optimizer), {"aux_weight": -0.3}, "aux_weight must be at least 0, got -0.3"),
        ((model, optimizer), {"accumulate": True}, "accumulate must be a positive integer, got True"),
        ((model, optimizer), {"save_every": 1.5}, "save_every must be a positive integer, got 1.5"),
        ((model, optimizer, "mse"), {}, r"criterion must be a function of \(output, labels\) .*, got 'mse'"),
        ((model, optimizer), {"callbacks": EarlyStopping()}, r"callbacks must be a list, got one EarlyStopping"),
        ((model, optimizer), {"callbacks": [3]}, "callbacks must be minigrad.nn.train.Callback, got 3"),
        ((model, optimizer), {"checkpoints": "run"}, r"checkpoints must be Checkpoints\(folder\), got 'run'"),
        ((model, optimizer), {"log_every": 0}, "log_every must be a positive integer, got 0"),
        (
            (model, optimizer),
            {"schedule": nn.schedule.ReduceLROnPlateau(optimizer), "schedule_per": "step"},
            "schedule_per must be 'epoch' for ReduceLROnPlateau",
        ),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            Trainer(*arguments, **options)
    trainer = Trainer(model, optimizer)
    x = np.zeros((4, 2), "float32")
    for batches in (model, x, mg.tensor(x), nn.data.ArrayDataset(x, np.zeros(4, int))):
        got = f"got {type(batches).__name__}"
        for name in ("train", "validation"):
            with pytest.raises(TypeError, match=f"{name} must be batches of .images, labels., .* DataLoader, {got}"):
                trainer.fit(**{"train": [], name: batches})
    with pytest.raises(ValueError, match="train has no batches: a generator can be used up only once"):
        trainer.fit([])
    with pytest.raises(ValueError, match="batches is empty"):
        trainer.evaluate([])
