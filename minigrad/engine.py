"""The autograd engine: recording calls of ops, and going back through what was recorded.

Read this file first. The whole engine stands on one idea:

    *a gradient rule is written with the same ops that it differentiates.*

An op is an ordinary function of arrays. Called with raw arrays it computes; called with a `Tensor` it computes **and
records** a `Node`: which op ran, which nodes its inputs came from, and the values that its gradient rules asked for. A
rule names what it needs by its parameters, and nothing else is kept::

    @op
    def multiply(x, y): return x * y
    multiply.vjp(x=lambda g, y: g * y, y=lambda g, x: g * x)

    @op
    def exp(x): return xp(x).exp(x)
    exp.vjp(x=lambda g, out: g * out)

`g` is the gradient of the final result with respect to the op's output, and the rule returns the gradient with respect
to one input: a vector-Jacobian product. A rule may name any argument of its op, `out`, an auxiliary output, or
`<argument>_shape`, which keeps a tuple alive instead of an array. Rules never undo broadcasting, convert dtypes,
accumulate or free: the engine does.

An ordinary `backward()` runs the rules on raw arrays: fast, and nothing is recorded. With `create_graph=True` the same
rules run on Tensors, so they are recorded like any other computation and can be differentiated again, to any order.
"""

from __future__ import annotations

import heapq
import itertools
import operator
import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import update_wrapper
from sys import getrefcount
from typing import Any

import numpy as np

import minigrad  # the ops are looked up when one is needed: they are made with this module
from minigrad.autocast import CLASS_OF
from minigrad.backend import as_array, describe, device_of, in_one_order, lies_in_order, raw, same_device, shape_of
from minigrad.contract import REGISTRY, Op, Plan, binder
from minigrad.gradmode import mode
from minigrad.tensor import Tensor, wrap
from minigrad.threads import one_blas_thread

Array = Any  # numpy.ndarray or cupy.ndarray

_creation = itertools.count()


class Node:
    """One recorded call of an op; or, without a plan, a leaf: a tensor that the user asked to have a gradient."""

    __slots__ = (
        "__weakref__",
        "counts",
        "dtype",
        "edges",
        "hooks",
        "plan",
        "saved",
        "sequence",
        "shape",
        "strides",
        "target",
        "where",
    )
    where: str  # the line of the user's call: set under detect_anomaly, and not there otherwise

    def __init__(self, plan: Plan | None, edges: tuple[Node, ...], saved: list | None, counts: list, out: Array):
        self.plan = plan  # the op and its rules
        self.edges = edges  # the nodes of the inputs that need a gradient, aligned with plan.inputs
        self.saved: Any = saved  # the values the rules named; None once freed; a `Dropped` where they can be had again
        self.counts = counts  # for each of them, the version of the tensor when it was saved
        self.shape = out.shape
        self.dtype = out.dtype
        # Images lie in the memory order of the kernels, and so must their gradients: adding two orders takes ten times
        # as long as adding one (32x64x56x56: 53 ms, not 5).
        self.strides = out.strides if out.ndim > 2 and not out.flags.c_contiguous else None
        self.sequence = next(_creation)  # inputs are always older than outputs: this alone orders the way back
        self.hooks: dict[int, Callable] | None = None
        self.target: weakref.ref[Tensor] | None = None  # whose .grad receives the gradient: leaves and retain_grad()


def leaf(tensor: Tensor) -> Node:
    """The node of a tensor that starts to require a gradient."""
    node = Node(None, (), None, [], tensor._array)
    node.target = weakref.ref(tensor)
    return node


# ---- recording ------------------------------------------------------------------------------------------------------


