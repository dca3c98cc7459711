"""Stress tests: how well models predict utterances with noise, echoes, codecs, wrong words or a missing modality.

`stress` runs bundles as `emofuse predict` does, so that what is tested is what is used. Each utterance is predicted as
it is and at every level of every condition, without adaptation to its speaker. Randomness depends only on the seed, the
utterance's key and the condition, so that levels, models and samples of a table get the same noise.
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
from emofuse.stress.rows import Rows, balanced_sample, rows_of_runs
from emofuse.stress.scores import CLEAN, score_predictions
from emofuse.stress.systems import BundleSystem, System, is_run, open_bundles, system_names


@dataclass(frozen=True)
class Stress:
    """Result of a stress test.

    Attributes:
        scores: one row for each system, condition, level and metric: `value`, `low`, `high` (95 % interval from a
            bootstrap over speakers), `n`, `refused` (number of rows that the model cannot predict, for example because
            they have become silent), and `change`, `change_low`, `change_high`, `p` from the same rows unchanged
            (paired). Rows with level NaN are the scores of the unchanged rows to which the condition applies.
        predictions: one row for each system, condition, level and utterance: key, corpus, speaker, truth (category
            number, -1 if missing), `true_` and predicted dimensions, `probability_0`.., confidence, uncertain; NaN
            where refused. Unchanged rows have the condition "clean".
        facts: models, rows, conditions and seed, for JSON.
    """

    scores: pd.DataFrame
    predictions: pd.DataFrame
    facts: dict[str, Any]

    def save(self, folder: Path | str) -> list[Path]:
        """Write stress.csv, stress.json, stress-predictions.parquet and a picture of each metric (stress-uar.png ..).

        Raises:
            EmofuseError: the folder cannot be written.
        """
        from emofuse.stress.plots import save_curves

        names = ("stress.csv", "stress.json", "stress-predictions.parquet")
        table, facts, predictions = (Path(folder) / name for name in names)
        write_text(table, self.scores.to_csv(index=False))
        scores = self.scores.astype(object).where(self.scores.notna(), None)
        write_json(facts, {**self.facts, "scores": scores.to_dict("records")})
        with atomic(predictions) as temporary:
            self.predictions.to_parquet(temporary)
        metrics = dict.fromkeys(self.scores["metric"])
        return [
            table,
            facts,
            predictions,
            *(save_curves(self.scores, m, Path(folder) / f"stress-{m}.png") for m in metrics),
        ]


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

    The text of a row is its `human_text` if it has one, else its `text`; the condition "asr" needs both.

    Args:
        models: bundles by name.
        table: utterance table with labels; no model may have been trained on its rows.
        conditions: names in `CONDITIONS`; None: all that apply to the models and the rows.
        rows: maximal number of rows, sampled by `balanced_sample`; None: all.
        column: column of the categories, with values among the labels of the models.
        seed: of all randomness.
        threads: of each network.

    Raises:
        EmofuseError: a condition is unknown, or was asked for and applies to no row; no row has a label that a model
            predicts; or audio cannot be read.
    """
    selected = conditions_of(conditions)
    systems = {name: BundleSystem(bundle, threads) for name, bundle in models.items()}
    table = _labelled(table, systems, column)
    sample = balanced_sample(table, rows, column=column, seed=seed)
    predictions = predict_conditions(systems, table, set(sample["key"]), conditions=selected, column=column, seed=seed)
    if predictions.empty:
        raise EmofuseError(
            "The models can read no row of the table. Check that it has audio, or text in a language of the models."
        )
    used = {name: one for name, one in selected.items() if (predictions["condition"] == name).any()}
    if conditions is not None and (unused := [name for name in selected if name not in used]):
        raise EmofuseError(f"Condition {unused[0]!r} applies to no row: {_needs(unused[0], selected[unused[0]])}")
    if not used:
        raise EmofuseError("No condition applies to these rows and models, so nothing was tested.")
    facts = {
        "models": {
            name: {"name": bundle.name, "labels": bundle.labels, "sha256": [bundle.model_sha256]}
            for name, bundle in models.items()
        },
        "rows": len(sample),
        "of": len(table),
        "seed": seed,
        "column": column,
        "conditions": {name: {"axis": one.axis, "levels": list(one.levels)} for name, one in used.items()},
    }
    scores = score_predictions(predictions, {name: bundle.labels for name, bundle in models.items()})
    return Stress(scores, predictions, facts)


def stress_runs(
    models: Sequence[Path],
    data: Path | None = None,
    *,
    conditions: Sequence[str] | None = None,
    rows: int | None = None,
    seed: int = 0,
) -> Stress:
    """Stress runs on their test rows, and pool the folds: each row is predicted by the run that tests on it.

    Args:
        models: run folders, or folders of `emofuse train --folds`, all with the same number of folds. A row that
            several folds test counts in the first.
        data: folder that relative corpus roots start from.
        conditions: as for `stress`, as is `seed`.
        rows: maximal number of rows of each fold.
        seed: of all randomness.

    Raises:
        EmofuseError: a folder is not a run, a run was trained on its test rows, the runs of a fold have different test
            rows, or as `stress`.
    """
    from emofuse.data.rows import LABEL

    systems = {name: _runs_of(folder) for name, folder in zip(system_names(models), models, strict=True)}
    if len({len(runs) for runs in systems.values()}) > 1:
        counts = ", ".join(f"{name} {len(runs)}" for name, runs in systems.items())
        raise EmofuseError(f"The models have different numbers of folds ({counts}). Stress them one by one.")
    folds: list[Stress] = []
    tested: set[str] = set()
    for runs in zip(*systems.values(), strict=True):
        table = rows_of_runs(runs, data)
        table = table[~table["key"].isin(tested)]
        tested |= set(table["key"])
        with open_bundles(runs) as bundles:
            named = dict(zip(systems, bundles.values(), strict=True))
            folds.append(stress(named, table, conditions=conditions, rows=rows, column=LABEL, seed=seed))
    return pool_folds(folds)


