"""Output for people: rich tables as text, and silencing messages of libraries."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence banners and tips of Lightning, and its use of a class that PyTorch deprecates.

    The tips do not apply: runs are resumed on purpose, and preparing batches in the training process is fast enough.
    """
    with _at_least(logging.WARNING, "lightning.pytorch", "lightning.fabric"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
        warnings.filterwarnings("ignore", message="The '.*' does not have many workers")
        warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")
        yield


@contextmanager
def quiet_onnx_export() -> Iterator[None]:
    """Silence PyTorch's ONNX exporter: progress, shared names of axes, and its own deprecated classes."""
    with _at_least(logging.ERROR, "torch.onnx"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="# The axis name: ")
        warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")
        yield


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Hide the progress bar of transformers while it loads weights; progress bars of downloads are still shown."""
    from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
    from transformers.utils import logging as bars

    shown, downloads_hidden = bars.is_progress_bar_enabled(), are_progress_bars_disabled()
    bars.disable_progress_bar()  # hides those of downloads too
    if not downloads_hidden:
        enable_progress_bars()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


@contextmanager
def _at_least(level: int, *names: str) -> Iterator[None]:
    """Raise the level of some loggers."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, old in zip(loggers, before, strict=True):
            logger.setLevel(old)