def op(
    function: Callable | None = None,
    *,
    aux: tuple[str, ...] = (),
    view: bool = False,
    sequence: str | None = None,
    prepare: dict[str, Callable[[Any, Any], Any]] | None = None,
    elementwise: bool = False,
) -> Any:
    """Make a differentiable op of a function of arrays. Use it as a decorator, then register rules with `.vjp`.

    The body gets raw arrays (NumPy or CuPy) and returns one array; `minigrad.xp(x)` is the library of an array. With
    `aux=("name", ...)` it returns a tuple: the one differentiable output, then outputs that are never differentiated,
    which rules may name. `sequence` names an argument that is a list of arrays, whose rule returns a list of gradients.
    `prepare` maps an argument to a function `(value, first argument) -> value` that normalises it before the body and
    the rules see it. `view=True` says that the output may share the memory of the first argument. `elementwise=True`
    says that an element of the output depends on one element of each argument, so that images stay in the memory order
    of the kernels (see `minigrad.backend.in_one_order`).

    >>> import minigrad as mg
    >>> @mg.op
    ... def cube(x):
    ...     return x * x * x
    >>> cube.vjp(x=lambda g, x: 3 * g * x * x)
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> cube(x).sum().backward()
    >>> x.grad
    tensor([ 3., 12.])
    >>> mg.check_gradients(cube, [1.0, 2.0])
    """
    if function is None:
        return lambda f: op(f, aux=aux, view=view, sequence=sequence, prepare=prepare, elementwise=elementwise)
    self = Op(function, aux, view, sequence, elementwise)
    call = binder(function, self, apply, prepare or {})
    update_wrapper(call, function)
    call.op, call.vjp, call.vjp_joint = self, self.vjp, self.vjp_joint
    if (function.__module__ or "").startswith("minigrad.ops"):  # a user's op is for the user's own tests to check
        REGISTRY[self.name] = self
        precision = CLASS_OF.get(self.name)
        self.precision = None if precision == "same" else precision
    return call


def elementwise(function: Callable) -> Any:
    """`op(elementwise=True)`: the decorator of most of the ops."""
    return op(function, elementwise=True)


def apply(op: Op, values: tuple) -> Any:
    """Call an op with one value for each parameter: compute, and record if a Tensor is among them."""
    for value in values:
        if isinstance(value, Tensor):
            return _record(op, values)
    raw = list(values)
    if op.sequence >= 0:
        if any(isinstance(item, Tensor) for item in values[op.sequence]):
            return _record(op, values)
    elif type(raw[0]) in (list, tuple):
        raw[0] = np.asarray(raw[0])  # [1, 2] + [3] would join lists
    out, aux = _compute(op, values, raw)
    return (out, *aux) if op.aux else out


def _compute(op: Op, values: tuple, raw: list) -> tuple[Array, Sequence[Any]]:
    """Run the body of an op on raw arrays: its output, and its auxiliary outputs."""
    try:
        images = op.elementwise and getattr(raw[0], "ndim", 3) > 2
        out = in_one_order(op.function, raw) if images else op.function(*raw)
    except Exception as error:
        _explain(error, op, values, raw)
        raise
    aux: Sequence[Any] = ()
    if op.aux:
        out, *aux = out
    return out if type(out) is np.ndarray else as_array(out), aux


def _record(op: Op, values: tuple) -> Any:
    """Compute, and make a node if the result needs a gradient."""
    if op.precision is not None and (casts := mode.autocast) is not None:
        values = tuple(casts.cast(op.precision, values))
    raw = list(values)
    inputs: list[tuple[int, int | None]] = []  # what needs a gradient: (position, index in a sequence or None)
    edges: list[Node] = []
    library = None
    for position, value in enumerate(values):
        if isinstance(value, Tensor):
            array = raw[position] = value._array
            if library is None:
                library = type(array)
            elif type(array) is not library:
                raise _mixed_devices(op, values)
            if value.node is not None:
                inputs.append((position, None))
                edges.append(value.node)
        elif position == op.sequence:
            items = raw[position] = list(value)
            for i, item in enumerate(items):
                if isinstance(item, Tensor):
                    items[i] = item._array
                    if item.node is not None:
                        inputs.append((position, i))
                        edges.append(item.node)
            if not same_device(items):
                raise _mixed_devices(op, values)

    out, aux = _compute(op, values, raw)
    result = wrap(out)
    if op.view:
        result.share_version(values[0])
    if edges and mode.recording and out.dtype.kind == "f":
        key = tuple(inputs)
        plan = op.plans.get(key) or op.plans.setdefault(key, Plan(op, key))
        saved: list[Any] = []
        if plan.names:
            # An output that a rule needs is saved as another Tensor on the same array: a node that held its own
            # result would be a reference cycle, and its memory would wait for the garbage collector.
            pool = [*values, *aux, wrap(out, None, result.version) if plan.out >= 0 else None]
            if op.sequence >= 0:
                pool[op.sequence] = list(values[op.sequence])  # ours: the caller may change the one that was passed
            saved = [pool[i] for i in plan.saves]
            for i in plan.shapes:
                saved.append(tuple(map(shape_of, raw[i])) if i == op.sequence else shape_of(raw[i]))
        counts = [v.version.count if isinstance(v, Tensor) else _count(v) for v in saved] if saved else saved
        result.node = Node(plan, tuple(edges), saved, counts, out)
    for watcher in mode.watchers:
        watcher.called(op, values, raw, result)
    # The node keeps the auxiliary outputs themselves, so what the caller gets and may write to are copies.
    return (result, *(None if a is None else wrap(as_array(a).copy("K")) for a in aux)) if op.aux else result


