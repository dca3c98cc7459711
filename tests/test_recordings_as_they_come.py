"""Recordings and texts as people have them, through the command line, by the model in the package."""

import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import emofuse

EXAMPLES = Path(emofuse.__file__).parents[2] / "examples"
RATE = 16000


def clip(name):
    samples, rate = soundfile.read(EXAMPLES / f"{name}.flac")
    assert rate == RATE
    return samples


@pytest.fixture
def predict(command_line):
    """Rows of `emofuse predict --no-asr ARGUMENTS` as CSV."""

    def rows(*arguments, code=0):
        done = command_line("predict", "--no-asr", "--format", "csv", *arguments)
        assert done.code == code and "Traceback" not in done.err
        return list(csv.DictReader(io.StringIO(done.out)))

    return rows


def test_four_emotions_in_a_row_have_four_answers(predict, tmp_path):
    names = ("neutral", "angry", "sad", "happy")
    soundfile.write(tmp_path / "change.wav", np.concatenate([clip(name) for name in names]), RATE)
    found = predict(tmp_path / "change.wav")
    assert [row["emotion"] for row in found] == ["neutral", "anger", "sadness", "happiness"]


def test_a_call_with_a_person_in_each_channel(predict, tmp_path):
    channels = np.zeros((16 * RATE, 2))
    for channel, name, second in ((0, "neutral", 0), (1, "angry", 4), (0, "neutral", 8), (1, "angry", 12)):
        samples = clip(name)[: 4 * RATE]
        channels[second * RATE : second * RATE + len(samples), channel] += samples
    soundfile.write(tmp_path / "call.wav", channels, RATE)
    found = predict(tmp_path / "call.wav")
    assert [(row["channel"], row["emotion"]) for row in found] == [("1", "neutral"), ("2", "anger")] * 2
    assert {row["channel"] for row in predict(tmp_path / "call.wav", "--channels", "2")} == {"2"}
    assert {row["channel"] for row in predict(tmp_path / "call.wav", "--channels", "mix")} == {""}


def test_two_people_in_one_channel(predict):
    assert {row["speaker"] for row in predict(EXAMPLES / "conversation.flac")} == {"speaker 1", "speaker 2"}


def test_silence_around_a_clip_changes_no_answer(predict, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("angry", "sad", "happy"):
        samples = clip(name)
        noise = rng.normal(0, 0.01 * np.abs(samples).max(), (2, round(2.5 * RATE)))
        soundfile.write(tmp_path / f"{name}.wav", np.concatenate([noise[0], samples, noise[1]]), RATE)
        [plain], [padded] = predict(EXAMPLES / f"{name}.flac"), predict(tmp_path / f"{name}.wav")
        assert padded["emotion"] == plain["emotion"]
        assert float(padded["start"]) == pytest.approx(float(plain["start"]) + 2.5, abs=0.1)


def test_a_folder_and_a_pipe(predict, tmp_path, monkeypatch):
    (tmp_path / "calls" / ".hidden").mkdir(parents=True)
    for name in ("calls/b.wav", "calls/a.wav", "calls/.c.wav", "calls/.hidden/d.wav"):
        soundfile.write(tmp_path / name, clip("angry"), RATE)
    (tmp_path / "calls" / "notes.txt").write_text("no recording")
    assert [Path(row["file"]).name for row in predict(tmp_path / "calls")] == ["a.wav", "b.wav"]
    content = io.TextIOWrapper(io.BytesIO((tmp_path / "calls" / "a.wav").read_bytes()))
    monkeypatch.setattr(sys, "stdin", content)
    [row] = predict("-")
    assert (row["file"], row["emotion"]) == ("-", "anger")


def test_the_end_of_a_long_text_counts(predict):
    calm = "The meeting takes place on Tuesday in room four and the report covers the second quarter. " * 16
    furious = calm + "I am so furious, I hate you all, this makes me so angry! " * 8
    [*_, last] = predict("--text", furious)
    assert len(predict("--text", furious)) > 1 and predict("--text", calm)[-1]["emotion"] == "neutral"
    assert last["emotion"] != "neutral" and float(last["valence"]) < 0.3


@pytest.mark.parametrize("text", ["a" * 5000, "ꙮꙮꙮ ꙮꙮ", "😭😭😭"])
def test_a_text_that_cannot_be_read_is_uncertain(predict, text):
    found = predict("--text", text)
    assert all(row["uncertain"] == "True" for row in found)
    assert all(row["note"] for row in found) or text == "😭😭😭"


def test_emoji_say_different_things(predict):
    [sad], [angry] = predict("--text", "😭😭😭"), predict("--text", "😡😡😡")
    assert sad["p_sadness"] > angry["p_sadness"] and sad["emotion"] != "neutral"


def test_failures_are_in_the_result(command_line, tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(48000), RATE)
    done = command_line("predict", "--no-asr", "--format", "json", tmp_path / "silent.wav")
    [record] = json.loads(done.out)
    assert done.code == 2 and "silence" in record["error"] and record["emotion"] is None
    soundfile.write(tmp_path / "noise.wav", np.random.default_rng(0).normal(0, 0.01, 48000), RATE)
    done = command_line("predict", "--no-asr", "--format", "json", tmp_path / "noise.wav")
    [record] = json.loads(done.out)
    assert done.code == 0 and "no speech" in record["note"] and record["error"] is None
