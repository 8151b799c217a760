"""Derivatives of functions: products with Jacobians and Hessians, and the whole matrices.

Names, arguments and results are those of `torch.autograd.functional`, and every function can be nested in another.
What differs:

- `create_graph` has three values. By default (None) the results are recorded as those of an op are: when recording is
  on, they are part of the graph of everything they depend on that requires a gradient, be it an input, `v`, or a tensor
  that `func` takes from its closure, such as the parameters of a model. So a call inside another differentiated
  function always connects to it, where PyTorch is silent and wrong without `create_graph=True`. False leaves the
  results outside every graph and saves the recording; True connects them even under `no_grad()`.
- There is no `strict`: an input that the function does not use has the derivative zero. There is no `vectorize`.
- The inputs may be arrays. `func` gets copies of the inputs: what it is given are leaves of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minigrad.backend import device_of
from minigrad.engine import Node, grad
from minigrad.gradmode import enable_grad, mode
from minigrad.ops import reshape, stack
from minigrad.tensor import Tensor, asarray, wrap

Tensors = Tensor | tuple[Tensor, ...]


def vjp(func: Callable, inputs: Any, v: Any = None, create_graph: bool | None = None) -> tuple[Tensors, Tensors]:
    """The outputs, and the product of `v` with the Jacobian: `sum_i v_i * d out_i / d x`, one for each input.

    Args:
        func: takes the inputs as Tensors, returns a Tensor or a tuple of them, floating.
        inputs: a Tensor or array, or a tuple of them, floating.
        v: of the shape of the outputs, a tuple if they are one; may be left out for one output of one element.
        create_graph: whether the results join a graph: True, False, or None, where they need one.

    Returns:
        (outputs, products): the products have the shapes, dtypes and devices of the inputs. Each is a tuple where the
        function has several, else a Tensor.

    Raises:
        TypeError: an input or output that is not floating, a list of inputs, or an output that is not a Tensor.
        ValueError: a `v` of another shape or on another device, or none for outputs of several elements.

    >>> import minigrad as mg
    >>> vjp(lambda x: x * x, mg.tensor([1.0, 2.0]), mg.tensor([1.0, 10.0]))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    call = _Call(func, inputs)
    vs = _vectors(v, call.ys, "outputs", call.several_outputs)
    record = call.decide(create_graph, vs)
    products = _backward(call.ys, call.xs, vs, record)
    return call.pack_outputs(call.ys), call.pack_inputs(products)


