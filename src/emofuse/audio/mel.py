"""Log-Mel spectrograms in NumPy alone, the same in prediction and in training."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from emofuse.audio.samples import SAMPLE_RATE, AudioError
from emofuse.files import hash_of

_VERSION = 1  # of the computation in log_mel, part of the front end's hash
_FRAMES_AT_ONCE = 128  # what fits the cache of a core; also bounds the memory


@dataclass(frozen=True)
class FrontEnd:
    """Parameters of the log-Mel spectrogram. Frequencies in Hz, lengths in samples."""

    sample_rate: int = SAMPLE_RATE
    n_fft: int = 512
    hop: int = 160
    n_mels: int = 64
    fmin: float = 50.0
    fmax: float = 8000.0

    def to_dict(self) -> dict[str, Any]:
        """The parameters by name; `FrontEnd(**parameters)` builds an equal one."""
        return asdict(self)

    @property
    def hash(self) -> str:
        """SHA-256 of the parameters and of the version of the computation."""
        return hash_of({"version": _VERSION, **self.to_dict()})


WHISPER = FrontEnd(n_fft=400, hop=160, n_mels=80, fmin=0.0, fmax=8000.0)
"""The front end of Whisper (but large-v3, which has 128 bands); see `whisper_log_mel`."""
WHISPER_SECONDS = 30.0
"""The longest clip that Whisper was trained on; what frozen speech encoders hear of a longer one."""


def log_mel(samples: np.ndarray, front_end: FrontEnd = FrontEnd()) -> np.ndarray:
    """Log-Mel spectrogram in dB: 10 log10(max(power, 1e-10)), without a floor below the maximum.

    Power spectrum of periodic Hann windows centred on every `hop`-th sample, with reflected ends, times the
    filter bank of `mel_filter_bank`; the same as torchlibrosa's (Kong et al. 2020, PANNs) and `models.front_end`.

    Args:
        samples: (n,), full scale -1..1, at the front end's sample rate; n > n_fft / 2.
        front_end: parameters.

    Returns:
        float32, (frames, n_mels), frames = 1 + n // hop.

    Raises:
        AudioError: the samples are not one-dimensional or too few to reflect.

    >>> log_mel(np.zeros(1600, np.float32)).shape
    (11, 64)
    """
    half = front_end.n_fft // 2
    if samples.ndim != 1 or samples.size <= half:
        raise AudioError(f"samples of shape {samples.shape}: the log-Mel spectrogram needs one channel of over {half}.")
    padded = np.pad(np.asarray(samples, np.float32), half, mode="reflect")
    views = np.lib.stride_tricks.sliding_window_view(padded, front_end.n_fft)[:: front_end.hop]  # (frames, n_fft)
    window, bands = hann_window(front_end.n_fft), _bands(front_end)

    # Buffers are used again for every chunk: fresh memory would cost as much as the transform.
    rows = min(_FRAMES_AT_ONCE, len(views))
    windowed = np.empty((rows, front_end.n_fft), np.float32)
    spectrum: Any = np.empty((rows, half + 1), np.complex64)  # NumPy's annotations know complex128 only
    power, square = np.empty((2, rows, half + 1), np.float32)
    mel = np.empty((len(views), front_end.n_mels), np.float32)
    for first in range(0, len(views), rows):
        n = min(rows, len(views) - first)
        np.multiply(views[first : first + n], window, out=windowed[:n])
        np.fft.rfft(windowed[:n], out=spectrum[:n])
        np.square(spectrum[:n].real, out=power[:n])
        np.square(spectrum[:n].imag, out=square[:n])
        power[:n] += square[:n]
        for mels, bins, filters in bands:
            np.matmul(power[:n, bins], filters, out=mel[first : first + n, mels])
    np.maximum(mel, 1e-10, out=mel)
    np.log10(mel, out=mel)
    mel *= 10
    return mel


def whisper_log_mel(samples: np.ndarray) -> np.ndarray:
    """Whisper's log-Mel of a clip that is not padded to 30 s (Radford et al. 2022, arXiv 2212.04356).

    Args:
        samples: (n,), full scale -1..1, 16 kHz; n > 200.

    Returns:
        float32, (80, frames), about -1..1, 100 frames a second.

    Raises:
        AudioError: as `log_mel`.

    >>> whisper_log_mel(np.zeros(16000, np.float32)).shape
    (80, 100)
    """
    power = log_mel(samples, WHISPER)[: max(len(samples) // WHISPER.hop, 2)] / 10  # (frames, 80), log10
    power = np.maximum(power, power.max() - 8)
    return np.ascontiguousarray(((power + 4) / 4).T)


@lru_cache(maxsize=8)
def hann_window(length: int) -> np.ndarray:
    """Periodic Hann window: float32, (length,), read-only."""
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)
    window.flags.writeable = False
    return window


@lru_cache(maxsize=8)
def mel_filter_bank(front_end: FrontEnd) -> np.ndarray:
    """Triangular filters, even on Slaney's mel scale, each of area 1 (Slaney 1998): (n_fft / 2 + 1, n_mels)."""
    bins = np.linspace(0, front_end.sample_rate / 2, front_end.n_fft // 2 + 1)
    low, high = _hz_to_mel(front_end.fmin), _hz_to_mel(front_end.fmax)
    edges = _mel_to_hz(np.linspace(low, high, front_end.n_mels + 2))
    rising = (bins[:, None] - edges[:-2]) / np.diff(edges)[:-1]  # (bins, mels)
    falling = (edges[2:] - bins[:, None]) / np.diff(edges)[1:]
    bank = np.maximum(0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])
    bank = bank.astype(np.float32)
    bank.flags.writeable = False
    return bank


@lru_cache(maxsize=8)
def _bands(front_end: FrontEnd) -> list[tuple[slice, slice, np.ndarray]]:
    """The filter bank as blocks of 16 filters with the bins they cover: (mels, bins, filters).

    Most of the bank is zero. And products this small stay in one thread, where on a busy machine BLAS threads would
    wait for each other far longer than the product takes.
    """
    bank = mel_filter_bank(front_end)
    blocks = []
    for first in range(0, front_end.n_mels, 16):
        mels = slice(first, first + 16)
        used = np.flatnonzero(bank[:, mels].any(axis=1))
        bins = slice(used[0], used[-1] + 1) if used.size else slice(0, 1)
        blocks.append((mels, bins, np.ascontiguousarray(bank[bins, mels])))
    return blocks


# Slaney's scale: linear up to 1000 Hz (15 mel), then logarithmic with 27 steps for a factor of 6.4.
_LOG_STEP = math.log(6.4) / 27


def _hz_to_mel(hz: float) -> float:
    return hz * 3 / 200 if hz < 1000 else 15 + math.log(hz / 1000) / _LOG_STEP


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(_LOG_STEP * (mel - 15)))
