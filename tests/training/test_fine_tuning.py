"""Runs on small made-up speech encoders, from the recipe to the bundle: their top layers trained, or discriminants."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import transformers

import emofuse
from emofuse.config import load_recipe
from emofuse.data.prepare import prepare
from emofuse.encoders.speech import load_speech_encoder
from emofuse.errors import EmofuseError
from emofuse.models.ladder import TopLayers
from emofuse.models.ser import build_model
from emofuse.segment import Segment
from emofuse.training.export import Answers, check_parity, export_run
from emofuse.training.module import SerModule, predict_rows
from emofuse.training.run import History, load_run, train
from emofuse.training.speakers import discriminant_of, labelled_clips

TOY = Path(__file__).parents[2] / "recipes" / "toy.toml"
SMALL = {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "vocab_size": 60000}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with a small Whisper, which the toy corpus is made in."""
    folder = tmp_path_factory.mktemp("home")
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        d_model=16, encoder_layers=3, encoder_attention_heads=2, encoder_ffn_dim=32, init_std=0.2, **SMALL
    )
    transformers.WhisperModel(config).save_pretrained(folder / "whisper")
    return folder


@pytest.fixture(autouse=True)
def _cache(home, monkeypatch):
    monkeypatch.setenv("EMOFUSE_CACHE", str(home / "cache"))


def recipe(home, *overrides):
    model = ["fusion=audio_only", "encoder=ladder", f"speech_encoder={home / 'whisper'}", "layers=[1,2,3]"]
    model += ["fine_tune_layers=1", "ladder_dim=16"]
    training = ["epochs=3", "precision=fp32", "other_clips=[0,2]", "encoder_learning_rate=1e-4"]
    # Four of the six speakers train: with fewer there is no adapter.
    split = ['data.corpora.0.split={rule="hold_out",dev_share=0.1,test_share=0.1}']
    given = split + [f"model.{option}" for option in model] + [f"training.{option}" for option in training]
    return load_recipe(TOY, [*given, *overrides])


@pytest.fixture(scope="module")
def run(home) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMOFUSE_CACHE", str(home / "cache"))
        return train(recipe(home), home / "run", home)


@pytest.mark.slow
def test_a_run_has_trained_its_top_layer_a_little(home, run):
    loaded = load_run(run)
    assert loaded.speech_encoder["layers"] == [1, 2] and loaded.speech_encoder["pool"] == 1
    assert loaded.model.top_layers.base == 2
    untrained = TopLayers(load_speech_encoder(str(home / "whisper")), layers=[1, 2, 3], frozen=[1, 2])
    moved = {
        name: (value - loaded.model.top_layers.state_dict()[name]).abs().max()
        for name, value in untrained.state_dict().items()
    }
    steps = len(pd.read_csv(run / "history.csv")) * 4  # AdamW goes little further than its learning rate in a step
    assert all(1e-6 < distance < 3e-4 * steps for distance in moved.values())
    assert "layer_norm.weight" in moved  # Whisper's last layer, so what follows it is trained too


