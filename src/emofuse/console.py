"""Output for people: rich tables as text, and silencing messages of libraries."""

from __future__ import annotations

import io
from typing import Any


def as_text(*printed: Any, width: int | None, colour: bool = False) -> str:
    """Render rich objects to text without trailing white space.

    Args:
        printed: tables and texts of rich.
        width: width in characters; None for the width of the terminal.
        colour: whether to include terminal codes for colour.
    """
    from rich.console import Console

    buffer = io.StringIO()
    console = Console(file=buffer, width=width, force_terminal=colour, highlight=False)
    for item in printed:
        console.print(item)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"
