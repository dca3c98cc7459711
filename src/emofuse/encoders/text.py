"""Summary embeddings in PyTorch, by any BERT-family model of transformers, and a cache of embeddings on disk.

The summary embedding is the mean of the last hidden states over all tokens, special tokens included (as in
sentence-transformers), or the state of the first token (`cls`). It is not normalised.
"""

from __future__ import annotations

import inspect
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from emofuse.console import quiet_loading
from emofuse.encoders.onnx import IDENTITY, MAX_TOKENS, check_pooling, check_texts, tokenizer_hash
from emofuse.encoders.weights import find_checkpoint, find_weights
from emofuse.errors import EmofuseError
from emofuse.files import hash_of, open_store, read_json

FINETUNING_FILE = "finetuning.json"
_BATCH = 32
_SCHEMA = "CREATE TABLE IF NOT EXISTS embeddings (text TEXT PRIMARY KEY, vector BLOB, crc INTEGER)"


def load_text_encoder(name: str, pooling: str = "mean", device: str = "cpu") -> TextEncoder:
    """Load a frozen text encoder.

    Args:
        name: `minilm` (all-MiniLM-L6-v2, from its package), a folder, or a hub name such as `bert-base-uncased`, also
            with a revision (`bert-base-uncased@COMMIT`); see `emofuse.encoders.weights`.
        pooling: `mean` or `cls`.
        device: a torch device.

    Raises:
        EmofuseError: the model is missing, cannot be downloaded, has no safetensors, or is not a text encoder.
    """
    check_pooling(pooling)
    from transformers import AutoModel, AutoTokenizer

    checkpoint = find_checkpoint(str(find_weights("minilm")) if name == "minilm" else name, "text encoder")
    folder = checkpoint.folder
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        with quiet_loading():
            model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype="float32")
    except (OSError, ValueError, KeyError) as error:
        raise EmofuseError(f"{folder} is not a text encoder that transformers can load ({error}).") from error
    return TextEncoder(
        model,
        tokenizer,
        name=folder.resolve().name if name != "minilm" and Path(name).is_dir() else name,
        weights_hash=checkpoint.weights_hash,
        pooling=pooling,
        finetuning=read_json(folder / FINETUNING_FILE) if (folder / FINETUNING_FILE).is_file() else None,
        revision=checkpoint.revision,
        device=device,
    )


