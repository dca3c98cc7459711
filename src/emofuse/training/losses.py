"""Losses that skip what is missing: 1 - CCC for dimensions, weighted cross-entropy for categories."""

from __future__ import annotations

import torch
from torch import Tensor, nn

EPSILON = 1e-8


def ccc_loss(prediction: Tensor, truth: Tensor) -> Tensor:
    """1 - CCC (covariance form), computed for each dimension over the batch and then averaged.

    CCC = 2 cov(x, y) / (var(x) + var(y) + (mean(x) - mean(y))^2), Lin (1989).

    Args:
        prediction: (batch, dimensions).
        truth: (batch, dimensions), NaN where there is no label.

    Returns:
        A scalar, 0..2. A dimension without any label does not count; without labels at all it is 0 (with gradient 0).
        A batch of one row, or constant in prediction and truth, gives a finite value and finite gradients.
    """
    known = ~truth.isnan()
    weight = known.float()
    n = weight.sum(dim=0).clamp(min=1)  # (dimensions,)
    x = torch.where(known, prediction.float(), 0.0)
    y = torch.where(known, truth.float(), 0.0)
    mean_x, mean_y = x.sum(dim=0) / n, y.sum(dim=0) / n
    dx, dy = (x - mean_x) * weight, (y - mean_y) * weight
    covariance = (dx * dy).sum(dim=0) / n
    spread = (dx.square() + dy.square()).sum(dim=0) / n + (mean_x - mean_y).square()
    loss = 1 - 2 * covariance / (spread + EPSILON)
    labelled = known.any(dim=0).float()
    return (loss * labelled).sum() / labelled.sum().clamp(min=1)


def category_loss(logits: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Weighted cross-entropy against a target distribution.

    Args:
        logits: (batch, categories).
        target: (batch, categories), a distribution times the weight of the row, or zeros where there is no label.
        label_smoothing: share of the target spread evenly over the categories, 0..1.

    Returns:
        A scalar; 0 (with gradient 0) when no row has a label.
    """
    weight = target.sum(dim=1, keepdim=True)
    smooth = target * (1 - label_smoothing) + weight * label_smoothing / target.shape[1]
    return -(smooth * logits.float().log_softmax(dim=1)).sum() / weight.sum().clamp(min=EPSILON)


class JointLoss(nn.Module):
    """Loss over the heads of a model: fixed weights, or learned by homoscedastic uncertainty (Kendall et al. 2018).

    Args:
        weights: (categories, dimensions), or "uncertainty".
        label_smoothing: see `category_loss`.
    """

    def __init__(self, weights: tuple[float, float] | str = (1.0, 1.0), label_smoothing: float = 0.0):
        super().__init__()
        self.label_smoothing = label_smoothing
        self.learned = weights == "uncertainty"
        start = torch.zeros(2) if self.learned else torch.tensor(weights)
        self.weights = nn.Parameter(start, requires_grad=self.learned)  # learned: log-variances

    def forward(self, outputs: dict[str, Tensor], target: Tensor, dimensions: Tensor) -> Tensor:
        """Scalar loss of `outputs` ("logits", "dimensions") against (batch, categories) and (batch, 3) with NaN."""
        losses = []
        if "logits" in outputs:
            losses.append((0, category_loss(outputs["logits"], target, self.label_smoothing)))
        if "dimensions" in outputs:
            losses.append((1, ccc_loss(outputs["dimensions"], dimensions)))
        if not self.learned:
            return sum((self.weights[i] * loss for i, loss in losses), start=torch.zeros(()))
        return sum(((-self.weights[i]).exp() * loss + self.weights[i] / 2 for i, loss in losses), start=torch.zeros(()))
