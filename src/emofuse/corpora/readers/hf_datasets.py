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

    Columns called emotion, speaker, gender, language, transcription, text, arousal, valence, dominance or split become
    the columns of that meaning. Other columns of strings, numbers or classes become extra columns; columns of lists and
    structures are left out. The parts of a DatasetDict become official_split. Audio that is stored in the dataset is
    written once, unchanged, to the folder audio of the cache (EMOFUSE_CACHE), named by the hash of its bytes. A key is
    the name of the folder and of the audio file, or else the part and the number of the row.

    Args:
        root: folder with dataset_info.json and state.json, or with dataset_dict.json.
        columns: from columns of the dataset to columns of the result; no other column becomes one of these. The audio,
            stored or as the path of a file (absolute or below `root`), is `file`.
        emotions: from categories of the dataset to shared ones, see `generic.adapt`.
        scale: lowest and highest possible rating of arousal, valence and dominance.
        allow_missing: continue if audio is missing.

    Raises:
        EmofuseError: datasets is not installed, or the cache cannot be written.
        TableError: the dataset or a column is missing, none of several audio columns is chosen, or what
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
        row_name = row.pop("row_name")
        if row["key"] is None or (names[row["key"]] > 1 and not row["has_key"]):
            row["key"] = f"{root.name}/{row_name}"
        del row["has_key"]
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
            f"{root}: the dataset cannot be read ({type(error).__name__}: {error}). Expected a folder that "
            "`save_to_disk` of a Dataset or DatasetDict wrote; for a dataset of the hub: "
            "`datasets.load_dataset(name).save_to_disk(folder)`."
        ) from error
    return dict(loaded) if isinstance(loaded, dict) else {"": loaded}


def _cells(dataset: Any, columns: Mapping[str, str], root: Path) -> Iterator[dict[str, Any]]:
    """Yield rows by column of the result, with names of classes, and audio as stored."""
    features = dataset.features
    targets = _names(features, columns, root)
    selected = dataset.select_columns(list(targets)).with_format("arrow")  # this format does not decode audio
    classes = {name: features[name].names for name in targets if hasattr(features[name], "names")}
    for batch in selected.iter(batch_size=_AT_ONCE):
        for row in batch.to_pylist():
            for name, class_names in classes.items():
                row[name] = None if row[name] in (None, -1) else class_names[row[name]]  # -1 stands for no class
            yield {targets[name]: value for name, value in row.items()}


def _names(features: Mapping[str, Any], columns: Mapping[str, str], root: Path) -> dict[str, str]:
    """Column of the result for each column of the dataset that is used."""
    if absent := [name for name in columns if name not in features]:
        raise TableError(f"{root}: there is no column {absent[0]!r}; the columns are {', '.join(features)}.")
    if repeated := [target for target, n in Counter(columns.values()).items() if n > 1]:
        raise TableError(f"{root}: several columns are mapped to {repeated[0]!r}. Choose one in `columns`.")
    given = {name: columns[name] for name in features if name in columns}
    audio = [name for name in features if _is_audio(features[name])]
    if "file" not in columns.values():
        if len(audio) > 1:
            raise TableError(f'{root}: {", ".join(audio)} are columns of audio. Choose one as "file" in `columns`.')
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
        "has_key": key is not None,
        "key": key if key is not None else f"{root.name}/{Path(path).stem}" if path else None,
        "row_name": f"{part or 'row'}-{number}",
        "file": _extracted(content, path) if content else str(root / path) if path else None,
        "speaker": speaker,
        "official_split": split and (official_part(str(split)) or str(split).lower()),
    }


def _extracted(content: bytes, path: str | None) -> str:
    """Path of the cached file with these bytes, which is written if it does not exist."""
    ending = Path(path or "").suffix.lower()
    if ending not in AUDIO_ENDINGS:
        ending = next((ending for start, ending in _STARTS.items() if content.startswith(start)), "")
    target = cache_dir() / "audio" / (hashlib.sha256(content).hexdigest() + ending)
    if not target.is_file():
        with atomic(target) as temporary:
            temporary.write_bytes(content)
    return str(target.absolute())
