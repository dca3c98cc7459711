"""A run folder: its files, the environment that it records, and whether a recipe and its data are those of the run."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emofuse import __version__
from emofuse.audio import FrontEnd
from emofuse.config import Recipe, load_recipe
from emofuse.errors import EmofuseError
from emofuse.files import read_json
from emofuse.hardware import Precision, hardware_facts

if TYPE_CHECKING:
    import torch

    from emofuse.data.prepare import Prepared

RECIPE_FILE = "recipe.toml"
ENVIRONMENT_FILE = "environment.json"
METRICS_FILE = "metrics.json"  # written last: it marks a finished run
LAST_CHECKPOINT = "checkpoints/last.ckpt"

_IN_WORDS = {
    "rows": "the number of rows",
    "split": "the rows of each part",
    "labels": "the labels",
    "speakers": "the speakers",
    "texts": "the transcripts",
    "audio": "the audio",
    "speech_encoder": "the speech encoder",
    "text_encoder": "the text encoder",
    "pretrained": "the checkpoint in model.pretrained",
}


@dataclass(frozen=True)
class RunFolder:
    """A run folder; before training has begun, its recipe is None and its environment (environment.json) empty."""

    path: Path
    recipe: Recipe | None
    environment: dict[str, Any]

    @property
    def finished(self) -> bool:
        """Whether the run is finished."""
        return self.recipe is not None and (self.path / METRICS_FILE).exists()

    @property
    def precision(self) -> Precision | None:
        """The precision that the run began with; None if no training has begun."""
        if self.recipe is None:
            return None
        if "precision" in self.environment:
            return self.environment["precision"]
        chosen = self.recipe.training.precision
        return "bf16" if chosen == "auto" else chosen  # early runs did not record it


def open_run_folder(path: Path) -> RunFolder:
    """Open the folder of a new or an existing run.

    A folder that an error left before training began counts as new.

    Raises:
        EmofuseError: the folder holds something other than a run.
    """
    if not _has_begun(path):
        strange = [p.name for p in path.iterdir() if not _of_a_start(p.name)] if path.is_dir() else []
        if path.exists() and (strange or not path.is_dir()):
            raise EmofuseError(f"{path} is not empty and is not a run folder. Choose another folder with --out.")
        return RunFolder(path, None, {})
    environment = path / ENVIRONMENT_FILE
    recipe = load_recipe(path / RECIPE_FILE)
    return RunFolder(path, recipe, read_json(environment) if environment.exists() else {})


def check_recipe(folder: RunFolder, recipe: Recipe) -> int:
    """Check that the run in a folder is one of this recipe.

    Returns:
        The number of epochs by which the recipe is longer than that of the run: 0, unless nothing else differs.

    Raises:
        EmofuseError: the folder holds a run of another recipe, or one that cannot be trained for more epochs.
    """
    before = folder.recipe
    if before is None:
        return 0
    wanted = recipe.training.precision
    if before.hash == recipe.hash and wanted in ("auto", folder.precision):
        return 0
    more = recipe.training.epochs - before.training.epochs
    longer = before.training.model_copy(update={"epochs": recipe.training.epochs})
    if more > 0 and before.model_copy(update={"training": longer}).hash == recipe.hash:
        _check_longer(folder, recipe)
        return more
    differences = ", ".join(_differences(before.model_dump(mode="json"), recipe.model_dump(mode="json")))
    raise EmofuseError(
        f"{folder.path} contains a run of another recipe (it differs in {differences or 'precision'}). Choose another "
        "folder with --out, or train again with --fresh, which removes that run."
    )


def check_identity(folder: RunFolder, identity: Mapping[str, Any]) -> None:
    """Check that the run in a folder began with the same data and encoders.

    Raises:
        EmofuseError: the data or an encoder changed; the message says which.
    """
    if changed := changes(folder.environment.get("identity", {}), identity):
        raise EmofuseError(
            f"{folder.path}: {changed} changed since this run was trained. Train anew with --fresh, which removes the "
            "run; or choose another folder with --out."
        )


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Describe the differences between two results of `identify`; empty if they are equal.

    Only keys that both have are compared, because earlier versions recorded fewer.

    >>> changes({"labels": "12ab", "audio": "34cd"}, {"labels": "56ef", "audio": "78ab"})
    'the labels and the audio'
    """
    differing = [name for name in _IN_WORDS if name in before and not _equal(before[name], now[name])]
    if "rows" in differing:
        pairs = [(part, n, now["rows"][part]) for part, n in before["rows"].items()]
        counts = "; ".join(f"{part}: {n}, now {m}" for part, n, m in pairs if n != m)
        phrases = [f"{_IN_WORDS['rows']} ({counts})"]
    else:
        phrases = [_IN_WORDS["split"]] if "split" in differing else []
    of_rows = ("rows", "split", "labels", "speakers", "texts", "audio")  # follow from other rows
    phrases += [_IN_WORDS[name] for name in differing if not (phrases and name in of_rows)]
    return " and ".join([", ".join(phrases[:-1]), phrases[-1]] if len(phrases) > 1 else phrases)


def remove(path: Path) -> None:
    """Remove a run, as `--fresh` does; a folder that is not a run folder is not touched."""
    if _has_begun(path):
        shutil.rmtree(path)


def _has_begun(path: Path) -> bool:
    return (path / RECIPE_FILE).exists() and (
        (path / METRICS_FILE).exists() or any(path.glob("checkpoints/*")) or any(path.glob(f"*/{RECIPE_FILE}"))
    )


def _of_a_start(name: str) -> bool:
    """Whether a run that stopped before its first checkpoint leaves a file or folder of this name."""
    names = (RECIPE_FILE, ENVIRONMENT_FILE, "audit.json", "history.csv", "checkpoints", "tensorboard")
    return name in names or name.startswith(tuple(f".{part}." for part in names))


def _check_longer(folder: RunFolder, recipe: Recipe) -> None:
    if recipe.training.schedule == "one_cycle":
        raise EmofuseError(
            f"{folder.path} contains this run with fewer epochs, and a one_cycle schedule cannot be extended. "
            'Train anew with --fresh, or choose schedule = "plateau" or "none" for runs that you want to extend.'
        )
    if recipe.model.fusion != "late" and not (folder.path / LAST_CHECKPOINT).exists():
        raise EmofuseError(
            f"{folder.path} contains this run with fewer epochs, but not its last checkpoint ({LAST_CHECKPOINT}), so "
            "training cannot continue. Train anew with --fresh."
        )


def _differences(before: Any, now: Any, place: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        names = [name for name in {**before, **now} if name not in ("accelerator", "workers", "leave_out", "precision")]
        return [
            key
            for name in names
            for key in _differences(before.get(name), now.get(name), f"{place}.{name}" if place else name)
        ]
    return [] if before == now else [place]


def _equal(before: Any, now: Any) -> bool:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return all(before[name] == now[name] for name in before.keys() & now.keys())
    return bool(before == now)


PACKAGES = ("torch", "lightning", "numpy", "transformers", "soxr", "soundfile")


def describe_environment(
    recipe: Recipe, prepared: Prepared, identity: dict[str, Any], device: torch.device, precision: str
) -> dict[str, Any]:
    """The facts that a reader needs to repeat a run, ready for JSON; `identity` as `identify` gives it."""
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
