"""`emofuse predict` on many recordings: output folder, resuming, exit codes, interrupts."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import emofuse as package
from made_up.predictor import FakePredictor

FAKE = """
import sys, emofuse, emofuse.cli
from made_up.predictor import FakePredictor
emofuse.load = lambda *arguments, **options: FakePredictor()
sys.argv[0] = "emofuse"
emofuse.cli.main()
"""


@pytest.fixture
def predict(command_line, monkeypatch, tmp_path):
    """`emofuse predict` with a predictor that is made up, in `tmp_path`."""
    predictors = []

    def load(*arguments, **options):
        predictors.append(FakePredictor(threads=options["threads"] or 1))
        return predictors[-1]

    monkeypatch.setattr(package, "load", load)
    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path.parent / "cache"))
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        done = command_line("predict", *arguments)
        done.calls = predictors.pop().calls if predictors else []
        return done

    return call


def put(**contents):
    """Write files a.wav, b.wav, ... into the folder `in`."""
    Path("in").mkdir(exist_ok=True)
    for name, content in contents.items():
        Path("in", f"{name}.wav").write_bytes(content)


@pytest.mark.parametrize(
    ("contents", "code"),
    [([b"a", b"b"], 0), ([b"a", b"silent"], 0), ([b"a", b"bad"], 1), ([b"damaged"], 1), ([b"bad", b"crash"], 2)],
)
@pytest.mark.parametrize("where", [["--format", "jsonl"], ["--output", "out.jsonl"], ["--out", "out"]])
def test_exit_codes(predict, contents, code, where):
    put(**{f"f{number}": content for number, content in enumerate(contents)})
    done = predict("in", *where)
    assert done.code == code and "Traceback" not in done.err
    assert done.err.count("\n") == sum(content in (b"bad", b"crash", b"damaged") for content in contents)


def test_two_hundred_files_of_which_twenty_are_broken(predict):
    put(**{f"f{number:03}": b"bad" if number % 10 == 3 else b"ab" for number in range(200)})
    done = predict("in", "--out", "out", "--jobs", "8")
    assert done.code == 1 and done.err.count("not audio") == 20
    assert len(list(Path("out").glob("f*.csv"))) == 180
    assert len(Path("out/summary.csv").read_text().splitlines()) == 201
    assert len(Path("out/segments.csv").read_text().splitlines()) == 1 + 2 * 180 + 20


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "parquet", "table"])
def test_the_output_is_valid_when_all_fail(predict, form):
    put(a=b"bad", b=b"crash")
    done = predict("in", "--output", f"out.{form}" if form != "table" else "out", "--format", form)
    assert done.code == 2
    if form == "json":
        assert [bool(record["error"]) for record in json.loads(Path("out.json").read_text())] == [True, True]
    if form == "parquet":
        assert len(pytest.importorskip("pandas").read_parquet("out.parquet")) == 2


def test_a_folder_of_results_is_no_input_of_the_next_run(predict):
    put(a=b"ab", b=b"c")
    assert predict("in", "--out", "in").calls == ["a.wav", "b.wav"]
    done = predict("in", "--out", "in", "--resume")
    assert done.calls == [] and "2 of 2 recordings are finished" in done.err
    files = sorted(path for path in Path("in").iterdir() if not path.name.startswith("."))
    assert len(files) == 7
    assert predict(*files, "--out", "in", "--resume").calls == []
    assert predict("in/*", "--out", "in", "--resume").calls == []
    assert predict("in", "--out", "in/results").code == 0
    assert predict("in/*.wav", "in/results", "--out", "in/results", "--resume").calls == []


def test_a_folder_with_results_is_refused_and_the_message_says_what_to_do(predict):
    put(a=b"ab")
    assert predict("in", "--out", "out").code == 0
    before = Path("out/summary.csv").stat().st_mtime_ns
    done = predict("in", "--out", "out")
    assert done.code == 1 and "--resume" in done.err and done.calls == []
    assert Path("out/summary.csv").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "options",
    [
        ["--out", "out", "--output", "out.csv"],
        ["--out", "out", "--format", "table"],
        ["--out", "out", "--format", "json", "--excel"],
        ["--resume"],
        ["--resume", "--output", "a.rttm"],
        ["--ray", "local", "--jobs", "2"],
        ["--out", "in/a.wav"],
        ["--out", "out", "--channels", "both"],
        ["--out", "out", "--language", "klingon"],
    ],
)
def test_options_that_do_not_go_together(predict, options):
    put(a=b"ab")
    done = predict("in", *options)
    assert done.code == 1 and done.calls == [] and done.err.startswith("emofuse: ") and "Traceback" not in done.err
    assert list(Path().iterdir()) == [Path("in")]


@pytest.mark.parametrize("table", ["list.csv", "list.txt"])
def test_a_list_of_inputs_is_never_replaced(predict, table):
    put(a=b"ab")
    Path(table).write_text("in/a.wav\n" if table == "list.txt" else "file\nin/a.wav\n")
    done = predict(f"@{table}" if table == "list.txt" else table, "--output", table)
    assert done.code == 1 and "one of the inputs" in done.err and "a.wav" in Path(table).read_text()


@pytest.mark.parametrize("where", ["out.csv", "out.jsonl", "out.json", "out"])
def test_after_ctrl_c_a_run_is_resumed(predict, where):
    option = "--out" if where == "out" else "--output"
    put(a=b"ab", b=b"bad", c=b"silent", d=b"stop", e=b"c")
    done = predict("in", option, where)
    assert done.code == 130 and "3 of 5 recordings" in done.err and "--resume" in done.err
    table = Path("out/segments.csv" if where == "out" else where)
    assert "a.wav" in table.read_text() and "e.wav" not in table.read_text()
    if where == "out.json":
        assert len(json.loads(table.read_text())) == 4
    put(d=b"xyz")
    done = predict("in", option, where)
    assert done.code == 1 and "--resume" in done.err and done.calls == []
    done = predict("in", option, where, "--resume")
    assert done.code == 1 and done.calls == ["b.wav", "d.wav", "e.wav"] and "2 of 5 recordings are finished" in done.err
    whole = table.read_bytes()
    assert predict("in", option, f"un{where}").code == 1
    assert whole == Path("un" + str(table)).read_bytes()
    assert where == "out" or sorted(path.name for path in Path().iterdir()) == ["in", where, f"un{where}"]


def test_ctrl_c_without_a_place_to_resume_from(predict):
    put(a=b"ab", b=b"stop")
    done = predict("in", "--format", "json")
    assert done.code == 130 and len(json.loads(done.out)) == 2 and "--resume" not in done.err


def test_what_has_changed_is_said(predict):
    put(a=b"ab", b=b"c")
    predict("in", "--out", "out")
    put(b=b"d")
    done = predict("in", "--out", "out", "--resume")
    assert done.calls == ["b.wav"] and "1 are predicted again, because their audio has changed" in done.err
    done = predict("in", "--out", "out", "--resume", "--max-seconds", "5")
    assert done.calls == ["a.wav", "b.wav"] and "2 are predicted again, because the options" in done.err


def test_a_file_that_vanishes_between_listing_and_reading(predict, monkeypatch):
    put(a=b"ab", b=b"c")
    stream = FakePredictor.stream

    def removing(self, audio, text=None, **options):
        Path("in/b.wav").unlink(missing_ok=True)
        return stream(self, audio, text, **options)

    monkeypatch.setattr(FakePredictor, "stream", removing)
    done = predict("in", "--out", "out")
    assert done.code == 1 and done.err.count("\n") == 1 and "b.wav" in done.err


def test_further_columns_of_a_table_come_out_again(predict):
    put(a=b"ab", b=b"bad")
    Path("list.csv").write_text("file,group,emotion\nin/a.wav,x,joy\nin/b.wav,y,fear\n")
    done = predict("list.csv", "--format", "csv")
    rows = [line.rsplit(",", 2)[1:] for line in done.out.splitlines()]
    assert rows == [["group", "extra_emotion"], ["x", "joy"], ["x", "joy"], ["y", "fear"]]
    assert json.loads(predict("list.csv", "--format", "json").out)[0]["extra"] == {"group": "x", "emotion": "joy"}


@pytest.mark.parametrize("where", ["out.csv", "out"])
def test_killed_and_resumed_is_the_same_as_unbroken(tmp_path, where):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, content in {"a": b"ab", "b": b"bad", "c": b"kill", "d": b"silent"}.items():
        (folder / f"{name}.wav").write_bytes(content)
    tests = Path(__file__).parent
    path = os.pathsep.join([str(tests), str(Path(package.__file__).parents[1])])
    environment = os.environ | {"EMOFUSE_CACHE": str(tmp_path / "cache"), "PYTHONPATH": path}
    option = "--out" if where == "out" else "--output"

    def run(*arguments):
        command = [sys.executable, "-c", FAKE, "predict", "in", "--jobs", "1", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False).returncode

    assert run(option, where) == -signal.SIGKILL
    (folder / "c.wav").write_bytes(b"xyz")
    assert run(option, where, "--resume") == 1 and run(option, f"un{where}") == 1
    for name in ("segments.csv", "summary.csv") if where == "out" else ("",):
        assert (tmp_path / where / name).read_bytes() == (tmp_path / f"un{where}" / name).read_bytes()


@pytest.mark.slow
def test_input_that_ends_in_the_middle_of_a_sample(tmp_path):
    examples = Path(package.__file__).parents[2] / "examples"
    import soundfile

    samples, rate = soundfile.read(examples / "angry.flac")
    soundfile.write(tmp_path / "a.wav", samples, rate)
    cut = (tmp_path / "a.wav").read_bytes()[:-10001]
    command = [sys.executable, "-m", "emofuse", "predict", "--no-asr", "-", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, input=cut, capture_output=True, check=False)
    assert done.returncode == 0 and b"Traceback" not in done.stderr
    assert (tmp_path / "out" / "standard-input.csv").read_text().count("\n") > 1
    shutil.rmtree(tmp_path / "out")
