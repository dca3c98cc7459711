"""Find utterances in sound as it comes, with memory for the utterance that has not ended alone.

The speech detector and the rules are those of `emofuse.timeline.segments`, which looks at a whole recording. Without
the sound that is still to come, two things differ: a stretch that becomes too long is cut at once, where what is known
of it is quietest, and short utterances are not joined with later ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from emofuse.audio import SAMPLE_RATE
from emofuse.timeline.segments import DETECTOR_STEP, MAX_SECONDS, Interval, StretchFinder, cut_long

FRAME = round(DETECTOR_STEP * SAMPLE_RATE)
"""Samples of one decision of the speech detector."""

_CONTEXT = 64  # samples before a frame that the detector reads too


class SpeechDetector:
    """Silero's detector, frame by frame: it gives the same probabilities as for the whole recording."""

    def __init__(self) -> None:
        from faster_whisper.vad import get_vad_model

        self._session = get_vad_model().session
        self._state = [np.zeros((1, 1, 128), np.float32)] * 2
        self._context = np.zeros(_CONTEXT, np.float32)

    def __call__(self, frame: np.ndarray) -> float:
        """Probability of speech in the next samples, float32 (512,)."""
        samples = np.concatenate([self._context, frame])[None]  # (1, 576)
        probability, *self._state = self._session.run(
            None, {"input": samples, "h": self._state[0], "c": self._state[1]}
        )
        self._context = frame[-_CONTEXT:]
        return float(probability.item())


class LiveUtterances:
    """Finds the utterances of a stream whose samples come frame by frame.

    Args:
        max_seconds: longest utterance, at least 1.
        detector: gives the probability of speech in the next frame; None for Silero's.
    """

    def __init__(
        self, *, max_seconds: float = MAX_SECONDS, detector: Callable[[np.ndarray], float] | None = None
    ) -> None:
        if max_seconds < 1:
            raise ValueError(f"max_seconds must be at least 1, not {max_seconds:g}.")
        self._max_seconds = max_seconds
        self._detector = SpeechDetector() if detector is None else detector
        self._finder = StretchFinder()
        self._cut: float | None = None  # where the stretch that has not ended was cut
        self._frames: deque[np.ndarray] = deque()
        self._count = 0  # of samples so far

    @property
    def seconds(self) -> float:
        """Duration of the stream so far."""
        return self._count / SAMPLE_RATE

    @property
    def start(self) -> float:
        """Second of the stream at which `samples` begin."""
        return (self._count - sum(map(len, self._frames))) / SAMPLE_RATE

    @property
    def samples(self) -> np.ndarray:
        """What is held of the stream: float32 (n,), 16 kHz, from the start of the utterance that has not ended."""
        return np.concatenate([np.empty(0, np.float32), *self._frames])

    @property
    def unfinished(self) -> Interval | None:
        """The utterance that has not ended, up to its last speech; None if nobody speaks."""
        stretch = self._finder.unfinished
        return stretch if stretch is None or self._cut is None else Interval(self._cut, stretch.end)

    def add(self, frame: np.ndarray) -> Interval | None:
        """Take the next 512 samples and return the utterance that is now complete, or None.

        Its samples are held until the next call.
        """
        self._drop()
        self._frames.append(frame)
        self._count += len(frame)
        cut = self._cut
        stretch = self._finder.add(self._detector(frame))
        if stretch is not None:
            self._cut = None
            return Interval(stretch.start if cut is None else cut, stretch.end)
        unfinished = self.unfinished
        if unfinished is None or unfinished.seconds <= self._max_seconds:
            return None
        shifted = Interval(unfinished.start - self.start, unfinished.end - self.start)
        first = cut_long(self.samples, shifted, max_seconds=self._max_seconds)[0]
        self._cut = self.start + first.end
        return Interval(unfinished.start, self._cut)

    def finish(self, rest: np.ndarray) -> list[Interval]:
        """Take the last samples, fewer than 512, and return the utterances that are complete now that the stream ends.

        Their samples are held.
        """
        utterances = []
        if len(rest):
            utterances.append(self.add(np.pad(rest, (0, FRAME - len(rest)))))
            self._frames[-1] = rest
            self._count += len(rest) - FRAME
        utterances.append(self.unfinished)
        self._finder.finish()
        clipped = [Interval(one.start, min(one.end, self.seconds)) for one in utterances if one is not None]
        return [one for one in clipped if one.seconds > 0]

    def _drop(self) -> None:
        """Forget the samples before the stretch of speech that has not ended."""
        since = self._finder.since if self._cut is None else self._cut
        needed = 0.0 if since is None else self.seconds - since
        while len(self._frames) > needed / DETECTOR_STEP + 1:
            self._frames.popleft()
