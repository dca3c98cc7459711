"""Run exported networks in ONNX Runtime: any graph, the speech encoder and the text encoder."""

from __future__ import annotations

import json
import mmap
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emofuse.audio import SAMPLE_RATE, WHISPER, WHISPER_SECONDS, whisper_log_mel
from emofuse.errors import EmofuseError
from emofuse.files import file_hash, hash_of, read_json, sha256
from emofuse.silence import trim_silence
from emofuse.words import split_text

# Where an ONNX model can hold tensors: for each message type, the numbers of the fields that contain or lead to one
# (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
_FIELDS: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # fields of a tensor
_FIXED_SIZES = {1: 8, 5: 4}  # bytes, by wire type


def open_session(path: Path, threads: int = 1) -> Any:
    """Open a session on the processor. Several threads may run it at once.

    Args:
        path: the ONNX file.
        threads: number of threads for one call; idle threads sleep.

    Raises:
        EmofuseError: ONNX Runtime cannot load the file, or the model would read its weights from other files.
    """
    import onnxruntime

    if _has_external_data(path):
        raise EmofuseError(
            f"{path}: this ONNX model reads weights from other files, which no hash covers. "
            "Export it again, with the weights inside."
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # saves a fifth of the memory at the same speed
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # spinning threads would cost CPU time
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no public base class
        raise _unusable(path, error) from error


def _unusable(path: Path, reason: object) -> EmofuseError:
    return EmofuseError(f"{path}: not a usable ONNX model ({reason}). Export it again.")


def _has_external_data(path: Path) -> bool:
    """Return whether an ONNX file stores a tensor in another file. Parses the bytes, to do without the package `onnx`.

    Raises EmofuseError if the file cannot be read or is not in the wire format of Protocol Buffers.
    """
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _refers(data, "model", 0, len(data))
    except (OSError, ValueError, IndexError, RecursionError) as error:  # IndexError: truncated
        raise _unusable(path, error) from error


def _refers(data: mmap.mmap, message: str, start: int, end: int) -> bool:
    for field, value, place in _fields(data, start, end):
        if message == "tensor":
            if field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value):
                return True
        elif (inner := _FIELDS[message].get(field)) and _refers(data, inner, place, place + value):
            return True
    return False


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the fields of a message: number, value (for embedded messages and bytes their length), and start."""
    at = start
    while at < end:
        tag, at = _varint(data, at)
        kind, value = tag & 7, 0
        if kind in (0, 2):
            value, at = _varint(data, at)
        begin = at
        at += value if kind == 2 else _FIXED_SIZES.get(kind, 0)
        if kind not in (0, 1, 2, 5) or tag >> 32 or at > end:
            raise ValueError(f"damaged at byte {begin}")
        yield tag >> 3, value, begin


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    """Read a variable-length integer (at most ten bytes); return it with the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(f"damaged at byte {at}")


class OnnxSpeechEncoder:
    """A speech encoder that `export_speech_encoder` wrote as an ONNX graph.

    Args:
        path: the ONNX file.
        facts: what `export_speech_encoder` returned for this file.
        threads: number of threads for one clip.
        check_hash: whether to check the file's hash; False if the caller has done so.

    Attributes:
        layers: layers whose hidden states it returns, in the order of the output.
        dim: size of a hidden state.
        rate: hidden states per second.

    Raises:
        EmofuseError: the file is missing, is damaged, does not match the facts, or needs another front end.
    """

    def __init__(self, path: Path | str, facts: Mapping[str, Any], threads: int = 1, *, check_hash: bool = True):
        path = Path(path)
        try:
            self.layers: list[int] = list(facts["layers"])
            self.dim: int = facts["dim"]
            self.rate: float = facts["rate"]
            self._reads_log_mel = facts["input"] == "log_mel"
            front_end, expected = facts["front_end"], facts["sha256"]
        except KeyError as error:
            raise EmofuseError(f"{path}: the facts of this speech encoder lack {error}. Export it again.") from error
        if self._reads_log_mel and front_end != WHISPER.to_dict():
            raise EmofuseError(f"{path} needs the front end {front_end}, emofuse has {WHISPER}. Export it again.")
        if not path.is_file():
            raise EmofuseError(f"{path}: the file of the speech encoder is missing. Copy or export the bundle again.")
        if check_hash and (found := sha256(path)) != expected:
            raise EmofuseError(
                f"{path}: wrong hash ({found[:12]}..., expected {expected[:12]}...): the file is damaged or another "
                "speech encoder. Copy or export the bundle again."
            )
        self._session = open_session(path, threads)

    def states(self, samples: np.ndarray) -> np.ndarray:
        """Hidden states of a clip after trimming silence; at most its first 30 s.

        Args:
            samples: float32 (n,), 16 kHz, at least 0.1 s.

        Returns:
            float32 (steps, layers * dim), `rate` steps per second.
        """
        samples = trim_silence(samples)[: int(WHISPER_SECONDS * SAMPLE_RATE)]
        clip = whisper_log_mel(samples) if self._reads_log_mel else samples
        states: np.ndarray = self._session.run(None, {"clip": clip})[0]
        return states


