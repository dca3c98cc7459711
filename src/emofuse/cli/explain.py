"""`emofuse explain`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from emofuse.cli.options import Language, Model, NoAsr, Output, Threads
from emofuse.cli.output import check_output, print_or_write


class ExplanationFormat(StrEnum):
    """How explanations are printed."""

    table = "table"
    json = "json"


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
    from emofuse.explanation.picture import draw
    from emofuse.plot_style import check_picture
    from emofuse.words import language_code

    language = language_code(language)
    if picture:
        check_picture(picture)  # before the computation, which takes a while
    inputs = [] if file is None else [file]
    check_output(output, inputs)
    check_output(picture, inputs)
    predictor = emofuse.load(model, transcribe=not no_asr, threads=threads)
    explanations = explain_recording(predictor, file, text, target=target, segment=segment, language=language)
    colour = output is None and sys.stdout.isatty()
    content = explain_table.render_explanations(explanations, format.value, colour=colour)
    print_or_write(content, output, is_table=format is ExplanationFormat.table)
    if picture:
        draw(explanations, picture)
