"""IEMOCAP, acted dialogues in English (Busso et al. 2008, doi 10.1007/s10579-008-9076-6; licence of USC SAIL).

Five sessions of two actors each, improvised and scripted; categories and dimensions by several evaluators.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from emofuse.corpora.about import Corpus
from emofuse.corpora.readers.source import FilesByStem, finish, read_lines, read_rows, scaled
from emofuse.corpora.table import TableError
from emofuse.labels import to_shared

_EMOTIONS = {
    "ang": "anger",
    "hap": "happiness",
    "exc": "excited",
    "sad": "sadness",
    "neu": "neutral",
    "fru": "frustration",
    "fea": "fear",
    "sur": "surprise",
    "dis": "disgust",
    "oth": "other",
    "xxx": "undecided",
}
_SHARED = {
    **{e: e for e in ("anger", "happiness", "sadness", "neutral", "fear", "surprise", "disgust")},
    "excited": "happiness",
    "frustration": None,
    "other": None,
    "undecided": None,
}
_DIMENSIONS = {"val": "valence", "act": "arousal", "dom": "dominance"}
_OFF_SCALE = {"0.5": "1", "5.5": "5"}  # consensus ratings of the full release, a known defect
_ID = re.compile(r"ses0([1-5])([fm])_((?:impro|script)\w*)_([fm])(\d{3})", re.IGNORECASE)
_UTTERANCE = re.compile(r"\[\s*[\d.]+\s*-\s*[\d.]+\s*\]\s+(\S+)\s+(\S+)\s+\[([^]]*)\]")
_EVALUATOR = re.compile(r"([CA]-[EFM]\d+)\s*:\s*([^(]*)", re.IGNORECASE)
_TURN = re.compile(r"\s*(\S+)\s+\[[^]]*\]\s*:\s*(.*)")
_EDA = "eda_iemocap_no_utts_dataset.csv"
_log = logging.getLogger(__name__)

_Odd = defaultdict[str, list[str]]
"""Files and rows of irregular lines, by the kind of irregularity."""


def read(root: Path | str, *, allow_missing: bool = False) -> pd.DataFrame:
    """Utterance table of `root/Session1` to `root/Session5`, or of those in `root/IEMOCAP_full_release`.

    Extra columns: `session` (1..5), `script` (improvised, scripted), `dialogue`, `votes` (JSON object, external
    evaluators only) and, if the file of dialogue acts exists, `dialogue_act`.

    Args:
        root: see `About.layout` of the corpus.
        allow_missing: continue if sessions or audio files are missing.

    Raises:
        TableError: all or some sessions or audio files are missing, or a label is invalid; names the row.
        EmofuseError: an unknown category; names the row.
    """
    root = Path(root).absolute()
    home = next((h for h in (root, root / "IEMOCAP_full_release") if _label_files(h)), None)
    if home is None:
        raise TableError(
            f"{root}: no IEMOCAP here; expected Session1 to Session5 with dialog/EmoEvaluation/*.txt, "
            "here or in IEMOCAP_full_release."
        )
    files = _label_files(home)
    absent = [n for n in range(1, 6) if not any(f.parts[-4] == f"Session{n}" for f in files)]
    if absent:
        message = f"{home}: no dialog/EmoEvaluation/*.txt in {', '.join(f'Session{n}' for n in absent)}"
        if not allow_missing:
            raise TableError(
                f"{message}. Complete the download, or use the other files: --allow-missing (allow_missing = true in "
                "a recipe)."
            )
        _log.warning("%s; continuing without", message)
    clips = FilesByStem(home, "Session*/sentences/wav/*/*")
    odd: _Odd = defaultdict(list)
    rows = [row for file in files for row in _evaluations(file, clips, odd)]
    for what, places in odd.items():
        _log.warning("%s: %d %s (such as %s)", home, len(places), what, places[0])
    if stray := len(clips.paths.keys() - {row["key"].removeprefix("iemocap/").lower() for row in rows}):
        _log.warning("%s: %d clips belong to no evaluated utterance and are left out", home, stray)
    _add_transcripts(rows, home)
    _add_dialogue_acts(rows, root, home)
    return finish(rows, "iemocap", home, allow_missing=allow_missing)


CORPUS = Corpus("iemocap", read)


def _label_files(home: Path) -> list[Path]:
    return sorted(f for f in home.glob("Session[1-5]/dialog/EmoEvaluation/*.txt") if f.name[0] != ".")


def _evaluations(file: Path, clips: FilesByStem, odd: _Odd) -> Iterator[dict[str, Any]]:
    """Yield the rows of one dialogue, where the line of an utterance is followed by those of its evaluators."""
    row: dict[str, Any] | None = None
    ratings: list[dict[str, Any]] = []
    for number, line in read_lines(file):
        where = f"{file}, row {number}"
        if line.startswith("["):
            if row:
                yield _rated(row, ratings)
            row, ratings = _utterance(line, clips, where, odd), []
        elif match := _EVALUATOR.match(line):
            if row is None:
                raise TableError(f"{where}: {line!r} comes before any utterance; expected one in brackets.")
            ratings.append(_rating(match[1].upper(), match[2], where, odd))
        elif not line.startswith("%"):
            odd["lines are neither an utterance nor an evaluation and are left out"].append(f"{where}: {line!r}")
    if row:
        yield _rated(row, ratings)


def _utterance(line: str, clips: FilesByStem, where: str, odd: _Odd) -> dict[str, Any]:
    match = _UTTERANCE.fullmatch(line)
    values = [value.strip() for value in match[3].split(",")] if match else []
    if not match or len(values) != 3:
        raise TableError(f"{where}: {line!r} is not an evaluation; expected [start - end] utterance emotion [V, A, D].")
    name = _ID.fullmatch(match[1])
    if not name:
        raise TableError(f"{where}: {match[1]!r} is not an utterance; expected a name such as Ses01F_impro01_F000.")
    session, actor, scene, gender, turn = name[1], name[2].upper(), name[3].lower(), name[4].upper(), name[5]
    dialogue = f"Ses0{session}{actor}_{scene}"
    utterance = f"{dialogue}_{gender}{turn}"
    code = match[2].lower()
    original = _EMOTIONS.get(code, code)
    valence, arousal, dominance = (_consensus(value, where, odd) for value in values)
    return {
        "key": f"iemocap/{utterance}",
        "file": clips.path(utterance, f"Session{session}/sentences/wav/{dialogue}/{utterance}.wav"),
        "speaker": f"iemocap/Ses0{session}{gender}",
        "gender": "female" if gender == "F" else "male",
        "language": "en",
        "text": None,
        "emotion": to_shared(original, _SHARED, where),
        "original_emotion": original,
        "arousal": arousal,
        "valence": valence,
        "dominance": dominance,
        "session": int(session),
        "script": "improvised" if scene.startswith("impro") else "scripted",
        "dialogue": dialogue,
    }


def _consensus(value: str, where: str, odd: _Odd) -> float | None:
    on_scale = _OFF_SCALE.get(value.rstrip("0"), value)
    if on_scale != value:
        odd["consensus ratings lie off the scale 1-5 and count as 1 or 5"].append(f"{where}: {value}")
    return scaled(on_scale, 1, 5, where)


def _rating(evaluator: str, text: str, where: str, odd: _Odd) -> dict[str, Any]:
    """The rating of one evaluator: categories (C-), or dimensions (A-) on 1-5, some of which may be missing."""
    if evaluator.startswith("C"):
        words = [word.strip().lower() for word in text.split(";")]
        categories = ["neutral" if word == "neutral state" else word for word in words if word]
        given: dict[str, Any] = {"emotion": categories if len(categories) > 1 else "".join(categories)}
        return {"annotator": evaluator, **(given if categories else {})}
    values = re.findall(r"(val|act|dom)\s+(\d+(?:\.\d+)?)", text.lower())
    if any(not 1 <= float(value) <= 5 for _, value in values):
        odd["evaluators' lines have ratings off the scale 1-5, which are used as they are"].append(
            f"{where}: {text.strip()}"
        )
    return {"annotator": evaluator, **{_DIMENSIONS[name]: float(value) for name, value in values}}


def _marked(rating: dict[str, Any]) -> dict[str, Any]:
    """A rating, with "self" if the evaluator is an actor of the dialogue (C-F1, A-M1)."""
    return rating if "-E" in rating["annotator"] else {**rating, "self": True}


def _rated(row: dict[str, Any], ratings: list[dict[str, Any]]) -> dict[str, Any]:
    ratings = [_marked(rating) for rating in ratings if len(rating) > 1]
    votes: Counter[str] = Counter()
    for rating in ratings:
        if rating["annotator"].startswith("C-E"):
            named = rating["emotion"] if isinstance(rating["emotion"], list) else [rating["emotion"]]
            votes.update({_SHARED.get(category) or category for category in named})
    return {
        **row,
        "ratings": json.dumps(ratings) if ratings else None,
        "votes": json.dumps(votes, sort_keys=True) if votes else None,
    }


def _add_transcripts(rows: list[dict[str, Any]], home: Path) -> None:
    texts: dict[str, str] = {}
    for file in sorted(home.glob("Session[1-5]/dialog/transcriptions/*.txt")):
        if file.name[0] != ".":
            turns = (_TURN.fullmatch(line) for _, line in read_lines(file))
            texts.update({turn[1].lower(): turn[2].strip() for turn in turns if turn and _ID.fullmatch(turn[1])})
    names = {row["key"].removeprefix("iemocap/").lower() for row in rows}
    for row in rows:
        row["text"] = texts.get(row["key"].removeprefix("iemocap/").lower()) or None
    without = sum(row["text"] is None for row in rows)
    if without or not texts.keys() <= names:
        _log.warning(
            "%s: %d utterances have no transcript; %d transcripts belong to no evaluated utterance and are left out",
            *(home, without, len(texts.keys() - names)),
        )


def _add_dialogue_acts(rows: list[dict[str, Any]], root: Path, home: Path) -> None:
    """Add the column `dialogue_act` from the EDA file (Bothe et al. 2020, arXiv 1912.00819), if it exists."""
    folders = [folder / name for folder in (root, home) for name in ("", "Annotated_EDA_data")]
    file = next((folder / _EDA for folder in folders if (folder / _EDA).is_file()), None)
    if file is None:
        return
    acts: dict[str, str] = {}
    for _, cells in read_rows(file, ("speaker", "utt_id", "EDA")):
        dialogue = cells["speaker"].removeprefix("b").strip("'\"")  # written as Python bytes
        acts[f"iemocap/{dialogue}{cells['utt_id'].zfill(3)}".lower()] = cells["EDA"]
    for row in rows:
        act = acts.get(row["key"].lower())
        row["dialogue_act"] = None if act == "xx" else act or None
    unknown = sum(row["key"].lower() not in acts for row in rows)
    if unknown:
        _log.warning("%s: no dialogue act for %d of %d utterances", file, unknown, len(rows))
