"""A cell of a study in a process of its own: on this machine, or on those of a Ray cluster."""

from __future__ import annotations

import logging
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
from emofuse.study.grid import Cell


@dataclass(frozen=True)
class Place:
    """Where the cells of a study find and put things.

    Attributes:
        cells: folder of the run folders.
        data: folder that relative corpus roots start from.
        threads: of each cell.
    """

    cells: Path
    data: Path
    threads: int

    def log(self, cell: Cell) -> Path:
        """What a cell printed."""
        return self.cells / f"{cell.hash}.log"


class Pool(Protocol):
    """Runs cells side by side."""

    @property
    def size(self) -> int:
        """How many cells run at a time."""

    def start(self, cell: Cell) -> None:
        """Begin a cell."""

    def ended(self) -> list[tuple[Cell, str]]:
        """Wait for the next cells to end; each with what went wrong, or with an empty text."""

    def close(self) -> None:
        """Stop what still runs."""


class Processes:
    """Cells on this machine, each in a process of its own: one that crashes takes no other with it.

    Where the system can, the processes are copies of one that has imported everything, which takes longer than a small
    model trains. They end when the process of the study ends, whatever ended it.
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
        """Begin a cell."""
        process = self._context.Process(target=_in_process, args=(cell, self._place, dict(os.environ)))  # type: ignore[attr-defined]
        process.start()
        self._running[process.sentinel] = (cell, process)

    def ended(self) -> list[tuple[Cell, str]]:
        """Wait for the next cells to end; each with what went wrong, or with an empty text."""
        found = []
        for sentinel in wait(list(self._running)):
            cell, process = self._running.pop(sentinel)
            process.join()
            found.append((cell, _why(process.exitcode, self._place.log(cell))))
        return found

    def close(self) -> None:
        """Stop what still runs."""
        for _, process in self._running.values():
            process.terminate()
            process.join()


class RayCluster:
    """Cells as tasks of a Ray cluster; all its machines must see the study's folder and the corpora at the same paths.

    A cell takes as many processors as it has threads, and a GPU where the cluster has any. When a machine is lost, its
    cells go on elsewhere.

    Args:
        place: where things are.
        address: of the cluster, or "local" for one on this machine alone.

    Raises:
        EmofuseError: Ray is not installed, or there is no such cluster.
    """

    def __init__(self, place: Place, address: str):
        try:
            ray: Any = import_module("ray")
        except ImportError as error:
            raise EmofuseError('--ray needs Ray. Install it: pip install "emofuse[distributed]"') from error
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise EmofuseError(f"--ray {address}: no Ray cluster ({error}). Start one: ray start --head") from error
        self._ray, self._place = ray, place
        self._gpus = 1 if ray.cluster_resources().get("GPU") else 0
        options = {"num_cpus": place.threads, "num_gpus": self._gpus, "max_calls": 1, "max_retries": 1}
        self._task = ray.remote(**options)(_in_task)
        self._running: dict[Any, Cell] = {}

    @property
    def size(self) -> int:
        """How many cells the cluster has room for now."""
        there = self._ray.cluster_resources()
        rooms = [there.get("CPU", 0) // self._place.threads] + [there.get("GPU", 0)] * self._gpus
        return max(1, int(min(rooms)))

    def start(self, cell: Cell) -> None:
        """Begin a cell."""
        self._running[self._task.remote(cell, self._place)] = cell

    def ended(self) -> list[tuple[Cell, str]]:
        """Wait for the next cells to end; each with what went wrong, or with an empty text."""
        found = []
        for reference in self._ray.wait(list(self._running))[0]:
            cell = self._running.pop(reference)
            try:
                code = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                found.append((cell, str(error).strip().splitlines()[-1]))
            else:
                found.append((cell, _why(code, self._place.log(cell))))
        return found

    def close(self) -> None:
        """Stop what still runs, and leave the cluster."""
        self._ray.shutdown()


def train_cell(cell: Cell, place: Place, facts: dict[str, Any]) -> None:
    """Train a cell to its end; cell.json, written last, marks it as finished."""
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
    os.environ.update(environment)  # that of the process this is a copy of may be older
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
    """Train a cell with all that it prints, C libraries too, in its log; the exit code."""
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
    """What went wrong, in one line; empty if nothing."""
    if code == 0:
        return ""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    said = lines[-1].strip() if lines else "it printed nothing"
    killed = f"ended by signal {-code} (9: killed, perhaps for want of memory); last line: " if code < 0 else ""
    return killed + said.removeprefix("emofuse: ")
