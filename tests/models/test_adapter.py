import numpy as np
import pytest

from emofuse.models.adapter import InformationRule, SpeakerAdapter

D = 12
VOICE = np.linspace(-3, 3, D)
EMOTIONS = 4 * np.eye(D)[:3]  # three emotions, each along its own axis


@pytest.fixture
def adapter():
    """Emotions differ along three axes, by far more than clips of one emotion do; each score is that of an axis."""
    moves = EMOTIONS[:, :3] - EMOTIONS[:, :3].mean(axis=0)
    rule = InformationRule(
        projection=np.eye(D, 3, dtype=np.float32),
        bias=np.zeros(3, np.float32),
        moves=moves.astype(np.float32),
        low=0.3,
        high=0.6,
        most=0.8,
    )
    return SpeakerAdapter(np.full(D, 0.5, np.float32), rule, shrinkage=3.0)


def clips(emotions, seed=0):
    return 0.5 + VOICE + EMOTIONS[emotions] + np.random.default_rng(seed).standard_normal((len(emotions), D))


def test_many_mixed_clips_give_the_offset_of_the_voice(adapter):
    emotions = np.arange(300) % 3
    offset = adapter.offset(clips(emotions), np.ones(300))
    assert offset.dtype == np.float32
    np.testing.assert_allclose(offset, 0.8 * (VOICE + EMOTIONS.mean(axis=0)), atol=0.3)


@pytest.mark.parametrize("emotion", [0, 1, 2])
@pytest.mark.parametrize("n", [5, 20, 200])
def test_clips_of_one_emotion_do_not_take_it_off(adapter, emotion, n):
    offset = adapter.offset(clips(np.full(n, emotion)), np.ones(n))
    assert np.linalg.norm(offset) < 0.1 * np.linalg.norm(VOICE + EMOTIONS[emotion])


@pytest.mark.parametrize(
    "seconds",
    [[], [0.0], [2.0], [2.0, 0.0], [2.0, 1e-20]],
    ids=["no clip", "empty", "one", "one and an empty one", "a trace"],
)
def test_no_adaptation_without_a_second_clip(adapter, seconds):
    means = clips(np.arange(len(seconds)))
    np.testing.assert_array_equal(adapter.offset(means, np.array(seconds)), np.zeros(D))


def test_more_clips_adapt_more(adapter):
    norms = [np.linalg.norm(adapter.offset(clips(np.arange(n) % 3, seed=1), np.ones(n))) for n in (3, 9, 300)]
    assert norms == sorted(norms)
    assert norms[0] < 0.7 * norms[2]


def test_duration_weighs_and_only_by_its_ratio(adapter):
    means, seconds = clips(np.arange(6) % 3), np.array([9.0, 9.0, 9.0, 1.0, 1.0, 1.0])
    once = adapter.offset(means, seconds)
    np.testing.assert_allclose(adapter.offset(means, 5 * seconds), once, rtol=1e-5)
    long_only = means[:3].mean(axis=0) - adapter.centre
    short_only = means[3:].mean(axis=0) - adapter.centre

    def angle(x):
        return once @ x / np.linalg.norm(once) / np.linalg.norm(x)

    assert angle(long_only) > angle(short_only)


def test_neither_order_nor_an_empty_clip_matters(adapter):
    means, seconds = clips(np.arange(9) % 3), np.arange(1.0, 10.0)
    expected = adapter.offset(means, seconds)
    turn = np.random.default_rng(0).permutation(9)
    np.testing.assert_allclose(adapter.offset(means[turn], seconds[turn]), expected, rtol=1e-5)
    padded = adapter.offset(np.vstack([means, np.full(D, 1e6)]), np.append(seconds, 0.0))
    np.testing.assert_allclose(padded, expected, rtol=1e-5)


def test_two_clips_of_which_one_is_nearly_all_count_as_little_more_than_one(adapter):
    means = clips(np.array([0, 1]))
    even = np.linalg.norm(adapter.offset(means, np.array([1.0, 1.0])))
    uneven = np.linalg.norm(adapter.offset(means, np.array([1.0, 1e-6])))
    assert np.isfinite(uneven)
    assert uneven < even * 1.5


def test_identical_clips_do_not_adapt(adapter):
    np.testing.assert_array_equal(adapter.offset(np.tile(VOICE, (8, 1)), np.ones(8)), np.zeros(D))


