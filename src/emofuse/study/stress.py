"""Stress tests of a finished study: all runs of a fold together, on the test rows of the fold.

In the study's folder, `stress/TASK-fold-N-HASH.parquet` holds the predictions of a fold (those of
`emofuse.stress.sweep.Stress` with a column `seed`), and `stress/stress.json` lists the files with conditions, rows and
seed. The hash covers all inputs of the predictions: finished folds are not computed again, and other conditions, rows
or runs are written to another file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from emofuse.config import Recipe, load_recipe
from emofuse.errors import EmofuseError
from emofuse.files import atomic, hash_of, read_json, slug, write_json
from emofuse.stress.conditions import Condition, conditions_of
from emofuse.study.grid import StressConfig
from emofuse.study.runner import lock_study

FOLDER, FACTS_FILE = "stress", "stress.json"
_VERSION = 1  # of the conditions, part of the hash; raise it when a condition changes

Run = tuple[str, int]  # system and seed


@dataclass(frozen=True)
class Fold:
    """The runs of one fold of a task.

    Attributes:
        task: name.
        number: of the fold.
        runs: run folders by system and seed.
    """

    task: str
    number: int
    runs: dict[Run, Path]

    def hash(self, conditions: Mapping[str, Condition], rows: int, seed: int) -> str:
        """Hash of all inputs of the predictions; a retrained run has another."""
        inputs = {
            "version": _VERSION,
            "runs": [
                [*run, path.name, read_json(path / "environment.json")["created"]] for run, path in self.runs.items()
            ],
            "conditions": {name: condition.levels for name, condition in conditions.items()},
            "rows": rows,
            "seed": seed,
        }
        return hash_of({"task": self.task, "fold": self.number} | inputs)

    def __str__(self) -> str:
        return f"{self.task}, fold {self.number}"


def stress_study(
    out: Path, config: StressConfig, data: Path | None = None, *, tell: Callable[[str], None] = lambda line: None
) -> Path:
    """Stress all runs of a finished study, fold by fold.

    Args:
        out: folder of the study.
        config: conditions, rows and seed.
        data: folder that relative corpus roots start from.
        tell: called with a line of progress after each fold.

    Returns:
        Path of `stress.json`: conditions, rows, seed, and the file of each fold.

    Raises:
        EmofuseError: a run is not finished, its encoders are missing, the systems of a task share no test row, or
            another process works on the study.
    """
    conditions = conditions_of(config.conditions)
    folds = folds_of_runs(out)
    facts: dict[str, Any] = {
        "conditions": {name: {"axis": one.axis, "levels": list(one.levels)} for name, one in conditions.items()},
        "rows": config.rows,
        "seed": config.seed,
        "folds": [],
    }
    with lock_study(out):
        for done, fold in enumerate(folds, 1):
            inputs = fold.hash(conditions, config.rows, config.seed)
            path = out / FOLDER / f"{slug(fold.task)}-fold-{fold.number}-{inputs[:16]}.parquet"
            line = f"[{done}/{len(folds)}] stress: {fold}, {len(fold.runs)} runs"
            if path.exists():
                line += ", finished before"
            else:
                predictions = stress_fold(fold, conditions, rows=config.rows, seed=config.seed, data=data)
                with atomic(path) as temporary:
                    predictions.to_parquet(temporary)
                unused = [name for name in config.conditions or () if not (predictions["condition"] == name).any()]
                line += f"; {', '.join(unused)} applies to no row or no system" if unused else ""
            facts["folds"].append({"task": fold.task, "fold": fold.number, "file": path.name})
            write_json(out / FOLDER / FACTS_FILE, facts)
            tell(line)
    return out / FOLDER / FACTS_FILE


def folds_of_runs(out: Path) -> list[Fold]:
    """The folds of all tasks of a study.

    Raises:
        EmofuseError: the folder is not a study, or a run is not finished.
    """
    folds: dict[tuple[str, int], dict[Run, Path]] = {}
    for cell in read_json(out / "cells.json"):
        path = out / "cells" / cell["cell"]
        if not (path / "cell.json").exists():
            raise EmofuseError(f"{path} is not finished. Finish the study with emofuse study first.")
        folds.setdefault((cell["task"], cell["fold"]), {})[cell["system"], cell["seed"]] = path
    return [Fold(task, number, runs) for (task, number), runs in sorted(folds.items(), key=lambda item: item[0][1])]


def stress_fold(
    fold: Fold, conditions: Mapping[str, Condition], *, rows: int, seed: int, data: Path | None
) -> pd.DataFrame:
    """Predict the same sample of test rows, from those that all systems share, with all runs of a fold.

    Raises:
        EmofuseError: as `stress_study`.
    """
    from emofuse.data.rows import LABEL
    from emofuse.stress.rows import balanced_sample
    from emofuse.stress.sweep import predict_conditions
    from emofuse.stress.systems import load_systems

    first = {system: path for (system, _), path in reversed(fold.runs.items())}
    recipes = {system: load_recipe(path / "recipe.toml") for system, path in first.items()}
    tables = dict(zip(recipes, _test_rows(list(recipes.values()), data), strict=True))
    shared = set.intersection(*(set(table["key"]) for table in tables.values()))
    if not shared:
        raise EmofuseError(f"{fold}: the systems share no test row, so they cannot be compared under stress.")
    tables = {name: table[table["key"].isin(shared)] for name, table in tables.items()}
    keys = set(balanced_sample(next(iter(tables.values())), rows, column=LABEL, seed=seed)["key"])
    systems = load_systems({path.name: path for path in fold.runs.values()})  # systems with equal recipes share a run
    predictions = []
    for column in dict.fromkeys(recipe.text.column for recipe in recipes.values()):  # systems may read different texts
        names = [name for name in recipes if recipes[name].text.column == column]
        readers = {path.name: systems[path.name] for (system, _), path in fold.runs.items() if system in names}
        predictions.append(
            predict_conditions(readers, tables[names[0]], keys, conditions=conditions, column=LABEL, seed=seed)
        )
    return _compact(pd.concat(predictions, ignore_index=True), fold.runs)


def _test_rows(recipes: Sequence[Recipe], data: Path | None) -> list[pd.DataFrame]:
    """Test rows of each recipe; without human_text if the recipe does not read it."""
    from emofuse.data.rows import labelled_parts

    tables = labelled_parts(recipes, "test", data=data)
    return [
        table if recipe.text.column == "human_text" else table.drop(columns="human_text", errors="ignore")
        for recipe, table in zip(recipes, tables, strict=True)
    ]


def _compact(predictions: pd.DataFrame, runs: Mapping[Run, Path]) -> pd.DataFrame:
    """Predictions with columns system and seed, stored compactly: texts as categories, numbers as float32."""
    texts = ("condition", "key", "corpus", "speaker", "system")
    by_run = dict(iter(predictions.groupby("system", sort=False)))
    named = [
        by_run[path.name].assign(system=system, seed=seed)
        for (system, seed), path in runs.items()
        if path.name in by_run
    ]
    whole = pd.concat(named, ignore_index=True)
    kinds = {
        name: "category" if name in texts else "float32" for name in whole if name not in ("level", "seed", "truth")
    }
    return whole.astype(kinds)
