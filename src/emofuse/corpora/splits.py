"""Split a corpus into train, development and test keys, speaker-disjoint unless its official split is not.

A split can be frozen: all folds of a rule are written to one JSON file, which the rule `given` reads.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import emofuse
from emofuse.config import SplitConfig
from emofuse.corpora import split_rules as rules
from emofuse.corpora.split_rules import RULE_VERSION, corpus_of, in_words, values_of
from emofuse.corpora.table import TableError, texts_of
from emofuse.files import hash_of, read_json, write_json

__all__ = [
    "PARTS",
    "RULE_VERSION",
    "Split",
    "freeze",
    "in_words",
    "make_split",
    "make_splits",
    "n_folds",
    "shared_speakers",
]

PARTS = ("train", "dev", "test")
FORMAT = 1
_MAX_KEYS = 20_000_000  # of a frozen file: about 4 GB of memory, 0.6 GB of disk
_FOLDS = Path(__file__).parent / "folds"
_OPTIONS = {
    "k_fold": ("column", "k", "stratify", "fold", "seed"),
    "leave_one_out": ("column", "dev", "fold"),
    "hold_out": ("column", "dev_share", "test_share", "seed"),
    "official": ("column", "test"),
}
_DEFAULTS = {"column": None, "stratify": None, "dev": "next", "test": "test"}
_log = logging.getLogger(__name__)

Plan = tuple[int, Callable[[int], "Split"]]  # number of folds, and how to make one


@dataclass(frozen=True)
class Split:
    """Sorted keys of each part; `rule` describes how they were chosen."""

    train: tuple[str, ...]
    dev: tuple[str, ...]
    test: tuple[str, ...]
    rule: str

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the rule and the keys of each part."""
        return hash_of({"rule": self.rule, **{part: sorted(getattr(self, part)) for part in PARTS}})

    def to_dict(self) -> dict[str, Any]:
        """Rule, hash and keys as JSON-serialisable values."""
        return {"rule": self.rule, "hash": self.hash, **{part: list(getattr(self, part)) for part in PARTS}}

    @classmethod
    def from_dict(cls, saved: Any, where: str) -> Split:
        """The split that `to_dict` described; `where` names the file in errors.

        Raises:
            TableError: something is missing, or the keys are not those that were saved.
        """
        try:
            split = cls(tuple(saved["train"]), tuple(saved["dev"]), tuple(saved["test"]), saved["rule"])
            expected = saved["hash"]
        except (KeyError, TypeError) as error:
            raise TableError(f"{where}: not a saved split; expected rule, hash, train, dev and test.") from error
        if split.hash != expected:
            raise TableError(f"{where}: the keys do not match the hash, so the file was changed. Make the split again.")
        return split

    def save(self, path: Path | str) -> None:
        """Write as JSON, with the hash."""
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: Path | str) -> Split:
        """Read what `save` wrote.

        Raises:
            TableError: something is missing, or the keys are not those that were saved.
        """
        return cls.from_dict(read_json(path), str(path))


def make_split(df: pd.DataFrame, config: SplitConfig) -> Split:
    """Split the rows of one corpus.

    Rules:
        official: the parts in a column of the corpus (`official_split`); rows of test parts other than `test`
            are in no part.
        leave_one_out: fold i tests on the i-th value of a column (speaker) in natural order; the next value is for
            development. With `dev = "other_speaker"`, each speaker is a fold and the others with the same value of
            the column (session) are for development.
        k_fold: groups of values (speakers), balanced by rows and gender, or by the labels in a column (`stratify`).
            The next group is for development.
        hold_out: random shares of the values (speakers).
        given: the folds in a file: shipped with emofuse, written by the user (`{"folds": [...]}`), or by `freeze`.

    Raises:
        TableError: a row without speaker (all rules but `official`) or without the column's value, too few values, a
            fold out of range, a speaker in two parts unless that is allowed, keys that are not in the table or listed
            twice, an official part that is empty or unknown, a frozen split that was changed.
    """
    n, make = _plan(df, config)
    _check_fold(config.fold, n)
    return make(config.fold)