def predict_conditions(
    systems: Mapping[str, System],
    table: pd.DataFrame,
    keys: Collection[str],
    *,
    conditions: Mapping[str, Condition],
    column: str,
    seed: int,
) -> pd.DataFrame:
    """The `predictions` of a `Stress`: rows with these keys as they are and under each condition.

    Conditions that do not apply to a row and a system are skipped. The other rows of the table lend voices and words;
    `column` is that of the categories.

    Raises:
        EmofuseError: audio cannot be read; the message names the utterance.
    """
    table = table.sort_values("key").reset_index(drop=True)
    utterances, categories = Rows(table, seed), texts_of(table[column])
    numbers = {name: {label: i for i, label in enumerate(system.labels)} for name, system in systems.items()}
    predictions: list[dict[str, Any]] = []
    for row in tqdm(np.flatnonzero(table["key"].isin(keys)), desc="stress", leave=False, disable=None):
        utterance = utterances.utterance(row)
        facts = {name: table.at[row, name] for name in ("key", "corpus", "speaker")}
        facts |= {f"true_{name}": table.at[row, name] for name in DIMENSIONS}
        for one in _predict_utterance(systems, utterance, conditions, utterances):
            predictions.append({**one, **facts, "truth": numbers[one["system"]].get(categories[row] or "", -1)})
    return pd.DataFrame(predictions)


def pool_folds(folds: Sequence[Stress]) -> Stress:
    """Pool stress tests of the same systems and conditions on different rows, such as those of folds.

    Raises:
        ValueError: there is no fold, the systems or labels differ, or a row is in two folds.
    """
    labels = [{name: model["labels"] for name, model in fold.facts["models"].items()} for fold in folds]
    if not folds or any(own != labels[0] for own in labels):
        raise ValueError("expected stress tests of the same systems with the same labels")
    predictions = pd.concat([fold.predictions for fold in folds], ignore_index=True)
    facts = {**folds[0].facts, **{name: sum(fold.facts[name] for fold in folds) for name in ("rows", "of")}}
    facts["models"] = {
        name: {**model, "sha256": [sha for fold in folds for sha in fold.facts["models"][name]["sha256"]]}
        for name, model in facts["models"].items()
    }
    return Stress(score_predictions(predictions, labels[0]), predictions, facts)


def render_table(scores: pd.DataFrame) -> str:
    """Render the main metric (UAR, or else the first) of each condition, level and system as text."""
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


def _runs_of(folder: Path) -> list[Path]:
    """The folder if it is a run, or the runs of its folds."""
    if folds := sorted(folder.glob("fold-*"), key=lambda path: int(path.name.removeprefix("fold-"))):
        return folds
    if is_run(folder):
        return [folder]
    raise EmofuseError(
        f"{folder} is not a run, and a bundle does not say which rows it was tested on. Name a table of rows that it "
        "was not trained on with --table, and with --split for the test part of one."
    )


def _predict_utterance(
    systems: Mapping[str, System], utterance: Utterance, conditions: Mapping[str, Condition], rows: Rows
) -> Iterator[dict[str, Any]]:
    """Predict an utterance as it is and at every level of the conditions that apply to it and each system."""
    applying = {
        system: [name for name, condition in conditions.items() if _applies(condition, model, utterance)]
        for system, model in systems.items()
    }
    changed = {
        (name, level): condition.change(utterance, level, rows.generator(name, utterance.key))
        for name, condition in conditions.items()
        if any(name in names for names in applying.values())
        for level in condition.levels
    }
    for system, model in systems.items():
        versions = {(CLEAN, np.nan): utterance} | {at: one for at, one in changed.items() if at[0] in applying[system]}
        answers = model.predict(list(versions.values()))
        if answers[0] is None:
            continue  # the model cannot predict the unchanged utterance
        for (condition, level), answer in zip(versions, answers, strict=True):
            yield {"system": system, "condition": condition, "level": level, **_columns(answer)}


def _applies(condition: Condition, system: System, utterance: Utterance) -> bool:
    """Return True if the system reads what the condition changes, and the utterance has it."""
    reads = set(condition.reads) <= set(system.reads)
    reads_language = "text" not in condition.reads or system.reads_language_of(utterance)
    return reads and reads_language and condition.applies(utterance)


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
    """Rows with a category or with dimensions that a model predicts."""
    if column not in table:
        raise EmofuseError(f"The table has no column {column!r}. Its columns are {', '.join(map(str, table.columns))}.")
    names = {name for system in systems.values() for name in system.labels}
    labelled = table[column].isin(names)
    if any(len(system.dimensions) for system in systems.values()):
        labelled |= table[list(DIMENSIONS)].notna().any(axis=1)
    if not labelled.any():
        raise EmofuseError(
            f"No row has a label that the models predict. Categories in column {column!r} should be among "
            f"{', '.join(sorted(names)) or 'none'}. Name the column of the categories with --column."
        )
    return table[labelled]


def _needs(name: str, condition: Condition) -> str:
    if name == "asr":
        return "it needs both human_text and recognised text. Run emofuse corpus transcribe first."
    return f"it needs rows with {' and '.join(condition.reads)}, and a model that reads them. Leave it out."
