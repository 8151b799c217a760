"""Losses against PyTorch: values and gradients in several configurations each, state dicts, texts, extremes."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

RNG = np.random.default_rng(0)
INF = np.inf


def normal(*shape):
    return RNG.standard_normal(shape)


def uniform(*shape):
    return RNG.uniform(0.02, 0.98, shape)


def classes(*shape, n=5):
    return RNG.integers(0, n, shape)


def signs(*shape):
    return RNG.choice([-1.0, 1.0], shape)


def distribution(*shape):
    p = uniform(*shape)
    return p / p.sum(1, keepdims=True)


def ignored(target, value=-100):
    target.flat[::3] = value
    return target


A, B = normal(4, 5), normal(4, 5)
WEIGHTS = uniform(5)
HARD = np.array([0.0, 1.0, 0.0, 1.0, 0.5])
FAR = np.array([-1000.0, 1000.0, 1000.0, -1000.0, 1000.0])

CASES = [
    ("MSELoss", {}, (A, B)),
    ("MSELoss", {}, (normal(2, 3, 4, 5), normal(2, 3, 4, 5))),
    ("MSELoss", {}, (np.array(2.0), np.array(5.0))),
    ("MSELoss", {}, (normal(0, 3), normal(0, 3))),
    ("L1Loss", {}, (A, B)),
    ("L1Loss", {}, (A, np.where(A > 0, A, B))),
    ("HuberLoss", {}, (2 * A, B)),
    ("HuberLoss", {"delta": 0.3}, (A, B)),
    ("HuberLoss", {"delta": 2.0}, (np.array([2.0, -2.0, 0.0, 1e30]), np.zeros(4))),
    ("SmoothL1Loss", {}, (2 * A, B)),
    ("SmoothL1Loss", {"beta": 0.3}, (A, B)),
    ("SmoothL1Loss", {"beta": 0}, (A, B)),
    ("SmoothL1Loss", {"beta": 2.0}, (np.array([2.0, -2.0, 0.0, 1e30]), np.zeros(4))),
    ("BCELoss", {}, (uniform(4, 5), uniform(4, 5))),
    ("BCELoss", {"weight": WEIGHTS}, (uniform(4, 5), classes(4, 5, n=2).astype(float))),
    ("BCELoss", {"weight": uniform(4, 1)}, (uniform(4, 5), uniform(4, 5))),
    ("BCEWithLogitsLoss", {}, (3 * A, uniform(4, 5))),
    ("BCEWithLogitsLoss", {}, (FAR, HARD)),
    ("BCEWithLogitsLoss", {"pos_weight": WEIGHTS}, (3 * A, uniform(4, 5))),
    ("BCEWithLogitsLoss", {"pos_weight": np.array([3.0])}, (FAR, HARD)),
    ("BCEWithLogitsLoss", {"weight": uniform(4, 1), "pos_weight": 2 * WEIGHTS}, (A, classes(4, 5, n=2).astype(float))),
    ("CrossEntropyLoss", {}, (A, classes(4))),
    ("CrossEntropyLoss", {}, (A[0], np.array(2))),
    ("CrossEntropyLoss", {}, (np.array([[1000.0, -1000.0, 0.0]] * 3), np.arange(3))),
    ("CrossEntropyLoss", {"weight": WEIGHTS, "ignore_index": 1}, (A, ignored(classes(4), 1))),
    ("CrossEntropyLoss", {"weight": WEIGHTS, "label_smoothing": 0.2}, (normal(2, 5, 3, 4), ignored(classes(2, 3, 4)))),
    ("CrossEntropyLoss", {"weight": WEIGHTS, "label_smoothing": 0.1}, (normal(4, 5), distribution(4, 5))),
    ("CrossEntropyLoss", {}, (normal(2, 5, 3), distribution(2, 5, 3))),
    ("CrossEntropyLoss", {}, (A, np.full(4, -100))),
    ("NLLLoss", {}, (A, classes(4))),
    ("NLLLoss", {}, (A[0], np.array(2))),
    ("NLLLoss", {"weight": WEIGHTS}, (A, classes(4))),
    ("NLLLoss", {"weight": WEIGHTS, "ignore_index": 2}, (normal(2, 5, 3, 4), ignored(classes(2, 3, 4), 2))),
    ("NLLLoss", {"ignore_index": -1}, (normal(2, 5, 6), ignored(classes(2, 6), -1))),
    ("NLLLoss", {}, (A, np.full(4, -100))),
    ("NLLLoss", {}, (np.array([[-INF, 0.0], [0.0, -INF]]), np.array([-100, 0]))),
    ("KLDivLoss", {}, (np.log(distribution(4, 5)), distribution(4, 5))),
    ("KLDivLoss", {}, (np.array(-1.0), np.array(0.5))),
    ("KLDivLoss", {}, (np.array([[-1.0, -2.0], [-1e3, -0.5]]), np.array([[0.0, 1.0], [0.0, 1.0]]))),
    ("KLDivLoss", {"log_target": True}, (np.log(distribution(4, 5)), np.log(distribution(4, 5)))),
    ("KLDivLoss", {"log_target": True}, (np.array([-1000.0, -2.0]), np.array([-1000.0, 0.0]))),
    ("HingeEmbeddingLoss", {}, (uniform(4, 5) * 2, signs(4, 5))),
    ("HingeEmbeddingLoss", {"margin": 0.5}, (A, signs(4, 5))),
    ("HingeEmbeddingLoss", {}, (np.array([1.0, 1.0, 2.0]), np.array([-1.0, 1.0, -1.0]))),
    ("MultiMarginLoss", {}, (A, classes(4))),
    ("MultiMarginLoss", {"p": 2, "margin": 0.5}, (A, classes(4))),
    ("MultiMarginLoss", {"p": 2, "weight": WEIGHTS}, (A, classes(4))),
    ("MultiMarginLoss", {"margin": 2.0, "weight": WEIGHTS}, (A[0], np.array(3))),
    ("MultiMarginLoss", {}, (np.array([[0.0, 1.0, -1.0]]), np.array([1]))),
    ("TripletMarginLoss", {}, (A, B, normal(4, 5))),
    ("TripletMarginLoss", {"margin": 3.0, "p": 1.0, "eps": 0.1}, (A, B, normal(4, 5))),
    ("TripletMarginLoss", {"margin": 2.0, "p": 3.0, "swap": True}, (A, B, normal(4, 5))),
    ("TripletMarginLoss", {"p": INF}, (normal(2, 3, 4), normal(2, 3, 4), normal(2, 3, 4))),
    ("TripletMarginLoss", {}, (A[0], A[0], A[0])),
    ("TripletMarginLoss", {"eps": 0}, (np.zeros((1, 2)), np.array([[0.0, 1.0]]), np.array([[2.0, 0.0]]))),
]


def both(name, options, reduction, dtype):
    """The same loss twice."""
    ours = getattr(nn, name)(**options, reduction=reduction)
    theirs = getattr(torch.nn, name)(
        **{key: torch.tensor(v) if isinstance(v, np.ndarray) else v for key, v in options.items()}, reduction=reduction
    ).to(getattr(torch, dtype))
    return ours.to(dtype), theirs


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss")
@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 2e-6), ("float64", 1e-13)])
@pytest.mark.parametrize(("name", "options", "arguments"), CASES)
def test_values_and_gradients(name, options, arguments, dtype, rtol):
    for reduction in ("mean", "sum", "none", *(["batchmean"] if name == "KLDivLoss" else [])):
        ours, theirs = both(name, options, reduction, dtype)
        given = [a.astype(dtype) if a.dtype.kind == "f" else a for a in arguments]
        free = 3 if name == "TripletMarginLoss" else 1  # how many are inputs of the loss, and not its targets
        xs = [mg.tensor(a, requires_grad=i < free) for i, a in enumerate(given)]
        their_xs = [torch.tensor(a, requires_grad=i < free) for i, a in enumerate(given)]
        out, their_out = ours(*xs), theirs(*their_xs)
        assert out.dtype == dtype
        scale = abs(their_out.detach().numpy()).max(initial=0)
        np.testing.assert_allclose(out.detach().numpy(), their_out.detach().numpy(), rtol=rtol, atol=rtol * scale)
        seed = np.asarray(np.random.default_rng(1).standard_normal(out.shape).astype(dtype))
        out.backward(mg.tensor(seed))
        their_out.backward(torch.tensor(seed))
        for x, their_x in zip(xs[:free], their_xs[:free], strict=True):
            g, their_g = x.grad.numpy(), their_x.grad.numpy()
            np.testing.assert_allclose(g, their_g, rtol=rtol, atol=rtol * abs(their_g).max(initial=0))


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-6), ("float64", 5e-9)])  # PyTorch's 1e-12 is a float32
def test_binary_cross_entropy_of_certain_answers(dtype, rtol):
    x = np.array([0.0, 1.0, 1.0, 0.0, 1e-20], dtype)
    ours, theirs = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    loss = nn.BCELoss(reduction="sum")(ours, HARD)
    their_loss = torch.nn.BCELoss(reduction="sum")(theirs, torch.tensor(HARD.astype(dtype)))
    loss.backward()
    their_loss.backward()
    assert loss.item() == pytest.approx(their_loss.item(), rel=1e-6)
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=rtol)


@pytest.mark.parametrize(("name", "options"), sorted({name: options for name, options, _ in CASES}.items()))
def test_defaults_texts_and_states(name, options):
    weights = {key: value for key, value in options.items() if isinstance(value, np.ndarray)}
    ours, theirs = both(name, weights, "mean", "float32")
    assert repr(ours) == repr(theirs)
    assert [(k, v.shape) for k, v in ours.state_dict().items()] == [
        (k, tuple(v.shape)) for k, v in theirs.state_dict().items()
    ]
    ours, theirs = getattr(nn, name)(), getattr(torch.nn, name)()
    kept = {key: value for key, value in vars(ours).items() if not key.startswith("_")}
    assert kept == {key: getattr(theirs, key) for key in kept}


def their_focal(x, target, gamma, alpha, form):
    """Equation 5 as it is written."""
    if form == "sigmoid":
        p = torch.where(target == 1, x.sigmoid(), 1 - x.sigmoid())
        weight = torch.where(target == 1, alpha, 1 - alpha) if alpha is not None else 1
    else:
        p = x.softmax(1).gather(1, target.unsqueeze(1)).squeeze(1)
        weight = torch.tensor(alpha)[target] if alpha is not None else 1
    return -weight * (1 - p) ** gamma * p.log()


@pytest.mark.parametrize("gamma", [0, 0.5, 2.0, 5])
@pytest.mark.parametrize(
    ("form", "alpha", "x", "target"),
    [
        ("sigmoid", None, A, classes(4, 5, n=2)),
        ("sigmoid", 0.25, 2 * A, classes(4, 5, n=2)),
        ("softmax", None, A, classes(4)),
        ("softmax", WEIGHTS, normal(2, 5, 3, 4), classes(2, 3, 4)),
    ],
)
def test_focal_loss(gamma, form, alpha, x, target):
    ours, theirs = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    loss = nn.FocalLoss(gamma, alpha, "sum", form)(ours, target)
    their_loss = their_focal(theirs, torch.tensor(target), gamma, alpha, form).sum()
    loss.backward()
    their_loss.backward()
    np.testing.assert_allclose(loss.item(), their_loss.item(), rtol=1e-12)
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-10, atol=1e-12)


def test_focal_loss_without_fading_is_cross_entropy():
    target, questions = torch.tensor([1, 0, 4, 4]), (A > B).astype(float)
    loss = nn.FocalLoss(0, form="softmax")(30 * A, target.numpy())
    np.testing.assert_allclose(
        loss.item(), torch.nn.CrossEntropyLoss()(torch.tensor(30 * A), target).item(), rtol=1e-13
    )
    loss = nn.FocalLoss(0)(30 * A, questions)
    theirs = torch.nn.BCEWithLogitsLoss()(torch.tensor(30 * A), torch.tensor(questions))
    np.testing.assert_allclose(loss.item(), theirs.item(), rtol=1e-13)
