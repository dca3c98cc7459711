"""Many recordings: their order, their errors, and `predict_many`."""

import os
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from threading import Event

import pytest

from emofuse.errors import EmofuseError
from emofuse.inference.files import Finished, predict_many, predict_recordings
from emofuse.inference.inputs import Recording, find_recordings
from made_up.predictor import FakePredictor, prediction


@pytest.fixture
def files(tmp_path):
    """Makes files named by letters, with these contents."""

    def make(*contents):
        paths = [tmp_path / f"{number}.wav" for number in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        return paths

    return make


def done(predictor, paths, **options):
    events = predict_recordings(predictor, list(map(Recording, paths)), **options)
    return [event for event in events if isinstance(event, Finished)]


@pytest.mark.parametrize("jobs", [1, 4])
def test_one_bad_file_does_not_end_the_others_and_order_is_kept(files, jobs):
    paths = files(b"ab", b"bad", b"c", b"crash", b"silent", b"damaged")
    finished = done(FakePredictor(), [*paths, Path("missing.wav")], jobs=jobs)
    assert [len(one.timeline) for one in finished] == [2, 0, 1, 0, 0, 1, 0]
    assert [bool(one.errors) for one in finished] == [False, True, False, True, False, True, True]
    assert [one.failed for one in finished] == [False, True, False, True, False, False, True]
    assert "ZeroDivisionError" in str(finished[3].errors[0]) and "3.wav" in str(finished[3].errors[0])
    assert [len(one.records()) for one in finished] == [2, 1, 1, 1, 1, 2, 1]


def test_with_one_job_predictions_come_before_the_recording_is_read_to_its_end(files):
    events = predict_recordings(FakePredictor(), [Recording(files(b"damaged")[0])], jobs=1)
    assert next(events).emotion == "neutral"


def test_a_file_that_grows_while_it_is_read_is_noted(files, caplog):
    [path] = files(b"abc")
    events = predict_recordings(FakePredictor(), [Recording(path)], jobs=1)
    next(events)
    path.write_bytes(b"abcdef")
    [*_, finished] = events
    assert [note.kind for note in finished.timeline.notes] == ["changed"] and "has changed" in caplog.text


def test_extra_columns_reach_the_records(files):
    recordings = [Recording(path, extra={"group": "x"}) for path in files(b"a", b"bad", b"silent")]
    for event in predict_recordings(FakePredictor(), recordings):
        if isinstance(event, Finished):
            assert [record["extra"] for record in event.records()] == [{"group": "x"}]


def test_recordings_that_are_being_read_end_early_when_the_caller_stops(files):
    """The second recording is very long; it ends because the caller takes no more results than the first."""
    first, second = files(b"a", b"b")
    begun = Event()

    class Long(FakePredictor):
        def stream(self, audio, text=None, **options):
            if audio == first:
                begun.wait()
            for _ in range(1 if audio == first else 10_000):
                yield from super().stream(audio, text, **options)
                begun.set()

    predictor = Long()
    events = predict_recordings(predictor, [Recording(first), Recording(second)], jobs=2)
    next(events)
    events.close()
    assert len(predictor.calls) < 10_000


def test_columns_of_a_segment_come_before_those_of_its_recording(files, monkeypatch):
    [path] = files(b"a")
    one = replace(prediction(0.0, 1), extra={"group": "segment", "more": "1"})
    monkeypatch.setattr(FakePredictor, "stream", lambda *arguments, **options: iter([one]))
    events = predict_recordings(FakePredictor(), [Recording(path, extra={"group": "recording", "id": "7"})])
    assert next(events).extra == {"group": "segment", "more": "1", "id": "7"}


def test_predict_many_yields_timelines_in_order(files):
    paths = files(b"ab", b"c", b"silent", b"def")
    timelines = list(predict_many(FakePredictor(threads=3), map(str, paths)))
    assert [len(timeline) for timeline in timelines] == [2, 1, 0, 3]
    assert [timeline.file for timeline in timelines] == list(map(str, paths))


@pytest.mark.parametrize("jobs", [1, 3])
def test_predict_many_takes_inputs_as_it_needs_them(files, jobs):
    [path] = files(b"a")
    taken = []

    def endless():
        for number in count():
            taken.append(number)
            yield path

    assert len(list(islice(predict_many(FakePredictor(), endless(), jobs=jobs), 5))) == 5
    assert len(taken) <= 5 + 2 * jobs


def test_predict_many_raises_the_first_error_or_calls_back(files):
    paths = files(b"a", b"bad", b"crash", b"b")
    with pytest.raises(EmofuseError, match=r"1\.wav"):
        list(predict_many(FakePredictor(), paths))
    errors = []
    timelines = list(predict_many(FakePredictor(), paths, on_error=lambda *error: errors.append(error)))
    assert [timeline.file for timeline in timelines] == [str(paths[0]), str(paths[3])]
    assert [file for file, _ in errors] == paths[1:3] and all(isinstance(error, EmofuseError) for _, error in errors)


def test_names_of_any_bytes(tmp_path):
    strange = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    strange.write_bytes(b"a")
    [finished] = done(FakePredictor(), [strange])
    assert finished.records()[0]["file"].endswith("caf\\xe9.wav")


def test_a_row_with_words_gives_its_speaker_channel_and_columns_to_its_recording(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"ab")
    (tmp_path / "table.csv").write_text("file,text,speaker,channel,group\na.wav,Hello,Anna,2,x")
    predictor, given = FakePredictor(), []

    def stream(audio, text=None, **options):
        given.append((text, options["channels"]))
        yield prediction(0.0, 1)

    predictor.stream = stream
    [found, _] = predict_recordings(predictor, find_recordings([tmp_path / "table.csv"]))
    assert given == [("Hello", 2)] and found.speaker == "Anna" and found.extra == {"group": "x"}
