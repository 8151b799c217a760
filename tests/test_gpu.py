"""Everything on a real GPU: ops and kernels against the CPU, gradients, training, streams and memory (`make gpu`).

The kernels come first: where they fail, the rest tells nothing new. `tests/pretended.py` walks through this file
without a GPU.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn
from minigrad.backend import raw
from minigrad.kernels import cpu
from tests import networks
from tests.kerneltable import CASES, LAYOUTS, UPDATES, Case, Update, arguments, difference, updated
from tests.optable import ROWS, Row

pytestmark = pytest.mark.gpu
PRETENDED = "tests.pretended" in sys.modules
needs_a_device = pytest.mark.skipif(PRETENDED, reason="only a real device can show it")

# Of the norm. Sums have up to 10,000 terms, and the GPU adds in another order.
KERNEL_ERRORS = {"float64": 2e-14, "float32": 5e-6, "float16": 5e-4, "bfloat16": 4e-3}
# Of the largest value. The GPU's exp, log and their kin are right to a few units in the last place.
OP_ERRORS = {"float64": 1e-12, "float32": 1e-5, "float16": 1e-2}


@pytest.fixture
def cupy() -> Any:
    return importlib.import_module("cupy")


def there(x: np.ndarray, requires_grad: bool = False) -> mg.Tensor:
    return mg.tensor(x, device="cuda", requires_grad=requires_grad)


def host(x: Any) -> np.ndarray:
    return x.get() if hasattr(x, "get") else raw(x.detach().to("cpu"))


# ---- kernels --------------------------------------------------------------------------------------------------------


def outputs(kernel: Callable, given: tuple) -> list:
    with np.errstate(all="ignore"):  # of nan and infinity
        found = kernel(*given)
    return list(found) if isinstance(found, tuple) else [found]


def poison(cupy: Any) -> None:
    """Let the arrays that are made next hold nan until they are written: they get this memory."""
    for _ in range(4):
        cupy.full(2**20, np.nan, "float32")


@pytest.mark.parametrize("dtype", KERNEL_ERRORS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_kernel(cupy: Any, case: Case, dtype: str) -> None:
    """In every memory layout, against the CPU's kernel in float64, and twice the same bits."""
    kernels = importlib.import_module("minigrad.kernels.cuda")
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="CuPy takes bfloat16 from ml_dtypes, which is not installed here")
        if PRETENDED and case.name == "one by one":
            pytest.skip("NumPy's product of matrices adds up in bfloat16, that of a GPU in float32")
    for layout in LAYOUTS if dtype == "float32" else ("row-major",):
        exact, given = arguments(case, dtype, layout, cupy.asarray)
        expected = outputs(getattr(cpu, case.kernel), exact)
        poison(cupy)
        got = [host(y) for y in outputs(getattr(kernels, case.kernel), given)]
        again = [host(y) for y in outputs(getattr(kernels, case.kernel), given)]
        assert len(got) == len(expected)
        for y, same, e in zip(got, again, expected, strict=True):
            if case.exact:
                np.testing.assert_array_equal(y.astype("float64"), e, err_msg=layout)
            else:
                assert y.dtype == dtype, layout
                assert difference(y, e) <= KERNEL_ERRORS[dtype], layout
            np.testing.assert_array_equal(y.view("u1"), same.view("u1"), err_msg=f"not the same bits again, {layout}")


@pytest.mark.parametrize("dtype", KERNEL_ERRORS)
@pytest.mark.parametrize("row", UPDATES, ids=lambda row: row.id)
def test_update(cupy: Any, row: Update, dtype: str) -> None:
    """The formula of an optimizer in every layout, against the same formula in float64, and twice the same bits."""
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="CuPy takes bfloat16 from ml_dtypes, which is not installed here")
    values = row.values(dtype)
    exact = [None if v is None else v.astype("float64") for v in values]
    norms = row.formula(*exact, **row.numbers)
    expected = [v for v in exact if v is not None] + ([] if norms is None else [np.array(norms)])
    for layout in LAYOUTS if dtype == "float32" else ("row-major",):
        runs = []
        for _ in range(2):
            arrays, found = updated(row, values, layout, cupy.asarray)
            runs.append([host(a) for a in arrays if a is not None] + ([] if found is None else [host(found)]))
        for value, same, e in zip(*runs, expected, strict=True):
            assert difference(value, e) <= KERNEL_ERRORS[dtype], layout
            np.testing.assert_array_equal(value, same, err_msg=f"not the same bits again, {layout}")


