"""The first lines of a report: what was compared, and a short answer for each result.

A system is only called better where p is at most ALPHA after Holm's correction over all pairs of the result, so a
system that was picked for its value is compared fairly, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from emofuse.report.results import ALPHA, NAMES, Result
from emofuse.report.table import count, enumerated, number

MOST_NAMES = 4  # that a sentence lists; of more it gives the number


def compared(results: Sequence[Result], reference: str) -> str:
    """What was compared, in one line."""
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


def answer(result: Result, reference: str) -> str:
    """Which systems are best, which are beaten, and what was not told apart: a sentence or two."""
    metric = NAMES[result.metric]
    best = result.best(result.metric)
    if not best:
        return f"{metric} is undefined for every system."
    found = result.intervals[result.metric][best[0]]
    inside = "" if np.isnan(found.low) else f" (95 % {number(found.low)} .. {number(found.high)})"
    head = f"{enumerated(best)} {'has' if len(best) == 1 else 'have'} the best {metric}, {number(found.value)}{inside}"
    if not result.comparisons:
        return head + "; nothing is compared, for there is one system."
    if not result.can_differ:
        return head + ", but no difference between systems can be shown."
    return f"{head}; {_of_the_best(result, best)}{_of_the_reference(result, reference, best)}"


def _of_the_best(result: Result, best: Sequence[str]) -> str:
    against = result.against(best[0])
    who = "it" if len(best) == 1 else best[0]
    beaten = [name for name, found in against.items() if found.better(alpha=ALPHA) == best[0]]
    level = [name for name in against if name not in beaten]
    if not beaten:
        return f"{who} is not told apart from any other system."
    if not level:
        return f"{who} is better than {'every other system' if len(beaten) > 1 else beaten[0]}."
    others = len(against)
    return f"{who} is better than {_named(beaten, others)}, and not told apart from {_named(level, others)}."


def _of_the_reference(result: Result, reference: str, best: Sequence[str]) -> str:
    if reference in best or reference not in result.systems:
        return ""
    against = result.against(reference)
    winners = {name: found.better(alpha=ALPHA) for name, found in against.items()}
    sides = {
        "better": [name for name, winner in winners.items() if winner == name],
        "worse": [name for name, winner in winners.items() if winner == reference],
    }
    parts = [f"{_named(names, len(against))} {_is(names)} {side}" for side, names in sides.items() if names]
    return f" Against the reference ({reference}), {' and '.join(parts) or 'no system is told apart'}."


def _named(names: Sequence[str], others: int) -> str:
    return enumerated(names) if len(names) <= MOST_NAMES else f"{len(names)} of the {others} others"


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _range(numbers: Iterable[int], what: str) -> str:
    low, high = (ends := sorted(numbers))[0], ends[-1]
    return count(low, what) if low == high else f"{low:,} to {count(high, what)}"
