"""Study files, and their grid of runs: tasks x systems x folds x seeds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from emofuse.config import MODALITIES, FolderName, Recipe, Section, load_recipe, parse, read_toml
from emofuse.errors import EmofuseError
from emofuse.stress.conditions import conditions_of

Folds = Literal["all"] | Annotated[list[int], Field(min_length=1)]


class TaskConfig(Section):
    """A task: a recipe, and changes to it."""

    recipe: str = Field(description="path of a recipe, from the study file's folder")
    set: list[str] = Field([], description='changes such as "training.epochs=10"')


class SystemConfig(Section):
    """One system or a family of systems: changes to the recipe of a task, as a section or a bare list."""

    set: list[str] = Field([], description='changes such as "model.fusion=audio_only"')
    each: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(
        {}, description="recipe key to values: a system for each combination of them, named by them"
    )

    @model_validator(mode="before")
    @classmethod
    def _list_of_changes(cls, value: Any) -> Any:
        return {"set": value} if isinstance(value, list) else value


class QuickConfig(Section):
    """Changes of the quick version."""

    seeds: list[int] | None = Field(None, min_length=1, description="Seeds of the quick version; as usual if not set.")
    folds: Folds | None = Field(None, description="Test folds of the quick version; as usual if not set.")
    set: list[str] = Field([], description="Changes after all others.")


class StressConfig(Section):
    """Options of the stress test, which `--stress` runs once the runs are finished."""

    conditions: Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="names of stress conditions, such as wer; all that apply if not given"
    )
    rows: int = Field(200, ge=1, description="at most so many test rows of each fold, balanced over labels")
    seed: int = Field(0, ge=0, description="of the sample and of all noise")


class StudyConfig(Section):
    """Contents of a study file."""

    name: FolderName = Field(description="name of the study's folder in runs/: letters, digits, '_', '-' and '.'")
    protocol: str = Field(description="what is compared, and how, in words")
    tasks: dict[str, TaskConfig] = Field(min_length=1, description="what is to be recognised, by the name of the task")
    systems: dict[str, SystemConfig] = Field(min_length=1, description="what is compared, by the name of the system")
    seeds: list[int] = Field([0], min_length=1, description="seeds of the runs")
    folds: Folds = Field("all", description="test folds, from 0; a split without folds has fold 0 only")
    reference: str | None = Field(None, description="system that the others are compared with; the first if not given")
    quick: QuickConfig = Field(QuickConfig(), description="changes that --quick makes")
    stress: StressConfig = Field(StressConfig(), description="what --stress does")


@dataclass(frozen=True)
class Cell:
    """One run of a study."""

    task: str
    system: str
    fold: int
    seed: int
    recipe: Recipe

    @cached_property
    def hash(self) -> str:
        """Name of the run folder; cells with equal recipes share it."""
        return self.recipe.run_id

    @property
    def facts(self) -> dict[str, Any]:
        """The cell as it is stored: task, system, fold and seed."""
        return {"task": self.task, "system": self.system, "fold": self.fold, "seed": self.seed}

    @property
    def unimodal(self) -> list[Cell]:
        """Runs of both unimodal models of a late fusion, which must finish before it; empty for other systems."""
        if self.recipe.model.fusion != "late":
            return []
        return [
            Cell(self.task, f"{self.system}/{name}", self.fold, self.seed, self.recipe.unimodal(name))
            for name in MODALITIES
        ]

    def __str__(self) -> str:
        return f"{self.system}, {self.task}, fold {self.fold}, seed {self.seed}"


@dataclass(frozen=True)
class Study:
    """A resolved study file.

    Attributes:
        file: path of the file, as given.
        config: contents, with the seeds and folds of the quick version if it is that.
        quick: True for the quick version.
        tasks: recipe by task, before the changes of a system.
        systems: changes by system.
        recipes: recipe by task and system.
        reference: system that the others are compared with.
    """

    file: str
    config: StudyConfig
    quick: bool
    tasks: dict[str, Recipe]
    systems: dict[str, list[str]]
    recipes: dict[tuple[str, str], Recipe]
    reference: str


def load_study(path: Path | str, *, quick: bool = False, only: Sequence[str] = ()) -> Study:
    """Read a study file and the recipes that it names.

    Args:
        path: TOML file.
        quick: load the quick version.
        only: names of the tasks to keep; all if empty.

    Raises:
        EmofuseError: a file cannot be read, has an unknown key or a value of the wrong type; a task, reference or
            stress condition does not exist; a seed, fold or system is listed twice; a system does not fit a task; a
            task has no test part.
    """
    config = parse(StudyConfig, read_toml(path), source=str(path))
    if unknown := [name for name in only if name not in config.tasks]:
        raise EmofuseError(f"{path} has no task {unknown[0]!r}. Its tasks are {', '.join(config.tasks)}.")
    if only:
        chosen = {name: task for name, task in config.tasks.items() if name in only}
        config = config.model_copy(update={"tasks": chosen})
    if quick:
        config = config.model_copy(
            update={"seeds": config.quick.seeds or config.seeds, "folds": config.quick.folds or config.folds}
        )
    for what, numbers in (("seeds", config.seeds), ("folds", config.folds)):
        if numbers != "all" and (twice := _twice(numbers)):
            raise EmofuseError(f"{path}: {what}: {twice[0]} is listed twice.")
    try:
        conditions_of(config.stress.conditions)
    except EmofuseError as error:
        raise EmofuseError(f"{path}: stress.conditions: {error}") from None
    last = config.quick.set if quick else []
    systems = _expanded(config, path)
    tasks = {name: _recipe(path, f"tasks.{name}", task, last) for name, task in config.tasks.items()}
    recipes = {
        (name, system): _recipe(path, f"tasks.{name} with systems.{system}", task, changes + last)
        for name, task in config.tasks.items()
        for system, changes in systems.items()
    }
    reference = config.reference or next(iter(systems))
    if reference not in systems:
        raise EmofuseError(
            f"{path}: reference: {reference!r} is not a system of the study. Its systems are {', '.join(systems)}."
        )
    return Study(str(path), config, quick, tasks, systems, recipes, reference)


def cells_of(study: Study, folds: dict[str, list[int]]) -> list[Cell]:
    """List the cells of a study, all systems of a fold before the next fold, so that results can be compared early.

    Args:
        study: loaded by `load_study`.
        folds: test folds by task.
    """
    most = max(len(numbers) for numbers in folds.values())
    return [
        Cell(task, system, folds[task][i], seed, _with(study.recipes[task, system], folds[task][i], seed))
        for seed, i, task, system in product(study.config.seeds, range(most), study.tasks, study.systems)
        if i < len(folds[task])
    ]


def folds_of(study: Study, data: Path | None) -> dict[str, list[int]]:
    """Test folds of each task; its corpora are read to count them.

    Args:
        study: as loaded.
        data: folder that relative corpus roots start from.

    Raises:
        EmofuseError: a fold that a task does not have; and what reading its corpora raises.
    """
    from emofuse.corpora.recipe_rows import count_folds

    folds = {}
    for name, recipe in study.tasks.items():
        n = count_folds(recipe, data) or 1
        wanted = study.config.folds
        folds[name] = list(range(n)) if wanted == "all" else list(wanted)
        if absent := [fold for fold in folds[name] if not 0 <= fold < n]:
            raise EmofuseError(
                f"study {study.config.name}: task {name} has no fold {absent[0]}: its split has {n}, counted from 0."
            )
    return folds


def runs_of(cells: Iterable[Cell]) -> list[Cell]:
    """List one cell for each run, unimodal runs before the late fusions that use them."""
    runs: dict[str, Cell] = {}
    cells = list(cells)
    named = {cell.hash: cell for cell in reversed(cells)}
    for cell in cells:
        for run in (*cell.unimodal, cell):
            runs.setdefault(run.hash, named.get(run.hash, run))
    return list(runs.values())


def study_facts(study: Study, folds: dict[str, list[int]]) -> dict[str, Any]:
    """Contents of study.json."""
    return {
        "name": study.config.name,
        "file": study.file,
        "protocol": study.config.protocol,
        "quick": study.quick,
        "tasks": [{"name": name, "recipe": recipe.model_dump(mode="json")} for name, recipe in study.tasks.items()],
        "systems": [{"name": name, "overrides": changes} for name, changes in study.systems.items()],
        "seeds": study.config.seeds,
        "folds": folds,
        "reference": study.reference,
    }


def _with(recipe: Recipe, fold: int, seed: int) -> Recipe:
    return recipe.with_fold(fold).model_copy(update={"seed": seed})


def _recipe(path: Path | str, where: str, task: TaskConfig, changes: list[str]) -> Recipe:
    try:
        recipe = load_recipe(Path(path).parent / task.recipe, task.set + changes)
    except EmofuseError as error:
        raise EmofuseError(f"{path}: {where}: {error}") from None
    if recipe.training.fit == "all":
        raise EmofuseError(
            f'{path}: {where}: fit = "all" trains on the test part, so nothing is left to test on. Remove it.'
        )
    return recipe


def _expanded(config: StudyConfig, path: Path | str) -> dict[str, list[str]]:
    """The changes of each system, with one system for each combination of the values of a family."""
    systems: dict[str, list[str]] = {}
    for name, system in config.systems.items():
        for values in product(*system.each.values()):
            full = "-".join([name, *map(_named, values)])
            if full in systems:
                raise EmofuseError(f"{path}: systems.{name}: another system has the name {full!r} already.")
            changes = [f"{key}={json.dumps(value)}" for key, value in zip(system.each, values, strict=True)]
            systems[full] = system.set + changes
    return systems


def _named(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


def _twice(numbers: list[int]) -> list[int]:
    return [number for number, n in Counter(numbers).items() if n > 1]
