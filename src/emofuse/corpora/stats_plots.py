"""Plots of an utterance table: categories, dimensions, durations, text lengths, speakers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emofuse.corpora.stats import seconds_of, word_counts
from emofuse.labels import DIMENSIONS, EMOTIONS
from emofuse.plot_style import BLUE, EMOTION_COLOURS, GREY, ORANGE, PALETTE, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MANY_POINTS = 3000
_MOST_BARS = 60


def write_plots(df: pd.DataFrame, folder: Path | str) -> list[Path]:
    """Write PNG plots of the columns that have data; no display is needed.

    Pictures: emotion.png (or original_emotion.png) by part of `official_split`, else by gender; dimensions.png;
    valence-arousal.png; durations.png; words.png; speakers.png.

    Raises:
        EmofuseError: the folder cannot be written.
    """
    pictures: dict[str, Callable[[], Figure | None]] = {
        "emotion": lambda: _categories(df),
        "dimensions": lambda: _dimensions(df),
        "valence-arousal": lambda: _plane(df),
        "durations": lambda: _lengths(seconds_of(df), "Duration of utterances", "seconds"),
        "words": lambda: _lengths(word_counts(df).to_numpy(), "Length of transcripts", "words"),
        "speakers": lambda: _speakers(df),
    }
    written = []
    for name, draw in pictures.items():
        if (figure := draw()) is not None:
            written.append(save_figure(figure, Path(folder) / f"{name}.png"))
    return written


def _one_panel(*, width: float = 7.0, height: float) -> tuple[Figure, Axes]:
    figure, axes = new_figure(width=width, height=height)
    return figure, axes[0, 0]


def _categories(df: pd.DataFrame) -> Figure | None:
    column = "emotion" if df["emotion"].notna().any() else "original_emotion"
    named = df[df[column].notna()]
    if named.empty:
        return None
    group = next((g for g in ("official_split", "gender") if g in df.columns and named[g].notna().any()), None)
    keys = named[group].fillna("unknown") if group else pd.Series("rows", index=named.index)
    counts = pd.crosstab(named[column], keys)
    counts = counts.loc[counts.sum(axis=1).sort_values(kind="stable").index]
    figure, ax = _one_panel(height=max(2.5, 1.2 + 0.35 * len(counts)))
    left = np.zeros(len(counts))
    for number, name in enumerate(counts.columns):
        ax.barh(counts.index, counts[name], left=left, color=PALETTE[number % len(PALETTE)], label=str(name))
        left += counts[name].to_numpy()
    for place, total in enumerate(left):
        ax.text(total, place, f" {total:.0f}", va="center")
    ax.margins(x=0.1)
    ax.set(xlabel="utterances", title=f"{column.replace('_', ' ').capitalize()} ({len(named)} of {len(df)} rows)")
    if group:
        ax.legend(title=group.replace("_", " "), loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def _dimensions(df: pd.DataFrame) -> Figure | None:
    rated = [name for name in DIMENSIONS if df[name].notna().any()]
    if not rated:
        return None
    figure, axes = new_figure(1, len(rated), width=3.5 * len(rated), height=3.2)
    for ax, name in zip(axes[0], rated, strict=True):
        values = df[name].dropna()
        ax.hist(values, bins=20, range=(0, 1), color=BLUE)
        ax.axvline(values.mean(), color=ORANGE, linestyle="--")
        ax.set(xlabel=f"{name} (0..1), mean {values.mean():.2f}", ylabel="utterances", xlim=(0, 1))
    figure.suptitle("Dimensions")
    return figure


def _plane(df: pd.DataFrame) -> Figure | None:
    rated = df[df["valence"].notna() & df["arousal"].notna()].sort_values("key")
    if rated.empty:
        return None
    groups = [emotion for emotion in EMOTIONS if (rated["emotion"] == emotion).any()]
    figure, ax = _one_panel(width=8, height=6)
    if len(rated) > _MANY_POINTS:
        cells = ax.hexbin(
            rated["valence"], rated["arousal"], gridsize=25, extent=(0, 1, 0, 1), cmap="Greys", mincnt=1, bins="log"
        )
        figure.colorbar(cells, ax=ax, label="utterances")
    else:
        rng = np.random.default_rng(0)  # ratings lie on a few values: spread, or points hide each other
        for emotion, colour in [*((e, EMOTION_COLOURS[e]) for e in groups), (None, GREY)]:
            rows = rated[rated["emotion"].isna() if emotion is None else rated["emotion"] == emotion]
            spread = rng.normal(0, 0.006, (2, len(rows)))
            ax.scatter(rows["valence"] + spread[0], rows["arousal"] + spread[1], s=10, alpha=0.6, color=colour)
    for emotion in groups:
        centre = rated.loc[rated["emotion"] == emotion, ["valence", "arousal"]].mean()
        ax.plot(*centre, "o", color=EMOTION_COLOURS[emotion], markersize=11, markeredgecolor="black", label=emotion)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="valence (0..1)", ylabel="arousal (0..1)")
    ax.set_title(f"Valence and arousal ({len(rated)} rows)")
    if groups:
        ax.legend(title="mean of", loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def _lengths(values: np.ndarray, title: str, unit: str) -> Figure | None:
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    figure, ax = _one_panel(height=3.5)
    longest = np.quantile(values, 0.995)  # a few long ones would squeeze all others into one bar
    shown = values[values <= longest]
    if unit == "words" and longest - shown.min() <= _MOST_BARS:
        edges: Any = np.arange(shown.min(), longest + 2) - 0.5
    else:
        edges = 40
    ax.hist(shown, bins=edges, color=BLUE)
    ax.axvline(np.median(values), color=ORANGE, linestyle="--", label=f"median {np.median(values):.3g} {unit}")
    more = (
        f"; {len(values) - len(shown)} longer, up to {values.max():.3g}, not shown" if len(shown) < len(values) else ""
    )
    ax.set(xlabel=unit, ylabel="utterances")
    ax.set_title(f"{title} (n = {len(values)}{more})", fontsize=11)
    ax.legend(frameon=False)
    return figure


def _speakers(df: pd.DataFrame) -> Figure | None:
    rows = df.groupby("speaker").size().sort_values(ascending=False, kind="stable")
    if rows.empty:
        return None
    figure, ax = _one_panel(height=3.5)
    if len(rows) <= _MOST_BARS:
        genders = df.sort_values("key").groupby("speaker")["gender"].first().fillna("unknown")
        _speaker_bars(ax, rows, genders)
    else:
        ax.hist(rows, bins=40, color=BLUE)
        ax.set(xlabel="utterances of a speaker", ylabel="speakers")
    ax.set_title(f"Utterances of each of {len(rows)} speakers")
    return figure


def _speaker_bars(ax: Axes, rows: pd.Series, genders: pd.Series) -> None:
    for number, gender in enumerate(sorted(genders.unique())):
        chosen = np.flatnonzero((genders.loc[rows.index] == gender).to_numpy())
        ax.bar(chosen, rows.to_numpy()[chosen], color=PALETTE[number % len(PALETTE)], label=gender)
    prefixes = {name.rpartition("/")[0] for name in rows.index}
    names = [name.rpartition("/")[2] if len(prefixes) == 1 else name for name in rows.index]
    ax.set_xticks(range(len(rows)), names, rotation=90 if len(rows) > 12 else 0, fontsize=8)
    ax.set(xlabel="speaker", ylabel="utterances")
    ax.margins(x=0.01)
    if list(genders.unique()) != ["unknown"]:
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
