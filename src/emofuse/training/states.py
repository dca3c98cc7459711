"""Hidden states of a frozen speech encoder for the clips of a table, kept as other features are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from emofuse.models.whisper import SpeechEncoder
from emofuse.training.features import Features, stored


def compute_states(table: pd.DataFrame, cache: Path, encoder: SpeechEncoder, *, pool: int = 4) -> Features:
    """Hidden states of every layer for every row that has a file, from the store where they are there.

    Args:
        table: utterance table.
        cache: folder of stores.
        encoder: frozen.
        pool: this many steps are averaged to one: 4 leaves 12.5 a second.

    Returns:
        Frames of (layers * dim) values, half precision, of all layers; see `unpacked` and `chosen`.

    Raises:
        AudioError: a file is no usable audio; names the utterance's key.
    """

    def make(samples: np.ndarray) -> np.ndarray:
        states = encoder.hidden_states(samples).numpy()  # (layers, steps, dim)
        return pooled(states, pool).transpose(1, 0, 2).reshape(-1, encoder.layers * encoder.dim)

    folder = cache / f"states-{encoder.name.replace('/', '-')}-{pool}-{encoder.hash[:16]}"
    return stored(table, folder, make, width=encoder.layers * encoder.dim, name="hidden states")


def unpacked(frames: np.ndarray, layers: int) -> np.ndarray:
    """Stored frames (steps, layers * dim) as (layers, steps, dim)."""
    return frames.reshape(len(frames), layers, -1).transpose(1, 0, 2)


def chosen(frames: np.ndarray, layers: Sequence[int], *, of: int) -> np.ndarray:
    """Stored frames of some layers alone, side by side in the order given, as `export_speech_encoder` gives them.

    Args:
        frames: (steps, of * dim).
        layers: numbers from 0 to `of` - 1.
        of: how many layers the frames hold.

    Returns:
        (steps, len(layers) * dim).

    >>> chosen(np.arange(6).reshape(1, 6), [2, 0], of=3)
    array([[4, 5, 0, 1]])
    """
    return frames.reshape(len(frames), of, -1)[:, list(layers)].reshape(len(frames), -1)


def pooled(states: np.ndarray, pool: int) -> np.ndarray:
    """Means over every `pool` steps (the last of fewer): (layers, steps, dim) to (layers, ceil(steps / pool), dim)."""
    starts = np.arange(0, states.shape[1], pool)
    sums = np.add.reduceat(states, starts, axis=1)
    counts = np.diff(np.append(starts, states.shape[1]))
    return sums / counts[:, None]