def test_predictions_are_those_of_the_stored_model(home, run):
    rows = prepare(recipe(home), data=home).parts["test"]
    assert rows.features.rate == 50
    pd.testing.assert_frame_equal(
        predict_rows(load_run(run).model, rows), pd.read_parquet(run / "predictions-test.parquet"), atol=1e-5
    )
    adapted = pd.read_parquet(run / "predictions-test-adapted.parquet")
    assert np.isfinite(adapted.filter(like="probability")).all(axis=None)


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["fp32", "int8"])
def test_the_bundle_answers_as_the_run(home, run, tmp_path, weights):
    """With and without the speaker's offset, which is taken off what the trained layer hears."""
    bundle = export_run(run, tmp_path / "bundle", weights=weights)
    assert bundle.speech_encoder["layers"] == [1, 2]
    assert (bundle.speech_encoder["pool"], bundle.speech_encoder["rate"]) == (1, 50)
    table = prepare(recipe(home), data=home).parts["test"].table
    assert table["speaker"].nunique() == 1
    predict = emofuse.load(bundle.folder)
    files = list(table["file"])
    others = [  # a clip does not count in its own offset
        predict.speaker_profile([other for other in files if other != file], segments=[Segment()]) for file in files
    ]
    columns = [f"probability_{i}" for i in range(4)]
    plain, adapted = (
        pd.read_parquet(run / f"predictions-{part}.parquet").set_index("key")[columns].loc[table["key"]].to_numpy()
        for part in ("test", "test-adapted")
    )
    assert np.abs(plain - adapted).max() > 0.01  # far above the tolerance below
    for profiles, expected in (([None] * len(files), plain), (others, adapted)):
        answers = [
            predict(file, speaker=known, segments=[Segment()])[0] for file, known in zip(files, profiles, strict=True)
        ]
        assert [answer.adapted for answer in answers] == (expected != plain).any(axis=1).tolist()
        np.testing.assert_allclose([list(a.probabilities.values()) for a in answers], expected, atol=5e-3)


def test_learning_rates(home):
    own = recipe(home, "training.optimizer=sgd", "training.schedule=none")
    parts = prepare(own, data=home).parts
    module = SerModule(build_model(own.model, 4, 1, 16), own, parts["train"], parts["dev"])
    ladder, top = module.configure_optimizers().param_groups
    assert (ladder["lr"], top["lr"]) == (3e-3, 1e-4)
    assert {id(p) for p in top["params"]} == {id(p) for p in module.model.top_layers.parameters()}
    assert len(ladder["params"]) + len(top["params"]) == sum(p.requires_grad for p in module.parameters())
    own = recipe(home, "training.schedule=none", "model.members=2")
    module = SerModule(build_model(own.model, 4, 1, 16), own, parts["train"], parts["dev"])
    assert len(module.configure_optimizers().param_groups[1]["params"]) == 2 * len(top["params"])
    own = recipe(home, "training.schedule=none", "model.fine_tune_layers=0")
    module = SerModule(build_model(own.model, 4, 1, 16), own, parts["train"], parts["dev"])
    [group] = module.configure_optimizers().param_groups
    assert group["lr"] == 3e-3 and len(group["params"]) == sum(p.requires_grad for p in module.parameters())


def test_learning_rate_of_the_operators(home):
    """Theirs is a third group, of all members of an ensemble; late and unimodal models have none."""
    operators = ["model.fusion=multistage", "training.operator_rate=0.1", "training.schedule=none", "model.members=2"]
    own = recipe(home, *operators)
    parts = prepare(recipe(home), data=home).parts
    module = SerModule(build_model(own.model, 4, 5, 16), own, parts["train"], parts["dev"])
    rest, top, text = module.configure_optimizers().param_groups
    assert [group["lr"] for group in (rest, top, text)] == pytest.approx([3e-3, 1e-4, 3e-4])
    members = module.model.members
    assert {id(p) for p in text["params"]} == {id(p) for member in members for p in member.operators.parameters()}
    trained = sum(p.requires_grad for p in module.parameters())
    assert len(text["params"]) == 2 * 3 * 2 and sum(len(g["params"]) for g in (rest, top, text)) == trained
    own = recipe(home, *operators, "model.fusion=audio_only")
    module = SerModule(build_model(own.model, 4, 5, 16), own, parts["train"], parts["dev"])
    assert len(module.configure_optimizers().param_groups) == 2


