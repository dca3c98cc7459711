"""Resumable speech recognition for the clips of a table, and word error rates against human transcripts."""

from __future__ import annotations

import logging
import sqlite3
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from emofuse.audio import AudioError, read_audio
from emofuse.corpora.table import TableError
from emofuse.encoders.recogniser import Transcript
from emofuse.errors import EmofuseError
from emofuse.files import file_hashes, hash_of, open_store
from emofuse.metrics.intervals import bootstrap_interval

_log = logging.getLogger(__name__)

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS transcripts (key TEXT PRIMARY KEY, text TEXT, language TEXT, "
    "language_probability REAL, confidence REAL) WITHOUT ROWID"
)


class Recogniser(Protocol):
    """A speech recogniser, such as `emofuse.encoders.recogniser.Transcriber`."""

    name: str

    @property
    def identity(self) -> str:
        """Hash of everything that a transcript depends on, except the samples and language of the call."""

    def transcribe_batch(self, samples: Sequence[np.ndarray], language: str | None = None) -> list[Transcript]:
        """Transcripts of float32 clips at 16 kHz."""


class _Clip(NamedTuple):
    file: str
    start: float  # seconds; NaN: from the beginning
    end: float  # seconds; NaN: to the end
    language: str | None


def output_path(table: Path, out: Path | None, *, in_place: bool) -> Path:
    """The file that a transcribed table is written to; the table that was read is overwritten only with `in_place`.

    Raises:
        EmofuseError: no output is named, or it is the table itself, without `in_place`; or both are given.
    """
    if in_place:
        if out is not None:
            raise EmofuseError("give either --out or --in-place, not both.")
        return table
    if out is None or out.resolve() == table.resolve():
        raise EmofuseError(
            f"{table}: name another table to write with --out, or give --in-place to overwrite this one. Its "
            "transcripts are kept in the column human_text either way."
        )
    return out


def transcribe_table(
    df: pd.DataFrame,
    transcriber: Recogniser,
    *,
    cache: Path,
    language: str | None = None,
    batch: int = 16,
    progress: bool = True,
) -> pd.DataFrame:
    """Fill `text` by speech recognition for the rows with audio.

    Transcripts are kept in `cache` under the hash of the audio file, start, end, language, weights and options. They
    are written batch by batch, so a killed run loses at most one batch and the next run resumes there.

    Args:
        df: utterance table.
        transcriber: the speech recogniser.
        cache: SQLite file, created if missing, for any number of tables and models.
        language: ISO 639-1 code of all speech; None: that of each row, recognised where the row has none.
        batch: number of clips that are transcribed and written at once.
        progress: whether to show a progress bar.

    Returns:
        A copy of the table. Rows with audio have in `text` what was recognised (None where no speech was found), and
        the columns `asr_confidence` (0..1), `asr_language` and `asr_model`; these are empty in rows without audio,
        which keep their text, as do rows whose audio is unusable (counted in a warning). `human_text` has the text of
        before; where it is filled, or where `text` already came from a recogniser (`asr_model`), it stays.

    Raises:
        TableError: no row has audio.
        EmofuseError: the cache cannot be used, or the transcriber does not know a language.
    """
    if not df["file"].notna().any():
        raise TableError(f"none of {len(df)} rows has audio: there is nothing to transcribe. Fill the column `file`.")
    identity = transcriber.identity
    df = _with_human_text(df)
    clips = _clips(df, language)
    unreadable: dict[str, OSError] = {}
    hashes = file_hashes((clip.file for clip in clips.values()), unreadable=unreadable)
    unusable = {file: f"{file}: cannot be read ({error.strerror})" for file, error in unreadable.items()}
    keys = {row: _key(hashes[clip.file], clip, identity) for row, clip in clips.items() if clip.file in hashes}
    with open_store(cache, _SCHEMA) as store, _bar(len(keys), transcriber.name, progress) as bar:
        waiting: dict[str, _Clip] = {}
        for row, key in keys.items():
            if key not in waiting and not _known(store, key):
                waiting[key] = clips[row]
            bar(1)
            if len(waiting) == batch:
                _transcribe(waiting, transcriber, store, unusable)
                waiting.clear()
        _transcribe(waiting, transcriber, store, unusable)
        found = {row: transcript for row, key in keys.items() if (transcript := _known(store, key))}
    if unusable:
        first = min(unusable)
        _log.warning(
            "%d audio files cannot be transcribed and keep their text, first: %s", len(unusable), unusable[first]
        )
    return _filled(df, found, transcriber.name)


