"""What the model adapts to in each recording of a batch, with recordings whose voices are made up."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emofuse.errors import EmofuseError
from emofuse.inference import adaptation
from emofuse.inference.adaptation import AdaptationSource, speaker_profiles
from emofuse.inference.files import predict_many
from emofuse.inference.inputs import Recording, find_recordings
from emofuse.inference.journal import fingerprints
from emofuse.inference.profiles import MAX_PROFILE, MeasuredRecording, merge_profiles
from emofuse.models.adapter import SpeakerProfile
from emofuse.segment import Segment
from made_up.predictor import FakePredictor

VOICES = np.eye(26, 256)


class Batch:
    """Recordings whose first letter is the voice and whose second is the state; "?" stands for several voices."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.measured = folder, []
        self.predictor = FakePredictor()
        self.predictor.adapter = object()
        monkeypatch.setattr(adaptation, "measure_recording", self.measure)

    def add(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def link(self, name, target):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
        return path

    def measure(self, predictor, audio, options, *, speaker_encoder, limit, quiet):
        content = Path(audio).read_bytes()
        self.measured.append(Path(audio).name)
        if content == b"bad":
            raise ZeroDivisionError("oh")
        profile = SpeakerProfile(np.array([[float(content[1])]]), np.array([1.0]))
        if speaker_encoder is None:
            names = {one.speaker for one in options["segments"] or [Segment()]}
            return MeasuredRecording(dict.fromkeys(names, profile))
        if content[:1] == b"?":
            return MeasuredRecording({})
        return MeasuredRecording({None: profile}, VOICES[content[0] - ord("a")])

    def profiles(self, recordings, adapt="folder", among=None):
        sources, among = (
            None if given is None else [AdaptationSource.of_recording(one) for one in given]
            for given in (recordings, among)
        )
        return speaker_profiles(self.predictor, sources, adapt=adapt, among=among, options={})


@pytest.fixture
def batch(tmp_path, monkeypatch):
    return Batch(tmp_path, monkeypatch)


def states(profile):
    """The states behind a profile, as the letters of the recordings' contents."""
    return None if profile is None else "".join(sorted(chr(int(mean)) for [mean] in profile.means))


def test_recordings_of_a_folder_are_adapted_to_their_voice(batch, caplog):
    contents = {"1.wav": b"ax", "2.wav": b"by", "3.wav": b"az", "4.wav": b"bw", "5.wav": b"cv", "6.wav": b"?u"}
    recordings = [Recording(batch.add(f"one/{name}", content)) for name, content in contents.items()]
    recordings += [Recording(batch.add("two/1.wav", b"at")), Recording(batch.add("two/2.wav", b"as"))]
    found = batch.profiles(recordings)
    assert list(map(states, found)) == ["xz", "wy", "xz", "wy", None, None, "st", "st"]
    one, two = caplog.messages
    assert "one: 2 voices in 4 of 6 recordings" in one and "two: one voice in 2 of 2 recordings" in two


def test_groups_do_not_depend_on_the_order_of_the_files(batch):
    recordings = [Recording(batch.add(f"{number}.wav", b"ab"[number % 2 :][:1] + b"x")) for number in range(8)]
    first = batch.profiles(recordings)
    again = batch.profiles(recordings[::-1])[::-1]
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.means, other.means)


def test_a_recording_that_is_finished_counts_for_the_others(batch):
    recordings = [Recording(batch.add(f"{number}.wav", b"a" + b"xyz"[number:][:1])) for number in range(3)]
    [found] = batch.profiles(recordings[2:], among=recordings)
    assert states(found) == "xyz"


def test_the_folder_of_a_link_is_the_one_that_its_path_names(batch):
    """The recordings lie in one folder, and are sorted by links; one has two links in the same folder."""
    files = [batch.add(f"all/{number}.wav", b"a" + b"wxyz"[number:][:1]) for number in range(4)]
    links = [batch.link(f"by-{number % 2}/{number}.wav", file) for number, file in enumerate(files)]
    links.append(batch.link("by-1/again.wav", files[3]))
    found = batch.profiles(list(map(Recording, links)))
    assert list(map(states, found)) == ["wy", "xz", "wy", "xz", "xz"]
    assert len(batch.measured) == 4


def test_one_path_may_be_spelled_in_two_ways(batch, monkeypatch):
    batch.add("1.wav", b"ax"), batch.add("2.wav", b"ay")
    monkeypatch.chdir(batch.folder)
    found = batch.profiles([Recording(Path("1.wav")), Recording(Path("../" + batch.folder.name, "2.wav"))])
    assert list(map(states, found)) == ["xy", "xy"]


def test_a_recording_that_cannot_be_measured_does_not_end_the_others(batch):
    recordings = [
        Recording(batch.add(f"{number}.wav", content)) for number, content in enumerate([b"ax", b"bad", b"ay"])
    ]
    recordings += [Recording(batch.folder / "missing.wav"), Recording(Path("-")), Recording(None, [Segment(text="Hi")])]
    assert list(map(states, batch.profiles(recordings))) == ["xy", None, "xy", None, None, None]


