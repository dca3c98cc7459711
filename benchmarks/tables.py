"""Seconds and peak memory to load and split a made-up table of the size of MSP-Podcast 2.0, and to audit the split.

    OMP_NUM_THREADS=1 python benchmarks/tables.py [--rows 250000] [--speakers 3000] [--repeats 3]

All columns are filled, ratings with five annotators a row; every row has an (empty) audio file of its own. Each measure
is taken in a process of its own: wall and CPU seconds of the work without imports, peak memory of the process; medians.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from emofuse.config import SplitConfig
from emofuse.corpora.audit import audit
from emofuse.corpora.splits import freeze, make_split
from emofuse.corpora.table import make_table, read_table, write_table
from emofuse.labels import EMOTIONS

ENDINGS = (".parquet", ".csv", ".jsonl")
RULES = {
    "official": SplitConfig(rule="official", test="test1"),
    "hold_out": SplitConfig(rule="hold_out"),
    "k_fold": SplitConfig(rule="k_fold"),
    "k_fold, stratified": SplitConfig(rule="k_fold", stratify="emotion"),
    "leave_one_out": SplitConfig(rule="leave_one_out"),
    "leave_one_out by session": SplitConfig(rule="leave_one_out", column="session"),
    "leave_one_out, other speaker": SplitConfig(rule="leave_one_out", column="session", dev="other_speaker"),
}


def make(folder: Path, rows: int, speakers: int) -> None:
    """Write the table in every format, with its audio files."""
    rng = np.random.default_rng(0)
    audio = folder / "audio"
    audio.mkdir()
    rated = rng.integers(1, 8, (rows, 5, 3))
    voted = rng.integers(0, len(EMOTIONS), (rows, 5))
    workers = rng.integers(0, 15_000, (rows, 5))
    words = np.array([f"word{i}" for i in range(500)])
    made = []
    for i in range(rows):
        file = audio / f"MSP-PODCAST_{i:06d}.wav"
        file.touch()
        speaker = i % speakers
        ratings = [
            {"annotator": f"WORKER{workers[i, j]:08d}", "emotion": EMOTIONS[voted[i, j]]}
            | dict(zip(("arousal", "valence", "dominance"), rated[i, j].tolist(), strict=True))
            for j in range(5)
        ]
        arousal, valence, dominance = ((rated[i].mean(axis=0) - 1) / 6).tolist()
        made.append(
            {
                "key": f"msp/{file.stem}",
                "file": str(file),
                "start": 0.0,
                "end": 2.75 + i % 8,
                "speaker": f"msp/{speaker}",
                "gender": ("female", "male")[speaker % 2],
                "language": "en",
                "text": " ".join(rng.choice(words, 4 + i % 20)),
                "emotion": EMOTIONS[voted[i, 0]],
                "original_emotion": EMOTIONS[voted[i, 0]],
                "arousal": arousal,
                "valence": valence,
                "dominance": dominance,
                "ratings": json.dumps(ratings),
                "official_split": ("train", "train", "train", "dev", "test1", "test2")[speaker % 6],
                "session": speaker // 2,
            }
        )
    df = make_table(made, "msp")
    for ending in ENDINGS:
        write_table(df, folder / f"table{ending}")


def load(path: Path, _: str) -> Callable[[], object]:
    return lambda: read_table(path)


def split(path: Path, rule: str) -> Callable[[], object]:
    df = read_table(path)
    return lambda: make_split(df, RULES[rule])


def freeze_folds(path: Path, rule: str) -> Callable[[], object]:
    df = read_table(path)
    return lambda: freeze(df, RULES[rule], path.with_name("split.json"))


def read_frozen(path: Path, rule: str) -> Callable[[], object]:
    df = read_table(path)
    frozen = path.with_name("split.json")
    freeze(df, RULES[rule], frozen)
    return lambda: make_split(df, SplitConfig(rule="given", folds=str(frozen)))


def audit_split(path: Path, rule: str) -> Callable[[], object]:
    df = read_table(path)
    parts = make_split(df, RULES[rule])
    return lambda: audit(df, parts, audio=False)


def measured(prepare: Callable[[Path, str], Callable[[], object]], path: Path, rule: str) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds, and the peak memory of the process in MB."""
    work = prepare(path, rule)
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    return wall, cpu, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=250_000)
    parser.add_argument("--speakers", type=int, default=3_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        in_a_process(make, Path(folder), options.rows, options.speakers)  # whose memory the others do not inherit
        tables = {ending: Path(folder) / f"table{ending}" for ending in ENDINGS}
        print(f"{options.rows} rows, {options.speakers} speakers")
        print(f"{'':44}{'wall s':>8}{'CPU s':>8}{'peak MB':>9}")
        for ending, path in tables.items():
            show(f"load {ending} ({path.stat().st_size / 1e6:.0f} MB)", load, path, "", options.repeats)
        parquet = tables[".parquet"]
        for rule in RULES:
            show(f"split: {rule}", split, parquet, rule, options.repeats)
        show("freeze all folds of k_fold", freeze_folds, parquet, "k_fold", options.repeats)
        show("one fold of that file", read_frozen, parquet, "k_fold", options.repeats)
        show("audit of k_fold, without audio", audit_split, parquet, "k_fold", options.repeats)


def show(name: str, prepare: Callable[[Path, str], Callable[[], object]], path: Path, rule: str, repeats: int) -> None:
    found = [in_a_process(measured, prepare, path, rule) for _ in range(repeats)]
    wall, cpu, peak = (statistics.median(column) for column in zip(*found, strict=True))
    print(f"{name:44}{wall:8.2f}{cpu:8.2f}{peak:9.0f}", flush=True)


def in_a_process(work: Callable[..., Any], *arguments: object) -> Any:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


if __name__ == "__main__":
    main()
