import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from emofuse.timeline import segments
from emofuse.timeline.segments import (
    DETECTOR_STEP,
    Interval,
    cut_long,
    find_utterances,
    join_short,
    sliding_windows,
    speech_of,
    speech_stretches,
)

RATE = 16000


def probabilities(*runs):
    """Speech probabilities from (value, frames) runs."""
    return np.concatenate([np.full(frames, value, np.float32) for value, frames in runs])


def test_stretches_end_at_pauses():
    found = speech_stretches(probabilities((0, 10), (0.9, 20), (0.1, 7), (0.8, 28), (0, 10)))
    assert len(found) == 2
    assert found[0].start == pytest.approx(10 * DETECTOR_STEP - 0.02)
    assert found[0].end == pytest.approx(30 * DETECTOR_STEP)
    assert found[1].end == pytest.approx(65 * DETECTOR_STEP)


@pytest.mark.parametrize("gap", [(0.1, 4), (0.35, 40)])
def test_short_gaps_and_doubtful_frames_do_not_end_a_stretch(gap):
    assert len(speech_stretches(probabilities((0.9, 20), gap, (0.9, 20)))) == 1


def test_clicks_are_not_speech():
    assert speech_stretches(probabilities((0, 10), (0.9, 3), (0, 10))) == []
    assert speech_stretches(np.zeros(0, np.float32)) == []


def test_speech_up_to_the_end_is_a_stretch():
    (found,) = speech_stretches(probabilities((0.9, 20)))
    assert (found.start, found.end) == pytest.approx((0, 20 * DETECTOR_STEP))


def test_long_stretches_are_cut_where_it_is_quietest():
    samples = np.random.default_rng(0).normal(0, 0.1, 12 * RATE).astype(np.float32)
    samples[5 * RATE : int(5.3 * RATE)] *= 0.01
    first, second = cut_long(samples, Interval(0.0, 12.0), max_seconds=8.0)
    assert 5 < first.end < 5.3 and second == (first.end, 12.0)


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        (((0, 20), (0.9, 20), (0, 30), (0.9, 20), (0, 10)), (20 * DETECTOR_STEP - 0.02, 90 * DETECTOR_STEP)),
        (((0.9, 50), (0, 50)), (0, 50 * DETECTOR_STEP)),
        (((0, 100),), (0, 100 * DETECTOR_STEP)),
    ],
    ids=["a pause stays", "speech from the start", "nobody speaks"],
)
def test_a_clip_is_cut_to_its_speech(monkeypatch, runs, expected):
    """The lead of 0.02 s comes before the first utterance."""
    monkeypatch.setattr(segments, "speech_probabilities", lambda samples: probabilities(*runs))
    samples = np.arange(100 * 512, dtype=np.float32)
    start, end = (round(second * RATE) for second in expected)
    np.testing.assert_array_equal(speech_of(samples), samples[start:end])


def test_a_long_clip_keeps_all_of_its_speech(monkeypatch):
    """Long speech is cut into utterances, of which the clip gets the first to the last."""
    monkeypatch.setattr(segments, "speech_probabilities", lambda samples: probabilities((0, 10), (0.9, 900), (0, 90)))
    samples = np.random.default_rng(0).normal(0, 0.1, 1000 * 512).astype(np.float32)
    start, end = round((10 * DETECTOR_STEP - 0.02) * RATE), round(910 * DETECTOR_STEP * RATE)
    np.testing.assert_array_equal(speech_of(samples), samples[start:end])


@pytest.mark.parametrize("max_seconds", [1.0, 2.7, 8.0])
def test_parts_cover_the_stretch(max_seconds):
    samples = np.random.default_rng(1).normal(0, 0.1, 40 * RATE).astype(np.float32)
    parts = cut_long(samples, Interval(1.5, 38.25), max_seconds=max_seconds)
    assert all(0 < part.seconds <= max_seconds for part in parts)
    assert [part.end for part in parts[:-1]] == [part.start for part in parts[1:]]
    assert (parts[0].start, parts[-1].end) == (1.5, 38.25)


def test_short_segments_join_the_nearer_neighbour_of_the_same_speaker():
    intervals = [Interval(0, 2), Interval(2.4, 2.7), Interval(2.9, 5), Interval(5.1, 5.4), Interval(5.6, 8)]
    joined, speakers = join_short(intervals, [0, 0, 0, 1, 0])
    assert joined == [(0, 2), (2.4, 5), (5.1, 5.4), (5.6, 8)]
    assert speakers == [0, 0, 1, 0]


def test_short_segments_stay_where_no_neighbour_is_near():
    intervals = [Interval(0, 0.3), Interval(1.5, 1.8), Interval(3, 5)]
    assert join_short(intervals, [0, 0, 0]) == (intervals, [0, 0, 0])
    assert join_short([], []) == ([], [])


def test_joining_makes_no_segment_too_long():
    intervals = [Interval(0, 7.9), Interval(8, 8.3)]
    assert join_short(intervals, [0, 0], max_seconds=8)[0] == intervals


@pytest.mark.parametrize(("seconds", "window", "hop"), [(10, 3, 1), (10.5, 4, 4), (4, 4, 1), (1, 4, 1)])
def test_windows_reach_the_end(seconds, window, hop):
    windows = sliding_windows(seconds, window=window, hop=hop)
    assert windows[0].start == 0 and windows[-1].end == pytest.approx(seconds)
    assert all(one.seconds == pytest.approx(min(window, seconds)) for one in windows)
    assert all(0 < b.start - a.start <= hop + 1e-9 for a, b in pairwise(windows))


def test_bad_lengths():
    with pytest.raises(ValueError, match="above 0"):
        sliding_windows(5, window=0, hop=1)
    with pytest.raises(ValueError, match="at least 1"):
        find_utterances(np.zeros(RATE, np.float32), max_seconds=0.5)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 2.0])
def test_silence_has_no_utterances(seconds):
    assert find_utterances(np.zeros(int(seconds * RATE), np.float32)) == []


def test_utterances_end_with_the_recording(monkeypatch):
    monkeypatch.setattr(segments, "speech_probabilities", lambda samples: np.ones(32, np.float32))
    assert find_utterances(np.ones(RATE, np.float32)) == [(0.0, 1.0)]


@pytest.mark.data
def test_clips_with_short_pauses_come_apart():
    if "EMOFUSE_DATA" not in os.environ:
        pytest.skip("EMOFUSE_DATA is not set")
    import soundfile

    folder = Path(os.environ["EMOFUSE_DATA"]) / "emodb" / "wav"
    clips = [soundfile.read(folder / f"{name}.flac", dtype="float32")[0] for name in ("03a01Fa", "08a01Na", "03a01Wa")]
    pause = np.zeros(int(0.3 * RATE), np.float32)
    samples = np.concatenate([part for clip in clips for part in (clip, pause)])
    found = find_utterances(samples)
    assert len(found) == 3
    begin = 0.0
    for clip, interval in zip(clips, found, strict=True):
        assert begin - 0.2 < interval.start < interval.end < begin + len(clip) / RATE + 0.2
        begin += len(clip) / RATE + 0.3
