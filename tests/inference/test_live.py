import io
import json
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import emofuse
from emofuse.audio import SAMPLE_RATE, AudioError
from emofuse.encoders.recogniser import Transcript
from emofuse.errors import EmofuseError
from emofuse.inference import live
from emofuse.inference.bundle import DEFAULT_FOLDER
from emofuse.inference.live import NO_TIME_FOR_WORDS, listen
from emofuse.inference.network import Answer
from emofuse.inference.predictor import Predictor
from emofuse.segment import Segment
from emofuse.timeline import live_utterances

CONVERSATION = Path(__file__).parents[2] / "examples" / "conversation.flac"
RNG = np.random.default_rng(0)


class FakeNetwork:
    """Probabilities that depend on the samples; notes how many there were and, on a slow computer, moves the clock."""

    def __init__(self, clock, seconds):
        self.samples, self._clock, self._seconds = [], clock, seconds

    def frames(self, samples):
        self.samples.append(len(samples))
        self._clock.now += self._seconds
        return np.full((4, 1), np.abs(samples).mean(), np.float32)

    def unreadable(self, text, language=None):
        return None

    def is_multilingual(self, text, language):
        return False

    def embedding(self, text, language=None):
        return np.zeros(1, np.float32)

    def answer(self, frames, embedding, *, adapted=False):
        first = float(frames.mean())
        return Answer(np.array([first, 1 - first]), np.zeros(0), None)


class FakeTranscriber:
    def transcribe_segments(self, samples, spans, language=None, read=None):
        return [Transcript("it is raining", "en", 1.0, 1.0) for _ in spans]


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class LevelDetector:
    def __call__(self, frame):
        return 0.9 if np.abs(frame).max() > 0.01 else 0.0


@pytest.fixture(scope="module")
def bundle():
    return replace(emofuse.Bundle.load(DEFAULT_FOLDER), labels=["one", "two"], dimensions=[])


@pytest.fixture
def made_up(bundle, monkeypatch):
    """Makes predictors with a made-up network and detector, of a computer that needs so many seconds for a clip."""
    monkeypatch.setattr(live_utterances, "SpeechDetector", LevelDetector)

    def make(*, seconds=0.0, words=False):
        clock = Clock()
        predictor = Predictor(bundle, transcribe="always" if words else "off", threads=1)
        predictor.network, predictor.adapter = FakeNetwork(clock, seconds), None
        predictor._transcriber = FakeTranscriber() if words else None
        return predictor, clock

    return make


def second_of_speech(pause):
    """Blocks of 0.1 s: a second of noise and a pause."""
    noise = RNG.normal(0, 0.1, (10, 1600)).astype(np.float32)
    return [*noise, *np.zeros((round(pause * 10), 1600), np.float32)]


def times(predictions):
    return [(round(one.prediction.start, 3), round(one.prediction.end, 3), one.final) for one in predictions]


def test_preliminary_predictions_come_before_the_final_one(made_up):
    predictor, clock = made_up()
    blocks = [*second_of_speech(0), *second_of_speech(0), *second_of_speech(1.0)]
    found = list(listen(predictor, blocks, sample_rate=16000, clock=clock))
    assert times(found) == [(0, 1.024, False), (0, 2.016, False), (0, 3.008, False), (0, 3.008, True)]
    assert found[-1].prediction.used == "audio" and found[-1].prediction.file is None


def test_a_preliminary_prediction_is_of_the_last_seconds(made_up):
    predictor, clock = made_up()
    found = list(listen(predictor, second_of_speech(0) * 7, sample_rate=16000, clock=clock))
    assert [one.prediction.end - one.prediction.start for one in found[4:-1]] == pytest.approx([4.0, 4.0])


def test_what_is_left_is_judged_at_the_end(made_up):
    predictor, clock = made_up()
    found = list(listen(predictor, second_of_speech(0), sample_rate=16000, rolling=False, clock=clock))
    assert times(found) == [(0, 1.0, True)]
    assert list(listen(predictor, [], sample_rate=16000)) == []


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 30000) | st.just(1), min_size=1, max_size=5), rate=st.sampled_from([16000, 44100]))
def test_the_size_of_blocks_changes_no_final_prediction(made_up, sizes, rate):
    rng = np.random.default_rng(1)
    sound = np.concatenate([rng.normal(0, 3000, (3 * rate, 2)), np.zeros((rate, 2)), rng.normal(0, 1000, (rate, 2))])
    sound = sound.astype(np.int16)
    predictor, clock = made_up()

    def blocks():
        first = number = 0
        while first < len(sound):
            size = max(sizes[number % len(sizes)], 1 if number < 200 else 500)
            yield sound[first : first + size]
            first, number = first + size, number + 1

    [whole, cut] = (
        [one for one in listen(predictor, given, sample_rate=rate, clock=clock) if one.final]
        for given in ([sound], blocks())
    )
    assert cut == whole and len(cut) == 2


