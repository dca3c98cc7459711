"""Many clips: choose them, by a table of transcripts too, and predict them in parallel."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from emofuse.audio import AudioError, name_of
from emofuse.csv_table import MISSING, MISSING_TEXTS, TableError, number, read_csv, standard_names
from emofuse.errors import EmofuseError
from emofuse.file_names import match_files
from emofuse.hardware import run_parallel
from emofuse.inference.predictor import Predictor, SpeakerProfile
from emofuse.segment import Segment
from emofuse.timeline.prediction import Prediction
from emofuse.words import has_words

_COLUMNS = ("file", "text", "start", "end", "speaker")
_log = logging.getLogger(__name__)


def segments_of(
    files: Sequence[Path], *, text: str | None = None, transcripts: Path | str | None = None
) -> list[Segment]:
    """Segments to predict: of files, of one file with its text, of a text alone, or of files with a table.

    Raises:
        EmofuseError: the arguments do not go together, or the table does not fit the files.
    """
    if text is not None and transcripts is not None:
        raise EmofuseError("Give --text or --transcripts, not both.")
    if text is not None:
        if not has_words(text):
            raise EmofuseError("--text has no words. Give them, or leave it out.")
        if len(files) > 1:
            raise EmofuseError(f"--text goes with one recording ({len(files)} given). Use --transcripts for several.")
        return [Segment(files[0] if files else None, text)]
    if not files:
        raise EmofuseError("Nothing to predict from: name one or more recordings, or give --text.")
    if transcripts is None:
        return [Segment(file) for file in files]
    return match_transcripts(files, read_transcripts(transcripts), transcripts)


def read_transcripts(path: Path | str) -> list[Segment]:
    """Read a table with columns `file` and `text`, and `start` and `end` (seconds) and `speaker` if it has them.

    Any dialect of `emofuse.csv_table` is read; other columns are ignored, so that the tables that emofuse writes can be
    given too. An empty text, or one of marks alone ("..."), means that the transcript is not known. Rows without a file
    are left out with a warning. `Segment.file` is the name in the table.

    Raises:
        TableError: the file cannot be read, a column is missing, or a row is wrong.
    """
    table = read_csv(path)
    columns = table.by_name()
    for old, new in standard_names(list(columns), _COLUMNS).items():
        columns[new] = columns.pop(old)
    if missing := [name for name in ("file", "text") if name not in columns]:
        raise TableError(
            f"{path}: no column {' and no column '.join(map(repr, missing))}; the header has {', '.join(columns)}. "
            "Expected the columns file,text and, for parts of recordings, start,end."
        )
    blank = [""] * len(table.rows)
    cells = zip(table.rows, *(columns.get(name, blank) for name in _COLUMNS), strict=True)
    segments = [_segment(*row, path=path) for row in cells if row[1] not in MISSING]
    if left_out := len(table.rows) - len(segments):
        _log.warning("%s: %d rows have no file and are left out", path, left_out)
    return segments


def match_transcripts(files: Sequence[Path], transcripts: Sequence[Segment], source: Path | str) -> list[Segment]:
    """For each file, a segment for each of its rows in a table of transcripts.

    Files are matched by path, relative to the folder of the table, or else by base name; see
    `emofuse.file_names.match_files`. Rows of other files are ignored, so that one table can serve many commands.

    Raises:
        EmofuseError: a file has no row, it is not clear which row is meant, or a file has several rows of which one
            lacks start and end.
    """
    by_name: dict[str, list[Segment]] = {}
    for row in transcripts:
        by_name.setdefault(str(row.file), []).append(row)
    try:
        matches = match_files(files, list(by_name), Path(source).parent)
    except EmofuseError as error:
        raise EmofuseError(f"{source}: {error}") from error
    segments: list[Segment] = []
    for file, names in zip(files, matches, strict=True):
        rows = [row for name in names for row in by_name[name]]
        if not rows:
            raise EmofuseError(f"{source}: no row for {file}. Add one (its text may be empty), or leave the file out.")
        whole = sum(row.start == 0.0 and row.end is None for row in rows)
        if len(rows) > 1 and whole:
            raise EmofuseError(
                f"{source}: {len(rows)} rows for {file}, of which {whole} without start and end. "
                "Give both for each row, or keep one row."
            )
        segments.extend(Segment(file, row.text, row.start, row.end, row.speaker) for row in rows)
    return segments


def _segment(row: int, file: str, text: str, start: str, end: str, speaker: str, *, path: Path | str) -> Segment:
    try:
        first, last = number(start), number(end)
    except ValueError:
        raise TableError(f"{path}, row {row}: start {start!r} and end {end!r} must be numbers, in seconds.") from None
    first = 0.0 if first != first else first
    if first < 0 or first == float("inf") or last <= first:
        raise TableError(f"{path}, row {row}: expected 0 <= start < end, but start is {start or 0} and end is {end}.")
    words = text if has_words(text) and text not in MISSING_TEXTS else None
    return Segment(Path(file), words, first, None if last != last else last, None if speaker in MISSING else speaker)


def adaptation(option: str) -> Path | str:
    """Parse the value of --adapt: "recording", "folder", "off", or the path of a recording.

    Raises:
        EmofuseError: there is no such file.
    """
    if option in ("recording", "folder", "off"):
        return option
    if not Path(option).is_file():
        raise EmofuseError(
            f"--adapt {option}: there is no such file. Give a recording of the speaker, or recording, folder or off."
        )
    return Path(option)


def predict_clips(
    predictor: Predictor,
    clips: Sequence[Segment],
    *,
    language: str | None = None,
    adapt: Path | str = "recording",
    on_error: Callable[[EmofuseError], None],
) -> Iterator[Prediction]:
    """Predict clips in parallel, in as many threads as the predictor has.

    Predictions are in the order of the clips and equal those of one call after another. The error of a clip is passed
    to `on_error` in its turn; the other clips are predicted nevertheless. Files are read as threads become free, so
    memory does not grow with the number of clips.

    Args:
        predictor: the model. Its `calls_at_once` is set here.
        clips: the clips.
        language: language of all clips; see `Predictor.__call__`.
        adapt: what the model adapts to: "recording", the other segments of each recording (if `predictor.adapt`);
            "folder", all recordings of the same folder; the path of a recording of the speaker; or "off".
        on_error: is called with each error.
    """
    predictor.calls_at_once = max(1, min(predictor.threads, len(clips)))
    profiles: dict[Path | None, SpeakerProfile] = {}
    if isinstance(adapt, Path):
        profiles = dict.fromkeys({_folder(clip) for clip in clips}, predictor.speaker_profile([adapt]))
    elif adapt == "folder":
        profiles = _profiles_of_folders(predictor, clips)

    def predict(clip: Segment) -> list[Prediction]:
        profile = profiles.get(_folder(clip))
        options: Any = {"language": language, "start": clip.start, "end": clip.end, "speaker": profile}
        return [replace(one, speaker=clip.speaker) for one in predictor(clip.file, clip.text, **options)]

    for clip, call in zip(clips, run_parallel(predict, clips, threads=predictor.calls_at_once), strict=True):
        try:
            predictions = call.result()
        except EmofuseError as error:
            on_error(error)
        except Exception as error:  # one recording must not end the others' prediction
            name = "text" if clip.file is None else name_of(clip.file)
            on_error(EmofuseError(f"{name}: it cannot be predicted ({type(error).__name__}: {error})."))
        else:
            yield from predictions


def _folder(clip: Segment) -> Path | None:
    return None if clip.file is None else clip.file.resolve().parent


def _profiles_of_folders(predictor: Predictor, clips: Sequence[Segment]) -> dict[Path | None, SpeakerProfile]:
    parts: dict[Path | None, list[SpeakerProfile]] = {}
    files = sorted({clip.file for clip in clips if clip.file is not None})
    calls = run_parallel(lambda file: predictor.speaker_profile([file]), files, threads=predictor.calls_at_once)
    for file, call in zip(files, calls, strict=True):
        try:
            parts.setdefault(file.resolve().parent, []).append(call.result())
        except AudioError:
            continue  # reported when it is predicted
    return {folder: SpeakerProfile.merge(of_folder) for folder, of_folder in parts.items()}
