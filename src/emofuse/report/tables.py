"""The tables of a report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from emofuse.files import slug
from emofuse.labels import DIMENSIONS
from emofuse.metrics.intervals import Interval, Metric
from emofuse.metrics.ranking import win_tie_loss
from emofuse.report.behaviour import CHANGES
from emofuse.report.results import ALPHA, NAMES, Result
from emofuse.report.table import Cell, Table, count, interval, number, p_value, share

IN_PAPER: tuple[Metric, ...] = ("uar", "wa", "macro_f1", "ccc")
MOST_COLUMNS = 6
BETTER, WORSE = "†", "‡"
MARKS = (
    f"{BETTER} better, {WORSE} worse than {{reference}} by the headline metric (UAR, CCC) after Holm's correction over "
    f"all pairs of systems, p at most {ALPHA}. Bold is the best value, which need not be better than the others."
)
NO_MARKS = "Bold is the best value, which need not be better: no difference between systems can be shown."
PAIRS = (
    "Paired comparisons with 95 % intervals; p Holm is the larger p after Holm's correction over all pairs. "
    f"Detectable: the smallest true difference that the first step of the correction (alpha {ALPHA} / pairs) finds "
    "with power 0.8."
)
CHANGED = (
    "How often a fused system changes the prediction of a unimodal one, and whether it is then right (predictions of "
    "all seeds; 95 % intervals over speakers)."
)


def paper_table(results: Sequence[Result], reference: str) -> Table:
    """Systems x results: the best value is bold, systems that differ from the reference are marked.

    Where all of IN_PAPER would be more than MOST_COLUMNS, only the headline metrics are shown; the data have all.
    """
    headlines = sum(metric in result.outcomes for result in results for metric in IN_PAPER) > MOST_COLUMNS
    systems = list(dict.fromkeys(name for result in results for name in result.systems))
    columns, cells, rows = [], [], []
    for result in results:
        apart = result.against(reference)
        for metric in [name for name in IN_PAPER if name in result.outcomes]:
            best = result.best(metric)
            found = result.intervals[metric]
            marks = {name: mark(apart[name].better(), name) for name in apart} if metric == result.metric else {}
            if metric == result.metric or not headlines:
                columns.append((_group(result), _measure(result, metric)))
                cells.append([_value(found.get(name), name in best, marks.get(name, "")) for name in systems])
            rows += [
                {"system": name, "result": result.title, "metric": metric, **_numbers(value), "best": name in best}
                | {"against_reference": {BETTER: "better", WORSE: "worse"}.get(marks.get(name, ""), "")}
                for name, value in found.items()
            ]
    shown = [[Cell(name), *(column[i] for column in cells)] for i, name in enumerate(systems)]
    caption = "Value over all test utterances (95 % interval over speakers and seeds). "
    caption += MARKS.format(reference=reference) if any(result.can_differ for result in results) else NO_MARKS
    return Table("results", caption, [("", "system"), *columns], shown, pd.DataFrame(rows))


def metrics_table(result: Result) -> Table:
    """All metrics of one result."""
    columns = [("", "system"), *(("", NAMES[metric]) for metric in result.outcomes)]
    best = {metric: result.best(metric) for metric in result.outcomes}
    rows = [
        [Cell(name), *(_value(result.intervals[m][name], name in best[m]) for m in result.outcomes)]
        for name in result.systems
    ]
    data = [
        {"system": name, "metric": metric, **_numbers(value)}
        for metric, found in result.intervals.items()
        for name, value in found.items()
    ]
    lower = [NAMES[m] for m in ("ece", "mae") if m in result.outcomes]
    caption = f"{result.title}: n {result.n}, {result.speakers} speakers; 95 % intervals; lower {lower[0]} is better."
    return Table(f"metrics-{result.slug}", caption, columns, rows, pd.DataFrame(data))


def comparisons_table(result: Result) -> Table:
    """Every system against every other."""
    columns = ["system", "against", f"difference ({NAMES[result.metric]})", "p bootstrap", "p permutation", "p Holm"]
    columns += ["better", "detectable"]
    rows, data = [], []
    for found in result.comparisons:
        better = found.better(alpha=ALPHA)
        least = result.detectable(found) if result.can_differ else np.nan
        ps = [Cell(p_value(p)) for p in (found.p_bootstrap, found.p_permutation, found.p_holm)]
        change = Cell(number(found.difference, sign=True), interval(found.low, found.high, sign=True))
        verdict = Cell(better, best=True) if better else Cell("no difference found")
        rows.append([Cell(found.a), Cell(found.b), change, *ps, verdict, Cell(number(least))])
        data.append(
            {"system": found.a, "against": found.b, "metric": found.metric, "difference": found.difference}
            | {"low": found.low, "high": found.high, "standard_error": found.standard_error}
            | {"p_bootstrap": found.p_bootstrap, "p_permutation": found.p_permutation, "p_holm": found.p_holm}
            | {"better": better or "", "smallest_detectable": least}
        )
    caption = f"{result.title}: {count(len(rows), 'pair')} of systems."
    if not result.can_differ:  # the last two columns would say nothing
        caption, columns, rows = f"{caption} No difference can be shown.", columns[:-2], [row[:-2] for row in rows]
    return Table(f"comparisons-{result.slug}", caption, _flat(columns), rows, pd.DataFrame(data), PAIRS)


def recall_table(result: Result) -> Table:
    """Recall of each class (columns) by each system."""
    found = result.recalls
    columns, cells = ["system"], []
    for value, own in found.groupby("value", sort=False):
        columns.append(f"{value} (n {own['n'].iloc[0]})")
        best = own["score"].max()
        scores = {r["system"]: r for r in own.to_dict("records")}
        cells.append(
            [
                Cell(number(r["score"]), interval(r["low"], r["high"]), best=r["score"] == best)
                for r in (scores[name] for name in result.systems)
            ]
        )
    rows = [[Cell(name), *own] for name, *own in zip(result.systems, *cells, strict=True)]
    caption = f"{result.title}: recall of each class (95 % interval)."
    return Table(f"recall-{result.slug}", caption, _flat(columns), rows, found.rename(columns={"value": "class"}))


def changes_table(result: Result) -> Table:
    """How fusion changes the predictions of the unimodal systems."""
    columns = ["unimodal", "fused", "changed", "right after the change", "wrong ones corrected", "right ones broken"]
    columns += ["corrected : broken"]
    rows, data = [], []
    for (one, both), found in result.changed.items():
        parts = {"changed": found.changed, "right": found.right, "rescued": found.rescued, "broken": found.broken}
        shown = [Cell(share(part.value), _shares(part.low, part.high)) for part in parts.values()]
        ratio = f"{found.counts['wrong to right']} : {found.counts['right to wrong']}"
        rows.append([Cell(one), Cell(both), *shown, Cell(ratio)])
        spreads = {
            f"{name}{end}": getattr(part, field)
            for name, part in parts.items()
            for end, field in (("", "value"), ("_low", "low"), ("_high", "high"))
        }
        counts = {kind.replace(" ", "_"): found.counts[kind] for kind in CHANGES}
        data.append({"unimodal": one, "fused": both, **spreads, **counts})
    caption = f"{result.title}: predictions that fusion changes."
    return Table(f"changes-{result.slug}", caption, _flat(columns), rows, pd.DataFrame(data), CHANGED)


def breakdown_table(result: Result, column: str, found: pd.DataFrame) -> Table:
    """The headline for each value of a column, as `Result.broken_down` found it."""
    columns = [column, "n", "speakers", *(["classes"] if result.dimension is None else []), *result.systems]
    rows = []
    for value, own in found.groupby("value", sort=False):
        scores = {r["system"]: r for r in own.to_dict("records")}
        facts = [str(own[name].iloc[0]) for name in columns[1 : -len(result.systems)]]
        cells = [Cell(number(s["score"]), interval(s["low"], s["high"])) for s in map(scores.get, result.systems) if s]
        rows.append([Cell(str(value)), *map(Cell, facts), *cells])
    caption = (
        f"{result.title}: {NAMES[result.metric]} by {column} (95 % interval). Not tested for differences; parts with "
        + ("other classes" if result.dimension is None else "another spread of the truth")
        + " do not compare."
    )
    name = f"by-{slug(column)}-{result.slug}"
    return Table(name, caption, _flat(columns), rows, found.rename(columns={"value": column}))


def seeds_table(results: Sequence[Result]) -> Table:
    """The headline under each seed."""
    rows, data = [], []
    for result in results:
        for name, values in zip(result.systems, result.by_seed, strict=True):
            spread_ = number(float(np.std(values, ddof=1))) if len(values) > 1 else "–"
            each = "  ".join(number(value) for value in values)
            rows.append([Cell(result.title), Cell(NAMES[result.metric]), Cell(name), Cell(each), Cell(spread_)])
            data += [
                {"result": result.title, "metric": result.metric, "system": name, "seed": seed, "value": value}
                for seed, value in zip(result.task.seeds, values, strict=True)
            ]
    columns = ["result", "metric", "system", "value under each seed", "standard deviation"]
    caption = "Stability over seeds: the headline metric of each repetition of all folds, and its standard deviation."
    return Table("seeds", caption, _flat(columns), rows, pd.DataFrame(data))


def wins_table(results: Sequence[Result]) -> Table:
    """Wins, ties and losses over all results, by system."""
    counts = win_tie_loss({result.title: result.comparisons for result in results}, alpha=ALPHA)
    total = counts.groupby("system", sort=False)[["wins", "ties", "losses"]].sum().reset_index()
    rows = [[Cell(str(value)) for value in row] for row in total.itertuples(index=False)]
    caption = (
        f"On how many of {len(results)} results, against each other system, a system is better (wins), not found "
        "to be different (ties) and worse (losses), by the headline metric after Holm's correction within each result. "
        "Dimensions of one corpus are not independent."
    )
    return Table("wins", caption, _flat(list(total.columns)), rows, counts)


def cost_table(spent: pd.DataFrame) -> Table:
    """Processor time of each task and system."""
    rows = [
        [Cell(r["task"]), Cell(r["system"]), Cell(str(r["runs"])), Cell(f"{r['cpu']:.0f}"), Cell(f"{r['wall']:.0f}")]
        for r in spent.to_dict("records")
    ]
    columns = ["task", "system", "runs", "processor time (s)", "wall time (s)"]
    caption = (
        "Time of the runs. A run that systems share (the unimodal models of a late fusion) counts in each; a late "
    )
    caption += "fusion's own time is without theirs."
    return Table("time", caption, _flat(columns), rows, spent)


def audit_table(findings: pd.DataFrame) -> Table:
    """Findings of the audits of the splits; see `facts.audit_findings`."""
    columns = ["task", "corpus", "folds", "severity", "check", "finding", "what to do"]
    rows = [
        [Cell(str(r[name]), best=name == "severity" and r[name] == "error") for name in findings.columns]
        for r in findings.to_dict("records")
    ]
    caption = (
        "Errors, warnings and notes of the audit of each split (one fold's wording where folds differ in numbers)."
    )
    return Table("audit", caption, _flat(columns), rows, findings, is_text=True)


def confusion_table(result: Result) -> Table:
    """Confusion matrices side by side; the page has them as a picture."""
    found = result.confusions
    columns = [("", "truth"), *((system, label) for system in result.systems for label in found[system].columns)]
    rows = [
        [Cell(str(label)), *(Cell(share(value)) for value in own)]
        for label, own in zip(found.index, found.to_numpy(), strict=True)
    ]
    caption = f"{result.title}: confusion matrices, shares of the true class (rows)."
    data = found.melt(ignore_index=False, value_name="share").reset_index()  # truth, system, prediction, share
    return Table(f"confusion-{result.slug}", caption, columns, rows, data)


def plain(name: str, caption: str, data: pd.DataFrame) -> Table:
    """A data frame as a table of texts."""
    rows = [[Cell(str(value)) for value in row] for row in data.itertuples(index=False)]
    return Table(name, caption, _flat([str(column) for column in data.columns]), rows, data, is_text=True)


def mark(better: str | None, system: str) -> str:
    """Mark of a system that was compared with the reference."""
    return "" if better is None else BETTER if better == system else WORSE


def _group(result: Result) -> str:
    return ", ".join(part for part in (result.task.name, result.corpus) if part)


def _measure(result: Result, metric: Metric) -> str:
    return f"{NAMES[metric]} {result.dimension}" if result.dimension in DIMENSIONS else NAMES[metric]


def _value(found: Interval | None, best: bool, sign: str = "") -> Cell:
    return Cell("–") if found is None else Cell(number(found.value), interval(found.low, found.high), best, sign)


def _shares(low: float, high: float) -> str:
    return "" if np.isnan(low) or np.isnan(high) else f"({share(low)} .. {share(high)})"


def _numbers(found: Interval) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high, "n": found.n, "speakers": found.groups}


def _flat(names: Sequence[str]) -> list[tuple[str, str]]:
    return [("", name) for name in names]
