"""Devices, on the fake CuPy: transfers, gradients that come home, mixtures that are refused, reasons that are given."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import backend
from minigrad.kernels import cpu, cuda
from tests.cudaemu import fake_cupy


@pytest.fixture
def cupy() -> Iterator[Any]:
    with fake_cupy.install() as module:
        yield module


def floats(*shape: int, **more: Any) -> mg.Tensor:
    return mg.tensor(np.arange(1.0, 1 + np.prod(shape), dtype="float32").reshape(shape), **more)


def gradient(x: mg.Tensor) -> mg.Tensor:
    assert x.grad is not None
    return x.grad


# ---- transfers ------------------------------------------------------------------------------------------------------


def test_there_and_back(cupy: Any) -> None:
    x = floats(2, 3)
    there = x.to("cuda")
    assert (there.device, there.dtype, there.shape) == ("cuda", np.float32, (2, 3))
    assert there.to("cuda") is there
    assert x.to("cpu") is x
    back = there.to("cpu")
    assert back.device == "cpu"
    np.testing.assert_array_equal(back.numpy(), x.numpy())
    x[0, 0] = 100.0
    assert there[0, 0].item() == back[0, 0].item() == 1.0


def test_gradients_arrive_on_the_device_of_each_input(cupy: Any) -> None:
    here = floats(2, 3, requires_grad=True)
    there = floats(3, device="cuda", requires_grad=True)
    (here.to("cuda") * there).sum().backward()
    assert (gradient(here).device, gradient(there).device) == ("cpu", "cuda")
    np.testing.assert_array_equal(gradient(here).numpy(), [[1, 2, 3], [1, 2, 3]])
    np.testing.assert_array_equal(gradient(there).to("cpu").numpy(), [5, 7, 9])


def test_a_loss_on_the_cpu_sends_gradients_to_cuda(cupy: Any) -> None:
    there = floats(3, device="cuda", requires_grad=True)
    (there.to("cpu") ** 2).sum().backward()
    assert gradient(there).device == "cuda"
    assert gradient(there).tolist() == [2, 4, 6]


def test_second_derivatives_cross_devices(cupy: Any) -> None:
    here = floats(3, requires_grad=True)
    (g,) = mg.grad((here.to("cuda") ** 3).sum(), here, create_graph=True)
    (h,) = mg.grad(g.to("cuda").sum(), here)
    assert (g.device, h.device) == ("cpu", "cpu")
    np.testing.assert_array_equal(h.numpy(), [6, 12, 18])


def test_seeds(cupy: Any) -> None:
    x = floats(3, device="cuda", requires_grad=True)
    (x * 2).backward(floats(3, device="cuda"))
    assert gradient(x).tolist() == [2, 4, 6]
    (g,) = mg.grad(x * 2, x, [1.0, 1.0, 1.0])  # a list has no device: it goes where it is needed
    assert g.device == "cuda"
    for seed in (floats(3), np.ones(3, "float32")):
        with pytest.raises(
            ValueError, match=r"gradient is on cpu, but its tensor is on cuda: move it with \.to\(device\)"
        ):
            (x * 2).backward(seed)
        with pytest.raises(ValueError, match="grad_outputs is on cpu, but its tensor is on cuda"):
            mg.grad(x * 2, x, seed)


def test_hooks_and_retained_gradients_stay_on_the_device(cupy: Any) -> None:
    x = floats(3, device="cuda", requires_grad=True)
    seen = []
    x.register_hook(lambda g: seen.append(g.device))
    y = x * 2
    y.retain_grad()
    y.sum().backward()
    assert seen == [gradient(y).device] == ["cuda"]


# ---- making tensors -------------------------------------------------------------------------------------------------

MADE: dict[str, Callable] = {
    "tensor of a list": lambda device: mg.tensor([1.0, 2.0], device=device),
    "tensor of an array": lambda device: mg.tensor(np.ones(2), device=device),
    "tensor of integers": lambda device: mg.tensor([[1, 2]], device=device),
    "tensor with a dtype": lambda device: mg.tensor([1, 2], "float16", device=device),
    "tensor of a number": lambda device: mg.tensor(2.0, device=device),
    "asarray": lambda device: mg.asarray(np.ones(2), device=device),
    "zeros": lambda device: mg.zeros((2, 3), device=device),
    "ones": lambda device: mg.ones(3, "int64", device=device),
    "full": lambda device: mg.full((2, 3), 7.0, device=device),
    "arange": lambda device: mg.arange(5, device=device),
    "arange of floats": lambda device: mg.arange(0.0, 1.0, 0.25, device=device),
    "rand": lambda device: mg.rand(2, 3, device=device, generator=np.random.default_rng(0)),
    "randn": lambda device: mg.randn(2, 3, device=device, generator=np.random.default_rng(0)),
}


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_made_on_cuda(cupy: Any, make: Callable) -> None:
    there, here = make("cuda"), make("cpu")
    assert (there.device, here.device) == ("cuda", "cpu")
    assert (there.dtype, there.shape) == (here.dtype, here.shape)
    np.testing.assert_array_equal(there.to("cpu").numpy(), here.numpy())


@pytest.mark.parametrize("make", [mg.zeros, mg.ones, mg.rand, mg.randn])
def test_made_as_leaves(cupy: Any, make: Callable) -> None:
    x = make((2, 2), device="cuda", requires_grad=True)
    x.sum().backward()
    assert x.is_leaf
    assert gradient(x).device == "cuda"


def test_tensors_of_device_arrays(cupy: Any) -> None:
    a = cupy.asarray(np.ones(3))
    shared, copied = mg.asarray(a), mg.tensor(a)
    a += 1
    assert shared.device == copied.device == "cuda"
    assert shared.tolist() == [2, 2, 2]
    assert copied.tolist() == [1, 1, 1]


def test_repr_names_the_device(cupy: Any) -> None:
    assert repr(floats(2, device="cuda")) == "tensor([1., 2.], device='cuda')"
    assert repr(mg.tensor(1.5, device="cuda")) == "tensor(1.5, device='cuda')"


# ---- reading and writing on the device ------------------------------------------------------------------------------


def test_reading(cupy: Any) -> None:
    x = floats(2, 2, device="cuda")
    assert x.tolist() == [[1, 2], [3, 4]]
    assert (x[1, 0].item(), float(x.sum()), int(x.max()), bool(x[0, 0] == 1)) == (3.0, 10.0, 4, True)
    assert f"{x.sum():.1f}" == "10.0"
    assert 3.0 in x
    with pytest.raises(TypeError, match=r"numpy\(\) of a tensor on cuda: copy it with \.to\('cpu'\) first"):
        x.numpy()
    with pytest.raises(TypeError, match=r"numpy\(\) of a tensor on cuda"):
        np.asarray(x)


def test_writing(cupy: Any) -> None:
    x = floats(3, device="cuda")
    view = x[1:]
    x += 1
    x *= floats(3, device="cuda")
    x[0] = 10.0
    x[mg.tensor([1], device="cuda")] = floats(1, device="cuda")
    assert x.tolist() == [10, 1, 12]
    assert view.tolist() == [1, 12]
    x.copy_(floats(3, device="cuda"))
    assert x.tolist() == [1, 2, 3]
    for write in (
        lambda: x.copy_(floats(3)),
        lambda: x.__setitem__(0, floats(1)),
        lambda: x.__iadd__(np.ones(3, "float32")),
    ):
        with pytest.raises(ValueError, match=r"cannot write a value on cpu into a tensor on cuda: use \.to\(device\)"):
            write()


def test_changes_are_noticed(cupy: Any) -> None:
    x, w = floats(3, device="cuda"), floats(3, device="cuda", requires_grad=True)
    y = x * w
    x[1:] += 1
    with pytest.raises(RuntimeError, match="multiply saved its argument 'x'"):
        y.sum().backward()


# ---- functions that are composed of ops ------------------------------------------------------------------------------

COMPOSED: dict[str, Callable] = {
    "cross_entropy": lambda x, to: mg.cross_entropy(x[0, 0], to(mg.tensor([0, 3, 1, 1]))),
    "cross_entropy of images": lambda x, to: mg.cross_entropy(x, to(mg.tensor(np.ones((2, 4, 4), "int64")))),
    "conv2d": lambda x, to: mg.conv2d(x, to(floats(2, 3, 3, 3)), to(floats(2)), stride=2, padding=1),
    "max_pool2d": lambda x, to: mg.max_pool2d(x, 3, stride=2, padding=1),
    "avg_pool2d": lambda x, to: mg.avg_pool2d(x, 2),
}


@pytest.mark.parametrize("f", COMPOSED.values(), ids=COMPOSED)
def test_composed(cupy: Any, f: Callable) -> None:
    results = []
    for device in ("cpu", "cuda"):
        x = floats(2, 3, 4, 4, device=device, requires_grad=True)
        y = f(x, lambda t, device=device: t.to(device))
        y.sum().backward()
        assert y.device == gradient(x).device == device
        results.append((y.detach().to("cpu").numpy(), gradient(x).to("cpu").numpy()))
    for here, there in zip(*results, strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-6)


# ---- mixing devices -------------------------------------------------------------------------------------------------

HOST = np.ones(3, "float32")
MIXED: dict[str, tuple[Callable, str]] = {
    "cuda + cpu": (lambda here, there: there + here, "add .* x on cuda, y on cpu"),
    "cpu + cuda": (lambda here, there: here + there, "add .* x on cpu, y on cuda"),
    "cuda * array": (lambda here, there: there * HOST, "multiply .* x on cuda, y on cpu"),
    "array * cuda": (lambda here, there: HOST * there, "multiply .* x on cpu, y on cuda"),
    "ufunc of numpy": (lambda here, there: np.multiply(HOST, there), "multiply .* x on cpu, y on cuda"),
    "comparison": (lambda here, there: there == HOST, "equal .* x on cuda, y on cpu"),
    "matmul": (lambda here, there: there @ here, "matmul .* x on cuda, y on cpu"),
    "where": (lambda here, there: mg.where(there > 0, there, here), "where .* condition on cuda, x on cuda, y on cpu"),
    "clip": (lambda here, there: mg.clip(there, HOST, None), "clip .* x on cuda, min on cpu"),
    "list": (
        lambda here, there: mg.concatenate([there, here]),
        r"concatenate .* arrays\[0\] on cuda, arrays\[1\] on cpu",
    ),
    "list with an array": (
        lambda here, there: mg.concatenate([HOST, there]),
        r"arrays\[0\] on cpu, arrays\[1\] on cuda",
    ),
    "set": (lambda here, there: there.at(0).set(here[0]), "index_set .* x on cuda, value on cpu"),
    "add at": (lambda here, there: there.at(0).add(HOST[:1]), "index_add .* x on cuda, value on cpu"),
    "conv": (
        lambda here, there: mg.conv2d(mg.reshape(there, (1, 1, 1, 3)), mg.reshape(here, (1, 1, 1, 3))),
        "conv .* x on cuda, w on cpu",
    ),
}


@pytest.mark.parametrize(("mix", "text"), MIXED.values(), ids=MIXED)
@pytest.mark.parametrize("requires_grad", [False, True])
def test_mixing_names_the_arguments_and_devices(cupy: Any, mix: Callable, text: str, requires_grad: bool) -> None:
    here, there = floats(3, requires_grad=requires_grad), floats(3, device="cuda", requires_grad=requires_grad)
    with pytest.raises(ValueError, match=text) as caught:
        mix(here, there)
    assert "move one with .to(device)" in str(caught.value)


def test_index_on_the_wrong_device(cupy: Any) -> None:
    here, there = floats(3), floats(3, device="cuda")
    for x, index in ((there, mg.tensor([0, 2])), (there, np.array([0, 2])), (there, here > 1), (here, there > 1)):
        with pytest.raises(ValueError, match=r"index on (cpu|cuda), where x is, got one on (cpu|cuda)"):
            x[index]
    assert there[[0, 2]].tolist() == [1, 3]  # a list has no device


def test_target_of_a_loss_on_the_wrong_device(cupy: Any) -> None:
    with pytest.raises(ValueError, match=r"cuda.*cpu"):
        mg.cross_entropy(mg.zeros((2, 3), device="cuda"), mg.tensor([0, 1]))


def test_scalars_have_no_device(cupy: Any) -> None:
    there = floats(3, device="cuda", requires_grad=True)
    for scalar in (2, 2.0, np.float32(2)):
        for y in (there * scalar, scalar * there, there**scalar, scalar**there, mg.maximum(there, scalar)):
            assert (y.device, y.dtype) == ("cuda", np.float32)
            y.sum().backward()
    assert gradient(there).device == "cuda"


# ---- no GPU, and why ------------------------------------------------------------------------------------------------


def test_why_no_gpu_with_one(cupy: Any) -> None:
    assert mg.why_no_gpu() is None
    assert mg.cuda_is_available()


def test_why_no_gpu_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)  # Python's own way to say that there is no such module
    reason = "CuPy is not installed: install cupy-cuda13x or cupy-cuda12x, whichever your driver supports"
    assert mg.why_no_gpu() == reason
    assert not mg.cuda_is_available()
    for ask in (lambda: floats(2).to("cuda"), lambda: floats(2, device="cuda"), lambda: mg.zeros(2, device="cuda")):
        with pytest.raises(RuntimeError) as caught:
            ask()
        assert str(caught.value) == f"no device 'cuda' here: {reason}"
    assert backend.xp(HOST) is np
    assert (floats(2) + 1).tolist() == [2, 3]


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("import no_such_library", "No module named 'no_such_library'"),
        ("raise ImportError('libcudart.so.13: cannot open')", "libcudart.so.13: cannot open"),
        ("raise RuntimeError('CUDA path not found')", "CUDA path not found"),
    ],
)
def test_why_no_gpu_broken_import(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, body: str, cause: str) -> None:
    (tmp_path / "cupy.py").write_text(body)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert mg.why_no_gpu() == f"CuPy is installed but cannot be imported: {cause}"


def test_why_no_gpu_no_driver(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver() -> int:
        raise RuntimeError("cudaErrorInsufficientDriver: driver too old")

    monkeypatch.setitem(fake_cupy.OWN, "cupy.cuda.runtime.getDeviceCount", no_driver)
    assert mg.why_no_gpu() == (
        "CuPy is installed, but CUDA does not answer: cudaErrorInsufficientDriver: driver too old (cupy-cuda13x needs "
        "a driver for CUDA 13, cupy-cuda12x one for CUDA 12; nvidia-smi shows what is there)"
    )
    with pytest.raises(RuntimeError, match=r"no device 'cuda' here: CuPy is installed, but CUDA does not answer"):
        floats(2).to("cuda")


def test_why_no_gpu_no_device(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fake_cupy.OWN, "cupy.cuda.runtime.getDeviceCount", lambda: 0)
    assert "it sees no GPU (check CUDA_VISIBLE_DEVICES)" in str(mg.why_no_gpu())
    assert not mg.cuda_is_available()


@pytest.mark.parametrize(
    "ask", [lambda d: floats(2, device=d), lambda d: mg.ones(2, device=d), lambda d: mg.rand(2, device=d)]
)
def test_unknown_devices(cupy: Any, ask: Callable) -> None:
    with pytest.raises(ValueError, match=r"device must be one of \('cpu', 'cuda'\), got 'gpu'"):
        ask("gpu")
    with pytest.raises(ValueError, match=r"got 'cuda:1'; one process uses one GPU, chosen by CUDA_VISIBLE_DEVICES"):
        ask("cuda:1")


def test_unknown_targets(cupy: Any) -> None:
    with pytest.raises(ValueError, match=r"device must be one of \('cpu', 'cuda'\), got 'cuda:1'"):
        floats(2).to("cuda:1")
    with pytest.raises(TypeError, match=r"'gpu' is neither a dtype nor a device \('cpu', 'cuda'\)"):
        floats(2).to("gpu")


# ---- the array's own library ----------------------------------------------------------------------------------------


def test_xp(cupy: Any) -> None:
    there = cupy.asarray(HOST)
    on_cpu: list[tuple] = [(), (1, 2.0), ([1, 2],), (HOST,), (1.0, HOST), (None, np.float32(1))]
    on_cuda: list[tuple] = [(there,), (1.0, there), (there, None), (np.float32(1), there)]
    assert all(backend.xp(*arguments) is np for arguments in on_cpu)
    assert all(backend.xp(*arguments) is cupy for arguments in on_cuda)


def test_ops_on_raw_device_arrays(cupy: Any) -> None:
    there = cupy.asarray(HOST)
    y = mg.exp(there) + mg.concatenate([there, there])[:3]
    assert isinstance(y, cupy.ndarray)
    with pytest.raises(ValueError, match=r"add .* x on cuda, y on cpu"):
        mg.add(there, HOST)


def test_memory_order_is_kept_on_cuda(cupy: Any) -> None:
    x = cupy.asarray(np.ones((2, 3, 4), "float32")).transpose(2, 0, 1)
    made = backend.empty_like_order(x, (8, 2, 3))
    assert isinstance(made, cupy.ndarray)
    assert np.argsort(made.strides).tolist() == np.argsort(x.strides).tolist()
    assert backend.shares_memory(x, x[1:])
    assert not backend.shares_memory(x, made)


def test_kernels_of_both_devices_have_the_same_signatures(cupy: Any) -> None:
    assert cpu.__all__ == cuda.__all__
    for name in cpu.__all__:
        assert inspect.signature(getattr(cpu, name)) == inspect.signature(getattr(cuda, name))
    assert backend.kernels(HOST) is cpu
    assert backend.kernels(cupy.asarray(HOST)) is cuda


def test_import_is_light() -> None:
    heavy = "cupy", "cupyx", "matplotlib", "tqdm", "safetensors", "scipy", "torch", "hypothesis"
    code = f"import sys, minigrad; minigrad.tensor([1.0]).sum(); print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