def _mixed_devices(op: Op, values: tuple) -> ValueError:
    named = dict(zip(op.parameters, values, strict=True))
    if op.sequence >= 0:
        name = op.parameters[op.sequence]
        named.update({f"{name}[{i}]": item for i, item in enumerate(named.pop(name))})
    places = [f"{name} on {device_of(value)}" for name, value in named.items() if device_of(value)]
    return ValueError(
        f"{op.name} needs all its arrays on one device, got {', '.join(places)}: move one with .to(device)"
    )


def _explain(error: Exception, op: Op, values: tuple, raw: list) -> None:
    """Say what a failed call was given; an error of NumPy's own knows neither the op nor the arguments."""
    if not same_device(raw):
        raise _mixed_devices(op, values) from None
    if "broadcast" in str(error):
        shapes = {n: v.shape for n, v in zip(op.parameters, raw, strict=True) if hasattr(v, "shape")}
        try:
            np.broadcast_shapes(*shapes.values())
        except ValueError:
            text = " and ".join(f"{n} {s}" for n, s in shapes.items())
            raise ValueError(
                f"{op.name}: the shapes of {text} do not broadcast: counted from the last axis, sizes must be equal or "
                f"1; reshape one of them"
            ) from None
    given = ", ".join(f"{n}={describe(v)}" for n, v in zip(op.parameters, raw, strict=True))
    error.add_note(f"in {op.name}({given})")
    if type(error).__name__ == "OutOfMemoryError":  # CuPy's, whose text has the sizes
        error.add_note("a smaller batch needs less, and so does mg.checkpoint; mg.cuda.memory() says who holds what")


# ---- going back -----------------------------------------------------------------------------------------------------


def _count(value: Any) -> Any:
    """The version of a saved value: a count for a Tensor, a list of them for a sequence, None for a constant."""
    if isinstance(value, Tensor):
        return value.version.count
    if type(value) is list:
        return [_count(v) for v in value]
    return None


def _current(value: Any, count: Any, node: Node, index: int, create_graph: bool) -> Any:
    """A saved value as a rule sees it, once it is sure that nobody changed it in the meantime."""
    if count is None:
        return value
    if type(count) is list:
        return [_current(v, c, node, index, create_graph) for v, c in zip(value, count, strict=True)]
    if value.version.count != count:
        name, plan = node.plan.names[index], node.plan  # type: ignore[union-attr]
        what = "its output" if name == "out" else f"its argument {name!r}"
        raise RuntimeError(
            f"{plan.op.name} saved {what} of shape {value.shape} for the gradient, but it was changed in place at "  # type: ignore[union-attr]
            f"{value.version.where}: go backward before the change, or change a copy of it"
        )
    if not create_graph:
        return value._array
    return wrap(value._array, node, value.version) if node.plan.out == index else value  # type: ignore[union-attr]


def _fit(g: Any, node: Node, rule: tuple[Op, str]) -> Any:
    """A gradient in the shape, dtype and memory order of its value: broadcasting is undone by summing."""
    if not hasattr(g, "dtype"):
        g = np.asarray(g)
    if g.shape != node.shape:
        extra = g.ndim - len(node.shape)
        padded = (1,) * extra + node.shape
        if extra < 0 or any(a != b and a != 1 for a, b in zip(padded, g.shape, strict=True)):
            raise ValueError(
                f"the gradient rule of {rule[0].name} for {rule[1]!r} returned shape {g.shape}; its input has shape "
                f"{node.shape}"
            )
        axes = tuple(i for i, n in enumerate(padded) if i < extra or n != g.shape[i])
        half = g.dtype == np.float16 and not isinstance(g, Tensor)  # `sum` of Tensors adds float16 up in float32 itself
        g = (g.sum(axis=axes, keepdims=True, dtype=np.float32) if half else g.sum(axis=axes, keepdims=True)).reshape(
            node.shape
        )
    g = g if g.dtype == node.dtype else g.astype(node.dtype)
    if node.strides is None or lies_in_order(raw(g), node.strides):
        return g
    return minigrad.ops.in_order(g, node.strides)


