"""Label lines, annotators' ratings and transcripts of the corpora of the MSP laboratory."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from emofuse.corpora.readers.source import FilesByStem, read_text, scaled
from emofuse.corpora.table import TableError

_SCALES = ("arousal", "valence", "dominance")
_LINE = re.compile(r"(.*?);\s*A:([^;]*);\s*V:([^;]*);\s*D:([^;]*);?(?:\s*N:[^;]*;?)?\s*")
_log = logging.getLogger(__name__)

Rating = tuple[str, str | None, float | None, float | None, float | None]
"""Annotator, primary emotion in words, arousal, valence and dominance on the corpus's own scale."""


def read_transcripts(files: FilesByStem, names: Iterable[str], root: Path) -> dict[str, str]:
    """Transcripts by lower-case name of the clip; warns of clips without a transcript and the reverse."""
    wanted = {name.lower() for name in names}
    texts = {name: " ".join(read_text(path).split()) for name, path in files.paths.items() if name in wanted}
    texts = {name: text for name, text in texts.items() if text}
    if files.paths and len(texts) < len(wanted):
        _log.warning("%s: %d of %d clips have no transcript", root, len(wanted) - len(texts), len(wanted))
    if stray := len(files.paths.keys() - wanted):
        _log.warning("%s: %d transcripts belong to no clip of the labels and are ignored", root, stray)
    return texts


def split_line(line: str, where: str) -> tuple[list[str], tuple[str, str, str]]:
    """Fields before the ratings in a line of a label file, and its activation, valence and dominance.

    Raises:
        TableError: the line has another form.

    >>> split_line("WORKER1; Happy; Happy,Excited; A:5.0; V:6.0; D:4.0;", "labels.txt, row 2")
    (['WORKER1', 'Happy', 'Happy,Excited'], ('5.0', '6.0', '4.0'))
    """
    if (match := _LINE.fullmatch(line)) is None:
        raise TableError(f"{where}: {line!r} is not a label; expected NAME; EMOTION; A:4.0; V:4.0; D:4.0;")
    head, *numbers = match.groups()
    activation, valence, dominance = (number.strip() for number in numbers)
    return [field.strip() for field in head.split(";")], (activation, valence, dominance)


def checked_rating(
    annotator: str,
    primary: str,
    numbers: Iterable[str | float | None],
    words: Mapping[str, str],
    scale: tuple[float, float],
    where: str,
    odd: Counter[str],
) -> Rating:
    """Check a rating's numbers and translate its emotion; an emotion that is not in `words` is counted in `odd`.

    Annotators who chose "Other" could add a word (Other-confused), which counts as other.

    Raises:
        TableError: a number is out of the scale.
    """
    choice = primary.strip().lower()
    if choice and choice not in words and not choice.startswith("other"):
        odd[primary] += 1
    emotion = words.get(choice, "other") if choice else None
    activation, valence, dominance = (
        None if scaled(number, *scale, where) is None else float(number)  # type: ignore[arg-type]
        for number in numbers
    )
    return annotator, emotion, activation, valence, dominance


def pool_ratings(ratings: Iterable[Rating]) -> tuple[str | None, str | None]:
    """The columns `ratings` (JSON, sorted by annotator) and `votes` (JSON, annotators by emotion); None if empty.

    >>> pool_ratings([("w2", None, 5.0, None, None), ("w1", "anger", None, None, None)])
    ('[{"annotator": "w1", "emotion": "anger"}, {"annotator": "w2", "arousal": 5.0}]', '{"anger": 1}')
    """
    entries = []
    votes: Counter[str] = Counter()
    for annotator, emotion, *numbers in sorted(ratings, key=str):
        given = {"emotion": emotion, **dict(zip(_SCALES, numbers, strict=True))}
        entries.append({"annotator": annotator, **{k: v for k, v in given.items() if v is not None}})
        if emotion:
            votes[emotion] += 1
    return json.dumps(entries) if entries else None, json.dumps(dict(sorted(votes.items()))) if votes else None