class TextEncoder:
    """A frozen BERT-family model with its tokenizer. Texts are truncated to `max_tokens` tokens.

    Attributes not listed here are those of `OnnxTextEncoder`; `file_hash` equals `weights_hash`.

    Attributes:
        finetuning: what `emofuse.training.text_finetune` recorded ("start" is the identity of the encoder it started
            from, which has a "start" too if it was fine-tuned); empty if the weights were not fine-tuned.
        revision: commit of a model of the hub; None if unknown.
        max_tokens: 256, or fewer if the model has fewer positions.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str,
        weights_hash: str,
        pooling: str,
        finetuning: dict[str, Any] | None = None,
        revision: str | None = None,
        device: str = "cpu",
    ):
        self.name = name
        self.weights_hash = weights_hash
        self.file_hash = weights_hash
        self.pooling = pooling
        self.finetuning = finetuning or {}
        self.revision = revision
        self.dim: int = model.config.hidden_size
        positions = getattr(model.config, "max_position_embeddings", MAX_TOKENS + 2)
        self.max_tokens = min(MAX_TOKENS, tokenizer.model_max_length, positions - 2)  # RoBERTa's positions start at 2
        self.device = device
        self.model = model.to(device).eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.inputs = [name for name in _INPUTS if name in inspect.signature(model.forward).parameters]

    @property
    def identity(self) -> dict[str, Any]:
        """Facts stored with a trained model: those of `emofuse.encoders.onnx.IDENTITY`, revision only if known."""
        return {key: value for key in IDENTITY if (value := getattr(self, key)) is not None}

    @cached_property
    def tokenizer_hash(self) -> str:
        """SHA-256 of the tokenizer's behaviour, see `emofuse.encoders.onnx.tokenizer_hash`."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is None:  # a tokenizer written in Python
            return hash_of([type(self.tokenizer).__name__, self.tokenizer.get_vocab()])
        return tokenizer_hash(backend)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts in batches of similar length; embeddings do not depend on the batch (within 1e-5).

        Arguments, result and errors are those of `OnnxTextEncoder.encode`.
        """
        import torch

        check_texts(texts)
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        if not len(texts):
            return vectors
        tokens = self.tokenizer(
            list(texts),
            truncation=True,
            max_length=self.max_tokens,
            return_token_type_ids="token_type_ids" in self.inputs,
        )
        order = np.argsort([len(ids) for ids in tokens["input_ids"]], kind="stable")
        with torch.inference_mode():
            for start in range(0, len(order), _BATCH):
                rows = order[start : start + _BATCH]
                batch = self.tokenizer.pad(
                    {name: [tokens[name][row] for row in rows] for name in self.inputs}, return_tensors="pt"
                ).to(self.device)
                hidden = self.model(**batch).last_hidden_state  # (batch, tokens, dim)
                vectors[rows] = pool(hidden, batch["attention_mask"], self.pooling).float().cpu().numpy()
        return vectors


def pool(hidden: Any, mask: Any, pooling: str) -> Any:
    """Pool hidden states (batch, tokens, dim) under a mask (batch, tokens) to (batch, dim)."""
    if pooling == "cls":
        return hidden[:, 0]
    weights = mask.unsqueeze(-1).to(hidden.dtype)  # (batch, tokens, 1)
    return (hidden * weights).sum(1) / weights.sum(1)


class CachedTextEncoder:
    """A text encoder that stores its embeddings in an SQLite file, so that each text is embedded once.

    The file's name depends on the encoder's weights, pooling, tokenizer and length limit. Committed embeddings survive
    an interruption, and a damaged file is set aside and replaced.

    Args:
        encoder: any text encoder.
        folder: folder of the cache files, one per encoder.
    """

    def __init__(self, encoder: Any, folder: Path | str):
        self.encoder = encoder
        self.name, self.pooling, self.dim = encoder.name, encoder.pooling, encoder.dim
        self.weights_hash, self.file_hash = encoder.weights_hash, encoder.file_hash
        made_by = [encoder.file_hash, encoder.pooling, *map(encoder.identity.get, ("tokenizer_hash", "max_tokens"))]
        self.path = Path(folder) / f"text-{hash_of(made_by)[:16]}.sqlite"

    @property
    def identity(self) -> dict[str, Any]:
        """The identity of the encoder."""
        return self.encoder.identity

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts that are not in the cache yet, and return all embeddings: float32 (n, dim).

        Raises:
            EmofuseError: a text is empty, or the cache cannot be used.
        """
        check_texts(texts)
        vectors = self._encode(list(dict.fromkeys(texts)))
        return np.stack([vectors[text] for text in texts]) if len(texts) else np.empty((0, self.dim), np.float32)

    def _encode(self, texts: list[str]) -> dict[str, np.ndarray]:
        with open_store(self.path, _SCHEMA) as database:
            vectors = dict(self._read(database, texts))
            missing = [text for text in texts if text not in vectors]
            for start in range(0, len(missing), 512):  # commit chunks, so that an interrupted run can continue
                chunk = missing[start : start + 512]
                embedded = dict(zip(chunk, self.encoder.encode(chunk), strict=True))
                rows = [(text, vector.tobytes(), zlib.crc32(vector.tobytes())) for text, vector in embedded.items()]
                with database:
                    database.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?)", rows)
                vectors |= embedded
        return vectors

    def _read(self, database: sqlite3.Connection, texts: list[str]) -> Iterator[tuple[str, np.ndarray]]:
        for start in range(0, len(texts), 512):
            chunk = texts[start : start + 512]
            marks = ",".join("?" * len(chunk))
            for text, blob, check in database.execute(f"SELECT * FROM embeddings WHERE text IN ({marks})", chunk):
                if zlib.crc32(blob) == check:
                    yield text, np.frombuffer(blob, dtype=np.float32)


_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
