"""Description of a corpus, and its reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class About:
    """Description of a corpus for users, from which its page in the documentation is made.

    Attributes:
        title: the corpus's name in full.
        languages: ISO 639-1 codes.
        access: how to get it, and from where.
        licence: as its owner states it.
        citation: authors, year, title or venue, DOI or arXiv number.
        layout: files and folders that the reader looks for below the root.
        labels: categories, dimensions and their scales, and what they are mapped to.
        protocol: how results on it are usually reported, and its pitfalls.
        defects: known defects, and how the reader handles them; empty if none are known.
    """

    title: str
    languages: tuple[str, ...]
    access: str
    licence: str
    citation: str
    layout: str
    labels: str
    protocol: str
    defects: str = ""


@dataclass(frozen=True)
class Corpus:
    """A corpus that can be read: `read(root, allow_missing=False)` gives its utterance table.

    With `allow_missing`, rows whose audio is absent keep their labels and words, with an empty `file`; without it they
    are an error.
    """

    about: About
    read: Callable[..., pd.DataFrame]
