"""Emotions of recordings that lie in folders as people sort them, adapted to their folder.

    python benchmarks/adapt_folder.py --data FOLDER [--corpora emodb] [--model BUNDLE]

The clips of a corpus, each of them a recording, are put into folders in several ways: by speaker (all emotions mixed),
by emotion (of 2, 4 or all speakers), by speaker and emotion, and all in one folder (of 2, 4 or all speakers; where
there are 2 or 4, the speakers are drawn without replacement). The voice alone is judged, with the categories that the
model has. A clip's category is that of the largest probability, averaged over its segments by their duration.

Printed is UAR with a 95 % interval (bootstrap over speakers) where a clip is adapted

- off: to nothing;
- as one speaker: to all recordings of its folder, as `--adapt folder` did before voices were told apart;
- folder: to the recordings of the same voice in its folder, as `--adapt folder` does;
- true speaker: to the recordings of its speaker in its folder.

Then, for the first three, the percentage of wrong answers among those that are not marked as uncertain; the share of
clips that are in a group of voices; and of these the share in a group of which at least 90 % are one speaker's.

The limits of `emofuse.timeline.voice_groups` were chosen on RAVDESS and nEMO, among five pairs from (0.44, 0.48) to
(0.53, 0.56), with the two directions of emotion projected out that the other of the two corpora gives: by the mean
coverage of folders of one speaker (all clips, 20 and 8) minus the mean share of clips in groups that are less than 90 %
of one speaker, in folders of an emotion (of 2, 4 and all speakers), which RAVDESS decided. EMO-DB is
the judge, with a model that was trained without it (`emofuse export runs/default/without-emodb BUNDLE`).
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emofuse.corpora import read_corpus
from emofuse.encoders.speaker import SpeakerEncoder
from emofuse.inference.bundle import Bundle, default_bundle
from emofuse.inference.options import checked_options
from emofuse.inference.predictor import Predictor
from emofuse.inference.profiles import measure_recording, merge_profiles
from emofuse.metrics.intervals import bootstrap_interval
from emofuse.models.adapter import SpeakerProfile
from emofuse.timeline.voice_groups import group_by_voice

RESAMPLES = 5000


@dataclass(frozen=True)
class Clip:
    """A recording with what is true of it, and what the model reads of it."""

    speaker: str
    emotion: str
    embedding: np.ndarray | None  # of its voice, (256,); None if it seems to have several
    frames: list[np.ndarray]  # of each segment
    seconds: np.ndarray  # duration of each segment

    @property
    def profile(self) -> SpeakerProfile:
        return SpeakerProfile(np.stack([frames.mean(axis=0) for frames in self.frames]), self.seconds)


Members = tuple[int, ...]
"""Numbers of the clips to which a clip is adapted; empty for none."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="holds the corpora")
    parser.add_argument("--corpora", nargs="+", default=["emodb"], help="ravdess, nemo, emodb")
    parser.add_argument("--model", type=Path, help="bundle; the default one otherwise")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    bundle = Bundle.load(options.model) if options.model else default_bundle()
    predictor = Predictor(bundle, transcribe="off", adapt=False)
    header = ["corpus", "folders", "n", "off", "as one speaker", "folder", "true speaker", "wrong of certain, %"]
    header += ["in groups", "pure"]
    print("| " + " | ".join(header) + " |\n" + "|---" * len(header) + "|")
    for corpus in options.corpora:
        judge = Judge(predictor)
        clips = judge.read(options.data, corpus)
        for name, folders in compose(clips, np.random.default_rng(options.seed)):
            print(f"| {corpus} | {name}: {len(folders)} | " + " | ".join(judge.row(clips, folders)) + " |", flush=True)


