"""Stress as a part of a study: toy runs of one epoch, with an embedding that needs no weights."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from emofuse.corpora.table import make_table, write_table
from emofuse.data.rows import LABEL
from emofuse.errors import EmofuseError
from emofuse.stress.conditions import conditions_of
from emofuse.stress.rows import rows_of_runs
from emofuse.stress.systems import RunEncoders
from emofuse.study import stress as module
from emofuse.study.grid import StressConfig, cells_of, load_study, runs_of
from emofuse.study.stress import folds_of_runs, stress_study
from emofuse.study.work import Place, train_cell

pytestmark = pytest.mark.slow  # it trains

TOY = Path(__file__).parents[2] / "recipes" / "toy.toml"
CONDITIONS = ["gain", "wer", "no_text", "no_audio"]
IDENTITY = {"name": "made-up", "weights_hash": "0", "pooling": "mean", "dim": 3}
STUDY = f"""
name = "small"
protocol = "Made-up corpus, two of three folds."
seeds = [1, 2]
folds = [0, 1]
tasks.joint = {{ recipe = "{TOY.as_posix()}", set = ["training.epochs=1", "model.width=0.0625",
  "data.corpora.0.split={{rule = 'k_fold', k = 3}}"] }}
systems.late = ["model.fusion=late"]
systems.audio_only = ["model.fusion=audio_only"]
systems.multistage = ["model.stages=[1]"]
"""


class Encoder:
    """Words by their number, letters, and vowels."""

    def __init__(self):
        self.asked = []
        self.identity, self.name, self.weights_hash, self.file_hash = IDENTITY, "made-up", "0", "0"
        self.pooling, self.dim = "mean", 3

    def encode(self, texts):
        self.asked += texts
        return np.array([[len(t.split()), len(t) / 9, sum(map(t.count, "aeiou")) / 4] for t in texts], np.float32)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    """A cache of its own, and the text encoder, which tells what it was asked."""
    with pytest.MonkeyPatch.context() as patch:
        encoder = Encoder()
        patch.setenv("EMOFUSE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr("emofuse.encoders.text.load_text_encoder", lambda name, pooling: encoder)
        yield encoder


def trained(study, folds, out, data):
    """A finished study, its cells trained in this process."""
    place = Place(out / "cells", data, 1)
    cells = cells_of(study, folds)
    for cell in runs_of(cells):
        train_cell(cell, place, {})
    facts = [{"cell": cell.hash} | cell.facts for cell in cells]
    (out / "cells.json").write_text(json.dumps(facts))
    return out


@pytest.fixture(scope="module")
def study(made_up, tmp_path_factory):
    """Folder of a study of three systems, two folds and two seeds."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "study.toml").write_text(STUDY)
    return trained(load_study(folder / "study.toml"), {"joint": [0, 1]}, folder / "out", folder)


@pytest.fixture(scope="module")
def stressed(study):
    """stress.json of that study."""
    said = []
    path = stress_study(study, StressConfig(conditions=CONDITIONS, rows=8), study.parent, tell=said.append)
    assert said == ["[1/2] stress: joint, fold 0, 6 runs", "[2/2] stress: joint, fold 1, 6 runs"]
    return path


def read(path):
    facts = json.loads(path.read_text())
    return {entry["fold"]: pd.read_parquet(path.parent / entry["file"]) for entry in facts["folds"]}


def test_rows_as_they_are_have_the_predictions_of_the_study(study, stressed):
    for fold, found in read(stressed).items():
        clean = found[found["condition"] == "clean"]
        for cell in json.loads((study / "cells.json").read_text()):
            if cell["fold"] != fold:
                continue
            own = clean[(clean["system"] == cell["system"]) & (clean["seed"] == cell["seed"])].set_index("key")
            tested = pd.read_parquet(study / "cells" / cell["cell"] / "predictions-test.parquet").set_index("key")
            tested = tested.loc[own.index]
            assert len(own) == 8 and own["truth"].tolist() == tested["truth"].tolist()
            assert own["speaker"].tolist() == tested["speaker"].tolist()
            for column in ("probability_0", "probability_3", "valence", "true_valence"):
                assert own[column].tolist() == pytest.approx(tested[column].tolist(), abs=5e-3)


