"""Readers by name, and on the real corpora where they are."""

import os
from pathlib import Path

import pytest

from emofuse.corpora import READERS, read_corpus
from emofuse.corpora.table import COLUMNS
from emofuse.errors import EmofuseError


def test_unknown_reader() -> None:
    with pytest.raises(EmofuseError, match=r"'ravdes'.*ravdess, nemo"):
        read_corpus("ravdes", Path("."))


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "rows", "speakers", "emotions"),
    [("ravdess", 1430, 24, 7), ("nemo", 4481, 9, 6), ("meld", 13708, None, 7), ("emobank", 10062, 0, 0)],
)
def test_real_corpora(name: str, rows: int, speakers: int | None, emotions: int) -> None:
    if "EMOFUSE_DATA" not in os.environ:
        pytest.skip("EMOFUSE_DATA is not set")
    df = READERS[name](Path(os.environ["EMOFUSE_DATA"]) / name)
    assert len(df) == rows and list(df.columns[: len(COLUMNS)]) == list(COLUMNS)
    assert df["emotion"].nunique() == emotions
    assert df["key"].str.startswith(f"{name}/").all()
    if speakers is not None:
        assert df["speaker"].nunique() == speakers
    assert not df["text"].str.contains("[\x80-\x9f]|â€|Ã.").any()
