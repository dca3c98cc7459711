"""What the unimodal models allow on composed tasks, and how much of the way from chance to there each system goes.

    python benchmarks/composed_bound.py runs/composed --data DATA

For each task agree, either and clash of a finished study, two unimodal models of the task's recipe (the study's first
seed, each of its folds) are told how the task was composed: one learns the emotion (in clash: the polarity) of the
voice, the other that of the words, and the rule of the task joins their posteriors. In clash, where voice and words are
right with probabilities p and q, that is p q + (1 - p)(1 - q). Their runs lie in STUDY/bound and are kept. A Markdown
report is printed: UAR (accuracy too, as the classes are equally frequent), 95 % intervals over speakers (systems: and
seeds).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from emofuse.config import ComposedConfig, Modality, Recipe
from emofuse.corpora.composed import POLARITIES
from emofuse.labels import EMOTIONS
from emofuse.metrics.intervals import Interval, bootstrap_interval
from emofuse.report.results import Result, results_of
from emofuse.study.folder import Task, read_study
from emofuse.training.run import train

SIDES: dict[str, Modality] = {"voice": "audio_only", "words": "text_only"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    for result in results_of(read_study(options.study)):
        composed = result.task.recipe.data.composed
        if composed is not None and composed.task in ("agree", "either", "clash"):
            print(report(result, composed, options.study / "bound", options.data) + "\n")


def report(result: Result, composed: ComposedConfig, out: Path, data: Path | None) -> str:
    """Both sides, their bound, and one line a system."""
    task = result.task
    sides = {side: pool_seeds([side_run(task, side, fold, out, data) for fold in task.folds]) for side in SIDES}
    reference = joined(composed.task, task.recipe.data.labels.names, sides["voice"], sides["words"])
    bound, chance = score(reference), 1 / reference["truth"].nunique()
    lines = [f"## {task.name}", "", f"n = {len(reference)} pairs, {result.speakers} speakers, chance {chance:.3f}."]
    lines += [
        f"The {side} alone, told apart by the {SIDES[side]} model: {shown(score(rows))}."
        for side, rows in sides.items()
    ]
    if composed.task == "clash":
        p, q = (score(rows).value for rows in sides.values())
        lines.append(f"p q + (1 - p)(1 - q) = {p * q + (1 - p) * (1 - q):.3f}.")
    lines += ["", "| system | UAR | of the way from chance to the bound |", "|---|---|---|"]
    for system, found in result.intervals["uar"].items():
        lines.append(f"| {system} | {shown(found)} | {(found.value - chance) / (bound.value - chance):.2f} |")
    return "\n".join([*lines, f"| bound | {shown(bound)} | 1.00 |"])


def side_run(task: Task, side: str, fold: int, out: Path, data: Path | None) -> Path:
    """Folder of the run of one modality that learns what its own side carries."""
    recipe = task.recipe.with_fold(fold).unimodal(SIDES[side])
    composed = recipe.data.composed
    names = POLARITIES if composed is not None and composed.task == "clash" else EMOTIONS
    labels = recipe.data.labels.model_copy(update={"column": side, "names": list(names)})
    changed: Recipe = recipe.model_copy(
        update={"seed": task.seeds[0], "data": recipe.data.model_copy(update={"labels": labels})}
    )
    return train(changed, out / changed.run_id, data)


def pool_seeds(folders: list[Path]) -> pd.DataFrame:
    """Test predictions of all folds by fold and key."""
    tables = [pd.read_parquet(folder / "predictions-test.parquet").assign(fold=i) for i, folder in enumerate(folders)]
    return pd.concat(tables).set_index(["fold", "key"]).sort_index()


def joined(task: str, names: list[str], voice: pd.DataFrame, words: pd.DataFrame) -> pd.DataFrame:
    """Posteriors of the task's labels from those of voice and words, which are independent in composed pairs."""
    heard, read = posteriors(voice), posteriors(words.loc[voice.index])
    agrees = heard * read
    truths = voice["truth"].to_numpy(), words.loc[voice.index, "truth"].to_numpy()
    if task == "clash":
        same = agrees.sum(axis=1)
        found, truth = np.stack([same, 1 - same], axis=1), (truths[0] != truths[1]).astype(int)
    elif task == "agree":
        found, truth = agrees, truths[0]
    else:  # neutral comes first; the one that is not neutral is the label
        of = [EMOTIONS.index(name) for name in names]
        found = (heard * read[:, :1] + heard[:, :1] * read)[:, of]
        truth = np.array([of.index(label) for label in np.maximum(*truths)])
    columns = {f"probability_{i}": values for i, values in enumerate(found.T)}
    return pd.DataFrame({"speaker": voice["speaker"], "truth": truth, **columns}, index=voice.index)


def posteriors(rows: pd.DataFrame) -> np.ndarray:
    """(rows, categories)."""
    return rows[[name for name in rows if name.startswith("probability_")]].to_numpy()


def score(rows: pd.DataFrame) -> Interval:
    """UAR with its interval over the speakers of the voices."""
    found = posteriors(rows).argmax(axis=1)
    return bootstrap_interval(
        "uar", rows["truth"].to_numpy(), found, rows["speaker"].to_numpy(), resamples=10_000, seed=0
    )


def shown(found: Interval) -> str:
    return f"{found.value:.3f} ({found.low:.3f} .. {found.high:.3f})"


if __name__ == "__main__":
    main()
