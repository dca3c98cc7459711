import numpy as np
import pytest
import torch
from torch.nn import functional

from emofuse.metrics.scores import ccc
from emofuse.training.losses import JointLoss, category_loss, ccc_loss

NAN = float("nan")


def test_ccc_loss_is_one_minus_the_metric_for_each_dimension():
    torch.manual_seed(0)
    prediction, truth = torch.rand(40, 3), torch.rand(40, 3)
    truth[:10, 1] = NAN
    known = ~truth.isnan()
    each = [ccc(truth[known[:, i], i].numpy(), prediction[known[:, i], i].numpy()) for i in range(3)]
    assert ccc_loss(prediction, truth).item() == pytest.approx(1 - sum(each) / 3, abs=1e-5)


def test_ccc_loss_does_not_mix_dimensions():
    """Dimensions that are right in themselves have no loss, however far their means lie apart."""
    truth = torch.rand(10, 3) * 0.1 + torch.tensor([0.0, 0.4, 0.8])
    assert ccc_loss(truth, truth).item() == pytest.approx(0, abs=1e-4)
    assert ccc_loss(truth.roll(1, dims=1), truth).item() > 0.9


@pytest.mark.parametrize(
    "truth",
    [
        torch.full((4, 3), 0.5),
        torch.tensor([[0.1, 0.5, NAN]]),
        torch.full((4, 3), NAN),
        torch.zeros(0, 3),
    ],
    ids=["constant", "length 1", "no label", "empty"],
)
@pytest.mark.parametrize("constant", [True, False])
def test_ccc_loss_and_gradient_are_finite(truth, constant):
    prediction = (torch.full(truth.shape, 0.5) if constant else torch.rand(truth.shape)).requires_grad_()
    loss = ccc_loss(prediction, truth)
    loss.backward()
    assert loss.isfinite()
    assert prediction.grad.isfinite().all()
    if truth.isnan().all():
        assert loss.item() == 0


def test_category_loss_is_weighted_cross_entropy():
    torch.manual_seed(0)
    logits, label = torch.randn(20, 4), torch.randint(0, 4, (20,))
    weight = torch.tensor([1.0, 2.0, 0.5, 1.0])
    target = functional.one_hot(label, 4).float()
    expected = functional.cross_entropy(logits, label, weight=weight)
    assert category_loss(logits, target * weight).item() == pytest.approx(expected.item(), rel=1e-5)
    smooth = functional.cross_entropy(logits, label, label_smoothing=0.1)
    assert category_loss(logits, target, 0.1).item() == pytest.approx(smooth.item(), rel=1e-5)


def test_rows_without_label_do_not_count():
    logits = torch.randn(6, 3, requires_grad=True)
    target = functional.one_hot(torch.tensor([0, 1, 2, 0, 1, 2]), 3).float()
    target[3:] = 0
    loss = category_loss(logits, target)
    assert loss.item() == pytest.approx(category_loss(logits[:3], target[:3]).item(), rel=1e-6)
    loss.backward()
    assert (logits.grad[3:] == 0).all()
    assert category_loss(logits, torch.zeros(6, 3)).item() == 0


def test_joint_loss_by_hand():
    outputs = {"logits": torch.randn(8, 3, requires_grad=True), "dimensions": torch.rand(8, 3)}
    target, truth = functional.one_hot(torch.randint(0, 3, (8,)), 3).float(), torch.rand(8, 3)
    alone = JointLoss((1.0, 0.0))(outputs, target, truth)
    both = JointLoss((2.0, 1.0))(outputs, target, truth)
    assert both.item() == pytest.approx(2 * alone.item() + ccc_loss(outputs["dimensions"], truth).item(), rel=1e-5)
    learned = JointLoss("uncertainty")
    learned(outputs, target, truth).backward()
    assert learned.weights.grad.abs().sum() > 0
    assert sum(p.requires_grad for p in JointLoss((1.0, 1.0)).parameters()) == 0


def test_one_labelled_dimension_counts_in_full():
    torch.manual_seed(1)
    prediction, truth = torch.rand(9, 3), torch.rand(9, 3)
    truth[:, 1:] = NAN
    expected = 1 - ccc(truth[:, 0].numpy(), prediction[:, 0].numpy())
    assert ccc_loss(prediction, truth).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("heads", [["logits"], ["dimensions"], ["logits", "dimensions"]])
def test_joint_loss_is_the_sum_over_the_heads_of_the_model(heads):
    torch.manual_seed(2)
    outputs = {"logits": torch.randn(8, 3), "dimensions": torch.rand(8, 3)}
    target, truth = functional.one_hot(torch.randint(0, 3, (8,)), 3).float(), torch.rand(8, 3)
    each = {
        "logits": category_loss(outputs["logits"], target).item(),
        "dimensions": ccc_loss(outputs["dimensions"], truth).item(),
    }
    outputs = {name: outputs[name] for name in heads}
    assert JointLoss()(outputs, target, truth).item() == pytest.approx(sum(each[name] for name in heads), rel=1e-5)
    learned = JointLoss("uncertainty")
    log_variance = {"logits": 0.7, "dimensions": -0.4}
    with torch.no_grad():
        learned.weights.copy_(torch.tensor(list(log_variance.values())))
    # Kendall et al. 2018: each loss divided by its variance, plus the logarithm of the standard deviation.
    expected = sum(each[name] / np.exp(log_variance[name]) + log_variance[name] / 2 for name in heads)
    assert learned(outputs, target, truth).item() == pytest.approx(expected, rel=1e-5)
    assert JointLoss("uncertainty").weights.tolist() == [0, 0]
