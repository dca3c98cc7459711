import itertools
from typing import get_args

import pytest
import torch

from emofuse.config import Fusion, ModelConfig, Operator
from emofuse.console import quiet_onnx_export
from emofuse.errors import EmofuseError
from emofuse.models.cnn import CNNS
from emofuse.models.ser import LateModel, SerModel, build_model

K, DIM, BATCH = 7, 16, 4
HEADS = (["categories"], ["dimensions"], ["categories", "dimensions"])
YES, NO = torch.ones(BATCH, dtype=torch.bool), torch.zeros(BATCH, dtype=torch.bool)
FUSIONS = get_args(Fusion)


def make(fusion="multistage", *, seed=0, **options):
    torch.manual_seed(seed)
    tree = {"encoder": "cnn6", "width": 0.0625, "text_hidden": 8, "heads": HEADS[2]}
    return build_model(ModelConfig.model_validate(tree | {"fusion": fusion} | options), K, DIM)


def make_batch(frames=60, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return {
        "frames": torch.randn(BATCH, frames, 64, generator=generator) * 10 - 40,
        "n_frames": torch.tensor([frames, 40, 11, frames]),
        "text": torch.randn(BATCH, DIM, generator=generator) * 0.05,
        "has_audio": torch.tensor([True, True, False, False]),
        "has_text": torch.tensor([True, False, True, False]),
    }


def assert_same(one, other, rows=slice(None), **tolerance):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name][rows], other[name][rows], **tolerance)


@pytest.mark.parametrize("heads", HEADS, ids=["categories", "dimensions", "both"])
@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("operator", get_args(Operator))
@pytest.mark.parametrize("encoder", CNNS)
def test_shapes_ranges_and_gradients(encoder, operator, fusion, heads):
    model = make(fusion, encoder=encoder, operator=operator, heads=heads).train()
    outputs = model(**make_batch())
    assert list(outputs) == [{"categories": "logits", "dimensions": "dimensions"}[head] for head in heads]
    if "logits" in outputs:
        assert outputs["logits"].shape == (BATCH, K)
    if "dimensions" in outputs:
        assert outputs["dimensions"].shape == (BATCH, 3)
        assert ((outputs["dimensions"] >= 0) & (outputs["dimensions"] <= 1)).all()
    sum(output.square().sum() for output in outputs.values()).backward()
    # Late: a row without audio gets the text model's answer, never the audio model's absent one.
    unused = {"audio.absent_audio"} if fusion == "late" else set()
    without = {
        name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()
    }
    assert without == unused


