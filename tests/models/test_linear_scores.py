"""The linear scores that a fitted discriminant adds to those of the network."""

import numpy as np
import pytest
import torch

from emofuse.config import ModelConfig
from emofuse.models.ser import LinearScores, build_model

K, STATE, STEPS, TEXT = 3, 4, 7, 5
TREE = {"encoder": "ladder", "layers": [1, 2], "ladder_dim": 8, "heads": ["categories", "dimensions"]}
TREE |= {"discriminants": [[1], [1, 2]], "discriminant_weight": 0.7}
RANDOM = np.random.default_rng(0)
CENTRE, WEIGHT, BIAS = RANDOM.normal(3, 1, 2 * STATE), RANDOM.normal(size=(2 * STATE, K)), RANDOM.normal(size=K)


def filled(module):
    module.fill(CENTRE, WEIGHT, BIAS)
    return module


@pytest.fixture
def scores():
    return filled(LinearScores(2 * STATE, K))


def states(*lengths, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(lengths), STEPS, 2 * STATE, generator=generator), torch.tensor(lengths)


def test_scores_are_those_of_the_discriminant(scores):
    frames, n_frames = states(7, 3, 1)
    means = np.stack([frames[row, :n].numpy().mean(axis=0) for row, n in enumerate(n_frames)])
    expected = (means - CENTRE) @ WEIGHT + BIAS
    np.testing.assert_allclose(scores(frames, n_frames), expected, atol=1e-5)


def test_padding_never_counts(scores):
    frames, n_frames = states(7, 3, 1)
    expected = scores(frames, n_frames)
    for padding in (1e6, float("nan"), float("inf")):
        padded = frames.clone()
        for row, n in enumerate(n_frames):
            padded[row, n:] = padding
        torch.testing.assert_close(scores(padded, n_frames), expected)
    longer = torch.nn.functional.pad(frames, (0, 0, 0, 9), value=5.0)
    torch.testing.assert_close(scores(longer, n_frames), expected)
    for row, n in enumerate(n_frames):
        torch.testing.assert_close(scores(frames[row : row + 1, :n], n_frames[row : row + 1]), expected[row : row + 1])
    assert torch.isfinite(scores(frames[:1], torch.tensor([0]))).all()  # a row without audio


def test_scores_are_zeros_until_filled():
    assert not LinearScores(2 * STATE, K)(*states(7, 3)).any()


def test_values_are_stored_but_not_trained(scores):
    assert not list(scores.parameters())
    other = LinearScores(2 * STATE, K)
    other.load_state_dict(scores.state_dict())
    torch.testing.assert_close(other(*states(7, 3)), scores(*states(7, 3)))


def make(**options):
    torch.manual_seed(0)
    return build_model(ModelConfig.model_validate(TREE | options), K, TEXT, STATE)


def inputs():
    frames, n_frames = states(7, 3, 7, 0)
    text = torch.randn(4, TEXT, generator=torch.Generator().manual_seed(2))
    has_audio = torch.tensor([True, True, False, False])
    return frames, n_frames, text, has_audio, torch.tensor([True, False, True, True])


@torch.no_grad()
@pytest.mark.parametrize("fusion", ["multistage", "single_stage", "audio_only"])
def test_a_model_adds_the_scores_to_rows_with_audio(fusion):
    model = make(fusion=fusion).eval()
    before = model(*inputs())
    filled(model.discriminant)
    after = model(*inputs())
    frames, n_frames, _, has_audio, _ = inputs()
    added = 0.7 * model.discriminant(frames, n_frames) * has_audio[:, None]
    expected = (before["logits"].log_softmax(dim=1) + added).softmax(dim=1)
    torch.testing.assert_close(after["logits"].softmax(dim=1), expected)
    torch.testing.assert_close(after["dimensions"], before["dimensions"])
    assert (added[:2] != 0).any() and not added[2:].any()


@pytest.mark.parametrize("fusion", ["multistage", "audio_only"])
def test_the_network_is_trained_without_the_scores(fusion):
    model = make(fusion=fusion, dropout=0).train()
    before = model(*inputs())["logits"]
    filled(model.discriminant)
    torch.testing.assert_close(model(*inputs())["logits"], before)


def test_initial_weights_are_the_same_with_and_without():
    with_scores, without = make().state_dict(), make(discriminants=[]).state_dict()
    assert with_scores.keys() - without.keys() == {"discriminant.weight", "discriminant.bias"}
    for name, value in without.items():
        torch.testing.assert_close(with_scores[name], value)


def test_members_and_late_fusion_have_theirs():
    """Text alone has no hidden states to score."""
    assert [member.discriminant is not None for member in make(members=2).members] == [True, True]
    late = make(fusion="late")
    assert late.audio.discriminant is not None and late.text.discriminant is None
