"""Scores of a stress test: metrics with intervals, and their changes from the same rows unchanged."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from emofuse.labels import DIMENSIONS
from emofuse.metrics.intervals import Metric
from emofuse.metrics.outcomes import Outcomes
from emofuse.metrics.significance import compare_with_reference, system_intervals
from emofuse.stress.conditions import CONDITIONS

CLEAN = "clean"  # condition of unchanged rows
RESAMPLES = 1000


def score_predictions(
    predictions: pd.DataFrame,
    labels: Mapping[str, Sequence[str]],
    *,
    metrics: Collection[str] | None = None,
    resamples: int = RESAMPLES,
) -> pd.DataFrame:
    """Compute the `scores` of a `Stress` from its predictions.

    If there is a column `seed` (one training of all folds), a value is the mean over seeds of the metric over all
    rows, and intervals are over speakers and seeds, as in `emofuse.metrics.significance`.

    Args:
        predictions: those of a `Stress`.
        labels: categories of each system.
        metrics: uar, ece, ccc_arousal, ...; None: all.
        resamples: of the bootstrap.

    Raises:
        ValueError: a row is there twice, or the seeds of a system have different rows.
    """
    if "seed" not in predictions:
        predictions = predictions.assign(seed=0)
    if predictions.duplicated(["system", "seed", "condition", "level", "key"]).any():
        raise ValueError("a system has several predictions for the same row, condition and level")
    scores: list[dict[str, Any]] = []
    for system, system_rows in predictions.groupby("system", sort=False):
        clean = system_rows[system_rows["condition"] == CLEAN]
        names = list(labels[str(system)])
        for condition in [name for name in CONDITIONS if (system_rows["condition"] == name).any()]:
            stressed = system_rows[system_rows["condition"] == condition]
            same = clean[clean["key"].isin(set(stressed["key"]))]
            for level, rows in [(np.nan, same), *stressed.groupby("level", sort=False)]:
                head = {"system": system, "condition": condition, "level": level}
                unchanged = None if rows is same else clean
                scores += [{**head, **one} for one in _scores(rows, unchanged, names, metrics, resamples)]
    return pd.DataFrame(scores)


def _scores(
    rows: pd.DataFrame,
    clean: pd.DataFrame | None,
    labels: list[str],
    metrics: Collection[str] | None,
    resamples: int,
) -> Iterator[dict[str, Any]]:
    """Metrics of the rows at one level, and their changes from the same rows in `clean`."""
    answered = rows["confidence"].notna() | rows[list(DIMENSIONS)].notna().any(axis=1)
    refused = set(rows.loc[~answered, "key"])
    keys = rows.loc[~rows["key"].isin(refused), "key"].drop_duplicates().tolist()
    after = _by_seed(rows, keys)
    before = {} if clean is None else _measured(_by_seed(clean, keys), labels)
    for name, (metric, truth, predicted) in _measured(after, labels).items():
        if metrics is not None and name not in metrics:
            continue
        answers = {"after": predicted} | ({"before": before[name][2]} if name in before else {})
        classes = labels if metric in ("uar", "ece") else None
        outcomes = Outcomes(metric, np.array(keys, object), truth, answers, after[0]["speaker"].to_numpy(), classes)
        value = system_intervals(outcomes, resamples=resamples, seed=0)["after"]
        one = {"metric": name, "value": value.value, "low": value.low, "high": value.high, "n": value.n}
        one |= {"refused": len(refused), "change": np.nan, "change_low": np.nan, "change_high": np.nan, "p": np.nan}
        if name in before:
            change = compare_with_reference(outcomes, "before", resamples=resamples, seed=0)["after"]
            one |= {"change": change.value, "change_low": change.low, "change_high": change.high, "p": change.p}
        yield one


def _by_seed(rows: pd.DataFrame, keys: list[str]) -> list[pd.DataFrame]:
    """Rows of each seed, in the order of the keys."""
    tables = [table.set_index("key").reindex(keys) for _, table in rows.groupby("seed", sort=True)]
    if any(table["system"].isna().any() for table in tables):
        raise ValueError("the seeds of a system have predictions for different rows")
    return tables


def _measured(seeds: list[pd.DataFrame], labels: list[str]) -> dict[str, tuple[Metric, np.ndarray, np.ndarray]]:
    """Metric, truth (n,) and predictions (seeds, n) by name, of all that can be scored.

    The means of `confidence` and `uncertain` are mean absolute errors from 0.
    """
    measured: dict[str, tuple[Metric, np.ndarray, np.ndarray]] = {}
    rows = seeds[0]
    if labels and (rows["truth"] >= 0).any():
        columns = [f"probability_{i}" for i in range(len(labels))]
        probabilities = np.stack([table[columns].to_numpy(float) for table in seeds])
        measured["uar"] = ("uar", rows["truth"].to_numpy(), probabilities.argmax(axis=2))
        measured["ece"] = ("ece", rows["truth"].to_numpy(), probabilities)
    for name in DIMENSIONS:
        if rows[name].notna().any() and rows[f"true_{name}"].notna().any():
            truth = rows[f"true_{name}"].to_numpy(float)
            measured[f"ccc_{name}"] = ("ccc", truth, np.stack([table[name].to_numpy(float) for table in seeds]))
    for name in ("confidence", "uncertain"):
        values = np.stack([table[name].to_numpy(float) for table in seeds])
        if values.size and not np.isnan(values).any():
            measured[name] = ("mae", np.zeros(len(rows)), values)
    return measured