def test_each_system_is_stressed_by_what_it_reads(stressed):
    found = pd.concat(read(stressed).values())
    asked = found.groupby("system", observed=True)["condition"].agg(set).to_dict()
    assert asked == {
        "audio_only": {"clean", "gain"},
        "late": {"clean", *CONDITIONS},
        "multistage": {"clean", *CONDITIONS},
    }
    silent = found[found["condition"] == "no_audio"]
    assert silent.loc[silent["system"] == "late", "confidence"].notna().all()
    refused = silent[silent["system"] == "multistage"]
    assert len(refused) and refused["confidence"].isna().all(), "its last stage is not conditioned"
    by_words = found[(found["system"] == "late") & (found["condition"] == "wer")]
    assert by_words.groupby("key", observed=True)["probability_0"].nunique().max() > 1


def test_samples_are_balanced_and_the_same_for_all(stressed):
    for found in read(stressed).values():
        clean = found[found["condition"] == "clean"]
        rows = clean.groupby(["system", "seed"], observed=True)["key"].agg(lambda keys: tuple(sorted(keys)))
        assert len(rows) == 6 and rows.nunique() == 1
        assert clean.drop_duplicates("key")["truth"].value_counts().tolist() == [2, 2, 2, 2]


def test_what_is_finished_is_kept_and_what_was_broken_goes_on(study, stressed, monkeypatch):
    before = {path.name: path.stat().st_mtime_ns for path in stressed.parent.glob("*.parquet")}
    config, said = StressConfig(conditions=CONDITIONS, rows=8), []
    with monkeypatch.context() as patch:
        patch.setattr(module, "stress_fold", None)
        assert stress_study(study, config, study.parent, tell=said.append) == stressed
    assert all("finished before" in line for line in said)
    assert {path.name: path.stat().st_mtime_ns for path in stressed.parent.glob("*.parquet")} == before

    first, second = (stressed.parent / entry["file"] for entry in json.loads(stressed.read_text())["folds"])
    whole = pd.read_parquet(second)
    second.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(pd.DataFrame, "to_parquet", lambda table, path: (path.write_bytes(b"half"), 1 / 0))
        with pytest.raises(ZeroDivisionError):
            stress_study(study, config, study.parent)
    assert {path.name for path in stressed.parent.glob("*.parquet")} == {first.name}
    stress_study(study, config, study.parent)
    assert first.stat().st_mtime_ns == before[first.name]
    pd.testing.assert_frame_equal(pd.read_parquet(second), whole)


def test_another_choice_or_run_is_another_file(study):
    fold, other = folds_of_runs(study)
    chosen = conditions_of(["gain"])
    hashes = [fold.hash(chosen, 8, 0), fold.hash(chosen, 9, 0), fold.hash(chosen, 8, 1), other.hash(chosen, 8, 0)]
    hashes += [fold.hash(conditions_of(["gain", "wer"]), 8, 0)]
    fewer = dict(list(fold.runs.items())[1:])
    hashes += [module.Fold(fold.task, fold.number, fewer).hash(chosen, 8, 0)]
    run = next(iter(fold.runs.values()))
    facts = json.loads((run / "environment.json").read_text())
    try:
        (run / "environment.json").write_text(json.dumps(facts | {"created": "another day"}))
        hashes += [fold.hash(chosen, 8, 0)]
    finally:
        (run / "environment.json").write_text(json.dumps(facts))
    assert len(set(hashes)) == len(hashes) and fold.hash(chosen, 8, 0) == hashes[0]


def test_frames_and_embeddings_are_made_once_for_all_runs(study, made_up, monkeypatch):
    heard = []
    every = RunEncoders._compute_frames
    monkeypatch.setattr(
        RunEncoders, "_compute_frames", lambda self, samples: (heard.append(1), every(self, samples))[1]
    )
    monkeypatch.setenv("EMOFUSE_CACHE", str(study.parent / "cache"))
    made_up.asked.clear()
    fold = folds_of_runs(study)[0]
    module.stress_fold(fold, conditions_of(["gain", "wer"]), rows=4, seed=0, data=study.parent)
    assert len(heard) == 4 * (1 + 6)
    assert len(made_up.asked) == len(set(made_up.asked)) > 4


def test_an_unfinished_study_and_a_wrong_condition_are_told(study, tmp_path, command_line):
    (tmp_path / "cells.json").write_text((study / "cells.json").read_text())
    with pytest.raises(EmofuseError, match="is not finished"):
        stress_study(tmp_path, StressConfig())
    (tmp_path / "study.toml").write_text(STUDY + '[stress]\nconditions = ["sirens"]')
    done = command_line("study", tmp_path / "study.toml", "--stress")
    assert done.code == 1 and "'sirens'" in done.err


