"""From a recipe to the three parts of its data: corpora read, split, composed, embedded, with features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emofuse.config import ComposedConfig, Recipe, TextConfig
from emofuse.corpora.agreement import votes_of
from emofuse.corpora.audit import Audit, audit
from emofuse.corpora.chosen import read_and_split, restricted
from emofuse.corpora.composed import compose, compose_task
from emofuse.corpora.labels import DIMENSIONS, weak_dimensions
from emofuse.corpora.splits import PARTS, Split, shared_speakers
from emofuse.corpora.table import texts_of
from emofuse.errors import EmofuseError
from emofuse.files import cache_dir, hash_of
from emofuse.training.data import Frames, Utterances
from emofuse.training.features import clips_of, compute_features
from emofuse.training.states import POOL, LayerStates, compute_states

LABEL = "label"  # column that `prepare` adds: the category of the recipe's labels


@dataclass
class Prepared:
    """Everything a run reads.

    Attributes:
        parts: train (with dev and test, where the recipe fits on them too), dev and test.
        split: the keys of each part over all corpora; pairs that are composed to train beside them are not in it.
        audio: identity of the speech encoder (name, weights_hash, layers, pool, dim), or None for a CNN.
        text: identity of the text encoder (name, weights_hash, pooling, dim), or None where the model reads no text.
        corpora: facts on each corpus for the model card.
        notes: what a reader of the results should know (leaks that the audit found, rows left out).
        audits: what the audit of each corpus and its split found, before rows were left out.
    """

    parts: dict[str, Utterances]
    split: Split
    audio: dict[str, Any] | None
    text: dict[str, Any] | None
    corpora: list[dict[str, Any]]
    notes: list[str]
    audits: dict[str, Audit]


def prepare(recipe: Recipe, *, data: Path | None = None) -> Prepared:
    """Read and split the corpora of a recipe, compute (or find) features and summary embeddings.

    Args:
        recipe: what to prepare.
        data: folder that relative corpus roots start from; EMOFUSE_DATA or the working folder if None.

    Raises:
        EmofuseError: a corpus is absent or has bad rows, or no row is left to train on.
    """
    read, sources = read_rows(recipe, data=data)
    composed = recipe.data.composed
    tables, splits = [], []
    audits: dict[str, Audit] = {}
    notes: list[str] = []
    for table, split in read:
        name = _name(table) if _name(table) not in audits else f"{_name(table)}, {len(audits) + 1}"
        audits[name] = audit(table, split, audio=False)
        notes += [f"{name}: {found.message}." for found in audits[name].findings if found.severity == "error"]
        table = _labelled(table, recipe, notes)
        split = restricted(split, table)
        used = {key for part in PARTS for key in getattr(split, part)}
        tables.append(table[table["key"].isin(used)])
        splits.append(split)
    whole = pd.concat(tables, ignore_index=True)
    split = splits[0] if len(splits) == 1 else _merged(splits, tables, whole)
    hears_states = recipe.model.hears_states and recipe.model.fusion != "text_only"
    audio, features, copies = _states(whole, recipe) if hears_states else (None, *_log_mel(whole))
    by_key = whole.set_index("key", drop=False)
    parts = {part: by_key.loc[list(getattr(split, part))].reset_index(drop=True) for part in PARTS}
    if composed is not None and composed.task == "mix":
        _add_composed(parts, composed, recipe)
    parts["train"] = pd.concat([parts[part] for part in recipe.training.fitted], ignore_index=True)
    if recipe.model.fusion == "audio_only":
        text, embeddings = None, dict[str, np.ndarray]()
    else:
        texts = pd.concat(parts.values())["text"].dropna().unique().tolist()
        text, embeddings = embed(texts, recipe.text)
    utterances = {
        part: Utterances(
            table,
            labels=recipe.data.labels.names,
            label_column=LABEL,
            soft=recipe.data.labels.soft,
            features=features,
            copies=copies if part == "train" else (),
            embeddings=embeddings,
            text_dim=text["dim"] if text else 1,
            balanced=recipe.training.class_balanced,
        )
        for part, table in parts.items()
    }
    if len(utterances["train"]) < 2 or len(utterances["dev"]) < 1:
        raise EmofuseError(f"recipe {recipe.name}: the split leaves too few rows: " + _sizes(utterances))
    facts = [_facts(table, features) for table in sources or tables]
    return Prepared(utterances, split, audio, text, facts, notes, audits)


def read_rows(
    recipe: Recipe, *, data: Path | None = None
) -> tuple[list[tuple[pd.DataFrame, Split]], list[pd.DataFrame]]:
    """The corpora of a recipe with their splits, or the pairs that its task composes of them.

    Returns:
        Rows and split of each corpus, or of the pairs; and what the pairs were made from, by corpus.

    Raises:
        EmofuseError: a corpus is absent or has bad rows.
    """
    read = [read_and_split(corpus, data) for corpus in recipe.data.corpora]
    if recipe.data.composed is None or recipe.data.composed.task == "mix":
        return read, []
    pairs, sources = _composed(read, recipe.data.composed, recipe)
    return [pairs], sources


def labelled_part(recipe: Recipe, part: str, *, data: Path | None = None) -> pd.DataFrame:
    """The rows of one part as `prepare` has them, with the column `LABEL`, without features.

    `text` is what the recipe reads; but where that is `human_text`, `text` keeps what a recogniser heard. Of a composed
    task these are its pairs; pairs that are composed to train beside other rows are not there.

    Args:
        recipe: whose rows.
        part: train, dev or test.
        data: as for `prepare`.

    Raises:
        EmofuseError: a corpus is absent or has bad rows.
    """
    [table] = labelled_parts([recipe], part, data=data)
    return table


def labelled_parts(recipes: Sequence[Recipe], part: str, *, data: Path | None = None) -> list[pd.DataFrame]:
    """As `labelled_part` for each recipe; what several read alike is read once."""
    read: dict[str, list[tuple[pd.DataFrame, Split]]] = {}
    found = []
    for recipe in recipes:
        source = hash_of([recipe.data.model_dump(mode="json"), recipe.text.model_dump(mode="json")])
        if source not in read:
            read[source] = read_rows(recipe, data=data)[0]
        found.append(pd.concat([_part(*rows, part, recipe) for rows in read[source]], ignore_index=True))
    return found


def _part(table: pd.DataFrame, split: Split, part: str, recipe: Recipe) -> pd.DataFrame:
    labelled = _labelled(table, recipe, [])
    if recipe.text.column == "human_text":
        labelled["text"] = labelled["key"].map(dict(zip(table["key"], texts_of(table["text"]), strict=True)))
    return labelled[labelled["key"].isin(getattr(split, part))]


def _log_mel(table: pd.DataFrame) -> tuple[Frames, list[Frames]]:
    return compute_features(table, cache_dir() / "features"), []


def _states(table: pd.DataFrame, recipe: Recipe) -> tuple[dict[str, Any], Frames, list[Frames]]:
    """The speech encoder's identity, the hidden states of the recipe's frozen layers, and those of varied copies.

    Where layers are trained, what they take is not yet averaged over time: that is four times as much, and of no use
    without training, so the store holds the frozen layers alone.
    """
    from emofuse.models.fine_tuned import require_whisper
    from emofuse.models.whisper import load_speech_encoder

    encoder = load_speech_encoder(recipe.model.speech_encoder)
    layers, frozen = recipe.model.layers, recipe.model.frozen_layers
    if max(layers) >= encoder.layers:
        raise EmofuseError(
            f"model.layers = {layers}: {encoder.name} has hidden states 0 to {encoder.layers - 1} (0: the input of the "
            "first layer)."
        )
    kept, pool = list(range(encoder.layers)), POOL
    if recipe.model.fine_tune_layers:
        require_whisper(encoder)
        kept, pool = frozen, 1
    places = [kept.index(layer) for layer in frozen]
    frames: list[Frames] = []
    for varied in range(recipe.training.varied_copies + 1):
        stored = compute_states(table, cache_dir() / "features", encoder, layers=kept, pool=pool, varied=varied)
        frames.append(LayerStates(stored, places, of=len(kept), rate=encoder.rate / pool))
    identity = {**encoder.identity, "layers": frozen, "pool": pool}
    return identity, frames[0], frames[1:]


def embed(texts: Sequence[str], config: TextConfig) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Summary embedding of each distinct transcript, through the cache."""
    from emofuse.text.encoder import CachedTextEncoder, load_text_encoder

    encoder = CachedTextEncoder(load_text_encoder(config.encoder, config.pooling), cache_dir() / "text")
    spoken = [text for text in texts if text.strip()]
    return encoder.identity, dict(zip(spoken, encoder.encode(spoken), strict=True))


