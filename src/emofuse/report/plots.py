"""Pictures of a report, as SVG that stands in the page: no fonts, no files, the page's own colour of text."""

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
from emofuse.report.results import FEW_SYSTEMS, NAMES, Result
from emofuse.stress import plots as stress_plots
from emofuse.training.confusion_plot import draw_shares

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's palette, told apart by colour-blind readers too, and grey; lines differ by their dashes as well.
_PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#808080")
_DASHES = ("-", "--", ":", "-.")
_INK = "#010203"  # stands for the page's colour of text
_COLUMNS = 4


def intervals(result: Result) -> str:
    """The headline metric of each system with its interval, and chance."""
    found = result.intervals[result.metric]
    figure, axes = _figure(1, 1, width=7, height=0.9 + 0.32 * len(found))
    ax = axes[0]
    for place, (name, interval) in enumerate(found.items()):
        colour = _PALETTE[0] if name in result.task.fused else _PALETTE[1]
        low, high = np.nan_to_num([interval.low, interval.high], nan=interval.value)
        ax.hlines(place, low, high, color=colour, linewidth=2)
        ax.plot(interval.value, place, "o" if name in result.task.fused else "s", color=colour)
    if result.chance is not None:
        ax.axvline(result.chance, color=_INK, linestyle=":", linewidth=1)
        ax.text(result.chance, -0.75, " chance", fontsize=8, color=_INK)
    ax.set_yticks(range(len(found)), list(found))
    ax.set_ylim(len(found) - 0.5, -1)
    kinds = "; circles: fused, squares: one modality" if result.task.unimodal else ""
    ax.set_xlabel(f"{NAMES[result.metric]} (95 % interval){kinds}")
    return _svg(figure, f"intervals-{result.slug}")


def recalls(result: Result) -> str:
    """Recall of each class, a mark a system; of many systems a map."""
    found = result.recalls
    if len(result.systems) > FEW_SYSTEMS:
        return _recall_map(result)
    classes = list(dict.fromkeys(found["value"]))
    figure, axes = _figure(1, 1, width=7.5, height=3.6)
    ax = axes[0]
    for i, system in enumerate(result.systems):
        own = found[found["system"] == system].set_index("value").loc[classes]
        x = np.arange(len(classes)) + 0.7 * ((i + 0.5) / len(result.systems) - 0.5)
        ax.vlines(x, own["low"], own["high"], color=_colour(i), linewidth=1.5)
        ax.plot(x, own["score"], _marker(i), color=_colour(i), markersize=5, label=system)
    ax.set_xticks(range(len(classes)), classes, rotation=20 if len(classes) > 5 else 0)
    ax.set(ylabel="recall (95 % interval)", ylim=(-0.03, 1.03))
    _legend(ax, len(result.systems))
    return _svg(figure, f"recalls-{result.slug}")


