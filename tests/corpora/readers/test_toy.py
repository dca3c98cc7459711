"""The made-up corpus: complete, the same every time, learnable, and never written over something else."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from emofuse.corpora import read_corpus
from emofuse.corpora.readers import toy
from emofuse.corpora.table import TableError
from emofuse.files import sha256


def test_made_where_absent_and_read_again(tmp_path: Path) -> None:
    df = read_corpus("toy", tmp_path / "toy")
    assert len(df) == 96 and df["speaker"].nunique() == 6
    assert df.groupby("emotion").size().to_dict() == dict.fromkeys(["anger", "happiness", "neutral", "sadness"], 24)
    assert df["text"].notna().sum() == 48 and (df["corpus"] == "toy").all()
    assert df[["arousal", "valence", "dominance"]].notna().all(axis=None)
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    again = read_corpus("toy", tmp_path / "toy")
    assert again.equals(df) and stamps == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}


def test_same_bytes_every_time_also_in_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    first, second = read_corpus("toy", tmp_path / "a"), read_corpus("toy", tmp_path / "b")
    assert [sha256(f) for f in first["file"]] == [sha256(f) for f in second["file"]]


def test_clips_differ_by_category(tmp_path: Path) -> None:
    df = read_corpus("toy", tmp_path / "toy")
    clips = [soundfile.read(file) for file in df["file"]]
    assert all(rate == 16000 and 0.5 <= len(x) / rate <= 1.2 and x.ndim == 1 for x, rate in clips)
    assert all(np.abs(x).max() < 1 for x, _ in clips)
    level = df.assign(level=[20 * np.log10(x.std()) for x, _ in clips]).groupby("emotion")["level"].agg(["mean", "std"])
    gaps = np.diff(np.sort(level["mean"]))
    assert (gaps > 1.5 * level["std"].max()).all()


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(TableError, match="not empty"):
        read_corpus("toy", tmp_path)
    with pytest.raises(TableError, match="not empty"):
        read_corpus("toy", tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "x"


def test_two_processes_that_make_it_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is slower leaves the files alone that the other reads by then."""
    write = toy._write

    def slower(root: Path) -> None:
        write(tmp_path / "toy")
        (tmp_path / "toy" / "faster").touch()
        write(root)

    monkeypatch.setattr(toy, "_write", slower)
    read_corpus("toy", tmp_path / "toy")
    assert (tmp_path / "toy" / "faster").exists()
