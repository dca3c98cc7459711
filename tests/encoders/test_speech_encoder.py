"""Hidden states of frozen speech encoders: those of CTranslate2's and transformers' own code."""

import numpy as np
import pytest
import torch

from emofuse.audio import whisper_log_mel
from emofuse.encoders import speech as whisper
from emofuse.encoders.speech import layer_states, load_speech_encoder, read_ctranslate2, require_speech_encoder
from emofuse.encoders.weights import find_weights
from emofuse.errors import EmofuseError
from emofuse.files import hash_of, sha256


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (np.sin(np.arange(24000) / 16000 * 2 * np.pi * 200) * 0.2 + rng.normal(0, 0.01, 24000)).astype(np.float32)


@pytest.mark.weights
def test_weights_of_ctranslate2_give_its_output(samples: np.ndarray) -> None:
    import ctranslate2

    try:
        folder = find_weights("whisper-tiny.en")
    except EmofuseError as error:
        pytest.skip(str(error))
    encoder = load_speech_encoder("whisper-tiny.en")
    mel = whisper_log_mel(np.pad(samples, (0, 480_000 - len(samples))))
    theirs = ctranslate2.models.Whisper(str(folder), compute_type="float32").encode(
        ctranslate2.StorageView.from_array(mel[None])
    )
    with torch.inference_mode():
        ours = layer_states(encoder.model, torch.from_numpy(mel))
    np.testing.assert_allclose(ours[-1].numpy(), np.array(theirs)[0], atol=2e-3)
    states = encoder.hidden_states(samples)
    assert states.shape == (5, 75, 384) == (encoder.layers, 1.5 * encoder.rate, encoder.dim)
    assert torch.equal(states, encoder.hidden_states(samples))


@pytest.mark.parametrize("kind", ["Wav2Vec2", "Hubert", "WavLM", "Whisper"])
def test_checkpoints_of_transformers(samples: np.ndarray, tmp_path, kind: str) -> None:
    import transformers

    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    if kind == "Whisper":
        small = {"d_model": 16, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 16}
        small |= {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "vocab_size": 60000}
    model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**small)).eval()
    model.save_pretrained(tmp_path)
    encoder = load_speech_encoder(str(tmp_path))
    assert encoder.weights_hash == sha256(tmp_path / "model.safetensors")
    assert encoder.identity == {"name": str(tmp_path), "weights_hash": encoder.weights_hash, "dim": 16}
    states = encoder.hidden_states(samples)
    assert states.shape[0] == encoder.layers == 3 and states.shape[2] == encoder.dim == 16
    assert abs(states.shape[1] - 1.5 * encoder.rate) <= 1 and states.isfinite().all()
    other = getattr(transformers, f"{kind}Model")(model.config)
    other.save_pretrained(tmp_path / "other")
    other = load_speech_encoder(str(tmp_path / "other"))
    assert other.hash != encoder.hash
    sums = {key: float(value.double().abs().sum()) for key, value in encoder.model.state_dict().items()}
    for known in (encoder.weights_hash, hash_of(sums)):  # the second is that of earlier versions
        require_speech_encoder(encoder, {"name": "x", "weights_hash": known}, "a run")
        with pytest.raises(EmofuseError, match=r"a run.*'x'"):
            require_speech_encoder(other, {"name": "x", "weights_hash": known}, "a run")


def test_a_whisper_of_other_bands_is_refused(tmp_path) -> None:
    import transformers

    small = {"d_model": 8, "encoder_layers": 1, "encoder_attention_heads": 1, "encoder_ffn_dim": 8, "vocab_size": 60000}
    config = transformers.WhisperConfig(**small, decoder_layers=1, decoder_attention_heads=1, num_mel_bins=128)
    transformers.WhisperModel(config).save_pretrained(tmp_path)
    with pytest.raises(EmofuseError, match=r"128 .*80"):
        load_speech_encoder(str(tmp_path))


def test_what_lies_past_thirty_seconds_is_left_out(tmp_path) -> None:
    import transformers

    config = transformers.WhisperConfig(d_model=8, encoder_layers=1, encoder_attention_heads=1, encoder_ffn_dim=8)
    encoder = whisper.SpeechEncoder(
        transformers.models.whisper.modeling_whisper.WhisperEncoder(config), name="small", weights_hash="0"
    )
    long = np.random.default_rng(0).normal(size=16000 * 31).astype(np.float32)
    assert encoder.hidden_states(long).shape == (2, 1500, 8)


def test_damaged_or_other_files_are_refused(tmp_path) -> None:
    (tmp_path / "model.bin").write_bytes(b"\x05\0\0\0")
    with pytest.raises(EmofuseError, match=r"5.*6"):
        read_ctranslate2(tmp_path / "model.bin")
    (tmp_path / "model.bin").write_bytes(b"\x06\0\0\0\x03\0ab\0\0\0\0\0\x09\0\0\0")
    with pytest.raises(EmofuseError, match="damaged"):
        read_ctranslate2(tmp_path / "model.bin")
    with pytest.raises(EmofuseError, match=r"absent'"):
        load_speech_encoder(str(tmp_path / "absent"))