@pytest.mark.parametrize("minutes", [2, pytest.param(60, marks=pytest.mark.slow)])
def test_an_hour_needs_the_memory_of_an_utterance_and_work_in_proportion(made_up, monkeypatch, minutes):
    predictor, clock = made_up()
    held = []

    class Watched(live_utterances.LiveUtterances):
        def add(self, frame):
            utterance = super().add(frame)
            held.append(len(self._frames))
            return utterance

    monkeypatch.setattr(live, "LiveUtterances", Watched)
    pattern = [*second_of_speech(0) * 2, *second_of_speech(1.0), *second_of_speech(0) * 15, *second_of_speech(1.0)]
    blocks = (block for _ in range(minutes * 3) for block in pattern)  # 20 s each
    count = Counter(one.final for one in listen(predictor, blocks, sample_rate=16000, clock=clock))
    assert max(held) * live_utterances.FRAME / SAMPLE_RATE <= 8.2
    assert 3 * 3 * minutes <= count[True] <= 6 * 3 * minutes
    assert count[False] <= 60 * minutes
    assert sum(predictor.network.samples) / SAMPLE_RATE <= 60 * minutes + 4 * count[False]


def test_a_slow_computer_leaves_out_preliminary_predictions_but_no_sound(made_up):
    blocks = [block for _ in range(20) for block in second_of_speech(0.5)]
    found = {}
    for seconds in (0.0, 1.4):
        predictor, clock = made_up(seconds=seconds)
        found[seconds] = list(listen(predictor, blocks, sample_rate=16000, clock=clock))
    assert [one for one in found[0.0] if one.final] == [one for one in found[1.4] if one.final]
    assert len([one for one in found[1.4] if one.final]) == 20
    assert len([one for one in found[0.0] if not one.final]) > 3 * len([one for one in found[1.4] if not one.final])


def test_a_slow_computer_leaves_out_words_before_it_is_far_behind(made_up):
    blocks = [block for _ in range(20) for block in second_of_speech(0.5)]
    for seconds, slow in ((0.0, False), (3.0, True)):
        predictor, clock = made_up(seconds=seconds, words=True)
        found = [one.prediction for one in listen(predictor, blocks, sample_rate=16000, clock=clock) if one.final]
        assert found[0].text == "it is raining" and found[0].note is None
        assert (found[-1].text is None and found[-1].note == NO_TIME_FOR_WORDS) == slow
    predictor, clock = made_up(seconds=3.0, words=True)
    found = list(listen(predictor, blocks, sample_rate=16000, clock=clock, max_delay=float("inf")))
    assert all(one.prediction.text for one in found if one.final)


def test_a_source_that_pauses_is_no_delay(made_up):
    predictor, clock = made_up()

    def blocks():
        for block in [*second_of_speech(0), *second_of_speech(0)]:
            clock.now += 60
            yield block

    found = list(listen(predictor, blocks(), sample_rate=16000, clock=clock))
    assert len([one for one in found if not one.final]) == 1


def test_samples_that_are_not_sound_end_the_stream_after_what_is_final(made_up):
    predictor, clock = made_up()
    predictions = listen(
        predictor, [*second_of_speech(1.0), np.full(1600, np.nan)], sample_rate=16000, clock=clock, rolling=False
    )
    assert next(predictions).final
    with pytest.raises(AudioError, match="not sound"):
        next(predictions)


@pytest.mark.parametrize("options", [{"max_seconds": 0.5}, {"language": "klingon"}])
def test_options_are_checked(made_up, options):
    predictor, _ = made_up()
    with pytest.raises(EmofuseError):
        next(listen(predictor, [], sample_rate=16000, **options))


@pytest.fixture(scope="module")
def voice():
    """The default model, without words."""
    return emofuse.load(transcribe="off", threads=1)


