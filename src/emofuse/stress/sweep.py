"""How well models hold up: the same utterances with noise, echoes, codecs, wrong words and missing halves.

`stress` runs bundles as `emofuse predict` does: what is tested is what is used. `answers_of` is its core, for runs too
(`emofuse.study.stress`). Each utterance is predicted as it is and at every level of every condition, without adaptation
to its speaker. All randomness depends on seed, key and condition alone, so that levels, models and samples of a
table see the same noise.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from emofuse.console import as_text
from emofuse.corpora.table import texts_of
from emofuse.errors import EmofuseError
from emofuse.files import atomic, write_json, write_text
from emofuse.inference.bundle import Bundle
from emofuse.inference.network import Answer
from emofuse.labels import DIMENSIONS
from emofuse.stress.conditions import Condition, Utterance, conditions_of
from emofuse.stress.rows import Rows, balanced_sample
from emofuse.stress.scores import CLEAN, score
from emofuse.stress.systems import BundleSystem, System


@dataclass(frozen=True)
class Stress:
    """What a stress test found.

    Attributes:
        scores: one row for each system, condition, level and metric: `value`, `low`, `high` (95 % interval from a
            bootstrap over speakers), `n`, `refused` (rows that the model cannot answer, such as one that has become
            silent), and `change`, `change_low`, `change_high`, `p` against the same rows as they are (paired). The
            level is NaN for the rows as they are; each condition has its own, of the rows that it applies to.
        predictions: one row for each system, condition, level and utterance: key, corpus, speaker, truth (category
            number, -1 without), `true_` and predicted dimensions, `probability_0`.., confidence, uncertain; NaN where
            refused. The rows as they are have the condition "clean".
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
        from emofuse.stress.plots import save_curves

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
    threads: int = 1,
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
        threads: of each network.

    Raises:
        EmofuseError: an unknown condition, one that was asked for and applies to no row, no row with a label that a
            model knows, or audio that cannot be read.
    """
    chosen = conditions_of(conditions)
    systems = {name: BundleSystem(bundle, threads) for name, bundle in models.items()}
    table = _labelled(table, systems, column)
    sample = balanced_sample(table, rows, column=column, seed=seed)
    predictions = answers_of(systems, table, set(sample["key"]), conditions=chosen, column=column, seed=seed)
    if predictions.empty:
        raise EmofuseError("no row has what the models read. See that the table has audio, or text in their languages.")
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


def answers_of(
    systems: Mapping[str, System],
    table: pd.DataFrame,
    keys: Collection[str],
    *,
    conditions: Mapping[str, Condition],
    column: str,
    seed: int,
) -> pd.DataFrame:
    """The `predictions` of a `Stress`: what systems say of rows as they are and under each condition.

    Args:
        systems: by name.
        table: utterance table; its other rows lend voices and words.
        keys: of the rows to stress.
        conditions: by name; those that apply to a row and a system are tried.
        column: with the categories, which the systems' labels name.
        seed: of all randomness.

    Raises:
        EmofuseError: audio that cannot be read; names the utterance.
    """
    table = table.sort_values("key").reset_index(drop=True)
    given, categories = Rows(table, seed), texts_of(table[column])
    numbers = {name: {label: i for i, label in enumerate(system.labels)} for name, system in systems.items()}
    chosen = [row for row, key in enumerate(table["key"]) if key in keys]
    found: list[dict[str, Any]] = []
    for row in tqdm(chosen, desc="stress", leave=False, disable=None):
        utterance = given.utterance(row)
        known = {name: table.at[row, name] for name in ("key", "corpus", "speaker")}
        known |= {f"true_{name}": table.at[row, name] for name in DIMENSIONS}
        for outcome in _outcomes(systems, utterance, conditions, given):
            found.append({**outcome, **known, "truth": numbers[outcome["system"]].get(categories[row] or "", -1)})
    return pd.DataFrame(found)


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


def _outcomes(
    systems: Mapping[str, System], utterance: Utterance, conditions: Mapping[str, Condition], given: Rows
) -> Iterator[dict[str, Any]]:
    """What the systems say of an utterance as it is, and at every level of the conditions that concern it and them."""
    concerned = {
        name: [c for c in conditions if _concerns(conditions[c], one, utterance)] for name, one in systems.items()
    }
    changed = {
        (name, level): about.change(utterance, level, given.chance(name, utterance.key))
        for name, about in conditions.items()
        if any(name in own for own in concerned.values())
        for level in about.levels
    }
    for name, system in systems.items():
        own = {(CLEAN, np.nan): utterance} | {at: one for at, one in changed.items() if at[0] in concerned[name]}
        answers = system.answers(list(own.values()))
        if answers[0] is None:
            continue  # it can do nothing with what there is, changed or not
        for (condition, level), answer in zip(own, answers, strict=True):
            yield {"system": name, "condition": condition, "level": level, **_columns(answer)}


def _concerns(condition: Condition, system: System, utterance: Utterance) -> bool:
    """Whether the system reads what the condition changes, and the utterance has that."""
    reads = set(condition.reads) <= set(system.reads)
    return reads and condition.applies(utterance) and ("text" not in condition.reads or system.knows(utterance))


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


def _labelled(table: pd.DataFrame, systems: Mapping[str, System], column: str) -> pd.DataFrame:
    """Rows with a category or dimensions that a model can be scored on."""
    if column not in table:
        raise EmofuseError(f"the table has no column {column!r}. There are {', '.join(map(str, table.columns))}.")
    names = {name for system in systems.values() for name in system.labels}
    useful = table[column].isin(names)
    if any(len(system.dimensions) for system in systems.values()):
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
