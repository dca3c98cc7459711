"""How much a frozen speech encoder hears: logistic regression on its pooled hidden states, fold by fold.

    python benchmarks/frozen_probe.py ravdess --data FOLDER [--encoder whisper-base] [--layers 2 3 4 5]
    python benchmarks/frozen_probe.py nemo --data FOLDER

Mean and standard deviation over time of each layer, standardised on the training speakers (with --adapt: on each
speaker's own clips, labels unseen). RAVDESS: EmoBox's six folds; nEMO: leave one speaker out. No development data is
used: nothing is chosen. UAR over all folds, 95 % interval from a bootstrap over speakers.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from emofuse.config import SplitConfig
from emofuse.corpora import read_corpus
from emofuse.corpora.splits import make_splits
from emofuse.data.features import clips_of
from emofuse.data.states import compute_states
from emofuse.encoders.speech import load_speech_encoder
from emofuse.files import cache_dir
from emofuse.metrics.intervals import bootstrap_interval

SPLITS = {"ravdess": SplitConfig(rule="given", folds="ravdess-emobox"), "nemo": SplitConfig(rule="leave_one_out")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", choices=SPLITS)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", default="whisper-base")
    parser.add_argument("--layers", type=int, nargs="+", default=[2, 3, 4, 5])
    parser.add_argument("--adapt", action="store_true")
    options = parser.parse_args()
    table = read_corpus(options.corpus, options.data / options.corpus)
    encoder = load_speech_encoder(options.encoder)
    features = compute_states(table, cache_dir() / "features", encoder)
    clips = [clip for clip in clips_of(table) if clip]
    states = (features[clip].reshape(-1, encoder.layers, encoder.dim).transpose(1, 0, 2) for clip in clips)
    rows = np.stack([pooled(layers[options.layers]) for layers in states])  # from (layers, steps, dim) each
    guess = out_of_fold(table, rows, SPLITS[options.corpus], adapt=options.adapt)
    labels = sorted(table["original_emotion"].unique())
    found = bootstrap_interval(
        "uar", table["original_emotion"].to_numpy(), guess, table["speaker"].to_numpy(), labels=labels, seed=0
    )
    print(
        f"{options.corpus}, {options.encoder}, layers {options.layers}{', adapted' if options.adapt else ''}: "
        f"UAR {found.value:.3f} ({found.low:.3f} .. {found.high:.3f}), n {found.n}, {found.groups} speakers"
    )


def pooled(states: np.ndarray) -> np.ndarray:
    """(layers, steps, dim) to (layers * 2 * dim,)."""
    states = states.astype(np.float32)
    return np.concatenate([states.mean(axis=1), states.std(axis=1)], axis=1).ravel()


def out_of_fold(table: pd.DataFrame, rows: np.ndarray, split: SplitConfig, *, adapt: bool) -> np.ndarray:
    """Category of each row from a model that saw none of its speaker's labels; development speakers train too."""
    if adapt:
        rows = rows.copy()
        for speaker in table["speaker"].unique():
            own = (table["speaker"] == speaker).to_numpy()
            rows[own] = (rows[own] - rows[own].mean(axis=0)) / (rows[own].std(axis=0) + 1e-3)
    guess = np.empty(len(table), object)
    for parts in make_splits(table, split):
        test = table["key"].isin(parts.test).to_numpy()
        mean, sd = rows[~test].mean(axis=0), rows[~test].std(axis=0) + 1e-3
        model = LogisticRegression(C=0.01, max_iter=300)
        model.fit((rows[~test] - mean) / sd, table["original_emotion"][~test])
        guess[test] = model.predict((rows[test] - mean) / sd)
    return guess


if __name__ == "__main__":
    main()
