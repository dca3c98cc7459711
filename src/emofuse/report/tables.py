"""The tables of a report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from emofuse.files import slug
from emofuse.metrics.intervals import Interval, Metric
from emofuse.metrics.ranking import win_tie_loss
from emofuse.report.behaviour import CHANGES
from emofuse.report.results import ALPHA, NAMES, Result
from emofuse.report.table import Cell, Table, count, interval, number, p_value, share

IN_PAPER: tuple[Metric, ...] = ("uar", "wa", "macro_f1", "ccc")
MOST_COLUMNS = 6
MARK = {"better": "†", "worse": "‡"}
DASH = Cell("–")
Rows = list[list[Cell]]
MARKS = (
    f"† better, ‡ worse than {{reference}} by the headline metric (UAR, CCC) after Holm's correction over all pairs of "
    f"systems, p at most {ALPHA}. Bold is the best value, which need not be better than the others."
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

    If all of IN_PAPER need more than MOST_COLUMNS, only the headline metrics are shown; the data have all.
    """
    only_headlines = sum(metric in result.outcomes for result in results for metric in IN_PAPER) > MOST_COLUMNS
    systems = list(dict.fromkeys(name for result in results for name in result.systems))
    columns, cells, data = [], [], []
    for result in results:
        winners = {name: found.better(alpha=ALPHA) for name, found in result.against(reference).items()}
        for metric in [name for name in IN_PAPER if name in result.outcomes]:
            best, values = result.best(metric), result.intervals[metric]
            verdicts = {name: "better" if winner == name else "worse" for name, winner in winners.items() if winner}
            verdicts = verdicts if metric == result.metric else {}
            if metric == result.metric or not only_headlines:
                columns.append((", ".join(filter(None, (result.task.name, result.corpus))), _measure(result, metric)))
                cells.append(
                    [
                        _value(values[name], name in best, MARK.get(verdicts.get(name, ""), ""))
                        if name in values
                        else DASH
                        for name in systems
                    ]
                )
            data += [
                {"system": name, "result": result.title, "metric": metric, **_numbers(value), "best": name in best}
                | {"against_reference": verdicts.get(name, "")}
                for name, value in values.items()
            ]
    caption = "Value over all test utterances (95 % interval over speakers and seeds). "
    caption += MARKS.format(reference=reference) if any(result.can_differ for result in results) else NO_MARKS
    return Table("results", caption, [("", "system"), *columns], _by_column(systems, cells), pd.DataFrame(data))


def metrics_table(result: Result) -> Table:
    """All metrics of one result."""
    best = {metric: result.best(metric) for metric in result.outcomes}
    cells = [[_value(value, name in best[m]) for name, value in result.intervals[m].items()] for m in result.outcomes]
    data = [
        {"system": name, "metric": metric, **_numbers(value)}
        for metric, values in result.intervals.items()
        for name, value in values.items()
    ]
    lower = next(NAMES[metric] for metric in ("ece", "mae") if metric in result.outcomes)
    caption = f"{result.title}: n {result.n}, {result.speakers} speakers; 95 % intervals; lower {lower} is better."
    columns = ["system", *(NAMES[metric] for metric in result.outcomes)]
    return _table(f"metrics-{result.slug}", caption, columns, _by_column(result.systems, cells), data)


def comparisons_table(result: Result) -> Table:
    """Every system against every other."""
    columns = ["system", "against", f"difference ({NAMES[result.metric]})", "p bootstrap", "p permutation", "p Holm"]
    columns += ["better", "detectable"]
    rows, data = [], []
    for pair in result.comparisons:
        better = pair.better(alpha=ALPHA)
        least = result.detectable(pair) if result.can_differ else np.nan
        change = Cell(number(pair.difference, sign=True), interval(pair.low, pair.high, sign=True))
        ps = {name: getattr(pair, name) for name in ("p_bootstrap", "p_permutation", "p_holm")}
        verdict = Cell(better, best=True) if better else Cell("no difference found")
        rows.append(
            [Cell(pair.a), Cell(pair.b), change, *_texts(map(p_value, ps.values())), verdict, Cell(number(least))]
        )
        data.append(
            {"system": pair.a, "against": pair.b, "metric": pair.metric, "difference": pair.difference}
            | {"low": pair.low, "high": pair.high, "standard_error": pair.standard_error}
            | ps
            | {"better": better or "", "smallest_detectable": least}
        )
    caption = f"{result.title}: {count(len(rows), 'pair')} of systems."
    if not result.can_differ:  # the last two columns would be empty
        caption, columns, rows = f"{caption} No difference can be shown.", columns[:-2], [row[:-2] for row in rows]
    return _table(f"comparisons-{result.slug}", caption, columns, rows, data, PAIRS)


