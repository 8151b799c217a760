"""The other frameworks of bench/train.py: JAX, tinygrad and MyGrad, each where it is installed and runs.

Each trains the networks that its users would train on a CPU: JAX, which compiles a step as a whole, LeNet-5 and
ResNet-18; tinygrad, which compiles loops in C, and MyGrad, which is NumPy as minigrad is, LeNet-5. The weights have the
names of the state dicts. SGD with momentum is the same two lines everywhere; a compiled step includes it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

MOMENTUM = 0.9
Arrays = dict[str, Any]

# ---- the networks ---------------------------------------------------------------------------------------------------


def shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Of the weights, as in the state dict; the running statistics of batch norms come with them."""
    found: dict[str, tuple[int, ...]] = {}

    def layer(name: str, *shape: int, bias: bool = True) -> None:
        found[f"{name}.weight"] = shape
        if bias:
            found[f"{name}.bias"] = shape[:1]

    def conv_and_norm(conv: str, norm: str, *shape: int) -> None:
        layer(conv, *shape, bias=False)
        layer(norm, shape[0])
        found[f"{norm}.running_mean"] = found[f"{norm}.running_var"] = shape[:1]

    if name == "lenet5":
        layer("features.0", 6, 1, 5, 5)
        layer("features.3", 16, 6, 5, 5)
        for i, (ins, outs) in {1: (400, 120), 3: (120, 84), 5: (84, 10)}.items():
            layer(f"classifier.{i}", outs, ins)
        return found
    conv_and_norm("conv1", "bn1", 64, 3, 3, 3)
    for at, ins, outs, stride in BLOCKS:
        conv_and_norm(f"{at}.conv1", f"{at}.bn1", outs, ins, 3, 3)
        conv_and_norm(f"{at}.conv2", f"{at}.bn2", outs, outs, 3, 3)
        if stride == 2:
            conv_and_norm(f"{at}.downsample.0", f"{at}.downsample.1", outs, ins, 1, 1)
    layer("fc", 10, 512)
    return found


# Of ResNet-18: the name of a block, its channels before and after, its stride.
BLOCKS = [
    (f"layer{i}.{j}", 64 * 2 ** max(0, i - 2 + j), 64 * 2 ** (i - 1), 2 if i > 1 and j == 0 else 1)
    for i in (1, 2, 3, 4)
    for j in (0, 1)
]


def lenet5(lib: Any, w: Arrays, x: Any) -> Any:
    """Written with the functions of an adapter."""
    for name, padding in (("features.0", 2), ("features.3", 0)):
        x = lib.average_pool(lib.tanh(lib.conv(x, w[f"{name}.weight"], 1, padding, w[f"{name}.bias"])))
    x = lib.flatten(x)
    for name in ("classifier.1", "classifier.3"):
        x = lib.tanh(x @ w[f"{name}.weight"].T + w[f"{name}.bias"])
    return x @ w["classifier.5.weight"].T + w["classifier.5.bias"]


def resnet18(lib: Any, w: Arrays, x: Any) -> Any:
    """With the stem for CIFAR."""
    x = lib.relu(lib.norm(lib.conv(x, w["conv1.weight"], 1, 1), "bn1", w))
    for at, _, _, stride in BLOCKS:
        y = lib.relu(lib.norm(lib.conv(x, w[f"{at}.conv1.weight"], stride, 1), f"{at}.bn1", w))
        y = lib.norm(lib.conv(y, w[f"{at}.conv2.weight"], 1, 1), f"{at}.bn2", w)
        if stride == 2:
            x = lib.norm(lib.conv(x, w[f"{at}.downsample.0.weight"], 2, 0), f"{at}.downsample.1", w)
        x = lib.relu(x + y)
    return lib.average(x) @ w["fc.weight"].T + w["fc.bias"]


FORWARD = {"lenet5": lenet5, "resnet18": resnet18}

# ---- the frameworks -------------------------------------------------------------------------------------------------


