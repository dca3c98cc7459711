"""Degrade clips as rooms, noise, telephone lines and codecs do: deterministic functions of samples.

Training draws degradations at random (`emofuse.data.states`); the stress tests apply them one at a time
(`emofuse.stress.sweep`). Functions that need noise take it as an argument. Samples are mono at 16 kHz, float, full
scale -1..1; results may be float64 and may exceed full scale.
"""

from __future__ import annotations

import io
from typing import Any, Literal

import numpy as np
import soundfile
import soxr
from scipy.signal import butter, fftconvolve, sosfilt

from emofuse.audio import SAMPLE_RATE

Samples = np.ndarray

_ENCODERS = {
    "mp3": ("libmp3lame", "mp3", "fltp"),
    "opus": ("libopus", "ogg", "flt"),
}  # FFmpeg's names of codec, container and sample format


def change_speed(samples: Samples, factor: float) -> Samples:
    """Play `factor` times as fast, which shifts pitch and formants; returns about n / factor samples."""
    return soxr.resample(samples, SAMPLE_RATE * factor, SAMPLE_RATE)


def add_reverberation(samples: Samples, white: Samples, *, rt60: float, below: float) -> Samples:
    """Add the reverberation of a room: noise that decays exponentially (Polack 1988).

    Args:
        samples: (n,).
        white: white noise as long as the reverberation, rt60 seconds.
        rt60: time in which the reverberation decays by 60 dB, in seconds.
        below: direct-to-reverberant energy ratio in dB.

    Returns:
        (n,) with unchanged direct sound; the reverberation after the end of the clip is cut off.
    """
    t = np.arange(len(white)) / SAMPLE_RATE
    tail = white * 10 ** (-3 * t / rt60)
    tail *= 10 ** (-below / 20) / np.sqrt(np.square(tail).sum())
    tail[0] += 1
    return fftconvolve(samples, tail)[: len(samples)]


def colour_noise(white: Samples, slope: float, *, flat_below: float = 0.0) -> Samples:
    """Filter white noise (n,) to fall by `slope` times 6 dB per octave: 0 is white, 0.5 pink, 1 brown.

    The spectrum is flat below `flat_below` Hz: without it, half of the power of pink noise would be below 50 Hz, where
    it is inaudible.
    """
    spectrum = np.fft.rfft(white)
    lowest = max(1.0, flat_below * len(white) / SAMPLE_RATE)
    spectrum *= np.maximum(np.arange(len(spectrum)), lowest) ** -slope
    return np.fft.irfft(spectrum, len(white))


def add_noise(samples: Samples, noise: Samples, snr: float) -> Samples:
    """Add noise (n,) at a signal-to-noise ratio in dB, from mean powers over the whole clip, pauses included."""
    ratio = np.sqrt(np.square(samples).mean() / max(np.square(noise).mean(), 1e-20))
    return samples + noise * ratio * 10 ** (-snr / 20)


def band_pass(samples: Samples, low: float, high: float, *, order: int = 2) -> Samples:
    """Apply a Butterworth band-pass from `low` to `high` Hz that falls by `order` times 6 dB per octave outside."""
    return sosfilt(butter(order, (low, high), "bandpass", fs=SAMPLE_RATE, output="sos"), samples)


def limit_peak(samples: Samples) -> Samples:
    """Scale a clip down if its peak exceeds full scale, which codecs do not accept."""
    return samples / max(1.0, float(np.abs(samples).max()))


def apply_mu_law(samples: Samples) -> Samples:
    """Simulate a digital telephone line: mu-law (ITU-T G.711) at 8 kHz, 64 kbit/s; the peak is at most 1."""
    narrow = soxr.resample(samples, SAMPLE_RATE, 8000)
    narrow = apply_file_format(narrow, "WAV", "ULAW", rate=8000)
    return fit_length(soxr.resample(narrow, 8000, SAMPLE_RATE), len(samples))


def apply_codec(samples: Samples, codec: Literal["mp3", "opus"], kbps: float) -> Samples:
    """Encode and decode with MP3 (LAME, constant bit rate) or Opus (variable around the rate); the peak is at most 1.

    `kbps` is at least 8 for MP3 (which uses its nearest rate), at least 6 for Opus.
    """
    import av

    name, container, layout = _ENCODERS[codec]
    whole = fit_length(samples, max(len(samples), SAMPLE_RATE))  # libsndfile 1.2 rejects some Opus files under 1 s
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream: Any = out.add_stream(name, rate=SAMPLE_RATE, layout="mono")
        stream.bit_rate = round(kbps * 1000)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(whole[None], np.float32), layout, "mono")
        frame.sample_rate = SAMPLE_RATE
        for packets in (stream.encode(frame), stream.encode(None)):
            out.mux(packets)
    file.seek(0)
    decoded, rate = soundfile.read(file, dtype="float32")
    return fit_length(soxr.resample(decoded, rate, SAMPLE_RATE), len(samples))


def apply_file_format(samples: Samples, form: str, subtype: str, *, rate: int = SAMPLE_RATE) -> Samples:
    """Write and read a file format with the defaults of libsndfile; the peak is at most 1."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=subtype)
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


def set_peak(samples: Samples, below: float) -> Samples:
    """Scale the peak to `below` dB below full scale."""
    peak = 10 ** (-below / 20)
    return samples * (peak / max(float(np.abs(samples).max()), 1e-9))


def clip(samples: Samples, over: float) -> Samples:
    """Amplify by `over` dB and clip at the previous peak, like a recording that is too loud."""
    peak = float(np.abs(samples).max())
    return np.clip(samples * 10 ** (over / 20), -peak, peak)


def take_middle(samples: Samples, seconds: float) -> Samples:
    """Take the middle of a clip; clips of at most `seconds` are kept whole."""
    n = min(len(samples), round(seconds * SAMPLE_RATE))
    start = (len(samples) - n) // 2
    return samples[start : start + n]


def fit_length(samples: Samples, n: int) -> Samples:
    """Cut a clip to n samples, or pad it with silence."""
    return np.pad(samples[:n], (0, max(0, n - len(samples))))
