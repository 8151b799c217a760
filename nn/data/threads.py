"""Calling a function for a row of numbers, ahead of need and in order, in threads."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def in_threads(function: Callable[[int], Any], numbers: range, threads: int, ahead: int) -> Generator[Any]:
    """function(n) for each number in turn, computed by threads; at most `ahead` results wait or are in the making.

    Closing the generator ends the threads: the calls they are in are waited for, no other is begun.

    >>> list(in_threads(lambda n: n * n, range(5), threads=2, ahead=4))
    [0, 1, 4, 9, 16]
    """
    pool = ThreadPoolExecutor(threads, "DataLoader")
    try:
        left = iter(numbers)
        waiting = deque(pool.submit(function, n) for n in itertools.islice(left, ahead))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(function, n) for n in itertools.islice(left, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
