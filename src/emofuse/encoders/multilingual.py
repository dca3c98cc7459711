"""Summary embeddings of texts in many languages, by a small network that imitates an English text encoder.

For a text in one of its languages it gives approximately the embedding that the English encoder gives for the English
translation. It averages vectors of words, pairs of words and character n-grams, and maps the mean by one hidden layer
(`emofuse.training.distil_languages` trains it). It needs only NumPy. It also translates a text word by word, and what
the English encoder reads in such a gloss is added with a low weight.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from emofuse.errors import EmofuseError
from emofuse.files import atomic, file_hash, read_json, write_json
from emofuse.words import split_text

MODEL_FILE = "model.npz"
FACTS_FILE = "encoder.json"
MAX_WORDS = 40
"""Longest text that is embedded at once, in words and punctuation marks; longer ones are embedded in parts."""

_UNSPACED = re.compile(r"([\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff])")  # Thai, Japanese, Chinese: a character is a word
_WORD = re.compile(r"\w+(?:'\w+)?|[!?…]")
_NGRAMS = (3, 4, 5)
_MAX_FEATURES = 28  # of a word
_SHARED_WORDS = {"sr": "hr", "bs": "hr"}  # languages that share the words of another one
_SERBIAN: dict[int, int | str] = dict(str.maketrans("абвгдђежзијклмнопрстћуфхцчш", "abvgdđežzijklmnoprstćufhcčš"))
_SERBIAN |= {ord("љ"): "lj", ord("њ"): "nj", ord("џ"): "dž"}
_GLOSS_WEIGHT = 0.4
_MIN_PREFIX, _PREFIX_SHARE = 4, 0.6  # shortest beginning of a word that stands for the word, in letters and as a share
_EPSILON = 1e-5  # of layer normalisation


def words_of_text(text: str, language: str) -> list[str]:
    """Split a text into words in lower case and the marks ! ? …, the same way in training and use.

    >>> words_of_text("Ne verujem! Не верујем", "sr"), words_of_text("我很好", "zh")
    (['ne', 'verujem', '!', 'ne', 'verujem'], ['我', '很', '好'])
    """
    return [word for word, _ in _words_at(text, language)]


def _words_at(text: str, language: str) -> list[tuple[str, int]]:
    """Words with their approximate starts in the text."""
    folded = unicodedata.normalize("NFC", text).casefold().replace("’", "'").replace("\u0307", "")
    if language in ("sr", "hr", "bs"):
        folded = folded.translate(_SERBIAN)
    spaced = _UNSPACED.sub(r" \1 ", folded)
    scale = len(text) / max(1, len(spaced))
    return [(match[0], int(match.start() * scale)) for match in _WORD.finditer(spaced)]


def word_features(word: str, language: str) -> list[str]:
    """The word, marked with its language, and its character n-grams, which languages share.

    >>> word_features("zle", "pl")
    ['pl:zle', '<zl', 'zle', 'le>', '<zle', 'zle>', '<zle>']
    """
    marked = f"<{word}>"
    ngrams = [marked[i : i + n] for n in _NGRAMS if len(marked) >= n for i in range(len(marked) - n + 1)]
    return [f"{_SHARED_WORDS.get(language, language)}:{word}", *ngrams][:_MAX_FEATURES]


def pair_features(words: Sequence[str], language: str) -> list[str]:
    """Each word with the next one, marked with the language."""
    return [f"{_SHARED_WORDS.get(language, language)}:{a} {b}" for a, b in pairwise(words)]


def feature_key(feature: str) -> int:
    """The key of a feature in the table: its CRC-32, which is the same in every process."""
    return zlib.crc32(feature.encode())


def gloss_keys(word: str, language: str) -> list[int]:
    """Keys of a word in the lexicon: its own, and those of its beginnings, longest first.

    >>> gloss_keys("freue", "de") == [feature_key(entry) for entry in ("de:freue", "de:freue*", "de:freu*")]
    True
    """
    marked = f"{_SHARED_WORDS.get(language, language)}:"
    shortest = max(_MIN_PREFIX, int(_PREFIX_SHARE * len(word)))
    prefixes = [f"{marked}{word[:n]}*" for n in range(len(word), shortest - 1, -1)]
    return [feature_key(entry) for entry in (marked + word, *prefixes)]


class MultilingualEncoder:
    """A multilingual text encoder from a folder that `emofuse.training.distil_languages` wrote.

    Args:
        folder: holds `model.npz` and `encoder.json`.

    Attributes:
        facts: contents of `encoder.json`.
        languages: codes of the languages that it reads well enough to be used.
        dim: size of an embedding.

    Raises:
        EmofuseError: files are missing or damaged.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.facts = read_facts(self.folder)
        self.languages: list[str] = self.facts["languages"]
        self.dim: int = self.facts["dim"]
        try:
            with np.load(self.folder / MODEL_FILE, allow_pickle=False) as arrays:
                weights = {name: arrays[name] for name in _ARRAYS}
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise EmofuseError(f"{self.folder / MODEL_FILE}: not a usable text encoder ({error}).") from error
        self._weights = {name: w.astype(np.float32) if w.dtype == np.float16 else w for name, w in weights.items()}
        self._english = self._weights["english"].tobytes().decode().split("\n")
        self._rows = lru_cache(100_000)(self._find_rows)

    def encode(self, texts: Sequence[str], language: str) -> np.ndarray:
        """Embed texts of one language.

        Args:
            texts: of at most `MAX_WORDS` words; longer ones lose precision.
            language: ISO 639-1 code; words of other languages are read by their n-grams.

        Returns:
            float32 (n, dim).
        """
        texts_words = [words_of_text(text, language) for text in texts]
        return self.encode_words([(words, language) for words in texts_words])

    def encode_words(self, texts: Iterable[tuple[Sequence[str], str]]) -> np.ndarray:
        """Embed texts that `words_of_text` has split, each with its language: float32 (n, dim)."""
        summaries = [self._summary(words, language) for words, language in texts]
        weights = self._weights
        x = np.array(summaries, np.float32).reshape(-1, 3 * weights["table"].shape[1])
        hidden = _gelu(_normalise(x, weights["norm"]) @ weights["hidden"] + weights["hidden_bias"])
        embeddings: np.ndarray = (hidden @ weights["out"] + weights["out_bias"]).astype(np.float32)
        return embeddings

    def encode_whole(self, text: str, language: str) -> np.ndarray:
        """Embed a text of any length: the mean over its parts, weighted by their numbers of words: float32 (dim,)."""
        parts = self.split(text, language)
        lengths = [max(1, len(words_of_text(part, language))) for part in parts]
        mean: np.ndarray = np.average(self.encode(parts, language), axis=0, weights=lengths)
        return mean.astype(np.float32)

    def gloss(self, words: Sequence[str], language: str) -> str:
        """Translate words one by one; words that are not in the lexicon are left out."""
        glosses: list[str] = []
        for word in words:
            english = None if word[0].isalnum() else word  # marks stay
            for key in gloss_keys(word, language) if word[0].isalnum() else []:
                at = int(np.searchsorted(self._weights["gloss_keys"], key))
                if at < len(self._weights["gloss_keys"]) and self._weights["gloss_keys"][at] == key:
                    english = self._english[self._weights["gloss_words"][at]]
                    break
            if english is not None and glosses[-1:] != [english]:
                glosses.append(english)
        return " ".join(glosses)

    def gloss_text(self, text: str, language: str) -> str:
        """Translate a text word by word, see `gloss`."""
        return self.gloss(words_of_text(text, language), language)

    def add_gloss(self, embedding: np.ndarray, of_gloss: np.ndarray) -> np.ndarray:
        """Add the English encoder's embedding of a gloss to an embedding, (dim,) or (n, dim), of the text itself."""
        added: np.ndarray = embedding + _GLOSS_WEIGHT * (of_gloss - self._weights["mean"])
        return added.astype(np.float32)

    def split(self, text: str, language: str) -> list[str]:
        """Split a text into parts of similar length of at most `MAX_WORDS` words; joined, they are the text."""
        return split_text(text, lambda part: [start for _, start in _words_at(part, language)], MAX_WORDS)

    def unknown_share(self, text: str, language: str) -> float:
        """Return the share of a text's letters in words of which no feature is in the table, 0..1."""
        letters = unknown = 0
        for word in words_of_text(text, language):
            if word[0].isalnum():
                letters += len(word)
                unknown += len(word) * (not len(self._rows(word_features, word, language)))
        return unknown / letters if letters else 1.0

    def _summary(self, words: Sequence[str], language: str) -> np.ndarray:
        """Mean of the word vectors, their mean weighted by a gate, and the mean of the pairs' vectors: (3 * width,)."""
        weights = self._weights
        sums = [self._sum(self._rows(word_features, word, language)) for word in words or [""]]
        vectors = _normalise(np.array(sums), weights["word_norm"])  # (words, width)
        gate = np.exp(np.clip(vectors @ weights["gate"] + weights["gate_bias"], -8, 8))
        pairs = self._sum(self._rows(pair_features, tuple(words), language))
        return np.concatenate([vectors.mean(0), (vectors * gate[:, None]).sum(0) / gate.sum(), pairs])

    def _find_rows(self, features: Any, of: Any, language: str) -> np.ndarray:
        keys = np.array([feature_key(one) for one in features(of, language)], np.uint32)
        at = np.searchsorted(self._weights["keys"], keys).clip(max=len(self._weights["keys"]) - 1)
        rows: np.ndarray = at[self._weights["keys"][at] == keys]
        return rows

    def _sum(self, rows: np.ndarray) -> np.ndarray:
        """Sum of rows of the table, divided by the square root of their number."""
        table, scales = self._weights["table"], self._weights["scales"]
        total: np.ndarray = (table[rows] * scales[rows, None]).sum(0) / max(1, len(rows)) ** 0.5
        return total


