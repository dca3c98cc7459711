"""How far a study is, for people: a line a finished cell, and on a terminal a bar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from emofuse.study.runner import State, Tell


@contextmanager
def progress(console: Console | None = None) -> Iterator[Tell]:
    """What `run_study` calls; prints to the error output, and a bar only if that is a terminal."""
    console = console or Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def tell(state: State) -> None:
            bar.update(task, completed=state.finished, total=state.total, description=left_in_words(state))
            bar.console.print(line(state), markup=False, highlight=False, soft_wrap=True)

        yield tell


def line(state: State) -> str:
    """What is said of a state."""
    place = f"[{state.finished}/{state.total}]"
    if state.cell is None:
        return f"{place} runs are finished"
    if state.failure:
        return f"{place} {state.cell}: FAILED: {state.failure}"
    return f"{place} {state.cell}: {in_words(state.seconds)}; {left_in_words(state)}"


def left_in_words(state: State) -> str:
    """The estimate of what is left."""
    if state.finished == state.total:
        return "all finished"
    return "time left unknown" if state.left is None else f"about {in_words(state.left)} left"


def in_words(seconds: float) -> str:
    """A duration, as exact as it needs to be.

    >>> in_words(8.24), in_words(200), in_words(4000)
    ('8 s', '3 min', '1.1 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