def _labelled(table: pd.DataFrame, recipe: Recipe, notes: list[str]) -> pd.DataFrame:
    """Rows that can teach or test at least one head of the model, and one modality that it reads.

    The column `LABEL` is added: the category of the recipe's labels, None for others.
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
            cast = [votes_of(votes, key) for key, votes in zip(table["key"], table["votes"], strict=True)]
            useful |= np.array([any(map(votes.get, labels.names)) for votes in cast])
    if "dimensions" in recipe.model.heads:
        useful |= table[list(DIMENSIONS)].notna().any(axis=1)
    if recipe.model.fusion == "audio_only":
        useful &= table["file"].notna()
    if recipe.model.fusion == "text_only":
        useful &= table["text"].notna()
    if left_out := int((~useful).sum()):
        notes.append(
            f"{_name(table)}: {left_out} of {len(table)} rows left out (no label or no modality that this model uses)."
        )
    if not useful.any():
        raise EmofuseError(
            f"recipe {recipe.name}: no row of {_name(table)} has a label among {labels.names} (column {labels.column}) "
            "and a modality that the model reads."
        )
    return table[useful].reset_index(drop=True)


def _with_words(table: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """The table with the transcripts of the recipe's column, as far as their confidence and language will do."""
    config = recipe.text
    table = table.assign(text=_as_text(_column(table, config.column, recipe)))
    if config.min_confidence and config.column == "text" and "asr_confidence" in table:
        confidence = pd.to_numeric(table["asr_confidence"], errors="coerce")
        table["text"] = table["text"].mask(confidence < config.min_confidence, None)
    if config.languages is not None:
        foreign = table["language"].notna() & ~table["language"].isin(config.languages)
        table["text"] = table["text"].mask(foreign, None)
    return table


