"""Chapters: a recording cut into parts of about a minute with their segments, so that memory does not grow with length.

A chapter is cut in a pause, never inside a segment. All functions take the blocks of one channel, float32 (n,) at
16 kHz, and give the same chapters however the blocks are cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from emofuse.audio import SAMPLE_RATE
from emofuse.segment import Segment
from emofuse.timeline.segments import Interval, cut_long, find_utterances, join_short, sliding_windows

CHAPTER_SECONDS = 60.0
"""Duration of a chapter, unless its segments need more."""

_MARGIN = 1.0  # seconds: an utterance that ends so near to the end of a chapter may go on in the next
_LEAD = 0.5  # seconds before an utterance that the speech detector hears first


@dataclass(frozen=True)
class Chapter:
    """A part of one channel.

    Attributes:
        start: of the samples, in seconds of the recording.
        samples: float32 (n,), 16 kHz.
        segments: in order of time, inside the samples, in seconds of the recording.
        until: no later chapter of the channel has a segment that starts before this second.
        channel: number of the channel, from 1; None for all of them together.
        estimated_speakers: whether speakers were told apart by their voices, not given.
    """

    start: float
    samples: np.ndarray
    segments: list[Segment]
    until: float
    channel: int | None = None
    estimated_speakers: bool = False

    def samples_of(self, segment: Segment) -> np.ndarray:
        """The samples of one of its segments, as a view."""
        assert segment.end is not None
        return self.samples[
            round((segment.start - self.start) * SAMPLE_RATE) : round((segment.end - self.start) * SAMPLE_RATE)
        ]


class _Buffer:
    """Samples of a channel from a certain second on."""

    def __init__(self, blocks: Iterable[np.ndarray], origin: float) -> None:
        self._blocks = iter(blocks)
        self._parts: list[np.ndarray] = []
        self._origin, self._dropped, self._held = origin, 0, 0
        self._ended = False

    @property
    def start(self) -> float:
        """Second of the first sample that is held."""
        return self._origin + self._dropped / SAMPLE_RATE

    def fill(self, seconds: float) -> tuple[np.ndarray, bool]:
        """The first `seconds` that are held, or fewer where the recording ends, and whether these are the last."""
        wanted = round(seconds * SAMPLE_RATE)
        while self._held <= wanted and not self._ended:  # one more than wanted, to know whether this is the end
            block = next(self._blocks, None)
            if block is None:
                self._ended = True
            else:
                self._parts.append(block)
                self._held += len(block)
        self._parts = [np.concatenate([np.empty(0, np.float32), *self._parts])]
        return self._parts[0][:wanted], self._held <= wanted

    def drop_until(self, second: float) -> None:
        """Forget what lies before a second of the recording."""
        count = min(max(round((second - self._origin) * SAMPLE_RATE) - self._dropped, 0), self._held)
        self._parts = [self._parts[0][count:].copy()]
        self._dropped += count
        self._held -= count


def utterance_chapters(
    blocks: Iterable[np.ndarray], *, max_seconds: float, origin: float = 0.0, join: bool = True
) -> Iterator[Chapter]:
    """Chapters whose segments are utterances.

    Args:
        blocks: of one channel.
        max_seconds: longest segment.
        origin: second of the recording at which the blocks begin.
        join: whether to join very short utterances with a near neighbour.
    """
    buffer = _Buffer(blocks, origin)
    length = max(CHAPTER_SECONDS, 4 * max_seconds)
    while True:
        (samples, is_last), start = buffer.fill(length), buffer.start
        utterances = find_utterances(samples, max_seconds=max_seconds)
        seconds = len(samples) / SAMPLE_RATE
        following = seconds
        if not is_last:
            complete = [one for one in utterances if one.end <= seconds - _MARGIN]
            rest = utterances[len(complete)].start if len(complete) < len(utterances) else seconds - _MARGIN
            following = max(rest - _LEAD, complete[-1].end if complete else 0.0)
            utterances = complete
        if join:
            utterances, _ = join_short(utterances, [0] * len(utterances), max_seconds=max_seconds)
        segments = [Segment(start=start + one.start, end=start + one.end) for one in utterances]
        yield Chapter(start, samples, segments, until=start + following)
        if is_last:
            return
        buffer.drop_until(start + following)


def window_chapters(
    blocks: Iterable[np.ndarray], *, window: float, hop: float, origin: float = 0.0
) -> Iterator[Chapter]:
    """Chapters whose segments are windows of equal length; the last window ends with the recording.

    Windows in which nobody speaks are left out.

    Args:
        blocks: of one channel.
        window: duration of a window, in seconds.
        hop: from the start of a window to the start of the next, in seconds.
        origin: second of the recording at which the blocks begin.
    """
    buffer = _Buffer(blocks, origin)
    count = max(1, int(CHAPTER_SECONDS // hop))  # windows in a chapter
    while True:
        (samples, is_last), start = buffer.fill((count - 1) * hop + window), buffer.start
        seconds = len(samples) / SAMPLE_RATE
        windows = sliding_windows(seconds, window=window, hop=hop)
        windows = windows if is_last else windows[:count]
        speech = find_utterances(samples)
        segments = [
            Segment(start=start + one.start, end=start + one.end)
            for one in windows
            if any(min(one.end, other.end) - max(one.start, other.start) >= 0.1 for other in speech)
        ]
        yield Chapter(start, samples, segments, until=start + (seconds if is_last else count * hop))
        if is_last:
            return
        buffer.drop_until(start + count * hop)


def given_chapters(
    blocks: Iterable[np.ndarray],
    segments: Sequence[Segment],
    *,
    max_seconds: float,
    origin: float = 0.0,
    refuse: Callable[[Segment, float], None],
) -> Iterator[Chapter]:
    """Chapters with given segments; those without a text that are longer than `max_seconds` are cut at quiet places.

    Args:
        blocks: of one channel.
        segments: `end` may be None, for the end of the recording.
        max_seconds: longest segment of unknown words.
        origin: second of the recording at which the blocks begin.
        refuse: is called with each segment that starts after the recording has ended, and the second of its end. A
            segment that ends later than the recording is cut.
    """
    waiting = sorted(segments, key=lambda one: (one.start, np.inf if one.end is None else one.end))
    buffer = _Buffer(blocks, origin)
    while waiting:
        start = max(waiting[0].start, origin)
        _skip_to(buffer, start)
        batch = [one for one in waiting if one.start < start + CHAPTER_SECONDS]
        waiting = waiting[len(batch) :]
        last = max(np.inf if one.end is None else one.end for one in batch)
        samples, _ = buffer.fill(last - buffer.start if np.isfinite(last) else 1e9)
        end = buffer.start + len(samples) / SAMPLE_RATE
        inside = []
        for one in batch:
            if one.start >= end - 1e-3:
                refuse(one, end)
                continue
            whole = replace(one, end=end if one.end is None else min(one.end, end))
            inside += [whole] if one.text is not None else _parts(samples, whole, buffer.start, max_seconds)
        until = waiting[0].start if waiting else end
        yield Chapter(buffer.start, samples, sorted(inside, key=lambda one: one.start), until=until)


def _skip_to(buffer: _Buffer, second: float) -> None:
    is_last = False
    while buffer.start < second - 0.5 / SAMPLE_RATE and not is_last:
        _, is_last = buffer.fill(min(second - buffer.start, CHAPTER_SECONDS))
        buffer.drop_until(min(second, buffer.start + CHAPTER_SECONDS))


def _parts(samples: np.ndarray, segment: Segment, origin: float, max_seconds: float) -> list[Segment]:
    assert segment.end is not None
    interval = Interval(segment.start - origin, segment.end - origin)
    parts = cut_long(samples, interval, max_seconds=max_seconds)
    return [replace(segment, start=origin + one.start, end=origin + one.end) for one in parts]


def single_chapter(blocks: Iterable[np.ndarray], text: str, *, max_seconds: float, origin: float = 0.0) -> Chapter:
    """One segment with a given text: from the first utterance to the end of the last, all of it if nobody speaks.

    Raises:
        ValueError: the blocks are longer than `max_seconds`.
    """
    buffer = _Buffer(blocks, origin)
    samples, is_last = buffer.fill(max_seconds)
    if not is_last:
        raise ValueError(f"The recording is longer than {max_seconds:g} s.")
    utterances = find_utterances(samples) or [Interval(0.0, len(samples) / SAMPLE_RATE)]
    segment = Segment(text=text, start=origin + utterances[0].start, end=origin + utterances[-1].end)
    return Chapter(origin, samples, [segment], until=origin + len(samples) / SAMPLE_RATE)
