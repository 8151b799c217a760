"""`minigrad train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from minigrad.models.cli.command import Command
from minigrad.models.cli.configure import configured
from minigrad.models.cli.output import remark
from minigrad.models.cli.resume import is_complete, refuse_used, resumed
from minigrad.models.cli.run import is_name, need_device
from minigrad.models.cli.settings import KeyValue, device_option, model_options
from minigrad.models.cli.training import Training, look_for_lr
from minigrad.nn.optional import need

EXAMPLES = """
minigrad train lenet5 --data digits --epochs 3
minigrad train lenet5 --data fashion-mnist --epochs 10 --seed 1
minigrad train resnet20_cifar --data cifar10 --recipe resnet_2015_cifar --download
minigrad train vgg11 --data photos/ --size 64 --width 0.25 --set optimizer.lr=0.0003
minigrad train lenet5 --data digits --find-lr
minigrad train lenet5 --data digits --epochs 20 --resume
"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("model")
@click.option("--data", required=True, metavar="NAME|PATH", help="A data set, a folder of images, or an .npz file.")
@click.option("--recipe", default="default", show_default=True, metavar="NAME|FILE.toml", help="How to train.")
@click.option("--set", "changes", type=KeyValue(), multiple=True, help="Change the recipe, as optimizer.lr=0.05.")
@click.option("--epochs", type=click.IntRange(min=1), metavar="N", help="Passes over the training set.")
@click.option("--batch-size", type=click.IntRange(min=1), metavar="N", help="Images in a batch.")
@click.option("--lr", type=click.FloatRange(min=0, min_open=True), metavar="X", help="Learning rate.")
@click.option("--size", type=click.IntRange(min=1), metavar="N", help="Resize the images to this many pixels a side.")
@model_options
@click.option("--weights", type=click.Path(exists=True, dir_okay=False), help="Start from the weights in this file.")
@device_option
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Of all that is drawn."
)
@click.option(
    "--validation",
    type=click.FloatRange(min=0, max=1, max_open=True),
    default=0.1,
    show_default=True,
    metavar="X",
    help="Share of the training set that is held out; 0 for none.",
)
@click.option("--limit", type=click.IntRange(min=2), metavar="N", help="Use only so many samples, for a quick try.")
@click.option("--out", type=click.Path(file_okay=False), help="The run's folder.  [default: runs/MODEL-DATA]")
@click.option("--resume", is_flag=True, help="Go on with the run in this folder, with its options.")
@click.option(
    "--workers", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Threads for images."
)
@click.option("--autocast", is_flag=True, help="Compute in float16 where that is safe (cuda).")
@click.option("--ema", type=click.FloatRange(0, 1), metavar="DECAY", help="Evaluate with averaged weights.")
@click.option("--early-stopping", type=click.IntRange(min=1), metavar="N", help="Stop after N epochs without progress.")
@click.option("--tensorboard", is_flag=True, help="Write a log for TensorBoard too.")
@click.option("--find-lr", is_flag=True, help="Look for a good learning rate, and do not train.")
@click.option("--download", is_flag=True, help="Download the data set if it is not here.")
@click.option("--data-root", type=click.Path(), help="The folder of data sets.")
@click.option("--quiet", is_flag=True, help="Show nothing but the results.")
@click.pass_context
def train(ctx: click.Context, **asked: Any) -> None:
    """Train MODEL on a data set.

    The best weights by validation are tested once, at the end. They are saved in the run's folder, with a log,
    checkpoints and pictures. Ctrl-C saves too, and says how to go on.

    `minigrad models`, `minigrad data` and `minigrad recipes` list what there is. Epochs, batches and the learning rate
    are the recipe's unless they are given.
    """
    need("safetensors", "minigrad train")  # now, not after an epoch
    name = asked["data"] if is_name(asked["data"]) else Path(asked["data"]).expanduser().resolve().stem
    folder = Path(asked["out"] or Path("runs", f"{asked['model']}-{name}"))
    if asked["find_lr"]:
        need_device(asked["device"])
        look_for_lr(configured(asked), folder, asked["download"])
        return
    if asked["resume"] and (folder / "config.json").exists():
        config = resumed(ctx, folder, asked)
        if is_complete(folder, config):
            return
        if not any((folder / "checkpoints").glob("step-*")):
            remark(f"There is no checkpoint in {folder} yet: starting from the beginning, with its options.")
    else:
        refuse_used(folder)
        if asked["resume"]:
            remark(f"There is nothing to resume in {folder}: starting.")
        config = configured(asked)
    need_device(config.device)
    training = Training(config, folder, asked["download"], asked["quiet"])
    config.write(folder)  # not before it is known that all parts can be made
    training.run()
