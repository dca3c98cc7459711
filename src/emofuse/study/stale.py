"""Runs of a study that were trained on other data, or with other encoders, than there are now."""

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
    """What has changed since each run began, finished or not.

    Args:
        runs: of the study.
        cells: folder of the run folders.
        data: folder that relative corpus roots start from.

    Returns:
        By hash of the run, what has changed, in words; runs of which nothing changed are left out.

    Raises:
        EmofuseError: a corpus or an encoder is not there any more.
    """
    from emofuse.data.prepare import identify
    from emofuse.data.rows import select_rows
    from emofuse.training.run_folder import ENVIRONMENT_FILE, changes

    identities: dict[str, dict[str, Any]] = {}
    stale = {}
    for run in runs:
        path = cells / run.hash / ENVIRONMENT_FILE
        before = read_json(path).get("identity") if path.exists() else None
        if before is None:  # not begun, or by a version that kept no hashes
            continue
        source = _source(run.recipe)
        if source not in identities:
            identities[source] = identify(run.recipe, select_rows(run.recipe, data=data))
        if changed := changes(before, identities[source]):
            stale[run.hash] = changed
    return stale


def refuse_or_remove(stale: dict[str, str], runs: Iterable[Cell], cells: Path, *, fresh: bool) -> None:
    """With `fresh`, remove stale runs, so that they are trained anew.

    Raises:
        EmofuseError: there are stale runs, and `fresh` is not given.
    """
    if stale and not fresh:
        by_change: dict[str, list[Cell]] = {}
        for run in runs:
            if run.hash in stale:
                by_change.setdefault(stale[run.hash], []).append(run)
        lines = [
            f"  {changed} changed since {len(of_it)} runs were trained (such as {of_it[0]})"
            for changed, of_it in by_change.items()
        ]
        head = f"{len(stale)} runs of this study do not fit its corpora or encoders any more:"
        raise EmofuseError(
            "\n".join([head, *lines, "Train them anew with --fresh, or choose another folder with --out."])
        )
    for name in stale:
        shutil.rmtree(cells / name)


def _source(recipe: Recipe) -> str:
    """Hash of what `identify` depends on: runs that read alike share it."""
    model = recipe.model
    reads = model.fusion if model.fusion in ("audio_only", "text_only") else "both"
    states = [model.speech_encoder, model.uses_hidden_states, model.pretrained]
    tables = [part.model_dump(mode="json") for part in (recipe.data, recipe.text)]
    return hash_of([tables, reads, sorted(model.heads), states, recipe.training.fit])
