"""`emofuse predict` and `emofuse explain`."""

from __future__ import annotations

import io
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from emofuse.errors import EmofuseError

Model = Annotated[
    Path | None,
    typer.Option(metavar="BUNDLE", help="Folder of an exported model. Default: the model in the package."),
]
Language = Annotated[
    str | None,
    typer.Option(metavar="CODE", help="Language that is spoken, such as en or English. Default: it is detected."),
]
NoAsr = Annotated[bool, typer.Option("--no-asr", help="Do not recognise words; use the voice alone.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Number of processor threads to use. Default: all available cores.")
]
Output = Annotated[Path | None, typer.Option(help="Write to this file instead of the terminal.")]


class PredictionFormat(StrEnum):
    """How predictions are printed."""

    table = "table"
    json = "json"
    csv = "csv"


class ExplanationFormat(StrEnum):
    """How explanations are printed."""

    table = "table"
    json = "json"


def predict(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE...", help="Audio or video files, in any common format.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Words spoken in FILE (one file only), or a text to predict without a file.")
    ] = None,
    transcripts: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Words spoken in each FILE: columns file, text and, optionally, start, end."),
    ] = None,
    model: Model = None,
    format: Annotated[
        PredictionFormat | None,
        typer.Option(help="Output format. Default: by the ending of the output file, else a table."),
    ] = None,
    output: Output = None,
    asr: Annotated[str, typer.Option(help="Speech recogniser for files without a transcript.")] = "whisper-base",
    no_asr: NoAsr = False,
    language: Language = None,
    adapt: Annotated[
        str,
        typer.Option(
            metavar="recording|folder|FILE|off",
            help="What the model adapts to: the other segments of the same recording, all FILEs in the same folder "
            "(taken as one speaker), another recording of the speaker, or nothing.",
        ),
    ] = "recording",
    threads: Threads = None,
) -> None:
    """Predict the emotions of recordings or of a text.

    The result is a category and arousal, valence and dominance (0 to 1) for each segment. A file that cannot be read is
    reported, the others are predicted, and the exit code is 1.
    """
    import emofuse
    from emofuse.inference import formats
    from emofuse.inference.clips import adaptation, predict_clips, segments_of
    from emofuse.words import language_code

    errors: list[EmofuseError] = []
    language = language_code(language)

    def report_error(error: EmofuseError) -> None:
        errors.append(error)
        print_error(error)

    clips = segments_of(files or [], text=text, transcripts=transcripts)
    source = adaptation(adapt)
    inputs = [*(files or []), transcripts, source if isinstance(source, Path) else None]
    _check_output(output, [path for path in inputs if path is not None])
    form = _format_of(output, format)
    predictor = emofuse.load(model, asr=asr, transcribe=not no_asr, threads=threads, adapt=source != "off")
    predictions = list(predict_clips(predictor, clips, language=language, adapt=source, on_error=report_error))
    if predictions:
        colour = output is None and sys.stdout.isatty()
        content = formats.render_predictions(predictions, form.value, colour=colour)
        _print_or_write(content, output, is_table=form is PredictionFormat.table)
    if errors:
        raise typer.Exit(1)


def explain(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Audio or video file, in any common format.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Words spoken in FILE, or a text to explain without a file.")] = None,
    model: Model = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Category or dimension to explain. Default: the predicted category."),
    ] = None,
    segment: Annotated[
        int | None, typer.Option(help="Number of the segment to explain, counted from 1. Default: all segments.")
    ] = None,
    language: Language = None,
    no_asr: NoAsr = False,
    format: Annotated[ExplanationFormat, typer.Option(help="Output format.")] = ExplanationFormat.table,
    output: Output = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="PICTURE", help="Also draw a picture (.png, .svg or .pdf).")
    ] = None,
    threads: Threads = None,
) -> None:
    """Show what a prediction depends on.

    It measures the effect of each word, of each stretch of audio, of the voice and of the words as a whole.
    """
    import emofuse
    from emofuse.explanation import table as explain_table
    from emofuse.explanation.attribution import explain as explain_recording
    from emofuse.explanation.picture import check_picture, draw
    from emofuse.words import language_code

    language = language_code(language)
    if picture:
        check_picture(picture)  # before the computation, which takes a while
    inputs = [] if file is None else [file]
    _check_output(output, inputs)
    _check_output(picture, inputs)
    predictor = emofuse.load(model, transcribe=not no_asr, threads=threads)
    explanations = explain_recording(predictor, file, text, target=target, segment=segment, language=language)
    colour = output is None and sys.stdout.isatty()
    content = explain_table.render_explanations(explanations, format.value, colour=colour)
    _print_or_write(content, output, is_table=format is ExplanationFormat.table)
    if picture:
        draw(explanations, picture)


def _check_output(output: Path | None, inputs: list[Path]) -> None:
    """Refuse, before any work, an output that would replace an input or cannot be written."""
    if output is None:
        return
    for path in inputs:
        if output.resolve() == path.resolve():
            raise EmofuseError(f"{output} is one of the inputs. Write the output to another file.")
    above = next(folder for folder in output.resolve().parents if folder.exists())
    if output.is_dir() or not above.is_dir():
        reason = "it is a folder" if output.is_dir() else f"{above} is not a folder"
        raise EmofuseError(f"{output} cannot be written: {reason}.")


def _format_of(output: Path | None, format: PredictionFormat | None) -> PredictionFormat:
    ending = "" if output is None else output.suffix.lower().removeprefix(".")
    by_ending = PredictionFormat(ending) if ending in ("json", "csv") else None
    if format is not None and by_ending not in (None, format):
        raise EmofuseError(f"{output} ends in .{ending}, but --format is {format}. Change one of them.")
    return format or by_ending or PredictionFormat.table


def _print_or_write(content: str, output: Path | None, *, is_table: bool) -> None:
    from emofuse.files import write_text

    if output is not None:
        write_text(output, content)
        return
    if not is_table and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # what programs read does not depend on the terminal
    try:
        typer.echo(content, nl=False)
        sys.stdout.flush()
    except OSError as error:  # the disk is full, or the reader has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered must not fail again
        raise EmofuseError(f"The output cannot be written ({error.strerror}).") from error


def print_error(error: object) -> None:
    """Print an error as one line of standard error."""
    typer.echo(f"emofuse: {error}", err=True)
