"""From the rows of a recipe to the arrays that a model trains on, and what identifies both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from emofuse.config import Recipe, TextConfig
from emofuse.corpora.audit import Audit
from emofuse.corpora.splits import Split
from emofuse.data.features import clip_id, clips_of, compute_features
from emofuse.data.rows import LABEL, Rows, select_rows
from emofuse.data.states import LayerStates, compute_states
from emofuse.data.utterances import Frames, Utterances
from emofuse.encoders.speech import POOL
from emofuse.errors import EmofuseError
from emofuse.files import cache_dir, file_hash, file_hashes, hash_of
from emofuse.labels import DIMENSIONS

if TYPE_CHECKING:
    from emofuse.encoders.speech import SpeechEncoder
    from emofuse.encoders.text import TextEncoder


@dataclass
class Prepared:
    """Everything a run reads.

    Attributes:
        parts: train (with dev and test, where the recipe fits on them too), dev and test.
        split: the keys of each part over all corpora; pairs that are composed to train beside them are not in it.
        audio: identity of the speech encoder, with its layers and their pooling over time, or None for a CNN.
        text: identity of the text encoder, or None where the model reads no text.
        corpora: facts on each corpus for the model card.
        notes: what a reader of the results should know (leaks that the audit found, rows left out).
        audits: what the audit of each corpus and its split found, before rows were left out.
    """

    parts: dict[str, Utterances]
    split: Split
    audio: dict[str, Any] | None
    text: dict[str, Any] | None
    corpora: list[dict[str, Any]]
    notes: list[str]
    audits: dict[str, Audit]


def prepare(
    recipe: Recipe, *, data: Path | None = None, rows: Rows | None = None, device: torch.device | None = None
) -> Prepared:
    """Compute (or find) features and summary embeddings for the rows of a recipe.

    Args:
        recipe: what to prepare.
        data: folder that relative corpus roots start from; EMOFUSE_DATA or the working folder if None.
        rows: what `select_rows` chose for the recipe; chosen here if None.
        device: that computes hidden states which are not there yet; the CPU if None.

    Raises:
        EmofuseError: what `select_rows` raises, audio that cannot be used, or an encoder that is absent.
    """
    rows = rows or select_rows(recipe, data=data)
    audio, features, copies = (
        _states(rows.whole, recipe, device) if reads_states(recipe) else (None, *_log_mel(rows.whole))
    )
    if recipe.model.fusion == "audio_only":
        text, embeddings = None, dict[str, np.ndarray]()
    else:
        texts = pd.concat(rows.parts.values())["text"].dropna().unique().tolist()
        text, embeddings = embed(texts, recipe.text)
    utterances = {
        part: Utterances(
            table,
            labels=recipe.data.labels.names,
            label_column=LABEL,
            soft=recipe.data.labels.soft,
            features=features,
            copies=copies if part == "train" else (),
            embeddings=embeddings,
            text_dim=text["dim"] if text else 1,
            balanced=recipe.training.class_balanced,
        )
        for part, table in rows.parts.items()
    }
    facts = [_facts(table, features) for table in rows.sources]
    return Prepared(utterances, rows.split, audio, text, facts, rows.notes, rows.audits)


def identify(recipe: Recipe, rows: Rows) -> dict[str, Any]:
    """What the weights of a run depend on beside its recipe: hashes of its rows and of all that makes their arrays.

    Args:
        recipe: of the run.
        rows: as `select_rows` gives them.

    Returns:
        Hashes of `split` (keys of each part), `labels`, `speakers`, `texts` and `audio`, the number of `rows` of each
        part, the identities of `speech_encoder` and `text_encoder`, and the hash of the `pretrained` checkpoint; None
        for what the model does not read.
    """
    everything = pd.concat(rows.parts.values(), ignore_index=True)
    labels = [LABEL, *DIMENSIONS, *(["votes"] if recipe.data.labels.soft and "votes" in everything else [])]
    texts = text_encoder = audio = None
    if recipe.model.fusion != "audio_only":
        texts = _hash_columns(everything, ["text"])
        text_encoder = text_identity(recipe.text)
    if recipe.model.fusion != "text_only":
        content = file_hashes(clip[0] for clip in clips_of(everything) if clip)
        clips = [clip and clip_id(clip, content) for clip in clips_of(everything)]
        audio = hash_of([everything["key"].tolist(), clips])
    return {
        "rows": {part: len(table) for part, table in rows.parts.items()},
        "split": hash_of({part: table["key"].tolist() for part, table in rows.parts.items()}),
        "labels": _hash_columns(everything, labels),
        "speakers": _hash_columns(everything, ["speaker"]),
        "texts": texts,
        "audio": audio,
        "speech_encoder": _speech_encoder(recipe).identity if reads_states(recipe) else None,
        "text_encoder": text_encoder,
        "pretrained": file_hash(recipe.model.pretrained) if recipe.model.pretrained else None,
    }


def reads_states(recipe: Recipe) -> bool:
    """Whether the model takes hidden states of a speech encoder."""
    return recipe.model.uses_hidden_states and recipe.model.fusion != "text_only"


def _hash_columns(table: pd.DataFrame, columns: list[str]) -> str:
    values = table[["key", *columns]].astype(object)
    return hash_of(values.where(values.notna(), None).to_numpy().tolist())


def _log_mel(table: pd.DataFrame) -> tuple[Frames, list[Frames]]:
    return compute_features(table, cache_dir() / "features"), []


def _states(
    table: pd.DataFrame, recipe: Recipe, device: torch.device | None
) -> tuple[dict[str, Any], Frames, list[Frames]]:
    """The speech encoder's identity, the hidden states of the recipe's frozen layers, and those of varied copies.

    Where layers are trained, what they take is not yet averaged over time: that is four times as much, and of no use
    without training, so the store holds the frozen layers alone.
    """
    from emofuse.models.fine_tuned import require_whisper

    encoder = _speech_encoder(recipe)
    layers, frozen = recipe.model.layers, recipe.model.frozen_layers
    if max(layers) >= encoder.layers:
        raise EmofuseError(
            f"model.layers = {layers}: {encoder.name} has hidden states 0 to {encoder.layers - 1} (0: the input of the "
            "first layer)."
        )
    kept, pool = list(range(encoder.layers)), POOL
    if recipe.model.fine_tune_layers:
        require_whisper(encoder)
        kept, pool = frozen, 1
    places = [kept.index(layer) for layer in frozen]
    frames: list[Frames] = []
    for varied in range(recipe.training.varied_copies + 1):
        stored = compute_states(
            table, cache_dir() / "features", encoder, layers=kept, pool=pool, varied=varied, device=device
        )
        frames.append(LayerStates(stored, places, of=len(kept), rate=encoder.rate / pool))
    return {**encoder.identity, "layers": frozen, "pool": pool}, frames[0], frames[1:]


def embed(texts: Sequence[str], config: TextConfig) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Summary embedding of each distinct transcript, through the cache."""
    from emofuse.encoders.text import CachedTextEncoder

    encoder = CachedTextEncoder(_text_encoder(config), cache_dir() / "text")
    spoken = [text for text in texts if text.strip()]
    return encoder.identity, dict(zip(spoken, encoder.encode(spoken), strict=True))


def text_identity(config: TextConfig) -> dict[str, Any]:
    """The identity of the encoder that `embed` uses."""
    return _text_encoder(config).identity


def _speech_encoder(recipe: Recipe) -> SpeechEncoder:
    from emofuse.encoders.speech import load_speech_encoder

    return load_speech_encoder(recipe.model.speech_encoder)


def _text_encoder(config: TextConfig) -> TextEncoder:
    from emofuse.encoders.text import load_text_encoder

    return load_text_encoder(config.encoder, config.pooling)


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
