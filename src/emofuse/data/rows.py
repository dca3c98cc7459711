"""The rows that a recipe trains, develops and tests on: read, split, audited, labelled, and composed if it says so."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from emofuse.config import ComposedConfig, Recipe
from emofuse.corpora.agreement import votes_of
from emofuse.corpora.audit import Audit
from emofuse.corpora.composed import compose, compose_task
from emofuse.corpora.recipe_rows import audit_split, read_and_split, restricted
from emofuse.corpora.splits import PARTS, Split, shared_speakers
from emofuse.corpora.table import texts_of, without_mere_marks
from emofuse.errors import EmofuseError
from emofuse.files import hash_of
from emofuse.labels import DIMENSIONS, weak_dimensions

LABEL = "label"  # column that `select_rows` adds: the category of the recipe's labels


@dataclass
class Rows:
    """The rows of a run, by part of its split.

    Attributes:
        parts: tables of train (with dev and test, where the recipe fits on them too), dev and test; with `LABEL`.
        whole: the rows of all parts, without the pairs that task "mix" adds to train and dev.
        split: the keys of each part in `whole`.
        sources: the rows of each corpus, for the model card.
        notes: remarks for readers of the results: leaks that the audit found, rows that were left out.
        audits: the audit of each corpus and its split, made before rows were left out.
    """

    parts: dict[str, pd.DataFrame]
    whole: pd.DataFrame
    split: Split
    sources: list[pd.DataFrame]
    notes: list[str]
    audits: dict[str, Audit]


def select_rows(recipe: Recipe, *, data: Path | None = None) -> Rows:
    """Read, split and audit the corpora of a recipe, and select the rows that it can use.

    Rows of a test part without any label are selected too: they are predicted, but not scored.

    Args:
        recipe: names the corpora, labels and model.
        data: folder that relative corpus roots start from; EMOFUSE_DATA or the working folder if None.

    Raises:
        EmofuseError: a corpus is absent or has bad rows, or too few rows remain to train on.
    """
    read, sources = read_rows(recipe, data=data)
    used_tables, splits = [], []
    audits: dict[str, Audit] = {}
    notes: list[str] = []
    for table, split in read:
        name = _name(table) if _name(table) not in audits else f"{_name(table)}, {len(audits) + 1}"
        audits[name] = audit_split(table, split)
        notes += [f"{name}: {finding.message}." for finding in audits[name].findings if finding.severity == "error"]
        table = _labelled(table, recipe, notes, test=split.test)
        split = restricted(split, table)
        split_keys = {key for part in PARTS for key in getattr(split, part)}
        used_tables.append(table[table["key"].isin(split_keys)])
        splits.append(split)
    whole = pd.concat(used_tables, ignore_index=True)
    split = splits[0] if len(splits) == 1 else _merged(splits, used_tables, whole)
    by_key = whole.set_index("key", drop=False)
    parts = {part: by_key.loc[list(getattr(split, part))].reset_index(drop=True) for part in PARTS}
    composed = recipe.data.composed
    if composed is not None and composed.task == "mix":
        _add_composed(parts, composed, recipe)
    parts["train"] = pd.concat([parts[part] for part in recipe.training.fitted_parts], ignore_index=True)
    if len(parts["train"]) < 2 or len(parts["dev"]) < 1:
        sizes = ", ".join(f"{part} {len(rows)}" for part, rows in parts.items())
        raise EmofuseError(
            f"recipe {recipe.name}: the split leaves too few rows: {sizes}. At least train 2 and dev 1 are needed."
        )
    return Rows(parts, whole, split, sources or used_tables, notes, audits)


def read_rows(
    recipe: Recipe, *, data: Path | None = None
) -> tuple[list[tuple[pd.DataFrame, Split]], list[pd.DataFrame]]:
    """Read the corpora of a recipe with their splits, or compose the pairs of its task from them; see `select_rows`.

    Returns:
        The rows and split of each corpus, or of the pairs; and for pairs the rows they were made from, by corpus.
    """
    read = [read_and_split(corpus, data) for corpus in recipe.data.corpora]
    if recipe.data.composed is None or recipe.data.composed.task == "mix":
        return read, []
    pairs, sources = _composed(read, recipe.data.composed, recipe)
    return [pairs], sources


def labelled_parts(recipes: Sequence[Recipe], part: str, *, data: Path | None = None) -> list[pd.DataFrame]:
    """The rows of one part as `select_rows` gives them, with the column `LABEL`, for each recipe.

    Recipes that read the same corpora share one reading. `text` is what the recipe reads; but if that is `human_text`,
    `text` keeps what the recogniser wrote. The rows of a composed task are its pairs; pairs that are composed to train
    beside the rows of corpora are left out.

    Args and errors as for `select_rows`.
    """
    read: dict[str, list[tuple[pd.DataFrame, Split]]] = {}
    tables = []
    for recipe in recipes:
        source = hash_of([recipe.data.model_dump(mode="json"), recipe.text.model_dump(mode="json")])
        if source not in read:
            read[source] = read_rows(recipe, data=data)[0]
        tables.append(pd.concat([_part(*rows, part, recipe) for rows in read[source]], ignore_index=True))
    return tables


def _part(table: pd.DataFrame, split: Split, part: str, recipe: Recipe) -> pd.DataFrame:
    labelled = _labelled(table, recipe, [])
    if recipe.text.column == "human_text":
        labelled["text"] = labelled["key"].map(dict(zip(table["key"], texts_of(table["text"]), strict=True)))
    return labelled[labelled["key"].isin(getattr(split, part))]


def _labelled(table: pd.DataFrame, recipe: Recipe, notes: list[str], *, test: Collection[str] = ()) -> pd.DataFrame:
    """The rows that have a label for at least one head of the model, and a modality that it reads.

    The added column `LABEL` holds the category of the recipe's labels, or None. If no row of the test part (`test`, its
    keys) has a label, all of them are selected.
    """
    labels = recipe.data.labels
    table = _with_words(table, recipe)
    if labels.weak_dimensions:
        spoken = table["file"].notna()
        table = pd.concat([weak_dimensions(table[spoken]), table[~spoken]]).sort_index()
    named = _as_text(_column(table, labels.column, recipe)).replace(labels.merge)
    table[LABEL] = named.where(named.isin(labels.names), None)
    useful = pd.Series(False, index=table.index)
    if "categories" in recipe.model.heads:
        useful |= table[LABEL].notna()
        if labels.soft and "votes" in table:
            votes_by_row = [votes_of(votes, key) for key, votes in zip(table["key"], table["votes"], strict=True)]
            useful |= np.array([any(map(votes.get, labels.names)) for votes in votes_by_row])
    if "dimensions" in recipe.model.heads:
        useful |= table[list(DIMENSIONS)].notna().any(axis=1)
    tested = table["key"].isin(test)
    if tested.any() and useful.any() and not useful[tested].any():
        useful |= tested
        notes.append(
            f"{_name(table)}: none of the {tested.sum()} rows of the test part has a label of this recipe, so they are "
            "predicted but not scored."
        )
    if recipe.model.fusion == "audio_only":
        useful &= table["file"].notna()
    if recipe.model.fusion == "text_only":
        useful &= table["text"].notna()
    if left_out := int((~useful).sum()):
        notes.append(
            f"{_name(table)}: {left_out} of {len(table)} rows left out, "
            "because they lack a label or a modality that this model uses."
        )
    if not useful.any():
        raise EmofuseError(
            f"recipe {recipe.name}: no row of {_name(table)} has a label among {labels.names} (column {labels.column}) "
            "and a modality that the model reads."
        )
    return table[useful].reset_index(drop=True)


def _with_words(table: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """The table with the transcripts of the recipe's column, except those that it excludes."""
    config = recipe.text
    table = table.assign(text=_as_text(_column(table, config.column, recipe)))
    table["text"] = without_mere_marks(table["text"], table["file"])
    if config.min_confidence and config.column == "text" and "asr_confidence" in table:
        confidence = pd.to_numeric(table["asr_confidence"], errors="coerce")
        table["text"] = table["text"].mask(confidence < config.min_confidence, None)
    if config.languages is not None:
        foreign = table["language"].notna() & ~table["language"].isin(config.languages)
        table["text"] = table["text"].mask(foreign, None)
    return table


