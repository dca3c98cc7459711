"""Threads: available cores, lazily computed attributes shared by threads, and parallel calls."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def available_cores() -> int:
    """Number of processor cores that this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class locked_cached_property(cached_property):
    """A `cached_property` that is computed only once even if several threads read it at the same time.

    From Python 3.12 on, `cached_property` itself may compute it in each thread.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__(function)
        self._making = threading.RLock()

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Compute the value once; later reads find it in the instance, without a lock."""
        if instance is None:
            return self
        with self._making:
            return super().__get__(instance, owner)


def run_parallel(work: Callable[[Item], Result], items: Iterable[Item], *, threads: int) -> Iterator[Future[Result]]:
    """Call a function on items in parallel threads.

    Args:
        work: the function.
        items: are consumed lazily: at most `2 * threads` calls are running or waiting, which limits memory.
        threads: number of calls at once, at least 1. With 1, calls are made in the caller's thread, because memory that
            one thread has freed is not available to another.

    Yields:
        The finished call of each item in order; its `result()` raises the exception of the call.
    """
    if threads == 1:
        yield from (_called(work, item) for item in items)
        return
    begun: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) >= 2 * threads:
                yield _finished(begun.popleft())
        while begun:
            yield _finished(begun.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _called(work: Callable[[Item], Result], item: Item) -> Future[Result]:
    call: Future[Result] = Future()
    try:
        call.set_result(work(item))
    except Exception as error:
        call.set_exception(error)
    return call


def _finished(call: Future[Result]) -> Future[Result]:
    call.exception()  # waits
    return call
