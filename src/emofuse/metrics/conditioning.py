"""What hangs on each conditioned stage: answers with the words taken from it against those with all in place."""

from __future__ import annotations

import numpy as np
import pandas as pd

from emofuse.metrics.outcomes import Outcomes
from emofuse.metrics.significance import compare_with_reference, system_intervals

WHOLE, ALL = "none", "all"  # the words are taken from no stage; from every stage


def place(stage: str) -> int:
    """Sorts stages as they come: by number, then the pooled map, the clip embedding, and `ALL`.

    >>> sorted(["all", "embedding", "pooled", "10", "2"], key=place)
    ['2', '10', 'pooled', 'embedding', 'all']
    """
    return int(stage) if stage.isdigit() else {"pooled": 10**6, "embedding": 10**6 + 1, ALL: 10**6 + 2}[stage]


def effects(outcomes: Outcomes, *, resamples: int = 10_000, seed: int) -> pd.DataFrame:
    """What becomes of the answers of one system when the words are taken from a stage.

    Args:
        outcomes: instead of systems, `WHOLE`, stages and perhaps `ALL`; of a metric of which more is better.
        resamples: number of bootstrap resamples.
        seed: seed of the draws.

    Returns:
        One row a stage (and `ALL`), in order: stage, changed (share of the answers that are changed, or mean absolute
        change of a number, of all rows and seeds), without (the metric, then), difference (from that of `WHOLE`) with
        its 95 % interval low, high over speakers and seeds, n, speakers.

    Example:
        >>> answers = {"none": np.array([[0, 1, 1, 0]]), "1": np.array([[0, 1, 1, 1]]), "2": np.array([[0, 1, 1, 0]])}
        >>> outcomes = Outcomes("wa", list("wxyz"), [0, 1, 1, 0], answers, list("aabb"), labels=["calm", "tense"])
        >>> effects(outcomes, seed=0)[["stage", "changed", "without", "difference"]].values.tolist()
        [['1', 0.25, 0.75, -0.25], ['2', 0.0, 1.0, 0.0]]
    """
    values = system_intervals(outcomes, resamples=1, seed=seed)
    found = compare_with_reference(outcomes, WHOLE, resamples=resamples, seed=seed)
    before = outcomes.predictions[WHOLE]
    rows = []
    for stage in sorted(found, key=place):
        after, apart = outcomes.predictions[stage], found[stage]
        changed = float(np.mean(before != after) if outcomes.of_classes else np.abs(before - after).mean())
        rows.append(
            {"stage": stage, "changed": changed, "without": values[stage].value, "difference": apart.value}
            | {"low": apart.low, "high": apart.high, "n": apart.n, "speakers": apart.groups}
        )
    return pd.DataFrame(rows)
