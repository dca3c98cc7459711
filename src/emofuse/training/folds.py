"""All folds of a recipe, their test parts put together, and a model for use that is trained on everything.

The figures are those of the folds: each utterance is judged by a model that never heard its speaker. The model for
use is trained like them, on all rows, and not measured itself; temperature, intervals and thresholds are the folds'.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from emofuse.config import FOLDED, Recipe, dump_toml
from emofuse.corpora.chosen import count_folds
from emofuse.errors import EmofuseError
from emofuse.files import atomic, read_json, write_json, write_text
from emofuse.metrics.calibration import fit_calibration
from emofuse.training.plots import write_calibration_plots
from emofuse.training.run import evaluate, train


def train_folds(recipe: Recipe, out: Path | None = None, data: Path | None = None, *, fresh: bool = False) -> Path:
    """Train every fold (`fold-0`, ...) and the model for use (`final`), going on where an earlier call stopped.

    Args:
        recipe: corpora whose split has folds must have equally many; others keep their one split.
        out: folder of the runs; runs/<name> if None.
        data: folder that relative corpus roots start from.
        fresh: remove runs that are there, and train all anew.

    Returns:
        The folder, with `recipe.toml`, `predictions-test.parquet` of all folds, `metrics.json`, `calibration.json` and
        `plots/`.

    Raises:
        EmofuseError: no corpus has folds, or they differ in number; and what `train` raises.
    """
    folder = out or Path("runs") / recipe.name
    with TemporaryDirectory() as temporary:  # the corpora are read and audited once for all folds
        tables = Path(temporary)
        count = count_folds(recipe, data, tables)
        if not count:
            raise EmofuseError(f"recipe {recipe.name}: no corpus has a split with folds ({', '.join(FOLDED)}).")
        for fold in range(count):
            train(recipe.with_fold(fold), folder / f"fold-{fold}", data, tables=tables, fresh=fresh)
        metrics, calibration = _pooled(recipe, folder, count)
        fitting = recipe.training.model_copy(update={"fit": "all"})
        whole = recipe.model_copy(update={"training": fitting}).with_fold(0)
        final = train(whole, folder / "final", data, tables=tables, fresh=fresh)
    write_json(final / "metrics.json", metrics)
    write_json(final / "calibration.json", calibration)
    return folder


def _pooled(recipe: Recipe, folder: Path, count: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metrics and calibration on the test parts of all folds together; written into the folder, too."""
    for name in ("predictions-test", "predictions-test-adapted"):
        _pool(folder, count, f"{name}.parquet")
    write_text(folder / "recipe.toml", dump_toml(recipe))
    notes = sorted({note for k in range(count) for note in read_json(folder / f"fold-{k}" / "metrics.json")["notes"]})
    metrics = evaluate(folder, recipe) | {"notes": notes}
    write_json(folder / "metrics.json", metrics)
    return metrics, _calibrate(recipe, folder)


def _pool(folder: Path, count: int, name: str) -> None:
    """Predictions of all folds in one table; of rows that several folds test (official parts) those of the first."""
    paths = [path for k in range(count) if (path := folder / f"fold-{k}" / name).exists()]
    if not paths:
        return
    pooled = pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)
    with atomic(folder / name) as temporary:
        pooled.drop_duplicates("key").reset_index(drop=True).to_parquet(temporary)


def _calibrate(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Calibration on the test parts of the folds, of answers to audio and of answers to text alone."""
    if "categories" not in recipe.model.heads:
        return {}
    table = pd.read_parquet(folder / "predictions-test.parquet")
    names = recipe.data.labels.names
    found = {}
    for kind, chosen in (("audio", table["has_audio"]), ("text", ~table["has_audio"])):
        rows = table[chosen].reset_index(drop=True)
        if not (rows["truth"] >= 0).any():
            continue
        rated = True if "weak_dimensions" not in rows else ~rows["weak_dimensions"].to_numpy(bool)
        calibration = fit_calibration(rows, names, rated=rated)
        write_calibration_plots(rows, names, calibration, folder / "plots" / kind)
        found[kind] = calibration.to_dict()
    write_json(folder / "calibration.json", found)
    return found
