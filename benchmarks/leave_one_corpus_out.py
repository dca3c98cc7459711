"""Leave one corpus out of three: linear models on mean hidden states, for a clip alone and adapted to its speaker.

    python benchmarks/voice_states.py --data FOLDER --out CACHE
    python benchmarks/voice_states.py --data FOLDER --out CACHE-varied --varied 1
    python benchmarks/leave_one_corpus_out.py --cache CACHE --varied CACHE-varied --shifts 0.3

Each of RAVDESS, nEMO and EMO-DB is tested by models of the other two; the categories of the tested corpus compete. UAR
of a clip alone, and with the mean of 1, 5, 20 or all other clips of its speaker subtracted, shrunk by n / (n + 3);
`same` draws those clips from the clip's own emotion. The score is the mean of alone, 5 and all over the corpora, with
a 95 % interval from a bootstrap over speakers, and the paired difference from logistic regression on centred states.

Linear discriminant analysis here adds a multiple of the mean variance to the diagonal of the covariance within a
speaker's emotion (`--ridge`), and optionally the covariance of the shifts that rooms and lines cause (`--shifts`).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from emofuse.metrics.intervals import two_sided_p

CORPORA = ("ravdess", "nemo", "emodb")
LABELS = ["neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise"]
WAYS = {"alone": 0, "1": 1, "5": 5, "20": 20, "all": -1, "same5": 5, "same20": 20}
SELECTION = ("alone", "5", "all")
SHRINKAGE, DRAWS, RESAMPLES = 3.0, 3, 2000
STORED_LAYERS = (2, 3, 4, 5)  # of the default model

Floats = np.ndarray


@dataclass(frozen=True)
class Clips:
    """Clips with their corpus, speaker, category (number in `LABELS`) and features."""

    corpus: np.ndarray  # (n,) names
    speaker: np.ndarray  # (n,) numbers
    label: np.ndarray  # (n,) numbers
    x: Floats  # (n, D)

    @classmethod
    def load(cls, folder: Path, layers: list[int], *, with_sd: bool = False) -> Clips:
        """Read the means over time of some layers, with their standard deviations if wanted."""
        table = pd.read_parquet(folder / "clips.parquet").reset_index(drop=True)
        has_label = table["emotion"].isin(LABELS).to_numpy()
        arrays = []
        for name in ("means", "stds") if with_sd else ("means",):
            blocks = np.split(np.load(folder / f"{name}.npy"), len(STORED_LAYERS), axis=1)
            arrays += [blocks[STORED_LAYERS.index(layer)] for layer in layers]
        table = table[has_label]
        label = table["emotion"].map(LABELS.index).to_numpy()
        return cls(table["corpus"].to_numpy(), pd.factorize(table["speaker"])[0], label, np.hstack(arrays)[has_label])

    def rows(self, keep: np.ndarray) -> Clips:
        """Some of the clips."""
        return Clips(self.corpus[keep], self.speaker[keep], self.label[keep], self.x[keep])

    def weights(self) -> Floats:
        """Weight of each clip: corpora weigh alike, and the categories within a corpus."""
        counts = pd.DataFrame({"corpus": self.corpus, "label": self.label})
        clips = counts.groupby(["corpus", "label"])["label"].transform("size").to_numpy()
        categories = counts.groupby("corpus")["label"].transform("nunique").to_numpy()
        weights = 1 / clips / categories
        return weights / weights.mean()

    def centred(self) -> tuple[Floats, Floats]:
        """Features minus the mean of each clip's speaker over categories, and the mean of speakers over corpora."""
        x, centres = self.x.copy(), []
        for corpus in np.unique(self.corpus):
            voices = []
            for speaker in np.unique(self.speaker[self.corpus == corpus]):
                own = self.speaker == speaker
                categories = np.unique(self.label[own])
                voices.append(np.mean([self.x[own & (self.label == k)].mean(axis=0) for k in categories], axis=0))
                x[own] -= voices[-1]
            centres.append(np.mean(voices, axis=0))
        return x, np.mean(centres, axis=0)


