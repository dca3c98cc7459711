"""Seconds and peak memory of a study's statistics, against a bootstrap that goes back to the rows.

    OMP_NUM_THREADS=1 python benchmarks/study_statistics.py [--rows 30000] [--speakers 1400] [--systems 6] [--seeds 5]

Made-up predictions. Each measure is taken in a process of its own; memory is that process's peak, of which Python,
NumPy and the predictions are printed first. The naive bootstrap joins the rows of the drawn speakers and calls the
metric for each system and seed; it is timed on `--naive` resamples, and the ratio is of CPU time a resample.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable

import numpy as np

from emofuse.metrics import scores as metrics
from emofuse.metrics.outcomes import Outcomes
from emofuse.metrics.significance import compare_all, system_intervals

CLASSES = 8


def make(metric: str, options: argparse.Namespace) -> Outcomes:
    rng = np.random.default_rng(0)
    n, shape = options.rows, (options.seeds, options.rows)
    truth = rng.integers(0, CLASSES, n)
    answers = {}
    for i in range(options.systems):
        right = rng.random(shape) < 0.4 + 0.02 * i
        answers[f"system {i}"] = np.where(right, truth, rng.integers(0, CLASSES, shape))
    if metric == "ccc":
        truth, answers = truth / CLASSES, {name: values / CLASSES for name, values in answers.items()}
    labels = [f"class {k}" for k in range(CLASSES)] if metric == "uar" else None
    return Outcomes(metric, np.arange(n), truth, answers, rng.integers(0, options.speakers, n), labels)


def nothing(outcomes: Outcomes, resamples: int) -> None:
    pass


def intervals(outcomes: Outcomes, resamples: int) -> None:
    system_intervals(outcomes, resamples=resamples, seed=0)


def comparisons(outcomes: Outcomes, resamples: int) -> None:
    compare_all(outcomes, resamples=resamples, seed=0)


def naive(outcomes: Outcomes, resamples: int) -> None:
    score = getattr(metrics, outcomes.metric)
    named = {"labels": outcomes.labels} if outcomes.labels else {}
    members = [np.flatnonzero(outcomes.speakers == name) for name in np.unique(outcomes.speakers)]
    for draw in np.random.default_rng(0).integers(len(members), size=(resamples, len(members))):
        rows = np.concatenate([members[i] for i in draw])
        for answers in outcomes.predictions.values():
            for prediction in answers:
                score(outcomes.truth[rows], prediction[rows], **named)


def measured(
    work: Callable[[Outcomes, int], None], metric: str, options: argparse.Namespace, resamples: int
) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds, and the peak memory of the process in MB."""
    outcomes = make(metric, options)
    wall, cpu = time.perf_counter(), time.process_time()
    work(outcomes, resamples)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    return wall, cpu, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--speakers", type=int, default=1_400)
    parser.add_argument("--systems", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--naive", type=int, default=20)
    options = parser.parse_args()
    print(
        f"{options.rows} rows, {options.speakers} speakers, {options.systems} systems, {options.seeds} seeds, "
        f"{options.resamples} resamples, {CLASSES} classes"
    )
    print(f"{'':44}{'wall s':>8}{'CPU s':>8}{'peak MB':>9}{'naive / this, CPU':>19}")
    for metric in ("uar", "ccc"):
        slow = in_a_process(naive, metric, options, options.naive)[1] / options.naive
        show(f"{metric}: predictions only", in_a_process(nothing, metric, options, 1))
        for name, work in (("intervals of all systems", intervals), ("all pairs, bootstrap and swaps", comparisons)):
            found = in_a_process(work, metric, options, options.resamples)
            show(f"{metric}: {name}", found, slow * options.resamples / found[1])
        print(f"{metric}: naive bootstrap, {slow:.2f} CPU s a resample of all systems and seeds")


def show(name: str, found: tuple[float, float, float], ratio: float | None = None) -> None:
    wall, cpu, peak = found
    print(f"{name:44}{wall:8.2f}{cpu:8.2f}{peak:9.0f}" + ("" if ratio is None else f"{ratio:18.0f}x"), flush=True)


def in_a_process(work, metric: str, options: argparse.Namespace, resamples: int) -> tuple[float, float, float]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measured, (work, metric, options, resamples))


if __name__ == "__main__":
    main()