def _column(table: pd.DataFrame, column: str, recipe: Recipe) -> pd.Series:
    if column not in table:
        columns = ", ".join(table.columns)
        raise EmofuseError(f"recipe {recipe.name}: {_name(table)} has no column {column!r}. Its columns are {columns}.")
    return table[column]


def _as_text(values: pd.Series) -> pd.Series:
    return pd.Series(texts_of(values), index=values.index, dtype=object)


def _name(table: pd.DataFrame) -> str:
    return ", ".join(sorted(table["corpus"].unique()))


def _merged(splits: list[Split], tables: list[pd.DataFrame], whole: pd.DataFrame) -> Split:
    """One split of all corpora.

    Raises:
        EmofuseError: two corpora have the same row, or a speaker of both is in a different part of each.
    """
    repeated = whole.loc[whole["key"].duplicated(), "key"]
    if len(repeated):
        raise EmofuseError(
            f"{len(repeated)} rows stand under two of data.corpora (such as {repeated.min()}), so they would count "
            "twice and could be in training and in test. Name each corpus once, or choose rows that differ by `where`."
        )
    parts = {part: tuple(key for split in splits for key in getattr(split, part)) for part in PARTS}
    split = Split(**parts, rule=" + ".join(split.rule for split in splits))
    known = {name for table, part_of in zip(tables, splits, strict=True) for name in shared_speakers(table, part_of)}
    if shared := shared_speakers(whole, split) - known:
        raise EmofuseError(
            f"{len(shared)} speakers stand under two of data.corpora in parts that differ (such as {min(shared)}), so "
            "they would be in training and in test. Give both the same split of speakers; or, if these are different "
            "people, write the corpus before their names."
        )
    return split


