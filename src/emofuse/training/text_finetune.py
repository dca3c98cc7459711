"""Fine-tune a text encoder on sentences with emotions, so that its frozen summary embedding carries emotion.

The encoder learns under one head for each kind of label (`emofuse.training.sentences.TASKS`) from several corpora
together: each sentence contributes to the loss of the labels that it has. Some sentences are changed into what people
say or what a recogniser hears. The word embeddings and the lowest layers are frozen, and among the others, lower layers
have lower learning rates (Howard & Ruder 2018, arXiv 1801.06146), so that words that these corpora lack stay comparable
with words that they have. The weights of the epoch with the best development score are used; test parts are never read.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from emofuse.data.utterances import bucketed_batches, seed_of
from emofuse.encoders.text import FINETUNING_FILE, TextEncoder, load_text_encoder, pool
from emofuse.errors import EmofuseError
from emofuse.files import atomic, write_json
from emofuse.labels import DIMENSIONS, EMOTIONS
from emofuse.metrics import scores as metrics
from emofuse.training.losses import category_loss, ccc_loss
from emofuse.training.misheard import Mishearing, speak
from emofuse.training.sentences import CORPORA, TASKS, Sentences, read_sentences, seven_of_goemotions

_WARM_UP = 0.1  # share of the steps
_CATEGORY_SCORES = (
    ("meld_weighted_f1", "categories", EMOTIONS, metrics.weighted_f1),
    ("goemotions_macro_f1", "goemotions", EMOTIONS, metrics.macro_f1),
    ("xed_macro_f1", "xed", TASKS["xed"], metrics.macro_f1),
)


@dataclass(frozen=True)
class Options:
    """How to fine-tune.

    Attributes:
        epochs: number of epochs.
        shares: share of the sentences of each corpus in an epoch; 1 if not named. The next epoch takes the next ones.
        weights: factor on the loss of each task; 1 if not named.
        spoken: share of the sentences that lose punctuation and gain fillers.
        misheard: share of the sentences that get recognition errors.
        batch_size: sentences of a step.
        learning_rate: of the highest layer; it rises over the first tenth of the steps, then falls linearly to 0.
        layer_decay: factor on the learning rate from each layer to the one below.
        frozen_layers: number of lowest layers that are not trained; the word embeddings never are.
        head_rate: learning rate of the heads.
        weight_decay: of AdamW.
        dropout: of the heads; that of the encoder does not change.
        max_tokens: longer sentences are cut in training.
        seed: of the heads, dropout, and the order and changes of sentences.

    Raises:
        EmofuseError: fewer than one epoch, or a negative number of frozen layers.
    """

    epochs: int = 4
    shares: Mapping[str, float] = field(default_factory=lambda: {"goemotions": 0.33, "xed": 0.25, "made_up": 0.5})
    weights: Mapping[str, float] = field(default_factory=lambda: {"categories": 1.5, "dimensions": 2.0})
    spoken: float = 0.08
    misheard: float = 0.12
    batch_size: int = 64
    learning_rate: float = 3e-4
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


def fine_tune(
    encoder: TextEncoder,
    train: Sentences,
    dev: Sentences,
    options: Options | None = None,
    *,
    on_best: Callable[[list[dict[str, float]]], None] = lambda history: None,
) -> list[dict[str, float]]:
    """Fine-tune an encoder in place; afterwards it is frozen again, with the weights of the best epoch.

    The same seed and number of threads give the same weights.

    Args:
        encoder: any BERT-family encoder; its pooling is part of the model.
        train: sentences to learn from.
        dev: sentences that choose the epoch.
        options: see `Options`.
        on_best: called with the history so far after each epoch that is the best so far.

    Returns:
        For each epoch: "loss" (mean over its steps) and the scores of dev.

    Raises:
        EmofuseError: the encoder has no layer above the frozen ones, or dev lacks the labels of a task.
    """
    options = options or Options()
    if missing := [task for task in TASKS if not len(dev.labelled(task))]:
        raise EmofuseError(
            f"fine-tuning: no development sentence has labels for {', '.join(missing)}; the best epoch is chosen by "
            "scores of all tasks."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        heads = _heads(encoder.dim, train, options)
        groups = [*_layer_groups(encoder, options), {"params": list(heads.parameters()), "lr": options.head_rate}]
        history: list[dict[str, float]] = []
        best: dict[str, Tensor] = {}
        try:
            for loss in _epochs(encoder, heads, groups, train, options):
                history.append({"loss": loss, **score_sentences(encoder, heads, dev)})
                scores = ", ".join(f"{name} {value:.4f}" for name, value in history[-1].items())
                print(f"epoch {len(history)}: {scores}", flush=True)
                if history[-1]["score"] >= max(epoch["score"] for epoch in history):
                    best = {name: value.detach().clone() for name, value in encoder.model.state_dict().items()}
                    on_best(history)
        finally:
            encoder.model.eval().requires_grad_(False)
    encoder.model.load_state_dict(best)
    return history


def _heads(dim: int, train: Sentences, options: Options) -> nn.ModuleDict:
    """A linear head for each task; that of the dimensions starts at their means, far from which its loss is large."""
    heads = nn.ModuleDict()
    for task, names in TASKS.items():
        linear = nn.Linear(dim, len(names))
        if task == "dimensions":
            nn.init.zeros_(linear.weight)
            linear.bias.data = torch.from_numpy(np.nanmean(train.targets[task], axis=0))
        heads[task] = nn.Sequential(nn.Dropout(options.dropout), linear)
    return heads


def _epochs(
    encoder: TextEncoder, heads: nn.ModuleDict, groups: list[dict[str, Any]], train: Sentences, options: Options
) -> Iterator[float]:
    """Train; yield the mean loss of each epoch."""
    rows = [_rows_of_epoch(train, epoch, options) for epoch in range(options.epochs)]
    steps = sum(-(-len(chosen) // options.batch_size) for chosen in rows)
    optimizer = torch.optim.AdamW(groups, weight_decay=options.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(min((step + 1) / (steps + 1), 1)))
    mishear = Mishearing(train.texts)
    targets = {task: torch.from_numpy(values) for task, values in train.targets.items()}
    spread = targets["dimensions"][train.labelled("dimensions")].var(dim=0)
    for epoch, chosen in enumerate(rows):
        tokens = _tokenize(encoder, _change([train.texts[row] for row in chosen], mishear, epoch, options), options)
        lengths = np.array([len(ids) for ids in tokens["input_ids"]])
        generator = torch.Generator().manual_seed(seed_of(options.seed, epoch))
        losses = []
        encoder.model.train()
        heads.train()
        for batch in bucketed_batches(lengths, options.batch_size, generator=generator):
            # in full precision: autocast to bfloat16 took a third longer on a processor that has it
            summary = _summary(encoder, {name: [tokens[name][i] for i in batch] for name in encoder.inputs})
            loss = _loss(heads, summary, {task: t[chosen[batch]] for task, t in targets.items()}, spread, options)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        yield float(np.mean(losses))


def _rows_of_epoch(train: Sentences, epoch: int, options: Options) -> np.ndarray:
    """Row numbers of an epoch's sentences: of each corpus its share, those that follow the last epoch's."""
    chosen = []
    for corpus in sorted(set(train.corpora.tolist())):
        rows = np.random.default_rng(options.seed).permutation(np.flatnonzero(train.corpora == corpus))
        n = max(1, round(options.shares.get(corpus, 1.0) * len(rows)))
        chosen.append(np.take(rows, range(epoch * n, (epoch + 1) * n), mode="wrap"))
    return np.concatenate(chosen)


def _change(texts: list[str], mishear: Mishearing, epoch: int, options: Options) -> list[str]:
    rng = np.random.default_rng(seed_of(options.seed, epoch))
    changed = []
    for text, draw in zip(texts, rng.random(len(texts)), strict=True):
        if draw < options.spoken:
            text = speak(text, rng) or text
        elif draw < options.spoken + options.misheard:
            text = mishear(text, rng, punctuation=rng.random() < 0.5) or text
        changed.append(text)
    return changed


def _tokenize(encoder: TextEncoder, texts: list[str], options: Options) -> Any:
    return encoder.tokenizer(
        texts,
        truncation=True,
        max_length=min(options.max_tokens, encoder.max_tokens),
        return_token_type_ids="token_type_ids" in encoder.inputs,
    )


def _summary(encoder: TextEncoder, fields: dict[str, list[list[int]]]) -> Tensor:
    inputs = encoder.tokenizer.pad(fields, return_tensors="pt")
    hidden = encoder.model(**inputs).last_hidden_state  # (batch, tokens, dim)
    summary: Tensor = pool(hidden, inputs["attention_mask"], encoder.pooling)
    return summary


def _loss(
    heads: nn.ModuleDict, summary: Tensor, targets: dict[str, Tensor], spread: Tensor, options: Options
) -> Tensor:
    """Weighted mean over the sentences: cross-entropy, or for dimensions 1 - CCC plus half the relative squared error.

    The squared error is divided by the variance of the training part, `spread` (3,).
    """
    losses = []
    for task, target in targets.items():
        known = ~target[:, 0].isnan()
        if n := int(known.sum()):
            output, truth = heads[task](summary[known]), target[known]
            if task == "dimensions":
                loss = ((output - truth).square() / spread).mean() / 2
                loss = loss + (ccc_loss(output, truth) if n > 4 else 0)
            else:
                loss = category_loss(output, truth)
            losses.append(options.weights.get(task, 1.0) * loss * n / len(summary))
    return torch.stack(losses).sum()


@torch.inference_mode()
def score_sentences(encoder: TextEncoder, heads: nn.ModuleDict, dev: Sentences) -> dict[str, float]:
    """Scores of development sentences.

    Sentences with labels of several categories are left out.

    Returns:
        "meld_weighted_f1", "goemotions_macro_f1" (over the shared categories), "xed_macro_f1", "ccc_" of each
        dimension, and "score": the mean of weighted F1, macro-F1 of GoEmotions, and mean CCC.
    """
    encoder.model.eval()
    heads.eval()
    summary = torch.from_numpy(encoder.encode(dev.texts))
    scores = {}
    for name, task, labels, metric in _CATEGORY_SCORES:
        rows = dev.labelled(task)
        truth, output = dev.targets[task][rows], heads[task](summary[rows]).softmax(dim=1).numpy()
        if task == "goemotions":
            truth, output = seven_of_goemotions(truth), seven_of_goemotions(output)
        single = truth.max(axis=1) > 0.999  # sums of thirds are not exactly 1
        scores[name] = metric(truth[single].argmax(axis=1), output[single].argmax(axis=1), labels=labels)
    rows = dev.labelled("dimensions")
    truth, output = dev.targets["dimensions"][rows], heads["dimensions"](summary[rows]).numpy()
    for i, name in enumerate(DIMENSIONS):
        scores[f"ccc_{name}"] = metrics.ccc(truth[:, i], output[:, i])
    mean_ccc = float(np.mean([scores[f"ccc_{name}"] for name in DIMENSIONS]))
    return {**scores, "score": (scores["meld_weighted_f1"] + scores["goemotions_macro_f1"] + mean_ccc) / 3}


def save_text_encoder(encoder: TextEncoder, folder: Path | str, about: Mapping[str, Any]) -> None:
    """Write weights and tokenizer as transformers does, and `about` as `finetuning.json`; an old folder is replaced.

    Raises:
        EmofuseError: the folder cannot be written.
    """
    with atomic(folder) as temporary:
        encoder.model.save_pretrained(temporary)
        encoder.tokenizer.save_pretrained(temporary)
        write_json(temporary / FINETUNING_FILE, dict(about))


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
        prog="python -m emofuse.training.text_finetune", description="Fine-tune a text encoder for emotion."
    )
    parser.add_argument("folder", type=Path, help="output folder; an existing one is replaced")
    parser.add_argument(
        "--data", type=Path, help="folder that contains meld, emobank, goemotions and xed; default: EMOFUSE_DATA"
    )
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
        about = {"start": start, "corpora": CORPORA, "options": asdict(options)}
        fine_tune(
            encoder,
            train,
            dev,
            options,
            on_best=lambda history: save_text_encoder(encoder, folder, {**about, "dev": history}),
        )
    except EmofuseError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    _main()
