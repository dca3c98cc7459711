"""Stale runs of a study: their data or encoders have changed since they were trained."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from emofuse.config import Recipe
from emofuse.errors import EmofuseError
from emofuse.files import hash_of, read_json
from emofuse.study.grid import Cell


def find_stale(runs: Iterable[Cell], cells: Path, data: Path) -> dict[str, str]:
    """Find runs, finished or not, whose data or encoders have changed since they began.

    Args:
        runs: of the study.
        cells: folder of the run folders.
        data: folder that relative corpus roots start from.

    Returns:
        What has changed, in words, by hash of the run; only stale runs.

    Raises:
        EmofuseError: a corpus or an encoder is missing.
    """
    from emofuse.data.prepare import identify
    from emofuse.data.rows import select_rows
    from emofuse.training.run_folder import ENVIRONMENT_FILE, changes

    identities: dict[str, dict[str, Any]] = {}
    stale = {}
    for run in runs:
        path = cells / run.hash / ENVIRONMENT_FILE
        before = read_json(path).get("identity") if path.exists() else None
        if before is None:  # the run has not begun, or an earlier version stored no hashes
            continue
        source = _source(run.recipe)
        if source not in identities:
            identities[source] = identify(run.recipe, select_rows(run.recipe, data=data))
        if changed := changes(before, identities[source]):
            stale[run.hash] = changed
    return stale


def refuse_or_remove(stale: dict[str, str], runs: Iterable[Cell], cells: Path, *, fresh: bool) -> None:
    """Remove stale runs with `fresh`, so that they are trained again.

    Raises:
        EmofuseError: there are stale runs, and `fresh` is False.
    """
    if stale and not fresh:
        by_change: dict[str, list[Cell]] = {}
        for run in runs:
            if run.hash in stale:
                by_change.setdefault(stale[run.hash], []).append(run)
        lines = [
            f"  {changed} changed since {len(changed_runs)} runs were trained (such as {changed_runs[0]})"
            for changed, changed_runs in by_change.items()
        ]
        head = f"{len(stale)} runs of this study do not match its corpora or encoders any more:"
        advice = "Train them again with --fresh, or choose another folder with --out."
        raise EmofuseError("\n".join([head, *lines, advice]))
    for name in stale:
        shutil.rmtree(cells / name)


def _source(recipe: Recipe) -> str:
    """Hash of all that `identify` depends on."""
    model = recipe.model
    reads = model.fusion if model.fusion in ("audio_only", "text_only") else "both"
    states = [model.speech_encoder, model.uses_hidden_states, model.pretrained]
    tables = [part.model_dump(mode="json") for part in (recipe.data, recipe.text)]
    return hash_of([tables, reads, sorted(model.heads), states, recipe.training.fit])
