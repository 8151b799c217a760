"""Ctrl-C that waits until the step under way is done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any, Self


class Interrupt:
    """Inside its `with` block the first SIGINT or SIGTERM is noted, to be asked for by `check`; a second one raises.

    Outside the main thread, where Python delivers no signals, nothing is caught.

    Attributes:
        noted: whether a signal has come.

    >>> with Interrupt() as interrupt:
    ...     signal.raise_signal(signal.SIGINT)  # as Ctrl-C does
    ...     print("the step is finished first")
    ...     try:
    ...         interrupt.check()
    ...     except KeyboardInterrupt:
    ...         print("and then it ends")
    the step is finished first
    and then it ends
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.noted = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self.noted = False
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
        if kind is None:
            self.check()  # a signal after the last check is not lost

    def check(self, save: Callable[[], bool] = lambda: True) -> None:
        """Raise KeyboardInterrupt if a signal has come, after calling `save`; not yet where that returns False."""
        if self.noted and save():
            self.noted = False
            raise KeyboardInterrupt

    def _note(self, number: int, frame: Any) -> None:
        if self.noted:
            raise KeyboardInterrupt
        self.noted = True
