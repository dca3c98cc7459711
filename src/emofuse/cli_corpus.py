"""`emofuse corpus ...`: read corpora into tables, look at them, split them, audit the splits, transcribe them."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emofuse.errors import EmofuseError

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Corpora: read, look at, split, audit, transcribe, merge."
)

Table = Annotated[Path, typer.Argument(metavar="TABLE", help="Table of utterances (.parquet, .csv, .tsv, .jsonl).")]
AllowMissing = Annotated[bool, typer.Option("--allow-missing", help="Go on where audio is missing.")]


class Rule(StrEnum):
    """How rows are parted."""

    official = "official"
    leave_one_out = "leave_one_out"
    k_fold = "k_fold"
    hold_out = "hold_out"
    given = "given"


class Development(StrEnum):
    """The development part of leave_one_out."""

    next = "next"
    other_speaker = "other_speaker"


@app.command("list")
def list_corpora(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Tell all about this one.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="All pages, as in docs/corpora.md.")] = False,
) -> None:
    """List the corpora that can be read, or tell how to get one, its licence, labels and known defects."""
    from emofuse.corpora import CORPORA, corpus_of, pages

    if markdown:
        typer.echo(pages.handbook(CORPORA), nl=False)
    else:
        typer.echo(pages.page(name, corpus_of(name)) if name else pages.listing(CORPORA), nl=False)


@app.command()
def prepare(
    name: Annotated[str, typer.Argument(help="A name of `emofuse corpus list`.")],
    root: Annotated[Path, typer.Argument(help="Where it lies.")],
    out: Annotated[Path, typer.Argument(help="Table to write (.parquet, .csv, .tsv, .jsonl).")],
    where: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN=VALUE", help="Keep these rows only: a,b or 4..12 work too.")
    ] = None,
    allow_missing: AllowMissing = False,
    column: Annotated[
        list[str] | None, typer.Option(metavar="THEIRS=OURS", help="table, audformat, huggingface: name of a column.")
    ] = None,
    emotion: Annotated[
        list[str] | None, typer.Option(metavar="THEIRS=OURS", help="The same three: a category, or none.")
    ] = None,
    scale: Annotated[
        tuple[float, float] | None, typer.Option(metavar="LOW HIGH", help="The same three: bounds of the ratings.")
    ] = None,
) -> None:
    """Read a corpus in its owner's layout, or a source of your own, into a table of utterances."""
    from emofuse.corpora import read_corpus
    from emofuse.corpora.select import parse_where, select
    from emofuse.corpora.table import write_table
    from emofuse.corpora.table_files import check_ending

    check_ending(out)
    df = read_corpus(
        name,
        root,
        allow_missing=allow_missing,
        columns=_pairs(column, "--column"),
        emotions=_pairs(emotion, "--emotion"),
        scale=scale,
    )
    df = select(df, parse_where(where or []))
    write_table(df, out)
    typer.echo(f"{out}: {_summary(df)}")


@app.command()
def stats(
    table: Table,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the figures to this file too.")] = None,
    plots: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Draw them into this folder.")] = None,
) -> None:
    """Hours, speakers, distributions of labels and ratings, text lengths, agreement between annotators."""
    from emofuse.corpora.stats import describe, render
    from emofuse.corpora.table import read_table

    df = read_table(table)
    described = describe(df)
    typer.echo(render(described), nl=False)
    _put_json(described, json)
    if plots:
        from emofuse.corpora.stats_plots import write_plots

        for path in write_plots(df, plots):
            typer.echo(path)


@app.command()
def merge(
    tables: Annotated[list[Path], typer.Argument(metavar="TABLE...", help="Tables of utterances.")],
    out: Annotated[Path, typer.Option(help="Table to write.")],
) -> None:
    """Join tables of several corpora into one."""
    from emofuse.corpora import merge as merging
    from emofuse.corpora.table import read_table, write_table
    from emofuse.corpora.table_files import check_ending

    check_ending(out)
    df = merging.merge([(str(path), read_table(path)) for path in tables])
    write_table(df, out)
    typer.echo(f"{out}: {_summary(df)}")


