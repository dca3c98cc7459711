"""What a stress test runs on: bundles, or runs exported for it; the rows of a table, or those that the runs tested."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from emofuse.config import SplitConfig, load_recipe
from emofuse.corpora.splits import make_split
from emofuse.corpora.table import read_table
from emofuse.errors import EmofuseError
from emofuse.inference.bundle import FACTS_FILE, Bundle
from emofuse.stress.sweep import Stress, pooled, stress

RECIPE_FILE = "recipe.toml"


@contextmanager
def opened(models: Sequence[Path]) -> Iterator[dict[str, Bundle]]:
    """Bundles by name; a run is exported to a temporary folder first, so that it is tested as it would be used.

    Raises:
        EmofuseError: a folder is neither bundle nor finished run.
    """
    with tempfile.TemporaryDirectory() as scratch:
        bundles = {}
        for number, (name, folder) in enumerate(zip(_names(models), models, strict=True)):
            if _is_run(folder):
                from emofuse.training.export import export_run

                bundles[name] = export_run(folder, Path(scratch) / str(number))
            else:
                bundles[name] = Bundle.load(folder)
        yield bundles


def rows_of_table(table: Path, split: Path | None = None, *, fold: int = 0) -> pd.DataFrame:
    """A table, or the test part of one of its folds.

    Args:
        table: of utterances.
        split: frozen by `emofuse corpus split`.
        fold: of the split.

    Raises:
        EmofuseError: one of them cannot be read, or the split is not of this table.
    """
    df = read_table(table)
    if split is None:
        return df
    config = SplitConfig(rule="given", folds=str(split), fold=fold, allow_shared_speakers=True)
    return df[df["key"].isin(make_split(df, config).test)].reset_index(drop=True)


def stress_runs(
    models: Sequence[Path],
    data: Path | None = None,
    *,
    conditions: Sequence[str] | None = None,
    rows: int | None = None,
    seed: int = 0,
) -> Stress:
    """Stress runs on their own test rows; those of all folds are put together, each tested by the run of its fold.

    Args:
        models: run folders, or folders of `emofuse train --folds`, all with as many folds. A row that several folds
            test counts in the first.
        data: folder that relative corpus roots start from.
        conditions: as for `stress`.
        rows: at most so many of each fold.
        seed: as for `stress`.

    Raises:
        EmofuseError: a folder is no run, was trained on its test rows, or the runs of a fold have different ones; and
            what `stress` raises.
    """
    from emofuse.data.rows import LABEL

    systems = {name: _runs_of(folder) for name, folder in zip(_names(models), models, strict=True)}
    if len({len(runs) for runs in systems.values()}) > 1:
        counts = ", ".join(f"{name} {len(runs)}" for name, runs in systems.items())
        raise EmofuseError(f"the models differ in their number of folds ({counts}). Stress them one by one.")
    folds: list[Stress] = []
    tested: set[str] = set()
    for runs in zip(*systems.values(), strict=True):
        table = rows_of_runs(runs, data)
        table = table[~table["key"].isin(tested)]
        tested |= set(table["key"])
        with opened(runs) as bundles:
            named = dict(zip(systems, bundles.values(), strict=True))
            folds.append(stress(named, table, conditions=conditions, rows=rows, column=LABEL, seed=seed))
    return pooled(folds)


def rows_of_runs(runs: Sequence[Path], data: Path | None = None) -> pd.DataFrame:
    """The rows that all these runs tested on, with the column `emofuse.data.prepare.LABEL`.

    Args:
        runs: run folders.
        data: folder that relative corpus roots start from.

    Raises:
        EmofuseError: a run was trained on its test rows, or they have different ones.
    """
    from emofuse.data.rows import LABEL, labelled_parts

    recipes = [load_recipe(folder / RECIPE_FILE) for folder in runs]
    for folder, recipe in zip(runs, recipes, strict=True):
        if "test" in recipe.training.fitted_parts:
            raise EmofuseError(f"{folder}: was trained on its test rows too. Name a table of other rows: --table.")
    tables = labelled_parts(recipes, "test", data=data)
    for folder, other in zip(runs, tables, strict=True):
        if other["key"].tolist() != tables[0]["key"].tolist() or not other[LABEL].equals(tables[0][LABEL]):
            raise EmofuseError(
                f"{runs[0]} and {folder} were tested on different rows or labels. Stress them one by one, or name a "
                "table: --table."
            )
    return tables[0]


def _runs_of(folder: Path) -> list[Path]:
    """A run, or the runs of its folds."""
    if folds := sorted(folder.glob("fold-*"), key=lambda path: int(path.name.removeprefix("fold-"))):
        return folds
    if _is_run(folder):
        return [folder]
    raise EmofuseError(
        f"{folder}: no run, and a bundle does not say which rows it was tested on. Name a table of rows that it was "
        "not trained on: --table, and --split for the test part of one."
    )


def _is_run(folder: Path) -> bool:
    return (folder / RECIPE_FILE).is_file() and not (folder / FACTS_FILE).exists()


def _names(models: Sequence[Path]) -> list[str]:
    """The folders' own names, or whole paths where two are alike."""
    names = [folder.resolve().name for folder in models]
    return names if len(set(names)) == len(names) else [str(folder) for folder in models]
