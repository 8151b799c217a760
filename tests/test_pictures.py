"""Pictures: what is drawn, what is said, and that nothing else changes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

import minigrad as mg
from minigrad import models, nn
from minigrad.nn import pictures
from minigrad.nn.pictures.rows import by_number
from minigrad.nn.pictures.style import BLUE, VERMILION, names_for, percent, short
from minigrad.nn.train import read_log
from minigrad.nn.utils import grad_norms
from tests.cudaemu import fake_cupy


def settings():
    return {key: mpl.rcParams[key] for key in mpl.rcParams if key != "backend"}  # to read that imports pyplot


@pytest.fixture(autouse=True)
def _settings_stay():
    """The settings of a user who likes others, which no picture may change or follow."""
    with mpl.rc_context({"font.size": 31, "lines.linewidth": 9, "axes.grid": True, "savefig.dpi": 40}):
        before = settings()
        yield
        assert settings() == before
        assert "matplotlib.pyplot" not in sys.modules


def epoch(n, **values):
    row = {"kind": "epoch", "epoch": n, "step": 10 * n, "lr": 0.1, "train_loss": 1 / n, "val_loss": 1.1 / n}
    return row | {"train_top1": 1 - 0.5 / n, "val_top1": 1 - 0.6 / n} | values


def step(n, **values):
    return {"kind": "step", "epoch": n // 10 + 1, "step": n, "loss": 2 / n, "lr": 0.1, "grad_norm": 1.0} | values


def lines(axes):
    """The data of the labelled lines of axes."""
    drawn = [line for line in axes.get_lines() if not line.get_label().startswith("_")]
    return {line.get_label(): (line.get_xdata().tolist(), line.get_ydata().tolist()) for line in drawn}


def texts(figure):
    """All that is written in a figure, after its ticks have been made."""
    figure.draw_without_rendering()
    return [t.get_text() for t in figure.findobj(mpl.text.Text) if t.get_text() and t.get_visible()]


def overlaps(labels, figure):
    """Whether neighbours among texts cover each other."""
    figure.draw_without_rendering()
    boxes = [t.get_window_extent() for t in labels if t.get_text()]
    return any(a.overlaps(b) for a, b in pairwise(boxes))


# ---- the log --------------------------------------------------------------------------------------------------------


def test_the_log_is_read(tmp_path):
    rows = [epoch(1, train_loss=math.inf), step(3), {"kind": "resume", "epoch": 1}]
    path = tmp_path / "log.jsonl"
    whole = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(whole)
    assert read_log(path) == rows
    path.write_text("\n" + whole.replace("\n", "\r\n\r\n"))
    assert read_log(path) == rows
    path.write_text("")
    assert read_log(path) == []


def test_a_last_line_that_was_torn_is_passed_over_at_any_byte(tmp_path):
    path = tmp_path / "log.jsonl"
    first = json.dumps(epoch(1)).encode() + b"\n"
    last = json.dumps(
        {"kind": "epoch", "epoch": 2, "name": "größer {}", "norms": {"a": 1}}, ensure_ascii=False
    ).encode()
    for cut in range(len(last)):
        path.write_bytes(first + last[:cut])
        assert [row["epoch"] for row in read_log(path)] == [1]
    for end in (b"", b"\n"):
        path.write_bytes(first + last + end)
        assert [row["epoch"] for row in read_log(path)] == [1, 2]
    path.write_bytes(first + b"\0\0\0\0")  # what some file systems leave after a power cut
    assert len(read_log(path)) == 1


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"kind": "epoch"}\n{"kind": "ep\n{"kind": "epoch"}\n', r"log\.jsonl, line 2 is damaged, it is not JSON \("),
        ('{"kind": "ep\n', r"line 1 is damaged, it is not JSON .*: '{\"kind\": \"ep'"),
        ('{"kind": "epoch"}\n[1]\n', r"line 2 is no row of a log, an object with a \"kind\": '\[1\]'"),
        ('\n\n{"epoch": 1}\n', r"line 3 is no row of a log"),
        ('{"kind": 1}', r"the last line is no row of a log"),
        ("\xff" * 200 + "\n", r"line 1 is damaged.*\.\.\. \(200 bytes\)"),
    ],
)
def test_a_damaged_log(tmp_path, text, fault):
    path = tmp_path / "log.jsonl"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=fault):
        read_log(path)


def test_a_log_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_log(tmp_path / "log.jsonl")


def test_what_was_written_later_counts():
    rows = [epoch(1), epoch(2), epoch(3), step(31), epoch(2, train_loss=9.0), step(21, loss=7.0)]
    assert [(r["epoch"], r["train_loss"]) for r in by_number(rows, "epoch")] == [(1, 1.0), (2, 9.0)]
    assert [r["loss"] for r in by_number(rows, "step")] == [7.0]
    with pytest.raises(ValueError, match=r"a row of the kind 'step' must have a number 'step', got {'kind': 'step'}"):
        by_number([{"kind": "step"}], "step")


# ---- curves ---------------------------------------------------------------------------------------------------------


def test_curves():
    figure = pictures.curves([row for n in (1, 2, 3) for row in (step(10 * n - 5), epoch(n, val_top5=0.9))])
    loss, accuracy = figure.axes
    assert lines(loss) == {
        "training, single steps": ([0.5, 1.5, 2.5], [2 / 5, 2 / 15, 2 / 25]),
        "training, mean of the epoch": ([1, 2, 3], [1, 1 / 2, 1 / 3]),
        "validation, after the epoch": ([1, 2, 3], [1.1, 1.1 / 2, 1.1 / 3]),
    }
    assert lines(accuracy) == {
        "training, top 1": ([1, 2, 3], [0.5, 0.75, 1 - 0.5 / 3]),
        "validation, top 1": ([1, 2, 3], [0.4, 0.7, 0.8]),
        "validation, top 5": ([1, 2, 3], [0.9, 0.9, 0.9]),
    }
    assert loss.get_title() == "Loss: best validation 0.367 in epoch 3"
    assert accuracy.get_title() == "Accuracy: best validation 80.0 % in epoch 3"
    assert [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes] == [
        ("epoch", "loss"),
        ("epoch", "accuracy"),
    ]
    first, second, third = loss.get_lines()[:3]
    assert first.get_linewidth() < second.get_linewidth() == third.get_linewidth()
    assert (to_hex(second.get_color()).upper(), to_hex(third.get_color()).upper()) == (BLUE, VERMILION)
    assert "80 %" in texts(figure)


def test_curves_of_one_epoch_without_validation():
    row = {key: value for key, value in epoch(1).items() if not key.startswith("val")}
    figure = pictures.curves([row])
    loss, accuracy = figure.axes
    assert list(lines(loss)) == ["training, mean of the epoch"]
    assert loss.get_lines()[0].get_marker() == "o"  # a line through one point shows nothing
    assert loss.get_xlim() == (0, 2)
    assert loss.get_title() == "Loss"
    assert accuracy.get_title() == "Accuracy: best training 50.0 % in epoch 1"


def test_curves_with_validation_in_some_epochs():
    rows = [
        {"kind": "epoch", "epoch": n, "train_loss": 1.0} | ({"val_loss": 2.0 - n / 9} if n % 3 == 0 else {})
        for n in range(1, 10)
    ]
    (loss,) = pictures.curves(rows).axes
    assert lines(loss)["validation, after the epoch"][0] == [3, 6, 9]
    assert loss.get_title() == "Loss: best validation 1 in epoch 9"


def test_curves_of_steps_alone_and_of_steps_after_the_last_epoch():
    (loss,) = pictures.curves([step(5), step(10)]).axes
    assert loss.get_xlabel() == "step"
    assert lines(loss) == {"training, single steps": ([5, 10], [0.4, 0.2])}
    loss, _ = pictures.curves([epoch(3), epoch(4), step(45), step(50)]).axes  # a log whose beginning is missing
    assert lines(loss)["training, single steps"][0] == [4.5, 5.0]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_curves_of_a_run_that_diverged(value):
    figure = pictures.curves(
        [epoch(1), epoch(2), epoch(3, train_loss=value), epoch(4, train_loss=value, val_loss=value)]
    )
    loss = figure.axes[0]
    assert loss.get_title() == f"Loss: the run diverged, training loss is {value:g} in epoch 3"
    assert to_hex(loss.title.get_color()).upper() == VERMILION
    assert [line.get_xdata() for line in loss.get_lines() if line.get_linestyle() == ":"] == [[3, 3]]
    assert loss.get_xlim()[1] >= 4
    assert np.isfinite(lines(loss)["training, mean of the epoch"][1][:2]).all()
    texts(figure)


def test_curves_that_diverged_in_a_step_before_the_epoch_ended():
    figure = pictures.curves([epoch(1), step(15, loss=math.nan), epoch(2, train_loss=math.nan)])
    assert figure.axes[0].get_title() == "Loss: the run diverged, the loss of step 15 is nan"


def test_curves_of_nothing_but_nan_and_of_huge_losses():
    figure = pictures.curves([{"kind": "epoch", "epoch": 1, "train_loss": math.nan, "train_top1": math.nan}])
    assert figure.axes[0].get_title() == "Loss: the run diverged, training loss is nan in epoch 1"
    assert figure.axes[1].get_title() == "Accuracy: none is a number"
    texts(figure)
    figure = pictures.curves([epoch(1), epoch(2, train_loss=1e30), epoch(3, train_loss=1e308)])
    assert figure.axes[0].get_yscale() == "log"
    texts(figure)


def test_the_loss_is_logarithmic_over_two_powers_of_ten():
    for last, scale in ((0.02, "linear"), (0.005, "log"), (0.0, "linear"), (-5.0, "linear")):
        figure = pictures.curves([epoch(1, val_loss=1.0), epoch(2, train_loss=last, val_loss=1.0), step(15, loss=1e-9)])
        assert figure.axes[0].get_yscale() == scale
        texts(figure)
    assert figure.axes[0].get_ylabel() == "loss"


def test_a_resumed_run():
    figure = pictures.curves([epoch(1), epoch(2), epoch(3), epoch(2, train_loss=0.25), epoch(3, train_loss=0.125)])
    assert lines(figure.axes[0])["training, mean of the epoch"] == ([1, 2, 3], [1, 0.25, 0.125])


# ---- learning rates -------------------------------------------------------------------------------------------------


def test_learning_rate():
    nameless = {"kind": "epoch", "epoch": 1, "lr": 99.0}  # does not say at which step
    (axes,) = pictures.learning_rate([step(n, lr=0.1 * n) for n in range(1, 6)] + [nameless]).axes
    (line,) = axes.get_lines()
    assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == ([1, 2, 3, 4, 5], [0.1 * n for n in range(1, 6)])
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_yscale()) == ("step", "learning rate", "linear")
    assert axes.get_title() == "Learning rate: from 0.1 to 0.5"


def test_learning_rate_of_few_steps_has_the_ends_of_epochs_too():
    rows = [epoch(1, lr=0.1), step(15, lr=0.4), epoch(2, lr=0.2), step(30, lr=0.3), epoch(3, lr=0.3)]
    (axes,) = pictures.learning_rate(rows).axes
    (line,) = axes.get_lines()
    assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == ([10, 15, 20, 30], [0.1, 0.4, 0.2, 0.3])
    assert axes.get_title() == "Learning rate: from 0.1 to 0.3, 0.4 at its peak in step 15"


def test_learning_rate_over_powers_of_ten_and_of_epochs():
    figure = pictures.learning_rate([epoch(1, lr=0.0), epoch(2, lr=1.0), epoch(3, lr=0.01)])
    (axes,) = figure.axes
    assert (axes.get_yscale(), axes.get_ylabel()) == ("log", "learning rate (log scale)")
    assert axes.get_title() == "Learning rate: from 0 to 0.01, 1 at its peak in step 20"
    assert axes.get_lines()[0].get_xdata().tolist() == [10, 20, 30]
    assert {"0.01", "0.1", "1"} <= set(texts(figure))
    (axes,) = pictures.learning_rate(
        [{"kind": "epoch", "epoch": 1, "lr": 0.5}, {"kind": "epoch", "epoch": 2, "lr": 0.5}]
    ).axes
    assert (axes.get_xlabel(), axes.get_title()) == ("epoch", "Learning rate: 0.5 throughout")


def test_lr_finder():
    lrs = 10.0 ** np.arange(-5, 1)
    losses = [2.0, 2.0, 1.0, 0.5, 400.0, math.nan]
    figure = pictures.lr_finder(lrs, losses, suggestion=1e-3)
    (axes,) = figure.axes
    curve, mark, point = axes.get_lines()
    assert curve.get_xdata().tolist() == lrs[:5].tolist()
    assert mark.get_xdata() == [1e-3, 1e-3]
    assert (point.get_xdata()[0], point.get_ydata()[0]) == (1e-3, pytest.approx(1.0))
    assert (axes.get_xscale(), axes.get_title()) == ("log", "Learning-rate test: 0.001 is suggested")
    assert axes.get_ylim()[1] == 3.5  # the start, and as much above it as the least loss is below
    assert {"diverged", "loss", "learning rate (log scale)"} <= set(texts(figure))
    without = pictures.lr_finder([0.1, 0.2], [math.nan, math.nan])
    assert without.axes[0].get_title() == "Learning-rate test: no rate is suggested"
    texts(without)


# ---- the confusion matrix -------------------------------------------------------------------------------------------


def test_confusion_matrix():
    figure = pictures.confusion_matrix([[90, 10, 0], [1, 299, 0], [0, 0, 0]], ["cat", "dog", "horse"])
    axes, bar = figure.axes
    shares = axes.images[0].get_array()
    np.testing.assert_allclose(shares[:2], [[0.9, 0.1, 0], [1 / 300, 299 / 300, 0]])
    assert shares.mask[2].all()
    assert {t.get_position(): t.get_text() for t in axes.texts} == {
        (0, 0): "90\n90 %",
        (1, 0): "10\n10 %",
        (0, 1): "1\n<1 %",
        (1, 1): "299\n>99 %",
    }
    assert {t.get_position(): t.get_color() for t in axes.texts}[0, 0] == "white"
    assert [t.get_text() for t in axes.get_yticklabels()] == ["cat", "dog", "horse"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class (grey: no samples)")
    assert axes.get_title() == "Confusion matrix: 97.2 % of 400 right"
    assert bar.get_ylabel() == "share of the true class"


@pytest.mark.parametrize("n", [1, 2, 10, 25, 100])
def test_confusion_matrix_of_any_number_of_classes(n):
    counts = np.eye(n, dtype=int) * 50
    counts[0, n - 1] += 3
    figure = pictures.confusion_matrix(counts, [f"a class with the very long name {i}" for i in range(n)])
    names = [short(f"a class with the very long name {i}", 20) for i in range(n)]
    axes = figure.axes[0]
    assert bool(axes.texts) == (n <= 24)
    assert not overlaps(axes.get_xticklabels(), figure)
    assert not overlaps(axes.get_yticklabels(), figure)
    assert axes.get_yticklabels()[0].get_text() == "a class wi…ng name 0"
    assert axes.get_yticklabels()[0].get_fontsize() >= 6
    if n > 24:
        (written,) = figure.axes[1].texts
        assert written.get_text().splitlines()[-1] == f"{names[0]} → {names[-1]}:  3 (6 %)"
    if n > 1:
        box = figure.get_tightbbox()
        assert box.width < figure.get_figwidth() + 0.1
        assert box.height < figure.get_figheight() + 0.1


def test_confusion_matrix_without_samples_or_with_names_of_dollars():
    figure = pictures.confusion_matrix(mg.zeros((2, 2)), ["$_$", "\n $x^{ "])
    assert figure.axes[0].get_title() == "Confusion matrix: none of 0 right"
    assert {"$_$", "$x^{"} <= set(texts(figure))


# ---- filters --------------------------------------------------------------------------------------------------------


def test_filters_of_one_channel():
    net = models.lenet5()
    figure = pictures.filters(net)
    axes, bar = figure.axes
    weights = net.features[0].weight.detach().numpy()
    for image, w in zip(axes.images, weights[:, 0], strict=True):
        np.testing.assert_array_equal(image.get_array(), w)
        low, high = image.get_clim()
        assert high == -low == pytest.approx(abs(weights).max())
        assert image.cmap.name == "RdBu_r"
    assert (axes.get_title(), axes.get_xlabel(), bar.get_ylabel()) == (
        "features.0: 6 kernels of 5 x 5",
        "output",
        "weight",
    )


def test_filters_in_colour():
    net = nn.Sequential(nn.Conv2d(3, 20, 7), nn.Conv2d(20, 3, 1), nn.Conv2d(3, 4, 3))
    axes, bar = pictures.filters(net).axes
    w = net[0].weight.detach().numpy()
    assert len(axes.images) == 20
    limit = abs(w).max()
    np.testing.assert_allclose(axes.images[11].get_array(), 0.5 + w[11].transpose(1, 2, 0) / (2 * limit), atol=1e-7)
    assert axes.get_title() == "0: 20 kernels of 7 x 7 in colour"
    assert [t.get_text() for t in axes.get_yticklabels()] == ["0", "8", "16"]
    assert bar.get_ylabel() == "weight of each colour"
    deep = pictures.filters(net, "2").axes[0]  # its three inputs are no colours
    assert deep.get_title() == "2: kernels of 3 x 3, 4 outputs, 3 inputs"


@pytest.mark.parametrize(
    ("layer", "title", "images"),
    [
        (nn.Conv2d(32, 64, 3), "kernels of 3 x 3, 16 of 64 outputs, 16 of 32 inputs", 256),
        (nn.Conv2d(8, 4, 1), "kernels of 1 x 1, 4 outputs, 8 inputs", 1),
        (nn.Conv2d(200, 300, 1), "kernels of 1 x 1, 128 of 300 outputs, 128 of 200 inputs", 1),
        (nn.Conv2d(4, 300, 3, groups=4), "256 of 300 kernels of 3 x 3", 256),
        (nn.Conv1d(1, 3, 9), "3 kernels of 9", 3),
        (nn.Conv1d(5, 3, 9), "kernels of 9, 3 outputs, 5 inputs", 15),
        (nn.Conv2d(3, 2, 5, connections=[[0, 1], [2]]), "3 kernels of 5 x 5, one for each link of its table", 3),
        (nn.Conv2d(1, 1, (1, 11)), "1 kernels of 1 x 11", 1),
    ],
)
def test_filters_of_other_layers(layer, title, images):
    figure = pictures.filters(layer)
    assert figure.axes[0].get_title() == title
    assert len(figure.axes[0].images) == images
    assert max(figure.get_size_inches()) < 14
    texts(figure)


def test_filters_that_are_zero_or_not_finite():
    layer = nn.Conv2d(3, 2, 3)
    with mg.no_grad():
        layer.weight[...] = 0.0
        texts(pictures.filters(layer))
        layer.weight[0] = math.nan
        layer.weight[1, 0] = 2.0
        figure = pictures.filters(layer)
    assert figure.axes[0].images[0].get_array().max() == 0
    assert figure.axes[0].images[1].get_array().max() == 1
    texts(figure)


# ---- feature maps ---------------------------------------------------------------------------------------------------


def state(model):
    modes = [(module.training, module._hooks) for module in model.modules()]
    return modes, {name: value.numpy().copy() for name, value in model.state_dict().items()}


def assert_undisturbed(model, before):
    modes, values = state(model)
    assert modes == before[0]
    for name, value in values.items():
        np.testing.assert_array_equal(value, before[1][name])


def rows_of(figure):
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]


def test_feature_maps_of_lenet():
    net, x = models.lenet5(), mg.randn(1, 28, 28)
    net.classifier.eval()  # a mode of its own
    before, numbers = state(net), mg.get_rng_state()
    figure = pictures.feature_maps(net, x)
    assert_undisturbed(net, before)
    assert repr(mg.get_rng_state()) == repr(numbers)
    assert rows_of(figure)[1:] == [
        "features.0: Conv2d, 6 x 28 x 28",
        "features.1: Tanh, 6 x 28 x 28",
        "features.2: AvgPool2d, 6 x 14 x 14",
        "features.3: Conv2d, 16 x 10 x 10",
        "features.4: Tanh, 16 x 10 x 10",
        "features.5: AvgPool2d, 16 x 5 x 5",
    ]
    expected = net.features(x.reshape((1, 1, 28, 28))).detach().numpy()[0]
    drawn = next(axes for axes in figure.axes if axes.get_title(loc="left").startswith("features.5")).images
    assert len(drawn) == 8
    for image, values in zip(drawn, expected[:8], strict=True):
        np.testing.assert_allclose(image.get_array(), values, rtol=1e-6)
        assert image.get_clim()[1] == -image.get_clim()[0] == pytest.approx(abs(expected[:8]).max())


@pytest.mark.parametrize(
    ("model", "size", "paths"),
    [
        (lambda: models.resnet18(width=0.125), 64, ["bn1", "layer1", "layer2", "layer3", "layer4", "avgpool"]),
        (lambda: models.resnet50(width=0.125), 64, ["bn1", "layer1", "layer2", "layer3", "layer4", "avgpool"]),
        (
            lambda: models.vgg11(width=0.1, batch_norm=True),
            64,
            ["features.2", "features.6", "features.13", "features.20", "features.27", "features", "avgpool"],
        ),
        (
            lambda: models.googlenet(width=0.125),
            64,
            ["conv1", "conv3", "inception3b", "inception4e", "inception5b", "avgpool"],
        ),
    ],
)
def test_feature_maps_of_the_stages(model, size, paths):
    net, x = model(), mg.rand(3, size, size)
    before = state(net)
    figure = pictures.feature_maps(net, x, count=3)
    assert_undisturbed(net, before)
    image, *rows = rows_of(figure)
    assert [row.split(":")[0] for row in rows] == paths
    assert image.startswith(f"the image, 3 x {size} x {size}, ")
    first = next(axes for axes in figure.axes if axes.get_title(loc="left") == rows[0])
    assert len(first.images) == 3
    assert first.images[0].get_clim()[0] == 0  # after a ReLU
    assert first.images[0].cmap.name == "cividis"


def test_feature_maps_of_named_layers_and_of_one_that_is_called_twice():
    layer = nn.Conv2d(2, 2, 3, padding=1)
    net = nn.Sequential(layer, nn.Dropout(0.5), nn.ReLU(), layer)
    figure = pictures.feature_maps(net, mg.randn(2, 6, 9))
    assert rows_of(figure)[1:] == ["0: Conv2d, 2 x 6 x 9", "2: ReLU, 2 x 6 x 9", "0 (call 2): Conv2d, 2 x 6 x 9"]
    for names in (["2", "0"], ("2", "0")):
        assert [row.split(":")[0] for row in rows_of(pictures.feature_maps(net, mg.randn(2, 6, 9), names))[1:]] == [
            "2",
            "0",
            "0 (call 2)",
        ]
    assert rows_of(pictures.feature_maps(net, mg.randn(1, 2, 6, 9), "2"))[1:] == ["2: ReLU, 2 x 6 x 9"]


def test_feature_maps_leave_no_trace_after_an_error():
    class Broken(nn.Module):
        def __init__(self):
            self.norm = nn.BatchNorm2d(1)

        def forward(self, x):
            self.norm(x)
            raise RuntimeError("broken")

    net = Broken()
    before = state(net)
    with pytest.raises(RuntimeError, match="broken"):
        pictures.feature_maps(net, mg.randn(1, 4, 4))
    assert_undisturbed(net, before)
    assert mg.is_grad_enabled()


def test_feature_maps_that_are_empty_or_not_finite():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    with mg.no_grad():
        net[0].weight[...] = 0.0
        net[0].bias[0] = -1.0
        net[0].bias[1] = math.nan
    figure = pictures.feature_maps(net, mg.ones((1, 5, 5)))
    texts(figure)
    assert figure.axes[4].images[0].get_clim() == (0, 1)


def test_on_the_device():
    with fake_cupy.install():
        net, x = models.lenet5(), mg.randn(1, 28, 28)
        found = [rows_of(pictures.feature_maps(net.to(device), x)) for device in ("cpu", "cuda")]
        assert found[0] == found[1]
        assert pictures.filters(net).axes[0].get_title() == "features.0: 6 kernels of 5 x 5"
        loss = net(mg.tensor(x.numpy()[None], device="cuda")).sum()
        loss.backward()
        on_device = grad_norms(net)
        net.to("cpu")
        assert grad_norms(net) == pytest.approx(on_device, rel=1e-12)
        images = mg.rand(4, 3, 5, 5).to("cuda")
        p = mg.tensor([[0.2, 0.8]] * 4, device="cuda")
        assert (
            pictures.mistakes(images, mg.tensor([0, 0, 1, 0], device="cuda"), p)
            .get_suptitle()
            .startswith("All mistakes")
        )
        assert (
            pictures.confusion_matrix(mg.ones((2, 2)).to("cuda")).axes[0].get_title()
            == "Confusion matrix: 50.0 % of 4 right"
        )


# ---- mistakes -------------------------------------------------------------------------------------------------------


def test_mistakes():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 3, 8, 6), dtype=np.uint8)
    p = np.array([[0.6, 0.4, 0], [0.1, 0.2, 0.7], [0.0, 1.0, 0], [0.3, 0.3, 0.4], [1, 0, 0]])
    figure = pictures.mistakes(images, [0, 0, 2, 1, 0], p, ["cat", "dog", "a horse with a name"], count=2)
    assert figure.get_suptitle() == "The worst 2 of 3 mistakes among 5 images, the largest loss first"
    first, second = figure.axes
    assert first.get_title() == "true: a hors…a name (0 %)\ntaken for: dog (100 %)"
    assert second.get_title() == "true: cat (10.0 %)\ntaken for: a hors…a name (70.0 %)"
    assert [axes.get_xlabel() for axes in figure.axes] == ["image 2", "image 1"]
    np.testing.assert_allclose(first.images[0].get_array(), images[2].transpose(1, 2, 0) / 255)
    every = pictures.mistakes(images, [0, 0, 2, 1, 0], p)
    assert every.get_suptitle() == "All mistakes among 5 images, the largest loss first"
    assert not overlaps([axes.title for axes in every.axes], every)


def test_mistakes_in_photographs_of_different_sizes_and_normalised_images():
    images = [mg.randn(3, 5, 7), np.zeros((1, 4, 4)), np.full((2, 3), 0.5)]
    figure = pictures.mistakes(images, [0, 0, 0], [[0.0, 1.0]] * 3)
    arrays = [axes.images[0].get_array() for axes in figure.axes]
    assert [a.shape for a in arrays] == [(5, 7, 3), (4, 4), (2, 3)]
    assert (arrays[0].min(), arrays[0].max(), arrays[2].max()) == (0, 1, 0.5)


def test_no_mistakes():
    figure = pictures.mistakes(np.zeros((3, 1, 2, 2)), [0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.5 - 1e-4, 0.5 + 1e-4]])
    assert texts(figure) == ["No mistakes: all of the 3 images are right"]


# ---- gradients ------------------------------------------------------------------------------------------------------


def test_grad_norms():
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    net[2].bias.requires_grad_(False)
    assert grad_norms(net) == {}
    (net(mg.randn(5, 3)) ** 2).sum().backward()
    expected = {
        name: np.linalg.norm(p.grad.numpy().astype(np.float64))
        for name, p in net.named_parameters()
        if p.grad is not None
    }
    assert grad_norms(net) == pytest.approx(expected, rel=1e-14)
    assert list(grad_norms(net)) == ["0.weight", "0.bias", "2.weight"]
    with pytest.raises(TypeError, match="model must be a Module, got list"):
        grad_norms([net])


@pytest.mark.parametrize(
    ("dtype", "value"),
    [(np.float16, 6e4), (np.float32, 1e30), (np.float32, 1e-30), (np.float32, 0.0), (np.float64, math.inf)],
)
def test_grad_norms_beyond_the_squares_of_their_dtype(dtype, value):
    layer = nn.Linear(4, 2).to(dtype)
    layer.weight.grad = mg.tensor(np.full((4, 2), value, dtype)).T
    assert grad_norms(layer) == {"weight": pytest.approx(float(dtype(value)) * 8**0.5, rel=1e-14)}
    layer.weight.grad = mg.tensor(np.full((2, 4), math.nan, dtype))
    assert math.isnan(grad_norms(layer)["weight"])


def test_gradient_norms_of_one_moment():
    norms = {"a.0.weight": 3e-7, "a.0.bias": 4e-7, "scale": 1e-2, "b.weight": 2.0}
    figure = pictures.gradient_norms(norms)
    (axes,) = figure.axes
    bars = {bar.get_y() + bar.get_height() / 2: (bar.get_x() + bar.get_width(), bar) for bar in axes.patches}
    assert [bars[i][0] for i in range(3)] == pytest.approx([5e-7, 1e-2, 2.0])
    assert [to_hex(bars[i][1].get_facecolor()).upper() for i in range(3)] == [VERMILION, BLUE, BLUE]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a.0", "scale", "b"]
    assert axes.get_ylim() == (2.5, -0.5)  # the input above
    assert axes.get_xscale() == "log"
    assert axes.get_title() == "Gradient norms: the first layer has 2.5e-07 times the last's"
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["gradient", "below 0.0001 of the largest"]


def test_gradient_norms_that_no_logarithm_shows():
    figure = pictures.gradient_norms({"a.weight": 0.0, "b.weight": 1.0, "c.weight": math.nan, "d.weight": math.inf})
    (axes,) = figure.axes
    marked = {line.get_label(): line.get_ydata().tolist() for line in axes.get_lines()}
    assert marked == {"0: no gradient arrives": [0], "nan or inf": [2, 3]}
    assert axes.get_title() == "Gradient norms: 2 of 4 layers have nan or inf"
    none = pictures.gradient_norms({"a.weight": 0.0, "b.weight": 0.0})
    assert none.axes[0].get_title() == "Gradient norms: no gradient arrives at 2 of 2 layers"
    texts(figure), texts(none)


def test_gradient_norms_over_epochs():
    norms = [{"a.weight": 1e-6, "b.weight": 1.0}, {"a.weight": 0.0, "b.weight": math.nan}, {"b.weight": 10.0}]
    figure = pictures.gradient_norms([epoch(n, grad_norms=norms[n - 1]) for n in (1, 2, 3)] + [step(31), epoch(4)])
    axes, bar = figure.axes
    first, *others = axes.collections
    shown = first.get_array()
    np.testing.assert_array_equal(shown.mask, [[False, True, True], [False, True, False]])
    assert (shown[0, 0], shown[1, 0], shown[1, 2]) == (1e-6, 1.0, 10.0)
    assert (first.norm.vmin, first.norm.vmax) == (1e-6, 10)
    assert [t.get_text() for t in axes.get_legend().get_texts()] == [
        "0: no gradient arrives",
        "nan or inf",
        "none in the log",
    ]
    assert [(~c.get_array().mask).tolist() for c in others] == [
        [[False, True, False], [False, False, False]],
        [[False, False, False], [False, True, False]],
        [[False, False, True], [False, False, False]],
    ]
    assert axes.get_xlim() == (0.5, 3.5)
    assert bar.get_ylabel() == "norm of the gradient (log scale)"
    texts(figure)
    one = pictures.gradient_norms([epoch(7, grad_norms={"a": 1.0})])
    assert one.axes[0].get_title() == "Gradient norms in epoch 7: the first layer has 1 times the last's"


def test_gradient_norms_of_very_many_layers():
    figure = pictures.gradient_norms(
        {f"stage{i // 100}.block{i}.a_long_name.conv.weight": 10.0 ** (-i / 40) for i in range(300)}
    )
    assert not overlaps(figure.axes[0].get_yticklabels(), figure)
    assert figure.get_figheight() <= 12


# ---- files ----------------------------------------------------------------------------------------------------------


def figures():
    rng = np.random.default_rng(0)
    rows = [row for n in (1, 2, 3) for row in (step(10 * n), epoch(n, grad_norms={"a.b": 1e-3 * n, "c.d": 1.0}))]
    p = rng.dirichlet([1, 1, 1], 8)
    return {
        "curves": pictures.curves(rows),
        "learning_rate": pictures.learning_rate(rows),
        "confusion_matrix": pictures.confusion_matrix(rng.poisson(3, (4, 4))),
        "filters": pictures.filters(nn.Conv2d(3, 9, 3)),
        "feature_maps": pictures.feature_maps(nn.Sequential(nn.Conv2d(1, 2, 3)), mg.randn(1, 6, 6)),
        "mistakes": pictures.mistakes(rng.random((8, 3, 4, 4)), np.zeros(8, int), p),
        "gradient_norms": pictures.gradient_norms(rows),
        "lr_finder": pictures.lr_finder([1e-3, 1e-2, 1e-1], [2.0, 1.0, 3.0], 1e-2),
    }


def test_every_picture_is_saved_with_the_same_bytes_each_time_and_opened_again(tmp_path):
    """In this process and in another, whose settings, hashes and clock differ."""
    code = """
