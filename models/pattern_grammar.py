"""The language of patterns, `INPUT 3x32x32 -> [[CONV 64 -> RELU]*2 -> POOL]*3 -> FC 10`: from text to a tree, and back.

    pattern  = part { "->" part }
    part     = ( layer | "[" pattern "]" ) [ "*" count ]
    layer    = word { argument } [ "?" ]
    argument = value | option value | word "=" value
    value    = number | sizes | word
    option   = "kernel" | "stride" | "pad" | "dilation" | "groups", or in short "k" | "s" | "p" | "d" | "g"
    count    = whole number | word

A number is as in Python and not negative, sizes are as in 3x32x32, a word is of letters, digits and "_", in capitals or
not. The arrow may also be the character →, and round brackets do for square ones. White space and line breaks separate,
and mean nothing else.
What the words mean, and which arguments they take, is not decided here but in `minigrad.models.pattern`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

OPTIONS = {"k": "kernel", "s": "stride", "p": "pad", "padding": "pad", "d": "dilation", "g": "groups"}
OPTIONS |= {name: name for name in OPTIONS.values()}

MOST_LAYERS = 10_000
DEEPEST = 50  # brackets within brackets

Value = int | float | tuple[int, ...] | str


class PatternError(ValueError):
    """What is wrong with a pattern, and at which character of its text: counted from 0; None where there is no text."""

    def __init__(self, message: str, at: int | None = None):
        super().__init__(message)
        self.message = message
        self.at = at

    def shown_in(self, text: str) -> PatternError:
        """The same error, with the line of the text in its message and a caret under the character."""
        at = self.at or 0
        start = text.rfind("\n", 0, at) + 1
        line = text[start:].partition("\n")[0].rstrip()
        before = "".join(c if c == "\t" else " " for c in text[start:at])
        number = f"line {text.count(chr(10), 0, at) + 1}, " if "\n" in text.strip() else ""
        place = f"{number}character {at - start + 1} of the pattern"
        return PatternError(f"{place}: {self.message}\n    {line}\n    {before}^")


# ---- the tree -------------------------------------------------------------------------------------------------------
# Where a node stood in the text takes no part in comparing two of them.


@dataclass(frozen=True)
class Argument:
    """A value, alone (64, 5x5, or a flag as in `max`) or with the name of an option (stride=2)."""

    value: Value
    name: str | None = None
    at: int | None = field(default=None, compare=False)

    @property
    def text(self) -> str:
        """The value alone."""
        return "x".join(map(str, self.value)) if isinstance(self.value, tuple) else str(self.value)

    def __str__(self) -> str:
        return self.text if self.name is None else f"{self.name}={self.text}"


@dataclass(frozen=True)
class Layer:
    """One layer: its word in capitals, and its arguments as they came."""

    word: str
    arguments: tuple[Argument, ...] = ()
    optional: bool = False
    at: int | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return " ".join((self.word, *map(str, self.arguments))) + "?" * self.optional


@dataclass(frozen=True)
class Group:
    """Parts in brackets, a number of times; a name stands for a number that comes later."""

    parts: tuple[Layer | Group, ...]
    times: int | str = 1
    at: int | None = field(default=None, compare=False)
    times_at: int | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"[{show(self.parts)}]" + (f"*{self.times}" if self.times != 1 else "")


Part = Layer | Group


def show(parts: Iterable[Part]) -> str:
    """The text of a tree; `parse` makes the same tree of it.

    >>> show(parse("input 8 → (fc 4 → relu) * 2 → fc 3"))
    'INPUT 8 -> [FC 4 -> RELU]*2 -> FC 3'
    """
    return " -> ".join(map(str, parts))


# ---- from text to the tree ------------------------------------------------------------------------------------------


class Token(NamedTuple):
    """A piece of the text: its kind is a group of TOKEN, or the mark itself, or "end"."""

    kind: str
    text: str
    at: int

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else repr(self.text)


TOKEN = re.compile(
    r"""(?P<arrow>->|→)
      | (?P<sizes>[0-9]+(?:[xX\u00d7][0-9]+)+)
      | (?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
      | (?P<word>[A-Za-z_][A-Za-z_0-9]*)
      | (?P<mark>[][()*?=])
      | (?P<space>\s+)
      | (?P<other>.)""",
    re.VERBOSE,
)


def tokens(text: str) -> Iterator[Token]:
    """The text in pieces, without the white space, and the end.

    >>> [token.text for token in tokens("[CONV 64 5x5]*2 -> FC")]
    ['[', 'CONV', '64', '5x5', ']', '*', '2', '->', 'FC', '']
    """
    for match in TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if kind == "other":
            hint = "; the arrow is '->'" if match[0] in "-=>" else ""
            raise PatternError(f"{match[0]!r} has no meaning in a pattern{hint}", match.start())
        if kind != "space":
            yield Token(match[0] if kind == "mark" else kind, match[0], match.start())
    yield Token("end", "", len(text.rstrip()))


def parse(text: str) -> tuple[Part, ...]:
    """The tree of a pattern: its parts in order.

    Raises:
        PatternError: a text that the grammar does not allow; the error knows the character.

    >>> parse("POOL max 3 s=2")[0].arguments[2].name
    'stride'
    >>> show(parse("[[CONV 64 3x3 pad 1 -> RELU]*2 -> POOL?]*M"))
    '[[CONV 64 3x3 pad=1 -> RELU]*2 -> POOL?]*M'
    """
    if not isinstance(text, str):
        raise TypeError(f"a pattern is a text, as in 'INPUT 3x32x32 -> FC 10', got {text!r}")
    return _Parser(text).everything()


class _Parser:
    """One method for each rule of the grammar: it takes the tokens of the rule and returns its part of the tree."""

    def __init__(self, text: str):
        self.tokens = list(tokens(text))
        self.next = 0

    @property
    def ahead(self) -> Token:
        return self.tokens[self.next]

    def take(self) -> Token:
        self.next += 1
        return self.tokens[self.next - 1]

    def expected(self, what: str) -> PatternError:
        return PatternError(f"expected {what}, got {self.ahead}", self.ahead.at)

    def everything(self) -> tuple[Part, ...]:
        parts = self.pattern(0)
        if self.ahead.kind != "end":
            raise self.expected(f"{self.possible(parts[-1])} or the end")
        return parts

    def pattern(self, depth: int) -> tuple[Part, ...]:
        parts = [self.part(depth)]
        while self.ahead.kind == "arrow":
            self.take()
            parts.append(self.part(depth))
        return tuple(parts)

    def part(self, depth: int) -> Part:
        part = self.layer() if self.ahead.kind == "word" else self.group(depth)
        if self.ahead.kind != "*":
            return part
        self.take()
        parts, at = part.parts if isinstance(part, Group) else (part,), self.ahead.at
        return Group(parts, self.count(), part.at, at)

    def group(self, depth: int) -> Group:
        if self.ahead.kind not in ("[", "("):
            raise self.expected("a layer or '['")
        opened = self.take()
        if depth == DEEPEST:
            raise PatternError(f"brackets are nested more than {DEEPEST} deep", opened.at)
        parts = self.pattern(depth + 1)
        close = "]" if opened.kind == "[" else ")"
        if self.ahead.kind != close:
            raise self.expected(
                f"{self.possible(parts[-1])} or {close!r}, for the bracket at character {opened.at + 1}"
            )
        self.take()
        return Group(parts, 1, opened.at)

    def possible(self, last: Part) -> str:
        """What may follow a part."""
        return "an argument, '->'" if isinstance(last, Layer) and self.tokens[self.next - 1].kind != "?" else "'->'"

    def count(self) -> int | str:
        if self.ahead.kind == "word":
            return self.take().text.upper()
        if not self.ahead.text.isdecimal():
            raise self.expected("how many times, a whole number or a letter that stands for one")
        return self.whole(self.take())

    def layer(self) -> Layer:
        word, arguments = self.take(), []
        while self.ahead.kind in ("word", "number", "sizes"):
            arguments.append(self.argument())
        optional = self.ahead.kind == "?"
        if optional:
            self.take()
        return Layer(word.text.upper(), tuple(arguments), optional, word.at)

    def argument(self) -> Argument:
        first = self.ahead
        value = self.value()
        name = OPTIONS.get(value) if isinstance(value, str) else None
        equals = first.kind == "word" and self.ahead.kind == "="
        if equals:
            self.take()
        if not equals and name is None:
            return Argument(value, None, first.at)
        if self.ahead.kind not in ("word", "number", "sizes"):
            raise self.expected(f"a value for {first.text}")
        return Argument(self.value(), name or str(value), first.at)

    def value(self) -> Value:
        token = self.take()
        if token.kind == "word":
            return token.text.lower()
        if token.kind == "sizes":
            return tuple(self.whole(token, digits) for digits in re.split(r"[xX\u00d7]", token.text))
        return self.whole(token) if token.text.isdecimal() else float(token.text)

    def whole(self, token: Token, digits: str | None = None) -> int:
        digits = digits or token.text
        if len(digits) > 9:
            raise PatternError(f"{digits} is too large", token.at)
        return int(digits)


# ---- repetitions ----------------------------------------------------------------------------------------------------


def unroll(parts: Iterable[Part], counts: Mapping[str, int] | None = None) -> list[Layer]:
    """The layers of a tree in order, each as often as its brackets say.

    Args:
        parts: the tree.
        counts: the numbers that the names stand for.

    Raises:
        PatternError: a name without a number, or more than 10,000 layers.

    >>> show(unroll(parse("[CONV 8 -> [RELU]*0 -> POOL]*N"), {"N": 2}))
    'CONV 8 -> POOL -> CONV 8 -> POOL'
    """
    layers: list[Layer] = []
    for part in parts:
        if isinstance(part, Layer):
            layers.append(part)
            continue
        times = (counts or {}).get(part.times) if isinstance(part.times, str) else part.times
        if times is None:
            raise PatternError(f"nothing says how often *{part.times} is: pass {part.times}=2, say", part.times_at)
        inner = unroll(part.parts, counts)
        if len(layers) + len(inner) * times > MOST_LAYERS:
            raise PatternError(f"a pattern of more than {MOST_LAYERS:,} layers", part.times_at)
        layers += inner * times
    return layers


def names(parts: Iterable[Part]) -> set[str]:
    """The names that stand for a number of times.

    >>> sorted(names(parse("[[CONV 8]*N -> POOL]*M")))
    ['M', 'N']
    """
    groups = [part for part in parts if isinstance(part, Group)]
    return {g.times for g in groups if isinstance(g.times, str)}.union(*(names(g.parts) for g in groups))


BLOCKS_BEGIN = ("CONV", "FC")


def fold(layers: Iterable[Layer]) -> tuple[Part, ...]:
    """The same layers with as few of them written as possible: what repeats goes into brackets, also within brackets.

    Of several ways that are as short, it is the one with the fewest brackets that begin with something else than a
    convolution or a fully connected layer: a pooling ends a block.

    >>> show(fold(parse("CONV 8 -> BN -> BN -> POOL -> CONV 8 -> BN -> BN -> POOL -> FC 3")))
    '[CONV 8 -> [BN]*2 -> POOL]*2 -> FC 3'
    """
    return _fold(tuple(layers), {}).parts


class _Folded(NamedTuple):
    written: int  # layers
    astray: int  # brackets that begin with another layer than one that begins a block
    parts: tuple[Part, ...]


def _fold(layers: tuple[Layer, ...], known: dict[tuple[Layer, ...], _Folded]) -> _Folded:
    """The best way to write a sequence, from the best ways to write the ends of it, the shortest first."""
    if layers in known:
        return known[layers]
    ends = [_Folded(0, 0, ())]  # the best of the last 0, 1, 2, ... layers
    for i in reversed(range(len(layers))):
        choices: list[_Folded] = []
        found: list[tuple[int, int]] = []
        for period in range(1, (len(layers) - i) // 2 + 1):
            times = _times(layers, i, period)
            if times == 1 or any(period % p == 0 and period <= p * n for p, n in found):
                continue  # nothing repeats, or a shorter period says the same
            found.append((period, times))
            unit = _fold(layers[i : i + period], known)
            astray = unit.astray + (layers[i].word not in BLOCKS_BEGIN)
            for n in range(times, 1, -1):
                rest = ends[len(layers) - i - n * period]
                group = Group(unit.parts, n)
                choices.append(_Folded(unit.written + rest.written, astray + rest.astray, (group, *rest.parts)))
        rest = ends[-1]
        choices.append(_Folded(1 + rest.written, rest.astray, (layers[i], *rest.parts)))
        ends.append(min(choices, key=lambda choice: choice[:2]))
    known[layers] = ends[-1]
    return ends[-1]


def _times(layers: tuple[Layer, ...], start: int, period: int) -> int:
    """How often layers[start : start + period] comes, one right after the other."""
    unit, times = layers[start : start + period], 1
    while layers[start + times * period : start + (times + 1) * period] == unit:
        times += 1
    return times


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean CONV?`, or nothing where no known word is near.

    >>> nearest("CONF", ["CONV", "POOL"]), nearest("X", ["CONV"])
    ('; did you mean CONV?', '')
    """
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
