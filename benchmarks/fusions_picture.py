"""The picture of the composed study in the README, from the tables in docs/results.

python benchmarks/fusions_picture.py docs/results docs/pictures/fusions.svg
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes

from emofuse.plot_style import BLUE, GREEN, GREY, ORANGE, new_figure

SYSTEMS = ["audio_only", "text_only", "late", "single_stage_additive", "single_stage", "multistage"]
GATES = "multistage, gates"
COLOURS = {"audio_only": GREY, "text_only": GREY, "late": ORANGE, GATES: GREEN}
PANELS = {
    "agree": ("agree: both carry the emotion", "UAR"),
    "either": ("either: one of them does", "UAR"),
    "clash": ("clash: do they agree in valence?", "UAR"),
    "dimensions-valence": ("valence, from the words", "CCC"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    figure, axes = new_figure(2, 2, width=10, height=5)
    for ax, task in zip(axes.ravel(), PANELS, strict=True):
        draw(ax, task, read(options.results, task))
    with rc_context({"svg.hashsalt": "fusions", "svg.fonttype": "path"}):
        figure.savefig(options.out, format="svg", metadata=dict.fromkeys(("Date", "Creator")))


def read(results: Path, task: str) -> pd.DataFrame:
    """Value and interval of each system; gates were tried on two tasks, in a study of the same seeds and folds."""
    found = []
    for study, named in (("composed", {name: name for name in SYSTEMS}), ("variants", {"multistage_gate": GATES})):
        path = results / study / "tables" / f"metrics-{task}.csv"
        if path.exists():
            rows = pd.read_csv(path)
            rows = rows[rows["metric"].isin(["uar", "ccc"]) & rows["system"].isin(list(named))]
            found.append(rows.assign(system=rows["system"].map(named)))
    return pd.concat(found, ignore_index=True)


def draw(ax: Axes, task: str, rows: pd.DataFrame) -> None:
    """One line a system."""
    title, metric = PANELS[task]
    for place, row in rows.iterrows():
        colour = COLOURS.get(row["system"], BLUE)
        ax.hlines(place, row["low"], row["high"], color=colour, linewidth=2.5)
        ax.plot(row["value"], place, "o", color=colour, markersize=6)
    chance = {"agree": 1 / 7, "either": 1 / 6, "clash": 1 / 2}.get(task, 0.0)
    ax.axvline(chance, color=GREY, linestyle=":", linewidth=1)
    ax.set_yticks(range(len(rows)), rows["system"])
    ax.set(ylim=(len(rows) - 0.5, -0.5), xlabel=f"{metric} (dotted: chance)", title=title)
    ax.tick_params(labelsize=9)
    ax.title.set_fontsize(10)


if __name__ == "__main__":
    main()
