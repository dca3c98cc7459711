from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from emofuse.audio import SAMPLE_RATE
from emofuse.timeline.live_utterances import FRAME, LiveUtterances, SpeechDetector
from emofuse.timeline.segments import Interval, find_utterances, speech_probabilities, speech_stretches

CONVERSATION = Path(__file__).parents[2] / "examples" / "conversation.flac"


def stream(samples, **options):
    """Utterances of a whole signal, each with the samples that are held for it."""
    utterances = LiveUtterances(**options)
    complete = len(samples) - len(samples) % FRAME
    intervals = []
    for frame in samples[:complete].reshape(-1, FRAME):
        if (interval := utterances.add(frame)) is not None:
            intervals.append((interval, held(utterances, interval)))
    return intervals + [(one, held(utterances, one)) for one in utterances.finish(samples[complete:])]


def held(utterances, interval):
    return Interval(interval.start - utterances.start, interval.end - utterances.start).samples_of(utterances.samples)


def by_level(frame):
    return 0.9 if np.abs(frame).max() > 0.01 else 0.0


def speech(*seconds, level=0.1):
    """Noise and silence in turn, beginning with noise."""
    rng = np.random.default_rng(0)
    parts = [rng.normal(0, level, round(s * SAMPLE_RATE)) * (i % 2 == 0) for i, s in enumerate(seconds)]
    return np.concatenate(parts).astype(np.float32)


@pytest.fixture(scope="module")
def conversation():
    samples, _ = soundfile.read(CONVERSATION, frames=25 * SAMPLE_RATE + 77, dtype="float32")
    return samples


def test_the_detector_gives_the_probabilities_of_the_whole_recording(conversation):
    detector = SpeechDetector()
    frames = conversation[: 10 * SAMPLE_RATE // FRAME * FRAME].reshape(-1, FRAME)
    live = [detector(frame) for frame in frames]
    assert live == pytest.approx(speech_probabilities(frames.ravel()).tolist(), abs=1e-5)


def test_the_utterances_of_a_conversation_are_those_of_its_file(conversation):
    found = stream(conversation)
    expected = find_utterances(conversation)
    assert [tuple(one) for one, _ in found] == [pytest.approx(tuple(one)) for one in expected] and len(found) > 5
    for one, samples in found:
        assert np.array_equal(samples, one.samples_of(conversation))


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.35, 0.9]), st.integers(1, 12)), max_size=20), st.integers(0, 511))
def test_any_probabilities_give_the_stretches_of_the_whole_recording(runs, rest):
    probabilities = [p for p, count in runs for _ in range(count)]
    samples = np.zeros(len(probabilities) * FRAME + rest, np.float32)
    answers = iter([*probabilities, 0.0])
    found = [one for one, _ in stream(samples, max_seconds=30.0, detector=lambda frame: next(answers))]
    expected = speech_stretches(np.array(probabilities + [0.0] * (rest > 0)))
    assert [tuple(one) for one in found] == [pytest.approx(tuple(one)) for one in expected]


def test_a_long_utterance_is_cut_where_it_is_quietest_and_nothing_is_lost():
    samples = speech(9.7)
    samples[round(3.0 * SAMPLE_RATE) : round(3.15 * SAMPLE_RATE)] *= 0.2
    found = [one for one, _ in stream(samples, max_seconds=5.0, detector=by_level)]
    assert found[0].start == 0 and found[0].end == pytest.approx(3.07, abs=0.06)
    assert [one.start for one in found[1:]] == [one.end for one in found[:-1]]
    assert found[-1].end == 9.7 and all(one.seconds <= 5.04 for one in found)


def test_a_pause_does_not_make_an_utterance_too_long():
    samples = speech(1.984, 1.0)
    [(found, _)] = stream(samples, max_seconds=2.0, detector=by_level)
    assert found == (0.0, 1.984)


def test_no_more_is_held_than_the_utterance_that_has_not_ended():
    utterances = LiveUtterances(max_seconds=3.0, detector=by_level)
    seconds = []
    for frame in speech(1.0, 5.0, 20.0, 5.0)[: 31 * SAMPLE_RATE // FRAME * FRAME].reshape(-1, FRAME):
        utterances.add(frame)
        seconds.append(utterances.seconds - utterances.start)
    assert max(seconds) <= 3.1 and seconds[-1] < 0.1


@pytest.mark.parametrize("count", [0, 1, 100, FRAME])
def test_a_stream_may_end_at_once(count):
    assert stream(np.zeros(count, np.float32)) == []


def test_the_longest_utterance_has_a_least_value():
    with pytest.raises(ValueError, match=r"0\.5"):
        LiveUtterances(max_seconds=0.5)
