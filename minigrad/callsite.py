"""Where in the user's code minigrad was called from."""

from __future__ import annotations

import sys

from minigrad.contract import BINDER


def callers_line() -> str:
    """File and line of the innermost call that is not minigrad's own, as "train.py:12"."""
    frame = sys._getframe(1)
    while frame.f_back is not None and (
        frame.f_globals.get("__name__", "").partition(".")[0] == "minigrad" or frame.f_code.co_filename == BINDER
    ):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
