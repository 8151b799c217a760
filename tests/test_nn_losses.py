"""Losses: the formulas in float64, one element at a time; gradients to order 2, extremes, dtypes, devices, errors."""

import itertools
import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from tests.cudaemu import fake_cupy

RNG = np.random.default_rng(0)
A, B, C = (RNG.standard_normal((4, 5)) for _ in "ABC")
P, Q = (RNG.uniform(0.15, 0.85, (4, 5)) for _ in "PQ")
WEIGHTS = RNG.uniform(0.5, 2, 5)
LABELS = np.array([3, 0, 3, 1])
IMAGES, MAPS = RNG.standard_normal((2, 5, 3, 2)), RNG.integers(0, 5, (2, 3, 2))
YES = (B > 0).astype(int)
SIGNS = np.where(B > 0, 1, -1)


# ---- the formulas ----------------------------------------------------------------------------------------------------


def softmax(row):
    return [math.exp(v) / sum(map(math.exp, row)) for v in row]


def sigmoid(v):
    return 1 / (1 + math.exp(-v))


def elements(formula, *arrays):
    """A formula of numbers on arrays."""
    return np.vectorize(formula, otypes=[float])(*arrays)


def rows(formula, x, target):
    """A formula of the row of numbers for the classes and the target, on (N, C, ...) and (N, ...)."""
    x = np.moveaxis(x, 1, -1)
    return np.array([formula(list(x[i]), int(target[i])) for i in np.ndindex(target.shape)]).reshape(target.shape)


def huber(d, delta):
    return d * d / 2 if abs(d) <= delta else delta * (abs(d) - delta / 2)


def entropy(p, t):
    return -t * math.log(p) - (1 - t) * math.log(1 - p)


def focal(p, gamma):
    return -((1 - p) ** gamma) * math.log(p)


def multi_margin(row, t, p, margin):
    return sum(max(0, margin - row[t] + v) ** p for c, v in enumerate(row) if c != t) / len(row)


def distance(a, b, p, eps):
    return sum(abs(u - v + eps) ** p for u, v in zip(a, b, strict=True)) ** (1 / p)


def triplet(a, p, n, margin=1.0, order=2.0, eps=1e-6, swap=False):
    far = distance(a, n, order, eps)
    far = min(far, distance(p, n, order, eps)) if swap else far
    return max(0, margin + distance(a, p, order, eps) - far)


def smoothed(row, t, e):
    logs = np.log(softmax(row))
    return -(1 - e) * logs[t] * WEIGHTS[t] - e / len(row) * (logs * WEIGHTS).sum()


def rubbish(row, t, j):
    return row[t] + math.log(math.exp(-j) + sum(math.exp(-v) for v in row))


PENALTIES = 5 * P
KINKY = 2 * A, B  # on both sides of every kink

