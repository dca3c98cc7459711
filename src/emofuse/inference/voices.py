"""The chapters of a recording with its voices told apart: channel by channel, and speaker by speaker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from emofuse.audio import AudioError
from emofuse.encoders.speaker import SpeakerEncoder, background_mel
from emofuse.errors import EmofuseError
from emofuse.inference.options import PredictOptions
from emofuse.inference.reader import RecordingReader
from emofuse.segment import Segment
from emofuse.timeline.chapters import Chapter, given_chapters, utterance_chapters, window_chapters
from emofuse.timeline.segments import Interval, join_short
from emofuse.timeline.speakers import cluster_speakers


def chapters_of(
    recording: RecordingReader, options: PredictOptions, *, speaker_encoder: Callable[[], SpeakerEncoder]
) -> Iterator[Chapter]:
    """The chapters of all channels of a recording, in order of time; with the speakers of segments if they are wanted.

    To tell speakers apart, the recording is read twice: who speaks depends on all of it.

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
    if speakers == "off" or is_split:
        yield from _merged(recording, options)
        return
    labels = _find_speakers(recording, options, speaker_encoder(), None if speakers == "auto" else int(speakers))
    names = iter(f"speaker {label + 1}" for label in labels)
    for chapter in _merged(recording, options, join=False):
        named = [_named(segment, next(names)) for segment in chapter.segments]
        is_utterances = options["segments"] is None and options["window"] is None
        yield replace(chapter, segments=_joined(named, options["max_seconds"]) if is_utterances else named)


def _find_speakers(
    recording: RecordingReader, options: PredictOptions, encoder: SpeakerEncoder, count: int | None
) -> list[int]:
    embeddings, seconds = [], []
    for chapter in _merged(recording, options, join=False):
        if not chapter.segments:
            continue
        samples = [chapter.samples_of(segment) for segment in chapter.segments]
        embeddings.append(encoder.embed(samples, background=background_mel(chapter.samples)))
        seconds += [Interval(one.start, one.end or one.start).seconds for one in chapter.segments]
    return cluster_speakers(np.concatenate(embeddings), seconds, speakers=count) if seconds else []


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
