from pathlib import Path

import pytest

from emofuse.errors import EmofuseError
from emofuse.inference.clips import match_transcripts, read_transcripts, segments_of
from emofuse.segment import Segment


@pytest.fixture
def write(tmp_path):
    def make(content, name="t.csv"):
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return tmp_path / name

    return make


def test_read(write):
    path = write('\ufefffile,text,start,end\na.wav,"well, well",,\nsub/b.wav,,1.5,2\n')
    assert read_transcripts(path) == [
        Segment(Path("a.wav"), "well, well"),
        Segment(Path("sub/b.wav"), None, 1.5, 2.0),
    ]


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("file;text;start;end\na.wav;I hate you;0,5;2,5\n", "utf-8"),
        ("file\ttext\tstart\tend\r\na.wav\tI hate you\t0,5\t2,5\r\n", "utf-16"),
        ("File,Text, Start, End\na.wav, I hate you, 0.5, 2.5\n", "cp1252"),
        ("key,path,mood,begin,stop,Transcript,score\nk,a.wav,bad,.5,2.5,I hate you,\n", "utf-8-sig"),
        ("file,text,speaker,start,end\n,hi,,,\na.wav,I hate you,nan,5e-1,2.50\n", "utf-8"),
    ],
)
def test_tables_as_people_have_them(write, content, encoding):
    assert read_transcripts(write(content.encode(encoding))) == [Segment(Path("a.wav"), "I hate you", 0.5, 2.5)]


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("file,words\na,b\n", ["'text'", "file, words"]),
        ("", ["empty"]),
        ("file,text\na.wav,well, well\n", ["row 2"]),
        ("file,text\na.wav\n", ["row 2"]),
        ("file,text,start,end\na,b,0,1\na,b,two,3\n", ["row 3", "'two'"]),
        ("file,text,start,end\na,b,3,2\n", ["row 2"]),
        ("file,text,start,end\na,b,-1,2\n", ["row 2"]),
        ("file,text,start\na,b,inf\n", ["row 2"]),
        ('file,text\na,hi\nb,"ho\nc,he\n', ["row 3", "line 3"]),
        (b"PK\x03\x04", ["Excel"]),
    ],
)
def test_bad_tables(write, content, parts):
    with pytest.raises(EmofuseError) as caught:
        read_transcripts(write(content))
    for part in ["t.csv", *parts]:
        assert part in str(caught.value)


def test_missing_table(tmp_path):
    with pytest.raises(EmofuseError, match=r"no\.csv"):
        read_transcripts(tmp_path / "no.csv")


@pytest.mark.parametrize(("text", "expected"), [("NaN", None), ("<NA>", None), ("null", "null"), ("None", "None")])
def test_words_that_look_missing_are_transcripts(write, text, expected):
    assert [row.text for row in read_transcripts(write(f"file,text,start\na.wav,{text},{text}\n"))] == [expected]


@pytest.mark.parametrize("text", ["", " ", "...", '"?!, ."'])
def test_a_text_of_marks_alone_is_not_known(write, text):
    assert [row.text for row in read_transcripts(write(f"file,text\na.wav,{text}\n"))] == [None]


def test_each_path_is_resolved_once(monkeypatch):
    resolved, resolve = [], Path.resolve
    monkeypatch.setattr(Path, "resolve", lambda path: resolved.append(path) or resolve(path))
    files = [Path(f"{i}.wav") for i in range(50)]
    rows = [Segment(file, str(i)) for i, file in enumerate(files)]
    assert match_transcripts(files, rows, "t.csv") == rows and len(resolved) == 100


def test_match_by_path_before_base_name(tmp_path):
    rows = [
        Segment(tmp_path / "x/a.wav", "in x"),
        Segment(tmp_path / "y/a.wav", "in y"),
        Segment(tmp_path / "b.wav", "b"),
    ]
    found = match_transcripts([tmp_path / "y/a.wav", Path("elsewhere/b.wav")], rows, "t.csv")
    assert [(clip.file, clip.text) for clip in found] == [
        (tmp_path / "y/a.wav", "in y"),
        (Path("elsewhere/b.wav"), "b"),
    ]


def test_stretches_of_one_file():
    rows = [Segment(Path("a.wav"), "one", 0.0, 2.0), Segment(Path("a.wav"), "two", 2.0, 4.0)]
    assert match_transcripts([Path("a.wav")], rows, "t.csv") == rows


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([Segment(Path("b.wav"), "x")], r"no row for a\.wav"),
        ([Segment(Path("x/a.wav"), "x"), Segment(Path("y/a.wav"), "y")], r"x/a\.wav, y/a\.wav"),
        ([Segment(Path("a.wav"), "x"), Segment(Path("a.wav"), "y")], "2 rows for"),
    ],
)
def test_no_match(rows, message):
    with pytest.raises(EmofuseError, match=message):
        match_transcripts([Path("a.wav")], rows, "t.csv")


def test_rows_that_spell_one_file_differently_are_its_rows():
    names = ["a.wav", "./a.wav", ".\\a.wav", "x/../a.wav"]
    rows = [Segment(Path(name), name, i, i + 1) for i, name in enumerate(names)]
    found = match_transcripts([Path("a.wav")], rows, "t.csv")
    assert [(row.file, row.text) for row in found] == [(Path("a.wav"), name) for name in names]


def test_segments_of(write):
    a, b = Path("a.wav"), Path("b.wav")
    assert segments_of([a, b]) == [Segment(a), Segment(b)]
    assert segments_of([a], text="hi") == [Segment(a, "hi")]
    assert segments_of([], text="hi") == [Segment(None, "hi")]
    table = write("file,text\na.wav,hi\n")
    assert segments_of([a], transcripts=table) == [Segment(a, "hi")]
    for arguments in (([],), ([a, b], "hi"), ([a], " "), ([a], "hi", table)):
        files, text, transcripts = (*arguments, None, None)[:3]
        with pytest.raises(EmofuseError):
            segments_of(files, text=text, transcripts=transcripts)
