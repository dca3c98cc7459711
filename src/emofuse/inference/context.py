"""What is known of a recording while its chapters are judged one after another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from emofuse.audio import AudioError, check_samples
from emofuse.inference.options import PredictOptions
from emofuse.inference.transcripts import RecordingWords
from emofuse.models.adapter import RunningOffset, SpeakerAdapter, SpeakerProfile
from emofuse.segment import Segment
from emofuse.timeline.chapters import Chapter


@dataclass
class RecordingContext:
    """What is known of a recording while its chapters are judged."""

    name: str
    file: str | None
    options: PredictOptions
    use_words: bool  # whether to recognise them
    has_text: bool  # whether words are given for all of it
    offset: np.ndarray | None = None  # of a given speaker
    offsets: dict[str, np.ndarray] = field(default_factory=dict)  # of given speakers by their names in the segments
    speakers: dict[tuple[int | None, str | None], RunningOffset] = field(default_factory=dict)
    words: RecordingWords | None = None

    def adapt_to(self, given: SpeakerProfile | Mapping[str, SpeakerProfile] | None, adapter: SpeakerAdapter) -> None:
        """Take the offset of a given speaker, or of several by their names, for all of the recording."""
        if isinstance(given, SpeakerProfile):
            self.offset = adapter.offset(given.means, given.seconds)
        elif given is not None:
            self.offsets = {name: adapter.offset(one.means, one.seconds) for name, one in given.items()}

    @property
    def language(self) -> str | None:
        """Language of given words, if it is known."""
        return None if self.options["language"] == "mixed" else self.options["language"]

    @property
    def must_detect_speech(self) -> bool:
        """Utterances and windows are where the detector has found speech; others may hold none."""
        return self.options["segments"] is not None or self.has_text

    def usable(self, chapter: Chapter) -> Chapter:
        """The chapter without the segments that cannot be judged, which are refused."""
        segments = []
        for segment in chapter.segments:
            try:
                check_samples(chapter.samples_of(segment), f"{self.name}, {segment.start:g} s to {segment.end:g} s")
            except AudioError as error:
                if "refuse" not in self.options:
                    raise
                self.options["refuse"](segment, error)
            else:
                segments.append(segment)
        return replace(chapter, segments=segments)


def speaker_key(chapter: Chapter, segment: Segment) -> tuple[int | None, str | None]:
    """Whose segments the model adapts to for a segment: of its channel, and of its speaker if the speaker is given.

    Speakers who were told apart by their voices are adapted to together. Emotions make some of them mixed up, and a
    group of one emotion would lose that emotion (docs/speakers.md has the figures).
    """
    return chapter.channel, None if chapter.estimated_speakers else segment.speaker
