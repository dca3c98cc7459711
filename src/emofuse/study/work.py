"""Runs of a study in separate processes, on this machine or on a Ray cluster."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Protocol

from emofuse.errors import EmofuseError
from emofuse.files import write_json
from emofuse.hardware import connect_to_ray
from emofuse.study.grid import Cell


@dataclass(frozen=True)
class Place:
    """Folders and threads of the runs of a study.

    Attributes:
        cells: folder of the run folders.
        data: folder that relative corpus roots start from.
        threads: number of threads of each run.
    """

    cells: Path
    data: Path
    threads: int

    def log(self, cell: Cell) -> Path:
        """Path of the log of a run."""
        return self.cells / f"{cell.hash}.log"


class Pool(Protocol):
    """Trains runs side by side."""

    @property
    def size(self) -> int:
        """How many runs go at a time."""

    def start(self, cell: Cell) -> None:
        """Start a run."""

    def ended(self) -> list[tuple[Cell, str]]:
        """Wait for the next runs to end, and return each with the reason if it failed, or an empty text."""

    def close(self) -> None:
        """Stop all runs."""


class Processes:
    """Runs on this machine, each in its own process, so that a crash does not affect the others.

    Where the operating system can fork, the processes are forked from one that has imported everything, because imports
    take longer than the training of a small model. They end when the process of the study ends, for whatever reason.
    """

    def __init__(self, place: Place, size: int):
        self.size = size
        self._place = place
        copies = "forkserver" in multiprocessing.get_all_start_methods()
        self._context = multiprocessing.get_context("forkserver" if copies else "spawn")
        if copies:
            self._context.set_forkserver_preload(["emofuse.training.run"])
        self._running: dict[Any, tuple[Cell, Any]] = {}

    def start(self, cell: Cell) -> None:
        """Start a run."""
        process = self._context.Process(target=_in_process, args=(cell, self._place, dict(os.environ)))  # type: ignore[attr-defined]
        process.start()
        self._running[process.sentinel] = (cell, process)

    def ended(self) -> list[tuple[Cell, str]]:
        """Wait for the next runs to end, and return each with the reason if it failed, or an empty text."""
        ended = []
        for sentinel in wait(list(self._running)):
            cell, process = self._running.pop(sentinel)
            process.join()
            ended.append((cell, _why(process.exitcode, self._place.log(cell))))
        return ended

    def close(self) -> None:
        """Stop all runs."""
        for _, process in self._running.values():
            process.terminate()
            process.join()


class RayCluster:
    """Runs as tasks of a Ray cluster; all its machines must see the study's folder and the corpora at the same paths.

    A run takes as many processors as it has threads, and a GPU if the cluster has any. When a machine is lost, its runs
    are resumed on others.

    Args:
        place: folders and threads.
        address: of the cluster, or "local" for a cluster of this machine only.

    Raises:
        EmofuseError: Ray is not installed, or the cluster cannot be reached.
    """

    def __init__(self, place: Place, address: str):
        ray = connect_to_ray(address)
        self._ray, self._place = ray, place
        self._gpus = 1 if ray.cluster_resources().get("GPU") else 0
        options = {"num_cpus": place.threads, "num_gpus": self._gpus, "max_calls": 1, "max_retries": 1}
        self._task = ray.remote(**options)(_in_task)
        self._running: dict[Any, Cell] = {}

    @property
    def size(self) -> int:
        """How many runs the cluster has room for now."""
        resources = self._ray.cluster_resources()
        limits = [resources.get("CPU", 0) // self._place.threads] + [resources.get("GPU", 0)] * self._gpus
        return max(1, int(min(limits)))

    def start(self, cell: Cell) -> None:
        """Start a run."""
        self._running[self._task.remote(cell, self._place)] = cell

    def ended(self) -> list[tuple[Cell, str]]:
        """Wait for the next runs to end, and return each with the reason if it failed, or an empty text."""
        ended = []
        for reference in self._ray.wait(list(self._running))[0]:
            cell = self._running.pop(reference)
            try:
                code = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                ended.append((cell, str(error).strip().splitlines()[-1]))
            else:
                ended.append((cell, _why(code, self._place.log(cell))))
        return ended

    def close(self) -> None:
        """Stop all runs and leave the cluster."""
        self._ray.shutdown()


def train_cell(cell: Cell, place: Place, facts: dict[str, Any]) -> None:
    """Train a run and write cell.json, which marks it as finished."""
    import torch

    from emofuse.training.run import train

    torch.set_num_threads(place.threads)
    wall, cpu = time.monotonic(), _cpu_seconds()
    run = train(cell.recipe, place.cells / cell.hash, place.data, unimodal=place.cells)
    for checkpoint in (run / "checkpoints").glob("*.ckpt"):  # to go on from; many times as large as the model
        checkpoint.unlink()
    spent = {"wall_seconds": time.monotonic() - wall, "cpu_seconds": _cpu_seconds() - cpu}
    write_json(run / "cell.json", cell.facts | spent | facts)


def _cpu_seconds() -> float:
    """User and system time of this process and of its children that have ended."""
    return sum(os.times()[:4])


def _in_process(cell: Cell, place: Place, environment: dict[str, str]) -> None:
    os.environ.update(environment)  # the process that this one was forked from may have an older one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(_logged(cell, place, {}))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _in_task(cell: Cell, place: Place) -> int:
    ray: Any = import_module("ray")
    return _logged(cell, place, {"ray_node": ray.get_runtime_context().get_node_id()})


def _logged(cell: Cell, place: Place, facts: dict[str, Any]) -> int:
    """Train a run, with all output, also of C libraries, in its log; return the exit code."""
    with place.log(cell).open("w", encoding="utf-8") as log:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        train_cell(cell, place, facts)
    except EmofuseError as error:
        print(f"emofuse: {error}", file=sys.stderr, flush=True)
    except Exception:
        traceback.print_exc()
    else:
        return 0
    return 1


def _why(code: int, log: Path) -> str:
    """Why a run failed, in one line; empty if it did not."""
    if code == 0:
        return ""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    last = lines[-1].strip() if lines else "its log is empty"
    killed = f"ended by signal {-code} (9: killed, perhaps out of memory); last line of the log: " if code < 0 else ""
    return killed + last.removeprefix("emofuse: ")
