"""Readers on small made-up trees of the official layouts, and on the real corpora where they are."""

import os
from pathlib import Path

import pytest

from emofuse.corpora import READERS, read_corpus
from emofuse.corpora.table import COLUMNS, TableError
from emofuse.errors import EmofuseError

NEMO_HEADER = "file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage\n"


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def test_ravdess_names_are_read(tmp_path: Path) -> None:
    touch(tmp_path / "Actor_12" / "03-01-06-02-01-02-12.flac")
    touch(tmp_path / "Actor_01" / "03-01-02-01-02-01-01.wav")
    touch(tmp_path / "Actor_01" / "03-02-06-01-02-01-01.wav")  # song
    touch(tmp_path / "Actor_01" / "._03-01-02-01-02-01-01.wav")
    df = read_corpus("ravdess", tmp_path).set_index("key")
    assert df.index.tolist() == ["ravdess/03-01-02-01-02-01-01", "ravdess/03-01-06-02-01-02-12"]
    calm, fear = (row for _, row in df.iterrows())
    assert (calm["emotion"], calm["original_emotion"], calm["gender"]) == ("neutral", "calm", "male")
    assert calm["text"] == "Dogs are sitting by the door." and calm["speaker"] == "ravdess/01"
    assert (fear["emotion"], fear["original_emotion"], fear["gender"]) == ("fear", "fearful", "female")
    assert (fear["intensity"], fear["statement"], fear["repetition"], fear["language"]) == ("strong", 1, 2, "en")


@pytest.mark.parametrize(
    "name", ["03-01-09-01-01-01-01.wav", "03-01-01-01-01-01.wav", "clip.wav", "03-01-01-01-01-01-x.wav"]
)
def test_ravdess_refuses_other_names(tmp_path: Path, name: str) -> None:
    touch(tmp_path / "Actor_01" / name)
    with pytest.raises(TableError, match=f"{name}: not an official RAVDESS name"):
        read_corpus("ravdess", tmp_path)


def test_ravdess_clip_in_two_formats_is_a_repeated_key(tmp_path: Path) -> None:
    for ending in ("wav", "flac"):
        touch(tmp_path / "Actor_01" / f"03-01-01-01-01-01-01.{ending}")
    with pytest.raises(TableError, match="already that of row"):
        read_corpus("ravdess", tmp_path)


def test_nemo_takes_any_ending_and_strips_padding(tmp_path: Path) -> None:
    lines = "AB0_fear_1.wav\tfear\tTo jest ćma.\tto jest ćma\t        AB0\tmale\t23\n"
    lines += "CD0_surprised_2.wav\tsurprised\tNie wiem.\tnie wiem\tCD0\tfemale\t28\n"
    (tmp_path / "data.tsv").write_text(NEMO_HEADER + lines, encoding="utf-8")
    touch(tmp_path / "samples" / "AB0_fear_1.opus")
    touch(tmp_path / "samples" / "CD0_surprised_2.wav")
    df = read_corpus("nemo", tmp_path)
    assert df["key"].tolist() == ["nemo/AB0_fear_1", "nemo/CD0_surprised_2"]
    assert [Path(f).name for f in df["file"]] == ["AB0_fear_1.opus", "CD0_surprised_2.wav"]
    assert df["speaker"].tolist() == ["nemo/AB0", "nemo/CD0"] and df["age"].tolist() == [23, 28]
    assert df["emotion"].tolist() == ["fear", "surprise"] and df["text"].iat[0] == "To jest ćma."
    (tmp_path / "samples" / "AB0_fear_1.opus").unlink()
    with pytest.raises(TableError, match=r"row 2: audio file .*AB0_fear_1\.wav is not there"):
        read_corpus("nemo", tmp_path)


def test_nemo_unknown_label_names_the_row(tmp_path: Path) -> None:
    (tmp_path / "data.tsv").write_text(NEMO_HEADER + "A.wav\tboredom\tx\tx\tA\tmale\t23\n")
    with pytest.raises(EmofuseError, match=r"data\.tsv, row 2: unknown emotion 'boredom'"):
        read_corpus("nemo", tmp_path)


def test_nemo_missing_column(tmp_path: Path) -> None:
    (tmp_path / "data.tsv").write_text("file_id\temotion\nA.wav\tfear\n")
    with pytest.raises(TableError, match="column 'raw_text' is missing"):
        read_corpus("nemo", tmp_path)


@pytest.mark.parametrize(
    ("name", "sought"),
    [("ravdess", "Actor_01"), ("nemo", "data.tsv")],
)
def test_wrong_root_says_what_was_sought_and_where(tmp_path: Path, name: str, sought: str) -> None:
    for root in (tmp_path, tmp_path / "absent"):
        with pytest.raises(TableError) as error:
            read_corpus(name, root)
        assert str(root) in str(error.value) and sought in str(error.value)


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
