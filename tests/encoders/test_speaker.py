import os
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from emofuse.encoders.speaker import FRONT_END, SpeakerEncoder, background_mel, speaker_mel, split_partials
from emofuse.errors import EmofuseError


@pytest.fixture(scope="module")
def encoder():
    return SpeakerEncoder()


@pytest.fixture
def script(monkeypatch):
    """The script that writes the file of the package."""
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return import_module("speaker_export")


def voice(pitch, seconds, seed=0):
    """A buzz with formant-like noise: not speech, but the network takes it."""
    t = np.arange(int(seconds * 16000)) / 16000
    harmonics = sum(np.sin(2 * np.pi * pitch * n * t) / n for n in range(1, 12))
    return (0.1 * harmonics + np.random.default_rng(seed).normal(0, 0.01, len(t))).astype(np.float32)


@pytest.mark.parametrize("seconds", [0.1, 1.0, 2.345])
def test_mel_is_that_of_librosa(seconds):
    librosa = pytest.importorskip("librosa")
    samples = voice(150, seconds)
    expected = librosa.feature.melspectrogram(y=samples, sr=16000, n_fft=400, hop_length=160, n_mels=40).T
    mel = speaker_mel(samples)
    assert mel.shape == expected.shape and mel.dtype == np.float32
    np.testing.assert_allclose(mel, expected, rtol=1e-3, atol=1e-5 * expected.max())


def test_quiet_samples_are_amplified_and_loud_ones_are_not():
    samples = voice(150, 2.0)
    np.testing.assert_allclose(speaker_mel(samples * 1e-3), speaker_mel(samples * 2e-3), rtol=1e-2, atol=1e-4)
    np.testing.assert_allclose(speaker_mel(samples * 2), speaker_mel(samples) * 4, rtol=1e-3, atol=1e-4)


def test_steady_noise_is_subtracted(encoder):
    clean = np.concatenate([np.zeros(16000, np.float32), voice(150, 3.0)])
    noise = np.random.default_rng(5).normal(0, 0.02, len(clean)).astype(np.float32)
    background = background_mel(clean + noise)
    assert background.shape == (40,) and background.dtype == np.float32
    upper = slice(20, None)  # bands above the harmonics
    expected, noisy = speaker_mel(clean[16000:])[:, upper], speaker_mel((clean + noise)[16000:])[:, upper]
    denoised = speaker_mel((clean + noise)[16000:], background=background)[:, upper]
    assert np.abs(denoised - expected).mean() < 0.5 * np.abs(noisy - expected).mean()
    assert (denoised >= 0).all()
    (reference,) = encoder.embed([clean[16000:]])
    (with_noise,) = encoder.embed([(clean + noise)[16000:]])
    (without_noise,) = encoder.embed([(clean + noise)[16000:]], background=background)
    assert without_noise @ reference > with_noise @ reference


def test_digital_silence_has_no_background():
    samples = voice(150, 2.0)
    background = background_mel(np.concatenate([np.zeros(16000, np.float32), samples]))
    np.testing.assert_allclose(speaker_mel(samples, background=background), speaker_mel(samples), atol=1e-6)


@pytest.mark.parametrize(("frames", "partials"), [(1, 1), (159, 1), (160, 1), (161, 2), (240, 2), (241, 3)])
def test_partials_cover_the_spectrogram(frames, partials):
    mel = np.arange(frames, dtype=np.float32)[:, None].repeat(FRONT_END.n_mels, axis=1)
    parts = split_partials(mel)
    assert parts.shape == (partials, 160, 40)
    assert set(np.unique(parts)) == set(range(frames))


def test_embeddings_have_length_one_and_do_not_depend_on_the_batch(encoder):
    segments = [voice(120, 2.5), voice(220, 0.3), voice(120, 1.6, seed=1)]
    together = encoder.embed(segments)
    assert together.shape == (3, 256) and together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(together, np.concatenate([encoder.embed([one]) for one in segments]), atol=1e-5)
    assert together[0] @ together[2] > together[0] @ together[1]


def test_directions_of_emotion_are_projected_out(encoder):
    assert encoder.emotion.shape == (2, 256)
    np.testing.assert_allclose(encoder.emotion @ encoder.emotion.T, np.eye(2), atol=1e-5)
    embeddings = encoder.embed([voice(120, 2.5), voice(220, 0.3)])
    np.testing.assert_allclose(embeddings @ encoder.emotion.T, 0, atol=1e-5)


def test_no_segments_and_silence(encoder):
    assert encoder.embed([]).shape == (0, 256)
    assert np.isfinite(encoder.embed([np.zeros(8000, np.float32)])).all()


def test_damaged_or_missing_file(tmp_path, monkeypatch):
    with pytest.raises(EmofuseError, match="missing"):
        SpeakerEncoder(tmp_path / "none.onnx")
    damaged = tmp_path / "ge2e.onnx"
    damaged.write_bytes(b"x")
    monkeypatch.setattr("emofuse.encoders.speaker.SPEAKER_ENCODER", damaged)
    with pytest.raises(EmofuseError, match="damaged"):
        SpeakerEncoder(damaged)
    monkeypatch.undo()
    monkeypatch.setattr("emofuse.encoders.speaker.EMOTION_DIRECTIONS", damaged)
    with pytest.raises(EmofuseError, match="damaged"):
        SpeakerEncoder()


@pytest.mark.weights
def test_export_makes_the_file_of_the_package_and_agrees_with_pytorch(encoder, script, tmp_path):
    """Needs EMOFUSE_SPEAKER_CHECKPOINT, the path of `pretrained.pt` from Resemblyzer 0.1.4."""
    torch = pytest.importorskip("torch")

    from emofuse.encoders.speaker import SPEAKER_ENCODER_SHA256

    if not (checkpoint := os.environ.get("EMOFUSE_SPEAKER_CHECKPOINT")):
        pytest.skip("EMOFUSE_SPEAKER_CHECKPOINT is not set")
    assert script.export_speaker_encoder(Path(checkpoint), tmp_path / "ge2e.onnx") == SPEAKER_ENCODER_SHA256
    weights = {name: torch.from_numpy(values) for name, values in script.load_checkpoint(checkpoint).items()}
    lstm, linear = torch.nn.LSTM(40, 256, 3, batch_first=True), torch.nn.Linear(256, 256)
    lstm.load_state_dict({name[5:]: values for name, values in weights.items() if name.startswith("lstm.")})
    linear.load_state_dict({name[7:]: values for name, values in weights.items() if name.startswith("linear.")})
    for pitch in (100, 180, 300):
        samples = voice(pitch, 2.5)
        with torch.inference_mode():
            _, (hidden, _) = lstm(torch.from_numpy(split_partials(speaker_mel(samples))))
            partials = torch.nn.functional.normalize(torch.relu(linear(hidden[-1])))
            expected = torch.nn.functional.normalize(partials.mean(dim=0), dim=0).numpy()
        assert encoder.embed([samples])[0] @ expected > 0.9999


@pytest.mark.weights
def test_another_checkpoint_is_refused(script, tmp_path):
    (tmp_path / "other.pt").write_bytes(b"x")
    with pytest.raises(EmofuseError, match=r"other\.pt.*Resemblyzer"):
        script.load_checkpoint(tmp_path / "other.pt")