def jvp(func: Callable, inputs: Any, v: Any = None, create_graph: bool | None = None) -> tuple[Tensors, Tensors]:
    """The outputs, and the product of the Jacobian with `v`: `sum_j d out / d x_j * v_j`, the derivative along v.

    Computed by two passes backward: the product u -> u @ J is linear in u, and its own vector-Jacobian product with v
    is J @ v (Townsend 2017, "A new trick for calculating Jacobian vector products").

    Args:
        func, inputs, create_graph: as for `vjp`.
        v: of the shape of the inputs, a tuple if they are one; may be left out for one input of one element.

    Returns:
        (outputs, products): the products have the shapes, dtypes and devices of the outputs.

    Raises:
        TypeError, ValueError: as for `vjp`.

    >>> import minigrad as mg
    >>> jvp(lambda x: x * x, mg.tensor([1.0, 2.0]), mg.tensor([1.0, 10.0]))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    call = _Call(func, inputs)
    vs = _vectors(v, call.xs, "inputs", call.several_inputs)
    record = call.decide(create_graph, vs)
    us = [call.leaf(wrap(y.xp.zeros(y.shape, y.dtype))) for y in call.ys]
    with enable_grad():
        products = _backward(call.ys, call.xs, us, True)
        along = _backward(products, us, vs, record)
    return call.pack_outputs(call.ys), call.pack_outputs(along)


def hvp(func: Callable, inputs: Any, v: Any = None, create_graph: bool | None = None) -> tuple[Tensor, Tensors]:
    """The output of a function of one element, and the product of its Hessian with `v`, one for each input.

    The gradient is differentiated again along v, `d/dx <grad f(x), v>`; the Hessian itself is never formed.

    Args:
        func: returns one element.
        inputs, v, create_graph: as for `jvp`.

    Returns:
        (output, products): the products have the shapes, dtypes and devices of the inputs.

    Raises:
        TypeError, ValueError: as for `vjp`; ValueError also for an output of several elements.

    >>> import minigrad as mg
    >>> hvp(lambda x: (x**3).sum(), mg.tensor([1.0, 2.0]), mg.tensor([1.0, 1.0]))
    (tensor(9.), tensor([ 6., 12.]))
    """
    call = _Call(func, inputs, one_element="hvp")
    vs = _vectors(v, call.xs, "inputs", call.several_inputs)
    record = call.decide(create_graph, vs)
    with enable_grad():
        products = _backward(_backward(call.ys, call.xs, [None], True), call.xs, vs, record)
    return call.pack_outputs(call.ys), call.pack_inputs(products)  # type: ignore[return-value]


def jacobian(func: Callable, inputs: Any, create_graph: bool | None = None) -> Any:
    """All derivatives of the outputs: `J[i, j] = d out[i] / d x[j]`, of the output's shape followed by the input's.

    One pass backward for each element of the outputs.

    Args:
        func, inputs, create_graph: as for `vjp`.

    Returns:
        A Tensor; with a tuple of inputs a tuple of one for each; with several outputs a tuple of such for each output.
        Each has the dtype and device of its input.

    Raises:
        TypeError: as for `vjp`.

    >>> import minigrad as mg
    >>> jacobian(lambda x: mg.stack([x[0] * x[1], x[1]]), mg.tensor([2.0, 3.0]))
    tensor([[3., 2.],
            [0., 1.]])
    """
    call = _Call(func, inputs)
    record = call.decide(create_graph)
    rows = tuple(call.pack_inputs(_jacobian_of(y, call.xs, record)) for y in call.ys)
    return rows if call.several_outputs else rows[0]


def hessian(func: Callable, inputs: Any, create_graph: bool | None = None) -> Any:
    """All second derivatives of a function of one element: `H[i, j] = d2 f / d x[i] d x[j]`.

    One pass backward for each element of the inputs, through the gradient.

    Args:
        func: returns one element.
        inputs, create_graph: as for `vjp`.

    Returns:
        A Tensor of the input's shape twice; with a tuple of inputs a tuple of tuples, a block for each pair of them.

    Raises:
        TypeError, ValueError: as for `hvp`.

    >>> import minigrad as mg
    >>> hessian(lambda x: x[0] ** 2 * x[1], mg.tensor([2.0, 3.0]))
    tensor([[6., 4.],
            [4., 0.]])
    """
    call = _Call(func, inputs, one_element="hessian")
    record = call.decide(create_graph)
    with enable_grad():
        gradients = _backward(call.ys, call.xs, [None], True)
    blocks = tuple(call.pack_inputs(_jacobian_of(g, call.xs, record)) for g in gradients)
    return blocks if call.several_inputs else blocks[0]


# ---- parts ----------------------------------------------------------------------------------------------------------


class _Call:
    """One call of the function to differentiate: copies of its inputs, its outputs, and what both depend on."""

    def __init__(self, func: Callable, inputs: Any, one_element: str = ""):
        if isinstance(inputs, list) and any(hasattr(x, "shape") for x in inputs):
            raise TypeError("inputs must be a Tensor or array, or a tuple of them, got a list: use tuple(inputs)")
        self.several_inputs = isinstance(inputs, tuple)
        self.leaves: set[Node] = set()  # made here: depending on them alone is depending on nothing outside
        self.record = False
        xs = []
        for i, x in enumerate(inputs if self.several_inputs else (inputs,)):
            x = asarray(x)
            if x.dtype.kind != "f":
                raise TypeError(
                    f"inputs[{i}] must be floating to be differentiated, got {x.dtype}: convert it with .to('float32')"
                )
            with enable_grad():
                # A copy, recorded if x requires a gradient. On the memory of x itself, a later change of x would
                # go unnoticed, or every view that func takes would forbid writing to x from then on.
                x = x.copy()
            xs.append(x if x.requires_grad else self.leaf(x))
        self.xs: tuple[Tensor, ...] = tuple(xs)
        with enable_grad():
            ys = func(*self.xs)
        self.several_outputs = isinstance(ys, tuple)
        self.ys: tuple[Tensor, ...] = ys if isinstance(ys, tuple) else (ys,)
        for i, y in enumerate(self.ys):
            if not isinstance(y, Tensor):
                raise TypeError(f"func must return a Tensor or a tuple of Tensors, got {type(y).__name__}")
            if y.dtype.kind != "f":
                raise TypeError(f"outputs[{i}] of func must be floating to be differentiated, got {y.dtype}")
        if one_element and (self.several_outputs or self.ys[0].size != 1):
            got = f"{len(self.ys)} outputs" if self.several_outputs else f"shape {self.ys[0].shape}"
            raise ValueError(f"{one_element} needs a func that returns one element, got {got}: sum it, or use jacobian")

    def leaf(self, x: Tensor) -> Tensor:
        """Let a tensor that is nobody else's require a gradient."""
        x.requires_grad_()
        self.leaves.add(x.node)  # type: ignore[arg-type]
        return x

    def decide(self, create_graph: bool | None, vs: Sequence[Tensor | None] = ()) -> bool:
        """Whether the results have to be recorded: something outside that they depend on requires a gradient."""
        wanted = mode.recording if create_graph is None else create_graph
        self.record = wanted and self._depends(*self.ys, *(v for v in vs if v is not None))
        return self.record

    def _depends(self, *values: Tensor) -> bool:
        """Whether there is a way back from the values to a leaf that was not made here."""
        seen, stack = set(self.leaves), [value.node for value in values if value.node is not None]
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                if not node.edges:  # a leaf, or part of a graph that was freed
                    return True
                stack.extend(node.edges)
        return False

    def _result(self, value: Tensor) -> Tensor:
        """A result as the caller gets it: in a graph only for what is outside."""
        if value.node is None:
            return value
        if self._depends(value):
            return value if self.record else value.detach()
        return wrap(value._array)  # nobody else's memory; detach() would forbid writing to it

    def pack_inputs(self, values: Sequence[Tensor]) -> Tensors:
        """One result for each input, as the caller gave them: one alone or a tuple."""
        results = tuple(map(self._result, values))
        return results if self.several_inputs else results[0]

    def pack_outputs(self, values: Sequence[Tensor]) -> Tensors:
        """One result for each output, as func returned them."""
        results = tuple(map(self._result, values))
        return results if self.several_outputs else results[0]


