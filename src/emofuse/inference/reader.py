"""Read a recording block by block, each channel that is judged by itself."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np

from emofuse.audio import (
    SAMPLE_RATE,
    SILENCE_PEAK,
    AudioError,
    EndsEarly,
    Note,
    check_samples,
    name_of,
    stream_audio,
    stream_samples,
)
from emofuse.audio.channels import ChannelComparison, mute_crosstalk

log = logging.getLogger("emofuse")

MAX_SPLIT = 8  # channels that are judged one by one


class RecordingReader:
    """Reads a recording, or a stretch of it, as often as needed.

    Args:
        audio: path, bytes, open binary file, or samples (see `emofuse.audio.channels_of`).
        sample_rate: of samples, in Hz.
        start: first second that is wanted.
        end: last second that is wanted; None for the end.
        track: number of the audio track of a file, from 1; None for the first.
        channels: "mix" (their average), "split" (each by itself), a number from 1, or "auto": split where two channels
            carry different voices, otherwise mix.
        tell: takes what a user should know of the recording, once each; it is logged as a warning too. None for
            neither.

    Attributes:
        name: for messages.
        file: its path; None if it has none.
        channels: the channels that are judged: numbers from 1, or [None] for their average.

    Raises:
        AudioError: the recording cannot be read, or has no such channel or track.
    """

    def __init__(
        self,
        audio: Any,
        *,
        sample_rate: int | None = None,
        start: float = 0.0,
        end: float | None = None,
        track: int | None = None,
        channels: str | int = "auto",
        tell: Callable[[Note], None] | None,
    ) -> None:
        if hasattr(audio, "read") and not getattr(audio, "seekable", bool)():
            audio = audio.read()  # it is read more than once
        self._audio, self._sample_rate, self._track = audio, sample_rate, track
        self.start, self._end = start, end
        self._is_samples = not isinstance(audio, str | bytes | bytearray | memoryview) and not hasattr(audio, "read")
        self._is_samples = self._is_samples and not hasattr(audio, "__fspath__")
        self.name = "samples" if self._is_samples else name_of(audio)
        self.file = self.name if isinstance(audio, str) or hasattr(audio, "__fspath__") else None
        self._told: set[Note] = set()
        self._tell = tell
        self._comparison: ChannelComparison | None = None  # of two channels with different voices
        self.channels = self._choose(channels)

    def blocks(self) -> Iterator[np.ndarray]:
        """Blocks float32 (n, channels), 16 kHz, a column for each of `channels`; what is unusable is an error.

        Raises:
            AudioError: the recording cannot be read, is too short, all silence, or holds values that are no sound.
        """
        count, low, high = 0, math.inf, -math.inf
        blocks = self._read(self._mix)
        if self._comparison is not None:
            blocks = mute_crosstalk(blocks, self._comparison)
        for block in blocks:
            if not len(block):
                continue
            low, high, count = min(low, float(block.min())), max(high, float(block.max())), count + len(block)
            if not -100 <= low <= high <= 100:
                check_samples(np.ascontiguousarray(block[:, 0]), self.name)
            yield block
        if count < SAMPLE_RATE // 10 or (high - low) / 2 < SILENCE_PEAK:
            edge = np.zeros(count, np.float32)
            edge[:1] = high - low if count else 0.0
            check_samples(edge, self.name)

    def channel_blocks(self) -> Iterator[tuple[int, Iterator[np.ndarray]]]:
        """For each of `channels` its place and its blocks (n,); reading them in turn keeps memory small."""
        source, waiting = self.blocks(), [deque[np.ndarray]() for _ in self.channels]

        def column(place: int) -> Iterator[np.ndarray]:
            while True:
                if not waiting[place]:
                    block = next(source, None)
                    if block is None:
                        return
                    for number, queue in enumerate(waiting):
                        queue.append(np.ascontiguousarray(block[:, number]))
                yield waiting[place].popleft()

        return iter([(place, column(place)) for place in range(len(self.channels))])

    def tell(self, note: Note) -> None:
        """Tell, and log as a warning, what a user should know of the recording; the same thing once."""
        if self._tell is not None and note not in self._told:
            self._told.add(note)
            log.warning("%s: %s.", self.name, note.message)
            self._tell(note)

    def _mix(self, samples: np.ndarray) -> np.ndarray:
        """The columns for `channels`, of samples (n, channels of the recording)."""
        if self.channels == [None]:
            return samples.mean(axis=1, keepdims=True)
        numbers = [min(number, samples.shape[1]) - 1 for number in self.channels if number is not None]
        return samples[:, numbers]

    def _choose(self, channels: str | int) -> list[int | None]:
        first = self._read(lambda samples: samples)
        block = next(first, None)
        count = 1 if block is None else block.shape[1]
        if isinstance(channels, int):
            if not 1 <= channels <= count:
                raise AudioError(f"{self.name}: there is no channel {channels}, only 1 to {count}.")
            return [channels]
        if count == 1 or block is None:
            return [None]
        if channels == "split":
            if count > MAX_SPLIT:
                raise AudioError(f"{self.name}: {count} channels are too many to split (at most {MAX_SPLIT}).")
            if count != 2:
                return list(range(1, count + 1))
        return self._compare(chain([block], first), str(channels)) if count == 2 else [None]

    def _compare(self, blocks: Iterator[np.ndarray], channels: str) -> list[int | None]:
        comparison = ChannelComparison()
        for block in blocks:
            comparison.add(block)
            if comparison.complete:
                break
        verdict = comparison.verdict
        if verdict == "different" and channels != "mix":
            self._comparison = comparison
            if channels == "auto":
                self.tell(Note("channels", "its two channels carry different voices, so each is judged by itself"))
            return [1, 2]
        if channels == "split":
            return [1, 2]
        if verdict == "cancel":
            self.tell(Note("channels", "its channels cancel each other, so that channel 1 was taken alone"))
            return [1]
        return [None]

    def _read(self, mix: Callable[[np.ndarray], np.ndarray]) -> Iterator[np.ndarray]:
        options: dict[str, Any] = {"start": self.start, "end": self._end, "mix": mix}
        if self._is_samples:
            return stream_samples(self._audio, self._sample_rate, **options)
        return self._read_file(options)

    def _read_file(self, options: dict[str, Any]) -> Iterator[np.ndarray]:
        try:
            yield from stream_audio(self._audio, track=self._track, tell=self.tell, **options)
        except EndsEarly as error:  # the last subtitle often ends after the recording
            message = f"the segment up to {self._end:g} s is cut at the end of the recording ({error.seconds:.2f} s)"
            self.tell(Note("truncated", message))
