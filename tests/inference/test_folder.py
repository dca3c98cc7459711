"""Results of a batch in a folder: names, resuming, and what may happen to the folder meanwhile."""

import csv
import os
from pathlib import Path

import pytest

from emofuse.errors import EmofuseError
from emofuse.inference import folder as module
from emofuse.inference.files import Finished, predict_recordings
from emofuse.inference.folder import FolderResults, result_names
from emofuse.inference.inputs import STANDARD_INPUT, Recording
from emofuse.inference.journal import Journal, fingerprints
from emofuse.timeline.prediction import Timeline
from emofuse.timeline.saving import FORMS
from made_up.predictor import LABELS, FakePredictor


class Batch:
    """Predicts the files of a folder into another one, again and again."""

    def __init__(self, tmp_path):
        self.inputs, self.out = tmp_path / "in", tmp_path / "out"
        self.inputs.mkdir()
        self.predictor, self.form, self.options, self.adapt = FakePredictor(), "csv", {}, "recording"
        self.excel = False
        self.repeated = {}

    def put(self, **contents):
        for name, content in contents.items():
            (self.inputs / f"{name}.wav").write_bytes(content)

    def run(self, *, resume=False, files=None, out=None):
        """Returns the base names of the files that were predicted."""
        recordings = files or list(map(Recording, sorted(self.inputs.iterdir())))

        def journal(path, has_result):
            known = fingerprints(self.predictor, recordings, adapt=self.adapt, options={**self.options, "f": self.form})
            return Journal(path, recordings, known, resume=resume, has_result=has_result)

        before = len(self.predictor.calls)
        out = out or self.out
        form = FORMS[self.form]
        with FolderResults(out, recordings, form, labels=LABELS, open_journal=journal, excel=self.excel) as results:
            self.repeated = dict(results.repeated)
            for event in predict_recordings(self.predictor, results.remaining, jobs=1, **self.options):
                if isinstance(event, Finished):
                    results.finish(event)
        return self.predictor.calls[before:]

    def tables(self, out=None):
        return [((out or self.out) / name).read_bytes() for name in ("segments.csv", "summary.csv")]


@pytest.fixture
def batch(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path / "cache"))
    return Batch(tmp_path)


def rows_of(path):
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def names(*paths, ending=".csv"):
    return result_names([Recording(path and Path(path)) for path in paths], ending)


def test_names_are_the_paths_below_the_common_folder():
    assert names("d/a/x.wav", "d/b/x.wav") == ["a/x.wav.csv", "b/x.wav.csv"]
    assert names("d/x.wav", "d/b/x.wav") == ["x.wav.csv", "b/x.wav.csv"]
    assert names("../x.wav", "x.wav")[0] == "x.wav.csv"
    assert names(None) == ["text.csv"] and names("-") == ["standard-input.csv"]
    assert names(os.fsdecode(b"caf\xe9.wav")) == [os.fsdecode(b"caf\xe9.wav.csv")]


def test_no_two_inputs_have_the_same_result():
    assert names("a.wav", "a.wav", "A.wav") == ["a.wav.csv", "a.wav.2.csv", "A.wav.3.csv"]
    assert names("segments", "summary") == ["segments.2.csv", "summary.2.csv"]
    assert names("finished", ending=".jsonl") == ["finished.2.jsonl"]
    assert names("x", "x.csv/a.wav") == ["x.2.csv", "x.csv/a.wav.csv"]  # x.csv is a folder there
    assert names("a", "a.2", "a") == ["a.csv", "a.2.csv", "a.3.csv"]


def test_long_names_are_shortened():
    long = "ä" * 127  # 254 bytes
    first, second = names(f"{long}.wav", f"{long}.flac")
    assert first != second and all(200 < len(os.fsencode(name)) < 255 for name in (first, second))
    assert first.startswith("ää") and first.endswith("ä.csv")


