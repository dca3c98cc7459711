"""How well models hold up: the same utterances with noise, echoes, codecs, wrong words and missing halves.

The models are bundles, run as `emofuse predict` runs them: what is tested is what is used. Each utterance is predicted
as it is and at every level of every condition, by itself, without adaptation to its speaker; audio is changed, encoded
and heard anew each time. All randomness depends on seed, key and condition alone, so that levels, models and samples of
a table see the same noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from emofuse.audio import AudioError, check_samples
from emofuse.console import as_text
from emofuse.corpora.labels import DIMENSIONS
from emofuse.corpora.table import texts_of
from emofuse.errors import EmofuseError
from emofuse.evaluation.intervals import Metric, bootstrap_interval, paired_difference
from emofuse.evaluation.stress_conditions import CONDITIONS, Condition, Utterance, conditions_of
from emofuse.evaluation.stress_rows import Rows, balanced_sample
from emofuse.files import atomic, write_json, write_text
from emofuse.inference.bundle import Bundle
from emofuse.inference.network import Answer, Network

CLEAN = "clean"  # condition of the rows as they are

_Scored = tuple[Metric, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Stress:
    """What a stress test found.

    Attributes:
        scores: one row for each system, condition, level and metric: `value`, `low`, `high` (95 % interval from a
            bootstrap over speakers), `n`, `refused` (rows that the model cannot answer, such as one that has become
            silent), and `change`, `change_low`, `change_high`, `p` against the same rows as they are (paired). The
            level is NaN for the rows as they are; each condition has its own, of the rows that it applies to.
        predictions: one row for each system, condition, level and utterance: key, speaker, truth (category number, -1
            without), `true_` and predicted dimensions, `probability_0`.., confidence, uncertain; NaN where refused.
            The rows as they are have the condition "clean".
        facts: what was run, for JSON.
    """

    scores: pd.DataFrame
    predictions: pd.DataFrame
    facts: dict[str, Any]

    def save(self, folder: Path | str) -> list[Path]:
        """Write stress.csv, stress.json, stress-predictions.parquet, and a picture of each metric, stress-uar.png ..

        Raises:
            EmofuseError: the folder cannot be written.
        """
        from emofuse.evaluation.stress_plots import save_curves

        folder = Path(folder)
        table, facts, predictions = (
            folder / name for name in ("stress.csv", "stress.json", "stress-predictions.parquet")
        )
        write_text(table, self.scores.to_csv(index=False))
        scores = self.scores.astype(object).where(self.scores.notna(), None)
        write_json(facts, {**self.facts, "scores": scores.to_dict("records")})
        with atomic(predictions) as temporary:
            self.predictions.to_parquet(temporary)
        metrics = dict.fromkeys(self.scores["metric"])
        return [table, facts, predictions, *(save_curves(self.scores, m, folder / f"stress-{m}.png") for m in metrics)]


def stress(
    models: Mapping[str, Bundle],
    table: pd.DataFrame,
    *,
    conditions: Sequence[str] | None = None,
    rows: int | None = None,
    column: str = "emotion",
    seed: int = 0,
    threads: int | None = None,
) -> Stress:
    """Predict the rows of a table under each condition and level, and score every model.

    A row's text is its `human_text` where it has one, else its `text`; the condition "asr" needs both.

    Args:
        models: bundles by name.
        table: utterance table with labels, of rows that no model was trained on.
        conditions: names of `CONDITIONS`; None: all that apply to the models and the rows.
        rows: at most so many, sampled by seed, balanced over labels and then over speakers; None: all.
        column: with the categories, which the models' labels name.
        seed: of all randomness.
        threads: of the networks; None for one per core.

    Raises:
        EmofuseError: an unknown condition, one that was asked for and applies to no row, no row with a label that a
            model knows, or audio that cannot be read.
    """
    chosen = conditions_of(conditions)
    table = _labelled(table, models, column).sort_values("key").reset_index(drop=True)
    sample = balanced_sample(table, rows, column=column, seed=seed)
    systems = {name: _System(bundle, threads) for name, bundle in models.items()}
    given, categories = Rows(table, seed), texts_of(table[column])
    found: list[dict[str, Any]] = []
    for row in tqdm(sample.index, desc="stress", leave=False, disable=None):
        utterance = given.utterance(row)
        known = {name: table.at[row, name] for name in ("key", "speaker")}
        known |= {f"true_{name}": table.at[row, name] for name in DIMENSIONS}
        truth = {name: system.labels.get(categories[row] or "", -1) for name, system in systems.items()}
        for outcome in _outcomes(systems, utterance, chosen, given):
            found.append({**outcome, **known, "truth": truth[outcome["system"]]})
    if not found:
        raise EmofuseError("no row has what the models read. See that the table has audio, or text in their languages.")
    predictions = pd.DataFrame(found)
    if conditions is not None and (idle := [name for name in chosen if not (predictions["condition"] == name).any()]):
        raise EmofuseError(f"condition {idle[0]!r} applies to no row: {_needs(idle[0], chosen[idle[0]])}")
    facts = {
        "models": {
            name: {"name": bundle.name, "labels": bundle.labels, "sha256": [bundle.model_sha256]}
            for name, bundle in models.items()
        },
        "rows": len(sample),
        "of": len(table),
        "seed": seed,
        "column": column,
        "conditions": {
            name: {"axis": condition.axis, "levels": list(condition.levels)}
            for name, condition in chosen.items()
            if (predictions["condition"] == name).any()
        },
    }
    scores = score(predictions, {name: bundle.labels for name, bundle in models.items()})
    if scores.empty:
        raise EmofuseError("no condition applies to these rows and models: nothing was stressed.")
    return Stress(scores, predictions, facts)


def pooled(folds: Sequence[Stress]) -> Stress:
    """Stress tests of the same systems with the same conditions on different rows, such as folds, as one.

    Raises:
        ValueError: no fold, other systems or labels, or a row that stands in two.
    """
    labels = [{name: model["labels"] for name, model in fold.facts["models"].items()} for fold in folds]
    if not folds or any(own != labels[0] for own in labels):
        raise ValueError("expected stress tests of the same systems with the same labels")
    predictions = pd.concat([fold.predictions for fold in folds], ignore_index=True)
    facts = {**folds[0].facts, **{name: sum(fold.facts[name] for fold in folds) for name in ("rows", "of")}}
    facts["models"] = {
        name: {**model, "sha256": [one for fold in folds for one in fold.facts["models"][name]["sha256"]]}
        for name, model in facts["models"].items()
    }
    return Stress(score(predictions, labels[0]), predictions, facts)


def score(predictions: pd.DataFrame, labels: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """The `scores` of a `Stress` from its predictions; `labels` are the categories of each system.

    Raises:
        ValueError: a row stands twice.
    """
    if predictions.duplicated(["system", "condition", "level", "key"]).any():
        raise ValueError("a system has several predictions for the same row, condition and level")
    scores: list[dict[str, Any]] = []
    for system, own in predictions.groupby("system", sort=False):
        clean = own[own["condition"] == CLEAN].set_index("key", drop=False)
        names = list(labels[str(system)])
        for condition in [name for name in CONDITIONS if (own["condition"] == name).any()]:
            stressed = own[own["condition"] == condition]
            head = {"system": system, "condition": condition}
            keys = dict.fromkeys(stressed["key"])
            scores += [{**head, "level": np.nan, **one} for one in _scores(clean.loc[list(keys)], names)]
            for level, rows in stressed.groupby("level", sort=False):
                before = clean.loc[rows["key"]]
                scores += [{**head, "level": level, **one} for one in _scores(rows, names, before)]
    return pd.DataFrame(scores)


def render(scores: pd.DataFrame) -> str:
    """The headline of the scores for people: UAR, or else the first metric, of each condition, level and system."""
    from rich.table import Table

    metric = "uar" if (scores["metric"] == "uar").any() else scores["metric"].iloc[0]
    table = Table("condition", "level", "system", metric, "95 % interval", "n", "change", "95 % interval", box=None)
    for row in scores[scores["metric"] == metric].to_dict("records"):
        clean = np.isnan(row["level"])
        table.add_row(
            str(row["condition"]),
            "as it is" if clean else f"{row['level']:g}",
            str(row["system"]),
            f"{row['value']:.3f}",
            f"{row['low']:.3f} .. {row['high']:.3f}",
            str(row["n"]),
            "" if clean else f"{row['change']:+.3f}",
            "" if clean else f"{row['change_low']:+.3f} .. {row['change_high']:+.3f}",
        )
    return as_text(table, width=140)


def _scores(rows: pd.DataFrame, labels: list[str], clean: pd.DataFrame | None = None) -> Iterator[dict[str, Any]]:
    answered = (rows["confidence"].notna() | rows[list(DIMENSIONS)].notna().any(axis=1)).to_numpy()
    speakers = rows["speaker"].to_numpy()[answered]
    refused = int((~answered).sum())
    before = {} if clean is None else _measured(clean[answered], labels)
    for name, (metric, truth, found) in _measured(rows[answered], labels).items():
        classes = labels if metric in ("uar", "ece") else None
        value = bootstrap_interval(metric, truth, found, speakers, labels=classes, seed=0)
        one = {"metric": name, "value": value.value, "low": value.low, "high": value.high, "n": value.n}
        one |= {"refused": refused, "change": np.nan, "change_low": np.nan, "change_high": np.nan, "p": np.nan}
        if name in before:
            change = paired_difference(metric, truth, found, before[name][2], speakers, labels=classes, seed=0)
            one |= {"change": change.value, "change_low": change.low, "change_high": change.high, "p": change.p}
        yield one


def _measured(rows: pd.DataFrame, labels: list[str]) -> dict[str, _Scored]:
    """What there is to score: metric, truth and prediction by name. A mean is a mean absolute error from 0."""
    measured: dict[str, _Scored] = {}
    if labels and (rows["truth"] >= 0).any():
        probabilities = rows[[f"probability_{i}" for i in range(len(labels))]].to_numpy(float)
        measured["uar"] = ("uar", rows["truth"].to_numpy(), probabilities.argmax(axis=1))
        measured["ece"] = ("ece", rows["truth"].to_numpy(), probabilities)
    for name in DIMENSIONS:
        if rows[name].notna().any() and rows[f"true_{name}"].notna().any():
            measured[f"ccc_{name}"] = ("ccc", rows[f"true_{name}"].to_numpy(float), rows[name].to_numpy(float))
    for name in ("confidence", "uncertain"):
        values = rows[name].to_numpy(float)
        if len(values) and not np.isnan(values).any():
            measured[name] = ("mae", np.zeros(len(values)), values)
    return measured


def _outcomes(
    systems: Mapping[str, _System], utterance: Utterance, conditions: Mapping[str, Condition], given: Rows
) -> Iterator[dict[str, Any]]:
    """What the models say of an utterance as it is, and at every level of the conditions that concern it and them."""
    heard = {name: system.hear(utterance.samples) for name, system in systems.items()}
    clean = {name: system.answer(heard[name], utterance) for name, system in systems.items()}
    answering = {name: systems[name] for name, answer in clean.items() if answer is not None}
    for name in answering:
        yield {"system": name, "condition": CLEAN, "level": np.nan, **_columns(clean[name])}
    for condition, about in conditions.items():
        concerned = {name: one for name, one in answering.items() if one.concerned(about, utterance)}
        for level in about.levels if concerned else ():
            changed = about.change(utterance, level, given.chance(condition, utterance.key))
            for name, system in concerned.items():
                try:
                    same = changed.samples is utterance.samples
                    answer = system.answer(heard[name] if same else system.hear(changed.samples), changed)
                except AudioError:  # silent or too short now
                    answer = None
                yield {"system": name, "condition": condition, "level": level, **_columns(answer)}


def _columns(answer: Answer | None) -> dict[str, Any]:
    columns: dict[str, Any] = {"confidence": np.nan, "uncertain": np.nan, **dict.fromkeys(DIMENSIONS, np.nan)}
    if answer is None:
        return columns
    columns |= {f"probability_{i}": float(p) for i, p in enumerate(answer.probabilities)}
    columns |= dict(zip(DIMENSIONS, answer.dimensions.tolist(), strict=False))
    if len(answer.probabilities):
        columns["confidence"] = float(answer.probabilities.max())
        if answer.calibration is not None:
            columns["uncertain"] = float(columns["confidence"] < answer.calibration.uncertain_below)
    return columns


class _System:
    """A bundle that answers for one utterance at a time."""

    def __init__(self, bundle: Bundle, threads: int | None):
        self.bundle = bundle
        self.labels = {name: i for i, name in enumerate(bundle.labels)}
        self._network = Network(bundle, threads)
        self._embedding = lru_cache(maxsize=4096)(self._network.embedding)

    def concerned(self, condition: Condition, utterance: Utterance) -> bool:
        """Whether it reads what the condition changes, and the utterance has that."""
        reads = set(condition.reads) <= set(self.bundle.reads)
        return reads and condition.applies(utterance) and ("text" not in condition.reads or self._knows(utterance))

    def _knows(self, utterance: Utterance) -> bool:
        """Whether it reads the utterance's language; an unknown one it is given, too."""
        return utterance.language is None or utterance.language in self.bundle.text_languages

    def hear(self, samples: np.ndarray | None) -> np.ndarray | None:
        """Frames; None where there is nothing to hear or the model does not listen.

        Raises:
            AudioError: what `check_samples` refuses.
        """
        if samples is None or "audio" not in self.bundle.reads:
            return None
        samples = np.ascontiguousarray(samples, np.float32)
        check_samples(samples, "stressed samples")
        return self._network.frames(samples)

    def answer(self, frames: np.ndarray | None, utterance: Utterance) -> Answer | None:
        """The answer to frames and the utterance's text; None where it can do nothing with what there is."""
        text = utterance.text if "text" in self.bundle.reads and self._knows(utterance) else None
        if frames is None and not (text and self.bundle.reads_text_alone):
            return None
        return self._network.answer(frames, self._embedding(text) if text else None)


def _labelled(table: pd.DataFrame, models: Mapping[str, Bundle], column: str) -> pd.DataFrame:
    """Rows with a category or dimensions that a model can be scored on."""
    if column not in table:
        raise EmofuseError(f"the table has no column {column!r}. There are {', '.join(map(str, table.columns))}.")
    names = {name for bundle in models.values() for name in bundle.labels}
    useful = table[column].isin(names)
    if any(bundle.dimensions for bundle in models.values()):
        useful |= table[list(DIMENSIONS)].notna().any(axis=1)
    if not useful.any():
        raise EmofuseError(
            f"no row has a label to score by: {column} has none of {', '.join(sorted(names)) or 'these models'}, and "
            "no row has dimensions that a model predicts. Name the column of the categories with --column."
        )
    return table[useful]


def _needs(name: str, condition: Condition) -> str:
    if name == "asr":
        return "it needs human_text beside recognised text. Run emofuse corpus transcribe first."
    return f"it needs rows with {' and '.join(condition.reads)} and a model that reads it. Leave it out."
