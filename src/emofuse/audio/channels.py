"""Compare the two channels of a recording: a person in each, as in a recorded call, or one scene in stereo.

Where each has a person of its own, the other person is often audible in the background (crosstalk, echo);
`mute_crosstalk` removes that before speech is detected.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np

from emofuse.audio.samples import SAMPLE_RATE, channels_cancel

Verdict = Literal["same", "different", "one silent", "cancel"]

MAX_SECONDS = 600.0
"""Only the beginning of a recording is compared."""

_FRAME = SAMPLE_RATE // 10  # samples, 0.1 s
_SILENCE_DB = -75.0  # level, in dB of full scale, below which a frame is silent whatever the background
_ABOVE_FLOOR_DB = 10.0  # a frame is active this far above the background of its channel
_BELOW_LOUDEST_DB = 25.0  # and at most this far below the channel's loudest frames
_DOMINANT_DB = 10.0  # a channel dominates a frame this far above the other one
_MIN_ACTIVE_FRAMES = 5  # a channel with fewer active frames is silent: clicks
_MIN_DOMINATED = 0.5  # least share of active frames in which one of the channels dominates
_MIN_DOMINATED_BY_EACH = 0.01  # least share in which the first one does, and in which the second one does
_CONTEXT = 3 * _FRAME  # samples before and after a stretch that decide what is muted in it


class ChannelComparison:
    """Whether two channels carry different voices; made of a recording's blocks, in constant memory.

    Levels of 0.1 s are compared, so that delays, rooms and polarity hardly matter. The background of each channel (its
    10 % quantile) is subtracted, and the loudest frames of both are brought to one level. With a person in each
    channel, one channel is at least 10 dB louder than the other in most frames, now the first and now the second.
    People who are panned only partly (70 % to 30 % is 7.4 dB) are one scene: each channel has all of them.

    >>> comparison = ChannelComparison()
    >>> voice = np.sin(np.arange(48000) / 10) * np.repeat([0.0, 0.5, 0.0], 16000)
    >>> comparison.add(np.stack([voice, np.roll(voice, 16000)], axis=1))
    >>> comparison.verdict
    'different'
    """

    def __init__(self) -> None:
        self._levels: list[np.ndarray] = []  # mean squares, (frames, 2) each
        self._frames = 0
        self._rest = np.zeros((0, 2), np.float32)  # samples of the frame that is not complete
        self._total = self._mixed_total = 0.0  # sums of squares, of the channels and of their average

    @property
    def complete(self) -> bool:
        """True once ten minutes have been compared; further blocks are ignored."""
        return self._frames * _FRAME >= MAX_SECONDS * SAMPLE_RATE

    def add(self, block: np.ndarray) -> None:
        """Add the next samples: float (n, 2), 16 kHz.

        Raises:
            ValueError: the block does not have two channels.
        """
        if block.ndim != 2 or block.shape[1] != 2:
            raise ValueError(f"A block has the shape {block.shape}. Expected (n, 2).")
        if self.complete:
            return
        samples = np.concatenate([self._rest, block])
        count = min(len(samples) // _FRAME, round(MAX_SECONDS * SAMPLE_RATE) // _FRAME - self._frames)
        frames = samples[: count * _FRAME].reshape(count, _FRAME, 2).astype(np.float64)
        self._rest = samples[count * _FRAME :]
        if not count:
            return
        frames -= frames.mean(axis=1, keepdims=True)  # a constant offset is not sound
        self._levels.append(np.square(frames).mean(axis=1))
        self._frames += count
        self._total += float(np.square(frames).sum()) / 2
        self._mixed_total += float(np.square(frames.mean(axis=2)).sum())

    @property
    def background(self) -> np.ndarray:
        """Mean square of each channel's background: its 10 % quantile, (2,)."""
        return np.maximum(np.quantile(self._power_of_frames(), 0.1, axis=0), 10 ** (_SILENCE_DB / 10))

    @property
    def loudest(self) -> np.ndarray:
        """Mean square of each channel's loudest frames: its 99.5 % quantile, (2,)."""
        return np.quantile(self._power_of_frames(), 0.995, axis=0)

    def _power_of_frames(self) -> np.ndarray:
        return np.maximum(np.concatenate(self._levels), 1e-10)  # (frames, 2)

    @property
    def verdict(self) -> Verdict:
        """What the channels carry, as far as they have been added.

        - "different": different voices, so that each channel should be judged by itself.
        - "same": one scene, identical channels, or nothing at all; they can be averaged.
        - "one silent": only one of them has more than a steady background.
        - "cancel": one is the inverse of the other, so that their average is silent; either can be used.
        """
        if not self._frames:
            return "same"
        samples = self._frames * _FRAME
        if channels_cancel(self._total / samples, self._mixed_total / samples):
            return "cancel"
        power, floor, loudest = self._power_of_frames(), self.background, self.loudest
        active = power > np.maximum(floor * 10 ** (_ABOVE_FLOOR_DB / 10), loudest / 10 ** (_BELOW_LOUDEST_DB / 10))
        silent = active.sum(axis=0) < _MIN_ACTIVE_FRAMES
        if silent.any():
            return "same" if silent.all() else "one silent"
        excess = np.maximum(power - floor, floor / 10) / loudest
        difference = 10 * np.log10(excess[:, 0] / excess[:, 1])[active.any(axis=1)]
        first, second = float(np.mean(difference > _DOMINANT_DB)), float(np.mean(difference < -_DOMINANT_DB))
        if first + second >= _MIN_DOMINATED and min(first, second) >= _MIN_DOMINATED_BY_EACH:
            return "different"
        return "same"


