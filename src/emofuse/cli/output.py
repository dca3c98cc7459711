"""Where the output of a command goes."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import typer

from emofuse.errors import EmofuseError


def print_error(error: object) -> None:
    """Print an error as one line of standard error."""
    typer.echo(f"emofuse: {error}", err=True)


def check_output(output: Path | None, inputs: Iterable[Path]) -> None:
    """Refuse, before any work, an output that would replace an input or cannot be written."""
    if output is None:
        return
    resolved = output.resolve()
    if any(resolved == path.resolve() for path in inputs):
        raise EmofuseError(f"{output} is one of the inputs. Write the output to another file.")
    above = next(folder for folder in resolved.parents if folder.exists())
    if output.is_dir() or not above.is_dir():
        reason = "it is a folder" if output.is_dir() else f"{above} is not a folder"
        raise EmofuseError(f"{output} cannot be written: {reason}.")
    if not os.access(output if output.exists() else above, os.W_OK):
        raise EmofuseError(f"{output} cannot be written: you have no permission.")


def print_or_write(content: str, output: Path | None, *, is_table: bool) -> None:
    """Write to a file or else to standard output, in UTF-8 unless it is a table for people."""
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
        silence_standard_output()
        raise EmofuseError(f"The output cannot be written ({error.strerror}).") from error


def silence_standard_output() -> None:
    """Let what is still buffered for a full disk or a reader that has gone not fail again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
