"""Hugging Face datasets on disk."""

import sys
from pathlib import Path
from typing import Any

import pytest

from emofuse.corpora.readers.hf_datasets import read
from emofuse.corpora.table import TableError
from emofuse.errors import EmofuseError
from made_up.clips import write_clip
from made_up.hf_datasets import make

datasets = pytest.importorskip("datasets")
SCALE = (0, 5)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("made-up") / "emo-set")


def save(folder: Path, rows: dict[str, list], features: dict[str, Any] | None = None) -> Path:
    dataset = datasets.Dataset.from_dict(rows, features=datasets.Features(features) if features else None)
    dataset.save_to_disk(str(folder))
    return folder


def test_parts_classes_and_audio(root: Path, cache: Path) -> None:
    df = read(root, scale=SCALE).set_index("key")
    assert df["official_split"].value_counts().to_dict() == {"train": 18, "test": 12, "dev": 6}
    row = df.loc["emo-set/s1_0"]
    assert (row["emotion"], row["original_emotion"], row["text"]) == ("anger", "angry", "Sentence 0.")
    assert (row["speaker"], row["gender"], row["valence"], row["take"]) == ("emo-set/s1", "male", 0.0, 0)
    assert Path(row["file"]).read_bytes() == (root.parent / "emo-set-clips" / "s1_0.wav").read_bytes()
    assert (df.loc["emo-set/s2_1", "text"], df.loc["emo-set/s2_1", "gender"]) == (None, "female")
    assert df.loc["emo-set/s1_4", ["emotion", "original_emotion"]].tolist() == [None, "bored"]
    assert df.loc["emo-set/s1_5", ["emotion", "original_emotion"]].tolist() == [None, None]
    assert "codes" not in df and df["corpus"].unique().tolist() == ["emo-set"]
    assert {path.parent for path in map(Path, df["file"])} == {cache / "audio"}


def test_audio_is_written_once_and_the_dataset_left_as_it_is(root: Path, cache: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    first = read(root, scale=SCALE)
    written = {path: path.stat().st_mtime_ns for path in cache.rglob("*.wav")}
    assert len(written) == 36
    assert read(root, scale=SCALE).equals(first)
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.wav")} == written
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_recipe_keys(root: Path) -> None:
    with pytest.raises(TableError, match=r"valence 2 is out of 0\.\.1"):
        read(root)
    with pytest.raises(TableError, match="category 'bored' is not in `emotions`"):
        read(
            root, scale=SCALE, emotions={"angry": "anger", "happy": "happiness", "sad": "sadness", "neutral": "neutral"}
        )
    with pytest.raises(
        TableError, match=r"emo-set: there is no column 'mood'; the columns are audio, Emotion, speaker_id"
    ):
        read(root, columns={"mood": "emotion"})
    with pytest.raises(TableError, match="several columns are mapped to 'text'"):
        read(root, columns={"take": "text", "transcription": "text"})
    df = read(root, scale=SCALE, columns={"take": "session", "transcription": "words", "speaker_id": "text"})
    assert df["text"].iat[0] == "s5" and df["words"].iat[0] == "Sentence 0." and df["session"].max() == 5
    assert df["speaker"].isna().all()


def test_paths_of_files_and_a_dataset_without_parts(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clips" / "a.wav")
    folder = save(tmp_path / "one", {"path": [str(clip), "b.wav"], "label": ["joy", "sad"], "text": ["oh", "no"]})
    columns = {"path": "file", "label": "emotion"}
    with pytest.raises(TableError, match=r"1 of 2 audio files are missing:\n.*one/b\.wav"):
        read(folder, columns=columns)
    df = read(folder, columns=columns, allow_missing=True)
    assert df["file"].tolist() == [str(clip), None] and df["emotion"].tolist() == ["happiness", "sadness"]
    assert df["key"].tolist() == ["one/a", "one/b"] and "official_split" not in df.dropna(axis="columns", how="all")


def test_keys(tmp_path: Path) -> None:
    clips = [write_clip(tmp_path / speaker / "a.wav") for speaker in ("s1", "s2")]
    folder = save(tmp_path / "set", {"file": [*map(str, clips), None], "text": ["x", "y", "z"]})
    assert read(folder)["key"].tolist() == ["set/row-0", "set/row-1", "set/row-2"]
    folder = save(tmp_path / "own", {"file": [*map(str, clips)], "key": ["k1", "k2"]})
    assert read(folder)["key"].tolist() == ["k1", "k2"]
    folder = save(tmp_path / "twice", {"file": [*map(str, clips)], "key": ["k1", "k1"]})
    with pytest.raises(TableError, match="k1 has two rows that differ in file"):
        read(folder)


def test_endings_come_from_the_name_or_the_content(tmp_path: Path) -> None:
    content = write_clip(tmp_path / "a.wav").read_bytes()
    stored = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    audio = [{"bytes": content, "path": None}, {"bytes": b"fLaC" + content, "path": "x.FLAC"}]
    df = read(
        save(
            tmp_path / "set", {"sound": audio, "text": ["x", "y"]}, {"sound": stored, "text": datasets.Value("string")}
        )
    )
    assert [Path(file).suffix for file in df["file"]] == [".wav", ".flac"]
    two = {"a": audio, "b": audio}
    folder = save(tmp_path / "two", two, {"a": stored, "b": stored})
    with pytest.raises(TableError, match=r"a, b are columns of audio\. Choose one"):
        read(folder)
    assert len(read(folder, columns={"b": "file"})) == 2


def test_wrong_root_and_missing_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(TableError, match=r"the dataset cannot be read .*save_to_disk"):
            read(folder)
    folder = save(tmp_path / "set", {"text": ["x"]})
    next(folder.glob("*.arrow")).write_bytes(b"x")
    with pytest.raises(TableError, match="the dataset cannot be read"):
        read(folder)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(EmofuseError, match=r'pip install "emofuse\[huggingface\]"'):
        read(folder)
