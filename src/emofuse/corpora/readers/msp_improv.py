"""MSP-IMPROV, improvised and read dialogue turns of twelve actors in English (Busso et al. 2017)."""

from __future__ import annotations

import logging
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from emofuse.corpora.about import Corpus
from emofuse.corpora.readers.msp_labels import Rating, checked_rating, pool_ratings, read_transcripts, split_line
from emofuse.corpora.readers.source import FilesByStem, finish, read_lines, scaled
from emofuse.corpora.table import TableError
from emofuse.labels import EMOTIONS

_NAME = re.compile(
    r"(?:UTD|MSP)-IMPROV-(S(\d\d)([AHSN])-([FM])(\d\d)-([PRST])-[A-Z]{2}\d+)(?:\.(?:avi|wav))?", re.IGNORECASE
)
_WORDS = {"A": "anger", "H": "happiness", "S": "sadness", "N": "neutral", "O": "other", "X": "no agreement"}
_PRIMARY = {"angry": "anger", "happy": "happiness", "sad": "sadness", "neutral": "neutral", "other": "other"}
_SCRIPTS = {"P": "natural", "R": "read", "S": "improvised", "T": "target"}
_TRANSCRIPTS = ("[Aa]ll_human_transcriptions", "[Hh]uman_transcriptions", "[Tt]ext")
_log = logging.getLogger(__name__)


def read(root: Path | str, *, allow_missing: bool = False) -> pd.DataFrame:
    """Utterance table of a release; see `About.layout` of the corpus for its files.

    Extra columns: `votes`, `session` (1 to 6), `script` (natural, read, improvised, target), `dialogue` (session and
    scenario), `statement` (number of the target sentence, where it was said) and `intended` (category).

    Raises:
        TableError: no labels, a clip is missing, a name, label or rating is wrong; names file and row.
    """
    root = Path(root).absolute()
    found = sorted(root.glob("[Ee]valu*tion.txt"))
    if not found:
        raise TableError(f"{root}: no MSP-IMPROV here; expected Evalution.txt and session1 to session6.")
    labels, ratings = _read_labels(found[0])
    clips = FilesByStem(root)
    names = [row["name"] for row in labels]
    folder = next(
        (f for pattern in _TRANSCRIPTS for f in sorted(root.glob(pattern))), root / "All_human_transcriptions"
    )
    texts = read_transcripts(FilesByStem(folder, endings=(".txt",)), names, root)
    if unlabelled := sum(stem.startswith("msp-improv-") for stem in clips.paths.keys() - {n.lower() for n in names}):
        _log.warning("%s: %d clips have no labels and are left out", root, unlabelled)
    audio = "Audio/" if (root / "Audio").is_dir() else ""
    rows = []
    for row in labels:
        name = row.pop("name")
        columns = dict(zip(("ratings", "votes"), pool_ratings(ratings[name]), strict=True))
        file = clips.path(name, audio + row.pop("place"))
        rows.append({"key": f"msp-improv/{name}", "file": file, "text": texts.get(name.lower()), **row, **columns})
    return finish(rows, "msp-improv", root, allow_missing=allow_missing)


def _read_labels(path: Path) -> tuple[list[dict[str, Any]], dict[str, set[Rating]]]:
    """Rows of the turns, and ratings by turn: a line of the turn, then a line of each annotator."""
    rows: list[dict[str, Any]] = []
    ratings: dict[str, set[Rating]] = {}
    odd: Counter[str] = Counter()
    for number, line in read_lines(path):
        where = f"{path}, row {number}"
        (first, *rest), numbers = split_line(line, where)
        if match := _NAME.fullmatch(first):
            rows.append(_row(match, rest[0] if rest else "", numbers, where))
            ratings.setdefault(rows[-1]["name"], set())
        elif "-improv-" in first.lower() or not rows:
            raise TableError(f"{where}: {first!r} is not a turn; expected a name like UTD-IMPROV-S01A-F01-P-FM01.avi.")
        else:
            rating = checked_rating(first, rest[0] if rest else "", numbers, _PRIMARY, (1, 5), where, odd)
            ratings[rows[-1]["name"]].add(rating)
    if odd:
        _log.warning("%s: %d primary emotions, such as %r, count as other", path, sum(odd.values()), min(odd))
    return rows, ratings


def _row(match: re.Match[str], code: str, numbers: tuple[str, str, str], where: str) -> dict[str, Any]:
    turn, sentence, intended, gender, session, script = (group.upper() for group in match.groups())
    if code.upper() not in _WORDS:
        raise TableError(f"{where}: unknown emotion {code!r}; expected one of {', '.join(_WORDS)}.")
    word = _WORDS[code.upper()]
    activation, valence, dominance = (scaled(n, 1, 5, where) for n in numbers)
    return {
        "name": f"MSP-IMPROV-{turn}",
        "place": f"session{int(session)}/S{sentence}{intended}/{script}/MSP-IMPROV-{turn}.wav",
        "speaker": f"msp-improv/{gender}{session}",
        "gender": "female" if gender == "F" else "male",
        "language": "en",
        "emotion": word if word in EMOTIONS else None,
        "original_emotion": word,
        "arousal": None if activation is None else 1 - activation,
        "valence": valence,
        "dominance": dominance,
        "session": int(session),
        "script": _SCRIPTS[script],
        "dialogue": f"{int(session)}/S{sentence}{intended}",
        "statement": int(sentence) if script in "RT" else None,
        "intended": _WORDS[intended],
    }


CORPUS = Corpus("msp-improv", read)