def test_a_long_name_is_written(batch):
    batch.put(**{"a" * 245: b"a"})
    batch.run()
    assert (batch.out / f"{'a' * 236}.csv").exists()


def test_ten_thousand_names():
    paths = [f"d/{number % 7}/{number}.wav" for number in range(10_000)] + ["d/same.wav"] * 1_000
    assert len(set(names(*paths))) == 11_000


def test_a_file_for_each_recording_and_tables_of_all(batch):
    batch.put(a=b"ab", b=b"bad", c=b"silent", d=b"damaged")
    assert batch.run() == ["a.wav", "b.wav", "c.wav", "d.wav"]
    assert sorted(path.name for path in batch.out.iterdir() if not path.name.startswith(".")) == [
        *("a.wav.csv", "c.wav.csv", "d.wav.csv", "finished.jsonl", "segments.csv", "summary.csv")
    ]
    rows = rows_of(batch.out / "segments.csv")
    assert [(Path(row["file"]).name, bool(row["error"])) for row in rows] == [
        *(("a.wav", False), ("a.wav", False), ("b.wav", True), ("c.wav", False), ("d.wav", False), ("d.wav", True))
    ]
    own = rows_of(batch.out / "a.wav.csv")
    assert own == rows[:2]
    summary = rows_of(batch.out / "summary.csv")
    assert [row["segments"] for row in summary] == ["2", "0", "0", "1"]
    assert [bool(row["error"]) for row in summary] == [False, True, False, True]
    assert summary[0]["emotion"] in LABELS and summary[0]["dominance"] == "0.3333" and summary[2]["notes"]


def test_csv_for_excel(batch):
    batch.put(a=b"a")
    batch.excel = True
    batch.run()
    for name in ("a.wav.csv", "segments.csv", "summary.csv"):
        assert (batch.out / name).read_bytes().startswith("\ufefffile".encode())


def test_a_run_that_ended_before_its_first_recording_need_not_be_resumed(batch):
    batch.put(a=b"stop")
    with pytest.raises(KeyboardInterrupt):
        batch.run()
    batch.put(a=b"a")
    assert batch.run() == ["a.wav"]


@pytest.mark.parametrize("form", [name for name in FORMS if name != "table"])
def test_every_format(batch, form):
    if form in ("parquet", "audformat"):
        pytest.importorskip({"parquet": "pyarrow"}.get(form, form))
    batch.put(a=b"ab", b=b"c")
    batch.form = form
    batch.run()
    assert (batch.out / f"a.wav{FORMS[form].ending or '.audformat'}").exists()
    assert (batch.out / f"segments.{'parquet' if form == 'parquet' else 'csv'}").exists()


def test_a_folder_with_results_is_refused_without_resume(batch):
    batch.put(a=b"a")
    batch.run()
    with pytest.raises(EmofuseError, match="--resume"):
        batch.run()
    with pytest.raises(EmofuseError, match="exists"):
        (batch.inputs.parent / "other").mkdir()
        (batch.inputs.parent / "other" / "a.wav.csv").touch()
        batch.run(out=batch.inputs.parent / "other")


def test_a_resumed_run_equals_an_unbroken_one(batch):
    batch.put(a=b"ab", b=b"bad", c=b"stop", d=b"de", e=b"silent")
    with pytest.raises(KeyboardInterrupt):
        batch.run()
    assert len(batch.tables()[0].splitlines()) == 4  # what is finished is in the tables
    batch.put(c=b"xyz")
    assert batch.run(resume=True) == ["b.wav", "c.wav", "d.wav", "e.wav"]  # what failed is tried again
    batch.run(out=batch.out.with_name("unbroken"))
    assert batch.tables() == batch.tables(batch.out.with_name("unbroken"))
    assert batch.run(resume=True) == ["b.wav"] and batch.repeated == {"they failed before": 1}
    assert batch.tables() == batch.tables(batch.out.with_name("unbroken"))


