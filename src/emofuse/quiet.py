"""What libraries say of themselves while they do our work, kept from those who use emofuse.

Each function names what it silences; all else, and everything outside the block, is shown.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


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
