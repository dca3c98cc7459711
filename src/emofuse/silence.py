"""Trim silence before and after speech.

In some corpora half of every clip is silence, in others none. Silence says nothing about emotion, but a model that
averages over time mistakes it for a trait of the voice, and Whisper's states of silence are far from those of speech.
"""

from __future__ import annotations

import numpy as np

from emofuse.audio import SAMPLE_RATE

VERSION = 1  # version of the rule, part of the identity of hidden states
SHORTEST = 0.5  # shortest result in seconds
_WINDOW, _HOP = 1280, 320  # samples: 80 and 20 ms
_BELOW_PEAK = 35.0  # windows more than this many dB below the loudest window are silence
_ABOVE_FLOOR = 6.0  # windows less than this many dB above the background (10 % quantile) are silence
_SHARE_OF_RANGE = 0.3  # as are windows in the lowest part of the range from background to peak


def sound_bounds(samples: np.ndarray) -> tuple[int, int]:
    """Find the first and last sample (exclusive) that is not silence; pauses in between are kept.

    Levels are measured in 80 ms windows. A window is not silent if it is within 35 dB of the loudest and above the
    background (the 10 % quantile) by 6 dB and by 0.3 of the range. If all windows are silent by this rule, as in steady
    noise, the whole clip is kept.

    Args:
        samples: (n,), 16 kHz.

    Returns:
        (first, last) with 0 <= first < last <= n, at least 0.5 s apart; shorter clips are kept whole.

    >>> clip = np.zeros(48000, np.float32)
    >>> clip[16000:32000] = np.sin(np.arange(16000))
    >>> sound_bounds(clip)
    (15040, 32960)
    """
    n, shortest = len(samples), int(SHORTEST * SAMPLE_RATE)
    if n <= shortest:
        return 0, n
    sums = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    starts = np.arange(0, n - _WINDOW + 1, _HOP)
    level = 10 * np.log10(np.maximum(sums[starts + _WINDOW] - sums[starts], 0) / _WINDOW + 1e-10)
    peak, floor = level.max(), np.quantile(level, 0.1)
    limit = max(peak - _BELOW_PEAK, floor + max(_ABOVE_FLOOR, _SHARE_OF_RANGE * (peak - floor)))
    loud = starts[level > limit]
    if not len(loud):
        return 0, n
    first, last = int(loud[0]), int(loud[-1]) + _WINDOW
    if (missing := shortest - (last - first)) > 0:
        first = min(max(0, first - missing // 2), n - shortest)
        last = first + shortest
    return first, last if n - last >= _HOP else n  # no window covers the last hop


def trim_silence(samples: np.ndarray) -> np.ndarray:
    """Trim silence at both ends of a clip; see `sound_bounds`."""
    first, last = sound_bounds(samples)
    return samples[first:last]
