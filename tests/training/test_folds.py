"""All folds of a recipe: every row is judged once, by a model that never heard its speaker; one more model for use."""

from pathlib import Path

import pandas as pd
import pytest

from emofuse.config import load_recipe
from emofuse.errors import EmofuseError
from emofuse.files import read_json
from emofuse.training.export import export_run
from emofuse.training.folds import train_folds
from emofuse.training.run import evaluate

TOY = Path(__file__).parents[2] / "recipes" / "toy.toml"
CHANGES = ["model.fusion=audio_only", "model.heads=['categories', 'dimensions']", "data.labels.weak_dimensions=true"]
CHANGES += ["training.monitor=uar", "training.epochs=1"]


def recipe(split):
    return load_recipe(TOY, [*CHANGES, f"data.corpora.0.split={split}"])


@pytest.mark.slow
def test_three_folds_and_a_model_for_use(tmp_path):
    own = recipe('{rule="k_fold", k=3}')
    folder = train_folds(own, tmp_path / "runs", tmp_path)
    pooled = pd.read_parquet(folder / "predictions-test.parquet")
    each = [pd.read_parquet(folder / f"fold-{k}" / "predictions-test.parquet") for k in range(3)]
    assert pooled["key"].is_unique and len(pooled) == sum(map(len, each))
    speakers = [set(table["speaker"]) for table in each]
    assert not speakers[0] & speakers[1] and not speakers[1] & speakers[2] and not speakers[0] & speakers[2]
    found = read_json(folder / "metrics.json")
    assert found["test"]["rows"] == len(pooled) and evaluate(folder)["test"] == found["test"]

    final = folder / "final"
    assert not (final / "predictions-test.parquet").exists()  # it was trained on all rows
    assert read_json(final / "metrics.json") == found
    calibration = read_json(folder / "calibration.json")
    assert calibration["audio"]["n"] == len(pooled) and read_json(final / "calibration.json") == calibration
    assert list((folder / "plots" / "audio").iterdir())
    bundle = export_run(final, tmp_path / "bundle")
    assert bundle.calibration == calibration and bundle.metrics["test"] == found["test"]

    weights = final / "checkpoints" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    assert train_folds(own, tmp_path / "runs", tmp_path) == folder
    assert weights.stat().st_mtime_ns == before


def test_a_split_without_folds_is_refused(tmp_path):
    with pytest.raises(EmofuseError, match="no corpus has a split with folds"):
        train_folds(recipe('{rule="hold_out"}'), tmp_path / "runs", tmp_path)
