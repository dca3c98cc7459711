"""Corpora as tables of utterances: readers, labels, splits, audits, composed pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from emofuse.corpora.about import Corpus
from emofuse.corpora.readers import (
    audformat_db,
    cmu_mosei,
    coded_corpora,
    coded_transcripts,
    crema_d,
    emobank,
    emotale,
    generic,
    goemotions,
    hf_datasets,
    iemocap,
    meld,
    msp_improv,
    msp_podcast,
    nemo,
    toy,
)
from emofuse.errors import EmofuseError

CORPORA: dict[str, Corpus] = {
    "msp-podcast": msp_podcast.CORPUS,
    "iemocap": iemocap.CORPUS,
    "meld": meld.CORPUS,
    "cmu-mosei": cmu_mosei.CORPUS,
    "msp-improv": msp_improv.CORPUS,
    "ravdess": coded_corpora.CORPORA["ravdess"],
    "ravdess-song": coded_corpora.CORPORA["ravdess-song"],
    "crema-d": crema_d.CORPUS,
    "nemo": nemo.CORPUS,
    "emotale": emotale.CORPUS,
    **coded_corpora.CORPORA,
    **coded_transcripts.CORPORA,
    "emobank": emobank.CORPUS,
    "goemotions": goemotions.CORPUS,
    "toy": toy.CORPUS,
}
"""Corpora with a fixed layout, by the name of their reader, with which their keys begin."""

GENERIC: dict[str, Callable[..., pd.DataFrame]] = {
    "table": generic.read,
    "audformat": audformat_db.read,
    "huggingface": hf_datasets.read,
}
"""Sources whose columns, categories and scales the user names: CSV, TSV, JSON Lines or Parquet; databases on disk."""


def read_corpus(
    name: str,
    root: Path | str,
    *,
    allow_missing: bool = False,
    columns: Mapping[str, str] | None = None,
    emotions: Mapping[str, str] | None = None,
    scale: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Utterance table of the corpus at `root`, by the reader called `name`.

    Args:
        name: of `CORPORA` or `GENERIC`.
        root: folder (or file, for table).
        allow_missing: accept rows whose audio is missing.
        columns: from the source's column names to ours; for `GENERIC` only, as the next two.
        emotions: from the source's categories to ours.
        scale: lowest and highest possible rating of arousal, valence and dominance.

    Raises:
        EmofuseError: there is no such reader, or the corpus is not as its reader expects.
    """
    if name in GENERIC:
        return GENERIC[name](Path(root), columns=columns, emotions=emotions, scale=scale, allow_missing=allow_missing)
    if columns or emotions or scale:
        raise EmofuseError(
            f"corpus {name!r} has a fixed layout: columns, emotions and scale go with {', '.join(GENERIC)} only."
        )
    return corpus_of(name).read(Path(root), allow_missing=allow_missing)


def corpus_of(name: str) -> Corpus:
    """The corpus whose reader is called `name`.

    Raises:
        EmofuseError: there is no such reader.
    """
    if name not in CORPORA:
        raise EmofuseError(f"unknown corpus reader {name!r}; expected one of {', '.join([*CORPORA, *GENERIC])}.")
    return CORPORA[name]