def test_a_pipe_is_not_read_before_it_is_predicted(batch):
    os.mkfifo(batch.folder / "pipe.wav")
    recordings = [Recording(batch.folder / "pipe.wav"), Recording(batch.add("1.wav", b"ax"))]
    assert batch.profiles(recordings) == [None, None] and not batch.measured


def test_where_no_voices_are_shared_each_recording_is_adapted_to_by_itself(batch, caplog):
    recordings = [Recording(batch.add(f"{voice}.wav", f"{voice}x".encode())) for voice in "abc"]
    assert batch.profiles(recordings) == [None] * 3 and "by itself" in caplog.text


@pytest.mark.parametrize("adapt", ["recording", "off"])
def test_nothing_is_measured_unless_recordings_share_something(batch, adapt):
    recordings = [Recording(batch.add(name, b"ax")) for name in ("1.wav", "2.wav")]
    assert batch.profiles(recordings, adapt) == [None, None]
    assert batch.profiles(recordings[:1]) == [None] and not batch.measured


def test_a_column_names_the_speakers(batch):
    """Anna speaks in three files of two folders, Ben in two, Carl in one; of one file the speaker is not known."""
    for name, content in {"1.wav": b"ar", "2.wav": b"bs", "x/3.wav": b"at", "x/4.wav": b"bu", "5.wav": b"cv"}.items():
        batch.add(name, content)
    batch.add("6.wav", b"aw"), batch.add("7.wav", b"ax")
    rows = ["1.wav,Anna,", "2.wav,Ben,", "x/3.wav,Anna,", "x/4.wav,Ben,", "5.wav,Carl,", "6.wav,Anna,Hello", "7.wav,,"]
    (batch.folder / "table.csv").write_text("file,speaker,text\n" + "\n".join(rows))
    recordings = find_recordings([batch.folder / "table.csv"])
    found = batch.profiles(recordings, "speaker")
    assert list(map(states, found)) == ["rtw", "su", "rtw", "su", None, "rtw", None]
    assert sorted(batch.measured) == ["1.wav", "2.wav", "3.wav", "4.wav", "6.wav"]


def test_segments_name_several_speakers_of_a_recording(batch):
    turns = [Segment(start=0, end=1, speaker="Anna"), Segment(start=1, end=2, speaker="Ben"), Segment(start=2, end=3)]
    first = Recording(batch.add("1.wav", b"ax"), segments=turns)
    second = Recording(batch.add("2.wav", b"by"), speaker="Anna")
    found, other = batch.profiles([first, second], "speaker")
    assert {name: states(one) for name, one in found.items()} == {"Anna": "xy"} and states(other) == "xy"


def test_without_names_there_are_no_speakers_to_adapt_to(batch):
    with pytest.raises(EmofuseError, match="column speaker"):
        batch.profiles([Recording(batch.add("1.wav", b"ax"))], "speaker")


def test_a_model_without_an_adapter_is_an_error(batch):
    batch.predictor.adapter = None
    with pytest.raises(EmofuseError, match="cannot adapt"):
        batch.profiles([Recording(batch.add("1.wav", b"ax"))])


def test_predict_many_adapts_to_folders_and_to_speakers(batch):
    files = [batch.add(f"{number}.wav", b"ab"[number % 2 :][:1] + b"x") for number in range(4)]
    given = []
    batch.predictor.stream = lambda audio, text=None, **options: given.append(options["speaker"]) or iter([])
    assert len(list(predict_many(batch.predictor, map(str, files), adapt="folder"))) == 4
    assert [len(one.means) for one in given] == [2] * 4
    given.clear()
    names = ["Anna", "Anna", None, "Anna"]
    assert len(list(predict_many(batch.predictor, files, adapt="speaker", speaker_names=names))) == 4
    assert [None if one is None else len(one.means) for one in given] == [3, 3, None, 3]
    with pytest.raises(EmofuseError, match="speaker_names"):
        list(predict_many(batch.predictor, files, adapt="speaker"))
    with pytest.raises(EmofuseError, match="for 4 inputs"):
        list(predict_many(batch.predictor, files, adapt="speaker", speaker_names=names[:2]))


def test_a_profile_has_a_limit_and_is_taken_evenly_from_all_recordings():
    parts = [SpeakerProfile(np.full((600, 1), number), np.ones(600)) for number in range(4)]
    merged = merge_profiles(parts)
    assert len(merged.seconds) == MAX_PROFILE and np.bincount(merged.means[:, 0].astype(int)).min() > MAX_PROFILE // 5


def test_what_is_resumed_depends_on_the_other_recordings_of_a_speaker(batch):
    recordings = [
        Recording(batch.add(f"{name}{number}.wav", name.encode() + b"x"), speaker=name)
        for name in "ab"
        for number in range(2)
    ]

    def options_of(recordings):
        known = fingerprints(batch.predictor, recordings, adapt="speaker", options={})
        return [one["options"] for one in known]

    before = options_of(recordings)
    batch.add("a0.wav", b"ay")
    after = options_of(recordings)
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, False, True, True]
    renamed = [*recordings[:3], replace(recordings[3], speaker="a")]
    assert options_of(renamed)[2] != before[2]
