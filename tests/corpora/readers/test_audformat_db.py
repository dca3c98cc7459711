"""audformat databases, read and written."""

import json
import logging
import pickle
import sys
from pathlib import Path

import pandas as pd
import pytest

from emofuse.corpora.readers.audformat_db import read, write
from emofuse.corpora.table import COLUMNS, TableError, make_table
from emofuse.errors import EmofuseError
from made_up.audformat_db import FILES, make
from made_up.clips import write_clip

audformat = pytest.importorskip("audformat")


def database(root: Path, **tables: pd.DataFrame) -> Path:
    """A database of the given tables; in names, _ stands for a dot."""
    db = audformat.Database("small")
    for name, df in tables.items():
        table = db[name.replace("_", ".")] = audformat.Table(df.index)
        for column in df:
            table[column] = audformat.Column()
            table[column].set(df[column].tolist())
        for file in df.index.get_level_values("file"):
            write_clip(root / file, 2.0)
    db.save(str(root), storage_format="csv")
    return root


def files(**columns: list) -> pd.DataFrame:
    names = [f"{letter}.wav" for letter in "abc"[: len(next(iter(columns.values())))]]
    return pd.DataFrame(columns, index=audformat.filewise_index(names))


def segments(names: list[str], starts: list, ends: list, **columns: list) -> pd.DataFrame:
    return pd.DataFrame(columns, index=audformat.segmented_index(names, starts, ends))


def test_a_database_with_parts_speakers_and_sentences(tmp_path: Path) -> None:
    df = read(make(tmp_path / "db")).set_index("key")
    assert len(df) == len(FILES) and df["official_split"].value_counts().to_dict() == {"train": 40, "test": 20}
    row = df.loc["made-up-emodb/wav/03a02an"]
    assert (row["emotion"], row["original_emotion"], row["arousal"]) == ("anger", None, 1.0)
    assert (row["speaker"], row["gender"], row["age"], row["language"]) == ("made-up-emodb/3", "male", 31, "de")
    assert (row["text"], row["official_split"], row["take"]) == ("Das will sie am Mittwoch abgeben.", "train", "t5")
    assert row["corpus"] == "made-up-emodb" and Path(row["file"]).is_file()
    row = df.loc["made-up-emodb/wav/12a01bo"]
    assert (row["emotion"], row["original_emotion"], row["official_split"]) == (None, "boredom", "test")
    row = df.loc["made-up-emodb/wav/03a01an"]
    assert row["text"] is None and row["speaker"] == "made-up-emodb/3"
    assert df.loc["made-up-emodb/wav/03a01ne", "arousal"] == 0.5


def test_categories_and_scales_of_the_recipe(tmp_path: Path) -> None:
    root = make(tmp_path / "db")
    emotions = {"anger": "anger", "happiness": "happiness", "sadness": "sadness", "neutral": "neutral"}
    with pytest.raises(TableError, match="category 'boredom' is not in `emotions`"):
        read(root, emotions=emotions)
    df = read(root, emotions={**emotions, "boredom": "none"}, scale=(0, 14))
    assert df.loc[df["original_emotion"] == "boredom", "emotion"].isna().all()
    assert sorted(df["arousal"].unique()) == pytest.approx([4 / 14, 0.5])
    with pytest.raises(TableError, match=r"made-up-emodb/.*: arousal 7 is not a rating from 1 to 5"):
        read(root, emotions={**emotions, "boredom": "none"}, scale=(1, 5))


def test_columns_by_name_and_by_table(tmp_path: Path) -> None:
    gold, guess = files(emotion=["joy", "sad"], who=["x", "y"]), files(emotion=["sad", "joy"])
    root = database(tmp_path, gold=gold, asr_guess=guess)
    with pytest.raises(TableError, match=r"a\.wav: emotion is .* in one table and .* in another\. .*`columns`"):
        read(root)
    df = read(root, columns={"gold.emotion": "emotion", "asr.guess.emotion": "guess", "who": "speaker"})
    assert df["emotion"].tolist() == ["happiness", "sadness"] and df["original_emotion"].tolist() == ["joy", "sad"]
    assert df["guess"].tolist() == ["sad", "joy"] and df["speaker"].tolist() == ["small/x", "small/y"]
    # a column that the recipe gives one of our names keeps others from it
    assert read(root, columns={"asr.guess.emotion": "emotion"})["emotion"].tolist() == ["sadness", "happiness"]
    with pytest.raises(
        TableError, match=r"db\.yaml: there is no column 'gold\.mood'; the columns are .*gold\.emotion, gold\.who"
    ):
        read(root, columns={"gold.mood": "emotion"})


