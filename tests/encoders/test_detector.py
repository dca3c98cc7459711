import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from emofuse.encoders import detector as vad
from emofuse.encoders.detector import speech_segments

RATE = 16000


def pretend(monkeypatch, *stretches):
    """Replace the detector by fixed stretches in seconds."""
    monkeypatch.setattr(vad, "_speech", lambda samples: [(round(s * RATE), round(e * RATE)) for s, e in stretches])


@pytest.mark.parametrize("seconds", [0.1, 3.0])
def test_no_speech(seconds):
    rng = np.random.default_rng(0)
    assert speech_segments(np.zeros(int(seconds * RATE), np.float32)) == []
    assert speech_segments(rng.normal(0, 0.01, int(seconds * RATE)).astype(np.float32)) == []


def test_neighbours_are_merged_up_to_the_limit(monkeypatch):
    pretend(monkeypatch, (0, 4), (5, 9), (10, 14.5), (15.5, 20))
    assert speech_segments(np.zeros(20 * RATE, np.float32)) == [(0, 14.5), (15.5, 20)]
    assert speech_segments(np.zeros(20 * RATE, np.float32), max_seconds=5) == [(0, 4), (5, 9), (10, 14.5), (15.5, 20)]


def test_long_stretch_is_cut_where_it_is_quietest(monkeypatch):
    samples = np.random.default_rng(0).normal(0, 0.1, 20 * RATE).astype(np.float32)
    samples[9 * RATE : int(9.3 * RATE)] *= 0.01
    pretend(monkeypatch, (0, 20))
    (start, cut), (next_start, end) = speech_segments(samples)
    assert (start, end) == (0, 20) and cut == next_start
    assert 9 < cut < 9.3


@pytest.mark.parametrize("limit", [1.0, 2.5, 15.0])
def test_segments_are_short_and_cover_the_speech(monkeypatch, limit):
    samples = np.random.default_rng(1).normal(0, 0.1, 61 * RATE).astype(np.float32)
    pretend(monkeypatch, (0.5, 40.25), (41, 60))
    segments = speech_segments(samples, max_seconds=limit)
    assert all(0 < end - start <= limit for start, end in segments)
    assert all(before[1] <= after[0] for before, after in pairwise(segments))
    assert (segments[0][0], segments[-1][1]) == (0.5, 60)
    assert 58.75 - 1e-6 <= sum(end - start for start, end in segments) <= 59.5 + 1e-6


def test_limit_below_a_second():
    with pytest.raises(ValueError, match="at least 1"):
        speech_segments(np.zeros(RATE, np.float32), max_seconds=0.5)


@pytest.mark.data
def test_clips_with_pauses_come_apart():
    if "EMOFUSE_DATA" not in os.environ:
        pytest.skip("EMOFUSE_DATA is not set")
    import soundfile

    folder = Path(os.environ["EMOFUSE_DATA"]) / "ravdess"
    names = ["Actor_03/03-01-01-01-01-01-03", "Actor_05/03-01-05-01-02-01-05", "Actor_24/03-01-03-01-01-01-24"]
    clips = [soundfile.read(folder / f"{name}.flac", dtype="float32")[0] for name in names]
    pause = np.zeros(int(0.8 * RATE), np.float32)
    samples = np.concatenate([clips[0], pause, clips[1], pause, clips[2]])
    segments = speech_segments(samples, max_seconds=4.0)
    assert len(segments) == 3
    begin = 0.0
    for clip, (start, end) in zip(clips, segments, strict=True):
        assert begin - 0.1 <= start < end <= begin + len(clip) / RATE + 0.1
        begin += len(clip) / RATE + 0.8
    assert len(speech_segments(samples)) == 1 + (segments[2][1] - segments[0][0] > 15)
