"""Segments of a recording: stretches of speech between pauses, or windows that slide over it.

Segments are (start, end) in seconds of the recording, in order of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from emofuse.audio import SAMPLE_RATE

MAX_SECONDS = 8.0
"""Longest segment by default."""

DETECTOR_STEP = 512 / SAMPLE_RATE
"""Seconds of one decision of the speech detector."""

_ON, _OFF = 0.4, 0.3  # probabilities at which speech begins, and below which it ends
_MIN_PAUSE = 0.2  # seconds below `_OFF` that end a segment
_MIN_SPEECH = 0.1  # shorter stretches are clicks and breath
_LEAD = 0.02  # seconds before a segment: the detector is late at its start, and in time at its end
_FRAME = 0.02  # seconds, of levels


class Interval(NamedTuple):
    """A stretch of a recording, in seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its duration."""
        return self.end - self.start

    def samples_of(self, recording: np.ndarray) -> np.ndarray:
        """The samples of this interval in a recording at 16 kHz, as a view."""
        return recording[round(self.start * SAMPLE_RATE) : round(self.end * SAMPLE_RATE)]


def find_utterances(samples: np.ndarray, *, max_seconds: float = MAX_SECONDS) -> list[Interval]:
    """Find the utterances of a recording: stretches of speech between pauses of at least 0.2 s.

    Args:
        samples: float32 (n,), mono, 16 kHz.
        max_seconds: longest utterance, at least 1; longer stretches are cut at their quietest places.

    Returns:
        Intervals in order of time that do not overlap; empty if nobody speaks.

    Raises:
        ValueError: `max_seconds` is below 1.
    """
    if max_seconds < 1:
        raise ValueError(f"max_seconds must be at least 1, not {max_seconds:g}.")
    recording_seconds = len(samples) / SAMPLE_RATE
    stretches = speech_stretches(speech_probabilities(samples))
    clipped = [Interval(start, min(end, recording_seconds)) for start, end in stretches]
    return [part for interval in clipped for part in cut_long(samples, interval, max_seconds=max_seconds)]


def speech_of(samples: np.ndarray) -> np.ndarray:
    """The part of a clip from the start of its first utterance to the end of its last; all of it if nobody speaks.

    Args:
        samples: float32 (n,), mono, 16 kHz.
    """
    utterances = find_utterances(samples)
    return Interval(utterances[0].start, utterances[-1].end).samples_of(samples) if utterances else samples


def speech_probabilities(samples: np.ndarray) -> np.ndarray:
    """Probability of speech in each 32 ms, by Silero's detector as faster-whisper ships it.

    Args:
        samples: float32 (n,), mono, 16 kHz.

    Returns:
        float32 (ceil(n / 512),), 0..1.
    """
    from faster_whisper.vad import get_vad_model

    window = round(DETECTOR_STEP * SAMPLE_RATE)
    padded = np.pad(np.asarray(samples, np.float32), (0, -len(samples) % window))
    return get_vad_model()(padded).ravel() if len(padded) else np.zeros(0, np.float32)


def speech_stretches(probabilities: np.ndarray) -> list[Interval]:
    """Stretches of speech between pauses, as `StretchFinder` finds them.

    Args:
        probabilities: of speech, (frames,), one each 32 ms.
    """
    finder = StretchFinder()
    stretches = [finder.add(probability) for probability in probabilities]
    return [one for one in [*stretches, finder.finish()] if one is not None]


class StretchFinder:
    """Finds stretches of speech from probabilities that come one by one.

    A stretch begins where the probability reaches 0.4 and ends where it falls below 0.3 for 0.2 s or more. Stretches
    under 0.1 s are left out.
    """

    def __init__(self) -> None:
        self._frame = 0  # the next one
        self._start: int | None = None  # first frame of the stretch that has not ended
        self._pause: int | None = None  # first frame of the pause that may end it

    @property
    def since(self) -> float | None:
        """Second at which the stretch that has not ended begins, however short it is; None if nobody speaks."""
        return None if self._start is None else max(0.0, self._start * DETECTOR_STEP - _LEAD)

    @property
    def unfinished(self) -> Interval | None:
        """The stretch that has not ended, up to its last speech; None if it is under 0.1 s or nobody speaks."""
        since, end = self.since, self._frame if self._pause is None else self._pause
        if since is None or self._start is None or (end - self._start) * DETECTOR_STEP < _MIN_SPEECH:
            return None
        return Interval(since, end * DETECTOR_STEP)

    def add(self, probability: float) -> Interval | None:
        """Take the probability of the next 32 ms; return the stretch that ends by it, or None."""
        self._frame += 1
        if probability >= _ON:
            self._start, self._pause = (self._frame - 1 if self._start is None else self._start), None
        elif self._start is not None and probability < _OFF:
            self._pause = self._frame - 1 if self._pause is None else self._pause
            if (self._frame - self._pause) * DETECTOR_STEP >= _MIN_PAUSE:
                return self.finish()
        return None

    def finish(self) -> Interval | None:
        """End the stretch that has not ended, and return it; None if there is none."""
        stretch, self._start, self._pause = self.unfinished, None, None
        return stretch


def cut_long(samples: np.ndarray, interval: Interval, *, max_seconds: float) -> list[Interval]:
    """Cut an interval at its quietest places until no part is longer than `max_seconds`.

    Args:
        samples: the whole recording, (n,), 16 kHz.
        interval: what to cut.
        max_seconds: longest part, over 0.2.
    """
    if interval.seconds <= max_seconds:
        return [interval]
    size = round(_FRAME * SAMPLE_RATE)
    part = interval.samples_of(samples)
    levels = np.square(part[: len(part) // size * size], dtype=np.float64).reshape(-1, size).mean(axis=1)
    smooth = np.convolve(levels, np.ones(5) / 5, mode="same")  # the quietest 0.1 s
    quarter = len(smooth) // 4  # parts of similar length
    cut = interval.start + (quarter + int(smooth[quarter : len(smooth) - quarter].argmin()) + 0.5) * _FRAME
    halves = Interval(interval.start, cut), Interval(cut, interval.end)
    return [piece for half in halves for piece in cut_long(samples, half, max_seconds=max_seconds)]


def join_short(
    segments: Sequence[Interval],
    speakers: Sequence[int],
    *,
    min_seconds: float = 0.6,
    max_pause: float = 0.5,
    max_seconds: float = MAX_SECONDS,
) -> tuple[list[Interval], list[int]]:
    """Join segments that are too short to be judged with a near neighbour of the same speaker.

    Args:
        segments: in order of time.
        speakers: the speaker of each.
        min_seconds: shorter segments are joined with the nearer neighbour that qualifies.
        max_pause: longest pause to that neighbour, in seconds.
        max_seconds: longest segment that joining may make.

    Returns:
        Segments and their speakers. A short segment that has no such neighbour stays as it is.
    """
    joined = [(interval, speaker) for interval, speaker in zip(segments, speakers, strict=True)]
    number = 0
    while number < len(joined):
        if joined[number][0].seconds >= min_seconds:
            number += 1
            continue
        pauses = {
            left: after.start - before.end
            for left in (number - 1, number)
            if 0 <= left < len(joined) - 1
            for (before, speaker), (after, next_speaker) in [joined[left : left + 2]]
            if speaker == next_speaker
            and after.start - before.end <= max_pause
            and after.end - before.start <= max_seconds
        }
        if not pauses:
            number += 1
            continue
        left = min(pauses, key=pauses.__getitem__)
        (before, speaker), (after, _) = joined[left : left + 2]
        joined[left : left + 2] = [(Interval(before.start, after.end), speaker)]
        number = left  # the joined segment may still be short
    return [interval for interval, _ in joined], [speaker for _, speaker in joined]


def sliding_windows(seconds: float, *, window: float, hop: float) -> list[Interval]:
    """Windows of equal length over a recording; the last one ends with the recording.

    Args:
        seconds: duration of the recording.
        window: duration of a window.
        hop: from the start of one window to the start of the next.

    Raises:
        ValueError: `window` or `hop` is not above 0.

    >>> [tuple(window) for window in sliding_windows(5.0, window=2.0, hop=2.0)]
    [(0.0, 2.0), (2.0, 4.0), (3.0, 5.0)]
    """
    if window <= 0 or hop <= 0:
        raise ValueError(f"window and hop must be above 0 s, not {window:g} and {hop:g}.")
    if seconds <= window:
        return [Interval(0.0, float(seconds))] if seconds > 0 else []
    starts = [*np.arange(0, seconds - window, hop).tolist(), seconds - window]
    if len(starts) > 1 and starts[-1] - starts[-2] < 1e-6:
        starts.pop(-2)
    return [Interval(start, start + window) for start in starts]
