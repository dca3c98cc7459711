"""CREMA-D, acted emotional speech in English with crowd votes (Cao et al. 2014, doi 10.1109/TAFFC.2014.2336244; ODbL).

91 actors say twelve sentences in six emotions; 2,443 people judged voice, face, and both, one apart from the other.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from emofuse.corpora.about import Corpus
from emofuse.corpora.readers.source import FilesByStem, finish, read_rows
from emofuse.corpora.table import TableError

SENTENCES = {
    "IEO": "It's eleven o'clock.",
    "TIE": "That is exactly what happened.",
    "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.",
    "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
_WORDS = {"A": "anger", "D": "disgust", "F": "fear", "H": "happy", "N": "neutral", "S": "sad"}
_SHARED = {**_WORDS, "H": "happiness", "S": "sadness"}
_CODES = {"ANG": "A", "DIS": "D", "FEA": "F", "HAP": "H", "NEU": "N", "SAD": "S"}
_LEVELS = {"LO": "low", "MD": "medium", "HI": "high", "X": None, "XX": None}
_NAME = re.compile(rf"(\d{{4}})_({'|'.join(SENTENCES)})_({'|'.join(_CODES)})_({'|'.join(_LEVELS)})", re.IGNORECASE)
_SILENT = "1076_MTI_SAD_XX"
_HEARD_OTHERWISE = {"1076_MTI_NEU_XX", "1064_TIE_SAD_XX", "1064_IEO_DIS_MD"}
_log = logging.getLogger(__name__)


def read(root: Path | str, *, allow_missing: bool = False) -> pd.DataFrame:
    """Utterance table of the clips in `root/AudioWAV`, and of those that SentenceFilenames.csv lists.

    Extra columns: `voice_vote` (shared category, or several joined by a colon in a tie), `votes`, `intensity`
    (low, medium, high), `statement` (code of the sentence), `age` (years).

    Raises:
        TableError: no clips, a name that is not official, a clip that is missing or a git-lfs pointer, an unknown vote.
    """
    root = Path(root).absolute()
    clips = FilesByStem(root / "AudioWAV", "*", endings=(".wav",))
    stems = {_utterance(stem, str(path))[0]: stem for stem, path in sorted(clips.paths.items())}
    expected = _listed(root)
    if not stems and not expected:
        raise TableError(
            f"{root}: no CREMA-D here; expected the folder AudioWAV with clips such as 1001_DFA_ANG_XX.wav."
        )
    _check_no_pointers(clips)
    if _SILENT in stems:
        _log.warning("%s: the clip has no audio and is left out", clips.path(stems[_SILENT]))
    utterances = sorted({*stems, *expected} - {_SILENT})
    people = _people(root)
    if unknown := sorted({u[:4] for u in utterances} - set(people)):
        _log.warning("%s: sex and age of %d actors are not known (such as %s)", root, len(unknown), unknown[0])
    voice_votes, ratings = _voice_votes(root, utterances), _ratings(root)
    votes = _tabulated(root) or {u: Counter(by_rater.values()) for u, by_rater in ratings.items()}
    rows = []
    for utterance in utterances:
        row = _row(utterance, clips.path(stems.get(utterance, utterance)), people)
        if utterance not in _HEARD_OTHERWISE:
            row["ratings"] = _ratings_json(ratings.get(utterance, {}))
            row["voice_vote"] = voice_votes.get(utterance)
            row["votes"] = _votes_json(votes.get(utterance, Counter()))
        rows.append(row)
    return finish(rows, "crema-d", root, allow_missing=allow_missing)


CORPUS = Corpus("crema-d", read)


def _row(utterance: str, file: str, people: Mapping[str, tuple[str | None, int | None]]) -> dict[str, object]:
    _, sentence, code, level = _utterance(utterance, utterance)
    gender, age = people.get(utterance[:4], (None, None))
    return {
        "key": f"crema-d/{utterance}",
        "file": file,
        "speaker": f"crema-d/{utterance[:4]}",
        "gender": gender,
        "language": "en",
        "text": SENTENCES[sentence],
        "emotion": _SHARED[code],
        "original_emotion": _WORDS[code],
        "ratings": None,
        "voice_vote": None,
        "votes": None,
        "intensity": _LEVELS[level],
        "statement": sentence,
        "age": age,
    }


def _utterance(stem: str, where: str) -> tuple[str, str, str, str]:
    """Official name, sentence, category and level of a name in any case."""
    match = _NAME.fullmatch(stem.strip())
    if not match:
        raise TableError(
            f"{where}: not an official CREMA-D name. Expected actor_sentence_emotion_level, such as 1001_DFA_ANG_XX; "
            "move other files out of AudioWAV."
        )
    actor, sentence, code, level = (part.upper() for part in match.groups())
    return f"{actor}_{sentence}_{code}_{'XX' if level == 'X' else level}", sentence, _CODES[code], level


def _find(root: Path, name: str) -> Path | None:
    return next((p for p in (root / "processedResults" / name, root / name) if p.is_file()), None)


def _listed(root: Path) -> set[str]:
    path = _find(root, "SentenceFilenames.csv")
    if path is None:
        return set()
    rows = read_rows(path, ["Filename"])
    return {_utterance(row["Filename"], f"{path}, row {number}")[0] for number, row in rows}


def _check_no_pointers(clips: FilesByStem) -> None:
    for path in sorted(clips.paths.values()):
        if path.stat().st_size < 1024 and path.read_bytes().startswith(b"version https://git-lfs"):
            raise TableError(f"{path}: a git-lfs pointer, no audio. Clone the repository and run `git lfs pull` in it.")


def _people(root: Path) -> dict[str, tuple[str | None, int | None]]:
    """Gender and age by actor."""
    path = _find(root, "VideoDemographics.csv")
    people = {}
    for number, row in read_rows(path, ["ActorID", "Age", "Sex"]) if path else []:
        gender, age = row["Sex"].lower(), row["Age"]
        if gender not in ("female", "male", ""):
            raise TableError(f"{path}, row {number}: unknown sex {row['Sex']!r}; expected Female or Male.")
        people[row["ActorID"]] = (gender or None, int(age) if age.isdigit() else None)
    return people


def _category(code: str, where: str) -> str:
    if code.upper() not in _WORDS:
        raise TableError(f"{where}: unknown vote {code!r}; expected one of {', '.join(_WORDS)}.")
    return code.upper()


def _voice_votes(root: Path, utterances: list[str]) -> dict[str, str]:
    path = _find(root, "summaryTable.csv")
    votes: dict[str, str] = {}
    for number, row in read_rows(path, ["FileName", "VoiceVote"]) if path else []:
        where = f"{path}, row {number}"
        chosen = [_SHARED[_category(code.strip(), where)] for code in row["VoiceVote"].split(":") if code.strip()]
        if chosen:
            votes[_utterance(row["FileName"], where)[0]] = ":".join(chosen)
    if votes and (without := set(utterances) - set(votes)):
        _log.warning("%s: %d of %d clips have no vote", path, len(without), len(utterances))
    if others := set(votes) - set(utterances) - {_SILENT}:
        _log.warning("%s: %d rows are of clips that are not there (such as %s)", path, len(others), min(others))
    return votes


def _tabulated(root: Path) -> dict[str, Counter[str]]:
    """Votes on the voice by clip; the first digit of a row's name says what was judged, 1 being the voice."""
    path = _find(root, "tabulatedVotes.csv")
    votes = {}
    for number, row in read_rows(path, ["", *_WORDS, "fileName"]) if path else []:
        if row[""].startswith("1"):
            where = f"{path}, row {number}"
            if wrong := [row[code] for code in _WORDS if not row[code].isdigit()]:
                raise TableError(f"{where}: {wrong[0]!r} is not a number of votes.")
            counts = Counter({code: int(row[code]) for code in _WORDS})
            votes[_utterance(row["fileName"], where)[0]] = counts
    return votes


def _ratings(root: Path) -> dict[str, dict[str, str]]:
    """The category that each rater heard in the voice, by clip and rater."""
    path = _find(root, "finishedResponses.csv")
    ratings: dict[str, dict[str, str]] = {}
    for number, row in read_rows(path, ["localid", "queryType", "clipName", "respEmo"]) if path else []:
        if row["queryType"] == "1":
            where = f"{path}, row {number}"
            by_rater = ratings.setdefault(_utterance(row["clipName"], where)[0], {})
            by_rater[row["localid"]] = _category(row["respEmo"], where)
    return ratings


def _ratings_json(by_rater: Mapping[str, str]) -> str | None:
    ratings = [{"annotator": rater, "emotion": _WORDS[code]} for rater, code in sorted(by_rater.items())]
    return json.dumps(ratings) if ratings else None


def _votes_json(votes: Counter[str]) -> str | None:
    counts = {_SHARED[code]: votes[code] for code in _WORDS if votes[code]}
    return json.dumps(counts) if counts else None
