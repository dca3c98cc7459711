"""`emofuse predict` and `emofuse explain`."""

from __future__ import annotations

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
    str | None, typer.Option(metavar="CODE", help="Language that is spoken, such as en. Default: it is detected.")
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
    format: Annotated[PredictionFormat, typer.Option(help="Output format.")] = PredictionFormat.table,
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

    errors: list[EmofuseError] = []

    def report_error(error: EmofuseError) -> None:
        errors.append(error)
        print_error(error)

    clips = segments_of(files or [], text=text, transcripts=transcripts)
    source = adaptation(adapt)
    predictor = emofuse.load(model, asr=asr, transcribe=not no_asr, threads=threads, adapt=source != "off")
    predictions = list(predict_clips(predictor, clips, language=language, adapt=source, on_error=report_error))
    if predictions:
        colour = output is None and sys.stdout.isatty()
        _print_or_write(formats.render_predictions(predictions, format.value, colour=colour), output)
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

    if picture:
        check_picture(picture)  # before the computation, which takes a while
    predictor = emofuse.load(model, transcribe=not no_asr, threads=threads)
    explanations = explain_recording(predictor, file, text, target=target, segment=segment, language=language)
    colour = output is None and sys.stdout.isatty()
    _print_or_write(explain_table.render(explanations, format.value, colour=colour), output)
    if picture:
        draw(explanations, picture)


def _print_or_write(content: str, output: Path | None) -> None:
    from emofuse.files import write_text

    if output is None:
        typer.echo(content, nl=False)
    else:
        write_text(output, content)


def print_error(error: object) -> None:
    """Print an error as one line of standard error."""
    typer.echo(f"emofuse: {error}", err=True)