def _reaching(roots: Iterable[Node], ends: set[Node]) -> set[Node]:
    """The nodes on a path from the roots to the ends: what `grad` has to visit."""
    seen, stack = set(roots), list(roots)
    while stack:
        for edge in stack.pop().edges:
            if edge not in seen:
                seen.add(edge)
                stack.append(edge)
    reaching = set(ends)
    for node in sorted(seen, key=lambda n: n.sequence):
        if any(edge in reaching for edge in node.edges):
            reaching.add(node)
    return reaching


def _propagate(
    seeds: dict[Node, Any], ends: set[Node] | None, retain_graph: bool, create_graph: bool
) -> dict[Node, Any]:
    """Run the rules from the seeds to the ends (None: to every node that has a `.grad` to fill). In short::

        while heap:
            node = the newest                                   # all that used it has been visited
            for edge, gx in zip(node.edges, the rules of node applied to its gradient):
                pending[edge] += gx

    Nodes leave a heap in the order of their creation, newest first: when one comes out, everything that used it has
    already been visited, so its gradient is complete. Returns the gradient of each end; nothing else is changed but
    the graph, which is freed behind us unless `retain_graph`.
    """
    visit = None if ends is None else _reaching(seeds, ends)
    pending = {node: [g, False] for node, g in seeds.items()}  # node -> [its gradient so far, do we own the buffer?]
    heap = [(-node.sequence, node) for node in pending]
    heapq.heapify(heap)
    found: dict[Node, Any] = {}
    given: list[Any]
    watchers = mode.watchers
    while heap:
        node = heapq.heappop(heap)[1]
        g, _ = pending.pop(node)
        if watchers:
            for watcher in watchers:
                watcher.arrived(node, g)
        if node.hooks:
            g = _run_hooks(node, g, create_graph)
        if node.target is not None if ends is None else node in ends:
            found[node] = g if not node.hooks else g.copy() if create_graph else g.copy("K")  # a hook may hold it
        if node.plan is None or (visit is not None and not any(edge in visit for edge in node.edges)):
            continue
        if type(node.saved) is not list:
            _restore(node)
        saved = _saved_values(node, create_graph) if node.saved else []
        given = [g, *saved]
        if watchers:  # asked first, here and below, because a loop over nothing takes three times as long
            for watcher in watchers:
                watcher.entered(node, g)
        for k, gx in enumerate(_run_rules(node, g, saved, visit, create_graph)):
            if gx is None:
                continue
            edge, position = node.edges[k], node.plan.inputs[k][0]
            if isinstance(gx, Tensor) is not create_graph:  # a constant, or a rule that made a Tensor by itself
                gx = wrap(as_array(gx)) if create_graph else gx._array if isinstance(gx, Tensor) else gx
            if getattr(gx, "shape", None) != edge.shape or gx.dtype != edge.dtype or edge.strides:
                gx = _fit(gx, edge, (node.plan.op, node.plan.op.parameters[position]))
            if (edge.target is not None if ends is None else edge in ends) and _is_borrowed(gx, given):
                gx = gx.copy() if create_graph else gx.copy("K")  # what a user gets must be the user's alone
            given.append(gx)
            if watchers:
                for watcher in watchers:
                    watcher.returned(node, position, given, gx)
            entry = pending.get(edge)
            if entry is None:
                pending[edge] = [gx, False]
                heapq.heappush(heap, (-edge.sequence, edge))
            elif entry[1]:
                entry[0] += gx
            elif edge.strides and not create_graph:
                entry[0], entry[1] = in_one_order(operator.add, [entry[0], gx]), True
            else:
                entry[0], entry[1] = entry[0] + gx, not create_graph
        if watchers:
            for watcher in watchers:
                watcher.left()
        if not retain_graph:
            node.saved = None  # the edges stay: `grad` has to see that a way leads through here
    return found


def _saved_values(node: Node, create_graph: bool) -> list:
    """What the rules of a node named: raw arrays, or Tensors where they are to be differentiated again."""
    return [
        value
        if count is None
        else value._array  # nearly always: a Tensor that has not changed, wanted as a raw array
        if not create_graph and type(count) is int and value.version.count == count
        else _current(value, count, node, i, create_graph)
        for i, (value, count) in enumerate(zip(node.saved, node.counts, strict=True))
    ]


