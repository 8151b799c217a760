"""Every simple layer, row by row of the table: gradients, devices, memory order, dtypes."""

from __future__ import annotations

import importlib
import inspect
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from tests.cudaemu import fake_cupy
from tests.layertable import LAYERS, Layer, as_function

FILES = "activation bilinear container dropout embedding flatten identity lenet local padding pixel_shuffle upsample"
rows = pytest.mark.parametrize("row", LAYERS, ids=lambda row: row.id)
images = pytest.mark.parametrize(
    "row", [row for row in LAYERS if [x.ndim for x in row.inputs(np.random.default_rng(0))] == [4]], ids=lambda r: r.id
)


def inputs(row: Layer) -> list[np.ndarray]:
    return row.inputs(np.random.default_rng(1))


@pytest.mark.parametrize("file", FILES.split())
def test_every_layer_has_a_row(file: str) -> None:
    module = importlib.import_module(f"minigrad.nn.layers.{file}")
    found = {
        name
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__ and not name.startswith("_")
        if "Abstract." not in value.__doc__
    }
    callable_ones = found - {"ModuleList", "ModuleDict"}
    assert callable_ones
    assert callable_ones <= {row.name for row in LAYERS}
    assert found <= set(nn.__all__)


def test_ids_are_unique() -> None:
    ids = [row.id for row in LAYERS]
    assert len(ids) == len(set(ids))


@rows
def test_gradients(row: Layer) -> None:
    call, values = as_function(row.make(nn))
    if row.name == "Embedding" and row.case:  # its weight has a row without a gradient: tested by itself
        return
    mg.check_gradients(call, *inputs(row), *values)


@rows
def test_dtype_is_kept_and_inputs_are_not_changed(row: Layer) -> None:
    layer = row.make(nn)
    for dtype in ("float32", "float16"):
        layer.to(dtype)
        xs = [x.astype(dtype) if x.dtype.kind == "f" else x for x in inputs(row)]
        before = [x.copy() for x in xs]
        assert layer(*xs).dtype == dtype
        for x, copy in zip(xs, before, strict=True):
            np.testing.assert_array_equal(x, copy)


def both_devices(row: Layer) -> list[list[np.ndarray]]:
    """The output and all gradients, on the CPU and on the stand-in for a GPU, of the first and the second order."""
    found = []
    for device in ("cpu", "cuda"):
        mg.manual_seed(2)
        layer = row.make(nn).to(np.float64).to(device)
        xs = [mg.tensor(x, device=device, requires_grad=x.dtype.kind == "f") for x in inputs(row)]
        leaves = [x for x in (*xs, *layer.parameters()) if x.requires_grad]
        layer.eval()  # each device has its own random numbers
        y = layer(*xs)
        assert y.device == device
        first = mg.grad((y * y).sum(), leaves, create_graph=True)
        total = sum((g * g).sum() for g in first)
        second = mg.grad(total, leaves, allow_unused=True) if total.requires_grad else []
        found.append([t.detach().to("cpu").numpy() for t in (y, *first, *second) if t is not None])
    return found


@rows
def test_on_cuda(row: Layer) -> None:
    with fake_cupy.install():
        here, there = both_devices(row)
    assert len(here) == len(there)
    for a, b in zip(here, there, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-10, atol=1e-12)


def pixels_first(x: Any) -> bool:
    """Whether a 4-D array lies in memory in the order H, W, N, C; axes of length 1 say nothing."""
    steps = [x.strides[a] for a in (2, 3, 0, 1) if x.shape[a] > 1]
    return all(a >= b for a, b in pairwise(steps)) and 0 not in steps


@images
def test_images_keep_the_memory_order_of_the_kernels(row: Layer) -> None:
    (x,) = inputs(row)
    lying = np.ascontiguousarray(x.transpose(2, 3, 0, 1)).transpose(2, 3, 0, 1)
    layer, image = row.make(nn).to(np.float64), mg.asarray(lying).requires_grad_()
    y = layer(image)
    assert y.ndim != 4 or pixels_first(y._array), y._array.strides
    mg.manual_seed(0)
    plain = layer(x)
    mg.manual_seed(0)
    np.testing.assert_allclose(layer(lying).detach().numpy(), plain.detach().numpy(), rtol=1e-13, atol=1e-14)
    y.sum().backward()
    assert pixels_first(image.grad._array)
