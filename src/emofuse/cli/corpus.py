"""`emofuse corpus`: read corpora into tables, describe, split, audit, transcribe, merge and export them."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emofuse.errors import EmofuseError

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Prepare, split and audit corpora.")

Table = Annotated[Path, typer.Argument(metavar="TABLE", help="Table of utterances (.parquet, .csv, .tsv, .jsonl).")]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the results to this file.")]
Rule = StrEnum("Rule", ["official", "leave_one_out", "k_fold", "hold_out", "given"])
Development = StrEnum("Development", ["next", "other_speaker"])


@app.command("list")
def list_corpora(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Describe this corpus.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Describe all corpora, in Markdown.")] = False,
) -> None:
    """List the corpora that emofuse reads, or describe one.

    A description tells how to get the corpus, its licence, labels, protocol and known defects.
    """
    from emofuse.corpora import CORPORA, corpus_of
    from emofuse.corpora import about as pages

    if markdown:
        typer.echo(pages.handbook(CORPORA), nl=False)
    else:
        typer.echo(pages.page(name, corpus_of(name)) if name else pages.listing(CORPORA), nl=False)


@app.command()
def prepare(
    name: Annotated[str, typer.Argument(help="Name of the corpus in `emofuse corpus list`.")],
    root: Annotated[Path, typer.Argument(help="Folder of the corpus, or file of a table.")],
    out: Annotated[Path, typer.Argument(help="Table to write (.parquet, .csv, .tsv, .jsonl).")],
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE", help="Keep only these rows; VALUE may be a list a,b or a range 4..12."),
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Continue if audio files are missing.")
    ] = False,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="THEIRS=OURS", help="Name of a column (for table, audformat, huggingface)."),
    ] = None,
    emotion: Annotated[
        list[str] | None, typer.Option(metavar="THEIRS=OURS", help="Name of a category, or none (for the same three).")
    ] = None,
    scale: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LOW HIGH", help="Lowest and highest rating (for the same three)."),
    ] = None,
) -> None:
    """Read a corpus into a table of utterances.

    The corpus is in the layout in which its owner gives it out, or a table, audformat database or Hugging Face dataset.
    """
    from emofuse.corpora import read_corpus
    from emofuse.corpora.select import parse_where, select
    from emofuse.corpora.table_files import check_ending

    check_ending(out)
    columns, emotions = _pairs(column, "--column"), _pairs(emotion, "--emotion")
    df = read_corpus(name, root, allow_missing=allow_missing, columns=columns, emotions=emotions, scale=scale)
    _save(select(df, parse_where(where or [])), out)


@app.command()
def stats(
    table: Table,
    json: JsonFile = None,
    plots: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Also draw plots into this folder.")] = None,
) -> None:
    """Describe a table: hours, speakers, labels, agreement."""
    from emofuse.corpora.stats import describe, render_stats
    from emofuse.corpora.table import read_table

    df = read_table(table)
    described = describe(df)
    typer.echo(render_stats(described), nl=False)
    _write_json(described, json)
    if plots:
        from emofuse.corpora.stats_plots import write_plots

        for path in write_plots(df, plots):
            typer.echo(path)


@app.command()
def merge(
    tables: Annotated[list[Path], typer.Argument(metavar="TABLE...", help="Tables of utterances.")],
    out: Annotated[Path, typer.Option(help="Table to write.")],
) -> None:
    """Merge the tables of several corpora into one."""
    from emofuse.corpora import merge as merging
    from emofuse.corpora.table import read_table
    from emofuse.corpora.table_files import check_ending

    check_ending(out)
    _save(merging.merge([(str(path), read_table(path)) for path in tables]), out)


@app.command()
def split(
    table: Table,
    out: Annotated[Path, typer.Argument(metavar="SPLIT", help="JSON file to write.")],
    rule: Annotated[Rule, typer.Option(help="How rows are divided into train, dev and test.")] = Rule.k_fold,
    column: Annotated[
        str | None,
        typer.Option(
            help="Column whose values stay in one part (default: speaker); official: column that names the parts "
            "(default: official_split)."
        ),
    ] = None,
    k: Annotated[int | None, typer.Option(help="k_fold: number of folds. Default: 5.")] = None,
    stratify: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="k_fold: column whose values are spread evenly over the folds.")
    ] = None,
    dev: Annotated[
        Development | None,
        typer.Option(help="leave_one_out: development part: the next value, or the other speaker of the session."),
    ] = None,
    test: Annotated[str | None, typer.Option(help="official: part to use for test, such as test1.")] = None,
    dev_share: Annotated[float | None, typer.Option(help="hold_out: share of speakers for dev. Default: 0.15.")] = None,
    test_share: Annotated[
        float | None, typer.Option(help="hold_out: share of speakers for test. Default: 0.15.")
    ] = None,
    folds: Annotated[str | None, typer.Option(help="given: name of folds that emofuse ships, or a JSON file.")] = None,
    allow_shared_speakers: Annotated[
        bool | None, typer.Option("--allow-shared-speakers", help="Allow a speaker to be in several parts.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="k_fold, hold_out: seed of the draw. Default: 0.")] = None,
) -> None:
    """Divide a table into train, dev and test.

    All folds are written to a JSON file, with keys, speakers and hashes; recipes read it with rule = "given".
    """
    from emofuse.config import split_config
    from emofuse.corpora.splits import freeze
    from emofuse.corpora.table import read_table

    given: dict[str, object] = {"rule": rule.value, "column": column, "k": k, "stratify": stratify, "seed": seed}
    given |= {"dev": dev and dev.value, "test": test, "dev_share": dev_share, "test_share": test_share}
    given |= {"folds": folds, "allow_shared_speakers": allow_shared_speakers}
    config = split_config({name: value for name, value in given.items() if value is not None})
    for number, fold in enumerate(freeze(read_table(table), config, out)):
        typer.echo(f"fold {number}: train {len(fold.train)}, dev {len(fold.dev)}, test {len(fold.test)}")


@app.command()
def audit(
    table: Table,
    split: Annotated[Path, typer.Argument(metavar="SPLIT", help="Split file, from `emofuse corpus split`.")],
    fold: Annotated[int | None, typer.Option(min=0, help="Audit this fold only. Default: all folds.")] = None,
    audio: Annotated[bool, typer.Option(help="Check the audio files too. Results are cached.")] = True,
    json: JsonFile = None,
) -> None:
    """Check a split for leaks, and its rows for errors.

    The exit code is 1 if there is a leak. With one fold, checks that passed are listed; with several, they are counted.
    """
    from emofuse.config import SplitConfig
    from emofuse.corpora import audit as auditing
    from emofuse.corpora.splits import make_split, make_splits
    from emofuse.corpora.table import read_table

    df = read_table(table)
    config = SplitConfig(rule="given", folds=str(split), allow_shared_speakers=True)  # they are reported
    if fold is None:
        folds = dict(enumerate(make_splits(df, config)))
    else:
        folds = {fold: make_split(df, config.model_copy(update={"fold": fold}))}
    audits: dict[int, auditing.Audit] = {}
    for number, parts in folds.items():
        audits[number] = auditing.audit(df, parts, audio=audio, progress=True)
        text = auditing.render_audit(audits[number], brief=len(folds) > 1, colour=sys.stdout.isatty())
        typer.echo(f"{split}, fold {number}\n{text}")
    _write_json({"table": str(table), "folds": {number: result.to_dict() for number, result in audits.items()}}, json)
    if failed := [str(number) for number, result in audits.items() if result.failed]:
        raise EmofuseError(f"{split}: the audit failed in fold {', '.join(failed)}. See the errors above.")


@app.command()
def transcribe(
    table: Table,
    out: Annotated[Path | None, typer.Option(help="New table to write.")] = None,
    in_place: Annotated[bool, typer.Option("--in-place", help="Overwrite TABLE.")] = False,
    model: Annotated[str, typer.Option(help="Speech recogniser.")] = "whisper-base",
    language: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="Language that is spoken, such as en. Default: the language of each row."),
    ] = None,
    json: JsonFile = None,
) -> None:
    """Fill the column text by speech recognition.

    Human transcripts move to the column human_text, and word error rates against them are printed.
    """
    import os

    from emofuse.corpora.table import TableError, read_table
    from emofuse.corpora.table_files import check_ending
    from emofuse.corpora.transcribe import output_path, render_wer, transcribe_table, wer_report
    from emofuse.encoders.recogniser import Transcriber
    from emofuse.files import cache_dir
    from emofuse.words import language_code

    out = output_path(table, out, in_place=in_place)
    check_ending(out)
    df = read_table(table)
    language = language_code(language)
    recogniser = Transcriber(model, threads=1, workers=os.cpu_count() or 1)  # several short clips at once
    df = transcribe_table(df, recogniser, cache=cache_dir() / "transcripts.sqlite", language=language)
    _save(df, out)
    try:
        report = wer_report(df)
    except TableError as error:  # many corpora have no human transcripts
        if json:
            raise
        typer.echo(f"no word error rate: {error}")
    else:
        typer.echo(render_wer(report), nl=False)
        _write_json(report, json)


@app.command()
def export(
    table: Table, out: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to write the database to.")]
) -> None:
    """Write a table as an audformat database."""
    from emofuse.corpora.readers import audformat_db
    from emofuse.corpora.table import read_table

    audformat_db.write(read_table(table), out)
    typer.echo(out)


def _pairs(values: list[str] | None, option: str) -> dict[str, str]:
    pairs = dict(value.partition("=")[::2] for value in values or [])
    if wrong := [theirs for theirs, ours in pairs.items() if not (theirs and ours)]:
        raise EmofuseError(f"{option} {wrong[0]!r}: expected THEIRS=OURS.")
    return pairs


def _save(df: pd.DataFrame, out: Path) -> None:
    """Write a table, and print its size and the number of rows without audio, text, category or dimensions."""
    from emofuse.corpora.table import write_table

    write_table(df, out)
    names = {"file": "audio", "text": "text", "emotion": "shared category", "valence": "A/V/D"}
    missing = [f"{df[c].isna().sum()} without {name}" for c, name in names.items() if df[c].isna().any()]
    typer.echo(", ".join([f"{out}: {len(df)} utterances", f"{df['speaker'].nunique()} speakers", *missing]))


def _write_json(value: object, path: Path | None) -> None:
    from emofuse.files import write_json

    if path:
        write_json(path, value)