def _run_rules(node: Node, g: Any, saved: list, visit: set[Node] | None, create_graph: bool) -> list:
    """What the gradient rules of a node give for each of its edges; None for those that nobody asks for."""
    plan: Plan = node.plan  # type: ignore[assignment]
    if plan.joint is not None and not create_graph:
        rule, needs, order = plan.joint
        together = rule(g, *[saved[i] for i in needs])
        wanted = zip(node.edges, order, strict=True)
        return [together[i] if visit is None or edge in visit else None for edge, i in wanted]
    if visit is None and plan.op.sequence < 0:  # an ordinary backward through an ordinary op
        return [rule(g, *[saved[i] for i in needs]) for rule, needs in plan.rules]
    results: list[Any] = []
    whole = None  # the rule of a sequence returns all its gradients at once
    for edge, (rule, needs), (_, item) in zip(node.edges, plan.rules, plan.inputs, strict=True):
        if visit is not None and edge not in visit:
            results.append(None)
        elif item is None:
            results.append(rule(g, *[saved[i] for i in needs]))
        else:
            whole = rule(g, *[saved[i] for i in needs]) if whole is None else whole
            results.append(whole[item])
    return results


def _restore(node: Node) -> None:
    """Give its values back to a node that has none, where that is possible."""
    if node.saved is None:
        raise RuntimeError(
            f"the graph of this {node.plan.op.name} was already freed by an earlier backward; pass "  # type: ignore[union-attr]
            f"retain_graph=True to that one to go through the graph again"
        )
    while type(node.saved) is not list:  # a checkpointed region inside one that was restored is dropped itself
        node.saved.region.restore()  # type: ignore[union-attr]


def _is_borrowed(g: Any, given: list) -> bool:
    """Whether a gradient is somebody else's array, or a view of one."""
    array = g._array if isinstance(g, Tensor) else g
    if getattr(array, "base", None) is None:
        return any(g is other for other in given)
    # A transposed view of a new array, say: it is ours if nobody but the view holds that (and, for a moment, the call).
    return array.base.__class__ is not np.ndarray or array.base.size != array.size or getrefcount(array.base) != 2


def _run_hooks(node: Node, g: Any, create_graph: bool) -> Any:
    for hook in tuple(node.hooks.values()):  # type: ignore[union-attr]
        # Other nodes may hold the same array: a hook returns a new gradient, and cannot write to the one it is given.
        given = g if isinstance(g, Tensor) else wrap(_read_only(as_array(g)))
        given.version.guarded = True
        changed = hook(given)
        if changed is None:
            continue
        if tuple(shape_of(changed)) != node.shape:
            raise ValueError(
                f"a gradient hook returned shape {shape_of(changed)} for a tensor of shape {node.shape}: return a "
                f"gradient of that shape, or None to leave it unchanged"
            )
        changed = changed if isinstance(changed, Tensor) else wrap(as_array(changed))
        changed = changed if changed.dtype == node.dtype else changed.astype(node.dtype)
        g = changed if create_graph else changed._array
    return g


def _read_only(x: Array) -> Array:
    """A view that cannot be written to, where the library has such a thing: CuPy has none."""
    if isinstance(x, np.ndarray):
        x = x.view()
        x.flags.writeable = False
    return x


def _seed(y: Tensor, gradient: Any, name: str, create_graph: bool) -> Any:
    """The gradient to start from at one output, in its shape, dtype and device."""
    if gradient is None:
        if y.size != 1:
            raise RuntimeError(
                f"backward from a tensor of shape {y.shape} needs a seed: pass {name}= of that shape, or reduce the "
                f"tensor to one number first, as in y.sum().backward()"
            )
        gradient = wrap(y.xp.ones(y.shape, y.dtype))
    elif not isinstance(gradient, Tensor):
        gradient = Tensor(gradient, dtype=y.dtype, device=device_of(gradient) or y.device)
    if gradient.shape != y.shape:
        raise ValueError(f"{name} has shape {gradient.shape}, but the tensor it belongs to has shape {y.shape}")
    if gradient.device != y.device:
        raise ValueError(f"{name} is on {gradient.device}, but its tensor is on {y.device}: move it with .to(device)")
    if not create_graph:
        return gradient._array.astype(y.dtype)  # a copy: never the user's own array
    return gradient.copy() if gradient.dtype == y.dtype else gradient.astype(y.dtype)


