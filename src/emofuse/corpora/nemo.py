"""nEMO, acted emotional speech in Polish (Christop 2024, arXiv 2404.06292; CC BY-NC-SA 4.0).

Nine actors say 90 sentences in six emotions; every sentence occurs with all of them, so the text carries no emotion.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from emofuse.corpora.labels import to_shared
from emofuse.corpora.table import TableError, check_table, make_table, read_records

_SHARED = {
    "neutral": "neutral",
    "happiness": "happiness",
    "sadness": "sadness",
    "anger": "anger",
    "fear": "fear",
    "surprised": "surprise",
}
_COLUMNS = ("file_id", "emotion", "raw_text", "speaker_id", "gender", "age")
_ENDINGS = (".wav", ".flac", ".opus")


def read(root: Path | str) -> pd.DataFrame:
    """Utterance table of `root/data.tsv` with the clips in `root/samples/` (.wav as published, .flac or .opus).

    There are no dimensions. Extra column: `age` (years).

    Raises:
        TableError: no data.tsv, a column or clip is missing, or a label is unknown; names the row.
    """
    root = Path(root).absolute()
    source = root / "data.tsv"
    if not source.is_file():
        raise TableError(f"{root}: no nEMO here; expected data.tsv and the folder samples.")
    clips = {p.name for p in (root / "samples").iterdir()} if (root / "samples").is_dir() else set()
    records = read_records(source, _COLUMNS)
    rows = [_row(row, root / "samples", clips, f"{source}, row {number}") for number, row in records]
    return check_table(make_table(rows, "nemo"), str(source))


def _row(row: dict[str, str], folder: Path, clips: set[str], where: str) -> dict[str, object]:
    stem = Path(row["file_id"]).stem
    clip = next((stem + ending for ending in _ENDINGS if stem + ending in clips), row["file_id"])
    original = row["emotion"].strip()
    age = row["age"].strip()
    return {
        "key": f"nemo/{stem}",
        "file": str(folder / clip),
        "speaker": f"nemo/{row['speaker_id'].strip()}",
        "gender": row["gender"].strip(),
        "language": "pl",
        "text": row["raw_text"],
        "emotion": to_shared(original, _SHARED, where),
        "original_emotion": original,
        "age": int(age) if age.isdigit() else None,
    }
