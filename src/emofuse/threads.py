"""Processor threads: how many there are, parts that are made once for all threads, and work side by side."""

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
    """Processor cores that this process may use: those it is confined to, or else all of the machine; at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class once_property(cached_property):
    """A `cached_property` that is computed once even if several threads ask for it at the same time.

    From Python 3.12 on, `cached_property` itself computes it in each of them.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__(function)
        self._making = threading.RLock()

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """The value; later reads find it on the instance and take no lock."""
        if instance is None:
            return self
        with self._making:
            return super().__get__(instance, owner)


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item], *, threads: int) -> Iterator[Future[Result]]:
    """Do the same work on several items at once, in threads.

    Args:
        work: is called with each item.
        items: are taken as needed: at most `2 * threads` are begun or waiting, so that results do not pile up.
        threads: calls at once, at least 1. One call at a time is made in the caller's own thread: memory that threads
            have freed is not shared among them.

    Yields:
        The finished call of each item, in the order of the items; its `result()` raises what the call raised.
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
