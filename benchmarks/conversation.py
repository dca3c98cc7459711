"""Who speaks when, and with what emotion, in composed conversations whose truth is known.

    python benchmarks/conversation.py --data FOLDER --voices emodb [--sexes same] [--emotion] [--model BUNDLE] [...]

Prints a row for each condition and number of people: segments (one an utterance), the share with two or more people
for at least 0.2 s each, and the share of boundaries found within 0.2 s; the diarisation error rate (DER) with the
number of people given, its parts, and its value with a collar of 0.25 s; how many people are estimated. With --emotion,
accuracy and UAR by time of a bundle from the voice alone, adapted to the recording and to each speaker that was told
apart, and accuracy with the true turns. The default
bundle was trained on RAVDESS and nEMO: judge it on emodb only. The last lines are CPU times.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
from emofuse.encoders.speaker import SpeakerEncoder, background_mel
from emofuse.inference.bundle import Bundle, default_bundle
from emofuse.inference.predictor import Predictor
from emofuse.segment import Segment
from emofuse.timeline.prediction import Prediction
from emofuse.timeline.segments import Interval, find_utterances, join_short
from emofuse.timeline.speakers import cluster_speakers

COLUMNS = [
    *("segments", "mean s", "mixed %", "bounds %", "missed %", "false alarm %", "confusion %", "DER %", "DER(.25) %"),
    *("acc, recording", "UAR, recording", "acc, speakers", "UAR, speakers"),
    *("acc, true turns, not adapted", "acc, true turns, recording", "acc, true turns, speakers"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="holds the corpora")
    parser.add_argument("--voices", nargs="+", required=True, help="ravdess-odd, ravdess-even, nemo, emodb")
    parser.add_argument("--conversations", type=int, default=4, help="of each kind and set of voices")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--people", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--sexes", choices=["any", "same", "mixed"], default="any")
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=list(CONDITIONS))
    parser.add_argument("--only", nargs="+", metavar="EMOTION", help="utterances of these emotions")
    parser.add_argument("--emotion", action="store_true", help="also predict emotions")
    parser.add_argument("--model", type=Path, help="bundle; the default one otherwise")
    parser.add_argument("--seed", type=int, default=1000)
    options = parser.parse_args()
    diariser = Diariser()
    predictor = None
    if options.emotion:
        predictor = Predictor(Bundle.load(options.model) if options.model else default_bundle(), transcribe="off")
    voices = [load_voices(options.data, name) for name in options.voices]
    print(f"{', '.join(options.voices)}; {options.conversations * len(voices)} conversations a row")
    header = ["condition", "people", *(COLUMNS if predictor else COLUMNS[:-7]), "estimated people: conversations"]
    print("| " + " | ".join(header) + " |\n" + "|---" * len(header) + "|")
    for condition in options.conditions:
        for people in options.people:
            if condition == "overlap" and people == 1:
                continue
            rows, counts = [], Counter[int]()
            for seed in range(options.seed, options.seed + options.conversations):
                for chosen in voices:
                    conversation = compose(
                        chosen,
                        people=people,
                        seconds=options.seconds,
                        sexes=options.sexes,
                        condition=condition,
                        emotions=options.only,
                        seed=seed,
                    )
                    figures, estimated = diariser.judge(conversation, people)
                    rows.append([*figures, *(judge_emotions(conversation, people, predictor) if predictor else [])])
                    counts[estimated] += 1
            cells = [f"{value:.3g}" for value in np.mean(rows, axis=0)]
            estimates = ", ".join(f"{number}: {count}" for number, count in sorted(counts.items()))
            print(f"| {condition} | {people} | " + " | ".join([*cells, estimates]) + " |", flush=True)
    diariser.print_times()


class Diariser:
    """Finds segments and speakers, and sums up the CPU time of each step."""

    def __init__(self) -> None:
        self._encoder = SpeakerEncoder()
        self._audio_seconds = 0.0
        self._cpu_seconds = dict.fromkeys(("speech detector", "speaker encoder", "clustering"), 0.0)

    def judge(self, conversation: Conversation, people: int) -> tuple[list[float], int]:
        """Figures of segments and of speakers if their number is given, and the estimated number."""
        samples = conversation.samples
        clock = [time.process_time()]
        utterances = find_utterances(samples)
        clock.append(time.process_time())
        clips = [one.samples_of(samples) for one in utterances]
        embeddings = self._encoder.embed(clips, background=background_mel(samples))
        clock.append(time.process_time())
        seconds = [one.seconds for one in utterances]
        estimated = len(set(cluster_speakers(embeddings, seconds)))
        clock.append(time.process_time())
        self._audio_seconds += len(samples) / SAMPLE_RATE
        for step, spent in zip(self._cpu_seconds, np.diff(clock), strict=True):
            self._cpu_seconds[step] += spent
        segments, labels = join_short(utterances, cluster_speakers(embeddings, seconds, speakers=people))
        return [*judge_segments(conversation, segments), *judge_speakers(conversation, segments, labels)], estimated

    def print_times(self) -> None:
        for step, spent in self._cpu_seconds.items():
            print(f"{step}: {1000 * spent / self._audio_seconds:.2f} ms of CPU time per second of audio")


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
    parts = [100 * part / exact.speech for part in (exact.missed, exact.false_alarm, exact.confusion)]
    return [*parts, 100 * exact.rate, 100 * collared.rate]


def judge_emotions(conversation: Conversation, people: int, predictor: Predictor) -> list[float]:
    """Accuracy and UAR by time, adapted to the recording and to each of the speakers that are told apart.

    Then accuracy with the true turns: not adapted, adapted to the recording, and to each true speaker.
    """
    options: Any = {"sample_rate": SAMPLE_RATE, "speakers": "off"}
    found = predictor(conversation.samples, sample_rate=SAMPLE_RATE, speakers=people)
    segments = [Segment(start=one.start or 0.0, end=one.end, speaker=one.speaker) for one in found]
    figures = []
    for timeline in (
        predictor(conversation.samples, **options),
        predictor(conversation.samples, segments=segments, **options),
    ):
        figures += judge_timeline(conversation, timeline)
    last = len(conversation.samples) / SAMPLE_RATE
    turns = [
        Segment(start=turn.start, end=min(turn.end, last), speaker=turn.speaker)
        for turn in conversation.turns
        if turn.end - turn.start >= 0.3
    ]
    unnamed = [Segment(start=one.start, end=one.end) for one in turns]
    predictor.adapt = False
    figures += judge_timeline(conversation, predictor(conversation.samples, segments=unnamed, **options))[:1]
    predictor.adapt = True
    for given in (unnamed, turns):
        figures += judge_timeline(conversation, predictor(conversation.samples, segments=given, **options))[:1]
    return figures


def judge_timeline(conversation: Conversation, timeline: Sequence[Prediction]) -> list[float]:
    """Accuracy and UAR over frames of 10 ms of labelled speech; frames outside all segments count as wrong."""
    frames = round(len(conversation.samples) / SAMPLE_RATE / FRAME) + 1
    truth, guess = np.full(frames, None, object), np.full(frames, None, object)
    for turn in conversation.turns:
        truth[round(turn.start / FRAME) : round(turn.end / FRAME)] = turn.emotion
    for one in timeline:
        assert one.start is not None and one.end is not None
        guess[round(one.start / FRAME) : round(one.end / FRAME)] = one.emotion
    labelled = truth != None  # noqa: E711 - an array
    right = guess[labelled] == truth[labelled]
    recalls = [right[truth[labelled] == emotion].mean() for emotion in set(truth[labelled])]
    return [float(right.mean()), float(np.mean(recalls))]


if __name__ == "__main__":
    main()
