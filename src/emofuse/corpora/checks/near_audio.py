"""Near copies of clips: the same recording after another codec, gain, sample rate, or with padding of a few frames.

A fingerprint is the log-Mel picture of the 4 s around the clip's centre of loudness, 80 steps of 50 ms by 8 bands up
to 4 kHz, as 640 bytes. The centre moves with the sound, so that padding and codec delay do not matter; time is
absolute, so that the same words said once more by the same speaker, a little faster, are told apart. In aim, not in
form, after Haitsma & Kalker (2002, ISMIR, A highly robust audio fingerprinting system).
"""

from __future__ import annotations

import numpy as np

from emofuse.audio import log_mel

SIZE = 640
# Measured on RAVDESS and nEMO (benchmarks/near_audio.py): copies in MP3, Vorbis and Opus of usual rates, with other
# gain, delay or noise are all above it; in Opus at 12 or AAC at 32 kbit/s, 84 to 89 % are. What is no copy stays at
# .925 or below: two takes of one sentence by one actor in one emotion.
SIMILARITY = 0.94
SECONDS_APART = 0.2  # codecs pad by up to three frames

VERSION = 1  # of the computation

_STEPS, _BANDS = 80, 8
_FRAMES_A_STEP = 5
_MELS = 48  # of 64: up to 4 kHz, so that copies at telephone rate are found
_RANGE = 40.0  # dB below the loudest; what is fainter is the codec's business
_SOUND = 20.0  # dB above that floor from which a step counts in full
_LEAST_STEPS = 12  # 0.6 s of sound: single syllables of two people can look the same
_LEAST_CONTRAST = 2.5  # dB; speech has 3.5 and more, a steady tone or noise 1 to 2
_SCALE = 3.0  # levels a dB of the int8 picture
_COARSE = 0.85  # copies look more alike in the coarse picture than in the fine one
_BLOCK = 2048


def fingerprint(samples: np.ndarray) -> np.ndarray:
    """Fingerprint of mono samples at 16 kHz, 0.1 s or more: int8, (640,).

    All zero, which is like nothing, where there is too little to tell by: less than 0.6 s of sound, or a steady one.
    """
    power = 10 ** (log_mel(samples) / 10)  # (frames, mels)
    loudness = np.sqrt(power.sum(axis=1, dtype=np.float64))
    centre = (loudness * np.arange(len(loudness))).sum() / loudness.sum()
    bands = power[:, :_MELS].reshape(len(power), _BANDS, -1).mean(axis=2, dtype=np.float64)  # (frames, bands)
    total = np.concatenate([np.zeros((1, _BANDS)), np.cumsum(bands, axis=0)])
    edges = np.clip(centre + 0.5 + _FRAMES_A_STEP * (np.arange(_STEPS + 1) - _STEPS / 2), 0, len(power))
    frame = np.minimum(edges.astype(int), len(power) - 1)
    at_edges = total[frame] + bands[frame] * (edges - frame)[:, None]
    covered = np.diff(edges)[:, None]  # frames of each step that lie in the clip
    level = 10 * np.log10(
        np.maximum(np.diff(at_edges, axis=0), 0) / np.maximum(covered, 1e-3) + 1e-12
    )  # (steps, bands)
    level = np.maximum(level - level.max() + _RANGE, 0)
    weight = np.clip(level.max(axis=1, keepdims=True) / _SOUND, 0, 1) * covered / _FRAMES_A_STEP
    mean = (level * weight).sum(axis=0) / weight.sum()  # of each band: what another microphone or codec changes
    picture = (level - mean) * weight
    if weight.sum() < _LEAST_STEPS or np.sqrt((picture**2).sum() / (weight.sum() * _BANDS)) < _LEAST_CONTRAST:
        return np.zeros(SIZE, np.int8)
    return np.clip(np.rint(picture * _SCALE), -127, 127).astype(np.int8).ravel()


def similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine of fingerprints, row by row: (n, 640) and (n, 640) give (n,), -1..1."""
    return (_unit(first) * _unit(second)).sum(axis=1)


def near_copies(fingerprints: np.ndarray, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of clips that are at least `SIMILARITY` alike and differ by at most `SECONDS_APART` in duration.

    Clips are sorted by duration and compared block by block, first in a coarse picture of 160 values.

    Args:
        fingerprints: int8, (n, 640).
        seconds: durations, (n,).

    Returns:
        Row numbers of each pair, (pairs, 2), the smaller first, sorted; and their similarity, (pairs,).
    """
    order = np.argsort(seconds, kind="stable")
    durations = seconds[order]
    coarse = _coarse(fingerprints, order)
    found = [np.empty((0, 2), np.int64)]
    for first in range(0, len(order), _BLOCK):
        rows = coarse[first : first + _BLOCK]
        last = np.searchsorted(durations, durations[first + len(rows) - 1] + SECONDS_APART, side="right")
        for other in range(first, last, _BLOCK):
            alike = rows @ coarse[other : min(other + _BLOCK, last)].T >= _COARSE
            i, j = np.nonzero(alike)
            i, j = i + first, j + other
            kept = (i < j) & (durations[j] - durations[i] <= SECONDS_APART)
            found.append(_verified(fingerprints, order[i[kept]], order[j[kept]]))
    pairs = np.concatenate(found)
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    return pairs, similarity(fingerprints[pairs[:, 0]], fingerprints[pairs[:, 1]])


def _verified(fingerprints: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    kept = [np.empty((0, 2), np.int64)]
    for start in range(0, len(first), _BLOCK):
        i, j = first[start : start + _BLOCK], second[start : start + _BLOCK]
        alike = similarity(fingerprints[i], fingerprints[j]) >= SIMILARITY
        kept.append(np.stack([i[alike], j[alike]], axis=1))
    return np.concatenate(kept)


def _coarse(fingerprints: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Pictures of half the steps and bands, of length 1, in the given order: float32, (n, 160)."""
    coarse = np.empty((len(order), SIZE // 4), np.float32)
    for start in range(0, len(order), _BLOCK):
        pictures = fingerprints[order[start : start + _BLOCK]].reshape(-1, _STEPS // 2, 2, _BANDS // 2, 2)
        coarse[start : start + _BLOCK] = _unit(pictures.sum(axis=(2, 4), dtype=np.int32).reshape(len(pictures), -1))
    return coarse


def _unit(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)
