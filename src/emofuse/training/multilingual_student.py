"""The network of `emofuse.encoders.multilingual` in PyTorch, and its training on embeddings of an English encoder."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from emofuse.encoders.multilingual import feature_key, pair_features, word_features

log = logging.getLogger("emofuse")
Words = tuple[str, list[str]]  # a language and the words of a text
_WARM_UP = 0.05  # share of the steps
_MIN_COUNTS = {"word": 2, "ngram": 4, "pair": 4}


@dataclass(frozen=True)
class Options:
    """How to train.

    Attributes:
        features: rows of the table, at most.
        width: of a row.
        hidden: size of the hidden layer.
        epochs: passes over the lines.
        batch_size: texts of a step.
        learning_rate: of the table; half of it for the other weights. It rises, then falls linearly to 0.
        dropout: before and after the hidden layer.
        word_dropout: share of the words that are left out.
        head_weight: weight of the divergence of each head's answers beside the squared error of the embedding.
        seed: of weights, dropout and order.
    """

    features: int = 150_000
    width: int = 64
    hidden: int = 512
    epochs: int = 2
    batch_size: int = 512
    learning_rate: float = 3e-3
    dropout: float = 0.2
    word_dropout: float = 0.2
    head_weight: float = 0.5
    seed: int = 0


def frequent_features(texts: Sequence[Words], limit: int) -> list[str]:
    """Features of texts that are frequent enough to be learned, words first, then by frequency.

    Args:
        texts: the training texts.
        limit: highest number of features.
    """
    counts = Counter((language, word) for language, words in texts for word in words)
    words: Counter[str] = Counter()
    ngrams: Counter[str] = Counter()
    for (language, word), count in counts.items():
        marked, *parts = word_features(word, language)
        words[marked] += count
        for part in parts:
            ngrams[part] += min(count, 20)  # so that frequent words do not fill the table with their n-grams
    pairs = Counter(pair for language, words_ in texts for pair in pair_features(words_, language))
    chosen = {word: None for word, count in words.most_common() if count >= _MIN_COUNTS["word"]}
    rest = {feature: count for feature, count in ngrams.items() if count >= _MIN_COUNTS["ngram"]}
    rest |= {feature: count for feature, count in pairs.items() if count >= _MIN_COUNTS["pair"]}
    chosen |= dict.fromkeys(sorted(rest, key=lambda feature: (-rest[feature], feature)))
    return list(chosen)[:limit]


class Student(nn.Module):
    """Maps texts, given as words, to embeddings.

    Args:
        features: features that have a row in the table.
        dim: size of an embedding.
        options: sizes and dropout.
    """

    def __init__(self, features: Sequence[str], dim: int, options: Options) -> None:
        super().__init__()
        keys = sorted({feature_key(feature) for feature in features})
        self._row_of = {key: row for row, key in enumerate(keys)}
        self.keys = np.array(keys, np.uint32)
        width = options.width
        self.table = nn.Parameter(torch.randn(len(keys), width) * 0.05)
        self.gate = nn.Linear(width, 1)
        self.word_norm = nn.LayerNorm(width)
        self.norm = nn.LayerNorm(3 * width)
        self.dropout = nn.Dropout(options.dropout)
        self.hidden = nn.Linear(3 * width, options.hidden)
        self.out = nn.Linear(options.hidden, dim)
        self._rows = lru_cache(None)(self._find_rows)

    def _find_rows(self, word: str, language: str) -> list[int]:
        return self._known(word_features(word, language))

    def _known(self, features: Sequence[str]) -> list[int]:
        return [row for one in features if (row := self._row_of.get(feature_key(one))) is not None]

    def forward(self, texts: Sequence[Words]) -> Tensor:
        """Embeddings (n, dim) of texts, each with at least one word."""
        n_words = torch.tensor([len(words) for _, words in texts])
        vectors = self.word_norm(
            self._sums([self._rows(word, language) for language, words in texts for word in words])
        )
        text_of = torch.repeat_interleave(torch.arange(len(texts)), n_words)  # (all words,)
        gate = self.gate(vectors).clamp(-8, 8).exp()  # (all words, 1)
        zeros = vectors.new_zeros(len(texts), vectors.shape[1])
        mean = zeros.index_add(0, text_of, vectors) / n_words[:, None]
        gated = zeros.index_add(0, text_of, vectors * gate) / zeros[:, :1].index_add(0, text_of, gate)
        pairs = self._sums([self._known(pair_features(words, language)) for language, words in texts])
        x = self.dropout(self.norm(torch.cat([mean, gated, pairs], dim=1)))  # (n, 3 * width)
        embeddings: Tensor = self.out(self.dropout(functional.gelu(self.hidden(x), approximate="tanh")))
        return embeddings

    def _sums(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Sums of rows of the table, divided by the square roots of their numbers."""
        n = torch.tensor([len(some) for some in rows])
        flat = torch.tensor([row for some in rows for row in some], dtype=torch.int64)
        sums = functional.embedding_bag(flat, self.table, n.cumsum(0) - n, mode="sum")
        return sums / n.clamp(min=1).sqrt()[:, None]

    def weights(self, mean: np.ndarray, std: np.ndarray) -> dict[str, np.ndarray]:
        """Weights for `save_encoder`, with an output of `std` times that of `forward`, plus `mean`."""
        state = {name: values.detach().numpy() for name, values in self.state_dict().items()}
        return {
            "keys": self.keys,
            "table": state["table"],
            "word_norm": np.stack([state["word_norm.weight"], state["word_norm.bias"]]),
            "gate": state["gate.weight"][0],
            "gate_bias": state["gate.bias"][0],
            "norm": np.stack([state["norm.weight"], state["norm.bias"]]),
            "hidden": state["hidden.weight"].T,
            "hidden_bias": state["hidden.bias"],
            "out": state["out.weight"].T * std,
            "out_bias": state["out.bias"] * std + mean,
            "mean": mean,
        }


