"""Conversations with known truth, composed of single utterances, and how well a diarisation matches them.

Everything is composed: the people never spoke to each other, and their utterances are short acted sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from emofuse.audio import SAMPLE_RATE, read_audio
from emofuse.corpora import read_corpus
from emofuse.degradations import add_noise, add_reverberation, apply_mu_law, colour_noise, limit_peak

FRAME = 0.01  # seconds, resolution of the scores
CONDITIONS = ("clean", "overlap", "noise", "telephone")
_LEVEL = 10 ** (-26 / 20)  # root mean square of a speaker's median utterance


class Turn(NamedTuple):
    """A stretch of a recording with its speaker, in seconds; `emotion` is None where it is not known."""

    start: float
    end: float
    speaker: str
    emotion: str | None = None


class Utterance(NamedTuple):
    """One recorded sentence of a corpus."""

    file: str
    emotion: str | None
    sex: str


@dataclass
class Conversation:
    """A composed recording at 16 kHz and the truth about it.

    Attributes:
        name: of the condition, the number of people and the seed.
        samples: (n,).
        tracks: each person's clean speech by itself, (n, people).
        turns: in order of time.
    """

    name: str
    samples: np.ndarray
    tracks: np.ndarray
    turns: list[Turn]


def load_voices(data: Path, choice: str) -> dict[str, list[Utterance]]:
    """Utterances by speaker: of "ravdess-odd", "ravdess-even" (actors by number), "nemo" or "emodb"."""
    corpus, _, actors = choice.partition("-")
    table = read_corpus(corpus, data / corpus)
    if actors:
        table = table[table["speaker"].str[-2:].astype(int) % 2 == (actors == "odd")]
    table = table.astype(object).where(table.notna(), None)
    voices: dict[str, list[Utterance]] = {}
    for speaker, *utterance in table[["speaker", "file", "emotion", "gender"]].itertuples(index=False):
        voices.setdefault(speaker, []).append(Utterance(*utterance))
    return voices


def compose(
    voices: dict[str, list[Utterance]],
    *,
    people: int,
    seconds: float,
    sexes: Literal["any", "same", "mixed"] = "any",
    condition: str = "clean",
    emotions: Sequence[str] | None = None,
    seed: int = 0,
) -> Conversation:
    """Compose a conversation of utterances and pauses of 0.2 to 2.5 s.

    The speaker changes after three utterances of four. Under "overlap" a quarter of the changes begin 0.3 to 0.8 s
    before the other has ended; under "noise" there is a room (RT60 0.4 s) with pink noise 15 dB below speech;
    "telephone" is mu-law at 8 kHz.

    Args:
        voices: from `load_voices`; the people are drawn from them.
        people: how many speak.
        seconds: least duration.
        sexes: of the people: as they are drawn, all the same, or women and men in turn.
        condition: one of `CONDITIONS`.
        emotions: utterances of these only; None for all.
        seed: of every choice.
    """
    rng = np.random.default_rng(seed)
    speakers = _draw_speakers(voices, people, sexes, rng)
    queues = {name: _shuffled(voices[name], emotions, rng) for name in speakers}
    pieces: list[tuple[int, np.ndarray, str]] = []
    turns: list[Turn] = []
    speaker, at = speakers[0], SAMPLE_RATE // 2
    while at < seconds * SAMPLE_RATE and queues[speaker]:
        clip, emotion = queues[speaker].pop()
        pieces.append((at, clip, speaker))
        turns += [
            Turn(at / SAMPLE_RATE + start, at / SAMPLE_RATE + end, speaker, emotion) for start, end in speech(clip)
        ]
        following = speaker
        if people > 1 and rng.random() < 0.75:
            following = str(rng.choice([name for name in speakers if name != speaker]))
        pause = rng.uniform(0.2, 2.5)
        if condition == "overlap" and following != speaker and rng.random() < 0.25:
            pause = -rng.uniform(0.3, 0.8)
        at, speaker = at + len(clip) + int(pause * SAMPLE_RATE), following
    tracks = np.zeros((max(first + len(clip) for first, clip, _ in pieces) + SAMPLE_RATE // 2, people))
    for first, clip, name in pieces:
        tracks[first : first + len(clip), speakers.index(name)] += clip
    samples = _degraded(tracks.sum(axis=1), condition, rng)
    return Conversation(f"{condition}-{people}-{seed}", samples, tracks.astype(np.float32), sorted(turns))


def _draw_speakers(voices: dict[str, list[Utterance]], people: int, sexes: str, rng: np.random.Generator) -> list[str]:
    names = [str(name) for name in rng.permutation(sorted(voices))]
    if sexes == "any":
        return names[:people]
    sex = voices[names[0]][0].sex
    first = [name for name in names if voices[name][0].sex == sex]
    second = [name for name in names if voices[name][0].sex != sex]
    return first[:people] if sexes == "same" else [*first[: (people + 1) // 2], *second[: people // 2]]


def _shuffled(
    utterances: list[Utterance], emotions: Sequence[str] | None, rng: np.random.Generator
) -> list[tuple[np.ndarray, str | None]]:
    """Up to 100 utterances of a speaker in random order, cut to their speech, at a common level."""
    usable = [one for one in utterances if emotions is None or one.emotion in emotions]
    chosen = [usable[i] for i in rng.permutation(len(usable))[:100]]
    clips = [cut_to_speech(read_audio(one.file)) for one in chosen]
    median = np.median([np.sqrt(np.square(clip).mean()) for clip in clips])
    return [(clip * (_LEVEL / median), one.emotion) for clip, one in zip(clips, chosen, strict=True)]


def cut_to_speech(clip: np.ndarray) -> np.ndarray:
    stretches = speech(clip)
    return clip[round(stretches[0][0] * SAMPLE_RATE) : round(stretches[-1][1] * SAMPLE_RATE)]


def speech(clip: np.ndarray, pause: float = 0.3) -> list[tuple[float, float]]:
    """Stretches of speech of a clean clip of one speaker by its level alone, in seconds; at least one.

    A frame of 25 ms is speech if its level is within 30 dB of the loud frames' (the 95th percentile) and above the
    background's (the 5th) by 0.35 of the range between. Bursts under 60 ms do not count, pauses under `pause` do.
    """
    frames = np.lib.stride_tricks.sliding_window_view(clip, SAMPLE_RATE // 40)[:: round(FRAME * SAMPLE_RATE)]
    level = 10 * np.log10(np.square(frames, dtype=np.float64).mean(axis=1) + 1e-10)
    quiet, loud = np.quantile(level, [0.05, 0.95])
    loud_frames = level > max(loud - 30, quiet + 0.35 * (loud - quiet))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], loud_frames, [0]])))
    runs = [
        (start * FRAME, end * FRAME + 0.015) for start, end in edges.reshape(-1, 2) if (end - start) * FRAME >= 0.06
    ]
    stretches: list[tuple[float, float]] = []
    for start, end in runs or [(0.0, len(clip) / SAMPLE_RATE)]:
        if stretches and start - stretches[-1][1] < pause:
            start = stretches.pop()[0]
        stretches.append((start, min(end, len(clip) / SAMPLE_RATE)))
    return stretches


def _degraded(samples: np.ndarray, condition: str, rng: np.random.Generator) -> np.ndarray:
    if condition == "noise":
        samples = add_reverberation(samples, rng.normal(size=int(0.4 * SAMPLE_RATE)), rt60=0.4, below=6.0)
        samples = add_noise(samples, colour_noise(rng.normal(size=len(samples)), 0.5, flat_below=50.0), 15.0)
    else:
        samples = samples + rng.normal(0, 1e-4, len(samples))
    samples = limit_peak(samples)
    return (apply_mu_law(samples) if condition == "telephone" else samples).astype(np.float32)


class DiarisationErrors(NamedTuple):
    """Seconds of error, and of speech in the reference (overlap counts once a speaker)."""

    missed: float
    false_alarm: float
    confusion: float
    speech: float

    @property
    def rate(self) -> float:
        """Diarisation error rate: 0 is perfect, values above 1 are possible."""
        return (self.missed + self.false_alarm + self.confusion) / self.speech


def diarisation_errors(truth: Sequence[Turn], answer: Sequence[Turn], *, collar: float = 0.0) -> DiarisationErrors:
    """Diarisation errors in frames of 10 ms under the best one-to-one mapping of speakers.

    Args:
        truth: who speaks when.
        answer: the same as a system says; its speakers have any names.
        collar: seconds around each boundary of the truth that are not scored.
    """
    frames = int(np.ceil(max(turn.end for turn in [*truth, *answer]) / FRAME)) + 1
    reference, guess = _activity(truth, frames), _activity(answer, frames)  # (speakers, frames)
    scored = np.ones(frames, bool)
    for boundary in (time for turn in truth for time in (turn.start, turn.end)):
        scored[max(0, round((boundary - collar) / FRAME)) : round((boundary + collar) / FRAME)] = False
    reference, guess = reference[:, scored], guess[:, scored]
    together = reference.astype(np.int64) @ guess.T.astype(np.int64)
    rows, columns = linear_sum_assignment(-together)
    correct = together[rows, columns].sum()
    spoken, said = reference.sum(axis=0), guess.sum(axis=0)
    counts = (
        np.maximum(spoken - said, 0).sum(),
        np.maximum(said - spoken, 0).sum(),
        np.minimum(spoken, said).sum() - correct,
        spoken.sum(),
    )
    return DiarisationErrors(*(float(count * FRAME) for count in counts))


def _activity(turns: Sequence[Turn], frames: int) -> np.ndarray:
    """Who speaks in each frame: bool (speakers, frames)."""
    names = sorted({turn.speaker for turn in turns})
    active = np.zeros((len(names), frames), bool)
    for turn in turns:
        active[names.index(turn.speaker), round(turn.start / FRAME) : round(turn.end / FRAME)] = True
    return active


def share_of_mixed_segments(truth: Sequence[Turn], segments: Sequence[tuple[float, float]]) -> float:
    """Share of segments in which two or more people speak for at least 0.2 s each, 0..1."""
    mixed = 0
    for start, end in segments:
        seconds: dict[str, float] = {}
        for turn in truth:
            shared = min(end, turn.end) - max(start, turn.start)
            seconds[turn.speaker] = seconds.get(turn.speaker, 0.0) + max(shared, 0.0)
        mixed += sum(value >= 0.2 for value in seconds.values()) > 1
    return mixed / max(len(segments), 1)


def share_of_boundaries(truth: Sequence[Turn], segments: Sequence[tuple[float, float]], within: float = 0.2) -> float:
    """Share of the truth's starts and ends that have a segment's start or end within so many seconds, 0..1."""
    found = [
        min((abs(segment[side] - turn[side]) for segment in segments), default=np.inf) <= within
        for turn in truth
        for side in (0, 1)
    ]
    return float(np.mean(found))
