"""The paper's configuration, pinned; and CNN14 against PANNs' own code where it is installed."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from emofuse.config import ModelConfig, load_recipe
from emofuse.models.cnn import CNNS, load_panns
from emofuse.models.ser import build_model

RECIPE = Path(__file__).parents[2] / "recipes" / "paper.toml"
CNN14_PARAMETERS = 79_673_792  # PANNs' Cnn14 without its output layer
BERT_DIM = 768


@pytest.fixture
def panns(monkeypatch):
    """PANNs' networks, without the start of their package, which fetches a file over the network."""
    spec = importlib.util.find_spec("panns_inference")
    if spec is None:
        pytest.skip("panns-inference is not installed")
    package = ModuleType("panns_inference")
    package.__path__ = list(spec.submodule_search_locations)
    monkeypatch.setitem(sys.modules, "panns_inference", package)
    return importlib.import_module("panns_inference.models")


def count(model):
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def test_recipe_is_the_papers():
    recipe = load_recipe(RECIPE)
    model, training = recipe.model, recipe.training
    assert (model.fusion, model.encoder, model.width, model.operator) == ("multistage", "cnn14", 1.0, "shift")
    assert (model.stages, model.dropout, model.channel_dropout, model.text_norm) == ("all", 0.2, True, "none")
    assert (recipe.text.encoder, recipe.text.pooling) == ("bert-base-uncased", "mean")
    assert (training.optimizer, training.learning_rate, training.momentum) == ("sgd", 0.001, 0.9)
    assert (training.batch_size, training.epochs, training.schedule) == (32, 60, "plateau")
    assert (training.crop_seconds, training.precision) == (2.5, "fp32")
    assert (training.spec_augment, training.mixup, training.modality_dropout) == (False, 0.0, 0.0)
    assert recipe.data.corpora[0].reader == "table"


def test_stages_of_a_clip_of_two_and_a_half_seconds():
    recipe = load_recipe(RECIPE)
    with torch.device("meta"):
        model = build_model(recipe.model, 4, BERT_DIM)
        maps, conditioned = [], []
        for block in model.encoder.blocks:
            block.register_forward_hook(lambda _m, _i, output: maps.append(tuple(output[0].shape)))
        for operator in model.operators.values():
            operator.register_forward_hook(lambda _m, _i, output: conditioned.append(tuple(output.shape)))
        present = torch.ones(2, dtype=torch.bool)
        model.eval()(torch.zeros(2, 251, 64), torch.full((2,), 251), torch.zeros(2, BERT_DIM), present, present)
    assert maps == [
        (2, 64, 125, 32),
        (2, 128, 62, 16),
        (2, 256, 31, 8),
        (2, 512, 15, 4),
        (2, 1024, 7, 2),
        (2, 2048, 7, 2),
    ]
    assert conditioned == maps


def test_parameter_count():
    with torch.device("meta"):
        model = build_model(load_recipe(RECIPE).model, 4, BERT_DIM)
        shifts = sum((BERT_DIM + 1) * channels for channels in (64, 128, 256, 512, 1024, 2048))
        assert count(model.encoder) == CNN14_PARAMETERS
        assert count(model.operators) == shifts == 3_100_608
        absent = BERT_DIM + 2048
        assert count(model) == CNN14_PARAMETERS + shifts + absent + (2048 + 1) * 4 == 82_785_412


def test_parameter_count_with_527_classes_is_that_of_panns():
    with torch.device("meta"):
        model = build_model(ModelConfig(fusion="audio_only", encoder="cnn14"), 527, BERT_DIM)
    # The learned map of absent audio is ours alone.
    assert count(model) - model.absent_audio.numel() == 80_753_615


def test_panns_own_code_has_that_count(panns):
    assert count(panns.Cnn14(16000, 512, 160, 64, 50, 8000, 527)) == 80_753_615


def test_embedding_is_that_of_panns(panns, tmp_path):
    torch.manual_seed(0)
    theirs = panns.Cnn14(16000, 512, 160, 64, 50, 8000, 527).eval()
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.normal_(module.bias, std=0.1)
    torch.save({"model": theirs.state_dict()}, tmp_path / "Cnn14.pth")
    ours = CNNS["cnn14"]().eval()
    load_panns(ours, tmp_path / "Cnn14.pth")
    theirs.spectrogram_extractor = theirs.logmel_extractor = torch.nn.Identity()
    log_mel = torch.randn(2, 101, 64)
    with torch.no_grad():
        expected = theirs(log_mel.unsqueeze(1))["embedding"]
        x, n_frames = ours.start(log_mel, torch.tensor([101, 101]))
        for block in ours.blocks:
            x, n_frames = block(x, n_frames)
        embedding = ours.embed(ours.pool(x, n_frames))
    assert expected.std() > 0.01
    torch.testing.assert_close(embedding, expected, atol=1e-4, rtol=1e-4)