CASES = [
    (nn.MSELoss, {}, (A, B), elements(lambda x, t: (x - t) ** 2, A, B)),
    (nn.L1Loss, {}, (A, B), elements(lambda x, t: abs(x - t), A, B)),
    (nn.HuberLoss, {}, KINKY, elements(lambda x, t: huber(x - t, 1), *KINKY)),
    (nn.HuberLoss, {"delta": 0.4}, KINKY, elements(lambda x, t: huber(x - t, 0.4), *KINKY)),
    (nn.SmoothL1Loss, {}, KINKY, elements(lambda x, t: huber(x - t, 1), *KINKY)),
    (nn.SmoothL1Loss, {"beta": 0.4}, KINKY, elements(lambda x, t: huber(x - t, 0.4) / 0.4, *KINKY)),
    (nn.SmoothL1Loss, {"beta": 0}, (A, B), elements(lambda x, t: abs(x - t), A, B)),
    (nn.BCELoss, {}, (P, Q), elements(entropy, P, Q)),
    (nn.BCELoss, {"weight": WEIGHTS}, (P, YES), elements(entropy, P, YES) * WEIGHTS),
    (nn.BCEWithLogitsLoss, {}, (3 * A, Q), elements(lambda x, t: entropy(sigmoid(x), t), 3 * A, Q)),
    (
        nn.BCEWithLogitsLoss,
        {"weight": P[:, :1], "pos_weight": WEIGHTS},
        (A, YES),
        P[:, :1] * np.where(YES, WEIGHTS, 1) * elements(lambda x, t: entropy(sigmoid(x), t), A, YES),
    ),
    (nn.CrossEntropyLoss, {}, (A, LABELS), rows(lambda row, t: -math.log(softmax(row)[t]), A, LABELS)),
    (nn.CrossEntropyLoss, {}, (A, Q), rows(lambda row, n: -(Q[n] * np.log(softmax(row))).sum(), A, np.arange(4))),
    (nn.NLLLoss, {}, (A, LABELS), -A[range(4), LABELS]),
    (nn.NLLLoss, {}, (IMAGES, MAPS), rows(lambda row, t: -row[t], IMAGES, MAPS)),
    (nn.NLLLoss, {}, (A[0], np.array(2)), -A[0, 2]),
    (nn.FocalLoss, {}, (A, YES), elements(lambda x, t: focal(sigmoid(x if t else -x), 2), A, YES)),
    (
        nn.FocalLoss,
        {"gamma": 0.5, "alpha": 0.25},
        (A, YES),
        elements(lambda x, t: (0.25 if t else 0.75) * focal(sigmoid(x if t else -x), 0.5), A, YES),
    ),
    (nn.FocalLoss, {"form": "softmax"}, (A, LABELS), rows(lambda row, t: focal(softmax(row)[t], 2), A, LABELS)),
    (
        nn.FocalLoss,
        {"gamma": 1.5, "alpha": WEIGHTS, "form": "softmax"},
        (IMAGES, MAPS),
        rows(lambda row, t: WEIGHTS[t] * focal(softmax(row)[t], 1.5), IMAGES, MAPS),
    ),
    (nn.FocalLoss, {"form": "softmax"}, (A[0], np.array(2)), focal(softmax(A[0])[2], 2)),
    (nn.KLDivLoss, {}, (np.log(P), Q), elements(lambda x, t: t * (math.log(t) - x), np.log(P), Q)),
    (nn.KLDivLoss, {"log_target": True}, (A, np.log(Q)), elements(lambda x, t: t * (math.log(t) - x), A, Q)),
    (nn.HingeLoss, {}, (A, SIGNS), elements(lambda x, t: max(0, 1 - t * x), A, SIGNS)),
    (nn.HingeLoss, {"margin": 0.3}, (A, SIGNS), elements(lambda x, t: max(0, 0.3 - t * x), A, SIGNS)),
    (nn.HingeEmbeddingLoss, {}, (2 * P, SIGNS), elements(lambda x, t: x if t == 1 else max(0, 1 - x), 2 * P, SIGNS)),
    (nn.MultiMarginLoss, {}, (A, LABELS), rows(lambda row, t: multi_margin(row, t, 1, 1), A, LABELS)),
    (
        nn.MultiMarginLoss,
        {"p": 2, "margin": 0.5, "weight": WEIGHTS},
        (A, LABELS),
        rows(lambda row, t: WEIGHTS[t] * multi_margin(row, t, 2, 0.5), A, LABELS),
    ),
    (nn.MultiMarginLoss, {}, (A[0], np.array(2)), multi_margin(A[0], 2, 1, 1)),
    (nn.TripletMarginLoss, {}, (A, B, C), [triplet(*row) for row in zip(A, B, C, strict=True)]),
    (
        nn.TripletMarginLoss,
        {"margin": 3.0, "p": 3.0, "eps": 0.1, "swap": True},
        (A, B, C),
        [triplet(*row, 3.0, 3.0, 0.1, True) for row in zip(A, B, C, strict=True)],
    ),
    (nn.LeNetMSELoss, {}, (PENALTIES, LABELS), PENALTIES[range(4), LABELS]),
    (nn.LeNetMAPLoss, {"j": 2}, (PENALTIES, LABELS), rows(lambda row, t: rubbish(row, t, 2), PENALTIES, LABELS)),
    (
        nn.LeNetMAPLoss,
        {"j": 0.5},
        (abs(IMAGES), MAPS),
        rows(lambda row, t: rubbish(row, t, 0.5), abs(IMAGES), MAPS),
    ),
]


