from functools import cache

import numpy as np
import pytest

from emofuse.audio.channels import MAX_SECONDS, ChannelComparison, mute_crosstalk

RATE = 16000


@cache
def syllables(seconds, *, seed):
    """Harmonics in bursts of 0.1 to 0.3 s with vowels and loudness of their own, and pauses: the levels of speech."""
    rng = np.random.default_rng(seed)
    samples = np.zeros(round(seconds * RATE))
    at = 0
    while at < len(samples):
        n = min(round(rng.uniform(0.1, 0.3) * RATE), len(samples) - at)
        time = np.arange(n) / RATE
        pitch = rng.uniform(110, 130)
        tones = [rng.uniform(0.1, 1) * np.sin(2 * np.pi * k * pitch * time) for k in range(1, 10)]
        samples[at : at + n] = np.sum(tones, axis=0) * np.hanning(n) * rng.uniform(0.01, 0.1)
        at += n + round(rng.choice([0.02, 0.05, 0.4]) * RATE)
    return samples


@cache
def dialogue(seconds=60.0, *, overlap=0.0, seed=0):
    """Two people who speak in turns of 1 to 5 s: (n, 2), a person a channel."""
    rng = np.random.default_rng(seed)
    tracks = np.stack([syllables(seconds, seed=2 * seed), syllables(seconds, seed=2 * seed + 1)], axis=1)
    speaks = np.zeros(tracks.shape, bool)
    at, person = 0.0, 0
    while at < seconds:
        end = at + rng.uniform(1, 5)
        speaks[round(at * RATE) : round((end + overlap) * RATE), person] = True
        at, person = end, 1 - person
    return tracks * speaks


def noise(samples, level, *, seed=9):
    return samples + level * np.random.default_rng(seed).normal(size=samples.shape)


def in_room(samples, *, seed=7):
    """With reverberation that differs by channel, 6 dB below the direct sound."""
    rng = np.random.default_rng(seed)
    n = round(0.4 * RATE)
    result = np.empty_like(samples)
    for channel in range(2):
        tail = rng.normal(size=n) * 10 ** (-3 * np.arange(n) / n)
        tail *= 10 ** (-6 / 20) / np.sqrt(np.square(tail).sum())
        tail[0] += 1
        size = len(samples) + n
        spectrum = np.fft.rfft(samples[:, channel], size) * np.fft.rfft(tail, size)
        result[:, channel] = np.fft.irfft(spectrum, size)[: len(samples)]
    return result


def panned(voices, share):
    """Each voice with a share of its amplitude in the one channel and the rest in the other."""
    return voices @ np.array([[share, 1 - share], [1 - share, share]])


def one_scene(gain=1.0, delay=0):
    mono = dialogue().sum(axis=1)
    return np.stack([mono, gain * np.roll(mono, delay)], axis=1)


def with_music(voice):
    """A voice in the middle over tones that come now from the left and now from the right, 12 dB below it."""
    music = dialogue(len(voice) / RATE, seed=5)
    music *= 0.25 * np.sqrt(np.square(voice).mean() / np.square(music).mean())
    return voice[:, None] + music


def mute(samples, channel, first, last, level=0.0):
    samples = samples.copy()
    part = samples[round(first * RATE) : round(last * RATE), channel]
    part[:] = level * np.random.default_rng(3).normal(size=len(part))
    return samples


CASES = {
    "a person a channel": (dialogue, "different"),
    "with overlap": (lambda: dialogue(overlap=1.5), "different"),
    "one person is 20 dB louder": (lambda: dialogue() * [1, 0.1], "different"),
    "crosstalk at -20 dB": (lambda: dialogue() @ np.array([[1, 0.1], [0.1, 1]]), "different"),
    "room noise in both": (lambda: noise(dialogue(), 0.005), "different"),
    "different noise in both": (lambda: noise(dialogue(), np.array([0.01, 0.0001])), "different"),
    "a constant offset": (lambda: dialogue() + np.array([0.2, 0]), "different"),
    "one is digitally silent at first": (lambda: mute(dialogue(), 1, 0, 50), "different"),
    "one has only noise at first": (lambda: noise(mute(dialogue(), 1, 0, 50), 0.001), "different"),
    "identical": (one_scene, "same"),
    "a level difference": (lambda: one_scene(gain=0.2), "same"),
    "a delay": (lambda: one_scene(delay=14), "same"),
    "two microphones in a room": (lambda: in_room(one_scene(gain=0.7, delay=14)), "same"),
    "two microphones in a noisy room": (lambda: noise(in_room(one_scene(delay=14)), 0.005), "same"),
    "stereo music under one voice": (lambda: with_music(syllables(60, seed=4)), "same"),
    "partly panned": (lambda: panned(dialogue(), 0.7), "same"),
    "nothing": (lambda: np.zeros((60 * RATE, 2)), "same"),
    "noise": (lambda: noise(np.zeros((60 * RATE, 2)), 0.01), "same"),
    "inverted": (lambda: one_scene(gain=-1.0), "cancel"),
    "one is empty": (lambda: mute(dialogue(), 1, 0, 60), "one silent"),
    "one has only noise": (lambda: noise(mute(dialogue(), 0, 0, 60), 0.001), "one silent"),
    "one has a click": (lambda: mute(mute(dialogue(), 1, 0, 60), 1, 3, 3.01, 0.3), "one silent"),
}


