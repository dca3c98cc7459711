"""Run a study: finished runs are kept, interrupted ones resumed, and runs go side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from emofuse.errors import EmofuseError
from emofuse.files import lock_file, read_json, write_json
from emofuse.study.grid import Cell, Study, cells_of, folds_of, runs_of, study_facts
from emofuse.study.progress import State, Tell, seconds_left
from emofuse.study.stale import find_stale, refuse_or_remove
from emofuse.study.work import Place, Pool, Processes, RayCluster


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

    Writes `study.json` (resolved), `cells.json` (hash, task, system, fold and seed of each cell), `cells/<hash>/` (run
    folder with `cell.json`), `cells/<hash>.log` and `time.json` (sums over all runs). Cells with equal recipes share a
    run, and a late fusion uses the runs of its unimodal models. Runs are identified by their recipes, so the study file
    may change between calls. Runs whose data or encoders have changed since are not reused.

    Args:
        study: as loaded.
        out: folder of the study; None: runs/<name>, or runs/<name>-quick.
        data: folder that relative corpus roots start from.
        jobs: number of runs side by side on this machine, which share its processors. With Ray, a run takes as many
            processors as it would here, and the cluster decides how many run at a time.
        ray: address of a Ray cluster; all its machines must see `out` and `data` at the same paths.
        fresh: train runs again whose data or encoders have changed.
        tell: called at the beginning and whenever a run has ended.

    Returns:
        The folder.

    Raises:
        EmofuseError: runs failed (the others are finished), another process runs this study, the corpora lack a fold,
            data or encoders of finished runs have changed, or the cluster cannot be reached.
    """
    from emofuse.corpora.recipe_rows import data_folder

    out = (out or Path("runs") / (study.config.name + "-quick" * study.quick)).absolute()
    data = data_folder(data).absolute()
    with lock_study(out):
        folds = folds_of(study, data)
        cells = cells_of(study, folds)
        runs = runs_of(cells)
        write_json(out / "study.json", study_facts(study, folds))
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
        raise EmofuseError(_failure_message(failures, runs, place))
    return out


def run_all(
    runs: Sequence[Cell],
    done: dict[str, dict[str, Any]],
    pool: Pool,
    facts: Callable[[Cell], dict[str, Any]],
    tell: Tell,
) -> dict[str, str]:
    """Run what is not finished; a late fusion after its unimodal models, and not at all if one of them failed.

    Args:
        runs: in the order in which they should start.
        done: facts of finished runs (`task`, `system`, `wall_seconds`) by hash; runs that finish are added.
        pool: runs them.
        facts: reads the facts of a run that has just finished.
        tell: called at the beginning and whenever a run has ended.

    Returns:
        Why runs failed, by hash.
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
                failures[run.hash] = f"its unimodal run {failed[0]} failed"
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
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, processors // jobs)


def lock_study(out: Path) -> AbstractContextManager[None]:
    """Lock the folder of a study, because two processes that run one study would write to the same runs."""
    return lock_file(out / ".lock", "runs a study")


def _failure_message(failures: Mapping[str, str], runs: Sequence[Cell], place: Place) -> str:
    named = {run.hash: run for run in runs}
    lines = [f"  {named[name]}: {failure} [{place.cells / name}.log]" for name, failure in failures.items()]
    head = f"{len(failures)} of {len(runs)} runs failed; the others are finished. Call emofuse study again after a fix:"
    return "\n".join([head, *lines])
