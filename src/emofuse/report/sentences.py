"""Sentences on the results and limits of a study, from its statistics; differences have three templates.

A system is called better only if p is at most ALPHA after Holm's correction over all pairs of the result, so that the
best system, which was selected by its value, is compared fairly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from emofuse.metrics.ranking import average_ranks
from emofuse.metrics.scores import LOWER_IS_BETTER
from emofuse.metrics.significance import Comparison
from emofuse.report.results import ALPHA, NAMES, Result
from emofuse.report.table import count, enumerated, number, p_value, share, span, spread
from emofuse.study.folder import StudyFolder

BETTER = "{a} is better than {b} in {metric} ({figures})."
NOT_FOUND = "No difference in {metric} was found between {a} and {others}. This does not show that they are equal."
NOT_COMPARABLE = "{what} cannot be compared: {reason}."

FEW_SPEAKERS = 5
MOST_PAIRS = 6  # pairs without the reference that get a sentence; the table has all
MOST_NAMES = 4  # the summary lists so many names; if there are more, it gives their number


class Difference(NamedTuple):
    """A difference a - b of a metric, higher is better, with its 95 % interval.

    Attributes:
        a: first term, in words.
        b: second term, in words.
        value: difference.
        low: lower end of the interval.
        high: upper end.
        n: number of utterances.
        p: after Holm's correction; NaN if nothing was tested.
        differs: True if the caller's test or interval shows a difference.
    """

    a: str
    b: str
    value: float
    low: float
    high: float
    n: int
    p: float
    differs: bool

    @property
    def turned(self) -> Difference:
        """The difference b - a."""
        return self._replace(a=self.b, b=self.a, value=-self.value, low=-self.high, high=-self.low)

    @property
    def figures(self) -> str:
        """Difference, interval, Holm's p and n."""
        value, low, high = (number(end, sign=True) for end in (self.value, self.low, self.high))
        interval = "" if np.isnan(self.low) else f", 95 % interval {low} .. {high}"
        p = "" if np.isnan(self.p) else f", Holm p {p_value(self.p)}"
        return f"{value}{interval}{p}, n {self.n}"


def contrast(differences: Iterable[Difference], metric: str, *, could_detect: str = "") -> list[str]:
    """Write a sentence for each difference that was found, and one for each `a` on all that were not found.

    `could_detect` is added to sentences on differences that were not found.
    """
    sentences, not_found = [], dict[str, list[Difference]]()
    for difference in differences:
        if difference.differs:
            winner = difference if difference.value > 0 else difference.turned
            sentences.append(BETTER.format(a=winner.a, b=winner.b, metric=metric, figures=winner.figures))
        else:
            not_found.setdefault(difference.a, []).append(difference.turned)
    for a, turned in not_found.items():
        others = enumerated([f"{difference.a} ({difference.figures})" for difference in turned]) + could_detect
        sentences.append(NOT_FOUND.format(a=a, others=others, metric=metric))
    return sentences


def compared(results: Sequence[Result], reference: str) -> str:
    """One sentence on what the study compares: systems, tasks, utterances, speakers, folds, seeds."""
    tasks = list({result.task.name: result.task for result in results}.values())
    pairs = " of composed pairs" if all(task.composed for task in tasks) else ""
    systems = dict.fromkeys(name for result in results for name in result.systems)
    parts = [
        f"{count(len(systems), 'system')} on {count(len(tasks), 'task')}{pairs} ({', '.join(t.name for t in tasks)})",
        _range((result.n for result in results), "test utterance"),
        _range((result.speakers for result in results), "speaker"),
        _range((len(task.folds) for task in tasks), "test fold"),
        _range((len(task.seeds) for task in tasks), "seed"),
    ]
    return ", ".join(parts) + (f"; the reference is {reference}." if len(systems) > 1 else ".")


def headline(result: Result, reference: str) -> str:
    """Sentences on the best system, and on how it and the reference compare with the others."""
    metric = NAMES[result.metric]
    best = result.best(result.metric)
    if not best:
        return f"{metric} is undefined for every system."
    top = result.intervals[result.metric][best[0]]
    text = f"Best {metric}: {enumerated(best)}, {spread(top.value, top.low, top.high)}, n {top.n}."
    if not result.can_differ:  # `limits` says why
        return text
    text += f" {best[0]}: {_verdicts(result, best[0])}."
    if reference in result.systems and reference not in best:
        text += f" {reference} (reference): {_verdicts(result, reference)}."
    return text


