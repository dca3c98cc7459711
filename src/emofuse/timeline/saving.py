"""Save timelines as files, in any of the forms that `FORMS` lists."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emofuse.errors import EmofuseError
from emofuse.files import atomic, write_text
from emofuse.labels import DIMENSIONS
from emofuse.timeline.formats import to_audacity, to_eaf, to_rttm, to_srt, to_textgrid, to_vtt
from emofuse.timeline.prediction import Timeline
from emofuse.timeline.tables import NOBODY_SPEAKS, base_name, extra_of, labels_of, timeline_records
from emofuse.timeline.writers import open_writer


@dataclass(frozen=True)
class Form:
    """A form of timelines.

    Attributes:
        name: what `--format` calls it.
        ending: of its files, with the dot; "" if the form has no ending of its own.
        description: what opens it, for help texts and the documentation.
        many: whether one file can hold several recordings.
        streams: whether `emofuse.timeline.writers.open_writer` writes it, one prediction after another.
        render: the text for one recording; None if the form streams or is a folder.
    """

    name: str
    ending: str
    description: str
    many: bool = True
    streams: bool = False
    render: Callable[[Timeline], str] | None = None


def _textgrid(timeline: Timeline) -> str:
    return to_textgrid(timeline, seconds=timeline.seconds)


def _eaf(timeline: Timeline) -> str:
    return to_eaf(timeline, media=None if timeline.file is None else Path(timeline.file).absolute().as_uri())


def _rttm(timeline: Timeline) -> str:
    return to_rttm(timeline, name=base_name(timeline.file).rpartition(".")[0] or base_name(timeline.file))


FORMS = {
    form.name: form
    for form in (
        Form("table", "", "people, on a terminal", streams=True),
        Form("json", ".json", "programs", streams=True),
        Form("jsonl", ".jsonl", "programs, line by line", streams=True),
        Form("csv", ".csv", "spreadsheets, pandas, R", streams=True),
        Form("parquet", ".parquet", "pandas, R, DuckDB; large tables", streams=True),
        Form("textgrid", ".TextGrid", "Praat", many=False, render=_textgrid),
        Form("eaf", ".eaf", "ELAN", many=False, render=_eaf),
        Form("vtt", ".vtt", "video players and browsers (WebVTT)", many=False, render=to_vtt),
        Form("srt", ".srt", "video players (SubRip)", many=False, render=to_srt),
        Form("audacity", ".txt", "Audacity (label track)", many=False, render=to_audacity),
        Form("rttm", ".rttm", "tools for speaker diarisation", render=_rttm),
        Form("audformat", "", "audformat (a folder)"),
    )
}
"""The forms of timelines by name."""


def form_of(path: Path | str) -> Form:
    """The form that the ending of a path means, in any letter case.

    Raises:
        EmofuseError: no form has the ending.

    >>> form_of("call.textgrid").name
    'textgrid'
    """
    ending = Path(path).suffix.lower()
    by_ending = {form.ending.lower(): form for form in FORMS.values() if form.ending}
    if ending not in by_ending:
        endings = " ".join(form.ending for form in by_ending.values())
        raise EmofuseError(f"{path}: the ending {ending or '(none)'} is not that of a known format. Known: {endings}")
    return by_ending[ending]


def save(timelines: Sequence[Timeline], path: Path | str, form: str | None = None) -> None:
    """Write timelines to a file, or nothing if that fails. An existing file is replaced.

    Args:
        timelines: one for each recording.
        path: the file; for audformat a folder, which must not exist or be empty.
        form: name of the form; None for the one that the ending of `path` means.

    Raises:
        EmofuseError: the form is unknown or cannot hold several recordings, a library for it is missing, a prediction
            without times does not suit it, or the file cannot be written.
    """
    if form is not None and form not in FORMS:
        raise EmofuseError(f"The format {form!r} is unknown. Expected one of {', '.join(FORMS)}.")
    chosen = form_of(path) if form is None else FORMS[form]
    if len(timelines) != 1 and not chosen.many:
        raise EmofuseError(
            f"{path}: a file of the format {chosen.name} holds one recording, not {len(timelines)}. Write one file for "
            "each recording, or choose another format."
        )
    if chosen.render is not None:
        write_text(path, "".join(map(chosen.render, timelines)))
    elif chosen.streams:
        _save_records(timelines, path, chosen.name)
    else:
        _save_audformat(timelines, Path(path))


def _save_records(timelines: Sequence[Timeline], path: Path | str, form: str) -> None:
    predictions = [one for timeline in timelines for one in timeline]
    labels, extra = labels_of(predictions), extra_of(predictions)
    with (
        atomic(path) as temporary,
        open(temporary, "w", encoding="utf-8", newline="\n") as file,
        open_writer(file, form, labels=labels, extra=extra) as writer,
    ):
        for timeline in timelines:
            for record in timeline_records(timeline):
                writer.write_record(record)


def _save_audformat(timelines: Sequence[Timeline], folder: Path) -> None:
    """Write an audformat database: a table of files with notes, and a segmented table of predictions.

    A segment stands in a table of audformat once, so that further predictions for the same segment (of other speakers
    or channels) are in tables emotion.2, emotion.3, ...
    """
    try:
        import audformat
        import pandas as pd
    except ImportError as error:
        raise EmofuseError('audformat is not installed: pip install "emofuse[audformat]"') from error
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EmofuseError(f"{folder}: an audformat database needs a new or empty folder. Choose another one.")
    if any(timeline.file is None for timeline in timelines):
        raise EmofuseError("An audformat database is about files, and a recording without a name has none.")
    table = pd.concat([timeline.to_pandas() for timeline in timelines]) if timelines else Timeline().to_pandas()
    table = table[table["start"].notna()]
    files = audformat.filewise_index([_relative(timeline.file, folder) for timeline in timelines])
    db = audformat.Database("emofuse", usage=audformat.define.Usage.OTHER, description="Predicted by emofuse.")
    columns = _audformat_columns(audformat, table)
    for name, scheme in {**columns, "note": audformat.Scheme("str")}.items():
        db.schemes[name] = scheme
    db["files"] = audformat.Table(files)
    db["files"]["note"] = audformat.Column(scheme_id="note")
    notes = ["; ".join(n.message for n in t.notes) or (None if t else NOBODY_SPEAKS) for t in timelines]
    db["files"]["note"].set(notes)
    occurrence = table.groupby(["file", "start", "end"]).cumcount()
    for number in range(int(occurrence.max()) + 1 if len(table) else 1):
        rows = table[occurrence == number]
        times = (pd.to_timedelta(rows[name].to_numpy(float), unit="s") for name in ("start", "end"))
        index = audformat.segmented_index([_relative(file, folder) for file in rows["file"]], *times)
        table_id = f"emotion.{number + 1}" if number else "emotion"
        db[table_id] = audformat.Table(index)
        for name in columns:
            db[table_id][name] = audformat.Column(scheme_id=name)
            cells = rows["text" if name == "transcription" else name].astype(object)
            db[table_id][name].set(cells.where(cells.notna(), None).tolist())
    with atomic(folder) as temporary:
        db.save(str(temporary), storage_format="csv")


def _relative(file: str | None, folder: Path) -> str:
    return Path(os.path.relpath(str(file), folder)).as_posix()


def _audformat_columns(audformat: Any, table: Any) -> dict[str, Any]:
    """The schemes of the predictions, each the name of a column too."""
    probabilities = [name for name in table if name.startswith("p_")]
    labels = dict.fromkeys([*(name.removeprefix("p_") for name in probabilities), *table["emotion"].dropna()])
    shares = ("confidence", *DIMENSIONS, *probabilities)
    return {
        "emotion": audformat.Scheme("str", labels=list(labels) or None),
        **{name: audformat.Scheme("float", minimum=0, maximum=1) for name in shares},
        "uncertain": audformat.Scheme("bool"),
        "speaker": audformat.Scheme("str"),
        "channel": audformat.Scheme("int"),
        "transcription": audformat.Scheme("str"),
    }
