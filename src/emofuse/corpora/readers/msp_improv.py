"""MSP-IMPROV, improvised and read dialogue turns of twelve actors in English (Busso et al. 2017)."""

from __future__ import annotations

import logging
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from emofuse.corpora.about import About, Corpus
from emofuse.corpora.readers.msp_labels import Rating, checked_rating, pooled, read_transcripts, split_line
from emofuse.corpora.readers.source import FilesByStem, finish, read_lines, scaled
from emofuse.corpora.table import TableError
from emofuse.labels import EMOTIONS

ABOUT = About(
    title="MSP-IMPROV",
    languages=("en",),
    access="On request from the MSP laboratory (https://www.lab-msp.com/MSP/MSP-Improv.html): a signed agreement of "
    "the institution, free for academic research.",
    licence="The laboratory's own licence: academic research, no redistribution.",
    citation="Busso, Parthasarathy, Burmania, AbdelWahab, Sadoughi and Mower Provost 2017, MSP-IMPROV: an acted corpus "
    "of dyadic interactions to study emotion perception, IEEE Transactions on Affective Computing 8(1), "
    "doi 10.1109/TAFFC.2016.2515617",
    layout="Evalution.txt (spelled so by the owner; Evaluation.txt is read too); "
    "session1..6/S01A/{P,R,S,T}/MSP-IMPROV-S01A-F01-P-FM01.wav, also below Audio/; transcripts as <name>.txt below "
    "All_human_transcriptions/, Human_transcriptions/ or Text/, if there.",
    labels="The consensus of at least five annotators: anger, happiness, sadness, neutral, other, no agreement; the "
    "last two have no shared category. Activation, valence and dominance, 1 to 5, are scaled to 0..1, activation "
    "turned round (see defects). Ratings (own scale, not turned) and votes come from the annotators' lines. "
    "intended is the emotion that the scenario was written for, not what was heard.",
    protocol="Six sessions of two actors: leave one session out, or one speaker. 8,438 turns, of which 7,798 have one "
    "of the four main categories. script: target (652 improvised turns that say the target sentence), read (620, the "
    "same sentences read), improvised (4,381 other turns of the scenes), natural (2,785 between the takes). Target "
    "sentences recur with all speakers, so that words leak unless they are left out (where = {script = [...]}).",
    defects="Activation is rated from 1 (active) to 5 (calm), unlike all other scales; arousal is 1 minus the scaled "
    "rating. This was taken from published code and from published rows (neutral short answers rated 4.4 to 4.8, angry "
    "turns about 3), not from the owner's words. Dominance is NaN for some turns. Some annotators' lines stand there "
    "twice and are kept once. Video names (UTD-IMPROV-...avi) stand for the audio of the same turn. The naturalness "
    "rating is not kept.",
)

_NAME = re.compile(
    r"(?:UTD|MSP)-IMPROV-(S(\d\d)([AHSN])-([FM])(\d\d)-([PRST])-[A-Z]{2}\d+)(?:\.(?:avi|wav))?", re.IGNORECASE
)
_WORDS = {"A": "anger", "H": "happiness", "S": "sadness", "N": "neutral", "O": "other", "X": "no agreement"}
_PRIMARY = {"angry": "anger", "happy": "happiness", "sad": "sadness", "neutral": "neutral", "other": "other"}
_SCRIPTS = {"P": "natural", "R": "read", "S": "improvised", "T": "target"}
_TRANSCRIPTS = ("[Aa]ll_human_transcriptions", "[Hh]uman_transcriptions", "[Tt]ext")
_log = logging.getLogger(__name__)


def read(root: Path | str, *, allow_missing: bool = False) -> pd.DataFrame:
    """Utterance table of a release; see `ABOUT` for its files.

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
        columns = dict(zip(("ratings", "votes"), pooled(ratings[name]), strict=True))
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


CORPUS = Corpus(ABOUT, read)
