"""Files of segments for recordings: formats, names of recordings, and what emofuse itself writes."""

import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.errors import EmofuseError
from emofuse.segment import Segment
from emofuse.timeline import formats
from emofuse.timeline.prediction import Prediction
from emofuse.timeline.segment_files import read_segments
from made_up import audformat_db


def prediction(start, end, *, emotion="anger", confidence=0.841, **other):
    values = {"file": "call.wav", "start": start, "end": end, "emotion": emotion, "confidence": confidence}
    values |= {"arousal": 0.5, "valence": 0.25, "dominance": 0.75, "text": None, "text_source": None}
    return Prediction(**values | {"language": None, "used": "audio", "probabilities": {}, **other})


A, B = Path("call.wav"), Path("b.wav")
ENDINGS = ("TextGrid", "eaf", "vtt", "srt", "audacity.txt", "rttm")
CALL = [
    prediction(0.5, 2.25, text='He said "no" & left <here>', speaker="anna"),
    prediction(1.0, 2.0, text="Well: now.", speaker="anna"),  # overlaps
    prediction(2.5, 4.0, text="Ja, das weiß ich. In 2000", speaker="bo", emotion="sadness", uncertain=True),
    prediction(5.0, 6.125, text=None, speaker="anna", emotion="neutral", confidence=0.5),
]
UNNAMED = [prediction(0.0, 1.0, text="Yes."), prediction(1.0, 2.0), prediction(3.0, 4.0, text="No.")]


@pytest.fixture
def write(tmp_path):
    def make(name, content):
        (tmp_path / name).write_text(content, encoding="utf-8")
        return tmp_path / name

    return make


def written(predictions, ending):
    writers = {"rttm": lambda those: formats.to_rttm(those, name="call")}
    return writers.get(ending, getattr(formats, f"to_{ending.split('.')[0].lower()}", None))(predictions)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("predictions", [CALL, UNNAMED], ids=["speakers", "unnamed"])
def test_what_emofuse_writes(write, ending, predictions):
    (segments,) = read_segments(write(f"x.{ending}", written(predictions, ending)), [A])
    expected = [Segment(A, one.text, one.start, one.end, one.speaker) for one in predictions]
    assert segments == [Segment(A, None, s.start, s.end, s.speaker) if ending == "rttm" else s for s in expected]


@pytest.mark.parametrize("ending", ENDINGS)
def test_formats_are_known_by_their_content(write, ending):
    (segments,) = read_segments(write("x.dat", written(CALL, ending)), [A])
    assert len(segments) == len(CALL)


@pytest.mark.parametrize("ending", ENDINGS[:-1])
def test_files_about_one_recording(write, ending):
    with pytest.raises(EmofuseError, match="2 recordings"):
        read_segments(write(f"x.{ending}", written(CALL, ending)), [A, B])


@pytest.mark.parametrize("ending", ["srt", "vtt", "rttm", "csv", "txt"])
@pytest.mark.parametrize("content", ["", "\n", "WEBVTT\n", "file,start,end\n", ";; nothing\n"])
def test_files_without_segments(write, ending, content):
    with pytest.raises(EmofuseError, match=rf"x\.{ending}"):
        read_segments(write(f"x.{ending}", content), [A])


@pytest.mark.parametrize("name", ["no.csv", "no.TextGrid", "no.eaf", "no.rttm", "no.txt", "no.parquet", "no"])
def test_missing_files(tmp_path, name):
    with pytest.raises(EmofuseError, match=name):
        read_segments(tmp_path / name, [A])


def test_names_in_rttm(write, caplog):
    turns = [("my_call", 0), ("b", 1), ("other", 2), ("my_call", 3)]
    content = "".join(f"SPEAKER {name} 1 {start} 1 <NA> <NA> x <NA> <NA>\n" for name, start in turns)
    files = [Path("d/my call.wav"), B, Path("quiet.wav")]
    with caplog.at_level(logging.WARNING):
        found = read_segments(write("x.rttm", content), files)
    assert [[one.start for one in segments] for segments in found] == [[0, 3], [1], []]
    assert "1 of 4" in caplog.text and "quiet.wav" in caplog.text
    with pytest.raises(EmofuseError, match=r"quiet\.wav"):
        read_segments(write("x.rttm", content), files[2:])


def test_tables_name_every_recording(write):
    table = write("x.csv", "file,start,end,speaker\ncall.wav,0,1,anna\n")
    assert read_segments(table, [A]) == [[Segment(A, None, 0, 1, "anna")]]
    with pytest.raises(EmofuseError, match=r"no row for b\.wav"):
        read_segments(table, [A, B])


