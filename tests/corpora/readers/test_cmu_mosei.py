"""CMU-MOSEI: whole recordings or segments, files of labels, one category from six intensities."""

import json
import logging
from pathlib import Path

import pytest

from emofuse.corpora.readers.cmu_mosei import CORPUS, read
from emofuse.corpora.table import TableError
from made_up.clips import write_clip
from made_up.cmu_mosei import make


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path)


def test_table_of_the_made_up_release(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        df = CORPUS.read(root).set_index("key")
    assert df["official_split"].value_counts().to_dict() == {"train": 32, "dev": 12, "test": 12}
    assert df.groupby("official_split")["speaker"].nunique().to_dict() == {"train": 8, "dev": 2, "test": 2}
    assert df["gender"].isna().all() and df[["arousal", "valence", "dominance"]].isna().all(axis=None)
    second = df.loc["cmu-mosei/Tr-v_0_0.400"]
    assert second["start"] == pytest.approx(0.4) and second["end"] == pytest.approx(0.8)
    assert second["text"] == "so, the words of segment 2" and second["sentiment_score"] == -1
    assert Path(second["file"]) == root / "Audio" / "WAV_16000" / "Tr-v_0.wav"
    assert df.loc["cmu-mosei/Tr-v_0_-0.150", "start"] == 0
    assert df.loc["cmu-mosei/Tr-v_0_0.800", "text"] is None
    assert "3 segments start before their recording" in caplog.text
    assert "3 rows are repeated" in caplog.text


def test_one_category_from_six_intensities(root: Path) -> None:
    df = read(root)
    order = ["happiness", "sadness", "anger", "surprise", "disgust", "fear", "neutral", None]
    assert df[df["official_split"] == "train"]["emotion"].tolist() == order * 4
    assert df["emotion"].equals(df["original_emotion"])
    tie = df[df["emotion"].isna()].iloc[0]
    assert [e for e, value in json.loads(tie["intensities"]).items() if value] == ["happiness", "sadness"]


def test_one_file_with_clip_numbers_and_segments(tmp_path: Path) -> None:
    header = "video_id,clip_id,text,label,annotation,mode"
    rows = [f"a-_b,{i},some words,{i - 1}.5,Positive,{part}" for i, part in enumerate(("train", "VALID", "test"))]
    (tmp_path / "label.csv").write_text("\n".join([header, *rows]))
    for i, name in enumerate(("Raw/a-_b/0.wav", "a-_b_1.wav", "Raw/A-_B/2.flac")):
        write_clip(tmp_path / name, 0.2 + i / 10)
    write_clip(tmp_path / "Raw" / "other" / "2.wav")
    df = read(tmp_path)
    assert df["key"].tolist() == [f"cmu-mosei/a-_b_{i}" for i in range(3)]
    assert [str(Path(f).relative_to(tmp_path)) for f in df["file"]] == [
        "Raw/a-_b/0.wav",
        "a-_b_1.wav",
        "Raw/A-_B/2.flac",
    ]
    assert df["official_split"].tolist() == ["train", "dev", "test"]
    assert df["sentiment_score"].tolist() == [-1.5, 0.5, 1.5]
    assert df[["start", "end", "emotion"]].isna().all(axis=None)


def test_segments_come_before_whole_recordings(root: Path) -> None:
    path = root / "Labels" / "Data_Val_modified.csv"
    lines = path.read_text("utf-8-sig").splitlines()
    lines = [f"{'clip_id' if i == 0 else i if line.strip(',') else ''},{line}" for i, line in enumerate(lines)]
    path.write_text("\n".join(line for line in lines if "Va-v_1" not in line))
    segment = write_clip(root / "Segmented" / "Va-v_0_2.wav")
    df = read(root).set_index("key")
    assert df.loc["cmu-mosei/Va-v_0_2", "file"] == str(segment) and df.loc[["cmu-mosei/Va-v_0_2"], "end"].isna().all()
    assert df.loc["cmu-mosei/Va-v_0_3", "file"].endswith("WAV_16000/Va-v_0.wav")
    assert df.loc["cmu-mosei/Va-v_0_3", "start"] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.40,0.80,-1", "0.40,0.80,-4", r"Data_Train_modified\.csv, row 3: '-4' is not a rating from -3 to 3"),
        ("1.33333", "3.5", r"row 2: '3\.5' is not a rating from 0 to 3"),
        ("0.40,0.80", "0.80,0.40", r"row 3: the segment from 0\.8 s to 0\.4 s is empty"),
        ("0.40,0.80", "soon,0.80", r"row 3: 'soon' is not a time in seconds"),
        ("0.40,0.80", ",", r"row 3: expected video \(or video_id\), and clip_id or start_time and end_time"),
        ("anger", "rage", r"row 2: anger is missing; expected a number from 0 to 3"),
    ],
)
def test_wrong_rows_are_named(root: Path, old: str, new: str, message: str) -> None:
    path = root / "Labels" / "Data_Train_modified.csv"
    text = path.read_bytes().decode()
    assert old in text
    path.write_bytes(text.replace(old, new, 1).encode())
    with pytest.raises(TableError, match=message):
        read(root)


def test_files_of_labels_that_do_not_fit(root: Path) -> None:
    train = root / "Labels" / "Data_Train_modified.csv"
    copy = root / "Labels" / "Data_Train_original.csv"
    copy.write_bytes(train.read_bytes())
    with pytest.raises(TableError, match=r"several files of labels for the part train: Data_Train_modified\.csv, Data"):
        read(root)
    copy.rename(root / "Labels" / "all.csv")
    with pytest.raises(TableError, match=r"all\.csv, row 2: unknown part ''; expected train, valid or test"):
        read(root)
    for path in (root / "Labels").iterdir():
        path.unlink()
    with pytest.raises(TableError, match=r"no CMU-MOSEI here; expected label\.csv or Data_Train"):
        read(root)


def test_half_downloaded(root: Path) -> None:
    (root / "Audio" / "WAV_16000" / "Te-v_1.wav").unlink()
    with pytest.raises(TableError, match=r"1 of \d+ audio files are missing:\n.*Audio/WAV_16000/Te-v_1\.wav"):
        read(root)
    df = read(root, allow_missing=True)
    assert df["file"].isna().sum() == 6 and len(df) == 56


def test_a_part_without_its_file(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "Labels" / "Data_Val_modified.csv").unlink()
    with pytest.raises(
        TableError, match=r"no file of labels for dev beside Data_Test_original\.csv, .*--allow-missing"
    ):
        read(root)
    with caplog.at_level(logging.WARNING):
        df = read(root, allow_missing=True)
    assert "no file of labels for dev" in caplog.text and set(df["official_split"]) == {"train", "test"}
