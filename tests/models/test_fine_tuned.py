"""Trained top layers: at first those of the frozen encoder, and padding never changes what they give."""

import numpy as np
import pytest
import torch
import transformers
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from emofuse.config import ModelConfig
from emofuse.encoders.speech import SpeechEncoder, pool_time
from emofuse.models.ladder import TopLayers
from emofuse.models.ser import LateModel, build_model

K, TEXT, DIM, DEPTH, STEPS = 4, 6, 16, 5, 30
LENGTHS = [30, 17, 4, 1]  # of 4 steps to a mean, the last of a row has 2, 1, 4 and 1


@pytest.fixture(scope="module")
def whisper() -> SpeechEncoder:
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        d_model=DIM, encoder_layers=DEPTH, encoder_attention_heads=2, encoder_ffn_dim=32, init_std=0.2
    )
    return SpeechEncoder(WhisperEncoder(config), name="small", weights_hash="0" * 64)


SMALL = {
    "hidden_size": DIM,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "initializer_range": 0.2,
    "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
FAMILIES = {
    "wav2vec2": (transformers.Wav2Vec2Config, {}),
    "wav2vec2-stable": (transformers.Wav2Vec2Config, {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}),
    "hubert": (transformers.HubertConfig, {}),
    "hubert-stable": (transformers.HubertConfig, {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}),
    "wavlm": (transformers.WavLMConfig, {}),
    "wavlm-stable": (transformers.WavLMConfig, {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}),
}


@pytest.fixture(scope="module", params=["whisper", *FAMILIES])
def encoder(request, whisper) -> SpeechEncoder:
    """A small random encoder of each family."""
    if request.param == "whisper":
        return whisper
    config, options = FAMILIES[request.param]
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(config(**SMALL, **options))
    return SpeechEncoder(model, name=request.param, weights_hash="0" * 64)


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (0.2 * np.sin(np.arange(24159) / 16000 * 2 * np.pi * 200) + rng.normal(0, 0.02, 24159)).astype(np.float32)


def top_layers(whisper, layers, n) -> TopLayers:
    return TopLayers(
        whisper, layers=layers, frozen=ModelConfig(encoder="ladder", layers=layers, fine_tune_layers=n).frozen_layers
    )


def run_parallel(states: torch.Tensor, layers) -> torch.Tensor:
    """(all layers, steps, dim) to (1, steps, len(layers) * dim)."""
    return states[list(layers)].transpose(0, 1).flatten(1)[None]


def batch_of(width, seed=1) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(len(LENGTHS), STEPS, width, generator=torch.Generator().manual_seed(seed)), torch.tensor(LENGTHS)


@pytest.mark.parametrize(
    ("layers", "n", "frozen"),
    [
        ([2, 3, 4], 1, [2, 3]),
        ([2, 3, 4], 2, [2]),
        ([4, 1, 2, 0], 2, [1, 0, 2]),
        ([1, 4], 1, [1, 3]),  # what the trained layer takes is not among the layers
        ([4], 3, [1]),
        ([3, 5], 2, [3]),  # the highest of all, which Whisper normalises
        ([0, 5], 1, [0, 4]),
    ],
)
def test_at_first_it_gives_what_the_frozen_encoder_gives(encoder, samples, layers, n, frozen):
    assert ModelConfig(encoder="ladder", layers=layers, fine_tune_layers=n).frozen_layers == frozen
    states = encoder.hidden_states(samples)
    expected = pool_time(states[layers].numpy(), 4).transpose(1, 0, 2).reshape(-1, len(layers) * DIM)
    top = top_layers(encoder, layers, n).eval()
    assert len(top.layers) == n
    with torch.no_grad():
        found, n_frames = top(run_parallel(states, frozen), torch.tensor([states.shape[1]]))
        whole, none = top(run_parallel(states, frozen), None)
    assert n_frames.tolist() == [len(expected)] and none is None
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-4)
    np.testing.assert_allclose(whole[0].numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("n", [1, 2])
def test_padding_never_changes_a_row(encoder, n, attention):
    top = top_layers(encoder, [2, 3, 4], n).eval()
    for module in top.modules():
        if hasattr(module, "config"):
            module.config._attn_implementation = attention
    frames, n_frames = batch_of(DIM * (3 - n))
    beyond = torch.arange(STEPS) >= n_frames.unsqueeze(1)
    with torch.no_grad():
        together, steps = top(frames, n_frames)
        assert together.shape == (4, 8, 3 * DIM) and steps.tolist() == [8, 5, 1, 1]
        filled, _ = top(frames.masked_fill(beyond.unsqueeze(2), 1e3), n_frames)
        for row, (length, valid) in enumerate(zip(LENGTHS, steps.tolist(), strict=True)):
            alone, _ = top(frames[row : row + 1, :length], None)
            assert alone.shape[1] == valid
            torch.testing.assert_close(together[row, :valid], alone[0], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(filled[row, :valid], alone[0], atol=1e-5, rtol=1e-5)
            assert (together[row, valid:] == 0).all()
        # A row without audio has no steps: it gets one, of whatever is there, and is finite.
        nothing, steps = top(frames, torch.zeros(4, dtype=torch.int64))
    assert nothing.isfinite().all() and steps.tolist() == [1] * 4


def test_gradients_reach_the_trained_layers_and_no_others(encoder):
    before = {name: value.clone() for name, value in encoder.model.state_dict().items()}
    top = top_layers(encoder, [2, 4], 2).eval()  # without dropout
    frames, n_frames = batch_of(DIM)
    states, _ = top(frames, n_frames)
    states.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in top.parameters())
    # A bias of the keys shifts all scores alike, so it has no gradient; every other weight has one.
    assert all(p.grad.abs().max() > 1e-7 for name, p in top.named_parameters() if not name.endswith("k_proj.bias"))
    assert {name.split(".")[1] for name, _ in top.named_parameters()} == {"0", "1"}  # layers 3 and 4
    torch.optim.SGD(top.parameters(), lr=0.1).step()
    assert all(torch.equal(before[name], value) for name, value in encoder.model.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in encoder.model.parameters())
    with torch.no_grad():
        after, _ = top(frames, n_frames)
    # Layer 2 is frozen; layer 4 has moved.
    torch.testing.assert_close(after[..., :DIM], states[..., :DIM])
    assert (after[..., DIM:] - states[..., DIM:]).abs().max() > 1e-3


def test_bf16_autocast(encoder):
    top = top_layers(encoder, [2, 3, 4], 2).eval()
    frames, n_frames = batch_of(DIM)
    with torch.autocast("cpu", torch.bfloat16):
        states, _ = top(frames, n_frames)
    states.square().mean().backward()
    with torch.no_grad():
        exact, _ = top(frames, n_frames)
    assert (states - exact).abs().max() < 0.05 * exact.abs().max()
    assert all(p.grad.isfinite().all() for p in top.parameters())


@pytest.fixture
def make(whisper, monkeypatch):
    """A model in evaluation mode, whose rungs and operators are not the identity that they may start as."""
    monkeypatch.setattr("emofuse.models.ser.load_speech_encoder", lambda name: whisper)

    def make(fusion="multistage", encoder="ladder", n=1, **options):
        torch.manual_seed(0)
        tree = {"encoder": encoder, "fusion": fusion, "layers": [2, 3, 4], "ladder_dim": 8, "text_hidden": 8}
        tree |= {"fine_tune_layers": n, "pooling": "mean_std", "heads": ["categories", "dimensions"]}
        model = build_model(ModelConfig.model_validate(tree | options), K, TEXT, DIM)
        torch.manual_seed(1)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "top_layers" not in name:
                    parameter += torch.randn(parameter.shape) * 0.1
        return model.eval()

    return make


def inputs(width, steps=STEPS):
    """One row of each kind: both, audio, text, neither."""
    generator = torch.Generator().manual_seed(2)
    return {
        "frames": torch.randn(4, steps, width, generator=generator),
        "n_frames": torch.tensor([steps, 17, 0, 0]),
        "text": torch.randn(4, TEXT, generator=generator),
        "has_audio": torch.tensor([True, True, False, False]),
        "has_text": torch.tensor([True, False, True, False]),
    }


@pytest.mark.parametrize("encoder", ["ladder", "layer_mix"])
@pytest.mark.parametrize("fusion", ["audio_only", "multistage", "single_stage", "late"])
def test_models_in_every_fusion(make, fusion, encoder):
    model = make(fusion, encoder)
    batch = inputs(2 * DIM)
    with torch.no_grad():
        together = model(**batch)
        for row in range(4):
            one = {name: value[row : row + 1] for name, value in batch.items()}
            one["frames"] = one["frames"][:, : max(1, batch["n_frames"][row])]
            alone = model(**one)
            for name, value in together.items():
                torch.testing.assert_close(value[row : row + 1], alone[name], atol=1e-5, rtol=1e-5)
    outputs = model.train()(**batch)
    sum(output.square().sum() for output in outputs.values()).backward()
    unused = {"audio.absent_audio"} if fusion == "late" else set()
    reached = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert {name for name, _ in model.named_parameters()} - reached == unused
    assert any("top_layers" in name for name in reached)
    if isinstance(model, LateModel):
        assert model.text.top_layers is None


@pytest.mark.parametrize("encoder", ["ladder", "layer_mix"])
@pytest.mark.parametrize("n", [1, 2])
def test_a_model_answers_at_first_as_on_frozen_states(make, whisper, samples, encoder, n):
    """The same seed gives the same ladder, with and without trained layers below it."""
    states = whisper.hidden_states(samples)
    frozen, tuned = make(encoder=encoder, n=0), make(encoder=encoder, n=n)
    assert frozen.top_layers is None
    weights = tuned.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in frozen.state_dict().items())
    assert all("top_layers" in name for name in weights.keys() - frozen.state_dict().keys())
    yes = torch.tensor([True])
    words = {"text": torch.randn(1, TEXT), "has_audio": yes, "has_text": yes}
    means = torch.from_numpy(pool_time(states[[2, 3, 4]].numpy(), 4).transpose(1, 0, 2).reshape(1, -1, 3 * DIM)).float()
    taken = run_parallel(states, tuned.config.frozen_layers)
    with torch.no_grad():
        expected = frozen(means, torch.tensor([means.shape[1]]), **words)
        found = tuned(taken, torch.tensor([taken.shape[1]]), **words)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-4, rtol=1e-4)
