"""Tables of a user's own: columns, categories and scales by the recipe."""

import json
import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from emofuse.corpora.readers.generic import SYNONYMS, adapt, finish_adapted, guessed, official_part, read
from emofuse.corpora.table import TableError, make_table, write_table
from emofuse.labels import EMOTIONS
from made_up.clips import write_clip


def table(*rows: dict[str, Any]) -> pd.DataFrame:
    return make_table([{"key": f"t/{i}", "text": "x", **row} for i, row in enumerate(rows)], "t")


def labels(df: pd.DataFrame) -> list[list[str | None]]:
    return df[["emotion", "original_emotion"]].values.tolist()


def test_synonyms_where_the_recipe_says_nothing() -> None:
    df = table(
        {"emotion": "anger"},
        {"emotion": "Joy"},
        {"original_emotion": " SAD "},
        {"original_emotion": "boredom"},
        {"original_emotion": "angry", "emotion": "neutral"},
        {"emotion": "hapiness"},
        {},
    )
    assert labels(adapt(df, emotions={}, scale=None)) == [
        ["anger", None],
        ["happiness", "Joy"],
        ["sadness", "SAD"],
        [None, "boredom"],
        ["neutral", "angry"],
        ["hapiness", None],
        [None, None],
    ]
    assert set(SYNONYMS.values()) == set(EMOTIONS)


def test_categories_of_the_recipe_take_the_place_of_synonyms() -> None:
    df = table({"emotion": "Wut"}, {"emotion": "joy"}, {"emotion": "langeweile"}, {}, {"emotion": "neutral"})
    emotions = {"wut": "anger", "joy": "surprise", "Langeweile": "none", "neutral": "sadness"}
    assert labels(adapt(df, emotions=emotions, scale=None)) == [
        ["anger", "Wut"],
        ["surprise", "joy"],
        [None, "langeweile"],
        [None, None],
        ["sadness", "neutral"],
    ]
    # with a column of its own for the source's words, a row without one keeps its category
    df = table({"original_emotion": "Wut"}, {"emotion": "neutral"})
    assert labels(adapt(df, emotions={"wut": "anger"}, scale=None)) == [["anger", "Wut"], ["neutral", None]]


def test_categories_that_the_recipe_lacks_are_named() -> None:
    df = table({"emotion": "wut"}, {"emotion": "zorn"}, {"emotion": "neutral"})
    with pytest.raises(TableError, match=r"t/1: category 'zorn' is not in `emotions`.* these lack: 'neutral', 'zorn'"):
        adapt(df, emotions={"wut": "anger"}, scale=None)
    with pytest.raises(TableError, match="emotions: 'wut' is mapped to 'angry'; expected one of neutral, happiness"):
        adapt(df, emotions={"wut": "angry"}, scale=None)


def test_scales_and_genders() -> None:
    df = table({"arousal": 1, "valence": 7}, {"dominance": 4, "gender": "F"}, {"gender": "male"}, {"gender": "robot"})
    out = adapt(df, emotions={}, scale=(1, 7))
    assert out[["arousal", "valence", "dominance"]].fillna(-1).values.tolist()[:2] == [[0, 1, -1], [-1, -1, 0.5]]
    assert out["gender"].tolist() == [None, "female", "male", "robot"]
    assert df["arousal"].iat[0] == 1 and adapt(df, emotions={}, scale=None)["dominance"].iat[1] == 4
    with pytest.raises(TableError, match="t/0: valence 7 is not a rating from 1 to 5"):
        adapt(df, emotions={}, scale=(1, 5))
    with pytest.raises(TableError, match=r"scale: expected the lowest and the highest rating.*found \[7, 1\]"):
        adapt(df, emotions={}, scale=(7, 1))


def test_categories_without_counterpart_lose_nothing_but_the_shared_one(tmp_path: Path) -> None:
    rows = [{"key": "t/1", "text": "a", "emotion": "Bored", "age": 30}, {"key": "t/2", "text": "b", "emotion": "fear"}]
    df = finish_adapted(rows, "t", tmp_path, emotions=None, scale=None, allow_missing=False)
    assert labels(df) == [[None, "Bored"], ["fear", None]] and df["age"].fillna(-1).tolist() == [30, -1]
    again = finish_adapted(rows[::-1], "t", tmp_path, emotions={}, scale=None, allow_missing=False)
    assert labels(again) == labels(df)[::-1]


def test_guesses() -> None:
    names = ["Speaker_ID", "text", "transcription", "Arousal", "sex", "split", "mood", "file"]
    assert guessed(names, ()) == {
        **{"Speaker_ID": "speaker", "text": "text", "transcription": "transcription", "Arousal": "arousal"},
        **{"sex": "gender", "split": "official_split", "mood": "mood", "file": "file"},
    }
    assert guessed(["speaker", "speaker_id"], {"speaker"}) == {"speaker_id": "speaker_id"}
    assert [official_part(p) for p in ("DEVEL", "valid", "Test_3", "Test2", "testing")] == [
        *("dev", "dev", "test3", "test2"),
        None,
    ]


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_tables_of_ones_own(tmp_path: Path, ending: str) -> None:
    write_clip(tmp_path / "clips" / "a.wav")
    rows = [
        {"id": "a", "wav": "clips/a.wav", "mood": "froh", "act": 5, "words": "ja, ja", "room": 7, "who": "s1"},
        {"id": "b", "wav": None, "mood": "müde", "act": None, "words": "nein", "room": 8, "who": "s2"},
    ]
    path = tmp_path / f"mine.{ending}"
    if ending == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    else:
        write_table(pd.DataFrame(rows), path)
    columns = {"id": "key", "wav": "file", "mood": "emotion", "act": "arousal", "words": "text", "who": "speaker"}
    df = read(path, columns=columns, emotions={"froh": "happiness", "müde": "none"}, scale=(1, 9))
    assert labels(df) == [["happiness", "froh"], [None, "müde"]]
    assert df["arousal"].fillna(-1).tolist() == [0.5, -1] and df["corpus"].tolist() == ["mine", "mine"]
    assert df["file"].tolist() == [str(tmp_path / "clips" / "a.wav"), None]
    assert df["room"].tolist() == [7, 8] and df["text"].tolist() == ["ja, ja", "nein"]
    with pytest.raises(TableError, match="category 'müde' is not in `emotions`"):
        read(path, columns=columns, emotions={"froh": "happiness"}, scale=(1, 9))


def test_errors_name_the_row_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("key,text,emotion,valence\n\na,x,joy,0.5\nb,y,hapiness,0.5\n")
    with pytest.raises(TableError, match=r"mine\.csv, row 4: emotion 'hapiness' is unknown; did you mean 'happiness'"):
        read(path)
    path.write_text("key,text,emotion,valence\na,x,joy,4\n")
    with pytest.raises(TableError, match=r"row 2: valence 4 is out of 0\.\.1"):
        read(path)
    path.write_text("key,text,emotion,valence\na,x,joy,high\n")
    with pytest.raises(TableError, match=r"row 2: valence 'high' is not a number"):
        read(path, scale=(1, 5))


def test_missing_audio(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("key,file,text,emotion\na,a.wav,hello,joy\nb,b.wav,,sad\n")
    with pytest.raises(TableError, match=r"row 2: audio file .*a\.wav "):
        read(path)
    with caplog.at_level(logging.WARNING):
        df = read(path, allow_missing=True)
    assert df["key"].tolist() == ["a"] and df["file"].tolist() == [None] and df["emotion"].tolist() == ["happiness"]
    assert "2 audio files are missing" in caplog.text
