"""EmoTale, enacted emotional speech in Danish and English (Hjuler et al. 2025, arXiv 2508.14548).

Eighteen speakers, of whom some are children, say five sentences in five emotions; three annotators rated each clip.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from emofuse.corpora.about import Corpus
from emofuse.corpora.readers.source import FilesByStem, finish, read_rows, scaled
from emofuse.corpora.table import TableError

_EMOTIONS = {"A": "anger", "B": "boredom", "H": "happiness", "N": "neutral", "S": "sadness"}
_DIMENSIONS = {"A": "arousal", "V": "valence", "D": "dominance"}
_LANGUAGES = {"DK": "da", "EN": "en"}
_SENTENCES = {
    "da": (
        "Dugen ligger på køleskabet.",
        "Det sorte ark papir er placeret deroppe ved siden af tømmerstykket.",
        "De bar det bare ovenpå og nu skal de ned igen.",
        "Det vil være på det sted, hvor vi altid opbevarer det.",
        "Om syv timer er det morgen.",
    ),
    "en": (
        "The tablecloth is lying on the fridge.",
        "The black sheet of paper is located up there besides the piece of timber.",
        "They just carried it upstairs and now they are going down again.",
        "It will be in the place where we always store it.",
        "In seven hours it will be morning.",
    ),
}
_ANNOTATORS = ("a1", "a2", "a3")
_COLUMNS = ("file", *(f"{a}_{what}" for a in _ANNOTATORS for what in ("A", "V", "D", "cat")), "gt_emotion")
_SPEAKER_COLUMNS = ("speaker_id", "speaker", "id", "speaker id", "speakerid")
_GENDERS = {"f": "female", "female": "female", "m": "male", "male": "male", "o": "other", "other": "other", "": None}
_NAME = re.compile(r"(DK|EN)_(\d{3})_([ABHNS])_([1-5])(?:\.\w+)?")
_log = logging.getLogger(__name__)


def read(root: Path | str, *, allow_missing: bool = False) -> pd.DataFrame:
    """Utterance table of `root/annotations.csv` and `root/speaker_info.csv` with the clips in `root/wav/`.

    Extra columns: `age` (years), `statement` (1..5) and `votes` (JSON object over the three annotators).

    Args:
        root: see `About.layout` of the corpus.
        allow_missing: go on without clips, or without speaker_info.csv, if they are missing.

    Raises:
        TableError: no EmoTale, a file, column or clip is missing, or a value is not as it should be; names the row.
    """
    root = Path(root).absolute()
    source = root / "annotations.csv"
    if not source.is_file():
        raise TableError(f"{root}: no EmoTale here; expected annotations.csv, speaker_info.csv and the folder wav.")
    speakers = _speakers(root / "speaker_info.csv", allow_missing)
    clips = FilesByStem(root / "wav")
    rows = [_row(cells, speakers, clips, f"{source}, row {n}") for n, cells in read_rows(source, _COLUMNS)]
    if unknown := {str(row["speaker"]) for row in rows if row["gender"] is None and row["age"] is None}:
        _log.warning("%s: gender and age are not known of %s", root / "speaker_info.csv", ", ".join(sorted(unknown)))
    return finish(rows, "emotale", source, allow_missing=allow_missing)


CORPUS = Corpus("emotale", read)


def _row(
    cells: dict[str, str], speakers: dict[int, dict[str, Any]], clips: FilesByStem, where: str
) -> dict[str, object]:
    name = _NAME.fullmatch(cells["file"].upper())
    if not name:
        raise TableError(f"{where}: {cells['file']!r} is not an EmoTale clip; expected a name such as DK_001_A_1.wav.")
    stem = "_".join(name.groups())
    language, speaker, sentence = _LANGUAGES[name[1]], name[2], int(name[4])
    enacted = _emotion(cells["gt_emotion"], where)
    if enacted != _EMOTIONS[name[3]]:
        raise TableError(f"{where}: gt_emotion is {enacted}, but the file name says {_EMOTIONS[name[3]]}.")
    ratings = [_rating(cells, annotator, where) for annotator in _ANNOTATORS]
    ratings = [rating for rating in ratings if len(rating) > 1]
    votes = Counter(rating["emotion"] for rating in ratings if "emotion" in rating)
    about = speakers.get(int(speaker), {})
    return {
        "key": f"emotale/{stem}",
        "file": clips.path(stem),
        "speaker": f"emotale/{speaker}",
        "gender": about.get("gender"),
        "language": language,
        "text": _SENTENCES[language][sentence - 1],
        "emotion": None if enacted == "boredom" else enacted,
        "original_emotion": enacted,
        **{dimension: _mean(ratings, dimension, where) for dimension in _DIMENSIONS.values()},
        "ratings": json.dumps(ratings) if ratings else None,
        "age": about.get("age"),
        "statement": sentence,
        "votes": json.dumps(votes, sort_keys=True) if votes else None,
    }


def _emotion(code: str, where: str) -> str:
    if code.upper() not in _EMOTIONS:
        raise TableError(f"{where}: unknown emotion {code!r}. Expected one of {', '.join(_EMOTIONS)}.")
    return _EMOTIONS[code.upper()]


def _rating(cells: dict[str, str], annotator: str, where: str) -> dict[str, Any]:
    rating: dict[str, Any] = {"annotator": annotator}
    if category := cells[f"{annotator}_cat"]:
        rating["emotion"] = _emotion(category, where)
    for code, dimension in _DIMENSIONS.items():
        value = cells[f"{annotator}_{code}"]
        if scaled(value, 1, 5, where) is not None:
            rating[dimension] = float(value)
    return rating


def _mean(ratings: list[dict[str, Any]], dimension: str, where: str) -> float | None:
    given = [rating[dimension] for rating in ratings if dimension in rating]
    return scaled(sum(given) / len(given), 1, 5, where) if given else None


def _speakers(file: Path, allow_missing: bool) -> dict[int, dict[str, Any]]:
    """Gender and age by the speaker's number, which may be written 1, 001 or DK_001."""
    if not file.is_file():
        if allow_missing:
            return {}
        raise TableError(
            f"{file}: missing; it says gender and age. Complete the download, or go on without: --allow-missing "
            "(allow_missing = true in a recipe)."
        )
    speakers = {}
    for number, cells in read_rows(file, ("age",), optional=(*_SPEAKER_COLUMNS, "gender", "sex")):
        where = f"{file}, row {number}"
        name = next((cells[column] for column in _SPEAKER_COLUMNS if cells[column]), "")
        digits = re.search(r"\d+", name)
        if not digits:
            raise TableError(f"{where}: {name!r} is not a speaker; expected a number such as 001 in column speaker_id.")
        gender = (cells["gender"] or cells["sex"]).lower()
        if gender not in _GENDERS:
            raise TableError(f"{where}: unknown gender {gender!r}. Expected female, male or other.")
        age = cells["age"]
        if age and not re.fullmatch(r"\d+(\.\d+)?", age):
            raise TableError(f"{where}: age {age!r} is not a number of years.")
        speakers[int(digits[0])] = {"gender": _GENDERS[gender], "age": float(age) if age else None}
    return speakers
