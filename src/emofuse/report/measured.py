"""What conditioning does in the runs of a study, measured with their weights and kept in the study's folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from emofuse.config import ModelConfig, Recipe, TrainingConfig, load_recipe
from emofuse.errors import EmofuseError
from emofuse.files import atomic, hash_of, sha256
from emofuse.labels import DIMENSIONS
from emofuse.metrics.conditioning import WHOLE
from emofuse.study.folder import StudyFolder, Task, complete

CONDITIONED = ("multistage", "single_stage", "single_stage_additive")
_VERSION = 1  # of what is kept
_CLOSE = 0.01  # share of answers, or a value, that another number of threads may change


@dataclass(frozen=True)
class Measured:
    """What was measured on a task, as far as all its conditioned systems were.

    Attributes:
        seeds: under which.
        folds: on which.
        tables: of each conditioned system one table a seed, as `training.conditioning.measure` makes them.
    """

    seeds: list[int]
    folds: list[int]
    tables: dict[str, list[pd.DataFrame]]


def measure_study(study: StudyFolder, seeds: int, data: Path | None) -> None:
    """Measure the conditioned runs under the first seeds; what is kept is not measured again.

    Test rows are prepared once for all runs of a fold that read the same.

    Args:
        study: as read.
        seeds: how many, of those that are finished for all systems.
        data: folder that relative corpus roots start from.

    Raises:
        EmofuseError: corpora, encoders or weights are absent, or are not those that a run answered with.
    """
    for task in study.tasks:
        alike: dict[str, tuple[Recipe, list[Path]]] = {}
        for run in _runs(task, task.seeds[:seeds]).values():
            if not _kept(study, run).exists():
                needed = _needed(load_recipe(run / "recipe.toml"))
                alike.setdefault(needed.hash, (needed, []))[1].append(run)
        for needed, runs in alike.values():
            _measure(study, needed, runs, data)


def read_measured(study: StudyFolder, task: Task) -> Measured | None:
    """What is kept of a task; None if nothing is."""
    kept = {cell: path for cell, run in _runs(task, task.seeds).items() if (path := _kept(study, run)).exists()}
    systems = list(dict.fromkeys(system for system, _, _ in kept))
    seeds, folds = complete(kept.keys(), systems)
    if not seeds:
        return None
    tables = {
        system: [pd.concat([pd.read_parquet(kept[system, s, f]) for f in folds], ignore_index=True) for s in seeds]
        for system in systems
    }
    return Measured(seeds, folds, tables)


def _runs(task: Task, seeds: Sequence[int]) -> dict[tuple[str, int, int], Path]:
    return {cell: run for cell, run in task.runs.items() if task.fusions[cell[0]] in CONDITIONED and cell[1] in seeds}


def _kept(study: StudyFolder, run: Path) -> Path:
    """Named by the run: its recipe and its answers, which other weights would not have given."""
    made = [_VERSION, load_recipe(run / "recipe.toml").hash, sha256(run / "predictions-test.parquet")]
    return study.folder / "conditioning" / f"{hash_of(made)[:16]}.parquet"


def _needed(recipe: Recipe) -> Recipe:
    """The recipe with nothing in it but what its test rows depend on: the same for runs that read the same."""
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


def _measure(study: StudyFolder, needed: Recipe, runs: Sequence[Path], data: Path | None) -> None:
    from emofuse.data.prepare import prepare
    from emofuse.training.conditioning import measure
    from emofuse.training.run import load_run

    prepared = prepare(needed, data=data)
    for run in tqdm(runs, desc="conditioning", unit="run", disable=None, leave=False):
        loaded = load_run(run)
        for what, had, have in (
            ("speech", loaded.speech_encoder, prepared.audio),
            ("text", loaded.text_encoder, prepared.text),
        ):
            if not _same(had, have):
                raise EmofuseError(
                    f"{run}: was trained with the {what} encoder {had}, and now there is {have}. Install the same."
                )
        table = measure(loaded.model, prepared.parts["test"])
        _check(table, run)
        with atomic(_kept(study, run)) as temporary:
            table.to_parquet(temporary)


def _same(had: dict[str, Any] | None, have: dict[str, Any] | None) -> bool:
    """Whether two identities of an encoder agree in all that both say: earlier versions said less."""
    if not had or not have:
        return not had and not have
    return all(had[key] == have[key] for key in (had.keys() & have.keys()) - {"revision"})


def _check(table: pd.DataFrame, run: Path) -> None:
    """EmofuseError if the answers with nothing switched off are not those that the run wrote."""
    path = run / "predictions-test.parquet"
    before = pd.read_parquet(path).set_index("key")
    now = table[table["off"] == WHOLE].set_index("key")
    apart = 0.0
    if known := now.index.isin(before.index).all():
        before = before.loc[now.index]
        names = [name for name in before if str(name).startswith("probability_")]
        if "answer" in now:
            apart = float(np.mean(before[names].to_numpy().argmax(axis=1) != now["answer"])) if len(now) else 0.0
        for name in set(DIMENSIONS) & set(now.columns):
            apart = max(apart, float((before[name] - now[name]).abs().max()))
    if not known or apart > _CLOSE:
        raise EmofuseError(
            f"{path}: its model now answers otherwise. The corpora in --data (or EMOFUSE_DATA) or its weights are not "
            "those of the study: give the same, or report without --conditioning."
        )
