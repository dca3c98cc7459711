import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from emofuse.config import load_recipe
from emofuse.data.prepare import prepare
from emofuse.errors import EmofuseError
from emofuse.models.ser import Ensemble
from emofuse.training.module import SerModule, monitored, predict_rows, score_rows
from emofuse.training.run import evaluate, load_run, train

TOY = Path(__file__).parents[2] / "recipes" / "toy.toml"
QUICK = ["training.epochs=2", "model.width=0.0625"]
AUDIO = [*QUICK, "model.fusion=audio_only"]
PROGRAM = f"""
import sys
from pathlib import Path
from emofuse.config import load_recipe
from emofuse.training.run import train

train(load_recipe({str(TOY)!r}, {{options!r}}), Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path / "cache"))


def toy(*overrides):
    return load_recipe(TOY, list(overrides))


def test_a_run_folder_has_all_that_it_reports(tmp_path):
    run = train(toy(*AUDIO), tmp_path / "run", tmp_path)
    there = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert {
        "recipe.toml",
        "split.json",
        "environment.json",
        "history.csv",
        "metrics.json",
        "predictions-dev.parquet",
        "predictions-test.parquet",
        "checkpoints/model.safetensors",
        "checkpoints/last.ckpt",
        "checkpoints/best.ckpt",
    } <= there
    assert any("tfevents" in name for name in there)
    assert load_recipe(run / "recipe.toml") == toy(*AUDIO)
    history = pd.read_csv(run / "history.csv")
    assert history["epoch"].tolist() == [0, 1]
    assert {"train_loss", "dev_uar", "dev_ccc", "dev_score"} <= set(history.columns)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["test"]["categories"]["uar"].keys() == {"value", "low", "high", "n", "speakers"}
    assert evaluate(run)["test"] == metrics["test"]
    speakers = [set(pd.read_parquet(run / f"predictions-{part}.parquet")["speaker"]) for part in ("dev", "test")]
    assert not speakers[0] & speakers[1]


def test_predictions_are_those_of_the_stored_model(tmp_path):
    run = train(toy(*AUDIO), tmp_path / "run", tmp_path)
    stamp = (run / "metrics.json").stat().st_mtime_ns
    loaded = load_run(run)
    assert loaded.labels == ["neutral", "happiness", "sadness", "anger"]
    assert loaded.text_encoder is None
    assert not loaded.model.training
    assert train(toy(*AUDIO), tmp_path / "run", tmp_path) == run
    assert (run / "metrics.json").stat().st_mtime_ns == stamp, "a finished run was done again"


@pytest.mark.slow
def test_the_papers_optimiser_and_early_stopping(tmp_path):
    """SGD with plateau, fp32; a learning rate of nearly 0 never improves on its first epoch."""
    options = [
        "training.optimizer=sgd",
        "training.schedule=plateau",
        "training.precision=fp32",
        "training.loss_weights=uncertainty",
        "training.learning_rate=1e-12",
        "training.epochs=20",
        "training.patience=2",
    ]
    run = train(toy(*AUDIO, *options), tmp_path / "run", tmp_path)
    assert 3 <= len(pd.read_csv(run / "history.csv")) < 20


@pytest.mark.slow
def test_plateau_lowers_the_rate_as_the_recipe_says(tmp_path):
    options = ["learning_rate=1e-12", "schedule=plateau", "plateau_factor=0.1", "plateau_patience=0", "epochs=4"]
    run = train(toy(*AUDIO, *(f"training.{option}" for option in options)), tmp_path / "run", tmp_path)
    rates = pd.read_csv(run / "history.csv")["learning_rate"]
    assert rates.iloc[1:].to_numpy() == pytest.approx(1e-12 * 0.1 ** np.arange(len(rates) - 1))


@pytest.mark.slow
def test_gradients_are_clipped_by_their_norm(tmp_path):
    """One step of plain SGD moves the weights by the rate times the norm of the gradient."""
    options = ["optimizer=sgd", "momentum=0", "schedule=none", "precision=fp32", "epochs=1", "epoch_steps=1"]
    options = [*AUDIO, *(f"training.{option}" for option in options)]

    def weights(name, *more):
        run = train(toy(*options, *more), tmp_path / name, tmp_path)
        return torch.cat([p.detach().flatten() for p in load_run(run).model.parameters()])

    start = weights("start", "training.learning_rate=1e-30")
    moved = (weights("moved", "training.learning_rate=1.0") - start).norm()
    clipped = (weights("clipped", "training.learning_rate=1.0", "training.gradient_clip=0.01") - start).norm()
    assert float(clipped) == pytest.approx(0.01, rel=1e-3) and moved > 0.02


def test_members_of_an_ensemble_are_clipped_each_by_itself():
    members = [torch.nn.Linear(1, 1, bias=False) for _ in range(2)]
    for member, gradient in zip(members, (30.0, 0.25), strict=True):
        member.weight.grad = torch.full((1, 1), gradient)
    SerModule.configure_gradient_clipping(SimpleNamespace(model=Ensemble(members)), None, 0.5)
    assert [member.weight.grad.item() for member in members] == pytest.approx([0.5, 0.25], rel=1e-4)


@pytest.mark.slow
def test_learns_the_made_up_corpus(tmp_path):
    recipe = toy("model.fusion=audio_only", "training.epochs=12")
    metrics = json.loads((train(recipe, tmp_path / "run", tmp_path) / "metrics.json").read_text())
    assert metrics["dev"]["categories"]["uar"]["value"] > 0.6


def test_the_folder_of_another_recipe_is_refused(tmp_path):
    run = train(toy(*AUDIO), tmp_path / "run", tmp_path)
    with pytest.raises(EmofuseError, match=r"another recipe \(it differs in seed\).*--fresh"):
        train(toy(*AUDIO, "seed=7"), run, tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.doc").write_text("dear")
    with pytest.raises(EmofuseError, match="not empty"):
        train(toy(*AUDIO), tmp_path / "full", tmp_path)


def test_weights_of_another_model_are_refused(tmp_path):
    run = train(toy(*AUDIO), tmp_path / "run", tmp_path)
    weights = load_file(run / "checkpoints" / "model.safetensors")
    weights.pop("encoder.fc1.weight")
    save_file(weights, run / "checkpoints" / "model.safetensors")
    with pytest.raises(EmofuseError, match="do not fit"):
        load_run(run)
    with pytest.raises(EmofuseError, match="not a finished run"):
        load_run(tmp_path / "nothing")


def test_unknown_labels_are_an_error(tmp_path):
    recipe = toy(*AUDIO, 'model.heads=["categories"]', "training.monitor=uar", 'data.labels.names=["bliss","awe"]')
    with pytest.raises(EmofuseError, match="bliss"):
        train(recipe, tmp_path / "run", tmp_path)


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.parametrize("weight", ["average", "dev"])
def test_late_fusion_is_made_of_two_runs(tmp_path, weight):
    recipe = toy(*QUICK, "model.fusion=late", f"model.late_weight={weight}")
    run = train(recipe, tmp_path / "run", tmp_path)
    model = load_run(run).model
    expected = {"average": [0.5], "dev": [i / 10 for i in range(11)]}[weight]
    assert min(abs(model.weight.item() - w) for w in expected) < 1e-6
    if weight == "dev":
        best, rows = model.weight.item(), prepare(recipe, data=tmp_path).parts["dev"]
        scores = {}
        for other in expected:
            model.set_weight(other)
            scores[other] = monitored(score_rows(predict_rows(model, rows), recipe), recipe.training.monitor)
        assert scores[round(best, 1)] == pytest.approx(max(scores.values())) and len(set(scores.values())) > 1
    heard = load_run(run / "audio_only").model
    a, b = model.audio.state_dict(), heard.state_dict()
    assert all(torch.equal(a[name], b[name]) for name in b)


@pytest.mark.slow
def test_killed_and_resumed_is_the_same_as_unbroken(tmp_path, monkeypatch, request):
    """kill -9 in the middle of training; what follows gives the same history and predictions."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # the same number of threads in both processes: sums depend on it
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    request.addfinalizer(lambda: torch.set_num_threads(threads))
    options = ["model.fusion=audio_only", "model.width=0.0625", "training.epochs=8", "training.mixup=0.4"]
    unbroken = train(toy(*options), tmp_path / "unbroken", tmp_path)
    code = PROGRAM.format(options=options)
    command = [sys.executable, "-c", code, str(tmp_path / "killed"), str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    history = tmp_path / "killed" / "history.csv"
    deadline = time.monotonic() + 120
    while not (history.exists() and len(pd.read_csv(history)) >= 3) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert history.exists()
    assert not (tmp_path / "killed" / "metrics.json").exists(), "it was done before it was killed"
    resumed = train(toy(*options), tmp_path / "killed", tmp_path)
    pd.testing.assert_frame_equal(pd.read_csv(unbroken / "history.csv"), pd.read_csv(resumed / "history.csv"))
    a, b = (pd.read_parquet(run / "predictions-test.parquet") for run in (unbroken, resumed))
    pd.testing.assert_frame_equal(a, b)


@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path):
    """DDP with two gloo processes on the CPU, as a user starts it."""
    script = tmp_path / "ddp.py"
    script.write_text(PROGRAM.format(options=[*AUDIO, "training.devices=2"]))
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "run"), str(tmp_path)], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert history["epoch"].tolist() == [0, 1]
    assert np.isfinite(history["train_loss"]).all()
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]["rows"] > 0


@pytest.mark.slow
@pytest.mark.weights
def test_two_processes_train_a_late_fusion(tmp_path):
    """What one process writes of the unimodal runs is there when the other reads it."""
    options = [*QUICK, "model.fusion=late", "training.devices=2", "training.epochs=1", "training.batch_size=8"]
    script = tmp_path / "ddp.py"
    script.write_text(PROGRAM.format(options=options))
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "run"), str(tmp_path)], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("Training on") == 3  # one process speaks, of the run and of its two parts
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]["rows"] > 0
