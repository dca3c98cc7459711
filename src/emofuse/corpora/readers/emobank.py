"""EmoBank, English sentences with human valence, arousal and dominance (Buechel & Hahn 2017; CC BY-SA 4.0)."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd

from emofuse.corpora.about import Corpus
from emofuse.corpora.readers.source import finish, read_rows, scaled
from emofuse.corpora.table import TableError

_log = logging.getLogger(__name__)


def read(root: Path | str, *, allow_missing: bool = False) -> pd.DataFrame:
    """Utterance table of `root/emobank.csv`: text and dimensions, from 1..5 scaled to 0..1 by (x - 1) / 4.

    Extra column: `official_split` (train, dev, test). Sentences have neither category nor speaker. Rows without text
    are left out, with a logged warning that counts them.

    Args:
        root: folder of emobank.csv.
        allow_missing: as for every corpus; this one has no audio that could be missing.

    Raises:
        TableError: no emobank.csv, a column is missing, or a value is not a rating from 1 to 5; names the row.
    """
    root = Path(root).absolute()
    source = root / "emobank.csv"
    if not source.is_file():
        raise TableError(f"{root}: no EmoBank here; expected emobank.csv.")
    given = read_rows(source, ("id", "split", "V", "A", "D", "text"))
    rows = [_row(row, f"{source}, row {number}") for number, row in given if row["text"]]
    if dropped := len(given) - len(rows):
        _log.warning("%s: %d of %d rows have no text and are left out", source, dropped, len(given))
    return finish(rows, "emobank", source, allow_missing=allow_missing)


CORPUS = Corpus("emobank", read)


def _row(row: dict[str, str], where: str) -> dict[str, object]:
    for name in ("V", "A", "D"):
        if row[name].lower() in ("", "nan"):
            raise TableError(f"{where}: {row[name]!r} in column {name} is not a rating from 1 to 5.")
    return {
        "key": f"emobank/{row['id']}",
        "language": "en",
        "text": row["text"],
        "arousal": scaled(row["A"], 1, 5, where),
        "valence": scaled(row["V"], 1, 5, where),
        "dominance": scaled(row["D"], 1, 5, where),
        "official_split": row["split"].lower(),
    }
