"""What a run was made with: versions, commit, hardware, seeds, hashes."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from emofuse.audio import FrontEnd
from emofuse.config import Recipe
from emofuse.training.prepare import Prepared

PACKAGES = ("emofuse", "torch", "lightning", "numpy", "transformers", "soxr", "soundfile")


def environment(recipe: Recipe, prepared: Prepared) -> dict[str, Any]:
    """Facts that a reader needs to repeat a run, ready for JSON."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "commit": _commit(),
        "hardware": {
            "machine": platform.machine(),
            "threads": torch.get_num_threads(),
            "cuda": torch.cuda.is_available(),
        },
        "seed": recipe.seed,
        "recipe": recipe.hash,
        "split": prepared.split.hash,
        "front_end": FrontEnd().to_dict(),
        "speech_encoder": prepared.audio,
        "text_encoder": prepared.text,
        "corpora": prepared.corpora,
    }


def _commit() -> str | None:
    """The commit of the source tree, with + when it has changes; None for an installed package."""
    here = Path(__file__).parent
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=40", "--exclude=*"],
            cwd=here, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return told.stdout.strip()
