"""What conditioning does in a trained network: how far it moves each stage's map, and what hangs on each stage.

A stage is switched off by giving every row the same: the mean, over all rows, of what its operator reads from their
texts (mean shift, mean scale, ...). The operator goes on to do what it does whatever is said, so the layers above get
maps like those that their weights and statistics expect; only the differences between texts are gone. Leaving the
operator out would take that away too, and the learned embedding of absent text is random where training left out no
text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from emofuse.data.batch import Batch
from emofuse.data.utterances import Utterances, bucketed_batches
from emofuse.labels import DIMENSIONS
from emofuse.metrics.conditioning import ALL, WHOLE, place
from emofuse.models.cnn import mask_frames
from emofuse.models.fusion import Ensemble
from emofuse.models.ser import SerModel


def stages_of(model: nn.Module) -> list[str]:
    """Where text acts on the audio, from the bottom; empty for models in which it does not."""
    members = _members(model)
    return sorted(members[0].conditioned, key=place) if members else []


@torch.inference_mode()
def measure(model: nn.Module, rows: Utterances, batch_size: int = 32) -> pd.DataFrame:
    """Norm of the conditioning at each stage, and the answers with each stage switched off.

    Only rows with audio and text count. Of an ensemble, norms are means over its networks, and a stage is switched off
    in all of them.

    Args:
        model: a `SerModel` or an `Ensemble` of them, in evaluation mode, that is conditioned.
        rows: what it answers to.
        batch_size: of no consequence for the figures.

    Returns:
        One row an utterance and what is off (`WHOLE`, each stage, and `ALL` where there are several stages): key, off,
        norm (||y - x|| / ||x|| of the map x before and y after the operator, over channels, valid frames and mels),
        by_words (||y - z|| / ||x||, where z is what the operator makes of x when switched off), answer (class number;
        with that head), arousal, valence, dominance (likewise). Norms are NaN for `WHOLE` and `ALL`, and where x is 0.

    Raises:
        ValueError: the model is not conditioned.
    """
    members, stages = _members(model), stages_of(model)
    if not stages:
        raise ValueError("the model is not conditioned")
    states = (WHOLE, *stages, ALL) if len(stages) > 1 else (WHOLE, *stages)
    said = {i: text for i, text in enumerate(rows.texts) if text is not None and rows.has_audio[i]}
    tables: list[pd.DataFrame] = []
    if not said:
        return pd.DataFrame(columns=["key", "off", "norm", "by_words"])
    both = np.array(list(said))
    texts = torch.from_numpy(np.stack(list(said.values())).astype(np.float32))
    with _watched(members, texts) as probes:
        for chosen in bucketed_batches(rows.n_frames[both], batch_size):
            batch = rows.batch(both[chosen].tolist())
            for off in states:
                for probe in probes:
                    probe.off = set(stages) if off == ALL else {off}
                tables.append(_answers(model, batch, rows).assign(off=off, **_norms(probes, off, len(chosen))))
    return pd.concat(tables, ignore_index=True)


class _Probe:
    """Stands in for `SerModel.condition`: notes norms, and gives stages that are off the mean signal.

    Attributes:
        off: stages that are switched off.
        norms: (2, batch) norm and by_words of each stage of the last batch.
    """

    def __init__(self, member: SerModel, texts: Tensor):
        self.off: set[str] = set()
        self.norms: dict[str, Tensor] = {}
        self._operators = member.conditioned
        normalised = member.prepare_text(texts, torch.ones(len(texts), dtype=torch.bool))
        self._means = {stage: op.read(normalised).mean(0, keepdim=True) for stage, op in self._operators.items()}

    def __call__(self, stage: str, x: Tensor, text: Tensor, valid: Tensor | None = None) -> Tensor:
        operator = self._operators[stage]
        signal = operator.read(text)
        y = mask_frames(operator.act(x, signal), valid)
        z = mask_frames(operator.act(x, self._means[stage].expand_as(signal)), valid)
        size = _norm(x)
        found = torch.stack([_norm(y - x), _norm(y - z)]) / size
        self.norms[stage] = found.masked_fill(size == 0, torch.nan)
        return z if stage in self.off else y


@contextmanager
def _watched(members: Sequence[SerModel], texts: Tensor) -> Iterator[list[_Probe]]:
    """A probe in each network."""
    probes = [_Probe(member, texts) for member in members]
    try:
        for member, probe in zip(members, probes, strict=True):
            member.condition = probe  # type: ignore[method-assign]
        yield probes
    finally:
        for member in members:
            member.__dict__.pop("condition", None)


def _answers(model: nn.Module, batch: Batch, rows: Utterances) -> pd.DataFrame:
    outputs = model(*batch.inputs())
    found = pd.DataFrame({"key": rows.table["key"].to_numpy()[batch.rows.numpy()]})
    if "logits" in outputs:
        found["answer"] = outputs["logits"].argmax(dim=1).numpy()
    if "dimensions" in outputs:
        found[list(DIMENSIONS)] = outputs["dimensions"].float().numpy()
    return found


def _norms(probes: Sequence[_Probe], off: str, n: int) -> dict[str, np.ndarray]:
    """Of the stage that is off: its own map comes from below, where nothing is changed."""
    if off in (WHOLE, ALL):
        return {"norm": np.full(n, np.nan), "by_words": np.full(n, np.nan)}
    norm, by_words = torch.stack([probe.norms[off] for probe in probes]).mean(dim=0).numpy()
    return {"norm": norm, "by_words": by_words}


def _norm(x: Tensor) -> Tensor:
    return x.flatten(1).float().norm(dim=1)


def _members(model: nn.Module) -> list[SerModel]:
    members = list(model.members) if isinstance(model, Ensemble) else [model]
    return [member for member in members if isinstance(member, SerModel)]
