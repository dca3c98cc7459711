"""Stress in a report: the loss of each system by noise, echo, codecs, wrong words and missing modalities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emofuse.errors import EmofuseError
from emofuse.files import read_json
from emofuse.metrics.intervals import Metric
from emofuse.metrics.scores import LOWER_IS_BETTER
from emofuse.metrics.significance import holm
from emofuse.report import plots
from emofuse.report.results import ALPHA, NAMES, Result
from emofuse.report.sentences import FEW_SPEAKERS, NOT_COMPARABLE, Difference, contrast
from emofuse.report.table import Cell, Table, interval, number, span, spread
from emofuse.stress.conditions import CONDITIONS
from emofuse.stress.scores import score_predictions
from emofuse.study.folder import StudyFolder, Task, complete
from emofuse.study.stress import FACTS_FILE, FOLDER

RESAMPLES = 2000  # at most, because there are hundreds of bootstraps

# Conditions that sentences mention: of each group the first that was tested.
_MENTIONED = (
    (("wer", 0.4, "at a word error rate of 0.4"), ("other_text", 1.0, "with the text of another utterance")),
    (
        ("babble", 10.0, "in babble at an SNR of 10 dB"),
        ("pink_noise", 10.0, "in pink noise at an SNR of 10 dB"),
        ("white_noise", 10.0, "in white noise at an SNR of 10 dB"),
        ("reverberation", 0.6, "in a room with an RT60 of 0.6 s"),
        ("telephone", 1.0, "over a telephone line"),
    ),
)


@dataclass(frozen=True, eq=False)
class StressedResult:
    """A result under stress, with scores as `scores_of` computes them."""

    result: Result
    scores: pd.DataFrame

    @property
    def metrics(self) -> list[Metric]:
        """Metrics with scores, in the order of the result."""
        return [name for name in self.result.outcomes if (self.scores["metric"] == name).any()]

    @property
    def sentences(self) -> list[str]:
        """Sentences on the loss by degraded text and audio, with Holm's correction over all that they mention."""
        result, metric = self.result, NAMES[self.result.metric]
        if result.speakers < FEW_SPEAKERS:  # `stress_of` says so
            return []
        scores = self.scores[(self.scores["metric"] == result.metric) & self.scores["p"].notna()]
        rows = []
        for group in _MENTIONED:
            for condition, level, phrase in group:
                if found := scores[(scores["condition"] == condition) & (scores["level"] == level)].to_dict("records"):
                    rows += [(phrase, row) for row in found]
                    break
        corrected = holm(np.array([row["p"] for _, row in rows])) if rows else np.array([])
        differences = [
            Difference(
                f"{row['system']} {phrase}",
                f"{row['system']} on clean input",
                *(row["change"], row["change_low"], row["change_high"], int(row["n"]), float(p)),
                differs=bool(p <= ALPHA and row["change_low"] * row["change_high"] >= 0 and row["change"] != 0),
            ).turned
            for (phrase, row), p in zip(rows, corrected, strict=True)
        ]
        return contrast(differences, metric)

    def picture(self, metric: Metric) -> str:
        """SVG of a metric under each condition."""
        return plots.stressed(self.result, self.scores[self.scores["metric"] == metric], metric)

    def table(self, metric: Metric) -> Table:
        """Metric of each system under each condition and level, with the change from the same utterances when clean."""
        result = self.result
        scores = self.scores[self.scores["metric"] == metric]
        systems = [name for name in result.systems if (scores["system"] == name).any()]
        rows = []
        for condition in CONDITIONS:
            for level in (np.nan, *CONDITIONS[condition].levels):
                is_level = scores["level"].isna() if np.isnan(level) else scores["level"] == level
                at = scores[(scores["condition"] == condition) & is_level]
                if len(at):
                    by_system = {row["system"]: _cell(row) for row in at.to_dict("records")}
                    n = span(str(at["n"].min()), str(at["n"].max()))
                    texts = (condition.replace("_", " "), _level(condition, level), n)
                    rows.append([*map(Cell, texts), *(by_system.get(name, Cell("–")) for name in systems)])
        caption = (
            f"{result.title}: {NAMES[metric]} under stress. Clean utterances with the 95 % interval; else the change "
            "from the same utterances when clean with its 95 % interval, not corrected for multiple comparisons."
            + (f" Lower {NAMES[metric]} is better." if metric in LOWER_IS_BETTER else "")
        )
        columns = [("", name) for name in ("condition", "level", "n", *systems)]
        data = scores.drop(columns="metric").assign(metric=metric)
        return Table(f"stress-{metric}-{result.slug}", caption, columns, rows, data)


@dataclass(frozen=True, eq=False)
class Stress:
    """The stress test of a study.

    Attributes:
        method: sentences on the protocol.
        missing: sentences on what was not stressed or cannot be compared.
        parts: results under stress.
    """

    method: list[str]
    missing: list[str]
    parts: list[StressedResult]


