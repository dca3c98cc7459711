"""Predictions of a finished run: as a table with category names, their metrics, and a confusion plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emofuse.config import Recipe, load_recipe
from emofuse.errors import EmofuseError
from emofuse.files import write_text
from emofuse.labels import DIMENSIONS
from emofuse.metrics import intervals
from emofuse.metrics import scores as metrics

NEW_CORPUS = "new-corpus"  # the rows of each corpus in training.leave_out, predicted by the model trained without it
ADAPTED: dict[str, dict[str, Any]] = {
    "-adapted": {},
    "-adapted-5": {"clips": 5},
    "-adapted-5-same": {"clips": 5, "same_emotion": True},
}
"""Suffix of parts that are adapted to each speaker, with arguments of `estimate_offsets`: by all other clips of the
speaker, by five of them, or by five with the same emotion, from which no model should learn the speaker's offset."""
PARTS = ("dev", *(name + suffix for name in ("test", NEW_CORPUS) for suffix in ("", *ADAPTED)))


def predictions_of(run: Path) -> pd.DataFrame:
    """Read the predictions of all parts of a run, one row for each utterance of a part.

    Columns: part (one of `PARTS`), key, corpus, speaker; truth and predicted (category names; None without
    label), confidence (0..1) and p_<category> (0..1) where the run predicts categories; true_<dimension> (NaN without
    label) and <dimension> (0..1) where it predicts dimensions.

    Raises:
        EmofuseError: the run has no predictions.
    """
    names = load_recipe(run / "recipe.toml").data.labels.names
    tables = [_named(table, part, names) for part, table in read_predictions(run).items()]
    return pd.concat(tables, ignore_index=True)


def read_predictions(run: Path) -> dict[str, pd.DataFrame]:
    """Read the predictions of each part of a run (`Outputs.table`).

    Raises:
        EmofuseError: the run has no predictions.
    """
    paths = {part: run / f"predictions-{part}.parquet" for part in PARTS}
    if tables := {part: pd.read_parquet(path) for part, path in paths.items() if path.exists()}:
        return tables
    raise EmofuseError(f"{run}: the run has no predictions. Finish it first: emofuse train with --out {run}.")


def write_predictions(run: Path, path: Path) -> None:
    """Write `predictions_of` as CSV (UTF-8), atomically.

    Raises:
        EmofuseError: the run has no predictions, or the file cannot be written.
    """
    write_text(path, predictions_of(run).to_csv(index=False, float_format="%.6f", lineterminator="\n"))


def draw_confusion(run: Path, metrics: dict[str, Any], path: Path) -> None:
    """Draw the confusion of the test part, or of the development part where there is no test part.

    Args:
        run: run folder.
        metrics: by part, as `emofuse.training.run.evaluate` computes them.
        path: .png, .svg or .pdf.

    Raises:
        EmofuseError: the run does not predict categories, or the file cannot be written.
    """
    from emofuse.training.plots import save_confusion  # matplotlib is slow to import

    part = next((part for part in ("test", "dev") if "categories" in metrics.get(part, {})), None)
    if part is None:
        raise EmofuseError(f"{run} has no confusion to draw: no part has both predicted and labelled categories.")
    recipe = load_recipe(run / "recipe.toml")
    scores = metrics[part]["categories"]
    uar = scores["uar"]
    interval = "" if uar["low"] is None else f" (95 % interval {uar['low']:.3f} .. {uar['high']:.3f})"
    title = f"{recipe.name}, {part}\nUAR {uar['value']:.3f}{interval}, n = {uar['n']}"
    save_confusion(path, scores["confusion"], recipe.data.labels.names, title)


def _named(table: pd.DataFrame, part: str, names: list[str]) -> pd.DataFrame:
    columns: dict[str, Any] = {"part": part} | {name: table[name] for name in ("key", "corpus", "speaker")}
    if "probability_0" in table:
        probabilities = table[[f"probability_{i}" for i in range(len(names))]].to_numpy()
        columns["truth"] = [names[i] if i >= 0 else None for i in table["truth"]]
        columns["predicted"] = [names[i] for i in probabilities.argmax(axis=1)]
        columns["confidence"] = probabilities.max(axis=1)
        columns |= {f"p_{name}": probabilities[:, i] for i, name in enumerate(names)}
    if DIMENSIONS[0] in table:
        columns |= {name: table[name] for name in (*(f"true_{name}" for name in DIMENSIONS), *DIMENSIONS)}
    return pd.DataFrame(columns)


