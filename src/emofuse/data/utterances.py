"""From a table of utterances to batches with masks: arrays, length buckets, crops."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset

from emofuse.config import TrainingConfig
from emofuse.corpora.agreement import votes_of
from emofuse.data.batch import Batch, drop_modality, mixup, spec_augment
from emofuse.data.features import Clip, clips_of
from emofuse.errors import EmofuseError
from emofuse.hardware import available_cores
from emofuse.labels import DIMENSIONS

BUCKET_BATCHES = 16  # batches of one bucket share similar lengths; more makes batches less random


class Frames(Protocol):
    """Frames of clips: log-Mel `Features` or hidden `LayerStates`."""

    width: int
    rate: float

    def length(self, clip: Clip) -> int:
        """Number of frames of a clip."""
        ...

    def __getitem__(self, clip: Clip) -> np.ndarray:
        """Frames of a clip, (frames, width)."""
        ...


class Offsets(Protocol):
    """Random shifts of all frames of a clip: `emofuse.training.speakers.RandomOffsets`."""

    def change(self, row: int, generator: torch.Generator) -> np.ndarray:
        """Draw what to add to each frame of a row's clip, (width,)."""
        ...


class Utterances:
    """The rows of one part of a split as arrays, ready for batching.

    Args:
        table: utterance table; rows keep its order.
        labels: names of the categories, in the order of the model's outputs.
        label_column: column with the category names; other names count as missing.
        soft: whether the target of a row with `votes` is the share of annotators that chose each category.
        features: frames of the clips.
        copies: frames of varied copies of the same clips; see `means`.
        embeddings: summary embedding by transcript, each (text_dim,).
        text_dim: length of a summary embedding.
        balanced: whether rows are weighted so that all categories of a corpus have the same total weight.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        *,
        labels: list[str],
        label_column: str,
        soft: bool = False,
        features: Frames,
        copies: Sequence[Frames] = (),
        embeddings: dict[str, np.ndarray],
        text_dim: int,
        balanced: bool = False,
    ):
        self.table = table.reset_index(drop=True)
        self.clips = clips_of(self.table)
        self.features = features
        self.copies = (features, *copies)
        self.text_dim = text_dim
        self.label = self.table[label_column].map({name: i for i, name in enumerate(labels)}).fillna(-1).to_numpy(int)
        shares = _shares(self.table, self.label, labels, soft)
        self.target = _balance(self.table["corpus"], shares) if balanced else shares
        self.dimensions = torch.tensor(self.table[list(DIMENSIONS)].to_numpy(np.float32))
        composed = self.table["composed"] if "composed" in self.table else pd.Series(False, index=self.table.index)
        self.composed = composed.eq(True).to_numpy(bool)  # empty in rows of corpora beside which pairs were mixed
        self.has_audio = np.array([clip is not None for clip in self.clips])
        self.texts = [embeddings.get(t) if isinstance(t, str) else None for t in self.table["text"]]
        self.n_frames = np.array([features.length(clip) if clip else 0 for clip in self.clips])

    def __len__(self) -> int:
        return len(self.clips)

    def means(self) -> np.ndarray:
        """Mean over time of each row's clip in each copy, float32 (copies, rows, width); NaN without audio."""
        means = np.full((len(self.copies), len(self), self.features.width), np.nan, np.float32)
        for copy, features in enumerate(self.copies):
            for row, clip in enumerate(self.clips):
                if clip is not None:
                    means[copy, row] = features[clip].mean(axis=0, dtype=np.float32)
        return means

    def batch(
        self,
        rows: list[int],
        *,
        crop: int = 0,
        generator: torch.Generator | None = None,
        offsets: Offsets | None = None,
        shift: np.ndarray | None = None,
    ) -> Batch:
        """Put rows into a batch.

        Args:
            rows: numbers of the rows.
            crop: number of frames to which each clip is cut at a random place; shorter clips are repeated, because a
                CNN's BatchNorm would count padding in training, but not in evaluation. 0: whole clips.
            generator: source of all random choices in training; None in evaluation.
            offsets: random changes that are added to the frames of a clip in training.
            shift: (len(self), width), subtracted from every frame of each row.
        """
        clips = [self._clip(row, crop, generator, offsets) for row in rows]
        if shift is not None:
            clips = [clip - shift[row] for row, clip in zip(rows, clips, strict=True)]
        longest = max((len(clip) for clip in clips), default=0) or 1
        frames = torch.zeros(len(rows), longest, self.features.width)
        text = torch.zeros(len(rows), self.text_dim)
        for i, (row, clip) in enumerate(zip(rows, clips, strict=True)):
            frames[i, : len(clip)] = torch.from_numpy(clip)
            if (embedding := self.texts[row]) is not None:
                text[i] = torch.from_numpy(embedding)
        return Batch(
            rows=torch.tensor(rows),
            frames=frames,
            n_frames=torch.tensor([len(clip) for clip in clips]),
            text=text,
            has_audio=torch.tensor(self.has_audio[rows]),
            has_text=torch.tensor([self.texts[row] is not None for row in rows]),
            target=torch.from_numpy(self.target[rows]),
            dimensions=self.dimensions[rows],
        )

    def _clip(self, row: int, crop: int, generator: torch.Generator | None, offsets: Offsets | None) -> np.ndarray:
        clip = self.clips[row]
        if clip is None:
            return np.zeros((0, self.features.width), np.float16)
        frames = self.features[clip]
        if generator is not None and offsets is not None:
            frames = frames + offsets.change(row, generator)
        if generator is None or not crop:
            return frames
        if len(frames) < crop:
            return np.resize(frames, (crop, frames.shape[1]))
        start = int(torch.randint(len(frames) - crop + 1, (), generator=generator))
        return frames[start : start + crop]


