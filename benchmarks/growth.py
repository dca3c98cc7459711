"""How the cost of work on many rows grows: seconds and memory at 1,000, 10,000 and 100,000 of them, and the exponent.

    OMP_NUM_THREADS=1 python benchmarks/growth.py [CASE...] [--sizes 1000 10000 100000]

Inputs are made up, and making them is not timed. The exponent is the slope of log seconds over log size, fitted to all
sizes: 1 is linear, 2 is quadratic. The fastest of three repetitions counts. Each size has a process of its own; memory
is what its peak grew by after everything was imported, inputs included.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from emofuse.data.features import Clip as FeatureClip
from emofuse.data.utterances import Utterances
from emofuse.segment import Segment
from emofuse.stress.rows import Rows, balanced_sample
from emofuse.timeline.segment_files import match_segments
from emofuse.training.module import predict_rows

Work = Callable[[], object]


def transcripts(n: int) -> Work:
    """Half of the files match by path, half by base name."""
    files = [Path(f"recordings/{i}.wav") for i in range(n)]
    rows = [Segment(file if i % 2 else Path("elsewhere") / file.name, f"text {i}") for i, file in enumerate(files)]
    return lambda: match_segments(files, rows, "made-up.csv")


class SilentRows(Rows):
    """Rows whose clips are all the same samples, read from nowhere."""

    def _read(self, row: int) -> np.ndarray:
        return np.ones(1600, np.float32)


def stress_rows(n: int) -> Work:
    """A sample of half of the rows, and every utterance of it with what the others lend it; ten rows a speaker."""
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2000, (n, 5))
    table = pd.DataFrame(
        {
            "key": [f"made-up/{i:06}" for i in range(n)],
            "file": [f"{i}.wav" for i in range(n)],
            "start": np.nan,
            "end": np.nan,
            "speaker": [f"speaker {i // 10}" for i in range(n)],
            "language": "en",
            "text": [" ".join(f"word{word}" for word in row) for row in words],
            "emotion": rng.choice(["anger", "happiness", "neutral", "sadness"], n),
        }
    )

    def work() -> None:
        sample = balanced_sample(table, n // 2).reset_index(drop=True)
        rows = SilentRows(sample, seed=0)
        for row in range(len(sample)):
            rows.utterance(row)

    return work


class SameFrames:
    """One second of log-Mel frames for every clip."""

    width, rate = 64, 100.0
    frames = np.ones((100, 64), np.float16)

    def length(self, clip: FeatureClip) -> int:
        return len(self.frames)

    def __getitem__(self, clip: FeatureClip) -> np.ndarray:
        return self.frames


class MeanModel(torch.nn.Module):
    """Logits from the mean frame: what is measured is the way of the rows, not a network."""

    def __init__(self) -> None:
        super().__init__()
        self.out = torch.nn.Linear(SameFrames.width, 4)

    def forward(self, frames: torch.Tensor, *_: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.out(frames.mean(dim=1))}


def predictions(n: int) -> Work:
    """Predictions of the test part of a run, clips of one second; kept frames would be 2.6 GB at 100,000."""
    table = pd.DataFrame(
        {"key": [f"made-up/{i:06}" for i in range(n)], "corpus": "made-up", "speaker": "s", "text": None}
    )
    table = table.assign(file="one.wav", start=np.nan, end=np.nan, emotion="anger", composed=False)
    table[["arousal", "valence", "dominance"]] = np.nan
    rows = Utterances(table, labels=["anger"], label_column="emotion", features=SameFrames(), embeddings={}, text_dim=1)
    return lambda: predict_rows(MeanModel(), rows)


CASES: dict[str, Callable[[int], Work]] = {
    "match_segments": transcripts,
    "stress_rows": stress_rows,
    "predict_rows": predictions,
}


def cost(name: str, size: int, repeats: int = 3) -> tuple[float, float]:
    """Seconds of the fastest repetition, and MB by which the peak of this process grew."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work = CASES[name](size)
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", metavar="CASE", nargs="*", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    options = parser.parse_args()
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; expected {', '.join(CASES)}")
    print(f"{'':20}" + "".join(f"{size:>12,}" for size in options.sizes) + f"{'exponent':>12}")
    for name in options.cases or CASES:
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as process:
            costs = process.starmap(cost, [(name, size) for size in options.sizes], chunksize=1)
        taken, memory = zip(*costs, strict=True)
        exponent = np.polyfit(np.log(options.sizes), np.log(taken), 1)[0] if len(taken) > 1 else np.nan
        print(f"{name:20}" + "".join(f"{value:10.3f} s" for value in taken) + f"{exponent:12.2f}")
        print(f"{'':20}" + "".join(f"{value:9.0f} MB" for value in memory), flush=True)


if __name__ == "__main__":
    main()
