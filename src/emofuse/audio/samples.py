"""Samples of sound: what counts as usable, and arrays of other libraries brought to mono at 16 kHz."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from emofuse.errors import EmofuseError

SAMPLE_RATE = 16000  # Hz
MIN_SECONDS = 0.1
SILENCE_PEAK = 1e-4  # -80 dB of full scale: three steps of 16-bit audio, so dither alone is silence too
MAX_PEAK = 100.0  # +40 dB: float recordings may overshoot 1, unscaled integers overshoot it far more
MAX_CHANNELS = 64
_CANCELLED = 0.01  # share of the channels' mean power that their average keeps where one is the inverse of another


class AudioError(EmofuseError):
    """A recording, or a segment of it, that cannot be used as audio."""


def check_samples(samples: np.ndarray, source: Path | str) -> None:
    """Check that an array is usable mono audio at 16 kHz; `source` names it in errors.

    Raises:
        AudioError: not one-dimensional floating point, no samples, shorter than 0.1 s, NaN or infinite, beyond 100
            times full scale (unscaled integers), or silent: half of its peak-to-peak is below 1e-4 (-80 dB).
    """
    if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
        raise AudioError(
            f"{source}: these are {samples.dtype} samples of shape {samples.shape}. Expected one channel of "
            "floating-point samples, full scale -1..1."
        )
    if samples.size == 0:
        raise AudioError(f"{source}: it holds no samples. Record it again or leave it out.")
    if samples.size < MIN_SECONDS * SAMPLE_RATE:
        seconds = samples.size / SAMPLE_RATE
        raise AudioError(f"{source}: it is only {seconds:.3f} s long. Expected at least {MIN_SECONDS:g} s of audio.")
    low, high = float(samples.min()), float(samples.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        seconds = int(np.argmin(np.isfinite(samples))) / SAMPLE_RATE
        raise AudioError(
            f"{source}: some samples are NaN or infinite, the first at about {seconds:.2f} s. Write the file again."
        )
    if max(-low, high) > MAX_PEAK:
        raise AudioError(
            f"{source}: its peak is {max(-low, high):.3g}. Expected full scale -1..1: divide int16 samples by 32768."
        )
    if (high - low) / 2 < SILENCE_PEAK:
        raise AudioError(
            f"{source}: it is all silence (its peak is below {SILENCE_PEAK:g} of full scale). Is it the right file?"
        )


def channels_of(samples: Any, sample_rate: int | None) -> np.ndarray:
    """Samples of any library as float32 (n, channels), at the rate that they have.

    Args:
        samples: anything that NumPy reads as an array: (n,), (n, channels) or (channels, n), of floating point (full
            scale -1..1) or integers (full scale of their type; unsigned ones are centred). Of two axes the one of at
            most 64 that is at least ten times shorter than the other is that of the channels.
        sample_rate: of the samples, in Hz.

    Raises:
        AudioError: there is no sample rate, the array has more than two axes, no axis that could be the channels', or
            it does not hold numbers.

    >>> channels_of(np.zeros((2, 16000), np.int16), 16000).shape
    (16000, 2)
    """
    if sample_rate is None:
        raise AudioError("These samples come without their rate. Give sample_rate, in Hz.")
    if isinstance(sample_rate, bool) or not 1000 <= sample_rate <= 1_000_000:
        raise AudioError(f"sample_rate is {sample_rate}. Expected a number of Hz, from 1000 to 1000000.")
    try:
        array = np.asarray(samples)
    except (TypeError, ValueError, RuntimeError) as error:
        raise AudioError(
            f"These samples are not an array ({error}). Give one of numbers, (n,) or (n, channels)."
        ) from error
    if array.ndim not in (1, 2):
        raise AudioError(f"These samples have the shape {array.shape}. Expected (n,), (n, channels) or (channels, n).")
    array = full_scale(array)
    if array.ndim == 1:
        return array[:, None]
    short, long = sorted(array.shape)
    if array.size and (short > MAX_CHANNELS or (short > 1 and long < 10 * short)):
        raise AudioError(
            f"These samples have the shape {array.shape}, so that neither axis can be that of the channels. "
            "Expected (n, channels) or (channels, n)."
        )
    return array.T if array.shape[0] < array.shape[1] else array


def full_scale(samples: np.ndarray) -> np.ndarray:
    """Samples as float32: integers are divided by the full scale of their type, after unsigned ones are centred.

    Raises:
        AudioError: they are neither floating point nor integers.

    >>> full_scale(np.array([0, 64, 128], np.uint8)).tolist()
    [-1.0, -0.5, 0.0]
    """
    if samples.dtype.kind not in "fiu":
        raise AudioError(f"These samples are of type {samples.dtype}. Expected floating point or integers.")
    if samples.dtype.kind == "u":
        half = (np.iinfo(samples.dtype).max + 1) / 2
        samples = (samples.astype(np.float64) - half) / half
    elif samples.dtype.kind == "i":
        samples = samples / (np.iinfo(samples.dtype).max + 1)
    return samples.astype(np.float32)


def channels_cancel(power: float, mixed_power: float) -> bool:
    """True if averaging the channels removes nearly all sound, as where one is the inverse of the other.

    Args:
        power: mean square of the samples of all channels.
        mixed_power: mean square of the average of the channels.

    >>> channels_cancel(0.1, 0.0), channels_cancel(0.1, 0.05), channels_cancel(0.0, 0.0)
    (True, False, False)
    """
    return power > SILENCE_PEAK**2 / 2 and mixed_power < _CANCELLED * power
