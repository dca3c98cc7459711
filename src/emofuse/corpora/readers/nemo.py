"""nEMO, acted emotional speech in Polish (Christop 2024, arXiv 2404.06292; CC BY-NC-SA 4.0).

Nine actors say 90 sentences in six emotions; every sentence occurs with all of them, so the text carries no emotion.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from emofuse.corpora.about import Corpus
from emofuse.corpora.readers.source import FilesByStem, finish, read_rows
from emofuse.corpora.table import TableError
from emofuse.labels import to_shared

_SHARED = {
    "neutral": "neutral",
    "happiness": "happiness",
    "sadness": "sadness",
    "anger": "anger",
    "fear": "fear",
    "surprised": "surprise",
}
_COLUMNS = ("file_id", "emotion", "raw_text", "speaker_id", "gender", "age")


def read(root: Path | str, *, allow_missing: bool = False) -> pd.DataFrame:
    """Utterance table of `root/data.tsv` with the clips in `root/samples/`.

    There are no dimensions. Extra column: `age` (years).

    Raises:
        TableError: no data.tsv, a column or clip is missing, or a row breaks a rule of the table.
        EmofuseError: a label is unknown; names the row.
    """
    root = Path(root).absolute()
    source = root / "data.tsv"
    if not source.is_file():
        raise TableError(f"{root}: no nEMO here; expected data.tsv and the folder samples.")
    clips = FilesByStem(root / "samples", "*")
    records = read_rows(source, _COLUMNS)
    rows = [_row(row, clips, f"{source}, row {number}") for number, row in records]
    return finish(rows, "nemo", source, allow_missing=allow_missing)


def _row(row: dict[str, str], clips: FilesByStem, where: str) -> dict[str, object]:
    stem = Path(row["file_id"]).stem
    original = row["emotion"].lower()
    return {
        "key": f"nemo/{stem}",
        "file": clips.path(stem),
        "speaker": f"nemo/{row['speaker_id']}" if row["speaker_id"] else None,
        "gender": row["gender"].lower() or None,
        "language": "pl",
        "text": row["raw_text"],
        "emotion": to_shared(original, _SHARED, where),
        "original_emotion": original,
        "age": int(row["age"]) if row["age"].isdigit() else None,
    }


CORPUS = Corpus("nemo", read)
