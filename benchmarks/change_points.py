"""How often `find_changes` reports a change in noise that has none, and finds a step that is there.

    OMP_NUM_THREADS=1 python benchmarks/change_points.py [--series 200]

Made-up series of three dimensions, with segments of 1 to 5 s. The noise has a standard deviation of 0.1 unless its kind
says otherwise. A step counts as found if exactly one change is reported, at most two segments away from it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from emofuse.timeline.changes import find_changes

Noise = Callable[[np.random.Generator, int], np.ndarray]
NOISE: dict[str, Noise] = {
    "normal": lambda rng, n: rng.normal(0, 0.1, (n, 3)),
    "Student's t, 3 degrees": lambda rng, n: 0.08 * rng.standard_t(3, (n, 3)),
    "outbursts (1 in 5, +0.4)": lambda rng, n: rng.normal(0, 0.05, (n, 3)) + 0.4 * (rng.random((n, 1)) < 0.2),
    "one factor": lambda rng, n: rng.normal(0, 0.08, (n, 1)) * [1, 0.3, 1] + rng.normal(0, 0.03, (n, 3)),
    "autoregressive, 0.3": lambda rng, n: autoregressive(rng.normal(0, 0.1, (n, 3)), 0.3),
}


def autoregressive(noise: np.ndarray, coefficient: float) -> np.ndarray:
    for i in range(1, len(noise)):
        noise[i] += coefficient * noise[i - 1]
    return noise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, default=200, help="series for each figure")
    series = parser.parse_args().series
    rng = np.random.default_rng(0)
    print("share of series of n segments in which a change is reported though there is none")
    for kind, noise in NOISE.items():
        shares = {n: np.mean([bool(find(rng, noise(rng, n))) for _ in range(series)]) for n in (12, 40, 100, 400)}
        print(f"  {kind:24}", *(f"n {n}: {share:.3f} " for n, share in shares.items()))
    print("share in which a step up in arousal and down in valence is found")
    for step in (0.1, 0.2, 0.3):
        shares = {}
        for n in (12, 20, 40, 100):
            values = [
                NOISE["normal"](rng, n) + np.outer(np.arange(n) >= n // 2, [step, -step, 0]) for _ in range(series)
            ]
            found = [find(rng, value) for value in values]
            shares[n] = np.mean([len(one) == 1 and abs(one[0] - n // 2) <= 2 for one in found])
        print(f"  {step:<24}", *(f"n {n}: {share:.3f} " for n, share in shares.items()))
    for n in (3_000, 12_000):
        values, start = NOISE["normal"](rng, n), time.process_time()
        find(rng, values)
        print(f"{n} segments: {time.process_time() - start:.2f} s of CPU")


def find(rng: np.random.Generator, values: np.ndarray) -> list[int]:
    return find_changes(values, rng.uniform(1, 5, len(values)))


if __name__ == "__main__":
    main()
