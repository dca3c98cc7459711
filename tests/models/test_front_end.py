"""The torch front end against the NumPy one and torchlibrosa.

Rounding in a float32 transform is relative to the frame's strongest bin. Bands within 60 dB of it agree within
1e-4 dB; in fainter ones (the tail of a window's side lobes) each implementation has its own rounding noise.
"""

import numpy as np
import pytest
import torch

from emofuse.audio import FrontEnd, log_mel
from emofuse.models.cnn import LogMel


def speech_like(n: int, gain: float = 1.0) -> np.ndarray:
    """Harmonics of a gliding pitch under a syllable rhythm, noise 50 dB below: float32, (n,), peak near `gain`."""
    t = np.arange(n) / 16000
    phase = 2 * np.pi * (120 * t + 20 * t**2)
    voiced = sum(np.sin(k * phase) / k for k in range(1, 30))
    rhythm = 0.55 + 0.45 * np.cos(2 * np.pi * 4 * t)
    noise = np.random.default_rng(n).standard_normal(n) * 0.003
    return (gain * (0.4 * voiced * rhythm + noise)).astype(np.float32)


def strongest_bin(samples: np.ndarray) -> np.ndarray:
    """Power of each frame's strongest bin in dB, in float64: (frames, 1)."""
    padded = np.pad(samples.astype(np.float64), 256, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 512)[::160]
    power = np.abs(np.fft.rfft(frames * np.hanning(513)[:-1])) ** 2
    return 10 * np.log10(power.max(axis=1, keepdims=True))


def in_torch(samples: np.ndarray) -> np.ndarray:
    return LogMel()(torch.from_numpy(samples)[None])[0].numpy()


def assert_equal_above_rounding(found: np.ndarray, expected: np.ndarray, samples: np.ndarray) -> None:
    assert found.shape == expected.shape == (1 + samples.size // 160, 64)
    compared = expected > strongest_bin(samples) - 60
    assert compared.mean() > 0.5
    assert np.abs(found - expected)[compared].max() < 1e-4


@pytest.mark.parametrize("n", [1600, 1601, 2399, 16000, 40000, 160001])
@pytest.mark.parametrize("gain", [1.0, 0.05, 1e-3])
def test_equals_numpy(n, gain):
    samples = speech_like(n, gain)
    assert_equal_above_rounding(in_torch(samples), log_mel(samples), samples)


@pytest.mark.parametrize("n", [1600, 1759, 16000, 50000])
@pytest.mark.parametrize("gain", [1.0, 1e-3])
def test_both_equal_torchlibrosa(n, gain):
    stft = pytest.importorskip("torchlibrosa.stft")
    spectrogram = stft.Spectrogram(n_fft=512, hop_length=160, win_length=512, window="hann", pad_mode="reflect")
    log_mel_filters = stft.LogmelFilterBank(
        sr=16000, n_fft=512, n_mels=64, fmin=50, fmax=8000, ref=1.0, amin=1e-10, top_db=None
    )
    samples = speech_like(n, gain)
    with torch.no_grad():
        expected = log_mel_filters(spectrogram(torch.from_numpy(samples)[None]))[0, 0].numpy()
    assert_equal_above_rounding(in_torch(samples), expected, samples)
    assert_equal_above_rounding(log_mel(samples), expected, samples)


def test_noise_is_equal_in_every_band():
    samples = np.random.default_rng(0).standard_normal(48000).astype(np.float32) * 0.1
    np.testing.assert_allclose(in_torch(samples), log_mel(samples), atol=1e-4, rtol=0)


def test_other_parameters():
    front_end = FrontEnd(n_fft=1024, hop=200, n_mels=80, fmin=0.0, fmax=7600.0)
    samples = np.random.default_rng(0).standard_normal(20000).astype(np.float32) * 0.1
    found = LogMel(front_end)(torch.from_numpy(samples)[None])[0].numpy()
    assert found.shape == (101, 80)
    np.testing.assert_allclose(found, log_mel(samples, front_end), atol=1e-4, rtol=0)


def test_batch_is_its_clips():
    clips = np.stack([speech_like(8000), speech_like(8000, 0.1), np.zeros(8000, np.float32)])
    found = LogMel()(torch.from_numpy(clips)).numpy()
    for row, clip in zip(found, clips, strict=True):
        np.testing.assert_allclose(row, in_torch(clip), atol=1e-4)
    np.testing.assert_allclose(found[2], -100, rtol=1e-6)


def test_autocast_does_not_touch_it():
    samples = torch.from_numpy(speech_like(8000))[None]
    plain = LogMel()(samples)
    with torch.autocast("cpu", torch.bfloat16):
        inside = LogMel()(samples)
    assert inside.dtype == torch.float32
    assert torch.equal(plain, inside)


def test_has_no_state_and_passes_gradients():
    module = LogMel()
    assert not module.state_dict() and not list(module.parameters())
    samples = torch.from_numpy(speech_like(8000))[None].requires_grad_()
    module(samples).sum().backward()
    assert samples.grad is not None and torch.isfinite(samples.grad).all() and samples.grad.abs().sum() > 0
