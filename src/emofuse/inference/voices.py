"""The chapters of a recording with its voices told apart: channel by channel, and speaker by speaker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np

from emofuse.audio import AudioError
from emofuse.encoders.speaker import SpeakerEncoder, background_mel
from emofuse.errors import EmofuseError
from emofuse.inference.options import PredictOptions
from emofuse.inference.reader import RecordingReader
from emofuse.segment import Segment
from emofuse.timeline.chapters import Chapter, given_chapters, utterance_chapters, window_chapters
from emofuse.timeline.segments import Interval, join_short
from emofuse.timeline.speakers import MIN_SPEAKER_SECONDS, KnownSpeakers, cluster_speakers

_AUTO_SECONDS = 600.0  # of a recording, by which the number of speakers is estimated


def chapters_of(
    recording: RecordingReader, options: PredictOptions, *, speaker_encoder: Callable[[], SpeakerEncoder]
) -> Iterator[Chapter]:
    """The chapters of all channels of a recording, in order of time; with the speakers of segments if they are wanted.

    To tell speakers apart, the recording, or the first ten minutes of it if their number is estimated, is read twice.
    Where it is estimated to be one, the speaker has no name.

    Args:
        recording: what is read.
        options: from `checked_options`.
        speaker_encoder: gives the encoder, if it is needed.

    Raises:
        EmofuseError: the recording cannot be read, or a number of speakers is given for channels that are split.
    """
    speakers, is_split = options["speakers"], len(recording.channels) > 1
    if is_split and isinstance(speakers, int) and speakers > 1:
        raise EmofuseError(
            f"{recording.name}: its channels are judged one by one, each as one speaker. Leave out the number of "
            "speakers, or average the channels (mix)."
        )
    given = options["segments"]
    if speakers == "off" or is_split or (given is not None and all(one.speaker is not None for one in given)):
        yield from _merged(recording, options)
        return
    voices = _Voices(recording, options, speaker_encoder)
    if not voices.are_several and speakers == "auto":
        yield from _merged(recording, options)
        return
    for chapter in _merged(recording, options, join=False):
        named = voices.named(chapter)
        is_utterances = given is None and options["window"] is None
        segments = _joined(named, options["max_seconds"]) if is_utterances else named
        yield replace(chapter, segments=segments, estimated_speakers=True)


class _Voices:
    """The speakers of a recording, by its segments from the beginning on.

    If their number is given, all of the recording decides who is who. If it is estimated, the first ten minutes do, so
    that the first answers of a long recording do not have to wait; whoever speaks later is the most similar of them.
    """

    def __init__(
        self, recording: RecordingReader, options: PredictOptions, encoder: Callable[[], SpeakerEncoder]
    ) -> None:
        speakers = options["speakers"]
        self._make_encoder = encoder
        self._encoder: SpeakerEncoder | None = None
        embeddings, seconds = [], []
        for chapter in self._first_chapters(recording, options):
            embeddings.append(self._embed(chapter))
            seconds += [one.seconds for one in chapter.segments]
        labels = []
        if seconds:
            count = None if speakers == "auto" else int(speakers)
            labels = cluster_speakers(np.concatenate(embeddings), seconds, speakers=count)
        self.are_several = len(set(labels)) > 1
        self._labels = iter(labels)
        self._known = KnownSpeakers(np.concatenate(embeddings), labels) if labels else None

    def named(self, chapter: Chapter) -> list[Segment]:
        """The segments of the next chapter with the names of their speakers."""
        labels = list(islice(self._labels, len(chapter.segments)))
        if len(labels) < len(chapter.segments) and self._known is not None:
            labels = self._known.nearest(self._embed(chapter))
        return [_named(one, f"speaker {label + 1}") for one, label in zip(chapter.segments, labels, strict=True)]

    def _first_chapters(self, recording: RecordingReader, options: PredictOptions) -> Iterator[Chapter]:
        options = {**options, "refuse": lambda segment, error: None}  # it is refused when it is judged
        chapters = _merged(recording, options, join=False)
        if options["speakers"] != "auto":
            yield from chapters
            return
        first, last = [], recording.start + _AUTO_SECONDS
        for chapter in chapters:
            first.append(chapter)
            if chapter.until >= last:
                break
        spoken = sum(one.seconds for chapter in first for one in chapter.segments)
        if spoken >= 2 * MIN_SPEAKER_SECONDS:  # with less, the estimate is always one person
            yield from first

    def _embed(self, chapter: Chapter) -> np.ndarray:
        self._encoder = self._encoder or self._make_encoder()
        samples = [chapter.samples_of(segment) for segment in chapter.segments]
        return self._encoder.embed(samples, background=background_mel(chapter.samples))


def _named(segment: Segment, name: str) -> Segment:
    return segment if segment.speaker is not None else replace(segment, speaker=name)


def _joined(segments: list[Segment], max_seconds: float) -> list[Segment]:
    numbers = {name: number for number, name in enumerate({one.speaker: None for one in segments})}
    intervals = [Interval(one.start, one.end or one.start) for one in segments]
    intervals, labels = join_short(intervals, [numbers[one.speaker] for one in segments], max_seconds=max_seconds)
    names = list(numbers)
    return [
        Segment(start=one.start, end=one.end, speaker=names[label])
        for one, label in zip(intervals, labels, strict=True)
    ]


def _merged(recording: RecordingReader, options: PredictOptions, *, join: bool = True) -> Iterator[Chapter]:
    """Chapters of all channels; the next is always of the channel that has come least far."""
    sources = {
        place: _of_channel(blocks, recording, options, join=join) for place, blocks in recording.channel_blocks()
    }
    reached = dict.fromkeys(sources, recording.start)
    while sources:
        place = min(sources, key=reached.__getitem__)
        chapter = next(sources[place], None)
        if chapter is None:
            del sources[place]
            continue
        reached[place] = chapter.until
        yield replace(chapter, channel=recording.channels[place])


def _of_channel(
    blocks: Iterator[np.ndarray], recording: RecordingReader, options: PredictOptions, *, join: bool
) -> Iterator[Chapter]:
    origin, max_seconds = recording.start, options["max_seconds"]
    if options["segments"] is not None:

        def refuse(segment: Segment, end: float) -> None:
            message = (
                f"{recording.name}: the segment starts at {segment.start:g} s, but the recording ends at {end:.2f} s."
            )
            error = AudioError(message)
            if "refuse" not in options:
                raise error
            options["refuse"](segment, error)

        return given_chapters(blocks, options["segments"], max_seconds=max_seconds, origin=origin, refuse=refuse)
    if options["window"] is not None:
        assert options["hop"] is not None  # `checked_options` sets it
        return window_chapters(blocks, window=options["window"], hop=options["hop"], origin=origin)
    return utterance_chapters(blocks, max_seconds=max_seconds, origin=origin, join=join)
