"""`minigrad devices`."""

from __future__ import annotations

import importlib
import os
import platform
from typing import Any

import click
import numpy as np

from minigrad import why_no_gpu
from minigrad.models.cli.command import Command
from minigrad.models.cli.output import as_json, columned, say
from minigrad.models.cli.settings import json_option

THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")

EXAMPLES = """
minigrad devices
minigrad devices --json
"""


@click.command(cls=Command, epilog=EXAMPLES)
@json_option
def devices(json_wanted: bool) -> None:
    """Say what there is to compute on."""
    found = {"cpu": cpu(), "cuda": cuda()}
    if json_wanted:
        say(as_json(found))
        return
    rows = [[device, key, str(value)] for device, known in found.items() for key, value in known.items()]
    for line in columned(rows, [False, False, False]):
        say(line)


def cpu() -> dict[str, Any]:
    """The CPU: what NumPy multiplies matrices with, and on how many threads."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limits = [f"{os.environ[name]} by {name}" for name in THREADS if os.environ.get(name)]
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": cores,
        "numpy": np.__version__,
        "blas": f"{blas['name']} {blas['version']}",
        "threads": limits[0] if limits else f"{cores}; fewer by setting {THREADS[0]}",
    }


def cuda() -> dict[str, Any]:
    """The GPU, or the reason why there is none."""
    if reason := why_no_gpu():
        return {"no GPU": reason}
    cupy = importlib.import_module("cupy")
    known = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
    return {
        "device": known["name"].decode(),
        "memory": f"{known['totalGlobalMem'] / 2**30:.1f} GiB",
        "compute": f"{known['major']}.{known['minor']}",
        "cupy": cupy.__version__,
    }
