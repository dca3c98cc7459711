"""Conditioning in a report: change of the map at each stage, and loss of each system without text at that stage.

The runs of a study are measured with their weights (ablation: the operator of one stage, or of all, gets the mean of
its inputs); the measurements are stored in the study's folder, `conditioning/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from emofuse.config import ModelConfig, Recipe, TrainingConfig, load_recipe
from emofuse.errors import EmofuseError
from emofuse.explanation.conditioning import ALL, WHOLE, effects
from emofuse.files import atomic, hash_of, sha256
from emofuse.labels import DIMENSIONS
from emofuse.report.results import NAMES, SEED, Result
from emofuse.report.sentences import Difference, contrast
from emofuse.report.table import Cell, Table, interval, number, share, span
from emofuse.study.folder import StudyFolder, Task, complete

CONDITIONED = ("multistage", "single_stage", "single_stage_additive")
_VERSION = 1  # of the measurements
_TOLERANCE = 0.01  # share of predictions, or a value, that another number of threads may change


class Measured(NamedTuple):
    """Measurements of a task, for the seeds and folds that were measured for all its conditioned systems.

    Each conditioned system has one table for each seed, as `explanation.conditioning.measure` makes them.
    """

    seeds: list[int]
    folds: list[int]
    tables: dict[str, list[pd.DataFrame]]


@dataclass(frozen=True, eq=False)
class Effects:
    """Effects of conditioning on one result, in the runs of these seeds and folds.

    Attributes:
        table: one row for each system and stage, as of `explanation.conditioning.effects`, with system, norm and
            by_words (means over utterances and seeds; NaN for all stages).
    """

    result: Result
    table: pd.DataFrame
    seeds: Sequence[int]
    folds: Sequence[int]

    @property
    def sentences(self) -> list[str]:
        """Sentences on the norms of the best conditioned system, and on the loss of each system without text."""
        rows = self.table.to_dict("records")
        values = self.result.intervals[self.result.metric]
        best = max((row["system"] for row in rows), key=lambda name: values[name].value)
        stages = [row for row in rows if row["system"] == best and row["stage"] != ALL]
        norm, by_text = (_range([row[name] for row in stages]) for name in ("norm", "by_words"))
        differences = [
            Difference(
                f"{row['system']} without text at {_stage(row['stage'])}",
                row["system"],
                *(row["difference"], row["low"], row["high"], int(row["n"]), np.nan),
                differs=bool(row["low"] * row["high"] > 0),
            ).turned
            for row in rows
        ]
        return [
            f"{best} (best conditioned system): operators change the maps by {norm} of their norm; the part that "
            f"depends on the text is {by_text} of their norm.",
            *contrast(differences, NAMES[self.result.metric]),
        ]

    def as_table(self) -> Table:
        """Norms and effects of each stage of each system."""
        result, metric = self.result, NAMES[self.result.metric]
        of_classes = result.dimension is None
        columns = ["system", "text removed from", "change of the map", "part by the text"]
        columns += ["predictions changed" if of_classes else "mean change of the prediction"]
        columns += [f"{metric} without text", f"change of {metric}"]
        rows = []
        for row in self.table.to_dict("records"):
            changed = share(row["changed"]) if of_classes else number(row["changed"])
            texts = (row["system"], _stage(row["stage"]), share(row["norm"]), share(row["by_words"]), changed)
            change = Cell(number(row["difference"], sign=True), interval(row["low"], row["high"], sign=True))
            rows.append([*map(Cell, texts), Cell(number(row["without"])), change])
        caption = (
            f"{result.title}: conditioning on test utterances with audio and text ({_listed('seed', self.seeds)}, "
            f"{_listed('fold', self.folds)}). Change of the map: norm of what the operator changes, in percent of the "
            "norm of the map that it acts on, mean over utterances. Part by the text: the same for what differs from "
            "utterance to utterance. Text removed from a stage: its operator gets the mean of its inputs over all "
            "utterances. Intervals are 95 %, over speakers and seeds, not corrected for multiple comparisons."
        )
        return Table(f"conditioning-{result.slug}", caption, [("", name) for name in columns], rows, self.table)


def effects_of(study: StudyFolder, results: Sequence[Result]) -> list[Effects]:
    """Compute the effects on all results whose runs were measured."""
    measured = {task.name: read_measured(study, task) for task in study.tasks}
    effects = [effects_on(r, of_task) for r in results if (of_task := measured[r.task.name]) is not None]
    return [one for one in effects if len(one.table)]


def effects_on(result: Result, measured: Measured) -> Effects:
    """Compute norms and effects at each stage, on the utterances of the result that have audio and text."""
    whole = result.headline.where(result.headline.known)
    at = pd.Series(np.arange(len(whole.keys)), index=whole.keys)
    tables = []
    for system, seeds in measured.tables.items():
        seeds = [table[table["key"].isin(at.index)].drop_duplicates(["key", "off"]) for table in seeds]
        if not len(seeds[0]):
            continue
        wide = [table.pivot(index="key", columns="off", values=result.dimension or "answer") for table in seeds]
        keys = wide[0].index
        answers = {str(off): np.stack([table.loc[keys, off].to_numpy() for table in wide]) for off in wide[0].columns}
        effect = effects(replace(whole.where(at[keys]), predictions=answers), resamples=result.resamples, seed=SEED)
        norms = pd.concat(seeds).groupby("off")[["norm", "by_words"]].mean()
        tables.append(effect.join(norms, on="stage").assign(system=system))
    return Effects(result, pd.concat(tables) if tables else pd.DataFrame(), measured.seeds, measured.folds)


def measure_study(study: StudyFolder, seeds: int, data: Path | None) -> None:
    """Measure the effect of conditioning in the runs of the first seeds, unless the study has the measurements.

    Test rows are prepared once for all runs that read the same rows. `seeds` is a number, of those that are finished
    for all systems; relative corpus roots start from `data`.

    Raises:
        EmofuseError: corpora, encoders or weights are missing, or differ from those of a run.
    """
    for task in study.tasks:
        runs_by_rows: dict[str, tuple[Recipe, list[Path]]] = {}
        for run in _runs(task, task.seeds[:seeds]).values():
            if not _measurement(study, run).exists():
                rows = _rows_of(load_recipe(run / "recipe.toml"))
                runs_by_rows.setdefault(rows.hash, (rows, []))[1].append(run)
        for rows, runs in runs_by_rows.values():
            _measure(study, rows, runs, data)


def read_measured(study: StudyFolder, task: Task) -> Measured | None:
    """Read the measurements of a task that all its conditioned systems have; None if there are none."""
    paths = {cell: path for cell, run in _runs(task, task.seeds).items() if (path := _measurement(study, run)).exists()}
    systems = list(dict.fromkeys(system for system, _, _ in paths))
    seeds, folds = complete(paths.keys(), systems)
    if not seeds:
        return None
    tables = {
        system: [pd.concat([pd.read_parquet(paths[system, s, f]) for f in folds], ignore_index=True) for s in seeds]
        for system in systems
    }
    return Measured(seeds, folds, tables)


def _runs(task: Task, seeds: Sequence[int]) -> dict[tuple[str, int, int], Path]:
    return {cell: run for cell, run in task.runs.items() if task.fusions[cell[0]] in CONDITIONED and cell[1] in seeds}


def _measurement(study: StudyFolder, run: Path) -> Path:
    """File of a run's measurements, named by its recipe and predictions: other weights have another file."""
    identity = [_VERSION, load_recipe(run / "recipe.toml").hash, sha256(run / "predictions-test.parquet")]
    return study.folder / "conditioning" / f"{hash_of(identity)[:16]}.parquet"


