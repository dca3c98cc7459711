"""MSP-Podcast, spontaneous speech from podcasts, releases 1.7 to 2.0 (Lotfian and Busso 2019; Busso et al. 2025)."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from emofuse.corpora.about import Corpus
from emofuse.corpora.readers.msp_labels import Rating, checked_rating, pool_ratings, read_transcripts, split_line
from emofuse.corpora.readers.source import FilesByStem, finish, read_lines, read_rows, read_text, scaled
from emofuse.corpora.table import TableError
from emofuse.labels import EMOTIONS

_WORDS = {
    "A": "anger",
    "S": "sadness",
    "H": "happiness",
    "U": "surprise",
    "F": "fear",
    "D": "disgust",
    "C": "contempt",
    "N": "neutral",
    "O": "other",
    "X": "no agreement",
}
_PRIMARY = {
    "angry": "anger",
    "sad": "sadness",
    "happy": "happiness",
    "surprised": "surprise",
    **{word: word for word in ("surprise", "fear", "disgust", "contempt", "neutral", "other")},
}
_PARTS = {
    "development": "dev",
    "validation": "dev",
    **{p: p for p in ("train", "dev", "test", "test1", "test2", "test3")},
}
_GENDERS = {"male": "male", "female": "female", "unknown": None, "": None}
_log = logging.getLogger(__name__)


def read(root: Path | str, *, allow_missing: bool = False) -> pd.DataFrame:
    """Utterance table of a release; see `About.layout` of the corpus for its files.

    Extra columns: `official_split` (train, dev, test1, test2, test3) and `votes` (JSON, number of annotators by
    primary emotion).

    Raises:
        TableError: labels, a column or a clip are missing, or a name, label or rating is wrong; names file and row.
    """
    root = Path(root).absolute()
    labels = read_labels(root)
    given = read_ratings(root, [row["name"] for row in labels])
    clips = FilesByStem(root, "[Aa]udio*/**/*")
    if stray := len(clips.paths.keys() - {row["name"].lower() for row in labels}):
        _log.warning("%s: %d clips are neither in the labels nor in the partitions and are left out", root, stray)
    transcripts = read_transcripts(
        FilesByStem(root, "[Tt]ranscript*/**/*", (".txt",)), [row["name"] for row in labels], root
    )
    rows = []
    for row in labels:
        name = row.pop("name")
        ratings, votes = pool_ratings(given.get(name, ()))
        rows.append(
            {
                "key": f"msp-podcast/{name}",
                "file": clips.path(name, f"Audios/{name}.wav"),
                "language": "en",
                "text": transcripts.get(name.lower()),
                "ratings": ratings,
                "votes": votes,
                **row,
            }
        )
    return finish(rows, "msp-podcast", root, allow_missing=allow_missing)


def read_labels(root: Path) -> list[dict[str, Any]]:
    """Rows with name, speaker and labels, from the consensus labels, partitions and speakers of a release.

    Raises:
        TableError: as `read`.
    """
    path = _find(root, "labels_con[sc]ensus.csv", "labels_con[sc]ensus.json", "[Ll]abels.txt")
    if path is None:
        raise TableError(
            f"{root}: no MSP-Podcast here; expected Labels/labels_consensus.csv (or .json, or labels.txt) and Audios."
        )
    parts, speakers, genders = _parts(root), *_speakers(root)
    rows = []
    conflicts: list[str] = []
    for where, cells in _consensus(path):
        name = _name(cells["FileName"], where)
        speaker = _known(cells["SpkrID"]) or speakers.get(name)
        gender = _gender(cells["Gender"], where) or genders.get(speaker)
        part = _part(cells["Split_Set"], where) or parts.get(name)
        if part != (parts.get(name) or part):
            conflicts.append(f"{where}: {part}, not {parts[name]}")
        rows.append(_row(name, speaker, gender, part, _label(cells, where)))
    labelled = {row["name"] for row in rows}
    unlabelled = sorted(parts.keys() - labelled)
    for name in unlabelled:
        speaker = speakers.get(name)
        rows.append(_row(name, speaker, genders.get(speaker), parts[name], (None,) * 4))
    if unlabelled:
        _log.info("%s: %d clips of the partitions have no labels (test3 has none)", path, len(unlabelled))
    if conflicts:
        _log.warning(
            "%s: the parts of %d clips differ from Partitions.txt, which is ignored for them (%s)",
            *(path, len(conflicts), conflicts[0]),
        )
    if without_part := sum(row["official_split"] is None for row in rows):
        _log.warning("%s: the part of %d of %d rows is unknown", path, without_part, len(rows))
    if unknown := sum(row["speaker"] is None for row in rows):
        _log.warning("%s: the speaker of %d of %d rows is unknown", path, unknown, len(rows))
    return rows


def read_ratings(root: Path, names: Iterable[str]) -> dict[str, set[Rating]]:
    """Ratings of the given clips by name, from the detailed labels; empty if there are none.

    Raises:
        TableError: as `read`.
    """
    path = _find(root, "labels_detailed.csv", "labels_detailed.json", "[Ll]abels.txt")
    ratings: dict[str, set[Rating]] = {name: set() for name in names}
    odd: Counter[str] = Counter()
    stray = 0
    for where, file, rating in _detailed(path) if path else ():
        checked = checked_rating(*rating, _PRIMARY, (1, 7), where, odd)
        name = _name(file, where)
        if name in ratings:
            ratings[name].add(checked)
        else:
            stray += 1
    if stray:
        _log.warning("%s: %d ratings of clips that are not in the consensus labels are ignored", path, stray)
    if odd:
        first = min(odd)
        _log.warning("%s: %d primary emotions, such as %r, count as other", path, sum(odd.values()), first)
    return ratings


def _find(root: Path, *patterns: str) -> Path | None:
    """The first file in the labels folder, or else in the root, that matches the first pattern with any match."""
    for pattern in patterns:
        if paths := sorted(root.glob(f"[Ll]abel*/{pattern}")) or sorted(root.glob(pattern)):
            return paths[0]
    return None


def _name(file: str, where: str) -> str:
    stem = file.strip().rsplit(".", 1)[0]
    if not stem.upper().startswith("MSP-PODCAST_"):
        raise TableError(
            f"{where}: {file!r} is not a clip of the corpus; expected a name such as MSP-PODCAST_0001_0008.wav."
        )
    return "MSP-PODCAST" + stem[11:].lower()


def _row(
    name: str, speaker: str | None, gender: str | None, part: str | None, label: tuple[Any, ...]
) -> dict[str, Any]:
    word, arousal, valence, dominance = label
    return {
        "name": name,
        "speaker": f"msp-podcast/{speaker}" if speaker else None,
        "gender": gender,
        "official_split": part,
        "emotion": word if word in EMOTIONS else None,
        "original_emotion": word,
        "arousal": arousal,
        "valence": valence,
        "dominance": dominance,
    }


def _label(cells: Mapping[str, str], where: str) -> tuple[str | None, float | None, float | None, float | None]:
    """Emotion in words, arousal, valence and dominance (0..1)."""
    code = cells["EmoClass"]
    if code and code.upper() not in _WORDS:
        raise TableError(f"{where}: unknown EmoClass {code!r}; expected one of {', '.join(_WORDS)}.")
    arousal, valence, dominance = (scaled(cells[column], 1, 7, where) for column in ("EmoAct", "EmoVal", "EmoDom"))
    return _WORDS.get(code.upper()), arousal, valence, dominance


def _known(speaker: str) -> str | None:
    return None if speaker.lower() in ("", "nan", "unknown") else speaker


def _gender(cell: str, where: str) -> str | None:
    if cell.lower() not in _GENDERS:
        raise TableError(f"{where}: unknown gender {cell!r}; expected Male, Female or Unknown.")
    return _GENDERS[cell.lower()]


def _part(cell: str, where: str) -> str | None:
    if cell and cell.lower() not in _PARTS:
        raise TableError(f"{where}: unknown part {cell!r}; expected Train, Development, Test1, Test2 or Test3.")
    return _PARTS.get(cell.lower())


_LABELS = ("FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom")
_REST = ("SpkrID", "Gender", "Split_Set")


def _consensus(path: Path) -> Iterable[tuple[str, Mapping[str, str]]]:
    """File and row, and cells, of each row of a CSV, JSON or text file."""
    if path.suffix == ".csv":
        for number, cells in read_rows(path, _LABELS, optional=_REST):
            yield f"{path}, row {number}", cells
    elif path.suffix == ".json":
        for name, cells in _json(path).items():
            where = f"{path}, {name}"
            if absent := [c for c in _LABELS[1:] if c not in _object(cells, where)]:
                raise TableError(f"{where}: {absent[0]!r} is missing; expected the file as published.")
            yield where, {c: _cell(cells.get(c)) for c in (*_LABELS[1:], *_REST)} | {"FileName": name}
    else:
        for number, line in read_lines(path):
            where = f"{path}, row {number}"
            (name, code, *_), numbers = _fields(line, where)
            if name.lower().startswith("msp-podcast"):
                yield where, dict(zip((*_LABELS, *_REST), (name, code, *numbers, "", "", ""), strict=True))


Detail = tuple[str, str, tuple[Any, Any, Any]]


def _detailed(path: Path) -> Iterable[tuple[str, str, Detail]]:
    """File and row, clip, and (annotator, primary emotion, numbers) of each rating in a CSV, JSON or text file."""
    if path.suffix == ".csv":
        yield from _detailed_csv(path)
    elif path.suffix == ".json":
        for file, workers in _json(path).items():
            for worker, cells in _object(workers, f"{path}, {file}").items():
                where = f"{path}, {file}, {worker}"
                cells = _object(cells, where)
                numbers = (cells.get("EmoAct"), cells.get("EmoVal"), cells.get("EmoDom"))
                yield where, file, (worker, _cell(cells.get("EmoClass_Major")), numbers)
    else:
        file = ""
        for number, line in read_lines(path):
            where = f"{path}, row {number}"
            (first, primary, *_), numbers = _fields(line, where)
            if first.lower().startswith("msp-podcast"):
                file = first
            else:
                yield where, file, (first, primary, numbers)


def _detailed_csv(path: Path) -> Iterable[tuple[str, str, Detail]]:
    optional = ("EmoDetail", "Workers", "WorkerID", "EmoClass_Major", "EmoAct", "EmoVal", "EmoDom")
    for number, cells in read_rows(path, ("FileName",), optional=optional):
        where = f"{path}, row {number}"
        if cells["EmoDetail"]:
            (worker, primary, *_), numbers = _fields(cells["EmoDetail"], where)
        else:
            worker, primary = cells["WorkerID"] or cells["Workers"], cells["EmoClass_Major"]
            numbers = (cells["EmoAct"], cells["EmoVal"], cells["EmoDom"])
        if not worker:
            raise TableError(
                f"{where}: the annotator is missing; expected the columns EmoDetail, or WorkerID and EmoClass_Major."
            )
        yield where, cells["FileName"], (worker, primary, numbers)


def _fields(line: str, where: str) -> tuple[list[str], tuple[str, str, str]]:
    head, numbers = split_line(line, where)
    if len(head) < 2:
        raise TableError(f"{where}: {line!r} has no emotion; expected NAME; EMOTION; A:4.0; V:4.0; D:4.0;")
    return head, numbers


def _parts(root: Path) -> dict[str, str | None]:
    """Part of each clip in Partitions.txt (Train; name.wav); lines without a clip are counts and headings."""
    path = _find(root, "[Pp]artition*.txt")
    parts: dict[str, str | None] = {}
    for number, line in read_lines(path) if path else ():
        part, _, file = line.partition(";")
        if file.strip():
            where = f"{path}, row {number}"
            _put(parts, _name(file, where), _part(part.strip(), where), where)
    return parts


def _speakers(root: Path) -> tuple[dict[str, str | None], dict[str | None, str | None]]:
    """Speaker of each clip, and gender of each speaker, in Speaker_ids.txt (name.wav; 128 and Speaker_128; Male)."""
    path = _find(root, "[Ss]peaker_ids.txt")
    speakers: dict[str, str | None] = {}
    genders: dict[str | None, str | None] = {}
    for number, line in read_lines(path) if path else ():
        where = f"{path}, row {number}"
        first, _, second = (field.strip(" ;") for field in line.partition(";"))
        if first.lower().startswith("speaker_"):
            genders[first[len("speaker_") :]] = _gender(second, where)
        elif first.lower().startswith("msp-podcast"):
            _put(speakers, _name(first, where), _known(second), where)
    return speakers, genders


def _put(values: dict[str, str | None], name: str, value: str | None, where: str) -> None:
    if values.setdefault(name, value) != value:
        raise TableError(f"{where}: {name} is {value} here, but {values[name]} further up. Remove one of the lines.")


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(path))
    except ValueError as error:
        raise TableError(f"{path}: not valid JSON ({error}).") from error
    return _object(content, str(path))


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TableError(f"{where}: expected a JSON object, as in the file as published.")
    return value


def _cell(value: Any) -> str:
    return "" if value is None else str(value).strip()


CORPUS = Corpus("msp-podcast", read)
