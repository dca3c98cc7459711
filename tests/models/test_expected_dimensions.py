"""Dimensions of a voice that are the mean of the categories' prototypes, weighted by their probabilities."""

import pytest
import torch

from emofuse.config import ModelConfig
from emofuse.models.ser import build_model

K, STATE, STEPS, TEXT = 3, 4, 7, 5
TREE = {"encoder": "ladder", "layers": [1, 2], "ladder_dim": 8, "heads": ["categories", "dimensions"]}
PROTOTYPES = torch.tensor([[0.0, 0.2, 0.4], [0.5, 0.5, 0.5], [1.0, 0.9, 0.8]])


def built(fusion, **options):
    torch.manual_seed(0)
    model = build_model(ModelConfig.model_validate(TREE | {"fusion": fusion} | options), K, TEXT, STATE)
    if model.prototypes is not None:
        model.prototypes.copy_(PROTOTYPES)
    return model


def predict(model, *, audio, text):
    generator = torch.Generator().manual_seed(1)
    frames, embedding = torch.randn(1, STEPS, 2 * STATE, generator=generator), torch.randn(1, TEXT, generator=generator)
    with torch.no_grad():
        return model(frames, torch.tensor([STEPS]), embedding, torch.tensor([audio]), torch.tensor([text]))


@pytest.mark.parametrize("fusion", ["multistage", "audio_only"])
def test_dimensions_of_a_voice_lie_between_the_prototypes(fusion):
    model = built(fusion, expected_dimensions=True).eval()
    model.heads.categories.bias.data = torch.tensor([-30.0, -30.0, 60.0])  # the third category is certain
    torch.testing.assert_close(predict(model, audio=True, text=False)["dimensions"], PROTOTYPES[2:])
    model.heads.categories.bias.data = torch.tensor([60.0, -30.0, 60.0])  # the first and the third are even
    model.heads.categories.weight.data.zero_()
    torch.testing.assert_close(predict(model, audio=True, text=False)["dimensions"], PROTOTYPES[::2].mean(0)[None])


def test_words_share_the_dimensions_half_and_half_with_the_head():
    head, expected = built("multistage").eval(), built("multistage", expected_dimensions=True).eval()
    of_head = predict(head, audio=True, text=True)
    probabilities = (of_head["logits"] / 3).softmax(dim=1)
    mixed = (of_head["dimensions"] + probabilities @ PROTOTYPES) / 2
    torch.testing.assert_close(predict(expected, audio=True, text=True)["dimensions"], mixed)
    by_words = predict(head, audio=False, text=True)["dimensions"]
    torch.testing.assert_close(predict(expected, audio=False, text=True)["dimensions"], by_words)


def test_training_sees_the_head():
    head, expected = built("multistage", dropout=0.0), built("multistage", dropout=0.0, expected_dimensions=True)
    for model in (head, expected):
        model.train()
    answers = [predict(model, audio=True, text=True)["dimensions"] for model in (head, expected)]
    torch.testing.assert_close(*answers)
