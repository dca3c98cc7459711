"""What a user should know of a corpus, and the reader that makes its table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class About:
    """Facts on a corpus, in words; they become its page in the documentation.

    Attributes:
        title: the corpus's name in full.
        languages: ISO 639-1 codes.
        access: how to get it, and from where.
        licence: as its owner states it.
        citation: authors, year, title or venue, DOI or arXiv number.
        layout: files and folders that the reader looks for below the root.
        labels: categories, dimensions and their scales, and what becomes of them here.
        protocol: how results on it are usually reported, and what to mind.
        defects: known defects, and what the reader makes of them; empty if none are known.
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
