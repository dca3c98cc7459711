"""Measure recordings before they are predicted: the mean hidden states of their segments, and their voices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from emofuse.audio import AudioError, check_samples
from emofuse.encoders.speaker import SpeakerEncoder, background_mel
from emofuse.hardware import release_memory
from emofuse.inference.options import PredictOptions
from emofuse.inference.reader import RecordingReader
from emofuse.inference.voices import chapters_of
from emofuse.models.adapter import SpeakerProfile
from emofuse.segment import extent_of
from emofuse.timeline.chapters import Chapter
from emofuse.timeline.speakers import cluster_speakers, unit

if TYPE_CHECKING:
    from emofuse.inference.predictor import Predictor

_VOICE_SECONDS = 600.0  # of a recording, by which its voice is measured
MAX_PROFILE = 500
"""Segments of a speaker whose states are used. More would not change the speaker's offset much."""


@dataclass
class _EvenSample:
    """Keeps at most `limit` of the segments that are added, evenly over all of them."""

    limit: int
    means: list[np.ndarray] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    _stride: int = 1
    _count: int = 0

    def add(self, mean: np.ndarray, seconds: float) -> None:
        if self._count % self._stride == 0:
            self.means.append(mean)
            self.seconds.append(seconds)
            if len(self.means) > self.limit:
                self.means, self.seconds = self.means[::2], self.seconds[::2]
                self._stride *= 2
        self._count += 1

    def profile(self) -> SpeakerProfile:
        return SpeakerProfile(np.stack(self.means), np.array(self.seconds))


@dataclass(frozen=True)
class MeasuredRecording:
    """What is known of a recording before it is predicted.

    Attributes:
        profiles: by the names of speakers that its segments have, None for segments without one.
        embedding: of its voice, (256,), length 1; None if it was not wanted or has several voices.
    """

    profiles: dict[str | None, SpeakerProfile]
    embedding: np.ndarray | None = None


def measure_recording(
    predictor: Predictor,
    audio: Any,
    options: PredictOptions,
    *,
    speaker_encoder: SpeakerEncoder | None = None,
    limit: int = MAX_PROFILE,
    quiet: bool = False,
) -> MeasuredRecording:
    """Measure a recording.

    Args:
        predictor: the model.
        audio: the recording, as `Predictor` takes it; it must be possible to read it again.
        options: from `checked_options`.
        speaker_encoder: if given, the recording is measured as one of one voice. It has no profiles if its channels
            carry different voices, or if its segments do: by the option `speakers`, or by its first ten minutes.
        limit: how many segments of each speaker to keep, evenly over the recording.
        quiet: whether to leave out warnings about the recording, which come when it is predicted.

    Raises:
        EmofuseError: the recording cannot be read.
    """
    start, end = extent_of(options["segments"]) if options["segments"] else (options["start"], options["end"])
    recording = RecordingReader(
        audio,
        sample_rate=options["sample_rate"],
        start=start,
        end=end,
        track=options["track"],
        channels=options["channels"],
        tell=None if quiet else options["tell"],
    )
    people, voice = options["speakers"], None
    if speaker_encoder is not None:
        if len(recording.channels) > 1 or (isinstance(people, int) and people > 1):
            return MeasuredRecording({})
        voice = _Voice(speaker_encoder, may_be_several=people == "auto")
    samples: dict[str | None, _EvenSample] = {}
    options = {**options, "speakers": "off", "refuse": lambda segment, error: None}  # refused when it is predicted
    for chapter in chapters_of(recording, options, speaker_encoder=SpeakerEncoder):
        chapter = _usable(chapter, recording.name)
        for segment, frames in zip(chapter.segments, predictor.segment_frames(chapter), strict=True):
            samples.setdefault(segment.speaker, _EvenSample(limit)).add(frames.mean(axis=0), segment.seconds)
        if voice is not None and chapter.start < start + _VOICE_SECONDS:
            voice.add(chapter)
            if chapter.until >= start + _VOICE_SECONDS and voice.embedding() is None:
                return MeasuredRecording({})
        release_memory()
    embedding = None if voice is None else voice.embedding()
    if voice is not None and embedding is None:
        return MeasuredRecording({})
    return MeasuredRecording({name: sample.profile() for name, sample in samples.items()}, embedding)


class _Voice:
    """The voice of a recording, by its segments."""

    def __init__(self, encoder: SpeakerEncoder, *, may_be_several: bool) -> None:
        self._encoder, self._may_be_several = encoder, may_be_several
        self._embeddings: list[np.ndarray] = []
        self._seconds: list[float] = []

    def add(self, chapter: Chapter) -> None:
        """Add the segments of a chapter."""
        clips = [chapter.samples_of(segment) for segment in chapter.segments]
        self._embeddings.append(self._encoder.embed(clips, background=background_mel(chapter.samples)))
        self._seconds += [segment.seconds for segment in chapter.segments]

    def embedding(self) -> np.ndarray | None:
        """The mean of the segments' embeddings, (256,), length 1; None if several people speak, or nobody does."""
        if not self._seconds:
            return None
        embeddings = np.concatenate(self._embeddings)
        if self._may_be_several and len(set(cluster_speakers(embeddings, self._seconds))) > 1:
            return None
        return unit(np.average(embeddings, axis=0, weights=self._seconds)[None])[0]


def merge_profiles(profiles: Sequence[SpeakerProfile]) -> SpeakerProfile:
    """The profile of a speaker by several recordings, of at most `MAX_PROFILE` segments, evenly from all."""
    merged = SpeakerProfile.merge(profiles)
    count = len(merged.seconds)
    if count <= MAX_PROFILE:
        return merged
    chosen = np.linspace(0, count - 1, MAX_PROFILE).round().astype(int)
    return SpeakerProfile(merged.means[chosen], merged.seconds[chosen])


def _usable(chapter: Chapter, name: str) -> Chapter:
    """The chapter without the segments that cannot be judged, which are reported when they are predicted."""
    segments = []
    for segment in chapter.segments:
        try:
            check_samples(chapter.samples_of(segment), name)
        except AudioError:
            continue
        segments.append(segment)
    return replace(chapter, segments=segments)
