"""Random offsets of speakers and rooms: what is subtracted and what is added."""

from itertools import combinations

import numpy as np
import pytest
import torch

from emofuse.training.speakers import SHRINKAGE, RandomOffsets

WIDTH = 6
SPEAKERS = ["a", "a", "b", None, "b", "c", "c", "d", "b", "b"]
NO_AUDIO = [1, 7]  # row 7 is the only one of speaker d
OF_B = [2, 4, 8, 9]


@pytest.fixture
def means():
    """Ten clips and two varied copies of each."""
    means = np.random.default_rng(0).normal(size=(3, len(SPEAKERS), WIDTH)).astype(np.float32)
    means[:, NO_AUDIO] = np.nan
    return means


def changes(offsets, row, n=200, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return np.stack([offsets.change(row, generator) for _ in range(n)])


def centre_of(means):
    """Mean over speakers, so that one with more clips does not count more."""
    return np.mean([means[0, rows].mean(axis=0) for rows in ([0], OF_B, [5, 6])], axis=0)


def offset_by(means, rows):
    """What is subtracted by clips of the rows."""
    return len(rows) / (len(rows) + SHRINKAGE) * (means[0, list(rows)].mean(axis=0) - centre_of(means))


def scale_of(change, direction):
    """How many times `direction` each change is; NaN where it is something else."""
    times = change @ direction / (direction @ direction)
    return np.where(np.abs(change - times[:, None] * direction).max(axis=1) < 1e-5, times, np.nan)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_every_set_of_so_many_other_clips_is_drawn(means, number):
    drawn = changes(RandomOffsets(means, SPEAKERS, other_clips=[number]), 4)
    sets = list(combinations([row for row in OF_B if row != 4], number))
    matches = np.stack([np.isclose(drawn, -offset_by(means, rows), atol=1e-6).all(axis=1) for rows in sets])
    assert (matches.sum(axis=0) == 1).all()
    np.testing.assert_allclose(matches.mean(axis=1), 1 / len(sets), atol=0.12)


def test_all_other_clips_are_used_where_there_are_fewer(means):
    for row, others in ((4, [2, 8, 9]), (5, [6])):
        drawn = changes(RandomOffsets(means, SPEAKERS, other_clips=[20]), row)
        np.testing.assert_allclose(drawn, np.broadcast_to(-offset_by(means, others), drawn.shape), atol=1e-6)


def test_numbers_are_drawn_evenly(means):
    drawn = changes(RandomOffsets(means, SPEAKERS, other_clips=[0, 0, 20]), 4, n=2000)
    subtracted = np.isclose(drawn, -offset_by(means, [2, 8, 9]), atol=1e-6).all(axis=1)
    assert subtracted.mean() == pytest.approx(1 / 3, abs=0.04)
    assert (drawn == 0).all(axis=1).mean() == pytest.approx(2 / 3, abs=0.04)


def test_a_clip_never_counts_in_its_own_offset(means):
    """The only clip of its speaker with audio has no others."""
    assert not changes(RandomOffsets(means, SPEAKERS, other_clips=[1, 20]), 0).any()
    changed = means.copy()
    changed[0, 5] += 100
    only_c, with_change = (
        changes(RandomOffsets(states[:, 5:7], ["c", "c"], other_clips=[1]), 0) for states in (means, changed)
    )
    # The centre is the mean of speakers, here of one, and contains the clip.
    np.testing.assert_allclose(only_c - with_change, -50 / (1 + SHRINKAGE), rtol=1e-4)


@pytest.mark.parametrize("row", [1, 3, 7])
def test_unknown_speakers_and_rows_without_audio_keep_their_offset(means, row):
    assert not changes(RandomOffsets(means, SPEAKERS, other_clips=[1, 2]), row).any()


@pytest.mark.parametrize("names", [[None] * 10, [float("nan")] * 10], ids=["None", "NaN"])
def test_a_table_without_speakers(means, names):
    assert not changes(RandomOffsets(means, names, other_clips=[2]), 0).any()


def test_a_missing_name_may_be_none_or_nan(means):
    names = [float("nan") if name is None else name for name in SPEAKERS]
    one, other = (changes(RandomOffsets(means, speakers, other_clips=[2]), 4) for speakers in (names, SPEAKERS))
    np.testing.assert_array_equal(one, other)


def test_a_table_without_audio(means):
    silent = np.full_like(means, np.nan)
    assert not changes(RandomOffsets(silent[:1], SPEAKERS, other_clips=[2]), 0).any()


def test_nothing_is_changed_without_options(means):
    offsets = RandomOffsets(means, SPEAKERS)
    assert not any(changes(offsets, row).any() for row in range(len(SPEAKERS)))


@pytest.mark.parametrize("row", [0, 1, 3])
def test_borrow_moves_a_clip_as_varying_moved_some_clip(means, row):
    """Whoever speaks, and where the speaker is not known."""
    drawn = changes(RandomOffsets(means, SPEAKERS, borrow=1.0), row, n=600)
    with_audio = [i for i in range(len(SPEAKERS)) if i not in NO_AUDIO]
    lenders = [(copy, i) for copy in (1, 2) for i in with_audio]
    times = np.stack([scale_of(drawn, means[copy, i] - means[0, i]) for copy, i in lenders])
    assert (np.isfinite(times).sum(axis=0) == 1).all()
    assert np.isfinite(times).any(axis=1).all()  # each clip and each copy is a lender
    assert 0 <= np.nanmin(times) < 0.05 and 0.95 < np.nanmax(times) < 1


def test_borrowing_has_its_probability_and_is_added(means):
    drawn = changes(RandomOffsets(means, SPEAKERS, borrow=0.25), 0, n=2000)
    assert (drawn != 0).any(axis=1).mean() == pytest.approx(0.25, abs=0.04)
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    both, borrowed = (
        RandomOffsets(means, SPEAKERS, other_clips=[20], borrow=1.0),
        RandomOffsets(means, SPEAKERS, borrow=1),
    )
    difference = both.change(4, generators[0]) - borrowed.change(4, generators[1])
    np.testing.assert_allclose(difference, -offset_by(means, [2, 8, 9]), atol=1e-6)


def test_nothing_to_borrow_without_copies(means):
    assert not changes(RandomOffsets(means[:1], SPEAKERS, borrow=1.0), 0).any()


def test_the_generator_decides(means):
    offsets = RandomOffsets(means, SPEAKERS, other_clips=[0, 1, 2], borrow=0.5)
    one, same, other = (changes(offsets, 2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert np.isfinite(one).all() and one.dtype == np.float32
