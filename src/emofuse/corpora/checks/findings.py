"""The finding of one audit check, and the wording that all checks share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["ok", "note", "warning", "error"]

_EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        check: short name, unique in an audit.
        severity: ok; note (good to know); warning (affects how results must be read); error (results do not measure
            what they claim to).
        count: number of affected rows, speakers, clips and so on.
        of: number that were checked.
        message: the result in a sentence.
        advice: what to do; empty if there is nothing to do.
        examples: up to five keys or names.
    """

    check: str
    severity: Severity
    count: int
    of: int
    message: str
    advice: str = ""
    examples: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """`count` / `of`, 0..1; 0 if `of` is 0."""
        return self.count / self.of if self.of else 0.0

    def to_dict(self) -> dict[str, Any]:
        """All fields and the share as JSON-serialisable values."""
        return {**asdict(self), "share": self.share, "examples": list(self.examples)}

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Finding:
        """The finding that `to_dict` described."""
        fields = {name: value for name, value in saved.items() if name != "share"}
        return cls(**fields | {"examples": tuple(saved["examples"])})


def affected(check: str, names: Iterable[str], of: int, what: str, advice: str, severity: Severity) -> Finding:
    """A finding with affected keys or names; ok, and without advice, if there are none."""
    listed = list(names)
    message = of_all(len(listed), of, what)
    return Finding(
        check, severity if listed else "ok", len(listed), of, message, advice if listed else "", some(listed)
    )


def some(names: Iterable[str]) -> tuple[str, ...]:
    """The first five names in alphabetical order."""
    return tuple(sorted(names)[:_EXAMPLES])


def of_all(count: int, of: int, what: str) -> str:
    """A count with its total and percentage.

    >>> of_all(3, 12, "rows of dev")
    '3 of 12 rows of dev (25 %)'
    """
    share = 100 * count / of if of else 0.0
    digits = 0 if count in (0, of) or share >= 10 else 1
    return f"{count:,} of {of:,} {what} ({share:.{digits}f} %)"
