"""Plots of a stress test: a metric against the levels of each condition, one line for each system, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emofuse.plot_style import GREY, SystemStyle, new_figure, save_figure, system_styles
from emofuse.stress.conditions import CONDITIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 4


def save_curves(scores: pd.DataFrame, metric: str, path: Path) -> Path:
    """Draw one metric: a panel for each condition with several levels, and one for all others.

    Bands are 95 % intervals; dashed lines are the same rows unchanged.

    Args:
        scores: `scores` of an `emofuse.stress.sweep.Stress`.
        metric: name in the column `metric`.
        path: .png.

    Raises:
        EmofuseError: the file cannot be written.
    """
    scores = scores[scores["metric"] == metric]
    count = panels(scores)
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    figure, grid = new_figure(rows, columns, width=3.6 * columns, height=0.6 + 2.8 * rows, sharey=True)
    axes = grid.ravel()
    styles = system_styles(dict.fromkeys(scores["system"]))
    draw(axes, scores, styles)
    for ax in axes[:count:columns]:
        ax.set_ylabel(metric.replace("_", " ").replace("uar", "UAR").replace("ece", "ECE").replace("ccc", "CCC"))
    handles, labels = legend(styles)
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 5), frameon=False)
    return save_figure(figure, path)


def panels(scores: pd.DataFrame) -> int:
    """Number of panels that `draw` needs."""
    graded, others = _conditions(scores)
    return len(graded) + bool(others)


def draw(axes: Sequence[Axes] | np.ndarray, scores: pd.DataFrame, styles: Mapping[str, SystemStyle]) -> None:
    """Draw scores of one metric, a panel for each condition with degrees, one for all others; hide what is left over.

    Args:
        axes: at least `panels(scores)`; the rest is hidden.
        scores: rows of one metric.
        styles: colour and marker of each system.
    """
    graded, others = _conditions(scores)
    for ax, name in zip(axes, graded, strict=False):
        _curves(ax, scores[scores["condition"] == name], name, styles)
    if others:
        _points(axes[len(graded)], scores, others, styles)
    for ax in axes[panels(scores) :]:
        ax.set_axis_off()


def legend(styles: Mapping[str, SystemStyle]) -> tuple[list[Any], list[str]]:
    """Handles and labels of the systems, and of the dashed lines."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=colour, marker=marker, markersize=4) for colour, marker, _ in styles.values()]
    dashed = Line2D([], [], color=GREY, linestyle="--", linewidth=1)
    return [*handles, dashed], [*styles, "the same rows, clean"]


def _conditions(scores: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Conditions with several levels, and the others."""
    used = [name for name in CONDITIONS if (scores["condition"] == name).any()]
    graded = [name for name in used if len(CONDITIONS[name].levels) > 1]
    return graded, [name for name in used if name not in graded]


def _curves(ax: Axes, scores: pd.DataFrame, condition: str, styles: Mapping[str, SystemStyle]) -> None:
    levels = CONDITIONS[condition].levels
    for system, (colour, marker, _) in styles.items():
        own = scores[scores["system"] == system].sort_values("level")
        clean, rows = own[own["level"].isna()], own[own["level"].notna()]
        ax.fill_between(rows["level"], rows["low"], rows["high"], color=colour, alpha=0.18, linewidth=0)
        ax.plot(rows["level"], rows["value"], color=colour, marker=marker, markersize=3.5)
        for value in clean["value"]:
            ax.axhline(value, color=colour, linestyle="--", linewidth=1)
    if levels[0] > levels[-1]:
        ax.invert_xaxis()  # harder to the right
    ax.set_title(f"{condition.replace('_', ' ')} (n = {_n(scores)})", fontsize=10)
    ax.set_xlabel(CONDITIONS[condition].axis, fontsize=9)


def _points(ax: Axes, scores: pd.DataFrame, conditions: list[str], styles: Mapping[str, SystemStyle]) -> None:
    for number, (system, (colour, marker, _)) in enumerate(styles.items()):
        shift = 0.6 * ((number + 0.5) / len(styles) - 0.5)
        for place, condition in enumerate(conditions):
            own = scores[(scores["system"] == system) & (scores["condition"] == condition)]
            x = place + shift
            for row in own.to_dict("records"):
                if np.isnan(row["level"]):
                    ax.hlines(row["value"], x - 0.2, x + 0.2, color=colour, linestyle="--", linewidth=1)
                else:
                    ax.vlines(x, row["low"], row["high"], color=colour, linewidth=1.5)
                    ax.plot(x, row["value"], marker, color=colour, markersize=4.5)
    names = [f"{name.replace('_', ' ')}\n(n = {_n(scores[scores['condition'] == name])})" for name in conditions]
    ax.set_xticks(range(len(conditions)), names, fontsize=7.5)
    ax.margins(x=0.12)


def _n(rows: pd.DataFrame) -> str:
    """Number of scored rows, or its range over systems and levels."""
    low, high = rows["n"].min(), rows["n"].max()
    return str(low) if low == high else f"{low} to {high}"