def wer_report(df: pd.DataFrame, *, resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Word error rate of the recognised transcripts against the human ones, by jiwer.

    WER = (substitutions + deletions + insertions) / words of the human transcripts, over the rows that were transcribed
    (`asr_model`) and have words in `human_text`. Both texts are normalised the same way in every language: Unicode
    NFKC, lower case, punctuation and symbols out (apostrophes too: don't = dont), a hyphen or dash between words as a
    space, white space as one space. Numbers stay as they are written, so 2 for two counts as an error. A word is what
    stands between spaces: the figures say little for languages written without them.

    Returns:
        `overall`: wer, low and high (95 % percentile interval from a bootstrap over speakers; None with fewer than two;
        a row without speaker stands alone), speakers, utterances, words, substitutions, deletions, insertions;
        `by_emotion`, `by_speaker`, `by_language`: wer, utterances and words of each value; `models`: utterances of
        each; `without_human_text`: transcribed rows that have nothing to be compared with.

    Raises:
        TableError: no row was transcribed, or none has a human transcript.
    """
    if "asr_model" not in df.columns or not df["asr_model"].notna().any():
        raise TableError("the table has no recognised transcripts; run `emofuse corpus transcribe` first.")
    rows = df[df["asr_model"].notna()].sort_values("key")
    human = [normalise(text) for text in rows["human_text"]]
    kept = np.array([bool(text) for text in human])
    if not kept.any():
        raise TableError("the table has no human transcripts (human_text) to compare with.")
    counts = _errors(rows[kept].reset_index(drop=True), [text for text in human if text])
    speakers = counts["speaker"].where(counts["speaker"].notna(), "row " + counts["key"])
    total = counts[["words", "errors", "substitutions", "deletions", "insertions"]].sum()
    # WER is the mean over words of their utterance's error rate, so mean absolute error from 0 gives its interval.
    words = counts["words"].to_numpy()
    rate = np.repeat(counts["errors"].to_numpy() / words, words)
    names = np.repeat(speakers.to_numpy(), words)
    interval = bootstrap_interval("mae", np.zeros(len(rate)), rate, names, resamples=resamples, seed=seed)
    low, high = (None if np.isnan(end) else end for end in (interval.low, interval.high))
    return {
        "overall": {
            "wer": float(total["errors"] / total["words"]),
            "low": low,
            "high": high,
            "speakers": interval.groups,
            "utterances": len(counts),
            **{name: int(total[name]) for name in ("words", "substitutions", "deletions", "insertions")},
        },
        **{f"by_{column}": _by(counts, column) for column in ("emotion", "speaker", "language")},
        "models": {str(name): int(n) for name, n in counts["asr_model"].value_counts().sort_index().items()},
        "without_human_text": int((~kept).sum()),
    }


def render_wer(report: dict[str, Any]) -> str:
    """Render the result of `wer_report` as text."""
    overall = report["overall"]
    interval = "" if overall["low"] is None else f" (95 % interval {overall['low']:.1%} .. {overall['high']:.1%})"
    lines = [
        f"word error rate {overall['wer']:.1%}{interval}, {overall['utterances']} utterances, "
        f"{overall['words']} words, {overall['speakers']} speakers",
        f"substitutions {overall['substitutions']}, deletions {overall['deletions']}, insertions "
        f"{overall['insertions']}; recognised by {', '.join(report['models'])}",
    ]
    if report["without_human_text"]:
        lines.append(f"{report['without_human_text']} recognised rows have no human transcript and do not count")
    for group in ("emotion", "language", "speaker"):
        values = report[f"by_{group}"]
        if len(values) > 1:
            width = max(len(group), *(len(name) for name in values))
            lines += ["", f"{group:<{width}}     WER  utterances  words"]
            lines += [
                f"{name:<{width}}  {value['wer']:>6.1%}  {value['utterances']:>10}  {value['words']:>5}"
                for name, value in values.items()
            ]
    return "\n".join(lines) + "\n"


def normalise(text: str | None) -> str:
    """A transcript as `wer_report` compares it; "" for None.

    >>> normalise("Well - DON'T you, e-mail… ﬁve?")
    'well dont you e mail five'
    """
    spaced = (_plain(character) for character in unicodedata.normalize("NFKC", text or "").lower())
    return " ".join("".join(spaced).split())


def _plain(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Pd":
        return " "
    return "" if category[0] in "PS" or category == "Cf" else character


def _with_human_text(df: pd.DataFrame) -> pd.DataFrame:
    df = df.reset_index(drop=True)
    human = df["human_text"] if "human_text" in df.columns else pd.Series([None] * len(df), dtype=object)
    by_human = df["asr_model"].isna() if "asr_model" in df.columns else pd.Series(True, index=df.index)
    text = df["text"].where(by_human & human.isna(), human).astype(object)
    df["human_text"] = text.where(text.notna(), None)
    return df


def _clips(df: pd.DataFrame, language: str | None) -> dict[int, _Clip]:
    """The rows with audio, file by file."""
    columns = zip(df["file"], df["start"], df["end"], df["language"], strict=True)
    clips = {
        row: _Clip(file, start, end, language or (spoken if isinstance(spoken, str) else None))
        for row, (file, start, end, spoken) in enumerate(columns)
        if isinstance(file, str)
    }
    return dict(sorted(clips.items(), key=lambda item: (item[1].file, np.nan_to_num(item[1].start), item[0])))


def _key(digest: str, clip: _Clip, identity: str) -> str:
    start, end = (None if np.isnan(time) else time for time in (clip.start, clip.end))
    return hash_of([digest, start, end, clip.language, identity])


def _transcribe(
    waiting: dict[str, _Clip], transcriber: Recogniser, store: sqlite3.Connection, unusable: dict[str, str]
) -> None:
    samples: dict[str | None, dict[str, np.ndarray]] = {}  # by language and key
    for key, clip in waiting.items():
        try:
            audio = read_audio(clip.file, start=clip.start, end=clip.end)
        except AudioError as error:
            unusable[clip.file] = str(error)
        else:
            samples.setdefault(clip.language, {})[key] = audio
    for language, clips in samples.items():
        found = transcriber.transcribe_batch(list(clips.values()), language)
        with store:  # one transaction
            store.executemany(
                "INSERT OR REPLACE INTO transcripts VALUES (?, ?, ?, ?, ?)",
                [
                    (k, t.text, t.language, t.language_probability, t.confidence)
                    for k, t in zip(clips, found, strict=True)
                ],
            )


def _known(store: sqlite3.Connection, key: str) -> Transcript | None:
    query = "SELECT text, language, language_probability, confidence FROM transcripts WHERE key = ?"
    row = store.execute(query, (key,)).fetchone()
    return Transcript(*row) if row else None


@contextmanager
def _bar(total: int, name: str, shown: bool) -> Iterator[Callable[[int], None]]:
    """Yield a function that counts rows as done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as bar:
        task = bar.add_task(f"transcribing ({name})", total=total)
        yield lambda rows: bar.advance(task, rows)


def _filled(df: pd.DataFrame, found: dict[int, Transcript], model: str) -> pd.DataFrame:
    rows = list(found)
    values = {
        "text": [transcript.text or None for transcript in found.values()],
        "asr_confidence": [transcript.confidence for transcript in found.values()],
        "asr_language": [transcript.language or None for transcript in found.values()],
        "asr_model": [model] * len(rows),
    }
    for column, cells in values.items():
        kind = np.dtype(float if column == "asr_confidence" else object)
        before = df[column] if column in df.columns else pd.Series([None] * len(df), dtype=object)
        filled = before.astype(object).where(before.notna(), None).to_numpy(copy=True)
        filled[rows] = cells
        df[column] = pd.Series(filled.astype(kind), dtype=kind, index=df.index)
    return df


def _errors(rows: pd.DataFrame, human: list[str]) -> pd.DataFrame:
    """Rows with the number of words and of each kind of error."""
    import jiwer

    found = jiwer.process_words(human, [normalise(text) for text in rows["text"]])
    kinds = {"substitute": "substitutions", "delete": "deletions", "insert": "insertions"}
    counts = {name: np.zeros(len(rows), np.int64) for name in kinds.values()}
    for row, chunks in enumerate(found.alignments):
        for chunk in chunks:
            if chunk.type in kinds:
                length = max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
                counts[kinds[chunk.type]][row] += length
    words = [len(text.split()) for text in human]
    return rows.assign(words=words, **counts, errors=sum(counts.values()))


def _by(counts: pd.DataFrame, column: str) -> dict[str, dict[str, Any]]:
    sums = counts.groupby(column, sort=True)[["words", "errors"]].agg(["sum", "size"])
    return {
        str(value): {
            "wer": float(row[("errors", "sum")] / row[("words", "sum")]),
            "utterances": int(row[("words", "size")]),
            "words": int(row[("words", "sum")]),
        }
        for value, row in sums.iterrows()
    }
