"""Silence at the ends of a clip is found, whatever the noise; speech is not touched."""

import numpy as np
import pytest

from emofuse.audio import SAMPLE_RATE
from emofuse.silence import SHORTEST, sound_bounds, trim_silence


def clip(before, speech, after, *, noise_db=-80.0, seed=0):
    """Bursts of sound with pauses of 0.2 s between, in noise so many dB below them."""
    rng = np.random.default_rng(seed)
    n = round((before + speech + after) * SAMPLE_RATE)
    samples = 0.1 * 10 ** (noise_db / 20) * rng.standard_normal(n)
    first, last = round(before * SAMPLE_RATE), round((before + speech) * SAMPLE_RATE)
    voice = 0.1 * rng.standard_normal(last - first)
    t = np.arange(last - first) / SAMPLE_RATE
    voice[(t % 0.5 > 0.3) & (t < speech - 0.3)] = 0
    samples[first:last] += voice
    return samples.astype(np.float32)


@pytest.mark.parametrize("noise_db", [-90, -50, -30, -15])
@pytest.mark.parametrize(("before", "after"), [(1.0, 1.3), (0.4, 0.0), (0.0, 0.7)])
def test_ends_are_found_in_noise(before, after, noise_db):
    first, last = sound_bounds(clip(before, 1.6, after, noise_db=noise_db))
    assert first / SAMPLE_RATE == pytest.approx(before, abs=0.08)
    assert last / SAMPLE_RATE == pytest.approx(before + 1.6, abs=0.08)


@pytest.mark.parametrize("gain", [1e-3, 1.0, 10.0])
def test_level_does_not_matter(gain):
    samples = clip(0.8, 1.5, 0.8, noise_db=-40)
    assert sound_bounds(samples * np.float32(gain)) == sound_bounds(samples)


@pytest.mark.parametrize("n", [1, 1600, 7999, 8000, 8001, 16001, 23777])
def test_steady_sound_stays_whole(n):
    rng = np.random.default_rng(n)
    for samples in (rng.standard_normal(n).astype(np.float32), np.full(n, 0.1, np.float32), np.zeros(n, np.float32)):
        assert sound_bounds(samples) == (0, n)
        assert trim_silence(samples) is not None and len(trim_silence(samples)) == n


@pytest.mark.parametrize("place", [0.0, 0.02, 1.5, 2.95])
def test_half_a_second_is_left_wherever_the_click_is(place):
    samples = np.zeros(3 * SAMPLE_RATE, np.float32)
    at = round(place * SAMPLE_RATE)
    samples[at : at + 400] = 0.5
    first, last = sound_bounds(samples)
    assert 0 <= first <= at and at + 400 <= last <= len(samples)
    assert last - first >= SHORTEST * SAMPLE_RATE


def test_what_is_left_sounds_as_before():
    samples = clip(1.0, 1.0, 1.0)
    first, last = sound_bounds(samples)
    assert np.array_equal(trim_silence(samples), samples[first:last])
    assert np.square(samples[first:last]).sum() == pytest.approx(np.square(samples).sum(), rel=1e-3)


SECOND = SAMPLE_RATE


def fade(floor_db, *, slope=20.0):
    """A tone of 1 s, then one that falls by 20 dB a second down to a floor, which lasts until 6 s."""
    time = np.arange(6 * SECOND) / SECOND
    level = np.maximum(-slope * np.maximum(time - 1, 0), floor_db)
    return (0.5 * 10 ** (level / 20) * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)


@pytest.mark.parametrize(
    ("floor_db", "cut_db"),
    [
        (-90, -35),  # 35 dB below the loudest
        (-60, -35),
        (-40, -28),  # above the floor by 0.3 of the range
        (-30, -21),
        (-15, -9),  # above the floor by 6 dB
        (-10, -4),
    ],
)
def test_the_level_below_which_a_fading_sound_is_silence(floor_db, cut_db):
    first, last = sound_bounds(fade(floor_db))
    assert first == 0
    window = 0.08  # the last window that sounds ends so much later
    assert last / SECOND == pytest.approx(1 - cut_db / 20 + window / 2, abs=0.04)


@pytest.mark.parametrize(("silent_seconds", "is_found"), [(0.4, False), (0.65, True)])
def test_the_background_is_the_quietest_tenth(silent_seconds, is_found):
    """Of 5 s, 0.4 s are less than a tenth."""
    samples = np.sin(np.arange(5 * SECOND)).astype(np.float32)
    samples[: round(silent_seconds * SECOND)] *= 1e-3
    first, last = sound_bounds(samples)
    assert last == len(samples)
    assert first / SECOND == pytest.approx(silent_seconds if is_found else 0, abs=0.08)


def test_a_click_is_in_the_middle_of_the_half_second_that_is_left():
    samples = np.zeros(3 * SECOND, np.float32)
    samples[SECOND : SECOND + 320] = 0.5
    first, last = sound_bounds(samples)
    assert last - first == SECOND // 2
    assert (first + last) / 2 == pytest.approx(SECOND + 160, abs=320)


@pytest.mark.parametrize("extra", [0, 1, 200, 319])
def test_sound_that_lasts_to_the_end_is_not_cut(extra):
    samples = np.zeros(2 * SECOND + extra, np.float32)
    samples[SECOND:] = np.sin(np.arange(SECOND + extra))
    first, last = sound_bounds(samples)
    assert last == len(samples)
    assert SECOND - 1280 < first <= SECOND
