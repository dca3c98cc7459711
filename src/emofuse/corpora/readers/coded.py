"""Reader of corpora whose labels are codes in the file names."""

from __future__ import annotations

import filecmp
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from emofuse.corpora.about import Corpus
from emofuse.corpora.readers.source import AUDIO_ENDINGS, finish
from emofuse.corpora.table import TableError

SHARED: dict[str, str | None] = {
    "neutral": "neutral",
    "calm": "neutral",
    "happy": "happiness",
    "happiness": "happiness",
    "joy": "happiness",
    "sad": "sadness",
    "sadness": "sadness",
    "angry": "anger",
    "anger": "anger",
    "fearful": "fear",
    "fear": "fear",
    "disgust": "disgust",
    "surprise": "surprise",
    "surprised": "surprise",
    "pleasant surprise": "surprise",
    "boredom": None,
}
"""Shared category of each category of these corpora; boredom has none."""

GENDER = {"f": "female", "m": "male"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Coded:
    """Description of the file names of a corpus, which are matched in any letter case.

    Attributes:
        name: of the reader; keys begin with it.
        title: short name of the corpus, for messages.
        form: path of a clip below the root, for messages.
        path: regular expression of the end of that path, from a folder or the file name on, without the file's
            ending; its named groups are the codes, and `emotion` must be one of them.
        key: format string of the utterance id, from the codes.
        speaker: format string of the speaker with the name of the corpus, from the codes.
        emotions: category of the corpus by code; `SHARED` maps it to the shared one.
        columns: further columns as (group, meaning): a mapping from code to value, or a function of the code. A
            column whose group is not in a name is left out of that row.
        constants: columns with the same value in every row.
        upper: groups whose codes are in upper case; all other codes are in lower case.
        glob: where clips lie below the root.
        ignored: regular expression of file names (without ending) that belong to another corpus.
        expected: number of clips of the full corpus; fewer give a warning.
        notes: reads accompanying files: columns of each utterance, by its id in upper case.
    """

    name: str
    title: str
    form: str
    path: str
    key: str
    speaker: str
    emotions: Mapping[str, str]
    columns: Mapping[str, tuple[str, Mapping[str, Any] | Callable[[str], Any]]] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    upper: tuple[str, ...] = ()
    glob: str = "**/*"
    ignored: str | None = None
    expected: int | None = None
    notes: Callable[[Path], dict[str, dict[str, Any]]] | None = None

    @property
    def corpus(self) -> Corpus:
        """The corpus with this reader."""
        return Corpus(self.name, self.read)

    def read(self, root: Path | str, *, allow_missing: bool = False) -> pd.DataFrame:
        """Utterance table of the clips below `root`, in the order of their paths.

        Args:
            root: folder of the corpus as published; files that are hidden or not audio are skipped.
            allow_missing: has no effect, because labels come from the clips' names; if there are fewer clips than
                expected, a warning says so.

        Raises:
            TableError: there are no clips, a name is not of the official form, or different clips have the same name.
        """
        root = Path(root).absolute()
        clips = [clip for clip in sorted(root.glob(self.glob)) if self._is_ours(clip, root)]
        if not clips:
            raise TableError(f"{root}: no {self.title} here; expected {self.form} and so on.")
        pattern = re.compile(f"(?:.*/)?(?:{self.path})", re.IGNORECASE)
        read = [self._row(clip, pattern.fullmatch(clip.relative_to(root).with_suffix("").as_posix())) for clip in clips]
        rows = [row for row in read if row is not None]
        if len(rows) < len(clips):
            self._refuse(root, [clip for clip, row in zip(clips, read, strict=True) if row is None], bool(rows))
        rows = self._without_copies(rows, root)
        if self.notes is not None:
            rows = self._with_notes(rows, self.notes(root), root)
        rows = [{**row, "emotion": SHARED[row["original_emotion"]]} for row in rows]
        df = finish(rows, self.name, root, allow_missing=allow_missing)
        if self.expected is not None and len(df) < self.expected:
            _log.warning("%s: found %d of %d clips of %s", root, len(df), self.expected, self.title)
        return df

    def _is_ours(self, clip: Path, root: Path) -> bool:
        hidden = any(part[0] == "." for part in clip.relative_to(root).parts)
        if hidden or clip.suffix.lower() not in AUDIO_ENDINGS:
            return False
        return self.ignored is None or not re.fullmatch(self.ignored, clip.stem, re.IGNORECASE)

    def _row(self, clip: Path, match: re.Match[str] | None) -> dict[str, Any] | None:
        if match is None:
            return None
        codes = {g: c.upper() if g in self.upper else c.lower() for g, c in match.groupdict().items() if c is not None}
        try:
            meanings = {
                column: meaning[codes[group]] if isinstance(meaning, Mapping) else meaning(codes[group])
                for column, (group, meaning) in self.columns.items()
                if group in codes
            }
            original = self.emotions[codes["emotion"]]
        except KeyError:
            return None
        return {
            "key": f"{self.name}/{self.key.format(**codes)}",
            "file": str(clip),
            "speaker": self.speaker.format(**codes),
            **self.constants,
            "original_emotion": original,
            **meanings,
        }

    def _refuse(self, root: Path, odd: list[Path], others: bool) -> None:
        more = f" The same applies to {len(odd) - 1} more files." if len(odd) > 1 else ""
        doubt = "" if others else f" No clip below {root} has such a name: is it the folder of {self.title}?"
        raise TableError(
            f"{odd[0]}: not an official {self.title} name; expected {self.form}. Remove or rename the file."
            f"{more}{doubt}"
        )

    def _without_copies(self, rows: list[dict[str, Any]], root: Path) -> list[dict[str, Any]]:
        """Remove copies of clips, which occur in downloads with a copy of the folder inside it."""
        first: dict[str, dict[str, Any]] = {}
        for row in rows:
            earlier = first.setdefault(row["key"], row)
            if earlier is not row and not filecmp.cmp(earlier["file"], row["file"], shallow=False):
                raise TableError(
                    f"{row['file']}: has the name of {earlier['file']}, but different content. Remove one of them."
                )
        if copies := len(rows) - len(first):
            _log.warning("%s: %d clips are copies of others of the same name and are left out", root, copies)
        return list(first.values())

    def _with_notes(
        self, rows: list[dict[str, Any]], notes: dict[str, dict[str, Any]], root: Path
    ) -> list[dict[str, Any]]:
        ids = [row["key"].removeprefix(f"{self.name}/").upper() for row in rows]
        rows = [{**row, "text": None, **notes.get(i, {})} for i, row in zip(ids, rows, strict=True)]
        without_text, unknown = sum(not row["text"] for row in rows), len(notes.keys() - set(ids))
        if without_text or unknown:
            _log.warning(
                "%s: %d of %d clips have no transcript; %d transcripts have no clip",
                *(root, without_text, len(rows), unknown),
            )
        return rows
