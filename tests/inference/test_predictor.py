import logging
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

import emofuse
from emofuse.audio import log_mel, read_audio
from emofuse.encoders.recogniser import Transcript
from emofuse.errors import EmofuseError
from emofuse.inference import predictor as module
from emofuse.inference.bundle import Bundle
from emofuse.inference.predictor import Predictor
from emofuse.models.adapter import SpeakerProfile
from emofuse.segment import Segment
from emofuse.timeline.prediction import Timeline

pytestmark = pytest.mark.usefixtures("all_is_speech")

RATE = 16000


class FakeEncoder:
    """Tells texts apart without a language model."""

    def encode(self, texts):
        return np.stack([np.random.default_rng(len(text)).normal(size=384) for text in texts]).astype(np.float32)

    def encode_whole(self, text):
        return self.encode([text])[0]

    def split(self, text):
        return [text]

    def unknown_share(self, text):
        return 0.0


class FakeTranscriber:
    def __init__(self, text="it is raining", language="en"):
        self.answer, self.calls, self.shapes = Transcript(text, language, 1.0, 1.0), [], []

    def transcribe_segments(self, samples, segments, language=None, *, read=None):
        self.calls.append((segments, language))
        return [
            replace(self.answer, text=f"{self.answer.text} {i}" if i else self.answer.text)
            for i, _ in enumerate(segments)
        ]


@pytest.fixture
def predict(bundle_folder):
    predictor = Predictor(Bundle.load(bundle_folder), transcribe=False, threads=1)
    predictor.network._text_encoder = FakeEncoder()
    return predictor


@pytest.fixture
def listen(predict, monkeypatch):
    """A predictor with a made-up recogniser."""

    def make(**answer):
        transcriber = FakeTranscriber(**answer)

        def load(name, **shape):
            transcriber.shapes.append(shape)
            return transcriber

        monkeypatch.setattr(module, "_load_transcriber", load)
        predict.transcribe = "auto"
        return predict, transcriber

    return make


def test_same_answer_as_torch(predict, clip, small_model):
    [found] = predict(clip, "it is raining")
    mel = torch.from_numpy(log_mel(read_audio(clip)))[None]
    text = torch.from_numpy(FakeEncoder().encode(["it is raining"]))
    yes = torch.ones(1, dtype=torch.bool)
    with torch.inference_mode():
        out = small_model(mel, torch.tensor([mel.shape[1]]), text, yes, yes)
    assert list(found.probabilities.values()) == pytest.approx(out["logits"].softmax(1)[0].tolist(), abs=1e-4)
    assert [found.arousal, found.valence, found.dominance] == pytest.approx(out["dimensions"][0].tolist(), abs=1e-4)
    assert found.confidence == max(found.probabilities.values()) == found.probabilities[found.emotion]
    assert (found.file, found.start, found.end) == (str(clip), 0.0, 1.0)


def test_a_stretch_that_ends_after_the_recording_is_cut_with_a_warning(predict, clip, caplog):
    [found] = predict(clip, start=0.25, end=9.0)
    assert (found.start, found.end) == (0.25, 1.0)
    assert found.probabilities == predict(clip, start=0.25)[0].probabilities
    [said] = caplog.messages
    assert str(clip) in said and "9 s" in said and "1.00 s" in said


def test_says_what_it_used(predict, clip):
    [both], [audio], [text] = predict(clip, " a text "), predict(clip), predict(text="a text")
    assert [p.used for p in (both, audio, text)] == ["audio+text", "audio", "text"]
    assert [p.text_source for p in (both, audio, text)] == ["given", None, "given"]
    assert both.text == "a text" and audio.text is None and text.file is text.start is None
    assert len({p.confidence for p in (both, audio, text)}) == 3


def test_nothing_given(predict):
    for text in (None, "  "):
        with pytest.raises(EmofuseError, match="a recording, a text, or both"):
            predict(None, text)


@pytest.mark.parametrize("missing", [float("nan"), np.float32("nan"), np.datetime64("NaT"), pd.NA])
def test_a_missing_text_of_another_library_is_no_text(predict, clip, missing):
    assert predict(clip, missing) == predict(clip)


