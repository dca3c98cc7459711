"""Progress of a study: estimates of the time left, a line for each finished run, and on a terminal a bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from emofuse.study.grid import Cell


@dataclass(frozen=True)
class State:
    """Progress of a study when it begins, or when a run has ended.

    Attributes:
        finished: number of finished runs.
        total: number of runs of the study; cells that share a run count once.
        left: estimate of the seconds left; None before any run has finished.
        cell: the run that has just ended; None at the beginning.
        seconds: time that it took.
        failure: why it failed; empty if it did not.
    """

    finished: int
    total: int
    left: float | None
    cell: Cell | None = None
    seconds: float = 0.0
    failure: str = ""

    def __str__(self) -> str:
        count = f"[{self.finished}/{self.total}]"
        if self.cell is None:
            return f"{count} runs are finished"
        if self.failure:
            return f"{count} {self.cell}: FAILED: {self.failure}"
        return f"{count} {self.cell}: {in_words(self.seconds)}; {self.left_in_words}"

    @property
    def left_in_words(self) -> str:
        """Estimate of the time left."""
        if self.finished == self.total:
            return "all finished"
        return "time left unknown" if self.left is None else f"about {in_words(self.left)} left"


Tell = Callable[[State], None]


@contextmanager
def progress(console: Console | None = None) -> Iterator[Tell]:
    """Yield a function that prints states to standard error, with a bar if that is a terminal."""
    console = console or Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def tell(state: State) -> None:
            bar.update(task, completed=state.finished, total=state.total, description=state.left_in_words)
            bar.console.print(str(state), markup=False, highlight=False, soft_wrap=True)

        yield tell


def seconds_left(left: Sequence[Cell], done: Mapping[str, Mapping[str, Any]], jobs: int) -> float | None:
    """Estimate the time that runs will take, as the mean time of the finished runs of the same task and system.

    Args:
        left: runs that are not finished.
        done: `task`, `system` and `wall_seconds` of each finished run; a task and system without any is estimated from
            all of them.
        jobs: number of runs side by side.

    Returns:
        Seconds; None if no run is finished.
    """
    times: dict[tuple[str, str], list[float]] = {}
    for facts in done.values():
        times.setdefault((facts["task"], facts["system"]), []).append(facts["wall_seconds"])
    if not times:
        return None
    all_times = [seconds for known in times.values() for seconds in known]
    total = sum(fmean(times.get((run.task, run.system), all_times)) for run in left)
    return total / min(jobs, max(len(left), 1))


def in_words(seconds: float) -> str:
    """Format a duration.

    >>> in_words(8.24), in_words(200), in_words(4000)
    ('8 s', '3 min', '1.1 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