def test_audformat(tmp_path):
    audformat, pandas = pytest.importorskip("audformat"), pytest.importorskip("pandas")
    db = audformat.Database("calls")
    db.schemes["sentence"] = audformat.Scheme(labels={"a": "Hello there.", "b": "Bye."})
    db.schemes["speaker"] = audformat.Scheme(labels={"anna": {"age": 3}, "bo": {"age": 4}})
    index = audformat.segmented_index(
        ["w/a.wav", "w/a.wav", "w/b.wav"], ["0.5s", "2s", "0s"], ["1.5s", "3s", pandas.NaT]
    )
    for table, column, scheme, values in [
        ("words", "transcription", "sentence", ["a", None, "b"]),
        ("who", "speaker", "speaker", ["anna", "bo", None]),
    ]:
        db[table] = audformat.Table(index)
        db[table][column] = audformat.Column(scheme_id=scheme)
        db[table][column].set(values)
    for storage in ("csv", "parquet"):
        db.save(str(tmp_path / storage), storage_format=storage)
        a, b = tmp_path / storage / "w/a.wav", Path("elsewhere/b.wav")
        expected = [
            [Segment(a, "Hello there.", 0.5, 1.5, "anna"), Segment(a, None, 2.0, 3.0, "bo")],
            [Segment(b, "Bye.")],
        ]
        assert read_segments(tmp_path / storage, [a, b]) == expected
        assert read_segments(tmp_path / storage / "db.yaml", [a, b]) == expected


def test_audformat_without_segments(tmp_path):
    pytest.importorskip("audformat")
    audformat_db.make(tmp_path)
    file = tmp_path / "wav/03a01an.wav"
    ((segment,),) = read_segments(tmp_path, [file])
    assert segment.is_whole and segment.speaker == "3" and segment.extra["emotion"] == "anger"


@pytest.mark.parametrize("header", ["", "a: [", "tables: 3", "tables: {x: {type: segmented}}"])
def test_broken_audformat(write, tmp_path, header):
    write("db.yaml", header)
    with pytest.raises(EmofuseError, match=r"db\."):
        read_segments(tmp_path, [A])


def test_a_folder_with_a_file_for_each_recording(write, tmp_path):
    write("call.TextGrid", written(CALL, "TextGrid"))
    write("b.srt", written(UNNAMED, "srt"))
    write("b.txt", "notes")
    assert [len(segments) for segments in read_segments(tmp_path, [B, Path("d/call.wav"), B])] == [3, 4, 3]
    with pytest.raises(EmofuseError, match=r"c\.wav"):
        read_segments(tmp_path, [A, Path("c.wav")])
    write("b.vtt", written(UNNAMED, "vtt"))
    with pytest.raises(EmofuseError, match=r"b\.srt, b\.vtt"):
        read_segments(tmp_path, [A, B])


@given(
    st.lists(
        st.tuples(
            st.integers(0, 9000),
            st.integers(1, 5000),
            st.sampled_from([None, "anna", "Bo B.", "speaker 1"]),
            st.sampled_from([None, "Yes", "Well, well", "weiß & <so> 'x'", 'say "so"', "In 2 {3} 1.00"]),
        ),
        min_size=1,
        unique_by=lambda one: (one[0], one[1], one[2]),
    )
)
@settings(max_examples=40, deadline=None)
def test_the_round_trip_keeps_times_speakers_and_words(tmp_path_factory, turns):
    folder = tmp_path_factory.mktemp("x")
    predictions = [prediction(a / 1000, (a + n) / 1000, speaker=who, text=text) for a, n, who, text in turns]
    for ending in ENDINGS:
        path = folder / f"x.{ending}"
        path.write_text(written(predictions, ending), encoding="utf-8")
        rttm = ending == "rttm"
        expected = [
            (a, a + n, (who or "").replace(" ", "_" if rttm else " "), None if rttm else text)
            for a, n, who, text in turns
        ]
        found = [
            (round(one.start * 1000), round(one.end * 1000), one.speaker or "", one.text)
            for one in read_segments(path, [A])[0]
        ]
        assert sorted(found, key=str) == sorted(expected, key=str), ending


BITS = [
    "-->",
    "\t",
    '"',
    "\0",
    "\ufffd",
    "nan",
    "inf",
    "1e999",
    "-1",
    "<",
    "9" * 25,
    "\n",
    "",
    ":",
    "[1]: ",
    "&#x110000;",
]


@given(
    st.sampled_from([*ENDINGS, "csv"]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 20), st.sampled_from(BITS)), min_size=1, max_size=4),
)
@settings(max_examples=150, deadline=None)
def test_broken_files_are_read_or_refused(tmp_path_factory, ending, edits):
    table = "file,start,end,text,speaker,channel\ncall.wav,0,1,hi,anna,1\ncall.wav,1,2,ho,,2\n"
    content = table if ending == "csv" else written(CALL, ending)
    for place, n, new in edits:
        at = round(place * len(content))
        content = content[:at] + new + content[at + n :]
    path = tmp_path_factory.mktemp("x") / f"x.{ending}"
    path.write_text(content, encoding="utf-8")
    try:
        (segments,) = read_segments(path, [A])
    except EmofuseError as error:
        assert "x." in str(error)
    else:
        assert all(0 <= one.start < (one.end or 1e30) for one in segments)