import pathlib, sys
from tests.test_pictures import figures, mg, pictures
mg.manual_seed(0)
for name, figure in figures().items():
    for kind in ("png", "svg"):
        pictures.save(figure, pathlib.Path(sys.argv[1], f"{name}.{kind}"))
"""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir(), there.mkdir()
    root = Path(__file__).parent.parent
    subprocess.run([sys.executable, "-c", code, str(there)], check=True, cwd=root, timeout=300)
    mg.manual_seed(0)
    made = figures()
    assert sorted([*made, "overview", "save"]) == pictures.__all__
    for name, figure in made.items():
        assert isinstance(figure, Figure)
        png, svg = (pictures.save(figure, here / f"{name}.{kind}") for kind in ("png", "svg"))
        assert png.read_bytes() == (there / png.name).read_bytes(), name
        assert svg.read_bytes() == (there / svg.name).read_bytes(), name
        with Image.open(png) as image:
            assert image.format == "PNG"
            assert image.size == tuple((figure.get_size_inches() * 120 + 1e-6).astype(int))
            pixels = np.asarray(image.convert("L"))
            assert "Software" not in image.info
        assert 0.002 < (pixels < 250).mean() < 0.95, name  # something is drawn, on white
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert (border == 255).all(), f"{name} is cut off"
        drawn = ElementTree.parse(svg).getroot()
        assert drawn.tag == "{http://www.w3.org/2000/svg}svg"
        assert len(list(drawn.iter("{http://www.w3.org/2000/svg}path"))) > 10
        assert not [element for element in drawn.iter() if element.tag.endswith("}date")]
    assert sorted(path.suffix for path in here.iterdir()) == [".png"] * 8 + [".svg"] * 8


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    figure = pictures.confusion_matrix([[1]])

    def fail(file, **options):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(OSError, match=r"cannot save to .*a\.png: No space left on device"):
        pictures.save(figure, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError, match=r"cannot save to .*there/a\.png: No such file or directory"):
        pictures.save(figure, tmp_path / "there" / "a.png")


def test_overview(tmp_path):
    rows = [epoch(1, grad_norms={"a.b": 1.0}), epoch(2, grad_norms={"a.b": 1.0})]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"kind": "epo')
    names = ["curves", "learning_rate", "gradient_norms"]
    assert pictures.overview(tmp_path) == [tmp_path / "pictures" / f"{name}.png" for name in names]
    assert pictures.overview(str(tmp_path), "svg") == [tmp_path / "pictures" / f"{name}.svg" for name in names]
    assert len(list((tmp_path / "pictures").iterdir())) == 6
    (tmp_path / "log.jsonl").write_text('{"kind": "step", "step": 1, "lr": 0.1}\n')
    assert [path.name for path in pictures.overview(tmp_path)] == ["learning_rate.png"]


def test_errors(tmp_path):
    net, image, figure = models.lenet5(), mg.zeros((1, 28, 28)), Figure()
    images, p = np.zeros((2, 1, 3, 3)), [[0.5, 0.5], [0.5, 0.5]]
    (tmp_path / "log.jsonl").write_text('{"kind": "start"}\n')
    lazy = nn.Sequential(nn.Conv2d(None, 2, 3))
    for call, error, text in [
        (lambda: pictures.save(figure, "a.pdf"), ValueError, r"a picture is saved as \*.png or \*.svg, got a.pdf"),
        (lambda: pictures.save("x", "a.png"), TypeError, "figure must be a matplotlib Figure, got str"),
        (lambda: pictures.curves([]), ValueError, "rows hold no losses of epochs or steps"),
        (
            lambda: pictures.curves([epoch(1, train_loss="big")]),
            ValueError,
            "'train_loss' must be a number in every row",
        ),
        (
            lambda: pictures.learning_rate([{"kind": "step", "step": 1}]),
            ValueError,
            r"rows hold no learning rate \(a key 'lr'\)",
        ),
        (
            lambda: pictures.lr_finder([1.0], [1.0, 2.0]),
            ValueError,
            r"two lists of one length, got the shapes \(1,\) and \(2,\)",
        ),
        (lambda: pictures.lr_finder([], []), ValueError, r"two lists of one length, got the shapes \(0,\) and \(0,\)"),
        (lambda: pictures.lr_finder([0.0, 1.0], [1.0, 2.0]), ValueError, "lrs must be above 0 and finite, got 0"),
        (lambda: pictures.lr_finder([1.0], [1.0], -2.0), ValueError, "suggestion must be above 0 and finite, got -2"),
        (lambda: pictures.confusion_matrix([[1, 2]]), ValueError, r"shape \(classes, classes\), got \(1, 2\)"),
        (lambda: pictures.confusion_matrix(np.zeros((0, 0))), ValueError, r"got \(0, 0\)"),
        (lambda: pictures.confusion_matrix([[-1]]), ValueError, "matrix must hold counts, numbers from 0"),
        (lambda: pictures.confusion_matrix([[math.nan]]), ValueError, "matrix must hold counts, numbers from 0"),
        (lambda: pictures.confusion_matrix([[1]], ["a", "b"]), ValueError, "classes must name 1 classes, got 2 names"),
        (lambda: pictures.filters("x"), TypeError, "model must be a Module, got str"),
        (lambda: pictures.filters(nn.Linear(2, 2)), ValueError, "Linear has no convolution of one or two axes"),
        (
            lambda: pictures.filters(net, "features.1"),
            ValueError,
            r"which are \['features.0', 'features.3'\]; got 'features.1', a Tanh",
        ),
        (lambda: pictures.filters(net, "features.9"), AttributeError, "LeNet5 has no module 'features.9'"),
        (lambda: pictures.filters(nn.ConvTranspose2d(1, 1, 3)), ValueError, "has no convolution"),
        (lambda: pictures.filters(nn.Conv3d(1, 1, 3)), ValueError, "has no convolution"),
        (
            lambda: pictures.filters(lazy),
            ValueError,
            "the layer '0' has no size yet: run a batch through the model first",
        ),
        (lambda: pictures.feature_maps(3, image), TypeError, "model must be a Module, got int"),
        (lambda: pictures.feature_maps(lazy, image), ValueError, "Sequential has layers without a size"),
        (
            lambda: pictures.feature_maps(net, np.zeros((1, 28, 28), "u1")),
            TypeError,
            "image must be floating, .*, got uint8",
        ),
        (
            lambda: pictures.feature_maps(net, mg.zeros((28, 28))),
            ValueError,
            r"\(C, H, W\) or \(1, C, H, W\), got \(28, 28\)",
        ),
        (lambda: pictures.feature_maps(net, mg.zeros((2, 1, 28, 28))), ValueError, r"got \(2, 1, 28, 28\)"),
        (lambda: pictures.feature_maps(net, mg.zeros((1, 9, 9))), ValueError, "expects 400 features|window"),
        (lambda: pictures.feature_maps(net, image, ["features.77"]), AttributeError, "has no module 'features.77'"),
        (
            lambda: pictures.feature_maps(net, image, ["classifier.1"]),
            ValueError,
            r"layers must name modules .*\['classifier.1'\] do not",
        ),
        (lambda: pictures.feature_maps(nn.Flatten(), image), ValueError, "no layer of Flatten makes maps"),
        (lambda: pictures.feature_maps(net, image, count=0), ValueError, "count must be a positive integer, got 0"),
        (lambda: pictures.mistakes(images, [0], p), ValueError, r"got 2 images, int64 \(1,\) and \(2, 2\)"),
        (lambda: pictures.mistakes(images, [0.0, 1.0], p), ValueError, "got 2 images, float"),
        (lambda: pictures.mistakes(images, [0, 2], p), ValueError, "labels must be from 0 to 1, got 2"),
        (lambda: pictures.mistakes(images, [0, 1], [[3.0, -2.0], [0.5, 0.5]]), ValueError, "take softmax of logits"),
        (
            lambda: pictures.mistakes(images, [0, 1], [[0.5, 0.5], [math.nan, 1]]),
            ValueError,
            "probabilities must be finite",
        ),
        (lambda: pictures.mistakes(images, [0, 1], p, ["a"]), ValueError, "classes must name 2 classes, got 1 names"),
        (
            lambda: pictures.mistakes(images, [0, 1], p, count=-1),
            ValueError,
            "count must be a positive integer, got -1",
        ),
        (
            lambda: pictures.mistakes(np.zeros((2, 2, 3, 3)), [1, 1], p),
            ValueError,
            r"one or three channels, got \(2, 3, 3\)",
        ),
        (lambda: pictures.gradient_norms({}), ValueError, "norms hold no norms of gradients: call backward first"),
        (lambda: pictures.gradient_norms({"a": -1.0}), ValueError, "norms must not be negative, got -1.0 for 'a'"),
        (
            lambda: pictures.gradient_norms([epoch(1)]),
            ValueError,
            r"rows hold no norms of gradients \(a key 'grad_norms'",
        ),
        (lambda: pictures.overview(tmp_path / "no"), FileNotFoundError, "no run at .*no: there is no file .*log.jsonl"),
        (lambda: pictures.overview(tmp_path), ValueError, "has no losses, learning rates or norms of gradients yet"),
        (lambda: pictures.overview(tmp_path, "pdf"), ValueError, "format must be 'png' or 'svg', got 'pdf'"),
    ]:
        with pytest.raises(error, match=text):
            call()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.jsonl"]


def test_without_matplotlib(monkeypatch):
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.font_manager", "matplotlib.style"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"nn\.pictures\.curves needs the package matplotlib.*pip install matplotlib"):
        pictures.curves([epoch(1)])
    with pytest.raises(ImportError, match=r"nn\.pictures\.save needs the package matplotlib"):
        pictures.save(None, "a.png")


def test_names_and_numbers_as_text():
    assert short("abc", 3) == "abc"
    assert all(len(short("abcdefgh ijkl" * 3, n)) <= n for n in range(3, 30))
    assert names_for([], 2) == ["0", "1"]
    assert [percent(x) for x in (0.0, 1e-9, 0.001, 0.5, 0.999, 1 - 1e-9, 1.0)] == [
        "0 %",
        "<0.1 %",
        "0.1 %",
        "50.0 %",
        "99.9 %",
        ">99.9 %",
        "100 %",
    ]


def test_names_that_the_font_lacks_are_no_error(tmp_path):
    figure = pictures.confusion_matrix([[1, 0], [0, 1]], ["お", "\U0001f600"])
    pictures.save(figure, tmp_path / "a.png")
