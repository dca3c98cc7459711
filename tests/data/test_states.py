import numpy as np
import pytest
import torch

import emofuse.data.states as module
from emofuse.audio import read_audio
from emofuse.corpora.table import make_table
from emofuse.data.states import LayerStates, compute_states, select_layers
from emofuse.encoders.speech import pool_time
from made_up.clips import write_clip


class Encoder:
    """Two layers of two values: the mean sample of each 20 ms, and twice that."""

    name, hash, layers, dim = "made-up", "0" * 64, 2, 2

    def hidden_states(self, samples):
        steps = torch.from_numpy(samples[: len(samples) // 320 * 320].reshape(-1, 320).mean(axis=1))
        return torch.stack([steps, 2 * steps])[:, :, None].repeat(1, 1, 2)


def test_pooled_means_with_a_shorter_last_one():
    states = np.arange(5.0).reshape(1, 5, 1)
    np.testing.assert_array_equal(pool_time(states, 2).ravel(), [0.5, 2.5, 4])
    np.testing.assert_array_equal(pool_time(states, 1), states)


def test_states_are_stored_pooled_by_layer(tmp_path):
    clip = write_clip(tmp_path / "a.wav", 0.5)
    table = make_table([{"key": "c/a", "file": str(clip)}], "c")
    features = compute_states(table, tmp_path / "cache", Encoder(), pool=4)
    states = features[(str(clip), None, None)].reshape(-1, 2, Encoder.dim).transpose(1, 0, 2)
    assert states.shape == (2, 7, 2)
    np.testing.assert_allclose(states[1], 2 * states[0], atol=1e-3)
    np.testing.assert_array_equal(select_layers(features[(str(clip), None, None)], [1], of=2), states[1])
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.fixture
def table(tmp_path):
    clips = [write_clip(tmp_path / f"{name}.wav", seconds) for name, seconds in (("a", 0.5), ("b", 0.8), ("c", 0.4))]
    return make_table([{"key": f"c/{clip.stem}", "file": str(clip)} for clip in clips], "c")


def clips(table):
    return [(file, None, None) for file in table["file"]]


def test_layers_are_picked_out_of_the_store(table, tmp_path):
    features = compute_states(table, tmp_path / "cache", Encoder(), pool=4)
    both = LayerStates(features, [1, 0], of=2, rate=12.5)
    second = LayerStates(features, [1], of=2, rate=12.5)
    assert (both.width, second.width, both.rate) == (4, 2, 12.5)
    for clip in clips(table):
        first, last = features[clip].reshape(-1, 2, Encoder.dim).transpose(1, 0, 2)
        np.testing.assert_array_equal(both[clip], np.concatenate([last, first], axis=1))
        np.testing.assert_array_equal(second[clip], last)
        assert second[clip].dtype == np.float16 and second.length(clip) == len(second[clip])
    assert not np.array_equal(first, last)


def test_a_store_of_some_layers_holds_these_alone(table, tmp_path):
    every = compute_states(table, tmp_path / "cache", Encoder(), layers=[0, 1], pool=1)
    second = compute_states(table, tmp_path / "cache", Encoder(), layers=[1], pool=1)
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert (every.width, second.width) == (4, 2)
    for clip in clips(table):
        np.testing.assert_array_equal(second[clip], select_layers(every[clip], [1], of=2))
    same = compute_states(table, tmp_path / "cache", Encoder(), pool=1)  # all, not named
    assert same.width == 4 and len(list((tmp_path / "cache").iterdir())) == 2


def test_a_varied_copy_is_another_store_and_repeatable(table, tmp_path):
    def states(folder, rows, varied):
        features = compute_states(rows, tmp_path / folder, Encoder(), pool=4, varied=varied)
        return [np.array(features[clip]) for clip in clips(rows)]

    plain, one, two = (states("cache", table, varied) for varied in (0, 1, 2))
    assert len(list((tmp_path / "cache").iterdir())) == 3
    for before, after in zip(plain, one, strict=True):
        assert len(before) != len(after) or not np.array_equal(before, after)
        assert abs(len(after) - len(before)) <= 0.12 * len(before) + 1
    assert any(a.shape != b.shape or not np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    # What a clip becomes depends on the clip alone: not on the rows beside it, their order, or what is there already.
    again = states("elsewhere", table.iloc[::-1], 1)[::-1]
    alone = states("alone", table.iloc[1:2], 1)
    for found, expected in zip([*again, *alone], [*one, one[1]], strict=True):
        np.testing.assert_array_equal(found, expected)
    for found, expected in zip(states("cache", table, 0), plain, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_copies_that_are_there_are_not_computed_again(table, tmp_path, monkeypatch):
    compute_states(table, tmp_path / "cache", Encoder(), varied=1)
    monkeypatch.setattr(Encoder, "hidden_states", lambda self, samples: pytest.fail("computed again"))
    compute_states(table, tmp_path / "cache", Encoder(), varied=1)
    with pytest.raises(pytest.fail.Exception):
        compute_states(table, tmp_path / "cache", Encoder(), varied=0)


def test_clips_cut_to_their_speech_are_another_store(table, tmp_path, monkeypatch):
    def states(**options):
        features = compute_states(table, tmp_path / "cache", Encoder(), pool=1, **options)
        return [np.array(features[clip]) for clip in clips(table)]

    def folders():
        return {folder.name for folder in (tmp_path / "cache").iterdir()}

    whole, varied, before = states(), states(varied=1), folders()
    monkeypatch.setattr(module, "speech_of", lambda samples: samples[1600:4800])
    cut, both = states(speech_only=True), states(speech_only=True, varied=1)
    assert len(folders() - before) == 2 and before < folders()
    for file, states_of_clip in zip(table["file"], cut, strict=True):
        expected = Encoder().hidden_states(read_audio(file)[1600:4800]).numpy()
        np.testing.assert_allclose(states_of_clip, expected.transpose(1, 0, 2).reshape(-1, 4), atol=1e-3)
    assert all(len(one) == 10 for one in cut) and all(8 <= len(one) <= 12 for one in both)
    for stored, computed in ((whole, states()), (varied, states(varied=1)), (cut, states(speech_only=True))):
        for one, other in zip(stored, computed, strict=True):
            np.testing.assert_array_equal(one, other)
