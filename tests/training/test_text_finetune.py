import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from emofuse.encoders.text import load_text_encoder
from emofuse.errors import EmofuseError
from emofuse.files import read_json
from emofuse.training import text_finetune as finetune
from emofuse.training.sentences import Row, gather
from emofuse.training.text_finetune import Options, fine_tune, save_text_encoder
from made_up import emobank, goemotions, meld, xed

QUICK = Options(epochs=2, batch_size=8, learning_rate=1e-2, frozen_layers=1)
FEELINGS = (("happy", "happiness"), ("sad", "sadness"), ("not", "neutral"))
RATINGS = (("happy", 0.9), ("sad", 0.1), ("not", 0.4))
ENDS = (".", "!", "door", "door .", "the")


def sentences(copies, *, without=()):
    """Words that tell the category and, in other sentences, the valence."""
    kinds = []
    for word, emotion in FEELINGS:
        kinds += [(word, "meld", "categories", {emotion: 1.0})]
        names = {"happiness": "joy", "sadness": "sadness", "neutral": "neutral"}
        kinds += [(word, task, task, {names[emotion]: 1.0}) for task in ("goemotions", "xed")]
    for word, value in RATINGS:
        kinds.append(
            (word, "emobank", "dimensions", {"arousal": 0.5 + value / 10, "valence": value, "dominance": value})
        )
    rows = [
        Row(f"I {word} {end}", corpus, {task: labels})
        for word, corpus, task, labels in kinds
        if task not in without
        for end in ENDS
    ]
    return gather(rows * copies)


@pytest.fixture
def encoder(tiny_encoders):
    return load_text_encoder(str(tiny_encoders["bert"]))


@pytest.mark.slow
def test_learns_and_keeps_the_best_epoch(encoder):
    train, dev = sentences(6), sentences(1)
    history = fine_tune(
        encoder,
        train,
        dev,
        Options(epochs=15, shares={}, batch_size=32, learning_rate=3e-3, head_rate=1e-2, frozen_layers=0),
    )
    best = max(history, key=lambda epoch: epoch["score"])
    assert best["meld_weighted_f1"] > 0.9 and best["ccc_valence"] > 0.8
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
    with pytest.raises(EmofuseError, match=r"no development sentence .* xed"):
        fine_tune(encoder, sentences(1), sentences(1, without=["xed"]), QUICK)


def test_saved_encoder_loads_and_embeds_the_same(encoder, tmp_path):
    fine_tune(encoder, sentences(1), sentences(1), QUICK)
    save_text_encoder(encoder, tmp_path / "tuned", {"seed": 0})
    again = load_text_encoder(str(tmp_path / "tuned"))
    texts = ["I am so happy!", "sad " * 90]
    np.testing.assert_array_equal(again.encode(texts), encoder.encode(texts))
    assert again.weights_hash != encoder.weights_hash and again.max_tokens == encoder.max_tokens


def test_epochs_take_the_next_sentences_of_a_corpus():
    train = sentences(4)
    options = Options(shares={"goemotions": 0.25, "xed": 0.5})
    epochs = [finetune._rows_of_epoch(train, epoch, options).tolist() for epoch in range(4)]
    counts = [{corpus: (train.corpora[rows] == corpus).sum() for corpus in train.corpora} for rows in epochs]
    assert counts == [{"meld": 60, "emobank": 60, "goemotions": 15, "xed": 30}] * 4
    assert set().union(*epochs) == set(range(len(train.texts)))


def test_some_sentences_are_changed_and_each_epoch_changes_others():
    texts = ["I am here, and you are not there!"] * 100
    mishear = finetune.Mishearing(["their ma year on hour"])
    options = Options(spoken=0.3, misheard=0.3)
    epochs = [finetune._change(texts, mishear, epoch, options) for epoch in (0, 1)]
    assert epochs[0] != epochs[1]
    for changed in epochs:
        assert 30 < sum(text == texts[0] for text in changed) < 60
        assert 20 < sum(text == text.lower() for text in changed) < 65


def test_the_best_epoch_so_far_can_be_saved(encoder):
    seen = []
    fine_tune(encoder, sentences(1), sentences(1), QUICK, on_best=lambda history: seen.append(len(history)))
    assert seen[0] == 1


@pytest.fixture
def corpora(tmp_path):
    meld.write_labels(tmp_path / "meld")
    emobank.make(tmp_path / "emobank")
    goemotions.make(tmp_path / "goemotions")
    xed.make(tmp_path / "xed")
    return tmp_path


def test_command(tiny_encoders, corpora, monkeypatch, capsys):
    folder = corpora / "tuned"
    arguments = [str(folder), "--data", str(corpora), "--encoder", str(tiny_encoders["bert"])]
    monkeypatch.setattr("sys.argv", ["finetune", *arguments, "--epochs", "1", "--frozen-layers", "1"])
    monkeypatch.setattr("emofuse.training.sentences.MADE_UP", 20)
    finetune._main()
    assert "epoch 1: loss" in capsys.readouterr().out
    about = read_json(folder / "finetuning.json")
    assert {"meld", "emobank", "goemotions", "xed"} <= set(about["corpora"])
    assert about["options"]["epochs"] == 1 and len(about["dev"]) == 1
    assert about["start"]["weights_hash"] == load_text_encoder(str(tiny_encoders["bert"])).weights_hash
    assert load_text_encoder(str(folder)).dim == 16
    monkeypatch.setattr("sys.argv", ["finetune", str(corpora / "other"), "--data", str(corpora / "nowhere")])
    with pytest.raises(SystemExit, match=r"error: .*nowhere"):
        finetune._main()
