import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from emofuse.hardware import available_cores, locked_cached_property, run_parallel


def test_available_cores(monkeypatch):
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5, 6}, raising=False)
    assert available_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert available_cores() == (os.cpu_count() or 1)


def test_a_part_is_made_once_for_all_threads():
    made, together = [], threading.Barrier(8)

    class Whole:
        @locked_cached_property
        def part(self):
            """A part."""
            made.append(object())
            return made[-1]

    def read(whole):
        together.wait()
        return whole.part

    for count in (1, 2):  # once for each instance
        whole = Whole()
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(read, [whole] * 8)) == {made[-1]} and len(made) == count
    assert Whole.part.__doc__ == "A part."


def test_results_come_in_order_and_an_error_stays_with_its_item():
    first_may_end = threading.Event()

    def half(n):
        if n == 0:
            assert first_may_end.wait(60)
        if n == 1:
            first_may_end.set()  # so the second call runs beside the first
        if n % 2:
            raise ValueError(n)
        return n // 2

    calls = list(run_parallel(half, range(7), threads=2))
    assert [call.result() for call in calls[::2]] == [0, 1, 2, 3]
    for n, call in zip((1, 3, 5), calls[1::2], strict=True):
        with pytest.raises(ValueError, match=str(n)):
            call.result()
    assert list(run_parallel(half, [], threads=2)) == []


def test_one_call_at_a_time_stays_in_its_thread():
    calls = list(run_parallel(lambda n: (1 // n, threading.get_ident()), [1, 0], threads=1))
    assert calls[0].result() == (1, threading.get_ident())
    with pytest.raises(ZeroDivisionError):
        calls[1].result()


def test_items_are_taken_as_needed():
    taken = []

    def items():
        for n in range(100):
            taken.append(n)
            yield n

    calls = run_parallel(str, items(), threads=2)
    for n, call in zip(range(10), calls, strict=False):
        assert call.result() == str(n) and len(taken) == min(100, n + 4)
    calls.close()  # begins no more
    assert len(taken) <= 14
