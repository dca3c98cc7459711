"""EmoTale: two languages of the same speakers, every annotator's ratings, children by age."""

import json
import logging
import shutil
from pathlib import Path

import pandas as pd
import pytest

from emofuse.corpora.readers.emotale import CORPUS, read
from emofuse.corpora.select import select
from emofuse.corpora.table import TableError
from made_up import emotale


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return emotale.make(tmp_path_factory.mktemp("emotale"))


@pytest.fixture(scope="module")
def df(tree: Path) -> pd.DataFrame:
    return read(tree)


@pytest.fixture
def copy(tree: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tree, tmp_path / "copy"))


def test_names_hold_language_speaker_emotion_and_sentence(df: pd.DataFrame) -> None:
    assert len(df) == 90 and df["speaker"].nunique() == 6
    rows = df.set_index("key")
    row = rows.loc["emotale/EN_003_H_4"]
    assert (row["language"], row["speaker"], row["gender"], row["age"]) == ("en", "emotale/003", "male", 31)
    assert row["text"] == "It will be in the place where we always store it." and row["statement"] == 4
    assert (row["emotion"], row["original_emotion"]) == ("happiness", "happiness")
    row = rows.loc["emotale/DK_006_B_1"]
    assert (row["language"], row["text"]) == ("da", "Dugen ligger på køleskabet.")
    assert row["emotion"] is None and row["original_emotion"] == "boredom"
    assert Path(rows.loc["emotale/DK_001_A_1", "file"]).name == "DK_001_A_1.wav"  # dk_001_a_1.WAV in the annotations


def test_children_are_selected_by_age(df: pd.DataFrame) -> None:
    assert set(select(df, {"age": "..12"})["speaker"]) == {"emotale/004", "emotale/006"}


def test_ratings_of_each_annotator_and_their_means(df: pd.DataFrame) -> None:
    row = df.set_index("key").loc["emotale/DK_003_S_4"]
    assert json.loads(row["ratings"]) == [
        {"annotator": "a1", "emotion": "sadness", "arousal": 2.0, "valence": 1.5, "dominance": 2.0},
        {"annotator": "a2", "emotion": "sadness", "arousal": 2.0, "valence": 1.5, "dominance": 2.0},
        {"annotator": "a3", "emotion": "neutral", "arousal": 2.5, "valence": 3.0, "dominance": 3.0},
    ]
    assert json.loads(row["votes"]) == {"sadness": 2, "neutral": 1}
    means = [(6.5 / 3 - 1) / 4, (2 - 1) / 4, (7 / 3 - 1) / 4]
    assert row[["arousal", "valence", "dominance"]].tolist() == pytest.approx(means)


def test_ratings_that_are_missing(df: pd.DataFrame) -> None:
    row = df.set_index("key").loc["emotale/DK_001_A_4"]
    assert [r["annotator"] for r in json.loads(row["ratings"])] == ["a1", "a2"]
    assert json.loads(row["votes"]) == {"anger": 2}
    assert (row["arousal"], row["valence"]) == (0.875, 0.25) and pd.isna(row["dominance"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("DK_003_A_1.wav", "DK_003_X_1.wav", "row 13: 'DK_003_X_1.wav' is not an EmoTale clip"),
        ("DK_003_A_1.wav,4.5", "DK_003_A_1.wav,5.5", "row 13: '5.5' is not a rating from 1 to 5"),
        ("DK_003_A_1.wav", "DK_003_S_1.wav", "row 13: gt_emotion is anger, but the file name says sadness"),
        ("4.5,1.5,4.5,A,A\r\nDK_003_A_4", "4.5,1.5,4.5,A,F\r\nDK_003_A_4", "row 13: unknown emotion 'F'"),
        ("gt_emotion", "emotion", "column 'gt_emotion' is missing"),
    ],
)
def test_wrong_annotations_are_named(copy: Path, old: str, new: str, message: str) -> None:
    file = copy / "annotations.csv"
    text = file.read_bytes().decode()
    assert old in text
    file.write_bytes(text.replace(old, new, 1).encode())
    with pytest.raises(TableError, match=rf"annotations\.csv(, |: ){message}"):
        read(copy)


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ("name,gender,age\nAnna,F,9\n", "row 2: '' is not a speaker"),
        ("id,sex,age\n1,x,9\n", "row 2: unknown gender 'x'"),
        ("id,sex,age\n1,f,nine\n", "row 2: age 'nine' is not a number"),
        ("id,sex\n1,f\n", "column 'age' is missing"),
    ],
)
def test_wrong_speakers_are_named(copy: Path, info: str, message: str) -> None:
    (copy / "speaker_info.csv").write_text(info)
    with pytest.raises(TableError, match=rf"speaker_info\.csv(, |: ){message}"):
        read(copy)


def test_what_is_missing(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    (copy / "wav" / "EN_001_N_1.wav").unlink()
    with pytest.raises(TableError, match=r"1 of 90 audio files are missing:\n  .*EN_001_N_1\.wav"):
        read(copy)
    (copy / "speaker_info.csv").unlink()
    with pytest.raises(TableError, match=r"speaker_info\.csv: missing; it says gender and age.*--allow-missing"):
        read(copy)
    with caplog.at_level(logging.WARNING):
        df = read(copy, allow_missing=True)
    assert len(df) == 90 and df["file"].isna().sum() == 1 and df["age"].isna().all()
    assert "gender and age are not known of emotale/001" in caplog.text
    (copy / "annotations.csv").unlink()
    with pytest.raises(TableError, match=rf"{copy}: no EmoTale here; expected annotations\.csv"):
        CORPUS.read(copy)