@pytest.mark.parametrize("text", [1.5, ["hi"], b"hi", np.array(["hi"])])
def test_a_text_that_is_not_a_string_is_refused(predict, clip, text):
    with pytest.raises(EmofuseError, match="string"):
        predict(clip, text)


def test_text_in_a_language_that_is_not_read(predict, clip):
    [found] = predict(clip, "es regnet", language="de")
    assert (found.text, found.language, found.used) == ("es regnet", "de", "audio")
    assert found.probabilities == predict(clip)[0].probabilities
    with pytest.raises(EmofuseError, match=r"text \(en\)"):
        predict(text="es regnet", language="de")


@pytest.mark.parametrize("language", ["en", "EN", "en-US", "en_GB", "English", " english "])
def test_a_language_is_known_by_code_region_or_name(predict, clip, language):
    [found] = predict(clip, "it is raining", language=language)
    assert (found.language, found.used) == ("en", "audio+text")


@pytest.mark.parametrize(("language", "hint"), [("klingon", "code"), ("xx", "code"), ("", "code"), ("germn", "german")])
def test_an_unknown_language_is_refused_before_the_work(predict, language, hint):
    with pytest.raises(EmofuseError, match=hint):
        predict("absent.wav", language=language)


def test_recognised_words_count_as_given_ones(listen, clip):
    predict, transcriber = listen()
    [found] = predict(clip)
    assert (found.text, found.text_source, found.language, found.used) == ("it is raining", "asr", "en", "audio+text")
    assert found.probabilities == predict(clip, "it is raining")[0].probabilities
    assert transcriber.calls == [([(0.0, 1.0)], None)]


def test_recognised_words_of_another_language_are_shown_only(listen, clip):
    predict, transcriber = listen(text="pada deszcz", language="pl")
    predict.transcribe = "always"
    [found] = predict(clip, language="pl")
    assert (found.text, found.used) == ("pada deszcz", "audio") and transcriber.calls == [([(0.0, 1.0)], "pl")]
    assert "Polish" in found.note


def test_words_of_a_language_that_is_not_read_are_not_recognised(listen, clip):
    predict, transcriber = listen()
    [found] = predict(clip, language="pl")
    assert (found.text, found.used) == (None, "audio") and transcriber.shapes == []


@pytest.mark.parametrize("text", ["", ". . . .", "...", "?!"])
def test_no_words_recognised(listen, clip, text):
    predict, _ = listen(text=text)
    [found] = predict(clip)
    assert (found.text, found.text_source, found.used) == (None, None, "audio")


@pytest.mark.parametrize("text", ["", " ", ". . . .", "?!"])
def test_a_given_text_without_words_is_no_reason_to_recognise_any(listen, clip, text):
    predict, transcriber = listen()
    [found] = predict(clip, text)
    assert (found.text, found.text_source, found.used) == (None, None, "audio") and transcriber.shapes == []
    predict.transcribe = "off"
    assert found == predict(clip)[0]


@pytest.mark.parametrize(
    ("threads", "calls", "shape"),
    [
        (4, 1, {"threads": 1, "workers": 4}),
        (4, 2, {"threads": 1, "workers": 4}),
        (3, 2, {"threads": 1, "workers": 3}),
    ],
)
def test_the_recogniser_stays_within_the_threads(listen, clip, threads, calls, shape):
    predict, transcriber = listen()
    predict.threads, predict.calls_at_once = threads, calls
    predict(clip)
    assert transcriber.shapes == [shape]


def test_number_of_threads(bundle_folder, monkeypatch):
    bundle = Bundle.load(bundle_folder)
    monkeypatch.setattr(module, "available_cores", lambda: 7)
    assert (Predictor(bundle).threads, Predictor(bundle, threads=2).threads) == (7, 2)
    with pytest.raises(EmofuseError, match="threads"):
        Predictor(bundle, threads=0)


