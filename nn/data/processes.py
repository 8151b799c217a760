"""Calling a function for a row of numbers, ahead of need and in order, in processes.

Processes are spawned, not forked: a fork copies the locks that other threads hold at that moment, of BLAS or of this
package's own, which nobody then releases, and a CUDA context cannot be used after it.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import time
import traceback
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from minigrad.nn.data.messages import Packed, receive

GRACE = 1.0  # seconds that a process has to end by itself


class Worker(NamedTuple):
    """A process, and the pipe to it."""

    process: BaseProcess
    pipe: Connection


class Processes:
    """Processes that hold a function and call it: function(plan, n) for each n that they are sent.

    Args:
        function: sent once; its arrays are in memory once for all processes, where the system can do that.
        count: how many processes.
        timeout: seconds to wait for a result; None: for ever.

    Raises:
        TypeError: the function cannot be pickled.
        RuntimeError: a process ended before it could begin.
    """

    def __init__(self, function: Callable[[Any, int], Any], count: int, timeout: float | None = None):
        self.timeout = timeout
        self.idle = False
        self._workers: list[Worker] = []
        self.close = weakref.finalize(self, _stop, self._workers)
        try:
            with _packed(function) as packed:
                self._start(count)
                self._send_all(packed, "it could begin")
            for worker in self._workers:
                self._receive(worker, "it could begin", None)
        except BaseException:
            self.close()
            raise
        self.idle = True

    def run(self, plan: Any, numbers: range, ahead: int) -> Generator[Any]:
        """function(plan, n) for each number in turn; at most `ahead`, a multiple of the count, wait or are being made.

        Raises:
            RuntimeError: a process was killed, or no result came in time.
            Exception: what the function raised, with the process's traceback as a note.
        """
        self.idle = False
        with Packed(plan) as packed:
            self._send_all(packed, f"batch {numbers.start}")
        turn = [self._workers[i % len(self._workers)] for i in range(len(numbers))]
        # A process that stands still in sending a result gets no more than numbers, which a pipe takes without waiting.
        for worker, n in zip(turn, numbers[:ahead], strict=False):
            self._send(worker, n)
        for i, (worker, n) in enumerate(zip(turn, numbers, strict=True)):
            result = self._receive(worker, f"batch {n}", self.timeout)
            if i + ahead < len(numbers):
                self._send(worker, numbers[i + ahead])
            self.idle = i == len(numbers) - 1
            yield result

    def _start(self, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        for i in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs,), name=f"DataLoader-{i}", daemon=True)
            with _uninterrupted(), theirs:
                process.start()
            self._workers.append(Worker(process, ours))

    def _send_all(self, packed: Packed, awaited: str) -> None:
        for worker in self._workers:
            try:
                packed.send(worker.pipe)
            except ConnectionError:
                raise _ended(worker, awaited) from None

    def _send(self, worker: Worker, n: int) -> None:
        try:
            Packed(n).send(worker.pipe)
        except ConnectionError:
            raise _ended(worker, f"batch {n}") from None

    def _receive(self, worker: Worker, awaited: str, timeout: float | None) -> Any:
        ready = wait([worker.pipe, worker.process.sentinel], timeout)
        if not ready:
            raise RuntimeError(
                f"{awaited} did not come from worker process {worker.process.pid} within timeout={timeout} seconds: if "
                f"nothing hangs there, allow more"
            )
        if worker.pipe not in ready:
            raise _ended(worker, awaited)
        try:
            error, value = receive(worker.pipe)
        except (EOFError, ConnectionError):
            raise _ended(worker, awaited) from None
        if error is not None:
            error.add_note(value)
            raise error
        return value


def serve(pipe: Connection) -> None:
    """What a process does: take the function, then call it for each number, until nobody is at the other end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to every process of a terminal: the main one ends us
    with suppress(EOFError, ConnectionError):
        try:
            function = receive(pipe, shared=True)
        except (EOFError, ConnectionError):
            raise
        except BaseException as error:
            error.add_note(
                "a worker process could not load the data set, transform or mix: what they are made of must be in a "
                'module that it can import, not typed at a prompt or in a notebook; or use workers="thread"'
            )
            with _failure(error) as answer:
                answer.send(pipe)
            return
        Packed((None, None)).send(pipe)
        plan = None
        while True:
            message = receive(pipe, shared=True)
            if isinstance(message, int):
                with _answer(function, plan, message) as answer:
                    answer.send(pipe)
            else:
                plan = message


def _answer(function: Callable[[Any, int], Any], plan: Any, n: int) -> Packed:
    try:
        return Packed((None, function(plan, n)))
    except BaseException as error:
        return _failure(error)


def _failure(error: BaseException) -> Packed:
    """An exception and its traceback as text; one that cannot be pickled, and unpickled, as a RuntimeError."""
    text = f"in worker process {os.getpid()}:\n{''.join(traceback.format_exception(error))}"
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__qualname__}: {error}")
    return Packed((error, text))


def _packed(function: Callable[[Any, int], Any]) -> Packed:
    try:
        return Packed(function)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise TypeError(
            f'workers="process" sends the data set, transform and mix to its processes, but they cannot be pickled: '
            f"{error}; take functions and classes from a module, not lambdas or ones made inside a function, open "
            f'files in __getitem__ rather than before, or use workers="thread"'
        ) from error


def _ended(worker: Worker, awaited: str) -> RuntimeError:
    """The error that says how a process ended."""
    worker.process.join(10 * GRACE)
    code = worker.process.exitcode
    if code is not None and code < 0:
        how = f"was killed by {signal.Signals(-code).name}"
        why = "the system kills with SIGKILL when memory runs out" if code == -signal.SIGKILL else "see its output"
    else:
        how = f"ended with exit code {code}"
        why = 'see its output; a script must start its work under `if __name__ == "__main__":`'
    return RuntimeError(f"worker process {worker.process.pid} {how} before {awaited}: {why}")


def _stop(workers: list[Worker]) -> None:
    """End processes: those that wait see that nobody is there any more, those that work on for long are ended."""
    for worker in workers:
        worker.pipe.close()
    until = time.monotonic() + GRACE
    for worker in workers:
        worker.process.join(max(0, until - time.monotonic()))
    for end in (BaseProcess.terminate, BaseProcess.kill):
        busy = [worker.process for worker in workers if worker.process.exitcode is None]
        for process in busy:
            end(process)
        for process in busy:
            process.join(GRACE)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes started in here do not see Ctrl-C, from their first moment on; for this one it waits until the end."""
    if sys.platform == "win32":
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # starting it, which the first process would do, lets signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
