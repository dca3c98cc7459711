"""Train, development and test parts of a corpus, as keys. Speaker-disjoint, unless the corpus's official split is not.

Every rule looks at keys and speakers only, never at the order of rows.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emofuse.config import SplitConfig
from emofuse.corpora.table import TableError
from emofuse.files import hash_of, read_json, write_json

PARTS = ("train", "dev", "test")
_OFFICIAL = {"train": "train", "dev": "dev", "valid": "dev", "validation": "dev", "development": "dev", "test": "test"}
_FOLDS = Path(__file__).parent / "folds"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """The keys of each part, sorted; `rule` says in words how they came about."""

    train: tuple[str, ...]
    dev: tuple[str, ...]
    test: tuple[str, ...]
    rule: str

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the rule and the keys of each part."""
        return hash_of({"rule": self.rule, **{part: sorted(getattr(self, part)) for part in PARTS}})

    def save(self, path: Path | str) -> None:
        """Write as JSON, with the hash."""
        write_json(path, {"rule": self.rule, "hash": self.hash, **{part: list(getattr(self, part)) for part in PARTS}})

    @classmethod
    def load(cls, path: Path | str) -> Split:
        """Read what `save` wrote.

        Raises:
            TableError: something is missing, or the keys are not those that were saved.
        """
        saved = read_json(path)
        try:
            split = cls(tuple(saved["train"]), tuple(saved["dev"]), tuple(saved["test"]), saved["rule"])
            expected = saved["hash"]
        except (KeyError, TypeError) as error:
            raise TableError(f"{path}: no saved split; expected rule, hash, train, dev and test.") from error
        if split.hash != expected:
            raise TableError(f"{path}: the keys do not match the hash; the file was changed. Make the split again.")
        return split


def make_split(df: pd.DataFrame, config: SplitConfig) -> Split:
    """Part the rows of one corpus.

    Rules: `given` (a shipped fold file or a user's JSON), `k_fold` (groups of speakers, alike in rows and gender),
    `leave_one_out` (fold i tests the i-th speaker by name), `hold_out` (shares of the speakers) and `official`
    (the column `official_split`). Where folds are groups of speakers, the next group (cyclic) is for development and
    the rest for training.

    Raises:
        TableError: a row without speaker (all rules but `official`), too few speakers, a fold out of range, a speaker
            in two parts, keys that are not in the table or listed twice, an official part that is empty or unknown.
    """
    if config.rule == "official":
        _check_fold(config.fold, 1)
        return _official(df)
    missing = df.loc[df["speaker"].isna(), "key"]
    if len(missing):
        raise TableError(
            f"{_corpus(df)}: {len(missing)} of {len(df)} rows have no speaker (first: {missing.min()}), so no "
            f'speaker-disjoint split can be made. Fill the column speaker, or use rule = "official".'
        )
    if config.rule == "given":
        return _given(df, config)
    if config.rule == "hold_out":
        _check_fold(config.fold, 1)
        return _hold_out(df, config)
    if config.rule == "k_fold":
        groups = _groups(df, config.k, config.seed)
        rule = f"k_fold k={config.k} fold={config.fold} seed={config.seed}"
    else:
        groups = [[speaker] for speaker in sorted(df["speaker"].unique())]
        rule = f"leave_one_out fold={config.fold}"
    return _by_groups(df, groups, config.fold, rule)


def shared_speakers(df: pd.DataFrame, split: Split) -> set[str]:
    """Speakers with rows in more than one part; empty for every rule but possibly `official`."""
    part_of = {key: part for part in PARTS for key in getattr(split, part)}
    parts = df["key"].map(part_of)
    counts = parts.groupby(df["speaker"]).nunique()
    return set(counts.index[counts > 1])


def _corpus(df: pd.DataFrame) -> str:
    return ", ".join(sorted(df["corpus"].unique()))


def _check_fold(fold: int, n: int) -> None:
    if fold >= n:
        raise TableError(f"split.fold = {fold} is out of range: this split has {n} fold{'s'[: n > 1]}, counted from 0.")


def _by_speaker(df: pd.DataFrame, dev: Iterable[str], test: Iterable[str], rule: str) -> Split:
    dev, test = set(dev), set(test)
    part = np.where(df["speaker"].isin(test), "test", np.where(df["speaker"].isin(dev), "dev", "train"))
    return _split(df["key"], part, rule)


def _split(keys: pd.Series, part: Any, rule: str) -> Split:
    train, dev, test = (tuple(sorted(keys[part == name])) for name in PARTS)
    return Split(train, dev, test, rule)


def _by_groups(df: pd.DataFrame, groups: Sequence[Sequence[str]], fold: int, rule: str) -> Split:
    _check_fold(fold, len(groups))
    split = _by_speaker(df, groups[(fold + 1) % len(groups)], groups[fold], rule)
    if len(groups) < 3 or not split.train:
        raise TableError(
            f"{_corpus(df)}: {rule} leaves no speaker for training. At least three folds are needed: test, "
            f"development and training; the table has {df['speaker'].nunique()} speakers."
        )
    return split