def _rows_of(recipe: Recipe) -> Recipe:
    """The recipe reduced to what its test rows depend on, so that runs which read the same rows share it."""
    model = ModelConfig(heads=recipe.model.heads, encoder="cnn6")
    if recipe.model.uses_hidden_states:
        names = ("speech_encoder", "layers", "fine_tune_layers")
        model = model.model_copy(update={"encoder": "ladder", **{name: getattr(recipe.model, name) for name in names}})
    return Recipe(
        name="conditioning",
        protocol=recipe.protocol,
        data=recipe.data,
        text=recipe.text,
        model=model,
        training=TrainingConfig(monitor=recipe.training.monitor),
    )


def _measure(study: StudyFolder, rows: Recipe, runs: Sequence[Path], data: Path | None) -> None:
    from emofuse.data.prepare import prepare
    from emofuse.explanation.conditioning import measure
    from emofuse.training.run import load_run

    prepared = prepare(rows, data=data)
    for run in tqdm(runs, desc="conditioning", unit="run", disable=None, leave=False):
        loaded = load_run(run)
        for kind, of_run, installed in (
            ("speech", loaded.speech_encoder, prepared.speech_encoder),
            ("text", loaded.text_encoder, prepared.text_encoder),
        ):
            if not _is_same(of_run, installed):
                raise EmofuseError(
                    f"{run}: the run was trained with the {kind} encoder {of_run}, but {installed} is installed. "
                    "Install the encoder of the run."
                )
        table = measure(loaded.model, prepared.parts["test"])
        _check(table, run)
        with atomic(_measurement(study, run)) as temporary:
            table.to_parquet(temporary)


def _is_same(of_run: dict[str, Any] | None, installed: dict[str, Any] | None) -> bool:
    """Whether two encoders agree in all facts that both have (earlier versions recorded fewer)."""
    if not of_run or not installed:
        return not of_run and not installed
    return all(of_run[key] == installed[key] for key in (of_run.keys() & installed.keys()) - {"revision"})


def _check(table: pd.DataFrame, run: Path) -> None:
    """Raise an EmofuseError unless the predictions with all operators in place are those that the run wrote."""
    path = run / "predictions-test.parquet"
    before = pd.read_parquet(path).set_index("key")
    now = table[table["off"] == WHOLE].set_index("key")
    difference = np.inf
    if now.index.isin(before.index).all():
        before, difference = before.loc[now.index], 0.0
        names = [name for name in before if str(name).startswith("probability_")]
        if "answer" in now and len(now):
            difference = float(np.mean(before[names].to_numpy().argmax(axis=1) != now["answer"]))
        for name in set(DIMENSIONS) & set(now.columns):
            difference = max(difference, float((before[name] - now[name]).abs().max()))
    if difference > _TOLERANCE:
        raise EmofuseError(
            f"{path}: the model of the run now gives other predictions. The corpora in --data (or EMOFUSE_DATA) or the "
            "weights differ from those of the study: restore them, or make the report without --conditioning."
        )


def _range(values: Sequence[float]) -> str:
    return span(*(share(end).removesuffix(" %") for end in (min(values), max(values)))) + " %"


def _listed(what: str, numbers: Sequence[int]) -> str:
    return f"{what}{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def _stage(name: str) -> str:
    return {ALL: "all stages", "pooled": "the pooled map", "embedding": "the clip embedding"}.get(name, f"stage {name}")
