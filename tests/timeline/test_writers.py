"""Predictions written one by one, and read back."""

import csv
import io
import json
import locale
from dataclasses import fields, replace
from importlib import resources

import pandas as pd
import pytest

from emofuse.audio import Note
from emofuse.csv_table import read_csv
from emofuse.errors import EmofuseError
from emofuse.timeline.prediction import Prediction, Timeline
from emofuse.timeline.tables import SCHEMA_VERSION
from emofuse.timeline.writers import RECORD_FORMS, open_writer

LABELS = ["neutral", "anger", "fear"]
FULL = Prediction(
    file="calls/one.wav",
    start=0.0,
    end=2.5,
    text='well, "well" [bold]',
    text_source="asr",
    language="en",
    used="audio+text",
    emotion="anger",
    confidence=0.700004,
    probabilities={"neutral": 0.2, "anger": 0.700004, "fear": 0.1},
    arousal=0.9,
    valence=0.1,
    dominance=0.5,
    language_probability=0.98,
    text_confidence=0.75,
)
TEXT = replace(FULL, file=None, start=None, end=None, used="text")
SILENT = Timeline(file="silent.wav", seconds=9.0, notes=[Note("no speech", "no speech was detected in 9 s")])


def write(form, *predictions, empty=(), failures=(), **options):
    """What a writer writes."""
    stream = io.BytesIO() if form == "parquet" else io.StringIO()
    with open_writer(stream, form, labels=LABELS, **options) as writer:
        for prediction in predictions:
            writer.write(prediction)
        for timeline in empty:
            writer.write_empty(timeline)
        for file, reason in failures:
            writer.write_failure(file, reason)
    return stream.getvalue()


def records(form, *predictions, **others):
    """Records of a form for programs, as its usual reader reads them."""
    content = write(form, *predictions, **others)
    if form == "json":
        return json.loads(content)
    if form == "jsonl":
        return [json.loads(line) for line in content.splitlines()]
    if form == "csv":
        return list(csv.DictReader(io.StringIO(content)))
    table = pd.read_parquet(io.BytesIO(content))
    return table.astype(object).where(table.notna(), None).to_dict("records")


def test_json_has_all_fields():
    [record] = records("json", FULL)
    names = [field.name for field in fields(Prediction)]
    assert list(record) == ["schema", *names[:-1], "error", names[-1]] and names[-1] == "extra"
    assert record["schema"] == 1 and record["probabilities"] == {"neutral": 0.2, "anger": 0.7, "fear": 0.1}
    assert records("json", TEXT)[0]["file"] is None
    assert records("jsonl", FULL, TEXT) == records("json", FULL, TEXT)
    [rounded] = records("json", replace(FULL, intervals={"arousal": (0.812345, 1.0)}))
    assert rounded["intervals"] == {"arousal": [0.8123, 1.0]}


def test_the_published_schema_describes_the_records():
    path = resources.files("emofuse.timeline") / "prediction.schema.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    assert schema["properties"]["schema"]["const"] == SCHEMA_VERSION
    assert schema["$id"].endswith(f":{SCHEMA_VERSION}")
    measured = replace(FULL, intervals={"arousal": (0.8, 1.0)}, uncertain=True, speaker="A", channel=1, note="unsure")
    all_records = records("json", FULL, TEXT, measured, empty=[SILENT], failures=[("broken.wav", "it is empty.")])
    for record in all_records:
        assert list(record) == list(schema["properties"]) == schema["required"]
    validator = pytest.importorskip("jsonschema").Draft202012Validator
    validator.check_schema(schema)
    assert all(validator(schema).is_valid(record) for record in all_records)
    assert not validator(schema).is_valid(all_records[0] | {"arousal": "high"})


def test_json_has_no_nan():
    [record] = records("json", replace(FULL, arousal=float("nan")))
    assert record["arousal"] is None


def test_csv_is_flat_and_its_columns_keep_their_order():
    content = write("csv", FULL)
    names = next(csv.reader(io.StringIO(content)))
    assert names[:6] == ["file", "start", "end", "text", "text_source", "language"]
    assert names[-5:] == ["channel", "language_probability", "text_confidence", "note", "error"]
    [row] = csv.DictReader(io.StringIO(content))
    assert row["text"] == FULL.text and float(row["p_anger"]) == 0.7 and row["valence"] == "0.1"
    assert (row["language_probability"], row["text_confidence"]) == ("0.98", "0.75")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_rows_with_and_without_intervals(form):
    measured = replace(FULL, intervals={"arousal": (0.8, 1.0), "valence": (0.0, 0.2), "dominance": (0.4, 0.6)})
    first, second = records(form, replace(FULL, arousal=None), measured)
    assert not first["arousal_low"] and not first["arousal"]
    assert (float(second["arousal_low"]), float(second["dominance_high"])) == (0.8, 0.6)


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "parquet"])
def test_every_input_is_in_the_output(form):
    spoken, silent, failed = records(form, FULL, empty=[SILENT], failures=[("broken.wav", "it is empty.")])
    assert spoken.keys() == silent.keys() == failed.keys()
    assert (spoken["emotion"], spoken["error"] or None) == ("anger", None)
    assert (silent["file"], silent["start"] or None) == ("silent.wav", None)
    assert silent["note"] == SILENT.notes[0].message
    assert (failed["file"], failed["error"], failed["note"] or None) == ("broken.wav", "it is empty.", None)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_further_columns_of_the_input_are_carried_through(form):
    stream = io.BytesIO() if form == "parquet" else io.StringIO()
    with open_writer(stream, form, labels=LABELS, extra=["take", "note"]) as writer:
        writer.write(FULL, extra={"take": "3", "note": "whispers"})
        writer.write_failure("broken.wav", "it is empty.", extra={"take": "4"})
    stream.seek(0)
    table = pd.read_parquet(stream) if form == "parquet" else pd.read_csv(stream, dtype=str)
    assert list(table)[-3:] == ["error", "take", "extra_note"]
    assert table["take"].tolist() == ["3", "4"] and table["extra_note"][0] == "whispers"


