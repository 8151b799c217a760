"""`make demo`: LeNet-5 learns to read handwritten digits, in a few seconds on a CPU.

Run as `python -m minigrad.models.demo`. `main` is the whole story: data, training, test, and what it leaves behind.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.models.lenet import LeNet5, lenet5
from minigrad.nn.optional import need

TEST_SIZE = 360  # of 1,797; the other 1,437 are for training
BATCH_SIZE = 32
EPOCHS = 20
LEARNING_RATE = 1e-3

Curves = dict[str, list[float]]


def prepare(images: np.ndarray) -> np.ndarray:
    """Digits as LeNet-5 takes them: uint8 (N, 8, 8) from 0 to 16 -> float32 (N, 1, 28, 28) from 0 (paper) to 1 (ink).

    Every pixel becomes a square of 3x3, and the border is 2 pixels of paper.

    >>> prepare(np.full((1, 8, 8), 16, "uint8")).sum().item()
    576.0
    """
    large = images.repeat(3, axis=1).repeat(3, axis=2).astype(np.float32) / 16
    return np.pad(large, ((0, 0), (2, 2), (2, 2)))[:, None]


def predict(model: nn.Module, x: np.ndarray) -> np.ndarray:
    """The most likely class of each image, (N,)."""
    model.eval()
    with mg.no_grad():
        return model(x).argmax(axis=1).numpy()


def train(
    model: nn.Module,
    x: np.ndarray,
    y: np.ndarray,
    x_test: np.ndarray,
    y_test: np.ndarray,
    epochs: int = EPOCHS,
    generator: np.random.Generator | None = None,
    quiet: bool = True,
) -> Curves:
    """Train a classifier with Adam; the mean loss and both accuracies of every epoch."""
    bars = need("tqdm", "the demo's progress bar")
    generator = generator or mg.random.default_generator()
    criterion = nn.CrossEntropyLoss()
    optimizer = nn.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    curves: Curves = {"loss": [], "training accuracy": [], "test accuracy": []}
    steps = -(-len(x) // BATCH_SIZE)
    with bars.tqdm(total=epochs * steps, unit="batch", disable=quiet) as bar:
        for epoch in range(epochs):
            bar.set_description(f"epoch {epoch + 1}/{epochs}")
            order = generator.permutation(len(x))
            total = hits = 0.0
            model.train()
            for i in range(0, len(x), BATCH_SIZE):
                batch = order[i : i + BATCH_SIZE]
                logits = model(x[batch])
                loss = criterion(logits, y[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item() * len(batch)
                hits += (logits.detach().argmax(axis=1).numpy() == y[batch]).sum()
                bar.update()
                bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
            curves["loss"].append(total / len(x))
            curves["training accuracy"].append(hits / len(x))
            curves["test accuracy"].append(float((predict(model, x_test) == y_test).mean()))
    return curves


def picture(
    model: LeNet5, curves: Curves, images: np.ndarray, labels: np.ndarray, predicted: np.ndarray, path: Path
) -> None:
    """Draw the curves, the six filters of the first layer, and some test digits with their predictions."""
    figures = need("matplotlib.figure", "the demo's picture")
    figure = figures.Figure(figsize=(11, 8), layout="constrained")  # not pyplot: that would look for a window
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.08)
    top, middle, bottom = figure.subfigures(3, 1, height_ratios=(1.6, 1, 0.75))
    epochs = range(1, len(curves["loss"]) + 1)

    left, right = top.subplots(1, 2)
    left.plot(epochs, curves["loss"], "o-", ms=3, color="tab:blue")
    left.set(title="Training loss (log scale)", xlabel="epoch", ylabel="cross entropy", yscale="log")
    right.plot(epochs, curves["training accuracy"], "o-", ms=3, color="tab:blue", label="training, during the epoch")
    right.plot(epochs, curves["test accuracy"], "o-", ms=3, color="tab:orange", label="test, after it")
    right.set(title=f"Accuracy, at the end {curves['test accuracy'][-1]:.1%} on the test", xlabel="epoch")
    right.yaxis.set_major_formatter("{x:.0%}")
    right.legend(loc="lower right")
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)

    filters = next(model.parameters()).detach().numpy()[:, 0]  # the weight of C1, (6, 1, 5, 5)
    limit = abs(filters).max()
    middle.suptitle("The six 5x5 filters that C1 has learned (white is 0)")
    row = middle.subplots(1, len(filters))
    for i, axes in enumerate(row):
        shown = axes.imshow(filters[i], cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes.set(xticks=[], yticks=[], xlabel=f"filter {i + 1}")
    middle.colorbar(shown, ax=row, shrink=0.8)

    wrong = np.flatnonzero(predicted != labels)
    few = wrong[:4]
    right_ones = np.flatnonzero(predicted == labels)[: 12 - len(few)]
    bottom.suptitle(
        f"Test digits under what the network reads: {len(few)} of its {len(wrong)} mistakes (red), then others"
    )
    for axes, i in zip(bottom.subplots(1, 12), (*few, *right_ones), strict=True):
        axes.imshow(images[i], cmap="gray_r")
        is_wrong = predicted[i] != labels[i]
        color = "tab:red" if is_wrong else "black"
        axes.set(xticks=[], yticks=[])
        axes.set_title(f"{predicted[i]}", color=color)
        axes.set_xlabel(f"is {labels[i]}" if is_wrong else "", color=color)
        axes.spines[:].set(color=color, linewidth=2 if is_wrong else 0.8)
    figure.savefig(path, dpi=110)


def main(arguments: list[str] | None = None) -> float:
    """Run the demo, see `--help` for the arguments; returns the test accuracy."""
    parser = argparse.ArgumentParser(prog="python -m minigrad.models.demo", description="Train LeNet-5 on digits.")
    parser.add_argument("--seed", type=int, default=0, help="of the split, the weights and the batches (default: 0)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"passes over the training set (default: {EPOCHS})")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="the folder for the results (default: ./demo)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_args(arguments)
    if options.epochs < 1:
        parser.error(f"--epochs must be at least 1, got {options.epochs}")
    for package in ("tqdm", "matplotlib", "safetensors"):
        need(package, "the demo")  # now, not after the training

    generator = mg.manual_seed(options.seed)
    images, labels = nn.data.digits()
    order = generator.permutation(len(images))
    images, labels = images[order], labels[order]
    x = prepare(images)
    print(
        f"minigrad: LeNet-5 on {len(x)} handwritten digits (UCI), {len(x) - TEST_SIZE} for training and {TEST_SIZE} "
        f"for the test, drawn at random with seed {options.seed}.\n"
        f"The same 13 people wrote both parts; on digits of other writers the accuracy would be lower (91 to 92 %)."
    )

    model = lenet5()
    start = time.perf_counter()
    curves = train(
        model,
        x[TEST_SIZE:],
        labels[TEST_SIZE:],
        x[:TEST_SIZE],
        labels[:TEST_SIZE],
        epochs=options.epochs,
        generator=generator,
        quiet=options.quiet,
    )
    seconds = time.perf_counter() - start
    predicted = predict(model, x[:TEST_SIZE])
    accuracy = curves["test accuracy"][-1]
    wrong = int((predicted != labels[:TEST_SIZE]).sum())
    print(f"test accuracy {accuracy:.2%} ({wrong} of {TEST_SIZE} wrong), trained in {seconds:.1f} s")

    options.out.mkdir(parents=True, exist_ok=True)
    weights, drawing = options.out / "lenet5.safetensors", options.out / "lenet5.png"
    nn.save(model, weights)
    picture(model, curves, images[:TEST_SIZE], labels[:TEST_SIZE], predicted, drawing)
    print(
        f"""weights: {weights}
picture: {drawing}

To load the weights and read digits with them:

    from minigrad import models, nn
    from minigrad.models.demo import predict, prepare

    model = models.lenet5()
    model.load_state_dict(nn.load({str(weights)!r}))
    images, labels = nn.data.digits()
    print(predict(model, prepare(images[:10])), labels[:10])"""
    )
    return accuracy


if __name__ == "__main__":
    main()