def _groups(df: pd.DataFrame, k: int, seed: int) -> list[list[str]]:
    """Speakers in k groups: largest first, each to the group with fewest of its gender, then fewest rows."""
    rows = df.groupby("speaker").size().to_dict()
    if len(rows) < k:
        raise TableError(f"{_corpus(df)}: k_fold with k = {k} needs at least {k} speakers; the table has {len(rows)}.")
    gender = df.sort_values("key").groupby("speaker")["gender"].first().to_dict()
    order = np.random.default_rng(seed).permutation(np.array(sorted(df["speaker"].unique()), dtype=object))
    groups: list[list[str]] = [[] for _ in range(k)]
    for speaker in sorted(order, key=lambda s: -rows[s]):
        loads = [
            (sum(gender[s] == gender[speaker] for s in group), len(group), sum(rows[s] for s in group), i)
            for i, group in enumerate(groups)
        ]
        groups[min(loads)[-1]].append(speaker)
    return [sorted(group) for group in groups]


def _hold_out(df: pd.DataFrame, config: SplitConfig) -> Split:
    speakers = np.array(sorted(df["speaker"].unique()), dtype=object)
    n_test = max(1, round(config.test_share * len(speakers))) if config.test_share > 0 else 0
    n_dev = max(1, round(config.dev_share * len(speakers)))
    if n_test + n_dev >= len(speakers):
        raise TableError(
            f"{_corpus(df)}: hold_out of {n_dev} speakers for development and {n_test} for test leaves none of the "
            f"{len(speakers)} for training. Lower dev_share or test_share, or add speakers."
        )
    order = np.random.default_rng(config.seed).permutation(speakers)
    rule = f"hold_out dev_share={config.dev_share} test_share={config.test_share} seed={config.seed}"
    return _by_speaker(df, order[n_test : n_test + n_dev], order[:n_test], rule)


def _official(df: pd.DataFrame) -> Split:
    if "official_split" not in df.columns:
        raise TableError(f"{_corpus(df)}: no column official_split. Add it, or use another split rule.")
    part = df["official_split"].map(_OFFICIAL)
    if part.isna().any():
        first = df[part.isna()].sort_values("key").iloc[0]
        raise TableError(
            f"{_corpus(df)}: official_split of {first['key']} is {first['official_split']!r}; "
            f"expected one of {', '.join(_OFFICIAL)}."
        )
    for name in ("train", "dev"):
        if not (part == name).any():
            raise TableError(f"{_corpus(df)}: official_split has no {name} rows, which training needs.")
    return _split(df["key"], part, "official")


def _given(df: pd.DataFrame, config: SplitConfig) -> Split:
    assert config.folds is not None
    shipped = _FOLDS / f"{config.folds}.json"
    path = shipped if shipped.is_file() else Path(config.folds)
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in _FOLDS.glob("*.json")))
        raise TableError(f"{path}: no such fold file. Give the path of a JSON file, or a shipped one: {names}.")
    tree = read_json(path)
    folds = tree.get("folds") if isinstance(tree, dict) else None
    if not isinstance(folds, list) or not folds or not all(isinstance(fold, dict) for fold in folds):
        raise TableError(f'{path}: expected {{"folds": [{{"train": [keys], "dev": [...], "test": [...]}}, ...]}}.')
    rule = f"given {path.stem} fold={config.fold}"
    if "test_speakers" in folds[0]:
        groups = [_names(fold, "test_speakers", path, i) for i, fold in enumerate(folds)]
        _check_listed([s for group in groups for s in group], set(df["speaker"]), path, "speaker")
        return _by_groups(df, groups, config.fold, rule)
    _check_fold(config.fold, len(folds))
    return _given_keys(df, folds[config.fold], config.fold, path, rule)


def _given_keys(df: pd.DataFrame, fold: dict[str, Any], number: int, path: Path, rule: str) -> Split:
    parts = {part: _names(fold, part, path, number) for part in PARTS}
    listed = [key for part in PARTS for key in parts[part]]
    _check_listed(listed, set(df["key"]), path, "key")
    train, dev, test = (tuple(sorted(parts[part])) for part in PARTS)
    split = Split(train, dev, test, rule)
    if shared := shared_speakers(df, split):
        raise TableError(
            f"{path}, fold {number}: {len(shared)} speakers are in more than one part (such as {min(shared)}). Only an "
            'official split may share speakers: put it in the column official_split and use rule = "official".'
        )
    if unlisted := len(df) - len(listed):
        _log.warning("%s, fold %d: %d of %d rows are in no part and are left out", path, number, unlisted, len(df))
    return split


def _names(fold: dict[str, Any], field: str, path: Path, number: int) -> list[str]:
    names = fold.get(field)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TableError(f"{path}, fold {number}: expected a list of names under {field!r}.")
    return names


def _check_listed(listed: list[str], known: set[str], path: Path, what: str) -> None:
    unknown = sorted(set(listed) - known)
    if unknown:
        raise TableError(f"{path}: {len(unknown)} {what}s are not in the table, such as {unknown[0]!r}.")
    if len(set(listed)) < len(listed):
        twice = min(name for name in set(listed) if listed.count(name) > 1)
        raise TableError(f"{path}: {what} {twice!r} is listed twice.")
