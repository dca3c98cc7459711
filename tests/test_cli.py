"""The command line, in this process (`run`) or in its own (`subprocess`)."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import typer

from emofuse import __version__, cli

pytestmark = pytest.mark.usefixtures("all_is_speech")


@pytest.fixture
def run(command_line):
    return command_line


@pytest.fixture
def predict(run, bundle_folder):
    return lambda *arguments: run("predict", "--model", bundle_folder, "--no-asr", *arguments)


def test_version_and_help(run):
    assert run("--version").out == f"emofuse {__version__}\n"
    assert "predict" in run("--help").out and run("predict", "--help").code == 0


def names_of_commands(group=None, names=()):
    """Names of all commands and groups, such as ("corpus", "split")."""
    group = group or typer.main.get_command(cli.app)
    for name, command in group.commands.items():
        yield (*names, name)
        if hasattr(command, "commands"):
            yield from names_of_commands(command, (*names, name))


@pytest.mark.parametrize("names", [(), *names_of_commands()], ids=" ".join)
def test_short_help_is_the_same_as_help(run, names):
    short, long = run(*names, "-h"), run(*names, "--help")
    assert short.code == 0 and short.out == long.out and short.out.startswith("Usage: ")


def test_table_names_file_and_emotion(predict, clip):
    done = predict(clip)
    assert done.code == 0 and "clip.wav" in done.out and "audio" in done.out and done.err == ""


def test_json(predict, clip):
    [found] = json.loads(predict(clip, "--format", "json").out)
    assert found["file"] == str(clip) and found["used"] == "audio" and set(found["probabilities"]) >= {"anger"}


def test_text_alone_and_beside_a_clip(predict, clip):
    [alone] = json.loads(predict("--text", "what a day", "--format", "json").out)
    [both] = json.loads(predict(clip, "--text", "what a day", "--format", "json").out)
    assert alone["used"] == "text" and alone["file"] is None and both["used"] == "audio+text"


def test_transcripts(predict, clip, tmp_path):
    (tmp_path / "t.csv").write_text("file,text,start,end,group\nclip.wav,what a day,0,0.5,a\nclip.wav,,0.5,1,b\n")
    done = predict(clip, "--transcripts", tmp_path / "t.csv", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [(row["start"], row["end"], row["used"]) for row in rows] == [
        ("0.0", "0.5", "audio+text"),
        ("0.5", "1.0", "audio"),
    ]
    assert [row["group"] for row in rows] == ["a", "b"]


def test_unmatched_transcripts(predict, clip, tmp_path):
    (tmp_path / "t.csv").write_text("file,text\nother.wav,what a day\n")
    done = predict(clip, "--transcripts", tmp_path / "t.csv")
    assert done.code == 1 and "clip.wav" in done.err and done.out == ""


def make_bad(kind, folder):
    path = folder / f"{kind}.wav"
    noise = np.random.default_rng(0).normal(0, 0.1, 16000)
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("I am no recording.")
    elif kind == "short":
        soundfile.write(path, noise[:160], 16000)
    elif kind == "no_samples":
        soundfile.write(path, noise[:0], 16000)
    elif kind == "silent":
        soundfile.write(path, 0 * noise, 16000)
    elif kind == "nan":
        soundfile.write(path, noise + np.nan, 16000, subtype="FLOAT")
    return path


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "text", "short", "no_samples", "silent", "nan"])
def test_bad_recording_among_good_ones(predict, clip, tmp_path, kind):
    bad = make_bad(kind, tmp_path)
    done = predict(clip, bad, clip, "--format", "json")
    assert done.code == 1 and bad.name in done.err and "Traceback" not in done.err
    rows = json.loads(done.out)
    if kind == "folder":  # it holds no recording
        rows = [*rows[:1], rows[-1]]
        assert rows[0]["emotion"] and rows[-1]["emotion"]
        return
    assert [row["file"] for row in rows] == [str(clip), str(bad), str(clip)]
    assert bad.name in rows[1]["error"] and rows[1]["emotion"] is None and not rows[0]["error"]
    alone = predict(bad, "--output", tmp_path / "out.json", "--format", "json")
    [row] = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert alone.code == 2 and bad.name in row["error"]


@pytest.mark.parametrize("arguments", [[], ["--text", " "], ["a.wav", "b.wav", "--text", "x"]])
def test_arguments_that_make_no_sense(predict, arguments):
    done = predict(*arguments)
    assert done.code == 1 and done.err.startswith("emofuse: ")


def test_unknown_format(predict, clip):
    done = predict(clip, "--format", "xml")
    assert done.code == 1 and "xml" in done.err and "textgrid" in done.err


@pytest.mark.parametrize("damage", ["hash", "newer", "absent"])
def test_bad_bundle(run, bundle_folder, clip, tmp_path, damage):
    copy = shutil.copytree(bundle_folder, tmp_path / "copy")
    facts = json.loads((copy / "bundle.json").read_text())
    changed = {"hash": {"model_sha256": "0" * 64}, "newer": {"format_version": 99}, "absent": {}}[damage]
    (copy / "bundle.json").write_text(json.dumps({**facts, **changed}))
    if damage == "absent":
        (copy / "bundle.json").unlink()
    done = run("predict", clip, "--model", copy)
    message = {"hash": "wrong hash", "newer": "newer", "absent": "bundle"}[damage]
    assert done.code == 1 and message in done.err and done.out == ""


def test_output_file(predict, clip, tmp_path):
    done = predict(clip, "--format", "csv", "--output", tmp_path / "new" / "out.csv")
    assert done.code == 0 and done.out == "" and (tmp_path / "new" / "out.csv").read_text().startswith("file,start,end")


@pytest.mark.skipif(os.name != "posix", reason="needs a device that is always full")
def test_output_that_cannot_be_written(predict, clip, tmp_path, monkeypatch):
    """A file where a folder should be stands for a read-only folder, which a superuser could write to."""
    (tmp_path / "file").touch()
    done = predict(clip, "--output", tmp_path / "file" / "out.csv")
    assert done.code == 1 and "cannot be written" in done.err


def test_page_and_picture(predict, clip, tmp_path):
    done = predict(clip, "--report", tmp_path / "r.html", "--plot", tmp_path / "p.svg")
    assert done.code == 0 and "clip.wav" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<svg" in (tmp_path / "p.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.wav", "b.wav", "--report", "r.html"], "one recording"),
        (["--text", "hi", "--plot", "p.png"], "one recording"),
        (["-", "--report", "r.html"], "as a file"),
        (["a.wav", "--report", "r.pdf"], "r.pdf"),
        (["a.wav", "--plot", "p.doc"], "p.doc"),
        (["a.html", "--report", "a.html"], "one of the inputs"),
    ],
)
def test_a_page_or_picture_that_cannot_be_made_is_refused_before_the_work(predict, arguments, message):
    done = predict(*arguments)
    assert done.code == 1 and message in done.err and "Traceback" not in done.err


def test_several_segments_are_summed_up(predict, tmp_path):
    samples = np.zeros(5 * 16000)
    for second in range(5):
        samples[second * 16000 : second * 16000 + 11200] = np.random.default_rng(second).normal(0, 0.1, 11200)
    soundfile.write(tmp_path / "long.wav", samples, 16000)
    done = predict(tmp_path / "long.wav")
    assert done.code == 0 and "5 segments" in done.out
    assert "5 segments" not in predict(tmp_path / "long.wav", "--format", "csv").out


@pytest.fixture
def explain(run, bundle_folder):
    return lambda *arguments: run("explain", "--model", bundle_folder, "--no-asr", *arguments)


def test_explain(explain, clip, tmp_path):
    done = explain(clip, "--text", "what a day", "--picture", tmp_path / "new" / "p.png")
    assert done.code == 0 and done.err == "" and "clip.wav 0.0-1.0 s" in done.out and "what" in done.out
    assert (tmp_path / "new" / "p.png").read_bytes().startswith(b"\x89PNG")


def test_explain_as_json_to_a_file(explain, tmp_path):
    done = explain("--text", "what a day", "--target", "anger", "--format", "json", "--output", tmp_path / "e.json")
    assert done.code == 0 and done.out == ""
    [found] = json.loads((tmp_path / "e.json").read_text())
    assert found["target"] == "anger" and [word["word"] for word in found["words"]] == ["what", "a", "day"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "othing to predict from"),
        (["--text", "x", "--target", "joy"], "--target joy"),
        (["--text", "x", "--segment", 2], "--segment 2"),
        (["--text", "x", "--picture", "p.doc"], "p.doc"),
        (["absent.wav"], "absent.wav"),
    ],
)
def test_what_cannot_be_explained(explain, arguments, message):
    done = explain(*arguments)
    assert done.code == 1 and message in done.err and done.out == "" and "Traceback" not in done.err


def test_missing_matplotlib_is_told_before_the_work(explain, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = explain("absent.wav", "--picture", "p.png")
    assert done.code == 1 and "pip install matplotlib" in done.err


def test_missing_training_libraries(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "emofuse.training.run", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "emofuse.training.export", raising=False)
    done = run("export", tmp_path, tmp_path / "out")
    assert done.code == 1 and "emofuse[train]" in done.err and "torch" in done.err


def test_training_commands_pass_on_what_they_are_given(run, tmp_path, monkeypatch):
    from emofuse import config

    calls = []
    fake = SimpleNamespace(
        train=lambda recipe, out, data, fresh: calls.append((recipe, out, data, fresh)) or out,
        evaluate=lambda folder: {"dev": {"uar": 0.5}},
    )
    monkeypatch.setitem(sys.modules, "emofuse.training.run", fake)
    monkeypatch.setattr("emofuse.training.run", fake, raising=False)
    monkeypatch.setattr(config, "load_recipe", lambda path, overrides: (path.name, overrides))
    (tmp_path / "metrics.json").write_text('{"test": {"uar": 0.25}, "notes": ["a note"]}')
    trained = run("train", "r.toml", "--set", "a=1", "--set", "b=2", "--out", tmp_path)
    assert trained.out == f"test.uar  0.250\n{tmp_path}\n"
    run("train", "r.toml", "--out", tmp_path, "--fresh")
    assert calls == [(("r.toml", ["a=1", "b=2"]), tmp_path, None, False), (("r.toml", None), tmp_path, None, True)]
    assert run("evaluate", tmp_path).out == "dev.uar  0.500\n"


def test_bad_recipe(run, tmp_path):
    (tmp_path / "r.toml").write_text("nonsense = 1")
    done = run("train", tmp_path / "r.toml")
    assert done.code == 1 and "nonsense" in done.err


def test_in_its_own_process(bundle_folder, clip, tmp_path):
    command = [
        sys.executable,
        "-m",
        "emofuse",
        "predict",
        clip,
        tmp_path / "no.wav",
        "--model",
        bundle_folder,
        "--no-asr",
    ]
    (tmp_path / "whole.csv").write_text(f"file,text,start,end\n{clip},,0,1\nno.wav,hi,,\n")
    done = subprocess.run(
        [*command, "--segments", tmp_path / "whole.csv", "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and json.loads(done.stdout)[0]["used"] == "audio"
    assert "no.wav" in done.stderr and "Traceback" not in done.stderr
