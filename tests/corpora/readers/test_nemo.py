"""nEMO: the table of clips, and copies that are not as published."""

import os
from pathlib import Path

import pytest

from emofuse.corpora.readers.nemo import CORPUS, read
from emofuse.corpora.table import COLUMNS, TableError
from emofuse.errors import EmofuseError
from made_up import nemo


@pytest.fixture()
def tree(tmp_path: Path) -> Path:
    return nemo.make(tmp_path / "nemo")


def test_made_up_copy_is_read_although_it_has_oddities(tree: Path) -> None:
    df = read(tree).set_index("key")
    assert len(df) == 48 and df["speaker"].value_counts().to_dict() == {f"nemo/{s}": 12 for s in nemo.SPEAKERS}
    assert df["emotion"].value_counts().to_dict() == dict.fromkeys(
        ["neutral", "happiness", "sadness", "anger", "fear", "surprise"], 8
    )
    assert df.index[0] == "nemo/WR0_neutral_1" and df["text"].iat[0] is None
    assert Path(df["file"].iat[0]).name == "WR0_NEUTRAL_1.WAV"
    row = df.loc["nemo/EB0_surprised_2"]
    assert (row["emotion"], row["original_emotion"], row["language"]) == ("surprise", "surprised", "pl")
    assert (row["gender"], row["age"], row["text"]) == ("female", 27, "Nie wiem, gdzie „on” jest.")


def test_any_kind_of_audio(tree: Path) -> None:
    for clip in (tree / "samples").glob("[A-Z]*"):
        clip.rename(clip.with_suffix(".opus"))
    assert {Path(f).suffix for f in CORPUS.read(tree)["file"]} == {".opus"}


def test_missing_clip_is_named_or_gone_without(tree: Path) -> None:
    (tree / "samples" / "EB0_fear_1.wav").unlink()
    with pytest.raises(TableError, match=r"1 of 48 audio files are missing:\n.*EB0_fear_1\.wav"):
        read(tree)
    df = read(tree, allow_missing=True).set_index("key")
    assert len(df) == 48 and df.loc["nemo/EB0_fear_1", ["file", "text"]].tolist() == [None, "To jest ćma."]


def test_errors_name_the_row(tmp_path: Path) -> None:
    (tmp_path / "data.tsv").write_text(f"{nemo.HEADER}\n\nA.wav\tboredom\tx\tx\tA\tmale\t23\n")
    with pytest.raises(EmofuseError, match=r"data\.tsv, row 3: unknown emotion 'boredom'"):
        read(tmp_path)
    (tmp_path / "data.tsv").write_text("file_id\temotion\nA.wav\tfear\n")
    with pytest.raises(TableError, match="column 'raw_text' is missing"):
        read(tmp_path)


def test_wrong_root(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "absent"):
        with pytest.raises(TableError, match=rf"{root}: no nEMO here; expected data\.tsv"):
            read(root)


@pytest.mark.data
def test_real_nemo() -> None:
    if "EMOFUSE_DATA" not in os.environ:
        pytest.skip("EMOFUSE_DATA is not set")
    df = read(Path(os.environ["EMOFUSE_DATA"]) / "nemo")
    assert len(df) == 4481 and list(df.columns) == [*COLUMNS, "age"]
    assert df["speaker"].nunique() == 9 and df["emotion"].nunique() == 6 and df["text"].nunique() == 90
