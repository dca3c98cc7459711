"""The corpora that a recipe names: where they lie, the rows it chooses, their parts and folds."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pyarrow
from filelock import FileLock

from emofuse.config import FOLDED, CorpusConfig, Recipe
from emofuse.corpora import read_corpus
from emofuse.corpora.audit import Audit, audit
from emofuse.corpora.select import select
from emofuse.corpora.splits import PARTS, Split, make_split, n_folds
from emofuse.errors import EmofuseError
from emofuse.files import atomic, hash_of, read_json, write_json


def data_folder(data: Path | None) -> Path:
    """Folder that relative corpus roots start from: as given, else EMOFUSE_DATA, else the working folder."""
    return data or (Path(os.environ["EMOFUSE_DATA"]) if "EMOFUSE_DATA" in os.environ else Path.cwd())


def read_and_split(config: CorpusConfig, data: Path | None, tables: Path | None = None) -> tuple[pd.DataFrame, Split]:
    """The chosen rows of a corpus, and its split; a given split is of the whole corpus, others are of those rows.

    Args:
        config: of the corpus.
        data: folder that relative corpus roots start from.
        tables: folder in which runs that start together share the tables that were read; None: read anew.

    Raises:
        EmofuseError: the corpus is absent or has bad rows, or its split cannot be made.
    """
    base = data_folder(data)
    table = _read(config, base) if tables is None else _shared(config, base, tables)
    rule = config.split
    if rule.folds is not None and rule.folds.endswith(".json"):
        rule = rule.model_copy(update={"folds": str(base / rule.folds)})
    chosen = select(table, config.where)
    split = make_split(table if rule.rule == "given" else chosen, rule)
    return chosen, restricted(split, chosen)


def _read(config: CorpusConfig, base: Path) -> pd.DataFrame:
    return read_corpus(
        config.reader,
        base / config.root,
        allow_missing=config.allow_missing,
        columns=config.columns,
        emotions=config.emotions,
        scale=config.scale,
    )


def _shared(config: CorpusConfig, base: Path, tables: Path) -> pd.DataFrame:
    """As `_read`, by whoever needs the corpus first; the others take the table from the folder."""
    source = config.model_dump(mode="json", exclude={"split", "where"})
    path = tables / f"{hash_of([source, str((base / config.root).absolute())])[:24]}.parquet"
    with FileLock(path.with_suffix(".lock")):
        if path.exists():
            return _read_back(path)
        table = _read(config, base)
        with suppress(pyarrow.ArrowException), atomic(path) as temporary:  # else each reads for itself
            table.to_parquet(temporary)
            if not _read_back(temporary).equals(table):
                raise pyarrow.ArrowInvalid("the table does not come back as it was")
        return table


def _read_back(path: Path) -> pd.DataFrame:
    """A table of `read_corpus` from Parquet, its texts as Python strings and None again."""
    table = pd.read_parquet(path)
    texts: pd.DataFrame = table.select_dtypes("str").astype(object)
    return table.assign(**texts.where(texts.notna(), None))


def audited(table: pd.DataFrame, split: Split, tables: Path | None) -> Audit:
    """The audit of a split, without the sound of its clips; `tables` as for `read_and_split`."""
    if tables is None:
        return audit(table, split, audio=False)
    rows = hashlib.sha256(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes()).hexdigest()
    path = tables / f"audit-{hash_of([rows, split.hash])[:24]}.json"
    with FileLock(path.with_suffix(".lock")):
        if path.exists():
            return Audit.from_dict(read_json(path))
        found = audit(table, split, audio=False)
        write_json(path, found.to_dict())
        return found


def restricted(split: Split, table: pd.DataFrame) -> Split:
    """The split without keys that are not in the table."""
    there = set(table["key"])
    parts = {part: tuple(key for key in getattr(split, part) if key in there) for part in PARTS}
    return Split(**parts, rule=split.rule)


def count_folds(recipe: Recipe, data: Path | None, tables: Path | None = None) -> int:
    """Number of folds of a recipe's split; 0 where no corpus has a rule with folds.

    Raises:
        EmofuseError: corpora have folds that differ in number; and what reading them raises.
    """
    counts = {}
    for corpus in recipe.data.corpora:
        if corpus.split.rule in FOLDED:
            counts[corpus.reader] = n_folds(read_and_split(corpus, data, tables)[0], corpus.split)
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise EmofuseError(f"recipe {recipe.name}: folds differ in number ({found}). Expected equally many of each.")
    return max(counts.values(), default=0)
