"""Fusion where the words carry nothing: audio_only, single_stage and multistage over the folds of a recipe.

    python benchmarks/negative_controls.py recipes/ravdess.toml --folds 6 --out runs/ravdess --data DATA

Trains what is not yet there (finished runs are kept, broken ones resumed), then prints a Markdown report: UAR over the
test parts of all folds together with a 95 % interval from a bootstrap over speakers, UAR of each fold, and paired
differences against audio_only. `--fusion` trains one system only, so that two processes can share the work.
"""

import argparse
from pathlib import Path

import pandas as pd
from paired import paired_difference

from emofuse.config import load_recipe
from emofuse.metrics.intervals import bootstrap_interval
from emofuse.metrics.scores import uar
from emofuse.training.run import train

FUSIONS = ("audio_only", "single_stage", "multistage")
RESAMPLES = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--folds", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--fusion", choices=FUSIONS, action="append")
    options = parser.parse_args()
    predictions = {}
    for fusion in options.fusion or FUSIONS:
        runs = [train_fold(options, fusion, fold) for fold in range(options.folds)]
        tables = [pd.read_parquet(run / "predictions-test.parquet").assign(fold=i) for i, run in enumerate(runs)]
        predictions[fusion] = pd.concat(tables).set_index("key").sort_index()
    print(report(options.recipe, predictions))


def train_fold(options: argparse.Namespace, fusion: str, fold: int) -> Path:
    overrides = [f"model.fusion={fusion}", f"data.corpora.0.split.fold={fold}"]
    return train(load_recipe(options.recipe, overrides), options.out / f"{fusion}-{fold}", options.data)


def report(recipe_path: Path, predictions: dict[str, pd.DataFrame]) -> str:
    recipe = load_recipe(recipe_path)
    labels = recipe.data.labels.names
    model, training = recipe.model, recipe.training
    any_table = next(iter(predictions.values()))
    lines = [
        f"{recipe.protocol.strip()}",
        "",
        f"{model.encoder} at width {model.width}, {training.epochs} epochs, seed {recipe.seed}; "
        f"n = {len(any_table)}, {any_table['speaker'].nunique()} speakers, chance {1 / len(labels):.3f}.",
        "",
        "| system | UAR | 95 % interval | by fold | UAR - audio_only | 95 % interval | p |",
        "|---|---|---|---|---|---|---|",
    ]
    guesses = {name: guess(table, len(labels)) for name, table in predictions.items()}
    for name, table in predictions.items():
        truth, speakers = table["truth"].to_numpy(), table["speaker"].to_numpy()
        found = bootstrap_interval("uar", truth, guesses[name], speakers, labels=labels, resamples=RESAMPLES, seed=0)
        folds = [uar(truth[rows], guesses[name][rows], labels=labels) for rows in fold_rows(table)]
        each = " ".join(f"{value:.3f}" for value in folds)
        row = f"| {name} | {found.value:.3f} | {found.low:.3f} .. {found.high:.3f} | {each} |"
        if name == "audio_only" or "audio_only" not in predictions:
            lines.append(row + " | | |")
            continue
        if not table.index.equals(predictions["audio_only"].index):
            raise SystemExit(f"{name} and audio_only were tested on different utterances")
        gap = paired_difference(
            "uar", truth, guesses[name], guesses["audio_only"], speakers, labels=labels, resamples=RESAMPLES, seed=0
        )
        lines.append(row + f" {gap.value:+.3f} | {gap.low:+.3f} .. {gap.high:+.3f} | {gap.p:.2f} |")
    return "\n".join(lines)


def guess(table: pd.DataFrame, k: int):
    return table[[f"probability_{i}" for i in range(k)]].to_numpy().argmax(axis=1)


def fold_rows(table: pd.DataFrame):
    return [(table["fold"] == fold).to_numpy() for fold in sorted(table["fold"].unique())]


if __name__ == "__main__":
    main()
