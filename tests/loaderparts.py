"""Data sets and transforms for the tests of loaders: in a module of their own, for worker processes import them."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad.nn.data import Dataset, messages


class Noisy(Dataset):
    """Images that draw from minigrad's default generator, as data sets should not."""

    def __init__(self, n=23):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return np.full((1, 4, 4), i, np.float32) + mg.rand(1, 4, 4).numpy(), i


class Sizes(Dataset):
    """Photographs: (1, 4 + i, 5)."""

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return np.full((1, 4 + i, 5), i, np.uint8), i


class TornError(Exception):
    """An exception that pickle cannot make again, for it has two arguments and hands on one."""

    def __init__(self, what, how):
        super().__init__(f"{what} {how}")


class Trouble(Dataset):
    """Sample 5 makes trouble."""

    def __init__(self, kind):
        self.kind = kind

    def __len__(self):
        return 8

    def __getitem__(self, i):
        if i == 5:
            match self.kind:
                case "raise":
                    raise KeyError("no such photograph")
                case "raise unpicklable":
                    raise TornError("photograph", "torn")
                case "unpicklable":
                    return (threading.Lock(),)
                case "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "exit":
                    os._exit(3)
                case "hang":
                    time.sleep(60)
        return np.full(3, i), i


class Unloadable(Dataset):
    """Pickled well, it cannot be loaded again."""

    def __len__(self):
        return 8

    def __getitem__(self, i):
        return (i,)

    def __setstate__(self, state):
        raise LookupError("the photographs are on another disk")

    def __getstate__(self):
        return {"n": 8}


class Written(Dataset):
    """Notes in a file each batch that is made, for all processes to see."""

    def __init__(self, path, image=(1000,)):
        self.path = path
        self.image = image

    def __len__(self):
        return 40

    def __getitem__(self, i):
        raise AssertionError("batch is used")

    def batch(self, indices):
        with Path(self.path).open("a") as file:
            file.write("x")
        return np.zeros((len(indices), *self.image), np.float32), np.asarray(indices)

    def made(self):
        return len(Path(self.path).read_text())


class Big(Dataset):
    """Rows of 1 MB in one array, and where each process has it."""

    def __init__(self):
        self.rows = np.arange(8 * 2**18, dtype=np.float32).reshape(8, 2**18)

    def __len__(self):
        return 8

    def __getitem__(self, i):
        self.rows[i, 0] = -1  # seen by none of the others
        return self.rows[i], self.rows[:, 0].copy(), os.getpid()


class Elsewhere(Dataset):
    """Rows of 1 MB, in processes of a system without anonymous files in memory."""

    def __init__(self):
        self.rows = np.arange(6 * 2**18, dtype=np.float32).reshape(6, 2**18)

    def __len__(self):
        return 6

    def __getitem__(self, i):
        return self.rows[i], i

    def __setstate__(self, state):
        self.__dict__.update(state)
        messages.IN_MEMORY = False


def noise(images, generator):
    return images + generator.random(images.shape, np.float32)


def pair(images, labels, generator):
    """Mixing: images and labels of two samples, half and half."""
    order = generator.permutation(len(images))
    return (images + images[order]) / 2, np.stack([labels, labels[order]], 1).astype(np.float32)


def crop(images, generator):
    return [image[:, :4, :4] for image in images]


def slow(images, generator):
    time.sleep(0.05)
    return images


if __name__ == "__main__":  # run by the tests of what happens when Python ends
    from minigrad.nn.data import ArrayDataset, DataLoader

    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores Ctrl-C
    workers, how = sys.argv[1:]
    batches = iter(DataLoader(ArrayDataset(np.arange(40)), 1, transform=slow, num_workers=1, workers=workers))
    next(batches)
    print("begun", flush=True)
    if how != "leave":
        for _ in batches:
            pass