def recall_table(result: Result) -> Table:
    """Recall of each class (columns) by each system."""
    columns, cells = ["system"], []
    for name, scores in result.recalls.groupby("value", sort=False):
        columns.append(f"{name} (n {scores['n'].iloc[0]})")
        cells.append(_scores(result, scores, best=scores["score"].max()))
    caption = f"{result.title}: recall of each class (95 % interval)."
    data = result.recalls.rename(columns={"value": "class"})
    return _table(f"recall-{result.slug}", caption, columns, _by_column(result.systems, cells), data)


def changes_table(result: Result) -> Table:
    """How fusion changes the predictions of the unimodal systems."""
    columns = ["unimodal", "fused", "changed", "right after the change", "wrong ones corrected", "right ones broken"]
    columns += ["corrected : broken"]
    rows, data = [], []
    for (unimodal, fused), changed in result.changed.items():
        shares = {name: getattr(changed, name) for name in ("changed", "right", "rescued", "broken")}
        ratio = f"{changed.counts['wrong to right']} : {changed.counts['right to wrong']}"
        rows.append([Cell(unimodal), Cell(fused), *map(_share, shares.values()), Cell(ratio)])
        numbers = {
            name + end: getattr(part, field)
            for name, part in shares.items()
            for end, field in (("", "value"), ("_low", "low"), ("_high", "high"))
        }
        counts = {kind.replace(" ", "_"): changed.counts[kind] for kind in CHANGES}
        data.append({"unimodal": unimodal, "fused": fused, **numbers, **counts})
    caption = f"{result.title}: predictions that fusion changes."
    return _table(f"changes-{result.slug}", caption, columns, rows, data, CHANGED)


def breakdown_table(result: Result, column: str, breakdown: pd.DataFrame) -> Table:
    """The headline metric for each value of a column, as computed by `Result.broken_down`."""
    facts = ["n", "speakers", *(["classes"] if result.dimension is None else [])]
    rows = [
        [Cell(str(value)), *_texts(scores[name].iloc[0] for name in facts), *_scores(result, scores)]
        for value, scores in breakdown.groupby("value", sort=False)
    ]
    differing = "other classes" if result.dimension is None else "another spread of the truth"
    caption = (
        f"{result.title}: {NAMES[result.metric]} by {column} (95 % interval). Not tested for differences; parts with "
        f"{differing} cannot be compared."
    )
    data = breakdown.rename(columns={"value": column})
    return _table(f"by-{slug(column)}-{result.slug}", caption, [column, *facts, *result.systems], rows, data)


def seeds_table(results: Sequence[Result]) -> Table:
    """The headline metric under each seed."""
    rows, data = [], []
    for result in results:
        for name, values in zip(result.systems, result.by_seed, strict=True):
            deviation = float(np.std(values, ddof=1)) if len(values) > 1 else np.nan
            each = "  ".join(map(number, values))
            rows.append(_texts((result.title, NAMES[result.metric], name, each, number(deviation))))
            data += [
                {"result": result.title, "metric": result.metric, "system": name, "seed": seed, "value": value}
                for seed, value in zip(result.task.seeds, values, strict=True)
            ]
    columns = ["result", "metric", "system", "value under each seed", "standard deviation"]
    caption = "Stability over seeds: the headline metric of each repetition of all folds, and its standard deviation."
    return _table("seeds", caption, columns, rows, data)