class Peer:
    """A network in a framework, with what bench/train.py asks of it."""

    networks: tuple[str, ...] = ("lenet5",)

    @staticmethod
    def prepare(threads: int) -> None:
        """Import the framework, with so many threads; an error says why it cannot be used."""

    def __init__(self, net: Any, weights: dict[str, np.ndarray], images: np.ndarray, labels: np.ndarray):
        raise NotImplementedError

    def train(self) -> float:
        """One step; its loss."""
        raise NotImplementedError

    def forward(self) -> None:
        """Predict, until the result is there."""
        raise NotImplementedError

    def losses(self, steps: int) -> list[float]:
        return [self.train() for _ in range(steps)]

    def step(self, clock: Callable[[], float]) -> tuple[float, list[float]]:
        """One step of training: its loss, and its seconds."""
        began = clock()
        loss = self.train()
        return loss, [clock() - began]

    def predict(self, clock: Callable[[], float]) -> float:
        began = clock()
        self.forward()
        return clock() - began


class JAX(Peer):
    """Images lie as (N, H, W, C), as its users have them; a step and a prediction are compiled as a whole."""

    networks = ("lenet5", "resnet18")

    @staticmethod
    def prepare(threads: int) -> None:
        if threads == 1:
            os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
        import jax.numpy  # noqa: F401

    def __init__(self, net: Any, weights: dict[str, np.ndarray], images: np.ndarray, labels: np.ndarray):
        import jax

        network = FORWARD[net.name]
        self.images, self.labels = jax.numpy.asarray(images.transpose(0, 2, 3, 1)), jax.numpy.asarray(labels)
        turned = {k: v.transpose(2, 3, 1, 0) if v.ndim == 4 else v for k, v in weights.items()}
        statistics = {k: jax.numpy.asarray(v) for k, v in turned.items() if "running" in k}
        learned = {k: jax.numpy.asarray(v) for k, v in turned.items() if "running" not in k}
        self.state = learned, jax.tree.map(jax.numpy.zeros_like, learned), statistics

        def loss(learned: Arrays, statistics: Arrays, x: Any, labels: Any) -> tuple[Any, Arrays]:
            self.seen: Arrays | None = {}  # the statistics after this step
            logits = network(self, learned | statistics, x)
            chosen = jax.numpy.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1)
            return -chosen.mean(), self.seen

        def step(learned: Arrays, velocity: Arrays, statistics: Arrays, x: Any, labels: Any) -> tuple:
            (value, statistics), grads = jax.value_and_grad(loss, has_aux=True)(learned, statistics, x, labels)
            velocity = jax.tree.map(lambda v, g: MOMENTUM * v + g, velocity, grads)
            learned = jax.tree.map(lambda w, v: w - net.lr * v, learned, velocity)
            return value, (learned, velocity, statistics)

        def predict(learned: Arrays, statistics: Arrays, x: Any) -> Any:
            self.seen = None
            return network(self, learned | statistics, x)

        self.compiled_step = jax.jit(step, donate_argnums=(0, 1, 2))
        self.compiled_predict = jax.jit(predict)
        self.wait, self.relu, self.tanh = jax.block_until_ready, jax.nn.relu, jax.numpy.tanh

    def train(self) -> float:
        value, self.state = self.wait(self.compiled_step(*self.state, self.images, self.labels))
        return float(value)

    def forward(self) -> None:
        learned, _, statistics = self.state
        self.wait(self.compiled_predict(learned, statistics, self.images))

    def conv(self, x: Any, w: Any, stride: int, padding: int, b: Any = 0) -> Any:
        from jax import lax

        layout, sides = ("NHWC", "HWIO", "NHWC"), [(padding, padding)] * 2
        return b + lax.conv_general_dilated(x, w, (stride, stride), sides, dimension_numbers=layout)

    def norm(self, x: Any, name: str, w: Arrays) -> Any:
        from jax import lax

        mean, var = w[f"{name}.running_mean"], w[f"{name}.running_var"]
        if self.seen is not None:
            count = x.size // x.shape[-1]
            old, (mean, var) = (mean, var), (x.mean((0, 1, 2)), x.var((0, 1, 2)))
            self.seen[f"{name}.running_mean"] = 0.9 * old[0] + 0.1 * mean
            self.seen[f"{name}.running_var"] = 0.9 * old[1] + 0.1 * var * count / (count - 1)
        return (x - mean) * (lax.rsqrt(var + 1e-5) * w[f"{name}.weight"]) + w[f"{name}.bias"]

    def average_pool(self, x: Any) -> Any:
        n, h, w, c = x.shape
        return x.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))

    def average(self, x: Any) -> Any:
        return x.mean((1, 2))

    def flatten(self, x: Any) -> Any:
        return x.transpose(0, 3, 1, 2).reshape(len(x), -1)


