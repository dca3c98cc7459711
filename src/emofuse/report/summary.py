"""What a study found in detail, and what limits it, in plain sentences made from its statistics.

A difference is only said where its p is at most ALPHA after Holm's correction; else what the study could have seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from emofuse.metrics.ranking import average_ranks
from emofuse.metrics.scores import LOWER_IS_BETTER
from emofuse.metrics.significance import Comparison
from emofuse.report.results import ALPHA, NAMES, Result
from emofuse.report.table import count, enumerated, number, p_value, share, spread
from emofuse.study.folder import StudyFolder

FEW_SPEAKERS = 5
MOST_PAIRS = 6  # that are told; the table has all


def of_result(result: Result, reference: str) -> list[str]:
    """Sentences on one result: what is no better than chance, differences, what fusion changes."""
    return [*_chance(result), *_differences(result, reference), *_changed(result)]


def of_study(study: StudyFolder, results: Sequence[Result], findings: pd.DataFrame) -> list[str]:
    """What limits the study: each sentence once, with the results that it holds for unless it holds for all."""
    said = []
    if study.facts["quick"]:
        said.append("This is the quick version of the study: it shows that everything runs, and is no result.")
    holds: dict[str, list[Result]] = {}
    for result in results:
        for limit in limits(result):
            holds.setdefault(limit, []).append(result)
    said += [_where(own, results) + limit for limit, own in holds.items()]
    said += study.missing
    for severity, meaning in (
        ("error", "results are no measure of what they claim to be"),
        ("warning", "results are to be read with it in mind"),
    ):
        checks = dict.fromkeys(findings.loc[findings["severity"] == severity, "check"])
        if checks:
            said.append(f"The audit of the splits has {count(len(checks), severity)} ({meaning}): {', '.join(checks)}.")
    return said


def limits(result: Result) -> list[str]:
    """What one must know before believing a result."""
    said = []
    if result.task.composed:
        said.append(
            "The utterances are composed: real clips beside real sentences that were not spoken in them. The result is "
            "on fusing, and not on natural speech."
        )
    elif result.task.recipe.data.composed is not None:
        said.append("Part of the training data are composed pairs; the test utterances are real.")
    if result.weak:
        said.append(
            f"{share(result.weak)} of the targets are weak: prototypes of the category, no human ratings of the "
            "utterance."
        )
    if len(result.task.seeds) == 1:
        said.append(
            "There is one seed: intervals and p are for the models that were trained, and another training may come "
            "out otherwise."
        )
    if result.speakers <= FEW_SPEAKERS:
        said.append(f"There are only {result.speakers} speakers: intervals over them are too narrow.")
    if result.comparisons and not result.can_differ:
        compared = count(len(result.comparisons), "comparison")
        said.append(
            f"With {count(result.speakers, 'speaker')} and {compared} no difference between systems can be shown here, "
            "however large it is; the values only describe these data. More speakers (test folds) or fewer systems "
            "would be needed."
            if result.speakers_are_few
            else f"With {count(result.resamples, 'resample')} and {compared} no difference can be shown."
        )
    return said


def ranks(results: Sequence[Result]) -> list[str]:
    """Average ranks over results on different corpora: one of each set of corpora, for others are no samples of it."""
    first: dict[tuple[str, ...], Result] = {}
    for result in results:
        corpora = (
            (result.corpus,) if result.corpus else tuple(sorted(c.reader for c in result.task.recipe.data.corpora))
        )
        first.setdefault(corpora, result)
    values = {r.title: {name: i.value for name, i in r.intervals[r.metric].items()} for r in first.values()}
    lower = [r.title for r in first.values() if r.metric in LOWER_IS_BETTER]
    found = average_ranks(values, lower_is_better=lower, alpha=ALPHA)
    if np.isnan(found.p):
        return []
    listed = ", ".join(f"{name} {rank:.2f}" for name, rank in found.ranks.items())
    said = f"Average ranks over {found.tasks} corpora (1 is best): {listed}. "
    if found.p > ALPHA:
        return [said + f"Friedman's test does not tell the systems apart (p {p_value(found.p)})."]
    return [
        said + f"Friedman's test says that they are not all alike (p {p_value(found.p)}); two differ whose ranks are "
        f"{found.critical_difference:.2f} apart."
    ]


def _where(own: Sequence[Result], results: Sequence[Result]) -> str:
    """What precedes a sentence that holds for some of the results: tasks, or results where it is not all of a task."""
    if len(own) == len(results):
        return ""
    names: dict[str, None] = {}
    for result in own:
        whole = all(other in own for other in results if other.task is result.task)
        names[result.task.name if whole else result.title] = None
    return f"{'; '.join(names)}: "


def _chance(result: Result) -> list[str]:
    found = result.intervals[result.metric]
    floor, name = (0.0, "0") if result.chance is None else (result.chance, f"chance ({number(result.chance)})")
    low = [system for system, own in found.items() if not np.isnan(own.low) and own.low <= floor]
    return [f"Not above {name}, by the 95 % interval: {enumerated(low)}."] if low else []


def _differences(result: Result, reference: str) -> list[str]:
    if not result.can_differ:
        return []
    against = result.against(reference)
    said = [_better(found) for found in against.values() if found.better(alpha=ALPHA)]
    said += _not_found(result, reference, {name: c for name, c in against.items() if not c.better(alpha=ALPHA)})
    others = [found for found in result.comparisons if reference not in (found.a, found.b)]
    apart = sorted((c for c in others if c.better(alpha=ALPHA)), key=lambda c: -abs(c.difference))
    if others:
        compared = f"Of the {count(len(others), 'pair')} of the other systems" if against else "Of the pairs"
        said.append(f"{compared}, {len(apart)} {'differs' if len(apart) == 1 else 'differ'}" + (":" if apart else "."))
        said += [_better(found) for found in apart[:MOST_PAIRS]]
        if len(apart) > MOST_PAIRS:
            said.append(f"The table of comparisons has {len(apart) - MOST_PAIRS} more.")
    return said


def _better(found: Comparison) -> str:
    winner = found.better(alpha=ALPHA)
    other = found.b if winner == found.a else found.a
    size = sorted((abs(found.low), abs(found.high)))
    if found.low * found.high < 0:  # p and the percentile interval may disagree at the edge
        size[0] = -size[0]
    inside = f"{100 * found.level:.0f} % {number(size[0])} .. {number(size[1])}"
    return (
        f"{winner} is better than {other} by {number(abs(found.difference))} {NAMES[found.metric]} "
        f"({inside}, Holm p {p_value(found.p_holm)})."
    )


def _not_found(result: Result, reference: str, against: dict[str, Comparison]) -> list[str]:
    alike = [name for name, found in against.items() if found.difference == found.standard_error == 0]
    said = (
        [f"{enumerated(alike)} {'has' if len(alike) == 1 else 'have'} the very values of {reference}."] if alike else []
    )
    against = {name: found for name, found in against.items() if name not in alike}
    if not against:
        return said
    told = [f"{name} ({spread(*_from_reference(c, reference), sign=True)})" for name, c in against.items()]
    found = f"No difference was found between {reference} and {enumerated(told)}"
    least = [result.detectable(comparison) for comparison in against.values()]
    if not np.isnan(least).any():
        low, high = number(min(least)), number(max(least))
        seen = low if low == high else f"{low} to {high}, depending on the system"
        found += f"; this study could have seen a difference of {seen} (power 0.8)"
    return [*said, found + ". That is no sign that they are equal."]


def _from_reference(found: Comparison, reference: str) -> tuple[float, float, float]:
    """The other system's value minus the reference's, with its interval."""
    if found.b == reference:
        return found.difference, found.low, found.high
    return -found.difference, -found.high, -found.low


def _changed(result: Result) -> list[str]:
    if result.dimension is not None or not result.changed:
        return []
    values = {name: found.value for name, found in result.intervals[result.metric].items()}
    one, both = max(result.task.unimodal, key=values.__getitem__), max(result.task.fused, key=values.__getitem__)
    found = result.changed[one, both]
    if not found.changed.value > 0:
        return [f"{both} never answers otherwise than {one}."]
    right, spoilt = found.counts["wrong to right"], found.counts["right to wrong"]
    inside = "" if np.isnan(found.right.low) else f" ({share(found.right.low)} .. {share(found.right.high)})"
    return [
        f"The fused system with the best value, {both}, answers otherwise than the best of one modality, {one}, in "
        f"{share(found.changed.value)} of the cases, and is then right in {share(found.right.value)}"
        f"{inside}: it puts {count(right, 'wrong answer')} right and spoils {count(spoilt, 'right one')}."
    ]
