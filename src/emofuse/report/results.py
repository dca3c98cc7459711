"""Statistics of a study, each computed once, for tables, pictures and sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import get_args

import numpy as np
import pandas as pd

from emofuse.files import slug
from emofuse.labels import DIMENSIONS
from emofuse.metrics.intervals import Interval, Metric, additive_metric
from emofuse.metrics.outcomes import Outcomes, join_predictions
from emofuse.metrics.scores import LOWER_IS_BETTER, Floats
from emofuse.metrics.significance import Comparison, compare_all, smallest_detectable, system_intervals
from emofuse.report.behaviour import Changed, breakdown, changed_answers, confusions, recalls
from emofuse.study.folder import StudyFolder, Task

OF_CATEGORIES: tuple[Metric, ...] = ("uar", "wa", "macro_f1", "weighted_f1", "ece")
OF_DIMENSIONS: tuple[Metric, ...] = ("ccc", "pearson", "mae")
NAMES = dict(
    zip(get_args(Metric), ("UAR", "WA", "macro F1", "weighted F1", "ECE", "CCC", "Pearson", "MAE"), strict=True)
)
RESAMPLES = 10_000
ALPHA = 0.05
FEW_SYSTEMS = 8  # up to this number, each system has a panel or mark in pictures
MOST_PANELS = 6  # number of panels if there are more systems
SEED = 0


@dataclass(frozen=True, eq=False)
class Result:
    """Predictions of all systems of one task, on one corpus, of categories or one dimension, and their statistics.

    Attributes:
        task: of the predictions.
        corpus: of the utterances; empty if the task has only one.
        dimension: name of the dimension; None for categories.
        outcomes: predictions by metric; the first metric is the headline metric.
        weak: share of the utterances with weak dimensions as targets; 0 for categories.
        resamples: number of draws of every bootstrap and permutation test.
    """

    task: Task
    corpus: str
    dimension: str | None
    outcomes: Mapping[Metric, Outcomes]
    weak: float
    resamples: int = RESAMPLES

    @property
    def title(self) -> str:
        """Task, corpus if there are several, and dimension."""
        return ", ".join(part for part in (self.task.name, self.corpus, self.dimension) if part)

    @property
    def slug(self) -> str:
        """The title for file names and anchors."""
        return slug(self.title)

    @property
    def metric(self) -> Metric:
        """The headline metric, which systems are compared by."""
        return next(iter(self.outcomes))

    @property
    def headline(self) -> Outcomes:
        """Predictions with the headline metric."""
        return self.outcomes[self.metric]

    @property
    def systems(self) -> list[str]:
        """Names of the systems, in the order of the study."""
        return self.headline.systems

    @property
    def chance(self) -> float | None:
        """UAR of guessing, 1 / classes that occur; None for dimensions."""
        truth = self.headline.truth[self.headline.known]
        return 1 / len(np.unique(truth)) if self.dimension is None else None

    @cached_property
    def intervals(self) -> dict[Metric, dict[str, Interval]]:
        """Value of each system with its interval, by metric."""
        draws = {"resamples": self.resamples, "seed": SEED}
        return {metric: system_intervals(outcomes, **draws) for metric, outcomes in self.outcomes.items()}

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Comparison of every pair of systems by the headline metric."""
        return compare_all(self.headline, resamples=self.resamples, seed=SEED)

    def against(self, reference: str) -> dict[str, Comparison]:
        """Comparison of a reference with each other system, by the name of the other; either may be first in it."""
        pairs = [pair for pair in self.comparisons if reference in (pair.a, pair.b)]
        return {pair.b if pair.a == reference else pair.a: pair for pair in pairs}

    def best(self, metric: Metric) -> list[str]:
        """Systems with the best value, several if values are equal."""
        values = {name: one.value for name, one in self.intervals[metric].items() if not np.isnan(one.value)}
        best = (min if metric in LOWER_IS_BETTER else max)(values.values(), default=np.nan)
        return [name for name, value in values.items() if abs(value - best) < 1e-12]

    def detectable(self, comparison: Comparison) -> float:
        """The smallest difference that the first step of Holm's correction would have found with power 0.8."""
        return smallest_detectable(comparison.standard_error, alpha=ALPHA / len(self.comparisons))

    @property
    def speakers(self) -> int:
        """Number of speakers with a truth; a row without a speaker counts as one."""
        return next(iter(self.intervals[self.metric].values())).groups

    @property
    def n(self) -> int:
        """Number of utterances with a truth."""
        return int(self.headline.known.sum())

    @property
    def speakers_are_few(self) -> bool:
        """True if so few speakers cannot give a permutation p of at most ALPHA after Holm's correction."""
        return self.speakers < 2 or 0.5 ** (self.speakers - 1) * len(self.comparisons) > ALPHA

    @property
    def can_differ(self) -> bool:
        """True if p can be at most ALPHA after Holm's correction with this number of speakers and resamples."""
        if self.speakers_are_few or not self.comparisons:
            return False
        return 2 / (self.resamples + 1) * len(self.comparisons) <= ALPHA  # the lowest p of the bootstrap

    def foremost(self, reference: str) -> list[str]:
        """Systems that get a panel each in pictures: all, or the reference and those with the best values."""
        if len(self.systems) <= FEW_SYSTEMS:
            return self.systems
        values = {name: np.nan_to_num(one.value, nan=-np.inf) for name, one in self.intervals[self.metric].items()}
        by_value = sorted(values, key=lambda name: (name != reference, -values[name]))
        return [name for name in self.systems if name in by_value[:MOST_PANELS]]

    @cached_property
    def by_seed(self) -> Floats:
        """Value of the headline metric of each system under each seed: (systems, seeds)."""
        return additive_metric(self.metric).score(self.headline.sums()[0].sum(axis=0))

    @cached_property
    def recalls(self) -> pd.DataFrame:
        """Recall of each class; see `behaviour.recalls`."""
        return recalls(self.headline, resamples=self.resamples, seed=SEED)

    @cached_property
    def confusions(self) -> pd.DataFrame:
        """Confusion matrices side by side; see `behaviour.confusions`."""
        return confusions(self.headline)

    @cached_property
    def changed(self) -> dict[tuple[str, str], Changed]:
        """Changes of the predictions of each unimodal system by each fused one, by (unimodal, fused)."""
        pairs = product(self.task.unimodal, self.task.fused)
        return {pair: changed_answers(self.headline, *pair, resamples=self.resamples, seed=SEED) for pair in pairs}

    def broken_down(self, column: pd.Series) -> pd.DataFrame:
        """Headline metric for each value of a column; see `behaviour.breakdown`."""
        return breakdown(self.headline, column, resamples=self.resamples, seed=SEED)