def _shares(table: pd.DataFrame, label: np.ndarray, names: list[str], soft: bool) -> np.ndarray:
    """The share of each category in each row, float32 (rows, categories); zeros for rows without a label."""
    shares = np.zeros((len(table), len(names)), np.float32)
    shares[label >= 0, label[label >= 0]] = 1
    if soft and "votes" in table:
        for i, (key, text) in enumerate(zip(table["key"], table["votes"], strict=True)):
            votes = votes_of(text, key)
            counts = np.array([votes.get(name, 0) for name in names], np.float32)
            if counts.any():
                shares[i] = counts / counts.sum()
    return shares


def _balance(corpus: pd.Series, shares: np.ndarray) -> np.ndarray:
    """Multiply shares by a weight of the category, n / (categories * count of it), counted in the row's corpus."""
    weighted = shares.copy()
    for name in corpus.unique():
        rows = (corpus == name).to_numpy()
        count = shares[rows].sum(axis=0)
        weighted[rows] *= count.sum() / (max((count > 0).sum(), 1) * np.maximum(count, 1e-9))
    return weighted


def train_loader(
    data: Utterances,
    config: TrainingConfig,
    *,
    seed: int,
    epoch: int,
    rank: int = 0,
    world: int = 1,
    offsets: Offsets | None = None,
    device: torch.device | None = None,
) -> DataLoader:
    """Make the shuffled and augmented batches of one epoch; the same seed, epoch and rank give the same ones.

    Args:
        data: rows to train on.
        config: batch size, crops, augmentation, and workers.
        seed: seed of the run.
        epoch: number of the epoch, from 0.
        rank: number of this process among the `world` processes that train.
        world: number of processes.
        offsets: random changes that are added to the frames of a clip.
        device: where the batches are used; the CPU if None.

    Raises:
        EmofuseError: there are fewer batches than processes.
    """
    order = torch.Generator().manual_seed(seed_of(seed, epoch))
    # Cropped clips have one length, or none without audio; whole clips need less padding beside similar lengths.
    lengths = data.has_audio if config.crop_seconds else data.n_frames
    batches = list(bucketed_batches(lengths, config.batch_size, generator=order))
    batches = batches[: config.epoch_steps * world or None]
    if len(batches) < world:
        raise EmofuseError(
            f"training.devices = {world}: {len(data)} rows make only {len(batches)} batches of {config.batch_size}, "
            "and each device needs one. Choose fewer devices or a smaller training.batch_size."
        )
    batches = batches[: len(batches) // world * world][rank::world]  # each process has as many
    on_gpu = device is not None and device.type == "cuda"
    forks = "fork" in multiprocessing.get_all_start_methods()  # else the workers would copy all features
    default = min(4, available_cores() - 1) if on_gpu and forks else 0
    workers = default if config.workers is None else config.workers
    return DataLoader(
        _TrainingBatches(data, config, batches, offsets, (seed, epoch, rank + 1)),
        batch_size=None,
        num_workers=workers,
        multiprocessing_context="fork" if workers and forks else None,
        pin_memory=on_gpu,
    )


@dataclass
class _TrainingBatches(Dataset):
    """The augmented batches of one epoch; each is made on request, with its own seed."""

    data: Utterances
    config: TrainingConfig
    batches: list[list[int]]
    offsets: Offsets | None
    seeds: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> Batch:
        chance = torch.Generator().manual_seed(seed_of(*self.seeds, number))
        crop = round(self.config.crop_seconds * self.data.features.rate)
        batch = self.data.batch(self.batches[number], crop=crop, generator=chance, offsets=self.offsets)
        if self.config.modality_dropout:
            drop_modality(batch, self.config.modality_dropout, chance)
        if self.config.spec_augment:
            spec_augment(batch.frames, batch.n_frames, chance)
        if self.config.mixup:
            mixup(batch, self.config.mixup, chance)
        return batch


def eval_loader(data: Utterances, batch_size: int, *, shift: np.ndarray | None = None) -> DataLoader:
    """Batch whole utterances, shortest first, every row once; `shift` as in `Utterances.batch`."""
    batches = list(bucketed_batches(data.n_frames, batch_size))
    return DataLoader(batches, batch_size=None, collate_fn=partial(data.batch, shift=shift))  # type: ignore[arg-type]


def bucketed_batches(
    lengths: np.ndarray, batch_size: int, *, generator: torch.Generator | None = None
) -> Iterator[list[int]]:
    """Yield lists of row numbers of similar length: shuffled within buckets, or sorted without a generator.

    With a generator, a batch of a single row is dropped, because BatchNorm and CCC need two rows in training.
    """
    n = len(lengths)
    if generator is None:
        rows = np.argsort(lengths, kind="stable")
        yield from (rows[i : i + batch_size].tolist() for i in range(0, n, batch_size))
        return
    rows = torch.randperm(n, generator=generator).numpy()
    bucket = batch_size * BUCKET_BATCHES
    sorted_rows = [b[np.argsort(lengths[b], kind="stable")] for b in np.split(rows, range(bucket, n, bucket))]
    batches = [b[i : i + batch_size] for b in sorted_rows for i in range(0, len(b), batch_size)]
    for i in torch.randperm(len(batches), generator=generator).tolist():
        if len(batches[i]) > 1:
            yield batches[i].tolist()


def seed_of(*parts: int) -> int:
    """Combine several numbers into one seed."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
