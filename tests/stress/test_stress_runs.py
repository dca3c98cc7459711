"""Runs under stress in PyTorch, against the bundles made of them."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from emofuse.config import parse_recipe
from emofuse.corpora.table import make_table, write_table
from emofuse.data.rows import LABEL
from emofuse.stress.conditions import conditions_of
from emofuse.stress.rows import rows_of_runs
from emofuse.stress.sweep import predict_conditions, stress_runs
from emofuse.stress.systems import load_systems
from emofuse.training.run import train

EMOTIONS = ["neutral", "anger", "happiness"]


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.parametrize("fusion", ["multistage", "late"])
def test_a_run_answers_as_its_bundle_does(tmp_path, monkeypatch, fusion):
    """Also of clips that begin and end in silence, which both cut off, and with other layers of the speech encoder."""
    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path / "cache"))
    rng, rows = np.random.default_rng(0), []
    for i in range(24):
        tone = np.sin(np.arange(16000) * (0.05 + 0.02 * (i % 3))) + 0.1 * rng.normal(size=16000)
        samples = np.concatenate([np.zeros(9000), 0.3 * tone, np.zeros(12000)]) + 1e-4 * rng.normal(size=37000)
        soundfile.write(tmp_path / f"{i}.wav", samples, 16000)
        row = {"key": f"k{i}", "file": f"{i}.wav", "speaker": f"s{i % 8}", "emotion": EMOTIONS[i % 3]}
        rows.append(row | {"language": "en", "text": f"So it is, on the {i}th of {EMOTIONS[(i + 1) % 3]} May"})
    write_table(make_table(rows, "made-up"), tmp_path / "table.csv")
    recipe = parse_recipe(
        {
            "name": "r",
            "protocol": "p",
            "data": {"corpora": [{"reader": "table", "root": "table.csv"}], "labels": {"names": EMOTIONS}},
            "model": {"fusion": fusion, "encoder": "ladder", "layers": [1, 3], "ladder_dim": 8},
            "training": {"epochs": 1, "batch_size": 4},
        },
        source="test",
    )
    run = train(recipe, tmp_path / "run", tmp_path)
    chosen = ["gain", "crop", "white_noise", "wer", "no_text", "no_audio"]
    bundle = stress_runs([run], tmp_path, conditions=chosen).predictions
    table = rows_of_runs([run], tmp_path)
    ours = predict_conditions(
        load_systems({"run": run}), table, set(table["key"]), conditions=conditions_of(chosen), column=LABEL, seed=0
    )
    at = ["condition", "level", "key"]
    pd.testing.assert_frame_equal(ours[[*at, "truth"]], bundle[[*at, "truth"]])
    columns = [f"probability_{i}" for i in range(3)]
    np.testing.assert_allclose(ours[columns], bundle[columns], atol=5e-3)
    assert ours[columns].std().min() > 1e-3, "answers differ, so that those of others would not fit"
