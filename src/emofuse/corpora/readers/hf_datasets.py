"""Hugging Face datasets on disk, as `save_to_disk` of the library datasets writes them. Nothing is downloaded.

Needs the extra `huggingface`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from emofuse.corpora.readers.generic import finish_adapted, guessed, official_part
from emofuse.corpora.readers.source import AUDIO_ENDINGS
from emofuse.corpora.table import TableError
from emofuse.errors import EmofuseError
from emofuse.files import atomic, cache_dir

_AT_ONCE = 64  # rows in memory, with their audio
_STARTS = {b"RIFF": ".wav", b"fLaC": ".flac", b"OggS": ".ogg", b"ID3": ".mp3", b"\xff\xfb": ".mp3"}


def read(
    root: Path | str,
    *,
    columns: Mapping[str, str] | None = None,
    emotions: Mapping[str, str] | None = None,
    scale: tuple[float, float] | None = None,
    allow_missing: bool = False,
) -> pd.DataFrame:
    """Utterance table of the Dataset or DatasetDict at `root`.

    Columns called emotion, speaker, gender, language, transcription, text, arousal, valence, dominance or split are
    ours; other columns of strings, numbers or names of classes become extra columns by their names, columns of lists
    and structures are left out. The parts of a DatasetDict become official_split. Audio that is stored in the dataset
    is written once, as it is, to the folder audio of the cache (EMOFUSE_CACHE), named by the hash of its bytes. Keys
    are the folder's name and the audio's file name, or else the part and the number of the row.

    Args:
        root: folder with dataset_info.json and state.json, or with dataset_dict.json.
        columns: from its column names to ours; other columns do not take that name then. The audio, be it stored or
            the path of a file (absolute or below `root`), is `file`.
        emotions: from its categories to ours, see `generic.adapt`.
        scale: lowest and highest possible rating of arousal, valence and dominance.
        allow_missing: go on where audio is missing.

    Raises:
        EmofuseError: datasets is not installed, or the cache cannot be written.
        TableError: no dataset, a column that is not there, several columns of audio of which none is chosen, or what
            `generic.adapt` raises.
    """
    root = Path(root).absolute()
    parts = _load(root)
    rows = [
        _row(cells, root, part, number)
        for part, dataset in sorted(parts.items())
        for number, cells in enumerate(_cells(dataset, columns or {}, root))
    ]
    names = Counter(row["key"] for row in rows if row["key"] is not None)
    for row in rows:
        place = row.pop("place")
        if row["key"] is None or (names[row["key"]] > 1 and not row["own_key"]):
            row["key"] = f"{root.name}/{place}"
        del row["own_key"]
    return finish_adapted(rows, root.name, root, emotions=emotions, scale=scale, allow_missing=allow_missing)


def _load(root: Path) -> dict[str, Any]:
    """The datasets at `root` by part; a single one has the part ""."""
    try:
        import datasets
    except ImportError as error:
        raise EmofuseError('datasets is not installed: pip install "emofuse[huggingface]"') from error
    try:
        loaded = datasets.load_from_disk(str(root))
    except Exception as error:  # the library raises errors of many kinds on a folder that is broken
        raise TableError(
            f"{root}: no dataset that can be read ({type(error).__name__}: {error}). Expected a folder that "
            "`save_to_disk` of a Dataset or DatasetDict wrote; for a dataset of the hub: "
            "`datasets.load_dataset(name).save_to_disk(folder)`."
        ) from error
    return dict(loaded) if isinstance(loaded, dict) else {"": loaded}


def _cells(dataset: Any, columns: Mapping[str, str], root: Path) -> Iterator[dict[str, Any]]:
    """Rows by our column names; classes as their names, audio as stored."""
    features = dataset.features
    ours = _names(features, columns, root)
    kept = dataset.select_columns(list(ours)).with_format("arrow")  # audio is not decoded then
    classes = {name: features[name].names for name in ours if hasattr(features[name], "names")}
    for batch in kept.iter(batch_size=_AT_ONCE):
        for row in batch.to_pylist():
            for name, of_class in classes.items():
                row[name] = None if row[name] in (None, -1) else of_class[row[name]]  # -1 stands for no class
            yield {ours[name]: value for name, value in row.items()}


def _names(features: Mapping[str, Any], columns: Mapping[str, str], root: Path) -> dict[str, str]:
    """Our name of each column that is kept."""
    if absent := [name for name in columns if name not in features]:
        raise TableError(f"{root}: no column {absent[0]!r}. There are {', '.join(features)}.")
    if repeated := [ours for ours, n in Counter(columns.values()).items() if n > 1]:
        raise TableError(f"{root}: several columns are to be {repeated[0]!r}. Choose one in `columns`.")
    given = {name: columns[name] for name in features if name in columns}
    audio = [name for name in features if _is_audio(features[name])]
    if "file" not in columns.values():
        if len(audio) > 1:
            raise TableError(f'{root}: {", ".join(audio)} are columns of audio. Say in `columns` which one is "file".')
        given |= dict.fromkeys(audio, "file")
    plain = [name for name in features if _is_plain(features[name]) and name not in given]
    return given | guessed(plain, given.values())


def _is_audio(feature: Any) -> bool:
    return type(feature).__name__ == "Audio" or (isinstance(feature, dict) and set(feature) == {"bytes", "path"})


def _is_plain(feature: Any) -> bool:
    return type(feature).__name__ in ("Value", "ClassLabel") and feature.dtype not in ("binary", "large_binary")


def _row(cells: dict[str, Any], root: Path, part: str, number: int) -> dict[str, Any]:
    audio, speaker, key = cells.get("file"), cells.get("speaker"), cells.get("key")
    path = audio.get("path") if isinstance(audio, dict) else audio
    content = audio.get("bytes") if isinstance(audio, dict) else None
    split = cells.get("official_split") or part or None
    if speaker is not None and not str(speaker).startswith(f"{root.name}/"):
        speaker = f"{root.name}/{speaker}"
    return {
        **cells,
        "own_key": key is not None,
        "key": key if key is not None else f"{root.name}/{Path(path).stem}" if path else None,
        "place": f"{part or 'row'}-{number}",
        "file": _extracted(content, path) if content else str(root / path) if path else None,
        "speaker": speaker,
        "official_split": split and (official_part(str(split)) or str(split).lower()),
    }


def _extracted(content: bytes, path: str | None) -> str:
    """The file in the cache that holds these bytes; written if it is not there yet."""
    ending = Path(path or "").suffix.lower()
    if ending not in AUDIO_ENDINGS:
        ending = next((ending for start, ending in _STARTS.items() if content.startswith(start)), "")
    target = cache_dir() / "audio" / (hashlib.sha256(content).hexdigest() + ending)
    if not target.is_file():
        with atomic(target) as temporary:
            temporary.write_bytes(content)
    return str(target.absolute())
