"""Read the folder of a study: answers of all systems to the same utterances, and what is missing for that."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from emofuse.config import MODALITIES, Recipe, load_recipe, parse_recipe
from emofuse.errors import EmofuseError
from emofuse.files import read_json


@dataclass(frozen=True)
class Task:
    """A task, as far as all its systems are finished.

    Attributes:
        name: of the task.
        recipe: of the task, before the changes of a system.
        fusions: `model.fusion` of each system that is counted.
        seeds: those counted.
        folds: those counted.
        runs: run folder of each system, seed and fold that is counted.
        answers: of each system one table a seed, the test parts of the folds together, the same utterances in each.
        notes: what is missing, and what was left out to compare on the same utterances.
    """

    name: str
    recipe: Recipe
    fusions: dict[str, str]
    seeds: list[int]
    folds: list[int]
    runs: dict[tuple[str, int, int], Path]
    answers: dict[str, list[pd.DataFrame]]
    notes: list[str]

    @property
    def composed(self) -> bool:
        """Whether the test utterances are pairs of a clip and a sentence that was not spoken in it."""
        return self.recipe.data.composed is not None and self.recipe.data.composed.task != "mix"

    @property
    def unimodal(self) -> list[str]:
        """Systems of one modality."""
        return [name for name, fusion in self.fusions.items() if fusion in MODALITIES]

    @property
    def fused(self) -> list[str]:
        """Systems of both."""
        return [name for name in self.fusions if name not in self.unimodal]


@dataclass(frozen=True)
class StudyFolder:
    """A study that has run.

    Attributes:
        folder: where it lies.
        facts: contents of study.json.
        tasks: those of which something is finished.
        finished: number of finished cells.
        cells: number of cells.
        notes: tasks of which nothing can be reported.
    """

    folder: Path
    facts: dict[str, Any]
    tasks: list[Task]
    finished: int
    cells: int
    notes: list[str]

    @property
    def reference(self) -> str:
        """The system that the others are compared with."""
        return str(self.facts["reference"])

    @property
    def missing(self) -> list[str]:
        """All that is missing or was left out."""
        left = self.cells - self.finished
        unfinished = [f"{left} of {self.cells} runs of the study are not finished."] if left else []
        by_note: dict[str, list[str]] = {}
        for task in self.tasks:
            for note in task.notes:
                by_note.setdefault(note, []).append(task.name)
        return unfinished + self.notes + [f"{', '.join(names)}: {note}" for note, names in by_note.items()]


def read_study(folder: Path) -> StudyFolder:
    """Read what is finished of a study.

    On each task, systems without any finished run are left out; then the seeds and folds count that are finished for
    all others, and the utterances that all have answered.

    Args:
        folder: what `emofuse study` made.

    Raises:
        EmofuseError: the folder is no study, nothing that can be compared is finished, or a file in it is broken.
    """
    if not (folder / "study.json").exists():
        raise EmofuseError(
            f"{folder}: no study (study.json is absent). Expected the folder that emofuse study printed."
        )
    facts = read_json(folder / "study.json")
    cells = pd.DataFrame(read_json(folder / "cells.json"))
    cells["path"] = [folder / "cells" / name for name in cells["cell"]]
    cells["finished"] = [(path / "cell.json").exists() for path in cells["path"]]
    tasks, notes = [], []
    for described in facts["tasks"]:
        name = described["name"]
        recipe = parse_recipe(described["recipe"], source=f"{folder / 'study.json'}: task {name}")
        task = _task(name, recipe, cells[cells["task"] == name], [system["name"] for system in facts["systems"]])
        if task is None:
            notes.append(f"{name}: no seed and fold is finished for all systems, so nothing of it is reported.")
        else:
            tasks.append(task)
    if not tasks:
        raise EmofuseError(f"{folder}: no seed and fold is finished for all systems. Go on with emofuse study.")
    return StudyFolder(folder, facts, tasks, int(cells["finished"].sum()), len(cells), notes)


def complete(finished: Collection[tuple[str, int, int]], systems: Collection[str]) -> tuple[list[int], list[int]]:
    """Seeds and folds that are finished for all systems: of such sets with every fold under every seed, the largest.

    A study finishes folds within a seed, so the folds of one of the seeds are tried, with all seeds that have them.

    Args:
        finished: system, seed and fold of finished runs.
        systems: names.

    Example:
        >>> complete([("late", 1, 0), ("late", 1, 1), ("late", 2, 0)], ["late"])
        ([1], [0, 1])
    """
    done: dict[int, set[int]] = {}
    for _, seed, fold in finished:
        if all((system, seed, fold) in finished for system in systems):
            done.setdefault(seed, set()).add(fold)
    best: tuple[list[int], list[int]] = [], []
    for folds in done.values():
        seeds = sorted(seed for seed, own in done.items() if own >= folds)
        if (len(seeds) * len(folds), len(folds)) > (len(best[0]) * len(best[1]), len(best[1])):
            best = seeds, sorted(folds)
    return best


def _task(name: str, recipe: Recipe, cells: pd.DataFrame, systems: list[str]) -> Task | None:
    done = cells[cells["finished"]]
    runs = {(c["system"], c["seed"], c["fold"]): c["path"] for c in done.to_dict("records")}
    there = [system for system in systems if (done["system"] == system).any()]
    seeds, folds = complete(runs.keys(), there)
    if not seeds:
        return None
    notes = [f"{system} has no finished run and is left out." for system in systems if system not in there]
    for what, counted in (("seed", seeds), ("fold", folds)):
        if lacking := sorted(set(cells[what]) - set(counted)):
            listed = ", ".join(map(str, lacking))
            notes.append(f"{what}{'s' * (len(lacking) > 1)} {listed} not finished for all systems, so not counted.")
    runs = {(a, s, f): runs[a, s, f] for a in there for s in seeds for f in folds}
    recipes = {system: load_recipe(runs[system, seeds[0], folds[0]] / "recipe.toml") for system in there}
    names = recipe.data.labels.names
    if other := [system for system in there if recipes[system].data.labels.names != names]:
        raise EmofuseError(
            f"task {name}: system {other[0]} has other categories than the task, so they do not compare."
        )
    answers = {a: [_folds([runs[a, s, f] for f in folds], notes) for s in seeds] for a in there}
    fusions: dict[str, str] = {system: recipes[system].model.fusion for system in there}
    return Task(name, recipe, fusions, seeds, folds, runs, _shared(answers, notes), notes)


def _folds(runs: list[Path], notes: list[str]) -> pd.DataFrame:
    """The test parts of all folds together; an utterance that several folds test counts in the first."""
    table = pd.concat([_predictions(run / "predictions-test.parquet") for run in runs], ignore_index=True)
    again = table["key"].duplicated()
    if again.any():
        note = (
            f"{table.loc[again, 'key'].nunique()} utterances are in the test part of several folds: the first counts."
        )
        if note not in notes:
            notes.append(note)
    return table[~again]


def _predictions(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise EmofuseError(
            f"{path}: cannot be read ({error}). Remove its run folder and call emofuse study."
        ) from error


def _shared(answers: Mapping[str, list[pd.DataFrame]], notes: list[str]) -> dict[str, list[pd.DataFrame]]:
    """The same without utterances that a system has no answer to (a text-only one to a clip without words, say)."""
    keys = {system: set.intersection(*(set(table["key"]) for table in seeds)) for system, seeds in answers.items()}
    shared, all_keys = set.intersection(*keys.values()), set.union(*keys.values())
    if len(shared) < len(all_keys):
        fewest = min(len(own) for own in keys.values())
        lacking = ", ".join(system for system, own in keys.items() if len(own) == fewest)
        notes.append(
            f"{len(all_keys) - len(shared)} of {len(all_keys)} test utterances are left out, because not every system "
            f"answers them (fewest: {lacking})."
        )
    return {
        system: [table[table["key"].isin(shared)].reset_index(drop=True) for table in seeds]
        for system, seeds in answers.items()
    }