def test_parts_from_the_names_of_tables(tmp_path: Path) -> None:
    train, rest = files(emotion=["joy", "sad", "sad"])[:1], files(emotion=["joy", "sad", "sad"])
    root = database(tmp_path, emotion_train_gold=train, **{"emotion_test-1": rest[1:2], "emotion_devel": rest[2:]})
    assert read(root)["official_split"].tolist() == ["train", "test1", "dev"]


def test_segments_have_what_is_said_of_their_file_but_for_labels(tmp_path: Path) -> None:
    whole = files(speaker=["x", "y"], text=["all of it", "b"], room=["r1", "r2"])
    parts = segments(
        ["a.wav", "a.wav", "b.wav"], ["0s", "1.25s", "0s"], ["1s", "2s", pd.NaT], emotion=["joy", None, "sad"]
    )
    df = read(database(tmp_path, files=whole, parts=parts))
    assert df["key"].tolist() == ["small/a#0-1", "small/a#1.25-2", "small/b"]
    assert df[["start", "end"]].fillna(-1).values.tolist() == [[0, 1], [1.25, 2], [-1, -1]]
    assert df["speaker"].tolist() == ["small/x", "small/x", "small/y"] and df["room"].tolist() == ["r1", "r1", "r2"]
    assert df["text"].tolist() == [None, None, "b"] and df["emotion"].tolist() == ["happiness", None, "sadness"]


def test_speakers_may_stand_in_a_table_of_their_own(tmp_path: Path) -> None:
    root = database(tmp_path, files=files(emotion=["joy", "sad"], speaker=["x", "y"]))
    db = audformat.Database.load(str(root))
    db["speakers"] = audformat.MiscTable(pd.Index(["x", "y"], name="speaker", dtype="string"))
    db["speakers"]["sex"] = audformat.Column()
    db["speakers"]["sex"].set(["f", "child"])
    db.schemes["speaker"] = audformat.Scheme(labels="speakers", dtype="str")
    db["files"]["speaker"] = audformat.Column(scheme_id="speaker")
    db["files"]["speaker"].set(["x", "y"])
    db.save(str(root), storage_format="csv")
    df = read(root)
    assert df["speaker"].tolist() == ["small/x", "small/y"] and df["gender"].tolist() == ["female", None]


def test_an_extra_column_that_differs_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = database(tmp_path, one=files(emotion=["joy"], room=["r1"]), two=files(room=["r2"]))
    with caplog.at_level(logging.WARNING):
        assert "room" not in read(root)
    assert "column room differs between tables and is left out" in caplog.text


def test_missing_audio(tmp_path: Path) -> None:
    root = database(tmp_path, one=files(emotion=["joy", "sad"], text=["oh", None]))
    (root / "a.wav").unlink()
    with pytest.raises(TableError, match=r"1 of 2 audio files are missing:\n.*a\.wav"):
        read(root)
    assert read(root, allow_missing=True)["file"].isna().tolist() == [True, False]


def test_broken_databases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TableError, match=r"no audformat database here; expected db\.yaml"):
        read(tmp_path)
    root = database(tmp_path, one=files(emotion=["joy"]))
    header = (root / "db.yaml").read_text()
    for broken in ("{", "[]", f"{header}\nx: !!python/object/apply:os.getcwd []\n"):
        (root / "db.yaml").write_text(broken)
        with pytest.raises(TableError, match=r"db\.yaml: the database cannot be read"):
            read(root)
    (root / "db.yaml").write_text(header)
    (root / "db.one.csv").rename(root / "db.one.pkl")
    with pytest.raises(TableError, match=r"pickled tables are not read"):
        read(root)
    monkeypatch.setitem(sys.modules, "audformat", None)
    with pytest.raises(EmofuseError, match=r'pip install "emofuse\[audformat\]"'):
        read(root)