def _recall_map(result: Result) -> str:
    """Recall in percent, systems x classes."""
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
    table = result.confusions
    labels = list(table.index)
    columns = min(3 if len(labels) > 5 else _COLUMNS, len(systems))
    rows = -(-len(systems) // columns)
    size = 1.3 + 0.33 * len(labels)
    figure, axes = _figure(rows, columns, width=size * columns, height=(size + 0.1) * rows)
    for ax, system in zip(axes, systems, strict=False):
        draw_shares(ax, table[system].to_numpy(dtype=float), size=7)
        places = np.arange(len(labels)) + 0.5
        ax.set_xticks(places, labels, rotation=90, fontsize=7)
        ax.set_yticks(places, labels[::-1], fontsize=7)
        ax.set_title(system, fontsize=9)
        ax.set_aspect("equal")
        ax.tick_params(length=0)
    for ax in axes[::columns]:
        ax.set_ylabel("truth", fontsize=8)
    for ax in axes[len(systems) :]:
        ax.set_axis_off()
    return _svg(figure, f"confusions-{result.slug}")


def truth_against_prediction(result: Result, systems: Sequence[str]) -> str:
    """Predictions of a dimension (mean over the seeds) against the truth, a panel a system; darker is more."""
    columns = min(_COLUMNS, len(systems))
    rows = -(-len(systems) // columns)
    figure, axes = _figure(rows, columns, width=2.2 * columns, height=2.5 * rows, share=True)
    known = result.headline.known
    truth = result.headline.truth[known]
    for ax, system in zip(axes, systems, strict=False):
        guess = result.headline.predictions[system][:, known].mean(axis=0)
        cells = ax.hexbin(
            truth, guess, gridsize=18, extent=(0, 1, 0, 1), cmap="Blues", mincnt=1, bins="log", linewidths=0
        )
        cells.set_clim(vmin=0.3)  # single utterances are seen, too
        ax.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle=":")
        ax.set_title(f"{system}: CCC {result.intervals['ccc'][system].value:.2f}", fontsize=8)
        ax.set(xlim=(0, 1), ylim=(0, 1))
        ax.set_aspect("equal")
    for ax in axes[::columns]:
        ax.set_ylabel("prediction", fontsize=8)
    for ax in axes[max(0, len(systems) - columns) : len(systems)]:
        ax.set_xlabel(f"true {result.dimension}", fontsize=8)
    for ax in axes[len(systems) :]:
        ax.set_axis_off()
    return _svg(figure, f"truth-{result.slug}")


def stressed(result: Result, scores: pd.DataFrame, metric: Metric) -> str:
    """A metric under each stress condition, a line a system, with intervals; dashed: as they are; dotted: chance."""
    count = stress_plots.panels(scores)
    columns = min(_COLUMNS, count)
    rows = -(-count // columns)
    figure, axes = _figure(rows, columns, width=3.2 * columns, height=0.5 + 2.5 * rows)
    for ax in axes[1:count]:
        ax.sharey(axes[0])
    markers = stress_plots.MARKERS
    styles = {name: (_colour(i), markers[i % len(markers)]) for i, name in enumerate(result.systems)}
    stress_plots.draw(axes, scores, styles)
    for ax in axes[:count]:
        if metric == "uar" and result.chance is not None:
            ax.axhline(result.chance, color=_INK, linestyle=":", linewidth=1)
    for ax in axes[:count:columns]:
        ax.set_ylabel(f"{NAMES[metric]} (95 % interval)")
    handles, labels = stress_plots.legend(styles)
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8, labelcolor=_INK)
    return _svg(figure, f"stress-{metric}-{result.slug}")


def curves(histories: pd.DataFrame, name: str) -> str:
    """Development score over the epochs: thin a seed (mean of the folds; not of many systems), thick the mean."""
    figure, axes = _figure(1, 2, width=9, height=3.4)
    for ax, column, title in zip(
        axes, ("dev_score", "train_loss"), ("development score", "training loss"), strict=True
    ):
        for i, (system, own) in enumerate(histories.groupby("system", sort=False)):
            seeds = own.pivot_table(index="epoch", columns="seed", values=column, dropna=False)
            style = {"color": _colour(i), "linestyle": _DASHES[i // len(_PALETTE) % len(_DASHES)]}
            if seeds.shape[1] > 1 and histories["system"].nunique() <= FEW_SYSTEMS:
                ax.plot(seeds.index + 1, seeds.to_numpy(), linewidth=0.6, alpha=0.6, **style)
            ax.plot(seeds.index + 1, seeds.mean(axis=1), linewidth=1.8, label=str(system), marker=".", **style)
        ax.set(xlabel="epoch", ylabel=title)
        ax.xaxis.get_major_locator().set_params(integer=True)
    _legend(axes[1], histories["system"].nunique())
    return _svg(figure, f"curves-{name}")


def seeds(result: Result) -> str:
    """The headline metric of each system under each seed."""
    figure, axes = _figure(1, 1, width=7, height=0.9 + 0.3 * len(result.systems))
    ax = axes[0]
    for place, values in enumerate(result.by_seed):
        ax.plot(values, np.full(len(values), place), "o", color=_PALETTE[0], alpha=0.7)
        ax.plot(values.mean(), place, "|", color=_PALETTE[1], markersize=14, markeredgewidth=2)
    ax.set_yticks(range(len(result.systems)), result.systems)
    ax.invert_yaxis()
    ax.set_xlabel(f"{NAMES[result.metric]} under each seed, and their mean")
    return _svg(figure, f"seeds-{result.slug}")


def conditioning(found: pd.DataFrame, metric: str, name: str) -> str:
    """Norm of the conditioning, the words' part of it, and what is lost without the words, by stage, a line a system.

    Args:
        found: system, stage, norm, by_words, difference, low, high.
        metric: name of the headline metric.
        name: of the picture.
    """
    order = sorted(found["stage"].unique(), key=place_of)
    figure, axes = _figure(1, 3, width=11, height=3.6)
    systems = list(found["system"].unique())
    for i, system in enumerate(systems):
        own = found[found["system"] == system]
        x = np.array([order.index(stage) for stage in own["stage"]], dtype=float)
        style = {"color": _colour(i), "linestyle": _DASHES[i // len(_PALETTE) % len(_DASHES)], "markersize": 4}
        single = (own["stage"] != ALL).to_numpy()
        for ax, column in zip(axes, ("norm", "by_words"), strict=False):
            ax.plot(x[single], own.loc[single, column], marker=_marker(i), label=system, **style)
        x += 0.5 * ((i + 0.5) / len(systems) - 0.5)
        axes[2].vlines(x, own["low"], own["high"], color=_colour(i), linewidth=1)
        for part in (single, ~single):
            axes[2].plot(x[part], own.loc[part, "difference"], marker=_marker(i), label=system, **style)
    axes[2].axhline(0, color=_INK, linewidth=0.8, linestyle=":")
    titles = (
        "change of the map / map",
        "part that depends on the words / map",
        f"change of {metric} without the words",
    )
    for ax, title in zip(axes, titles, strict=True):
        shown = [stage for stage in order if ax is axes[2] or stage != ALL]
        ax.set(title=title, xlabel="stage", xlim=(-0.5, len(shown) - 0.5))
        ax.set_xticks(range(len(shown)), shown, rotation=0 if all(map(str.isdigit, shown)) else 25)
    for ax in axes[:2]:
        ax.set_ylim(bottom=0)
    handles = axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8, labelcolor=_INK)
    return _svg(figure, f"conditioning-{name}")


def _figure(rows: int, columns: int, *, width: float, height: float, share: bool = False) -> tuple[Figure, Any]:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share).ravel()
    for ax in axes:
        ax.set_facecolor("none")
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[:].set_color(_INK)
        ax.tick_params(colors=_INK, labelsize=8)
        for text in (ax.xaxis.label, ax.yaxis.label, ax.title):
            text.set_color(_INK)
            text.set_fontsize(9)
    return figure, axes


def _colour(number: int) -> str:
    return _PALETTE[number % len(_PALETTE)]


def _marker(number: int) -> str:
    return "osD^vP*X"[number % 8]


def _legend(ax: Axes, entries: int) -> None:
    legend = ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=8, labelcolor=_INK)
    legend.set_visible(entries > 1)


def _svg(figure: Figure, name: str) -> str:
    """The figure as an SVG element; the same figure always gives the same text, and ids are its own in a page."""
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
    pixels = f"{float(width[1]) * 4 / 3:.0f}px"
    return text.replace("<svg ", f'<svg style="max-width:{pixels};min-width:min({pixels},40rem)" ', 1)
