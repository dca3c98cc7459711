"""What identifies a run: its frozen encoders, and hashes of all that its weights depend on."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from emofuse.config import Recipe
from emofuse.data.features import clip_id, clips_of
from emofuse.data.rows import LABEL, Rows
from emofuse.files import cache_dir, file_hash, file_hashes, hash_of
from emofuse.labels import DIMENSIONS

if TYPE_CHECKING:
    from emofuse.encoders.speech import SpeechEncoder
    from emofuse.encoders.text import CachedTextEncoder


class Encoders:
    """The frozen encoders that a recipe's model reads from; each is loaded once, when it is first needed.

    Args:
        recipe: names the encoders.
    """

    def __init__(self, recipe: Recipe):
        self._recipe = recipe

    @cached_property
    def speech(self) -> SpeechEncoder | None:
        """The encoder whose hidden states the model reads; None for a CNN and for a model that reads text alone.

        Raises:
            EmofuseError: the encoder is absent or of another kind.
        """
        model = self._recipe.model
        if model.fusion == "text_only" or not model.uses_hidden_states:
            return None
        from emofuse.encoders.speech import load_speech_encoder

        return load_speech_encoder(model.speech_encoder)

    @cached_property
    def text(self) -> CachedTextEncoder | None:
        """The encoder of transcripts, which keeps its embeddings in the cache; None for a model that reads no text.

        Raises:
            EmofuseError: the encoder is absent or of another kind.
        """
        if self._recipe.model.fusion == "audio_only":
            return None
        from emofuse.encoders.text import CachedTextEncoder, load_text_encoder

        config = self._recipe.text
        return CachedTextEncoder(load_text_encoder(config.encoder, config.pooling), cache_dir() / "text")


def identify(recipe: Recipe, rows: Rows, encoders: Encoders | None = None) -> dict[str, Any]:
    """Hashes of everything that the weights of a run depend on, apart from its recipe.

    Args:
        recipe: of the run.
        rows: as `select_rows` gives them.
        encoders: of the recipe; loaded here if None.

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
