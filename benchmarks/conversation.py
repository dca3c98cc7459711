"""Who speaks when, and with what emotion, in composed conversations whose truth is known.

    python benchmarks/conversation.py --data FOLDER --voices emodb [--emotion] [--model BUNDLE] [...]

Prints a row for each condition and number of people: *old*, neighbouring stretches of speech merged up to 15 s; *new*,
one segment an utterance, with speakers by `emofuse.timeline`. Confusion is the share of speech that goes to the wrong
person. With --emotion, accuracy and UAR by time of a bundle from the voice alone, adapted to the recording (old) or to
each speaker (new). The default bundle was trained on RAVDESS and nEMO: judge it on emodb only.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from conversations import (
    CONDITIONS,
    FRAME,
    Conversation,
    Turn,
    compose,
    diarisation_errors,
    load_voices,
    share_of_boundaries,
    share_of_mixed_segments,
)

from emofuse.audio import SAMPLE_RATE
from emofuse.encoders.detector import speech_segments
from emofuse.encoders.speaker import SpeakerEncoder
from emofuse.inference.bundle import Bundle, default_bundle
from emofuse.inference.predictor import Predictor, SpeakerProfile
from emofuse.timeline.segments import Interval, find_utterances, join_short
from emofuse.timeline.speakers import cluster_speakers

HEADER = [
    *("condition", "people", "way", "segments", "mean s", "mixed %", "bounds %", "DER %", "DER(.25) %", "confusion %"),
    *("auto DER %", "auto right", "auto found", "acc", "UAR"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="holds the corpora")
    parser.add_argument("--voices", nargs="+", required=True, help="ravdess-odd, ravdess-even, nemo, emodb")
    parser.add_argument("--conversations", type=int, default=4, help="of each kind and set of voices")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--people", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=list(CONDITIONS))
    parser.add_argument("--only", nargs="+", metavar="EMOTION", help="utterances of these emotions")
    parser.add_argument("--emotion", action="store_true", help="also predict emotions")
    parser.add_argument("--model", type=Path, help="bundle; the default one otherwise")
    parser.add_argument("--seed", type=int, default=1000)
    options = parser.parse_args()
    encoder = SpeakerEncoder()
    predictor = None
    if options.emotion:
        predictor = Predictor(Bundle.load(options.model) if options.model else default_bundle(), transcribe=False)
    voices = [load_voices(options.data, name) for name in options.voices]
    print(f"{', '.join(options.voices)}; {options.conversations * len(voices)} conversations a row")
    print("| " + " | ".join(HEADER) + " |\n" + "|---" * len(HEADER) + "|")
    for condition in options.conditions:
        for people in options.people:
            if condition == "overlap" and people == 1:
                continue
            rows: dict[str, list[list[float]]] = {"old": [], "new": []}
            for number in range(options.conversations):
                for chosen in voices:
                    conversation = compose(
                        chosen,
                        people=people,
                        seconds=options.seconds,
                        condition=condition,
                        emotions=options.only,
                        seed=options.seed + number,
                    )
                    rows["old"].append(judge_old(conversation, predictor))
                    rows["new"].append(judge_new(conversation, people, encoder, predictor))
            for way, figures in rows.items():
                cells = [f"{value:.3g}" for value in np.mean(figures, axis=0)]
                print(f"| {condition} | {people} | {way} | " + " | ".join(cells) + " |", flush=True)


def judge_old(conversation: Conversation, predictor: Predictor | None) -> list[float]:
    segments = [Interval(*segment) for segment in speech_segments(conversation.samples)]
    labels = [0] * len(segments)
    emotions = predict(predictor, conversation, segments, labels)
    return [
        *judge_segments(conversation, segments),
        *judge_speakers(conversation, segments, labels),
        *([np.nan] * 3),
        *judge_emotions(conversation, segments, emotions),
    ]


def judge_new(
    conversation: Conversation, people: int, encoder: SpeakerEncoder, predictor: Predictor | None
) -> list[float]:
    utterances = find_utterances(conversation.samples)
    embeddings = encoder.embed([one.samples_of(conversation.samples) for one in utterances])
    seconds = [one.seconds for one in utterances]
    segments, labels = join_short(utterances, cluster_speakers(embeddings, seconds, speakers=people))
    estimated = cluster_speakers(embeddings, seconds)
    emotions = predict(predictor, conversation, segments, labels)
    found = len(set(estimated))
    return [
        *judge_segments(conversation, segments),
        *judge_speakers(conversation, segments, labels),
        judge_speakers(conversation, utterances, estimated)[0],
        float(found == people),
        found,
        *judge_emotions(conversation, segments, emotions),
    ]


def judge_segments(conversation: Conversation, segments: Sequence[Interval]) -> list[float]:
    return [
        len(segments),
        float(np.mean([one.seconds for one in segments])),
        100 * share_of_mixed_segments(conversation.turns, segments),
        100 * share_of_boundaries(conversation.turns, segments),
    ]


def judge_speakers(conversation: Conversation, segments: Sequence[Interval], labels: Sequence[int]) -> list[float]:
    answer = [Turn(*segment, str(label)) for segment, label in zip(segments, labels, strict=True)]
    exact = diarisation_errors(conversation.turns, answer)
    collared = diarisation_errors(conversation.turns, answer, collar=0.25)
    return [100 * exact.rate, 100 * collared.rate, 100 * exact.confusion / exact.speech]


def predict(
    predictor: Predictor | None, conversation: Conversation, segments: Sequence[Interval], labels: Sequence[int]
) -> list[str | None]:
    """The emotion of each segment, adapted to the segments with the same label."""
    if predictor is None:
        return [None] * len(segments)
    samples = conversation.samples
    means = [predictor.network.frames(one.samples_of(samples)).mean(axis=0) for one in segments]
    emotions = []
    for segment, label in zip(segments, labels, strict=True):
        same = [number for number, other in enumerate(labels) if other == label]
        voice = SpeakerProfile(np.stack([means[i] for i in same]), np.array([segments[i].seconds for i in same]))
        (prediction,) = predictor(
            samples,
            sample_rate=SAMPLE_RATE,
            start=segment.start,
            end=segment.end,
            speaker=voice if len(same) > 1 else None,
        )
        emotions.append(prediction.emotion)
    return emotions


def judge_emotions(
    conversation: Conversation, segments: Sequence[Interval], emotions: Sequence[str | None]
) -> list[float]:
    """Accuracy and UAR over frames of 10 ms of labelled speech; frames outside all segments count as wrong."""
    if not any(emotions):
        return [np.nan, np.nan]
    frames = round(len(conversation.samples) / SAMPLE_RATE / FRAME) + 1
    truth, guess = np.full(frames, None, object), np.full(frames, None, object)
    for turn in conversation.turns:
        truth[round(turn.start / FRAME) : round(turn.end / FRAME)] = turn.emotion
    for segment, emotion in zip(segments, emotions, strict=True):
        guess[round(segment.start / FRAME) : round(segment.end / FRAME)] = emotion
    labelled = truth != None  # noqa: E711 - an array
    truth, guess = truth[labelled], guess[labelled]
    recalls = [np.mean(guess[truth == emotion] == emotion) for emotion in set(truth)]
    return [float(np.mean(guess == truth)), float(np.mean(recalls))]


if __name__ == "__main__":
    main()
