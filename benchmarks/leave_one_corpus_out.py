"""Compare a model on corpora that it was not trained on with linear models on the same hidden states.

    emofuse train recipes/default.toml --folds --out runs/default
    python benchmarks/leave_one_corpus_out.py runs/default --data FOLDER

For each corpus in `training.leave_out`, the model and the linear models are trained on the others and tested on all of
its clips; the corpus's own categories compete. *alone*: each clip by itself. *5*, *all*: the model is adapted to the
speaker by five or all other clips, without their labels; the linear models subtract the mean of these clips, shrunk by
n / (n + 3), from each clip. *same*: the five clips have the clip's own emotion.

- regression, raw: logistic regression (C = 0.001) on mean and standard deviation over time.
- regression, centred: the same on the mean, from which the mean of each speaker is subtracted in training.
- discriminants: those of the model, without its network.

UAR with 95 % intervals from a bootstrap over speakers, and the model minus the linear model, paired.
"""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from emofuse.config import Recipe, load_recipe
from emofuse.data.prepare import prepare
from emofuse.data.utterances import Utterances
from emofuse.metrics.intervals import two_sided_p
from emofuse.training.discriminants import LabelledClips
from emofuse.training.speakers import discriminant_of, labelled_clips

WAYS = {"alone": "", "5": "-adapted-5", "all": "-adapted", "same": "-adapted-5-same"}
SHRINKAGE, RESAMPLES = 3.0, 2000

Floats = np.ndarray
Linear = Callable[[Floats], Floats]  # from features (n, D) to scores (n, K)


@dataclass(frozen=True)
class Tested:
    """The labelled clips of the corpus that was left out."""

    rows: Utterances
    used: np.ndarray  # numbers of the rows with a category

    @property
    def label(self) -> np.ndarray:
        """Category numbers."""
        return self.rows.label[self.used]

    @property
    def speaker(self) -> np.ndarray:
        """Number of each clip's speaker."""
        return pd.factorize(self.rows.table["speaker"].iloc[self.used])[0]

    def guesses(self, scores: Floats) -> np.ndarray:
        """The best of the corpus's categories for each row of scores (n, K)."""
        present = np.unique(self.label)
        guesses: np.ndarray = present[scores[:, present].argmax(axis=1)]
        return guesses

    def offsets(self, features: Floats, centre: Floats, way: str) -> Floats:
        """What to subtract from each clip's features: the shrunk mean of other clips of its speaker, (n, D)."""
        offsets = np.zeros_like(features)
        if way == "alone":
            return offsets
        random, speaker, label = np.random.default_rng(0), self.speaker, self.label
        for row in range(len(features)):
            fitting = (speaker == speaker[row]) & ((label == label[row]) | (way != "same"))
            others = np.setdiff1d(np.flatnonzero(fitting), row)
            if way != "all":
                others = random.permutation(others)[:5]
            if len(others):
                offsets[row] = (features[others].mean(axis=0) - centre) * len(others) / (len(others) + SHRINKAGE)
        return offsets