def test_eight_threads_at_once_load_each_part_once(bundle_folder, clip, monkeypatch):
    from emofuse.encoders import onnx as text_module

    loaded, together = Counter(), Barrier(8)

    class CountedEncoder(text_module.OnnxTextEncoder):
        def __init__(self, *arguments, **options):
            loaded["text encoder"] += 1
            super().__init__(*arguments, **options)

    def load(name, **shape):
        loaded["recogniser"] += 1
        return FakeTranscriber()

    def call(text):
        together.wait()
        return predict(clip, text)

    monkeypatch.setattr(text_module, "OnnxTextEncoder", CountedEncoder)
    monkeypatch.setattr(module, "_load_transcriber", load)
    predict = Predictor(Bundle.load(bundle_folder))
    texts = [None, "a text", "another text", None, None, "a text", "", None]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(call, texts))
    assert loaded == {"text encoder": 1, "recogniser": 1}
    assert found == [predict(clip, text) for text in texts]


def test_absent_recogniser_warns_once(predict, clip, monkeypatch, caplog):
    def absent(name):
        raise EmofuseError("not installed")

    monkeypatch.setattr("emofuse.encoders.weights.find_weights", absent)
    predict.transcribe = "auto"
    with caplog.at_level(logging.WARNING, logger="emofuse"):
        assert [predict(clip)[0].used for _ in range(3)] == ["audio"] * 3
    assert len(caplog.records) == 1 and "not installed" in caplog.text


def speech(*stretches, seconds, seed=0):
    """Noise in some stretches of a recording that is silent elsewhere."""
    samples = np.zeros(round(seconds * RATE), np.float32)
    for start, end in stretches:
        part = samples[round(start * RATE) : round(end * RATE)]
        part[:] = np.random.default_rng(seed).normal(0, 0.1, len(part))
    return samples


def times(timeline):
    return [(round(one.start, 1), round(one.end, 1)) for one in timeline]


def test_segments_that_overlap_are_recognised_one_after_another(listen):
    predict, transcriber = listen()
    samples = speech((0.0, 6.0), seconds=6)
    segments = [Segment(start=0.0, end=3.0), Segment(start=1.0, end=4.0), Segment(start=3.5, end=6.0)]
    found = predict(samples, sample_rate=RATE, segments=segments)
    assert [one.text for one in found] == ["it is raining", "it is raining", "it is raining 1"]
    assert [spans for spans, _ in transcriber.calls] == [[(0.0, 3.0), (3.5, 6.0)], [(1.0, 4.0)]]
    assert len(predict(samples, sample_rate=RATE, window=3.0, hop=1.0)) == 4


def test_one_segment_an_utterance(listen, tmp_path):
    predict, _ = listen()
    samples = speech((0.5, 2.0), (3.0, 7.0), seconds=16)
    soundfile.write(tmp_path / "long.wav", samples, RATE)
    found = predict(tmp_path / "long.wav", language="en")
    assert times(found) == [(0.5, 2.0), (3.0, 7.0)] and (found.file, found.seconds) == (
        str(tmp_path / "long.wav"),
        16.0,
    )
    assert [(p.text, p.text_source) for p in found] == [("it is raining", "asr"), ("it is raining 1", "asr")]
    predict.transcribe = "off"
    alone = predict(samples, start=0.4, end=2.4, sample_rate=RATE)
    assert times(alone) == [(0.5, 2.0)] and not alone[0].adapted


def test_the_longest_segment_and_windows(predict):
    samples = speech((0.0, 9.0), seconds=10)
    assert max(one.end - one.start for one in predict(samples, sample_rate=RATE)) <= 8
    assert max(one.end - one.start for one in predict(samples, sample_rate=RATE, max_seconds=3)) <= 3
    assert times(predict(samples, sample_rate=RATE, window=4.0)) == [(0, 4), (4, 8), (6, 10)]
    assert times(predict(samples, sample_rate=RATE, window=4.0, hop=3.0)) == [(0, 4), (3, 7), (6, 10)]


@pytest.mark.parametrize(
    "options",
    [
        {"max_seconds": 0.5},
        {"max_seconds": 31},
        {"hop": 1.0},
        {"window": 0.0},
        {"window": 2.0, "hop": 0.0},
        {"window": 2.0, "segments": [Segment(end=1.0)]},
        {"channels": "left"},
        {"channels": 0},
        {"channels": 3},
        {"speakers": 0},
        {"speakers": "many"},
        {"track": 0},
    ],
)
def test_options_that_make_no_sense(predict, clip, options):
    with pytest.raises(EmofuseError):
        predict(clip, **options)
    with pytest.raises(TypeError, match="unknown_option"):
        predict(clip, unknown_option=1)


