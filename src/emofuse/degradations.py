"""What rooms, noises, lines and codecs do to a clip: plain functions of its samples, without chance of their own.

Training varies clips by them at random (`emofuse.data.effects`); the stress tests set them one at a time
(`emofuse.stress.sweep`). Where a function needs noise, it is given some. Samples are mono at 16 kHz, float, full
scale -1..1; what comes out may be float64 and may go past full scale.
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

_ENCODERS = {"mp3": ("libmp3lame", "mp3", "fltp"), "opus": ("libopus", "ogg", "flt")}  # FFmpeg's codec, format, samples


def at_speed(samples: Samples, factor: float) -> Samples:
    """Played `factor` times as fast: pitch and formants move as they do between voices; (about n / factor,)."""
    return soxr.resample(samples, SAMPLE_RATE * factor, SAMPLE_RATE)


def in_room(samples: Samples, white: Samples, *, rt60: float, below: float) -> Samples:
    """With the echo of a room: noise that decays exponentially (Polack 1988), cut off where it has fallen by 60 dB.

    Args:
        samples: (n,).
        white: white noise, (rt60 seconds,).
        rt60: seconds in which the echo decays by 60 dB.
        below: energy of the echo below that of the direct sound, in dB (the direct-to-reverberant ratio).

    Returns:
        (n,), the direct sound as it was; what rings on after the clip is cut off.
    """
    t = np.arange(len(white)) / SAMPLE_RATE
    tail = white * 10 ** (-3 * t / rt60)
    tail *= 10 ** (-below / 20) / np.sqrt(np.square(tail).sum())
    tail[0] += 1
    return fftconvolve(samples, tail)[: len(samples)]


def coloured(white: Samples, slope: float, *, flat_below: float = 0.0) -> Samples:
    """White noise (n,) made to fall by `slope` times 6 dB an octave in power: 0 white, 0.5 pink, 1 brown.

    Args:
        white: white noise, (n,).
        slope: of the amplitude, 0 or more.
        flat_below: in Hz; half of pink noise would lie below 50 Hz, where nobody hears it.
    """
    spectrum = np.fft.rfft(white)
    lowest = max(1.0, flat_below * len(white) / SAMPLE_RATE)
    spectrum *= np.maximum(np.arange(len(spectrum)), lowest) ** -slope
    return np.fft.irfft(spectrum, len(white))


def with_noise(samples: Samples, noise: Samples, snr: float) -> Samples:
    """With noise (n,) whose mean power over the clip is `snr` dB below that of the clip, its pauses counted."""
    ratio = np.sqrt(np.square(samples).mean() / max(np.square(noise).mean(), 1e-20))
    return samples + noise * ratio * 10 ** (-snr / 20)


def in_band(samples: Samples, low: float, high: float, *, order: int = 2) -> Samples:
    """Through a Butterworth band-pass from `low` to `high` Hz, which falls by `order` times 6 dB an octave outside."""
    return sosfilt(butter(order, (low, high), "bandpass", fs=SAMPLE_RATE, output="sos"), samples)


def within_full_scale(samples: Samples) -> Samples:
    """Made quieter if its peak is past full scale: what a codec does not take."""
    return samples / max(1.0, float(np.abs(samples).max()))


def through_mu_law(samples: Samples) -> Samples:
    """Through a digital telephone line: mu-law (ITU-T G.711) at 8 kHz, 64 kbit/s; peak at most 1."""
    narrow = soxr.resample(samples, SAMPLE_RATE, 8000)
    narrow = through_file(narrow, "WAV", "ULAW", rate=8000)
    return fitted(soxr.resample(narrow, 8000, SAMPLE_RATE), len(samples))


def through_codec(samples: Samples, codec: Literal["mp3", "opus"], kbps: float) -> Samples:
    """Through MP3 (LAME, constant bit rate) or Opus (for audio, variable around the rate) and back; peak at most 1.

    Args:
        samples: (n,).
        codec: which.
        kbps: kbit/s; MP3 takes the nearest of its own rates, from 8 up; Opus from 6 up.
    """
    import av

    name, container, layout = _ENCODERS[codec]
    whole = fitted(samples, max(len(samples), SAMPLE_RATE))  # libsndfile 1.2 calls some Opus files under 1 s malformed
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
    return fitted(soxr.resample(decoded, rate, SAMPLE_RATE), len(samples))


def through_file(samples: Samples, form: str, subtype: str, *, rate: int = SAMPLE_RATE) -> Samples:
    """Written as libsndfile writes a format by default, and read again; peak at most 1."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=subtype)
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


def at_peak(samples: Samples, below: float) -> Samples:
    """With a peak of `below` dB below full scale."""
    peak = 10 ** (-below / 20)
    return samples * (peak / max(float(np.abs(samples).max()), 1e-9))


def clipped(samples: Samples, over: float) -> Samples:
    """Recorded `over` dB too loud: made so much louder, and cut at the peak of before."""
    peak = float(np.abs(samples).max())
    return np.clip(samples * 10 ** (over / 20), -peak, peak)


def middle(samples: Samples, seconds: float) -> Samples:
    """The middle of a clip, of so many seconds; a shorter one as it is."""
    n = min(len(samples), round(seconds * SAMPLE_RATE))
    start = (len(samples) - n) // 2
    return samples[start : start + n]


def fitted(samples: Samples, n: int) -> Samples:
    """The first n samples, with silence after them where there are fewer."""
    return np.pad(samples[:n], (0, max(0, n - len(samples))))
