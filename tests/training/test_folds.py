"""All folds of a recipe, each row predicted once by a model that was not trained on its speaker; left-out corpora."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import transformers

import emofuse
from emofuse.config import load_recipe
from emofuse.corpora import read_corpus
from emofuse.corpora.table import write_table
from emofuse.errors import EmofuseError
from emofuse.files import read_json
from emofuse.training import run as running
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


SMALL = {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "vocab_size": 60000}


@pytest.fixture
def two_corpora(tmp_path):
    """A recipe with the toy corpus and a copy of it under other names, a small Whisper, and both to leave out."""
    config = transformers.WhisperConfig(
        d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=32, init_std=0.2, **SMALL
    )
    torch.manual_seed(0)
    transformers.WhisperModel(config).save_pretrained(tmp_path / "whisper")
    table = read_corpus("toy", tmp_path / "toy-corpus")
    for column in ("key", "speaker"):
        table[column] = table[column].str.replace("toy/", "copy/")
    write_table(table.assign(corpus="copy"), tmp_path / "copy.csv")
    options = [*CHANGES, "model.encoder=ladder", f"model.speech_encoder={tmp_path / 'whisper'}", "model.layers=[1,2]"]
    options += ["model.ladder_dim=16", "training.precision=fp32", 'training.leave_out=["toy","table"]']
    split = 'split={rule="k_fold", k=3}'
    corpora = f'[{{reader="toy", root="toy-corpus", {split}}}, {{reader="table", root="copy.csv", {split}}}]'
    return load_recipe(TOY, [*options, f"data.corpora={corpora}"])


@pytest.mark.slow
def test_corpora_that_are_left_out_calibrate_audio(two_corpora, tmp_path, monkeypatch):
    def estimate(data, adapter, clips=None, same_emotion=False, seed=0):
        offsets = np.full((len(data), data.features.width), 0.1 * (clips or 9) * (1 + same_emotion), np.float32)
        offsets[::4] = 0
        return offsets

    monkeypatch.setattr(running, "estimate_offsets", estimate)
    folder = train_folds(two_corpora, tmp_path / "runs", tmp_path)
    split = read_json(folder / "without-table" / "split.json")
    assert {key.split("/")[0] for key in split["test"]} == {"copy"} and len(split["test"]) == 96
    assert {key.split("/")[0] for key in split["train"] + split["dev"]} == {"toy"}
    assert len(split["train"] + split["dev"]) == 96
    tables = {}
    for way in ("", "-adapted", "-adapted-5", "-adapted-5-same"):
        tables[way] = pd.read_parquet(folder / f"predictions-new-corpus{way}.parquet")
        assert tables[way]["key"].is_unique and tables[way]["corpus"].value_counts().to_dict() == {
            "toy": 96,
            "copy": 96,
        }
        alone = pd.read_parquet(folder / "without-toy" / f"predictions-test{way}.parquet")
        pd.testing.assert_frame_equal(tables[way].head(len(alone)), alone)
    assert not tables["-adapted"]["probability_0"].equals(tables["-adapted-5"]["probability_0"])
    metrics = read_json(folder / "metrics.json")
    assert metrics["new-corpus-adapted-5"]["by_corpus"]["copy"]["categories"]["uar"]["n"] == 96
    assert {part: evaluate(folder)[part] for part in metrics if part != "notes"} == {
        part: metrics[part] for part in metrics if part != "notes"
    }

    calibration = read_json(folder / "calibration.json")
    assert list(calibration) == ["audio", "audio_adapted"]
    assert (calibration["audio"]["n"], calibration["audio_adapted"]["n"]) == (192, 288)
    assert set(calibration["audio"]["by_corpus"]["new-corpus"]) == {"toy", "copy"}
    bundle = export_run(folder / "final", tmp_path / "bundle")
    assert bundle.calibration == calibration
    assert "| new corpora | adapted by 5 other clips | copy | 96 |" in (bundle.folder / "README.md").read_text()
    answers = emofuse.load(bundle.folder)(str(next((tmp_path / "toy-corpus" / "audio").glob("*.wav"))))
    assert all(answer.uncertain is not None for answer in answers)

    weights = folder / "without-toy" / "checkpoints" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    unchanged = two_corpora.model_copy(update={"training": two_corpora.training.model_copy(update={"leave_out": []})})
    train_folds(two_corpora, tmp_path / "runs", tmp_path)
    assert weights.stat().st_mtime_ns == before
    train_folds(unchanged, tmp_path / "runs", tmp_path)  # without corpora to leave out, the folds calibrate
    assert not list(folder.glob("predictions-new-corpus*"))
    assert read_json(folder / "calibration.json")["audio"]["by_corpus"] == {}


def test_a_split_without_folds_is_refused(tmp_path):
    with pytest.raises(EmofuseError, match="no corpus has a split with folds"):
        train_folds(recipe('{rule="hold_out"}'), tmp_path / "runs", tmp_path)