def test_a_recording_without_speech_is_an_empty_timeline(predict, caplog):
    quiet = np.random.default_rng(0).normal(0, 2e-4, 16 * RATE)
    found = predict(quiet, sample_rate=RATE)
    assert found == [] and isinstance(found, Timeline) and found.seconds == 16.0
    assert [note.kind for note in found.notes] == ["speech"] and "no speech" in caplog.text


def test_given_segments_are_predicted_as_they_are(predict, caplog):
    samples = speech((0.0, 10.0), seconds=10)
    segments = [
        Segment(start=6.0, end=7.5, speaker="bo", text="hi"),
        Segment(start=1.0, end=2.0),
        Segment(start=9, end=12),
    ]
    found = predict(samples, sample_rate=RATE, segments=segments)
    assert times(found) == [(1, 2), (6, 7.5), (9, 10)]
    assert [(one.speaker, one.text) for one in found] == [(None, None), ("bo", "hi"), (None, None)]
    late, refused = [*segments, Segment(start=11, end=12)], []
    with pytest.raises(EmofuseError, match=r"11 s.*10\.00 s"):
        predict(samples, sample_rate=RATE, segments=late)
    found = predict(samples, sample_rate=RATE, segments=late, refuse=lambda segment, error: refused.append(segment))
    assert len(found) == 3 and refused == late[3:]


def test_each_speaker_is_adapted_by_that_speakers_segments(predict, monkeypatch):
    offsets = []

    class Running:
        def __init__(self, adapter):
            self.count = 0

        def add(self, mean, seconds):
            self.count += 1

        def offset(self):
            offsets.append(self.count)
            return np.full(64, float(self.count > 1), np.float32)

    monkeypatch.setattr(module, "RunningOffset", Running)
    predict.adapter = object()
    answer, calibrated_as_adapted = predict.network.answer, []

    def record(frames, embedding, *, adapted=False):
        calibrated_as_adapted.append(adapted)
        return answer(frames, embedding, adapted=adapted)

    monkeypatch.setattr(predict.network, "answer", record)
    samples = speech((0.0, 10.0), seconds=10)
    segments = [Segment(start=float(i), end=i + 0.9, speaker="ab"[i % 3 == 0]) for i in range(5)] + [
        Segment(start=6, end=7)
    ]
    found = predict(samples, sample_rate=RATE, segments=segments)
    assert sorted(offsets) == [1, 2, 3] and [one.adapted for one in found] == [True] * 5 + [False]
    assert calibrated_as_adapted == [True] * 5 + [False]


def test_speakers_whose_profiles_are_given_by_name_are_adapted_to_these(predict, monkeypatch):
    class Adapter:
        centre, directions = np.zeros(64, np.float32), np.zeros((64, 1), np.float32)

        def offset(self, means, seconds):
            return means[0]

    class Running:
        def __init__(self, adapter):
            pass

        def add(self, mean, seconds):
            pass

        def offset(self):
            return np.zeros(64, np.float32)

    monkeypatch.setattr(module, "RunningOffset", Running)
    predict.adapter = Adapter()
    profile = SpeakerProfile(np.ones((1, 64), np.float32), np.ones(1))
    segments = [Segment(start=float(i), end=i + 0.9, speaker=name) for i, name in enumerate(["a", "b", None])]
    options = {"sample_rate": RATE, "segments": segments}
    found = predict(speech((0.0, 4.0), seconds=4), speaker={"a": profile}, **options)
    assert [one.adapted for one in found] == [True, False, False]
    assert all(one.adapted for one in predict(speech((0.0, 4.0), seconds=4), speaker=profile, **options))


def test_channels_with_different_voices_are_split(predict, caplog):
    left, right = speech((0, 2), (5, 7), seconds=10), speech((2.5, 4.5), (7.5, 9.5), seconds=10, seed=1)
    call = np.stack([left, right], axis=1)
    found = predict(call, sample_rate=RATE)
    assert [one.channel for one in found] == [1, 2, 1, 2] and "different voices" in caplog.text
    assert [one.channel for one in predict(np.stack([left, left], axis=1), sample_rate=RATE)] == [None, None]
    assert {one.channel for one in predict(call, sample_rate=RATE, channels="mix")} == {None}
    second = predict(call, sample_rate=RATE, channels=2)
    assert [(one.channel, one.probabilities) for one in second] == [(2, found[i].probabilities) for i in (1, 3)]


