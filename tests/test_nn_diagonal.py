"""The stochastic diagonal Levenberg-Marquardt method: its curvature against the Gauss-Newton matrix, and its steps."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn
from minigrad.nn.optim import DiagonalLM
from tests.cudaemu import fake_cupy


class Small(nn.Module):
    """A convolution, which shares its weights, and a layer after it: 3 outputs from (1, 5, 5)."""

    def __init__(self):
        self.conv = nn.Conv2d(1, 2, 3, stride=2)
        self.linear = nn.Linear(8, 3)

    def forward(self, x):
        return self.linear(mg.tanh(self.conv(x)).reshape(len(x), 8))


def half_square(z, target):
    return ((z - target) ** 2).sum() / 2


def bent(z, target):
    """A loss with a dense Hessian that depends on the outputs."""
    return mg.exp((z * mg.tensor([1.0, -0.5, 0.25], dtype=z.dtype, device=z.device)).sum()) + half_square(z, target)


LOSSES = [
    (half_square, "values"),
    (lambda z, target: ((z - target) ** 4).sum(), "values"),
    (nn.CrossEntropyLoss(), "labels"),
    (bent, "values"),
]


def data(n=4, dtype=np.float64):
    rng = np.random.default_rng(0)
    targets = {"labels": rng.integers(0, 3, n), "values": rng.standard_normal((n, 3)).astype(dtype)}
    return rng.standard_normal((n, 1, 5, 5)).astype(dtype), targets


def gauss_newton(model, loss, inputs, targets):
    """The mean over the samples of J^T H J, with J by `jacobian`: the whole matrix."""
    params = list(model.parameters())
    total = 0.0
    for x, target in zip(inputs, targets, strict=True):

        def outputs(*values, x=x):
            conv_w, conv_b, linear_w, linear_b = values
            hidden = mg.tanh(mg.conv2d(mg.tensor(x[None]), conv_w, conv_b, stride=2)).reshape(8)
            return linear_w @ hidden + linear_b

        blocks = mg.jacobian(outputs, tuple(p.detach() for p in params))
        j = np.concatenate([b.numpy().reshape(3, -1) for b in blocks], axis=1)
        z = outputs(*(p.detach() for p in params))
        h = mg.hessian(lambda z, t=target: loss(z.reshape(1, 3), mg.tensor(t[None])), z).numpy()
        total = total + j.T @ h @ j / len(inputs)
    return total


@pytest.mark.parametrize(("loss", "kind"), LOSSES)
def test_the_curvature_is_the_diagonal_of_the_gauss_newton_matrix(loss, kind):
    inputs, targets = data()
    model = Small().to(np.float64)
    optimizer = DiagonalLM(model.parameters())
    optimizer.estimate(model, loss, inputs, targets[kind])
    found = np.concatenate([optimizer.state[p]["curvature"].ravel() for p in model.parameters()])
    np.testing.assert_allclose(found, np.diag(gauss_newton(model, loss, inputs, targets[kind])), rtol=1e-9)
    assert (found >= 0).all()
    optimizer.estimate(model, loss, inputs[:1], targets[kind][:1])  # anew, not added
    again = np.concatenate([optimizer.state[p]["curvature"].ravel() for p in model.parameters()])
    np.testing.assert_allclose(again, np.diag(gauss_newton(model, loss, inputs[:1], targets[kind][:1])), rtol=1e-9)


def test_for_a_linear_network_it_is_the_diagonal_of_the_hessian():
    """There the Gauss-Newton matrix is the Hessian: checked by second differences of the loss itself."""
    rng = np.random.default_rng(0)
    x, target = rng.standard_normal((5, 4)), rng.standard_normal((5, 2))
    model = nn.Linear(4, 2).to(np.float64)
    optimizer = DiagonalLM(model.parameters())
    optimizer.estimate(model, half_square, x, target)

    def mean_loss():
        return half_square(model(x), mg.tensor(target)).item() / 5

    with mg.no_grad():
        for p in model.parameters():
            for index in np.ndindex(p.shape):
                values = []
                for step in (-1, 2, -1):
                    p[index] = p[index] + step
                    values.append(mean_loss())
                below, above, middle = values
                assert optimizer.state[p]["curvature"][index] == pytest.approx(below + above - 2 * middle)


def test_a_step_is_the_formula():
    inputs, targets = data()
    model = Small().to(np.float64)
    model.conv.bias.requires_grad_(False)
    optimizer = DiagonalLM(
        [{"params": model.conv.parameters(), "lr": 0.5, "mu": 2.0}, {"params": model.linear.parameters()}], lr=0.1
    )
    optimizer.estimate(model, half_square, inputs, targets["values"])

    def closure():
        model.zero_grad()
        loss = half_square(model(inputs), mg.tensor(targets["values"]))
        loss.backward()
        return loss

    before = {name: p.detach().numpy().copy() for name, p in model.named_parameters()}
    optimizer.load_state_dict(optimizer.state_dict())
    with mg.no_grad():  # the closure records all the same
        loss = optimizer.step(closure)
    for name, p in model.named_parameters():
        lr, mu = (0.5, 2.0) if name.startswith("conv") else (0.1, 0.02)
        step = 0 if name == "conv.bias" else lr / (mu + optimizer.state[p]["curvature"]) * p.grad.numpy()
        np.testing.assert_allclose(p.detach().numpy(), before[name] - step, rtol=1e-14)
    assert closure().item() < loss.item()
    assert repr(optimizer) == "DiagonalLM(2 tensors, lr=0.5, mu=2.0; 2 tensors, lr=0.1, mu=0.02)"


def test_one_step_solves_a_quadratic_with_a_diagonal_hessian():
    """With mu = 0 it would be Newton's: here inputs that never come together, of very different sizes."""
    x = np.diag([1.0, 10.0, 1000.0])
    target = np.array([[3.0], [2.0], [-1.0]])
    model = nn.Linear(3, 1, bias=False).to(np.float64)
    optimizer = DiagonalLM(model.parameters(), lr=1.0, mu=1e-9)
    optimizer.estimate(model, half_square, x, target)
    (half_square(model(x), mg.tensor(target)) / 3).backward()
    optimizer.step()
    np.testing.assert_allclose(model.weight.detach().numpy(), [[3.0, 0.2, -0.001]], rtol=1e-7)