def main() -> None:
    """Print a table of each corpus."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder that emofuse train --folds wrote")
    parser.add_argument("--data", type=Path, required=True, help="holds the corpora")
    options = parser.parse_args()
    recipe = load_recipe(options.run / "recipe.toml")
    print("| corpus | way | n | speakers | system | UAR | model minus it | p |\n|---|---|---|---|---|---|---|---|")
    for name in recipe.training.leave_out:
        compare(options.run, name, recipe.without_corpus(name), options.data)


def compare(run: Path, name: str, recipe: Recipe, data: Path) -> None:
    """Print the rows of one corpus."""
    with contextlib.redirect_stdout(io.StringIO()):
        prepared = prepare(recipe, data=data)
    rows = prepared.parts["test"]
    tested = Tested(rows, np.flatnonzero(rows.has_audio & (rows.label >= 0) & (rows.table["corpus"] == name)))
    train = labelled_clips(prepared.parts["train"])
    assert train is not None
    systems = {
        "regression, raw": raw_regression(prepared.parts["train"], tested),
        "regression, centred": centred_regression(train, tested),
        "discriminants": discriminants(train, recipe, tested),
    }
    keys = rows.table["key"].iloc[tested.used]
    for way, suffix in WAYS.items():
        predictions = pd.read_parquet(run / f"predictions-new-corpus{suffix}.parquet").set_index("key").loc[keys]
        scores = predictions[[f"probability_{k}" for k in range(len(recipe.data.labels.names))]].to_numpy()
        model = resampled_uar(tested, tested.guesses(scores))
        head = f"| {name} | {way} | {len(keys)} | {tested.speaker.max() + 1} |"
        print(f"{head} **model** | {interval(model)} | | |")
        for system, guess in systems.items():
            other = resampled_uar(tested, guess(way))
            gap = model - other
            print(f"{head} {system} | {interval(other)} | {interval(gap)} | {two_sided_p(gap[1:]):.3f} |", flush=True)


def raw_regression(train: Utterances, tested: Tested) -> Callable[[str], np.ndarray]:
    """Logistic regression on means and standard deviations of clips as they are."""
    used = np.flatnonzero(train.has_audio & (train.label >= 0) & ~train.composed)
    features = with_deviations(train, used)
    corpus = train.table["corpus"].to_numpy()[used].astype(str)
    speaker = np.arange(len(used)).astype(str)
    clips = LabelledClips(features, train.label[used], speaker, corpus, features[:0])
    fitted = regression(features, clips)
    x, centre = with_deviations(tested.rows, tested.used), features.mean(axis=0)
    return lambda way: tested.guesses(fitted(x - tested.offsets(x, centre, way)))


def centred_regression(train: LabelledClips, tested: Tested) -> Callable[[str], np.ndarray]:
    """Logistic regression on means minus the mean of their speaker."""
    residual, centre = train.centred()
    fitted = regression(residual, train)
    x = tested.rows.means()[0, tested.used]
    return lambda way: tested.guesses(fitted(x - centre - tested.offsets(x, centre, way)))


def discriminants(train: LabelledClips, recipe: Recipe, tested: Tested) -> Callable[[str], np.ndarray]:
    """The discriminants of the recipe's model."""
    fitted = discriminant_of(recipe.model, train, len(recipe.data.labels.names))
    x = tested.rows.means()[0, tested.used]
    return lambda way: tested.guesses(fitted.scores(x - tested.offsets(x, fitted.centre, way)))


def regression(features: Floats, clips: LabelledClips) -> Linear:
    """Fit logistic regression; the scores of categories without clips are very low."""
    scale = features.std(axis=0) + 1e-3
    model = LogisticRegression(C=1e-3, max_iter=300)
    model.fit(features / scale, clips.label, sample_weight=clips.weights())

    def scores(x: Floats) -> Floats:
        every = np.full((len(x), 1 + max(model.classes_.max(), 6)), -np.inf)
        every[:, model.classes_] = model.decision_function(x / scale)
        return every

    return scores


def with_deviations(rows: Utterances, used: np.ndarray) -> Floats:
    """Mean and standard deviation over time of some rows' clips, (n, 2 * width)."""
    clips = [np.asarray(rows.features[rows.clips[row]], np.float32) for row in used]  # type: ignore[index]
    return np.stack([np.concatenate([clip.mean(axis=0), clip.std(axis=0)]) for clip in clips])


def resampled_uar(tested: Tested, guesses: np.ndarray) -> Floats:
    """UAR as observed, then in resamples of the speakers, (1 + resamples,)."""
    speaker, label = tested.speaker, tested.label
    present = np.unique(label)
    right, count = np.zeros((2, speaker.max() + 1, len(present)))
    place = np.searchsorted(present, label)
    np.add.at(count, (speaker, place), 1)
    np.add.at(right, (speaker, place), guesses == label)
    drawn = np.random.default_rng(7).multinomial(len(count), np.full(len(count), 1 / len(count)), size=RESAMPLES)
    drawn = np.concatenate([np.ones((1, len(count)), int), drawn])
    recalls: Floats = ((drawn @ right) / np.maximum(drawn @ count, 1)).mean(axis=1)
    return recalls


def interval(values: Floats) -> str:
    """The observed value, and the 95 % interval of its resamples."""
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return f"{values[0]:.3f} ({low:.3f} .. {high:.3f})"


if __name__ == "__main__":
    main()
