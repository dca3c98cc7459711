"""Ablation of conditioning: how far text moves each stage's map, and how predictions change without text in a stage.

A stage is ablated by giving every row the same signal: the mean, over all rows, of what its operator reads from their
texts (mean shift, mean scale, ...). The operator still acts, so the layers above get maps like those that their weights
and statistics expect; only the differences between texts are removed. Removing the operator would remove that too, and
the learned embedding of absent text is random if training never left text out.

PyTorch is imported only to measure, so that reports can use the names and `effects` without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emofuse.labels import DIMENSIONS
from emofuse.metrics.outcomes import Outcomes
from emofuse.metrics.significance import compare_with_reference, system_intervals

if TYPE_CHECKING:
    from torch import Tensor, nn

    from emofuse.data.batch import Batch
    from emofuse.data.utterances import Utterances
    from emofuse.models.ser import SerModel

WHOLE, ALL = "none", "all"  # no stage is ablated; every stage is ablated


def place(stage: str) -> int:
    """Sort key of stages, in the order of the network: numbers, the pooled map, the clip embedding, and `ALL`.

    >>> sorted(["all", "embedding", "pooled", "10", "2"], key=place)
    ['2', '10', 'pooled', 'embedding', 'all']
    """
    return int(stage) if stage.isdigit() else {"pooled": 10**6, "embedding": 10**6 + 1, ALL: 10**6 + 2}[stage]


def effects(outcomes: Outcomes, *, resamples: int = 10_000, seed: int) -> pd.DataFrame:
    """Change of a system's predictions and metric when stages are ablated.

    Args:
        outcomes: predictions by `WHOLE`, stages and perhaps `ALL` in place of systems; higher metrics are better.
        resamples: number of bootstrap resamples.
        seed: of the resamples.

    Returns:
        One row for each stage (and `ALL`), in order: stage, changed (share of predicted classes that change, or mean
        absolute change of a number, over all rows and seeds), without (the metric with the stage ablated), difference
        (from the metric of `WHOLE`) with its 95 % interval low, high over speakers and seeds, n, speakers.

    Example:
        >>> answers = {"none": np.array([[0, 1, 1, 0]]), "1": np.array([[0, 1, 1, 1]]), "2": np.array([[0, 1, 1, 0]])}
        >>> outcomes = Outcomes("wa", list("wxyz"), [0, 1, 1, 0], answers, list("aabb"), labels=["calm", "tense"])
        >>> effects(outcomes, seed=0)[["stage", "changed", "without", "difference"]].values.tolist()
        [['1', 0.25, 0.75, -0.25], ['2', 0.0, 1.0, 0.0]]
    """
    values = system_intervals(outcomes, resamples=1, seed=seed)
    changes = compare_with_reference(outcomes, WHOLE, resamples=resamples, seed=seed)
    before = outcomes.predictions[WHOLE]
    rows = []
    for stage in sorted(changes, key=place):
        after, change = outcomes.predictions[stage], changes[stage]
        changed = float(np.mean(before != after) if outcomes.of_classes else np.abs(before - after).mean())
        rows.append(
            {"stage": stage, "changed": changed, "without": values[stage].value, "difference": change.value}
            | {"low": change.low, "high": change.high, "n": change.n, "speakers": change.groups}
        )
    return pd.DataFrame(rows)


def stages_of(model: nn.Module) -> list[str]:
    """Conditioned stages of a model, in the order of the network; empty if it has none."""
    members = _members(model)
    return sorted(members[0].conditioned, key=place) if members else []


def measure(model: nn.Module, rows: Utterances, batch_size: int = 32) -> pd.DataFrame:
    """Measure the norm of the conditioning at each stage, and predict with each stage ablated.

    Only rows with audio and text are used. For an ensemble, norms are means over its networks, and a stage is ablated
    in all of them.

    Args:
        model: a conditioned `SerModel`, or an `Ensemble` of them, in evaluation mode.
        rows: to predict.
        batch_size: does not change the result.

    Returns:
        One row for each utterance and ablation (`WHOLE`, each stage, and `ALL` if there are several stages): key, off
        (the ablated stage), norm (||y - x|| / ||x|| of the map x before and y after the operator, over channels, valid
        frames and mels), by_words (||y - z|| / ||x||, where z is the operator's output when ablated), answer (class
        number, with that head), arousal, valence, dominance (with that head). Norms are NaN for `WHOLE` and `ALL`, and
        where x is 0.

    Raises:
        ValueError: the model is not conditioned.
    """
    import torch

    from emofuse.data.utterances import bucketed_batches

    members, stages = _members(model), stages_of(model)
    if not stages:
        raise ValueError("the model is not conditioned")
    ablations = (WHOLE, *stages, ALL) if len(stages) > 1 else (WHOLE, *stages)
    embeddings = {i: text for i, text in enumerate(rows.texts) if text is not None and rows.has_audio[i]}
    tables: list[pd.DataFrame] = []
    if not embeddings:
        return pd.DataFrame(columns=["key", "off", "norm", "by_words"])
    used = np.array(list(embeddings))
    texts = torch.from_numpy(np.stack(list(embeddings.values())).astype(np.float32))
    with torch.inference_mode(), _watched(members, texts) as probes:
        for batch_rows in bucketed_batches(rows.n_frames[used], batch_size):
            batch = rows.batch(used[batch_rows].tolist())
            for off in ablations:
                for probe in probes:
                    probe.off = set(stages) if off == ALL else {off}
                predictions = _predict(model, batch, rows).assign(off=off, norm=np.nan, by_words=np.nan)
                if off in stages:  # its input is unchanged, as the stages below are intact
                    norms = np.mean([probe.norms[off].numpy() for probe in probes], axis=0)
                    predictions["norm"], predictions["by_words"] = norms
                tables.append(predictions)
    return pd.concat(tables, ignore_index=True)


class _Probe:
    """Replaces `SerModel.condition`: records norms, and gives ablated stages the mean signal.

    Attributes:
        off: ablated stages.
        norms: norm and by_words of each stage in the last batch, (2, batch).
    """

    def __init__(self, member: SerModel, texts: Tensor):
        import torch

        self.off: set[str] = set()
        self.norms: dict[str, Tensor] = {}
        self._operators = member.conditioned
        normalised = member.prepare_text(texts, torch.ones(len(texts), dtype=torch.bool))
        self._means = {stage: op.read(normalised).mean(0, keepdim=True) for stage, op in self._operators.items()}

    def __call__(self, stage: str, x: Tensor, text: Tensor, valid: Tensor | None = None) -> Tensor:
        import torch

        from emofuse.models.cnn import mask_frames

        operator = self._operators[stage]
        signal = operator.read(text)
        y = mask_frames(operator.act(x, signal), valid)
        z = mask_frames(operator.act(x, self._means[stage].expand_as(signal)), valid)
        size = _norm(x)
        norms = torch.stack([_norm(y - x), _norm(y - z)]) / size
        self.norms[stage] = norms.masked_fill(size == 0, torch.nan)
        return z if stage in self.off else y


@contextmanager
def _watched(members: Sequence[SerModel], texts: Tensor) -> Iterator[list[_Probe]]:
    """Put a probe into each network for a while."""
    probes = [_Probe(member, texts) for member in members]
    try:
        for member, probe in zip(members, probes, strict=True):
            member.condition = probe  # type: ignore[method-assign]
        yield probes
    finally:
        for member in members:
            member.__dict__.pop("condition", None)


def _predict(model: nn.Module, batch: Batch, rows: Utterances) -> pd.DataFrame:
    outputs = model(*batch.inputs())
    table = pd.DataFrame({"key": rows.table["key"].to_numpy()[batch.rows.numpy()]})
    if "logits" in outputs:
        table["answer"] = outputs["logits"].argmax(dim=1).numpy()
    if "dimensions" in outputs:
        table[list(DIMENSIONS)] = outputs["dimensions"].float().numpy()
    return table


def _norm(x: Tensor) -> Tensor:
    return x.flatten(1).float().norm(dim=1)


def _members(model: nn.Module) -> list[SerModel]:
    from emofuse.models.ser import Ensemble, SerModel

    members = list(model.members) if isinstance(model, Ensemble) else [model]
    return [member for member in members if isinstance(member, SerModel)]