@pytest.mark.slow
def test_a_broken_run_goes_on_as_an_unbroken_one(home, run, monkeypatch):
    ends = History.on_train_epoch_end

    def breaks(self, trainer, module):
        if trainer.current_epoch == 1:
            raise RuntimeError("power cut")
        ends(self, trainer, module)

    monkeypatch.setattr(History, "on_train_epoch_end", breaks)
    with pytest.raises(RuntimeError, match="power cut"):
        train(recipe(home), home / "broken", home)
    monkeypatch.setattr(History, "on_train_epoch_end", ends)
    train(recipe(home), home / "broken", home)
    for name in ("history.csv", "predictions-test.parquet"):
        read = pd.read_csv if name.endswith("csv") else pd.read_parquet
        # Two unbroken runs differ by as much: attention sums in another order where memory lies otherwise.
        pd.testing.assert_frame_equal(read(home / "broken" / name), read(run / name), rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_late_fusion_holds_the_trained_layers(home, length_encoder):
    late = train(recipe(home, "model.fusion=late", "training.epochs=1"), home / "late", home)
    model = load_run(late).model
    heard = load_run(late / "audio_only").model.state_dict()
    assert all(torch.equal(model.audio.state_dict()[name], value) for name, value in heard.items())
    assert any("top_layers" in name for name in heard)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "wavlm"])
def test_other_encoders_train_and_export(home, family):
    """The exported bundle predicts what the run predicted; WavLM shares relative positions between its layers."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16}
    sizes |= {"conv_dim": [8] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(family, **sizes))
    model.save_pretrained(home / family)
    own = recipe(home, f"model.speech_encoder={home / family}", "training.epochs=1")
    run = train(own, home / f"run-{family}", home)
    predictions = pd.read_parquet(run / "predictions-test.parquet").set_index("key")
    predict = emofuse.load(export_run(run, home / f"bundle-{family}").folder, transcribe=False)
    files = prepare(own, data=home).parts["test"].table.set_index("key")["file"]
    for key, file in files.items():
        answer = predict(file, segments=[Segment()])[0]
        expected = predictions.loc[key, [f"probability_{i}" for i in range(4)]].to_numpy(float)
        np.testing.assert_allclose(list(answer.probabilities.values()), expected, atol=5e-3)


DISCRIMINANTS = ["model.fine_tune_layers=0", "model.discriminants=[[1,2],[3]]", "training.epochs=1"]


@pytest.mark.slow
def test_discriminants_from_the_recipe_to_the_bundle(home, tmp_path):
    own = recipe(home, *DISCRIMINANTS, "model.members=2")
    run = train(own, tmp_path / "run", home)
    parts, model = prepare(own, data=home).parts, load_run(run).model
    fitted = discriminant_of(own.model, labelled_clips(parts["train"]), 4)
    for member in model.members:
        np.testing.assert_allclose(member.discriminant.weight, fitted.weight, rtol=1e-5, atol=1e-7)
    stored = pd.read_parquet(run / "predictions-test.parquet")
    pd.testing.assert_frame_equal(predict_rows(model, parts["test"]), stored, atol=1e-5)
    bundle = export_run(run, tmp_path / "bundle")
    predict = emofuse.load(bundle.folder, transcribe=False)
    columns = [f"probability_{i}" for i in range(4)]
    for key, file in zip(parts["test"].table["key"], parts["test"].table["file"], strict=True):
        [answer] = predict(file, segments=[Segment()])
        expected = stored.set_index("key").loc[key, columns].to_numpy(float)
        np.testing.assert_allclose(list(answer.probabilities.values()), expected, atol=5e-3)
    for member in model.members:
        member.discriminant.fill(np.zeros(48), np.zeros((48, 4)), np.zeros(4))
    without = predict_rows(model, parts["test"])[columns].to_numpy()
    assert np.abs(without - stored[columns].to_numpy()).max() > 0.05
    with pytest.raises(EmofuseError, match="differs"):
        check_parity(Answers(model.eval()), bundle.folder / "model.onnx", bundle, tolerance=1e-3)


def test_discriminants_need_four_speakers(home, tmp_path):
    split = 'data.corpora.0.split={rule="hold_out",dev_share=0.3,test_share=0.3}'
    with pytest.raises(EmofuseError, match=r"toy: model\.discriminants .* 4 speakers"):
        train(recipe(home, *DISCRIMINANTS, split), tmp_path / "run", home)
