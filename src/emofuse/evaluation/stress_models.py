"""What a stress test runs on: bundles, or runs exported for it; the rows of a table, or those that the runs tested."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from emofuse.config import SplitConfig, load_recipe
from emofuse.errors import EmofuseError
from emofuse.inference.bundle import FACTS_FILE, Bundle

if TYPE_CHECKING:
    import pandas as pd

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
                from emofuse.inference.export import export_run

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
    from emofuse.corpora.splits import make_split
    from emofuse.corpora.table import read_table

    df = read_table(table)
    if split is None:
        return df
    config = SplitConfig(rule="given", folds=str(split), fold=fold, allow_shared_speakers=True)
    return df[df["key"].isin(make_split(df, config).test)].reset_index(drop=True)


def rows_of_runs(models: Sequence[Path], data: Path | None = None) -> tuple[pd.DataFrame, str]:
    """The rows that all these runs tested on, and the column with their categories.

    Args:
        models: run folders.
        data: folder that relative corpus roots start from.

    Raises:
        EmofuseError: a folder is no run, was trained on its test rows, or the runs have different ones.
    """
    from emofuse.training.prepare import LABEL, labelled_part

    if bundles := [folder for folder in models if not _is_run(folder)]:
        raise EmofuseError(
            f"{bundles[0]}: a bundle does not say which rows it was tested on. Name a table of rows that it was not "
            "trained on: --table, and --split for the test part of one."
        )
    recipes = [load_recipe(folder / RECIPE_FILE) for folder in models]
    for folder, recipe in zip(models, recipes, strict=True):
        if "test" in recipe.training.fitted:
            raise EmofuseError(f"{folder}: was trained on its test rows too. Name a table of other rows: --table.")
    tables = [labelled_part(recipe, "test", data=data) for recipe in recipes]
    for folder, other in zip(models, tables, strict=True):
        if other["key"].tolist() != tables[0]["key"].tolist() or not other[LABEL].equals(tables[0][LABEL]):
            raise EmofuseError(
                f"{models[0]} and {folder} were tested on different rows or labels. Stress them one by one, or name a "
                "table: --table."
            )
    return tables[0], LABEL


def _is_run(folder: Path) -> bool:
    return (folder / RECIPE_FILE).is_file() and not (folder / FACTS_FILE).exists()


def _names(models: Sequence[Path]) -> list[str]:
    """The folders' own names, or whole paths where two are alike."""
    names = [folder.resolve().name for folder in models]
    return names if len(set(names)) == len(names) else [str(folder) for folder in models]
