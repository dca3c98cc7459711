"""From the rows of a recipe to the arrays that a model trains on: features, text embeddings, labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from emofuse.config import Recipe
from emofuse.data.features import clips_of, compute_features
from emofuse.data.identity import Encoders
from emofuse.data.rows import LABEL, Rows, select_rows
from emofuse.data.states import LayerStates, compute_states
from emofuse.data.utterances import Frames, Utterances
from emofuse.encoders.speech import POOL, SpeechEncoder
from emofuse.encoders.text import CachedTextEncoder
from emofuse.errors import EmofuseError
from emofuse.files import cache_dir


@dataclass
class Prepared:
    """Everything that a run reads.

    Attributes:
        parts: arrays of train (with dev and test, where the recipe fits on them too), dev and test.
        rows: the tables that the arrays were made from, their split, notes and audits.
        speech_encoder: identity of the speech encoder, with its layers and their pooling over time; None for a CNN.
        text_encoder: identity of the text encoder; None where the model reads no text.
        corpora: facts about each corpus for the model card.
    """

    parts: dict[str, Utterances]
    rows: Rows
    speech_encoder: dict[str, Any] | None
    text_encoder: dict[str, Any] | None
    corpora: list[dict[str, Any]]


def prepare(
    recipe: Recipe,
    *,
    data: Path | None = None,
    rows: Rows | None = None,
    encoders: Encoders | None = None,
    device: torch.device | None = None,
) -> Prepared:
    """Compute the features and text embeddings of a recipe's rows; those that the cache holds are read from there.

    Args:
        recipe: what to prepare.
        data: folder that relative corpus roots start from; EMOFUSE_DATA or the working folder if None.
        rows: what `select_rows` gave for the recipe; selected here if None.
        encoders: of the recipe; loaded here if None.
        device: that computes hidden states which the cache does not hold; the CPU if None.

    Raises:
        EmofuseError: what `select_rows` raises, audio that cannot be used, or an encoder that is absent.
    """
    rows = rows or select_rows(recipe, data=data)
    encoders = encoders or Encoders(recipe)
    copies: list[Frames] = []
    features: Frames
    speech = None
    if encoders.speech:
        features, *copies = _hidden_states(rows.whole, recipe, encoders.speech, device)
        frozen, pool = recipe.model.frozen_layers, _pool_of(recipe)
        speech = {**encoders.speech.identity, "layers": frozen, "pool": pool}
    else:
        features = compute_features(rows.whole, cache_dir() / "features")
    embeddings = _embed(rows, encoders.text) if encoders.text else {}
    parts = {
        part: Utterances(
            table,
            labels=recipe.data.labels.names,
            label_column=LABEL,
            soft=recipe.data.labels.soft,
            features=features,
            copies=copies if part == "train" else (),
            embeddings=embeddings,
            text_dim=encoders.text.dim if encoders.text else 1,
            balanced=recipe.training.class_balanced,
        )
        for part, table in rows.parts.items()
    }
    text = encoders.text.identity if encoders.text else None
    return Prepared(parts, rows, speech, text, [_facts(table, features) for table in rows.sources])


def _pool_of(recipe: Recipe) -> int:
    """How many steps of the speech encoder are averaged to one; layers that are trained read every step."""
    return 1 if recipe.model.fine_tune_layers else POOL


def _hidden_states(
    table: pd.DataFrame, recipe: Recipe, encoder: SpeechEncoder, device: torch.device | None
) -> list[Frames]:
    """Hidden states of the layers that no training changes: of the clips, then of each of their varied copies.

    The store of a wholly frozen encoder holds all its layers, for every choice of layers. States that are not averaged
    over time take four times as much, so a store for fine-tuning holds only the layers that this recipe reads.
    """
    layers, frozen = recipe.model.layers, recipe.model.frozen_layers
    if max(layers) >= encoder.layers:
        raise EmofuseError(
            f"model.layers = {layers}: {encoder.name} has hidden states 0 to {encoder.layers - 1} (0 is the input of "
            "the first layer)."
        )
    stored = frozen if recipe.model.fine_tune_layers else list(range(encoder.layers))
    pool = _pool_of(recipe)
    frames: list[Frames] = []
    for copy in range(recipe.training.varied_copies + 1):
        states = compute_states(
            table, cache_dir() / "features", encoder, layers=stored, pool=pool, varied=copy, device=device
        )
        places = [stored.index(layer) for layer in frozen]
        frames.append(LayerStates(states, places, of=len(stored), rate=encoder.rate / pool))
    return frames


def _embed(rows: Rows, encoder: CachedTextEncoder) -> dict[str, np.ndarray]:
    """The embedding of each distinct transcript."""
    texts = [text for text in pd.concat(rows.parts.values())["text"].dropna().unique() if text.strip()]
    return dict(zip(texts, encoder.encode(texts), strict=True))


def _facts(table: pd.DataFrame, features: Frames) -> dict[str, Any]:
    seconds = [features.length(clip) / features.rate for clip in clips_of(table) if clip]
    return {
        "name": ", ".join(sorted(table["corpus"].unique())),
        "rows": len(table),
        "with_audio": int(table["file"].notna().sum()),
        "with_text": int(table["text"].notna().sum()),
        "speakers": int(table["speaker"].nunique()),
        "languages": sorted(table["language"].dropna().unique().tolist()),
        "hours": round(sum(seconds) / 3600, 2),
        "duration_range": [round(min(seconds), 1), round(max(seconds), 1)] if seconds else [],
    }
