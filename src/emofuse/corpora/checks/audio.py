"""Checks of a parted utterance table on its decoded clips, and the facts of the clips that they rest on.

The facts (exact hash, fingerprint, peak, clipping, silence, length) are kept in an SQLite file under a hash of each
recording's bytes, the segment and the version of the computation, and written every few clips: a run that was killed
goes on where it was, and moved or renamed files are known again.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from emofuse.audio import MIN_SECONDS, SAMPLE_RATE, SILENCE_PEAK, AudioError, FrontEnd, check_samples, decode
from emofuse.corpora.checks import near_audio
from emofuse.corpora.checks.findings import Finding, Severity, affected, of_all, some
from emofuse.files import file_hashes, open_store

CLIPPED = 0.001  # share of a clip's samples at full scale from which it counts as clipped
CLIPPED_SHARE = 0.01  # of the clips: below it a note
FULL_SCALE = 0.99  # a resampled clipped wave seldom stays at 1

_VERSION = f"2.{near_audio.VERSION}.{FrontEnd().hash[:8]}"
_AT_ONCE = 64  # clips between two commits
_FACTS = ("samples_hash", "seconds", "peak", "clipped", "silent", "fingerprint", "error")
_CREATE = f"CREATE TABLE IF NOT EXISTS clips (id TEXT PRIMARY KEY, {', '.join(_FACTS)}) WITHOUT ROWID"
_INSERT = f"INSERT OR REPLACE INTO clips VALUES ({', '.join('?' * (len(_FACTS) + 1))})"

Clip = tuple[str, float, float]  # file, first and last second (inf: the recording's end)
Facts = tuple[str | None, float | None, float | None, float | None, bool, bytes | None, str | None]


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
    prints = np.frombuffer(b"".join(sounding["fingerprint"].iloc[first]), np.int8).reshape(-1, near_audio.SIZE)
    pairs, _ = near_audio.near_copies(prints, sounding["seconds"].to_numpy()[first])
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


def index_audio(df: pd.DataFrame, *, cache: Path | str, progress: bool = False) -> pd.DataFrame:
    """Facts of every clip of an utterance table; rows without a file are left out.

    Clips are streamed: beyond the result, only a few are in memory at a time. What cannot be decoded does not stop it.

    Args:
        df: utterance table; columns key, file, start, end are used.
        cache: SQLite file; made if absent.
        progress: show a bar on a terminal.

    Returns:
        Table indexed by key, in the order of `df`, with the columns `samples_hash` (of the samples at 16 kHz, mono, so
        equal for WAV and FLAC of one recording), `seconds`, `peak` (1 is full scale), `clipped` (share of samples
        beyond .99), `silent` (bool), `fingerprint` (640 bytes, see `near_audio`) and `error` (why it cannot be decoded,
        else None). Silent clips and those shorter than 0.1 s have neither hash nor fingerprint.

    Raises:
        EmofuseError: the cache cannot be used.
    """
    rows = df[df["file"].notna()]
    clips: list[Clip] = list(zip(rows["file"], rows["start"].fillna(0.0), rows["end"].fillna(np.inf), strict=True))
    order = sorted(range(len(clips)), key=clips.__getitem__)  # segments of one file follow each other: one hash
    facts: list[Facts | None] = [None] * len(clips)
    with open_store(cache, _CREATE) as base:
        ordered = _facts([clips[i] for i in order], base)
        for i, found in zip(order, tqdm(ordered, "audio", len(order), disable=None if progress else True), strict=True):
            facts[i] = found
    index = pd.DataFrame(facts, columns=list(_FACTS), index=pd.Index(rows["key"], name="key"))
    numbers = dict.fromkeys(("seconds", "peak", "clipped"), float)
    return index.astype({**numbers, "silent": bool})


def _facts(clips: list[Clip], base: sqlite3.Connection) -> Iterator[Facts]:
    """Facts of clips that are sorted by file, from the cache where they are there."""
    for first in range(0, len(clips), _AT_ONCE):
        chunk = clips[first : first + _AT_ONCE]
        content = file_hashes((file for file, _, _ in chunk), unreadable={})  # `_measure` says why
        identities = [
            f"{_VERSION}:{content[file]}:{start}:{end}" if file in content else None for file, start, end in chunk
        ]
        known = _known([i for i in identities if i], base)
        # Equal files are measured once. Errors are not kept: they name the file, and perhaps it was locked only.
        missing = {i or clip: clip for i, clip in zip(identities, chunk, strict=True) if i not in known}
        measured = {identity: _measure(clip) for identity, clip in missing.items()}
        with base:
            base.executemany(_INSERT, [(i, *facts) for i, facts in measured.items() if facts[-1] is None])
        for identity, clip in zip(identities, chunk, strict=True):
            yield known[identity] if identity in known else measured[identity or clip]


def _known(identities: list[str], base: sqlite3.Connection) -> dict[str | None, Facts]:
    marks = ", ".join("?" * len(identities))
    rows = base.execute(f"SELECT * FROM clips WHERE id IN ({marks})", identities)
    return {row[0]: row[1:] for row in rows}


def _measure(clip: Clip) -> Facts:
    file, start, end = clip
    try:
        samples = decode(file, start=start, end=end)
        seconds = len(samples) / SAMPLE_RATE
        if seconds < MIN_SECONDS:
            return None, seconds, None, None, False, None, None
        silent = bool((samples.max() - samples.min()) / 2 < SILENCE_PEAK)
        if not silent:
            check_samples(samples, file)
    except AudioError as error:
        return None, None, None, None, False, None, str(error)
    size = np.abs(samples)
    peak, clipped = float(size.max()), float((size >= FULL_SCALE).mean())
    if silent:
        return None, seconds, peak, clipped, True, None, None
    digest = hashlib.sha256(samples.tobytes()).hexdigest()
    return digest, seconds, peak, clipped, False, near_audio.fingerprint(samples).tobytes(), None