def results_of(study: StudyFolder, *, resamples: int = RESAMPLES) -> list[Result]:
    """List the results of each task, by corpus if it has several: categories first, then dimensions.

    Args:
        study: read by `read_study`.
        resamples: number of draws of every bootstrap and permutation test.
    """
    results = []
    for task in study.tasks:
        first = next(iter(task.answers.values()))[0]
        corpora = sorted(first["corpus"].unique())
        for corpus in corpora:
            tables = {
                system: [table[table["corpus"] == corpus] for table in seeds] for system, seeds in task.answers.items()
            }
            results += _of_tables(task, corpus if len(corpora) > 1 else "", tables, resamples)
    return results


def _of_tables(task: Task, corpus: str, tables: Mapping[str, list[pd.DataFrame]], resamples: int) -> list[Result]:
    every = [table for seeds in tables.values() for table in seeds]
    first, names = every[0], task.recipe.data.labels.names
    results = []
    if all("probability_0" in table for table in every) and (first["truth"] >= 0).any():
        outcomes = {metric: join_predictions(tables, metric, labels=names) for metric in OF_CATEGORIES}
        results.append(Result(task, corpus, None, outcomes, 0.0, resamples))
    for name in DIMENSIONS:
        if all(name in table for table in every) and (known := first[f"true_{name}"].notna()).any():
            of_numbers = {metric: join_predictions(tables, metric, dimension=name) for metric in OF_DIMENSIONS}
            pairs = task.recipe.data.composed
            # In these pairs, valence is the rating of the sentence by people.
            rated = pairs is not None and pairs.task == "dimensions" and name == "valence"
            weak = 0.0 if rated or "weak_dimensions" not in first else float(first.loc[known, "weak_dimensions"].mean())
            results.append(Result(task, corpus, name, of_numbers, weak, resamples))
    return results
