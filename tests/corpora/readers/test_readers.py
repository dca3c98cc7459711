"""Every reader on its made-up tree and through one contract; the real corpora where they are."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from emofuse.corpora import CORPORA, GENERIC, read_corpus
from emofuse.corpora.about import handbook
from emofuse.corpora.table import COLUMNS, TableError, read_table, write_table
from emofuse.errors import EmofuseError
from emofuse.labels import DIMENSIONS
from made_up import trees

TEXT_ONLY = {"emobank", "goemotions"}


@pytest.fixture(scope="module", params=CORPORA)
def corpus(request, tmp_path_factory) -> tuple[str, Path]:
    return request.param, trees.make(request.param, tmp_path_factory.mktemp(request.param) / "corpus")


def test_rows_are_as_every_corpus_has_them(corpus: tuple[str, Path]) -> None:
    name, root = corpus
    df = read_corpus(name, root)
    assert list(df.columns[: len(COLUMNS)]) == list(COLUMNS) and len(df) >= 8
    assert df["key"].is_unique and df["key"].str.startswith(f"{name}/").all()
    assert set(df["corpus"]) == {name}
    assert df["speaker"].dropna().str.contains("/").all()
    assert df["original_emotion"].notna().any() or df["valence"].notna().any()
    words = df["original_emotion"].dropna()
    assert words.str.fullmatch("[a-z ]+").all(), words.unique()
    if name not in TEXT_ONLY:
        assert df["file"].notna().any() and df["speaker"].nunique() >= 2
    for ratings in df["ratings"].dropna():
        for rating in json.loads(ratings):
            assert set(rating) <= {"annotator", "emotion", "self", *DIMENSIONS} and "annotator" in rating
    for votes in df["votes"].dropna() if "votes" in df else ():
        assert all(isinstance(n, int | float) and n > 0 for n in json.loads(votes).values())


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_prepared_tables_read_back(corpus: tuple[str, Path], tmp_path: Path, ending: str) -> None:
    df = read_corpus(*corpus)
    write_table(df, tmp_path / f"table{ending}")
    back = read_table(tmp_path / f"table{ending}")
    pd.testing.assert_frame_equal(back, df, check_dtype=False)


def test_wrong_root_says_what_was_sought_and_where(corpus: tuple[str, Path], tmp_path: Path) -> None:
    name, _ = corpus
    if name == "toy":
        pytest.skip("made where there is none")
    for root in (tmp_path, tmp_path / "absent"):
        with pytest.raises(TableError, match="expected") as error:
            read_corpus(name, root)
        assert str(root) in str(error.value)


def test_every_corpus_is_described(corpus: tuple[str, Path]) -> None:
    about = CORPORA[corpus[0]].about
    for field in ("title", "languages", "access", "licence", "citation", "layout", "labels", "protocol"):
        assert getattr(about, field), field


def test_handbook_is_the_one_in_the_documentation() -> None:
    there = (Path(__file__).parents[3] / "docs" / "corpora.md").read_text(encoding="utf-8")
    assert there == handbook(CORPORA), "write it anew: emofuse corpus list --markdown > docs/corpora.md"


def test_unknown_reader_and_options_without_use() -> None:
    with pytest.raises(EmofuseError, match=r"'ravdes'.*msp-podcast, iemocap.*, table, audformat, huggingface"):
        read_corpus("ravdes", Path("."))
    with pytest.raises(EmofuseError, match="scale go with table"):
        read_corpus("ravdess", Path("."), scale=(1, 5))
    assert not set(GENERIC) & set(CORPORA)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "rows", "speakers", "emotions"),
    [
        ("ravdess", 1430, 24, 7),
        ("nemo", 4481, 9, 6),
        ("meld", 13708, None, 7),
        ("emobank", 10062, 0, 0),
        ("goemotions", 54263, 0, 7),
    ],
)
def test_real_corpora(name: str, rows: int, speakers: int | None, emotions: int) -> None:
    if "EMOFUSE_DATA" not in os.environ:
        pytest.skip("EMOFUSE_DATA is not set")
    df = read_corpus(name, Path(os.environ["EMOFUSE_DATA"]) / name)
    assert len(df) == rows and list(df.columns[: len(COLUMNS)]) == list(COLUMNS)
    assert df["emotion"].nunique() == emotions
    assert df["key"].str.startswith(f"{name}/").all()
    if speakers is not None:
        assert df["speaker"].nunique() == speakers
    assert not df["text"].str.contains("[\x80-\x9f]|â€|Ã.").any()
