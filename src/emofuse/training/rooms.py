"""Other rooms, other lines, other voices: the samples of a clip, changed as a call or a phone would change them.

Corpora of acted speech come from one studio each. A model that hears no others takes the studio for the emotion.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import soundfile
import soxr
from scipy.signal import butter, fftconvolve, sosfilt

from emofuse.audio import SAMPLE_RATE

Samples = np.ndarray


def vary(samples: Samples, rng: np.random.Generator) -> Samples:
    """A clip as another voice, room, microphone and line would have it; each change comes with its own chance.

    In this order: speed (and with it pitch), room, noise, band limits, codec, level.

    Args:
        samples: float32 (n,), 16 kHz.
        rng: source of all random choices.

    Returns:
        float32 (about n, within 12 %), peak at most 1.
    """
    steps: list[tuple[float, Callable[[Samples, np.random.Generator], Samples]]] = [
        (0.7, _speed),
        (0.4, _room),
        (0.7, _noise),
        (0.5, _band),
        (0.4, _codec),
        (1.0, _level),
    ]
    for chance, change in steps:
        if rng.random() < chance:
            samples = change(samples, rng)
    return samples.astype(np.float32)


def _speed(samples: Samples, rng: np.random.Generator) -> Samples:
    """Played 0.89 to 1.12 times as fast: pitch and formants move as they do between voices."""
    rate = np.exp(rng.uniform(-0.113, 0.113))
    return soxr.resample(samples, SAMPLE_RATE * rate, SAMPLE_RATE)


def _room(samples: Samples, rng: np.random.Generator) -> Samples:
    """Noise that decays by 60 dB in 0.15 to 0.8 s, 0 to 15 dB below the direct sound."""
    seconds = rng.uniform(0.15, 0.8)
    t = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(t)) * 10 ** (-3 * t / seconds)
    tail *= 10 ** (-rng.uniform(0, 15) / 20) / np.sqrt(np.square(tail).sum())
    tail[0] += 1
    return fftconvolve(samples, tail)[: len(samples)]


def _noise(samples: Samples, rng: np.random.Generator) -> Samples:
    """Noise whose power falls by 0 to 6 dB an octave, 5 to 35 dB below the speech."""
    spectrum = np.fft.rfft(rng.standard_normal(len(samples)))
    spectrum *= np.maximum(np.arange(len(spectrum)), 1) ** -rng.uniform(0, 1)
    noise = np.fft.irfft(spectrum, len(samples))
    ratio = np.sqrt(np.square(samples).mean() / max(np.square(noise).mean(), 1e-20))
    return samples + noise * ratio * 10 ** (-rng.uniform(5, 35) / 20)


def _band(samples: Samples, rng: np.random.Generator) -> Samples:
    """From 40..350 Hz to 3..7.5 kHz, as telephones and small microphones hear."""
    limits = (rng.uniform(40, 350), rng.uniform(3000, 7500))
    return sosfilt(butter(2, limits, "bandpass", fs=SAMPLE_RATE, output="sos"), samples)


def _codec(samples: Samples, rng: np.random.Generator) -> Samples:
    """Through mu-law at 8 kHz, MP3 or Vorbis."""
    samples = samples / max(1.0, float(np.abs(samples).max()))
    kind = ("telephone", "MP3", "OGG")[rng.integers(3)]
    if kind == "telephone":
        narrow = soxr.resample(samples, SAMPLE_RATE, 8000)
        narrow = _through_file(narrow, 8000, "WAV", "ULAW")
        return _fitted(soxr.resample(narrow, 8000, SAMPLE_RATE), len(samples))
    subtype = {"MP3": "MPEG_LAYER_III", "OGG": "VORBIS"}[kind]
    return _fitted(_through_file(samples, SAMPLE_RATE, kind, subtype), len(samples))


def _level(samples: Samples, rng: np.random.Generator) -> Samples:
    """A peak of -30 to 0 dB of full scale."""
    peak = 10 ** (-rng.uniform(0, 30) / 20)
    return samples * (peak / max(float(np.abs(samples).max()), 1e-9))


def _through_file(samples: Samples, rate: int, form: str, subtype: str) -> Samples:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=subtype)
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


def _fitted(samples: Samples, n: int) -> Samples:
    return np.pad(samples[:n], (0, max(0, n - len(samples))))
