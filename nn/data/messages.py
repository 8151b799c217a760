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
from typing import Any, NamedTuple

import numpy as np

IN_MEMORY = hasattr(os, "memfd_create")
SMALL = 2**16  # bytes that a pipe takes without waiting; smaller arrays are not worth a file
ALIGNMENT = 64


class Packed(NamedTuple):
    """A pickle, and the bytes of the arrays in it, not copied."""

    head: bytes
    buffers: list[memoryview]


def pack(value: Any) -> Packed:
    """Pickle a value, its arrays' memory aside.

    >>> import numpy as np
    >>> packed = pack(np.zeros(1000))
    >>> len(packed.head) < 200, packed.buffers[0].nbytes
    (True, 8000)
    """
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return Packed(head, [buffer.raw() for buffer in buffers])


def send(pipe: Connection, packed: Packed) -> None:
    """Send what was packed; the arrays may change afterwards.

    Raises:
        ConnectionError: nobody is at the other end.
    """
    sizes = [buffer.nbytes for buffer in packed.buffers]
    in_memory = IN_MEMORY and sum(sizes) > SMALL
    if not in_memory:
        pipe.send((packed.head, sizes, in_memory))
        for buffer in packed.buffers:
            pipe.send_bytes(buffer)
        return
    with os.fdopen(os.memfd_create("minigrad"), "wb") as file:
        for start, buffer in zip(_starts(sizes), packed.buffers, strict=True):
            file.seek(start)
            file.write(buffer)
        file.flush()
        pipe.send((packed.head, sizes, in_memory))
        send_handle(pipe, file.fileno(), None)


def receive(pipe: Connection, *, shared: bool = False) -> Any:
    """Wait for a value.

    Args:
        pipe: from the sender.
        shared: leave large arrays where the sender put them, if that is memory that both can see: all receivers of one
            message share it, and a page that one of them writes to becomes its own. Keeps a file open for each message.

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
