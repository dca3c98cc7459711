"""Progress on standard error: a bar that is drawn anew on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Literal

_REDRAW = 0.2  # seconds between two drawings of the bar
_LINE = 30.0  # seconds between two lines
_WIDTH = 24  # characters of the bar


class Progress:
    """Tells how far a command is, and how long it will take.

    Args:
        total: seconds of audio, or number of files; None if unknown.
        unit: of the total.
    """

    def __init__(self, total: float | None, unit: Literal["seconds", "files"]) -> None:
        self._total, self._unit = total, unit
        self._is_terminal = sys.stderr.isatty()
        self._begun = self._last = time.monotonic()
        self._drawn = False

    def update(self, done: float) -> None:
        """Tell that so much of the total is done."""
        now = time.monotonic()
        if now - self._last < (_REDRAW if self._is_terminal else _LINE):
            return
        self._last = now
        line = self._line(done, now - self._begun)
        if self._is_terminal:
            sys.stderr.write(f"\r\x1b[K{line}")
            self._drawn = True
        else:
            sys.stderr.write(f"emofuse: {line}\n")
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the bar away, so that something else can be printed."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False

    def _line(self, done: float, elapsed: float) -> str:
        if not self._total:
            return f"{self._amount(done)} done"
        share = min(done / self._total, 1.0)
        filled = round(share * _WIDTH)
        bar = "█" * filled + "░" * (_WIDTH - filled) + " " if self._is_terminal else ""
        left = f", about {_duration(elapsed * (1 - share) / share)} left" if share > 0 else ""
        so_far = self._amount(done).removesuffix(" files")
        return f"{bar}{so_far} of {self._amount(self._total)}{left}"

    def _amount(self, value: float) -> str:
        return f"{value:.0f} files" if self._unit == "files" else _duration(value)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
