"""Windows of up to 30 s in which a speech recogniser decodes several segments of a recording at once."""

from __future__ import annotations

from bisect import bisect
from itertools import pairwise

import numpy as np

from emofuse.audio import SAMPLE_RATE
from emofuse.words import has_words

WINDOW = 30 * SAMPLE_RATE  # samples that Whisper decodes at once
PAUSE = SAMPLE_RATE // 2  # pauses between segments in one window are shortened to this many samples

Span = tuple[int, int]  # first sample, and last sample + 1


def group_segments(spans: list[Span]) -> list[list[Span]]:
    """Group consecutive segments that fit into one window, with the pauses between them."""
    windows: list[list[Span]] = []
    length = 0
    for span in spans:
        size = span[1] - span[0]
        pause = min(PAUSE, span[0] - windows[-1][-1][1]) if windows else 0
        if windows and length + pause + size <= WINDOW:
            windows[-1].append(span)
            length += pause + size
        else:
            windows.append([span])
            length = size
    return windows


def cut_window(samples: np.ndarray, spans: list[Span]) -> tuple[np.ndarray, list[int]]:
    """Samples of the segments with shortened pauses between them, and the sample in the middle of each pause."""
    parts = [samples[slice(*spans[0])]]
    pauses: list[int] = []
    for (_, end), (start, next_end) in pairwise(spans):
        pause = min(PAUSE, start - end)
        parts += [samples[end : end + pause // 2], samples[start - (pause - pause // 2) : start]]
        pauses.append(sum(map(len, parts)) - (pause - pause // 2))
        parts.append(samples[start:next_end])
    return np.concatenate(parts, dtype=np.float32), pauses


def split_words(timed_words: list[tuple[str, float]], pauses: list[float]) -> list[str]:
    """Divide words with their times in seconds among segments, one more than there are pauses (times of the middles).

    The alignment may be off by a word at a pause. Where the word before or after the pause ends a phrase (with a
    punctuation mark), the text is cut there. Punctuation marks that are words of their own stay with the word before.
    """
    words: list[str] = []
    times: list[float] = []
    for word, seconds in timed_words:
        if words and not has_words(word):
            words[-1] += word
        else:
            words.append(word)
            times.append(max(seconds, times[-1] if times else 0.0))
    cuts = [0]
    for pause in pauses:
        cut = bisect(times, pause)
        ends = [i for i in (cut, cut - 1, cut + 1) if 0 < i <= len(words) and not words[i - 1][-1:].isalnum()]
        cuts.append(max(cuts[-1], ends[0] if ends else cut))
    return ["".join(words[i:j]).strip() for i, j in pairwise([*cuts, len(words)])]
