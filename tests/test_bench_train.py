"""`bench/train.py` runs, and finds out when the two frameworks do not compute the same."""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.parity

SCRIPT = Path(__file__).parent.parent / "bench" / "train.py"


@pytest.fixture(scope="module")
def train() -> Any:
    """The script as a module; the harness lies beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPT.parent))
        spec = importlib.util.spec_from_file_location("bench_train", SCRIPT)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module


def run(*arguments: str) -> str:
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_quick_run_measures_and_writes_nothing() -> None:
    results = SCRIPT.parent / "results" / "train.json"
    before = results.read_bytes() if results.exists() else None
    out = run("--quick", "--only", "lenet5", "resnet18", "--threads", "1")
    table, there, others = out.partition("the losses of the first 3 steps differ by at most")
    assert there
    for part in (table, others):  # of others where one of them is installed
        rows = {line.split()[0]: line.split() for line in part.splitlines() if line.startswith(("lenet5", "resnet18"))}
        assert set(rows) == {"lenet5", "resnet18"} or (part is others and "ratio" not in others)
        assert all(float(cell.rstrip("%")) >= 0 for row in rows.values() for cell in row[1:] if cell != "-")
        assert part is others or not any("-" in row for row in rows.values())
    assert (results.read_bytes() if results.exists() else None) == before


def other(train: Any, name: str, network: str) -> Any:
    """This network in another framework, with one thread."""
    if why := train.peers.usable(name):
        pytest.skip(f"{name}: {why}")
    train.peers.KINDS[name].prepare(1)
    return train.build(name, small(train, network))


OTHERS = [("jax", "lenet5"), ("jax", "resnet18"), ("tinygrad", "lenet5"), ("mygrad", "lenet5")]


# Of the other frameworks' own making, where they are imported into this process.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(("name", "network"), OTHERS)
def test_the_other_frameworks_train_the_same_network(train: Any, name: str, network: str) -> None:
    there = other(train, name, network)
    assert (
        train.agree({"torch": train.theirs(small(train, network)).losses(train.STEPS), name: there.losses(train.STEPS)})
        < train.TOLERANCE
    )
    loss, seconds = there.step(train.time.process_time)
    assert loss > 0
    assert len(seconds) == 1
    assert seconds[0] > 0
    assert there.predict(train.time.process_time) > 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", ["jax", "tinygrad", "mygrad"])
def test_a_wrong_weight_in_another_framework_is_found(train: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = train.weight
    factor = {"features.3.weight": 1.1}
    monkeypatch.setattr(train, "weight", lambda key, shape: right(key, shape) * np.float32(factor.get(key, 1)))
    there = other(train, name, "lenet5")
    monkeypatch.setattr(train, "weight", right)
    with pytest.raises(SystemExit, match=f"the losses differ: torch .*; {name}"):
        train.agree(
            {"torch": train.theirs(small(train, "lenet5")).losses(train.STEPS), name: there.losses(train.STEPS)}
        )


@pytest.mark.parametrize("network", ["lenet5", "resnet18"])
def test_the_other_frameworks_have_the_weights_of_ours(train: Any, network: str) -> None:
    entries = train.ours(small(train, network)).model.state_dict()
    expected = {key: value.shape for key, value in entries.items() if not key.endswith("num_batches_tracked")}
    assert train.peers.shapes(network) == expected


def test_a_framework_that_is_not_there_is_left_out_with_a_reason(train: Any, monkeypatch, capsys) -> None:
    class Missing(train.peers.Peer):
        pass

    monkeypatch.setitem(train.peers.KINDS, "chainer", Missing)
    assert "chainer" in train.peers.usable("chainer")  # the fresh process knows none of that name
    monkeypatch.setattr(train, "view", lambda *given: given[-1])
    monkeypatch.setattr(train.peers, "usable", lambda name: "" if name == "jax" else f"No module named {name!r}")
    monkeypatch.setattr(sys, "argv", ["train.py", "--quick", "--only", "lenet5"])
    train.main()
    assert "left out: tinygrad (No module named 'tinygrad'); mygrad (" in capsys.readouterr().out


def test_the_table_of_the_other_frameworks_has_a_dash_where_one_has_no_such_network(train: Any) -> None:
    step = {"minigrad": {"ms": 5.0}, "jax": {"ms": 4.0}}
    assert train.other_cell(step, "jax").split() == ["4.0", "1.25"]
    assert train.other_cell(step, "mygrad").split() == ["-"]
    assert len(train.other_cell(step, "jax")) == len(train.other_cell(step, "mygrad"))


def test_a_quick_profile_names_the_ops() -> None:
    out = run("--quick", "--only", "lenet5", "--profile")
    for name in ("forward conv", "backward conv_weight", "update SGD", "aten::mkldnn_convolution"):
        assert name in out


def small(train: Any, name: str) -> Any:
    return train.NETS[name].quick


@pytest.mark.parametrize("name", ["lenet5", "resnet18"])
def test_the_losses_of_the_same_weights_agree(train: Any, name: str) -> None:
    losses = {
        framework: train.build(framework, small(train, name)).losses(train.STEPS) for framework in train.FRAMEWORKS
    }
    assert train.agree(losses) <= train.TOLERANCE
    steps = np.array(losses["torch"])
    assert (np.abs(np.diff(steps)) > 10 * train.TOLERANCE * steps[:-1]).all()  # so that a wrong step would show


@pytest.mark.parametrize("name", ["lenet5", "resnet18"])
def test_a_wrong_weight_is_found(train: Any, name: str) -> None:
    net = small(train, name)
    wrong = train.ours(net)
    key, first = next(iter(wrong.model.state_dict().items()))
    values = first.numpy().copy()
    values[0, 0, 2, 2] += 0.5  # one number; a whole filter made larger would be hidden by a batch norm
    wrong.model.load_state_dict({key: values}, strict=False)
    with pytest.raises(SystemExit, match=r"the losses differ: torch .*; minigrad"):
        train.agree({"torch": train.theirs(net).losses(train.STEPS), "minigrad": wrong.losses(train.STEPS)})


def test_a_wrong_step_is_found(train: Any) -> None:
    net = small(train, "lenet5")
    wrong = train.ours(net)
    wrong.optimizer.param_groups[0]["momentum"] = 0.5
    with pytest.raises(SystemExit, match="the losses differ"):
        train.agree({"torch": train.theirs(net).losses(train.STEPS), "minigrad": wrong.losses(train.STEPS)})


def test_a_loss_that_is_not_a_number_is_found(train: Any) -> None:
    with pytest.raises(SystemExit, match="the losses differ"):
        train.agree({"torch": [1.0, 1.0], "minigrad": [1.0, float("nan")]})


@pytest.mark.parametrize("name", ["conv", "optim", "overhead"])
def test_results_that_were_written_before_can_be_compared_with(train: Any, name: str) -> None:
    found = importlib.import_module(name).figures(json.loads((SCRIPT.parent / "results" / f"{name}.json").read_text()))
    assert len(found) >= 5
    assert all(value > 0 for value in found.values())


def test_figures_are_shown_beside_those_that_were_committed(train: Any, monkeypatch, capsys) -> None:
    harness = sys.modules["harness"]

    def results(ratio: float) -> dict:
        row = {what: {"ratio": ratio} for what in ("step", "predict", "memory")}
        return json.loads(json.dumps({"threads": {"1": {"lenet5": row}}}))

    monkeypatch.setattr(harness, "committed", lambda name: results(1.0))
    harness.compare("train", train.figures, results(1.25))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines if line.startswith("lenet5, step")] == [
        ["lenet5,", "step,", "1", "thread", "1.00", "1.25", "125%", "WORSE"]
    ]
    harness.compare("train", train.figures, results(1.05))
    assert "WORSE" not in capsys.readouterr().out
    monkeypatch.setattr(harness, "committed", lambda name: None)
    harness.compare("train", train.figures, results(1.0))
    assert "no results of train have been committed to compare with" in capsys.readouterr().out
