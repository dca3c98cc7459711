"""Read the folder of a study: predictions of all systems on the same utterances, and what is missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from emofuse.config import MODALITIES, Recipe, load_recipe, parse_recipe
from emofuse.errors import EmofuseError
from emofuse.files import read_json

STORED_COLUMNS = ("corpus", "speaker", "has_audio", "has_text", "weak_dimensions")  # with the predictions
COMPUTED_COLUMNS = ("words", "seconds")  # where the corpora have no such columns


@dataclass(frozen=True)
class Task:
    """A task with the systems, seeds and folds that are compared: those that are finished for each other.

    Attributes:
        name: of the task.
        recipe: of the task, before the changes of a system.
        fusions: `model.fusion` by system.
        seeds: finished for all systems.
        folds: finished for all systems.
        runs: run folder by system, seed and fold.
        answers: predictions by system, a table for each seed; each has the test parts of all folds, on the same
            utterances.
        notes: sentences on what is missing, and on what was left out to compare on the same utterances.
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
        """True if test utterances pair a clip with a sentence that was not spoken in it."""
        return self.recipe.data.composed is not None and self.recipe.data.composed.task != "mix"

    @property
    def unimodal(self) -> list[str]:
        """Systems that use one modality."""
        return [name for name, fusion in self.fusions.items() if fusion in MODALITIES]

    @property
    def fused(self) -> list[str]:
        """Systems that use both modalities."""
        return [name for name in self.fusions if name not in self.unimodal]


@dataclass(frozen=True)
class StudyFolder:
    """A study, finished or not.

    Attributes:
        folder: of the study.
        facts: contents of study.json.
        tasks: tasks that can be reported.
        finished: number of finished cells.
        cells: number of cells.
        notes: sentences on tasks that cannot be reported.
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
        """Sentences on all that is missing or was left out."""
        left = self.cells - self.finished
        unfinished = [f"{left} of {self.cells} runs of the study are not finished."] if left else []
        by_note: dict[str, list[str]] = {}
        for task in self.tasks:
            for note in task.notes:
                by_note.setdefault(note, []).append(task.name)
        return unfinished + self.notes + [f"{', '.join(names)}: {note}" for note, names in by_note.items()]


def read_study(folder: Path) -> StudyFolder:
    """Read the finished part of a study.

    For each task, systems without a finished run are left out. What counts are the seeds and folds that are finished
    for all other systems, and the utterances that all of them predict.

    Args:
        folder: written by `emofuse study`.

    Raises:
        EmofuseError: the folder is not a study, nothing that can be compared is finished, or a file is broken.
    """
    if not (folder / "study.json").exists():
        raise EmofuseError(
            f"{folder} is not the folder of a study: it has no study.json. Give the folder that emofuse study printed."
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
            notes.append(f"{name} is not reported, because no seed and fold is finished for all systems.")
        else:
            tasks.append(task)
    if not tasks:
        raise EmofuseError(
            f"{folder}: no seed and fold is finished for all systems. Continue the study with emofuse study."
        )
    return StudyFolder(folder, facts, tasks, int(cells["finished"].sum()), len(cells), notes)


def complete(finished: Collection[tuple[str, int, int]], systems: Collection[str]) -> tuple[list[int], list[int]]:
    """Return the largest set of seeds and folds in which every fold is finished under every seed for all systems.

    A study finishes one seed after another, so it tries the folds of each seed, with all seeds that have them.

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
        seeds = sorted(seed for seed, finished_folds in done.items() if finished_folds >= folds)
        if (len(seeds) * len(folds), len(folds)) > (len(best[0]) * len(best[1]), len(best[1])):
            best = seeds, sorted(folds)
    return best


def columns_of(tasks: Sequence[Task], columns: Sequence[str], data: Path | None) -> dict[tuple[str, str], pd.Series]:
    """Read columns of all test utterances, to break results down by.

    `words` is the number of words, and in composed pairs, which have such a column, the emotion of the words.

    Args:
        tasks: of a study.
        columns: from `STORED_COLUMNS`, `COMPUTED_COLUMNS`, or the corpora, which are then read, once for each task.
        data: folder that relative corpus roots start from.

    Returns:
        Values by key, for each task and column; missing where a corpus has none. A task may lack a column that another
        task has.

    Raises:
        EmofuseError: no task has such a column, or the corpora cannot be read.
    """
    values: dict[tuple[str, str], pd.Series] = {}
    available = set(COMPUTED_COLUMNS)
    for task in tasks:
        predicted = next(iter(task.answers.values()))[0].set_index("key")
        stored = [column for column in columns if column in STORED_COLUMNS and column in predicted]
        values |= {(task.name, column): predicted[column] for column in stored}
        if len(stored) < len(columns):
            table = _corpus_rows(task, data).set_index("key", drop=False).reindex(predicted.index)
            available |= set(table.columns) - {"key", "file", "text"}
            for column in [column for column in columns if column not in stored]:
                if (series := _corpus_column(table, column)) is not None:
                    values[task.name, column] = series
    for column in columns:
        if not any(name == column for _, name in values):
            raise EmofuseError(
                f"--by {column}: the corpora of the study have no such column, only {', '.join(sorted(available))}."
            )
    return values


