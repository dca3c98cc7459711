"""Frozen speech encoders without PyTorch: parity with the encoders that training uses, and refusals."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
import transformers
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from emofuse.data.states import select_layers
from emofuse.encoders.export import export_speech_encoder
from emofuse.encoders.onnx import OnnxSpeechEncoder
from emofuse.encoders.speech import SpeechEncoder, load_speech_encoder, pool_time
from emofuse.encoders.weights import find_weights
from emofuse.errors import EmofuseError
from emofuse.files import sha256

LENGTHS = [1600, 4321, 24159, 24320, 40000]  # of 4 steps to a mean, Whisper's last mean has 1, 2, 3, 4 and 1


def noise(n: int) -> np.ndarray:
    rng = np.random.default_rng(n)
    return (0.2 * np.sin(np.arange(n) / 16000 * 2 * np.pi * 200) + rng.normal(0, 0.02, n)).astype(np.float32)


def expected(encoder: SpeechEncoder, samples: np.ndarray, layers: list[int], pool: int = 4) -> np.ndarray:
    """As the store of training has it, but in single precision."""
    states = pool_time(encoder.hidden_states(samples).numpy(), pool)
    frames = states.transpose(1, 0, 2).reshape(-1, encoder.layers * encoder.dim)
    return select_layers(frames, layers, of=encoder.layers)


def lowest_cosine(first: np.ndarray, second: np.ndarray) -> float:
    first, second = (values.reshape(len(values), -1, 64) for values in (first, second))  # a layer's states alone
    return float(((first * second).sum(-1) / np.linalg.norm(first, axis=-1) / np.linalg.norm(second, axis=-1)).min())


@pytest.fixture(scope="module")
def whisper() -> SpeechEncoder:
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        d_model=64, encoder_layers=3, encoder_attention_heads=2, encoder_ffn_dim=128, init_std=0.2
    )
    return SpeechEncoder(WhisperEncoder(config), name="small", weights_hash="0" * 64)


@pytest.fixture(scope="module")
def exported(whisper, tmp_path_factory):
    """Layers 2 and 1 in int8: the file and its facts."""
    path = tmp_path_factory.mktemp("whisper") / "speech_encoder.onnx"
    return path, export_speech_encoder(whisper, path, layers=[2, 1])


@pytest.mark.slow
def test_whole_encoder_in_fp32(whisper, tmp_path):
    """The last state is the one that is normalised."""
    layers = [0, 1, 2, 3]
    facts = export_speech_encoder(whisper, tmp_path / "e.onnx", layers=layers, weights="fp32")
    encoder = OnnxSpeechEncoder(tmp_path / "e.onnx", facts, threads=1)
    for n in LENGTHS:
        np.testing.assert_allclose(encoder.states(noise(n)), expected(whisper, noise(n), layers), atol=1e-3)


def test_cut_encoder_in_int8(whisper, exported):
    path, facts = exported
    encoder = OnnxSpeechEncoder(path, facts)
    for n in LENGTHS:
        found, wanted = encoder.states(noise(n)), expected(whisper, noise(n), [2, 1])
        assert found.dtype == np.float32 and found.shape == wanted.shape
        assert lowest_cosine(found, wanted) > 0.999
        assert np.abs(found - wanted).max() > 1e-4  # int8 it is


def test_facts(whisper, exported):
    path, facts = exported
    assert facts["layers"] == [2, 1] and (facts["dim"], facts["pool"], facts["rate"]) == (64, 4, 12.5)
    assert (facts["name"], facts["weights_hash"], facts["input"]) == ("small", "0" * 64, "log_mel")
    assert facts["front_end"]["n_mels"] == 80 and facts["sha256"] == sha256(path)
    encoder = OnnxSpeechEncoder(path, facts)
    assert (encoder.layers, encoder.dim, encoder.rate) == ([2, 1], 64, 12.5)


def test_layers_above_are_left_out(exported):
    nodes = onnx.load(exported[0]).graph.node
    assert sum(node.op_type == "Softmax" for node in nodes) == 2  # one a layer; the encoder has three


def test_what_lies_past_thirty_seconds_is_left_out(exported):
    encoder = OnnxSpeechEncoder(*exported)
    long = noise(16000 * 31)
    assert encoder.states(long).shape == (375, 128)
    np.testing.assert_array_equal(encoder.states(long), encoder.states(long[: 16000 * 30]))


def test_no_torch(exported):
    path, facts = exported
    code = (
        f"import sys; import numpy as np; from emofuse.encoders.onnx import OnnxSpeechEncoder\n"
        f"OnnxSpeechEncoder({str(path)!r}, {facts!r}).states(np.ones(16000, np.float32))\n"
        "assert not {'torch', 'transformers', 'pandas', 'onnx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_other_files_are_refused(exported, tmp_path):
    path, facts = exported
    with pytest.raises(EmofuseError, match="speech encoder"):
        OnnxSpeechEncoder(tmp_path / "absent.onnx", facts)
    with pytest.raises(EmofuseError, match="'rate'"):
        OnnxSpeechEncoder(path, {key: value for key, value in facts.items() if key != "rate"})
    with pytest.raises(EmofuseError, match="'n_mels': 64"):
        OnnxSpeechEncoder(path, {**facts, "front_end": {**facts["front_end"], "n_mels": 64}})
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(EmofuseError, match="wrong hash"):
        OnnxSpeechEncoder(damaged, facts)
    with pytest.raises(EmofuseError, match="ONNX"):
        OnnxSpeechEncoder(damaged, {**facts, "sha256": sha256(damaged)})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "stable", "weights"),
    [("Wav2Vec2", False, "fp32"), ("Wav2Vec2", True, "fp32"), ("Hubert", False, "int8"), ("WavLM", True, "fp32")],
)
def test_encoders_of_samples(tmp_path, kind, stable, weights):
    torch.manual_seed(0)
    small = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 128}
    config = getattr(transformers, f"{kind}Config")(
        **small,
        conv_dim=(32,) * 7,
        num_conv_pos_embedding_groups=4,
        do_stable_layer_norm=stable,
        feat_extract_norm="layer" if stable else "group",
        initializer_range=0.1,
    )
    getattr(transformers, f"{kind}Model")(config).save_pretrained(tmp_path / "checkpoint")
    original = load_speech_encoder(str(tmp_path / "checkpoint"))
    facts = export_speech_encoder(original, tmp_path / "e.onnx", layers=[0, 2], weights=weights)
    assert facts["input"] == "samples" and facts["front_end"] == {}
    encoder = OnnxSpeechEncoder(tmp_path / "e.onnx", facts, threads=1)
    for n in [*LENGTHS, 16000 * 30]:
        found, wanted = encoder.states(noise(n)), expected(original, noise(n), [0, 2])
        assert found.shape == wanted.shape and lowest_cosine(found, wanted) > 0.999
        assert weights == "int8" or np.abs(found - wanted).max() < 1e-3


@pytest.mark.slow
@pytest.mark.weights
def test_whisper_tiny(tmp_path):
    try:
        find_weights("whisper-tiny.en")
    except EmofuseError as error:
        pytest.skip(str(error))
    original = load_speech_encoder("whisper-tiny.en")
    facts = export_speech_encoder(original, tmp_path / "e.onnx", layers=[1, 2])
    found = OnnxSpeechEncoder(tmp_path / "e.onnx", facts).states(noise(40000))
    assert lowest_cosine(found, expected(original, noise(40000), [1, 2])) > 0.999
