"""The whole way through the command line: recipe, run, bundle, prediction."""

import json
from pathlib import Path

import pytest

RECIPE = Path(__file__).parents[1] / "recipes" / "toy.toml"


@pytest.mark.slow
@pytest.mark.weights
def test_from_recipe_to_prediction(emofuse, tmp_path):
    emofuse("train", RECIPE, "--data", tmp_path, "--set", "model.width=0.0625", folder=tmp_path)
    told = emofuse("evaluate", "runs/toy", folder=tmp_path).stdout
    assert "uar" in told and "ccc" in told
    emofuse("export", "runs/toy", "bundle", folder=tmp_path)
    assert "made-up" in (tmp_path / "bundle" / "README.md").read_text().lower()
    clip = next((tmp_path / "toy-corpus").rglob("*.wav"))
    options = ["--model", "bundle", "--format", "json"]
    both = json.loads(emofuse("predict", clip, "--text", "What a day!", *options, folder=tmp_path).stdout)
    (tmp_path / "whole.csv").write_text(f"file,start,end\n{clip},0,0.5\n")  # made-up clips hold no speech to be found
    whole = ("--segments", tmp_path / "whole.csv")
    voice = json.loads(emofuse("predict", clip, "--no-asr", *whole, *options, folder=tmp_path).stdout)
    words = json.loads(emofuse("predict", "--text", "What a day!", *options, folder=tmp_path).stdout)
    assert [found[0]["used"] for found in (both, voice, words)] == ["audio+text", "audio", "text"]
    assert set(both[0]["probabilities"]) == {"neutral", "happiness", "sadness", "anger"}
    assert sum(both[0]["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert 0 <= both[0]["valence"] <= 1


def test_a_wrong_recipe_is_told_in_one_line(emofuse, tmp_path):
    done = emofuse("train", RECIPE, "--set", "model.widht=1", folder=tmp_path, code=1)
    assert "model.widht" in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
