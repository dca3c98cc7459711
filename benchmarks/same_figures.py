"""Whether a study that was run again has the figures that were published: is each within the interval there?

    emofuse study recipes/studies/when.toml && emofuse report runs/when
    python benchmarks/same_figures.py runs/when/report/tables docs/results/when/tables

Every metric of every system and task of the study is looked up in the published tables (`metrics-*.csv`), by name. A
Markdown table is printed; the exit code is 1 if a figure is outside its interval or not among the published ones.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

FIGURE = ["table", "system", "metric"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", type=Path, help="of the report on the study that was run again")
    parser.add_argument("published", type=Path)
    options = parser.parse_args()
    both = read(options.tables).join(read(options.published).add_suffix("_published"), how="left")
    inside = (both["value"] >= both["low_published"]) & (both["value"] <= both["high_published"])
    print("| task | system | metric | here | published | |\n|---|---|---|---|---|---|")
    for (table, system, metric), row in both.assign(inside=inside).iterrows():
        published = f"{row['value_published']:.3f} ({row['low_published']:.3f} .. {row['high_published']:.3f})"
        verdict = "inside" if row["inside"] else "OUTSIDE"
        print(f"| {table} | {system} | {metric} | {row['value']:.3f} | {published} | {verdict} |")
    changed = (both["value"] - both["value_published"]).abs().max()
    print(f"\n{inside.sum()} of {len(both)} figures are inside; the largest difference is {changed:.4f}.")
    return 0 if inside.all() else 1


def read(tables: Path) -> pd.DataFrame:
    """All metrics by task, system and metric; their task is the name of their file."""
    files = sorted(tables.glob("metrics-*.csv"))
    if not files:
        raise SystemExit(f"{tables}: no metrics-*.csv. Make them: emofuse report STUDY")
    found = [pd.read_csv(file).assign(table=file.stem.removeprefix("metrics-")) for file in files]
    return pd.concat(found).set_index(FIGURE)[["value", "low", "high"]]


if __name__ == "__main__":
    sys.exit(main())
