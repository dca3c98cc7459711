import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from emofuse.encoders.text import load_text_encoder
from emofuse.errors import EmofuseError
from emofuse.files import read_json
from emofuse.training import text_finetune as finetune
from emofuse.training.text_finetune import CATEGORIES, Options, Sentences, fine_tune, read_sentences, save_text_encoder
from made_up import emobank, meld

QUICK = Options(epochs=2, batch_size=8, learning_rate=1e-2, frozen_layers=1)
NAN = float("nan")
FEELINGS = (("happy", "happiness"), ("sad", "sadness"), ("not", "neutral"))
RATINGS = (("happy", 0.9), ("sad", 0.1), ("not", 0.4))
ENDS = (".", "!", "door", "door .", "the")


def table(rows):
    columns = ["text", "emotion", "arousal", "valence", "dominance"]
    return pd.DataFrame(rows, columns=columns)


def sentences(copies):
    """Words that tell the category and, in other sentences, the valence."""
    named = [(f"I {word} {end}", emotion, NAN, NAN, NAN) for word, emotion in FEELINGS for end in ENDS]
    rated = [(f"the {word} {end}", None, 0.5, value, 0.4) for word, value in RATINGS for end in ENDS]
    return Sentences([table(named * copies), table(rated * copies)])


@pytest.fixture
def encoder(tiny_encoders):
    return load_text_encoder(str(tiny_encoders["bert"]))


def test_sentences_keep_what_is_known_and_drop_what_has_no_text():
    found = Sentences(
        [
            table([("Oh.", "anger", NAN, NAN, NAN), (None, "anger", NAN, NAN, NAN)]),
            table([(" ", None, 0.1, 0.2, 0.3), ("Ah.", None, 0.1, 0.2, 0.3)]),
        ]
    )
    assert found.texts == ["Oh.", "Ah."]
    categories, dimensions = found.truth([1, 0])
    assert categories.sum(dim=1).tolist() == [0, 1] and categories[1, CATEGORIES.index("anger")] == 1
    assert dimensions[0].tolist() == pytest.approx([0.1, 0.2, 0.3]) and dimensions[1].isnan().all()


@pytest.mark.slow
def test_learns_and_keeps_the_best_epoch(encoder):
    train, dev = sentences(6), sentences(1)
    history = fine_tune(
        encoder, train, dev, Options(epochs=15, batch_size=16, learning_rate=3e-3, head_rate=1e-2, frozen_layers=0)
    )
    best = max(history, key=lambda epoch: epoch["score"])
    assert best["weighted_f1"] > 0.9 and best["ccc_valence"] > 0.8
    # neighbours by cosine: the frozen embedding alone tells happy from sad, whatever follows
    vectors = encoder.encode(["I happy .", "I happy door .", "I sad ."])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


def test_weights_are_those_of_the_best_epoch(encoder, monkeypatch):
    seen = []

    def score(encoder, head, dev):
        encoder.model.eval()
        seen.append(encoder.encode(["I am so happy!"]))
        return {"score": [0.1, 0.3, 0.2][len(seen) - 1]}

    monkeypatch.setattr(finetune, "score_sentences", score)
    fine_tune(encoder, sentences(2), sentences(1), Options(epochs=3, batch_size=8, frozen_layers=0))
    np.testing.assert_array_equal(encoder.encode(["I am so happy!"]), seen[1])
    assert np.abs(seen[1] - seen[2]).max() > 1e-4


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_words_and_frozen_layers_stay(tiny_encoders, family):
    encoder = load_text_encoder(str(tiny_encoders[family]))
    before = {name: value.clone() for name, value in encoder.model.state_dict().items()}
    fine_tune(encoder, sentences(1), sentences(1), QUICK)
    changed = {name for name, value in encoder.model.state_dict().items() if not value.equal(before[name])}
    assert changed and all("layer.1." in name for name in changed)
    assert not encoder.model.training and not any(p.requires_grad for p in encoder.model.parameters())


def test_layers_below_learn_slower(encoder):
    groups = finetune._layer_groups(encoder, Options(learning_rate=1e-3, layer_decay=0.5, frozen_layers=0))
    assert [group["lr"] for group in groups] == [5e-4, 1e-3]
    top = dict(encoder.model.named_parameters())["encoder.layer.1.output.dense.weight"]
    assert any(p is top for p in groups[1]["params"])


def test_a_seed_gives_the_same_weights_and_leaves_other_randomness_alone(tiny_encoders):
    vectors = []
    for seed in (0, 0, 1):
        encoder = load_text_encoder(str(tiny_encoders["bert"]))
        state = torch.random.get_rng_state()
        fine_tune(encoder, sentences(1), sentences(1), Options(epochs=1, batch_size=8, frozen_layers=0, seed=seed))
        assert torch.random.get_rng_state().equal(state)
        torch.rand(3)
        vectors.append(encoder.encode(["I am so happy!"]))
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-4


def test_nothing_left_to_learn_is_an_error(encoder):
    with pytest.raises(EmofuseError, match="frozen_layers = 2"):
        fine_tune(encoder, sentences(1), sentences(1), Options(frozen_layers=2))


def test_what_cannot_be_fine_tuned_is_an_error(encoder):
    with pytest.raises(EmofuseError, match="epochs = 0"):
        Options(epochs=0)
    named_only = Sentences([table([("I happy .", "happiness", NAN, NAN, NAN)])])
    with pytest.raises(EmofuseError, match="lack categories or dimensions"):
        fine_tune(encoder, sentences(1), named_only, QUICK)


def test_saved_encoder_loads_and_embeds_the_same(encoder, tmp_path):
    fine_tune(encoder, sentences(1), sentences(1), QUICK)
    save_text_encoder(encoder, tmp_path / "tuned", {"seed": 0})
    again = load_text_encoder(str(tmp_path / "tuned"))
    texts = ["I am so happy!", "sad " * 90]
    np.testing.assert_array_equal(again.encode(texts), encoder.encode(texts))
    assert again.weights_hash != encoder.weights_hash and again.max_tokens == encoder.max_tokens


def test_reads_the_official_train_and_development_parts(tmp_path):
    meld.write_labels(tmp_path / "meld")
    emobank.make(tmp_path / "emobank")
    train, dev = read_sentences(tmp_path)
    assert (train.label >= 0).sum() == 29 and (dev.label >= 0).sum() == 15
    assert (~np.isnan(train.dimensions[:, 1])).sum() == 48 and (~np.isnan(dev.dimensions[:, 1])).sum() == 12
    assert not any("test" in text for text in train.texts + dev.texts)


def test_command(tiny_encoders, tmp_path, monkeypatch, capsys):
    meld.write_labels(tmp_path / "meld")
    emobank.make(tmp_path / "emobank")
    arguments = [str(tmp_path / "tuned"), "--data", str(tmp_path), "--encoder", str(tiny_encoders["bert"])]
    monkeypatch.setattr("sys.argv", ["finetune", *arguments, "--epochs", "1", "--frozen-layers", "1"])
    finetune._main()
    assert "epoch 1: loss" in capsys.readouterr().out
    about = read_json(tmp_path / "tuned" / "finetuning.json")
    assert about["corpora"] == ["meld", "emobank"] and about["options"]["epochs"] == 1 and len(about["dev"]) == 1
    assert about["start"]["weights_hash"] == load_text_encoder(str(tiny_encoders["bert"])).weights_hash
    assert load_text_encoder(str(tmp_path / "tuned")).dim == 16
    monkeypatch.setattr("sys.argv", ["finetune", str(tmp_path / "other"), "--data", str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit, match=r"error: .*nowhere"):
        finetune._main()
