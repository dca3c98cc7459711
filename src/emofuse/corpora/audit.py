"""Audit of a corpus and its split before training.

Severities:

- error: results do not measure what they claim to. A speaker in two parts (also where the corpus's official split is
  so: whoever runs the audit decides what to do then), a key in two parts or not in the table, no row to train on, the
  same or nearly the same audio in two parts, audio that cannot be decoded.
- warning: affects how results must be read. Unknown speakers; sentences of train, exactly or nearly, in 1 % or more of
  the rows of dev or test; an empty dev or test part; speakers that nearly determine the category (bias-corrected
  Cramér's V of .3 or more, or a tenth of the speakers beyond chance with one category only); categories missing from a
  part, or a total variation distance of .1 or more beyond chance; dimensions whose means differ by half a standard
  deviation or more; transcripts, labels or audio missing in more than 5 % of a part's rows; copies of clips within a
  part; silent or too short clips; clipping in 1 % of the clips or more.
- note: the same to a lesser degree, rows in no part, a table without transcripts or audio, checks that were skipped.
- ok: checked, with no problem.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from emofuse.console import as_text
from emofuse.corpora.checks import audio as checks_audio
from emofuse.corpora.checks import rows as checks
from emofuse.corpora.checks.findings import Finding, Severity
from emofuse.corpora.splits import PARTS, Split
from emofuse.files import cache_dir
from emofuse.labels import DIMENSIONS

_READ = ("key", "file", "start", "end", "speaker", "text", "emotion", "original_emotion", *DIMENSIONS)


@dataclass(frozen=True)
class Audit:
    """Findings on a table and its split, one for each check.

    Attributes:
        rule: how the split was made.
        rows: number of rows by part.
        findings: in the order of the checks, including those that passed.
    """

    rule: str
    rows: dict[str, int]
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> bool:
        """True if a finding is an error."""
        return any(finding.severity == "error" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """The audit as JSON-serialisable values."""
        findings = [finding.to_dict() for finding in self.findings]
        return {"rule": self.rule, "rows": self.rows, "failed": self.failed, "findings": findings}

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Audit:
        """The audit that `to_dict` described."""
        return cls(saved["rule"], saved["rows"], tuple(map(Finding.from_dict, saved["findings"])))


def audit(
    df: pd.DataFrame, split: Split, *, audio: bool, progress: bool = False, cache: Path | str | None = None
) -> Audit:
    """Check a split of an utterance table for problems that would make results misleading.

    Args:
        df: utterance table with the columns of `table.COLUMNS`.
        split: keys of its parts.
        audio: also decode every clip, to find copies and unusable clips; about a minute for 10,000 the first time.
        progress: show a bar while audio is decoded.
        cache: SQLite file with the results of decoding; None: audio-index.sqlite in the cache folder.

    Raises:
        EmofuseError: the cache cannot be used.
    """
    part_of = {key: part for part in PARTS for key in getattr(split, part)}
    table = df[list(_READ)].assign(part=df["key"].map(part_of))
    findings = chain(
        checks.parts(table, split),
        checks.speakers(table, split),
        checks.sentences(table),
        checks.confounding(table),
        checks.drift(table),
        checks.missing(table),
        checks_audio.audio(table, Path(cache or cache_dir() / "audio-index.sqlite"), progress)
        if audio
        else checks_audio.unchecked(),
    )
    return Audit(split.rule, {part: len(getattr(split, part)) for part in PARTS}, tuple(findings))


def render_audit(audit: Audit, *, brief: bool = False, width: int | None = 120, colour: bool = False) -> str:
    """The audit as a table for the terminal, one line for each check, `width` characters wide (None: as the terminal).

    With `brief`, checks that passed are only counted.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    styles: dict[Severity, str] = {"ok": "green", "note": "cyan", "warning": "yellow", "error": "bold red"}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, ratio in (("", None), ("check", 5), ("result", 10), ("what to do", 8)):
        table.add_column(name, overflow="fold", ratio=ratio, no_wrap=not name)
    shown = [finding for finding in audit.findings if finding.severity != "ok" or not brief]
    for finding in shown:
        description = finding.message
        if finding.examples and finding.severity != "ok":
            description += f" [{', '.join(finding.examples)}{', ...' if finding.count > len(finding.examples) else ''}]"
        cells = (Text(finding.severity, styles[finding.severity]), finding.check, description, finding.advice)
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in cells))
    counts = {level: sum(f.severity == level for f in audit.findings) for level in ("error", "warning")}
    summary = ", ".join(f"{n} {level}{'s' * (n != 1)}" for level, n in counts.items())
    verdict = "failed. Correct the errors, or justify them next to every result." if audit.failed else "passed."
    head, end = Text(f"Audit of the split: {audit.rule}"), Text(f"{len(audit.findings)} checks, {summary}: {verdict}")
    return as_text(head, *([table] if shown else []), end, width=width, colour=colour)
