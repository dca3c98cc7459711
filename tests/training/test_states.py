import numpy as np
import torch

from emofuse.corpora.table import make_table
from emofuse.training.states import chosen, compute_states, pooled, unpacked
from made_up.clips import write_clip


class Encoder:
    """Two layers of two values: the mean sample of each 20 ms, and twice that."""

    name, hash, layers, dim = "made-up", "0" * 64, 2, 2

    def hidden_states(self, samples):
        steps = torch.from_numpy(samples[: len(samples) // 320 * 320].reshape(-1, 320).mean(axis=1))
        return torch.stack([steps, 2 * steps])[:, :, None].repeat(1, 1, 2)


def test_pooled_means_with_a_shorter_last_one():
    states = np.arange(5.0).reshape(1, 5, 1)
    np.testing.assert_array_equal(pooled(states, 2).ravel(), [0.5, 2.5, 4])
    np.testing.assert_array_equal(pooled(states, 1), states)


def test_states_are_stored_pooled_by_layer(tmp_path):
    clip = write_clip(tmp_path / "a.wav", 0.5)
    table = make_table([{"key": "c/a", "file": str(clip)}], "c")
    features = compute_states(table, tmp_path / "cache", Encoder(), pool=4)
    states = unpacked(features[(str(clip), None, None)], 2)
    assert states.shape == (2, 7, 2)
    np.testing.assert_allclose(states[1], 2 * states[0], atol=1e-3)
    np.testing.assert_array_equal(chosen(features[(str(clip), None, None)], [1], of=2), states[1])
    assert len(list((tmp_path / "cache").iterdir())) == 1
