"""How the cost of work on many rows grows: seconds at 1,000, 10,000 and 100,000 of them, and the exponent.

    OMP_NUM_THREADS=1 python benchmarks/growth.py [CASE...] [--sizes 1000 10000 100000]

Inputs are made up, and making them is not timed. The exponent is the slope of log seconds over log size, fitted to all
sizes: 1 is linear, 2 is quadratic. The fastest of three repetitions counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from emofuse.evaluation.stress_rows import Rows, balanced_sample
from emofuse.inference.transcripts import Clip, match_transcripts

Work = Callable[[], object]


def transcripts(n: int) -> Work:
    """Half of the files match by path, half by base name."""
    files = [Path(f"recordings/{i}.wav") for i in range(n)]
    rows = [Clip(file if i % 2 else Path("elsewhere") / file.name, f"text {i}") for i, file in enumerate(files)]
    return lambda: match_transcripts(files, rows, "made-up.csv")


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


CASES: dict[str, Callable[[int], Work]] = {"match_transcripts": transcripts, "stress_rows": stress_rows}


def seconds(work: Work, repeats: int = 3) -> float:
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", metavar="CASE", nargs="*", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    options = parser.parse_args()
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; expected {', '.join(CASES)}")
    print(f"{'':20}" + "".join(f"{size:>12,}" for size in options.sizes) + f"{'exponent':>12}")
    for name in options.cases or CASES:
        taken = [seconds(CASES[name](size)) for size in options.sizes]
        exponent = np.polyfit(np.log(options.sizes), np.log(taken), 1)[0] if len(taken) > 1 else np.nan
        print(f"{name:20}" + "".join(f"{value:10.3f} s" for value in taken) + f"{exponent:12.2f}", flush=True)


if __name__ == "__main__":
    main()
