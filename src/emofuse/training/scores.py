"""Metrics of one part of a split for metrics.json, with intervals over speakers, overall and by corpus."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from emofuse.config import Recipe
from emofuse.labels import DIMENSIONS
from emofuse.metrics import intervals
from emofuse.metrics import scores as metrics


def part_metrics(table: pd.DataFrame, recipe: Recipe) -> dict[str, Any]:
    """Compute metrics of predictions (`Outputs.table`), overall and for each corpus if there are several."""
    result = _metrics(table, recipe)
    if table["corpus"].nunique() > 1:
        result["by_corpus"] = {str(name): _metrics(rows, recipe) for name, rows in table.groupby("corpus")}
    return _defined(result)


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
    result: dict[str, Any] = {}
    for name in ("uar", "wa", "macro_f1", "weighted_f1"):
        result[name] = _interval(name, truth, guess, speakers, names=names)
    result["ece"] = metrics.ece(truth, probabilities, labels=names)
    by_class = {
        "recall_per_class": metrics.recall_per_class,
        "precision_per_class": metrics.precision_per_class,
        "f1_per_class": metrics.f1_per_class,
    }
    for name, metric in by_class.items():
        result[name] = dict(zip(names, metric(truth, guess, labels=names).tolist(), strict=True))
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
