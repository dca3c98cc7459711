"""How often a study's statistics are wrong, and how often they find what is there, on made-up systems of known skill.

    OMP_NUM_THREADS=1 python benchmarks/study_errors.py [--trials 500]

Each row is a study of four systems, four classes, 40 utterances a speaker. Recall differs by speaker (sd 0.08), by
speaker and system (0.03), and by training run (0.01); answers to one utterance agree between systems and seeds as far
as a shared difficulty makes them. Three systems are alike; the fourth is better by the smallest difference that the
study should find with power 0.8 (median of 50 pilots). Columns: coverage of the 95 % intervals of differences; share of
p <= 0.05 by bootstrap and by permutation for one pair of like systems; any p_holm <= 0.05 among the like ones; that
smallest difference; how often p_bootstrap <= 0.05, and p_holm <= 0.05 (the fourth against one other), found it.
"""

from __future__ import annotations

import argparse

import numpy as np

from emofuse.metrics.outcomes import Outcomes
from emofuse.metrics.significance import compare_all, smallest_detectable

CLASSES = 4
UTTERANCES = 40
STUDIES = [(5, 3), (10, 1), (10, 3), (24, 1), (24, 3), (24, 5), (100, 1), (100, 3)]  # speakers, seeds
SPEAKER, SPEAKER_AND_SYSTEM, RUN = 0.08, 0.03, 0.01


def study(rng: np.random.Generator, speakers: int, seeds: int, gain: float) -> Outcomes:
    n = speakers * UTTERANCES
    truth = np.tile(np.arange(CLASSES), n // CLASSES)
    who = np.repeat(np.arange(speakers), UTTERANCES)
    difficulty = rng.random(n)
    voices = SPEAKER * rng.normal(size=speakers)
    answers = {}
    for name, more in (("a", 0.0), ("b", 0.0), ("c", 0.0), ("better", gain)):
        skill = 0.6 + more + (voices + SPEAKER_AND_SYSTEM * rng.normal(size=speakers))[who]  # (n,)
        skill = skill + RUN * rng.normal(size=(seeds, 1))  # (seeds, n)
        luck = np.where(rng.random((seeds, n)) < 0.6, difficulty, rng.random((seeds, n)))
        wrong = (truth + rng.integers(1, CLASSES, (seeds, n))) % CLASSES
        answers[name] = np.where(luck < skill, truth, wrong)
    return Outcomes("uar", np.arange(n), truth, answers, who, [str(k) for k in range(CLASSES)])


def figures(speakers: int, seeds: int, trials: int, resamples: int) -> list[float]:
    rng = np.random.default_rng([speakers, seeds])
    pilot = [
        compare_all(study(rng, speakers, seeds, 0.0), resamples=resamples, seed=i)[0].standard_error for i in range(50)
    ]
    gain = smallest_detectable(float(np.median(pilot)))
    rows = []
    for trial in range(trials):
        found = {(c.a, c.b): c for c in compare_all(study(rng, speakers, seeds, gain), resamples=resamples, seed=trial)}
        like, better = [found["a", "b"], found["a", "c"], found["b", "c"]], found["a", "better"]
        rows.append(
            [
                np.mean([*(c.low <= 0 <= c.high for c in like), better.low <= -gain <= better.high]),
                like[0].p_bootstrap <= 0.05,
                like[0].p_permutation <= 0.05,
                any(c.p_holm <= 0.05 for c in like),
                gain,
                better.p_bootstrap <= 0.05,
                better.better() == "better",
            ]
        )
    return np.mean(rows, axis=0).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--resamples", type=int, default=1000)
    options = parser.parse_args()
    print("| speakers | seeds | coverage | p_bootstrap | p_permutation | family | smallest | found | found, Holm |")
    print("|---|---|---|---|---|---|---|---|---|")
    for speakers, seeds in STUDIES:
        values = " | ".join(f"{value:.3f}" for value in figures(speakers, seeds, options.trials, options.resamples))
        print(f"| {speakers} | {seeds} | {values} |", flush=True)


if __name__ == "__main__":
    main()
