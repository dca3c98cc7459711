"""The environment of a run: versions, commit, hardware, seeds, hashes."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from emofuse import __version__
from emofuse.audio import FrontEnd
from emofuse.config import Recipe
from emofuse.data.prepare import Prepared
from emofuse.hardware import hardware_facts

PACKAGES = ("torch", "lightning", "numpy", "transformers", "soxr", "soundfile")


def describe_environment(
    recipe: Recipe, prepared: Prepared, identity: dict[str, Any], device: torch.device, precision: str
) -> dict[str, Any]:
    """The facts that a reader needs to repeat a run, ready for JSON.

    Args:
        recipe: recipe of the run.
        prepared: data of the run.
        identity: as `identify` gives it.
        device: where the run trains.
        precision: arithmetic of the training, "bf16" or "fp32".
    """
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            "emofuse": __version__,
            **{name: version(name) for name in PACKAGES},
        },
        "commit": _commit(),
        "hardware": hardware_facts(device),
        "precision": precision,
        "seed": recipe.seed,
        "recipe": recipe.hash,
        "split": prepared.rows.split.hash,
        "front_end": FrontEnd().to_dict(),
        "speech_encoder": prepared.speech_encoder,
        "text_encoder": prepared.text_encoder,
        "corpora": prepared.corpora,
        "identity": identity,
    }


def _commit() -> str | None:
    """The commit of the source tree, with + when it has changes; None for an installed package."""
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=40", "--exclude=*"],
            cwd=here, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()
