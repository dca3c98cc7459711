"""Predictions of several systems, trained with several seeds, for the test utterances of one task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emofuse.errors import EmofuseError
from emofuse.metrics.intervals import Metric, additive_metric, number_groups
from emofuse.metrics.scores import Floats, Labels, as_array, class_numbers

if TYPE_CHECKING:
    import pandas as pd

CATEGORIES = ("uar", "wa", "macro_f1", "weighted_f1")  # metrics that compare classes with classes


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Predictions of systems for the same utterances: the test parts of all folds together, each utterance once.

    A seed is one repetition of the whole experiment, in which every fold is trained again. A system's value is the mean
    over seeds of the metric over all rows. Rows of the folds are pooled first, so that small folds weigh little and a
    class may be missing from a fold.

    Attributes:
        metric: name of a metric of `emofuse.metrics.scores`.
        keys: (n,) keys of the utterances, each once.
        truth: (n,) classes or numbers; rows with a missing value are ignored.
        predictions: for each system (seeds, n) classes or numbers, or (seeds, n, K) probabilities for "ece". All
            systems have the same seeds in the same order.
        speakers: (n,) speakers; a row without a speaker (None or NaN) is its own group.
        labels: class names in order; required for metrics of classes. Classes become numbers, -1 where missing.

    Raises:
        ValueError: shapes do not fit, a key occurs twice, a metric or class is unknown, classes have no `labels`, or a
            row has a true class but no predicted one.
    """

    metric: Metric
    keys: NDArray[Any]
    truth: NDArray[Any]
    predictions: Mapping[str, NDArray[Any]]
    speakers: NDArray[Any]
    labels: Labels = None

    def __post_init__(self) -> None:
        additive_metric(self.metric)
        truth, predictions = (
            as_array(self.truth),
            {name: np.asarray(values) for name, values in self.predictions.items()},
        )
        if self.metric in CATEGORIES:
            if self.labels is None:
                raise ValueError(f"metric {self.metric} requires labels, the class names in order")
            predictions = {name: self._numbers(name, values) for name, values in predictions.items()}
        numbers = class_numbers(truth, labels=self.labels) if self.of_classes else truth.astype(np.float64)
        arrays = {"keys": as_array(self.keys), "truth": numbers, "speakers": as_array(self.speakers)}
        for name, values in {**arrays, "predictions": predictions}.items():
            object.__setattr__(self, name, values)
        self._check()

    @property
    def of_classes(self) -> bool:
        """Whether the metric compares with a true class."""
        return self.metric in CATEGORIES or self.metric == "ece"

    @property
    def known(self) -> NDArray[np.bool_]:
        """(n,) rows that have a truth."""
        return self.truth >= 0 if self.of_classes else ~np.isnan(self.truth)

    @property
    def systems(self) -> list[str]:
        """Names of the systems."""
        return list(self.predictions)

    def where(self, rows: ArrayLike) -> Outcomes:
        """Select rows by (n,) booleans or by positions."""
        chosen = np.asarray(rows)
        predictions = {name: values[:, chosen] for name, values in self.predictions.items()}
        columns = {name: getattr(self, name)[chosen] for name in ("keys", "truth", "speakers")}
        return replace(self, predictions=predictions, **columns)

    def sums(self) -> tuple[Floats, int]:
        """Sum the statistics of each speaker to (speakers, systems, seeds, S); also return the number of rows."""
        statistics = additive_metric(self.metric).statistics
        known = self.known
        truth, speakers = self.truth[known], number_groups(self.speakers[known])
        rows = np.array(  # (systems, seeds, known rows, S)
            [[statistics(truth, one[known], self.labels) for one in seeds] for seeds in self.predictions.values()]
        )
        sums = np.zeros((speakers.max(initial=-1) + 1, *rows.shape[:2], rows.shape[3]))
        np.add.at(sums, speakers, np.moveaxis(rows, 2, 0))
        return sums, len(speakers)

    def _numbers(self, system: str, values: NDArray[Any]) -> NDArray[np.int64]:
        if values.ndim != 2:
            raise ValueError(f"{system}: predictions must be (seeds, rows), found shape {values.shape}")
        return np.stack([class_numbers(row, labels=self.labels) for row in values])

    def _check(self) -> None:
        n = len(self.keys)
        if not self.predictions:
            raise ValueError("predictions are empty; expected at least one system")
        if len(set(self.keys.tolist())) < n:
            raise ValueError("a key occurs twice: every utterance must be in the test part of exactly one fold")
        if not n == len(self.truth) == len(self.speakers):
            raise ValueError(f"{n} keys, but {len(self.truth)} rows of truth and {len(self.speakers)} speakers")
        dimensions = 3 if self.metric == "ece" else 2
        first = next(iter(self.predictions.values())).shape[:2]
        for name, values in self.predictions.items():
            if values.ndim != dimensions or values.shape[:2] != first or values.shape[1] != n or not len(values):
                expected = f"({first[0] or 'seeds'}, {n}{', classes' if dimensions == 3 else ''})"
                raise ValueError(f"{name}: predictions of shape {values.shape}, expected {expected}")
            if self.metric in CATEGORIES and (missing := self.known & (values < 0).any(axis=0)).any():
                raise ValueError(f"{name}: no prediction for {self.keys[missing][0]}, which has a truth")


