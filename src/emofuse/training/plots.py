"""Plots of a run: confusion matrix, reliability (Guo et al. 2017, figure 1), risk and coverage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from emofuse.metrics import scores as metrics
from emofuse.metrics.calibration import Calibration, apply_temperature
from emofuse.metrics.scores import Floats
from emofuse.plot_style import BLUE, GREY, ORANGE, PALE_BLUE, draw_shares, new_figure, save_figure
from emofuse.training.calibration import cross_fitted, labelled_rows, risk_coverage

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_FEW_ROWS = 10  # a share of fewer rows is drawn pale


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
    counts = np.asarray(confusion, dtype=np.float64)
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, rows, out=np.full_like(counts, np.nan), where=rows > 0)
    side = max(3.2, 0.75 * len(labels))
    figure, axes = new_figure(width=side + 1.6, height=side + 1.4)
    ax = axes[0, 0]
    draw_shares(ax, shares, size=8.5, counts=counts)
    places = np.arange(len(labels)) + 0.5
    ax.set_xticks(places, labels)
    if len(labels) > 4:
        ax.tick_params(axis="x", rotation=30)
    ax.set_yticks(places, [f"{name} ({n:.0f})" for name, n in zip(labels, rows[:, 0], strict=True)][::-1])
    ax.set_xlabel("prediction")
    ax.set_ylabel("truth (utterances)")
    ax.set_aspect("equal")
    ax.spines[:].set_visible(False)
    figure.suptitle(title, fontsize=10)
    save_figure(figure, path)


def write_calibration_plots(
    predictions: pd.DataFrame,
    labels: Sequence[str],
    calibration: Calibration,
    folder: Path | str,
    *,
    by_corpus: bool = False,
) -> list[Path]:
    """Write reliability.svg and risk-coverage.svg of some predictions, unless they are of fewer than two groups.

    Groups are speakers, or corpora with `by_corpus`. "After" are probabilities with temperatures that were fitted on
    other groups, as in `Calibration.ece_after`; risk and coverage use the temperature and the threshold of the
    calibration.

    Args:
        predictions: columns as `emofuse.training.module.Outputs.table` returns them.
        labels: categories in the order of the columns probability_0.. .
        calibration: fitted on these rows.
        folder: created if it does not exist.
        by_corpus: as it was fitted (`emofuse.training.calibration.fit_calibration`).

    Raises:
        EmofuseError: the folder cannot be written.
    """
    truth, probabilities, groups = labelled_rows(predictions, labels, group="corpus" if by_corpus else "speaker")
    held_out = cross_fitted(truth, probabilities, groups, by_corpus=by_corpus)
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
    """Rows, mean confidence and accuracy of each confidence bin of `metrics.ece`: (bins,), NaN in bins without rows."""

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
    filled = np.where(rows > 0, rows, np.nan)
    return Reliability(rows, sure / filled, right / filled)


def save_reliability(path: Path | str, truth: ArrayLike, systems: dict[str, Any]) -> Path:
    """Draw accuracy against confidence, a panel for each system, and the number of rows in each bin below.

    Args:
        path: .svg or .png.
        truth: (n,) class numbers; rows with -1 are left out.
        systems: title to probabilities (n, K).

    Raises:
        EmofuseError: the file cannot be written.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    options: dict[str, Any] = {"sharex": True, "sharey": "row", "height_ratios": [3, 1]}
    figure, axes = new_figure(2, len(systems), width=4.2 * len(systems), height=4.8, **options)
    for column, (title, probabilities) in enumerate(systems.items()):
        upper, lower = axes[:, column]
        _bars(upper, lower, truth, probabilities)
        upper.set_title(f"{title}: ECE {metrics.ece(truth, probabilities):.3f}")
    axes[0, 0].set_ylabel("accuracy")
    axes[1, 0].set_ylabel("rows")
    keys = [
        Patch(color=BLUE, label="accuracy"),
        Patch(color=PALE_BLUE, label=f"accuracy of fewer than {_FEW_ROWS} rows"),
        Line2D([], [], color=ORANGE, linewidth=2.5, label="mean confidence"),
    ]
    figure.legend(handles=keys, loc="outside lower center", ncols=3, frameon=False)
    return save_figure(figure, path)


def save_risk_coverage(path: Path | str, confidence: ArrayLike, correct: ArrayLike, threshold: float) -> Path:
    """Draw the error rate of the most confident predictions against their share, with the threshold of "uncertain".

    Args:
        path: .svg or .png.
        confidence: (n,) highest probability, n at least 1.
        correct: (n,) whether the prediction is right.
        threshold: predictions with a lower confidence are called uncertain.

    Raises:
        EmofuseError: the file cannot be written.
    """
    curve = risk_coverage(confidence, correct)
    figure, axes = new_figure(width=5.5, height=4.6)
    ax = axes[0, 0]
    n = np.size(correct)
    is_steady = curve.coverage * n >= min(_FEW_ROWS, n)  # one row more changes the risk of fewer rows much
    ax.plot(curve.coverage[is_steady], curve.risk[is_steady], color=BLUE, label="least confident left out first")
    ax.axhline(curve.risk[-1], color=GREY, linestyle="--", label=f"all predictions: {curve.risk[-1]:.1%} wrong")
    kept = curve.threshold >= threshold
    if kept.any():
        share, risk = curve.coverage[kept][-1], curve.risk[kept][-1]
        note = f"confidence from {threshold:.2f}: {share:.0%} kept, {risk:.1%} wrong"
        ax.plot(share, risk, "o", color=ORANGE, markersize=9, label=note)
    ax.set(xlabel="share of predictions kept", ylabel="share wrong among them", xlim=(0, 1.02), ylim=(0, None))
    ax.set_title(f"Risk and coverage (n = {n}, AURC {curve.aurc:.3f})")
    figure.legend(loc="outside lower center", frameon=False)
    return save_figure(figure, path)


def _bars(upper: Axes, lower: Axes, truth: ArrayLike, probabilities: ArrayLike) -> None:
    bins = reliability(truth, probabilities)
    filled = bins.rows > 0
    width = 1 / len(bins.rows)
    middle = (np.flatnonzero(filled) + 0.5) * width
    colours = np.where(bins.rows[filled] < _FEW_ROWS, PALE_BLUE, BLUE).tolist()
    upper.bar(middle, bins.accuracy[filled], width * 0.9, color=colours)
    upper.hlines(bins.confidence[filled], middle - width * 0.45, middle + width * 0.45, ORANGE, linewidth=2.5)
    upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    upper.set(xlim=(0, 1), ylim=(0, 1))
    lower.bar(middle, bins.rows[filled], width * 0.9, color=GREY)
    for x, count in zip(middle, bins.rows[filled], strict=True):
        lower.text(x, count, f"{count:.0f}", ha="center", va="bottom", fontsize=6.5)
    lower.set_xlabel("confidence")
    lower.margins(y=0.25)
