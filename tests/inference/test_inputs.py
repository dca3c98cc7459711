"""What the arguments of a command name."""

import io
import os
import sys
from pathlib import Path

import pytest

from emofuse.errors import EmofuseError
from emofuse.inference.inputs import STANDARD_INPUT, Recording, find_recordings
from emofuse.segment import Segment


@pytest.fixture
def touch(tmp_path, monkeypatch):
    """Makes empty files in the current folder, which is `tmp_path`."""
    monkeypatch.chdir(tmp_path)

    def make(*names):
        for name in map(os.fsdecode, names):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).touch()

    return make


def names(*arguments, **options):
    return [str(recording.file) for recording in find_recordings(arguments, **options)]


def test_files_keep_their_order_and_are_given_as_often_as_they_are_named(touch):
    touch("b.wav", "a.wav")
    assert names("b.wav", "a.wav", Path("b.wav"), "missing.wav") == ["b.wav", "a.wav", "b.wav", "missing.wav"]
    assert find_recordings(["a.wav"]) == [Recording(Path("a.wav"))]


def test_folders(touch, tmp_path):
    touch("d/b.WAV", "d/a.mp4", "d/sub/c.flac", "d/notes.txt", "d/.hidden.wav", "d/.git/x.wav", "d/._a.wav")
    assert names("d") == ["d/a.mp4", "d/b.WAV", "d/sub/c.flac"]
    assert names("d/.git") == ["d/.git/x.wav"]
    os.symlink(tmp_path / "d", "d/sub/back")
    os.symlink(tmp_path / "d/sub", "linked")
    assert names("linked") == ["linked/c.flac", "linked/back/a.mp4", "linked/back/b.WAV"]


def test_a_folder_without_recordings(touch):
    touch("d/notes.txt")
    (folder, file) = find_recordings(["d", "d/notes.txt"])
    assert file.source() == Path("d/notes.txt")
    with pytest.raises(EmofuseError, match="d: the folder has no recordings"):
        folder.source()


def test_patterns(touch):
    touch("d/b.wav", "d/a.wav", "d/e/c.wav", "d/e/.x.wav", "take[1].wav")
    assert names("d/*.wav", "d/?.wav") == ["d/a.wav", "d/b.wav"] * 2
    assert names("d/**/*.wav") == ["d/a.wav", "d/b.wav", "d/e/c.wav"]
    assert names("take[1].wav", "take[2].wav") == ["take[1].wav", "take[2].wav"]
    assert names("*") == ["d/a.wav", "d/b.wav", "d/e/c.wav", "take[1].wav"]
    assert names("*.ogg") == ["*.ogg"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_lists(touch, encoding):
    touch("lists/café.wav", "here.wav", "d/a.wav", "lists/win/x.wav")
    lines = "# a comment\r\ncafé.wav\r\n\r\n  \r\nhere.wav\r\nwin\\x.wav\r\nHERE.wav\r\nd\r\n*.wav\r\ngone.wav"
    Path("lists/list.txt").write_bytes(lines.encode(encoding))
    expected = ["lists/café.wav", "here.wav", "lists/win/x.wav", "here.wav", "d/a.wav", "lists/café.wav"]
    assert names("@lists/list.txt") == [*expected, "lists/gone.wav"]


def test_names_of_any_bytes(touch):
    touch(b"d/caf\xe9.wav", b"d/\x81 \xff.wav")
    files = [os.fsdecode(b"d/caf\xe9.wav"), os.fsdecode(b"d/\x81 \xff.wav")]
    assert names("d") == files and names(*files) == files
    Path("list.txt").write_bytes(b"d/caf\xe9.wav\nd/\x81 \xff.wav\n")
    assert names("@list.txt") == files


def test_bad_lists(touch):
    Path("list.txt").write_text("\n# nothing\n")
    with pytest.raises(EmofuseError, match="is empty"):
        find_recordings(["@list.txt"])
    with pytest.raises(EmofuseError, match=r"@gone\.txt"):
        find_recordings(["@gone.txt"])
    touch("@at.wav")
    assert names("@at.wav") == ["@at.wav"]


def test_tables(touch):
    touch("t/a.wav", "t/b.wav", "c.wav")
    rows = [
        "filename;text;start;end;speaker;group",
        "a.wav;;0,5;1;anna;x",
        "B.wav;hello;;;;y",
        "a.wav;well;2;3;bo;z",
        "c;;;;carl;w",
        "b.wav;;;;;v",
        "gone\\d.wav;;;;;u",
    ]
    Path("t/table.csv").write_text("\n".join(rows))
    a, b, c = Path("t/a.wav"), Path("t/b.wav"), Path("c.wav")
    found = find_recordings(["t/table.csv"])
    assert found == [
        Recording(a, [Segment(a, None, 0.5, 1.0, "anna"), Segment(a, "well", 2.0, 3.0, "bo")]),
        Recording(b, [Segment(b, "hello")], extra={"group": "y"}),
        Recording(c, speaker="carl", extra={"group": "w"}),
        Recording(b, extra={"group": "v"}),
        Recording(Path("t/gone/d.wav"), extra={"group": "u"}),
    ]
    assert [segment.extra["group"] for segment in found[0].segments] == ["x", "z"]
    assert found[1].segments[0].extra == {"group": "y"}


def test_bad_tables(touch):
    touch("a.wav")
    for content, message in [
        ("file,start,end\na.wav,1,2\na.wav,,\n", "a.wav have start and end"),
        ("file,start,end\na.wav,2,1\n", "row 2"),
        ("name,start\na.wav,2\n", "'file'"),
        ("file\n", "no rows"),
    ]:
        Path("t.csv").write_text(content)
        with pytest.raises(EmofuseError, match=message):
            find_recordings(["t.csv"])
    with pytest.raises(EmofuseError, match=r"gone\.csv"):
        find_recordings(["gone.csv"])
    Path("t.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(EmofuseError, match="Excel"):
        find_recordings(["t.xlsx"])


def test_standard_input(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"RIFF")))
    (recording,) = find_recordings(["/dev/stdin"])
    assert recording == Recording(STANDARD_INPUT) and recording.source() == b"RIFF"
    with pytest.raises(EmofuseError, match="twice"):
        find_recordings(["-", "-"])
    assert Recording(tmp_path / "a.wav").source() == tmp_path / "a.wav"