def wins_table(results: Sequence[Result]) -> Table:
    """Wins, ties and losses over all results, by system."""
    counts = win_tie_loss({result.title: result.comparisons for result in results}, alpha=ALPHA)
    total = counts.groupby("system", sort=False)[["wins", "ties", "losses"]].sum().reset_index()
    caption = (
        f"Comparisons of each system with each other one on {len(results)} results: in how many it is better (wins), "
        "not found to be different (ties) or worse (losses), by the headline metric after Holm's correction within "
        "each result. Dimensions of one corpus are not independent."
    )
    return _table("wins", caption, list(total.columns), list(map(_texts, total.to_numpy())), counts)


def cost_table(spent: pd.DataFrame) -> Table:
    """Processor time of each task and system; see `facts.spent`."""
    columns = ["task", "system", "runs", "processor time (s)", "wall time (s)"]
    rows = [_texts((r.task, r.system, r.runs, f"{r.cpu:.0f}", f"{r.wall:.0f}")) for r in spent.itertuples()]
    caption = (
        "Time of the runs. A run that systems share (the unimodal models of a late fusion) counts in each; the time of "
        "a late fusion does not include theirs."
    )
    return _table("time", caption, columns, rows, spent)


def audit_table(findings: pd.DataFrame) -> Table:
    """Findings of the audits of the splits; see `facts.audit_findings`."""
    columns = ["task", "corpus", "folds", "severity", "check", "finding", "what to do"]
    rows = [[Cell(text, best=text == "error") for text in map(str, row)] for row in findings.to_numpy()]
    caption = "Errors, warnings and notes of the audit of each split (where folds differ in numbers, of the first)."
    return _table("audit", caption, columns, rows, findings, is_text=True)


def confusion_table(result: Result) -> Table:
    """Confusion matrices side by side; the page has them as a picture."""
    shares = result.confusions
    columns = [("", "truth"), *((system, label) for system in result.systems for label in shares[system].columns)]
    rows = [
        [Cell(str(label)), *_texts(map(share, row))] for label, row in zip(shares.index, shares.to_numpy(), strict=True)
    ]
    caption = f"{result.title}: confusion matrices, shares of the true class (rows)."
    data = shares.melt(ignore_index=False, value_name="share").reset_index()  # truth, system, prediction, share
    return Table(f"confusion-{result.slug}", caption, columns, rows, data)


def plain(name: str, caption: str, data: pd.DataFrame) -> Table:
    """A data frame as a table of texts."""
    return _table(name, caption, list(map(str, data.columns)), list(map(_texts, data.to_numpy())), data, is_text=True)


def _table(
    name: str, caption: str, columns: Sequence[str], rows: Rows, data: Any, note: str = "", *, is_text: bool = False
) -> Table:
    """A table without groups of columns."""
    return Table(name, caption, [("", column) for column in columns], rows, pd.DataFrame(data), note, is_text)


def _by_column(heads: Sequence[str], columns: Sequence[Sequence[Cell]]) -> Rows:
    """Rows from columns, each with its head."""
    return [[Cell(head), *row] for head, *row in zip(heads, *columns, strict=True)]


def _texts(values: Iterable[object]) -> list[Cell]:
    return [Cell(str(value)) for value in values]


def _scores(result: Result, scores: pd.DataFrame, *, best: float = np.nan) -> list[Cell]:
    """The scores of one value of a column, in the order of the systems."""
    columns = scores.set_index("system").loc[result.systems, ["score", "low", "high"]].to_numpy(dtype=float)
    return [Cell(number(score), interval(low, high), best=bool(score == best)) for score, low, high in columns]


def _measure(result: Result, metric: Metric) -> str:
    return f"{NAMES[metric]} {result.dimension or ''}".strip()


def _value(value: Interval, best: bool, mark: str = "") -> Cell:
    return Cell(number(value.value), interval(value.low, value.high), best, mark)


def _share(value: Interval) -> Cell:
    return Cell(share(value.value), "" if np.isnan(value.low) else f"({share(value.low)} .. {share(value.high)})")


def _numbers(value: Interval) -> dict[str, float]:
    return {"value": value.value, "low": value.low, "high": value.high, "n": value.n, "speakers": value.groups}
