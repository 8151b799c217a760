"""The data in a pickle, read without running anything that the pickle names.

A pickle is a program for a stack machine. Python's own machine imports and calls what the program names; the one here
follows only the instructions that build plain data, and calls only functions that it is given. A `pickle.Unpickler`
with another `find_class` would not do: it allocates any length that the file claims, takes objects of `copyreg`'s
extension cache past `find_class`, sets any attribute, and crashes where it hashes a tuple nested a million deep.

Instructions: `pickletools` in Python's library, whose comments are the specification of the format.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

from minigrad.nn.archive import UnreadableError

MAX_STEPS = 1 << 22  # one step costs up to 64 bytes of memory; the state of a network of 1000 layers takes 200,000
MAX_DEPTH = 64

LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
}


class Global:
    """What stands on the stack for a name, such as torch.FloatStorage, that the pickle wanted to import.

    Args:
        name: the dotted name.
        meaning: what the caller of `read_pickle` lets it stand for; a function can be called.
    """

    __slots__ = ("meaning", "name")

    def __init__(self, name: str, meaning: Any):
        self.name = name
        self.meaning = meaning


def read_pickle(file: BinaryIO, known: Mapping[str, Any], persistent_load: Callable[[Any], Any]) -> Any:
    """Run the pickle at the position of a file up to its end; later bytes are not read.

    Args:
        file: its `read(n)` must not allocate n bytes where fewer are left; a BytesIO is such a file.
        known: what each dotted name may stand for. All others are errors.
        persistent_load: gives the object for an identifier that the pickler wrote in its place.

    Returns:
        None, bool, int, float, str, lists, tuples, dicts with keys of str or int, results of the functions, `Global`s.
        They may be nested in any way and contain themselves: see `plain`.

    Raises:
        UnreadableError and other exceptions: the pickle is damaged, or does what is not allowed.

    >>> import io, pickle
    >>> read_pickle(io.BytesIO(pickle.dumps({"epoch": 3, "betas": (0.9, 0.999)})), {}, lambda key: None)
    {'epoch': 3, 'betas': (0.9, 0.999)}
    >>> read_pickle(io.BytesIO(pickle.dumps(print)), {}, lambda key: None)
    Traceback (most recent call last):
    minigrad.nn.archive.UnreadableError: it holds 'builtins.print', which is not weights: Python objects could run \
code and are never loaded; of a whole model save model.state_dict()
    """
    stack: list[Any] = []
    below: list[list[Any]] = []  # the stacks under the marks: nothing can reach beneath a mark
    memo: dict[int, Any] = {}  # a dict: Python's machine allocates a list up to the highest number that the file names

    def find(name: str) -> Global:
        if name not in known:
            raise UnreadableError(
                f"it holds {name[:100]!r}, which is not weights: Python objects could run code and are never loaded; "
                f"of a whole model save model.state_dict()"
            )
        return Global(name, known[name])

    steps: Iterator[tuple[pickletools.OpcodeInfo, Any, int | None]] = pickletools.genops(file)
    for step, (opcode, argument, _) in enumerate(steps):
        if step == MAX_STEPS:
            raise UnreadableError(f"its pickle has more than {MAX_STEPS} steps")
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "NONE":
                stack.append(None)
            case "NEWTRUE":
                stack.append(True)
            case "NEWFALSE":
                stack.append(False)
            case literal if literal in LITERALS:
                stack.append(argument)
            case "EMPTY_TUPLE":
                stack.append(())
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "MARK":
                below.append(stack)
                stack = []
            case "TUPLE":
                items, stack = stack, below.pop()
                stack.append(tuple(items))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                n = int(opcode.name[-1])
                if len(stack) < n:
                    raise UnreadableError("its pickle makes a tuple of more than there is")
                stack[-n:] = [tuple(stack[-n:])]
            case "APPEND":
                item = stack.pop()
                _extend(stack[-1], [item])
            case "APPENDS":
                items, stack = stack, below.pop()
                _extend(stack[-1], items)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                set_items(stack[-1], [key, value])
            case "SETITEMS":
                items, stack = stack, below.pop()
                set_items(stack[-1], items)
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(find(argument.replace(" ", ".", 1)))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                if type(name) is not str or type(module) is not str:
                    raise UnreadableError("its pickle imports something without a name")
                stack.append(find(f"{module}.{name}"))
            case "REDUCE" | "NEWOBJ":
                arguments, function = stack.pop(), stack.pop()
                if type(function) is not Global or not callable(function.meaning) or type(arguments) is not tuple:
                    raise UnreadableError("its pickle calls what is no function")
                stack.append(function.meaning(*arguments))
            case "BUILD":
                stack.pop()  # attributes, such as the versions that state_dict() notes: plain data has none
            case "BINPERSID":
                stack.append(persistent_load(stack.pop()))
            case "STOP":  # the last step
                pass
            case other:
                raise UnreadableError(
                    f"its pickle has the instruction {other}, which the data of weights does not need"
                )
    return stack.pop()


def set_items(target: Any, items: list[Any]) -> None:
    """Put key, value, key, value, ... into a dict.

    Raises:
        UnreadableError: no dict; a value is missing; a key other than a str or an int of 60 bits, whose hashes can
            neither recurse nor be made to collide.
    """
    if type(target) is not dict or len(items) % 2:
        raise UnreadableError("its pickle sets the items of what is no dict, or half an item")
    for key in items[::2]:
        if type(key) is not str and not (type(key) is int and abs(key) < 1 << 60):
            raise UnreadableError(
                f"its pickle has a dict with a key that is neither a str nor an int: {type(key).__name__}"
            )
    target.update(zip(items[::2], items[1::2], strict=True))


def _extend(target: Any, items: list[Any]) -> None:
    if type(target) is not list:
        raise UnreadableError("its pickle appends to what is no list")
    target.extend(items)


def plain(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """A copy of nested dicts, lists and tuples, with `leaf(x)` for each x in them that is not plain data.

    What occurs twice in `value` occurs twice in the copy, as the same object.

    Raises:
        UnreadableError: nested deeper than 64, which also finds what contains itself; or, by such references, a few
            bytes stand for more than four million items.

    >>> twice = [1]
    >>> plain({"a": twice, "b": twice, "c": complex(3)}, abs)
    {'a': [1], 'b': [1], 'c': 3.0}
    """
    seen: dict[int, tuple[Any, int, int]] = {}  # for each object: its copy, how many items it has, how deep they go

    def copy(value: Any, depth: int) -> tuple[Any, int, int]:
        if value is None or type(value) in (bool, int, float, str):
            return value, 1, 0
        if id(value) in seen:
            return seen[id(value)]
        if type(value) not in (dict, list, tuple):
            seen[id(value)] = leaf(value), 1, 0
            return seen[id(value)]
        if depth == MAX_DEPTH:
            raise UnreadableError(f"its data is nested deeper than {MAX_DEPTH}, or contains itself")
        parts = [copy(item, depth + 1) for item in (value.values() if type(value) is dict else value)]
        count = 1 + sum(items for _, items, _ in parts)
        height = 1 + max((height for _, _, height in parts), default=0)
        if count > MAX_STEPS or height > MAX_DEPTH:
            raise UnreadableError(
                f"its data, written out, has more than {MAX_STEPS} items or is deeper than {MAX_DEPTH}"
            )
        copies = [part for part, _, _ in parts]
        made = dict(zip(value, copies, strict=True)) if type(value) is dict else type(value)(copies)
        seen[id(value)] = made, count, height
        return seen[id(value)]

    return copy(value, 0)[0]
