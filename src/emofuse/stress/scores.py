"""Scores of a stress test, from its predictions: values with intervals, and changes from the same rows as they are."""

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

CLEAN = "clean"  # condition of the rows as they are
RESAMPLES = 1000

_Measured = tuple[Metric, np.ndarray, np.ndarray]


def score(
    predictions: pd.DataFrame,
    labels: Mapping[str, Sequence[str]],
    *,
    metrics: Collection[str] | None = None,
    resamples: int = RESAMPLES,
) -> pd.DataFrame:
    """The `scores` of a `Stress` from its predictions.

    Where they have a column `seed` (one training of all folds), a value is the mean over the seeds of the metric over
    all rows, and intervals are over speakers and seeds, as in `emofuse.metrics.significance`.

    Args:
        predictions: those of a `Stress`.
        labels: categories of each system.
        metrics: uar, ece, ccc_arousal, ...; None: all that there are.
        resamples: of every bootstrap.

    Raises:
        ValueError: a row stands twice, or seeds of a system have different rows.
    """
    if "seed" not in predictions:
        predictions = predictions.assign(seed=0)
    if predictions.duplicated(["system", "seed", "condition", "level", "key"]).any():
        raise ValueError("a system has several predictions for the same row, condition and level")
    scores: list[dict[str, Any]] = []

    def scored(rows: pd.DataFrame, clean: pd.DataFrame | None, head: dict[str, Any], names: list[str]) -> None:
        scores.extend({**head, **one} for one in _scores(rows, clean, names, metrics, resamples))

    for system, own in predictions.groupby("system", sort=False):
        clean = own[own["condition"] == CLEAN]
        names = list(labels[str(system)])
        for condition in [name for name in CONDITIONS if (own["condition"] == name).any()]:
            stressed = own[own["condition"] == condition]
            head = {"system": system, "condition": condition}
            scored(clean[clean["key"].isin(set(stressed["key"]))], None, {**head, "level": np.nan}, names)
            for level, rows in stressed.groupby("level", sort=False):
                scored(rows, clean, {**head, "level": level}, names)
    return pd.DataFrame(scores)


def _scores(
    rows: pd.DataFrame,
    clean: pd.DataFrame | None,
    labels: list[str],
    metrics: Collection[str] | None,
    resamples: int,
) -> Iterator[dict[str, Any]]:
    """The metrics of rows at one level, and their changes from those of the same rows as they are."""
    answered = rows["confidence"].notna() | rows[list(DIMENSIONS)].notna().any(axis=1)
    refused = set(rows.loc[~answered, "key"])
    keys = rows.loc[~rows["key"].isin(refused), "key"].drop_duplicates().tolist()
    after = _by_seed(rows, keys)
    before = {} if clean is None else _measured(_by_seed(clean, keys), labels)
    for name, (metric, truth, found) in _measured(after, labels).items():
        if metrics is not None and name not in metrics:
            continue
        answers = {"after": found} | ({"before": before[name][2]} if name in before else {})
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
    """The rows of these keys under each seed, in their order."""
    found = [own.set_index("key").reindex(keys) for _, own in rows.groupby("seed", sort=True)]
    if any(own["system"].isna().any() for own in found):
        raise ValueError("the seeds of a system have predictions for different rows")
    return found


def _measured(seeds: list[pd.DataFrame], labels: list[str]) -> dict[str, _Measured]:
    """What there is to score: metric, truth (n,) and predictions (seeds, n) by name.

    A mean is a mean absolute error from 0.
    """
    measured: dict[str, _Measured] = {}
    rows = seeds[0]
    if labels and (rows["truth"] >= 0).any():
        columns = [f"probability_{i}" for i in range(len(labels))]
        probabilities = np.stack([own[columns].to_numpy(float) for own in seeds])
        measured["uar"] = ("uar", rows["truth"].to_numpy(), probabilities.argmax(axis=2))
        measured["ece"] = ("ece", rows["truth"].to_numpy(), probabilities)
    for name in DIMENSIONS:
        if rows[name].notna().any() and rows[f"true_{name}"].notna().any():
            truth = rows[f"true_{name}"].to_numpy(float)
            measured[f"ccc_{name}"] = ("ccc", truth, np.stack([own[name].to_numpy(float) for own in seeds]))
    for name in ("confidence", "uncertain"):
        values = np.stack([own[name].to_numpy(float) for own in seeds])
        if values.size and not np.isnan(values).any():
            measured[name] = ("mae", np.zeros(len(rows)), values)
    return measured