@needs_a_device
def test_more_elements_than_32_bits_count(cupy: Any) -> None:
    """Images of 2,250,000,000 elements, of which a few windows at the end are compared."""
    if mg.cuda.memory().free < 16 * 2**30:
        pytest.skip("takes 16 GiB of free memory")
    x = cupy.zeros((1, 1, 50_000, 45_000), "float16")
    rng = np.random.default_rng(0)
    corner = rng.standard_normal((9, 9)).astype("float16")
    x[0, 0, -9:, -9:] = cupy.asarray(corner)
    w = rng.standard_normal((1, 1, 3, 3)).astype("float16")
    y = mg.conv2d(x, cupy.asarray(w), stride=3, padding=((1, 0), (0, 0)))  # 50,001 and 45,000 are multiples of 3
    expected = mg.conv2d(corner[None, None].astype("float64"), w.astype("float64"), stride=3)
    assert difference(y[..., -3:, -3:].get(), expected) < 1e-3
    del y
    pooled, index = mg.max_pool2d(x, 3, padding=(1, 0), return_indices=True)
    np.testing.assert_array_equal(pooled[..., -3:, -3:].get(), mg.max_pool2d(corner[None, None], 3))
    assert int(index[0, 0, -1, -1]) >= x.size - 3 * x.shape[3]


# ---- ops ------------------------------------------------------------------------------------------------------------


OPS = [
    pytest.param(row, dtype, id=f"{row.id}-{dtype}")
    for row in ROWS
    for dtype in OP_ERRORS
    if row.differentiable or dtype != "float16"
]


@pytest.mark.parametrize(("row", "dtype"), OPS)
def test_op(row: Row, dtype: str) -> None:
    """Value and gradients, against the CPU in float64."""
    given = [x.astype(dtype) for x in row.inputs(np.random.default_rng(1))]
    here = [mg.tensor(x.astype("float64"), requires_grad=True) for x in given]
    moved = [there(x, requires_grad=True) for x in given]
    expected, y = row.call(*here), row.call(*moved)
    assert y.device == "cuda"
    close(host(y), host(expected), dtype)
    if y.requires_grad:
        seed = np.random.default_rng(2).standard_normal(expected.shape)
        for create_graph in (False, True):
            one = mg.grad(y, moved, there(seed.astype(y.dtype)), True, create_graph, allow_unused=True)
            other = mg.grad(expected, here, seed, retain_graph=True, allow_unused=True)
            for g, e in zip(one, other, strict=True):
                if e is not None:
                    assert (g.device, g.dtype) == ("cuda", dtype)
                    close(host(g), host(e), dtype)


def close(got: np.ndarray, expected: np.ndarray, dtype: str) -> None:
    eps = OP_ERRORS[dtype]
    largest = max(1.0, float(np.abs(expected.astype("float64")).max(initial=0, where=np.isfinite(expected))))
    np.testing.assert_allclose(got.astype("float64"), expected.astype("float64"), rtol=eps, atol=eps * largest)


CHECKED: dict[str, tuple[Callable, list[tuple[int, ...]]]] = {
    "conv1d": (lambda x, w, b: mg.conv1d(x, w, b, stride=2, padding=1), [(2, 3, 9), (4, 3, 3), (4,)]),
    "conv2d": (lambda x, w, b: mg.conv2d(x, w, b, padding=1, dilation=2), [(2, 3, 6, 5), (4, 3, 3, 2), (4,)]),
    "conv2d in groups": (lambda x, w: mg.conv2d(x, w, stride=2, groups=2), [(2, 4, 7, 6), (6, 2, 3, 3)]),
    "conv2d depthwise": (lambda x, w: mg.conv2d(x, w, padding=1, groups=4), [(2, 4, 5, 6), (4, 1, 3, 3)]),
    "conv2d one by one": (mg.conv2d, [(2, 5, 3, 4), (3, 5, 1, 1)]),
    "conv3d": (lambda x, w: mg.conv3d(x, w, padding=1), [(1, 2, 3, 4, 3), (3, 2, 2, 3, 2)]),
    "conv_transpose2d": (lambda x, w: mg.conv_transpose2d(x, w, stride=2, padding=1), [(2, 3, 4, 3), (3, 2, 3, 3)]),
    "max_pool2d": (lambda x: mg.max_pool2d(x, 3, stride=2, padding=1), [(2, 3, 7, 6)]),
    "min_pool2d": (lambda x: mg.min_pool2d(x, 2), [(2, 3, 6, 4)]),
    "avg_pool2d": (lambda x: mg.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False), [(2, 3, 7, 6)]),
}


@pytest.mark.parametrize("name", CHECKED)
def test_gradients_of_both_orders(name: str) -> None:
    """Against finite differences on the device itself."""
    function, shapes = CHECKED[name]
    rng = np.random.default_rng(3)
    mg.check_gradients(function, *(there(rng.permutation(np.prod(s)).reshape(s) / np.prod(s)) for s in shapes))


# ---- training -------------------------------------------------------------------------------------------------------


