"""A run is handed back, or goes on, only with the recipe, the data and the encoders that it began with."""

import json
from pathlib import Path

import pandas as pd
import pytest
import soundfile
import torch

from emofuse import hardware
from emofuse.config import load_recipe
from emofuse.errors import EmofuseError
from emofuse.training import run as running
from emofuse.training.run import train
from emofuse.training.run_folder import changes

TOY = Path(__file__).parents[2] / "recipes" / "toy.toml"
QUICK = ["training.epochs=1", "model.width=0.0625"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def words(length_encoder):
    """The identity of a text encoder that takes no weights; a test may change it."""
    return length_encoder.identity


def toy(*overrides, fusion="audio_only"):
    return load_recipe(TOY, [*QUICK, f"model.fusion={fusion}", *overrides])


def change_table(folder, change):
    path = folder / "toy-corpus" / "table.csv"
    table = pd.read_csv(path, keep_default_na=False)
    change(table).to_csv(path, index=False)


def swap_labels(table):
    swapped = {"anger": "neutral", "neutral": "anger"}
    return table.assign(emotion=table["emotion"].replace(swapped))


@pytest.mark.slow
def test_a_finished_run_of_other_data_is_not_handed_back(tmp_path, words):
    run = train(toy(fusion="multistage"), tmp_path / "run", tmp_path)
    stamp = (run / "metrics.json").stat().st_mtime_ns
    original = (tmp_path / "toy-corpus" / "table.csv").read_bytes()

    def refused(what):
        with pytest.raises(EmofuseError, match=rf"{what} changed since this run was trained.*--fresh"):
            train(toy(fusion="multistage"), run, tmp_path)
        (tmp_path / "toy-corpus" / "table.csv").write_bytes(original)

    change_table(tmp_path, swap_labels)
    refused("the labels")
    change_table(tmp_path, lambda table: table.drop(index=range(0, len(table), 3)))
    refused(r"the number of rows \(train: 32, now \d+; dev: .*\)")
    change_table(tmp_path, lambda table: table.assign(text=table["text"].str.replace("happy", "sad")))
    refused("the transcripts")
    clip = sorted((tmp_path / "toy-corpus" / "audio").glob("*.wav"))[0]
    samples, rate = soundfile.read(clip)
    soundfile.write(clip, samples * 0.5, rate)
    refused("the audio")
    soundfile.write(clip, samples, rate)
    words["weights_hash"] = "1" * 64
    refused("the text encoder")
    words["weights_hash"] = "0" * 64
    assert train(toy(fusion="multistage"), run, tmp_path) == run
    assert (run / "metrics.json").stat().st_mtime_ns == stamp
    change_table(tmp_path, swap_labels)
    train(toy(fusion="multistage"), run, tmp_path, fresh=True)
    assert (run / "metrics.json").stat().st_mtime_ns > stamp


@pytest.mark.slow
def test_a_run_without_text_does_not_depend_on_transcripts(tmp_path):
    run = train(toy(), tmp_path / "run", tmp_path)
    change_table(tmp_path, lambda table: table.assign(text="other words"))
    assert train(toy(), run, tmp_path) == run


@pytest.mark.slow
def test_a_killed_run_does_not_go_on_with_other_data(tmp_path):
    run = train(toy(), tmp_path / "run", tmp_path)
    (run / "metrics.json").unlink()  # as if it had been killed before its end
    change_table(tmp_path, swap_labels)
    with pytest.raises(EmofuseError, match="the labels changed"):
        train(toy(), run, tmp_path)


@pytest.mark.slow
def test_an_error_before_training_locks_nobody_out(tmp_path, monkeypatch):
    class PowerCutError(Exception):
        pass

    def fail(*_, **__):
        raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr(running, "prepare", fail)
        with pytest.raises(PowerCutError):
            train(toy(), tmp_path / "early", tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(running, "build_model", fail)
        with pytest.raises(PowerCutError):
            train(toy(), tmp_path / "late", tmp_path)
    (tmp_path / "late" / "checkpoints").mkdir()
    (tmp_path / "late" / ".recipe.toml.x1y2").mkdir()  # by a kill while it was written
    for name in ("early", "late"):
        run = train(toy("seed=5"), tmp_path / name, tmp_path)
        assert load_recipe(run / "recipe.toml").seed == 5


def test_fresh_removes_runs_and_nothing_else(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "recipe.toml").write_text("dear")
    (tmp_path / "thesis" / "chapter.doc").write_text("dear")
    with pytest.raises(EmofuseError, match="is not a run folder"):
        train(toy(), tmp_path / "thesis", tmp_path, fresh=True)
    assert (tmp_path / "thesis" / "chapter.doc").exists()


@pytest.mark.slow
@pytest.mark.parametrize("native", [True, False])
def test_precision_suits_the_processor_and_stays(tmp_path, monkeypatch, native):
    """A run keeps the precision that it began with, wherever it goes on."""

    def on(has_bf16):
        found = hardware.Processor("Made-up processor", ("avx512_bf16",) if has_bf16 else ("avx2",))
        monkeypatch.setattr(hardware, "processor", lambda: found)

    seen = []
    trainer = running.lightning.Trainer
    monkeypatch.setattr(
        running.lightning, "Trainer", lambda **options: seen.append(options["precision"]) or trainer(**options)
    )
    on(native)
    run = train(toy(), tmp_path / "run", tmp_path)
    environment = json.loads((run / "environment.json").read_text())
    assert environment["precision"] == ("bf16" if native else "fp32")
    assert environment["hardware"]["processor"] == "Made-up processor"
    assert environment["hardware"]["instruction_sets"] == (["avx512_bf16"] if native else ["avx2"])
    (run / "metrics.json").unlink()
    on(not native)
    train(toy(), run, tmp_path)
    assert seen == ["bf16-mixed" if native else "32-true"] * 2
    other = "fp32" if native else "bf16"
    with pytest.raises(EmofuseError, match=r"differs in .*precision"):
        train(toy(f"training.precision={other}"), run, tmp_path)


@pytest.mark.slow
def test_a_run_of_before_hashes_is_handed_back_with_a_word(tmp_path, capsys):
    run = train(toy(), tmp_path / "run", tmp_path)
    environment = json.loads((run / "environment.json").read_text())
    for new in ("identity", "precision"):
        del environment[new]
    (run / "environment.json").write_text(json.dumps(environment))
    capsys.readouterr()
    assert train(toy(), run, tmp_path) == run
    assert "without hashes of its data" in capsys.readouterr().out


@pytest.mark.slow
def test_more_epochs_on_a_finished_run_are_as_if_it_had_never_stopped(tmp_path):
    plateau = "training.schedule=plateau"
    run = train(toy(plateau, "training.epochs=2"), tmp_path / "run", tmp_path)
    train(toy(plateau, "training.epochs=4"), run, tmp_path)
    whole = train(toy(plateau, "training.epochs=4"), tmp_path / "whole", tmp_path)
    histories = [pd.read_csv(folder / "history.csv") for folder in (run, whole)]
    pd.testing.assert_frame_equal(*histories)
    predictions = [pd.read_parquet(folder / "predictions-test.parquet") for folder in (run, whole)]
    pd.testing.assert_frame_equal(*predictions)
    assert load_recipe(run / "recipe.toml").training.epochs == 4
    notes = json.loads((run / "metrics.json").read_text())["notes"]
    assert notes[-1] == "Trained on after its test part had been read at 2 epochs."
    with pytest.raises(EmofuseError, match=r"another recipe \(it differs in training.epochs\)"):
        train(toy(plateau, "training.epochs=3"), run, tmp_path)


@pytest.mark.slow
def test_a_run_goes_on_where_its_folder_was_moved_to(tmp_path):
    """With its best weights: at a learning rate of nearly 0 no later epoch is better than the first."""
    options = ["training.schedule=none", "training.learning_rate=1e-12"]
    run = train(toy(*options, "training.epochs=2"), tmp_path / "here", tmp_path)
    there = run.rename(tmp_path / "there")
    train(toy(*options, "training.epochs=3"), there, tmp_path)
    best = torch.load(there / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["epoch"] == 0 and len(pd.read_csv(there / "history.csv")) == 3


@pytest.mark.slow
def test_more_epochs_need_a_schedule_and_a_checkpoint(tmp_path):
    run = train(toy(), tmp_path / "cycle", tmp_path)
    with pytest.raises(EmofuseError, match="one_cycle schedule"):
        train(toy("training.epochs=2"), run, tmp_path)
    none = "training.schedule=none"
    run = train(toy(none), tmp_path / "none", tmp_path)
    (run / "checkpoints" / "last.ckpt").unlink()
    with pytest.raises(EmofuseError, match="last checkpoint"):
        train(toy(none, "training.epochs=2"), run, tmp_path)


def test_changes_in_words():
    assert changes({}, {"labels": "1"}) == ""
    before = {"labels": "1", "speech_encoder": {"name": "a", "dim": 3}, "text_encoder": None}
    now = {"labels": "1", "speech_encoder": {"name": "a", "dim": 3, "revision": "x"}, "text_encoder": {"name": "b"}}
    assert changes(before, now) == "the text encoder"
    assert changes(before, now | {"labels": "2"}) == "the labels and the text encoder"
