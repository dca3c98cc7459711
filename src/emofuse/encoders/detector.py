"""Speech detection, and cutting a recording at its pauses into segments for the model."""

from __future__ import annotations

from typing import Any

import numpy as np

from emofuse.audio import SAMPLE_RATE

_WINDOW = 512  # samples per decision of the detector, 32 ms


def speech_segments(samples: np.ndarray, max_seconds: float = 15.0) -> list[tuple[float, float]]:
    """Find speech and cut it into segments at its pauses.

    Neighbouring stretches of speech are merged as long as the segment is at most `max_seconds` long. A longer stretch
    is cut where its energy is lowest.

    Args:
        samples: float32 (n,), mono, 16 kHz.
        max_seconds: longest segment, at least 1.

    Returns:
        (start, end) in seconds, in order, not overlapping; empty if there is no speech.

    Raises:
        ValueError: `max_seconds` is below 1.
    """
    if max_seconds < 1:
        raise ValueError(f"max_seconds must be at least 1, not {max_seconds}")
    longest = int(max_seconds * SAMPLE_RATE)
    stretches = [part for start, end in _speech(samples) for part in _cut(np.asarray(samples), start, end, longest)]
    segments: list[tuple[int, int]] = []
    for start, end in stretches:
        if segments and end - segments[-1][0] <= longest:
            segments[-1] = (segments[-1][0], end)
        else:
            segments.append((start, end))
    return [(start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in segments]


def has_speech(samples: np.ndarray) -> bool:
    """Return whether there is any speech in float32 samples (n,), mono, 16 kHz."""
    return bool(_speech(samples))


def find_speech(samples: np.ndarray, **options: Any) -> list[tuple[int, int]]:
    """Find stretches of speech (first sample, last + 1) in samples (n,), 16 kHz, with Silero's detector.

    `options` are those of `faster_whisper.vad.VadOptions`.
    """
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    stretches = get_speech_timestamps(np.asarray(samples, dtype=np.float32), VadOptions(**options))
    return [(stretch["start"], min(stretch["end"], len(samples))) for stretch in stretches]


def _speech(samples: np.ndarray) -> list[tuple[int, int]]:
    return find_speech(samples, min_silence_duration_ms=300, min_speech_duration_ms=100, speech_pad_ms=100)


def _cut(samples: np.ndarray, start: int, end: int, longest: int) -> list[tuple[int, int]]:
    """Halve a stretch at the quietest window of its middle half until every part is short enough."""
    if end - start <= longest:
        return [(start, end)]
    quarter = (end - start) // 4
    windows = samples[start + quarter : end - quarter]
    windows = windows[: len(windows) // _WINDOW * _WINDOW].reshape(-1, _WINDOW)
    energy = np.square(windows, dtype=np.float64).mean(axis=1)
    smooth = np.convolve(energy, np.ones(3) / 3, mode="same")[1:-1]  # means over 100 ms
    cut = start + quarter + int(smooth.argmin() + 1) * _WINDOW + _WINDOW // 2
    return [*_cut(samples, start, cut, longest), *_cut(samples, cut, end, longest)]
