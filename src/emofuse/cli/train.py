"""`emofuse train`, `evaluate`, `export`, `recipe`, `study`, `report` and `stress`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path | None, typer.Option(help="Folder that holds the corpora. Default: EMOFUSE_DATA.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")]


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
            "--folds",
            help="Train every fold, and without each corpus in training.leave_out; fit the calibration on their "
            "predictions; and train a model to use, on all rows but official test parts.",
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
    from emofuse.console import render_metrics
    from emofuse.files import read_json
    from emofuse.training.folds import train_folds
    from emofuse.training.run import train as train_once

    run = (train_folds if folds else train_once)(resolved, out, data, fresh=fresh)
    if metrics := {part: values for part, values in read_json(run / "metrics.json").items() if part != "notes"}:
        typer.echo(render_metrics(metrics), nl=False)
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
    from emofuse.console import render_metrics
    from emofuse.plot_style import check_picture

    if confusion is not None:
        check_picture(confusion)  # before the computation, which takes a while
    from emofuse.training import run
    from emofuse.training.predictions import draw_confusion, write_predictions

    metrics = run.evaluate(run_folder)
    typer.echo(render_metrics(metrics), nl=False)
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


def study(
    file: Annotated[Path, typer.Argument(metavar="STUDY", help="Study (a TOML file, as in recipes/studies).")],
    out: Annotated[Path | None, typer.Option(help="Folder of the study. Default: runs/NAME.")] = None,
    data: Data = None,
    jobs: Annotated[int, typer.Option(min=1, help="Number of runs at the same time.")] = 1,
    quick: Annotated[bool, typer.Option("--quick", help="Run the quick version in the study file.")] = False,
    task: Annotated[list[str] | None, typer.Option(metavar="TASK", help="Run this task only. Can be repeated.")] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Distribute the runs over a Ray cluster (auto, or HOST:PORT). All its machines need emofuse, and "
            "--out and --data at the same paths. A run takes as many processors as it would here with --jobs.",
        ),
    ] = None,
    stress: Annotated[
        bool, typer.Option("--stress", help="Afterwards run the stress test on the test rows of all runs.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Train again the runs whose corpora or encoders have changed.")
    ] = False,
) -> None:
    """Train and compare many systems, folds, seeds and tasks.

    Finished runs are reused and unfinished ones resumed, so a study that was stopped can be started again.
    """
    from emofuse.study.grid import load_study
    from emofuse.study.progress import in_words, progress
    from emofuse.study.runner import cpu_seconds, run_study

    resolved = load_study(file, quick=quick, only=task or [])
    with progress() as tell:
        folder = run_study(resolved, out, data, jobs=jobs, ray=ray, fresh=fresh, tell=tell)
    if stress:
        from emofuse.study.stress import stress_study

        stress_study(folder, resolved.config.stress, data, tell=lambda line: typer.echo(line, err=True))
    typer.echo(f"{folder}: {in_words(cpu_seconds(folder))} of processor time")


def report(
    study_folder: Annotated[
        Path, typer.Argument(metavar="STUDY", help="Folder of a study, which need not be finished.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder for the page and the tables. Default: STUDY/report.")
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Also give the results by a column of the corpora (gender, language, speaker, ...), or by the number "
            "of words or seconds of the utterances. Can be repeated.",
        ),
    ] = None,
    conditioning: Annotated[
        int,
        typer.Option(
            metavar="SEEDS",
            min=0,
            help="Measure the effect of conditioning at each stage in the runs of this many seeds. The measurements "
            "are stored in the folder of the study and appear in all later reports.",
        ),
    ] = 0,
    data: Data = None,
) -> None:
    """Write the results of a study as a page and tables.

    The page is one HTML file with summary, tables, pictures, protocol and audit; the tables are also written as CSV,
    Markdown and LaTeX.
    """
    from emofuse.report.write import write_report

    typer.echo(write_report(study_folder, out, by=by or [], data=data, conditioning_seeds=conditioning))


def stress(
    models: Annotated[
        list[Path],
        typer.Argument(metavar="MODEL...", help="Models to compare: runs, folders of `train --folds`, or bundles."),
    ],
    table: Annotated[
        Path | None,
        typer.Option(help="Table of utterances that no MODEL was trained on. Default: the test rows of the runs."),
    ] = None,
    split: Annotated[Path | None, typer.Option(help="Split of the table, of which the test part is used.")] = None,
    fold: Annotated[int, typer.Option(min=0, help="Fold of the split.")] = 0,
    column: Annotated[str, typer.Option(help="Column of the table that holds the categories.")] = "emotion",
    conditions: Annotated[
        str | None,
        typer.Option(metavar="NAME,NAME...", help="Conditions, such as white_noise,telephone,wer. Default: all."),
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=1, help="Use a balanced sample of this many rows (of each fold).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sample and of all noise.")] = 0,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for tables and pictures.")] = Path("stress"),
    data: Data = None,
) -> None:
    """Measure models under noise, echo, codecs, wrong words.

    Each condition changes the same utterances in one way. Scores have intervals from a bootstrap over speakers.
    """
    from emofuse.stress import rows as stress_rows
    from emofuse.stress import sweep as stressing
    from emofuse.stress import systems as stress_systems
    from emofuse.stress.conditions import conditions_of

    names = [name.strip() for name in conditions.split(",")] if conditions else None
    conditions_of(names)  # reports an unknown name before the models are loaded
    if table is None:
        found = stressing.stress_runs(models, data, conditions=names, rows=rows, seed=seed)
    else:
        chosen = stress_rows.rows_of_table(table, split, fold=fold)
        with stress_systems.open_bundles(models) as bundles:
            found = stressing.stress(bundles, chosen, conditions=names, rows=rows, column=column, seed=seed)
    typer.echo(stressing.render_table(found.scores), nl=False)
    for path in found.save(out):
        typer.echo(path)
