"""What an op declares: its arguments, its auxiliary outputs, and which values its gradient rules need.

All of it is read from signatures once, when the op is defined; a call then only follows a plan.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from types import CodeType
from typing import Any

Rule = Callable[..., Any]

REGISTRY: dict[str, Op] = {}
BINDER = "<minigrad binder>"  # the file name of the functions made below, by which their frames are known


class Plan:
    """What one set of differentiated inputs asks of a recorded call; worked out once and cached.

    `saves` and `shapes` say which values go into a node; `rules` holds, for each input, its rule and the positions of
    the rule's arguments among them.
    """

    __slots__ = ("inputs", "joint", "names", "op", "out", "rules", "saves", "shapes")

    def __init__(self, op: Op, inputs: tuple[tuple[int, int | None], ...]):
        self.op, self.inputs = op, inputs
        position = {name: i for i, name in enumerate((*op.parameters, *op.aux, "out"))}
        differentiated = dict.fromkeys(op.parameters[i] for i, _ in inputs)
        for name in differentiated:
            if name not in op.rules:
                raise TypeError(
                    f"{op.name} has no gradient rule for its argument {name!r}: register one with "
                    f"{op.name}.vjp({name}=...), or pass {name} detached"
                )
        joint = next((joint for joint in op.joints if set(joint[0]) == set(differentiated)), None)
        rules = [op.rules[name] for name in differentiated] + ([joint[1]] if joint else [])
        wanted = dict.fromkeys(name for _, needs in rules for name in needs)
        kept = [name for name in wanted if name in position]
        shapes = [name for name in wanted if name not in position]
        self.names = (*kept, *shapes)
        self.saves = tuple(position[name] for name in kept)
        self.shapes = tuple(position[name.removesuffix("_shape")] for name in shapes)
        self.out = kept.index("out") if "out" in kept else -1

        def located(rule: tuple[Rule, tuple[str, ...]]) -> tuple[Rule, tuple[int, ...]]:
            return rule[0], tuple(self.names.index(name) for name in rule[1])

        self.rules = [located(op.rules[op.parameters[i]]) for i, _ in inputs]
        self.joint = (*located(joint[1]), [joint[0].index(op.parameters[i]) for i, _ in inputs]) if joint else None


class Op:
    """A primitive: a function of arrays with its gradient rules. Made by `op`, found in `REGISTRY`."""

    def __init__(
        self, function: Callable, aux: tuple[str, ...], view: bool, sequence: str | None, elementwise: bool = False
    ):
        self.function = function
        self.name = function.__name__.lstrip("_")  # a private op is the body of a public function of that name
        self.signature = inspect.signature(function)
        self.parameters = tuple(self.signature.parameters)
        if "out" in self.parameters:
            raise TypeError(
                f"an argument of {self.name} is called 'out', which is what rules call its output: rename it"
            )
        self.aux = aux
        self.elementwise = elementwise  # the arrays are brought into one memory order first
        self.view = view  # the output may share memory with the first argument
        self.sequence = -1 if sequence is None else self.parameters.index(sequence)
        self.rules: dict[str, tuple[Rule, tuple[str, ...]]] = {}
        self.joints: list[tuple[tuple[str, ...], tuple[Rule, tuple[str, ...]]]] = []
        self.plans: dict[tuple, Plan] = {}
        self.precision: str | None = None  # its class under autocast, if that may cast; see minigrad.autocast

    def vjp(self, **rules: Rule) -> None:
        """Register the gradient rule of each named argument: `rule(g, ...)`, see the module's text."""
        for name, rule in rules.items():
            if name not in self.parameters:
                raise TypeError(f"{self.name} has no argument {name!r} to differentiate; it has {self.parameters}")
            self.rules[name] = rule, self._needs(rule)
        self.plans.clear()

    def vjp_joint(self, *names: str, rule: Rule) -> None:
        """Register one rule that returns the gradients of several arguments together, because they share work.

        It runs on raw arrays only, and only when all of `names` need a gradient; the separate rules still serve every
        other case, and the tests compare the two.
        """
        self.joints.append((names, (rule, self._needs(rule))))
        self.plans.clear()

    def _needs(self, rule: Rule) -> tuple[str, ...]:
        known = {*self.parameters, *self.aux, "out", *(f"{name}_shape" for name in self.parameters)}
        needs = tuple(inspect.signature(rule).parameters)[1:]
        if unknown := [name for name in needs if name not in known]:
            raise TypeError(f"a rule of {self.name} names {unknown}; it may name {sorted(known)}")
        return needs


def binder(function: Callable, op: Op, apply: Callable, prepare: dict[str, Callable]) -> Any:
    """A function with the signature of `function` that calls `apply(op, values)` with one value for each parameter.

    Generated once for each op because `inspect.Signature.bind` costs 4 to 7 microseconds a call, and this 0.1.
    """
    parameters = op.signature.parameters.values()
    first = op.parameters[0]
    names: dict[str, Any] = {"_apply": apply, "_op": op}
    signature, values, star = [], [], False
    for p in parameters:
        if p.kind is p.KEYWORD_ONLY and not star:
            signature.append("*")
            star = True
        if p.default is p.empty:
            signature.append(p.name)
        else:
            names[f"_default_{p.name}"] = p.default
            signature.append(f"{p.name}=_default_{p.name}")
        if p.name in prepare:
            names[f"_prepare_{p.name}"] = prepare[p.name]
            values.append(f"_prepare_{p.name}({p.name}, {first})")
        else:
            values.append(p.name)
    # A sequence may be a generator, which can be gone through only once.
    first_line = f"{op.parameters[op.sequence]} = list({op.parameters[op.sequence]}); " if op.sequence >= 0 else ""
    body = f"def call({', '.join(signature)}): {first_line}return _apply(_op, ({', '.join(values)},))"
    made: dict[str, Any] = {}
    exec(_compiled(f"def make({', '.join(names)}):\n  {body}\n  return call"), function.__globals__, made)
    call = made["make"](**names)
    call.__code__ = call.__code__.replace(co_name=function.__name__)  # which tracebacks and profiles show
    return call


@cache
def _compiled(source: str) -> CodeType:
    """Its code: many ops have the same parameters, and compiling takes longer than all else in defining an op."""
    return compile(source, BINDER, "exec")
