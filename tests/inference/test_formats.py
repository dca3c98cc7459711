import csv
import io
import json
from dataclasses import replace

from emofuse.inference.formats import render_metrics, render_predictions
from emofuse.timeline.prediction import Prediction

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
)
TEXT = replace(FULL, file=None, start=None, end=None, used="text")


def test_json_has_all_fields():
    [found] = json.loads(render_predictions([FULL], "json"))
    assert found["probabilities"] == {"neutral": 0.2, "anger": 0.7, "fear": 0.1}
    assert list(found) == list(Prediction.__dataclass_fields__)
    assert json.loads(render_predictions([TEXT], "json"))[0]["file"] is None


def test_csv_is_flat():
    [row] = csv.DictReader(io.StringIO(render_predictions([FULL], "csv")))
    assert row["text"] == FULL.text and float(row["p_anger"]) == 0.7 and row["valence"] == "0.1"
    assert "probabilities" not in row


def test_csv_of_rows_with_and_without_intervals():
    measured = replace(FULL, intervals={"arousal": (0.8, 1.0), "valence": (0.0, 0.2), "dominance": (0.4, 0.6)})
    first, second = csv.DictReader(io.StringIO(render_predictions([FULL, measured], "csv")))
    assert (first["arousal_low"], second["arousal_low"], second["dominance_high"]) == ("", "0.8", "0.6")
    assert "intervals" not in first
    [told] = json.loads(render_predictions([replace(measured, intervals={"arousal": (0.812345, 1.0)})], "json"))
    assert told["intervals"] == {"arousal": [0.8123, 1.0]}


def test_table_marks_uncertain_and_adapted_answers():
    told = render_predictions([replace(FULL, uncertain=True, adapted=True)], "table")
    assert "anger? 0.70" in told and "adapted" in told
    assert "anger 0.70" in render_predictions([replace(FULL, uncertain=False)], "table")


def test_csv_of_a_model_without_dimensions_leaves_them_empty():
    [row] = csv.DictReader(io.StringIO(render_predictions([replace(FULL, arousal=None)], "csv")))
    assert row["arousal"] == ""


def test_table():
    shown = render_predictions([FULL, replace(FULL, start=3.0, end=4.0), TEXT], "table")
    assert shown.count("one.wav") == 1 and "3.0-4.0" in shown and "[bold]" in shown
    assert "anger 0.70 ████" in shown and "0.90 0.10 0.50" in shown and "\x1b" not in shown


def test_table_marks_words_that_were_not_used():
    shown = render_predictions([replace(FULL, used="audio", language="de", text="ja")], "table")
    assert "ja [de: not used]" in shown


def test_table_of_dimensions_only_and_of_text_only():
    shown = render_predictions([replace(TEXT, probabilities={}, emotion=None, confidence=None, text=None)], "table")
    assert "time" not in shown and "-" in shown


def test_metrics_table():
    assert render_metrics({"dev": {"uar": 0.5, "n": 3}}) == "dev.uar  0.500\ndev.n    3\n"
    assert render_metrics({}) == ""
