"""Calibrate on predictions for corpora that were left out of training, and measure the calibration on each of them.

A model is used on voices, rooms and languages that no training corpus has, where it is wrong more often and too
confident. So the kinds "audio" (a clip by itself) and "audio_adapted" (a clip minus the offset of its speaker) are
fitted on corpora that the model was not trained on, by the criterion in `emofuse.training.calibration`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from emofuse.metrics import scores as metrics
from emofuse.metrics.calibration import Calibration, apply_temperature
from emofuse.training.calibration import fit_calibration, fit_categories, labelled_rows
from emofuse.training.predictions import NEW_CORPUS

PARTS_OF_KIND = {
    "audio": ("test", NEW_CORPUS),
    "audio_adapted": (
        "test-adapted",
        *(f"{NEW_CORPUS}-{way}" for way in ("adapted-5", "adapted", "adapted-5-same")),
    ),
}
"""Parts of the predictions on which each kind is measured."""


class Quality(TypedDict):
    """Quality of calibrated predictions for one corpus; None where it is undefined."""

    n: int  # rows with a category
    temperature: float
    uncertain_below: float
    ece: float | None
    auroc: float | None  # of the confidence: right against wrong predictions
    kept: float | None  # share that is not called uncertain
    wrong: float | None  # share of wrong predictions
    wrong_of_kept: float | None


class Fit(NamedTuple):
    """Temperature, and the confidence below which a prediction is called uncertain."""

    temperature: float
    uncertain_below: float


def calibrate_on_new_corpora(
    parts: Mapping[str, pd.DataFrame], labels: Sequence[str]
) -> dict[str, tuple[pd.DataFrame, Calibration]]:
    """Fit the kinds "audio" and "audio_adapted" on corpora that were left out.

    The adapted kind is fitted on predictions adapted by five and by all other clips of the speaker together, where the
    offset is not 0. `Calibration.by_corpus` has the `Quality` on each corpus. On a new corpus it is that of a fit on
    the other new corpora, and its item `final` is that of the calibration itself.

    Args:
        parts: predictions from audio by part (one of `emofuse.training.predictions.PARTS`).
        labels: names of the categories.

    Returns:
        By kind, the rows that it was fitted on and the calibration. A kind is absent if fewer than two corpora have
        labelled rows of it.
    """
    rows = {kind: table for kind, table in _rows_of_kinds(parts).items() if len(_corpora(table)) > 1}
    calibrations = {
        kind: fit_calibration(table, labels, rated=human_rated(table), by_corpus=True) for kind, table in rows.items()
    }
    final = {kind: Fit(one.temperature, one.uncertain_below) for kind, one in calibrations.items()}
    fits = {  # on other corpora than each
        corpus: {**final, **{kind: _fit_without(corpus, table, labels) for kind, table in rows.items()}}
        for corpus in sorted(set().union(*map(_corpora, rows.values())))
    }
    results = {}
    for kind, calibration in calibrations.items():
        measured: dict[str, Any] = {}
        for part in PARTS_OF_KIND[kind]:
            for name, table in parts[part].groupby("corpus") if part in parts else ():
                corpus = str(name)
                quality: dict[str, Any] = dict(_measure(table, kind, labels, final))
                if part.startswith(NEW_CORPUS) and quality["n"]:
                    quality = {**_measure(table, kind, labels, fits.get(corpus, final)), "final": quality}
                if quality["n"]:
                    measured.setdefault(part, {})[corpus] = quality
        results[kind] = rows[kind], replace(calibration, by_corpus=measured)
    return results


def human_rated(predictions: pd.DataFrame) -> NDArray[np.bool_] | bool:
    """Whether the true dimensions of each row are human ratings, and not weak targets."""
    return ~predictions["weak_dimensions"].eq(True).to_numpy(bool) if "weak_dimensions" in predictions else True


def _rows_of_kinds(parts: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    rows = {"audio": parts[NEW_CORPUS]} if NEW_CORPUS in parts else {}
    if adapted := [parts[name] for name in (f"{NEW_CORPUS}-adapted-5", f"{NEW_CORPUS}-adapted") if name in parts]:
        both = pd.concat(adapted, ignore_index=True)
        rows["audio_adapted"] = both[both["adapted"]].reset_index(drop=True)
    return rows


def _corpora(predictions: pd.DataFrame) -> set[str]:
    """Corpora with labelled rows."""
    return set(predictions.loc[predictions["truth"] >= 0, "corpus"])


def _fit_without(corpus: str, predictions: pd.DataFrame, labels: Sequence[str]) -> Fit:
    return Fit(*fit_categories(*labelled_rows(predictions[predictions["corpus"] != corpus], labels, group="corpus")))


def _measure(predictions: pd.DataFrame, kind: str, labels: Sequence[str], fits: Mapping[str, Fit]) -> Quality:
    """Quality of the predictions of one corpus, each with the fit of its kind: rows of offset 0 are not adapted."""
    if "adapted" not in predictions:
        predictions = predictions.assign(adapted=kind == "audio_adapted")
    truth, probabilities, adapted = labelled_rows(predictions, labels, group="adapted")
    calibrated, kept = np.empty(probabilities.shape), np.empty(len(truth), dtype=bool)
    for row_kind, rows in (("audio_adapted", adapted.astype(bool)), ("audio", ~adapted.astype(bool))):
        fit = fits[row_kind if row_kind in fits else "audio"]
        calibrated[rows] = apply_temperature(probabilities[rows], fit.temperature)
        kept[rows] = calibrated[rows].max(axis=1) >= fit.uncertain_below
    right = calibrated.argmax(axis=1) == truth
    mixed = right.any() and not right.all()
    return Quality(
        n=len(truth),
        temperature=fits[kind].temperature,
        uncertain_below=fits[kind].uncertain_below,
        ece=metrics.ece(truth, calibrated) if len(truth) else None,
        auroc=float(roc_auc_score(right, calibrated.max(axis=1))) if mixed else None,
        kept=float(kept.mean()) if len(truth) else None,
        wrong=float(1 - right.mean()) if len(truth) else None,
        wrong_of_kept=float(1 - right[kept].mean()) if kept.any() else None,
    )
