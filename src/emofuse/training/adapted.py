"""Predictions of a part whose speakers the model adapts to, each by that speaker's own clips without their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from emofuse.data.utterances import Utterances
from emofuse.errors import EmofuseError
from emofuse.files import atomic, read_json, write_json
from emofuse.models.adapter import SpeakerAdapter
from emofuse.training.adapter import fit_adapter
from emofuse.training.module import predict_rows


def adapter_of(train: Utterances) -> SpeakerAdapter | None:
    """An adapter fitted on the training rows; None where they have too few speakers or emotions to tell them apart."""
    speakers = train.table["speaker"]
    rows = np.flatnonzero(train.has_audio & (train.label >= 0) & speakers.notna().to_numpy() & ~train.composed)
    try:
        return fit_adapter(train.means()[0, rows], train.label[rows], speakers.to_numpy()[rows].astype(str))
    except EmofuseError:
        return None


def predict_adapted(model: torch.nn.Module, data: Utterances, adapter: SpeakerAdapter) -> pd.DataFrame:
    """As `predict_rows`, each speaker's offset estimated from all clips of the speaker in `data` and taken away."""
    means = data.means()[0]
    shift = np.zeros_like(means)
    speakers = data.table["speaker"]
    for speaker in speakers.dropna().unique():
        rows = np.flatnonzero((speakers == speaker).to_numpy() & data.has_audio)
        shift[rows] = adapter.offset(means[rows], data.n_frames[rows] / data.features.rate)
    return predict_rows(model, data, shift=shift)


def save_adapter(adapter: SpeakerAdapter, folder: Path, tensors: str) -> dict[str, float]:
    """Write the arrays of an adapter to `folder / tensors`, and give its numbers."""
    with atomic(folder / tensors) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **adapter.tensors())
    return adapter.facts()


def save_run_adapter(adapter: SpeakerAdapter, run: Path) -> None:
    """Keep an adapter in a run folder: `adapter.npz` and `adapter.json`."""
    write_json(run / "adapter.json", save_adapter(adapter, run, "adapter.npz"))


def load_run_adapter(run: Path) -> SpeakerAdapter | None:
    """The adapter of a run folder; None if it has none."""
    if not (run / "adapter.json").exists():
        return None
    with np.load(run / "adapter.npz", allow_pickle=False) as tensors:
        return SpeakerAdapter.load(dict(tensors), read_json(run / "adapter.json"))
