"""Who speaks in each segment: speaker embeddings grouped by Ward's clustering.

The mean embedding of the recording is subtracted before clustering, since the room, the line and part of the language
are the same in all segments. Emotion moves an embedding nearly as far as a change of speaker does, so that the number
of people is much less certain than who is who among a given number. The estimate is therefore cautious: two voices of
one sex are often taken for one person, one person hardly ever for two (docs/speakers.md, benchmarks/conversation.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MAX_SPEAKERS = 8
"""The largest number of people that is estimated."""

MAX_SIMILARITY = 0.57
"""Mean cosine between the segments of two groups from which on they are taken for one person."""

_LONG = 0.8  # seconds; shorter segments are assigned to a group, but do not form one
MIN_SPEAKER_SECONDS = 5.0
"""Least speech of each person when the number of people is estimated."""

_MAX_CLUSTERED = 3000  # segments that form groups; the cost of clustering grows with the square of their number


def cluster_speakers(embeddings: np.ndarray, seconds: Sequence[float], *, speakers: int | None = None) -> list[int]:
    """Group speaker embeddings by person.

    Segments of at least 0.8 s are clustered, in long recordings 3000 of them; the others go to the nearest group. The
    estimated number of people is the largest for which each has at least 5 s of speech and for no two of them the
    embeddings of their segments have a mean cosine of 0.57 or more.

    Args:
        embeddings: (segments, dim), rows of length 1.
        seconds: duration of each segment.
        speakers: number of groups, at least 1 (fewer where there are fewer segments); None to estimate it.

    Returns:
        A number for each segment, 0 for the person who speaks first, then 1 and so on.

    Raises:
        ValueError: `speakers` is below 1.
    """
    if speakers is not None and speakers < 1:
        raise ValueError(f"speakers must be at least 1, not {speakers}.")
    if not len(embeddings):
        return []
    embeddings, durations = np.asarray(embeddings, np.float64), np.asarray(seconds, float)
    chosen = _segments_to_cluster(durations, speakers or 2)
    centred = unit(embeddings - embeddings[chosen].mean(axis=0))
    merges = ward_merges(centred[chosen])
    if speakers is not None:
        return _in_order_of_appearance(_assign(centred, chosen, merges, speakers))
    best = np.zeros(len(embeddings), int)
    for number in range(2, min(MAX_SPEAKERS, len(chosen)) + 1):
        labels = _assign(centred, chosen, merges, number)
        if _are_distinct(embeddings, durations, labels, chosen):
            best = labels
    return _in_order_of_appearance(best)


class KnownSpeakers:
    """Recognises speakers by segments that `cluster_speakers` has labelled.

    Args:
        embeddings: (segments, dim), rows of length 1, at least one.
        labels: the speaker of each.
    """

    def __init__(self, embeddings: np.ndarray, labels: Sequence[int]) -> None:
        embeddings, numbers = np.asarray(embeddings, np.float64), np.asarray(labels)
        self._mean = embeddings.mean(axis=0)
        self._centres = unit(_group_means(unit(embeddings - self._mean), numbers, int(numbers.max()) + 1))

    def nearest(self, embeddings: np.ndarray) -> list[int]:
        """The most similar speaker for each of (segments, dim) embeddings."""
        labels: list[int] = (unit(embeddings - self._mean) @ self._centres.T).argmax(axis=1).tolist()
        return labels


def _segments_to_cluster(durations: np.ndarray, speakers: int) -> np.ndarray:
    """Numbers of the segments that form groups: long ones, evenly over time if there are many; all if few are long."""
    long = np.flatnonzero(durations >= _LONG)
    if len(long) < speakers:
        return np.arange(len(durations))
    return long[np.linspace(0, len(long) - 1, min(len(long), _MAX_CLUSTERED)).round().astype(int)]


def _assign(centred: np.ndarray, chosen: np.ndarray, merges: list[tuple[float, int, int]], number: int) -> np.ndarray:
    """Cut the tree into groups, then move segments to the nearest group's centre until none moves: (segments,)."""
    clustered = centred[chosen]
    labels = cut_tree(merges, number, n=len(chosen))
    number = int(labels.max()) + 1
    for _ in range(10):
        centres = unit(_group_means(clustered, labels, number))
        nearest = (clustered @ centres.T).argmax(axis=1)
        if (nearest == labels).all() or len(np.unique(nearest)) < number:
            break
        labels = nearest
    everyone = (centred @ centres.T).argmax(axis=1)
    everyone[chosen] = labels
    return everyone


def _are_distinct(embeddings: np.ndarray, durations: np.ndarray, labels: np.ndarray, chosen: np.ndarray) -> bool:
    """True if every group has enough speech and no two groups are similar."""
    number = int(labels.max()) + 1
    if np.bincount(labels, weights=durations).min() < MIN_SPEAKER_SECONDS:
        return False
    means = _group_means(embeddings[chosen], labels[chosen], number)
    similarity = means @ means.T  # mean cosine between the segments of two groups
    return bool(similarity[~np.eye(number, dtype=bool)].max() < MAX_SIMILARITY)


def _group_means(vectors: np.ndarray, labels: np.ndarray, number: int) -> np.ndarray:
    return np.stack([vectors[labels == group].mean(axis=0) for group in range(number)])


def ward_merges(vectors: np.ndarray) -> list[tuple[float, int, int]]:
    """Ward's agglomerative clustering by the nearest-neighbour chain algorithm, without a matrix of all distances.

    Args:
        vectors: (n, dim), at least one.

    Returns:
        All n - 1 merges, cheapest first: the increase of the squared error, and one vector of each of the two groups.
    """
    centres, sizes = vectors.copy(), np.ones(len(vectors))
    squares = np.square(centres).sum(axis=1)
    active = np.ones(len(vectors), bool)
    merges: list[tuple[float, int, int]] = []
    chain: list[int] = []
    while len(merges) < len(vectors) - 1:
        if not chain:
            chain.append(int(active.argmax()))
        last = chain[-1]
        distances = squares + squares[last] - 2 * (centres @ centres[last])
        costs = distances * sizes * sizes[last] / (sizes + sizes[last])
        costs[~active] = costs[last] = np.inf
        nearest = int(costs.argmin())
        if len(chain) < 2 or costs[nearest] < costs[chain[-2]]:
            chain.append(nearest)
            continue
        nearest = chain[-2]
        del chain[-2:]
        merges.append((float(costs[nearest]), nearest, last))
        total = sizes[nearest] + sizes[last]
        centres[nearest] += (centres[last] - centres[nearest]) * sizes[last] / total
        squares[nearest] = np.square(centres[nearest]).sum()
        sizes[nearest] = total
        active[last] = False
    return sorted(merges)


def cut_tree(merges: Sequence[tuple[float, int, int]], groups: int, *, n: int) -> np.ndarray:
    """The group of each of n vectors after the cheapest merges, (n,), numbers from 0."""
    labels = np.arange(n)
    for _, one, other in merges[: max(0, n - groups)]:
        labels[labels == labels[other]] = labels[one]
    return np.unique(labels, return_inverse=True)[1]


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (n, dim), each scaled to length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def _in_order_of_appearance(labels: np.ndarray) -> list[int]:
    numbers: dict[int, int] = {}
    return [numbers.setdefault(label, len(numbers)) for label in labels.tolist()]
