"""ESD, emotional speech in Mandarin and English (Zhou et al. 2021, arXiv 2105.14762; for research only)."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Any

from emofuse.corpora.readers.coded import Coded
from emofuse.corpora.table import TableError

_SPEAKERS = [f"{number:04d}" for number in range(1, 21)]
_MALE = {"0004", "0005", "0006", "0008", "0010", "0011", "0012", "0013", "0014", "0020"}
_LANGUAGES = {speaker: "zh" if speaker <= "0010" else "en" for speaker in _SPEAKERS}
_LINE = re.compile(r"(\d{4}_\d{6})\s(.*)")
_LABEL = re.compile(
    r"(?:^|\s+)(?:angry|happy|neutral|sad|surprise|中立|快乐|生气|伤心|惊喜)$",
    re.IGNORECASE,
)


def _notes(root: Path) -> dict[str, dict[str, Any]]:
    """Transcripts of 0001/0001.txt and so on."""
    notes: dict[str, dict[str, Any]] = {}
    for path in sorted(root.glob("**/[0-9][0-9][0-9][0-9].txt")):
        for line in _text(path).splitlines():
            if match := _LINE.fullmatch(line.strip()):
                notes[match[1]] = {"text": _words(match[2])}
    return notes


def _text(path: Path) -> str:
    """The files are in UTF-16, UTF-8, GB 2312 (Mandarin) or Windows-1252 (English), by speaker."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({error.strerror}).") from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("gb18030" if _LANGUAGES.get(path.stem) == "zh" else "cp1252", errors="replace")


def _words(text: str) -> str | None:
    """The words of a line without the emotion that ends it, which would give the label away."""
    words, tab, _ = text.rpartition("\t")
    if not tab:  # a few lines have blanks for tabs
        words = _LABEL.sub("", text)
    return " ".join(words.split()) or None


ESD = Coded(
    name="esd",
    title="ESD",
    form="0001/Angry/0001_000351.wav or 0001/Angry/train/0001_000351.wav",
    path=r"(?P<speaker>\d{4})/(?P<emotion>[a-z]+)/(?:(?P<part>train|evaluation|test)/)?(?P<id>(?P=speaker)_\d{6})",
    key="{id}",
    speaker="esd/{speaker}",
    emotions={word: word for word in ("neutral", "happy", "angry", "sad", "surprise")},
    columns={
        "gender": ("speaker", {speaker: "male" if speaker in _MALE else "female" for speaker in _SPEAKERS}),
        "language": ("speaker", _LANGUAGES),
        "official_split": ("part", {"train": "train", "evaluation": "dev", "test": "test"}),
    },
    expected=35000,
    notes=_notes,
)

CORPORA = {ESD.name: ESD.corpus}
