"""Text for people and for scripts: results on stdout, remarks on stderr; tables with lines only in a terminal."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

Cell = Any
LIST_OF_NUMBERS = re.compile(r"\[(\n[-+\d.eE,\snul]+)\]")  # a line has no end inside a text


def console() -> Console:
    """The terminal on stdout, or what stands in its place."""
    return Console(highlight=False, markup=False, emoji=False)


def is_live() -> bool:
    """Whether stdout is a terminal where text can be drawn over, as a progress bar is."""
    screen = console()
    return screen.is_terminal and not screen.is_dumb_terminal


def say(text: str) -> None:
    """A result, on stdout."""
    click.echo(text)


def remark(text: str) -> None:
    """Something that is not the result, on stderr."""
    click.echo(text, err=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], title: str = "") -> None:
    """Write a table: with lines in a terminal; elsewhere as columns with two spaces between, never cut.

    Args:
        columns: their titles; one that begins with ">" has numbers, which stand at the right.
        rows: what `str` shows of each cell.
        title: above it; empty for none.
    """
    names = [name.removeprefix(">") for name in columns]
    right = [name.startswith(">") for name in columns]
    cells = [[str(cell) for cell in row] for row in rows]
    if is_live():
        drawn = Table(title=title or None, title_justify="left", title_style="bold")
        for i, (name, numbers) in enumerate(zip(names, right, strict=True)):
            drawn.add_column(name, justify="right" if numbers else "left", overflow="fold", no_wrap=numbers or not i)
        for row in cells:
            drawn.add_row(*map(Text, row))
        console().print(drawn)
        return
    if title:
        say(title)
    for line in columned([names, *cells], right):
        say(line)


def columned(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """Rows as lines whose columns stand below each other.

    >>> columned([["name", "n"], ["a", "10"]], [False, True])
    ['name   n', 'a     10']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)).rstrip()
        for row in rows
    ]


def as_json(value: Any, strict: bool = True) -> str:
    """JSON, with a list of numbers on one line.

    Args:
        value: dicts, lists, texts, numbers.
        strict: what is no number is null, as every program reads it; else NaN and Infinity, as Python reads them.

    >>> print(as_json({"precision": float("nan"), "shape": (3, 8)}))
    {
      "precision": null,
      "shape": [3, 8]
    }
    """
    text = json.dumps(_plain(value) if strict else value, indent=2, ensure_ascii=False, allow_nan=not strict)
    return LIST_OF_NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)


def counted(number: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "epoch"), counted(1200, "epoch")
    ('1 epoch', '1,200 epochs')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def loss_text(loss: float) -> str:
    """A loss with four decimals; a very large one with three digits.

    >>> loss_text(0.69315), loss_text(1e20)
    ('0.6932', '1e+20')
    """
    return f"{loss:.4f}" if abs(loss) < 1e4 else f"{loss:.3g}"


def percent(fraction: float) -> str:
    """A share, with two decimals.

    >>> percent(0.98765), percent(float("nan"))
    ('98.77 %', '-')
    """
    return f"{100 * fraction:.2f} %" if math.isfinite(fraction) else "-"


def duration(seconds: float) -> str:
    """A time in the units that people use for it.

    >>> duration(1.234), duration(83), duration(7384)
    ('1.2 s', '1 min 23 s', '2 h 3 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
