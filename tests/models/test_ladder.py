"""What stands on a frozen speech encoder, alone and in every fusion."""

from typing import get_args

import pytest
import torch

from emofuse.config import Fusion, ModelConfig, Operator
from emofuse.console import quiet_onnx_export
from emofuse.errors import EmofuseError
from emofuse.models.ladder import Ladder, LayerMix, Pool, Pooling, StatesNorm
from emofuse.models.ser import LateModel, build_model

K, DIM, STATE, LAYERS, BATCH, STEPS = 5, 12, 6, [1, 2, 4], 4, 9
WIDTH = STATE * len(LAYERS)
ENCODERS = ("ladder", "layer_mix")
FUSIONS = [fusion for fusion in get_args(Fusion) if fusion != "text_only"]  # that one has no encoder
YES, NO = torch.ones(BATCH, dtype=torch.bool), torch.zeros(BATCH, dtype=torch.bool)


def make(encoder="ladder", fusion="multistage", *, seed=0, **options):
    """A model in evaluation mode, whose rungs and operators are not the identity that they may start as."""
    torch.manual_seed(seed)
    tree = {"encoder": encoder, "fusion": fusion, "layers": LAYERS, "ladder_dim": 8, "text_hidden": 8}
    tree |= {"heads": ["categories", "dimensions"]}
    model = build_model(ModelConfig.model_validate(tree | options), K, DIM, STATE)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += torch.randn(parameter.shape) * 0.1
    return model.eval()