def join_predictions(
    tables: Mapping[str, Sequence[pd.DataFrame]],
    metric: Metric,
    *,
    labels: Labels = None,
    dimension: str | None = None,
) -> Outcomes:
    """Join tables of predictions by key.

    Args:
        tables: for each system one table per seed, like `predictions-test.parquet` with the folds concatenated: columns
            key, speaker, truth (class number, -1 if missing) and probability_0.., or true_<dimension> and <dimension>.
        metric: name of a metric of `emofuse.metrics.scores`.
        labels: class names in order, for metrics of classes; the most probable class is the prediction.
        dimension: "arousal", "valence" or "dominance", for metrics of numbers.

    Raises:
        EmofuseError: systems have different numbers of tables, or the tables differ in utterances, truths or speakers.
        ValueError: a dimension is given for a metric of classes, or missing for one of numbers; or as `Outcomes`.
    """
    if (dimension is None) != (metric in (*CATEGORIES, "ece")):
        raise ValueError(
            f"metric {metric} with dimension {dimension}: give a dimension for metrics of numbers, and only for these"
        )
    counts = {name: len(seeds) for name, seeds in tables.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        each = ", ".join(f"{name} {count}" for name, count in counts.items()) or "no system"
        raise EmofuseError(f"systems have different numbers of seeds ({each}). Train every system with every seed.")
    truth_name = "truth" if dimension is None else f"true_{dimension}"
    reference = next(iter(tables.values()))[0].set_index("key")
    predictions = {}
    for system, seeds in tables.items():
        arrays: list[NDArray[Any]] = []
        for number, table in enumerate(seeds):
            rows = table.set_index("key")
            _same_rows(rows, reference, truth_name, f"{system}, table {number + 1}")
            rows = rows.loc[reference.index]
            if dimension is not None:
                arrays.append(rows[dimension].to_numpy())
                continue
            classes = sum(str(name).startswith("probability_") for name in rows.columns)
            probabilities = rows[[f"probability_{k}" for k in range(classes)]].to_numpy()
            arrays.append(probabilities if metric == "ece" else probabilities.argmax(axis=1))
        predictions[system] = np.stack(arrays)
    return Outcomes(
        metric,
        keys=reference.index.to_numpy(),
        truth=reference[truth_name].to_numpy(),
        predictions=predictions,
        speakers=reference["speaker"].to_numpy(),
        labels=labels,
    )


def _same_rows(rows: pd.DataFrame, reference: pd.DataFrame, truth: str, name: str) -> None:
    if rows.index.has_duplicates:
        key = rows.index[rows.index.duplicated()][0]
        raise EmofuseError(f"{name}: utterance {key} occurs twice. Each belongs in the test part of one fold.")
    differing = rows.index.symmetric_difference(reference.index)
    if len(differing):
        raise EmofuseError(
            f"{name}: {len(differing)} utterances differ from the first table (such as {differing[0]}). Test every "
            "system and seed on the same utterances."
        )
    rows = rows.loc[reference.index]
    for column in (truth, "speaker"):
        same = (rows[column] == reference[column]) | (rows[column].isna() & reference[column].isna())
        if not same.all():
            raise EmofuseError(
                f"{name}: {column} of {same.idxmin()} differs from the first table's. Read every system's corpus with "
                "the same labels."
            )