@pytest.mark.parametrize("change", ["audio", "model", "options", "segments", "results", "format", "adapt"])
def test_what_has_changed_is_predicted_again(batch, change, tmp_path):
    batch.put(a=b"ab", b=b"cd")
    batch.run()
    files = None
    if change == "audio":
        batch.put(b=b"xy")
    elif change == "model":
        batch.predictor.bundle = FakePredictor(name="other").bundle
    elif change == "options":
        batch.options = {"max_seconds": 5.0}
    elif change == "segments":
        files = [Recording(path, speaker="Ana") for path in sorted(batch.inputs.iterdir())]
    elif change == "results":
        (batch.out / "b.wav.csv").unlink()
    elif change == "format":
        batch.form = "json"
    elif change == "adapt":
        batch.adapt = tmp_path / "voice.wav"
        batch.adapt.write_bytes(b"voice")
    again = ["b.wav"] if change in ("audio", "results") else ["a.wav", "b.wav"]
    assert batch.run(resume=True, files=files) == again
    [(reason, number)] = batch.repeated.items()
    assert number == len(again) and {"format": "options", "adapt": "options"}.get(change, change) in reason
    assert batch.run(resume=True, files=files) == []


def test_when_another_folder_of_recordings_is_added_results_are_moved(batch):
    for name, content in {"day1/a": b"a", "day1/b": b"bad", "day2/a": b"cc", "a": b"ddd"}.items():
        path = batch.inputs / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    day1 = [Recording(batch.inputs / "day1" / name) for name in ("a.wav", "b.wav")]
    more = [*day1, Recording(batch.inputs / "day2" / "a.wav"), Recording(batch.inputs / "a.wav")]
    batch.run(files=day1)
    assert (batch.out / "a.wav.csv").exists()
    assert batch.run(files=more, resume=True) == ["b.wav", "a.wav", "a.wav"]
    batch.run(files=more, out=batch.out.with_name("unbroken"))
    for name in ("day1/a.wav.csv", "day2/a.wav.csv", "a.wav.csv", "segments.csv", "summary.csv"):
        assert (batch.out / name).read_bytes() == (batch.out.with_name("unbroken") / name).read_bytes()
    assert batch.run(files=more, resume=True) == ["b.wav"]


def test_adaptation_to_a_folder_depends_on_all_files_in_it(batch):
    batch.put(a=b"ab", b=b"cd")
    batch.adapt = "folder"
    batch.run()
    assert batch.run(resume=True) == []
    batch.put(c=b"ef")
    assert batch.run(resume=True) == ["a.wav", "b.wav", "c.wav"]


def test_a_changed_file_that_fails_has_no_old_result(batch):
    batch.put(a=b"ab")
    batch.run()
    batch.put(a=b"bad")
    batch.run(resume=True)
    assert not (batch.out / "a.wav.csv").exists()


@pytest.mark.parametrize("damage", [lambda text: text[:-20], lambda text: text[:-1], lambda text: b"{}\n[\n" + text])
def test_a_damaged_journal_loses_only_the_damaged_lines(batch, damage):
    batch.put(a=b"ab", b=b"cd")
    batch.run()
    expected = batch.tables()
    journal = batch.out / "finished.jsonl"
    journal.write_bytes(damage(journal.read_bytes()))
    assert batch.run(resume=True) in (["b.wav"], [])
    assert batch.tables() == expected and batch.run(resume=True) == []


def test_a_file_that_changes_while_it_is_read_is_not_finished(batch, monkeypatch):
    batch.put(a=b"ab")
    stream = batch.predictor.stream

    def growing(audio, text=None, **options):
        yield from stream(audio, text, **options)
        Path(audio).write_bytes(b"abc")

    monkeypatch.setattr(batch.predictor, "stream", growing)
    batch.run()
    monkeypatch.setattr(batch.predictor, "stream", stream)
    assert batch.run(resume=True) == ["a.wav"] and batch.repeated == {"their audio has changed": 1}


