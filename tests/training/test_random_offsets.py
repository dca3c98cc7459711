"""Offsets of speakers and rooms: what is taken away, swapped and borrowed."""

import numpy as np
import pytest
import torch

from emofuse.training.speakers import RandomOffsets, speaker_offsets

WIDTH = 6
SPEAKERS = ["a", "a", "b", None, "b", "c", "c", "d"]
NO_AUDIO = [1, 7]  # row 7 is all there is of speaker d


@pytest.fixture
def means():
    """Eight clips and two varied copies of each."""
    means = np.random.default_rng(0).normal(size=(3, len(SPEAKERS), WIDTH)).astype(np.float32)
    means[:, NO_AUDIO] = np.nan
    return means


def changes(offsets, row, n=200, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return np.stack([offsets.change(row, generator) for _ in range(n)])


def offset_of(means, speaker):
    rows = [i for i, name in enumerate(SPEAKERS) if name == speaker and i not in NO_AUDIO]
    return means[0, rows].mean(axis=0) - np.nanmean(means[0], axis=0)


def scale_of(change, direction):
    """How many times `direction` each change is; NaN where it is something else."""
    times = change @ direction / (direction @ direction)
    return np.where(np.abs(change - times[:, None] * direction).max(axis=1) < 1e-5, times, np.nan)


def test_offsets_are_those_of_speakers_that_are_there(means):
    number, offsets = speaker_offsets(means[0], SPEAKERS)
    assert number.tolist() == [0, -1, 1, -1, 1, 2, 2, -1]
    np.testing.assert_allclose(offsets, [offset_of(means, name) for name in "abc"], atol=1e-6)
    assert offsets.dtype == np.float32


def test_order_of_rows_does_not_matter(means):
    order = np.random.default_rng(1).permutation(len(SPEAKERS))
    number, offsets = speaker_offsets(means[0], SPEAKERS)
    other, same = speaker_offsets(means[0, order], [SPEAKERS[i] for i in order])
    assert other.tolist() == number[order].tolist()
    np.testing.assert_allclose(same, offsets, atol=1e-6)


def test_names_that_are_none(means):
    """As a table has them: None or NaN."""
    names = [float("nan") if name is None else name for name in SPEAKERS]
    assert speaker_offsets(means[0], names)[0].tolist() == speaker_offsets(means[0], SPEAKERS)[0].tolist()
    number, offsets = speaker_offsets(means[0], [None] * len(SPEAKERS))
    assert (number == -1).all() and offsets.shape == (0, WIDTH)
    assert not changes(RandomOffsets(means[:1], [None] * len(SPEAKERS), centre=0.5, swap=0.5), 0).any()


def test_a_table_without_audio(means):
    silent = np.full_like(means, np.nan)
    assert not changes(RandomOffsets(silent[:1], SPEAKERS, centre=0.5, swap=0.5), 0).any()


def test_zero_chances_change_nothing(means):
    offsets = RandomOffsets(means, SPEAKERS)
    assert not any(changes(offsets, row).any() for row in range(len(SPEAKERS)))


@pytest.mark.parametrize("row", [0, 2, 4, 6])
def test_centre_takes_away_the_offset_of_the_speaker_and_nothing_else(means, row):
    found = changes(RandomOffsets(means, SPEAKERS, centre=1.0), row)
    np.testing.assert_allclose(found, np.broadcast_to(-offset_of(means, SPEAKERS[row]), found.shape), atol=1e-6)
    # Every speaker's clips then have the mean of all.
    moved = means[0] + np.stack([changes(RandomOffsets(means, SPEAKERS, centre=1.0), row, n=1)[0] for row in range(8)])
    rows = [i for i in range(8) if SPEAKERS[i] == SPEAKERS[row] and i not in NO_AUDIO]
    np.testing.assert_allclose(moved[rows].mean(axis=0), np.nanmean(means[0], axis=0), atol=1e-6)


def test_swap_gives_the_offset_of_another_speaker(means):
    own = offset_of(means, "b")
    found = changes(RandomOffsets(means, SPEAKERS, swap=1.0), 2, n=400) + own
    times = np.stack([scale_of(found, offset_of(means, name)) for name in "ac"])
    assert (np.isfinite(times).sum(axis=0) == 1).all()  # a or c, never b
    assert (np.isfinite(times).mean(axis=1) > 0.4).all()
    assert 0 <= np.nanmin(times) < 0.05 and 1.45 < np.nanmax(times) < 1.5
    assert np.nanmean(times) == pytest.approx(0.75, abs=0.07)


def test_swap_of_an_only_speaker_leaves_the_clip_in_its_place(means):
    """There is no other; and the offset of one who spoke all clips is nothing."""
    found = changes(RandomOffsets(means, ["a"] * len(SPEAKERS), swap=1.0), 0)
    np.testing.assert_allclose(found, 0, atol=1e-6)


def test_chances_of_one_choice(means):
    offsets = RandomOffsets(means, SPEAKERS, centre=0.3, swap=0.2)
    found = changes(offsets, 0, n=2000)
    centred = np.isclose(found, -offset_of(means, "a"), atol=1e-6).all(axis=1)
    alone = (found == 0).all(axis=1)
    assert centred.mean() == pytest.approx(0.3, abs=0.04)
    assert alone.mean() == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("row", [0, 1, 3])
def test_borrow_moves_a_clip_as_varying_moved_some_clip(means, row):
    """Whoever speaks, and where the speaker is not known."""
    found = changes(RandomOffsets(means, SPEAKERS, borrow=1.0), row, n=600)
    there = [i for i in range(len(SPEAKERS)) if i not in NO_AUDIO]
    lent = [(copy, i) for copy in (1, 2) for i in there]
    times = np.stack([scale_of(found, means[copy, i] - means[0, i]) for copy, i in lent])
    assert (np.isfinite(times).sum(axis=0) == 1).all()
    assert np.isfinite(times).any(axis=1).all()  # each clip and each copy is a lender
    assert 0 <= np.nanmin(times) < 0.05 and 0.95 < np.nanmax(times) < 1


def test_borrowing_has_its_chance_and_comes_on_top(means):
    found = changes(RandomOffsets(means, SPEAKERS, borrow=0.25), 0, n=2000)
    assert (found != 0).any(axis=1).mean() == pytest.approx(0.25, abs=0.04)
    both = changes(RandomOffsets(means, SPEAKERS, centre=1.0, borrow=1.0), 0)
    borrowed = changes(RandomOffsets(means, SPEAKERS, borrow=1.0), 0)
    np.testing.assert_allclose(both, borrowed - offset_of(means, "a"), atol=1e-6)


def test_nothing_to_borrow_without_copies(means):
    assert not changes(RandomOffsets(means[:1], SPEAKERS, borrow=1.0), 0).any()


@pytest.mark.parametrize("row", [1, 3, 7])
def test_unknown_speakers_and_rows_without_audio_keep_their_offset(means, row):
    assert not changes(RandomOffsets(means, SPEAKERS, centre=0.5, swap=0.5), row).any()


def test_the_generator_decides(means):
    offsets = RandomOffsets(means, SPEAKERS, centre=0.3, swap=0.5, borrow=0.5)
    one, same, other = (changes(offsets, 0, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert np.isfinite(one).all() and one.dtype == np.float32
    # Every clip draws as often, whatever becomes of it: the next one's luck does not hang on it.
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    offsets.change(0, generators[0])
    offsets.change(3, generators[1])
    assert torch.equal(*(torch.rand(3, generator=generator) for generator in generators))
