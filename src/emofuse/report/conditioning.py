"""The part of a report on conditioning: how far words move the map of each stage, and what hangs on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from emofuse.metrics.conditioning import ALL, effects
from emofuse.report import page, plots
from emofuse.report.measured import Measured, read_measured
from emofuse.report.results import NAMES, SEED, Result
from emofuse.report.table import Cell, Table, enumerated, number, share
from emofuse.study.folder import StudyFolder


@dataclass(frozen=True, eq=False)
class Effects:
    """What was found on one result.

    Attributes:
        result: where it belongs.
        table: one row a system and stage, as of `metrics.conditioning.effects`, with system, norm and by_words
            (means over utterances and seeds; NaN for all stages).
        seeds: under which it was measured.
        folds: on which.
    """

    result: Result
    table: pd.DataFrame
    seeds: Sequence[int]
    folds: Sequence[int]


def section(study: StudyFolder, results: Sequence[Result], put: Callable[[Table], str]) -> str:
    """HTML on all results that were measured; empty where none was.

    Args:
        study: as read.
        results: of it.
        put: saves a table and gives its HTML.
    """
    measured = {task.name: read_measured(study, task) for task in study.tasks}
    parts = []
    for result in results:
        if (own := measured[result.task.name]) is not None and len((found := found_on(result, own)).table):
            metric = NAMES[result.metric]
            caption = (
                f"{result.title}: what conditioning does at each stage. Left: how large what it changes is beside the "
                f"map; middle: the same for what depends on the words; right: {metric} that is lost when the words are "
                "taken from that stage alone (95 % interval), or from all."
            )
            parts += [page.heading(result.title), page.listed(sentences(found))]
            parts += [page.picture(plots.conditioning(found.table, metric, result.slug), caption), put(table(found))]
    return "\n".join(parts)


def found_on(result: Result, measured: Measured) -> Effects:
    """Norms and effects at each stage, on the utterances of the result that have audio and text.

    Args:
        result: its truth, speakers and headline metric count.
        measured: on its task.
    """
    whole = result.headline.where(result.headline.known)
    at = pd.Series(np.arange(len(whole.keys)), index=whole.keys)
    tables = []
    for system, seeds in measured.tables.items():
        seeds = [own[own["key"].isin(at.index)].drop_duplicates(["key", "off"]) for own in seeds]
        if not len(seeds[0]):
            continue
        wide = [own.pivot(index="key", columns="off", values=result.dimension or "answer") for own in seeds]
        keys = wide[0].index
        answers = {str(off): np.stack([own.loc[keys, off].to_numpy() for own in wide]) for off in wide[0].columns}
        effect = effects(replace(whole.where(at[keys]), predictions=answers), resamples=result.resamples, seed=SEED)
        norms = pd.concat(seeds).groupby("off")[["norm", "by_words"]].mean()
        tables.append(effect.join(norms, on="stage").assign(system=system))
    return Effects(result, pd.concat(tables) if tables else pd.DataFrame(), measured.seeds, measured.folds)


def table(found: Effects) -> Table:
    """Norms and effects of each stage of each system."""
    result = found.result
    metric = NAMES[result.metric]
    of_classes = result.dimension is None
    columns = ["system", "words taken from", "map changed by", "by the words"]
    columns += ["answers changed" if of_classes else "mean change of the answer", f"{metric} then"]
    rows = []
    for row in found.table.to_dict("records"):
        changed = share(row["changed"]) if of_classes else number(row["changed"])
        texts = (row["system"], _stage(row["stage"]), share(row["norm"]), share(row["by_words"]), changed)
        change = Cell(number(row["difference"], sign=True), _interval(row, "({} .. {})"))
        rows.append([*map(Cell, texts), Cell(number(row["without"])), change])
    caption = (
        f"{result.title}: conditioning on test utterances with voice and words ({_listed('seed', found.seeds)}, "
        f"{_listed('fold', found.folds)}). Map changed by: norm of what the operator changes, in percent of the norm "
        "of the map that it acts on, mean over utterances. By the words: the same for what differs from utterance to "
        "utterance, without what the operator does whatever is said. Words taken from a stage: its operator gets the "
        "mean of what it reads from all utterances. Intervals are 95 %, over speakers and seeds, not corrected for "
        "several."
    )
    heads = [("", name) for name in (*columns, f"change of {metric}")]
    return Table(f"conditioning-{result.slug}", caption, heads, rows, found.table)


def sentences(found: Effects) -> list[str]:
    """What the figures say, and no more."""
    metric = NAMES[found.result.metric]
    values = found.result.intervals[found.result.metric]
    stages: dict[str, list[dict[Any, Any]]] = {}
    for row in found.table.to_dict("records"):
        stages.setdefault(row["system"], []).append(row)
    best = max(stages, key=lambda name: values[name].value)
    single = [row for row in stages[best] if row["stage"] != ALL]
    worst = min(single, key=lambda row: row["difference"])
    most = ", the one that matters most" if len(single) > 1 else ""
    said = [
        f"{best} is the conditioned system with the best {metric}. Its operators change the maps by "
        f"{_range([row['norm'] for row in single])} of their norm; what depends on the words is "
        f"{_range([row['by_words'] for row in single])} of their norm.",
        f"Without the words at {_stage(worst['stage'])}{most}, its {metric} changes by {_change(worst)}"
        + "".join(f"; without them at all stages, by {_change(row)}" for row in stages[best] if row["stage"] == ALL)
        + ".",
    ]
    idle = [name for name, rows in stages.items() if not any(row["high"] < 0 for row in rows if row["stage"] != ALL)]
    if idle and len(stages) > 1:
        where = "any conditioned system" if len(idle) == len(stages) else enumerated(idle)
        said.append(f"No loss by taking the words from one stage alone was found in {where} (95 % intervals).")
    return said


def _change(row: dict[Any, Any]) -> str:
    return number(row["difference"], sign=True) + _interval(row, " (95 % {} .. {})")


def _interval(row: dict[Any, Any], form: str) -> str:
    ends = row["low"], row["high"]
    return "" if np.isnan(ends).any() else form.format(*(number(end, sign=True) for end in ends))


def _range(values: Sequence[float]) -> str:
    low, high = share(min(values)), share(max(values))
    return low if low == high else f"{low.removesuffix(' %')} to {high}"


def _listed(what: str, numbers: Sequence[int]) -> str:
    return f"{what}{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def _stage(name: str) -> str:
    return {ALL: "all stages", "pooled": "the pooled map", "embedding": "the clip embedding"}.get(name, f"stage {name}")