def _task(name: str, recipe: Recipe, cells: pd.DataFrame, systems: list[str]) -> Task | None:
    done = cells[cells["finished"]]
    runs = {(c["system"], c["seed"], c["fold"]): c["path"] for c in done.to_dict("records")}
    present = [system for system in systems if (done["system"] == system).any()]
    seeds, folds = complete(runs.keys(), present)
    if not seeds:
        return None
    notes = [f"{system} has no finished run and is left out." for system in systems if system not in present]
    for what, counted in (("seed", seeds), ("fold", folds)):
        if missing := sorted(set(cells[what]) - set(counted)):
            numbers, s = ", ".join(map(str, missing)), "s" * (len(missing) > 1)
            notes.append(f"{what}{s} {numbers} not finished for all systems, so not counted.")
    runs = {(a, s, f): runs[a, s, f] for a in present for s in seeds for f in folds}
    recipes = {system: load_recipe(runs[system, seeds[0], folds[0]] / "recipe.toml") for system in present}
    names = recipe.data.labels.names
    if other := [system for system in present if recipes[system].data.labels.names != names]:
        raise EmofuseError(
            f"task {name}: system {other[0]} has other categories than the task, so it cannot be compared."
        )
    answers = {a: [_folds([runs[a, s, f] for f in folds], notes) for s in seeds] for a in present}
    fusions: dict[str, str] = {system: recipes[system].model.fusion for system in present}
    return Task(name, recipe, fusions, seeds, folds, runs, _shared(answers, notes), notes)


def _folds(runs: list[Path], notes: list[str]) -> pd.DataFrame:
    """Join the test parts of all folds; an utterance in several of them counts in the first."""
    table = pd.concat([_predictions(run / "predictions-test.parquet") for run in runs], ignore_index=True)
    is_repeated = table["key"].duplicated()
    if is_repeated.any():
        n = table.loc[is_repeated, "key"].nunique()
        note = f"{n} utterances are in the test parts of several folds; only the first fold counts."
        if note not in notes:
            notes.append(note)
    return table[~is_repeated]


def _predictions(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise EmofuseError(
            f"{path} cannot be read ({error}). Remove its run folder and call emofuse study again."
        ) from error


def _shared(answers: Mapping[str, list[pd.DataFrame]], notes: list[str]) -> dict[str, list[pd.DataFrame]]:
    """Drop utterances that a system does not predict, such as clips without words for a text-only system."""
    keys = {system: set.intersection(*(set(table["key"]) for table in seeds)) for system, seeds in answers.items()}
    shared, all_keys = set.intersection(*keys.values()), set.union(*keys.values())
    if len(shared) < len(all_keys):
        fewest = min(map(len, keys.values()))
        shortest = ", ".join(system for system in keys if len(keys[system]) == fewest)
        notes.append(
            f"{len(all_keys) - len(shared)} of {len(all_keys)} test utterances are left out, because not every system "
            f"predicts them (fewest: {shortest})."
        )
    return {
        system: [table[table["key"].isin(shared)].reset_index(drop=True) for table in seeds]
        for system, seeds in answers.items()
    }


def _corpus_column(table: pd.DataFrame, column: str) -> pd.Series | None:
    from emofuse.corpora.stats import seconds_of, word_counts

    if column in table:
        return table[column]
    if column == "words":
        return word_counts(table).reindex(table.index)
    return pd.Series(seconds_of(table), table.index) if column == "seconds" else None


def _corpus_rows(task: Task, data: Path | None) -> pd.DataFrame:
    from emofuse.data.rows import read_rows

    folds = task.folds if task.composed else task.folds[:1]  # pairs are composed anew for each fold
    tables = [table for fold in folds for table, _ in read_rows(task.recipe.with_fold(fold), data=data)[0]]
    return pd.concat(tables, ignore_index=True).drop_duplicates("key")
