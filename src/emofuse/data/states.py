"""Hidden states of a frozen speech encoder for the clips of a table, kept as other features are."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from emofuse.data.effects import vary
from emofuse.data.features import Clip, Features, stored
from emofuse.encoders.speech import POOL, SpeechEncoder, pool_time
from emofuse.hardware import choose_precision


class LayerStates:
    """Hidden states of some layers, out of a store that holds more.

    Args:
        stored: made by `compute_states`.
        layers: which of the store's, from 0: for a store of all, 0 is the input of the first layer.
        of: how many layers the store holds.
        rate: stored steps a second.

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
    varied: int = 0,
    device: torch.device | None = None,
) -> Features:
    """Hidden states of every row that has a file, from the store where they are there.

    Args:
        table: utterance table.
        cache: folder of stores.
        encoder: frozen.
        layers: numbers of those to store, side by side in this order; None: all.
        pool: this many steps are averaged to one.
        varied: 0 for the clips as they are; 1, 2, ... for that copy of each clip, changed by `rooms.vary`.
        device: that computes them; the CPU if None.

    Returns:
        Frames of (layers * dim) values, half precision; see `select_layers`.

    Raises:
        AudioError: a file is no usable audio; names the utterance's key.
    """
    device = device or torch.device("cpu")
    # A copy is computed in bf16 where that is fast: the error is small beside what varying changes.
    precision = choose_precision(device) if varied else "fp32"
    if device.type != "cpu":
        encoder.model.to(device)
    every = list(range(encoder.layers))
    kept = every if layers is None else list(layers)

    def make(samples: np.ndarray) -> np.ndarray:
        if varied:
            samples = vary(samples, np.random.default_rng([varied, zlib.crc32(samples.tobytes())]))
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            states = encoder.hidden_states(samples)[kept].float().numpy()  # (layers, steps, dim)
        return pool_time(states, pool).transpose(1, 0, 2).reshape(-1, len(kept) * encoder.dim)

    some = "" if kept == every else "-layers" + "_".join(map(str, kept))
    copy = f"-varied{varied}-{precision}" if varied else ""
    folder = cache / f"states-{encoder.name.replace('/', '-')}-{pool}-{encoder.hash[:16]}{some}{copy}"
    name = f"hidden states of {encoder.name}" + (f", copy {varied}" if varied else "")
    return stored(table, folder, make, width=len(kept) * encoder.dim, name=name)


def select_layers(frames: np.ndarray, layers: Sequence[int], *, of: int) -> np.ndarray:
    """Stored frames of some layers alone, side by side in the order given, as `export_speech_encoder` gives them.

    Args:
        frames: (steps, of * dim).
        layers: numbers from 0 to `of` - 1.
        of: how many layers the frames hold.

    Returns:
        (steps, len(layers) * dim).

    >>> select_layers(np.arange(6).reshape(1, 6), [2, 0], of=3)
    array([[4, 5, 0, 1]])
    """
    return frames.reshape(len(frames), of, -1)[:, list(layers)].reshape(len(frames), -1)
