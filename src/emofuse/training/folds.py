"""Train all folds of a recipe, pool their test predictions, and train a final model on all rows.

The figures come from the folds: each utterance is predicted by a model that was not trained on its speaker. The final
model is trained like the folds, on all rows, and is not measured itself; its temperature, intervals and thresholds are
those of the folds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from emofuse.config import FOLDED, Recipe, dump_toml
from emofuse.corpora.recipe_rows import count_folds
from emofuse.errors import EmofuseError
from emofuse.files import atomic, read_json, write_json, write_text
from emofuse.training.calibration import fit_calibration
from emofuse.training.plots import write_calibration_plots
from emofuse.training.run import evaluate, train


def train_folds(recipe: Recipe, out: Path | None = None, data: Path | None = None, *, fresh: bool = False) -> Path:
    """Train every fold (`fold-0`, ...) and the final model (`final`), resuming where an earlier call stopped.

    Args:
        recipe: corpora whose split has folds must have equally many; others keep their one split.
        out: folder of the runs; runs/<name> if None.
        data: folder that relative corpus roots start from.
        fresh: whether to remove earlier runs and train all of them again.

    Returns:
        The folder, with `recipe.toml`, `predictions-test.parquet` of all folds, `metrics.json`, `calibration.json` and
        `plots/`.

    Raises:
        EmofuseError: no corpus has folds, or they differ in number; and what `train` raises.
    """
    folder = out or Path("runs") / recipe.name
    count = count_folds(recipe, data)
    if not count:
        raise EmofuseError(f"recipe {recipe.name}: no corpus has a split with folds ({', '.join(FOLDED)}).")
    for fold in range(count):
        train(recipe.with_fold(fold), folder / f"fold-{fold}", data, fresh=fresh)
    metrics, calibration = _pooled(recipe, folder, count)
    fitting = recipe.training.model_copy(update={"fit": "all"})
    whole = recipe.model_copy(update={"training": fitting}).with_fold(0)
    final = train(whole, folder / "final", data, fresh=fresh)
    write_json(final / "metrics.json", metrics)
    write_json(final / "calibration.json", calibration)
    return folder


def _pooled(recipe: Recipe, folder: Path, count: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metrics and calibration on the pooled test parts of all folds, which are written into the folder as well."""
    for name in ("predictions-test", "predictions-test-adapted"):
        _pool(folder, count, f"{name}.parquet")
    write_text(folder / "recipe.toml", dump_toml(recipe))
    notes = sorted({note for k in range(count) for note in read_json(folder / f"fold-{k}" / "metrics.json")["notes"]})
    metrics = evaluate(folder, recipe) | {"notes": notes}
    write_json(folder / "metrics.json", metrics)
    return metrics, _calibrate(recipe, folder)


def _pool(folder: Path, count: int, name: str) -> None:
    """Write the predictions of all folds as one table; a row that several folds test is taken from the first."""
    paths = [path for k in range(count) if (path := folder / f"fold-{k}" / name).exists()]
    if not paths:
        return
    pooled = pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)
    with atomic(folder / name) as temporary:
        pooled.drop_duplicates("key").reset_index(drop=True).to_parquet(temporary)


def _calibrate(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Calibrate on the test parts of the folds, separately for rows with audio and rows with text alone."""
    if "categories" not in recipe.model.heads:
        return {}
    table = pd.read_parquet(folder / "predictions-test.parquet")
    names = recipe.data.labels.names
    calibrations = {}
    for kind, selected in (("audio", table["has_audio"]), ("text", ~table["has_audio"])):
        rows = table[selected].reset_index(drop=True)
        if not (rows["truth"] >= 0).any():
            continue
        rated = True if "weak_dimensions" not in rows else ~rows["weak_dimensions"].to_numpy(bool)
        calibration = fit_calibration(rows, names, rated=rated)
        write_calibration_plots(rows, names, calibration, folder / "plots" / kind)
        calibrations[kind] = calibration.to_dict()
    write_json(folder / "calibration.json", calibrations)
    return calibrations
