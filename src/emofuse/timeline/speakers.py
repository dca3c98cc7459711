"""Who speaks in each segment: speaker embeddings grouped by Ward's clustering.

What all segments share (the room, the line, part of the language) is removed first: the mean embedding of the recording
is subtracted. Anger or whispering moves an embedding as far as a change of speaker does, so that the number of people
is much less certain than who is who among a given number; `benchmarks/conversation.py` measures both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emofuse.encoders.speaker import SpeakerEncoder
from emofuse.timeline.segments import Interval

MAX_SPEAKERS = 8
"""The largest number of people that is estimated."""

MAX_SIMILARITY = 0.8
"""Cosine between the mean embeddings of two groups from which on they are taken for one person."""

_LONG = 0.8  # seconds; shorter segments are assigned to a group, but do not form one
_MIN_SPEAKER = 4.0  # seconds of speech of each person when the number is estimated


def label_speakers(
    samples: np.ndarray, segments: Sequence[Interval], encoder: SpeakerEncoder, *, speakers: int | None = None
) -> list[int]:
    """Tell which segments of a recording are spoken by the same person.

    Args:
        samples: float32 (n,), mono, 16 kHz.
        segments: stretches of speech in it, each of one person.
        encoder: embeds them.
        speakers: how many people speak, at least 1; None to estimate it.

    Returns:
        A number for each segment, 0 for the person who speaks first, then 1 and so on.

    Raises:
        ValueError: `speakers` is below 1.
    """
    embeddings = encoder.embed([segment.samples_of(samples) for segment in segments])
    return cluster_speakers(embeddings, [segment.seconds for segment in segments], speakers=speakers)


def cluster_speakers(embeddings: np.ndarray, seconds: Sequence[float], *, speakers: int | None = None) -> list[int]:
    """Group speaker embeddings by person.

    Segments of at least 0.8 s are clustered; the others go to the nearest group. The estimated number of people is the
    largest for which each has at least 4 s of speech and no two groups' mean embeddings have a cosine of 0.8 or more.

    Args:
        embeddings: (segments, dim), rows of length 1.
        seconds: duration of each segment.
        speakers: number of groups, at least 1 (fewer where there are fewer segments); None to estimate it.

    Returns:
        As `label_speakers`.

    Raises:
        ValueError: `speakers` is below 1.
    """
    if speakers is not None and speakers < 1:
        raise ValueError(f"speakers must be at least 1, not {speakers}.")
    if not len(embeddings):
        return []
    embeddings, durations = np.asarray(embeddings, np.float64), np.asarray(seconds, float)
    long = durations >= _LONG
    if long.sum() < (speakers or 2):
        long[:] = True
    centred = _unit(embeddings - embeddings[long].mean(axis=0))
    merges = ward_merges(centred[long])
    if speakers is not None:
        labels = _assign(centred, long, merges, speakers)
        return _in_order_of_appearance(labels)
    best = np.zeros(len(embeddings), int)
    for number in range(2, min(MAX_SPEAKERS, int(long.sum())) + 1):
        labels = _assign(centred, long, merges, number)
        if _are_distinct(embeddings, durations, labels, number):
            best = labels
    return _in_order_of_appearance(best)


def _assign(centred: np.ndarray, long: np.ndarray, merges: list[tuple[float, int, int]], number: int) -> np.ndarray:
    """Cut the tree into groups, then move segments to the nearest group's centre until none moves: (segments,)."""
    labels = cut_tree(merges, number, n=int(long.sum()))
    number = int(labels.max()) + 1
    for _ in range(10):
        centres = _unit(np.stack([centred[long][labels == group].mean(axis=0) for group in range(number)]))
        nearest = (centred @ centres.T).argmax(axis=1)
        if (nearest[long] == labels).all() or len(np.unique(nearest[long])) < number:
            break
        labels = nearest[long]
    nearest[long] = labels
    return nearest


def _are_distinct(embeddings: np.ndarray, durations: np.ndarray, labels: np.ndarray, number: int) -> bool:
    """True if every group has enough speech and no two groups are similar."""
    groups = [labels == group for group in range(number)]
    if any(durations[group].sum() < _MIN_SPEAKER for group in groups):
        return False
    centres = _unit(np.stack([embeddings[group].mean(axis=0) for group in groups]))
    similarity = centres @ centres.T
    return bool(similarity[~np.eye(number, dtype=bool)].max() < MAX_SIMILARITY)


def ward_merges(vectors: np.ndarray) -> list[tuple[float, int, int]]:
    """Ward's agglomerative clustering by the nearest-neighbour chain algorithm, without a matrix of all distances.

    Args:
        vectors: (n, dim), at least one.

    Returns:
        All n - 1 merges, cheapest first: the increase of the squared error, and one vector of each of the two groups.
    """
    centres, sizes = vectors.copy(), np.ones(len(vectors))
    active = np.ones(len(vectors), bool)
    merges: list[tuple[float, int, int]] = []
    chain: list[int] = []
    while len(merges) < len(vectors) - 1:
        if not chain:
            chain.append(int(active.argmax()))
        last = chain[-1]
        costs = np.square(centres - centres[last]).sum(axis=1) * sizes * sizes[last] / (sizes + sizes[last])
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
        sizes[nearest] = total
        active[last] = False
    return sorted(merges)


def cut_tree(merges: Sequence[tuple[float, int, int]], groups: int, *, n: int) -> np.ndarray:
    """The group of each of n vectors after the cheapest merges, (n,), numbers from 0."""
    labels = np.arange(n)
    for _, one, other in merges[: max(0, n - groups)]:
        labels[labels == labels[other]] = labels[one]
    return np.unique(labels, return_inverse=True)[1]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def _in_order_of_appearance(labels: np.ndarray) -> list[int]:
    numbers: dict[int, int] = {}
    return [numbers.setdefault(label, len(numbers)) for label in labels.tolist()]
