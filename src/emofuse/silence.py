"""Where a clip sounds: silence before and after speech says nothing of an emotion, but much of a corpus.

In some corpora half of every clip is silence, in others none. A model that averages over time takes it for a trait of
the voice, and Whisper's states of silence are far from those of speech.
"""

from __future__ import annotations

import numpy as np

from emofuse.audio import SAMPLE_RATE

VERSION = 1  # of the rule, part of the identity of hidden states
SHORTEST = 0.5  # seconds that are left at least
_WINDOW, _HOP = 1280, 320  # samples: 80 and 20 ms
_BELOW_PEAK = 35.0  # dB under the loudest window: quieter ones are silence
_ABOVE_FLOOR = 6.0  # dB over the quietest tenth: windows below are background noise ...
_SHARE_OF_RANGE = 0.3  # ... and so is that share of the range from there to the loudest


def sounding(samples: np.ndarray) -> tuple[int, int]:
    """First and last sample (exclusive) of what sounds; pauses in between stay.

    Levels are those of 80 ms windows. A window sounds if it is within 35 dB of the loudest and above the background,
    the level of the quietest tenth, by 6 dB and by 0.3 of the range. Where none is, as in steady noise, all sounds.

    Args:
        samples: (n,), 16 kHz.

    Returns:
        Numbers 0 <= first < last <= n; at least 0.5 s apart, or the whole of a shorter clip.

    >>> clip = np.zeros(48000, np.float32)
    >>> clip[16000:32000] = np.sin(np.arange(16000))
    >>> sounding(clip)
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
    if (lacking := shortest - (last - first)) > 0:
        first = min(max(0, first - lacking // 2), n - shortest)
        last = first + shortest
    return first, last if n - last >= _HOP else n  # the last hop is seen by no window


def without_silence(samples: np.ndarray) -> np.ndarray:
    """What sounds of a clip; see `sounding`."""
    first, last = sounding(samples)
    return samples[first:last]
