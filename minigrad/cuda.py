"""The GPU itself: waiting for it, and how full its memory is.

Work on a GPU is put into a queue, and Python goes on before it is done. So a clock that is read without `synchronize`
measures how fast work is handed over, not how fast it is done.
"""

from __future__ import annotations

from typing import NamedTuple

from minigrad.backend import library


class Memory(NamedTuple):
    """Bytes of the GPU's memory; see `memory`."""

    used: int
    reserved: int
    free: int
    total: int


def synchronize() -> None:
    """Wait until the GPU has done everything it was given, on all streams.

    An error of a kernel that is still running is raised here, or at the next thing asked of the GPU.

    Raises:
        RuntimeError: there is no GPU; the message has the reason.

    >>> import minigrad as mg
    >>> if mg.cuda_is_available():
    ...     mg.cuda.synchronize()
    """
    library("cuda").cuda.runtime.deviceSynchronize()


def memory() -> Memory:
    """How much memory the GPU has, and who holds it, in bytes.

    Returns:
        used: what the arrays of this process hold, each rounded up to 512 bytes.
        reserved: what this process has taken from the GPU. It is at least `used`: CuPy keeps what an array leaves
            behind for the next one (`cupy.get_default_memory_pool().free_all_blocks()` gives it back).
        free: what nobody has taken.
        total: what the GPU has.

    total - free is larger than reserved: it counts the compiled kernels, the libraries and other processes as well.
    `used` and `reserved` are of CuPy's default pool, in which all of minigrad's arrays lie unless another was chosen
    with `cupy.cuda.set_allocator`.

    Raises:
        RuntimeError: there is no GPU; the message has the reason.

    >>> import minigrad as mg
    >>> if mg.cuda_is_available():
    ...     x = mg.zeros((1024, 1024), device="cuda")
    ...     assert mg.cuda.memory().used >= x.size * x.dtype.itemsize
    """
    cupy = library("cuda")
    pool = cupy.get_default_memory_pool()
    return Memory(pool.used_bytes(), pool.total_bytes(), *cupy.cuda.runtime.memGetInfo())
