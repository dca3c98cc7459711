"""`emofuse predict`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emofuse.cli.options import Language, Model, NoAsr, Output, Threads
from emofuse.cli.output import check_output, print_error, silence_standard_output
from emofuse.errors import EmofuseError

if TYPE_CHECKING:
    from emofuse.inference.files import Finished
    from emofuse.inference.inputs import Recording
    from emofuse.inference.predictor import Predictor
    from emofuse.timeline.prediction import Prediction
    from emofuse.timeline.saving import Form
    from emofuse.timeline.writers import Writer

STOPPED = 130
"""Exit code after Ctrl-C."""


class Transcribe(StrEnum):
    """Which words are recognised."""

    auto = "auto"
    always = "always"
    off = "off"


def predict(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT...",
            help="Recordings: audio or video files, folders, patterns, @LIST (a file with a path a line), tables with "
            "a column file, or - for standard input.",
        ),
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Words spoken in INPUT (one file only), or a text to predict without a file.")
    ] = None,
    segments: Annotated[
        Path | None,
        typer.Option(
            "--segments",
            "--transcripts",
            metavar="FILE",
            help="Segments of the recordings, with words and speakers where they are known: CSV (columns file, text, "
            "start, end, speaker), TextGrid, EAF, SRT, VTT, RTTM, Audacity labels or audformat.",
        ),
    ] = None,
    max_seconds: Annotated[float, typer.Option(help="Longest segment, in seconds (1 to 30).")] = 8.0,
    window: Annotated[
        float | None, typer.Option(help="Predict windows of so many seconds instead of utterances.")
    ] = None,
    hop: Annotated[float | None, typer.Option(help="Seconds from one window to the next. Default: no overlap.")] = None,
    channels: Annotated[
        str,
        typer.Option(
            metavar="auto|mix|split|N",
            help="Channels to predict: split predicts each by itself, mix their average, N the one of that number; "
            "auto splits two that carry different voices.",
        ),
    ] = "auto",
    speakers: Annotated[
        str,
        typer.Option(metavar="auto|N|off", help="How many people speak in a recording, to tell them apart."),
    ] = "off",
    track: Annotated[int | None, typer.Option(min=1, help="Number of the audio track. Default: the first.")] = None,
    model: Model = None,
    format: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            help="table, json, jsonl, csv, parquet, textgrid, eaf, vtt, srt, audacity, rttm or audformat. Default: by "
            "the ending of the output file, else a table.",
        ),
    ] = None,
    output: Output = None,
    excel: Annotated[bool, typer.Option("--excel", help="Write CSV as Excel on this computer opens it.")] = False,
    asr: Annotated[str, typer.Option(help="Speech recogniser for recordings without words.")] = "whisper-base",
    transcribe: Annotated[
        Transcribe,
        typer.Option(help="Recognise words: auto where the model reads their language, always, or off."),
    ] = Transcribe.auto,
    no_asr: NoAsr = False,
    language: Language = None,
    adapt: Annotated[
        str,
        typer.Option(
            metavar="recording|folder|FILE|off",
            help="What the model adapts to: the other segments of the same recording, all recordings in the same "
            "folder (taken as one speaker), another recording of the speaker, or nothing.",
        ),
    ] = "recording",
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Number of recordings to predict at once. Default: as many as threads.")
    ] = None,
    threads: Threads = None,
) -> None:
    """Predict the emotions of recordings or of a text.

    The result is a category and arousal, valence and dominance (0 to 1) for each utterance. Results are written as they
    come. A recording that cannot be read is reported, and the others are predicted. The exit code is 0 if all went
    well, 1 if some recordings failed, 2 if none could be used, and 130 after Ctrl-C.
    """
    import emofuse
    from emofuse.inference.files import adaptation, predict_recordings
    from emofuse.inference.inputs import find_recordings

    recordings = find_recordings(inputs or [], text=text, segments=segments)
    source = adaptation(adapt)
    _check_inputs(output, recordings, [segments, source if isinstance(source, Path) else None])
    form = _form_of(output, format)
    if excel and form.name != "csv":
        raise EmofuseError(f"--excel is for CSV, but the format is {form.name}. Add --format csv.")
    if not form.many and len(recordings) > 1:
        raise EmofuseError(f"A file of the format {form.name} holds one recording, but {len(recordings)} are given.")
    words = "off" if no_asr else transcribe.value
    predictor = emofuse.load(model, asr=asr, transcribe=words, threads=threads, adapt=source != "off")
    options: Any = {
        "language": language,
        "max_seconds": max_seconds,
        "window": window,
        "hop": hop,
        "channels": _number_or_word(channels),
        "speakers": _number_or_word(speakers),
        "track": track,
    }
    work = _Work(recordings)
    events = predict_recordings(predictor, recordings, jobs=jobs, adapt=source, progress=work.reached, **options)
    try:
        with _writer(predictor, form, output, excel=excel) as writer:
            for event in events:
                work.take(event, writer)
        if not form.streams:
            work.save(form, output)
    except KeyboardInterrupt:
        print_error(f"stopped after {work.count} of {len(recordings)} recordings.")
        raise typer.Exit(STOPPED) from None
    finally:
        work.progress.clear()
    if work.failures:
        raise typer.Exit(2 if work.failures == len(recordings) else 1)
    if work.has_errors:
        raise typer.Exit(1)


class _Work:
    """What is done of a command's recordings."""

    def __init__(self, recordings: list[Recording]) -> None:
        from emofuse.audio import header_seconds
        from emofuse.cli.progress import Progress

        self.count = self.failures = 0
        self.has_errors = False
        self._finished: list[Finished] = []
        self._is_one = len(recordings) == 1
        if self._is_one:
            file = recordings[0].file
            self.progress = Progress(None if file is None else header_seconds(file), "seconds")
        else:
            self.progress = Progress(len(recordings), "files")

    def reached(self, seconds: float) -> None:
        """Take how far a recording is."""
        if self._is_one:
            self.progress.update(seconds)

    def take(self, event: Prediction | Finished, writer: Writer | None) -> None:
        """Write a prediction, or what there is to say at the end of a recording."""
        from emofuse.timeline.prediction import Prediction

        if isinstance(event, Prediction):
            self.progress.clear()
            if writer is not None:
                writer.write(event)
            return
        self.count += 1
        self.failures += event.failed
        self.has_errors = self.has_errors or bool(event.errors)
        self.progress.clear()
        for error in event.errors:
            print_error(error)
            if writer is not None:
                writer.write_failure(str(event.recording.file or ""), str(error))
        if writer is not None and not event.timeline and not event.errors:
            writer.write_empty(event.timeline)
        if writer is None:
            self._finished.append(event)
        if not self._is_one:
            self.progress.update(self.count)

    def save(self, form: Form, output: Path | None) -> None:
        """Write all timelines in a form that cannot be written prediction by prediction."""
        from emofuse.cli.output import print_or_write
        from emofuse.timeline.saving import save

        timelines = [one.timeline for one in self._finished if not one.failed]
        if not timelines:
            return
        if output is not None:
            save(timelines, output, form.name)
            return
        if form.render is None:
            raise EmofuseError(f"The format {form.name} needs a place to write to: add --output.")
        print_or_write("".join(map(form.render, timelines)), None, is_table=False)