if TYPE_CHECKING:
    from tokenizers import Tokenizer

MAX_TOKENS = 256
"""Longest text in tokens, special tokens included; longer ones are truncated. MiniLM's limit, used for all encoders."""

POOLINGS = ("mean", "cls")

_UNKNOWN_PIECES = ("[UNK]", "<unk>")
_TOO_LONG_WORD = re.compile(r"\w{101,}")  # WordPiece's limit, applied to every tokenizer

IDENTITY = ("name", "weights_hash", "pooling", "dim", "tokenizer_hash", "max_tokens", "revision")


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
        self.identity: dict[str, Any] = {key: about[key] for key in IDENTITY if key in about}
        self._tokenizer = _open_tokenizer(folder / "tokenizer.json", about["max_tokens"])
        self._room = about["max_tokens"] - self._tokenizer.num_special_tokens_to_add(is_pair=False)
        self._unknown = {self._tokenizer.token_to_id(piece) for piece in _UNKNOWN_PIECES} - {None}
        self._session = open_session(folder / "model.onnx", threads)
        self._inputs = [node.name for node in self._session.get_inputs()]

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts.

        Args:
            texts: none of them empty; callers handle missing texts. Texts beyond the length limit are truncated.

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

    def encode_whole(self, text: str) -> np.ndarray:
        """Embed a text of any length: the mean over its parts, weighted by their numbers of pieces.

        Returns:
            float32 (dim,), equal to that of `encode` if the text is within the length limit.
        """
        parts = self.split(text)
        if len(parts) == 1:
            return self.encode(parts)[0]
        mean: np.ndarray = np.average(self.encode(parts), axis=0, weights=[len(self._pieces(part)) for part in parts])
        return mean.astype(np.float32)

    def split(self, text: str) -> list[str]:
        """Split a text into parts within the length limit, as `emofuse.words.split_text` does."""
        return split_text(text, lambda part: [start for start, _, _ in self._pieces(part)], self._room)

    def unknown_share(self, text: str) -> float:
        """Return the share of a text's characters that the tokenizer does not know, 0..1.

        These are the characters of unknown pieces, characters that a byte-level tokenizer takes apart, and words of
        more than 100 letters.
        """
        pieces_per_character: Counter[int] = Counter()
        unknown = {i for word in _TOO_LONG_WORD.finditer(text) for i in range(*word.span())}
        for start, end, piece in self._pieces(text):
            pieces_per_character.update(range(start, end))
            if piece in self._unknown:
                unknown.update(range(start, end))
        unknown |= {i for i, pieces in pieces_per_character.items() if pieces > 1}
        characters = [i for i in pieces_per_character if not text[i].isspace()]
        return len(unknown.intersection(characters)) / len(characters) if characters else 1.0

    def _pieces(self, text: str) -> list[tuple[int, int, int]]:
        """Start and end in the text, and number in the vocabulary, of all pieces of a text but the special ones."""
        encoding = self._tokenizer.encode(text)
        return [
            (*offsets, piece)
            for part in (encoding, *encoding.overflowing)
            for offsets, piece, is_special in zip(part.offsets, part.ids, part.special_tokens_mask, strict=True)
            if not is_special
        ]


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
    facts += [f"tokenizer {identity['tokenizer_hash'][:12]}"] if "tokenizer_hash" in identity else []
    facts += [f"{identity['max_tokens']} tokens"] if "max_tokens" in identity else []
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
