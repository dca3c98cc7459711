"""What rooms, noise, lines and codecs do to samples, measured from what comes out."""

import numpy as np
import pytest

from emofuse import degradations

RATE = 16000


def speechlike(seconds=2.0, seed=0):
    """Harmonics of 150 Hz under syllables of noise, with a pause in the middle."""
    time = np.arange(int(seconds * RATE)) / RATE
    rng = np.random.default_rng(seed)
    sound = sum(np.sin(2 * np.pi * 150 * k * time + rng.uniform(0, 6)) / k for k in range(1, 45))
    syllables = np.sin(2 * np.pi * 2 * time) ** 2 * (np.abs(time - seconds / 2) > 0.2)
    return (0.1 * (sound + 0.3 * rng.normal(size=len(time))) * syllables).astype(np.float32)


def power(samples, low, high):
    """Share of the power between two frequencies."""
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    frequency = np.fft.rfftfreq(len(samples), 1 / RATE)
    return spectrum[(frequency >= low) & (frequency < high)].sum() / spectrum.sum()


def white(n, seed=0):
    return np.random.default_rng(seed).normal(size=n)


@pytest.mark.parametrize("snr", [30, 5, 0, -5])
def test_snr_is_the_one_asked_for(snr):
    clip = speechlike()
    added = degradations.add_noise(clip, white(len(clip)) * 7, snr) - clip
    assert 10 * np.log10(np.square(clip).sum() / np.square(added).sum()) == pytest.approx(snr, abs=0.01)


def test_noise_for_silence_is_silence():
    np.testing.assert_array_equal(degradations.add_noise(np.zeros(100), white(100), 0), 0)


@pytest.mark.parametrize("slope, db_an_octave", [(0, 0), (0.5, -3.01), (1, -6.02)])
def test_colour_by_octaves(slope, db_an_octave):
    noise = degradations.colour_noise(white(20 * RATE), slope)
    spectrum = np.abs(np.fft.rfft(noise)) ** 2
    frequency = np.fft.rfftfreq(len(noise), 1 / RATE)
    levels = [
        10 * np.log10(spectrum[(frequency >= f) & (frequency < 2 * f)].mean()) for f in (125, 250, 500, 1000, 2000)
    ]
    np.testing.assert_allclose(np.diff(levels), db_an_octave, atol=0.5)


def test_pink_noise_is_not_below_what_is_heard():
    whole = power(degradations.colour_noise(white(20 * RATE), 0.5), 0, 50)
    assert whole > 0.4 and power(degradations.colour_noise(white(20 * RATE), 0.5, flat_below=50), 0, 50) < 0.2


def schroeder_rt60(response):
    """From the slope of the energy still to come between -5 and -25 dB (Schroeder 1965, ISO 3382: T20)."""
    left = np.cumsum(np.square(response[::-1]))[::-1]
    level = 10 * np.log10(np.maximum(left / left[0], 1e-12))
    fitted = np.flatnonzero((level <= -5) & (level >= -25))
    slope = np.polyfit(fitted / RATE, level[fitted], 1)[0]
    return -60 / slope


@pytest.mark.parametrize("rt60", [0.2, 0.6, 1.2])
@pytest.mark.parametrize("below", [0, 6])
def test_rt60_by_schroeder_decay(rt60, below):
    click = np.eye(1, 2 * RATE)[0]
    found = [
        schroeder_rt60(
            degradations.add_reverberation(click, white(round(rt60 * RATE), seed), rt60=rt60, below=below)[1:]
        )
        for seed in range(5)
    ]
    np.testing.assert_allclose(found, rt60, rtol=0.15)
    assert np.mean(found) == pytest.approx(rt60, rel=0.05)


def test_echo_is_so_much_below_the_direct_sound():
    click = np.eye(1, RATE)[0]
    for below in (0, 10):
        response = degradations.add_reverberation(click, white(RATE // 2), rt60=0.5, below=below)
        echo = np.square(response - np.eye(1, RATE)[0]).sum()
        assert -10 * np.log10(echo) == pytest.approx(below, abs=1e-6)


def test_band_limits_by_spectrum():
    found = degradations.band_pass(white(10 * RATE), 300, 3400, order=4)
    flat = power(found, 600, 2400) / 1800
    for frequency, most in ((300, -2), (3400, -2), (150, -20), (6000, -30), (75, -40)):
        level = 10 * np.log10(power(found, frequency * 0.97, frequency * 1.03) / (frequency * 0.06) / flat)
        assert level < most
    assert 10 * np.log10(power(found, 290, 310) / 20 / flat) == pytest.approx(-3, abs=1)


def test_telephone_keeps_the_lower_half_and_the_time():
    clip = speechlike()
    found = degradations.apply_mu_law(clip)
    assert len(found) == len(clip) and power(found, 4100, 8000) < 1e-4 < power(clip, 4100, 8000)
    below = degradations.band_pass(clip, 200, 3000), degradations.band_pass(found, 200, 3000)
    assert np.corrcoef(*below)[0, 1] > 0.99


@pytest.mark.parametrize("codec, rates", [("mp3", (64, 16, 8)), ("opus", (32, 12, 6))])
@pytest.mark.parametrize("n", [1600, 32000])
def test_codecs_keep_the_time_and_lose_with_the_rate(codec, rates, n):
    clip = speechlike()[:n]
    found = [degradations.apply_codec(clip, codec, kbps) for kbps in rates]
    assert {len(one) for one in found} == {n}
    if n > RATE:
        errors = [np.square(one - clip).sum() / np.square(clip).sum() for one in found]
        assert errors[0] < errors[1] < errors[2] and errors[0] < 0.05


@pytest.mark.slow
def test_codecs_take_clips_of_any_length():
    for n in range(1600, 17000, 157):
        assert len(degradations.apply_codec(speechlike()[:n], "opus", 16)) == n


def test_clipping_cuts_at_the_peak_of_before():
    clip = speechlike()
    found = degradations.clip(clip, 12)
    peak = np.abs(clip).max()
    assert np.abs(found).max() == pytest.approx(peak)
    cut = np.abs(clip) > peak / 10**0.6
    np.testing.assert_allclose(found[~cut], clip[~cut] * 10**0.6, rtol=1e-6)
    np.testing.assert_allclose(np.abs(found[cut]), peak, rtol=1e-6)
    np.testing.assert_array_equal(degradations.clip(clip, 0), clip)


def test_the_middle():
    np.testing.assert_array_equal(degradations.take_middle(np.arange(3 * RATE), 1), np.arange(RATE, 2 * RATE))
    np.testing.assert_array_equal(degradations.take_middle(np.arange(100), 1), np.arange(100))


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_speed_moves_length_and_pitch(factor):
    tone = np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE)
    found = degradations.change_speed(tone, factor)
    assert len(found) == pytest.approx(RATE / factor, abs=1)
    assert np.argmax(np.abs(np.fft.rfft(found, 4 * RATE))) / 4 == pytest.approx(500 * factor, abs=1)


def test_full_scale():
    np.testing.assert_array_equal(degradations.limit_peak(np.array([0.5, -4.0])), [0.125, -1.0])
    np.testing.assert_array_equal(degradations.limit_peak(np.array([0.5, -0.2])), [0.5, -0.2])
    assert np.abs(degradations.set_peak(speechlike(), 20)).max() == pytest.approx(0.1)
