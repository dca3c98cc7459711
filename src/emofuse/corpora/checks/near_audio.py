"""Near copies of clips: the same recording with another codec, gain or sample rate, or with a few frames of padding.

A fingerprint is the log-Mel spectrogram of the 4 s around the clip's centre of loudness, in 80 steps of 50 ms by 8
bands up to 4 kHz, stored as 640 bytes. The centre moves with the sound, so padding and codec delay do not matter. Time
is not normalised, so the same speaker repeating the words a little faster does not count as a copy. The aim, but not
the method, is that of Haitsma & Kalker (2002, ISMIR, A highly robust audio fingerprinting system).
"""

from __future__ import annotations

import numpy as np

from emofuse.audio import log_mel

SIZE = 640
# Measured on RAVDESS and nEMO (benchmarks/near_audio.py): all copies in MP3, Vorbis and Opus at usual bit rates, or
# with another gain, delay or noise, are above it, and 84 to 89 % of those in Opus at 12 or AAC at 32 kbit/s. Clips that
# are not copies reach .925 at most: two takes of one sentence by one actor in one emotion.
SIMILARITY = 0.94
SECONDS_APART = 0.2  # codecs pad by up to three frames

VERSION = 1  # of the computation

_STEPS, _BANDS = 80, 8
_FRAMES_PER_STEP = 5
_MELS = 48  # of 64: up to 4 kHz, so that copies at telephone rate are recognised
_RANGE = 40.0  # dB below the maximum; codecs change what is fainter
_SOUND = 20.0  # dB above that floor from which a step has full weight
_MIN_STEPS = 12  # 0.6 s of sound; single syllables of two people can look the same
_MIN_CONTRAST = 2.5  # dB; speech has 3.5 and more, a steady tone or noise 1 to 2
_SCALE = 3.0  # int8 levels per dB
_COARSE = 0.85  # threshold at the coarse resolution, where copies are more similar
_BLOCK = 2048


def fingerprint(samples: np.ndarray) -> np.ndarray:
    """Fingerprint of mono samples at 16 kHz, 0.1 s or more: int8, (640,).

    All zero, which is similar to nothing, if the clip has less than 0.6 s of sound or only a steady sound.
    """
    power = 10 ** (log_mel(samples) / 10)  # (frames, mels)
    loudness = np.sqrt(power.sum(axis=1, dtype=np.float64))
    centre = (loudness * np.arange(len(loudness))).sum() / loudness.sum()
    bands = power[:, :_MELS].reshape(len(power), _BANDS, -1).mean(axis=2, dtype=np.float64)  # (frames, bands)
    total = np.concatenate([np.zeros((1, _BANDS)), np.cumsum(bands, axis=0)])
    edges = np.clip(centre + 0.5 + _FRAMES_PER_STEP * (np.arange(_STEPS + 1) - _STEPS / 2), 0, len(power))
    frame = np.minimum(edges.astype(int), len(power) - 1)
    at_edges = total[frame] + bands[frame] * (edges - frame)[:, None]
    covered = np.diff(edges)[:, None]  # frames of each step that lie in the clip
    level = 10 * np.log10(
        np.maximum(np.diff(at_edges, axis=0), 0) / np.maximum(covered, 1e-3) + 1e-12
    )  # (steps, bands)
    level = np.maximum(level - level.max() + _RANGE, 0)
    weight = np.clip(level.max(axis=1, keepdims=True) / _SOUND, 0, 1) * covered / _FRAMES_PER_STEP
    mean = (level * weight).sum(axis=0) / weight.sum()  # per band; it changes with microphone and codec
    picture = (level - mean) * weight
    if weight.sum() < _MIN_STEPS or np.sqrt((picture**2).sum() / (weight.sum() * _BANDS)) < _MIN_CONTRAST:
        return np.zeros(SIZE, np.int8)
    return np.clip(np.rint(picture * _SCALE), -127, 127).astype(np.int8).ravel()


def similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine of fingerprints, row by row: (n, 640) and (n, 640) give (n,), -1..1."""
    return (_unit(first) * _unit(second)).sum(axis=1)


def near_copies(fingerprints: np.ndarray, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of clips of similarity `SIMILARITY` or more whose durations differ by at most `SECONDS_APART`.

    Clips are sorted by duration and compared block by block, first at a coarse resolution of 160 values.

    Args:
        fingerprints: int8, (n, 640).
        seconds: durations, (n,).

    Returns:
        Row numbers of each pair, (pairs, 2), the smaller first, sorted; and their similarity, (pairs,).
    """
    order = np.argsort(seconds, kind="stable")
    durations = seconds[order]
    coarse = _coarse(fingerprints, order)
    verified = [np.empty((0, 2), np.int64)]
    for first in range(0, len(order), _BLOCK):
        rows = coarse[first : first + _BLOCK]
        last = np.searchsorted(durations, durations[first + len(rows) - 1] + SECONDS_APART, side="right")
        for other in range(first, last, _BLOCK):
            alike = rows @ coarse[other : min(other + _BLOCK, last)].T >= _COARSE
            i, j = np.nonzero(alike)
            i, j = i + first, j + other
            close = (i < j) & (durations[j] - durations[i] <= SECONDS_APART)
            verified.append(_verified(fingerprints, order[i[close]], order[j[close]]))
    pairs = np.concatenate(verified)
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    return pairs, similarity(fingerprints[pairs[:, 0]], fingerprints[pairs[:, 1]])


def _verified(fingerprints: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    pairs = [np.empty((0, 2), np.int64)]
    for start in range(0, len(first), _BLOCK):
        i, j = first[start : start + _BLOCK], second[start : start + _BLOCK]
        alike = similarity(fingerprints[i], fingerprints[j]) >= SIMILARITY
        pairs.append(np.stack([i[alike], j[alike]], axis=1))
    return np.concatenate(pairs)


def _coarse(fingerprints: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Fingerprints with half the steps and bands, of unit length, in the given order: float32, (n, 160)."""
    coarse = np.empty((len(order), SIZE // 4), np.float32)
    for start in range(0, len(order), _BLOCK):
        pictures = fingerprints[order[start : start + _BLOCK]].reshape(-1, _STEPS // 2, 2, _BANDS // 2, 2)
        coarse[start : start + _BLOCK] = _unit(pictures.sum(axis=(2, 4), dtype=np.int32).reshape(len(pictures), -1))
    return coarse


def _unit(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)