def _go_back(
    outputs: Sequence[Tensor],
    gradients: Sequence[Any],
    name: str,
    ends: set[Node] | None,
    retain_graph: bool | None,
    create_graph: bool,
) -> dict[Node, Any]:
    """Seed the outputs and propagate; every gradient found, as a Tensor that is nobody else's."""
    seeds: dict[Node, Any] = {}
    before, mode.recording = mode.recording, create_graph  # the rules record exactly when their result is to be a graph
    casts, mode.autocast = mode.autocast, None  # they run in the dtypes of the forward pass
    try:
        for y, gradient in zip(outputs, gradients, strict=True):
            if y.node is None:
                raise RuntimeError(
                    "this tensor has no graph to go back through: none of its inputs requires a gradient, or it was "
                    "computed under no_grad(); make an input with requires_grad=True before computing it"
                )
            seed = _seed(y, gradient, name, create_graph)
            seeds[y.node] = seeds[y.node] + seed if y.node in seeds else seed
        with np.errstate(all="ignore"), one_blas_thread():  # here for all the rules: each costs a microsecond and more
            found = _propagate(seeds, ends, create_graph if retain_graph is None else retain_graph, create_graph)
    finally:
        mode.recording, mode.autocast = before, casts
        for watcher in mode.watchers:
            watcher.left()
    return {node: g if isinstance(g, Tensor) else wrap(as_array(g)) for node, g in found.items()}


def backward(y: Tensor, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False) -> None:
    """Add dy/dx to the `.grad` of every leaf x that y was computed from. `Tensor.backward` is this function."""
    for node, g in _go_back([y], [gradient], "gradient", None, retain_graph, create_graph).items():
        x = node.target() if node.target is not None else None
        if x is not None:
            with np.errstate(all="ignore"):  # as on the way: inf - inf of float16 that overflowed
                x.grad = g if x.grad is None else x.grad + g  # never in place: one that you hold does not change


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor, ...]:
    """The gradients of `outputs` with respect to `inputs`, one Tensor for each input; no `.grad` is touched.

    Computes the vector-Jacobian products `sum_k grad_outputs[k] * d outputs[k] / d inputs[i]`, visiting only the part
    of the graph between them. Each gradient has the shape, dtype and device of its input.

    Args:
        outputs: one tensor or several.
        inputs: one tensor or several, each of which requires a gradient.
        grad_outputs: the seed of each output, of its shape; may be left out for outputs of one element.
        retain_graph: keep the graph for another pass; default: the value of `create_graph`.
        create_graph: record the computation of the gradients, so that they can be differentiated again.
        allow_unused: give None for an input that the outputs do not depend on, instead of raising.

    Raises:
        RuntimeError: an output has several elements and no seed, the graph was freed, a saved value was changed in
            place, or an input is not part of the graph.
        ValueError: a seed of the wrong shape or on another device.

    >>> import minigrad as mg
    >>> x = mg.tensor(3.0, requires_grad=True)
    >>> (dy,) = mg.grad(x**3, x, create_graph=True)
    >>> dy, mg.grad(dy, x)
    (tensor(27., op=multiply), (tensor(18.),))
    """
    ys = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
    xs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    if grad_outputs is None:
        grad_outputs = (None,) * len(ys)
    elif isinstance(outputs, Tensor) and not (isinstance(grad_outputs, tuple) and len(grad_outputs) == 1):
        grad_outputs = (grad_outputs,)
    if len(grad_outputs) != len(ys):
        raise ValueError(f"grad_outputs has {len(grad_outputs)} seeds for {len(ys)} outputs: give one for each")
    for i, x in enumerate(xs):
        if x.node is None:
            raise RuntimeError(
                f"inputs[{i}], of shape {x.shape}, does not require a gradient: make it with requires_grad=True "
                f"before computing the outputs"
            )
    found = _go_back(ys, grad_outputs, "grad_outputs", {x.node for x in xs}, retain_graph, create_graph)  # type: ignore[misc]
    for i, x in enumerate(xs):
        if x.node not in found and not allow_unused:
            raise RuntimeError(
                f"inputs[{i}], of shape {x.shape}, was not used to compute the outputs; pass allow_unused=True to get "
                f"None for it"
            )
    results: list[Any] = []
    for i, x in enumerate(xs):  # an input that is named twice gets two gradients that share nothing
        g = found.get(x.node)  # type: ignore[arg-type]
        results.append(g.copy() if g is not None and any(x.node is other.node for other in xs[:i]) else g)
    return tuple(results)