def make_splits(df: pd.DataFrame, config: SplitConfig) -> Iterator[Split]:
    """Yield every fold of a rule; `config.fold` is ignored.

    Raises:
        TableError: as `make_split`.
    """
    n, make = _plan(df, config)
    return (make(fold) for fold in range(n))


def n_folds(df: pd.DataFrame, config: SplitConfig) -> int:
    """Number of folds of a rule on a table.

    Raises:
        TableError: as `make_split`.
    """
    return _plan(df, config)[0]


def freeze(df: pd.DataFrame, config: SplitConfig, path: Path | str) -> list[Split]:
    """Write all folds of a rule to one JSON file, which `rule = "given"` reads; `config.fold` is ignored.

    The file holds the keys, speakers and counts of each part, the hash of each fold, the rule with its version, and the
    version of emofuse. If the file or the table has been changed, reading it fails.

    Raises:
        TableError: as `make_split`, or the file would hold more than 20 million keys.
        EmofuseError: the file cannot be written.
    """
    n, make = _plan(df, config)
    if n * len(df) > _MAX_KEYS:
        raise TableError(
            f"{path}: {n:,} folds of {len(df):,} rows would hold {n * len(df):,} keys, beyond {_MAX_KEYS:,}. "
            "Use fewer folds (k_fold), or name the rule itself in the recipe."
        )
    splits = [make(fold) for fold in range(n)]
    speaker_of = _speaker_of(df)
    folds = [
        {
            **split.to_dict(),
            "speakers": _speakers(split, speaker_of),
            "counts": {part: len(getattr(split, part)) for part in PARTS},
        }
        for split in splits
    ]
    header = {
        "format": FORMAT,
        "rule_version": RULE_VERSION,
        "rule": in_words(config),
        "config": config.model_dump(mode="json", exclude={"fold"}, exclude_none=True),
        "emofuse": emofuse.__version__,
        "rows": len(df),
    }
    write_json(path, {**header, "hash": _header_hash(header, folds), "folds": folds})
    return splits


def shared_speakers(df: pd.DataFrame, split: Split) -> set[str]:
    """Speakers with rows in more than one part; empty unless the rule or `allow_shared_speakers` permits it."""
    counts = Counter(name for names in _speakers(split, _speaker_of(df)).values() for name in names)
    return {name for name, n in counts.items() if n > 1}


def _speaker_of(df: pd.DataFrame) -> dict[str, str | None]:
    return dict(zip(df["key"], texts_of(df["speaker"]), strict=True))


def _speakers(split: Split, speaker_of: dict[str, str | None]) -> dict[str, list[str]]:
    names = {part: {speaker_of.get(key) for key in getattr(split, part)} for part in PARTS}
    return {part: sorted(name for name in names[part] if name is not None) for part in PARTS}


def _header_hash(header: dict[str, Any], folds: Sequence[dict[str, Any]]) -> str:
    """Hash of everything that the hashes of the folds do not cover."""
    return hash_of([header, [{name: fold[name] for name in fold if name not in PARTS} for fold in folds]])


def _check_fold(fold: int, n: int) -> None:
    if fold >= n:
        raise TableError(f"split.fold = {fold} is out of range: this split has {n} fold{'s'[: n > 1]}, counted from 0.")


