"""Speech detection."""

from __future__ import annotations

from typing import Any

import numpy as np


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
