"""Compare the two channels of a recording: a person in each, as in a recorded call, or one scene in stereo."""

from __future__ import annotations

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
        self._power = self._mixed_power = 0.0  # sums of squares

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
        self._power += float(np.square(frames).sum()) / 2
        self._mixed_power += float(np.square(frames.mean(axis=2)).sum())

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
        if channels_cancel(self._power / samples, self._mixed_power / samples):
            return "cancel"
        power = np.maximum(np.concatenate(self._levels), 1e-10)  # (frames, 2)
        floor = np.maximum(np.quantile(power, 0.1, axis=0), 10 ** (_SILENCE_DB / 10))
        loudest = np.quantile(power, 0.995, axis=0)
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
