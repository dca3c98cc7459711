from pathlib import Path

import pytest

from emofuse.errors import EmofuseError
from emofuse.inference.transcripts import Clip, clips_of, match_transcripts, read_transcripts


@pytest.fixture
def write(tmp_path):
    def make(content, name="t.csv"):
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return tmp_path / name

    return make


def test_read(write, tmp_path):
    path = write('\ufefffile,text,start,end\na.wav,"well, well",,\nsub/b.wav,,1.5,2\n')
    assert read_transcripts(path) == [
        Clip(tmp_path / "a.wav", "well, well"),
        Clip(tmp_path / "sub/b.wav", None, 1.5, 2.0),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,words\na,b\n", "file,text"),
        ("file,text,mood\na,b,c\n", "mood"),
        ("", "file,text"),
        ("file,text\na.wav,well, well\n", "row 2"),
        ("file,text\na.wav\n", "row 2"),
        ("file,text\n ,b\n", "row 2: the file is missing"),
        ("file,text,start,end\na,b,0,1\na,b,two,3\n", "row 3"),
        ("file,text,start,end\na,b,3,2\n", "row 2: expected 0 <= start < end"),
        ("file,text,start\na,b,nan\n", "row 2"),
        (b"file,text\n\xff\xfe,b\n", "UTF-8"),
    ],
)
def test_bad_tables(write, content, message):
    with pytest.raises(EmofuseError, match=message) as caught:
        read_transcripts(write(content))
    assert "t.csv" in str(caught.value)


def test_missing_table(tmp_path):
    with pytest.raises(EmofuseError, match=r"no\.csv"):
        read_transcripts(tmp_path / "no.csv")


@pytest.mark.parametrize("text", ["", " ", "...", '"?!, ."'])
def test_a_text_of_marks_alone_is_not_known(write, text):
    assert [clip.text for clip in read_transcripts(write(f"file,text\na.wav,{text}\n"))] == [None]


def test_each_path_is_resolved_once(monkeypatch):
    resolved, resolve = [], Path.resolve
    monkeypatch.setattr(Path, "resolve", lambda path: resolved.append(path) or resolve(path))
    files = [Path(f"{i}.wav") for i in range(50)]
    rows = [Clip(file, str(i)) for i, file in enumerate(files)]
    assert match_transcripts(files, rows, "t.csv") == rows and len(resolved) == 100


def test_match_by_path_before_base_name(tmp_path):
    rows = [Clip(tmp_path / "x/a.wav", "in x"), Clip(tmp_path / "y/a.wav", "in y"), Clip(tmp_path / "b.wav", "b")]
    found = match_transcripts([tmp_path / "y/a.wav", Path("elsewhere/b.wav")], rows, "t.csv")
    assert [(clip.file, clip.text) for clip in found] == [
        (tmp_path / "y/a.wav", "in y"),
        (Path("elsewhere/b.wav"), "b"),
    ]


def test_stretches_of_one_file():
    rows = [Clip(Path("a.wav"), "one", 0.0, 2.0), Clip(Path("a.wav"), "two", 2.0, 4.0)]
    assert match_transcripts([Path("a.wav")], rows, "t.csv") == rows


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([Clip(Path("b.wav"), "x")], r"no row for a\.wav"),
        ([Clip(Path("x/a.wav"), "x"), Clip(Path("y/a.wav"), "y")], "could be any of"),
        ([Clip(Path("a.wav"), "x"), Clip(Path("a.wav"), "y")], "2 rows for"),
    ],
)
def test_no_match(rows, message):
    with pytest.raises(EmofuseError, match=message):
        match_transcripts([Path("a.wav")], rows, "t.csv")


def test_clips_of(write):
    a, b = Path("a.wav"), Path("b.wav")
    assert clips_of([a, b]) == [Clip(a), Clip(b)]
    assert clips_of([a], text="hi") == [Clip(a, "hi")]
    assert clips_of([], text="hi") == [Clip(None, "hi")]
    table = write("file,text\na.wav,hi\n")
    assert clips_of([a], transcripts=table) == [Clip(a, "hi")]
    for arguments in (([],), ([a, b], "hi"), ([a], " "), ([a], "hi", table)):
        files, text, transcripts = (*arguments, None, None)[:3]
        with pytest.raises(EmofuseError):
            clips_of(files, text=text, transcripts=transcripts)