@contextmanager
def _writer(predictor: Predictor, form: Form, output: Path | None, *, excel: bool) -> Iterator[Writer | None]:
    """A writer to the output file or to standard output; None if the form is written at the end."""
    import sys

    from emofuse.timeline.writers import open_writer

    if not form.streams:
        yield None
        return
    labels = predictor.bundle.labels
    if output is None:
        colour = sys.stdout.isatty()
        try:
            with open_writer(sys.stdout, form.name, labels=labels, excel=excel, colour=colour) as writer:
                yield writer
        except EmofuseError:
            silence_standard_output()
            raise
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        file = output.open("w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise EmofuseError(f"{output} cannot be written: {error.strerror}.") from error
    with file, open_writer(file, form.name, labels=labels, excel=excel) as writer:
        yield writer


def _form_of(output: Path | None, format: str | None) -> Form:
    from emofuse.timeline.saving import FORMS, form_of

    by_ending = None
    if output is not None and output.suffix:
        try:
            by_ending = form_of(output)
        except EmofuseError:
            if format is None:
                raise
    if format is None:
        return by_ending or FORMS["table"]
    if format.lower() not in FORMS:
        raise EmofuseError(f"--format {format}: this format is unknown. Expected one of {', '.join(FORMS)}.")
    form = FORMS[format.lower()]
    if by_ending not in (None, form) and form.ending:
        raise EmofuseError(f"{output} ends in {output.suffix}, but --format is {format}. Change one of them.")  # type: ignore[union-attr]
    return form


def _check_inputs(output: Path | None, recordings: list[Recording], others: list[Path | None]) -> None:
    files = [recording.file for recording in recordings]
    check_output(output, [path for path in (*files, *others) if path is not None])


def _number_or_word(value: str) -> int | str:
    return int(value) if value.isascii() and value.isdigit() else value
