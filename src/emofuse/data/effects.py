"""Random voice, room and transmission effects for training.

Corpora of acted speech come from one studio each; a model trained on them alone takes the studio for the emotion.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from emofuse import degradations
from emofuse.audio import SAMPLE_RATE

Samples = np.ndarray


def vary(samples: Samples, rng: np.random.Generator) -> Samples:
    """Change a clip as another voice, room, microphone and line would; each change is drawn with its own probability.

    The changes, in order: speed (and with it pitch), room, noise, band limits, codec, level.

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
    """Play 0.89 to 1.12 times as fast: pitch and formants move as they do between voices."""
    return degradations.change_speed(samples, np.exp(rng.uniform(-0.113, 0.113)))


def _room(samples: Samples, rng: np.random.Generator) -> Samples:
    """Add reverberation that decays by 60 dB in 0.15 to 0.8 s, 0 to 15 dB below the direct sound."""
    rt60 = rng.uniform(0.15, 0.8)
    white = rng.standard_normal(int(rt60 * SAMPLE_RATE))
    return degradations.add_reverberation(samples, white, rt60=rt60, below=rng.uniform(0, 15))


def _noise(samples: Samples, rng: np.random.Generator) -> Samples:
    """Add noise whose power falls by 0 to 6 dB per octave, 5 to 35 dB below the speech."""
    white = rng.standard_normal(len(samples))
    noise = degradations.colour_noise(white, rng.uniform(0, 1))
    return degradations.add_noise(samples, noise, rng.uniform(5, 35))


def _band(samples: Samples, rng: np.random.Generator) -> Samples:
    """Limit the band to 40..350 Hz up to 3..7.5 kHz, as telephones and small microphones do."""
    return degradations.band_pass(samples, rng.uniform(40, 350), rng.uniform(3000, 7500))


def _codec(samples: Samples, rng: np.random.Generator) -> Samples:
    """Encode with mu-law at 8 kHz, MP3 or Vorbis, and decode again."""
    samples = degradations.limit_peak(samples)
    kind = ("telephone", "MP3", "OGG")[rng.integers(3)]
    if kind == "telephone":
        return degradations.apply_mu_law(samples)
    subtype = {"MP3": "MPEG_LAYER_III", "OGG": "VORBIS"}[kind]
    return degradations.fit_length(degradations.apply_file_format(samples, kind, subtype), len(samples))


def _level(samples: Samples, rng: np.random.Generator) -> Samples:
    """Scale the peak to -30 to 0 dB of full scale."""
    return degradations.set_peak(samples, rng.uniform(0, 30))
