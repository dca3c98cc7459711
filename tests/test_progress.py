"""What stands on standard error while a command works."""

import io

import pytest

from emofuse.cli import progress
from emofuse.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """The time, which a test sets."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_now_and_then_where_there_is_no_terminal(monkeypatch, clock):
    monkeypatch.setattr(progress.sys, "stderr", io.StringIO())
    work = Progress(40, "files")
    for second in range(0, 61, 10):
        clock[0] = float(second)
        work.update(second / 2)
    work.clear()
    assert progress.sys.stderr.getvalue().splitlines() == [
        "emofuse: 15 of 40 files, about 0:50 left",
        "emofuse: 30 of 40 files, about 0:20 left",
    ]


def test_a_bar_on_a_terminal_that_can_be_removed(monkeypatch, clock):
    monkeypatch.setattr(progress.sys, "stderr", Terminal())
    work = Progress(3600.0, "seconds")
    clock[0] = 60.0
    work.update(1800.0)
    work.update(1801.0)  # at once: not drawn again
    shown = progress.sys.stderr.getvalue()
    assert shown.count("\r") == 1 and "30:00 of 1:00:00, about 1:00 left" in shown and "█" in shown
    work.clear()
    assert progress.sys.stderr.getvalue().endswith("\r\x1b[K")


def test_without_a_known_total(monkeypatch, clock):
    monkeypatch.setattr(progress.sys, "stderr", io.StringIO())
    work = Progress(None, "seconds")
    clock[0] = 31.0
    work.update(90.0)
    assert progress.sys.stderr.getvalue() == "emofuse: 1:30 done\n"