def _vectors(v: Any, likes: Sequence[Tensor], name: str, several: bool) -> list[Tensor | None]:
    """One vector for each of `likes`, checked; None stands for the number 1."""
    if v is None:
        if len(likes) != 1 or likes[0].size != 1:
            shapes = ", ".join(str(x.shape) for x in likes)
            raise ValueError(
                f"v may be left out for {name} of one element only; they have shape {shapes}: pass a v of it"
            )
        return [None]
    given: Sequence[Any] = v if several and isinstance(v, (tuple, list)) else (v,)
    if len(given) != len(likes):
        raise ValueError(f"v must hold {len(likes)} vectors, one for each of the {name}, got {len(given)}")
    checked: list[Tensor | None] = []
    for i, (vector, x) in enumerate(zip(given, likes, strict=True)):
        if not isinstance(vector, Tensor):
            vector = asarray(vector, x.dtype, device_of(vector) or x.device)
        if vector.shape != x.shape:
            raise ValueError(f"v[{i}] has shape {vector.shape}, but {name}[{i}] has shape {x.shape}")
        if vector.device != x.device:
            raise ValueError(
                f"v[{i}] is on {vector.device}, but {name}[{i}] is on {x.device}: move it with .to({x.device!r})"
            )
        checked.append(vector)
    return checked


def _backward(ys: Sequence[Tensor], xs: Sequence[Tensor], vs: Sequence[Any], record: bool) -> list[Tensor]:
    """The gradients of `sum_k <ys[k], vs[k]>`, zeros where there is no dependence."""
    live = [(y, v) for y, v in zip(ys, vs, strict=True) if y.requires_grad]
    found: Sequence[Tensor | None] = [None] * len(xs)
    if live and xs:
        outputs, seeds = zip(*live, strict=True)
        with enable_grad():
            found = grad(outputs, xs, seeds, retain_graph=True, create_graph=record, allow_unused=True)
    return [wrap(x.xp.zeros(x.shape, x.dtype)) if g is None else g for x, g in zip(xs, found, strict=True)]


def _jacobian_of(y: Tensor, xs: Sequence[Tensor], record: bool) -> list[Tensor]:
    if not y.size or not y.requires_grad:
        return [wrap(x.xp.zeros(y.shape + x.shape, x.dtype)) for x in xs]
    rows = []
    for i in range(y.size):
        unit = y.xp.zeros(y.size, y.dtype)
        unit[i] = 1
        rows.append(_backward([y], xs, [wrap(unit.reshape(y.shape))], record))
    with enable_grad():
        return [
            reshape(stack(column), y.shape + x.shape) for column, x in zip(zip(*rows, strict=True), xs, strict=True)
        ]
