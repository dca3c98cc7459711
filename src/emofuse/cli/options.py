"""Options that several commands share, and how commands print text, files and errors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
Data = Annotated[Path | None, typer.Option(help="Folder that holds the corpora. Default: EMOFUSE_DATA.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the results to this file.")]


def print_or_write(content: str, output: Path | None) -> None:
    """Print a text, or write it to a file if there is one."""
    from emofuse.files import write_text

    if output is None:
        typer.echo(content, nl=False)
    else:
        write_text(output, content)


def print_error(error: object) -> None:
    """Print an error as one line of standard error."""
    typer.echo(f"emofuse: {error}", err=True)
