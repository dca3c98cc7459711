"""Properties of the speaker adapter: order of clips, a clip that comes twice, and a single clip."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.models.adapter import InformationRule, SpeakerAdapter

DIM, N_CATEGORIES = 6, 3
CENTRE = np.linspace(-1, 1, DIM).astype(np.float32)
BY_SPREAD = SpeakerAdapter.load(  # as emofuse 0.2.0 saved it
    {"centre": CENTRE, "directions": np.eye(DIM, 2, dtype=np.float32)},
    {"one": 1.0, "mixed": 4.0, "shrinkage": 3.0},
)
BY_INFORMATION = SpeakerAdapter(
    CENTRE,
    InformationRule(
        projection=np.random.default_rng(0).normal(size=(DIM, N_CATEGORIES)).astype(np.float32),
        bias=np.array([0.3, -0.1, -0.2], np.float32),
        moves=(3 * np.eye(N_CATEGORIES) - 1).astype(np.float32),
        low=0.1,
        high=0.5,
        most=0.9,
    ),
)
adapters = st.sampled_from([BY_SPREAD, BY_INFORMATION])
speakers = st.builds(
    lambda n, seed, scale: scale * np.random.default_rng(seed).normal(size=(n, DIM)),
    st.integers(2, 12),
    st.integers(0, 999),
    st.sampled_from([0.1, 1.0, 1.5, 5.0]),  # of spreads below `one`, between, and above `mixed`
)
seeds = st.integers(0, 999)


def durations(n, seed):
    return np.random.default_rng(seed).uniform(0.5, 9, n)


@settings(max_examples=60, deadline=None)
@given(adapters, speakers, seeds)
def test_order_of_clips_does_not_matter(adapter, means, seed):
    seconds = durations(len(means), seed)
    order = np.random.default_rng(seed).permutation(len(means))
    shuffled = adapter.offset(means[order], seconds[order])
    np.testing.assert_allclose(shuffled, adapter.offset(means, seconds), atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(adapters, speakers, seeds, st.floats(0.1, 0.9))
def test_a_clip_of_zero_seconds_and_a_change_of_the_unit_of_time_do_not_matter(adapter, means, seed, factor):
    seconds = durations(len(means), seed)
    expected = adapter.offset(means, seconds)
    np.testing.assert_allclose(adapter.offset(means, factor * seconds), expected, atol=1e-5)
    with_empty_clip = adapter.offset(np.vstack([means, np.full(DIM, 1e4)]), np.append(seconds, 0))
    np.testing.assert_allclose(with_empty_clip, expected, atol=1e-5)


@given(adapters, speakers, seeds)
@settings(max_examples=40, deadline=None)
def test_one_clip_gives_no_offset_however_often_it_is_given(adapter, means, seed):
    for copies in (1, 2, 7):
        clips, seconds = np.repeat(means[:1], copies, axis=0), np.full(copies, durations(1, seed)[0])
        np.testing.assert_array_equal(adapter.offset(clips, seconds), np.zeros(DIM))


@settings(max_examples=60, deadline=None)
@given(adapters, speakers, seeds)
def test_the_offset_points_from_the_centre_to_the_mean_and_never_beyond(adapter, means, seed):
    seconds = durations(len(means), seed)
    weight = seconds / seconds.sum()
    difference = weight @ means - adapter.centre
    share = adapter.offset(means, seconds) @ difference / (difference @ difference)
    n = 1 / (weight**2).sum()
    assert -1e-6 <= share <= n / (n + adapter.shrinkage) + 1e-6
    np.testing.assert_allclose(adapter.offset(means, seconds), share * difference, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(speakers, st.floats(-1e3, 1e3))
def test_a_constant_added_to_all_clips_does_not_change_the_trust_by_spread(means, shift):
    """A change of the voice moves the mean; it neither widens nor narrows the spread of the clips."""
    seconds = np.ones(len(means))
    plain, moved = BY_SPREAD.offset(means, seconds), BY_SPREAD.offset(means + shift, seconds)
    target = means.mean(axis=0) - BY_SPREAD.centre
    share = plain @ target / (target @ target)
    np.testing.assert_allclose(moved, plain + share * shift, atol=1e-3, rtol=1e-4)


@settings(max_examples=60, deadline=None)
@given(speakers)
def test_every_clip_given_twice_counts_as_twice_as_many_clips_by_spread(means):
    """The mean stays, the unbiased spread does not grow, and the shrinkage of more clips is weaker."""
    n = len(means)
    once = BY_SPREAD.offset(means, np.ones(n))
    twice = BY_SPREAD.offset(np.vstack([means, means]), np.ones(2 * n))
    variance = means[:, :2].var(axis=0).mean()

    def expected(n_clips):
        mixing = np.clip(
            2 * (variance / (1 - 1 / n_clips) - BY_SPREAD.rule.one) / (BY_SPREAD.rule.mixed - BY_SPREAD.rule.one), 0, 1
        )
        return mixing * n_clips / (n_clips + BY_SPREAD.shrinkage) * (means.mean(axis=0) - BY_SPREAD.centre)

    np.testing.assert_allclose(once, expected(n), atol=1e-5)
    np.testing.assert_allclose(twice, expected(2 * n), atol=1e-5)