class Tinygrad(Peer):
    """A step is captured by TinyJit; without a search for faster loops (BEAM), as it comes."""

    @staticmethod
    def prepare(threads: int) -> None:
        os.environ["THREADS"] = str(int(threads > 1))
        from tinygrad import Tensor

        Tensor([1.0]).realize()  # needs a compiler

    def __init__(self, net: Any, weights: dict[str, np.ndarray], images: np.ndarray, labels: np.ndarray):
        from tinygrad import Tensor, TinyJit

        w = {key: Tensor(value).realize() for key, value in weights.items()}
        velocity = {key: Tensor.zeros(*value.shape).contiguous().realize() for key, value in weights.items()}
        x, target = Tensor(images).realize(), Tensor(labels.astype(np.int32)).realize()
        network = FORWARD[net.name]

        def step() -> Any:
            loss = network(self, w, x).sparse_categorical_crossentropy(target)
            for key, g in zip(w, loss.gradient(*w.values()), strict=True):
                velocity[key].assign(MOMENTUM * velocity[key] + g)
                w[key].assign(w[key] - net.lr * velocity[key])
            return loss.realize(*velocity.values(), *w.values())

        self.compiled_step = TinyJit(step)
        self.compiled_predict = TinyJit(lambda: network(self, w, x).realize())

    def train(self) -> float:
        return self.compiled_step().item()

    def forward(self) -> None:
        self.compiled_predict().numpy()

    def conv(self, x: Any, w: Any, stride: int, padding: int, b: Any) -> Any:
        return x.conv2d(w, b, stride=stride, padding=padding)

    def tanh(self, x: Any) -> Any:
        return x.tanh()

    def average_pool(self, x: Any) -> Any:
        return x.avg_pool2d(2)

    def flatten(self, x: Any) -> Any:
        return x.flatten(1)


class MyGrad(Peer):
    """Without its checks of memory that is written to, which it recommends to leave out when a program works."""

    @staticmethod
    def prepare(threads: int) -> None:
        import mygrad

        mygrad.turn_memory_guarding_off()

    def __init__(self, net: Any, weights: dict[str, np.ndarray], images: np.ndarray, labels: np.ndarray):
        import mygrad

        self.net, self.images, self.labels = net, images, labels
        self.tanh, self.without_gradients = mygrad.tanh, mygrad.no_autodiff
        self.w = {key: mygrad.tensor(value) for key, value in weights.items()}
        self.velocity = {key: np.zeros_like(value) for key, value in weights.items()}

    def train(self) -> float:
        from mygrad.nnet.losses import softmax_crossentropy

        loss = softmax_crossentropy(FORWARD[self.net.name](self, self.w, self.images), self.labels)
        loss.backward()
        for key, tensor in self.w.items():
            velocity = self.velocity[key]
            velocity *= MOMENTUM
            velocity += tensor.grad
            tensor.data -= self.net.lr * velocity
        return loss.item()

    def forward(self) -> None:
        with self.without_gradients:
            FORWARD[self.net.name](self, self.w, self.images)

    def conv(self, x: Any, w: Any, stride: int, padding: int, b: Any) -> Any:
        from mygrad.nnet.layers import conv_nd

        return conv_nd(x, w, stride=stride, padding=padding) + b.reshape(-1, 1, 1)

    def average_pool(self, x: Any) -> Any:
        n, c, h, w = x.shape
        return x.reshape(n, c, h // 2, 2, w // 2, 2).mean((3, 5))

    def flatten(self, x: Any) -> Any:
        return x.reshape(len(x), -1)


KINDS: dict[str, type[Peer]] = {"jax": JAX, "tinygrad": Tinygrad, "mygrad": MyGrad}


def usable(name: str) -> str:
    """Empty where a framework can be used; otherwise why not."""
    code = f"import peers; peers.KINDS[{name!r}].prepare(1)"
    run = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True)
    return "" if run.returncode == 0 else run.stderr.strip().splitlines()[-1]


def build(name: str, net: Any, weight: Callable, images: np.ndarray, labels: np.ndarray) -> Peer:
    """The network of this name with the weights that `weight` gives to its entries."""
    return KINDS[name](net, {key: weight(key, shape) for key, shape in shapes(net.name).items()}, images, labels)
