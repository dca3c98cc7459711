"""The utterance table: what it keeps, what it refuses, and how it says so."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.corpora.audio_files import absent_files
from emofuse.corpora.table import COLUMNS, TableError, check_table, make_table, read_table, write_table
from emofuse.csv_table import MISSING
from emofuse.errors import EmofuseError
from emofuse.labels import EMOTIONS


def table(tmp_path: Path, text: str, name: str = "t.csv", encoding: str = "utf-8") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def refused(tmp_path: Path, text: str, name: str = "t.csv") -> str:
    path = table(tmp_path, text, name)
    with pytest.raises(TableError) as error:
        read_table(path)
    assert str(path) in str(error.value)
    return str(error.value)


def test_make_table_fills_absent_columns_in_order() -> None:
    df = make_table([{"key": "a/1", "text": "hello", "take": 3}], "a")
    assert list(df.columns) == [*COLUMNS, "take"]
    assert df["corpus"].tolist() == ["a"] and df["file"].tolist() == [None]
    assert df["arousal"].dtype == float and np.isnan(df["arousal"].iat[0])


def test_make_table_of_no_rows_has_all_columns() -> None:
    df = make_table([], "a")
    assert list(df.columns) == list(COLUMNS) and len(df) == 0


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize(("name", "separator"), [("t.csv", ","), ("t.tsv", "\t")])
def test_reads_separated_text_with_and_without_bom(tmp_path: Path, encoding: str, name: str, separator: str) -> None:
    lines = [["key", "text", "emotion", "valence"], ["a", "żółw", "fear", "0.25"], ["b", "NA", "", ""]]
    df = read_table(table(tmp_path, "\r\n".join(separator.join(line) for line in lines), name, encoding))
    assert df["text"].tolist() == ["żółw", "NA"]  # the word "NA" is a word
    assert df["emotion"].tolist() == ["fear", None]
    assert df["valence"].iat[0] == 0.25 and np.isnan(df["valence"].iat[1])
    assert df["corpus"].tolist() == ["t", "t"]


def test_files_are_resolved_against_the_folder_of_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub" / "audio").mkdir(parents=True)
    (tmp_path / "sub" / "audio" / "x.wav").write_bytes(b"x")
    table(tmp_path / "sub", "key,file\na,audio/x.wav\n")
    monkeypatch.chdir(tmp_path)
    df = read_table(Path("sub/t.csv"))
    assert df["file"].tolist() == [str(tmp_path / "sub" / "audio" / "x.wav")]


def test_extras_are_kept_with_their_types(tmp_path: Path) -> None:
    df = read_table(table(tmp_path, "key,text,take,room,score,clean,gap\na,x,1,007,0.5,True,2\nb,y,2,010,1.5,False,\n"))
    assert df["take"].dtype == int and df["score"].dtype == float and df["clean"].dtype == bool
    assert df["room"].tolist() == ["007", "010"]
    assert df["gap"].iat[0] == 2 and np.isnan(df["gap"].iat[1])


def test_column_map_renames(tmp_path: Path) -> None:
    path = table(tmp_path, "FileName,Transcript,EmoClass\na,hi,anger\n")
    df = read_table(path, {"FileName": "key", "Transcript": "text", "EmoClass": "emotion"})
    assert df[["key", "text", "emotion"]].to_numpy().tolist() == [["a", "hi", "anger"]]
    with pytest.raises(TableError, match="column 'Name'"):
        read_table(path, {"Name": "key"})
    with pytest.raises(TableError, match="'key' appears twice"):
        read_table(path, {"FileName": "key", "Transcript": "key"})


@pytest.mark.parametrize(
    ("column", "known"),
    [("emotoin", "emotion"), ("speakers", "speaker"), ("Dominence", "dominance")],
)
def test_near_miss_of_a_column_is_an_error_with_a_suggestion(tmp_path: Path, column: str, known: str) -> None:
    message = refused(tmp_path, f"key,text,{column}\na,hi,0.5\n")
    assert repr(column) in message and f"Did you mean {known!r}" in message


@pytest.mark.parametrize(
    "text",
    [
        "key;file;speaker;emotion;arousal\nu1;a.wav;anna;anger;0,8\nu2;a.wav;ben;;\n",
        "Key,FileName,Speaker_ID, Emotion ,AROUSAL\nu1,a.wav,anna,anger,0.8\nu2,A.WAV,ben,NA,NaN\n",
        "key\tpath\tspeaker\temotion\tarousal\nu1\t.\\a.wav\tanna\tanger\t0,8\nu2\ta\tben\tnull\tnull\n",
        ",key,file,speaker,emotion,arousal\n0,u1,C:\\data\\a.wav,anna,anger,0.80\n1,u2,C:\\data\\A.wav,ben,,\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_tables_as_people_have_them(tmp_path: Path, text: str, encoding: str) -> None:
    (tmp_path / "a.wav").write_bytes(b"x")
    df = read_table(table(tmp_path, text, encoding=encoding))
    assert df["file"].tolist() == [str(tmp_path / "a.wav")] * 2 and df["speaker"].tolist() == ["anna", "ben"]
    assert df["emotion"].tolist() == ["anger", None] and df["arousal"].iat[0] == 0.8 and np.isnan(df["arousal"].iat[1])
    assert list(df.columns) == list(COLUMNS)


def test_words_that_look_missing_are_transcripts(tmp_path: Path) -> None:
    words = ["null", "None", "NA", "nan", "n/a"]
    rows = "".join(f"{i},a.wav,{word},{word}\n" for i, word in enumerate([*words, "NaN", "<NA>", "#N/A", ""]))
    (tmp_path / "a.wav").write_bytes(b"x")
    df = read_table(table(tmp_path, f"key,file,text,speaker\n{rows}"))
    assert df["text"].tolist() == [*words, None, None, None, None] and df["speaker"].isna().all()


def test_decimal_commas_beside_decimal_points_are_refused(tmp_path: Path) -> None:
    assert "row 3" in refused(tmp_path, 'key,text,end\na,hi,1.5\nb,ho,"1,234"\n')


def test_like_named_extra_beside_the_known_column_is_kept(tmp_path: Path) -> None:
    df = read_table(table(tmp_path, "key,text,speaker,speaker2\na,hi,s,t\n"))
    assert df["speaker2"].tolist() == ["t"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("key,text,emotion\na,hi,anger\nb,ho,angry\n", ["row 3", "'angry'", "did you mean 'anger'?"]),
        ("key,text,emotion\na,hi,boredom\n", ["row 2", "'boredom'", "expected one of neutral, happiness"]),
        ("key,text,arousal\na,hi,1.5\n", ["row 2", "arousal 1.5 is out of 0..1"]),
        ("key,text,dominance\na,hi,-0.1\n", ["row 2", "dominance -0.1 is out of 0..1"]),
        ("key,text,valence\na,hi,inf\n", ["row 2", "valence inf is out of 0..1"]),
        ("key,text,valence\na,hi,0.5\nb,ho,high\n", ["row 3", "valence 'high' is not a number"]),
        ("key,text\na,hi\nb,\n", ["row 3", "neither audio nor text"]),
        ("key,text\na,   \n", ["row 2", "neither audio nor text"]),
        ("key,text,start,end\na,hi,2,2\n", ["row 2", "end 2 s is not after start 2 s"]),
        ("key,text,end\na,hi,0\n", ["row 2", "end 0 s is not after start 0 s"]),
        ("key,text,start\na,hi,-1\n", ["row 2", "start -1 s"]),
        ("key,text\na,hi\nb,ho\na,he\n", ["row 4", "'a'", "row 2"]),
        ("key,text\na,hi\n,ho\n", ["row 3", "key is missing"]),
        ("name,text\na,hi\n", ["column 'key' is missing", "name, text"]),
        ("key,file\na,gone.wav\n", ["row 2", "gone.wav"]),
        ("key,text,gender\na,hi,f\n", ["row 2", "gender 'f'"]),
        ("key,text,language\na,hi,english\n", ["row 2", "ISO 639-1"]),
        ("key,text,ratings\na,hi,happy\n", ["row 2", "ratings is not a JSON list"]),
        ('key,text,ratings\na,hi,"[1, 2]"\n', ["row 2", "ratings is not a JSON list"]),
        ("key,text\na,hi,there\n", ["row 2", "3 cells", "2"]),
        ('key,text\na,hi\nb,"ho\n', ["row 3", "quotes"]),
        ("key,key\na,b\n", ["'key' appears twice"]),
        ("key,,text\na,b,c\n", ["column 2 has no name"]),
        ("\n , \nkey,text,emotion\na,hi,mad\n", ["row 4", "'mad'"]),
        ("key,text,language\na,hi,EN\n", ["row 2", "'EN' is not an ISO 639-1"]),
        ("key,text,arousal,valence\na,hi,1,0\nb,ho,low,2\n", ["row 3", "arousal 'low' is not a number"]),
        ("key,text\n", ["no rows"]),
        ("", ["empty"]),
    ],
)
def test_bad_rows_are_refused_by_file_and_row(tmp_path: Path, text: str, parts: list[str]) -> None:
    message = refused(tmp_path, text)
    for part in parts:
        assert part in message


def test_original_emotion_is_free(tmp_path: Path) -> None:
    df = read_table(table(tmp_path, "key,text,original_emotion\na,hi,boredom\n"))
    assert df["original_emotion"].tolist() == ["boredom"]


def test_blank_lines_do_not_shift_row_numbers(tmp_path: Path) -> None:
    assert "row 5:" in refused(tmp_path, "key,text,emotion\na,hi,anger\n\n,,\nb,ho,mad\n")
    df = read_table(table(tmp_path, "key,text,,\n\na,hi,,\n"))
    assert df["key"].tolist() == ["a"]


def test_cells_with_line_breaks_count_as_one_row(tmp_path: Path) -> None:
    assert "row 3:" in refused(tmp_path, 'key,text,emotion\na,"two\nlines",anger\nb,ho,mad\n')


def test_five_rows_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    rows = "".join(f"k{i},hi,2\n" for i in range(9))
    message = refused(tmp_path, "key,text,arousal\n" + rows)
    assert "row 6:" in message and "row 7:" not in message and "and 4 more" in message


def test_unreadable_files(tmp_path: Path) -> None:
    for name in ("none.csv", "none.parquet"):
        with pytest.raises(TableError, match="cannot be read"):
            read_table(tmp_path / name)
    assert "not a valid Parquet" in refused(tmp_path, "key,text\n", "t.parquet")
    assert ".csv, .tsv or .parquet" in refused(tmp_path, "key,text\n", "t.xlsx")


def test_check_table_types_numbered_speakers_and_missing_values() -> None:
    given_df = pd.DataFrame(
        {"key": ["a", "b"], "text": ["x", pd.NA], "speaker": [1.0, np.nan], "corpus": "c"}, index=[7, 7]
    )
    with pytest.raises(TableError, match="row 3: neither"):
        check_table(given_df, "c")
    df = check_table(given_df.assign(text=["x", "y"]), "c")
    assert df["speaker"].tolist() == ["1", None] and df.index.tolist() == [0, 1]


texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), min_size=1, max_size=12).map(str.strip)
words = texts.filter(lambda text: text not in MISSING)  # of which a reader makes empty cells
optional_texts = st.none() | words
shares = st.just(float("nan")) | st.floats(0, 1)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "text": words,
                "speaker": optional_texts,
                "emotion": st.none() | st.sampled_from(EMOTIONS),
                "valence": shares,
                "start": st.just(float("nan")) | st.floats(0, 1e6),
                "take": st.integers(0, 9),
                "ratings": st.none() | st.just(json.dumps([{"annotator": "1", "emotion": "joy"}])),
            }
        ),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from([".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"]),
)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[dict], ending: str) -> None:
    df = make_table([{"key": f"c/{i}", "note": f"n{i}", **row} for i, row in enumerate(rows)], "c")
    path = tmp_path_factory.mktemp("round") / f"t{ending}"
    write_table(df, path)
    pd.testing.assert_frame_equal(read_table(path), df, check_exact=True)


def test_write_refuses_other_endings_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    df = make_table([{"key": "a", "text": "x"}], "c")
    with pytest.raises(TableError, match=r"\.csv, \.tsv or \.parquet"):
        write_table(df, tmp_path / "t.xlsx")
    write_table(df, tmp_path / "t.csv")
    before = (tmp_path / "t.csv").read_text()

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(EmofuseError, match="cannot be written"):
        write_table(df.assign(text="y"), tmp_path / "t.csv")
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"] and (tmp_path / "t.csv").read_text() == before


def test_json_lines(tmp_path: Path) -> None:
    lines = [
        {
            "key": "a",
            "text": "żółw\u2028x",
            "speaker": 7,
            "ratings": [{"emotion": "joy"}],
            "votes": {"fear": 2},
            "take": 1,
        },
        {"key": "b", "text": "NA", "valence": 0.25, "ratings": '[{"valence": 3}]', "take": 2, "clean": True},
    ]
    text = "\r\n\r\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    df = read_table(table(tmp_path, text, "t.jsonl", "utf-8-sig"))
    assert df["text"].tolist() == ["żółw\u2028x", "NA"] and df["speaker"].tolist() == ["7", None]
    assert [json.loads(r) for r in df["ratings"]] == [[{"emotion": "joy"}], [{"valence": 3}]]
    assert json.loads(df["votes"].iat[0]) == {"fear": 2} and df["votes"].iat[1] is None
    assert df["take"].tolist() == [1, 2] and df["take"].dtype == int and df["clean"].tolist() == [None, True]
    assert df["valence"].tolist()[1] == 0.25 and np.isnan(df["valence"].iat[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"key": "a", "text": "x"}\n\n{"key": "b"\n', "row 3: not valid JSON"),
        ('{"key": "a", "text": "x"}\n["b"]\n', "row 2: expected one JSON object a line"),
        ('{"key": "a", "text": "x"}\n\n{"key": "b", "text": "y", "emotion": "mad"}\n', "row 3: emotion 'mad'"),
        ('{"key": "a", "text": "x", "ratings": {"valence": 1}}\n', "row 1: ratings is not a JSON list"),
        (
            '{"key": "a", "text": "x", "valence": true}\n{"key": "a", "text": "x", "valence": [1]}',
            r"2 kinds of errors\n  row 2: valence '\[1\]' is not a number; .*\n  row 2: key 'a' is already",
        ),
        ("\n", "is empty"),
    ],
)
def test_broken_json_lines_are_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TableError, match=rf"t\.jsonl.*{message}"):
        read_table(table(tmp_path, text, "t.jsonl"))


@pytest.mark.parametrize(("name", "end"), [("t.csv", "\r\n"), ("t.tsv", "\r"), ("t.jsonl", "\n")])
def test_windows_1252_is_read_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, end: str
) -> None:
    rows = {
        "t.csv": ["key,text", "", 'a,"café\t“x”"', "  ,", "b,naïve"],
        "t.tsv": ["key\ttext", '"a"\t"café\t“x”"', "b\tnaïve", ""],
        "t.jsonl": ['{"key": "a", "text": "café\\t“x”"}', "", '{"key": "b", "text": "naïve"}'],
    }
    path = table(tmp_path, end.join(rows[name]), name, "cp1252")
    with caplog.at_level(logging.WARNING):
        df = read_table(path)
    assert df["text"].tolist() == ["café\t“x”", "naïve"]
    assert len(caplog.records) == 1 and f"{path}: " in caplog.text and "Windows-1252" in caplog.text


def test_tables_that_are_adapted_keep_their_row_numbers(tmp_path: Path) -> None:
    path = table(tmp_path, "key,file,emotion,arousal,language\na,x.wav,mad,5,en\n\nb,y.wav,joy,,\n")
    for name in "xy":
        (tmp_path / f"{name}.wav").write_bytes(b"x")
    seen = []

    def adapt(df: pd.DataFrame, shared: str = "fear") -> pd.DataFrame:
        seen.append(df)
        return df.assign(emotion=df["emotion"].map({"mad": "anger", "joy": shared}), arousal=df["arousal"] / 7)

    df = read_table(path, adapt=adapt)
    assert list(seen[0].columns) == list(COLUMNS) and seen[0]["emotion"].tolist() == ["mad", "joy"]
    assert df["emotion"].tolist() == ["anger", "fear"] and df["arousal"].iat[0] == 5 / 7
    assert df["file"].tolist() == [str(tmp_path / "x.wav"), str(tmp_path / "y.wav")] and df.index.tolist() == [0, 1]
    with pytest.raises(TableError, match=r"t\.csv, row 4: emotion 'joy' is unknown"):
        read_table(path, adapt=lambda df: adapt(df, "joy"))


EVERY_KIND = """key,text,Speakers,emotion,arousal,valence,start,end,language
a,hi,s,angry,1.5,high,0,1,en
a,,s,fear,0.5,0.5,2,1,english
c,ho,s,mad,7,0.5,0,1,en
"""


def test_all_kinds_of_errors_are_named_at_once(tmp_path: Path) -> None:
    message = refused(tmp_path, EVERY_KIND)
    assert message.splitlines() == [
        f"{tmp_path / 't.csv'}: 8 kinds of errors",
        "  unknown column 'Speakers'. Did you mean 'speaker'? An extra column needs another name.",
        "  row 2: valence 'high' is not a number; leave it empty where missing",
        "  row 3: key 'a' is already used in row 2",
        "  rows 2, 4: arousal 1.5 is out of 0..1; scale the ratings",
        "  row 3: neither audio nor text; give file, text, or both",
        "  row 3: end 1 s is not after start 2 s",
        "  rows 2, 4: emotion 'angry' is unknown; did you mean 'anger'?",
        "  row 3: language 'english' is not an ISO 639-1 code, such as en or pl",
    ]


def test_of_several_kinds_with_many_rows_the_first_rows_are_named(tmp_path: Path) -> None:
    message = refused(tmp_path, "key,text,arousal,gender\n" + "".join(f"k{i},hi,2,f\n" for i in range(9)))
    assert "\n  rows 2, 3, 4, 5, 6 and 4 more: arousal 2 is out of 0..1" in message
    assert "\n  rows 2, 3, 4, 5, 6 and 4 more: gender 'f' is unknown" in message


def test_a_misnamed_column_is_not_reported_as_missing_in_every_row(tmp_path: Path) -> None:
    assert "'text'" in (message := refused(tmp_path, "key,texts\na,hi\n")) and "row" not in message
    assert "row" not in refused(tmp_path, "text\nhi\n").replace("every row needs", "")


def test_what_adapting_refuses_stands_beside_the_other_kinds(tmp_path: Path) -> None:
    def adapt(df: pd.DataFrame) -> pd.DataFrame:
        raise TableError("a: arousal 9 is not a rating from 1 to 7. Correct `scale`.")

    with pytest.raises(TableError) as error:
        read_table(table(tmp_path, "key,text,emotion,arousal\na,hi,joy,9\na,ho,joy,8\n"), adapt=adapt)
    assert str(error.value).splitlines()[1:] == [
        "  a: arousal 9 is not a rating from 1 to 7. Correct `scale`.",
        "  row 3: key 'a' is already used in row 2",
    ]


def recording(path: Path, seconds: float) -> Path:
    samples = np.random.default_rng(0).normal(0, 0.1, round(seconds * 16000))
    soundfile.write(path, samples, 16000)
    return path


@pytest.mark.parametrize("name", ["long.wav", "long.flac", "long.ogg", "long.mp3"])
def test_a_segment_that_ends_after_its_recording_is_refused(tmp_path: Path, name: str) -> None:
    recording(tmp_path / name, 3.0)
    rows = f"a,{name},0,1.5\nb,{name},1.5,3.0\nc,{name},2.9,\n"
    assert len(read_table(table(tmp_path, f"key,file,start,end\n{rows}"))) == 3
    message = refused(tmp_path, f"key,file,start,end\n{rows}d,{name},2,4.5\ne,{name},5,\n")
    assert "row 5: segment ends at 4.5 s, but" in message and "row 6: segment ends at 5 s" in message
    assert name in message and "ends at 3.0" in message and "row 4" not in message


def test_an_end_that_was_rounded_up_is_not_refused(tmp_path: Path) -> None:
    recording(tmp_path / "x.wav", 2.96)
    assert read_table(table(tmp_path, "key,file,start,end\na,x.wav,0,3.0\n"))["end"].tolist() == [3.0]
    assert "row 2" in refused(tmp_path, "key,file,start,end\na,x.wav,0,3.1\n")


def test_headers_alone_are_read_and_each_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(f"{i},{recording(tmp_path / f'{i % 3}.wav', 2).name},{i / 100},{1 + i / 100}\n" for i in range(60))
    opened: list[str] = []
    info = soundfile.info
    monkeypatch.setattr(soundfile, "info", lambda file: opened.append(file) or info(file))
    monkeypatch.setattr(soundfile.SoundFile, "read", None)
    assert len(read_table(table(tmp_path, f"key,file,start,end\n{rows}"))) == 60
    assert sorted(Path(file).name for file in opened) == ["0.wav", "1.wav", "2.wav"]


@pytest.mark.parametrize("adapt", [None, lambda df: df])
def test_rows_without_their_audio_go_on_if_they_have_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, adapt: Any
) -> None:
    (tmp_path / "x.wav").write_bytes(b"x")
    path = table(tmp_path, "key,file,text,emotion\na,x.wav,,fear\nb,gone.wav,,fear\nc,gone.wav,hi,fear\nd,,ho,fear\n")
    with caplog.at_level(logging.WARNING):
        df = read_table(path, adapt=adapt, allow_missing=True)
    assert df["key"].tolist() == ["a", "c", "d"] and df["emotion"].tolist() == ["fear"] * 3
    assert df["file"].tolist() == [str(tmp_path / "x.wav"), None, None]
    assert df.index.tolist() == [0, 1, 2]
    assert "1 audio files are missing" in caplog.text
    assert "1 rows are used without audio, 1 without text are left out" in caplog.text
    with pytest.raises(TableError, match="no row is left"):
        read_table(table(tmp_path, "key,file\na,gone.wav\n"), adapt=adapt, allow_missing=True)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_corpus_and_table_can_move_together(tmp_path: Path, ending: str) -> None:
    for place in ("old/tables", "old/corpus/audio"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "old/corpus/audio/x y.wav").write_bytes(b"x")
    (tmp_path / "old/tables/z.wav").write_bytes(b"x")
    files = [str(tmp_path / "old/corpus/audio/x y.wav"), str(tmp_path / "old/tables/z.wav"), None, "z.wav"]
    df = make_table([{"key": str(i), "file": file, "text": "t"} for i, file in enumerate(files)], "c")
    write_table(df, tmp_path / f"old/tables/t{ending}")
    assert df["file"].tolist() == files  # the table given is left as it is
    before = read_table(tmp_path / f"old/tables/t{ending}")
    assert before["file"].tolist() == [*files[:3], files[1]]
    write_table(before, tmp_path / f"old/tables/again{ending}")
    pd.testing.assert_frame_equal(read_table(tmp_path / f"old/tables/again{ending}"), before)
    (tmp_path / "old").rename(tmp_path / "new")
    moved = read_table(tmp_path / f"new/tables/t{ending}")
    assert moved["file"].tolist() == [f and f.replace("/old/", "/new/") for f in before["file"]]


def test_one_listing_of_a_folder_finds_the_files_that_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "folder.wav").mkdir()
    files = [str(tmp_path / "many" / f"{i}.wav") for i in range(80)]
    for file in files[3:]:
        Path(file).write_bytes(b"x")
    lacking = [*files[:3], str(tmp_path / "many" / "folder.wav"), str(tmp_path / "none" / "1.wav"), "none.wav"]
    looked_at = []
    isfile = os.path.isfile
    monkeypatch.setattr(os.path, "isfile", lambda file: looked_at.append(file) or isfile(file))
    assert absent_files([*files, *lacking, None, float("nan")]) == set(lacking)
    assert set(looked_at) == set(lacking)


def test_parquet_with_an_index_and_nested_columns(tmp_path: Path) -> None:
    votes = [{"fear": 2}, None]
    df = pd.DataFrame({"text": ["x", "y"], "ratings": [[{"valence": 1}], None], "votes": votes, "a.b": [1, 2]})
    df.set_index(pd.Index(["k", "l"], name="key")).to_parquet(tmp_path / "named.parquet")
    read = read_table(tmp_path / "named.parquet")
    assert read["key"].tolist() == ["k", "l"] and read["ratings"].tolist() == ['[{"valence": 1}]', None]
    assert read["votes"].tolist() == ['{"fear": 2}', None] and read["a.b"].tolist() == [1, 2]
    df.assign(key=["k", "l"]).set_index(pd.Index([5, 7])).to_parquet(tmp_path / "numbered.parquet")
    assert list(read_table(tmp_path / "numbered.parquet").columns) == [*COLUMNS, "votes", "a.b"]


@pytest.mark.parametrize("marks", ["...", ". . . .", "?!", "\u2026"])
def test_a_transcript_of_marks_alone_is_missing(marks):
    rows = [{"key": "a", "file": "a.wav", "text": marks}, {"key": "b", "file": "b.wav", "text": "No!"}, {"key": "c"}]
    assert make_table(rows, "c")["text"].tolist() == [None, "No!", None]


def test_a_row_without_audio_keeps_a_text_of_marks_alone():
    """It has nothing else, so it would be no row; corpora and their splits hold such rows."""
    assert make_table([{"key": "a", "text": "!"}], "c")["text"].tolist() == ["!"]