def _plan(df: pd.DataFrame, config: SplitConfig) -> Plan:
    if config.rule == "official":
        part = rules.official_parts(df, config.column or "official_split", config.test)
        return 1, lambda fold: _split(df["key"], part, _rule_of(config, fold))
    if config.rule == "given":
        return _given(df, config)
    column = config.column or "speaker"
    values = values_of(df, column)
    if column != "speaker" and not config.allow_shared_speakers:
        values_of(df, "speaker")
    if config.dev == "other_speaker":
        return _other_speaker(df, column, config)
    if config.rule == "hold_out":
        dev, test = rules.hold_out_groups(df, values, config)
        return 1, lambda fold: _disjoint(df, _by_value(df, values, dev, test, _rule_of(config, fold)), config)
    if config.rule == "leave_one_out":
        groups = [[value] for value in rules.in_natural_order(values.tolist())]
    elif config.stratify is not None:
        groups = rules.stratified_groups(df, values, config.stratify, config.k, config.seed)
    else:
        groups = rules.balanced_groups(df, values, config.k, config.seed)
    return len(groups), lambda fold: _disjoint(df, _by_groups(df, values, groups, fold, _rule_of(config, fold)), config)


def _rule_of(config: SplitConfig, fold: int) -> str:
    options = {name: fold if name == "fold" else getattr(config, name) for name in _OPTIONS[config.rule]}
    parts = [f"{name}={value}" for name, value in options.items() if name not in _DEFAULTS or value != _DEFAULTS[name]]
    return " ".join([config.rule, *parts])


def _disjoint(df: pd.DataFrame, split: Split, config: SplitConfig) -> Split:
    """Return the split after checking that no speaker is in several parts, unless that is allowed."""
    if config.column in (None, "speaker") or config.allow_shared_speakers:
        return split
    if shared := shared_speakers(df, split):
        raise TableError(
            f"{corpus_of(df)}: {split.rule}: {len(shared)} of {df['speaker'].nunique()} speakers are in more than one "
            f"part (such as {min(shared)}). Choose another column, or allow it: allow_shared_speakers = true."
        )
    return split


def _by_value(df: pd.DataFrame, values: pd.Series, dev: Iterable[str], test: Iterable[str], rule: str) -> Split:
    part = np.where(values.isin(set(test)), "test", np.where(values.isin(set(dev)), "dev", "train"))
    return _split(df["key"], part, rule)


def _split(keys: pd.Series, part: Any, rule: str) -> Split:
    train, dev, test = (tuple(sorted(keys[part == name])) for name in PARTS)
    return Split(train, dev, test, rule)


def _by_groups(df: pd.DataFrame, values: pd.Series, groups: Sequence[Sequence[str]], fold: int, rule: str) -> Split:
    split = _by_value(df, values, groups[(fold + 1) % len(groups)], groups[fold], rule)
    if len(groups) < 3 or not split.train:
        raise TableError(
            f"{corpus_of(df)}: {rule} leaves no {values.name} for training. At least three folds are needed: test, "
            f"development and training; the table has {values.nunique()} {rules.plural(values)}."
        )
    return split


def _other_speaker(df: pd.DataFrame, column: str, config: SplitConfig) -> Plan:
    place = rules.place_of_speakers(df, column)
    if len(set(place.values())) < 2:
        raise TableError(
            f'{corpus_of(df)}: dev = "other_speaker" leaves no {column} for training: all rows have {column} '
            f"{min(place.values())}."
        )
    names = rules.in_natural_order(list(place))
    speakers = values_of(df, "speaker")

    def make(fold: int) -> Split:
        test = names[fold]
        dev = [name for name in names if place[name] == place[test] and name != test]
        return _by_value(df, speakers, dev, [test], _rule_of(config, fold))

    return len(names), make