_ARRAYS = (
    "keys",  # uint32 (n,), CRC-32 of the features, sorted
    "table",  # int8 (n, width)
    "scales",  # float16 (n,)
    "word_norm",  # float32 (2, width), scale and offset
    "gate",  # float32 (width,)
    "gate_bias",  # float32 ()
    "norm",  # float32 (2, 3 * width)
    "hidden",  # float16 (3 * width, hidden)
    "hidden_bias",
    "out",  # float16 (hidden, dim)
    "out_bias",
    "mean",  # float32 (dim,), mean embedding of English lines
    "gloss_keys",  # uint32 (entries,), see `gloss_keys`, sorted
    "gloss_words",  # uint16 (entries,), numbers of English words
    "english",  # uint8, UTF-8 of the English words, with line breaks between them
)


def read_facts(folder: Path | str) -> dict[str, Any]:
    """Read and check the facts of a multilingual text encoder.

    Raises:
        EmofuseError: a file is missing or damaged.
    """
    folder = Path(folder)
    for name in (FACTS_FILE, MODEL_FILE):
        if not (folder / name).is_file():
            raise EmofuseError(f"{folder} has no {name}; expected a folder that distil_languages wrote.")
    facts = read_json(folder / FACTS_FILE)
    fields: Mapping[str, type] = {"teacher": dict, "dim": int, "languages": list, "model_sha256": str}
    for key, kind in fields.items():
        if not isinstance(facts, dict) or not isinstance(facts.get(key), kind):
            raise EmofuseError(f"{folder / FACTS_FILE}: {key!r} is missing or not of type {kind.__name__}.")
    if (found := file_hash(folder / MODEL_FILE)) != facts["model_sha256"]:
        raise EmofuseError(f"{folder / MODEL_FILE}: the hash is {found}, expected {facts['model_sha256']}.")
    return dict(facts)


