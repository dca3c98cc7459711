"""Owners' files in any encoding, line ending and case; audio that lacks; rows that stand there twice."""

import logging
from pathlib import Path

import pytest

from emofuse.corpora.readers.source import FilesByStem, finish, read_lines, read_rows, scaled
from emofuse.corpora.table import TableError
from made_up.clips import write_clip


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(tmp_path: Path, encoding: str, end: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(end.join([" Name ,TEXT", "", "a, café “x” ", '"b","1, 2"', "  , ", ""]).encode(encoding))
    assert read_rows(path, ["name", "text"], optional=["age"]) == [
        (3, {"name": "a", "text": "café “x”", "age": ""}),
        (4, {"name": "b", "text": "1, 2", "age": ""}),
    ]
    assert [number for number, _ in read_lines(path)] == [1, 3, 4, 5]


def test_columns_that_lack_and_cells_too_many(tmp_path: Path) -> None:
    path = tmp_path / "labels.tsv"
    path.write_text("name\ttext\na\tb\tc\n")
    with pytest.raises(TableError, match=r"labels\.tsv, row 2: 3 cells"):
        read_rows(path, ["name"])
    path.write_text("name\ttext\na\tb\n")
    with pytest.raises(TableError, match=r"'emotion' is missing.*name, text\."):
        read_rows(path, ["emotion"])
    with pytest.raises(TableError, match="cannot be read"):
        read_rows(tmp_path / "absent.csv", ["emotion"])


@pytest.mark.parametrize("wrong", ['"never ends', '"ends" early', "x" * 200_000])
def test_quotes_that_do_not_end_swallow_no_rows(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(f'name,text\na,"two\nlines"\nb,{wrong}\nc,fine\nd,"quoted"\n')
    with pytest.raises(TableError, match=r"labels\.csv, row 3 \(line 4\)"):
        read_rows(path, ["name", "text"])
    path.write_text('name,text\na,"two\nlines"\nb,says "x"\n')
    assert [(number, row["text"]) for number, row in read_rows(path, ["text"])] == [(2, "two\nlines"), (3, 'says "x"')]


def test_clips_are_found_whatever_their_case_and_wav_first(tmp_path: Path) -> None:
    for name in ("A1.WAV", "a2.mp4", "a2.wav", "._a1.wav", "a3.txt"):
        (tmp_path / name).write_bytes(b"x")
    clips = FilesByStem(tmp_path)
    assert sorted(clips.paths) == ["a1", "a2"]
    assert clips.path("a1") == str(tmp_path / "A1.WAV") and clips.path("A2") == str(tmp_path / "a2.wav")
    assert clips.path("A4") == str(tmp_path / "A4.wav") and clips.path("b", "x/B.wav") == str(tmp_path / "x/B.wav")
    assert FilesByStem(tmp_path / "absent").paths == {}


def test_ratings() -> None:
    assert [scaled(r, 1, 7, "x") for r in ("1", "4", 7.0, " ", None, "NaN", float("nan"))] == [0, 0.5, 1] + [None] * 4
    for wrong in ("0.9", "8", "high", "inf"):
        with pytest.raises(TableError, match=rf"labels, row 3: '{wrong}' is not a rating from 1 to 7"):
            scaled(wrong, 1, 7, "labels, row 3")


def test_missing_audio_is_listed_or_gone_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"key": f"c/{i}", "file": str(tmp_path / f"{i}.wav"), "text": "x" * (i % 2)} for i in range(9)]
    write_clip(tmp_path / "0.wav")
    with pytest.raises(
        TableError, match=r"8 of 9 audio files are missing:\n  .*1\.wav(.*\n)+  and 3 more\n.*--allow-missing"
    ):
        finish(rows, "c", tmp_path)
    with caplog.at_level(logging.WARNING):
        df = finish(rows, "c", tmp_path, allow_missing=True)
    assert df["key"].tolist() == ["c/0", "c/1", "c/3", "c/5", "c/7"]
    assert df["file"].notna().tolist() == [True] + [False] * 4
    assert "8 audio files are missing" in caplog.text
    assert "4 rows are used without audio, 4 without text are left out" in caplog.text
    with pytest.raises(TableError, match="no row is left: none of the 1 audio files exists"):
        finish(rows[2:3], "c", tmp_path, allow_missing=True)


def test_equal_rows_are_kept_once_and_others_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"key": "c/1", "text": "a", "emotion": "anger"}, {"key": "c/2", "text": "b", "emotion": "anger"}]
    with caplog.at_level(logging.WARNING):
        assert len(finish([*rows, dict(rows[0])], "c", tmp_path)) == 2
    assert "1 rows are repeated" in caplog.text
    with pytest.raises(TableError, match="c/1 has two rows that differ in emotion"):
        finish([*rows, {**rows[0], "emotion": "fear"}], "c", tmp_path)
