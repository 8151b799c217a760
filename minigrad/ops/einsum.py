"""Einstein summation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad.backend import raw, shape_of, xp
from minigrad.engine import op

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _explicit(subscripts: str, shapes: Sequence[tuple[int, ...]]) -> str:
    """Subscripts without blanks and ellipses, the output written out; checked against the shapes."""
    text = subscripts.replace(" ", "")
    inputs, arrow, output = text.partition("->")
    terms = inputs.split(",")
    if len(terms) != len(shapes):
        raise ValueError(f"einsum subscripts {subscripts!r} name {len(terms)} operands, got {len(shapes)}")
    free = [c for c in _LETTERS if c not in text]
    extra = [len(s) - len(t.replace("...", "")) for s, t in zip(shapes, terms, strict=True) if "..." in t]
    dots = "".join(free[: max((0, *extra))])
    sizes: dict[str, int] = {}
    for k, (term, shape) in enumerate(zip(terms, shapes, strict=True)):
        named = term.replace("...", "")
        rest = len(shape) - len(named)
        if rest < 0 or (rest > 0 and "..." not in term) or not set(named) <= set(_LETTERS):
            raise ValueError(
                f"einsum subscripts {term!r} of operand {k} do not fit its shape {shape}: one letter for each axis"
            )
        terms[k] = term.replace("...", dots[len(dots) - rest :])
        for letter, n in zip(terms[k], shape, strict=True):
            if sizes.setdefault(letter, n) != n:
                if 1 not in (n, sizes[letter]):
                    raise ValueError(
                        f"einsum index {letter!r} of {subscripts!r} has size {sizes[letter]} in one operand and {n} in "
                        f"operand {k}, of shape {shape}"
                    )
                sizes[letter] = max(n, sizes[letter])
    if arrow:
        if dots and "..." not in output:
            raise ValueError(f"einsum output of {subscripts!r} must have the ... that its operands have")
        output = output.replace("...", dots)
    else:
        once = sorted(c for c in set("".join(terms)) - set(dots) if "".join(terms).count(c) == 1)
        output = dots + "".join(once)
    if unknown := [c for c in output if c not in sizes]:
        raise ValueError(f"einsum output index {unknown[0]!r} of {subscripts!r} is in no operand")
    if len(set(output)) != len(output):
        raise ValueError(f"einsum output of {subscripts!r} repeats an index")
    return f"{','.join(terms)}->{output}"


@op(sequence="operands")
def _einsum(operands, subscripts):
    if len(operands) == 1:
        return xp(*operands).einsum(subscripts, *operands).copy()  # it may be a view, with the operand's memory
    return xp(*operands).einsum(subscripts, *operands, **({"optimize": True} if len(operands) > 2 else {}))


def _einsum_gradients(g: Any, operands: Sequence[Any], subscripts: str) -> list:
    """The gradient of each operand is an einsum of g with the others: read the operand's own term as the output."""
    inputs, output = subscripts.split("->")
    terms = inputs.split(",")
    library = xp(raw(g))
    gradients = []
    for k, (term, operand) in enumerate(zip(terms, operands, strict=True)):
        shape, new = shape_of(operand), iter(c for c in _LETTERS if c not in subscripts)
        factors, names = [g, *operands[:k], *operands[k + 1 :]], [output, *terms[:k], *terms[k + 1 :]]
        target = ""
        for axis, letter in enumerate(term):
            if letter in target:  # a diagonal: the gradient lies on it, so multiply by an identity matrix
                fresh = next(new)
                factors.append(library.eye(shape[axis], dtype=g.dtype))
                names.append(letter + fresh)
                target += fresh
                continue
            sizes = [shape_of(f)[n.index(letter)] for f, n in zip(factors, names, strict=True) if letter in n]
            if shape[axis] not in sizes:  # summed away alone, or against a size of 1: the same gradient all along it
                factors.append(library.ones(shape[axis], g.dtype))
                names.append(letter)
            target += letter
        gradients.append(_einsum(factors, f"{','.join(names)}->{target}"))
    return gradients


_einsum.vjp(operands=_einsum_gradients)


def einsum(subscripts, *operands):
    """The sum of products that the subscripts describe, as in NumPy: "ij,jk->ik" is a matrix product.

    Args:
        subscripts: one letter for each axis of each operand, commas between them, after -> those of the result (without
            it, the letters that occur once, in alphabetical order). `...` stands for further axes, which broadcast.
        operands: the arrays.

    Raises:
        ValueError: subscripts that do not fit the operands; says which operand, and its shape.

    >>> import minigrad as mg
    >>> mg.einsum("ij,j->i", mg.ones((2, 3)), mg.arange(3.0))
    tensor([3., 3.])
    """
    return _einsum(operands, _explicit(subscripts, [shape_of(x) for x in operands]))
