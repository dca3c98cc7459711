"""Audit checks that decode every clip, and the facts about the clips that these checks use.

The facts (hash of the samples, fingerprint, peak, clipping, silence, duration) are cached in an SQLite file. They are
identified by a hash of the recording's bytes, the segment and the version of the computation, so that moved or renamed
files are recognised. They are written every few clips, so that an interrupted audit can continue.
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

CLIPPED = 0.001  # a clip with at least this share of samples at full scale counts as clipped
CLIPPED_SHARE = 0.01  # if fewer clips are clipped, the finding is a note
FULL_SCALE = 0.99  # resampling moves clipped samples a little below 1

_VERSION = f"2.{near_audio.VERSION}.{FrontEnd().hash[:8]}"
_AT_ONCE = 64  # clips per database transaction
_FACTS = ("samples_hash", "seconds", "peak", "clipped", "silent", "fingerprint", "error")
_CREATE = f"CREATE TABLE IF NOT EXISTS clips (id TEXT PRIMARY KEY, {', '.join(_FACTS)}) WITHOUT ROWID"
_INSERT = f"INSERT OR REPLACE INTO clips VALUES ({', '.join('?' * (len(_FACTS) + 1))})"

Clip = tuple[str, float, float]  # file, start and end in seconds (inf: end of the recording)
Facts = tuple[str | None, float | None, float | None, float | None, bool, bytes | None, str | None]


def unchecked() -> Iterator[Finding]:
    """Yield the finding that replaces the audio checks if they were not requested."""
    yield Finding("audio", "note", 0, 0, "not checked (copies, silence, clipping)", "Run the audit with audio once.")


def audio(table: pd.DataFrame, cache: Path, progress: bool) -> Iterator[Finding]:
    """Check for copied clips, and for clips that are damaged, silent, short or clipped."""
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
    yield from _copies("copied audio", "have the same samples as", [(group, group) for group in exact], sounding)
    yield from _copies("nearly copied audio", "sound nearly the same as", near, sounding)
    yield from _quality(clips)


def _copies(
    check: str, verb: str, pairs: list[tuple[np.ndarray, np.ndarray]], clips: pd.DataFrame
) -> Iterator[Finding]:
    """Report clips with a copy in another part (error) or in the same part (warning).

    `pairs` has row numbers: two groups of identical clips that are copies of each other.
    """
    part, key = clips["part"].to_numpy(), clips["key"].to_numpy()
    across: dict[str, str] = {}
    within: dict[str, str] = {}
    for first, second in pairs:
        for group, other_group in ((first, second), (second, first)):
            by_part = defaultdict(list)
            for row in other_group:
                by_part[part[row]].append(key[row])
            for row in group:
                for name, keys in by_part.items():
                    if copy := next((k for k in keys if k != key[row]), None):
                        (within if name == part[row] else across).setdefault(key[row], copy)
    message = of_all(len(across), len(clips), f"clips {verb} a clip of another part")
    message += f"; {len(within):,} {verb} a clip of the same part" if within else ""
    advice = ""
    if across:
        advice = "Listen to the examples and put copies into one part: the model is tested on clips that it knows."
    elif within:
        advice = "Listen to the examples: a copied clip counts twice, and its labels may differ."
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
    advice = f"Copy these files again. First error: {clips['error'][damaged].iloc[0]}" if damaged.any() else ""
    yield affected("audio that cannot be read", key[damaged], n, "clips cannot be decoded", advice, "error")
    refused = "Remove these clips: training and prediction reject them."
    silent = key[clips["silent"]]
    yield affected("silent audio", silent, n, "clips are silent (below -80 dB)", refused, "warning")
    short = key[clips["seconds"] < MIN_SECONDS]
    yield affected("short audio", short, n, f"clips are shorter than {MIN_SECONDS:g} s", refused, "warning")
    clipped = key[clips["clipped"] >= CLIPPED]
    what = f"clips have at least {100 * CLIPPED:g} % of their samples beyond {FULL_SCALE:g} of full scale"
    severity: Severity = "note" if len(clipped) < CLIPPED_SHARE * n else "warning"
    yield affected("clipped audio", clipped, n, what, "Report this: loud emotions are clipped more often.", severity)


def index_audio(df: pd.DataFrame, *, cache: Path | str, progress: bool = False) -> pd.DataFrame:
    """Decode every clip of an utterance table and return facts about it; rows without a file are skipped.

    Only a few clips are in memory at a time. A clip that cannot be decoded has its error in the result.

    Args:
        df: utterance table; columns key, file, start, end are used.
        cache: SQLite file; created if it does not exist.
        progress: show a progress bar on a terminal.

    Returns:
        Table indexed by key, in the order of `df`, with the columns `samples_hash` (of the samples at 16 kHz, mono, so
        equal for WAV and FLAC copies of a recording), `seconds`, `peak` (1 is full scale), `clipped` (share of samples
        beyond .99), `silent` (bool), `fingerprint` (640 bytes, see `near_audio`) and `error` (why it cannot be decoded,
        else None). Silent clips and those shorter than 0.1 s have neither hash nor fingerprint.

    Raises:
        EmofuseError: the cache cannot be used.
    """
    rows = df[df["file"].notna()]
    clips: list[Clip] = list(zip(rows["file"], rows["start"].fillna(0.0), rows["end"].fillna(np.inf), strict=True))
    order = sorted(range(len(clips)), key=clips.__getitem__)  # hash each file once for all its segments
    facts: list[Facts | None] = [None] * len(clips)
    with open_store(cache, _CREATE) as database:
        ordered = _facts([clips[i] for i in order], database)
        for i, fact in zip(order, tqdm(ordered, "audio", len(order), disable=None if progress else True), strict=True):
            facts[i] = fact
    index = pd.DataFrame(facts, columns=list(_FACTS), index=pd.Index(rows["key"], name="key"))
    numbers = dict.fromkeys(("seconds", "peak", "clipped"), float)
    return index.astype({**numbers, "silent": bool})


def _facts(clips: list[Clip], database: sqlite3.Connection) -> Iterator[Facts]:
    """Yield the facts about clips sorted by file, from the cache if they are in it."""
    for first in range(0, len(clips), _AT_ONCE):
        chunk = clips[first : first + _AT_ONCE]
        content = file_hashes((file for file, _, _ in chunk), unreadable={})  # `_measure` gives the reason
        identities = [
            f"{_VERSION}:{content[file]}:{start}:{end}" if file in content else None for file, start, end in chunk
        ]
        cached = _cached([i for i in identities if i], database)
        # Identical files are decoded once. Errors are not cached, because they name the file and may be temporary.
        missing = {i or clip: clip for i, clip in zip(identities, chunk, strict=True) if i not in cached}
        measured = {identity: _measure(clip) for identity, clip in missing.items()}
        with database:
            database.executemany(_INSERT, [(i, *facts) for i, facts in measured.items() if facts[-1] is None])
        for identity, clip in zip(identities, chunk, strict=True):
            yield cached[identity] if identity in cached else measured[identity or clip]


def _cached(identities: list[str], database: sqlite3.Connection) -> dict[str | None, Facts]:
    marks = ", ".join("?" * len(identities))
    rows = database.execute(f"SELECT * FROM clips WHERE id IN ({marks})", identities)
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
