"""Pictures of a calibration: reliability before and after (Guo et al. 2017, figure 1), and risk against coverage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from emofuse.files import atomic
from emofuse.metrics import scores as metrics
from emofuse.metrics.calibration import Calibration, apply_temperature
from emofuse.metrics.scores import Floats
from emofuse.training.calibration import cross_fitted, labelled_rows, risk_coverage

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Of Okabe & Ito's palette, told apart by colour-blind readers and in grey print too.
_BLUE, _ORANGE, _GREY, _PALE = "#0072B2", "#D55E00", "#999999", "#B3D4E8"
_FEW = 10


def write_calibration_plots(
    predictions: pd.DataFrame, labels: Sequence[str], calibration: Calibration, folder: Path | str
) -> list[Path]:
    """Write reliability.svg and risk-coverage.svg of a development part; nothing without rows of two speakers.

    Reliability "after" has temperatures fitted on other speakers, as `Calibration.ece_after`; risk and coverage have
    the temperature and the threshold of the calibration.

    Args:
        predictions: columns as `emofuse.training.module.collect` makes them.
        labels: categories in the order of the columns probability_0.. .
        calibration: what was fitted on these rows.
        folder: made if it is not there.

    Raises:
        EmofuseError: the folder cannot be written.
    """
    truth, probabilities, speakers = labelled_rows(predictions, labels)
    held_out = cross_fitted(truth, probabilities, speakers)
    if held_out is None:
        return []
    systems = {"before": probabilities, "after": held_out.probabilities}
    confidence = apply_temperature(probabilities, calibration.temperature).max(axis=1)
    folder = Path(folder)
    return [
        save_reliability(folder / "reliability.svg", truth, systems),
        save_risk_coverage(folder / "risk-coverage.svg", confidence, ~held_out.wrong, calibration.uncertain_below),
    ]


class Reliability(NamedTuple):
    """One value a confidence bin, (bins,) each; NaN in bins without rows. The bins are those of `metrics.ece`."""

    rows: Floats
    confidence: Floats
    accuracy: Floats


def reliability(truth: ArrayLike, probabilities: ArrayLike) -> Reliability:
    """Mean confidence and accuracy of the rows in each confidence bin; rows with truth -1 are left out.

    Args:
        truth: (n,) class numbers.
        probabilities: (n, K), each row a distribution.
    """
    y, p = np.asarray(truth), np.asarray(probabilities, dtype=np.float64)
    y, p = y[y >= 0], p[y >= 0]
    confidence = p.max(axis=1)
    bins = np.searchsorted(np.linspace(0, 1, metrics.ECE_BINS + 1)[1:-1], confidence, side="left")
    rows, sure, right = (
        np.bincount(bins, weights, minlength=metrics.ECE_BINS).astype(np.float64)
        for weights in (np.ones(len(y)), confidence, p.argmax(axis=1) == y)
    )
    there = np.where(rows > 0, rows, np.nan)
    return Reliability(rows, sure / there, right / there)


def save_reliability(path: Path | str, truth: ArrayLike, systems: dict[str, Any]) -> Path:
    """Draw accuracy against confidence, one panel a system, with the number of rows in each bin below.

    Args:
        path: .svg or .png.
        truth: (n,) class numbers; rows with -1 are left out.
        systems: title to probabilities (n, K).

    Raises:
        EmofuseError: the file cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    figure = Figure(figsize=(4.2 * len(systems), 4.8), layout="constrained")
    axes = figure.subplots(
        2, len(systems), sharex=True, sharey="row", squeeze=False, gridspec_kw={"height_ratios": [3, 1]}
    )
    for column, (title, probabilities) in enumerate(systems.items()):
        upper, lower = axes[:, column]
        _bars(upper, lower, truth, probabilities)
        upper.set_title(f"{title}: ECE {metrics.ece(truth, probabilities):.3f}")
    axes[0, 0].set_ylabel("share that is right")
    axes[1, 0].set_ylabel("rows")
    keys = [
        Patch(color=_BLUE, label="right"),
        Patch(color=_PALE, label=f"right, under {_FEW} rows"),
        Line2D([], [], color=_ORANGE, linewidth=2.5, label="mean confidence"),
    ]
    figure.legend(handles=keys, loc="outside lower center", ncols=3, frameon=False)
    return _save(figure, Path(path))


def save_risk_coverage(path: Path | str, confidence: ArrayLike, correct: ArrayLike, threshold: float) -> Path:
    """Draw the error among kept answers against their share, with the threshold of "uncertain".

    Args:
        path: .svg or .png.
        confidence: (n,) highest probability, n at least 1.
        correct: (n,) whether the answer is right.
        threshold: answers with a lower confidence are called uncertain.

    Raises:
        EmofuseError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    curve = risk_coverage(confidence, correct)
    figure = Figure(figsize=(5.5, 4.6), layout="constrained")
    ax = _tidy(figure.subplots())
    steady = curve.coverage * np.size(correct) >= min(_FEW, np.size(correct))  # before, a single row moves it much
    ax.plot(curve.coverage[steady], curve.risk[steady], color=_BLUE, label="least confident left out first")
    ax.axhline(curve.risk[-1], color=_GREY, linestyle="--", label=f"all answers: {curve.risk[-1]:.1%} wrong")
    kept = curve.threshold >= threshold
    if kept.any():
        share, risk = curve.coverage[kept][-1], curve.risk[kept][-1]
        note = f"confidence from {threshold:.2f}: {share:.0%} kept, {risk:.1%} wrong"
        ax.plot(share, risk, "o", color=_ORANGE, markersize=9, label=note)
    ax.set(xlabel="share of answers kept", ylabel="share wrong among them", xlim=(0, 1.02), ylim=(0, None))
    ax.set_title(f"Risk and coverage (n = {np.size(correct)}, AURC {curve.aurc:.3f})")
    figure.legend(loc="outside lower center", frameon=False)
    return _save(figure, Path(path))


def _bars(upper: Axes, lower: Axes, truth: ArrayLike, probabilities: ArrayLike) -> None:
    bins = reliability(truth, probabilities)
    there = bins.rows > 0
    width = 1 / len(bins.rows)
    middle = (np.flatnonzero(there) + 0.5) * width
    colours = np.where(bins.rows[there] < _FEW, _PALE, _BLUE).tolist()
    upper.bar(middle, bins.accuracy[there], width * 0.9, color=colours)
    upper.hlines(bins.confidence[there], middle - width * 0.45, middle + width * 0.45, _ORANGE, linewidth=2.5)
    upper.plot([0, 1], [0, 1], color=_GREY, linestyle="--", linewidth=1)
    upper.set(xlim=(0, 1), ylim=(0, 1))
    lower.bar(middle, bins.rows[there], width * 0.9, color=_GREY)
    for x, count in zip(middle, bins.rows[there], strict=True):
        lower.text(x, count, f"{count:.0f}", ha="center", va="bottom", fontsize=6.5)
    lower.set_xlabel("confidence")
    lower.margins(y=0.25)
    for ax in (upper, lower):
        _tidy(ax)


def _tidy(ax: Axes) -> Axes:
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _save(figure: Figure, path: Path) -> Path:
    import matplotlib

    # Text stays text, and the same rows give the same bytes.
    undated: Any = {"metadata": {"Date": None}} if path.suffix == ".svg" else {}
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": path.name}), atomic(path) as temporary:
        figure.savefig(temporary, dpi=120, **undated)
    return path