def trained(
    device: str, kind: str, steps: int = 4, before: Callable = lambda: None
) -> tuple[list[float], list[np.ndarray]]:
    """The losses of some steps, and the parameters after them; the same start on every device."""
    rng = np.random.default_rng(0)
    if kind == "LeNet-5":
        mg.manual_seed(1)
        net = models.lenet5().to(device)
        parameters, forward = list(net.parameters()), net
        images = rng.standard_normal((16, 1, 28, 28))
    else:
        widths, blocks = (4, 6, 8), 1
        parameters = [mg.tensor(w, device=device, requires_grad=True) for w in networks.weights(rng, widths, blocks)]
        forward = lambda x: networks.residual(x, parameters, mg, widths, blocks)  # noqa: E731
        images = rng.standard_normal((8, 3, 16, 16))
    x = mg.tensor(images.astype("float32"), device=device)
    target = mg.tensor(rng.integers(0, 10, len(images)), device=device)
    optimizer = nn.optim.SGD(parameters, lr=0.05, momentum=0.9)
    losses = []
    for _ in range(steps):
        before()
        loss = mg.cross_entropy(forward(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert {p.device for p in parameters} == {device}
    return losses, [host(p) for p in parameters]


NETWORKS = ["LeNet-5", "residual"]


@pytest.mark.parametrize("kind", NETWORKS)
def test_training_follows_the_cpu(kind: str) -> None:
    (here, expected), (losses, parameters) = trained("cpu", kind), trained("cuda", kind)
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(losses, here, rtol=1e-4)
    for p, e in zip(parameters, expected, strict=True):
        assert difference(p, e) < 1e-4


@pytest.mark.parametrize("kind", NETWORKS)
def test_training_twice_gives_the_same_bits(kind: str) -> None:
    (losses, parameters), (again, same) = trained("cuda", kind, 2), trained("cuda", kind, 2)
    assert losses == again
    for p, e in zip(parameters, same, strict=True):
        np.testing.assert_array_equal(p, e)


# ---- streams and memory ---------------------------------------------------------------------------------------------


def keep_busy(cupy: Any) -> Any:
    """Some 50 ms of work for the current stream, and what is recorded after it."""
    n = 16 if PRETENDED else 4096
    busy = cupy.full((n, n), 1 / n, "float32")
    for _ in range(20):
        busy = busy @ busy
    return cupy.cuda.get_current_stream().record()


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_step_on_another_stream(cupy: Any, kind: str) -> None:
    """A stream that does not wait for the default one, kept busy: a kernel launched elsewhere would come too early."""
    expected = trained("cuda", kind, 2)
    with cupy.cuda.Stream(non_blocking=True):
        losses, parameters = trained("cuda", kind, 2, lambda: keep_busy(cupy))
    assert losses == expected[0]
    for p, e in zip(parameters, expected[1], strict=True):
        np.testing.assert_array_equal(p, e)


@pytest.mark.parametrize("case", [c for c in CASES if c.name in ("ragged", "images")], ids=lambda case: case.id)
def test_a_kernel_waits_for_its_input_on_another_stream(cupy: Any, case: Case) -> None:
    kernels = importlib.import_module("minigrad.kernels.cuda")
    exact, given = arguments(case, "float32", "row-major", cupy.asarray)
    expected = outputs(getattr(cpu, case.kernel), exact)
    outputs(getattr(kernels, case.kernel), given)  # compiled
    late = [cupy.zeros_like(a) if hasattr(a, "get") else a for a in given]
    mg.cuda.synchronize()
    with cupy.cuda.Stream(non_blocking=True) as stream:
        keep_busy(cupy)
        for a, b in zip(late, given, strict=True):
            if hasattr(a, "get"):
                a[...] = b
        got = outputs(getattr(kernels, case.kernel), tuple(late))
        stream.synchronize()
    for y, e in zip(got, expected, strict=True):
        assert difference(y.get(), e) <= KERNEL_ERRORS["float32"]


@pytest.fixture
def _without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_without_collector")
@pytest.mark.parametrize("backward", [False, True], ids=["dropped", "gone back through"])
def test_a_dropped_graph_returns_its_memory(backward: bool) -> None:
    """By counting references alone: nothing waits for the garbage collector."""
    mg.manual_seed(1)
    net = models.lenet5().to("cuda")
    x, target = mg.randn(64, 1, 28, 28, device="cuda"), mg.randint(0, 10, (64,), device="cuda")

    def step() -> None:
        loss = mg.cross_entropy(net(x), target)
        if backward:
            loss.backward()
            net.zero_grad()

    step()  # the libraries take their workspace
    before = mg.cuda.memory().used
    for _ in range(3):
        step()
        assert mg.cuda.memory().used == before
    loss = mg.cross_entropy(net(x), target)
    assert mg.cuda.memory().used > before + 64 * 6 * 28 * 28 * 4
    del loss
    assert mg.cuda.memory().used == before


def test_memory(cupy: Any) -> None:
    before = mg.cuda.memory()
    x = mg.zeros((1024, 1024), device="cuda")
    held = mg.cuda.memory()
    assert held.used == before.used + x.size * 4
    assert held.used <= held.reserved <= held.total - held.free
    assert held.total == cupy.cuda.runtime.memGetInfo()[1]
    del x
    assert mg.cuda.memory().used == before.used


@needs_a_device
def test_too_much_memory_is_an_error_and_not_the_end() -> None:
    with pytest.raises(MemoryError, match=r"Out of memory allocating [\d,]+ bytes"):
        mg.zeros((2**44,), device="cuda")
    assert mg.ones(3, device="cuda").sum().item() == 3


@needs_a_device
def test_synchronize_waits(cupy: Any) -> None:
    done = keep_busy(cupy)
    assert not done.done
    mg.cuda.synchronize()
    assert done.done