@pytest.mark.parametrize(("encoder", "fusion"), list(itertools.product(CNNS, FUSIONS)))
def test_answer_is_independent_of_batch_and_padding(encoder, fusion):
    model = make(fusion, encoder=encoder, operator="film").eval()
    batch = make_batch(frames=101)
    with torch.no_grad():
        together = model(**batch)
        for row in range(BATCH):
            one = {name: value[row : row + 1] for name, value in batch.items()}
            one["frames"] = one["frames"][:, : batch["n_frames"][row]]
            assert_same({k: v[row : row + 1] for k, v in together.items()}, model(**one), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("operator", get_args(Operator))
def test_multistage_padding_after_every_operator(operator):
    model = make("multistage", encoder="cnn14", operator=operator).eval()
    batch = make_batch(frames=170) | {"has_audio": YES, "has_text": YES}
    with torch.no_grad():
        together = model(**batch)
        short = {name: value[1:2] for name, value in batch.items()}
        alone = model(**short | {"frames": short["frames"][:, :40]})
    assert_same({k: v[1:2] for k, v in together.items()}, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_what_is_absent_is_not_looked_at(fusion):
    model = make(fusion).eval()
    batch = make_batch()
    other = dict(batch)
    other["frames"] = torch.where(batch["has_audio"][:, None, None], batch["frames"], 5.0)
    other["text"] = torch.where(batch["has_text"][:, None], batch["text"], 5.0)
    with torch.no_grad():
        assert_same(model(**batch), model(**other))


def differs(model, batch, **changed):
    with torch.no_grad():
        one, other = model.eval()(**batch), model(**batch | changed)
    return (one["logits"] - other["logits"]).abs().amax(dim=1) > 1e-6


@pytest.mark.parametrize(
    ("fusion", "stages"),
    [(f, "all") for f in FUSIONS] + [("multistage", "last"), ("multistage", [1, 2]), ("multistage", [4])],
)
def test_reads_text_without_audio_says_what_is_true(fusion, stages):
    model = make(fusion, stages=stages)
    batch = make_batch() | {"has_audio": NO, "has_text": YES}
    changed = differs(model, batch, text=batch["text"].flip(1))
    assert model.reads_text_without_audio == bool(changed.all()) == bool(changed.any())
    assert model.reads_text_without_audio == (fusion != "audio_only" and stages != [1, 2])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_which_modalities_have_a_say(fusion):
    model = make(fusion)
    batch = make_batch() | {"has_audio": YES, "has_text": YES}
    assert differs(model, batch, frames=batch["frames"].flip(2)).all() == (fusion != "text_only")
    assert differs(model, batch, text=batch["text"].flip(1)).all() == (fusion != "audio_only")
    assert differs(model, batch, has_text=NO).all() == (fusion != "audio_only")
    assert differs(model, batch, has_audio=NO).all() == (fusion != "text_only")


@pytest.mark.parametrize("fusion", ["audio_only", "single_stage", "multistage"])
def test_training_skips_the_encoder_for_rows_without_audio(fusion):
    """The rows without audio leave no trace in BatchNorm, and get the answer that evaluation gives them."""
    model = make(fusion, dropout=0.0).train()
    batch = make_batch() | {"n_frames": torch.full((BATCH,), 60)}
    model(**batch)
    statistics = {k: v.clone() for k, v in model.state_dict().items() if "running" in k or "batches" in k}
    again = make(fusion, dropout=0.0).train()
    again(**{name: value[:2] for name, value in batch.items()})
    for name, value in statistics.items():
        torch.testing.assert_close(again.state_dict()[name], value)
    trained = model(**batch)
    assert_same(trained, model.eval()(**batch), rows=slice(2, 4))
    assert_same(model.train()(**batch | {"has_audio": NO}), model.eval()(**batch | {"has_audio": NO}))


@pytest.mark.parametrize("fusion", ["text_only", "single_stage", "multistage"])
def test_words_are_left_out_in_training_only(fusion):
    batch = make_batch()
    model, plain = (make(fusion, dropout=0.0, text_dropout=share).train() for share in (0.5, 0.0))
    torch.manual_seed(0)
    dropped = model(**batch)
    assert not torch.equal(dropped["logits"][0], plain(**batch)["logits"][0])
    assert_same(make(fusion, text_dropout=0.5).eval()(**batch), make(fusion).eval()(**batch))


def test_rows_come_back_in_their_order():
    """Training with dropout off and fixed statistics is evaluation, whatever rows lack audio."""
    model = make("multistage", encoder="cnn10", dropout=0.0).eval()
    batch = make_batch() | {"has_audio": torch.tensor([False, True, False, True])}
    expected = model(**batch)
    model.training = True  # SerModel's own paths only: BatchNorm keeps its fixed statistics
    assert_same(model(**batch), expected, atol=1e-5, rtol=1e-5)
    full = batch | {"n_frames": torch.full((BATCH,), 60)}
    model.training = False
    expected = model(**full)
    model.training = True
    assert_same(model(**full), expected, atol=1e-5, rtol=1e-5)


def test_constant_text_dimensions_and_scale():
    """Layer normalisation takes the scale away and does not divide by zero."""
    model = make("text_only").eval()
    batch = make_batch() | {"has_text": YES}
    with torch.no_grad():
        assert_same(model(**batch), model(**batch | {"text": batch["text"] * 10}), atol=1e-2, rtol=1e-2)
        constant = model(**batch | {"text": torch.full((BATCH, DIM), 0.3)})
    assert constant["logits"].isfinite().all()
    plain = make("text_only", text_norm="none")
    assert differs(plain, batch, text=batch["text"] * 10).all()


def additive_gap(fusion):
    """How far logits are from a sum of a function of the audio and one of the text."""
    model = make(fusion, encoder="cnn6", width=0.25, seed=3).eval()
    batch = {name: value[:2] for name, value in make_batch().items()}
    batch |= {"n_frames": torch.tensor([60, 60]), "has_audio": YES[:2], "has_text": YES[:2]}
    batch["text"] = batch["text"] * 100
    with torch.no_grad():
        straight = model(**batch)["logits"]
        crossed = model(**batch | {"text": batch["text"].flip(0)})["logits"]
    return (straight.sum(dim=0) - crossed.sum(dim=0)).abs().max()


def test_only_the_additive_merge_is_a_sum():
    assert additive_gap("single_stage_additive") < 1e-5
    assert additive_gap("single_stage") > 1e-3
    assert additive_gap("multistage") > 1e-3


def test_late_averages_posteriors_and_values():
    model = make("late").eval()
    assert isinstance(model, LateModel)
    model.set_weight(0.25)
    batch = make_batch()
    with torch.no_grad():
        late, audio, text = model(**batch), model.audio(**batch), model.text(**batch)
    heard, read = audio["logits"].softmax(dim=1), text["logits"].softmax(dim=1)
    expected = torch.stack([0.25 * heard[0] + 0.75 * read[0], heard[1], read[2], read[3]])
    torch.testing.assert_close(late["logits"].exp(), expected)
    torch.testing.assert_close(late["logits"].softmax(dim=1), expected)
    torch.testing.assert_close(late["dimensions"][0], 0.25 * audio["dimensions"][0] + 0.75 * text["dimensions"][0])
    torch.testing.assert_close(late["dimensions"][1], audio["dimensions"][1])
    torch.testing.assert_close(late["dimensions"][2:], text["dimensions"][2:])


def test_late_weight_is_kept():
    model, other = make("late"), make("late")
    model.set_weight(0.75)
    other.load_state_dict(model.state_dict())
    assert other.weight.item() == 0.75


def test_late_posterior_of_zero_stays_finite():
    model = make("late", heads=["categories"])
    with torch.no_grad():
        for part in (model.audio, model.text):
            part.heads.categories.bias[0] = -1e4
    logits = model(**make_batch())["logits"]
    assert logits.isfinite().all()
    logits[:, 1].sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_late_is_no_single_model():
    with pytest.raises(ValueError, match="build_model"):
        SerModel(ModelConfig(fusion="late"), K, DIM)


def test_stage_that_the_encoder_does_not_have():
    with pytest.raises(EmofuseError, match="from 1 to 4"):
        make("multistage", stages=[5])
    assert make("multistage", encoder="cnn14", stages=[5]).operators.keys() == {"5"}


@pytest.mark.parametrize("fusion", ["multistage", "audio_only", "late"])
def test_pretrained_encoder_is_loaded_when_asked(fusion, tmp_path):
    source = make("audio_only", seed=5).encoder
    path = tmp_path / "panns.pth"
    torch.save({"model": source.state_dict()}, path)
    for pretrained in (True, False):
        config = ModelConfig(fusion=fusion, encoder="cnn6", width=0.0625, pretrained=str(path))
        model = build_model(config, K, DIM, pretrained=pretrained)
        encoder = model.audio.encoder if isinstance(model, LateModel) else model.encoder
        assert torch.equal(encoder.fc1.weight, source.fc1.weight) == pretrained


def test_bf16_autocast_trains_with_float32_outputs():
    model = make("multistage", encoder="cnn14").to(memory_format=torch.channels_last).train()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model(**make_batch())
    assert {output.dtype for output in outputs.values()} == {torch.float32}
    outputs["logits"].logsumexp(dim=1).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("fusion", ["multistage", "late"])
def test_onnx_graph_takes_any_batch_and_length(fusion, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model = make(fusion, encoder="cnn14").eval()
    rows, frames = torch.export.Dim("rows", min=1), torch.export.Dim("frames", min=1)
    example = make_batch(frames=100)
    shapes = {name: {0: rows, 1: frames} if name == "frames" else {0: rows} for name in example}
    with quiet_onnx_export():
        program = torch.onnx.export(
            model, kwargs=example, dynamic_shapes=shapes, dynamo=True, input_names=list(example), verbose=False
        )
    program.save(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for n, length in ((1, 11), (4, 31), (3, 77), (1, 1), (2, 300)):
        batch = {name: value[:n] for name, value in make_batch(frames=length, seed=length).items()}
        batch["n_frames"] = batch["n_frames"].clamp(max=length)
        with torch.no_grad():
            expected = model(**batch)
        found = session.run(None, {name: value.numpy() for name, value in batch.items()})
        for name, value in zip(expected, found, strict=True):
            torch.testing.assert_close(torch.from_numpy(value), expected[name], atol=1e-5, rtol=1e-4)
