"""Norms and effects on small networks whose conditioning is known; operators act on what they read."""

import numpy as np
import pandas as pd
import pytest
import torch

from emofuse.config import ModelConfig
from emofuse.data.utterances import Utterances
from emofuse.explanation.conditioning import ALL, WHOLE, measure, stages_of
from emofuse.models.conditioning import OPERATORS, Add
from emofuse.models.ser import Ensemble, build_model
from emofuse.training.module import predict_rows

NAMES, DIM, N = ["calm", "tense"], 4, 9


class Noise:
    """Frames of random clips of different lengths."""

    width, rate = 64, 100.0

    def length(self, clip):
        return 40 + 3 * int(clip[0][1:-4])

    def __getitem__(self, clip):
        number = int(clip[0][1:-4])
        return np.random.default_rng(number).normal(-40, 10, (self.length(clip), 64)).astype(np.float16)


def utterances(*, dim=DIM, lacking=()):
    """Nine rows with audio and different texts but those lacking: "text3" has no text, "file4" no audio."""
    table = pd.DataFrame({"key": [f"k{i}" for i in range(N)], "corpus": "toy", "speaker": "s", "label": "calm"})
    table["file"] = [None if f"file{i}" in lacking else f"c{i}.wav" for i in range(N)]
    table["text"] = [None if f"text{i}" in lacking else f"t{i}" for i in range(N)]
    table[["start", "end"]] = np.nan
    table[["arousal", "valence", "dominance"]] = 0.5
    words = {f"t{i}": np.random.default_rng(99 + i).normal(size=dim).astype(np.float32) for i in range(N)}
    return Utterances(table, labels=NAMES, label_column="label", features=Noise(), embeddings=words, text_dim=dim)


def make(fusion="multistage", *, seed=0, **options):
    torch.manual_seed(seed)
    tree = {"encoder": "cnn6", "width": 0.0625, "heads": ["categories", "dimensions"], "text_norm": "none"}
    return build_model(ModelConfig.model_validate(tree | {"fusion": fusion} | options), len(NAMES), DIM).eval()


def by_off(table):
    return {off: rows.set_index("key") for off, rows in table.groupby("off", sort=False)}


def zero(*modules):
    for module in modules:
        for parameter in module.parameters():
            torch.nn.init.zeros_(parameter)


@pytest.mark.parametrize("operator", OPERATORS)
def test_an_operator_acts_on_what_it_reads(operator):
    torch.manual_seed(0)
    made, x, text = OPERATORS[operator](DIM, 3), torch.randn(5, 3, 4, 2), torch.randn(5, DIM)
    torch.testing.assert_close(made(x, text), made.act(x, made.read(text)))
    assert made.read(text).shape[0] == 5


def test_where_text_acts():
    assert stages_of(make()) == ["1", "2", "3", "4"] and stages_of(make(stages=[3])) == ["3"]
    assert stages_of(make("single_stage")) == ["pooled"] and stages_of(make("single_stage_additive")) == ["embedding"]
    assert stages_of(make(members=2)) == ["1", "2", "3", "4"]
    for fusion in ("audio_only", "text_only", "late"):
        assert stages_of(make(fusion)) == []
        with pytest.raises(ValueError, match="not conditioned"):
            measure(make(fusion), utterances())


def test_zero_weights_have_no_norm_and_no_effect():
    model = make()
    zero(model.operators["2"])
    found = by_off(measure(model, utterances()))
    assert list(found) == [WHOLE, "1", "2", "3", "4", ALL]
    assert (found["2"][["norm", "by_words"]] == 0).all(axis=None)
    dimensions = ["arousal", "valence", "dominance"]
    assert (found["2"][dimensions] == found[WHOLE][dimensions]).all(axis=None)
    for stage in ("1", "3", "4", ALL):
        assert (found[stage][dimensions] != found[WHOLE][dimensions]).any(axis=None)
    assert (found["1"][["norm", "by_words"]] > 0).all(axis=None)
    assert found[WHOLE]["norm"].isna().all() and found[ALL]["by_words"].isna().all()


def test_a_shift_that_is_always_the_same_moves_the_map_but_nothing_hangs_on_it():
    model = make(stages=[2])
    with torch.no_grad():
        model.operators["2"].project.weight.zero_()
        model.operators["2"].project.bias.fill_(3.0)
    found = by_off(measure(model, utterances()))
    assert list(found) == [WHOLE, "2"]  # one stage is all
    assert (found["2"]["norm"] > 0).all() and np.allclose(found["2"]["by_words"], 0)
    assert np.allclose(found["2"]["valence"], found[WHOLE]["valence"])


def test_norms_are_relative_to_the_map():
    gate = make(operator="gate", stages=[3])
    with torch.no_grad():  # halves the map, whatever is said
        zero(gate.operators["3"])
    assert np.allclose(measure(gate, utterances()).query("off == '3'")["norm"], 0.5)
    scale = make(operator="scale", stages=[3])
    with torch.no_grad():
        zero(scale.operators["3"])
        scale.operators["3"].project.weight[:, 0] = 1.0  # x * (1 + first value of the embedding)
    rows = utterances()
    first = np.array([text[0] for text in rows.texts])
    found = measure(scale, rows).query("off == '3'").set_index("key").loc[rows.table["key"]]
    assert np.allclose(found["norm"], np.abs(first), atol=1e-5)
    assert np.allclose(found["by_words"], np.abs(first - first.mean()), atol=1e-5)


def test_additive_fusion_without_its_words_is_the_mean_of_it():
    model = make("single_stage_additive", heads=["categories"])
    assert isinstance(model.project, Add)
    seen = []
    model.heads.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    rows = utterances()
    measure(model, rows, batch_size=N)
    whole, off = seen
    added = model.project.read(torch.from_numpy(np.stack(rows.texts)))
    order = np.argsort(rows.n_frames, kind="stable")
    torch.testing.assert_close(whole - off, (added - added.mean(0))[order], atol=1e-5, rtol=1e-5)


def test_answers_are_those_of_the_model_and_do_not_depend_on_batches():
    model, rows = make(members=2), utterances(lacking=["text3", "file4"])
    found, small = by_off(measure(model, rows)), by_off(measure(model, rows, batch_size=2))
    assert sorted(found[WHOLE].index) == ["k0", "k1", "k2", "k5", "k6", "k7", "k8"]
    for off, table in found.items():
        pd.testing.assert_frame_equal(table.sort_index(), small[off].sort_index(), check_exact=False, rtol=1e-4)
    said = predict_rows(model, rows).set_index("key").loc[found[WHOLE].index]
    assert np.allclose(said["valence"], found[WHOLE]["valence"], atol=1e-5)
    assert (said[["probability_0", "probability_1"]].to_numpy().argmax(axis=1) == found[WHOLE]["answer"]).all()


def test_the_model_is_left_as_it_was():
    model = make()
    rows = utterances()
    before = predict_rows(model, rows)
    measure(model, rows)
    assert "condition" not in model.__dict__
    pd.testing.assert_frame_equal(predict_rows(model, rows), before)


def test_norms_of_an_ensemble_are_means():
    one, other, rows = make(stages=[1], seed=1), make(stages=[1], seed=2), utterances()
    both = measure(Ensemble([one, other]), rows).query("off == '1'")["norm"].to_numpy()
    each = [measure(model, rows).query("off == '1'")["norm"].to_numpy() for model in (one, other)]
    assert np.allclose(both, np.mean(each, axis=0)) and not np.allclose(*each)


def test_no_row_with_both():
    assert measure(make(), utterances(lacking=[f"text{i}" for i in range(N)])).empty
