"""Run a study: what is finished is kept, what was broken off goes on, cells run side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emofuse.errors import EmofuseError
from emofuse.files import read_json, write_json
from emofuse.study.grid import Cell, Study, cells_of, described, folds_of, runs_of
from emofuse.study.stale import find_stale, refuse_or_remove
from emofuse.study.work import Place, Pool, Processes, RayCluster


@dataclass(frozen=True)
class State:
    """How far a study is.

    Attributes:
        finished: runs that are finished.
        total: runs of the study; cells that are the same run count once.
        left: estimate of the seconds left; None before any run has finished.
        cell: what ended just now, or None at the beginning.
        seconds: that it took.
        failure: what went wrong with it; empty if nothing.
    """

    finished: int
    total: int
    left: float | None
    cell: Cell | None = None
    seconds: float = 0.0
    failure: str = ""


Tell = Callable[[State], None]


def run_study(
    study: Study,
    out: Path | None = None,
    data: Path | None = None,
    *,
    jobs: int = 1,
    ray: str | None = None,
    fresh: bool = False,
    tell: Tell = lambda state: None,
) -> Path:
    """Train all cells of a study that are not yet finished.

    The folder gets `study.json` (resolved), `cells.json` (hash, task, system, fold and seed of each cell),
    `cells/<hash>/` (a run folder with `cell.json`) and `cells/<hash>.log`, and `time.json` (sums over all runs). Cells
    whose recipes are equal are one run, and a late fusion uses the runs of its unimodal models. A study file that was
    changed may go on in the same folder: a run is known by its recipe. The corpora are read and audited once; a run
    that was trained on other data than they have now is not handed back.

    Args:
        study: as loaded.
        out: folder of the study; runs/<name> (runs/<name>-quick) if None.
        data: folder that relative corpus roots start from.
        jobs: cells side by side on this machine, which share its processors; with Ray, each cell takes as many
            processors as it would here, and the cluster decides how many run at a time.
        ray: address of a Ray cluster, all machines of which see `out` and `data` at the same paths.
        fresh: train those runs anew that were trained on other data, or with other encoders, than there are now.
        tell: called at the beginning and whenever a cell has ended.

    Returns:
        The folder.

    Raises:
        EmofuseError: cells failed (the others are finished nevertheless), another process runs this study, the corpora
            do not have the folds or are not those of finished runs, or there is no such cluster.
    """
    from emofuse.corpora.recipe_rows import data_folder

    out = (out or Path("runs") / (study.config.name + "-quick" * study.quick)).absolute()
    data = data_folder(data).absolute()
    with alone_in(out):
        folds = folds_of(study, data)
        cells = cells_of(study, folds)
        runs = runs_of(cells)
        write_json(out / "study.json", described(study, folds))
        write_json(out / "cells.json", [{"cell": cell.hash} | cell.facts for cell in cells])
        place = Place(out / "cells", data, _threads(jobs))
        place.cells.mkdir(exist_ok=True)
        refuse_or_remove(find_stale(runs, place.cells, data), runs, place.cells, fresh=fresh)
        done = {run.hash: read_json(path) for run in runs if (path := _mark(place, run)).exists()}
        failures: dict[str, str] = {}
        if len(done) < len(runs):
            pool = RayCluster(place, ray) if ray else Processes(place, jobs)
            try:
                failures = run_all(runs, done, pool, lambda run: read_json(_mark(place, run)), tell)
            finally:
                pool.close()
        write_json(out / "time.json", _times(done.values()))
    if failures:
        raise EmofuseError(_told(failures, runs, place))
    return out


def run_all(
    runs: Sequence[Cell],
    done: dict[str, dict[str, Any]],
    pool: Pool,
    facts: Callable[[Cell], dict[str, Any]],
    tell: Tell,
) -> dict[str, str]:
    """Run what is not yet done; a late fusion after its unimodal models, and not at all if one of them failed.

    Args:
        runs: in the order in which they are to begin.
        done: by hash, the facts of finished runs (`system`, `wall_seconds`); those that finish are added.
        pool: where they run.
        facts: reads the facts of a run that has just finished.
        tell: called at the beginning and whenever one has ended.

    Returns:
        By hash, what went wrong with the runs that failed.
    """
    waiting = [run for run in runs if run.hash not in done]
    running: dict[str, Cell] = {}
    failures: dict[str, str] = {}

    def state(*ended: Any) -> State:
        left = [*running.values(), *waiting]
        return State(len(done), len(runs), seconds_left(left, done, pool.size), *ended)

    tell(state())
    while waiting or running:
        for run in list(waiting):
            needs = [part.hash for part in run.unimodal]
            if failed := [name for name in needs if name in failures]:
                waiting.remove(run)
                failures[run.hash] = f"{failed[0]}, which it is made of, failed"
                tell(state(run, 0.0, failures[run.hash]))
            elif len(running) < pool.size and all(name in done for name in needs):
                waiting.remove(run)
                running[run.hash] = run
                pool.start(run)
        for run, failure in pool.ended() if running else ():
            del running[run.hash]
            if failure:
                failures[run.hash] = failure
                tell(state(run, 0.0, failure))
            else:
                done[run.hash] = facts(run)
                tell(state(run, done[run.hash]["wall_seconds"]))
    return failures


def seconds_left(left: Sequence[Cell], done: Mapping[str, Mapping[str, Any]], jobs: int) -> float | None:
    """Estimate of the time that runs will take, by the mean of the finished runs of the same task and system.

    Args:
        left: runs that are not finished.
        done: `task`, `system` and `wall_seconds` of the finished ones; those of all stand for a system without any.
        jobs: how many run side by side.

    Returns:
        Seconds; None if none is finished.
    """
    times: dict[tuple[str, str], list[float]] = {}
    for facts in done.values():
        times.setdefault((facts["task"], facts["system"]), []).append(facts["wall_seconds"])
    if not times:
        return None
    everything = [seconds for known in times.values() for seconds in known]
    known = (times.get((run.task, run.system), everything) for run in left)
    return sum(sum(seconds) / len(seconds) for seconds in known) / min(jobs, max(len(left), 1))


def cpu_seconds(folder: Path) -> float:
    """Processor time, user and system, of all runs of a study."""
    return float(read_json(folder / "time.json")["cpu_seconds"])


def _mark(place: Place, run: Cell) -> Path:
    return place.cells / run.hash / "cell.json"


def _times(done: Collection[dict[str, Any]]) -> dict[str, Any]:
    return {"runs": len(done)} | {name: sum(facts[name] for facts in done) for name in ("wall_seconds", "cpu_seconds")}


def _threads(jobs: int) -> int:
    """Threads of a cell: OMP_NUM_THREADS, or its share of the processors that this process may use."""
    if (given := os.environ.get("OMP_NUM_THREADS", "")).isdigit():
        return max(1, int(given))
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, there // jobs)


@contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Hold the folder; two processes that run one study would write to the same runs."""
    from filelock import FileLock, Timeout

    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / ".lock").acquire(timeout=0)
    except Timeout:
        raise EmofuseError(
            f"{out}: another process runs a study there. Wait for it, or choose another folder."
        ) from None
    except OSError as error:
        raise EmofuseError(f"{out}: cannot be written ({error.strerror or error}). Choose another folder.") from error
    with lock:
        yield


def _told(failures: Mapping[str, str], runs: Sequence[Cell], place: Place) -> str:
    named = {run.hash: run for run in runs}
    lines = [f"  {named[name]}: {failure} [{place.cells / name}.log]" for name, failure in failures.items()]
    head = f"{len(failures)} of {len(runs)} runs failed; the others are finished. Mend them and call again:"
    return "\n".join([head, *lines])