def test_pipes():
    reading, writing = os.pipe()
    os.write(writing, b"RIFF")
    os.close(writing)
    assert Recording(Path(f"/dev/fd/{reading}")).source() == b"RIFF"
    os.close(reading)


def test_words_and_segments(touch):
    a, b = Path("a.wav"), Path("b.wav")
    touch("a.wav", "b.wav")
    assert find_recordings(["a.wav"], text="hi") == [Recording(a, [Segment(a, "hi")])]
    assert find_recordings([], text="hi") == [Recording(None, [Segment(None, "hi")])]
    Path("s.csv").write_text("file,text,start,end,speaker\na.wav,hi,0,1,\nb.wav,,,,anna\n")
    assert find_recordings(["a.wav", "b.wav"], segments="s.csv") == [
        Recording(a, [Segment(a, "hi", 0.0, 1.0)]),
        Recording(b, speaker="anna"),
    ]
    Path("t.csv").write_text("file,group\na.wav,x\n")
    (recording,) = find_recordings(["t.csv"], segments="s.csv")
    assert recording.extra == {"group": "x"} and recording.segments == [Segment(a, "hi", 0.0, 1.0)]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ([], {}, "Nothing"),
        (["a.wav", "b.wav"], {"text": "hi"}, "2 given"),
        (["a.wav"], {"text": " "}, "no words"),
        (["a.wav"], {"text": "hi", "segments": "s.csv"}, "not both"),
        (["s.csv"], {"segments": "s.csv"}, "--segments"),
        (["s.csv"], {"text": "hi"}, "--text"),
    ],
)
def test_arguments_that_do_not_go_together(touch, arguments, options, message):
    Path("s.csv").write_text("file,text,start,end,speaker\na.wav,hi,0,1,\n")
    with pytest.raises(EmofuseError, match=message):
        find_recordings(arguments, **options)


def test_ten_thousand_names_list_each_folder_once(touch, monkeypatch):
    touch("d/a.wav")
    listed, listdir = [], os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: listed.append(folder) or listdir(folder))
    Path("list.txt").write_text("\n".join(f"d/{i}.wav" for i in range(10_000)))
    assert len(find_recordings(["@list.txt"])) == 10_000
    assert len(listed) <= 4


def test_messages_name_files_of_any_bytes(touch):
    touch(b"caf\xe9.wav")
    Path("s.csv").write_text("file,text\nother.wav,x\n")
    with pytest.raises(EmofuseError) as caught:
        find_recordings([os.fsdecode(b"caf\xe9.wav")], segments="s.csv")
    assert r"caf\xe9.wav" in str(caught.value) and str(caught.value).isprintable()
