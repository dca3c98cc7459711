"""Measuring recordings before they are predicted, with noise for voices and their loudness for their states."""

import numpy as np
import pytest

from emofuse.audio import AudioError
from emofuse.inference import profiles as module
from emofuse.inference.options import checked_options
from emofuse.inference.profiles import measure_recording
from emofuse.segment import Segment

pytestmark = pytest.mark.usefixtures("all_is_speech")

RATE = 16000


class Loudness:
    """A predictor whose frames are the loudness of a segment."""

    def segment_frames(self, chapter):
        return [np.full((3, 2), np.abs(chapter.samples_of(one)).max()) for one in chapter.segments]


class FakeEncoder:
    """Loud segments are one person's voice, others another's."""

    def embed(self, segments, *, background=None):
        return np.array([np.eye(256)[int(np.abs(samples).max() > 0.5)] for samples in segments])


def recording(*levels, seconds=3.0):
    """A stretch of noise of each level, with pauses between them."""
    noise = np.random.default_rng(0).uniform(-1, 1, round(seconds * RATE))
    pause = np.zeros(RATE)
    return np.concatenate([part for level in levels for part in (noise * level, pause)]).astype(np.float32)


def measured(samples, **options):
    settings = {name: options.pop(name) for name in ("speaker_encoder", "limit", "quiet") if name in options}
    return measure_recording(Loudness(), samples, checked_options({"sample_rate": RATE, **options}), **settings)


def test_means_and_durations_of_segments():
    profile = measured(recording(0.25, 0.75)).profiles[None]
    assert profile.means == pytest.approx(np.array([[0.25] * 2, [0.75] * 2]), abs=0.01)
    assert profile.seconds == pytest.approx([3.1, 3.1], abs=0.2)


def test_named_segments_have_profiles_of_their_own_and_those_without_sound_none():
    segments = [
        Segment(start=0, end=2, speaker="Anna"),
        Segment(start=3.2, end=3.8, speaker="Ben"),
        Segment(start=4, end=6),
        Segment(start=90, end=91, speaker="Carl"),
    ]
    assert measured(recording(0.25, 0.75), segments=segments).profiles.keys() == {"Anna", None}


def test_a_recording_of_one_voice_has_its_embedding():
    found = measured(recording(0.8, 0.9, 0.7), speaker_encoder=FakeEncoder())
    assert np.array_equal(found.embedding, np.eye(256)[1]) and len(found.profiles[None].means) == 3
    assert measured(recording(0.8)).embedding is None


@pytest.mark.parametrize(
    ("options", "one"), [({}, False), ({"speakers": "off"}, True), ({"speakers": 1}, True), ({"speakers": 2}, False)]
)
def test_a_recording_of_several_voices_is_not_measured(options, one):
    samples = recording(0.2, 0.9, 0.2, 0.9)
    found = measured(samples, speaker_encoder=FakeEncoder(), **options)
    assert (found.embedding is not None) == bool(found.profiles) == one


def test_channels_with_different_voices_are_not_measured(caplog):
    first, second = recording(0.5, 0.0, 0.5, 0.0), recording(0.0, 0.5, 0.0, 0.5)
    found = measured(np.stack([first, second]), speaker_encoder=FakeEncoder(), quiet=True)
    assert not found.profiles and found.embedding is None and not caplog.text
    one = measured(np.stack([first, second]), speaker_encoder=FakeEncoder(), channels=1)
    assert one.embedding is not None


def test_a_long_recording_of_several_voices_is_not_read_to_its_end(monkeypatch):
    monkeypatch.setattr(module, "_VOICE_SECONDS", 60.0)
    predictor, seen = Loudness(), []
    frames = predictor.segment_frames
    predictor.segment_frames = lambda chapter: seen.append(chapter.start) or frames(chapter)
    options = checked_options({"sample_rate": RATE})
    found = measure_recording(predictor, recording(*[0.2, 0.9] * 30), options, speaker_encoder=FakeEncoder())
    assert not found.profiles and len(seen) <= 2


def test_of_many_segments_some_are_kept_evenly():
    levels = np.linspace(0.1, 0.5, 41)
    profile = measured(recording(*levels, seconds=0.7), limit=8).profiles[None]
    assert 4 <= len(profile.seconds) <= 8
    assert np.diff(profile.means[:, 0]) == pytest.approx(0.08, abs=0.01)


def test_where_nobody_speaks_there_is_nothing_to_adapt_to(monkeypatch):
    monkeypatch.setattr("emofuse.timeline.segments.speech_probabilities", lambda samples: np.zeros(len(samples) // 512))
    assert not measured(recording(0.5)).profiles
    assert measured(recording(0.5), speaker_encoder=FakeEncoder()).embedding is None
    with pytest.raises(AudioError):
        measured(recording(0.0))
