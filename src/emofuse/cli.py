"""The command line: parse, call, print.

What a command needs is imported inside it, so that `emofuse --help` is there at once and prediction never imports
PyTorch.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from emofuse import __version__, cli_corpus
from emofuse.errors import EmofuseError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Speech emotion recognition from voice and words together.",
)
app.add_typer(cli_corpus.app, name="corpus")


class Format(StrEnum):
    """How predictions are printed."""

    table = "table"
    json = "json"
    csv = "csv"


class ExplanationFormat(StrEnum):
    """How explanations are printed."""

    table = "table"
    json = "json"


class Weights(StrEnum):
    """How a bundle stores its weights."""

    fp32 = "fp32"
    fp16 = "fp16"
    int8 = "int8"


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"emofuse {__version__}")
        raise typer.Exit


@app.callback()
def _emofuse(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def predict(
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE...", help="Recordings, of any format.")] = None,
    text: Annotated[str | None, typer.Option(help="What is said in the one FILE, or the text to judge alone.")] = None,
    transcripts: Annotated[
        Path | None, typer.Option(metavar="CSV", help="What is said in each FILE: columns file,text[,start,end].")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(metavar="BUNDLE", help="Folder of an exported model; default: the shipped one.")
    ] = None,
    format: Annotated[Format, typer.Option(help="How to print.")] = Format.table,
    output: Annotated[Path | None, typer.Option(help="Write to this file, not to the terminal.")] = None,
    asr: Annotated[str, typer.Option(help="Speech recogniser for recordings without a transcript.")] = "whisper-base",
    no_asr: Annotated[bool, typer.Option("--no-asr", help="Recognise no words; use the voice alone.")] = False,
    language: Annotated[str | None, typer.Option(help="Language of what is said, such as en; default: found.")] = None,
    adapt: Annotated[
        str,
        typer.Option(
            metavar="recording|folder|FILE|off",
            help="What the model adapts to: the other segments of a recording, all FILEs of a folder (of one speaker), "
            "a recording of the speaker, or nothing.",
        ),
    ] = "recording",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor threads to use in all; default: the available cores.")
    ] = None,
) -> None:
    """Predict emotion, arousal, valence and dominance of recordings or of a text."""
    import emofuse
    from emofuse.inference import formats
    from emofuse.inference.clips import adaptation, predict_clips
    from emofuse.inference.transcripts import clips_of

    failures: list[EmofuseError] = []

    def report(error: EmofuseError) -> None:
        failures.append(error)
        _complain(error)

    clips = clips_of(files or [], text=text, transcripts=transcripts)
    source = adaptation(adapt)
    predictor = emofuse.load(model, asr=asr, transcribe=not no_asr, threads=threads, adapt=source != "off")
    predictions = list(predict_clips(predictor, clips, language=language, adapt=source, on_error=report))
    if predictions:
        _put(formats.render_predictions(predictions, format.value, colour=not output and sys.stdout.isatty()), output)
    if failures:
        raise typer.Exit(1)


@app.command()
def explain(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="A recording, of any format.")] = None,
    text: Annotated[str | None, typer.Option(help="What is said in FILE, or the text to explain alone.")] = None,
    model: Annotated[
        Path | None, typer.Option(metavar="BUNDLE", help="Folder of an exported model; default: the shipped one.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="CATEGORY", help="Category or dimension to explain; default: the predicted category."),
    ] = None,
    segment: Annotated[int | None, typer.Option(help="Explain this segment only, from 1; default: all.")] = None,
    language: Annotated[str | None, typer.Option(help="Language of what is said, such as en; default: found.")] = None,
    no_asr: Annotated[bool, typer.Option("--no-asr", help="Recognise no words; use the voice alone.")] = False,
    format: Annotated[ExplanationFormat, typer.Option(help="How to print.")] = ExplanationFormat.table,
    output: Annotated[Path | None, typer.Option(help="Write to this file, not to the terminal.")] = None,
    picture: Annotated[Path | None, typer.Option(metavar="PNG", help="Draw a picture, too.")] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor threads to use in all; default: the available cores.")
    ] = None,
) -> None:
    """Show which words and which stretches of audio moved the answer, and how much voice and words did."""
    import emofuse
    from emofuse.explain import table as explain_table
    from emofuse.explain.attribution import explain as explain_all
    from emofuse.explain.picture import check_picture, draw

    if picture is not None:
        check_picture(picture)  # told before the work, not after it
    predictor = emofuse.load(model, transcribe=not no_asr, threads=threads)
    found = explain_all(predictor, file, text, target=target, segment=segment, language=language)
    _put(explain_table.render(found, format.value, colour=output is None and sys.stdout.isatty()), output)
    if picture is not None:
        draw(found, picture)


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe (TOML).")],
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; default: runs/NAME.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the corpora; default: EMOFUSE_DATA.")] = None,
    folds: Annotated[
        bool,
        typer.Option("--folds", help="Train every fold, calibrate on them, and train a model for use on all."),
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Remove what the run folder holds of a run, and train anew.")
    ] = False,
) -> None:
    """Train and evaluate a model after a recipe; writes a run folder. An unfinished run is resumed."""
    from emofuse.config import load_recipe

    resolved = load_recipe(recipe, set_)  # an error in it is told before PyTorch is loaded
    from emofuse.files import read_json
    from emofuse.inference import formats
    from emofuse.training.folds import train_folds
    from emofuse.training.run import train as train_once

    run = (train_folds if folds else train_once)(resolved, out, data, fresh=fresh)
    if figures := {part: found for part, found in read_json(run / "metrics.json").items() if part != "notes"}:
        typer.echo(formats.render_metrics(figures), nl=False)
    typer.echo(run)


@app.command()
def study(
    file: Annotated[Path, typer.Argument(help="A study (TOML), such as recipes/studies/toy.toml.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the study; default: runs/NAME.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the corpora; default: EMOFUSE_DATA.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs side by side, which share the processors.")] = 1,
    quick: Annotated[bool, typer.Option("--quick", help="The quick version that the study file tells.")] = False,
    task: Annotated[
        list[str] | None, typer.Option(metavar="TASK", help="This task only. May be given several times.")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Spread the runs over a Ray cluster (auto, or HOST:PORT), all machines of which have emofuse and see "
            "--out and --data at the same paths. A run takes as many processors as it would here with --jobs.",
        ),
    ] = None,
    stress: Annotated[
        bool, typer.Option("--stress", help="Then stress all runs on their test rows; what is finished is kept.")
    ] = False,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Train those runs anew whose corpora or encoders have changed since."),
    ] = False,
) -> None:
    """Train all systems, folds, seeds and tasks of a study. Finished runs are kept, broken ones go on."""
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


@app.command()
def report(
    study_folder: Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of a study, finished or not.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="For page and tables; default: STUDY/report.")
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Break results down by a column of the corpora (gender, language, speaker, ...), or by words or "
            "seconds of the utterances. May be given several times.",
        ),
    ] = None,
    conditioning: Annotated[
        int,
        typer.Option(
            metavar="SEEDS",
            min=0,
            help="Measure, with the weights of the runs, what conditioning does at each stage, under so many of the "
            "seeds. It is kept in the study's folder, and shown from then on.",
        ),
    ] = 0,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the corpora, for --by and --conditioning; default: EMOFUSE_DATA.")
    ] = None,
) -> None:
    """Write one HTML page on a study (summary, tables, pictures, protocol, audit), and its tables for papers."""
    from emofuse.report.write import write_report

    typer.echo(write_report(study_folder, out, by=by or [], data=data, conditioning_seeds=conditioning))


@app.command(no_args_is_help=True)
def recipe(
    keys: Annotated[bool, typer.Option("--keys", help="Every key with its type, default and meaning.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The same as a page, as in docs/recipe.md.")] = False,
) -> None:
    """List the keys of a recipe, which train and study read, and --set changes."""
    from emofuse.config import Recipe
    from emofuse.config_keys import render_keys_page, render_keys_table

    if keys:
        typer.echo(render_keys_table(Recipe), nl=False)
    if markdown:
        typer.echo(render_keys_page(Recipe), nl=False)


@app.command()
def evaluate(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    predictions: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Write the predictions of all parts to this file.")
    ] = None,
    confusion: Annotated[
        Path | None,
        typer.Option(metavar="PICTURE", help="Draw the confusion of the test part (.png, .svg or .pdf)."),
    ] = None,
) -> None:
    """Compute the metrics of a run again, from its predictions."""
    from emofuse.explain.picture import check_picture
    from emofuse.inference import formats

    if confusion is not None:
        check_picture(confusion)  # before the work, not after it
    from emofuse.training import run
    from emofuse.training.predictions import draw_confusion, write_predictions

    metrics = run.evaluate(run_folder)
    typer.echo(formats.render_metrics(metrics), nl=False)
    if predictions is not None:
        write_predictions(run_folder, predictions)
    if confusion is not None:
        draw_confusion(run_folder, metrics, confusion)


@app.command()
def export(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the new bundle.")],
    weights: Annotated[Weights, typer.Option(help="fp32; fp16: half the size; int8: a third.")] = Weights.fp32,
    licence: Annotated[str | None, typer.Option(help="Of the weights; default: by the known corpora.")] = None,
) -> None:
    """Export a run as a bundle for `emofuse predict --model`."""
    from emofuse.training.export import export_run

    typer.echo(export_run(run_folder, out, weights=weights.value, licence=licence).folder)


@app.command()
def stress(
    models: Annotated[
        list[Path],
        typer.Argument(metavar="MODEL...", help="Runs (or folders of train --folds) or bundles, to be compared."),
    ],
    table: Annotated[
        Path | None,
        typer.Option(help="Table of utterances that no MODEL was trained on; default: the test rows of the runs."),
    ] = None,
    split: Annotated[Path | None, typer.Option(help="Split of the table; its test part is used.")] = None,
    fold: Annotated[int, typer.Option(min=0, help="Fold of the split.")] = 0,
    column: Annotated[str, typer.Option(help="Column of the table with the categories.")] = "emotion",
    conditions: Annotated[
        str | None,
        typer.Option(metavar="NAME,NAME...", help="Such as white_noise,telephone,wer; default: all that apply."),
    ] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="A sample of so many (of each fold), balanced.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample and of all noise.")] = 0,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="For tables and pictures.")] = Path("stress"),
    data: Annotated[Path | None, typer.Option(help="Folder of the corpora of runs; default: EMOFUSE_DATA.")] = None,
) -> None:
    """Score models under noise, echo, codecs, wrong or missing words, without audio: curves with intervals."""
    from emofuse.stress import models as stress_models
    from emofuse.stress import sweep as stressing
    from emofuse.stress.conditions import conditions_of

    names = [name.strip() for name in conditions.split(",")] if conditions else None
    conditions_of(names)  # an error in them is told before the models are opened
    if table is None:
        found = stress_models.stress_runs(models, data, conditions=names, rows=rows, seed=seed)
    else:
        chosen = stress_models.rows_of_table(table, split, fold=fold)
        with stress_models.opened(models) as bundles:
            found = stressing.stress(bundles, chosen, conditions=names, rows=rows, column=column, seed=seed)
    typer.echo(stressing.render(found.scores), nl=False)
    for path in found.save(out):
        typer.echo(path)


def main() -> None:
    """Run the command line; what a user can put right is said without a traceback, with exit code 1."""
    try:
        app()
    except EmofuseError as error:
        _complain(error)
        sys.exit(1)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("emofuse"):
            raise
        _complain(f'This command needs {error.name}, which is not installed. Install it: pip install "emofuse[train]"')
        sys.exit(1)


def _put(content: str, output: Path | None) -> None:
    from emofuse.files import write_text

    if output is None:
        typer.echo(content, nl=False)
    else:
        write_text(output, content)


def _complain(error: object) -> None:
    typer.echo(f"emofuse: {error}", err=True)
