"""`emofuse train`, `evaluate`, `export` and `recipe`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from emofuse.cli.options import Data, RunFolder


class Weights(StrEnum):
    """Number format in which a bundle stores its weights."""

    fp32 = "fp32"
    fp16 = "fp16"
    int8 = "int8"


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe (a TOML file).")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe. Can be repeated."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder. Default: runs/NAME.")] = None,
    data: Data = None,
    folds: Annotated[
        bool,
        typer.Option(
            "--folds", help="Train every fold, fit the calibration on their predictions, and train a model on all rows."
        ),
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete the run in the run folder, and train from the start.")
    ] = False,
) -> None:
    """Train and evaluate a model by a recipe.

    Everything is written to a run folder. An unfinished run is resumed, and a finished one is not trained again.
    """
    from emofuse.config import load_recipe

    resolved = load_recipe(recipe, set_)  # reports an error in it before PyTorch is loaded
    from emofuse.files import read_json
    from emofuse.inference import formats
    from emofuse.training.folds import train_folds
    from emofuse.training.run import train as train_once

    run = (train_folds if folds else train_once)(resolved, out, data, fresh=fresh)
    if metrics := {part: values for part, values in read_json(run / "metrics.json").items() if part != "notes"}:
        typer.echo(formats.render_metrics(metrics), nl=False)
    typer.echo(run)


def evaluate(
    run_folder: RunFolder,
    predictions: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Also write the predictions of all parts to this file.")
    ] = None,
    confusion: Annotated[
        Path | None,
        typer.Option(metavar="PICTURE", help="Also draw the confusion matrix of the test part (.png, .svg or .pdf)."),
    ] = None,
) -> None:
    """Compute the metrics of a run again from its predictions."""
    from emofuse.explanation.picture import check_picture
    from emofuse.inference import formats

    if confusion is not None:
        check_picture(confusion)  # before the computation, which takes a while
    from emofuse.training import run
    from emofuse.training.predictions import draw_confusion, write_predictions

    metrics = run.evaluate(run_folder)
    typer.echo(formats.render_metrics(metrics), nl=False)
    if predictions is not None:
        write_predictions(run_folder, predictions)
    if confusion is not None:
        draw_confusion(run_folder, metrics, confusion)


def export(
    run_folder: RunFolder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write the bundle to.")],
    weights: Annotated[
        Weights, typer.Option(help="Number format of the weights: fp16 has half the size of fp32, int8 a third.")
    ] = Weights.fp32,
    licence: Annotated[
        str | None, typer.Option(help="Licence of the weights. Default: it follows from the licences of the corpora.")
    ] = None,
) -> None:
    """Export a run as a bundle for `emofuse predict --model`."""
    from emofuse.training.export import export_run

    typer.echo(export_run(run_folder, out, weights=weights.value, licence=licence).folder)


def recipe(
    keys: Annotated[bool, typer.Option("--keys", help="Print a table of all keys.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the same as a page in Markdown.")] = False,
) -> None:
    """List the keys of a recipe, their types and defaults."""
    from emofuse.config import Recipe
    from emofuse.config_keys import render_keys_page, render_keys_table

    if keys:
        typer.echo(render_keys_table(Recipe), nl=False)
    if markdown:
        typer.echo(render_keys_page(Recipe), nl=False)