@pytest.mark.parametrize("case", CASES)
def test_channels_are_told_apart(case):
    compose, verdict = CASES[case]
    comparison = ChannelComparison()
    comparison.add(compose().astype(np.float32))
    assert comparison.verdict == verdict


def test_blocks_of_any_size_give_the_same_verdict_and_levels():
    samples = noise(dialogue(10), 0.001).astype(np.float32)
    whole, parts = ChannelComparison(), ChannelComparison()
    whole.add(samples)
    for block in np.split(samples, [0, 1, 700, 5000, 5001, 90000, 120007]):
        parts.add(block)
    assert parts.verdict == whole.verdict == "different"
    np.testing.assert_allclose(np.concatenate(parts._levels), np.concatenate(whole._levels))


def test_only_the_first_ten_minutes_are_compared():
    comparison = ChannelComparison()
    block = dialogue(30).astype(np.float32)
    for _ in range(int(MAX_SECONDS / 30) - 1):
        comparison.add(block)
    assert not comparison.complete
    comparison.add(np.concatenate([block, block]))
    assert comparison.complete
    comparison.add(block)
    assert sum(map(len, comparison._levels)) == MAX_SECONDS * 10


def test_nothing_was_added():
    assert ChannelComparison().verdict == "same"


@pytest.mark.parametrize("shape", [(100,), (100, 1), (100, 3)])
def test_two_channels_are_needed(shape):
    with pytest.raises(ValueError, match="100"):
        ChannelComparison().add(np.zeros(shape, np.float32))


def power(samples):
    return np.square(samples.astype(np.float64)).mean(axis=0)


@pytest.mark.parametrize("decibels", [-40, -30, -20, -16])
@pytest.mark.parametrize("delay", [0, 0.15])
def test_crosstalk_is_muted_and_speech_is_not(decibels, delay):
    voices = dialogue(20) * np.array([1, 0.3])
    leak = 10 ** (decibels / 20) * np.roll(voices[:, ::-1], round(delay * RATE), axis=0)
    recording = (voices + leak * np.array([1 / 0.3, 0.3])).astype(np.float32)
    comparison = ChannelComparison()
    comparison.add(recording)
    muted = np.concatenate(list(mute_crosstalk(np.array_split(recording, 7), comparison)))
    assert muted.shape == recording.shape and muted.dtype == np.float32
    for person in range(2):
        own, other = (np.abs(voices) > 0.01 * np.abs(voices).max(axis=0))[:, [person, 1 - person]].T
        channel = np.stack([recording[:, person], muted[:, person]], axis=1)
        before, after = power(channel[own])
        assert after == pytest.approx(before, rel=0.01)
        before, after = power(channel[other & ~own])
        assert after < 0.1 * before


def test_speech_in_noise_and_simultaneous_speech_is_not_muted():
    recording = noise(dialogue(20, overlap=1.5), np.array([0.01, 0.0001])).astype(np.float32)
    comparison = ChannelComparison()
    comparison.add(recording)
    muted = np.concatenate(list(mute_crosstalk([recording], comparison)))
    np.testing.assert_allclose(power(muted), power(recording), rtol=0.05)


@pytest.mark.parametrize("size", [0, 1, 1599, 1600, 4800, 4801, 16000])
def test_muting_keeps_every_sample(size):
    comparison = ChannelComparison()
    comparison.add(dialogue(20).astype(np.float32))
    samples = dialogue(20)[:size].astype(np.float32)
    for blocks in ([samples], np.array_split(samples, 3)):
        muted = list(mute_crosstalk(blocks, comparison))
        assert sum(map(len, muted)) == size


def test_muting_does_not_depend_on_the_blocks():
    samples = (dialogue(20) @ np.array([[1, 0.1], [0.1, 1]])).astype(np.float32)
    comparison = ChannelComparison()
    comparison.add(samples)
    whole = np.concatenate(list(mute_crosstalk([samples], comparison)))
    parts = np.concatenate(list(mute_crosstalk(np.split(samples, [100, 5000, 5001, 90000]), comparison)))
    np.testing.assert_allclose(parts, whole, atol=1e-6)
