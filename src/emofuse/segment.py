"""A stretch of a recording with what was said in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from emofuse.errors import EmofuseError


@dataclass(frozen=True)
class Segment:
    """A stretch of a recording, or a text alone.

    Attributes:
        file: the recording; None for a text alone.
        text: transcript; None if it is not known.
        start: in seconds of the recording.
        end: in seconds of the recording; None for its end.
        speaker: who speaks, if known.
        channel: number of the recording's channel, from 1; None for all channels.
        extra: further columns of the segment's row in a table, which results carry on; not compared.
    """

    file: Path | None = None
    text: str | None = None
    start: float = 0.0
    end: float | None = None
    speaker: str | None = None
    channel: int | None = None
    extra: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def is_whole(self) -> bool:
        """True if the segment has no times, so that it is the whole recording."""
        return self.start == 0 and self.end is None

    @property
    def seconds(self) -> float:
        """Duration of a segment whose end is known; 0 if it is not."""
        return 0.0 if self.end is None else self.end - self.start


def checked_text(value: Any) -> str | None:
    """A transcript that another library gave: a string as it is, None for what means "missing" (None, NaN, pandas.NA).

    Raises:
        EmofuseError: the value is neither.

    >>> checked_text("Oh!"), checked_text(float("nan"))
    ('Oh!', None)
    """
    if value is None or isinstance(value, str):
        return value
    if type(value).__name__ in ("NAType", "NaTType"):  # pandas's, which need not be installed
        return None
    if isinstance(value, float | np.floating | np.datetime64) and np.isnan(value):
        return None
    raise EmofuseError(f"The text must be a string, or None where it is not known, but it is {value!r}.")


def extent_of(segments: Sequence[Segment]) -> tuple[float, float | None]:
    """Start and end of the part of a recording that holds some segments, at least one.

    >>> extent_of([Segment(start=3.0, end=4.0), Segment(start=1.0, end=2.0)])
    (1.0, 4.0)
    """
    ends = [math.inf if one.end is None else one.end for one in segments]
    last = max(ends)
    return min(one.start for one in segments), None if math.isinf(last) else last
