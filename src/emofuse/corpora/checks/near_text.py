"""Nearly equal sentences: candidates by MinHash (Broder 1997) with banding, verified by their exact Jaccard index.

Texts are compared by their sets of character 4-grams without case, punctuation and white space. This works in any
language, and tolerates spelling variants.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

JACCARD = 0.8
MIN_WORDS = 4

_GRAM = 4
# 16 bands of 5 hashes find a pair of Jaccard index 0.8 with a probability of 99.8 %, one of 0.3 with 4 %.
_BANDS, _ROWS = 16, 5
_AGREEING = 0.6  # share of equal hashes for verification; at Jaccard 0.8 its standard deviation is 0.045
_AT_ONCE = 1 << 16  # characters or pairs; limits memory and fits the cache of a core
# Sentences that differ in a number only would make too many pairs: a query is compared with at most 8 references of
# each bucket, and exactly with the 8 most promising of all buckets.
_MAX_PER_BUCKET, _MAX_VERIFIED = 8, 8
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\s\u3040-\u30ff\u3400-\u9fff]+")  # no spaces: a character is a word


class _Characters(dict[int, int | None]):
    """Table for str.translate: white space becomes a space; punctuation, symbols and control characters are removed.

    Combining marks are not removed, because they are vowels in the scripts of India.
    """

    def __missing__(self, code: int) -> int | None:
        kind = unicodedata.category(chr(code))[0]
        self[code] = 32 if kind == "Z" or chr(code).isspace() else None if kind in "PSC" else code
        return self[code]


_CHARACTERS = _Characters()


def normalised(text: str) -> str:
    """Lower case, NFKC, without punctuation; words separated by one space.

    >>> normalised("  Don't — PANIC!")
    'dont panic'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().translate(_CHARACTERS).split())


def is_short(text: str) -> bool:
    """True if a normalised text has fewer than four words; such texts recur by chance."""
    return text.count(" ") < MIN_WORDS and len(_WORD.findall(text)) < MIN_WORDS