def test_saved_and_loaded_it_is_the_same(adapter):
    back = SpeakerAdapter.load(adapter.tensors(), adapter.facts())
    means = clips(np.arange(9) % 3)
    np.testing.assert_array_equal(back.offset(means, np.ones(9)), adapter.offset(means, np.ones(9)))


def test_trust_by_hand():
    """Two clips, whose answers are corrected once by the offset that they leave unexplained."""
    rule = InformationRule(
        projection=np.eye(2, dtype=np.float32),
        bias=np.array([0.2, -0.2], np.float32),
        moves=np.array([[1.0, -1.0], [-1.0, 1.0]], np.float32),
        low=0.0,
        high=1.0,
        most=0.5,
    )
    projected, weight, shrunk = np.array([[2.0, 0.0], [1.0, 4.0]]), np.array([0.25, 0.75]), 0.4

    def answers(scores):
        return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)

    first = answers(projected + rule.bias)
    left = sum(w * (clip - answer @ rule.moves) for w, clip, answer in zip(weight, projected, first, strict=True))
    second = answers(projected + rule.bias - shrunk * left)
    joint = weight[:, None] * second  # of clip and answer
    information = (joint * np.log(joint / weight[:, None] / joint.sum(axis=0))).sum()
    assert rule.trust(projected, weight, shrunk) == pytest.approx(0.5 * information, rel=1e-6)


@pytest.mark.parametrize(("low", "high", "trust"), [(0.0, 1e-9, 0.8), (5.0, 6.0, 0.0)])
def test_trust_has_limits(adapter, low, high, trust):
    rule = InformationRule(adapter.rule.projection, adapter.rule.bias, adapter.rule.moves, low, high, 0.8)
    projected = (clips(np.arange(9) % 3) - adapter.centre) @ rule.projection
    assert rule.trust(projected, np.full(9, 1 / 9), 0.75) == pytest.approx(trust)


def test_scores_of_any_size_do_not_overflow(adapter):
    offset = adapter.offset(1e4 * clips(np.arange(9) % 3), np.ones(9))
    assert np.isfinite(offset).all()


@pytest.fixture
def by_spread():
    """The adapter of a bundle of 0.2.0, as it lies there."""
    tensors = {"centre": np.array([0.5, 0.0, 1.0], np.float32), "directions": np.eye(3, 2, dtype=np.float32)}
    return SpeakerAdapter.load(tensors, {"one": 1.0, "mixed": 9.0, "shrinkage": 3.0})


def test_an_adapter_of_an_earlier_version_gives_the_offset_by_hand(by_spread):
    """Its spread is the unbiased variance of 1 s, 1 s and 2 s of speech along two directions."""
    means = np.array([[0.5, 2.0, 5.0], [4.5, 0.0, 1.0], [2.5, 1.0, 0.0]])
    # Weights 1/4, 1/4, 1/2: the mean is (2.5, 1, 1.5), the variances are 2 and 0.5, divided by 1 - 3/8.
    spread = (2 + 0.5) / 2 / (1 - 3 / 8)
    trust = 2 * (spread - 1) / (9 - 1)
    n = 8 / 3
    expected = trust * n / (n + 3) * np.array([2.0, 1.0, 0.5])
    assert spread == 2 and trust == 0.25
    np.testing.assert_allclose(by_spread.offset(means, np.array([1.0, 1.0, 2.0])), expected, rtol=1e-6)


def test_an_adapter_of_an_earlier_version_is_saved_as_it_was(by_spread):
    assert by_spread.facts() == {"one": 1.0, "mixed": 9.0, "shrinkage": 3.0}
    assert by_spread.tensors().keys() == {"centre", "directions"}
    back = SpeakerAdapter.load(by_spread.tensors(), by_spread.facts())
    means = np.random.default_rng(0).normal(size=(5, 3)) * 3
    np.testing.assert_array_equal(back.offset(means, np.ones(5)), by_spread.offset(means, np.ones(5)))


def test_spread_has_limits(by_spread):
    """No trust up to the spread of one emotion, all from half way to that of mixed emotions."""
    for scale, trust in ((0.9, 0), (1.1, (1.1**2 - 1) / 4), (2.3, 1), (5, 1)):
        means = np.array([[1.0, 1.0, 2.0], [-1.0, -1.0, 2.0]]) * scale * 0.5**0.5 + [0.5, 0.0, 1.0]
        expected = trust * 2 / 5 * np.array([0.0, 0.0, 2 * scale * 0.5**0.5])
        np.testing.assert_allclose(by_spread.offset(means, np.ones(2)), expected, atol=1e-6)
