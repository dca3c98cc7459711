"""The command line: each command parses its options, calls the library, and prints.

A command imports what it needs inside its function, so that `emofuse --help` answers at once and prediction never
imports PyTorch.
"""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from emofuse import __version__
from emofuse.cli import corpus, explain, listen, predict, train
from emofuse.cli.output import print_error
from emofuse.errors import EmofuseError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Speech emotion recognition from voice and words together.",
)
for _command in (
    *(predict.predict, listen.listen, explain.explain, train.train, train.evaluate, train.export, train.recipe),
    *(train.study, train.report, train.stress),
):
    app.command(no_args_is_help=_command is train.recipe)(_command)
app.add_typer(corpus.app, name="corpus")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"emofuse {__version__}")
        raise typer.Exit


@app.callback()
def _emofuse(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; an `EmofuseError` is printed without a traceback and sets the exit code to 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal may lack letters, but nothing is lost by that
    try:
        app()
    except EmofuseError as error:
        print_error(error)
        sys.exit(1)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("emofuse"):
            raise
        print_error(f'This command needs {error.name}, which is not installed: pip install "emofuse[train]"')
        sys.exit(1)
