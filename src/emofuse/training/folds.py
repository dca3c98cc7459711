"""Train all folds of a recipe, leave out corpora in turn, pool the test predictions, and train a final model.

The figures come from the folds, where each utterance is predicted by a model that was not trained on its speaker, and
from the corpora in `training.leave_out`, each predicted by a model that was trained on the others. The final model is
trained on all rows but official test parts, and is not measured itself on voices; its calibration is fitted on these
predictions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from emofuse.config import FOLDED, Recipe, dump_toml
from emofuse.corpora.recipe_rows import count_folds, read_and_split
from emofuse.errors import EmofuseError
from emofuse.files import atomic, read_json, write_json, write_text
from emofuse.training.calibration import fit_calibration
from emofuse.training.new_corpora import calibrate_on_new_corpora, human_rated
from emofuse.training.plots import write_calibration_plots
from emofuse.training.predictions import ADAPTED, NEW_CORPUS, read_predictions
from emofuse.training.run import evaluate, train


def train_folds(recipe: Recipe, out: Path | None = None, data: Path | None = None, *, fresh: bool = False) -> Path:
    """Train every fold, without each corpus to leave out, and the final model, resuming where an earlier call stopped.

    The runs are `fold-0`, ..., `without-CORPUS` and `final`.

    Args:
        recipe: corpora whose split has folds must have equally many; others keep their one split.
        out: folder of the runs; runs/<name> if None.
        data: folder that relative corpus roots start from.
        fresh: whether to remove earlier runs and train all of them again.

    Returns:
        The folder, with `recipe.toml`, pooled `predictions-PART.parquet` (parts test of the folds and new-corpus of the
        corpora that were left out), `metrics.json`, `calibration.json` and `plots/`.

    Raises:
        EmofuseError: no corpus has folds, or they differ in number; and what `train` raises.
    """
    folder = out or Path("runs") / recipe.name
    count = count_folds(recipe, data)
    if not count:
        raise EmofuseError(f"recipe {recipe.name}: no corpus has a split with folds ({', '.join(FOLDED)}).")
    runs = [train(recipe.with_fold(k), folder / f"fold-{k}", data, fresh=fresh) for k in range(count)]
    for suffix in ("", "-adapted"):
        _pool(dict.fromkeys(runs), f"test{suffix}", folder / f"predictions-test{suffix}.parquet")
    left_out = {}
    for name in recipe.training.leave_out:
        without = recipe.without_corpus(name)
        run = train(without, folder / f"without-{name}", data, fresh=fresh)
        left_out[run] = tested_keys(without, data)
    for suffix in ("", *ADAPTED):
        _pool(left_out, f"test{suffix}", folder / f"predictions-{NEW_CORPUS}{suffix}.parquet")
    write_text(folder / "recipe.toml", dump_toml(recipe))
    notes = sorted({note for run in runs for note in read_json(run / "metrics.json")["notes"]})
    metrics = evaluate(folder, recipe) | {"notes": notes}
    write_json(folder / "metrics.json", metrics)
    calibration = _calibrate(recipe, folder)
    final = train(recipe.with_all_speakers(), folder / "final", data, fresh=fresh)
    write_json(final / "metrics.json", metrics)
    write_json(final / "calibration.json", calibration)
    return folder


def tested_keys(recipe: Recipe, data: Path | None) -> set[str]:
    """Keys of the rows of the corpora that a recipe tests as a whole."""
    tested = [corpus for corpus in recipe.data.corpora if corpus.split.all_rows == "test"]
    return {key for corpus in tested for key in read_and_split(corpus, data)[1].test}


def _pool(runs: Mapping[Path, Collection[str] | None], part: str, path: Path) -> None:
    """Write a part of the predictions of several runs as one table.

    Args:
        runs: folders of runs, with the keys of the rows to take from each; None for all.
        part: part of each run; runs without it are passed over. A row of several runs is taken from the first.
        path: of the table, which is removed if no run has the part.
    """
    tables = []
    for run, keys in runs.items():
        if (saved := run / f"predictions-{part}.parquet").exists():
            table = pd.read_parquet(saved)
            tables.append(table if keys is None else table[table["key"].isin(keys)])
    if not tables:
        path.unlink(missing_ok=True)
        return
    pooled = pd.concat(tables, ignore_index=True)
    with atomic(path) as temporary:
        pooled.drop_duplicates("key").reset_index(drop=True).to_parquet(temporary)


def _calibrate(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Calibrate by kind of prediction on the folds; from audio on corpora that were left out, if there are any."""
    if "categories" not in recipe.model.heads:
        return {}
    names = recipe.data.labels.names
    parts = read_predictions(folder)
    fitted = {}
    for kind, with_audio in (("audio", True), ("text", False)):
        rows = parts["test"][parts["test"]["has_audio"] == with_audio].reset_index(drop=True)
        if (rows["truth"] >= 0).any():
            fitted[kind] = rows, fit_calibration(rows, names, rated=human_rated(rows))
    spoken = {part: rows[rows["has_audio"]].reset_index(drop=True) for part, rows in parts.items()}
    on_new_corpora = calibrate_on_new_corpora(spoken, names)
    for kind, (rows, calibration) in (fitted | on_new_corpora).items():
        plots = folder / "plots" / kind
        write_calibration_plots(rows, names, calibration, plots, by_corpus=kind in on_new_corpora)
    calibrations = {kind: calibration.to_dict() for kind, (_, calibration) in (fitted | on_new_corpora).items()}
    write_json(folder / "calibration.json", calibrations)
    return calibrations