def details(result: Result, reference: str) -> list[str]:
    """Sentences on one result: systems at chance, differences, what fusion changes."""
    return [*_chance(result), *_differences(result, reference), *_changed(result)]


def limits_of_study(study: StudyFolder, results: Sequence[Result], findings: pd.DataFrame) -> list[str]:
    """Sentences on the limits of the study, each with the results that it holds for unless it holds for all."""
    sentences = []
    if study.facts["quick"]:
        sentences.append("This is the quick version of the study. It shows that everything runs; it is not a result.")
    holds: dict[str, list[Result]] = {}
    for result in results:
        for limit in limits(result):
            holds.setdefault(limit, []).append(result)
    sentences += [_where(limited, results) + limit for limit, limited in holds.items()]
    sentences += study.missing
    for severity, meaning in (
        ("error", "the results do not measure what they claim to measure"),
        ("warning", "keep it in mind when reading the results"),
    ):
        checks = dict.fromkeys(findings.loc[findings["severity"] == severity, "check"])
        if checks:
            sentences.append(
                f"The audit of the splits has {count(len(checks), severity)} ({meaning}): {', '.join(checks)}."
            )
    return sentences


def limits(result: Result) -> list[str]:
    """Sentences on the limits of one result."""
    sentences = []
    if result.task.composed:
        sentences.append(
            "The utterances are composed: real clips are paired with real sentences that were not spoken in them. The "
            "result is about fusion, not about natural speech."
        )
    elif result.task.recipe.data.composed is not None:
        sentences.append("Part of the training data are composed pairs; the test utterances are real.")
    if result.weak:
        sentences.append(
            f"{share(result.weak)} of the targets are weak: prototypes of the category, not human ratings."
        )
    if len(result.task.seeds) == 1:
        sentences.append("There is one seed: intervals and p hold for the trained models; another training may differ.")
    if result.speakers <= FEW_SPEAKERS:
        sentences.append(f"There are only {result.speakers} speakers: intervals over them are too narrow.")
    if reason := _not_comparable(result):
        sentences.append(NOT_COMPARABLE.format(what="Systems", reason=reason))
    return sentences


def ranks(results: Sequence[Result]) -> list[str]:
    """Sentence on average ranks over corpora, with Friedman's test, from the first result of each set of corpora."""
    first: dict[tuple[str, ...], Result] = {}
    for result in results:
        readers = sorted(corpus.reader for corpus in result.task.recipe.data.corpora)
        first.setdefault((result.corpus,) if result.corpus else tuple(readers), result)
    values = {r.title: {name: i.value for name, i in r.intervals[r.metric].items()} for r in first.values()}
    lower = [r.title for r in first.values() if r.metric in LOWER_IS_BETTER]
    ranking = average_ranks(values, lower_is_better=lower, alpha=ALPHA)
    if np.isnan(ranking.p):
        return []
    listed = ", ".join(f"{name} {rank:.2f}" for name, rank in ranking.ranks.items())
    text = f"Average ranks over {ranking.tasks} corpora (1 is best): {listed}. Friedman's p is {p_value(ranking.p)}"
    if ranking.p > ALPHA:
        return [f"{text}: no difference between the systems was found."]
    return [f"{text}; two systems differ if their ranks are {ranking.critical_difference:.2f} apart."]


def _not_comparable(result: Result) -> str:
    """Why systems cannot be compared on a result; empty if they can."""
    if not result.comparisons:
        return "there is one system"
    if result.can_differ:
        return ""
    pairs = count(len(result.comparisons), "comparison")
    if result.speakers_are_few:
        return f"too few speakers ({result.speakers}) for {pairs}; add test folds or compare fewer systems"
    return f"too few resamples ({result.resamples}) for {pairs}"


