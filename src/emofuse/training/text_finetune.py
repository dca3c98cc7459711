"""Fine-tune a text encoder on sentences with emotions, so that its frozen summary embedding carries emotion.

The encoder learns beneath the `text_only` model of the recipes, on categories (MELD) and dimensions (EmoBank) together:
each sentence contributes to the loss of the labels that it has. The word embeddings and the lowest layers are frozen,
and among the others, lower layers have lower learning rates (Howard & Ruder 2018, arXiv 1801.06146), so that words that
these corpora lack stay comparable with words that they have. The weights of the epoch with the best development score
are used; the test part is never read.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from emofuse.config import CorpusConfig, LabelsConfig, ModelConfig, SplitConfig
from emofuse.corpora.recipe_rows import read_and_split
from emofuse.data.utterances import bucketed_batches, seed_of
from emofuse.encoders.text import FINETUNING_FILE, TextEncoder, load_text_encoder, pool
from emofuse.errors import EmofuseError
from emofuse.files import atomic, write_json
from emofuse.labels import DIMENSIONS
from emofuse.metrics import scores as metrics
from emofuse.models.ser import build_model
from emofuse.training.losses import JointLoss
from emofuse.words import has_words

CATEGORIES: list[str] = LabelsConfig().names
CORPORA = ("meld", "emobank")
_WARM_UP = 0.1  # share of the steps


@dataclass(frozen=True)
class Options:
    """How to fine-tune.

    Attributes:
        epochs: passes over the training sentences.
        batch_size: sentences of a step.
        learning_rate: of the highest layer; it rises over the first tenth of the steps, then falls linearly to 0.
        layer_decay: factor on the learning rate from each layer to the one below.
        frozen_layers: number of lowest layers that are not trained; the word embeddings never are.
        head_rate: learning rate of the heads.
        weight_decay: of AdamW.
        dropout: of the heads; that of the encoder does not change.
        max_tokens: longer sentences are cut in training.
        seed: of the heads, dropout and the order of sentences.

    Raises:
        EmofuseError: fewer than one epoch, or a negative number of frozen layers.
    """

    epochs: int = 3
    batch_size: int = 64
    learning_rate: float = 2e-4
    layer_decay: float = 0.9
    frozen_layers: int = 2
    head_rate: float = 1e-3
    weight_decay: float = 0.01
    dropout: float = 0.2
    max_tokens: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("frozen_layers", 0)):
            if getattr(self, name) < least:
                raise EmofuseError(f"fine-tuning: {name} = {getattr(self, name)}; expected {least} or more.")


class Sentences:
    """Texts with the emotion labels that they have.

    Args:
        tables: of utterances; rows without text are left out.

    Attributes:
        texts: n texts.
        label: (n,) int, number of the category; -1 without a label.
        dimensions: (n, 3) float32, 0..1; NaN without a label.
    """

    def __init__(self, tables: Iterable[pd.DataFrame]):
        table = pd.concat(tables)
        table = table[[isinstance(text, str) and has_words(text) for text in table["text"]]]
        self.texts: list[str] = table["text"].tolist()
        self.label = table["emotion"].map({name: i for i, name in enumerate(CATEGORIES)}).fillna(-1).to_numpy(int)
        self.dimensions = table[list(DIMENSIONS)].to_numpy(np.float32)

    def truth(self, rows: list[int]) -> tuple[Tensor, Tensor]:
        """One-hot categories (rows, 7), zeros without a label, and dimensions (rows, 3), NaN without a label."""
        label = torch.from_numpy(self.label[rows])
        one_hot = functional.one_hot(label.clamp(min=0), len(CATEGORIES)).float()
        return one_hot * (label >= 0).unsqueeze(1), torch.from_numpy(self.dimensions[rows])


def read_sentences(data: Path | None = None) -> tuple[Sentences, Sentences]:
    """Train and development parts of MELD and EmoBank, by their official splits.

    Args:
        data: folder that holds `meld` and `emobank`; EMOFUSE_DATA or the working folder if None.

    Raises:
        EmofuseError: a corpus is missing or has bad rows.
    """
    parts: dict[str, list[pd.DataFrame]] = {"train": [], "dev": []}
    for name in CORPORA:
        table, split = read_and_split(CorpusConfig(reader=name, root=name, split=SplitConfig(rule="official")), data)
        rows = table.set_index("key", drop=False)
        for part, tables in parts.items():
            tables.append(rows.loc[list(getattr(split, part))])
    return Sentences(parts["train"]), Sentences(parts["dev"])


def fine_tune(
    encoder: TextEncoder, train: Sentences, dev: Sentences, options: Options | None = None
) -> list[dict[str, float]]:
    """Fine-tune an encoder in place; afterwards it is frozen again, with the weights of the best epoch.

    The same seed and number of threads give the same weights.

    Args:
        encoder: any BERT-family encoder; its pooling is part of the model.
        train: sentences to learn from.
        dev: sentences that choose the epoch.
        options: see `Options`.

    Returns:
        For each epoch: "loss" (mean over its steps) and the scores of dev.

    Raises:
        EmofuseError: the encoder has no layer above the frozen ones, or dev lacks categories or dimensions.
    """
    options = options or Options()
    if not ((dev.label >= 0).any() and (~np.isnan(dev.dimensions)).any(axis=0).all()):
        raise EmofuseError(
            "fine-tuning: the development sentences lack categories or dimensions; both are needed to choose the "
            "best epoch."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        config = ModelConfig(fusion="text_only", heads=["categories", "dimensions"], dropout=options.dropout)
        head = build_model(config, len(CATEGORIES), encoder.dim)
        groups = [*_layer_groups(encoder, options), {"params": list(head.parameters()), "lr": options.head_rate}]
        history: list[dict[str, float]] = []
        best: dict[str, Tensor] = {}
        try:
            for loss in _epochs(encoder, head, groups, train, options):
                history.append({"loss": loss, **score_sentences(encoder, head, dev)})
                if history[-1]["score"] >= max(epoch["score"] for epoch in history):
                    best = {name: value.detach().clone() for name, value in encoder.model.state_dict().items()}
                scores = ", ".join(f"{name} {value:.4f}" for name, value in history[-1].items())
                print(f"epoch {len(history)}: {scores}")
        finally:
            encoder.model.eval().requires_grad_(False)
    encoder.model.load_state_dict(best)
    return history


def _epochs(
    encoder: TextEncoder, head: nn.Module, groups: list[dict[str, Any]], train: Sentences, options: Options
) -> Iterator[float]:
    """Train; yield the mean loss of each epoch."""
    tokens = encoder.tokenizer(
        train.texts,
        truncation=True,
        max_length=min(options.max_tokens, encoder.max_tokens),
        return_token_type_ids="token_type_ids" in encoder.inputs,
    )
    lengths = np.array([len(ids) for ids in tokens["input_ids"]])
    generators = [torch.Generator().manual_seed(seed_of(options.seed, epoch)) for epoch in range(options.epochs)]
    epochs = [list(bucketed_batches(lengths, options.batch_size, generator=generator)) for generator in generators]
    steps = sum(map(len, epochs))
    optimizer = torch.optim.AdamW(groups, weight_decay=options.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate((step + 1) / (steps + 1)))
    for batches in epochs:
        losses = []
        encoder.model.train()
        head.train()
        for rows in batches:
            fields = {name: [tokens[name][row] for row in rows] for name in encoder.inputs}
            inputs = encoder.tokenizer.pad(fields, return_tensors="pt")
            with torch.autocast("cpu", torch.bfloat16):
                hidden = encoder.model(**inputs).last_hidden_state  # (batch, tokens, dim)
            outputs = _predict(head, pool(hidden.float(), inputs["attention_mask"], encoder.pooling))
            loss = JointLoss()(outputs, *train.truth(rows))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        yield float(np.mean(losses))


@torch.inference_mode()
def score_sentences(encoder: TextEncoder, head: nn.Module, dev: Sentences) -> dict[str, float]:
    """Weighted F1 and UAR of the categories, CCC of each dimension, and "score", the mean of weighted F1 and mean CCC.

    Each score covers the sentences that have the label; it is NaN if none has.
    """
    encoder.model.eval()
    head.eval()
    outputs = _predict(head, torch.from_numpy(encoder.encode(dev.texts)))
    guess = outputs["logits"].argmax(dim=1).numpy()
    scores = {
        "weighted_f1": metrics.weighted_f1(dev.label, guess, labels=CATEGORIES),
        "uar": metrics.uar(dev.label, guess, labels=CATEGORIES),
    }
    for i, name in enumerate(DIMENSIONS):
        scores[f"ccc_{name}"] = metrics.ccc(dev.dimensions[:, i], outputs["dimensions"].numpy()[:, i])
    mean_ccc = float(np.mean([scores[f"ccc_{name}"] for name in DIMENSIONS]))
    return {**scores, "score": (scores["weighted_f1"] + mean_ccc) / 2}


def save_text_encoder(encoder: TextEncoder, folder: Path | str, about: Mapping[str, Any]) -> None:
    """Write weights and tokenizer as transformers does, and `about` as `finetuning.json`; an old folder is replaced.

    Raises:
        EmofuseError: the folder cannot be written.
    """
    with atomic(folder) as temporary:
        encoder.model.save_pretrained(temporary)
        encoder.tokenizer.save_pretrained(temporary)
        write_json(temporary / FINETUNING_FILE, dict(about))


def _predict(head: nn.Module, summary: Tensor) -> dict[str, Tensor]:
    """The `text_only` model on summary embeddings (batch, dim), without any audio."""
    n, spoken = len(summary), torch.ones(len(summary), dtype=torch.bool)
    outputs: dict[str, Tensor] = head(torch.zeros(n, 0, 0), torch.zeros(n), summary, ~spoken, spoken)
    return outputs


def _layer_groups(encoder: TextEncoder, options: Options) -> list[dict[str, Any]]:
    """Parameters of each layer that learns, lowest first, with its learning rate."""
    layers: dict[int, list[nn.Parameter]] = {}
    for name, parameter in encoder.model.named_parameters():
        if match := re.search(r"\blayer\.(\d+)\.", name):
            layers.setdefault(int(match[1]), []).append(parameter)
    learning = sorted(layers)[options.frozen_layers :]
    if not learning:
        raise EmofuseError(
            f"text encoder {encoder.name!r}: all {len(layers)} layers are frozen (frozen_layers = "
            f"{options.frozen_layers}), so no layer is left to train. Freeze fewer."
        )
    for layer in learning:
        for parameter in layers[layer]:
            parameter.requires_grad_(True)
    rates = {layer: options.learning_rate * options.layer_decay ** (learning[-1] - layer) for layer in learning}
    return [{"params": layers[layer], "lr": rate} for layer, rate in rates.items()]


def _rate(progress: float) -> float:
    """Factor on the learning rates after a share of the steps.

    >>> _rate(0.0), _rate(0.1), round(_rate(0.55), 6), _rate(1.0)
    (0.0, 1.0, 0.5, 0.0)
    """
    return min(progress / _WARM_UP, (1 - progress) / (1 - _WARM_UP))


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m emofuse.training.text_finetune", description="Fine-tune a text encoder on MELD and EmoBank."
    )
    parser.add_argument("folder", type=Path, help="output folder; an existing one is replaced")
    parser.add_argument("--data", type=Path, help="folder that contains meld and emobank; default: EMOFUSE_DATA")
    parser.add_argument("--encoder", default="minilm", help="minilm, a folder, or a hub name to start from")
    for name in ("epochs", "learning_rate", "frozen_layers", "seed"):
        default = getattr(Options, name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    given = vars(parser.parse_args())
    folder, data, name = (given.pop(key) for key in ("folder", "data", "encoder"))
    try:
        options = Options(**given)
        train, dev = read_sentences(data)
        encoder = load_text_encoder(name)
        start = encoder.identity
        if encoder.finetuning:
            start["start"] = encoder.finetuning.get("start")
        history = fine_tune(encoder, train, dev, options)
        about = {"start": start, "corpora": CORPORA, "options": asdict(options), "dev": history}
        save_text_encoder(encoder, folder, about)
    except EmofuseError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    _main()
