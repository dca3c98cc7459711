"""Checks of a parted utterance table on its decoded clips; `audit` says what their findings mean."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from emofuse.audio import MIN_SECONDS
from emofuse.corpora.checks.audio_index import FULL_SCALE, index_audio
from emofuse.corpora.checks.findings import Finding, Severity, affected, of_all, some
from emofuse.corpora.checks.near_audio import SIZE, near_copies

CLIPPED = 0.001  # share of a clip's samples at full scale from which it counts as clipped
CLIPPED_SHARE = 0.01  # of the clips: below it a note


def unchecked() -> Iterator[Finding]:
    """The line that stands for the checks of audio where it was not asked for."""
    yield Finding("audio", "note", 0, 0, "not checked (copies, silence, clipping)", "Audit with audio once.")


def audio(table: pd.DataFrame, cache: Path, progress: bool) -> Iterator[Finding]:
    """Copies, and clips that are damaged, silent, short or clipped."""
    rows = table[table["part"].notna() & table["file"].notna()]
    facts = index_audio(rows, cache=cache, progress=progress)
    clips = facts.assign(part=rows["part"].to_numpy()).sort_index().reset_index()
    sounding = clips[clips["samples_hash"].notna()].reset_index(drop=True)
    groups = sounding.groupby("samples_hash", sort=True).indices
    members = [np.asarray(group) for group in groups.values()]
    first = np.array([group[0] for group in members], dtype=int)
    prints = np.frombuffer(b"".join(sounding["fingerprint"].iloc[first]), np.int8).reshape(-1, SIZE)
    pairs, _ = near_copies(prints, sounding["seconds"].to_numpy()[first])
    exact = [group for group in members if len(group) > 1]
    near = [(members[i], members[j]) for i, j in pairs]
    yield from _copies("copied audio", "the same samples as", [(group, group) for group in exact], sounding)
    yield from _copies("nearly copied audio", "nearly the sound of", near, sounding)
    yield from _quality(clips)


def _copies(check: str, how: str, pairs: list[tuple[np.ndarray, np.ndarray]], clips: pd.DataFrame) -> Iterator[Finding]:
    """Clips with a copy in another part (error), and in their own (warning); pairs are of groups of equal clips."""
    part, key = clips["part"].to_numpy(), clips["key"].to_numpy()
    copies: dict[bool, dict[str, str]] = {True: {}, False: {}}
    for first, second in pairs:
        for ours, theirs in ((first, second), (second, first)):
            by_part = defaultdict(list)
            for row in theirs:
                by_part[part[row]].append(key[row])
            for row in ours:
                for name, keys in by_part.items():
                    if copy := next((k for k in keys if k != key[row]), None):
                        copies[name != part[row]].setdefault(key[row], copy)
    across, within = copies[True], copies[False]
    message = of_all(len(across), len(clips), f"clips have {how} a clip of another part")
    message += f"; {len(within):,} those of a clip of their own part" if within else ""
    advice = ""
    if across:
        advice = "Listen to the examples and keep copies in one part: the model has heard the answer."
    elif within:
        advice = "Listen to the examples; a copy counts twice, and may have two labels."
    shown = across or within
    yield Finding(
        check,
        "error" if across else "warning" if within else "ok",
        len(across) or len(within),
        len(clips),
        message,
        advice,
        some(f"{one} = {other}" for one, other in shown.items()),
    )


def _quality(clips: pd.DataFrame) -> Iterator[Finding]:
    key, n = clips["key"], len(clips)
    damaged = clips["error"].notna()
    advice = f"Copy them again. The first: {clips['error'][damaged].iloc[0]}" if damaged.any() else ""
    yield affected("audio that cannot be read", key[damaged], n, "clips cannot be decoded", advice, "error")
    refused = "Leave them out: training and prediction refuse them."
    silent = key[clips["silent"]]
    yield affected("silent audio", silent, n, "clips are silent (below -80 dB)", refused, "warning")
    short = key[clips["seconds"] < MIN_SECONDS]
    yield affected("short audio", short, n, f"clips are shorter than {MIN_SECONDS:g} s", refused, "warning")
    clipped = key[clips["clipped"] >= CLIPPED]
    what = f"clips have {100 * CLIPPED:g} % of their samples or more beyond {FULL_SCALE:g} of full scale"
    severity: Severity = "note" if len(clipped) < CLIPPED_SHARE * n else "warning"
    yield affected("clipped audio", clipped, n, what, "Say so: clipping goes with loud emotions.", severity)