def nearest(queries: Sequence[str], references: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """For each query, the most similar reference with a Jaccard index of at least 0.8.

    Args:
        queries: distinct texts without white space, none of them among the references.
        references: distinct texts without white space.

    Returns:
        Position of the reference, or -1 for none, (queries,); and the Jaccard index, or 0 for none, (queries,).
    """
    best = np.full(len(queries), -1)
    jaccard = np.zeros(len(queries))
    if not len(queries) or not len(references):
        return best, jaccard
    order = sorted(range(len(references)), key=references.__getitem__)  # the result must not depend on their order
    query_hashes, reference_hashes = _signatures(queries), _signatures([references[j] for j in order])
    first, second = _candidates(query_hashes, reference_hashes)
    for i, place in zip(first.tolist(), second.tolist(), strict=True):
        j = order[place]
        a, b = _grams(queries[i]), _grams(references[j])
        value = len(a & b) / len(a | b)
        if value >= JACCARD and (value > jaccard[i] or (value == jaccard[i] and references[j] < references[best[i]])):
            best[i], jaccard[i] = j, value
    return best, jaccard


def _grams(text: str) -> set[str]:
    return {text[i : i + _GRAM] for i in range(max(1, len(text) - _GRAM + 1))}


def _signatures(texts: Sequence[str]) -> np.ndarray:
    """Smallest hash of each text's grams under each of the hash functions: uint32, (texts, bands * rows)."""
    rng = np.random.default_rng(0)
    factors = rng.integers(1 << 31, size=_BANDS * _ROWS, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    offsets = rng.integers(1 << 32, size=_BANDS * _ROWS, dtype=np.uint32)
    signatures = np.empty((_BANDS * _ROWS, len(texts)), np.uint32)
    # Texts that are shorter than a gram are padded with spaces.
    lengths = np.array([max(len(text), _GRAM) for text in texts])
    ends = np.cumsum(lengths)
    first = 0
    while first < len(texts):
        last = max(first + 1, int(np.searchsorted(ends, ends[first] - lengths[first] + _AT_ONCE)))
        joined = "".join(text.ljust(_GRAM) for text in texts[first:last])
        codes = np.frombuffer(joined.encode("utf-32-le"), np.uint32)
        starts = np.cumsum(lengths[first:last]) - lengths[first:last]
        grams = _gram_hashes(codes)
        inside = np.ones(len(codes), bool)
        for back in range(1, _GRAM):  # a gram must not run into the next text
            inside[starts + lengths[first:last] - back] = False
        hashes = grams[inside[: len(grams)]]
        places = starts - (_GRAM - 1) * np.arange(last - first)
        for k in range(_BANDS * _ROWS):
            value = hashes * factors[k] + offsets[k]
            value ^= value >> np.uint32(16)
            signatures[k, first:last] = np.minimum.reduceat(value, places)
        first = last
    return np.ascontiguousarray(signatures.T)


def _gram_hashes(codes: np.ndarray) -> np.ndarray:
    """Hash of each gram: uint32, (characters - 3,)."""
    n = len(codes) - _GRAM + 1
    value = np.zeros(n, np.uint32)
    for i in range(_GRAM):  # the steps of MurmurHash3
        part = codes[i : i + n] * np.uint32(0xCC9E2D51)
        part = (part << np.uint32(15) | part >> np.uint32(17)) * np.uint32(0x1B873593)
        value ^= part
        value = (value << np.uint32(13) | value >> np.uint32(19)) * np.uint32(5) + np.uint32(0xE6546B64)
    value ^= value >> np.uint32(16)
    value *= np.uint32(0x85EBCA6B)
    return value ^ (value >> np.uint32(13))


def _candidates(query_hashes: np.ndarray, reference_hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of queries and references that share a band and enough hashes: (pairs,) and (pairs,)."""
    pairs, shares = [np.empty(0, np.int64)], [np.empty(0)]
    for band in range(_BANDS):
        columns = slice(band * _ROWS, (band + 1) * _ROWS)
        queries, references = _bucket(query_hashes[:, columns]), _bucket(reference_hashes[:, columns])
        order = np.argsort(references, kind="stable")
        references = references[order]
        low = np.searchsorted(references, queries, side="left")
        count = np.minimum(np.searchsorted(references, queries, side="right") - low, _MAX_PER_BUCKET)
        i = np.repeat(np.arange(len(query_hashes)), count)
        j = order[np.arange(count.sum()) - np.repeat(np.cumsum(count) - count - low, count)]
        share = _agreement(query_hashes, reference_hashes, i, j)
        likely = share >= _AGREEING
        pairs.append(i[likely] * len(reference_hashes) + j[likely])
        shares.append(share[likely])
    unique, place = np.unique(np.concatenate(pairs), return_index=True)
    i, j = np.divmod(unique, len(reference_hashes))
    order = np.lexsort((j, -np.concatenate(shares)[place], i))
    i, j = i[order], j[order]
    rank = np.arange(len(i)) - np.searchsorted(i, i)
    return i[rank < _MAX_VERIFIED], j[rank < _MAX_VERIFIED]


def _agreement(query_hashes: np.ndarray, reference_hashes: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Share of equal hashes of each pair, which estimates its Jaccard index."""
    share = np.empty(len(i))
    for start in range(0, len(i), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        share[part] = (query_hashes[i[part]] == reference_hashes[j[part]]).mean(axis=1)
    return share


def _bucket(rows: np.ndarray) -> np.ndarray:
    """One 64-bit number for the hashes of a band."""
    value = np.zeros(len(rows), np.uint64)
    for column in rows.T:
        value = (value ^ column) * np.uint64(0x9E3779B97F4A7C15)
        value ^= value >> np.uint64(29)
    return value
