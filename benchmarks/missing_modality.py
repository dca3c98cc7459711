"""What a missing modality costs: a fusion model that hears or reads alone, against the unimodal model of its recipe.

    python benchmarks/missing_modality.py recipes/default.toml --folds 0 3 --runs runs/default --out runs/unimodal

Trains `audio_only` and `text_only` models of the recipe's size on the rows that have the modality (what is there is
kept), takes the words away from the test rows with audio, and compares the answers on the same rows: UAR with 95 %
intervals from a bootstrap over speakers, and the paired difference.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from paired import paired_difference

from emofuse.config import Recipe, load_recipe
from emofuse.data.prepare import prepare
from emofuse.data.utterances import Utterances
from emofuse.metrics.intervals import bootstrap_interval
from emofuse.training.module import predict_rows
from emofuse.training.run import load_run, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--folds", type=int, nargs="+", required=True)
    parser.add_argument("--runs", type=Path, required=True, help="of emofuse train --folds")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    tables: dict[str, list[tuple[pd.DataFrame, pd.DataFrame]]] = {"audio_only": [], "text_only": []}
    for fold in options.folds:
        recipe = load_recipe(options.recipe).with_fold(fold)
        fused = load_run(options.runs / f"fold-{fold}").model
        for kind, pairs in tables.items():
            if kind == "text_only" and pairs:
                continue  # sentences have official parts: every fold has the same
            run = train(unimodal(recipe, kind), options.out / f"{kind}-{fold}", options.data)
            alone = pd.read_parquet(run / "predictions-test.parquet")
            rows = prepare(recipe, data=options.data).parts["test"]
            if kind == "audio_only":
                rows = without_words(rows)
            answers = predict_rows(fused, rows).set_index("key").loc[alone["key"]].reset_index()
            pairs.append((answers, alone))
    labels = load_recipe(options.recipe).data.labels.names
    print("| rows | corpus | n | speakers | fusion model | unimodal model | difference | p |")
    print("|---" * 8 + "|")
    for kind, pairs in tables.items():
        fused_table, alone = (pd.concat(part, ignore_index=True) for part in zip(*pairs, strict=True))
        for corpus in sorted(alone.loc[alone["truth"] >= 0, "corpus"].unique()):
            chosen = ((alone["corpus"] == corpus) & (alone["truth"] >= 0)).to_numpy()
            print(line(kind, corpus, fused_table[chosen], alone[chosen], len(labels)))


def unimodal(recipe: Recipe, kind: str) -> Recipe:
    """The recipe with one modality, and of its corpora those that have it: clips, or sentences."""
    assert recipe.data.composed is not None
    speech = recipe.data.composed.audio
    corpora = [corpus for corpus in recipe.data.corpora if (corpus.reader in speech) == (kind == "audio_only")]
    data = recipe.data.model_copy(update={"corpora": corpora, "composed": None})
    model = recipe.model.model_copy(update={"fusion": kind})
    training = recipe.training.model_copy(update={"modality_dropout": 0.0})
    if kind == "text_only":
        training = training.model_copy(update={"varied_copies": 0, "borrow_rooms": 0.0})
    return recipe.model_copy(update={"data": data, "model": model, "training": training})


def without_words(rows: Utterances) -> Utterances:
    rows.texts = [None] * len(rows)
    return rows


def line(kind: str, corpus: str, fused: pd.DataFrame, alone: pd.DataFrame, k: int) -> str:
    truth, speakers = alone["truth"].to_numpy(), alone["speaker"].to_numpy()
    columns = [f"probability_{i}" for i in range(k)]
    guesses = [table[columns].to_numpy().argmax(axis=1) for table in (fused, alone)]
    settings = {"labels": list(range(k)), "resamples": 10_000, "seed": 0}
    cells = []
    for guess in guesses:
        found = bootstrap_interval("uar", truth, guess, speakers, **settings)
        cells.append(f"{found.value:.3f} ({found.low:.3f} .. {found.high:.3f})")
    gap = paired_difference("uar", truth, *guesses, speakers, **settings)
    cells.append(f"{gap.value:+.3f} ({gap.low:+.3f} .. {gap.high:+.3f}) | {gap.p:.3f}")
    what = "voice alone" if kind == "audio_only" else "words alone"
    return f"| {what} | {corpus} | {len(truth)} | {found.groups} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
