"""EmoBank (Buechel & Hahn 2017; CC BY-SA 4.0): English sentences with human valence, arousal and dominance."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd

from emofuse.corpora.table import TableError, check_table, make_table, read_records

_COLUMNS = ("id", "split", "V", "A", "D", "text")
_log = logging.getLogger(__name__)


def read(root: Path | str) -> pd.DataFrame:
    """Utterance table of `root/emobank.csv`: text and dimensions, from 1..5 scaled to 0..1 by (x - 1) / 4.

    Extra column: `official_split` (train, dev, test). Sentences have neither category nor speaker. Rows without text
    are left out, with a logged warning that counts them.

    Raises:
        TableError: no emobank.csv, a column is missing, or a value is no rating from 1 to 5; names the row.
    """
    root = Path(root).absolute()
    source = root / "emobank.csv"
    if not source.is_file():
        raise TableError(f"{root}: no EmoBank here; expected emobank.csv.")
    records = read_records(source, _COLUMNS)
    rows = [_row(row, f"{source}, row {number}") for number, row in records if row["text"].strip()]
    if dropped := len(records) - len(rows):
        _log.warning("%s: %d of %d rows have no text and are left out", source, dropped, len(records))
    return check_table(make_table(rows, "emobank"), str(source))


def _row(row: dict[str, str], where: str) -> dict[str, object]:
    return {
        "key": f"emobank/{row['id']}",
        "language": "en",
        "text": row["text"],
        "arousal": _scaled(row["A"], where),
        "valence": _scaled(row["V"], where),
        "dominance": _scaled(row["D"], where),
        "official_split": row["split"].strip(),
    }


def _scaled(rating: str, where: str) -> float:
    try:
        value = float(rating)
    except ValueError:
        value = float("nan")
    if not 1 <= value <= 5:
        raise TableError(f"{where}: {rating!r} is no rating from 1 to 5.")
    return (value - 1) / 4
