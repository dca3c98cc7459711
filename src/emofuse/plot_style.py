"""The style of all plots: colours, markers, frames, and how a figure is written to a file."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from emofuse.errors import EmofuseError
from emofuse.files import atomic
from emofuse.labels import EMOTIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's palette, which colour-blind readers can tell apart, with grey in place of black and without yellow.
BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY, GREY = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#808080",
)  # fmt: skip
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY, GREY)
PALE_BLUE, DARK_BLUE = "#B3D4E8", "#08306B"
EMOTION_COLOURS = dict(zip(EMOTIONS, (GREY, "#F0E442", BLUE, ORANGE, PURPLE, GREEN, SKY), strict=True))
SHARES = "Blues"  # colour map of shares and counts
MARKERS, DASHES = "osD^vP*X", ("-", "--", ":", "-.")
DPI = 150


class SystemStyle(NamedTuple):
    """How the lines of one system look."""

    colour: str
    marker: str
    dashes: str


_KINDS = (".png", ".svg", ".pdf")


def check_picture(path: Path) -> None:
    """Raise EmofuseError if no picture can be drawn: matplotlib is missing, or the name is not that of a picture."""
    if find_spec("matplotlib") is None:
        raise EmofuseError(
            "A picture needs matplotlib, which is not installed. Install it: pip install matplotlib "
            '(or everything for training: pip install "emofuse[train]").'
        )
    if path.suffix.lower() not in _KINDS:
        raise EmofuseError(f"{path}: expected a name that ends in {', '.join(_KINDS)}.")


def system_styles(systems: Iterable[str]) -> dict[str, SystemStyle]:
    """Give each system, by its place, a style of its own.

    >>> system_styles(["audio_only", "late"])["late"]
    SystemStyle(colour='#D55E00', marker='s', dashes='-')
    """
    n = len(PALETTE)
    return {
        name: SystemStyle(PALETTE[i % n], MARKERS[i % len(MARKERS)], DASHES[i // n % len(DASHES)])
        for i, name in enumerate(systems)
    }


def new_figure(rows: int = 1, columns: int = 1, *, width: float, height: float, **options: Any) -> tuple[Figure, Any]:
    """Create a figure and its axes, without frames at the top and on the right; needs no display.

    Args:
        rows: of axes.
        columns: of axes.
        width: of the figure, in inches.
        height: of the figure, in inches.
        options: of `Figure.subplots`.

    Returns:
        The figure, and an array (rows, columns) of axes.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for ax in axes.ravel():
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save_figure(figure: Figure, path: Path | str) -> Path:
    """Write a figure; equal figures give equal bytes, and text in SVG stays text.

    Args:
        figure: what to write.
        path: .png, .svg or .pdf.

    Raises:
        EmofuseError: the file cannot be written.
    """
    from matplotlib import rc_context

    path = Path(path)
    undated: Any = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower())
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": path.name}), atomic(path) as temporary:
        figure.savefig(temporary, dpi=DPI, metadata=undated)
    return path


def draw_shares(ax: Axes, shares: np.ndarray, *, size: float, counts: np.ndarray | None = None) -> None:
    """Draw a matrix of shares (rows, columns) as percent on shaded cells, the first row at the top.

    Args:
        ax: axes to draw on; the centre of the cell in row i and column j is at x = j + 0.5, y = rows - i - 0.5.
        shares: values in 0..1; cells that are NaN stay empty.
        size: of the numbers, in points.
        counts: the same shape; written below the percentages.
    """
    ax.pcolormesh(shares[::-1], cmap=SHARES, vmin=0, vmax=1)
    for (i, j), value in np.ndenumerate(shares):
        if not np.isnan(value):
            colour = "white" if value > 0.55 else DARK_BLUE
            text = f"{100 * value:.0f}" if counts is None else f"{100 * value:.0f} %\n{counts[i, j]:.0f}"
            ax.text(j + 0.5, len(shares) - i - 0.5, text, ha="center", va="center", fontsize=size, color=colour)
    ax.tick_params(length=0)