def _verdicts(result: Result, system: str) -> str:
    """The other systems, sorted by how one system compares with them."""
    against = result.against(system)
    winners = {name: comparison.better(alpha=ALPHA) for name, comparison in against.items()}
    groups = {
        "better than": [name for name, winner in winners.items() if winner == system],
        "worse than": [name for name, winner in winners.items() if winner == name],
        "no difference found from": [name for name, winner in winners.items() if winner is None],
    }
    return "; ".join(
        f"{verdict} {', '.join(names) if len(names) <= MOST_NAMES else f'{len(names)} of the {len(against)} others'}"
        for verdict, names in groups.items()
        if names
    )


def _where(limited: Sequence[Result], results: Sequence[Result]) -> str:
    """Names of the tasks that a limit holds for, or of results if it does not hold for a whole task."""
    if len(limited) == len(results):
        return ""
    names: dict[str, None] = {}
    for result in limited:
        is_whole = all(other in limited for other in results if other.task is result.task)
        names[result.task.name if is_whole else result.title] = None
    return f"{'; '.join(names)}: "


def _chance(result: Result) -> list[str]:
    floor, name = (0.0, "0") if result.chance is None else (result.chance, f"chance ({number(result.chance)})")
    intervals = result.intervals[result.metric]
    low = [system for system, interval in intervals.items() if interval.low <= floor]
    return [f"Not above {name}, by the 95 % interval: {enumerated(low)}."] if low else []


def _differences(result: Result, reference: str) -> list[str]:
    if not result.can_differ:
        return []
    metric = NAMES[result.metric]
    against = result.against(reference)
    same = [name for name, c in against.items() if c.difference == c.standard_error == 0]
    sentences = [f"{enumerated([reference, *same])} have identical scores."] if same else []
    rest = {name: comparison for name, comparison in against.items() if name not in same}
    pairs = [_difference(result, comparison, first=reference) for comparison in rest.values()]
    sentences += contrast(pairs, metric, could_detect=_could_detect(result, rest))
    others = [comparison for comparison in result.comparisons if reference not in (comparison.a, comparison.b)]
    different = [_difference(result, c) for c in others if c.better(alpha=ALPHA)]
    if others:
        sentences.append(f"Without the reference, {len(different)} of {count(len(others), 'pair')} of systems differ.")
        different.sort(key=lambda difference: -abs(difference.value))
        sentences += contrast(different[:MOST_PAIRS], metric)
        if len(different) > MOST_PAIRS:
            sentences.append(f"The table of comparisons has {len(different) - MOST_PAIRS} more.")
    return sentences


def _difference(result: Result, comparison: Comparison, *, first: str = "") -> Difference:
    """A comparison for `contrast`; with `first` as its `a`."""
    differs = comparison.better(alpha=ALPHA) is not None
    ends = comparison.difference, comparison.low, comparison.high
    difference = Difference(comparison.a, comparison.b, *ends, result.n, comparison.p_holm, differs)
    return difference.turned if comparison.b == first else difference


def _could_detect(result: Result, against: Mapping[str, Comparison]) -> str:
    least = [result.detectable(c) for c in against.values() if not c.better(alpha=ALPHA)]
    if not least or np.isnan(least).any():
        return ""
    size = span(number(min(least)), number(max(least)))
    return f"; the study could have detected a difference of {size} (power 0.8)"


def _changed(result: Result) -> list[str]:
    """Sentence on how the best fused system changes the predictions of the best unimodal one."""
    if result.dimension is not None or not result.changed:
        return []
    values = {name: interval.value for name, interval in result.intervals[result.metric].items()}
    unimodal, fused = (max(names, key=values.__getitem__) for names in (result.task.unimodal, result.task.fused))
    changed = result.changed[unimodal, fused]
    right = spread(changed.right.value, changed.right.low, changed.right.high)
    return [
        f"{fused} (best fused system) changes {share(changed.changed.value)} of the predictions of {unimodal} (best "
        f"unimodal system): {count(changed.counts['wrong to right'], 'prediction')} from wrong to right, "
        f"{changed.counts['right to wrong']} from right to wrong; share of the changed ones that are right: {right}."
    ]


def _range(numbers: Iterable[int], noun: str) -> str:
    values = sorted(numbers)
    most = count(values[-1], noun)
    return most if values[0] == values[-1] else f"{values[0]:,} to {most}"
