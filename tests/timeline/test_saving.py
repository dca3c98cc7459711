"""Timelines saved in each form by its name or ending, and read back by the usual reader of the form."""

import json
import re
from pathlib import Path

import pandas as pd
import pympi
import pytest
import webvtt
from praatio import textgrid

from emofuse.audio import Note
from emofuse.errors import EmofuseError
from emofuse.timeline.prediction import Prediction, Timeline
from emofuse.timeline.saving import FORMS, form_of, save


def prediction(start, end, **other):
    values = {"file": "call.wav", "start": start, "end": end, "text": "Ja, das weiß ich.", "text_source": "given"}
    values |= {"language": "de", "used": "audio", "emotion": "anger", "confidence": 0.8412}
    values |= {"probabilities": {"anger": 0.8412, "neutral": 0.1588}}
    return Prediction(**values | {"arousal": 0.5123, "valence": 0.25, "dominance": 0.75} | other)


CALL = Timeline(
    [prediction(0.5, 2.25, channel=1), prediction(2.5, 4.0, channel=2), prediction(2.5, 4.0, speaker="Ana", channel=1)],
    file="call.wav",
    seconds=9.5,
)
SILENT = Timeline(file="silent.wav", seconds=3.0, notes=[Note("no speech", "no speech was detected in 3 s")])


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_json_and_csv_and_parquet_hold_the_same_table():
    for ending in ("json", "jsonl", "csv", "parquet"):
        CALL.save(f"a.{ending}")
    objects = json.loads(Path("a.json").read_text(encoding="utf-8"))
    assert [json.loads(line) for line in Path("a.jsonl").read_text(encoding="utf-8").splitlines()] == objects
    assert [record["channel"] for record in objects] == [1, 2, 1]
    table = CALL.to_pandas()
    assert table[["start", "confidence", "p_neutral", "arousal"]].values.tolist()[0] == [0.5, 0.8412, 0.1588, 0.5123]
    for read in (pd.read_csv("a.csv"), pd.read_parquet("a.parquet")):
        pd.testing.assert_frame_equal(read, table, check_dtype=False, check_exact=True)


def test_an_empty_timeline():
    SILENT.save("a.json")
    [record] = json.loads(Path("a.json").read_text(encoding="utf-8"))
    assert record["file"] == "silent.wav" and record["note"] == SILENT.notes[0].message
    assert list(SILENT.to_pandas()) == [name for name in CALL.to_pandas() if not name.startswith("p_")]
    assert len(SILENT.to_pandas()) == 0


def test_channels_without_speakers_are_lanes():
    CALL.save("a.TextGrid")
    grid = textgrid.openTextgrid("a.TextGrid", includeEmptyIntervals=False)
    assert grid.maxTimestamp == 9.5
    assert {name.rpartition(":")[0] for name in grid.tierNames} == {"Ana", "channel 1", "channel 2"}
    assert [entry.label for entry in grid.getTier("channel 2: arousal").entries] == ["0.512"]
    CALL.save("a.eaf")
    document = pympi.Elan.Eaf("a.eaf")
    assert document.get_annotation_data_for_tier("channel 2: emotion") == [(2500, 4000, "anger 0.84")]
    assert document.media_descriptors[0]["MEDIA_URL"].startswith("file:///")
    CALL.save("a.vtt")
    assert [caption.voice for caption in webvtt.read("a.vtt")] == ["channel 1", "channel 2", "Ana"]
    CALL.save("a.srt")
    assert webvtt.from_srt("a.srt")[1].raw_text == "channel 2: [anger 0.84] Ja, das weiß ich."
    CALL.save("a.txt")
    assert "4.000\tchannel 2: anger 0.84 Ja" in Path("a.txt").read_text(encoding="utf-8")


def test_rttm_of_several_recordings():
    save([CALL, SILENT, Timeline([prediction(1, 2)], file="b c.flac")], "a.rttm")
    rows = [line.split() for line in Path("a.rttm").read_text(encoding="utf-8").splitlines()]
    assert [(row[1], row[2], row[7]) for row in rows] == [
        ("call", "1", "channel_1"),
        ("call", "2", "channel_2"),
        ("call", "1", "Ana"),
        ("b_c", "1", "speaker"),
    ]


def test_audformat_reads_its_table():
    audformat = pytest.importorskip("audformat")
    save([CALL, SILENT], "out/db", "audformat")
    db = audformat.Database.load("out/db")
    table = db["emotion"].get()
    assert list(db.tables) == ["emotion", "emotion.2", "files"] and len(table) == 2
    row = table.loc[("../../call.wav", pd.Timedelta(seconds=0.5), pd.Timedelta(seconds=2.25))]
    assert (row["emotion"], row["arousal"], row["p_anger"], row["channel"]) == ("anger", 0.5123, 0.8412, 1)
    assert row["transcription"] == "Ja, das weiß ich." and db["emotion.2"].get()["speaker"].tolist() == ["Ana"]
    assert db["files"].get()["note"].dropna().to_dict() == {"../../silent.wav": SILENT.notes[0].message}
    with pytest.raises(EmofuseError, match="empty folder"):
        save([CALL], "out/db", "audformat")


def test_audformat_without_predictions():
    audformat = pytest.importorskip("audformat")
    SILENT.save("db", "audformat")
    assert len(audformat.Database.load("db")["emotion"].get()) == 0


@pytest.mark.parametrize("form", [form for form in FORMS.values() if form.ending], ids=lambda form: form.name)
def test_a_file_is_written_whole_or_not_at_all(form, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    CALL.save(f"a{form.ending}")
    before = Path(f"a{form.ending}").read_bytes()
    assert form_of(f"A{form.ending.upper()}") is form
    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(EmofuseError, match="No space left"):
        Timeline([prediction(0, 1)], file="b.wav").save(f"a{form.ending}")
    assert Path(f"a{form.ending}").read_bytes() == before


def test_unknown_forms_and_too_many_recordings_are_refused():
    with pytest.raises(EmofuseError, match=re.escape(".json .jsonl .csv .parquet .TextGrid .eaf .vtt .srt .txt .rttm")):
        CALL.save("a.docx")
    with pytest.raises(EmofuseError, match="textgrid"):
        CALL.save("a.csv", "word")
    with pytest.raises(EmofuseError, match="one recording, not 2"):
        save([CALL, SILENT], "a.TextGrid")
    with pytest.raises(EmofuseError, match="no times"):
        Timeline([prediction(None, None, file=None)]).save("a.vtt")
