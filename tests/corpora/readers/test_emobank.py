"""EmoBank: ratings are scaled, rows without text are counted."""

import logging
from pathlib import Path

import pytest

from emofuse.corpora.readers.emobank import CORPUS, read
from emofuse.corpora.table import TableError
from made_up import emobank


def test_parts_and_ratings(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        df = read(emobank.make(tmp_path / "emobank"))
    assert df["official_split"].value_counts().to_dict() == {"train": 48, "dev": 12, "test": 12}
    assert "1 of 74 rows have no text" in caplog.text and "1 rows are repeated" in caplog.text
    assert df["text"].iat[0] == "What a fine day, 0." and df["emotion"].isna().all() and df["file"].isna().all()


def test_ratings_are_scaled(tmp_path: Path) -> None:
    (tmp_path / "emobank.csv").write_text("id,split,V,A,D,text\na,train,1,3,5,Some words.\nc,test,5,1,2,Hi\n")
    df = read(tmp_path)
    assert df["key"].tolist() == ["emobank/a", "emobank/c"]
    assert df[["arousal", "valence", "dominance"]].iloc[0].tolist() == [0.5, 0.0, 1.0]


@pytest.mark.parametrize("rating", ["5.1", "0", "high", "", "nan"])
def test_other_ratings_are_refused(tmp_path: Path, rating: str) -> None:
    (tmp_path / "emobank.csv").write_text(f"id,split,V,A,D,text\na,train,{rating},3,5,Some words.\n")
    with pytest.raises(TableError, match=r"emobank\.csv, row 2: .* rating from 1 to 5"):
        read(tmp_path)


def test_wrong_root(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=rf"{tmp_path}: no EmoBank here; expected emobank\.csv"):
        CORPUS.read(tmp_path)
