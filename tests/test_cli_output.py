"""Where the output of `emofuse predict` goes, in which format and encoding, and which outputs are refused."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import emofuse

EXAMPLES = Path(emofuse.__file__).parents[2] / "examples"
TEXT = ["--text", "Nie wierzę, that is great!"]


def predict(*arguments, **options):
    command = [sys.executable, "-m", "emofuse", "predict", "--no-asr", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, **options)


@pytest.fixture
def clip(tmp_path):
    return Path(shutil.copy(EXAMPLES / "angry.flac", tmp_path / "a.flac"))


@pytest.mark.parametrize("option", ["--output", "--adapt"])
def test_an_input_is_never_replaced(clip, option):
    before = clip.read_bytes()
    done = predict(clip, "--output", clip, *([] if option == "--output" else ["--adapt", clip]))
    assert done.returncode == 1 and b"a.flac is one of the inputs" in done.stderr
    assert clip.read_bytes() == before


def test_a_table_of_transcripts_is_never_replaced(clip, tmp_path):
    (tmp_path / "t.csv").write_text("file,text\na.flac,Hello\n")
    done = predict(clip, "--transcripts", tmp_path / "t.csv", "--output", tmp_path / ".." / tmp_path.name / "t.csv")
    assert done.returncode == 1 and b"one of the inputs" in done.stderr
    assert (tmp_path / "t.csv").read_text() == "file,text\na.flac,Hello\n"


@pytest.mark.parametrize("where", ["a.flac/a.csv", "."])
def test_an_output_that_cannot_be_written_is_told_before_the_work(clip, tmp_path, where):
    done = predict(clip, "--output", tmp_path / where)
    assert done.returncode == 1 and b"cannot be written" in done.stderr and b"Traceback" not in done.stderr


def test_the_ending_chooses_the_format(tmp_path):
    assert predict(*TEXT, "--output", tmp_path / "a.json").returncode == 0
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))[0]["text"] == TEXT[1]
    assert predict(*TEXT, "--output", tmp_path / "a.CSV").returncode == 0
    assert (tmp_path / "a.CSV").read_text(encoding="utf-8").startswith("file,start,end")
    done = predict(*TEXT, "--output", tmp_path / "a.doc")
    assert done.returncode == 1 and b".doc" in done.stderr and b".TextGrid" in done.stderr
    done = predict(*TEXT, "--output", tmp_path / "b.csv", "--format", "json")
    assert done.returncode == 1 and b"--format" in done.stderr and not (tmp_path / "b.csv").exists()


def test_csv_and_json_are_utf_8_whatever_the_terminal():
    narrow = os.environ | {"PYTHONIOENCODING": "cp1252"}
    assert TEXT[1] in predict(*TEXT, "--format", "csv", env=narrow).stdout.decode("utf-8")
    assert json.loads(predict(*TEXT, "--format", "json", env=narrow).stdout.decode("utf-8"))[0]["text"] == TEXT[1]
    table = predict(*TEXT, env=narrow)
    assert table.returncode == 0 and "Nie wierz?" in table.stdout.decode("cp1252")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "emofuse", "predict", *TEXT, "--format", "csv"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1 and b"cannot be written" in done.stderr and b"Traceback" not in done.stderr


def test_a_name_of_any_bytes_and_a_damaged_file_do_not_end_a_batch(clip, tmp_path):
    strange = os.fsencode(tmp_path) + b"/caf\xe9.flac"
    shutil.copy(clip, strange)
    (tmp_path / "b.flac").write_bytes(clip.read_bytes()[:30000])
    (tmp_path / "c.flac").write_bytes(b"fLaC" + bytes(100))
    done = predict(clip, os.fsdecode(strange), tmp_path / "b.flac", tmp_path / "c.flac", "--format", "csv")
    rows = done.stdout.decode("utf-8").splitlines()[1:]
    assert done.returncode == 1
    assert [row.split(",")[0].rpartition("/")[2] for row in rows] == ["a.flac", "caf\\xe9.flac", "b.flac", "c.flac"]
    assert b"c.flac" in done.stderr and b"b.flac: it is truncated" in done.stderr