def save_encoder(
    folder: Path | str,
    weights: Mapping[str, np.ndarray],
    lexicon: Mapping[str, Mapping[str, str]],
    facts: Mapping[str, Any],
) -> None:
    """Write a folder for `MultilingualEncoder`; an existing one is replaced.

    Args:
        folder: the folder.
        weights: arrays as in a model file, but the table as floating point (n, width), without scales and lexicon.
        lexicon: by language the English of words, most reliable first. Beginnings of words stand for the first of them.
        facts: `teacher` (identity of the text encoder that it imitates), `languages` and `scores`, and others.
    """
    scales = (np.abs(weights["table"]).max(axis=1) / 127).astype(np.float16)
    divisors = np.where(scales > 0, scales, 1).astype(np.float32)
    arrays: dict[str, np.ndarray] = {name: np.asarray(values).astype(np.float32) for name, values in weights.items()}
    arrays |= {name: arrays[name].astype(np.float16) for name in ("hidden", "out")}
    arrays |= {"keys": weights["keys"].astype(np.uint32), **_lexicon_arrays(lexicon)}
    arrays["table"] = np.clip(np.round(weights["table"] / divisors[:, None]), -127, 127).astype(np.int8)
    arrays["scales"] = scales
    with atomic(folder) as temporary:
        temporary.mkdir()
        np.savez(temporary / MODEL_FILE, allow_pickle=False, **{name: arrays[name] for name in _ARRAYS})
        size = {"dim": len(arrays["out_bias"]), "model_sha256": file_hash(temporary / MODEL_FILE)}
        write_json(temporary / FACTS_FILE, {**facts, **size})