class FakeSpeakerEncoder:
    """Tells loud people from quiet ones."""

    embedded = 0

    def embed(self, segments, background=None):
        FakeSpeakerEncoder.embedded += len(segments)
        return np.array([[1.0, 0.0] if np.abs(one).max() > 0.5 else [0.0, 1.0] for one in segments], np.float32)


def conversation(seconds, *, turns_of_second):
    """Turns of 0.7 s, each second; some of a loud person, the others of a quiet one."""
    samples = speech(*((float(i), i + 0.7) for i in range(seconds)), seconds=seconds)
    for i in turns_of_second:
        samples[i * RATE : (i + 1) * RATE] *= 3
    return samples


def test_speakers_are_told_apart(predict, monkeypatch):
    monkeypatch.setattr(module, "SpeakerEncoder", FakeSpeakerEncoder)
    talk = conversation(30, turns_of_second=range(1, 30, 2))
    for speakers in ("auto", 2):
        found = predict(talk, sample_rate=RATE, speakers=speakers)
        assert [one.speaker for one in found] == ["speaker 1", "speaker 2"] * 15
    alone = predict(conversation(30, turns_of_second=()), sample_rate=RATE)
    assert {one.speaker for one in alone} == {None} and len(alone) == 30
    assert {one.speaker for one in predict(talk, sample_rate=RATE, speakers="off")} == {None}
    named = [Segment(start=0.0, end=0.7, speaker="ana"), Segment(start=1.0, end=1.7)]
    found = predict(talk, sample_rate=RATE, segments=named, speakers=2)
    assert [one.speaker for one in found] == ["ana", "speaker 2"]


def test_a_short_clip_costs_no_speaker_embedding(predict, monkeypatch, clip):
    monkeypatch.setattr(module, "SpeakerEncoder", None)
    assert predict(clip)[0].speaker is None


def test_who_speaks_late_is_the_most_similar_of_those_who_spoke_early(predict, monkeypatch):
    monkeypatch.setattr(module, "SpeakerEncoder", FakeSpeakerEncoder)
    monkeypatch.setattr("emofuse.inference.voices._AUTO_SECONDS", 60.0)
    talk = conversation(150, turns_of_second=range(1, 150, 2))
    assert [one.speaker for one in predict(talk, sample_rate=RATE)] == ["speaker 1", "speaker 2"] * 75


def test_channels_that_are_split_have_no_number_of_speakers(predict):
    call = np.stack([speech((0, 2), seconds=5), speech((2.5, 4.5), seconds=5)], axis=1)
    with pytest.raises(EmofuseError, match="channels"):
        predict(call, sample_rate=RATE, channels="split", speakers=2)


def test_a_stream_gives_what_a_call_gives_a_chapter_at_a_time(predict):
    turns = [(float(i), i + 0.7) for i in range(0, 150)]
    samples = speech(*turns, seconds=150)
    stream = predict.stream(samples, sample_rate=RATE)
    first = next(stream)
    assert [first, *stream] == predict(samples, sample_rate=RATE) and len(turns) == len(
        predict(samples, sample_rate=RATE)
    )


def test_a_recording_with_its_text_is_one_utterance(predict):
    samples = speech((1.0, 3.0), (5.0, 15.0), seconds=16)
    assert times(predict(samples, "one utterance", sample_rate=RATE)) == [(1.0, 15.0)]
    with pytest.raises(EmofuseError, match="too long"):
        predict(speech((0.0, 31.0), seconds=31), "one utterance", sample_rate=RATE)


def test_stretch(predict, clip):
    [found] = predict(clip, start=0.25, end=0.75)
    samples = read_audio(clip)[4000:12000]
    [same] = predict(samples, sample_rate=16000)
    assert (found.start, found.end) == (0.25, 0.75) and found.probabilities == same.probabilities