def part_metrics(table: pd.DataFrame, recipe: Recipe, part: str = "test") -> dict[str, Any]:
    """Compute metrics of predictions (`Outputs.table`), overall and for each corpus if there are several.

    In parts of new corpora, only the categories of a row's corpus compete.
    """
    if part.startswith(NEW_CORPUS) and "categories" in recipe.model.heads:
        table = with_competing_categories(table)
    result = _metrics(table, recipe)
    if table["corpus"].nunique() > 1:
        result["by_corpus"] = {str(name): _metrics(rows, recipe) for name, rows in table.groupby("corpus")}
    return _defined(result)


def with_competing_categories(table: pd.DataFrame) -> pd.DataFrame:
    """The predictions with the probability of categories that a row's corpus lacks set to 0, and the others scaled."""
    names = [name for name in table if str(name).startswith("probability_")]
    probabilities = table[names].to_numpy(np.float64, copy=True)
    for corpus in table["corpus"].unique():
        rows = (table["corpus"] == corpus).to_numpy()
        present = np.unique(table.loc[rows & (table["truth"] >= 0).to_numpy(), "truth"])
        if len(present):
            probabilities[np.ix_(rows, ~np.isin(np.arange(len(names)), present))] = 0
    probabilities /= np.maximum(probabilities.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return table.assign(**{str(name): probabilities[:, i] for i, name in enumerate(names)})


def _defined(value: Any) -> Any:
    """Replace NaN by None, because JSON has no NaN."""
    if isinstance(value, dict):
        return {name: _defined(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_defined(part) for part in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def _metrics(table: pd.DataFrame, recipe: Recipe) -> dict[str, Any]:
    result: dict[str, Any] = {"rows": len(table)}
    speakers = table["speaker"].to_numpy()
    if "categories" in recipe.model.heads and (table["truth"] >= 0).any():
        result["categories"] = _categories(table, speakers, recipe.data.labels.names)
    if "dimensions" in recipe.model.heads and table[f"true_{DIMENSIONS[0]}"].notna().any():
        result["dimensions"] = {name: _dimension(table, speakers, name) for name in DIMENSIONS}
    return result


def _categories(table: pd.DataFrame, speakers: np.ndarray, names: list[str]) -> dict[str, Any]:
    truth = table["truth"].to_numpy()
    probabilities = table[[f"probability_{i}" for i in range(len(names))]].to_numpy()
    guess = probabilities.argmax(axis=1)
    overall: tuple[intervals.Metric, ...] = ("uar", "wa", "macro_f1", "weighted_f1")
    result: dict[str, Any] = {name: _interval(name, truth, guess, speakers, names=names) for name in overall}
    result["ece"] = metrics.ece(truth, probabilities, labels=names)
    for metric in (metrics.recall_per_class, metrics.precision_per_class, metrics.f1_per_class):
        result[metric.__name__] = dict(zip(names, metric(truth, guess, labels=names).tolist(), strict=True))
    result["confusion"] = metrics.confusion(truth, guess, labels=names).tolist()
    return result


def _dimension(table: pd.DataFrame, speakers: np.ndarray, name: str) -> dict[str, Any]:
    truth, guess = table[f"true_{name}"].to_numpy(), table[name].to_numpy()
    return {
        "ccc": _interval("ccc", truth, guess, speakers),
        "pearson": _interval("pearson", truth, guess, speakers),
        "mae": metrics.mae(truth, guess),
    }


def _interval(
    name: intervals.Metric,
    truth: np.ndarray,
    guess: np.ndarray,
    speakers: np.ndarray,
    *,
    names: list[str] | None = None,
) -> dict[str, Any]:
    one = intervals.bootstrap_interval(name, truth, guess, speakers, labels=names, resamples=2000, seed=0)
    return {"value": one.value, "low": one.low, "high": one.high, "n": one.n, "speakers": one.groups}
