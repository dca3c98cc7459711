"""Confidence of a model for speech that it was made for, and for sounds that are no such speech.

    python benchmarks/out_of_scope.py BUNDLE --recipe RUN/recipe.toml --data FOLDER [--clips 60]

Speech: the test parts of the recipe's corpora with audio, a balanced sample of each. The recipe must be that of the run
that the bundle comes from: a model for use (`emofuse train --folds`, final/) has heard all rows, so its speech is no
fair measure, and the bundle of one of its folds is to be taken instead. A language that none of the bundle's
corpora with audio has is marked: a bundle that was trained without a corpus shows what speech of its language does.

All other sounds are made up here, 3 s each, as loud as the speech: near silence (but that is 70 dB below full scale),
white and pink noise, tones, synthetic music (chords of harmonics with envelopes over a beat of noise bursts; composed
by chance, no recording), and the speech clips played backwards. The model hears audio alone, without words.

Prints a Markdown table: mean confidence (95 % interval from a bootstrap over speakers, or clips where there are none),
the share of answers called uncertain, and how well confidence alone tells speech from the kind (area under the ROC
curve; 0.5: not at all, 1: always lower than that of speech; below 0.5: higher than that of speech).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import emofuse
from emofuse.audio import SAMPLE_RATE, read_audio
from emofuse.config import load_recipe
from emofuse.data.rows import LABEL, labelled_parts
from emofuse.degradations import colour_noise
from emofuse.inference.predictor import Predictor
from emofuse.metrics.intervals import bootstrap_interval
from emofuse.segment import Segment
from emofuse.stress.rows import balanced_sample
from emofuse.timeline.prediction import Prediction

SECONDS = 3.0
QUIET = -70.0  # dB of full scale
N = round(SECONDS * SAMPLE_RATE)
TIME = np.arange(N) / SAMPLE_RATE
CHORDS = ((0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14), (2, 5, 9), (0, 3, 7), (8, 12, 15))  # semitones above C


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=60, help="of each kind, and of each corpus")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    predict = emofuse.load(options.bundle, transcribe=False, adapt=False)
    if not predict.bundle.labels or "audio" not in predict.bundle.reads:
        raise SystemExit(f"{options.bundle}: has no categories or hears no audio")
    recipe = load_recipe(options.recipe)
    [rows] = labelled_parts([recipe], "test", data=options.data)
    rows = rows[rows["file"].notna()].reset_index(drop=True)
    known = {
        language for corpus in predict.bundle.training_data if corpus["with_audio"] for language in corpus["languages"]
    }
    results, everyone, clips = [], [], []
    for corpus, own in rows.groupby("corpus"):
        sample = balanced_sample(own, options.clips, column=LABEL, seed=options.seed)
        places = zip(sample["file"], sample["start"], sample["end"], strict=True)
        sounds = [read_audio(file, start=start, end=end) for file, start, end in places]
        found = answers(predict, sounds)
        [language] = sample["language"].unique()
        strange = "" if language in known else ", not of its training"
        results.append((f"speech: {corpus} ({language}{strange})", found, sample["speaker"].tolist()))
        if language in known:
            everyone += found
            clips += sounds
    if not clips:
        raise SystemExit("the recipe has no speech in a language that the bundle was trained on")
    rng = np.random.default_rng(options.seed)
    loudness = [rms(clip) for clip in clips]
    for kind, make in KINDS.items():
        sounds = [at(make(rng), rng.choice(loudness)) for _ in range(options.clips)]
        results.append((kind, answers(predict, sounds), [None] * options.clips))
    noise = [at(rng.standard_normal(N), 10 ** (QUIET / 20)) for _ in range(options.clips)]
    results.append((f"near silence ({QUIET:g} dB noise)", answers(predict, noise), [None] * options.clips))
    backwards = [clips[i][::-1] for i in rng.permutation(len(clips))[: options.clips]]
    results.append(("speech backwards", answers(predict, backwards), [None] * len(backwards)))
    print(report(predict, recipe.name, "test" in recipe.training.fitted_parts, results, everyone))


def answers(predict: Predictor, sounds: Sequence[np.ndarray]) -> list[Prediction]:
    """One prediction a sound."""
    return [
        predict(np.ascontiguousarray(sound, np.float32), sample_rate=SAMPLE_RATE, segments=[Segment()])[0]
        for sound in sounds
    ]


def report(
    predict: Predictor,
    recipe: str,
    heard: bool,
    results: Sequence[tuple[str, list[Prediction], list]],
    speech: Sequence[Prediction],
) -> str:
    rows = "**training rows**" if heard else "test rows"
    lines = [
        f"Model {predict.bundle.name} ({predict.bundle.model_sha256[:12]}), voice alone; speech: {rows} of {recipe}.",
        "",
        "| what | n | mean confidence | 95 % interval | called uncertain | AUROC against speech |",
        "|---|---|---|---|---|---|",
    ]
    base = np.array([one.confidence for one in speech], float)
    for kind, found, groups in results:
        sure = np.array([one.confidence for one in found], float)
        mean = bootstrap_interval("mae", np.zeros(len(sure)), sure, groups, seed=0)
        unsure = "" if found[0].uncertain is None else f"{np.mean([one.uncertain for one in found]):.0%}"
        apart = "" if kind.startswith("speech:") and "not of its" not in kind else f"{auroc(base, sure):.2f}"
        lines.append(
            f"| {kind} | {len(sure)} | {mean.value:.2f} | {mean.low:.2f} .. {mean.high:.2f} | {unsure} | {apart} |"
        )
    return "\n".join(lines)


def auroc(higher: np.ndarray, lower: np.ndarray) -> float:
    """Chance that one of `higher` is above one of `lower`, ties counted half."""
    difference = higher[:, None] - lower[None]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.square(samples).mean()))


def at(samples: np.ndarray, level: float) -> np.ndarray:
    """As loud as that, in root mean square."""
    return samples * (level / rms(samples))


def tone(rng: np.random.Generator) -> np.ndarray:
    return np.sin(2 * np.pi * np.exp(rng.uniform(np.log(100), np.log(3000))) * TIME)


def music(rng: np.random.Generator) -> np.ndarray:
    """Chords in half seconds, each note with eight harmonics and an envelope, and a drum of noise on every beat."""
    key, attack, beat = 220 * 2 ** (rng.integers(12) / 12), rng.uniform(0.005, 0.1), rng.choice([0.25, 0.375, 0.5])
    slope, sound = rng.uniform(0.8, 2.0), np.zeros(N)
    for start in np.arange(0, SECONDS, 0.5):
        since = TIME - start
        envelope = np.where(since >= 0, np.minimum(since / attack, 1) * np.exp(-since / 0.4), 0)
        for semitone in CHORDS[rng.integers(len(CHORDS))]:
            frequency = key * 2 ** (semitone / 12)
            sound += envelope * sum(np.sin(2 * np.pi * k * frequency * since) / k**slope for k in range(1, 9))
    for start in np.arange(0, SECONDS, beat):
        since = TIME - start
        decay = np.where(since >= 0, np.exp(-np.maximum(since, 0) / rng.uniform(0.02, 0.08)), 0)
        sound += rng.uniform(0.5, 2) * decay * rng.standard_normal(N)
    return sound


KINDS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "white noise": lambda rng: rng.standard_normal(N),
    "pink noise": lambda rng: colour_noise(rng.standard_normal(N), 0.5, flat_below=50),
    "tones (100 to 3000 Hz)": tone,
    "synthetic music": music,
}


if __name__ == "__main__":
    main()
