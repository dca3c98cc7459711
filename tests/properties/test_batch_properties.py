"""Batches never change an answer: utterances of any lengths, one by one and together."""

from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.config import ModelConfig
from emofuse.corpora.table import make_table
from emofuse.data.utterances import Utterances, bucketed_batches, eval_loader
from emofuse.models.ser import build_model

WIDTH, TEXT_DIM, STATE_DIM = 64, 12, 10
LABELS = ["neutral", "anger", "sadness"]
DIMENSIONS = ("arousal", "valence", "dominance")
lengths_of_clips = st.lists(st.integers(0, 90), min_size=1, max_size=7)  # 0: an utterance without audio


class RandomFrames:
    """Frames of clips in memory; a file is named after its number of frames."""

    rate = 100.0

    def __init__(self, width):
        self.width = width

    def length(self, clip):
        return int(str(clip[0]).split("-")[-1])

    def __getitem__(self, clip):
        n_frames = self.length(clip)
        return np.random.default_rng(n_frames).normal(size=(n_frames, self.width)).astype(np.float32)


def utterances(lengths, width=WIDTH):
    """Utterances with clips of these lengths; every third has no text if it has audio."""
    rows = [
        {
            "key": f"c/{i}",
            "file": f"clip-{n_frames}" if n_frames else None,
            "text": None if n_frames and i % 3 == 0 else f"text {i}",
            "emotion": LABELS[i % 3],
        }
        for i, n_frames in enumerate(lengths)
    ]
    embeddings = {f"text {i}": np.random.default_rng(i).normal(size=TEXT_DIM) for i in range(len(lengths))}
    return Utterances(
        make_table(rows, "c"),
        labels=LABELS,
        label_column="emotion",
        features=RandomFrames(width),
        embeddings={text: embedding.astype(np.float32) for text, embedding in embeddings.items()},
        text_dim=TEXT_DIM,
    )


@pytest.fixture(scope="module")
def models():
    """One model for each kind of encoder, with random weights, in evaluation mode."""
    torch.manual_seed(0)
    heads = ["categories", "dimensions"]
    cnn = ModelConfig(fusion="multistage", encoder="cnn6", width=1 / 16, heads=heads)
    ladder = ModelConfig(fusion="multistage", encoder="ladder", layers=[2, 4], ladder_dim=8, heads=heads)
    late = ModelConfig(fusion="late", encoder="cnn6", width=1 / 16, heads=heads)
    return {
        "cnn": (build_model(cnn, len(LABELS), TEXT_DIM).eval(), WIDTH),
        "late": (build_model(late, len(LABELS), TEXT_DIM).eval(), WIDTH),
        "ladder": (build_model(ladder, len(LABELS), TEXT_DIM, STATE_DIM).eval(), 2 * STATE_DIM),
    }


def predictions(model, data, batch_size):
    """Outputs of a model for all rows, in the order of the rows, read in batches of similar lengths."""
    outputs = {"logits": np.full((len(data), len(LABELS)), np.nan), "dimensions": np.full((len(data), 3), np.nan)}
    with torch.inference_mode():
        for batch in eval_loader(data, batch_size):
            for name, values in model(*batch.inputs()).items():
                outputs[name][batch.rows.numpy()] = values.numpy()
    return outputs


@pytest.mark.parametrize("encoder", ["cnn", "late", "ladder"])
@settings(max_examples=12, deadline=None)
@given(lengths=lengths_of_clips, batch_size=st.integers(2, 7))
def test_predictions_do_not_depend_on_the_batch(models, encoder, lengths, batch_size):
    model, width = models[encoder]
    data = utterances(lengths, width)
    alone, together = predictions(model, data, 1), predictions(model, data, batch_size)
    for name, expected in alone.items():
        assert np.isfinite(expected).all()
        np.testing.assert_allclose(together[name], expected, atol=2e-5, rtol=1e-4)


@settings(max_examples=30, deadline=None)
@given(lengths=lengths_of_clips, seed=st.integers(0, 99))
def test_a_batch_holds_each_row_as_it_is_alone(lengths, seed):
    data = utterances(lengths)
    rows = np.random.default_rng(seed).permutation(len(lengths)).tolist()
    together = data.batch(rows)
    assert together.rows.tolist() == rows
    assert together.has_audio.tolist() == [lengths[row] > 0 for row in rows]
    for place, row in enumerate(rows):
        alone = data.batch([row])
        n_frames = lengths[row]
        assert together.n_frames[place] == alone.n_frames[0] == n_frames
        assert torch.equal(together.frames[place, :n_frames], alone.frames[0, :n_frames])
        assert not together.frames[place, n_frames:].any()
        assert torch.equal(together.text[place], alone.text[0])
        assert torch.equal(together.target[place], alone.target[0])


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 500), max_size=200),
    batch_size=st.integers(1, 20),
    seed=st.integers(0, 99),
)
def test_bucketed_batches_hold_every_row_once(lengths, batch_size, seed):
    lengths = np.array(lengths, int)
    in_order = list(bucketed_batches(lengths, batch_size))
    assert sorted(chain(*in_order)) == list(range(len(lengths)))
    assert all(len(batch) <= batch_size for batch in in_order)
    assert [lengths[row] for row in chain(*in_order)] == sorted(lengths)
    shuffled = list(bucketed_batches(lengths, batch_size, generator=torch.Generator().manual_seed(seed)))
    used = list(chain(*shuffled))
    assert len(set(used)) == len(used)
    assert all(1 < len(batch) <= batch_size for batch in shuffled)
    if batch_size > 1:  # only a batch of a single row is dropped in training, and there is at most one
        assert len(lengths) - len(used) == (len(lengths) % batch_size == 1)