@pytest.mark.parametrize(("kind", "options", "arguments", "each"), CASES)
def test_values_are_the_formula(kind, options, arguments, each):
    for reduction, expected in (("none", each), ("sum", np.sum(each)), ("mean", np.mean(each))):
        loss = kind(**options, reduction=reduction).to("float64")
        out = loss(*arguments)
        assert out.dtype == np.float64
        assert out.shape == np.shape(expected)
        np.testing.assert_allclose(out.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(("kind", "options", "arguments", "each"), CASES)
def test_gradients_to_order_2(kind, options, arguments, each):
    mg.check_gradients(kind(**options).to("float64"), *arguments)


@pytest.mark.parametrize(("kind", "options", "arguments", "each"), CASES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_result_has_the_dtype_of_x(kind, options, arguments, each, dtype):
    x, *rest = arguments  # the rest and the weights stay as they are
    x = mg.tensor(x.astype(dtype), requires_grad=True)
    out = kind(**options, reduction="sum")(x, *rest)
    out.backward()
    assert out.dtype == x.grad.dtype == dtype
    np.testing.assert_allclose(out.item(), np.sum(each), rtol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize(("kind", "options", "arguments", "each"), CASES)
def test_the_same_on_the_device(kind, options, arguments, each):
    expected = kind(**options)(*arguments)
    with fake_cupy.install():
        xs = [mg.tensor(a, device="cuda") for a in arguments]
        xs[0].requires_grad_()
        out = kind(**options).to("cuda")(*xs)
        out.backward()
        assert out.device == xs[0].grad.device == "cuda"
        np.testing.assert_allclose(out.item(), expected.item(), rtol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_weights_ignored_targets_and_smoothing(reduction):
    target = LABELS.copy()
    target[1] = 7
    counts, weights = target != 7, np.array([WEIGHTS[3], 0, WEIGHTS[3], WEIGHTS[1]])
    for kind, options, formula in (
        (nn.NLLLoss, {}, lambda row, t: -row[t] * WEIGHTS[t]),
        (nn.CrossEntropyLoss, {"label_smoothing": 0.25}, lambda row, t: smoothed(row, t, 0.25)),
    ):
        each = rows(formula, A, LABELS) * counts
        expected = {"mean": each.sum() / weights.sum(), "sum": each.sum(), "none": each}[reduction]
        loss = kind(mg.tensor(WEIGHTS), ignore_index=7, reduction=reduction, **options)
        np.testing.assert_allclose(loss(A, target).numpy(), expected, rtol=1e-12)
        mg.check_gradients(lambda x, loss=loss: loss(x, target), A)


def test_batchmean_is_the_divergence():
    p, q = (v / v.sum(1, keepdims=True) for v in (P, Q))
    loss = nn.KLDivLoss(reduction="batchmean")
    assert loss(np.log(p), q).item() == pytest.approx((q * np.log(q / p)).sum() / 4, rel=1e-12)
    assert loss(np.log(p), p).item() == pytest.approx(0, abs=1e-15)
    assert loss(np.array(-1.0), np.array(1.0)).item() == 1


# ---- extremes --------------------------------------------------------------------------------------------------------


def gradient(loss, x, *rest):
    """The loss of each and the gradient of their sum."""
    x = mg.tensor(x, requires_grad=True)
    out = loss(x, *rest)
    out.sum().backward()
    return out.tolist(), x.grad.tolist()


FAR = [1000.0, -1000.0, 1000.0, -1000.0]
RIGHT_RIGHT_WRONG_WRONG = np.array([1, 0, 0, 1])


def test_far_logits():
    out, g = gradient(nn.BCEWithLogitsLoss(reduction="none"), FAR, RIGHT_RIGHT_WRONG_WRONG)
    assert (out, g) == ([0, 0, 1000, 1000], [0, 0, 1, -1])
    for gamma in (0.5, 2):
        out, g = gradient(nn.FocalLoss(gamma, reduction="none"), FAR, RIGHT_RIGHT_WRONG_WRONG)
        assert (out, g) == ([0, 0, 1000, 1000], [0, 0, 1, -1])
    x = [[1000.0, -1000.0, 0.0], [1000.0, -1000.0, 0.0]]
    for loss in (nn.CrossEntropyLoss(reduction="none"), nn.FocalLoss(reduction="none", form="softmax")):
        assert gradient(loss, x, np.array([0, 1])) == ([0, 2000], [[0, 0, 0], [1, -1, 0]])
    out, g = gradient(nn.LeNetMAPLoss(reduction="none"), [[0.0, 1e4], [1e4, 1e4]], np.array([0, 0]))
    assert (out, g) == ([0, 1e4 - 84], [[0, 0], [1, 0]])


def test_small_losses_keep_their_digits():
    x = np.array([-40.0, 40.0], np.float32)  # answered rightly, at odds of exp(40)
    for loss, power in ((nn.BCEWithLogitsLoss(reduction="none"), 1), (nn.FocalLoss(1, reduction="none"), 2)):
        out, g = gradient(loss, x, np.array([0, 1]))
        np.testing.assert_allclose(out, [math.exp(-40 * power)] * 2, rtol=1e-5)
        np.testing.assert_allclose(g, [power * math.exp(-40 * power), -power * math.exp(-40 * power)], rtol=1e-5)


def test_certain_probabilities():
    out, g = gradient(nn.BCELoss(reduction="none"), [1.0, 0.0, 1.0, 0.0], RIGHT_RIGHT_WRONG_WRONG)
    assert out == [0, 0, 100, 100]
    np.testing.assert_allclose(g, [0, 0, 1e12, -1e12], rtol=1e-6)
    out, g = gradient(nn.KLDivLoss(reduction="none"), [-math.inf, 0.0], np.array([0.0, 1.0]))
    assert (out, g) == ([0, 0], [0, -1])
    target = np.array([-math.inf, 0.0])
    assert gradient(nn.KLDivLoss(reduction="none", log_target=True), [-math.inf, 0.0], target) == ([0, 0], [0, -1])
    target = mg.tensor([0.0, 1.0], requires_grad=True)
    nn.KLDivLoss(reduction="sum")(mg.tensor([-math.inf, -2.0]), target).backward()
    assert target.grad.tolist() == [0, 3]


def test_far_numbers_and_kinks():
    assert gradient(nn.HuberLoss(reduction="none"), [math.inf, -3.0], np.zeros(2)) == ([math.inf, 2.5], [1, -1])
    assert gradient(nn.SmoothL1Loss(reduction="none", beta=2), [2.0, 1e30], np.zeros(2))[1] == [1, 1]
    assert gradient(nn.L1Loss(reduction="none"), [0.0], np.zeros(1)) == ([0], [0])
    assert gradient(nn.HingeLoss(reduction="none"), [1.0], np.ones(1)) == ([0], [0])
    vector = mg.zeros((1, 3), requires_grad=True)
    nn.TripletMarginLoss(eps=0)(vector, vector, vector).backward()
    assert vector.grad.tolist() == [[0, 0, 0]]


def test_lists_go_where_x_is():
    with fake_cupy.install():
        x = mg.tensor(A, device="cuda")
        assert nn.MSELoss()(x, A.tolist()).item() == pytest.approx(0, abs=1e-14)  # the list became float32
        for loss in (nn.NLLLoss(), nn.CrossEntropyLoss(), nn.LeNetMAPLoss()):
            assert loss(x, LABELS.tolist()).item() == pytest.approx(loss(A, LABELS).item(), rel=1e-14)


def test_halves_are_summed_in_single():
    x, zero = np.full(1000, 200, np.float16), np.zeros(1000, np.float16)
    assert nn.MSELoss()(x, zero).item() == 40000  # their sum is 40 million
    assert nn.L1Loss()(x, zero).item() == 200
    logits = np.zeros((100_000, 2), np.float16)
    assert nn.CrossEntropyLoss()(logits, np.zeros(100_000, int)).item() == np.float16(math.log(2))


def test_arguments_may_be_named():
    for dtype in (np.float16, np.float32):
        x, y = (np.array([v, 0], dtype) for v in (2.0, 1.0))
        assert nn.MSELoss()(target=y, x=x).item() == 0.5
        out = nn.TripletMarginLoss(eps=0)(negative=x, positive=y, anchor=x)
        assert (out.item(), out.dtype) == (2, dtype)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'target'"):
        nn.MSELoss()(x)


def test_the_mean_of_nothing_is_nan():
    none_left = np.full(4, -100)
    for loss in (nn.NLLLoss(), nn.NLLLoss(WEIGHTS), nn.CrossEntropyLoss()):
        assert math.isnan(loss(A, none_left).item())
    assert nn.NLLLoss(reduction="sum")(A, none_left).item() == 0
    assert math.isnan(nn.MSELoss()(np.zeros((0, 2)), np.zeros((0, 2))).item())
    assert gradient(nn.NLLLoss(reduction="sum"), [[-math.inf, 0.0]], np.array([-100])) == (0, [[0, 0]])


# ---- what the losses of LeNet mean -----------------------------------------------------------------------------------


def test_the_map_loss_is_positive_and_competes():
    x = RNG.uniform(0, 200, (50, 10))
    target = RNG.integers(0, 10, 50)
    out, g = gradient(nn.LeNetMAPLoss(reduction="none"), x, target)
    right = np.zeros((50, 10), bool)
    right[range(50), target] = True
    assert min(out) >= 0
    assert (np.array(g)[right] >= 0).all()  # the penalty of the right class goes down,
    assert (np.array(g)[~right] <= 0).all()  # the others go up
    _, g = gradient(nn.LeNetMSELoss(reduction="none"), x, target)
    assert g == right.astype(float).tolist()


def test_wrong_classes_beyond_j_are_left_alone():
    """Of an undecided pattern: the rubbish class takes what would push them, as the paper says."""
    x, target = np.full((1, 3), 10.0), np.array([0])
    pushes = [-gradient(nn.LeNetMAPLoss(j), x, target)[1][0][1] for j in (2.0, 10.0, math.inf)]
    np.testing.assert_allclose(pushes, [1 / (3 + math.exp(8)), 1 / 4, 1 / 3], rtol=1e-12)
    everything = nn.CrossEntropyLoss()(-x, target).item()
    assert nn.LeNetMAPLoss(math.inf)(x, target).item() == pytest.approx(everything, rel=1e-14)


# ---- constants -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options", "keys"),
    [
        (nn.CrossEntropyLoss, {"weight": [1, 2]}, ["weight"]),
        (nn.NLLLoss, {"weight": np.ones(2)}, ["weight"]),
        (nn.MultiMarginLoss, {"weight": mg.ones(2)}, ["weight"]),
        (nn.BCELoss, {"weight": [1.0, 2.0]}, ["weight"]),
        (nn.BCEWithLogitsLoss, {"weight": [1, 2], "pos_weight": [3]}, ["weight", "pos_weight"]),
        (nn.FocalLoss, {"alpha": [1, 2], "form": "softmax"}, ["alpha"]),
    ],
)
def test_weights_are_buffers(kind, options, keys):
    loss = kind(**options)
    assert list(loss.state_dict()) == keys
    assert list(loss.parameters()) == []
    assert all(b.dtype == np.float64 for b in loss.to(np.float64).buffers())
    assert list(kind().state_dict()) == []
    for name in keys:
        with pytest.raises(
            ValueError, match=rf"{name} is a constant of the loss and may not require a gradient, got a "
        ):
            kind(**{**options, name: nn.Parameter([1.0, 2.0])})


def test_they_work_inside_a_network():
    class Net(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(5, 2)
            self.loss = nn.CrossEntropyLoss([1.0, 2.0])

        def forward(self, x, target):
            return self.loss(self.layer(x), target)

    net = Net()
    assert list(net.state_dict()) == ["layer.weight", "layer.bias", "loss.weight"]
    net(A.astype(np.float32), np.array([0, 1, 1, 0])).backward()
    assert all(p.grad is not None for p in net.parameters())


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "make"),
    [
        ("delta must be positive, got 0", lambda: nn.HuberLoss(delta=0)),
        ("delta must be positive, got nan", lambda: nn.HuberLoss(delta=math.nan)),
        ("beta must be at least 0, got -1", lambda: nn.SmoothL1Loss(beta=-1)),
        ("gamma must be at least 0, got -0.5", lambda: nn.FocalLoss(-0.5)),
        ("form must be 'sigmoid' or 'softmax', got 'tanh'", lambda: nn.FocalLoss(form="tanh")),
        ("alpha of form='sigmoid' must be a number from 0 to 1, got 2", lambda: nn.FocalLoss(alpha=2)),
        ("p must be 1 or 2, got 3", lambda: nn.MultiMarginLoss(3)),
        ("margin must be positive, got 0", lambda: nn.TripletMarginLoss(0)),
        ("p must be positive, got -1", lambda: nn.TripletMarginLoss(p=-1)),
        ("j must be positive, got 0", lambda: nn.LeNetMAPLoss(0)),
        ("label_smoothing must be between 0 and 1, got 1.5", lambda: nn.CrossEntropyLoss(label_smoothing=1.5)),
    ],
)
def test_options_out_of_their_range(text, make):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        make()
    assert str(caught.value) == text


@pytest.mark.parametrize("kind", sorted({kind for kind, *_ in CASES}, key=lambda kind: kind.__name__))
def test_an_unknown_reduction_is_refused(kind):
    more = ", 'batchmean'" if kind is nn.KLDivLoss else ""
    first = "'mean', 'sum' or 'none'" if not more else "'mean', 'sum', 'none' or 'batchmean'"
    with pytest.raises(ValueError, match=f"reduction must be {first}, got 'average'"):
        kind(reduction="average")
    if not more:
        with pytest.raises(ValueError, match="got 'batchmean'"):
            kind(reduction="batchmean")
    with pytest.raises(TypeError, match="size_average"):
        kind(size_average=True)


PAIRS = [
    nn.MSELoss,
    nn.L1Loss,
    nn.HuberLoss,
    nn.SmoothL1Loss,
    nn.BCELoss,
    nn.BCEWithLogitsLoss,
    nn.FocalLoss,
    nn.KLDivLoss,
    nn.HingeLoss,
    nn.HingeEmbeddingLoss,
]


@pytest.mark.parametrize("kind", PAIRS)
def test_nothing_is_broadcast(kind):
    for x, target in itertools.permutations([np.ones(3), np.ones((3, 1))]):
        with pytest.raises(ValueError, match="of one shape") as caught:
            kind()(x, target)
        assert str(caught.value) == (
            f"{kind.__name__} expects x and target of one shape, since it does not broadcast; got x {x.shape} and "
            f"target {target.shape}: reshape one of them"
        )
    with pytest.raises(TypeError, match=rf"{kind.__name__} expects x to be floating, got int64: convert it with .to\("):
        kind()(np.ones(3, int), np.ones(3))
    with (
        fake_cupy.install(),
        pytest.raises(
            ValueError,
            match=f"{kind.__name__} needs all its arrays on one device, got x on cuda, target on cpu: move one",
        ),
    ):
        kind()(mg.ones(3, device="cuda"), mg.ones(3))
    assert kind(reduction="none")(mg.ones(3), [1, 1, 1]).shape == (3,)


def test_triplets_of_one_shape():
    with pytest.raises(ValueError, match=r"anchor and negative of one shape, .* anchor \(2, 3\) and negative \(1, 3\)"):
        nn.TripletMarginLoss()(np.ones((2, 3)), np.ones((2, 3)), np.ones((1, 3)))
    with pytest.raises(TypeError, match="TripletMarginLoss expects anchor to be floating, got int64"):
        nn.TripletMarginLoss()(np.ones(2, int), np.ones(2), np.ones(2))
    with fake_cupy.install(), pytest.raises(ValueError, match="got anchor on cuda, positive on cpu"):
        nn.TripletMarginLoss()(mg.ones(2, device="cuda"), mg.ones(2), mg.ones(2))
    with pytest.raises(ValueError, match=r"expects vectors, \(N, D\) or \(D,\), got single numbers"):
        nn.TripletMarginLoss()(np.array(1.0), np.array(1.0), np.array(1.0))


OF_CLASSES = [
    nn.NLLLoss(),
    nn.MultiMarginLoss(),
    nn.FocalLoss(form="softmax"),
    nn.LeNetMSELoss(),
    nn.LeNetMAPLoss(),
]


@pytest.mark.parametrize("loss", OF_CLASSES, ids=lambda loss: type(loss).__name__)
def test_targets_that_are_no_classes(loss):
    name = type(loss).__name__
    for wrong in (5, -1):
        with pytest.raises(ValueError, match=rf"target must lie in 0 ... 4, the classes of x \(4, 5\); got {wrong}"):
            loss(A, np.array([0, 1, wrong, 2]))
    with pytest.raises(
        TypeError, match=rf"{name} expects integer targets, got float64: convert them with .to\('int64'\)"
    ):
        loss(A, LABELS.astype(float))
    with pytest.raises(TypeError, match="got bool"):
        loss(A, LABELS > 1)
    with pytest.raises(
        ValueError,
        match=rf"{name} expects x \(N, C, ...\) and target \(N, ...\), or \(C,\) and one number; got x \(4, 5\) and "
        rf"target \(4, 1\)",
    ):
        loss(A, LABELS[:, None])
    with pytest.raises(ValueError, match=r"expects x \(N, C.*got (x \(\) and target )?\(\)"):
        loss(np.array(1.0), np.array(0))
    with pytest.raises(TypeError, match=f"{name} expects x to be floating, got int64"):
        loss(np.ones((4, 5), int), LABELS)
    with fake_cupy.install(), pytest.raises(ValueError, match="got x on cuda, target on cpu"):
        loss(mg.tensor(A, device="cuda"), mg.tensor(LABELS))
    assert loss(A, LABELS.tolist()).item() == loss(A, LABELS).item()
    assert loss(A, LABELS.astype(np.uint8)).item() == loss(A, LABELS).item()


def refused(text, loss, *arguments, error=ValueError):
    with pytest.raises(error, match=text):
        loss(*arguments)


def test_other_arguments_that_are_refused():
    x = np.array([0.5, 1.5])
    refused("BCELoss expects probabilities from 0 to 1; for logits use BCEWithLogitsLoss, got 1.5", nn.BCELoss(), x, x)
    refused("got nan", nn.BCELoss(), np.array([math.nan]), np.ones(1))
    refused("HingeLoss expects targets of -1 and 1, got 0.0", nn.HingeLoss(), x, np.array([1, 0]))
    refused("HingeEmbeddingLoss expects targets of -1 and 1, got 0.0", nn.HingeEmbeddingLoss(), x, np.array([0, 1]))
    refused("FocalLoss expects targets of 0 and 1, got 0.5", nn.FocalLoss(), x, x)
    refused(
        r"FocalLoss with form='softmax' expects at least two classes, got x \(2, 1\)",
        nn.FocalLoss(form="softmax"),
        x[:, None],
        np.zeros(2, int),
    )
    refused(r"MultiMarginLoss expects x \(N, C\) or \(C,\), got \(2, 5, 3, 2\)", nn.MultiMarginLoss(), IMAGES, MAPS)
    refused(
        "CrossEntropyLoss expects x to be floating, got int64", nn.CrossEntropyLoss(), [[1, 2]], [0], error=TypeError
    )
    for loss in (nn.BCELoss(WEIGHTS), nn.BCEWithLogitsLoss(WEIGHTS), nn.BCELoss(np.ones((3, 1)))):
        refused(r"weight must broadcast to the shape of x, \(4,\), got \(", loss, P[:, 0], Q[:, 0])
    refused(
        r"pos_weight must broadcast to the shape of x, \(4, 5\), got \(4,\)",
        nn.BCEWithLogitsLoss(pos_weight=np.ones(4)),
        P,
        Q,
    )
    for loss in (nn.NLLLoss([1, 2]), nn.CrossEntropyLoss([1, 2]), nn.MultiMarginLoss(weight=[1, 2])):
        refused(r"weight must have shape \(5,\), one number for each class, got \(2,\)", loss, A, LABELS)
    refused(r"alpha must have shape \(5,\)", nn.FocalLoss(alpha=[1, 2], form="softmax"), A, LABELS)
    with pytest.raises(TypeError, match="alpha of form='sigmoid' must be one number from 0 to 1, got list"):
        nn.FocalLoss(alpha=[0.5, 0.5])
    with fake_cupy.install():
        x, target = mg.tensor(A, device="cuda"), mg.tensor(LABELS, device="cuda")
        for loss in (nn.NLLLoss(WEIGHTS), nn.CrossEntropyLoss(WEIGHTS), nn.MultiMarginLoss(weight=WEIGHTS)):
            refused(f"{type(loss).__name__} needs all its arrays on one device, .* weight on cpu", loss, x, target)


def test_texts():
    assert repr(nn.CrossEntropyLoss([1, 2])) == "CrossEntropyLoss()"
    assert repr(nn.FocalLoss(form="softmax")) == "FocalLoss(gamma=2.0, form='softmax')"
    assert repr(nn.HingeLoss(0.5)) == "HingeLoss(margin=0.5)"
    assert repr(nn.LeNetMAPLoss()) == "LeNetMAPLoss(j=84.0)"
    with pytest.raises(ValueError, match="of one shape") as caught:
        nn.HingeLoss()(np.ones(3), np.ones((3, 1)))
    assert caught.value.__notes__ == ["in HingeLoss(margin=1.0), input (3,), (3, 1)"]
