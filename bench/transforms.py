"""What do transforms cost? Time per batch against torchvision's v2 applied to each image, on one thread.

A loader of PyTorch calls its transforms for each image; ours take the batch. Two batches are measured, 128 of 3x32x32
and 16 of 3x256x256. The two take turns (A B A B ...) in one process; the table has the least time of each, in
milliseconds of CPU time, and the ratio.

    OPENBLAS_NUM_THREADS=1 python bench/transforms.py              # all
    OPENBLAS_NUM_THREADS=1 python bench/transforms.py Resize Pad   # those whose names begin so
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import torch

from minigrad.nn.data import transforms as ours

sys.modules.setdefault("torchvision._meta_registrations", ModuleType("torchvision._meta_registrations"))
from torchvision.transforms import v2 as theirs  # noqa: E402 (the line above must come first)

ROUNDS, REPEATS = 5, 3
RGB = [0.5] * 3, [0.25] * 3


def rows(side: int) -> list[tuple[str, str, Any, Any]]:
    """(name, dtypes, ours, theirs) of the transforms for images of side x side."""
    part = side * 7 // 8

    def both(name: str, *args: Any, kinds: str = "uf", **options: Any) -> tuple[str, str, Any, Any]:
        shown = ", ".join([*map(str, args), *(f"{key}={value}" for key, value in options.items())])
        return f"{name}({shown})", kinds, getattr(ours, name)(*args, **options), getattr(theirs, name)(*args, **options)

    cifar = [theirs.RandomCrop(side, 4), theirs.RandomHorizontalFlip(), theirs.ToDtype(torch.float32, scale=True)]
    return [
        ("ToFloat()", "u", ours.ToFloat(), theirs.ToDtype(torch.float32, scale=True)),
        both("Normalize", *RGB, kinds="f"),
        both("RandomHorizontalFlip"),
        both("RandomVerticalFlip"),
        both("CenterCrop", part),
        both("RandomCrop", part),
        both("RandomCrop", side, 4),
        both("RandomCrop", side, 4, padding_mode="reflect"),
        both("Pad", 2),
        both("Resize", [part, part]),
        both("Resize", [2 * side, 2 * side]),
        both("Resize", [part, part], "bicubic"),
        both("Resize", [part, part], "nearest"),
        both("RandomResize", part - 4, part + 4),
        both("RandomResizedCrop", part),
        both("RandomRotation", 15),
        both("RandomRotation", 15, "bilinear"),
        both("RandomAffine", 10, (0.1, 0.1), (0.9, 1.1), 5, "bilinear"),
        both("Grayscale"),
        both("RandomGrayscale", 0.5),
        both("ColorJitter", brightness=0.4),
        both("ColorJitter", contrast=0.4),
        both("ColorJitter", saturation=0.4),
        both("ColorJitter", hue=0.1),
        both("ColorJitter", 0.4, 0.4, 0.4, 0.1),
        both("RandomErasing"),
        both("TenCrop", part),
        (
            "crop, flip, float, normalize",
            "u",
            ours.Compose([ours.RandomCrop(side, 4), ours.RandomHorizontalFlip(), ours.ToFloat(), ours.Normalize(*RGB)]),
            theirs.Compose([*cifar, theirs.Normalize(*RGB)]),
        ),
    ]


def stacked(results: list[Any]) -> Any:
    """What a loader of PyTorch makes of its images: one tensor, where they are of one size."""
    if isinstance(results[0], tuple):
        results = [torch.stack(crops) for crops in results]
    return torch.stack(results) if len({result.shape for result in results}) == 1 else results


def least(functions: list[Callable]) -> list[float]:
    """The least CPU time of each, in milliseconds; they take turns."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(ROUNDS):
        for function, taken in zip(functions, times, strict=True):
            function()
            for _ in range(REPEATS):
                start = time.process_time()
                function()
                taken.append(1000 * (time.process_time() - start))
    return [min(taken) for taken in times]


def main(wanted: tuple[str, ...]) -> None:
    """Measure and print the table."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    print("| batch | transform | dtype | minigrad, ms | torchvision, ms | ratio |\n|---|---|---|---|---|---|")
    for n, side in ((128, 32), (16, 256)):
        images = rng.integers(0, 256, (n, 3, side, side)).astype(np.uint8)
        batches = {"u": images, "f": (images / 255).astype(np.float32)}
        for name, kinds, our, their in rows(side):
            if not name.startswith(wanted):
                continue
            for kind in kinds:
                x, tensors = batches[kind], torch.from_numpy(batches[kind])
                a, b = least(
                    [
                        lambda our=our, x=x: our(x, rng),
                        lambda their=their, tensors=tensors: stacked([their(image) for image in tensors]),
                    ]
                )
                print(f"| {n}x3x{side}x{side} | {name} | {x.dtype} | {a:.2f} | {b:.2f} | {a / b:.2f} |", flush=True)


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or ("",))