def fit_head(embeddings: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
    """Fit a linear classifier on embeddings (n, dim) and label distributions (n, classes): its weight and bias."""
    torch.manual_seed(0)
    x, y = torch.from_numpy(embeddings), torch.from_numpy(labels)
    head = nn.Linear(x.shape[1], y.shape[1])
    optimiser = torch.optim.AdamW(head.parameters(), lr=1e-2, weight_decay=0.05)
    for _ in range(150):
        loss = functional.cross_entropy(head(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return head.weight.detach(), head.bias.detach()


def train_student(
    student: Student,
    draw: Callable[[np.random.Generator], tuple[list[Words], np.ndarray]],
    heads: Sequence[tuple[Tensor, Tensor]],
    options: Options,
) -> None:
    """Train a student.

    Args:
        student: trained in place.
        draw: returns the texts of an epoch, each with words, and their targets (n, dim), standardised.
        heads: linear classifiers on standardised embeddings; the student's answers come near those for the target.
        options: how to train.
    """
    rng = np.random.default_rng(options.seed)
    rest = [values for name, values in student.named_parameters() if name != "table"]
    rates = (options.learning_rate, options.learning_rate / 2)
    groups: list[dict[str, Any]] = [{"params": [student.table]}, {"params": rest, "weight_decay": 0.02}]
    optimiser = torch.optim.AdamW(groups, lr=options.learning_rate, weight_decay=0.0)
    step, start = 0, time.monotonic()
    for epoch in range(options.epochs):
        texts, targets = draw(rng)
        batches = np.array_split(rng.permutation(len(texts)), max(1, len(texts) // options.batch_size))
        n_steps = len(batches) * options.epochs
        student.train()
        losses = []
        for batch in batches:
            progress = min(step / n_steps, 1.0)  # epochs may differ in length
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * min(progress / _WARM_UP, 1) * (1 - progress) + 1e-6
            given = [_without_words(texts[row], options.word_dropout, rng) for row in batch]
            loss = _loss(student(given), torch.from_numpy(targets[batch]), heads, options.head_weight)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimiser.step()
            losses.append(loss.item())
            step += 1
        log.info("epoch %d: loss %.3f, %.0f s", epoch + 1, np.mean(losses), time.monotonic() - start)
    student.eval()


def _without_words(text: Words, share: float, rng: np.random.Generator) -> Words:
    language, words = text
    return language, [word for word in words if rng.random() >= share] or words


def _loss(embeddings: Tensor, targets: Tensor, heads: Sequence[tuple[Tensor, Tensor]], head_weight: float) -> Tensor:
    loss = functional.mse_loss(embeddings, targets)
    for head in heads:
        given, wanted = (functional.linear(one, *head).log_softmax(1) for one in (embeddings, targets))
        loss = loss + head_weight * functional.kl_div(given, wanted, log_target=True, reduction="batchmean")
    return loss