def stress_of(study: StudyFolder, results: Sequence[Result], *, resamples: int = RESAMPLES) -> Stress | None:
    """Read and score the stress test of a study; None if there was none. Bootstraps draw at most `RESAMPLES`.

    Raises:
        EmofuseError: predictions cannot be read.
    """
    path = study.folder / FOLDER / FACTS_FILE
    if not path.exists():
        return None
    facts = read_json(path)
    draws = min(resamples, RESAMPLES)
    missing, parts = [], []
    for task in study.tasks:
        predictions, notes = read_predictions(path.parent, facts, task)
        missing += [f"{task.name}: {note}" for note in notes]
        for result in results if len(predictions) else ():
            if result.task.name == task.name:
                scores = scores_of(result, predictions, resamples=draws)
                parts += [StressedResult(result, scores)] if len(scores) else []
    if few := [part.result for part in parts if part.result.speakers < FEW_SPEAKERS]:
        where = "" if len(few) == len(parts) else f" of {', '.join(result.title for result in few)}"
        reason = f"too few speakers ({', '.join(map(str, sorted({result.speakers for result in few})))})"
        missing.append(NOT_COMPARABLE.format(what=f"Clean and degraded input{where}", reason=reason))
    method = [
        f"At most {facts['rows']} test utterances of each fold, balanced over the labels, each clean and degraded in "
        "one way at a time; all systems and seeds get the same noise and the same errors. Degraded audio comes with "
        "the right text.",
        f"A value is the mean over seeds of the metric over all folds, with a 95 % interval of {draws:,} bootstrap "
        "draws of speakers and seeds. Pictures and tables are not corrected for multiple comparisons; in the sentences "
        "p is corrected over all changes that those on a result name. Whether one system changes more than another is "
        "not tested.",
    ]
    return Stress(method, missing, parts)


def read_predictions(folder: Path, facts: dict[str, Any], task: Task) -> tuple[pd.DataFrame, list[str]]:
    """Read the predictions under stress of the systems of a task, and list what is missing.

    As in the rest of the report, seeds and folds count that all systems have, and an utterance in its first fold.
    `facts` are the contents of the folder's stress.json.

    Raises:
        EmofuseError: a file is missing or broken.
    """
    tables = [
        _read(folder / entry["file"]).assign(fold=entry["fold"])
        for entry in sorted(facts["folds"], key=lambda entry: int(entry["fold"]))
        if entry["task"] == task.name and entry["fold"] in task.folds
    ]
    if not tables:
        return pd.DataFrame(), ["was not stressed."]
    table = pd.concat(tables, ignore_index=True)
    table = table[table["system"].isin(list(task.fusions)) & table["seed"].isin(task.seeds)]
    stressed = [system for system in task.fusions if (table["system"] == system).any()]
    runs = table[["system", "seed", "fold"]].drop_duplicates().itertuples(index=False, name=None)
    seeds, folds = complete(set(runs), stressed)
    notes = [f"{system} was not stressed." for system in task.fusions if system not in stressed]
    for what, counted, expected in (("seed", seeds, task.seeds), ("fold", folds, task.folds)):
        if missing := sorted(set(expected) - set(counted)):
            notes.append(f"{what} {', '.join(map(str, missing))} was not stressed with all systems.")
    table = table[table["seed"].isin(seeds) & table["fold"].isin(folds)]
    first = table.groupby("key")["fold"].transform("min")
    return table[table["fold"] == first].reset_index(drop=True), notes


def scores_of(result: Result, predictions: pd.DataFrame, *, resamples: int) -> pd.DataFrame:
    """Scores under stress, as `emofuse.stress.sweep.Stress.scores`; metrics have the names of the result."""
    rows = predictions[predictions["corpus"] == result.corpus] if result.corpus else predictions
    wanted = ("uar", "ece") if result.dimension is None else (f"ccc_{result.dimension}",)
    names = result.task.recipe.data.labels.names if result.dimension is None else []
    rows = pd.concat([rows[rows["system"] == system] for system in result.systems], ignore_index=True)
    scores = score_predictions(rows, dict.fromkeys(result.systems, names), metrics=wanted, resamples=resamples)
    return scores.replace({"metric": {f"ccc_{result.dimension}": "ccc"}}) if len(scores) else scores


def _cell(row: dict[Any, Any]) -> Cell:
    if np.isnan(row["level"]):
        return Cell(number(row["value"]), interval(row["low"], row["high"]))
    return Cell(number(row["value"]), spread(row["change"], row["change_low"], row["change_high"], sign=True))


def _level(condition: str, level: float) -> str:
    if np.isnan(level):
        return "clean"
    return f"{level:g}".replace("-", "−") if len(CONDITIONS[condition].levels) > 1 else "degraded"


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise EmofuseError(
            f"{path}: cannot be read ({error}). Remove it and call emofuse study --stress again."
        ) from error
    texts = table.select_dtypes("category").columns
    return table.astype(dict.fromkeys(texts, object))
