"""A confusion matrix as a picture: rows are the truth, shades are shares of a row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from emofuse.files import atomic
from emofuse.metrics.scores import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DARK = "#08306b"


def draw_shares(ax: Axes, shares: Floats, *, size: float, counts: Floats | None = None) -> None:
    """Draw a matrix of shares (rows, columns) as percent on shaded cells, the first row at the top.

    Args:
        ax: axes to draw on; the centre of the cell in row i and column j is at x = j + 0.5, y = rows - i - 0.5.
        shares: values in 0..1; cells that are NaN stay empty.
        size: of the numbers, in points.
        counts: the same shape; written below the percentages.
    """
    ax.pcolormesh(shares[::-1], cmap="Blues", vmin=0, vmax=1)
    for (i, j), value in np.ndenumerate(shares):
        if not np.isnan(value):
            ink = "white" if value > 0.55 else _DARK
            text = f"{100 * value:.0f}" if counts is None else f"{100 * value:.0f} %\n{counts[i, j]:.0f}"
            ax.text(j + 0.5, len(shares) - i - 0.5, text, ha="center", va="center", fontsize=size, color=ink)


def save_confusion(path: Path, confusion: ArrayLike, labels: Sequence[str], title: str) -> None:
    """Draw one confusion matrix with the share of its row and the count in each cell.

    Args:
        path: .png, .svg or .pdf.
        confusion: (K, K) counts, rows are the truth.
        labels: names of the K classes.
        title: above the picture.

    Raises:
        EmofuseError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    counts = np.asarray(confusion, dtype=np.float64)
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, rows, out=np.full_like(counts, np.nan), where=rows > 0)
    side = max(3.2, 0.75 * len(labels))
    figure = Figure(figsize=(side + 1.6, side + 1.4), layout="constrained")
    ax = figure.subplots()
    draw_shares(ax, shares, size=8.5, counts=counts)
    places = np.arange(len(labels)) + 0.5
    ax.set_xticks(places, labels)
    if len(labels) > 4:
        ax.tick_params(axis="x", rotation=30)
    ax.set_yticks(places, [f"{name} ({n:.0f})" for name, n in zip(labels, rows[:, 0], strict=True)][::-1])
    ax.set_xlabel("prediction")
    ax.set_ylabel("truth (utterances)")
    ax.set_aspect("equal")
    ax.tick_params(length=0)
    ax.spines[:].set_color("#999999")
    ax.set_title(title, fontsize=10)
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=150, bbox_inches="tight")
