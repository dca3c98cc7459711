"""Output heads: categories, and the dimensions arousal, valence, dominance."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class Heads(nn.Module):
    """One linear layer a head, in float32 at its output.

    Args:
        in_dim: size of the embedding.
        heads: one or both of "categories", "dimensions".
        n_categories: number of categories.
    """

    def __init__(self, in_dim: int, heads: Sequence[str], n_categories: int) -> None:
        super().__init__()
        self.categories = nn.Linear(in_dim, n_categories) if "categories" in heads else None
        self.dimensions = nn.Linear(in_dim, 3) if "dimensions" in heads else None

    def forward(self, embedding: Tensor) -> dict[str, Tensor]:
        """Of an embedding (batch, in_dim): "logits" (batch, n_categories), "dimensions" (batch, 3) in 0..1, or both."""
        outputs = {}
        if self.categories is not None:
            outputs["logits"] = self.categories(embedding).float()
        if self.dimensions is not None:
            outputs["dimensions"] = self.dimensions(embedding).float().sigmoid()
        return outputs
