"""What cannot be exported is refused; parity is tested with `emofuse.encoders.onnx`."""

import numpy as np
import pytest
import torch
import transformers
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from emofuse.encoders import export as speech_export
from emofuse.encoders.export import export_speech_encoder
from emofuse.encoders.speech import SpeechEncoder
from emofuse.errors import EmofuseError
from emofuse.silence import trim_silence


@pytest.fixture(scope="module")
def encoder() -> SpeechEncoder:
    torch.manual_seed(0)
    config = transformers.WhisperConfig(d_model=8, encoder_layers=2, encoder_attention_heads=1, encoder_ffn_dim=8)
    return SpeechEncoder(WhisperEncoder(config), name="small", weights_hash="0" * 64)


@pytest.mark.parametrize("layers", [[], [3], [-1], [1, 1]])
def test_layers_that_are_not_there(encoder, tmp_path, layers):
    with pytest.raises(EmofuseError, match=r"\[.*\].* 0 .* 2\b.*small"):
        export_speech_encoder(encoder, tmp_path / "e.onnx", layers=layers)


def test_other_options(encoder, tmp_path):
    with pytest.raises(EmofuseError, match="pool 0"):
        export_speech_encoder(encoder, tmp_path / "e.onnx", layers=[1], pool=0)
    with pytest.raises(EmofuseError, match=r"'int4'.*fp32, fp16, int8"):
        export_speech_encoder(encoder, tmp_path / "e.onnx", layers=[1], weights="int4")


@pytest.mark.slow
def test_a_graph_that_differs_is_not_written(encoder, tmp_path, monkeypatch):
    class Other:
        def __init__(self, path, facts):
            self.states = lambda samples: np.random.default_rng(0).normal(
                size=(-(-len(trim_silence(samples)) // 320), 8)
            )

    monkeypatch.setattr(speech_export, "OnnxSpeechEncoder", Other)
    with pytest.raises(EmofuseError, match=r"'small'.*cosine .*fp32"):
        export_speech_encoder(encoder, tmp_path / "e.onnx", layers=[1], pool=1)
    assert not list(tmp_path.iterdir())


def test_an_exporter_that_fails_is_named(encoder, tmp_path, monkeypatch):
    def fails(*arguments, **options):
        raise RuntimeError("no such operator\nand a long trace")

    monkeypatch.setattr(speech_export, "to_onnx", fails)
    with pytest.raises(EmofuseError, match=r"'small'.*no such operator"):
        export_speech_encoder(encoder, tmp_path / "e.onnx", layers=[1])
