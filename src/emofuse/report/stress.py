"""The part of a report on stress: what noise, echo, codecs, wrong words and missing halves cost each system."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emofuse.errors import EmofuseError
from emofuse.files import read_json
from emofuse.metrics.intervals import Metric
from emofuse.metrics.scores import LOWER_IS_BETTER
from emofuse.metrics.significance import holm
from emofuse.report import page, plots
from emofuse.report.results import ALPHA, NAMES, Result
from emofuse.report.summary import FEW_SPEAKERS
from emofuse.report.table import Cell, Table, number
from emofuse.stress.conditions import CONDITIONS
from emofuse.stress.scores import score
from emofuse.study.folder import StudyFolder, Task, complete
from emofuse.study.stress import FACTS_FILE, FOLDER

RESAMPLES = 2000  # at most, of each bootstrap: there are some hundred of them

# What sentences tell of: of words and of voices each the first that was tried.
_TOLD = (
    (("wer", 0.4, "At a word error rate of 0.4"), ("other_text", 1.0, "With the text of another utterance")),
    (
        ("babble", 10.0, "In babble at an SNR of 10 dB"),
        ("pink_noise", 10.0, "In pink noise at an SNR of 10 dB"),
        ("white_noise", 10.0, "In white noise at an SNR of 10 dB"),
        ("reverberation", 0.6, "In a room with an RT60 of 0.6 s"),
        ("telephone", 1.0, "Over a telephone line"),
    ),
)


def section(
    study: StudyFolder, results: Sequence[Result], put: Callable[[Table], str], *, resamples: int = RESAMPLES
) -> str:
    """HTML of the part; empty where the study was not stressed.

    Args:
        study: as read.
        results: of the study; those of stressed tasks are told.
        put: keeps a table and gives its HTML.
        resamples: of every bootstrap; at most `RESAMPLES` are drawn.

    Raises:
        EmofuseError: predictions cannot be read.
    """
    path = study.folder / FOLDER / FACTS_FILE
    if not path.exists():
        return ""
    facts = read_json(path)
    draws = min(resamples, RESAMPLES)
    parts = [page.listed(_method(facts, draws))]
    for task in study.tasks:
        predictions, notes = read_predictions(path.parent, facts, task)
        parts.append(page.limits(f"{task.name}: {note}" for note in notes))
        for result in results if len(predictions) else ():
            if result.task.name == task.name:
                parts += _of_result(result, scores_of(result, predictions, resamples=draws), put)
    return "\n".join(part for part in parts if part)


def read_predictions(folder: Path, facts: dict[str, Any], task: Task) -> tuple[pd.DataFrame, list[str]]:
    """Predictions under stress of the systems of a task, and what is missing of them.

    As in the report at large, seeds and folds count that all systems have, and an utterance in its first fold only.

    Args:
        folder: of the stress test.
        facts: contents of its stress.json.
        task: as far as it is finished.

    Raises:
        EmofuseError: a file is absent or broken.
    """
    tables = [
        _read(folder / entry["file"]).assign(fold=entry["fold"])
        for entry in sorted(facts["folds"], key=lambda entry: int(entry["fold"]))
        if entry["task"] == task.name and entry["fold"] in task.folds
    ]
    if not tables:
        return pd.DataFrame(), ["was not stressed."]
    found = pd.concat(tables, ignore_index=True)
    found = found[found["system"].isin(list(task.fusions)) & found["seed"].isin(task.seeds)]
    there = [system for system in task.fusions if (found["system"] == system).any()]
    runs = found[["system", "seed", "fold"]].drop_duplicates().itertuples(index=False, name=None)
    seeds, folds = complete(set(runs), there)
    notes = [f"{system} was not stressed." for system in task.fusions if system not in there]
    for what, counted, expected in (("seed", seeds, task.seeds), ("fold", folds, task.folds)):
        if lacking := sorted(set(expected) - set(counted)):
            notes.append(f"{what} {', '.join(map(str, lacking))} was not stressed, or not with all systems.")
    found = found[found["seed"].isin(seeds) & found["fold"].isin(folds)]
    first = found.groupby("key")["fold"].transform("min")
    return found[found["fold"] == first].reset_index(drop=True), notes


def scores_of(result: Result, predictions: pd.DataFrame, *, resamples: int) -> pd.DataFrame:
    """Scores under stress of what a result is on; metrics have the names that the result has.

    Returns:
        As `emofuse.stress.sweep.Stress.scores`, systems in the order of the result.
    """
    own = predictions[predictions["corpus"] == result.corpus] if result.corpus else predictions
    wanted = ("uar", "ece") if result.dimension is None else (f"ccc_{result.dimension}",)
    names = result.task.recipe.data.labels.names if result.dimension is None else []
    own = pd.concat([own[own["system"] == system] for system in result.systems], ignore_index=True)
    scores = score(own, dict.fromkeys(result.systems, names), metrics=wanted, resamples=resamples)
    return scores.replace({"metric": {f"ccc_{result.dimension}": "ccc"}}) if len(scores) else scores


def sentences(result: Result, scores: pd.DataFrame) -> list[str]:
    """What wrong words and noise change in the headline metric.

    A change is told where p is at most ALPHA after Holm's correction over all that these sentences name.
    """
    if result.speakers < FEW_SPEAKERS:
        return [f"Of {result.speakers} speakers intervals say too little to tell of a change under stress."]
    own = scores[(scores["metric"] == result.metric) & scores["p"].notna()]
    told: list[tuple[str, pd.DataFrame]] = []
    for group in _TOLD:
        tried = [(where, own[(own["condition"] == name) & (own["level"] == level)]) for name, level, where in group]
        told += [(where, rows) for where, rows in tried if len(rows)][:1]
    if not told:
        return []
    corrected = iter(holm(np.concatenate([rows["p"] for _, rows in told])))
    return [_sentence(where, [{**r, "p": next(corrected)} for r in rows.to_dict("records")]) for where, rows in told]


def _sentence(where: str, rows: list[dict[Any, Any]]) -> str:
    metric = NAMES[rows[0]["metric"]]
    changed: dict[str, list[str]] = {"falls": [], "rises": []}
    unclear = []
    for row in rows:
        change, ends = row["change"], sorted((abs(row["change_low"]), abs(row["change_high"])))
        if row["p"] <= ALPHA and row["change_low"] * row["change_high"] >= 0 and change != 0:
            inside = f"{number(abs(change))} ({number(ends[0])} .. {number(ends[1])})"
            changed["falls" if change < 0 else "rises"].append(f"{inside} with {row['system']}")
        else:
            signed = [number(value, sign=True) for value in (change, row["change_low"], row["change_high"])]
            unclear.append(f"{row['system']} ({signed[0]}, {signed[1]} .. {signed[2]})")
    parts = [f"{metric} {verb} by {' and '.join(found)}" for verb, found in changed.items() if found]
    if unclear:
        parts.append(f"no change of {metric} was found with {', '.join(unclear)}, which is no sign that there is none")
    return f"{where} ({_n(pd.Series([row['n'] for row in rows]))} utterances): {'; '.join(parts)}."


def stress_table(result: Result, scores: pd.DataFrame, metric: Metric) -> Table:
    """A metric of each system under each condition and level; changes from the same rows as they are."""
    own = scores[scores["metric"] == metric]
    systems = [name for name in result.systems if (own["system"] == name).any()]
    rows = []
    for condition in [name for name in CONDITIONS if (own["condition"] == name).any()]:
        there = own[own["condition"] == condition]
        for level in [np.nan, *CONDITIONS[condition].levels]:
            at = there[there["level"].isna() if np.isnan(level) else there["level"] == level]
            if len(at):
                by_system = {row["system"]: row for row in at.to_dict("records")}
                cells = [_cell(by_system[name]) if name in by_system else Cell("–") for name in systems]
                rows.append(
                    [Cell(condition.replace("_", " ")), Cell(_level(condition, level)), Cell(_n(at["n"])), *cells]
                )
    caption = (
        f"{result.title}: {NAMES[metric]} under stress. Rows as they are with the 95 % interval; else the change from "
        f"those same rows with its 95 % interval, not corrected for several comparisons."
        + (f" Lower {NAMES[metric]} is better." if metric in LOWER_IS_BETTER else "")
    )
    columns = [("", name) for name in ("condition", "level", "n", *systems)]
    return Table(
        f"stress-{metric}-{result.slug}", caption, columns, rows, own.drop(columns="metric").assign(metric=metric)
    )


def _cell(row: dict[Any, Any]) -> Cell:
    if np.isnan(row["level"]):
        inside = "" if np.isnan(row["low"]) else f"({number(row['low'])} .. {number(row['high'])})"
        return Cell(number(row["value"]), inside)
    change = number(row["change"], sign=True)
    if np.isnan(row["change_low"]):
        return Cell(number(row["value"]), change)
    ends = [number(row[name], sign=True) for name in ("change_low", "change_high")]
    return Cell(number(row["value"]), f"{change} ({ends[0]} .. {ends[1]})")


def _level(condition: str, level: float) -> str:
    if np.isnan(level):
        return "as they are"
    return f"{level:g}".replace("-", "−") if len(CONDITIONS[condition].levels) > 1 else "changed"


def _n(counts: pd.Series) -> str:
    low, high = counts.min(), counts.max()
    return str(low) if low == high else f"{low} to {high}"


def _of_result(result: Result, scores: pd.DataFrame, put: Callable[[Table], str]) -> list[str]:
    if scores.empty:
        return []
    parts = [page.heading(result.title), page.listed(sentences(result, scores))]
    for metric in [name for name in result.outcomes if (scores["metric"] == name).any()]:
        caption = f"{result.title}: {NAMES[metric]} under stress; dashed: the same rows as they are."
        parts.append(page.picture(plots.stressed(result, scores[scores["metric"] == metric], metric), caption))
        parts.append(put(stress_table(result, scores, metric)))
    return parts


def _method(facts: dict[str, Any], draws: int) -> list[str]:
    return [
        f"At most {facts['rows']} test utterances of each fold, balanced over the labels, each as it is and changed in "
        "one way at a time; all systems and seeds meet the same noise and the same errors. While the sound is changed, "
        "the words stay right.",
        "A value is the mean over seeds of the metric over all folds; intervals are 95 % intervals of "
        f"{draws:,} bootstrap draws of speakers and seeds. Pictures and tables are not corrected for several "
        f"comparisons; a sentence tells a change where p is at most {ALPHA} after Holm's correction over all that the "
        "sentences on a result name. Whether one system changes more than another is not tested.",
    ]


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise EmofuseError(f"{path}: cannot be read ({error}). Remove it and call emofuse study --stress.") from error
    texts = table.select_dtypes("category").columns
    return table.astype(dict.fromkeys(texts, object))
