"""Several networks averaged: each learns as it would alone, and the answer is the mean of theirs."""

import pytest
import torch

from emofuse.config import ModelConfig
from emofuse.data.batch import Batch
from emofuse.models.ser import Ensemble, LateModel, SerModel, build_model
from emofuse.training.losses import JointLoss
from emofuse.training.module import member_losses

BATCH, STEPS, STATE, TEXT, K = 4, 6, 5, 7, 3
TREE = {"encoder": "ladder", "layers": [1, 2], "ladder_dim": 8, "heads": ["categories", "dimensions"]}


def make(fusion="multistage", members=3):
    torch.manual_seed(0)
    return build_model(ModelConfig.model_validate(TREE | {"fusion": fusion, "members": members}), K, TEXT, STATE)


def inputs():
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(BATCH, STEPS, 2 * STATE, generator=generator),
        torch.tensor([STEPS, 3, STEPS, 1]),
        torch.randn(BATCH, TEXT, generator=generator),
        torch.tensor([True, True, False, True]),
        torch.tensor([True, False, True, True]),
    )


@pytest.mark.parametrize("fusion", ["multistage", "single_stage", "audio_only", "text_only"])
def test_the_answer_is_the_mean_of_the_members(fusion):
    model = make(fusion).eval()
    assert isinstance(model, Ensemble) and len(model.members) == 3
    with torch.no_grad():
        found, each = model(*inputs()), [member(*inputs()) for member in model.members]
    expected = sum(answer["logits"].softmax(dim=1) for answer in each) / 3
    torch.testing.assert_close(found["logits"].exp(), expected)
    torch.testing.assert_close(found["dimensions"], sum(answer["dimensions"] for answer in each) / 3)
    assert not torch.allclose(each[0]["logits"], each[1]["logits"])
    assert model.reads_text_without_audio == model.members[0].reads_text_without_audio


def test_one_member_is_the_network_itself():
    assert isinstance(make(members=1), SerModel)


def test_late_fusion_averages_two_ensembles():
    model = make("late", members=2)
    assert isinstance(model, LateModel)
    assert isinstance(model.audio, Ensemble) and isinstance(model.text, Ensemble)
    assert model.eval()(*inputs())["logits"].shape == (BATCH, K)


def test_each_member_learns_as_it_would_alone():
    model, loss = make().eval(), JointLoss()  # eval: no dropout
    batch = Batch(torch.arange(BATCH), *inputs(), target=torch.eye(K)[[0, 1, 2, 0]], dimensions=torch.rand(BATCH, 3))
    losses = member_losses(model, loss, batch)
    losses.sum().backward()
    for member, own in zip(model.members, losses, strict=True):
        found = {name: parameter.grad for name, parameter in member.named_parameters()}
        member.zero_grad(set_to_none=True)
        alone = loss(member(*batch.inputs()), batch.target, batch.dimensions)
        alone.backward()
        torch.testing.assert_close(own, alone)
        assert found["encoder.project.0.weight"].abs().max() > 0
        for name, parameter in member.named_parameters():
            torch.testing.assert_close(found[name], parameter.grad)
