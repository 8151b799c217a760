"""Python objects from process to process: a pickle through a pipe, large arrays beside it in memory both can see.

A pipe holds some 200 KB: whoever sends a larger batch through it stands still until the other end reads, and the reader
spends its own time on it. An anonymous file in memory (Linux) takes a batch at once, needs no name to clean up after a
process that was killed, is not bounded by the size of /dev/shm, and a data set lies in it once for all workers. Other
systems send everything through the pipe.
"""

from __future__ import annotations

import mmap
import os
import pickle
from collections.abc import Sequence
from itertools import accumulate
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from typing import Any

import numpy as np

IN_MEMORY = hasattr(os, "memfd_create")
SMALL = 2**16  # bytes that a pipe takes without waiting; smaller arrays are not worth a file
ALIGNMENT = 64


class Packed:
    """A pickled value that can be sent to any number of pipes: `with Packed(value) as packed: packed.send(pipe)`.

    Args:
        value: anything that can be pickled; arrays may change afterwards once they are in memory or sent.

    >>> from multiprocessing import Pipe
    >>> near, far = Pipe()
    >>> with near, far, Packed(np.arange(3)) as packed:
    ...     packed.send(near)
    ...     receive(far)
    array([0, 1, 2])
    """

    def __init__(self, value: Any):
        buffers: list[pickle.PickleBuffer] = []
        self.head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        self.buffers = [buffer.raw() for buffer in buffers]
        self.sizes = [buffer.nbytes for buffer in self.buffers]
        self.file = None
        if IN_MEMORY and sum(self.sizes) > SMALL:
            self.file = os.fdopen(os.memfd_create("minigrad"), "wb")
            try:
                for start, buffer in zip(_starts(self.sizes), self.buffers, strict=True):
                    self.file.seek(start)
                    self.file.write(buffer)
                self.file.flush()
            except BaseException:
                self.file.close()
                raise

    def __enter__(self) -> Packed:
        return self

    def __exit__(self, *error: object) -> None:
        if self.file is not None:
            self.file.close()  # it lives on with those who received it

    def send(self, pipe: Connection) -> None:
        """Send the value to whoever calls `receive` at the other end.

        Raises:
            ConnectionError: nobody is there.
        """
        pipe.send((self.head, self.sizes, self.file is not None))
        if self.file is not None:
            send_handle(pipe, self.file.fileno(), None)
        else:
            for buffer in self.buffers:
                pipe.send_bytes(buffer)


def receive(pipe: Connection, *, shared: bool = False) -> Any:
    """Wait for a value.

    Args:
        pipe: from the sender.
        shared: leave large arrays where the sender put them, if that is memory both can see: all who received the value
            share it, and a page that one of them writes to becomes its own. The file stays open as long as the arrays.

    Raises:
        EOFError, ConnectionError: nobody is at the other end.
    """
    head, sizes, in_memory = pipe.recv()
    if not in_memory:
        buffers = [memoryview(bytearray(size)) for size in sizes]
        for buffer in buffers:
            pipe.recv_bytes_into(buffer)
        return pickle.loads(head, buffers=buffers)
    with os.fdopen(recv_handle(pipe), "rb") as file:
        memory = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), np.uint8)
    parts = [memory[start : start + size] for start, size in zip(_starts(sizes), sizes, strict=True)]
    return pickle.loads(head, buffers=parts if shared else [part.copy() for part in parts])


def _starts(sizes: Sequence[int]) -> list[int]:
    return [0, *accumulate(size + -size % ALIGNMENT for size in sizes)][:-1]