def test_two_processes_cannot_write_to_one_folder(batch):
    from filelock import FileLock

    batch.put(a=b"a")
    batch.out.mkdir()
    lock = batch.out / ".finished.jsonl.lock"
    with FileLock(lock):
        lock.write_text("process 123 on elsewhere")
        with pytest.raises(EmofuseError, match=r"process 123 on elsewhere"):
            batch.run()
    lock.write_text("process 123 on elsewhere")  # that process has died
    assert batch.run() == ["a.wav"]


def test_a_folder_that_disappears(batch):
    batch.put(a=b"a", b=b"b", c=b"c")
    stream = batch.predictor.stream

    def removing(audio, text=None, **options):
        if Path(audio).name == "b.wav":
            batch.out.rename(batch.out.with_name("moved"))
        return stream(audio, text, **options)

    batch.predictor.stream = removing
    with pytest.raises(EmofuseError, match="disappeared"):
        batch.run()
    assert batch.predictor.calls == ["a.wav", "b.wav"] and not batch.out.exists()


def test_a_full_disk(batch, monkeypatch):
    batch.put(a=b"a", b=b"b")
    write = module.open_writer

    def full(file, *arguments, **options):
        if "b.wav" in file.name:
            raise OSError(28, "No space left on device")
        return write(file, *arguments, **options)

    monkeypatch.setattr(module, "open_writer", full)
    with pytest.raises(EmofuseError, match="No space left"):
        batch.run()
    assert not (batch.out / "b.wav.csv").exists()
    monkeypatch.setattr(module, "open_writer", write)
    assert batch.run(resume=True) == ["b.wav"]


def test_a_result_that_cannot_be_made_is_an_error_of_its_recording(batch, monkeypatch):
    """A text grid needs times, for instance."""
    batch.put(a=b"a", b=b"b")
    save = module.save

    def picky(timelines, path, form):
        if path.name == "a.wav.TextGrid":
            raise KeyError("odd")
        save(timelines, path, form)

    batch.form = "textgrid"
    monkeypatch.setattr(module, "save", picky)
    batch.run()
    assert (batch.out / "b.wav.TextGrid").exists()
    assert "KeyError" in rows_of(batch.out / "summary.csv")[0]["error"]
    monkeypatch.setattr(module, "save", save)
    assert batch.run(resume=True) == ["a.wav"]


def test_standard_input_is_never_finished(batch, monkeypatch):
    recordings = [Recording(STANDARD_INPUT)]
    monkeypatch.chdir(batch.inputs)
    monkeypatch.setattr(Recording, "source", lambda recording: Path("a.wav"))
    batch.put(a=b"a")
    batch.run(files=recordings)
    assert batch.run(files=recordings, resume=True) == ["a.wav"]


def test_names_of_any_bytes(batch):
    strange = Path(os.fsdecode(os.fsencode(batch.inputs) + b"/caf\xe9.wav"))
    strange.write_bytes(b"a")
    for form in ("csv", "rttm", "eaf", "textgrid"):
        batch.form, out = form, batch.out.with_name(form)
        batch.run(out=out)
        assert batch.run(out=out, resume=True) == []
        assert (out / f"{strange.name}{FORMS[form].ending}").exists()
        assert b"caf\\xe9.wav" in (out / "summary.csv").read_bytes()


def test_recordings_of_a_table_keep_their_further_columns(batch):
    batch.put(a=b"a", b=b"bad")
    files = [
        Recording(batch.inputs / "a.wav", extra={"group": "x", "error": "no"}),
        Recording(batch.inputs / "b.wav", extra={"group": "y", "error": "no"}),
    ]
    batch.run(files=files)
    for table in ("segments.csv", "summary.csv"):
        rows = rows_of(batch.out / table)
        assert [(row["group"], row["extra_error"]) for row in rows] == [("x", "no"), ("y", "no")]


def test_a_timeline_without_times_has_a_summary():
    assert module._summary(Finished(Recording(None), Timeline(), []))["segments"] == 0