def test_json_keeps_further_columns_apart():
    stream = io.StringIO()
    open_writer(stream, "jsonl", labels=LABELS).write(FULL, extra={"take": "3"})
    assert json.loads(stream.getvalue())["extra"] == {"take": "3"}


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "parquet"])
def test_an_empty_result_is_valid(form):
    assert records(form) == []
    assert write(form, failures=[("caf\udce9.wav", "missing")])  # a name that is not UTF-8


@pytest.mark.parametrize("form", [form for form in RECORD_FORMS if form != "parquet"])
def test_each_record_is_written_at_once(form):
    stream = io.StringIO()
    writer = open_writer(stream, form, labels=LABELS)
    writer.write(FULL)
    first = stream.getvalue()
    assert "one.wav" in first
    with pytest.raises(KeyboardInterrupt), writer:
        writer.write(replace(FULL, file="two.wav"))
        assert "two.wav" in stream.getvalue()[len(first) :]
        raise KeyboardInterrupt
    closed = stream.getvalue()
    writer.close()
    assert stream.getvalue() == closed
    if form == "json":
        assert [record["file"] for record in json.loads(closed)] == ["calls/one.wav", "two.wav"]


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_bytes_are_utf_8_whatever_the_terminal(form):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    with open_writer(terminal, form, labels=LABELS) as writer:
        writer.write(replace(FULL, text="Zażółć"))
    assert "Zażółć" in terminal.buffer.getvalue().decode("utf-8")


@pytest.mark.parametrize(("mark", "separator"), [(".", ","), (",", ";")])
def test_csv_for_excel_follows_the_region(mark, separator, monkeypatch, tmp_path):
    monkeypatch.setattr(locale, "localeconv", lambda: {"decimal_point": mark})
    content = write("csv", replace(FULL, text="=1+1"), excel=True)
    assert content.startswith(f"\ufefffile{separator}start")
    (tmp_path / "a.csv").write_text(content, encoding="utf-8")
    row = {name: cells[0] for name, cells in read_csv(tmp_path / "a.csv").by_name().items()}
    assert (row["text"], row["arousal"], row["file"]) == ("'=1+1", f"0{mark}9", FULL.file)


def test_a_form_or_option_that_does_not_exist_is_refused():
    with pytest.raises(EmofuseError, match="jsonl"):
        open_writer(io.StringIO(), "xml", labels=LABELS)
    with pytest.raises(EmofuseError, match="Excel"):
        open_writer(io.StringIO(), "json", labels=LABELS, excel=True)


def test_a_full_disk_is_reported():
    class FullDisk(io.StringIO):
        def write(self, _):
            raise OSError(28, "No space left on device")

    with pytest.raises(EmofuseError, match="No space left"):
        open_writer(FullDisk(), "csv", labels=LABELS)


def test_table_marks_uncertain_and_adapted_predictions():
    shown = write("table", replace(FULL, uncertain=True, adapted=True))
    assert "anger? 0.70" in shown and "adapted" in shown
    assert "anger 0.70" in write("table", replace(FULL, uncertain=False))


def test_table():
    shown = write("table", FULL, replace(FULL, start=3.0, end=4.0))
    assert shown.count("one.wav") == 1 and "3.0-4.0" in shown and "[bold]" in shown
    assert "anger 0.70 ████" in shown and "0.90 0.10 0.50" in shown and "\x1b" not in shown
    assert "\x1b" in write("table", FULL, colour=True)


def test_table_has_a_row_for_silence_and_none_for_failures():
    shown = write("table", FULL, empty=[SILENT], failures=[("broken.wav", "it is empty.")])
    assert "silent.wav" in shown and "broken" not in shown and shown.count("transcript") == 1


def test_table_of_several_speakers_or_channels_has_another_column():
    shown = write("table", FULL, replace(FULL, speaker="Ana"), replace(FULL, channel=2))
    assert shown.count("transcript") == 2 and shown.count("speaker") == 1
    assert "Ana" in shown and "channel 2" in shown


@pytest.mark.parametrize("width", [80, 100, 120, 250])
def test_table_fits_the_terminal_and_long_times_fit_their_column(width):
    late = replace(FULL, start=35990.25, end=35998.75, text="a word " * 40, uncertain=True, speaker="SPEAKER_01")
    shown = write("table", late, width=width)
    lines = shown.splitlines()
    assert max(map(len, lines)) <= width
    assert "35990.2-" in shown and "35998.8" in shown
    assert lines[0].index("emotion") == lines[2].index("anger? 0.70")


def test_table_marks_words_that_were_not_used():
    assert "ja [de: not used]" in write("table", replace(FULL, used="audio", language="de", text="ja"))
    noted = replace(FULL, used="audio", text="ja", note="unsure")
    assert "ja [unsure]" in write("table", noted)


def test_table_of_dimensions_only_and_of_text_only():
    shown = write("table", replace(TEXT, probabilities={}, emotion=None, confidence=None, text=None))
    assert "time" not in shown and "-" in shown
