"""Where there is speech: a recording cut at its pauses into segments that the model can take."""

from __future__ import annotations

import numpy as np

_RATE = 16000
_WINDOW = 512  # samples of one decision of the detector, 32 ms
_PAD_SECONDS = 0.1


def speech_segments(samples: np.ndarray, max_seconds: float = 15.0) -> list[tuple[float, float]]:
    """Find speech (Silero VAD, as faster-whisper ships it) and cut it into segments at its pauses.

    Neighbouring stretches of speech are merged as long as the segment stays within `max_seconds`. A longer stretch is
    cut where the energy is lowest.

    Args:
        samples: float32 (n,), mono, 16 kHz.
        max_seconds: longest segment, at least 1.

    Returns:
        (start, end) in seconds, in order, not overlapping; empty if there is no speech.

    Raises:
        ValueError: `max_seconds` is below 1.
    """
    if max_seconds < 1:
        raise ValueError(f"max_seconds must be at least 1, found {max_seconds}")
    longest = int(max_seconds * _RATE)
    stretches = [part for start, end in _speech(samples) for part in _cut(np.asarray(samples), start, end, longest)]
    segments: list[tuple[int, int]] = []
    for start, end in stretches:
        if segments and end - segments[-1][0] <= longest:
            segments[-1] = (segments[-1][0], end)
        else:
            segments.append((start, end))
    return [(start / _RATE, end / _RATE) for start, end in segments]


def has_speech(samples: np.ndarray) -> bool:
    """Whether there is any speech, by the same detector.

    Args:
        samples: float32 (n,), mono, 16 kHz.
    """
    return bool(_speech(samples))


def _speech(samples: np.ndarray) -> list[tuple[int, int]]:
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(
        min_silence_duration_ms=300, min_speech_duration_ms=100, speech_pad_ms=round(1000 * _PAD_SECONDS)
    )
    found = get_speech_timestamps(np.asarray(samples, dtype=np.float32), options)
    return [(stretch["start"], min(stretch["end"], len(samples))) for stretch in found]


def _cut(samples: np.ndarray, start: int, end: int, longest: int) -> list[tuple[int, int]]:
    """Halve a stretch at the quietest window of its middle half until every part is short enough."""
    if end - start <= longest:
        return [(start, end)]
    quarter = (end - start) // 4
    windows = samples[start + quarter : end - quarter]
    windows = windows[: len(windows) // _WINDOW * _WINDOW].reshape(-1, _WINDOW)
    energy = np.square(windows, dtype=np.float64).mean(axis=1)
    smooth = np.convolve(energy, np.ones(3) / 3, mode="same")[1:-1]  # the quietest 100 ms, not one zero crossing
    cut = start + quarter + int(smooth.argmin() + 1) * _WINDOW + _WINDOW // 2
    return [*_cut(samples, start, cut, longest), *_cut(samples, cut, end, longest)]
