"""Plots of a report as SVG elements, with letters as outlines and in the text colour of the page."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emofuse.explanation.conditioning import ALL
from emofuse.explanation.conditioning import place as place_of
from emofuse.metrics.intervals import Metric
from emofuse.plot_style import BLUE, ORANGE, SHARES, draw_shares, new_figure, system_styles
from emofuse.report.results import FEW_SYSTEMS, NAMES, Result
from emofuse.stress import plots as stress_plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK = "#010203"  # stands for the text colour of the page
_COLUMNS = 4


def intervals(result: Result) -> str:
    """The headline metric of each system with its interval, and chance."""
    values = result.intervals[result.metric]
    figure, axes = _figure(1, 1, width=7, height=0.9 + 0.32 * len(values))
    ax = axes[0]
    for place, (name, interval) in enumerate(values.items()):
        colour = BLUE if name in result.task.fused else ORANGE
        low, high = np.nan_to_num([interval.low, interval.high], nan=interval.value)
        ax.hlines(place, low, high, color=colour, linewidth=2)
        ax.plot(interval.value, place, "o" if name in result.task.fused else "s", color=colour)
    if result.chance is not None:
        ax.axvline(result.chance, color=_INK, linestyle=":", linewidth=1)
        ax.text(result.chance, -0.75, " chance", fontsize=8, color=_INK)
    ax.set_yticks(range(len(values)), list(values))
    ax.set_ylim(len(values) - 0.5, -1)
    kinds = "; circles: fused, squares: one modality" if result.task.unimodal else ""
    ax.set_xlabel(f"{NAMES[result.metric]} (95 % interval){kinds}")
    return _svg(figure, f"intervals-{result.slug}")


def recalls(result: Result) -> str:
    """Recall of each class, a mark for each system; as a map if there are more than `FEW_SYSTEMS`."""
    table = result.recalls
    if len(result.systems) > FEW_SYSTEMS:
        return _recall_map(result)
    classes = list(dict.fromkeys(table["value"]))
    figure, axes = _figure(1, 1, width=7.5, height=3.6)
    ax = axes[0]
    for i, (system, style) in enumerate(system_styles(result.systems).items()):
        rows = table[table["system"] == system].set_index("value").loc[classes]
        x = np.arange(len(classes)) + 0.7 * ((i + 0.5) / len(result.systems) - 0.5)
        ax.vlines(x, rows["low"], rows["high"], color=style.colour, linewidth=1.5)
        ax.plot(x, rows["score"], style.marker, color=style.colour, markersize=5, label=system)
    ax.set_xticks(range(len(classes)), classes, rotation=20 if len(classes) > 5 else 0)
    ax.set(ylabel="recall (95 % interval)", ylim=(-0.03, 1.03))
    _legend(ax, len(result.systems))
    return _svg(figure, f"recalls-{result.slug}")


def _recall_map(result: Result) -> str:
    """Recall of each class in percent, a row for each system."""
    table = result.recalls.pivot_table(index="system", columns="value", values="score", sort=False, dropna=False)
    table = table.loc[result.systems]
    figure, axes = _figure(1, 1, width=2.5 + 0.75 * table.shape[1], height=0.9 + 0.26 * len(table))
    ax = axes[0]
    draw_shares(ax, table.to_numpy(dtype=float), size=8)
    ax.set_xticks(np.arange(table.shape[1]) + 0.5, table.columns, rotation=20 if table.shape[1] > 5 else 0)
    ax.set_yticks(np.arange(len(table)) + 0.5, table.index[::-1])
    ax.tick_params(length=0)
    ax.set_xlabel("recall, percent")
    return _svg(figure, f"recalls-{result.slug}")


def confusions(result: Result, systems: Sequence[str]) -> str:
    """Confusion matrices of systems side by side, shares of the true class."""
    labels = list(result.confusions.index)
    side = 1.3 + 0.33 * len(labels)
    figure, axes = _panels(len(systems), 3 if len(labels) > 5 else _COLUMNS, width=side, height=side + 0.1)
    for ax, system in zip(axes, systems, strict=True):
        draw_shares(ax, result.confusions[system].to_numpy(dtype=float), size=7)
        places = np.arange(len(labels)) + 0.5
        ax.set_xticks(places, labels, rotation=90, fontsize=7)
        ax.set_yticks(places, labels[::-1], fontsize=7)
        ax.set_title(system, fontsize=9)
        ax.set_aspect("equal")
        if ax.get_subplotspec().is_first_col():
            ax.set_ylabel("truth", fontsize=8)
    return _svg(figure, f"confusions-{result.slug}")


def truth_against_prediction(result: Result, systems: Sequence[str]) -> str:
    """Predictions of a dimension (mean over seeds) against the truth, a panel for each system; darker is more."""
    figure, axes = _panels(len(systems), width=2.2, height=2.5, sharex=True, sharey=True)
    known = result.headline.known
    for ax, system in zip(axes, systems, strict=True):
        prediction = result.headline.predictions[system][:, known].mean(axis=0)
        bins: dict[str, Any] = {"gridsize": 18, "extent": (0, 1, 0, 1), "mincnt": 1, "bins": "log", "linewidths": 0}
        cells = ax.hexbin(result.headline.truth[known], prediction, cmap=SHARES, **bins)
        cells.set_clim(vmin=0.3)  # so that single utterances are visible
        ax.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle=":")
        ax.set_title(f"{system}: CCC {result.intervals['ccc'][system].value:.2f}", fontsize=8)
        ax.set(xlim=(0, 1), ylim=(0, 1))
        ax.set_aspect("equal")
        if ax.get_subplotspec().is_first_col():
            ax.set_ylabel("prediction", fontsize=8)
    for ax in axes[-_COLUMNS:]:  # nothing is below these
        ax.set_xlabel(f"true {result.dimension}", fontsize=8)
    return _svg(figure, f"truth-{result.slug}")


def stressed(result: Result, scores: pd.DataFrame, metric: Metric) -> str:
    """A metric under each stress condition, a line for each system, with intervals; dashed: clean; dotted: chance."""
    figure, axes = _panels(stress_plots.panels(scores), width=3.2, height=2.7)
    for ax in axes[1:]:
        ax.sharey(axes[0])
    styles = system_styles(result.systems)
    stress_plots.draw(axes, scores, styles)
    for ax in axes:
        if metric == "uar" and result.chance is not None:
            ax.axhline(result.chance, color=_INK, linestyle=":", linewidth=1)
        if ax.get_subplotspec().is_first_col():
            ax.set_ylabel(f"{NAMES[metric]} (95 % interval)")
    handles, labels = stress_plots.legend(styles)
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8, labelcolor=_INK)
    return _svg(figure, f"stress-{metric}-{result.slug}")


def curves(histories: pd.DataFrame, name: str) -> str:
    """Development score and training loss by epoch, mean of the folds; thin lines are seeds, if systems are few."""
    figure, axes = _figure(1, 2, width=9, height=3.4)
    styles = system_styles(histories["system"].unique())
    for ax, column, title in zip(
        axes, ("dev_score", "train_loss"), ("development score", "training loss"), strict=True
    ):
        for system, (colour, _, dashes) in styles.items():
            rows = histories[histories["system"] == system]
            seeds = rows.pivot_table(index="epoch", columns="seed", values=column, dropna=False)
            style = {"color": colour, "linestyle": dashes}
            if seeds.shape[1] > 1 and len(styles) <= FEW_SYSTEMS:
                ax.plot(seeds.index + 1, seeds.to_numpy(), linewidth=0.6, alpha=0.6, **style)
            ax.plot(seeds.index + 1, seeds.mean(axis=1), linewidth=1.8, label=system, marker=".", **style)
        ax.set(xlabel="epoch", ylabel=title)
        ax.xaxis.get_major_locator().set_params(integer=True)
    _legend(axes[1], len(styles))
    return _svg(figure, f"curves-{name}")


def seeds(result: Result) -> str:
    """The headline metric of each system under each seed."""
    figure, axes = _figure(1, 1, width=7, height=0.9 + 0.3 * len(result.systems))
    ax = axes[0]
    for place, values in enumerate(result.by_seed):
        ax.plot(values, np.full(len(values), place), "o", color=BLUE, alpha=0.7)
        ax.plot(values.mean(), place, "|", color=ORANGE, markersize=14, markeredgewidth=2)
    ax.set_yticks(range(len(result.systems)), result.systems)
    ax.invert_yaxis()
    ax.set_xlabel(f"{NAMES[result.metric]} under each seed, and their mean")
    return _svg(figure, f"seeds-{result.slug}")


def conditioning(table: pd.DataFrame, metric: str, name: str) -> str:
    """Norm of the conditioning, its part by the text, and the loss without text, by stage, a line for each system.

    Args:
        table: columns system, stage, norm, by_words, difference, low, high.
        metric: name of the headline metric.
        name: of the picture.
    """
    stages = sorted(table["stage"].unique(), key=place_of)
    figure, axes = _figure(1, 3, width=11, height=3.6)
    styles = system_styles(table["system"].unique())
    for i, (system, (colour, marker, dashes)) in enumerate(styles.items()):
        rows = table[table["system"] == system]
        x = np.array([stages.index(stage) for stage in rows["stage"]], dtype=float)
        style = {"color": colour, "linestyle": dashes, "marker": marker, "markersize": 4, "label": system}
        is_single = (rows["stage"] != ALL).to_numpy()
        for ax, column in zip(axes, ("norm", "by_words"), strict=False):
            ax.plot(x[is_single], rows.loc[is_single, column], **style)
        x += 0.5 * ((i + 0.5) / len(styles) - 0.5)
        axes[2].vlines(x, rows["low"], rows["high"], color=colour, linewidth=1)
        for part in (is_single, ~is_single):
            axes[2].plot(x[part], rows.loc[part, "difference"], **style)
    axes[2].axhline(0, color=_INK, linewidth=0.8, linestyle=":")
    titles = ("change of the map / map", "part by the text / map", f"change of {metric} without text")
    for ax, title in zip(axes, titles, strict=True):
        shown = [stage for stage in stages if ax is axes[2] or stage != ALL]
        ax.set(title=title, xlabel="stage", xlim=(-0.5, len(shown) - 0.5))
        ax.set_xticks(range(len(shown)), shown, rotation=0 if all(map(str.isdigit, shown)) else 25)
    for ax in axes[:2]:
        ax.set_ylim(bottom=0)
    handles = axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8, labelcolor=_INK)
    return _svg(figure, f"conditioning-{name}")


def _panels(count: int, columns: int = _COLUMNS, *, width: float, height: float, **options: Any) -> tuple[Figure, Any]:
    """A figure with a grid of panels of a size in inches; those that are left over are hidden."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure, axes = _figure(rows, columns, width=width * columns, height=height * rows, **options)
    for ax in axes[count:]:
        ax.set_axis_off()
    return figure, axes[:count]


def _figure(rows: int, columns: int, *, width: float, height: float, **options: Any) -> tuple[Figure, Any]:
    figure, grid = new_figure(rows, columns, width=width, height=height, **options)
    for ax in grid.ravel():
        ax.set_facecolor("none")
        ax.spines[:].set_color(_INK)
        ax.tick_params(colors=_INK, labelsize=8)
        for text in (ax.xaxis.label, ax.yaxis.label, ax.title):
            text.set_color(_INK)
            text.set_fontsize(9)
    return figure, grid.ravel()


def _legend(ax: Axes, entries: int) -> None:
    legend = ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=8, labelcolor=_INK)
    legend.set_visible(entries > 1)


def _svg(figure: Figure, name: str) -> str:
    """The figure as an SVG element; equal figures give equal text, and ids begin with the name."""
    from matplotlib import rc_context

    figure.patch.set_alpha(0)
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing, bbox_inches="tight")
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(_INK, "currentColor")
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(url\(|xlink:href=")#', rf"\g<1>#{name}-", text)
    width = re.search(r'width="([\d.]+)pt"', text)
    assert width is not None
    return text.replace("<svg ", f'<svg style="--full-width:{float(width[1]) * 4 / 3:.0f}px" ', 1)
