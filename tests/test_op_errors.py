"""What users get wrong when they call ops: the message names the argument, the values and the remedy."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg

X = mg.ones((2, 3))
SQUARE = mg.ones((2, 2))
IMAGE = mg.ones((1, 2, 4, 4))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        # axes, as users write them
        (lambda: mg.sum(X, axis=2), IndexError, r"axis 2 is out of range for shape \(2, 3\): valid axes are -2 to 1"),
        (lambda: mg.var(X, axis=(1, -1)), ValueError, r"axis \(1, -1\) names an axis twice for shape \(2, 3\)"),
        (lambda: mg.sort(X, axis="0"), TypeError, "axis must be an integer, got '0'"),
        (lambda: mg.flatten(X, 1, 0), ValueError, r"start_axis 1 comes after end_axis 0 in shape \(2, 3\)"),
        # joining and cutting
        (lambda: mg.stack([X, SQUARE]), ValueError, r"all of the same shape, got shapes \[\(2, 3\), \(2, 2\)\]"),
        (lambda: mg.stack([]), ValueError, r"stack needs one array or more, .* got shapes \[\]"),
        (lambda: mg.split(X, 2, 1), ValueError, "has 3 elements, which do not divide into 2 equal pieces"),
        (
            lambda: mg.pad(X, 1, mode="mirror"),
            ValueError,
            r"mode must be 'constant' or one of \['circular', .* 'mirror'",
        ),
        (lambda: mg.pad(mg.zeros(0), 1, mode="edge"), ValueError, r"axis 0 of shape \(0,\) is empty: mode 'edge' has"),
        # indices
        (lambda: mg.take(X, [5], 1), IndexError, "index 5 is out of bounds for axis 1 with size 3"),
        (lambda: mg.repeat(X, -1), ValueError, r"repeats must be an integer of at least 0, or 6 of them, got -1"),
        (lambda: mg.repeat(X, [1, 2], 1), ValueError, r"repeats must be .* or 3 of them, got \[1, 2\]"),
        (lambda: mg.gather(X, 1, [0, 1]), ValueError, r"index must have as many axes as x \(2, 3\), got shape \(2,\)"),
        (
            lambda: mg.gather(X, 1, [[0], [1], [2]]),
            ValueError,
            r"index \(3, 1\) must not be larger than x \(2, 3\) along",
        ),
        (lambda: mg.gather(X, 1, [[7]]), IndexError, "index 7 is out of bounds for axis 1 with size 3"),
        (
            lambda: mg.scatter_add(X, 1, [[0, 1]], mg.ones((1, 1))),
            ValueError,
            r"src \(1, 1\) must have at least the shape of the index, \(1, 2\)",
        ),
        (
            lambda: mg.take_along_axis(X, [0]),
            ValueError,
            r"indices must have as many axes as x \(2, 3\), got shape \(1,\)",
        ),
        (lambda: mg.one_hot([0.5]), TypeError, "one_hot needs integers, got float64"),
        (lambda: mg.one_hot([0, 3], 3), ValueError, r"x must lie in 0 ... 2 for num_classes=3, got values from 0 to 3"),
        (lambda: mg.topk(X, 4), ValueError, r"k must be between 0 and 3, the size of axis 1 of shape \(2, 3\); got 4"),
        # linear algebra
        (
            lambda: X @ X,
            ValueError,
            r"last axis of x \(2, 3\) and the second-to-last axis of y \(2, 3\) must have one size",
        ),
        (lambda: X @ mg.ones(2), ValueError, r"the only axis of y \(2,\) must have one size, got 3 and 2"),
        (
            lambda: mg.linear(X, mg.ones((4, 2))),
            ValueError,
            r"linear expects x \(..., in\), weight \(out, in\) and bias \(out,\), got x \(2, 3\), weight \(4, 2\)",
        ),
        (lambda: mg.linear(X, mg.ones((4, 3)), mg.ones(3)), ValueError, r"weight \(4, 3\) and bias \(3,\)"),
        (lambda: X @ 2, ValueError, r"matmul needs at least one axis in each operand, got \(2, 3\) and \(\)"),
        (lambda: X.transpose(0, 1), TypeError, r"transpose\(0, 1\) means one thing in NumPy .* use swapaxes\(0, 1\)"),
        (lambda: mg.inv(X), ValueError, r"inv needs square matrices \(..., n, n\), got shape \(2, 3\)"),
        (lambda: mg.det(mg.ones(3)), ValueError, r"det needs square matrices \(..., n, n\), got shape \(3,\)"),
        (lambda: mg.inv(SQUARE), np.linalg.LinAlgError, "Singular matrix"),
        (lambda: mg.cholesky(-SQUARE), np.linalg.LinAlgError, "not positive definite"),
        (
            lambda: mg.tensordot(X, X, 1),
            ValueError,
            r"axes \(1,\) of x \(2, 3\) do not pair up with axes \(0,\) of y \(2, 3\)",
        ),
        (lambda: mg.einsum("ij,jk", X), ValueError, "einsum subscripts 'ij,jk' name 2 operands, got 1"),
        (
            lambda: mg.einsum("ijk", X),
            ValueError,
            r"subscripts 'ijk' of operand 0 do not fit its shape \(2, 3\): one letter",
        ),
        (lambda: mg.einsum("i1", X), ValueError, r"subscripts 'i1' of operand 0 do not fit"),
        (
            lambda: mg.einsum("ij,ij", X, mg.ones((2, 4))),
            ValueError,
            "index 'j' of 'ij,ij' has size 3 in one .* and 4 in",
        ),
        (lambda: mg.einsum("ij->k", X), ValueError, "output index 'k' of 'ij->k' is in no operand"),
        (lambda: mg.einsum("ij->ii", X), ValueError, "output of 'ij->ii' repeats an index"),
        (lambda: mg.einsum("...j->j", X), ValueError, "output of '...j->j' must have the ... that its operands have"),
        # activations and losses
        (
            lambda: mg.prelu(X, mg.ones(2)),
            ValueError,
            r"weight must have shape \(1,\) or \(3,\), one number .* got \(2,\)",
        ),
        (lambda: mg.gelu(X, "fast"), ValueError, "approximate must be 'none' or 'tanh', got 'fast'"),
        (
            lambda: mg.cross_entropy(X, [0, 3]),
            ValueError,
            r"target must lie in 0 ... 2, the classes of x \(2, 3\); got 3",
        ),
        (lambda: mg.cross_entropy(X, [0, -1]), ValueError, "target must lie in 0 ... 2, .* got -1"),
        (
            lambda: mg.cross_entropy(X, [0]),
            ValueError,
            r"expects x \(N, C, ...\) and target \(N, ...\), got x \(2, 3\) and",
        ),
        (lambda: mg.cross_entropy(X, [True, False]), TypeError, "integer classes or floating probabilities, got bool"),
        (
            lambda: mg.cross_entropy(X, mg.ones(2)),
            ValueError,
            r"a floating target is a distribution .* x \(2, 3\), got \(2,\)",
        ),
        (
            lambda: mg.cross_entropy(X, [0, 1], weight=[1.0]),
            ValueError,
            r"weight must have shape \(3,\), .* got \(1,\)",
        ),
        (
            lambda: mg.cross_entropy(X, [0, 1], reduction="avg"),
            ValueError,
            "must be 'mean', 'sum' or 'none', got 'avg'",
        ),
        (lambda: mg.cross_entropy(X, [0, 1], label_smoothing=2), ValueError, "between 0 and 1, got 2"),
        (
            lambda: mg.cross_entropy(mg.tensor(1.0), 0),
            ValueError,
            r"expects x \(N, C, ...\) or \(C,\), got a single number",
        ),
    ],
)
def test_message(call: object, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_the_op_and_what_it_was_given_are_in_the_notes() -> None:
    with pytest.raises(np.linalg.LinAlgError) as caught:
        mg.solve(SQUARE, mg.ones(2))
    assert caught.value.__notes__ == ["in solve(a=float32[2, 2], b=float32[2])"]
