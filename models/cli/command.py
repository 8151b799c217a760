"""What all commands share: which errors are the user's to mend, exit codes, --debug."""

from __future__ import annotations

import contextlib
import dis
import errno
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

import minigrad
from minigrad import models, nn

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
BROKEN_PIPE = 141  # 128 + SIGPIPE
FLOORS = [Path(str(package.__file__)).parent for package in (minigrad, nn, models)]


class Failure(click.ClickException):
    """The work failed: a message on stderr, exit code 1."""

    def show(self, file: Any = None) -> None:
        """Write the message."""
        click.echo(f"Error: {self.message}", file=file, err=file is None)


class Interrupted(click.ClickException):
    """Ctrl-C: a message on stderr, exit code 130."""

    exit_code = INTERRUPTED

    def show(self, file: Any = None) -> None:
        """Write the message."""
        click.echo(self.message, file=file, err=file is None)


class Command(click.Command):
    """A command that takes --debug, also behind its name."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.params.append(debug_option())

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples as they were written, without wrapping."""
        if self.epilog:
            with formatter.section("Examples"):
                for line in self.epilog.strip().splitlines():
                    formatter.write(f"  {line.strip()}\n")


class Group(click.Group):
    """Commands whose expected errors become messages.

    Expected are those that the library raises on purpose, errors of the system such as a missing file, and too little
    memory. Everything else is a bug and keeps its traceback. --debug, or the environment variable MINIGRAD_DEBUG, shows
    all of them.
    """

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which they were added."""
        return list(self.commands)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, as in a `Command`."""
        Command.format_epilog(self, ctx, formatter)  # type: ignore[arg-type]

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            with warnings_as_lines():
                result = super().invoke(ctx)
                sys.stdout.flush()  # here a broken pipe is still an error that can be caught
                return result
        except KeyboardInterrupt as error:
            raise Interrupted("Interrupted.") from error
        except (click.ClickException, click.exceptions.Exit, click.Abort) as error:
            if ctx.meta.get("minigrad.debug") and error.__cause__ is not None:
                traceback.print_exc()
            raise
        except BrokenPipeError:  # of `minigrad models | head -1`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit(BROKEN_PIPE) from None
        except Exception as error:
            if ctx.meta.get("minigrad.debug") or not is_expected(error):
                traceback.print_exc()
                raise click.exceptions.Exit(1) from error
            raise Failure(described(error)) from error


def debug_option() -> click.Option:
    """--debug, which needs no parameter of the command's function."""
    return click.Option(
        ["--debug"],
        is_flag=True,
        envvar="MINIGRAD_DEBUG",
        expose_value=False,
        help="Show the traceback of every error.",
        callback=lambda ctx, option, value: ctx.meta.update({"minigrad.debug": True}) if value else None,
    )


@contextlib.contextmanager
def blaming(what: str) -> Iterator[None]:
    """Take an error in the block for one of the user's values, as a text where a number is meant, and not for a bug.

    >>> with blaming("the options"):
    ...     1 / 0
    Traceback (most recent call last):
    minigrad.models.cli.command.Failure: a value in the options cannot be used: division by zero (--debug shows where)
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if is_expected(error):
            raise
        raise Failure(f"a value in {what} cannot be used: {described(error)} (--debug shows where)") from error


def is_expected(error: BaseException) -> bool:
    """Whether an error tells the user what to do, rather than us what to repair.

    Those of the system and of its files do, and those of the library, which a `raise` of its own made: an int added to
    a str by mistake is a TypeError too, but no `raise` is where it comes from.

    >>> is_expected(FileNotFoundError(2, "no such file"))
    True
    >>> is_expected(ValueError("made here, not in the library"))
    False
    """
    if isinstance(error, OSError | MemoryError | UnicodeDecodeError):
        return True
    if not isinstance(error, ValueError | TypeError | ImportError | ArithmeticError | RuntimeError):
        return False
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    if place is None:
        return False
    code = place.tb_frame.f_code
    return dis.opname[code.co_code[place.tb_lasti]] == "RAISE_VARARGS" and in_library(code.co_filename)


def in_library(file: str) -> bool:
    """Whether a source file is one of minigrad's, nn and models included."""
    return any(Path(file).is_relative_to(floor) for floor in FLOORS)


def described(error: BaseException) -> str:
    """The message of an error with its notes, which say where it was.

    >>> error = FileNotFoundError(2, "No such file or directory", "a.png")
    >>> error.add_note("while reading")
    >>> described(error)
    'a.png: No such file or directory\\n  while reading'
    """
    if isinstance(error, OSError) and error.filename is not None:
        text = f"{os.fsdecode(error.filename)}: {error.strerror or os.strerror(error.errno or errno.EIO)}"
    else:
        text = str(error) or type(error).__name__
    return "\n  ".join([text, *getattr(error, "__notes__", ())])


@contextlib.contextmanager
def warnings_as_lines() -> Iterator[None]:
    """A warning is one line on stderr, without the place in the code that it comes from."""
    before = warnings.showwarning
    warnings.showwarning = lambda message, *rest, **named: click.echo(f"Warning: {message}", err=True)
    try:
        yield
    finally:
        warnings.showwarning = before
