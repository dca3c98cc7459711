"""A folder with the results of a batch: a file for each recording, tables of all segments and recordings, a journal."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from emofuse.audio import name_of
from emofuse.errors import EmofuseError
from emofuse.file_names import name_key
from emofuse.files import atomic
from emofuse.inference.files import Finished, explained
from emofuse.inference.inputs import STANDARD_INPUT, Recording
from emofuse.inference.journal import Journal, names_of_results
from emofuse.inference.results import Results, extra_columns
from emofuse.labels import DIMENSIONS
from emofuse.timeline.saving import Form, save
from emofuse.timeline.summary import summarise
from emofuse.timeline.tables import rounded
from emofuse.timeline.writers import CsvLines, open_writer

JOURNAL_FILE = "finished.jsonl"
SUMMARY_FILE = "summary.csv"
SEGMENTS_FILE = "segments"
"""Name of the table of all segments, without its ending."""
MAX_NAME_BYTES = 240
"""Longest name of a result; 255 bytes are the limit of most systems, and equal names get a number."""
_TABLES = (JOURNAL_FILE, SUMMARY_FILE, f"{SEGMENTS_FILE}.csv", f"{SEGMENTS_FILE}.parquet")


class FolderResults(Results):
    """Writes a file for each recording, whole or not at all, and in the end tables of all segments and recordings.

    Args:
        folder: the folder, which is created if it is missing.
        recordings: all recordings of the batch.
        form: format of the files.
        labels: categories of the model.
        open_journal: opens the journal, with its path and a function that says whether a result is still there.
        excel: whether CSV is for Excel.

    Raises:
        EmofuseError: the folder cannot be used, or a result would replace a file that no run has written.
    """

    def __init__(
        self,
        folder: Path,
        recordings: Sequence[Recording],
        form: Form,
        *,
        labels: Sequence[str],
        open_journal: Callable[[Path, Callable[[str], bool]], Journal],
        excel: bool = False,
    ) -> None:
        self._folder, self._recordings, self._form, self._labels, self._excel = folder, recordings, form, labels, excel
        self._extra = extra_columns(recordings)
        names = result_names(recordings, form.ending or f".{form.name}")
        if not (folder / JOURNAL_FILE).exists():
            for name in names:
                if os.path.lexists(folder / name):
                    raise EmofuseError(
                        f"{name_of(folder / name)}: the file exists, and is not the result of a run. Choose another "
                        "folder."
                    )
        super().__init__(recordings, open_journal(folder / JOURNAL_FILE, lambda name: os.path.exists(folder / name)))
        self._names = names
        self._move_results()

    def finish(self, finished: Finished) -> Finished:
        """Write the file of the recording, then its line in the journal."""
        assert self.journal is not None
        number = next(self._numbers)
        self.journal.check()
        path = self._folder / self._names[number]
        if not finished.failed:
            try:
                self._write_result(finished, path)
            except Exception as error:
                if isinstance(error.__cause__, OSError):  # such as a full disk, which concerns all
                    raise
                finished = replace(finished, errors=[*finished.errors, explained(error, name_of(path))])
        if finished.failed:
            with suppress(OSError):  # of an earlier run
                path.unlink()
        self.journal.append(number, finished, result=self._names[number], summary=_summary(finished))
        return finished

    def complete(self) -> None:
        """Write the tables of all segments and all recordings."""
        assert self.journal is not None
        self.journal.check()
        form = "parquet" if self._form.name == "parquet" else "csv"
        entries = (entry for number in range(len(self._recordings)) if (entry := self.journal.entry(number)))
        summaries = []

        def records() -> Iterable[list[dict[str, Any]]]:
            for entry in entries:
                summaries.append(entry["summary"])
                yield entry["records"]

        self._write_records(self._folder / f"{SEGMENTS_FILE}.{form}", form, records())
        self._write_summaries(summaries)

    def interrupt(self) -> None:
        """Write the tables of what is finished."""
        self.complete()

    def _move_results(self) -> None:
        """Give earlier results their new names, which depend on the folder that all recordings have in common."""
        assert self.journal is not None
        moves = {n: old for n, old in self.journal.results.items() if old != self._names[n]}
        aside = {number: self._folder / f".{number}.moved" for number in moves}
        try:
            for number, old in moves.items():
                with suppress(FileNotFoundError):  # of a recording that failed
                    os.replace(self._folder / old, aside[number])
            for number, path in aside.items():
                if path.exists():
                    new = self._folder / self._names[number]
                    new.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(path, new)
                    self.journal.rename(number, self._names[number])
        except OSError as error:
            self.journal.close()
            raise EmofuseError(f"{name_of(self._folder)}: results cannot be renamed ({error.strerror}).") from error

    def _write_result(self, finished: Finished, path: Path) -> None:
        if self._form.streams:
            self._write_records(path, self._form.name, [finished.records()])
        else:
            save([finished.timeline], path, self._form.name)

    def _write_records(self, path: Path, form: str, parts: Iterable[list[dict[str, Any]]]) -> None:
        excel = self._excel and form == "csv"
        with (
            atomic(path) as temporary,
            open(temporary, "w", encoding="utf-8", newline="\n") as file,
            open_writer(file, form, labels=self._labels, extra=self._extra, excel=excel) as writer,
        ):
            for part in parts:
                for record in part:
                    writer.write_record(record)

    def _write_summaries(self, summaries: Iterable[dict[str, Any]]) -> None:
        columns = [*_SUMMARY_COLUMNS, *(f"share_{label}" for label in self._labels), *DIMENSIONS, "notes", "error"]
        extra = {f"extra_{name}" if name in columns else name: name for name in self._extra}
        lines = CsvLines(excel=self._excel)
        with (
            atomic(self._folder / SUMMARY_FILE) as temporary,
            open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as file,
        ):
            file.write(lines.header([*columns, *extra]))
            for row in summaries:
                file.write(
                    lines.row([row.get(name) for name in columns] + [row["extra"].get(n) for n in extra.values()])
                )


def result_names(recordings: Sequence[Recording], ending: str) -> list[str]:
    """Names of the results: the path of each recording below their common folder, and the ending.

    No two are the same, not even in another letter case, and none is the name of a folder or of another file there.

    >>> result_names([Recording(Path("d/a/x.wav")), Recording(Path("d/b/x.wav"))], ".csv")
    ['a/x.wav.csv', 'b/x.wav.csv']
    """
    paths = [os.path.abspath(_path_of(recording)) for recording in recordings]
    folders = {os.path.dirname(path) for path in paths}
    try:
        top = os.path.commonpath(folders)
    except ValueError:  # on different drives
        top = ""
    places = {folder: os.path.relpath(folder, top) if top else os.path.splitdrive(folder)[1][1:] for folder in folders}
    names = [os.path.normpath(os.path.join(places[os.path.dirname(path)], os.path.basename(path))) for path in paths]
    taken = {name_key(name) for name in _TABLES}
    for place in places.values():
        while place not in ("", "."):
            taken.add(name_key(place))
            place = os.path.dirname(place)
    results, counts = [], dict[str, int]()
    for name in names:
        name = _shortened(name, MAX_NAME_BYTES - len(ending))
        result, key = f"{name}{ending}", name_key(name)
        while name_key(result) in taken:
            counts[key] = counts.get(key, 1) + 1
            result = f"{name}.{counts[key]}{ending}"
        taken.add(name_key(result))
        results.append(result)
    return results


def results_in(folder: Path) -> set[str]:
    """Absolute paths of the folder and of the results that runs have written to it."""
    names = {*_TABLES, *names_of_results(folder / JOURNAL_FILE)} - {""}
    return {os.path.abspath(folder), *(os.path.abspath(folder / name) for name in names)}


def _shortened(path: str, size: int) -> str:
    """The path with a last part of at most so many bytes, and not cut within a letter."""
    folder, name = os.path.split(path)
    if len(content := os.fsencode(name)) > size:
        name = content[:size].decode(errors="ignore")
    return os.path.join(folder, name)


_SUMMARY_COLUMNS = ("file", "seconds", "segments", "speech_seconds", "speakers", "emotion")


def _summary(finished: Finished) -> dict[str, Any]:
    """The row of a recording in the summary."""
    timeline = finished.timeline
    summary = summarise(timeline)
    overall = summary.overall
    row = {
        "file": name_of(finished.recording.file or ""),
        "seconds": timeline.seconds,
        "segments": len(timeline),
        "speech_seconds": overall.seconds,
        "speakers": len(summary.speakers) or None,
        "emotion": next(iter(overall.shares), None),
        **{f"share_{label}": share.certain + share.uncertain for label, share in overall.shares.items()},
        **overall.dimensions,
        "notes": "; ".join(summary.notes),
        "error": "; ".join(map(str, finished.errors)),
    }
    return {**rounded(row), "extra": dict(finished.recording.extra)}


def _path_of(recording: Recording) -> str:
    if recording.file is None:
        return "text"
    return "standard-input" if recording.file == STANDARD_INPUT else os.fspath(recording.file)
