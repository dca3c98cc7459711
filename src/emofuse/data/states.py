"""Hidden states of a frozen speech encoder for the clips of a table and for randomly changed copies of them.

Corpora of acted speech come from one studio each; a model trained on them alone takes the studio for the emotion. Hence
the copies: the same clips with another voice, room and transmission (`vary`).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from emofuse import degradations
from emofuse.audio import SAMPLE_RATE
from emofuse.data.features import Clip, Features, stored
from emofuse.encoders.speech import POOL, SpeechEncoder, pool_time
from emofuse.hardware import choose_precision
from emofuse.timeline.segments import speech_of


class LayerStates:
    """Hidden states of some of the layers that a store holds.

    Args:
        stored: made by `compute_states`.
        layers: positions of the layers in the store, from 0; in a store of all layers, 0 is the input of the first.
        of: number of layers in the store.
        rate: stored steps per second.

    Attributes:
        width: values of a frame, len(layers) * size of a state.
    """

    def __init__(self, stored: Features, layers: Sequence[int], *, of: int, rate: float):
        self.layers, self.of, self.rate = list(layers), of, rate
        self.width = stored.width // of * len(self.layers)
        self._stored = stored

    def length(self, clip: Clip) -> int:
        """Number of steps of a clip."""
        return self._stored.length(clip)

    def __getitem__(self, clip: Clip) -> np.ndarray:
        """States of a clip, (steps, width) float16."""
        return select_layers(self._stored[clip], self.layers, of=self.of)


def compute_states(
    table: pd.DataFrame,
    cache: Path,
    encoder: SpeechEncoder,
    *,
    layers: Sequence[int] | None = None,
    pool: int = POOL,
    speech_only: bool = False,
    varied: int = 0,
    device: torch.device | None = None,
) -> Features:
    """Hidden states of every row that has a file; those that the store lacks are computed.

    Args:
        table: utterance table.
        cache: folder of stores.
        encoder: the frozen speech encoder.
        layers: numbers of the layers to store, side by side in this order; all if None.
        pool: number of steps that are averaged to one.
        speech_only: whether each clip is cut to its speech first; see `speech_of`.
        varied: 0 for the clips as they are; 1, 2, ... for that copy of each clip, changed by `vary`.
        device: computes the states; the CPU if None.

    Returns:
        Frames of (layers * dim) values, half precision; see `select_layers`.

    Raises:
        AudioError: a file is not usable audio; the message names the key of the utterance.
    """
    device = device or torch.device("cpu")
    # Varied copies are computed in bf16 where that is fast: the error is small compared with the variation.
    precision = choose_precision(device) if varied else "fp32"
    if device.type != "cpu":
        encoder.model.to(device)
    all_layers = list(range(encoder.layers))
    stored_layers = all_layers if layers is None else list(layers)

    def make(samples: np.ndarray) -> np.ndarray:
        if speech_only:
            samples = speech_of(samples)
        if varied:
            samples = vary(samples, np.random.default_rng([varied, zlib.crc32(samples.tobytes())]))
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            states = encoder.hidden_states(samples)[stored_layers].float().numpy()  # (layers, steps, dim)
        return pool_time(states, pool).transpose(1, 0, 2).reshape(-1, len(stored_layers) * encoder.dim)

    some = "" if stored_layers == all_layers else "-layers" + "_".join(map(str, stored_layers))
    copy = "-speech" * speech_only + (f"-varied{varied}-{precision}" if varied else "")
    folder = cache / f"states-{encoder.name.replace('/', '-')}-{pool}-{encoder.hash[:16]}{some}{copy}"
    name = f"hidden states of {encoder.name}" + (f", copy {varied}" if varied else "")
    return stored(table, folder, make, width=len(stored_layers) * encoder.dim, name=name)


def select_layers(frames: np.ndarray, layers: Sequence[int], *, of: int) -> np.ndarray:
    """Pick layers out of frames (steps, of * dim) that hold `of` of them: (steps, len(layers) * dim), in that order.

    >>> select_layers(np.arange(6).reshape(1, 6), [2, 0], of=3)
    array([[4, 5, 0, 1]])
    """
    return frames.reshape(len(frames), of, -1)[:, list(layers)].reshape(len(frames), -1)


Samples = np.ndarray


def vary(samples: Samples, rng: np.random.Generator) -> Samples:
    """Change a clip as another voice, room, microphone and line would; each change is drawn with its own probability.

    Args:
        samples: float32 (n,), 16 kHz.
        rng: source of all random choices.

    Returns:
        float32 (about n, within 12 %), peak at most 1.
    """
    chances = {_speed: 0.7, _room: 0.4, _noise: 0.7, _band: 0.5, _codec: 0.4, _level: 1.0}
    for change, chance in chances.items():
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
    kind, subtype = (("telephone", ""), ("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"))[rng.integers(3)]
    if kind == "telephone":
        return degradations.apply_mu_law(samples)
    return degradations.fit_length(degradations.apply_file_format(samples, kind, subtype), len(samples))


def _level(samples: Samples, rng: np.random.Generator) -> Samples:
    """Scale the peak to -30 to 0 dB of full scale."""
    return degradations.set_peak(samples, rng.uniform(0, 30))
