import sys
from pathlib import Path

import pytest

from emofuse.errors import EmofuseError
from emofuse.segment import Segment
from emofuse.timeline.segment_files import match_segments
from emofuse.timeline.segment_tables import read_segment_table, seconds_of


@pytest.fixture
def write(tmp_path):
    def make(content, name="t.csv"):
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return tmp_path / name

    return make


def test_read(write):
    path = write('\ufefffile,text,start,end\na.wav,"well, well",,\nsub/b.wav,,1.5,2\n')
    assert read_segment_table(path) == [
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
    assert read_segment_table(write(content.encode(encoding))) == [Segment(Path("a.wav"), "I hate you", 0.5, 2.5)]


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
        read_segment_table(write(content))
    for part in ["t.csv", *parts]:
        assert part in str(caught.value)


def test_missing_table(tmp_path):
    with pytest.raises(EmofuseError, match=r"no\.csv"):
        read_segment_table(tmp_path / "no.csv")


@pytest.mark.parametrize(("text", "expected"), [("NaN", None), ("<NA>", None), ("null", "null"), ("None", "None")])
def test_words_that_look_missing_are_transcripts(write, text, expected):
    assert [row.text for row in read_segment_table(write(f"file,text,start\na.wav,{text},{text}\n"))] == [expected]


@pytest.mark.parametrize("text", ["", " ", "...", '"?!, ."'])
def test_a_text_of_marks_alone_is_not_known(write, text):
    assert [row.text for row in read_segment_table(write(f"file,text\na.wav,{text}\n"))] == [None]


def test_each_path_is_resolved_once(monkeypatch):
    resolved, resolve = [], Path.resolve
    monkeypatch.setattr(Path, "resolve", lambda path: resolved.append(path) or resolve(path))
    files = [Path(f"{i}.wav") for i in range(50)]
    rows = [Segment(file, str(i)) for i, file in enumerate(files)]
    assert match_segments(files, rows, "t.csv") == [[row] for row in rows] and len(resolved) == 100


def test_match_by_path_before_base_name(tmp_path):
    rows = [
        Segment(tmp_path / "x/a.wav", "in x"),
        Segment(tmp_path / "y/a.wav", "in y"),
        Segment(tmp_path / "b.wav", "b"),
    ]
    found = match_segments([tmp_path / "y/a.wav", Path("elsewhere/b.wav")], rows, "t.csv")
    assert [(row.file, row.text) for (row,) in found] == [
        (tmp_path / "y/a.wav", "in y"),
        (Path("elsewhere/b.wav"), "b"),
    ]


def test_stretches_of_one_file():
    rows = [Segment(Path("a.wav"), "one", 0.0, 2.0), Segment(Path("a.wav"), "two", 2.0, 4.0)]
    assert match_segments([Path("a.wav")], rows, "t.csv") == [rows]


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
        match_segments([Path("a.wav")], rows, "t.csv")


def test_rows_that_spell_one_file_differently_are_its_rows():
    names = ["a.wav", "./a.wav", ".\\a.wav", "x/../a.wav"]
    rows = [Segment(Path(name), name, i, i + 1) for i, name in enumerate(names)]
    (found,) = match_segments([Path("a.wav")], rows, "t.csv")
    assert [(row.file, row.text) for row in found] == [(Path("a.wav"), name) for name in names]


def test_further_columns_and_channels(write):
    (row,) = read_segment_table(write("file,text,channel,group,age\na.wav,hi,2,b,\n"))
    assert row.channel == 2 and row.extra == {"group": "b", "age": ""}
    first, second = read_segment_table(write("file,text,channel\na.wav,hi,1.0\na.wav,ho,\n"))  # pandas's
    assert (first.channel, second.channel) == (1, None)
    (row,) = read_segment_table(write("file,text,channel\na.wav,hi,BBC\n"))
    assert row.channel is None and row.extra == {"channel": "BBC"}


def test_a_table_of_segments_needs_no_words(write):
    assert read_segment_table(write("file,start,end\na.wav,1,2\n")) == [Segment(Path("a.wav"), None, 1.0, 2.0)]
    assert read_segment_table(write("start,end,speaker\n1,2,anna\n")) == [Segment(None, None, 1.0, 2.0, "anna")]
    table = write("path,group\na.wav,b\n")
    assert read_segment_table(table, only_files=True)[0].extra == {"group": "b"}
    with pytest.raises(EmofuseError, match="'text'"):
        read_segment_table(table)
    with pytest.raises(EmofuseError, match="'file'"):
        read_segment_table(write("start,end\n1,2\n"), only_files=True)


def test_a_table_without_names_is_about_the_only_recording(write):
    rows = read_segment_table(write("start,end\n1,2\n2,3\n"))
    assert [row.file for row in match_segments([Path("a.wav")], rows, "t.csv")[0]] == [Path("a.wav")] * 2
    with pytest.raises(EmofuseError, match="2 recordings"):
        match_segments([Path("a.wav"), Path("b.wav")], rows, "t.csv")


def test_recordings_that_are_named_twice_have_their_rows_twice():
    rows = [Segment(Path("a.wav"), "x")]
    assert match_segments([Path("a.wav")] * 2, rows, "t.csv") == [rows, rows]


@pytest.mark.parametrize(
    ("time", "seconds"),
    [("1,5", 1.5), ("01:02", 62), ("1:00:00.25", 3600.25), ("0 days 00:00:01.500000", 1.5), ("1 days 00:00:00", 86400)],
)
def test_times_of_clocks(time, seconds):
    assert seconds_of(time) == seconds


@pytest.mark.parametrize("time", ["1:2:3:4", "a:02", "1:xx", "--", "1;2"])
def test_other_times_are_refused(time):
    with pytest.raises(ValueError):
        seconds_of(time)


def test_parquet(tmp_path):
    pandas = pytest.importorskip("pandas")
    times = pandas.to_timedelta([0.5, None], unit="s")
    table = pandas.DataFrame({"file": ["a.wav", "b.wav"], "start": times, "end": [1.5, None], "text": ["hi", None]})
    table.assign(group=[1, 2]).to_parquet(tmp_path / "t.parquet")
    rows = read_segment_table(tmp_path / "t.parquet")
    assert rows == [Segment(Path("a.wav"), "hi", 0.5, 1.5), Segment(Path("b.wav"))]
    assert [row.extra for row in rows] == [{"group": "1"}, {"group": "2"}]
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(EmofuseError, match=r"t\.parquet"):
        read_segment_table(tmp_path / "t.parquet")


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(EmofuseError, match="pip install"):
        read_segment_table(tmp_path / "t.parquet")
