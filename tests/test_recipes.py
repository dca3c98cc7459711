"""Every recipe runs two steps on the made-up trees of its corpora, and any-corpus.toml on every corpus."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import transformers

from emofuse.config import load_recipe
from emofuse.corpora import CORPORA, read_corpus
from emofuse.corpora.splits import n_folds
from emofuse.corpora.table import write_table
from emofuse.encoders.speech import SpeechEncoder
from emofuse.training.run import evaluate, train
from made_up import trees

FOLDER = Path(__file__).parents[1] / "recipes"
RECIPES = sorted(path.stem for path in FOLDER.glob("*.toml"))
SMALL = ["model.width=0.0625", "training.epochs=1", "training.epoch_steps=2", "training.batch_size=4"]
SMALL += ["training.crop_seconds=0.3"]
FEW = {
    name: [f"data.composed.{part}_pairs=12" for part in ("train", "dev", "test")]
    for name in RECIPES
    if "composed" in name
}
FEW["default"] = ["data.composed.train_pairs=8", "data.composed.dev_pairs=8"]
FEW["default"] += ["data.corpora.1.split.k=4"]  # the made-up nEMO has four speakers


class Encoder:
    """A frozen speech encoder of seven layers without weights: powers of the mean loudness of each 20 ms."""

    name, hash, weights_hash, layers, dim, rate = "made-up", "0" * 64, "0", 7, 2, 50.0
    identity = {"name": "made-up", "weights_hash": "0", "dim": 2}  # noqa: RUF012

    def hidden_states(self, samples):
        loudness = np.abs(samples[: len(samples) // 320 * 320].reshape(-1, 320)).mean(axis=1)
        return torch.from_numpy(np.stack([np.stack([loudness, loudness**i], axis=1) for i in range(self.layers)]))


def wavlm() -> SpeechEncoder:
    """A small random WavLM of as many layers as the base model, for recipes that train some of them."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16, "conv_dim": [8] * 7}
    config = transformers.WavLMConfig(**sizes, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2)
    return SpeechEncoder(transformers.WavLMModel(config), name="wavlm", weights_hash="0" * 64)


@pytest.fixture
def two_steps(tmp_path, monkeypatch, length_encoder):
    """Train two steps on made-up trees, with an embedding that needs no weights; the run folder."""
    for module in ("encoders.speech", "models.ser"):
        monkeypatch.setattr(
            f"emofuse.{module}.load_speech_encoder", lambda name: wavlm() if "wavlm" in name else Encoder()
        )
    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path / "cache"))

    def run(recipe: str, *overrides: str) -> Path:
        resolved = load_recipe(FOLDER / f"{recipe}.toml", [*SMALL, *overrides])
        for corpus in resolved.data.corpora:
            if corpus.reader == "table":
                tree = trees.make("iemocap", tmp_path / "iemocap")
                write_table(read_corpus("iemocap", tree), tmp_path / corpus.root)
            elif not (tmp_path / corpus.root).exists():
                trees.make(corpus.reader, tmp_path / corpus.root)
        return train(resolved, out=tmp_path / "run", data=tmp_path)

    return run


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_two_steps(two_steps, name):
    run = two_steps(name, *FEW.get(name, []))
    found = evaluate(run)["test"]
    head = "dimensions" if "dimensions" in load_recipe(run / "recipe.toml").model.heads else "categories"
    assert found["rows"] > 0 and found[head]
    history = pd.read_csv(run / "history.csv")
    assert len(history) == 1 and np.isfinite(history["train_loss"]).all()
    assert json.loads((run / "audit.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(CORPORA) - {"emobank", "goemotions", "toy"}))
def test_any_corpus(two_steps, tmp_path, name):
    trees.make(name, tmp_path / "corpus")
    speakers = read_corpus(name, tmp_path / "corpus")["speaker"].nunique()
    if speakers < 3:
        pytest.skip(f"{speakers} speakers make no three parts")
    options = [f"data.corpora.0.reader={name}", "data.corpora.0.root=corpus", "data.corpora.0.split.k=3"]
    if name == "msp-podcast":  # the speakers of some rows are unknown
        options[2:] = ["data.corpora.0.split={rule = 'official', test = 'test1'}"]
    assert evaluate(two_steps("any-corpus", *options))["test"]["categories"]["uar"]["n"] > 0


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_say_their_protocol(name):
    recipe = load_recipe(FOLDER / f"{name}.toml")
    assert len(recipe.protocol.split()) >= 10 and recipe.name == name


@pytest.mark.slow
@pytest.mark.weights
def test_iemocap_from_its_owner_s_files_to_results(emofuse, tmp_path):
    """A study on the made-up IEMOCAP through the command line: prepare, look, split, audit, two folds, results."""
    trees.make("iemocap", tmp_path / "IEMOCAP_full_release")
    told = emofuse("corpus", "prepare", "iemocap", "IEMOCAP_full_release", "iemocap.parquet", folder=tmp_path).stdout
    assert "10 speakers" in told
    assert "alpha" in emofuse("corpus", "stats", "iemocap.parquet", folder=tmp_path).stdout
    rule = ["--rule", "leave_one_out", "--column", "session", "--dev", "other_speaker"]
    told = emofuse("corpus", "split", "iemocap.parquet", "folds.json", *rule, folder=tmp_path).stdout
    assert told.count("fold ") == 10
    told = emofuse("corpus", "audit", "iemocap.parquet", "folds.json", "--fold", 3, folder=tmp_path).stdout
    assert "fold 3" in told and "speakers" in told
    frozen = ["data.corpora.0.reader=table", "data.corpora.0.root=iemocap.parquet"]
    tests = []
    for fold in (0, 1):
        split = f"data.corpora.0.split={{rule = 'given', folds = 'folds.json', fold = {fold}}}"
        options = [option for value in [*SMALL, *frozen, split] for option in ("--set", value)]
        emofuse("train", FOLDER / "iemocap-4class.toml", *options, "--out", f"run-{fold}", folder=tmp_path)
        assert "uar" in emofuse("evaluate", f"run-{fold}", folder=tmp_path).stdout
        tests.append(pd.read_parquet(tmp_path / f"run-{fold}" / "predictions-test.parquet"))
    assert [set(test["speaker"]) for test in tests] == [{"iemocap/Ses01F"}, {"iemocap/Ses01M"}]


def test_folds_of_the_iemocap_recipes(tmp_path):
    df = read_corpus("iemocap", trees.make("iemocap", tmp_path))
    for name in ("iemocap-4class", "iemocap-dim"):
        assert n_folds(df, load_recipe(FOLDER / f"{name}.toml").data.corpora[0].split) == 10