@dataclass(frozen=True)
class Linear:
    """Scores (x - centre) @ weight + bias; the offset of a speaker is subtracted from x."""

    centre: Floats  # (D,)
    weight: Floats  # (D, K)
    bias: Floats  # (K,)

    def scores(self, x: Floats) -> tuple[Floats, Floats]:
        """Scores of clips alone (n, K), and what each clip contributes to an offset of the scores."""
        moved = (x - self.centre) @ self.weight
        return moved + self.bias, moved


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--varied", type=Path, help="cache of varied copies, for --shifts")
    parser.add_argument("--layers", type=int, nargs="+", default=[2, 3])
    parser.add_argument("--ridge", type=float, default=3.0)
    parser.add_argument("--shifts", type=float, default=0.0)
    options = parser.parse_args()
    if options.shifts and not options.varied:
        parser.error("--shifts needs --varied")
    stored = list(STORED_LAYERS)
    every, with_sd = Clips.load(options.cache, stored), Clips.load(options.cache, stored, with_sd=True)
    some = Clips.load(options.cache, options.layers)
    shifts = Clips.load(options.varied, options.layers).x - some.x if options.shifts else None
    contexts = {corpus: draw_contexts(some, corpus) for corpus in CORPORA}
    print(f"| system | {' | '.join(WAYS)} | score | difference | p | seconds |\n" + "|---" * (len(WAYS) + 5) + "|")
    systems = {
        "logistic regression, centred means": (every, lambda train: regression(every.rows(train), centre=True)),
        "logistic regression, means and sd": (with_sd, lambda train: regression(with_sd.rows(train), centre=False)),
        f"discriminant analysis, layers {options.layers}": (
            some,
            lambda train: discriminants(
                some.rows(train), options.ridge, None if shifts is None else shifts[train], options.shifts
            ),
        ),
    }
    base = None
    for name, (clips, fit) in systems.items():
        start = time.perf_counter()
        models = {corpus: fit(clips.corpus != corpus) for corpus in CORPORA}
        scores = {way: judge(clips, models, contexts, way) for way in WAYS}  # (1 + resamples,) each
        mean = np.mean([scores[way] for way in SELECTION], axis=0)
        base = mean if base is None else base
        low, high = np.percentile(mean[1:], [2.5, 97.5])
        gap = mean - base
        p = f"{two_sided_p(gap[1:]):.3f}" if gap.any() else ""
        cells = [f"{scores[way][0]:.3f}" for way in WAYS]
        cells += [f"{mean[0]:.3f} ({low:.3f} .. {high:.3f})", f"{gap[0]:+.3f}", p, f"{time.perf_counter() - start:.0f}"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def regression(train: Clips, *, centre: bool) -> Linear:
    """Logistic regression (C = 0.001) on standardised features, with speakers' means subtracted or not."""
    residual, voices = train.centred()
    x, middle = (residual, voices) if centre else (train.x - train.x.mean(axis=0), train.x.mean(axis=0))
    sd = x.std(axis=0) + 1e-3
    model = LogisticRegression(C=1e-3, max_iter=300)
    model.fit(x / sd, train.label, sample_weight=train.weights())
    weight, bias = np.zeros((len(sd), len(LABELS))), np.full(len(LABELS), -30.0)
    weight[:, model.classes_], bias[model.classes_] = model.coef_.T / sd[:, None], model.intercept_
    return Linear(middle, weight, bias)


def discriminants(train: Clips, ridge: float, shifts: Floats | None, share: float) -> Linear:
    """Linear discriminant analysis of speaker-centred features whose covariance is strongly regularised."""
    residual, middle = train.centred()
    sd = train.x.std(axis=0) + 1e-3
    residual = residual / sd
    means = np.zeros((len(LABELS), len(sd)))
    for k in np.unique(train.label):
        groups = [residual[(train.corpus == c) & (train.label == k)] for c in np.unique(train.corpus)]
        means[k] = np.mean([group.mean(axis=0) for group in groups if len(group)], axis=0)
    within = residual - means[train.label]
    covariance = (within * train.weights()[:, None]).T @ within / len(within)
    if shifts is not None:
        covariance += share * (shifts / sd).T @ (shifts / sd) / len(shifts)
    covariance += ridge * np.trace(covariance) / len(sd) * np.eye(len(sd))
    weight = np.linalg.solve(covariance, means.T)
    return Linear(middle, weight / sd[:, None], -0.5 * (weight.T * means).sum(axis=1))


def draw_contexts(clips: Clips, corpus: str) -> dict[str, list[list[np.ndarray]]]:
    """Row numbers of the other clips of its speaker behind the offset of each clip of a corpus, by way and draw."""
    rng = np.random.default_rng(0)
    tested = np.flatnonzero(clips.corpus == corpus)
    contexts: dict[str, list[list[np.ndarray]]] = {}
    for way, n in WAYS.items():
        draws = []
        for _ in range(DRAWS if n > 0 else 1):
            chosen = []
            for row in tested:
                usable = clips.speaker == clips.speaker[row]
                if way.startswith("same"):
                    usable = usable & (clips.label == clips.label[row])
                others = np.setdiff1d(np.flatnonzero(usable), row)
                chosen.append(others if n < 0 else rng.permutation(others)[:n])
            draws.append(chosen)
        contexts[way] = draws
    return contexts


def judge(
    clips: Clips, models: dict[str, Linear], contexts: dict[str, dict[str, list[list[np.ndarray]]]], way: str
) -> Floats:
    """UAR averaged over corpora: as observed, then in each resample of speakers; (1 + resamples,)."""
    by_corpus = []
    for corpus in CORPORA:
        tested = np.flatnonzero(clips.corpus == corpus)
        alone, moved = models[corpus].scores(clips.x)
        present = np.unique(clips.label[tested])
        _, speaker = np.unique(clips.speaker[tested], return_inverse=True)
        counts = np.zeros((speaker.max() + 1, len(LABELS), len(LABELS)))
        for chosen in contexts[corpus][way]:
            offsets = np.stack([moved[rows].sum(axis=0) / (len(rows) + SHRINKAGE) for rows in chosen])
            guess = present[(alone[tested] - offsets)[:, present].argmax(axis=1)]
            np.add.at(counts, (speaker, clips.label[tested], guess), 1)
        rng = np.random.default_rng(7)
        drawn = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=RESAMPLES)
        drawn = np.concatenate([np.ones((1, len(counts)), int), drawn])
        confusions = np.einsum("rs,sij->rij", drawn, counts)[:, present]
        recalls = confusions[:, np.arange(len(present)), present] / np.maximum(confusions.sum(axis=2), 1)
        by_corpus.append(recalls.mean(axis=1))
    return np.mean(by_corpus, axis=0)


if __name__ == "__main__":
    main()
