"""What is printed for people, as text."""

from __future__ import annotations

import io
from typing import Any


def as_text(*printed: Any, width: int | None, colour: bool = False) -> str:
    """What rich prints, as lines without white space at their ends.

    Args:
        printed: tables and texts of rich.
        width: characters a line; None: as the terminal.
        colour: with the terminal's codes for colour.
    """
    from rich.console import Console

    buffer = io.StringIO()
    console = Console(file=buffer, width=width, force_terminal=colour, highlight=False)
    for item in printed:
        console.print(item)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"