def mute_crosstalk(blocks: Iterable[np.ndarray], comparison: ChannelComparison) -> Iterator[np.ndarray]:
    """Mute each channel while it carries only the other person's voice.

    A frame of 0.1 s is muted if the other channel is active within 0.2 s and at least 10 dB louder there than this
    channel is within 0.1 s, both relative to their loudest frames. Gains change over 0.1 s.

    Args:
        blocks: float32 (n, 2), 16 kHz, whose verdict is "different".
        comparison: of the same recording, for the levels of its channels.

    Yields:
        float32 (n, 2), as many samples in all.
    """
    background, loudest = comparison.background, comparison.loudest
    held = np.zeros((_CONTEXT, 2), np.float32)
    for block in blocks:
        held = np.concatenate([held, block])
        count = len(held) // _FRAME * _FRAME
        if count > 2 * _CONTEXT:
            yield _muted(held[:count], background, loudest)
            held = held[count - 2 * _CONTEXT :]
    rest = len(held) - _CONTEXT
    if rest:
        padded = np.pad(held, ((0, -rest % _FRAME + _CONTEXT), (0, 0)))
        yield _muted(padded, background, loudest)[:rest]


def _muted(samples: np.ndarray, background: np.ndarray, loudest: np.ndarray) -> np.ndarray:
    """Whole frames without crosstalk; those at both ends are context only and left out."""
    power = samples.reshape(-1, _FRAME, 2).var(axis=1, dtype=np.float64)  # (frames, 2)
    active = power > background * 10 ** (_ABOVE_FLOOR_DB / 10)
    own = _maximum_around(power / loudest, 1)
    other = _maximum_around(np.where(active, power / loudest, 0.0), 2)[:, ::-1]
    audible = (own * 10 ** (_DOMINANT_DB / 10) >= other).astype(float)
    places, centres = np.arange(len(samples)), (np.arange(len(power)) + 0.5) * _FRAME
    gains = np.stack([np.interp(places, centres, one) for one in audible.T], axis=1)
    return (samples * gains).astype(np.float32)[_CONTEXT:-_CONTEXT]


def _maximum_around(power: np.ndarray, frames: int) -> np.ndarray:
    """Maximum over so many frames before and after each one, (frames, 2)."""
    padded = np.pad(power, ((frames, frames), (0, 0)))
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * frames + 1, axis=0).max(axis=-1)
