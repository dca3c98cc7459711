"""What makes the batches has no say in them: workers, and the epoch's history."""

import weakref
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from emofuse.config import load_recipe
from emofuse.data.prepare import prepare
from emofuse.data.utterances import train_loader
from emofuse.errors import EmofuseError
from emofuse.files import read_json
from emofuse.training.module import predict_rows
from emofuse.training.run import train

TOY = Path(__file__).parents[2] / "recipes" / "toy.toml"
AUDIO = ["model.fusion=audio_only", "model.width=0.0625"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path / "cache"))


@pytest.mark.slow
def test_workers_make_the_batches_that_the_process_itself_makes(tmp_path):
    recipe = load_recipe(TOY, [*AUDIO, "training.batch_size=4", "training.spec_augment=true", "training.mixup=0.4"])
    rows = prepare(recipe, data=tmp_path).parts["train"]
    made = []
    for workers in (0, 2):
        config = recipe.training.model_copy(update={"workers": workers})
        made.append(list(train_loader(rows, config, seed=1, epoch=0)))
    assert len(made[0]) == len(made[1]) == 8
    for one, other in zip(*made, strict=True):
        assert torch.equal(one.rows, other.rows) and torch.equal(one.frames, other.frames)
        assert torch.equal(one.target, other.target)


def test_predictions_do_not_keep_the_frames(tmp_path, monkeypatch):
    recipe = load_recipe(TOY, AUDIO)
    rows = prepare(recipe, data=tmp_path).parts["test"]
    frames, alive = [], []

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, given, *_):
            frames.append(weakref.ref(given))
            alive.append(sum(reference() is not None for reference in frames))
            return {"logits": torch.zeros(len(given), 4)}

    assert len(predict_rows(Model(), rows, batch_size=2)) == len(rows)
    assert len(frames) == 16 and max(alive) <= 2


def test_each_process_needs_a_batch(tmp_path):
    recipe = load_recipe(TOY, AUDIO)
    rows = prepare(recipe, data=tmp_path).parts["train"]
    with pytest.raises(EmofuseError, match="32 rows make only 2 batches of 16, and each device needs one"):
        train_loader(rows, recipe.training, seed=1, epoch=0, world=3)


def test_a_batch_lies_on_a_gpu_or_in_pinned_memory_whole(tmp_path, monkeypatch):
    rows = prepare(load_recipe(TOY, AUDIO), data=tmp_path).parts["train"]
    batch = rows.batch([0, 1])
    there = batch.to("meta")
    assert {field.device.type for field in vars(there).values()} == {"meta"}
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self) or self)
    assert torch.equal(batch.pin_memory().frames, batch.frames) and len(pinned) == len(vars(batch))


@pytest.mark.slow
def test_history_has_the_learning_rate_that_its_epoch_began_with(tmp_path):
    options = ["training.schedule=plateau", "training.epochs=9", "training.learning_rate=1e-12"]
    run = train(load_recipe(TOY, [*AUDIO, *options]), tmp_path / "run", tmp_path)
    history = pd.read_csv(run / "history.csv")
    assert history["learning_rate"].iloc[0] == 1e-12
    best = np.maximum.accumulate(history["dev_score"])
    assert best.iloc[-1] == best.iloc[0]  # never better: after 6 epochs without, the next has a lower rate
    assert history["learning_rate"].tolist() == pytest.approx([1e-12] * 7 + [9e-13] * 2, rel=1e-6)


@pytest.mark.slow
def test_a_test_part_without_labels_is_predicted_without_figures(tmp_path):
    train(load_recipe(TOY, [*AUDIO, "training.epochs=1"]), tmp_path / "first", tmp_path)
    path = tmp_path / "toy-corpus" / "table.csv"
    table = pd.read_csv(path, keep_default_na=False)
    tested = table["key"].isin(pd.read_parquet(tmp_path / "first" / "predictions-test.parquet")["key"])
    for column in ("emotion", "original_emotion", "arousal", "valence", "dominance"):
        table[column] = table[column].astype(object).mask(tested, "")
    table.to_csv(path, index=False)
    run = train(load_recipe(TOY, [*AUDIO, "training.epochs=1"]), tmp_path / "run", tmp_path)
    predictions = pd.read_parquet(run / "predictions-test.parquet")
    assert set(predictions["key"]) == set(table.loc[tested, "key"]) and (predictions["truth"] == -1).all()
    assert predictions["true_arousal"].isna().all() and predictions["arousal"].notna().all()
    metrics = read_json(run / "metrics.json")
    assert metrics["test"] == {"rows": 32}
    assert any("none of the 32 rows of the test part has a label" in note for note in metrics["notes"])
