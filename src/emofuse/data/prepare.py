"""From the rows of a recipe to encoders, hashes that identify a run, and the arrays that a model trains on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from emofuse.config import Recipe
from emofuse.data.features import clip_id, clips_of, compute_features
from emofuse.data.rows import LABEL, Rows, select_rows
from emofuse.data.states import LayerStates, compute_states
from emofuse.data.utterances import Frames, Utterances
from emofuse.encoders.speech import POOL, SpeechEncoder
from emofuse.encoders.text import CachedTextEncoder
from emofuse.errors import EmofuseError
from emofuse.files import cache_dir, file_hash, file_hashes, hash_of
from emofuse.labels import DIMENSIONS


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
    """Compute the features and text embeddings of a recipe's rows; those in the cache are read from it.

    Args:
        recipe: what to prepare.
        data: folder that relative corpus roots start from; EMOFUSE_DATA or the working folder if None.
        rows: result of `select_rows`; None: select them.
        encoders: of the recipe; None: load them.
        device: computes hidden states that are not in the cache; None: the CPU.

    Raises:
        EmofuseError: what `select_rows` raises, audio that cannot be used, or an encoder that is absent.
    """
    rows = rows or select_rows(recipe, data=data)
    encoders = encoders or Encoders(recipe)
    copies: list[Frames] = []
    features: Frames
    speech = None
    if encoders.speech:
        pool = 1 if recipe.model.fine_tune_layers else POOL  # layers that are trained read every step
        speech = {**encoders.speech.identity, "layers": recipe.model.frozen_layers, "pool": pool}
        features, *copies = _hidden_states(rows.whole, recipe, encoders.speech, pool, device)
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


def _hidden_states(
    table: pd.DataFrame, recipe: Recipe, encoder: SpeechEncoder, pool: int, device: torch.device | None
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
    frames: list[Frames] = []
    for copy in range(recipe.training.varied_copies + 1):
        states = compute_states(
            table,
            cache_dir() / "features",
            encoder,
            layers=stored,
            pool=pool,
            speech_only=recipe.data.speech_only,
            varied=copy,
            device=device,
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


class Encoders:
    """The frozen encoders that a recipe's model reads from; each is loaded once, when it is first needed.

    Raises:
        EmofuseError: an encoder is absent or of another kind (when it is loaded).
    """

    def __init__(self, recipe: Recipe):
        self._recipe = recipe

    @cached_property
    def speech(self) -> SpeechEncoder | None:
        """The encoder whose hidden states the model reads; None for a CNN and for a model that reads text alone."""
        model = self._recipe.model
        if model.fusion == "text_only" or not model.uses_hidden_states:
            return None
        from emofuse.encoders.speech import load_speech_encoder

        return load_speech_encoder(model.speech_encoder)

    @cached_property
    def text(self) -> CachedTextEncoder | None:
        """The encoder of transcripts, which keeps its embeddings in the cache; None for a model that reads no text."""
        if self._recipe.model.fusion == "audio_only":
            return None
        from emofuse.encoders.text import load_text_encoder

        config = self._recipe.text
        return CachedTextEncoder(load_text_encoder(config.encoder, config.pooling), cache_dir() / "text")


def identify(recipe: Recipe, rows: Rows, encoders: Encoders | None = None) -> dict[str, Any]:
    """Hashes of everything that the weights of a run depend on, apart from its recipe.

    Returns:
        Hashes of `split` (keys of each part), `labels`, `speakers`, `texts` and `audio`, the number of `rows` of each
        part, the identities of `speech_encoder` and `text_encoder`, and the hash of the `pretrained` checkpoint; None
        for what the model does not read.

    Raises:
        EmofuseError: an encoder is absent, or a file cannot be read.
    """
    encoders = encoders or Encoders(recipe)
    table = pd.concat(rows.parts.values(), ignore_index=True)
    votes = ["votes"] if recipe.data.labels.soft and "votes" in table else []
    audio = None
    if recipe.model.fusion != "text_only":
        clips = clips_of(table)
        content = file_hashes(clip[0] for clip in clips if clip)
        audio = hash_of([table["key"].tolist(), [clip and clip_id(clip, content) for clip in clips]])
    return {
        "rows": {part: len(rows_of_part) for part, rows_of_part in rows.parts.items()},
        "split": hash_of({part: rows_of_part["key"].tolist() for part, rows_of_part in rows.parts.items()}),
        "labels": _hash_columns(table, [LABEL, *DIMENSIONS, *votes]),
        "speakers": _hash_columns(table, ["speaker"]),
        "texts": _hash_columns(table, ["text"]) if encoders.text else None,
        "audio": audio,
        "speech_encoder": encoders.speech.identity if encoders.speech else None,
        "text_encoder": encoders.text.identity if encoders.text else None,
        "pretrained": file_hash(recipe.model.pretrained) if recipe.model.pretrained else None,
    }


def _hash_columns(table: pd.DataFrame, columns: list[str]) -> str:
    values = table[["key", *columns]].astype(object)
    return hash_of(values.where(values.notna(), None).to_numpy().tolist())