@app.command()
def split(
    table: Table,
    out: Annotated[Path, typer.Argument(metavar="SPLIT", help="JSON file to write: all folds, with keys and hashes.")],
    rule: Annotated[Rule, typer.Option(help="How rows are parted.")] = Rule.k_fold,
    column: Annotated[
        str | None, typer.Option(help="Whose values stay together (speaker), or name the parts (official_split).")
    ] = None,
    k: Annotated[int | None, typer.Option(help="k_fold: number of folds (5).")] = None,
    stratify: Annotated[str | None, typer.Option(metavar="COLUMN", help="k_fold: alike in its values.")] = None,
    dev: Annotated[
        Development | None, typer.Option(help="leave_one_out: the next value, or the session's other speaker.")
    ] = None,
    test: Annotated[str | None, typer.Option(help="official: the part for test, such as test1.")] = None,
    dev_share: Annotated[float | None, typer.Option(help="hold_out: share of speakers (0.15).")] = None,
    test_share: Annotated[float | None, typer.Option(help="hold_out: share of speakers (0.15).")] = None,
    folds: Annotated[str | None, typer.Option(help="given: a shipped name, or a JSON file of folds.")] = None,
    allow_shared_speakers: Annotated[
        bool | None, typer.Option("--allow-shared-speakers", help="Let speakers stand in several parts.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of k_fold and hold_out (0).")] = None,
) -> None:
    """Part a table into train, dev and test, and freeze the folds, for recipes (rule = "given") and for others."""
    from emofuse.config import split_config
    from emofuse.corpora.splits import freeze
    from emofuse.corpora.table import read_table

    given = {
        "rule": rule.value,
        "column": column,
        "k": k,
        "stratify": stratify,
        "dev": dev and dev.value,
        "test": test,
        "dev_share": dev_share,
        "test_share": test_share,
        "folds": folds,
        "allow_shared_speakers": allow_shared_speakers,
        "seed": seed,
    }
    config = split_config({name: value for name, value in given.items() if value is not None})
    for number, fold in enumerate(freeze(read_table(table), config, out)):
        typer.echo(f"fold {number}: train {len(fold.train)}, dev {len(fold.dev)}, test {len(fold.test)}")


@app.command()
def audit(
    table: Table,
    split: Annotated[Path, typer.Argument(metavar="SPLIT", help="Frozen by `emofuse corpus split`.")],
    fold: Annotated[int | None, typer.Option(min=0, help="This fold only; default: every fold.")] = None,
    audio: Annotated[bool, typer.Option(help="Listen to all audio too; the second time it is known.")] = True,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the findings to this file too.")] = None,
) -> None:
    """Look for leaks between the parts of a split, and for rows at fault. Exit code 1 if a leak is found.

    Checks that passed are listed where one fold is audited, and counted where there are several.
    """
    from emofuse.config import SplitConfig
    from emofuse.corpora import audit as auditing
    from emofuse.corpora.splits import make_split, make_splits
    from emofuse.corpora.table import read_table

    df = read_table(table)
    config = SplitConfig(rule="given", folds=str(split), allow_shared_speakers=True)  # to be told, not refused
    if fold is None:
        folds = dict(enumerate(make_splits(df, config)))
    else:
        folds = {fold: make_split(df, config.model_copy(update={"fold": fold}))}
    audits: dict[int, auditing.Audit] = {}
    for number, parts in folds.items():
        audits[number] = auditing.audit(df, parts, audio=audio, progress=True)
        told = auditing.render(audits[number], brief=len(folds) > 1, colour=sys.stdout.isatty())
        typer.echo(f"{split}, fold {number}\n{told}")
    _put_json({"table": str(table), "folds": {n: found.to_dict() for n, found in audits.items()}}, json)
    if failed := [number for number, found in audits.items() if found.failed]:
        raise EmofuseError(f"{split}: the audit failed in fold {', '.join(map(str, failed))}; see the errors above.")


@app.command()
def transcribe(
    table: Table,
    out: Annotated[Path | None, typer.Option(help="Table to write.")] = None,
    in_place: Annotated[bool, typer.Option("--in-place", help="Overwrite TABLE.")] = False,
    model: Annotated[str, typer.Option(help="Speech recogniser.")] = "whisper-base",
    language: Annotated[str | None, typer.Option(help="Of the speech, such as en; default: that of each row.")] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the word error rates to this file.")] = None,
) -> None:
    """Fill the column text by speech recognition; human transcripts move to human_text and are compared."""
    import os

    from emofuse.corpora.table import TableError, read_table, write_table
    from emofuse.corpora.table_files import check_ending
    from emofuse.corpora.transcribe import output_path, render_wer, transcribe_table, wer_report
    from emofuse.encoders.recogniser import Transcriber
    from emofuse.files import cache_dir

    out = output_path(table, out, in_place=in_place)
    check_ending(out)
    df = read_table(table)
    recogniser = Transcriber(model, threads=1, workers=os.cpu_count() or 1)  # several short clips at once
    df = transcribe_table(df, recogniser, cache=cache_dir() / "transcripts.sqlite", language=language)
    write_table(df, out)
    typer.echo(f"{out}: {_summary(df)}")
    try:
        report = wer_report(df)
    except TableError as error:  # many corpora have no human transcripts: that is why they are transcribed
        if json:
            raise
        typer.echo(f"no word error rate: {error}")
    else:
        typer.echo(render_wer(report), nl=False)
        _put_json(report, json)


@app.command()
def export(
    table: Table, out: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the new database.")]
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


def _summary(df: pd.DataFrame) -> str:
    """One line on a table: size, and rows without audio, text or category."""
    lacks = [f"{df[c].isna().sum()} without {name}" for c, name in _LACKS.items() if df[c].isna().any()]
    return ", ".join([f"{len(df)} utterances", f"{df['speaker'].nunique()} speakers", *lacks])


_LACKS = {"file": "audio", "text": "text", "emotion": "shared category", "valence": "A/V/D"}


def _put_json(value: object, path: Path | None) -> None:
    from emofuse.files import write_json

    if path:
        write_json(path, value)
