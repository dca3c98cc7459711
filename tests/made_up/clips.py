"""Clips for made-up trees."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import soundfile


def write_clip(path: Path, seconds: float = 0.4, rate: int = 16000) -> Path:
    """A tone with noise, of a pitch that comes from the file's name; the same name gives the same samples."""
    rng = np.random.default_rng(zlib.crc32(path.name.encode()))
    time = np.arange(int(seconds * rate)) / rate
    tone = 0.3 * np.sin(2 * np.pi * rng.uniform(100, 400) * time) + rng.normal(0, 0.02, len(time))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone, rate)
    return path
