"""The corpora that a recipe names: where they lie, the rows it chooses, their parts and folds."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from emofuse.config import FOLDED, CorpusConfig, Recipe
from emofuse.corpora import read_corpus
from emofuse.corpora.select import select
from emofuse.corpora.splits import PARTS, Split, make_split, n_folds
from emofuse.errors import EmofuseError


def data_folder(data: Path | None) -> Path:
    """Folder that relative corpus roots start from: as given, else EMOFUSE_DATA, else the working folder."""
    return data or (Path(os.environ["EMOFUSE_DATA"]) if "EMOFUSE_DATA" in os.environ else Path.cwd())


def read_and_split(config: CorpusConfig, data: Path | None) -> tuple[pd.DataFrame, Split]:
    """The chosen rows of a corpus, and its split; a given split is of the whole corpus, others are of those rows."""
    base = data_folder(data)
    table = read_corpus(
        config.reader,
        base / config.root,
        allow_missing=config.allow_missing,
        columns=config.columns,
        emotions=config.emotions,
        scale=config.scale,
    )
    rule = config.split
    if rule.folds is not None and rule.folds.endswith(".json"):
        rule = rule.model_copy(update={"folds": str(base / rule.folds)})
    chosen = select(table, config.where)
    split = make_split(table if rule.rule == "given" else chosen, rule)
    return chosen, restricted(split, chosen)


def restricted(split: Split, table: pd.DataFrame) -> Split:
    """The split without keys that are not in the table."""
    there = set(table["key"])
    parts = {part: tuple(key for key in getattr(split, part) if key in there) for part in PARTS}
    return Split(**parts, rule=split.rule)


def count_folds(recipe: Recipe, data: Path | None) -> int:
    """Number of folds of a recipe's split; 0 where no corpus has a rule with folds.

    Raises:
        EmofuseError: corpora have folds that differ in number; and what reading them raises.
    """
    counts = {}
    for corpus in recipe.data.corpora:
        if corpus.split.rule in FOLDED:
            counts[corpus.reader] = n_folds(read_and_split(corpus, data)[0], corpus.split)
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise EmofuseError(f"recipe {recipe.name}: folds differ in number ({found}). Expected equally many of each.")
    return max(counts.values(), default=0)