def test_by_flag(study, stressed, command_line, tmp_path, monkeypatch):
    """The runs are finished, and so is the stress test of the same conditions."""
    (tmp_path / "study.toml").write_text(STUDY + f"[stress]\nconditions = {CONDITIONS}\nrows = 8")
    done = command_line("study", tmp_path / "study.toml", "--stress", "--data", study.parent, "--out", study)
    assert done.code == 0 and done.err.count("finished before") == 2 and done.out.startswith(str(study))


# Composed pairs

EMOTIONS = ["neutral", "anger", "happiness"]


@pytest.fixture(scope="module")
def composed(made_up, tmp_path_factory):
    """A study of a composed task, of Polish voices and English sentences; its folder."""
    folder = tmp_path_factory.mktemp("composed")
    voices, words = [], []
    for i in range(18):
        noise = np.random.default_rng(i).normal(size=8000) * 0.1
        soundfile.write(folder / f"{i}.wav", noise, 16000)
        row = {"key": f"v/{i}", "file": f"{i}.wav", "speaker": f"v{i // 3}", "emotion": EMOTIONS[i % 3]}
        voices.append(row | {"text": "Dzień dobry, jak się pan miewa?", "language": "pl"})
    for i in range(36):
        row = {"key": f"w/{i}", "text": f"One more {'sentence ' * (i % 4)}, the {i}th", "emotion": EMOTIONS[i % 3]}
        words.append(row | {"official_split": ["train", "dev", "test"][i // 12], "language": "en", "speaker": f"w{i}"})
    write_table(make_table(voices, "voices"), folder / "voices.csv")
    write_table(make_table(words, "words"), folder / "words.csv")
    (folder / "task.toml").write_text("""
name = "task"
protocol = "Composed."
[[data.corpora]]
reader = "table"
root = "voices.csv"
split = { rule = "k_fold", k = 3 }
[[data.corpora]]
reader = "table"
root = "words.csv"
split = { rule = "official" }
[data.composed]
task = "agree"
audio = ["voices"]
text = ["words"]
train_pairs = 12
dev_pairs = 12
test_pairs = 12
[data.labels]
names = ["neutral", "anger", "happiness"]
[text]
languages = ["en"]
[model]
encoder = "cnn6"
width = 0.0625
[training]
epochs = 1
batch_size = 4
crop_seconds = 0.3
""")
    (folder / "study.toml").write_text(
        'name = "composed"\nprotocol = "Composed."\nfolds = [0, 1]\ntasks.agree.recipe = "task.toml"\n'
        'systems.text_only = ["model.fusion=text_only"]\nsystems.multistage = []\n'
        f"stress = {{ rows = 6, conditions = {['wer', 'babble', 'no_text']} }}"
    )
    return trained(load_study(folder / "study.toml"), {"agree": [0, 1]}, folder / "out", folder)


def test_composed_pairs_are_stressed(composed):
    config = load_study(composed.parent / "study.toml").config.stress
    found = read(stress_study(composed, config, composed.parent))
    cells = json.loads((composed / "cells.json").read_text())
    for cell in cells:
        tested = pd.read_parquet(composed / "cells" / cell["cell"] / "predictions-test.parquet").set_index("key")
        own = found[cell["fold"]]
        clean = own[(own["system"] == cell["system"]) & (own["condition"] == "clean")].set_index("key")
        assert len(clean) == 6 and set(clean.index) <= set(tested.index) and (clean["corpus"] == "composed").all()
        assert clean["probability_1"].tolist() == pytest.approx(
            tested.loc[clean.index, "probability_1"].tolist(), abs=5e-3
        )
    speakers = [set(own["speaker"]) for own in found.values()]
    assert not speakers[0] & speakers[1], "pairs are composed anew for each fold"
    assert {"wer", "no_text", "babble"} <= set(found[0].loc[found[0]["system"] == "multistage", "condition"])
    assert set(found[0].loc[found[0]["system"] == "text_only", "condition"]) == {"clean", "wer"}


def test_a_run_of_a_composed_task_is_tested_on_its_own_pairs(composed):
    runs = [composed / "cells" / c["cell"] for c in json.loads((composed / "cells.json").read_text()) if not c["fold"]]
    table = rows_of_runs(runs, composed.parent)
    for run in runs:
        assert set(table["key"]) == set(pd.read_parquet(run / "predictions-test.parquet")["key"])
    assert set(table[LABEL]) == set(EMOTIONS) and set(table["language"]) == {"en"}