def _given(df: pd.DataFrame, config: SplitConfig) -> Plan:
    assert config.folds is not None
    shipped = _FOLDS / f"{config.folds}.json"
    path = shipped if shipped.is_file() else Path(config.folds)
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in _FOLDS.glob("*.json")))
        raise TableError(
            f"{path}: no such file. Give the path of a file of folds, or the name of a shipped one: {names}."
        )
    tree = read_json(path)
    folds = tree.get("folds") if isinstance(tree, dict) else None
    if not isinstance(folds, list) or not folds or not all(isinstance(fold, dict) for fold in folds):
        raise TableError(f'{path}: expected {{"folds": [{{"train": [keys], "dev": [...], "test": [...]}}, ...]}}.')
    if "rule_version" in tree:
        _check_frozen(tree, path)
        return len(folds), lambda fold: _frozen(df, folds[fold], f"{path}, fold {fold}")
    speakers = df["speaker"] if config.allow_shared_speakers else values_of(df, "speaker")
    if "test_speakers" in folds[0]:
        groups = [_names(fold, "test_speakers", f"{path}, fold {i}") for i, fold in enumerate(folds)]
        _check_listed([s for group in groups for s in group], set(speakers), str(path), "speaker")
        return len(folds), lambda fold: _by_groups(df, speakers, groups, fold, f"given {path.stem} fold={fold}")
    return len(folds), lambda fold: _given_keys(df, folds[fold], path, fold, config)


def _check_frozen(tree: dict[str, Any], path: Path) -> None:
    if tree.get("format") != FORMAT:
        raise TableError(
            f"{path}: frozen in format {tree.get('format')!r}; this version of emofuse reads format {FORMAT}. "
            "Read it with the version that wrote it, or freeze the split again."
        )
    header = {name: value for name, value in tree.items() if name not in ("hash", "folds")}
    if tree.get("hash") != _header_hash(header, tree["folds"]):
        raise TableError(f"{path}: the rule, speakers or counts do not match the hash; the file was changed.")
    if tree["rule_version"] != RULE_VERSION:
        _log.warning(
            "%s: frozen by version %s of the rules, but version %d would split otherwise. The frozen split is used",
            *(path, tree["rule_version"], RULE_VERSION),
        )


def _frozen(df: pd.DataFrame, fold: dict[str, Any], where: str) -> Split:
    split = Split.from_dict(fold, where)
    _check_keys(df, split, where)
    speakers = _speakers(split, _speaker_of(df))
    for part in PARTS:
        if changed := sorted(set(speakers[part]) ^ set(fold["speakers"][part])):
            new = changed[0] in speakers[part]
            raise TableError(
                f"{where}: the table was changed: {changed[0]} is {'now' if new else 'no longer'} a speaker of the "
                f"{part} part, unlike when the split was frozen. Use the earlier table, or freeze the split again."
            )
    return split


def _given_keys(df: pd.DataFrame, fold: dict[str, Any], path: Path, number: int, config: SplitConfig) -> Split:
    where = f"{path}, fold {number}"
    train, dev, test = (tuple(sorted(_names(fold, part, where))) for part in PARTS)
    split = Split(train, dev, test, f"given {path.stem} fold={number}")
    _check_keys(df, split, where)
    if not config.allow_shared_speakers and (shared := shared_speakers(df, split)):
        raise TableError(
            f"{where}: {len(shared)} speakers are in more than one part (such as {min(shared)}). Only an official "
            'split may share speakers: put it in the column official_split and use rule = "official"; or allow it: '
            "allow_shared_speakers = true."
        )
    return split


def _names(fold: dict[str, Any], field: str, where: str) -> list[str]:
    names = fold.get(field)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TableError(f"{where}: expected a list of names under {field!r}.")
    return names


def _check_keys(df: pd.DataFrame, split: Split, where: str) -> None:
    listed = [key for part in PARTS for key in getattr(split, part)]
    _check_listed(listed, set(df["key"]), where, "key")
    if unlisted := len(df) - len(listed):
        _log.warning("%s: %d of %d rows are in no part and are left out", where, unlisted, len(df))


def _check_listed(listed: list[str], known: set[str], where: str, what: str) -> None:
    unknown = sorted(set(listed) - known)
    if unknown:
        raise TableError(f"{where}: {len(unknown)} {what}s are not in the table, such as {unknown[0]!r}.")
    if len(set(listed)) < len(listed):
        twice = min(name for name, n in Counter(listed).items() if n > 1)
        raise TableError(f"{where}: {what} {twice!r} is listed twice.")
