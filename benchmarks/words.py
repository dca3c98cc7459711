"""Scores of a model by words alone on the official test parts of MELD, EmoBank and GoEmotions.

    python benchmarks/words.py --data FOLDER                    # the default model
    python benchmarks/words.py --data FOLDER --model BUNDLE

The data folder contains `meld`, `emobank` and `goemotions`; a corpus that is missing is left out. Sentences without
words are left out, and so are comments of GoEmotions whose labels belong to several categories.

Prints a Markdown table: metric, value, 95 % interval (bootstrap over speakers, or over sentences where speakers are
unknown), and number of sentences.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import emofuse
from emofuse.config import CorpusConfig, SplitConfig
from emofuse.corpora.recipe_rows import data_folder, read_and_split
from emofuse.labels import DIMENSIONS, EMOTIONS
from emofuse.metrics.intervals import Interval, Metric, bootstrap_interval
from emofuse.words import has_words_or_emoji

CATEGORY_METRICS: dict[str, tuple[Metric, ...]] = {
    "meld": ("weighted_f1", "uar"),
    "goemotions": ("macro_f1", "uar"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a bundle; the default model if not given")
    parser.add_argument("--data", type=Path, help="folder of the corpora; default: EMOFUSE_DATA")
    options = parser.parse_args()
    predict = emofuse.load(options.model, transcribe="off")
    print("| corpus | metric | value | 95 % interval | sentences |\n|---|---|---|---|---|")
    for corpus in ("meld", "emobank", "goemotions"):
        if (data_folder(options.data) / corpus).is_dir():
            for metric, interval in score_corpus(predict, corpus, read_test(corpus, options.data)):
                bounds = f"{interval.low:.3f} .. {interval.high:.3f}"
                print(f"| {corpus} | {metric} | {interval.value:.3f} | {bounds} | {interval.n} |", flush=True)


def read_test(corpus: str, data: Path | None) -> pd.DataFrame:
    """Rows of the official test part that have words and a label."""
    table, split = read_and_split(CorpusConfig(reader=corpus, root=corpus, split=SplitConfig(rule="official")), data)
    rows = table[table["key"].isin(split.test) & table["text"].map(has_words_or_emoji)]
    return rows[rows["emotion"].notna() | rows["valence"].notna()].reset_index(drop=True)


def score_corpus(predict: Any, corpus: str, rows: pd.DataFrame) -> Iterator[tuple[str, Interval]]:
    """Predict each sentence; yield metrics of what both the corpus and the model have."""
    predictions = [predict(text=text, language="en")[0] for text in rows["text"]]
    speakers = rows["speaker"].tolist()
    if rows["emotion"].notna().any() and predict.bundle.labels:
        labels = list(dict.fromkeys((*EMOTIONS, *predict.bundle.labels)))
        guess = [max(prediction.probabilities, key=prediction.probabilities.get) for prediction in predictions]
        for metric in CATEGORY_METRICS[corpus]:
            yield metric, bootstrap_interval(metric, rows["emotion"], guess, speakers, labels=labels, seed=0)
    for dimension in DIMENSIONS:
        values = [getattr(prediction, dimension) for prediction in predictions]
        if rows[dimension].notna().any() and None not in values:
            truth, value = rows[dimension].to_numpy(), np.array(values)
            yield f"CCC of {dimension}", bootstrap_interval("ccc", truth, value, speakers, seed=0)


if __name__ == "__main__":
    main()
