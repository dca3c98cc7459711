"""The corpora of a recipe: each one prepared as a table in the cache, its rows selected, split and audited."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import pandas as pd
import pyarrow
from filelock import FileLock

from emofuse import __version__
from emofuse.config import FOLDED, CorpusConfig, Recipe
from emofuse.corpora import read_corpus
from emofuse.corpora.audit import Audit, audit
from emofuse.corpora.select import select
from emofuse.corpora.splits import PARTS, Split, make_split, n_folds
from emofuse.corpora.table import TableError, read_table, write_table
from emofuse.errors import EmofuseError
from emofuse.files import cache_dir, hash_of, read_json, write_json

_announced: set[Path] = set()  # tables that this process has named on stderr


def data_folder(data: Path | None) -> Path:
    """The folder that relative corpus roots start from: `data`, else EMOFUSE_DATA, else the working folder."""
    return data or (Path(os.environ["EMOFUSE_DATA"]) if "EMOFUSE_DATA" in os.environ else Path.cwd())


def prepared_table(config: CorpusConfig, data: Path | None = None) -> Path:
    """The table of a corpus in the cache, as `emofuse corpus prepare` writes it; prepared now if it is not there.

    The file is `tables/READER-HASH.parquet` in the cache. The hash covers the reader and its options, the version and
    source of emofuse's readers, and the path, size and time of change of every file of the corpus, so a table is never
    older than the files that it was made from. A line on stderr says where the table is.

    Args:
        config: of a corpus whose reader is not "table".
        data: folder that relative corpus roots start from.

    Raises:
        EmofuseError: the corpus is absent or has bad rows, or the cache cannot be written.
    """
    root = Path(os.path.abspath(data_folder(data) / config.root))
    if not root.exists():
        _read(config, root)  # makes the toy corpus; other readers say what they expected
    options = config.model_dump(mode="json", include={"reader", "allow_missing", "columns", "emotions", "scale"})
    identity = hash_of([options, str(root), _files_of(root), _readers_version()])
    path = cache_dir() / "tables" / f"{config.reader}-{identity[:24]}.parquet"
    with _locked(path):
        action = "uses the prepared table"
        if not path.exists():
            action = "prepared the table"
            df = _read(config, root)
            try:
                write_table(df, path)
            except pyarrow.ArrowException as error:
                raise TableError(f"{root}: its table cannot be written as Parquet: {error}") from error
    if path not in _announced:
        _announced.add(path)
        print(f"{config.reader}: {action} {path}", file=sys.stderr)
    return path


def read_and_split(config: CorpusConfig, data: Path | None) -> tuple[pd.DataFrame, Split]:
    """Read the table of a corpus, and split the rows that `config.where` selects.

    A `given` split is checked against the whole corpus and then restricted to those rows; other rules split only them.

    Args:
        config: of the corpus; the table is prepared first unless its reader is "table".
        data: folder that relative corpus roots start from.

    Returns:
        The selected rows and their split.

    Raises:
        EmofuseError: the corpus is absent or has bad rows, or its split cannot be made.
    """
    base = data_folder(data)
    is_table = config.reader == "table"
    table = _read(config, base / config.root) if is_table else read_table(prepared_table(config, data))
    rule = config.split
    if rule.folds is not None and rule.folds.endswith(".json"):
        rule = rule.model_copy(update={"folds": str(base / rule.folds)})
    selected = select(table, config.where)
    split = make_split(table if rule.rule == "given" else selected, rule)
    return selected, _of_all_rows(restricted(split, selected), rule.all_rows)


def _read(config: CorpusConfig, root: Path) -> pd.DataFrame:
    return read_corpus(
        config.reader,
        root,
        allow_missing=config.allow_missing,
        columns=config.columns,
        emotions=config.emotions,
        scale=config.scale,
    )


def _files_of(root: Path) -> list[tuple[str, int, int]]:
    """Relative path, size (bytes) and time of change (ns) of a file, or of all files below a folder, in order."""
    if root.is_file():
        return [("", root.stat().st_size, root.stat().st_mtime_ns)]
    files = []
    visited: set[str] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        if (place := os.path.realpath(folder)) in visited:  # a link to a folder above would never end
            subfolders.clear()
            continue
        visited.add(place)
        for name in names:
            path = os.path.join(folder, name)
            with suppress(OSError):  # a link to nothing: a reader does not find the file either
                state = os.stat(path)
                files.append((os.path.relpath(path, root), state.st_size, state.st_mtime_ns))
    return sorted(files)


@cache
def _readers_version() -> str:
    """Changes whenever the code that reads and audits corpora does, also between releases."""
    sources = sorted(Path(__file__).parent.rglob("*.py"))
    return hash_of([__version__, [hashlib.sha256(path.read_bytes()).hexdigest() for path in sources]])


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time make a file of the cache."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock")).acquire()
    except OSError as error:
        raise EmofuseError(
            f"{path.parent}: cannot be written ({error.strerror or error}). Make it writable, or name another cache "
            "folder in EMOFUSE_CACHE."
        ) from error
    with lock:
        yield


def audit_split(table: pd.DataFrame, split: Split) -> Audit:
    """The audit of a split without listening to the audio; remembered in the cache, as runs of a study share it."""
    rows = hashlib.sha256(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes()).hexdigest()
    path = cache_dir() / "tables" / f"audit-{hash_of([rows, split.hash, _readers_version()])[:24]}.json"
    with _locked(path):
        if path.exists():
            return Audit.from_dict(read_json(path))
        result = audit(table, split, audio=False)
        write_json(path, result.to_dict())
        return result


def restricted(split: Split, table: pd.DataFrame) -> Split:
    """The split without keys that are not in the table."""
    keys = set(table["key"])
    parts = {part: tuple(key for key in getattr(split, part) if key in keys) for part in PARTS}
    return Split(**parts, rule=split.rule)


def _of_all_rows(split: Split, part: str | None) -> Split:
    """The split with all rows in the test part ("test"), or with the rows of the test part in train ("train")."""
    if part is None:
        return split
    rule = f"{split.rule} all_rows={part}"
    if part == "test":
        return Split((), (), tuple(sorted(split.train + split.dev + split.test)), rule)
    return Split(tuple(sorted(split.train + split.test)), split.dev, (), rule)


def count_folds(recipe: Recipe, data: Path | None) -> int:
    """Number of folds of a recipe's split; 0 if no corpus has a rule with folds.

    Raises:
        EmofuseError: corpora have different numbers of folds; and what `read_and_split` raises.
    """
    counts = {}
    for corpus in recipe.data.corpora:
        if corpus.split.rule in FOLDED:
            counts[corpus.reader] = n_folds(read_and_split(corpus, data)[0], corpus.split)
    if len(set(counts.values())) > 1:
        numbers = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise EmofuseError(f"recipe {recipe.name}: the corpora have different numbers of folds ({numbers}).")
    return max(counts.values(), default=0)
