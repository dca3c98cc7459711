"""One line of an audit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["ok", "note", "warning", "error"]

_EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: short name, unique in an audit.
        severity: ok; note (good to know); warning (results are to be read with it in mind); error (results are no
            measure of what they claim).
        count: how many of `of` are affected.
        of: how many could be.
        message: what was found, in plain words.
        advice: what to do; empty if there is nothing to do.
        examples: a few keys or names.
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
        """`count` of `of`, 0..1; 0 where there is none."""
        return self.count / self.of if self.of else 0.0

    def to_dict(self) -> dict[str, Any]:
        """All fields and the share, JSON-able."""
        return {**asdict(self), "share": self.share, "examples": list(self.examples)}

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Finding:
        """Back from `to_dict`."""
        fields = {name: value for name, value in saved.items() if name != "share"}
        return cls(**fields | {"examples": tuple(saved["examples"])})


def affected(check: str, names: Iterable[str], of: int, what: str, advice: str, severity: Severity) -> Finding:
    """A finding that stands or falls with the number of `names`: ok, and without advice, where there are none."""
    found = list(names)
    message = of_all(len(found), of, what)
    return Finding(check, severity if found else "ok", len(found), of, message, advice if found else "", some(found))


def some(names: Iterable[str]) -> tuple[str, ...]:
    """The first few by name."""
    return tuple(sorted(names)[:_EXAMPLES])


def of_all(count: int, of: int, what: str) -> str:
    """A count with its share.

    >>> of_all(3, 12, "rows of dev")
    '3 of 12 rows of dev (25 %)'
    """
    share = 100 * count / of if of else 0.0
    digits = 0 if count in (0, of) or share >= 10 else 1
    return f"{count:,} of {of:,} {what} ({share:.{digits}f} %)"
