"""Summary embeddings in ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emofuse.encoders.sessions import open_session
from emofuse.errors import EmofuseError
from emofuse.files import file_hash, hash_of, read_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MAX_TOKENS = 256
"""Longest text in tokens, special tokens included; longer ones are truncated. MiniLM's limit, used for all encoders."""

POOLINGS = ("mean", "cls")

_IDENTITY = ("name", "weights_hash", "pooling", "dim", "tokenizer_hash", "max_tokens", "revision")


class OnnxTextEncoder:
    """A text encoder that `export_text_encoder` wrote as an ONNX graph, such as a bundle's `text_encoder/`.

    Texts are encoded one at a time, without padding, so that an embedding never depends on its batch.

    Args:
        folder: holds `model.onnx`, `tokenizer.json` and `encoder.json`.
        threads: number of threads for one text.

    Attributes:
        name: name of the encoder, such as `minilm`.
        weights_hash: SHA-256 of the original weights, which does not depend on how the folder stores them.
        file_hash: SHA-256 of the ONNX file.
        identity: facts stored with a trained model: name, weights_hash, pooling, dim, max_tokens, and tokenizer_hash
            and revision if the folder has them.
        pooling: `mean` over all tokens, special tokens included, or `cls`.
        dim: size of an embedding.

    Raises:
        EmofuseError: files are missing or damaged.
    """

    def __init__(self, folder: Path | str, *, threads: int = 1):
        folder = Path(folder)
        about = _read_about(folder)
        self.name: str = about["name"]
        self.weights_hash: str = about["weights_hash"]
        self.file_hash: str = about["model_sha256"]
        self.pooling: str = about["pooling"]
        self.dim: int = about["dim"]
        self.identity: dict[str, Any] = {key: about[key] for key in _IDENTITY if key in about}
        self._tokenizer = _open_tokenizer(folder / "tokenizer.json", about["max_tokens"])
        self._session = open_session(folder / "model.onnx", threads)
        self._inputs = [node.name for node in self._session.get_inputs()]

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts.

        Args:
            texts: none of them empty; callers handle missing texts.

        Returns:
            float32 (n, dim), not normalised.

        Raises:
            EmofuseError: a text is empty or only white space.
        """
        check_texts(texts)
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        for row, encoding in enumerate(self._tokenizer.encode_batch(list(texts))):
            fields = {
                "input_ids": encoding.ids,
                "attention_mask": encoding.attention_mask,
                "token_type_ids": encoding.type_ids,
            }
            feed = {name: np.array([fields[name]], dtype=np.int64) for name in self._inputs}
            vectors[row] = self._session.run(None, feed)[0][0]  # (dim,)
        return vectors


def require_text_encoder(encoder: Any, identity: Mapping[str, Any], source: str) -> None:
    """Refuse a text encoder other than the one a model was trained with.

    Args:
        encoder: any text encoder.
        identity: the `identity` of the encoder used in training. Name and revision may differ. Tokenizer and length
            limit are compared only if both identities have them, because earlier versions did not store them.
        source: name of the trained model for the error message.

    Raises:
        EmofuseError: the encoders differ.
    """
    given = encoder.identity
    optional = [key for key in ("tokenizer_hash", "max_tokens") if key in given and key in identity]
    if any(given[key] != identity[key] for key in ("weights_hash", "pooling", "dim", *optional)):
        raise EmofuseError(
            f"{source} was trained with the text encoder {_describe(identity)}, but {_describe(given)} was given. "
            "Give the encoder that it was trained with."
        )


def tokenizer_hash(tokenizer: Tokenizer) -> str:
    """SHA-256 of a tokenizer's behaviour apart from truncation and padding.

    Hashes a canonical form of `tokenizer.json`, so that versions of the library agree: without fields that are null or
    false, and with merges as pairs, which older versions write as one string.
    """
    facts = json.loads(tokenizer.to_str())
    model = facts["model"]
    if "merges" in model:
        model["merges"] = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
    return hash_of(_without_defaults({**facts, "truncation": None, "padding": None}))


def _without_defaults(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_defaults(one) for key, one in value.items() if one is not None and one is not False}
    return [_without_defaults(one) for one in value] if isinstance(value, list) else value


def check_pooling(pooling: str) -> None:
    """Raise EmofuseError unless the pooling is `mean` or `cls`."""
    if pooling not in POOLINGS:
        raise EmofuseError(f"unknown pooling {pooling!r}: expected {' or '.join(POOLINGS)}.")


def check_texts(texts: Sequence[str]) -> None:
    """Raise EmofuseError if a text is empty or only white space, or if `texts` is one string."""
    if isinstance(texts, str):
        raise EmofuseError("expected a list of texts, not one string.")
    for row, text in enumerate(texts):
        if not text.strip():
            raise EmofuseError(f"text {row} is empty. Leave rows without words out, or mark their text as missing.")


def _describe(identity: Mapping[str, Any]) -> str:
    facts = [identity["weights_hash"][:12], identity["pooling"], f"{identity['dim']}-d"]
    if "tokenizer_hash" in identity:
        facts.append(f"tokenizer {identity['tokenizer_hash'][:12]}")
    if "max_tokens" in identity:
        facts.append(f"{identity['max_tokens']} tokens")
    return f"{identity.get('name')} ({', '.join(facts)})"


def _read_about(folder: Path) -> dict[str, Any]:
    for name in ("encoder.json", "model.onnx", "tokenizer.json"):
        if not (folder / name).is_file():
            raise EmofuseError(f"{folder} has no {name}; expected a folder that export_text_encoder wrote.")
    about = read_json(folder / "encoder.json")
    fields = {"name": str, "weights_hash": str, "pooling": str, "dim": int, "max_tokens": int, "model_sha256": str}
    for key, kind in fields.items():
        if not isinstance(about, dict) or not isinstance(about.get(key), kind):
            raise EmofuseError(
                f"{folder / 'encoder.json'}: {key!r} is missing or not of type {kind.__name__}. Export it again."
            )
    for name, expected in (("model.onnx", about["model_sha256"]), ("tokenizer.json", about.get("tokenizer_sha256"))):
        if expected and (found := file_hash(folder / name)) != expected:  # old exports have no hash of the tokenizer
            raise EmofuseError(f"{folder / name}: the hash is {found}, expected {expected}. Export it again.")
    return about


def _open_tokenizer(path: Path, max_tokens: int) -> Any:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise EmofuseError(f"{path}: not a valid tokenizer ({error}).") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer
