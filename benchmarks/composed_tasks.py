"""Fusion on a composed task: late, single-stage and multistage fusion against what words and voice alone allow.

    python benchmarks/composed_tasks.py --task clash --runs 3 --out runs/composed --data DATA

Run i has seed i and EmoBox's fold i of the voices. What is not yet there is trained (finished runs are kept, broken
ones resumed); then a Markdown report is printed: UAR (accuracy too, as the classes are equally frequent) or CCC over
the test parts of all runs, with a 95 % interval from a bootstrap over the speakers of the voices, and the paired
difference to late fusion.

The reference of agree, either and clash is what two unimodal models reach that are told how the task was composed: one
learns the emotion (in clash: the polarity) of the voice, the other that of the words, and the rule of the task joins
their posteriors. In clash, where voice and words are right with probabilities p and q, that is p q + (1 - p)(1 - q).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from emofuse.config import load_recipe
from emofuse.corpora.composed import POLARITIES
from emofuse.corpora.labels import DIMENSIONS, EMOTIONS
from emofuse.evaluation.intervals import bootstrap_interval, paired_difference
from emofuse.evaluation.metrics import ccc, uar
from emofuse.training.run import train

RECIPES = Path(__file__).parents[1] / "recipes"
FUSIONS = ("late", "single_stage_additive", "single_stage", "multistage")
SIDES = {"voice": "audio_only", "words": "text_only"}
TASKS = ("agree", "either", "clash", "dimensions")
RESAMPLES = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    options = parser.parse_args()
    runs = range(options.runs)
    systems = {fusion: [trained(options, fusion, run) for run in runs] for fusion in FUSIONS}
    systems = {side: [late / side for late in systems["late"]] for side in SIDES.values()} | systems
    predictions = {name: pooled(folders) for name, folders in systems.items()}
    print(f"{load_recipe(RECIPES / f'composed-{options.task}.toml').protocol.strip()}\n")
    if options.task == "dimensions":
        print("\n\n".join(f"CCC of {name}\n\n" + table(predictions, name) for name in DIMENSIONS))
        return
    sides = {side: pooled([trained(options, side, run) for run in runs]) for side in SIDES}
    for side, rows in sides.items():
        print(f"{side} alone, told apart by the {SIDES[side]} model: {interval(rows)} (UAR).")
    if options.task == "clash":
        p, q = (score(rows, None) for rows in sides.values())
        print(f"p q + (1 - p)(1 - q) = {p * q + (1 - p) * (1 - q):.3f}.")
    predictions["reference"] = joined(options.task, sides["voice"], sides["words"], predictions["late"])
    print("\n" + table(predictions))


def trained(options: argparse.Namespace, system: str, run: int) -> Path:
    """Folder of a run: of a fusion, or of a unimodal model of what the voice or the words carry."""
    overrides = [f"model.fusion={SIDES.get(system, system)}", f"seed={run}", f"data.corpora.0.split.fold={run}"]
    if system in SIDES:
        names = POLARITIES if options.task == "clash" else EMOTIONS
        overrides += [f"data.labels.column={system}", f"data.labels.names={list(names)}"]
    recipe = load_recipe(RECIPES / f"composed-{options.task}.toml", [*overrides, *options.overrides])
    return train(recipe, options.out / f"{options.task}-{system}-{run}", options.data)


def pooled(folders: list[Path]) -> pd.DataFrame:
    """Test predictions of all runs by run and key."""
    tables = [pd.read_parquet(folder / "predictions-test.parquet").assign(run=i) for i, folder in enumerate(folders)]
    return pd.concat(tables).set_index(["run", "key"]).sort_index()


def joined(task: str, voice: pd.DataFrame, words: pd.DataFrame, like: pd.DataFrame) -> pd.DataFrame:
    """Posteriors of the task's labels from those of voice and words, which are independent in composed pairs."""
    heard, read = posteriors(voice.loc[like.index]), posteriors(words.loc[like.index])
    if task == "clash":
        agree = (heard * read).sum(axis=1)
        found = np.stack([agree, 1 - agree], axis=1)
    elif task == "agree":
        found = heard * read
    else:  # neutral comes first
        found = heard[:, 1:] * read[:, :1] + heard[:, :1] * read[:, 1:]
        names = load_recipe(RECIPES / "composed-either.toml").data.labels.names
        found = found[:, [EMOTIONS.index(name) - 1 for name in names]]
    columns = {f"probability_{i}": values for i, values in enumerate(found.T)}
    return like[["speaker", "truth"]].assign(**columns)


def posteriors(rows: pd.DataFrame) -> np.ndarray:
    """(rows, categories)."""
    return rows[[name for name in rows if name.startswith("probability_")]].to_numpy()


def guess(rows: pd.DataFrame) -> np.ndarray:
    return posteriors(rows).argmax(axis=1)


def answers(rows: pd.DataFrame, dimension: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction."""
    if dimension is not None:
        return rows[f"true_{dimension}"].to_numpy(), rows[dimension].to_numpy()
    return rows["truth"].to_numpy(), guess(rows)


def score(rows: pd.DataFrame, dimension: str | None) -> float:
    """CCC of a dimension, or UAR."""
    return float((uar if dimension is None else ccc)(*answers(rows, dimension)))


def interval(rows: pd.DataFrame, dimension: str | None = None) -> str:
    metric = "uar" if dimension is None else "ccc"
    speakers = rows["speaker"].to_numpy()
    found = bootstrap_interval(metric, *answers(rows, dimension), speakers, resamples=RESAMPLES, seed=0)
    return f"{found.value:.3f} ({found.low:.3f} .. {found.high:.3f})"


def difference(rows: pd.DataFrame, other: pd.DataFrame, dimension: str | None) -> str:
    """Of two systems on the same pairs, rows - other."""
    if not rows.index.equals(other.index):
        raise SystemExit("systems were tested on different pairs")
    truth, first = answers(rows, dimension)
    _, second = answers(other, dimension)
    metric = "uar" if dimension is None else "ccc"
    speakers = rows["speaker"].to_numpy()
    found = paired_difference(metric, truth, first, second, speakers, resamples=RESAMPLES, seed=0)
    return f"{found.value:+.3f} ({found.low:+.3f} .. {found.high:+.3f})"


def table(predictions: dict[str, pd.DataFrame], dimension: str | None = None) -> str:
    """One line a system; then the two deep fusions beside each other."""
    late = predictions["late"]
    chance = 0.0 if dimension else 1 / late["truth"].nunique()
    lines = [
        f"n = {len(late)} pairs, {late['speaker'].nunique()} speakers, chance {chance:.3f}",
        "",
        "| system | all runs | run by run | minus late | of the way from chance to the reference |",
        "|---|---|---|---|---|",
    ]
    for name, rows in predictions.items():
        each = " ".join(f"{score(part, dimension):.3f}" for _, part in rows.groupby("run"))
        gap = "" if name == "late" else difference(rows, late, dimension)
        way = ""
        if "reference" in predictions:
            way = f"{(score(rows, dimension) - chance) / (score(predictions['reference'], dimension) - chance):.2f}"
        lines.append(f"| {name} | {interval(rows, dimension)} | {each} | {gap} | {way} |")
    deep = difference(predictions["multistage"], predictions["single_stage"], dimension)
    return "\n".join([*lines, "", f"multistage - single_stage: {deep}"])


if __name__ == "__main__":
    main()