def test_lenet_learns_a_batch_by_it():
    mg.manual_seed(0)
    model, loss = models.lenet5(), nn.CrossEntropyLoss()
    rng = np.random.default_rng(0)
    x, target = rng.standard_normal((8, 1, 28, 28)).astype(np.float32), np.arange(8)
    optimizer = DiagonalLM(model.parameters(), lr=0.01)
    schedule = nn.schedule.TableLR(optimizer, [(0.01, 1), (0.005, None)])
    losses = []
    for _ in range(2):
        optimizer.estimate(model, loss, x[:3], target[:3])
        for _ in range(15):
            optimizer.zero_grad()
            value = loss(model(x), mg.tensor(target))
            value.backward()
            optimizer.step()
            losses.append(value.item())
        schedule.step()
    assert losses[-1] < 0.1 * losses[0]


def test_on_the_device():
    inputs, targets = data(dtype=np.float32)
    state, results = Small().state_dict(), []
    with fake_cupy.install():
        for device in ("cpu", "cuda"):
            model = Small().to(device)
            model.load_state_dict(state)
            optimizer = DiagonalLM(model.parameters(), lr=0.1)
            x, target = mg.tensor(inputs, device=device), mg.tensor(targets["labels"], device=device)
            optimizer.estimate(model, nn.CrossEntropyLoss(), x, target)
            nn.CrossEntropyLoss()(model(x), target).backward()
            optimizer.step()
            results.append([p.detach().to("cpu").numpy() for p in model.parameters()])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_what_is_refused():
    inputs, targets = data()
    model = Small().to(np.float64)
    optimizer = DiagonalLM(model.parameters())
    before = {name: p.tolist() for name, p in model.named_parameters()}
    half_square(model(inputs), mg.tensor(targets["values"])).backward()
    with pytest.raises(RuntimeError, match=r"the curvature of a parameter of shape \(2, 1, 3, 3\) is not known: call"):
        optimizer.step()
    model.zero_grad()
    optimizer.estimate(model, half_square, inputs, targets["values"])
    first = next(model.parameters())
    first.grad = mg.ones(1, dtype=np.float64)
    with pytest.raises(ValueError, match=r"shape \(2, 1, 3, 3\) on cpu has a gradient of shape \(1,\) on cpu"):
        optimizer.step()
    model.zero_grad()
    optimizer.state.clear()
    for x, t in ((inputs, targets["values"][:2]), (inputs[:0], inputs[:0]), (np.float64(1), np.float64(1))):
        with pytest.raises(ValueError, match="inputs and targets must be the same number of samples, got shapes"):
            optimizer.estimate(model, half_square, x, t)
    for loss, text in [
        (lambda z, t: -half_square(z, t), "the loss must be convex in the outputs, its Hessian has the eigenvalue -1"),
        (lambda z, t: half_square(z, t) * math.nan, "the second derivatives of the loss are not finite"),
    ]:
        with pytest.raises(ValueError, match=text):
            optimizer.estimate(model, loss, inputs, targets["values"])
    assert optimizer.state == {}
    assert {name: p.tolist() for name, p in model.named_parameters()} == before
    for options, text in [({"lr": 0}, "lr must be positive, got 0"), ({"mu": 0}, "mu must be positive, got 0")]:
        with pytest.raises(ValueError, match=text):
            DiagonalLM(model.parameters(), **options)