def test_samples_of_any_kind(predict, clip):
    samples = read_audio(clip)
    [plain] = predict(samples, sample_rate=16000)
    [stereo] = predict(np.stack([samples, samples], axis=1), sample_rate=16000)
    [integers] = predict((samples * 32767).astype(np.int16), sample_rate=16000)
    for other in (stereo, integers):
        assert other.confidence == pytest.approx(plain.confidence, abs=1e-2)
    assert predict(np.repeat(samples, 2), sample_rate=32000)[0].end == 1.0
    with pytest.raises(EmofuseError, match="sample_rate"):
        predict(samples)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_unusable_samples(predict, value):
    with pytest.raises(EmofuseError):
        predict(np.full(16000, value, np.float32), sample_rate=16000)


def test_a_recording_comes_as_a_path_bytes_an_open_file_or_samples(predict, clip):
    samples, rate = soundfile.read(clip, dtype="float32")
    [of_path] = predict(clip)
    with open(clip, "rb") as file:
        others = [predict(clip.read_bytes()), predict(file), predict(samples[None], sample_rate=rate)]
    others += [predict(np.stack([samples, samples]), sample_rate=rate), predict(samples.tolist(), sample_rate=rate)]
    for [other] in others:
        assert other.file is None and (other.start, other.end) == (of_path.start, of_path.end)
        assert list(other.probabilities.values()) == pytest.approx(list(of_path.probabilities.values()), abs=1e-3)


@pytest.mark.parametrize("options", [{"start": -1.0}, {"start": 1.0, "end": 0.5}, {"sample_rate": None}])
def test_samples_with_options_that_make_no_sense(predict, options):
    with pytest.raises(EmofuseError):
        predict(np.ones(16000, np.float32), **{"sample_rate": 16000} | options)


def test_channels_that_cancel_each_other_are_told(predict, clip, tmp_path, caplog):
    samples, rate = soundfile.read(clip, dtype="float32")
    soundfile.write(tmp_path / "inverted.wav", np.stack([samples, -samples], axis=1), rate)
    [alone], [inverted] = predict(samples, sample_rate=rate), predict(tmp_path / "inverted.wav")
    assert "inverted.wav" in caplog.text and "cancel" in caplog.text
    assert list(inverted.probabilities.values()) == pytest.approx(list(alone.probabilities.values()), abs=1e-3)


def test_a_recording_that_was_cut_off_is_predicted_and_told(predict, clip, tmp_path, caplog):
    content = clip.read_bytes()
    (tmp_path / "cut.wav").write_bytes(content[: len(content) * 2 // 3])
    [found] = predict(tmp_path / "cut.wav")
    assert 0 < found.end < predict(clip)[0].end
    assert "cut.wav: it is truncated" in caplog.text


def test_model_that_needs_audio(predict, clip):
    predict.bundle = replace(predict.bundle, reads_text_alone=False)
    with pytest.raises(EmofuseError, match="with audio"):
        predict(text="a text")
    assert predict(clip, "a text")[0].used == "audio+text"


def test_segments_side_by_side_have_the_same_values(predict):
    samples = speech(*((float(i), i + 0.7) for i in range(8)), seconds=9)
    predict.threads = 1
    serial = predict(samples, sample_rate=RATE)
    predict.threads = 4
    assert predict(samples, sample_rate=RATE) == serial and len(serial) == 8


def test_another_text_encoder_is_refused(bundle_folder):
    bundle = Bundle.load(bundle_folder)
    strange = replace(bundle, text_encoder={**bundle.text_encoder, "weights_hash": "0" * 64})
    with pytest.raises(EmofuseError, match="text encoder"):
        Predictor(strange)(text="a text")


def test_unreadable_model(bundle_folder, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(EmofuseError, match="usable ONNX"):
        Predictor(replace(Bundle.load(bundle_folder), folder=tmp_path))


def test_load_with_its_text_encoder(bundle_folder, clip):
    predict = emofuse.load(bundle_folder, transcribe=False)
    [rain], [sun] = predict(clip, "it is raining"), predict(clip, "what a sunny day")
    assert rain.used == "audio+text" and rain.probabilities != sun.probabilities


def test_prediction_does_not_import_torch(bundle_folder, clip):
    import subprocess

    code = (
        "import sys, emofuse\n"
        f"print(emofuse.load({str(bundle_folder)!r}, transcribe=False)({str(clip)!r}, 'a text')[0].used)\n"
        "print([m for m in ('torch', 'pandas', 'lightning', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["audio+text", "[]"]
