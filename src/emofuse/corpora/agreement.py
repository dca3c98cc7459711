"""Agreement between annotators: Krippendorff's alpha and CCC.

Agreement is computed for each corpus, because scales, categories and annotators differ between corpora.
"""

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emofuse.corpora.table import TableError
from emofuse.labels import DIMENSIONS
from emofuse.metrics.scores import ccc

MAX_FIXED_ANNOTATORS = 20
SPLITS = 10

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def agreement(df: pd.DataFrame, *, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Agreement between the annotators of each corpus, from the column `ratings`.

    If an annotator rated an utterance several times, the first rating counts. Ratings without a name count as different
    annotators. Speakers' ratings of themselves (marked "self": true) do not count, nor do ratings with several
    categories for emotion.

    Args:
        df: utterance table. Ratings may be on any scale, which does not change the results.
        seed: for the random halves of `split_half_ccc`.

    Returns:
        By corpus, for each of emotion, arousal, valence and dominance that was rated: `utterances` (rated by two
        annotators or more), `ratings` (of those utterances), `annotators`, `alpha` (nominal for emotion, interval for
        dimensions), for emotion `several_categories` (ratings left out), for dimensions `ccc` and `ccc_of`: "pairs"
        (`pairwise_ccc`, if there are at most 20 annotators, all with names) or "halves" (`split_half_ccc`). Undefined
        values are None. Corpora without ratings are left out.

    Raises:
        TableError: ratings that are not a JSON list of objects, or a rating of a dimension that is not a number.
    """
    rated = df[df["ratings"].notna()].sort_values("key")  # halves must not depend on the order of rows
    return {
        str(corpus): measures
        for corpus, rows in rated.groupby("corpus", sort=True)
        if (measures := _of_corpus(rows, seed))
    }


def votes_of(text: Any, key: str) -> dict[str, float]:
    """Parse a cell of the column `votes`: number of votes by category; empty if the cell is empty.

    Raises:
        TableError: the cell is not a JSON object of non-negative numbers; `key` names the row.

    >>> votes_of('{"anger": 2, "neutral": 1}', "c/1")
    {'anger': 2.0, 'neutral': 1.0}
    """
    if text is None or text != text:
        return {}
    try:
        votes = {name: float(number) for name, number in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError):
        votes = {"": -1.0}
    if not all(0 <= number < np.inf for number in votes.values()):
        raise TableError(
            f'{key}: votes {text!r} is not a JSON object with the number of votes by category, such as {{"anger": 2}}.'
        )
    return votes


def alpha(units: Ints, values: Floats) -> float:
    """Krippendorff's alpha (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability").

    alpha = 1 - D_o / D_e with squared Euclidean distances: interval for values of one column, nominal for one-hot rows.
    With m_u ratings of unit u, n in all, and sums of squares SS about the mean of a unit and about the mean of all:
    D_o = 1/n sum_u 2 m_u SS_u / (m_u - 1) and D_e = 2 SS / (n - 1). Linear in time and memory, whatever the number of
    annotators and distinct values.

    Args:
        units: (n,) index of the unit of each rating, from 0; units with a single rating are left out.
        values: (n, columns).

    Returns:
        At most 1; NaN if no unit has two ratings, or if all ratings are equal.

    >>> one_hot = np.eye(2)[[0, 0, 1, 1, 0, 1]]
    >>> round(alpha(np.array([0, 0, 1, 1, 2, 2]), one_hot), 4)
    0.4444
    """
    counts = np.bincount(units)
    shared = counts[units] > 1
    units, values = units[shared], values[shared] - (values[shared].mean(axis=0) if shared.any() else 0.0)
    n = len(units)
    expected = 2 * (values**2).sum() / (n - 1) if n else 0.0
    if np.isclose(expected, 0):
        return float("nan")
    m = np.maximum(counts, 2)
    squares = sum(_within(units, column, counts) for column in values.T)
    return float(1 - (2 * m * squares / (m - 1)).sum() / n / expected)


def pairwise_ccc(units: Ints, annotators: Ints, values: Floats) -> float:
    """Mean CCC over pairs of annotators on the units that both rated, weighted by the number of these units.

    sum_ab n_ab CCC(a, b) / sum_ab n_ab over pairs a < b with at least two shared units and a defined CCC.

    Args:
        units: (n,) unit of each rating, from 0.
        annotators: (n,) annotator of each rating, from 0; each at most once a unit.
        values: (n,).

    Returns:
        -1..1; NaN if there is no such pair.
    """
    table = np.full((annotators.max(initial=-1) + 1, units.max(initial=-1) + 1), np.nan)
    table[annotators, units] = values
    total = weight = 0.0
    for a in range(len(table)):
        for b in range(a + 1, len(table)):
            both = ~np.isnan(table[a]) & ~np.isnan(table[b])
            value = ccc(table[a][both], table[b][both])
            if both.sum() > 1 and not np.isnan(value):
                total, weight = total + both.sum() * value, weight + both.sum()
    return total / weight if weight else float("nan")


def split_half_ccc(units: Ints, values: Floats, *, seed: int) -> float:
    """CCC between the means of two random halves of each unit's ratings, where annotators change from unit to unit.

    Each half of a unit with m ratings has floor(m / 2) of them, drawn without replacement; the result is the mean of
    ten draws. It is the reliability of the mean of half the ratings, and is not corrected for that.

    Args:
        units: (n,) unit of each rating, from 0; units with a single rating are left out.
        values: (n,).
        seed: for the draws.

    Returns:
        -1..1; NaN with fewer than two units, or if all ratings are equal.
    """
    rng = np.random.default_rng(seed)
    counts = np.bincount(units)
    half = counts // 2
    used = half > 0
    first = np.cumsum(counts) - counts  # where each unit begins
    results = []
    for _ in range(SPLITS):
        order = np.argsort(units + rng.random(len(units)))
        unit = units[order]
        place = np.arange(len(unit)) - first[unit]
        means = [
            np.bincount(unit[chosen], values[order][chosen], len(counts))[used] / half[used]
            for chosen in (place < half[unit], (place >= half[unit]) & (place < 2 * half[unit]))
        ]
        results.append(ccc(*means))
    return float(np.mean(results))


def _within(units: Ints, column: Floats, counts: Ints) -> Floats:
    """Sum of squares about the mean of each unit."""
    sums = np.bincount(units, column, len(counts))
    residuals = column - (sums / np.maximum(counts, 1))[units]
    return np.asarray(np.bincount(units, residuals**2, len(counts)), np.float64)


@dataclass
class _Ratings:
    """Ratings of one measure, with the unit, annotator and value of each.

    Unnamed annotators are -1. Emotions are numbers of categories, or -1 if an annotator gave several.
    """

    units: Ints
    annotators: Ints
    values: Floats

    def select(self, mask: NDArray[np.bool_]) -> _Ratings:
        return _Ratings(self.units[mask], self.annotators[mask], self.values[mask])

    def once(self) -> _Ratings:
        """The first rating of a unit by each annotator, and all ratings by unnamed annotators."""
        order = np.arange(len(self.units))
        names = np.where(self.annotators < 0, -1 - order, self.annotators)
        pairs = (self.units * (len(order) + names.max(initial=0) + 1)) + names + len(order)
        first = np.unique(pairs, return_index=True)[1]
        mask = np.zeros(len(order), dtype=bool)
        mask[first] = True
        return self.select(mask)

    def shared(self) -> _Ratings:
        """Ratings of units with at least two ratings, with units and annotators renumbered without gaps."""
        ratings = self.select(np.bincount(self.units)[self.units] > 1)
        ratings.units = np.unique(ratings.units, return_inverse=True)[1].reshape(-1)
        named = ratings.annotators >= 0
        ratings.annotators[named] = np.unique(ratings.annotators[named], return_inverse=True)[1].reshape(-1)
        return ratings


def _of_corpus(rows: pd.DataFrame, seed: int) -> dict[str, Any]:
    measures: dict[str, Any] = {}
    for measure, ratings in _collect(rows).items():
        if not len(ratings.values):
            continue
        ratings = ratings.once()
        if measure == "emotion":
            single = ratings.values >= 0
            shared = ratings.select(single).shared()
            categories, codes = np.unique(shared.values, return_inverse=True)
            figures: dict[str, Any] = {
                "alpha": alpha(shared.units, np.eye(len(categories))[codes]),
                "several_categories": int((~single).sum()),
            }
        else:
            shared = ratings.shared()
            figures = {"alpha": alpha(shared.units, shared.values[:, None]), **_ccc_of(shared, seed)}
        measures[measure] = {
            "utterances": int(shared.units.max(initial=-1)) + 1,
            "ratings": len(shared.units),
            "annotators": _annotators(shared),
            **{k: None if isinstance(v, float) and np.isnan(v) else v for k, v in figures.items()},
        }
    return measures


def _annotators(ratings: _Ratings) -> int | None:
    """Number of annotators; None if some are unnamed."""
    return None if (ratings.annotators < 0).any() else int(ratings.annotators.max(initial=-1)) + 1


def _ccc_of(ratings: _Ratings, seed: int) -> dict[str, Any]:
    number = _annotators(ratings)
    if number is not None and number <= MAX_FIXED_ANNOTATORS:
        return {"ccc": pairwise_ccc(ratings.units, ratings.annotators, ratings.values), "ccc_of": "pairs"}
    return {"ccc": split_half_ccc(ratings.units, ratings.values, seed=seed), "ccc_of": "halves"}


def _collect(rows: pd.DataFrame) -> dict[str, _Ratings]:
    """All ratings by measure."""
    columns = {measure: (array("q"), array("q"), array("d")) for measure in ("emotion", *DIMENSIONS)}
    numbers: dict[str, int] = {}
    categories: dict[str, int] = {}
    for unit, (key, text) in enumerate(zip(rows["key"].tolist(), rows["ratings"].tolist(), strict=True)):
        for rating in _parsed(text, key):
            if rating.get("self"):
                continue
            name = rating.get("annotator")
            annotator = -1 if name is None else numbers.setdefault(str(name), len(numbers))
            for measure, (units, annotators, values) in columns.items():
                given = rating.get(measure)
                if given is None or given != given or given in ("", []):
                    continue
                units.append(unit)
                annotators.append(annotator)
                of_emotion = measure == "emotion"
                values.append(_category(given, categories, key) if of_emotion else _number(given, measure, key))
    return {
        measure: _Ratings(np.array(units, np.int64), np.array(annotators, np.int64), np.array(values, np.float64))
        for measure, (units, annotators, values) in columns.items()
    }


def _parsed(text: str, key: str) -> list[dict[str, Any]]:
    try:
        ratings = json.loads(text)
    except ValueError:
        ratings = None
    if not isinstance(ratings, list) or not all(isinstance(rating, dict) for rating in ratings):
        raise TableError(f"{key}: ratings is not a JSON list of objects, one for each annotator.")
    return ratings


def _category(given: Any, categories: dict[str, int], key: str) -> int:
    several = given if isinstance(given, list) else [given]
    if not all(isinstance(category, str) for category in several):
        raise TableError(f"{key}: {given!r} is not a rating of emotion; expected a category, or a list of them.")
    return categories.setdefault(several[0].strip().lower(), len(categories)) if len(several) == 1 else -1


def _number(given: Any, dimension: str, key: str) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise TableError(f"{key}: {given!r} is not a rating of {dimension}; expected a number.")
    return given