def make_batch(steps=STEPS, seed=1):
    """One row of each kind: both, audio, text, neither. As `Utterances.batch`: no audio, no frames."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "frames": torch.randn(BATCH, steps, WIDTH, generator=generator) * 3 + 1,
        "n_frames": torch.tensor([steps, min(steps, 4), 0, 0]),
        "text": torch.randn(BATCH, DIM, generator=generator),
        "has_audio": torch.tensor([True, True, False, False]),
        "has_text": torch.tensor([True, False, True, False]),
    }


def assert_same(one, other, rows=slice(None), tolerance=1e-5):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name][rows], other[name][rows], atol=tolerance, rtol=tolerance)


@torch.no_grad()
def differs(model, batch, **changed):
    """Rows whose answer is another one."""
    one, other = model(**batch), model(**batch | changed)
    return (one["logits"] - other["logits"]).abs().amax(dim=1) > 1e-6


@pytest.mark.parametrize("pooling", get_args(Pooling))
@pytest.mark.parametrize("operator", get_args(Operator))
@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_shapes_gradients_and_padding(encoder, fusion, operator, pooling):
    model = make(encoder, fusion, operator=operator, pooling=pooling)
    batch = make_batch()
    with torch.no_grad():
        together = model(**batch)
        for row in range(BATCH):
            one = {name: value[row : row + 1] for name, value in batch.items()}
            one["frames"] = one["frames"][:, : max(1, batch["n_frames"][row])]
            assert_same({name: value[row : row + 1] for name, value in together.items()}, model(**one))
    outputs = model.train()(**batch)
    assert outputs["logits"].shape == (BATCH, K) and outputs["dimensions"].shape == (BATCH, 3)
    assert ((outputs["dimensions"] >= 0) & (outputs["dimensions"] <= 1)).all()
    sum(output.square().sum() for output in outputs.values()).backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    # Late: a row without audio gets the text model's answer, never the audio model's absent one.
    unused = {"audio.absent_audio"} if fusion == "late" else set()
    reached = {name for name, gradient in gradients.items() if gradient is not None and gradient.abs().max() > 1e-7}
    assert gradients.keys() - reached == unused
    assert all(gradients[name].isfinite().all() for name in reached)


@pytest.mark.parametrize("pooling", get_args(Pooling))
@pytest.mark.parametrize("encoder", ENCODERS)
def test_what_lies_beyond_a_clip_is_ignored(encoder, pooling):
    model = make(encoder, pooling=pooling, operator="film")
    batch = make_batch()
    beyond = torch.arange(STEPS) >= batch["n_frames"].unsqueeze(1)
    filled = batch["frames"].masked_fill(beyond.unsqueeze(2), 1e3)
    with torch.no_grad():
        assert_same(model(**batch), model(**batch | {"frames": filled}))
    model.train()
    model.zero_grad()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout | torch.nn.Dropout1d):
            module.p = 0.0
    assert_same(model(**batch), model(**batch | {"frames": filled}))


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_what_is_absent_is_not_looked_at(encoder, fusion):
    model = make(encoder, fusion)
    batch = make_batch()
    other = dict(batch)
    other["frames"] = torch.where(batch["has_audio"][:, None, None], batch["frames"], 5.0)
    other["text"] = torch.where(batch["has_text"][:, None], batch["text"], 5.0)
    other["n_frames"] = torch.where(batch["has_audio"], batch["n_frames"], STEPS)
    with torch.no_grad():
        assert_same(model(**batch), model(**other))


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_which_modalities_have_a_say(encoder, fusion):
    model = make(encoder, fusion)
    batch = make_batch() | {"n_frames": torch.full((BATCH,), STEPS), "has_audio": YES, "has_text": YES}
    reads = fusion != "audio_only"
    assert differs(model, batch, frames=batch["frames"].flip(0)).all()
    assert differs(model, batch, has_audio=NO).all()
    assert (differs(model, batch, text=batch["text"].flip(0)) == reads).all()
    assert (differs(model, batch, has_text=NO) == reads).all()


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_words_alone(encoder, fusion):
    """Rows without audio come with no frames: text has its say, and training answers as evaluation does."""
    model = make(encoder, fusion, dropout=0.0)
    batch = make_batch() | {"has_audio": NO, "n_frames": torch.zeros(BATCH, dtype=torch.int64), "has_text": YES}
    changed = differs(model, batch, text=batch["text"].flip(0))
    assert changed.all() == changed.any() == model.reads_text_without_audio == (fusion != "audio_only")
    expected = model(**batch)
    assert_same(model.train()(**batch), expected)
    # Nor does it matter that rows with audio stand beside them.
    mixed = batch | {"has_audio": NO.index_fill(0, torch.tensor([1]), True), "n_frames": torch.tensor([0, STEPS, 0, 0])}
    without = [0, 2, 3]
    assert_same(model(**mixed), expected, rows=without)
    assert_same(model.eval()(**mixed), expected, rows=without)


@pytest.mark.parametrize(
    ("stages", "conditioned"), [("all", {"1", "2", "3"}), ("last", {"3"}), ([2], {"2"}), ([3, 1], {"1", "3"})]
)
@pytest.mark.parametrize("operator", get_args(Operator))
def test_text_acts_on_each_conditioned_rung(operator, stages, conditioned):
    model = make(operator=operator, stages=stages)
    assert model.operators.keys() == conditioned
    assert model.reads_text_without_audio == ("3" in conditioned)
    batch = make_batch() | {"n_frames": torch.full((BATCH,), STEPS), "has_audio": YES, "has_text": YES}
    for rung in conditioned:
        alone = make(operator=operator, stages=stages)
        for other in conditioned - {rung}:
            alone.operators[other].forward = lambda x, text: x
        assert differs(alone, batch, text=batch["text"].flip(0)).all()


def test_stages_that_are_not_there():
    with pytest.raises(EmofuseError, match="from 1 to 3"):
        make("ladder", stages=[4])
    with pytest.raises(EmofuseError, match="from 1 to 1"):
        make("layer_mix", stages=[2])
    assert make("layer_mix", stages="all").operators.keys() == {"1"}


def test_every_layer_has_its_rung_and_its_weight():
    batch = make_batch() | {"n_frames": torch.full((BATCH,), STEPS), "has_audio": YES}
    for encoder in ENCODERS:
        model = make(encoder, "audio_only")
        for layer in range(len(LAYERS)):
            frames = batch["frames"].unflatten(2, (len(LAYERS), STATE)).clone()
            frames[:, :, layer] += torch.linspace(-1, 1, STATE)
            assert differs(model, batch, frames=frames.flatten(2)).all()


def test_rungs_add_the_layers_up():
    """At first a ladder is the sum of its projected layers: the blocks start as the identity."""
    torch.manual_seed(0)
    ladder = Ladder(3, STATE, 8).eval()
    states = torch.randn(2, 5, WIDTH)
    with torch.no_grad():
        top, _ = ladder.run_stages(states, None, lambda stage, x, valid: x)
        layers = ladder.norm(states, None).unflatten(2, (3, STATE))
        expected = sum(project(layers[:, :, i]) for i, project in enumerate(ladder.project))
    torch.testing.assert_close(top.squeeze(3).transpose(1, 2), expected)
    seen = []
    ladder.run_stages(states, None, lambda stage, x, valid: seen.append((stage, x.shape)) or x)
    assert seen == [(1, (2, 8, 5, 1)), (2, (2, 8, 5, 1))]


def test_the_mix_weighs_the_layers():
    torch.manual_seed(0)
    mix = LayerMix(3, STATE, 8).eval()
    states = torch.randn(2, 5, WIDTH)
    with torch.no_grad():
        mix.weights[:] = torch.tensor([0.0, 100.0, 0.0])
        top, _ = mix.run_stages(states, None, lambda stage, x, valid: x)
        expected = mix.project(mix.norm(states, None).unflatten(2, (3, STATE))[:, :, 1])
    torch.testing.assert_close(top.squeeze(3).transpose(1, 2), expected)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_pools_against_their_formulas(steps):
    x = torch.randn(2, 3, 7, 1, generator=torch.Generator().manual_seed(0))
    clip = x[0, :, :steps, 0]
    x[0, :, steps:] = 0
    n = torch.tensor([steps, 7])
    torch.testing.assert_close(Pool(3, "mean")(x, n)[0], clip.mean(dim=1))
    spread = (clip.var(dim=1, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(Pool(3, "mean_std")(x, n)[0], torch.cat([clip.mean(dim=1), spread]))
    attention = Pool(3, "attention")
    torch.testing.assert_close(attention(x, n)[0], clip.mean(dim=1))
    with torch.no_grad():
        attention.score.weight[:] = torch.tensor([[5.0, 0.0, -5.0]])
    weights = (5 * clip[0] - 5 * clip[2]).softmax(dim=0)
    torch.testing.assert_close(attention(x, n)[0], (clip * weights).sum(dim=1))
    torch.testing.assert_close(attention(x, n)[1], attention(x, None)[1])


def test_standardising_counts_no_padding():
    norm = StatesNorm(3, dropout=0.0).train()
    states = torch.randn(4, 20, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 5, 0.2]) + 7
    n = torch.tensor([20, 3, 11, 1])
    valid = torch.arange(20) < n.unsqueeze(1)
    padded = states.masked_fill(~valid.unsqueeze(2), 0.0)
    found = norm(padded, n)
    assert (found[~valid] == 0).all()
    torch.testing.assert_close(found[valid].mean(dim=0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(found[valid].std(dim=0, correction=0), torch.ones(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(norm.norm.running_mean, 0.01 * states[valid].mean(dim=0))
    for _ in range(2000):
        norm(padded, n)
    found = norm.eval()(padded, n)
    assert (found[~valid] == 0).all()
    torch.testing.assert_close(found[valid].mean(dim=0), torch.zeros(3), atol=1e-2, rtol=0)
    torch.testing.assert_close(found[valid].std(dim=0), torch.ones(3), atol=1e-2, rtol=0)


def test_values_are_left_out_of_all_steps_alike():
    norm = StatesNorm(200, dropout=0.5).train()
    found = norm(torch.randn(3, 10, 200), None)
    left_out = found == 0
    assert torch.equal(left_out.any(dim=1), left_out.all(dim=1))
    assert 0.3 < left_out.float().mean() < 0.7
    assert not torch.equal(left_out[0], left_out[1])
    assert not (norm.eval()(torch.randn(3, 10, 200), None) == 0).any()


@pytest.mark.parametrize("pooling", get_args(Pooling))
@pytest.mark.parametrize("encoder", ENCODERS)
def test_bf16_autocast_trains_with_float32_outputs(encoder, pooling):
    model = make(encoder, pooling=pooling).to(memory_format=torch.channels_last).train()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model(**make_batch())
    assert {output.dtype for output in outputs.values()} == {torch.float32}
    outputs["logits"].logsumexp(dim=1).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_late_is_a_ladder_and_an_mlp():
    model = make("ladder", "late")
    assert isinstance(model, LateModel) and isinstance(model.audio.encoder, Ladder)
    assert not hasattr(model.text, "encoder")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "fusion", "pooling"),
    [("ladder", "multistage", "mean_std"), ("ladder", "late", "attention"), ("layer_mix", "single_stage", "mean")],
)
def test_onnx_graph_takes_any_batch_and_length(encoder, fusion, pooling, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model = make(encoder, fusion, pooling=pooling, operator="film")
    rows, steps = torch.export.Dim("rows", min=1), torch.export.Dim("steps", min=1)
    example = make_batch(steps=30)
    shapes = {name: {0: rows, 1: steps} if name == "frames" else {0: rows} for name in example}
    with quiet_onnx_export():
        program = torch.onnx.export(
            model, kwargs=example, dynamic_shapes=shapes, dynamo=True, input_names=list(example), verbose=False
        )
    program.save(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for n, length in ((1, 11), (4, 31), (3, 77), (1, 1), (4, 1)):
        batch = {name: value[:n] for name, value in make_batch(steps=length, seed=length).items()}
        with torch.no_grad():
            expected = model(**batch)
        found = session.run(None, {name: value.numpy() for name, value in batch.items()})
        for name, value in zip(expected, found, strict=True):
            torch.testing.assert_close(torch.from_numpy(value), expected[name], atol=1e-5, rtol=1e-4)