def _column(table: pd.DataFrame, column: str, recipe: Recipe) -> pd.Series:
    if column not in table:
        there = ", ".join(table.columns)
        raise EmofuseError(f"recipe {recipe.name}: {_name(table)} has no column {column!r}. There are {there}.")
    return table[column]


def _as_text(values: pd.Series) -> pd.Series:
    return pd.Series(texts_of(values), index=values.index, dtype=object)


def _name(table: pd.DataFrame) -> str:
    return ", ".join(sorted(table["corpus"].unique()))


def _merged(splits: list[Split], tables: list[pd.DataFrame], whole: pd.DataFrame) -> Split:
    """One split of all corpora.

    Raises:
        EmofuseError: a row stands in two corpora, or a speaker in another part of each.
    """
    repeated = whole.loc[whole["key"].duplicated(), "key"]
    if len(repeated):
        raise EmofuseError(
            f"{len(repeated)} rows stand under two of data.corpora (such as {repeated.min()}): they would count twice, "
            "and could be trained and tested on. Name each corpus once, or choose rows that differ by `where`."
        )
    parts = {part: tuple(key for split in splits for key in getattr(split, part)) for part in PARTS}
    split = Split(**parts, rule=" + ".join(split.rule for split in splits))
    known = {name for table, own in zip(tables, splits, strict=True) for name in shared_speakers(table, own)}
    if shared := shared_speakers(whole, split) - known:
        raise EmofuseError(
            f"{len(shared)} speakers stand under two of data.corpora in parts that differ (such as {min(shared)}): "
            "they would be trained and tested on. Give both the same split of speakers; or, if these are different "
            "people, write the corpus before their names."
        )
    return split


def _composed(
    read: list[tuple[pd.DataFrame, Split]], config: ComposedConfig, recipe: Recipe
) -> tuple[tuple[pd.DataFrame, Split], list[pd.DataFrame]]:
    """The pairs of a task and their split, and the rows of each corpus that they were made from."""
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


def _facts(table: pd.DataFrame, features: Frames) -> dict[str, Any]:
    seconds = [features.length(clip) / features.rate for clip in clips_of(table) if clip]
    return {
        "name": _name(table),
        "rows": len(table),
        "with_audio": int(table["file"].notna().sum()),
        "with_text": int(table["text"].notna().sum()),
        "speakers": int(table["speaker"].nunique()),
        "languages": sorted(table["language"].dropna().unique().tolist()),
        "hours": round(sum(seconds) / 3600, 2),
        "duration_range": [round(min(seconds), 1), round(max(seconds), 1)] if seconds else [],
    }


def _sizes(parts: dict[str, Utterances]) -> str:
    return ", ".join(f"{part} {len(rows)}" for part, rows in parts.items()) + "."