@pytest.fixture(scope="module")
def four_utterances():
    return soundfile.read(CONVERSATION, frames=13 * SAMPLE_RATE, dtype="float32")[0]


def test_the_same_probabilities_as_for_a_file(voice, four_utterances, monkeypatch):
    monkeypatch.setattr(voice, "adapt", False)
    found = [one.prediction for one in listen(voice, [four_utterances], sample_rate=16000, rolling=False)]
    segments = [Segment(start=one.start, end=one.end) for one in found]
    by_file = voice(four_utterances, sample_rate=16000, segments=segments)
    for one, other in zip(found, by_file, strict=True):
        assert list(one.probabilities.values()) == pytest.approx(list(other.probabilities.values()), abs=1e-4)
    utterances = [time for one in voice(four_utterances, sample_rate=16000) for time in (one.start, one.end)]
    assert [time for one in found for time in (one.start, one.end)] == pytest.approx(utterances, abs=0.05)
    assert not any(one.adapted for one in found)


@pytest.mark.slow
def test_it_adapts_to_what_has_been_said_or_to_a_given_speaker(voice, four_utterances, monkeypatch):
    trusting = replace(voice.adapter.rule, low=-1.0, high=-0.5)  # whatever the emotions of the utterances
    monkeypatch.setattr(voice, "adapter", replace(voice.adapter, rule=trusting))
    found = [one.prediction for one in listen(voice, [four_utterances], sample_rate=16000, rolling=False)]
    assert [one.adapted for one in found] == [False, True, True, True]
    profile = voice.speaker_profile([CONVERSATION])
    [first, *_] = listen(voice, [four_utterances], sample_rate=16000, rolling=False, speaker=profile)
    assert first.prediction.adapted


@pytest.fixture
def pipe(monkeypatch):
    """Puts bytes on standard input."""

    def put(data):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: False))

    return put


def test_the_command_prints_records(command_line, pipe, four_utterances):
    file = io.BytesIO()
    soundfile.write(file, four_utterances[: 6 * SAMPLE_RATE], SAMPLE_RATE, format="WAV", subtype="PCM_16")
    pipe(file.getvalue())
    done = command_line("listen", "-", "--no-asr", "--format", "jsonl", "--threads", "1")
    records = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 0, done.err
    final = [one for one in records if one["final"]]
    assert [(round(one["start"], 1), round(one["end"], 1)) for one in final] == [(0.6, 2.4), (3.8, 5.7)]
    assert records[-1] == final[-1]  # a slow computer leaves out some of the others


def test_the_command_prints_a_table(command_line, pipe, four_utterances):
    pipe((four_utterances[: 3 * SAMPLE_RATE] * 32767).astype("<i2").tobytes())
    done = command_line("listen", "-", "--no-asr", "--threads", "1")
    assert done.code == 0 and "0.6-2.4" in done.out and "1.0-" not in done.out
    assert done.err == ""


def test_the_command_says_that_nobody_speaks(command_line, pipe):
    pipe(bytes(32000))
    done = command_line("listen", "-", "--no-asr", "--format", "jsonl")
    [record] = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 0 and record["final"] and record["start"] is None and "no speech" in record["note"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["talk.wav"], "emofuse predict talk.wav"),
        (["-", "--adapt", "nobody.wav"], "nobody.wav"),
        (["-", "--adapt", "folder"], "stream"),
        (["-", "--max-seconds", "90"], "90 s"),
    ],
)
def test_the_command_refuses(command_line, pipe, arguments, said):
    pipe(bytes(32000))
    done = command_line("listen", *arguments, "--no-asr")
    assert done.code == 1 and said in done.err and "Traceback" not in done.err


@pytest.mark.slow
def test_ctrl_c_judges_what_has_been_said(four_utterances):
    data = (four_utterances * 32767).astype("<i2")
    process = subprocess.Popen(
        [sys.executable, "-m", "emofuse", "listen", "-", "--no-asr", "--format", "jsonl", "--threads", "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdin.write(data[: round(5.3 * SAMPLE_RATE)].tobytes())  # the second utterance has not ended
    process.stdin.flush()
    lines = []
    while not lines or not lines[-1]["final"]:
        lines.append(json.loads(process.stdout.readline()))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    lines += [json.loads(line) for line in out.splitlines()]
    assert process.returncode == 130, err
    assert lines[-1]["final"] and lines[-1]["end"] == pytest.approx(5.3, abs=0.1)
