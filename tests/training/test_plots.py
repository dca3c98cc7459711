"""The pictures say in words what they show, and the same rows give the same bytes."""

import numpy as np
import pandas as pd
import pytest

from emofuse.errors import EmofuseError
from emofuse.metrics import scores as metrics
from emofuse.training.calibration import fit_calibration
from emofuse.training.plots import (
    reliability,
    save_reliability,
    save_risk_coverage,
    write_calibration_plots,
)

LABELS = ["neutral", "anger", "fear"]


def table(n: int = 200, speakers: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    df = pd.DataFrame(rng.dirichlet([0.3] * 3, n), columns=[f"probability_{k}" for k in range(3)])
    df["key"], df["speaker"] = [f"k{i}" for i in range(n)], [f"s{i % speakers}" for i in range(n)]
    df["truth"] = rng.integers(-1, 3, n)
    return df


def test_bins_are_those_of_ece():
    df = table()
    probabilities = df.filter(like="probability").to_numpy()
    bins = reliability(df["truth"], probabilities)
    gaps = np.abs(bins.accuracy - bins.confidence)
    assert bins.rows.sum() == (df["truth"] >= 0).sum()
    assert np.nansum(bins.rows * gaps) / bins.rows.sum() == pytest.approx(metrics.ece(df["truth"], probabilities))
    assert np.isnan(bins.accuracy[bins.rows == 0]).all()


def test_pictures_of_a_calibration(tmp_path):
    df = table()
    found = fit_calibration(df, LABELS, rated=False)
    written = write_calibration_plots(df, LABELS, found, tmp_path / "plots")
    assert [path.name for path in written] == ["reliability.svg", "risk-coverage.svg"]
    first, second = (path.read_text() for path in written)
    assert f"before: ECE {found.ece_before:.3f}" in first
    assert f"after: ECE {found.ece_after:.3f}" in first
    assert f"n = {found.n}" in second and f"all predictions: {found.risk:.1%} wrong" in second
    assert f"confidence from {found.uncertain_below:.2f}" in second
    again = write_calibration_plots(df.sample(frac=1, random_state=0), LABELS, found, tmp_path / "again")
    assert [path.read_text() for path in again] == [first, second]


def test_no_picture_without_speakers_to_hold_out(tmp_path):
    df = table(speakers=1)
    assert write_calibration_plots(df, LABELS, fit_calibration(df, LABELS, rated=False), tmp_path / "plots") == []
    assert not (tmp_path / "plots").exists()


def test_png_and_few_rows(tmp_path):
    one = save_reliability(tmp_path / "one.png", [0], {"before": [[0.8, 0.2]]})
    curve = save_risk_coverage(tmp_path / "curve.png", [0.8], [True], 0.9)
    assert one.read_bytes()[:4] == curve.read_bytes()[:4] == b"\x89PNG"


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EmofuseError, match="cannot be written"):
        save_risk_coverage(tmp_path / "file" / "curve.svg", [0.8, 0.4], [True, False], 0.5)
