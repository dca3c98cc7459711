"""Output for people: tables and metrics as text, and silencing messages of libraries."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_PER_CLASS = {"precision_per_class": "precision", "recall_per_class": "recall", "f1_per_class": "F1"}


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


def render_metrics(metrics: dict[str, Any]) -> str:
    """Format nested metrics, one per line; a value with its interval and n, a class with all its metrics.

    >>> uar = {"value": 0.51234, "low": 0.4, "high": 0.6, "n": 40, "speakers": 4}
    >>> print(render_metrics({"test": {"uar": uar, "ece": 0.1}}), end="")
    test.uar  0.512 (0.400 .. 0.600), n 40, 4 speakers
    test.ece  0.100
    """
    rows = list(_leaves(metrics))
    width = max((len(name) for name, _ in rows), default=0)
    return "".join(f"{name:<{width}}  {value}\n" for name, value in rows)


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict):
        yield name, _short(value)
    elif "low" in value:
        low, high = _short(value["low"]), _short(value["high"])
        yield name, f"{_short(value['value'])} ({low} .. {high}), n {value['n']}, {value['speakers']} speakers"
    else:
        by_class = {metric: value[key] for key, metric in _PER_CLASS.items() if key in value}
        for key, item in value.items():
            if key == "recall_per_class":
                for label in item:
                    figures = ", ".join(f"{metric} {_short(values[label])}" for metric, values in by_class.items())
                    yield f"{name}.{label}" if name else label, figures
            elif key not in _PER_CLASS:
                yield from _leaves(item, f"{name}.{key}" if name else str(key))


def _short(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


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
