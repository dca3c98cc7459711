import numpy as np
import pytest

from emofuse.models.adapter import SpeakerAdapter

D = 12
VOICE = np.linspace(-3, 3, D)
EMOTIONS = 4 * np.eye(D)[:3]  # three emotions, each along its own axis


@pytest.fixture
def adapter():
    """Emotions differ along three axes, by far more than clips of one emotion do."""
    return SpeakerAdapter(
        centre=np.full(D, 0.5, np.float32), directions=np.eye(D, 3, dtype=np.float32), one=1.0, mixed=6.0, shrinkage=3.0
    )


def clips(emotions, seed=0):
    return 0.5 + VOICE + EMOTIONS[emotions] + np.random.default_rng(seed).standard_normal((len(emotions), D))


def test_many_mixed_clips_give_the_offset_of_the_voice(adapter):
    emotions = np.arange(300) % 3
    offset = adapter.offset(clips(emotions), np.ones(300))
    assert offset.dtype == np.float32
    np.testing.assert_allclose(offset, VOICE + EMOTIONS.mean(axis=0), atol=0.3)


@pytest.mark.parametrize("emotion", [0, 1, 2])
@pytest.mark.parametrize("n", [5, 20, 200])
def test_clips_of_one_emotion_do_not_take_it_off(adapter, emotion, n):
    offset = adapter.offset(clips(np.full(n, emotion)), np.ones(n))
    assert np.linalg.norm(offset) < 0.35 * np.linalg.norm(VOICE + EMOTIONS[emotion])


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
