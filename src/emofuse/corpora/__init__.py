"""Corpora as tables of utterances: readers, labels, splits, composed pairs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from emofuse.corpora import emobank, meld, nemo, ravdess, toy
from emofuse.corpora.table import read_table
from emofuse.errors import EmofuseError

READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    "ravdess": ravdess.read,
    "nemo": nemo.read,
    "meld": meld.read,
    "emobank": emobank.read,
    "toy": toy.read,
    "table": read_table,
}


def read_corpus(name: str, root: Path | str) -> pd.DataFrame:
    """Utterance table of the corpus at `root`, by the reader called `name`.

    Raises:
        EmofuseError: there is no such reader, or it finds the corpus not as it should be.
    """
    if name not in READERS:
        raise EmofuseError(f"unknown corpus reader {name!r}; expected one of {', '.join(READERS)}.")
    return READERS[name](Path(root))