def _composed(
    read: list[tuple[pd.DataFrame, Split]], config: ComposedConfig, recipe: Recipe
) -> tuple[tuple[pd.DataFrame, Split], list[pd.DataFrame]]:
    """The pairs of a task with their split, and the rows of each corpus that the pairs were made from."""
    tables = [_with_words(table, recipe) for table, _ in read]
    whole = pd.concat(tables, ignore_index=True)
    split = _merged([split for _, split in read], tables, whole)
    clips = whole[whole["corpus"].isin(config.audio) & whole["file"].notna()]
    sentences = whole[whole["corpus"].isin(config.text) & whole["text"].notna()].assign(file=None)
    for names, rows, what in ((config.audio, clips, "clips"), (config.text, sentences, "sentences")):
        if absent := sorted(set(names) - set(rows["corpus"])):
            raise EmofuseError(f"recipe {recipe.name}: data.corpora have no {what} of {', '.join(absent)} to compose.")
    parts = compose_task(
        config.task,
        {part: clips[clips["key"].isin(getattr(split, part))] for part in PARTS},
        {part: sentences[sentences["key"].isin(getattr(split, part))] for part in PARTS},
        pairs={"train": config.train_pairs, "dev": config.dev_pairs, "test": config.test_pairs},
        seed=config.seed,
    )
    table = pd.concat(parts.values(), ignore_index=True)
    used = pd.concat([clips[clips["key"].isin(table["clip"])], sentences[sentences["key"].isin(table["sentence"])]])
    sources = [rows for _, rows in used.drop_duplicates("key").groupby("corpus")]
    keys = {part: tuple(sorted(rows["key"])) for part, rows in parts.items()}
    rule = f"composed {config.task} seed={config.seed} of {split.rule}"
    return (table.assign(**{recipe.text.column: table["text"]}), Split(**keys, rule=rule)), sources


def _add_composed(parts: dict[str, pd.DataFrame], config: ComposedConfig, recipe: Recipe) -> None:
    for part, pairs in (("train", config.train_pairs), ("dev", config.dev_pairs)):
        table = parts[part]
        audio = table[table["corpus"].isin(config.audio) & table["file"].notna()]
        text = table[table["corpus"].isin(config.text) & table["text"].notna()]
        if not pairs or audio.empty or text.empty:
            continue
        composed = compose(audio, text, pairs=pairs, seed=config.seed)
        if recipe.data.labels.weak_dimensions:
            composed = weak_dimensions(composed)
        parts[part] = pd.concat([table, composed], ignore_index=True)