def test_a_pickle_beside_a_table_is_not_opened(tmp_path: Path) -> None:
    root = database(tmp_path, one=files(emotion=["joy"]))
    (root / "db.one.pkl").write_bytes(pickle.dumps(Bomb(str(root / "exploded"))))
    assert read(root)["emotion"].tolist() == ["happiness"]
    assert not (root / "exploded").exists()


class Bomb:
    def __init__(self, path: str):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def own_table(folder: Path) -> pd.DataFrame:
    rows = [
        {"emotion": "anger", "arousal": 0.9, "text": "No!", "speaker": "c/1", "gender": "female", "language": "de"},
        {"emotion": None, "original_emotion": "boredom", "speaker": "c/1", "gender": "female", "language": "de"},
        {"valence": 0.25, "dominance": 0.0, "speaker": "c/2", "gender": "male", "language": "en", "age": 40},
        {"emotion": "fear", "text": "NA", "ratings": json.dumps([{"annotator": "e1", "arousal": 3}])},
    ]
    extras = [{"official_split": "train", "take": 1, "loud": True}, {"official_split": "dev", "take": 2, "loud": False}]
    extras += [{"official_split": "test1", "loud": True}, {"take": 4, "loud": False}]
    for i, (row, extra) in enumerate(zip(rows, extras, strict=True)):
        row.update(extra, key=f"c/{i}", file=str(write_clip(folder / "wav" / f"{i}.wav", 2.5)))
    return make_table(rows, "c")


@pytest.mark.parametrize("segmented", [False, True])
def test_round_trip(tmp_path: Path, segmented: bool) -> None:
    df = own_table(tmp_path)
    if segmented:
        df.loc[[0, 1], "file"] = df["file"].iat[0]
        df["start"], df["end"] = [0.0, 1.2345, None, 0.5], [1.2345, 2.5, None, None]
    header = write(df, tmp_path, source="where it is from", licence="CC-BY-4.0")
    back = read(header.parent).set_index("key").loc[df["key"]].reset_index()
    assert list(back.columns[: len(COLUMNS)]) == list(COLUMNS)
    for column in df:
        expected = df[column]
        pd.testing.assert_series_equal(back[column].astype(object), expected.astype(object), check_names=False)
    db = audformat.Database.load(str(tmp_path))
    assert sorted(db.tables) == ["utterances", "utterances.dev", "utterances.test1", "utterances.train"]
    assert db["utterances"].type == ("segmented" if segmented else "filewise") and db.is_portable
    assert (db.source, db.license, db.languages) == ("where it is from", "CC-BY-4.0", ["deu", "eng"])
    assert db.splits["test1"].type == "test" and db.schemes["arousal"].maximum == 1
    assert db.schemes["speaker"].labels["c/1"] == {"gender": "female", "language": "deu"}
    assert db.schemes["speaker"].labels["c/2"]["age"] == 40


def test_what_differs_within_a_speaker_is_a_column(tmp_path: Path) -> None:
    df = own_table(tmp_path)
    df.loc[1, "language"] = "en"
    write(df, tmp_path)
    back = read(tmp_path).set_index("key").loc[df["key"]]
    assert back["language"].tolist() == ["de", "en", "en", None] and back["gender"].tolist() == df["gender"].tolist()


def test_what_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    df = own_table(tmp_path)
    df.loc[0, "file"] = None
    with caplog.at_level(logging.WARNING):
        write(df, tmp_path / "elsewhere")
    assert "1 of 4 rows have no audio and are left out" in caplog.text
    assert "audio lies outside of this folder" in caplog.text
    assert len(read(tmp_path / "elsewhere")) == 3
    with pytest.raises(TableError, match="already has an audformat database"):
        write(df, tmp_path / "elsewhere")
    df["file"] = df["file"].iat[1]
    with pytest.raises(TableError, match="c/0 and c/1 have the same file, start and end"):
        write(df, tmp_path / "twice")
    df["file"] = None
    with pytest.raises(TableError, match="none of 4 rows has audio"):
        write(df, tmp_path / "none")
    assert not (tmp_path / "none").exists()
