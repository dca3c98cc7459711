"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    Path | None,
    typer.Option(metavar="BUNDLE", help="Folder of an exported model. Default: the model in the package."),
]
Language = Annotated[
    str | None,
    typer.Option(
        metavar="CODE",
        help="Language that is spoken, such as en or English, or mixed if it changes. Default: it is detected once.",
    ),
]
NoAsr = Annotated[bool, typer.Option("--no-asr", help="Do not recognise words; use the voice alone.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Number of processor threads to use. Default: all available cores.")
]
Output = Annotated[Path | None, typer.Option(help="Write to this file instead of the terminal.")]