def _lexicon_arrays(lexicon: Mapping[str, Mapping[str, str]]) -> dict[str, np.ndarray]:
    english = sorted({gloss for words in lexicon.values() for gloss in words.values()})
    number_of = {word: number for number, word in enumerate(english)}
    entries: dict[int, int] = {}
    for own in (True, False):  # a word itself precedes words that begin so
        for language, words in lexicon.items():
            for word, gloss in words.items():
                keys = gloss_keys(word, language)
                for key in keys[:1] if own else keys[1:]:
                    entries.setdefault(key, number_of[gloss])
    keys = sorted(entries)
    return {
        "gloss_keys": np.array(keys, np.uint32),
        "gloss_words": np.array([entries[key] for key in keys], np.uint16),
        "english": np.frombuffer("\n".join(english).encode(), np.uint8),
    }


def require_teacher(facts: Mapping[str, Any], text_encoder: Mapping[str, Any], source: str) -> None:
    """Refuse a multilingual encoder that imitates another text encoder than the one a model was trained with.

    Args:
        facts: `MultilingualEncoder.facts`.
        text_encoder: identity of the text encoder that the model was trained with.
        source: name of the trained model for the error message.

    Raises:
        EmofuseError: the weights or the pooling differ.
    """
    teacher = facts["teacher"]
    if any(teacher.get(key) != text_encoder.get(key) for key in ("weights_hash", "pooling")):
        raise EmofuseError(
            f"{source}: the multilingual encoder imitates the text encoder {teacher.get('name')}, but the model was "
            f"trained with {text_encoder.get('name')} (other weights or pooling). Distil that one."
        )


def _normalise(x: np.ndarray, norm: np.ndarray) -> np.ndarray:
    """Layer normalisation of rows by `norm`, (scale, offset)."""
    centred = x - x.mean(-1, keepdims=True)
    normalised: np.ndarray = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + _EPSILON) * norm[0] + norm[1]
    return normalised


def _gelu(x: np.ndarray) -> np.ndarray:
    """GELU in its tanh form."""
    activated: np.ndarray = 0.5 * x * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x**3)))
    return activated
