"""Which recordings have the same voice: speaker embeddings of whole recordings, grouped cautiously.

Two faults are to be avoided. Recordings of several people in one group: where each of them shows one emotion, their
voices are taken for emotions. Recordings of one person in several groups: they are then groups of one emotion. So
recordings whose voices are neither clearly the same nor clearly different are left out of all groups.

The recordings are divided in two by Ward's clustering, and each part again, as long as the two parts differ like two
people (docs/speakers.md has the figures, benchmarks/adapt_folder.py the protocol).
"""

from __future__ import annotations

import numpy as np

from emofuse.timeline.speakers import cut_tree, unit, ward_merges

DIFFERENT = 0.50
"""Likeness of two groups below which they are different voices."""
SAME = 0.53
"""Likeness of the two halves of a group from which on it is one voice."""
NEAR = 0.75
"""Least cosine between a recording of a group and the group's mean."""

_MAX_CLUSTERED = 500  # recordings that form groups; the cost of clustering grows with the square of their number
_WITHIN = 0.75  # mean cosine between two recordings of one person, where there are none to measure it


def group_by_voice(embeddings: np.ndarray) -> list[int | None]:
    """Group recordings by voice, whatever their order.

    Of more than 500 recordings, 500 form the groups, and the others go to the nearest. Recordings that are far from
    the mean of their group are taken out of it.

    Args:
        embeddings: of recordings with one voice each, (recordings, dim), rows of length 1.

    Returns:
        A number for each recording, 0 for the group of the first and so on; None for a recording that shares its voice
        with no other, or whose voice is unclear.
    """
    embeddings = np.asarray(embeddings, np.float64)
    if len(embeddings) < 2:
        return [None] * len(embeddings)
    order = np.lexsort(embeddings.T)  # the groups do not depend on the order in which recordings are given
    chosen = order[np.linspace(0, len(order) - 1, min(len(order), _MAX_CLUSTERED)).round().astype(int)]
    parts = _divide(embeddings, chosen)
    centres = unit(np.stack([embeddings[members].mean(axis=0) for members, _ in parts]))
    cosines = embeddings @ centres.T
    labels = cosines.argmax(axis=1)
    for number, (members, _) in enumerate(parts):
        labels[members] = number
    labels[cosines[np.arange(len(labels)), labels] < NEAR] = -1
    sizes = np.bincount(labels[labels >= 0], minlength=len(parts))
    clear = {number for number, (_, is_one) in enumerate(parts) if is_one and sizes[number] > 1}
    numbers: dict[int, int] = {}
    return [numbers.setdefault(label, len(numbers)) if label in clear else None for label in labels.tolist()]


def _divide(embeddings: np.ndarray, members: np.ndarray) -> list[tuple[np.ndarray, bool]]:
    """Divide recordings by voice: the members of each part, and whether these are clearly one voice."""
    parts, waiting = [], [members]
    while waiting:
        members = waiting.pop()
        if len(members) < 2:
            parts.append((members, True))
            continue
        is_second = _halves(embeddings[members])
        first, second = members[~is_second], members[is_second]
        alike = _likeness(embeddings[first], embeddings[second]) if len(first) and len(second) else 1.0
        if alike < DIFFERENT:
            waiting += [first, second]
        else:
            parts.append((members, alike >= SAME))
    return parts


def _halves(vectors: np.ndarray) -> np.ndarray:
    """Which vectors are in the second of the two groups of Ward's clustering, (n,), after some steps of k-means."""
    centred = unit(vectors - vectors.mean(axis=0))
    is_second = cut_tree(ward_merges(centred), 2, n=len(centred)) == 1
    for _ in range(10):
        if not is_second.any() or is_second.all():
            break
        centres = unit(np.stack([centred[~is_second].mean(axis=0), centred[is_second].mean(axis=0)]))
        nearest = (centred @ centres.T).argmax(axis=1) == 1
        if (nearest == is_second).all():
            break
        is_second = nearest
    return is_second


def _likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Mean cosine between two groups, minus what it is lower than the mean cosine within them."""
    between = float(first.mean(axis=0) @ second.mean(axis=0))
    within, recordings = 0.0, 0
    for group in (first, second):
        n = len(group)
        if n > 1:
            within += (float(np.square(group.sum(axis=0)).sum()) - n) / (n - 1)  # n times the mean over pairs
            recordings += n
    return 2 * between - (within / recordings if recordings else _WITHIN)