def compose(clips: Sequence[Clip], rng: np.random.Generator) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Ways to sort clips into folders: a name, and the numbers of the clips of each folder."""
    speakers = np.array([clip.speaker for clip in clips])
    emotions = np.array([clip.emotion for clip in clips])
    names = rng.permutation(sorted(set(speakers)))

    def sort(*keys: np.ndarray) -> list[np.ndarray]:
        labels = np.array(list(map(" ".join, zip(*keys, strict=True))))
        return [np.flatnonzero((labels == label) & kept) for label in sorted(set(labels[kept]))]

    kept = np.ones(len(clips), bool)
    everything = np.full(len(clips), "all")
    yield "a speaker", sort(speakers)
    yield "a speaker and emotion", sort(speakers, emotions)
    for people in (2, 4, len(names)):
        count = len(names) // people * people
        team = {name: str(number // people) for number, name in enumerate(names[:count])}
        kept = np.isin(speakers, names[:count])
        teams = np.array([team.get(name, "") for name in speakers])
        yield f"an emotion of {people} speakers", sort(emotions, teams)
        yield f"all of {people} speakers", sort(everything, teams)


class Judge:
    """Judges clips in folders; what it has judged once is not judged again."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._answers: dict[tuple[int, bytes], tuple[str, bool]] = {}
        self._offsets: dict[Members, np.ndarray] = {}

    def read(self, data: Path, corpus: str) -> list[Clip]:
        """The clips of a corpus whose emotions the model has, and in which somebody speaks."""
        table = read_corpus(corpus, data / corpus)
        table = table[table["emotion"].isin(self._predictor.bundle.labels)]
        encoder, options, clips = SpeakerEncoder(), checked_options({}), []
        for file, speaker, emotion in table[["file", "speaker", "emotion"]].itertuples(index=False):
            embedding = measure_recording(self._predictor, file, options, speaker_encoder=encoder).embedding
            segments = list(self._predictor.iter_segments(file, speakers="off"))
            seconds = np.array([(one.prediction.end or 0.0) - (one.prediction.start or 0.0) for one in segments])
            frames = [one.frames for one in segments if one.frames is not None]
            if frames:
                clips.append(Clip(speaker, emotion, embedding, frames, seconds))
        return clips

    def row(self, clips: Sequence[Clip], folders: Sequence[np.ndarray]) -> list[str]:
        """The cells of a row of the table."""
        numbers = np.concatenate(folders)
        truth, speakers = ([getattr(clips[i], name) for i in numbers] for name in ("emotion", "speaker"))
        folder = [members for one in folders for members in by_voice(clips, one)]
        ways: dict[str, list[Members]] = {
            "off": [()] * len(numbers),
            "as one speaker": [tuple(one) for one in folders for _ in one],
            "folder": folder,
            "true speaker": [
                tuple(j for j in one if clips[j].speaker == clips[i].speaker) for one in folders for i in one
            ],
        }
        scores, wrong = [], []
        for members in ways.values():
            answers = [self._judge(clips, i, others) for i, others in zip(numbers, members, strict=True)]
            found = [emotion for emotion, _ in answers]
            score = bootstrap_interval("uar", truth, found, speakers, resamples=RESAMPLES, seed=0)
            scores.append(f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})")
            certain = [one != is_true for (one, sure), is_true in zip(answers, truth, strict=True) if sure]
            wrong.append(f"{100 * np.mean(certain):.0f}" if certain else "-")
        grouped = [members for members in folder if len(members) > 1]
        pure = [max(Counter(clips[j].speaker for j in one).values()) >= 0.9 * len(one) for one in grouped]
        shares = [f"{len(grouped) / len(numbers):.2f}", f"{np.mean(pure):.2f}" if pure else "-"]
        return [str(len(numbers)), *scores, ", ".join(wrong[:3]), *shares]

    def _judge(self, clips: Sequence[Clip], number: int, members: Members) -> tuple[str, bool]:
        """The category of a clip, adapted to other clips, and whether it is certain."""
        offset = self._offset(clips, members)
        key = number, offset.tobytes()
        if key not in self._answers:
            clip, network = clips[number], self._predictor.network
            answers = [network.answer(frames - offset, None) for frames in clip.frames]
            probabilities = np.average([one.probabilities for one in answers], axis=0, weights=clip.seconds)
            calibration = answers[0].calibration
            certain = calibration is None or probabilities.max() >= calibration.uncertain_below
            self._answers[key] = self._predictor.bundle.labels[int(probabilities.argmax())], bool(certain)
        return self._answers[key]

    def _offset(self, clips: Sequence[Clip], members: Members) -> np.ndarray:
        if members not in self._offsets:
            profile = merge_profiles([clips[i].profile for i in members or (0,)])
            assert self._predictor.adapter is not None
            offset = self._predictor.adapter.offset(profile.means, profile.seconds)
            self._offsets[members] = offset if members else np.zeros_like(offset)
        return self._offsets[members]


def by_voice(clips: Sequence[Clip], folder: np.ndarray) -> list[Members]:
    """The clips of the same voice for each clip of a folder; only itself if it shares its voice with no other."""
    usable = [i for i in folder if clips[i].embedding is not None]
    labels = dict(zip(usable, group_by_voice(np.array([clips[i].embedding for i in usable])), strict=True))
    groups: dict[int, list[int]] = {}
    for i, label in labels.items():
        if label is not None:
            groups.setdefault(label, []).append(i)
    found = (labels.get(i) for i in folder)
    return [(i,) if label is None else tuple(groups[label]) for i, label in zip(folder, found, strict=True)]


if __name__ == "__main__":
    main()
