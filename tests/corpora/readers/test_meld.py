"""MELD as text alone and with clips, in the official folders and others; encodings that went wrong on the way."""

import logging
import shutil
from pathlib import Path

import pandas as pd
import pytest

from emofuse.audio import read_audio
from emofuse.corpora.readers.meld import CORPUS, read, repair
from emofuse.corpora.table import TableError
from emofuse.errors import EmofuseError
from made_up import meld


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return meld.make(tmp_path_factory.mktemp("meld") / "MELD.Raw")


@pytest.fixture(scope="module")
def df(tree: Path) -> pd.DataFrame:
    return read(tree).set_index("key")


@pytest.fixture
def copy(tree: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tree, tmp_path / "copy"))


def test_labels_words_and_clips(df: pd.DataFrame) -> None:
    assert df["official_split"].value_counts().to_dict() == {"train": 29, "dev": 15, "test": 14}
    row = df.loc["meld/train/dia1_utt1"]
    assert (row["emotion"], row["original_emotion"], row["sentiment"]) == ("happiness", "joy", "positive")
    assert (row["speaker"], row["dialogue"], row["text"]) == ("meld/Ross", "train/1", "It’s joy number 8, train.")
    assert Path(row["file"]).parts[-2:] == ("train_splits", "dia1_utt1.wav")
    assert df.groupby("official_split")["emotion"].nunique().tolist() == [7, 7, 7]


def test_same_dialogue_number_in_two_parts_is_two_clips(df: pd.DataFrame) -> None:
    files = [df.loc[f"meld/{part}/dia0_utt0", "file"] for part in ("train", "dev", "test")]
    folders = ["train_splits", "dev_splits_complete", "output_repeated_splits_test"]
    assert [Path(file).parent.name for file in files] == folders


def test_video_is_heard(df: pd.DataFrame) -> None:
    file = df.loc["meld/test/dia0_utt1", "file"]
    assert file.endswith("dia0_utt1.mp4") and abs(read_audio(file)).max() > 0.1


def test_known_defects_go_without_audio(tree: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        df = read(tree).set_index("key")
    silent = df[df["file"].isna()]
    assert silent.index.tolist() == ["meld/train/dia125_utt3", "meld/dev/dia110_utt7"]
    assert silent["text"].notna().all() and "2 rows have no audio" in caplog.text


@pytest.mark.parametrize("layout", ["raw", "short", "nested"])
def test_other_places_of_the_same_files(tree: Path, df: pd.DataFrame, tmp_path: Path, layout: str) -> None:
    if layout == "raw":  # the folder above MELD.Raw
        root = tree.parent
    else:
        root = tmp_path / "moved"
        for part, name in (
            ("train", "train_splits"),
            ("dev", "dev_splits_complete"),
            ("test", "output_repeated_splits_test"),
        ):
            shutil.copytree(tree / name, root / part / ("" if layout == "short" else name))
            shutil.copy(tree / f"{part}_sent_emo.csv", root / (part if part == "train" else ""))
    found = read(root).set_index("key")
    assert found.index.equals(df.index) and found["file"].notna().equals(df["file"].notna())


def test_text_alone_is_no_error(tmp_path: Path) -> None:
    df = read(meld.write_labels(tmp_path))
    assert len(df) == 58 and df["file"].isna().all() and df["text"].notna().all()


def test_clips_that_are_missing(copy: Path) -> None:
    (copy / "train_splits" / "dia2_utt5.wav").unlink()
    with pytest.raises(TableError, match=r"1 of 56 audio files are missing:\n  .*train_splits/dia2_utt5\.mp4"):
        read(copy)
    shutil.rmtree(copy / "dev_splits_complete")
    with pytest.raises(TableError, match="15 of 56 audio files are missing"):
        read(copy)
    df = read(copy, allow_missing=True)
    assert len(df) == 58 and df["file"].isna().sum() == 17


@pytest.mark.parametrize(
    ("slip", "right"),
    [
        ("itâ€™s", "it’s"),
        ("â€œhiâ€\x9d", "“hi”"),
        ("it\x92s", "it’s"),
        ("itÂ\x92s", "it’s"),
        ("CafÃ©", "Café"),
        ("Café à la carte, pâté", "Café à la carte, pâté"),
        ("plain", "plain"),
    ],
)
def test_encoding_slips_are_put_right(slip: str, right: str) -> None:
    assert repair(slip) == right


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Monica,joy", "Monica,bored", "row 3: unknown emotion 'bored'"),
        ("joy,positive", "joy,mixed", "row 3: unknown sentiment 'mixed'"),
        ("positive,0,1,", "positive,0,one,", "row 3: Dialogue_ID and Utterance_ID are '0' and 'one'"),
        ("Utterance_ID", "Utterance", "column 'Utterance_ID' is missing"),
    ],
)
def test_wrong_labels_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = meld.write_labels(tmp_path) / "test_sent_emo.csv"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(EmofuseError, match=rf"test_sent_emo\.csv(, |: ){message}"):
        read(tmp_path)


def test_wrong_root(tmp_path: Path) -> None:
    meld.write_labels(tmp_path)
    (tmp_path / "dev_sent_emo.csv").unlink()
    with pytest.raises(TableError, match=rf"{tmp_path}: no dev_sent_emo\.csv here; expected the MELD files"):
        CORPUS.read(tmp_path)
