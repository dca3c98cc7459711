"""Recordings in, log-Mel frames out, in NumPy alone: what prediction and training share."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from emofuse.errors import EmofuseError
from emofuse.files import hash_of

SAMPLE_RATE = 16000  # Hz
MIN_SECONDS = 0.1
SILENCE_PEAK = 1e-4  # -80 dB of full scale: three steps of 16-bit audio, so dither alone is silence too
MAX_PEAK = 100.0  # +40 dB: float recordings may overshoot 1, unscaled integers overshoot it far more

_VERSION = 1  # of the computation in log_mel, part of the front end's hash
_FRAMES_AT_ONCE = 128  # what fits the cache of a core; also bounds the memory
_BLOCK = 1 << 16  # decoded samples at once
_UNKNOWN_LENGTH = 0x7F000000  # programs that write WAV to a pipe announce this many bytes or more
# Containers only: FFmpeg's playlists and scripts could make it open other files and addresses.
CONTAINERS = "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,eac3,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,w64,wav,wv"


LOSSLESS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC")
"""Formats whose headers give the exact duration; decoders of the others add or cut some hundredths of a second."""
_TOLERANCE, _TOLERANCE_LOSSY = 0.05, 0.25  # seconds that a segment may end after its recording: tables are rounded


class AudioError(EmofuseError):
    """A recording, or a segment of it, that cannot be used as audio."""


class EndsEarly(AudioError):
    """A recording that ends before a segment of it does.

    Attributes:
        seconds: duration of the recording.
        tolerance: seconds that a segment of it may end later.
    """

    seconds: float
    tolerance: float


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


def read_audio(path: Path | str, *, start: float = 0.0, end: float | None = None) -> np.ndarray:
    """Read a recording, or a segment of it, as mono samples at 16 kHz.

    libsndfile reads what it can (WAV, FLAC, OGG, MP3, AIFF, ...), FFmpeg the rest (M4A, MP4, WebM, ...). Channels
    are averaged; other sample rates are resampled by soxr (HQ). A segment is cut before it is resampled; where
    libsndfile reads the file, the part before the segment is skipped, not decoded.

    Args:
        path: any sample rate, sample format and number of channels.
        start: first second of the segment. NaN, as in a table, is the start of the recording.
        end: last second of the segment. None and NaN are the recording's end; as an allowance for rounding, so is
            what lies up to 0.05 s past it (0.25 s in compressed formats).

    Returns:
        float32, (n,), full scale -1..1.

    Raises:
        AudioError: the file is absent, no file, unreadable, empty, truncated, damaged or no audio; the segment
            ends before it starts, or starts or ends after the recording ends (`EndsEarly`); or what `check_samples`
            raises.
    """
    samples = decode(path, start=start, end=end)
    check_samples(samples, f"{path}{_stretch(start, end)}")
    return samples


def decode(path: Path | str, *, start: float = 0.0, end: float | None = None) -> np.ndarray:
    """As `read_audio`, but what `check_samples` would refuse (silence, a clip that is too short) is given too.

    Raises:
        AudioError: as `read_audio`, but not what `check_samples` raises.
    """
    path = Path(path)
    start = 0.0 if math.isnan(start) else start
    end = math.inf if end is None or math.isnan(end) else end
    if not 0 <= start < end:
        raise AudioError(f"{path}: segment from {start:g} s to {end:g} s. Expected 0 <= start < end, in seconds.")
    _check_file(path)
    return _resampled(_mono_blocks(path, start, end))


def _stretch(start: float, end: float | None) -> str:
    """The segment in words; nothing for a whole recording."""
    if end is not None and math.isfinite(end):
        return f", {start:g} s to {end:g} s"
    return f", from {start:g} s on" if start > 0 else ""


def check_samples(samples: np.ndarray, source: Path | str) -> None:
    """Check that an array is usable mono audio at 16 kHz; `source` names it in errors.

    Raises:
        AudioError: not one-dimensional floating point, no samples, shorter than 0.1 s, NaN or infinite, beyond 100
            times full scale (unscaled integers), or silent: half of its peak-to-peak is below 1e-4 (-80 dB).
    """
    if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
        found = f"{samples.dtype} samples of shape {samples.shape}"
        raise AudioError(f"{source}: {found}. Expected one channel of floating-point samples, full scale -1..1.")
    if samples.size == 0:
        raise AudioError(f"{source}: holds no samples. Record it again or leave it out.")
    if samples.size < MIN_SECONDS * SAMPLE_RATE:
        seconds = samples.size / SAMPLE_RATE
        raise AudioError(f"{source}: only {seconds:.3f} s long. Expected at least {MIN_SECONDS:g} s of audio.")
    low, high = float(samples.min()), float(samples.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        seconds = int(np.argmin(np.isfinite(samples))) / SAMPLE_RATE
        raise AudioError(f"{source}: NaN or infinite samples, first at about {seconds:.2f} s. Write the file again.")
    if max(-low, high) > MAX_PEAK:
        raise AudioError(f"{source}: peak of {max(-low, high):.3g}. Expected full scale -1..1: divide int16 by 32768.")
    if (high - low) / 2 < SILENCE_PEAK:
        raise AudioError(f"{source}: all silence (peak below {SILENCE_PEAK:g} of full scale). Is the right file named?")


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
    """Triangular filters, even on Slaney's mel scale, each of area 1 (Slaney 1998, Auditory Toolbox).

    Returns:
        float32, (n_fft / 2 + 1, n_mels), read-only.
    """
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


def _check_file(path: Path) -> None:
    """Raise AudioError for what can be told without decoding."""
    try:
        if not path.exists():
            raise AudioError(f"{path}: no such file. Check its name and folder.")
        if not path.is_file():
            raise AudioError(f"{path}: is {'a folder' if path.is_dir() else 'no regular file'}. Expected a recording.")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            missing = _missing_from_wav(file, size)
    except OSError as error:
        raise AudioError(f"{path}: cannot be read ({error.strerror or error}). Check its permissions.") from error
    if size == 0:
        raise AudioError(f"{path}: is empty (0 bytes). Copy or record it again.")
    if missing:
        raise AudioError(f"{path}: truncated, {missing}. Copy it again, or cut it to what is there.")


def _missing_from_wav(file: Any, size: int) -> str | None:
    """Say what a WAV file lacks of the audio its header announces; None if nothing, or no WAV file.

    libsndfile reads a truncated file without a word, so its chunks are walked here.
    """
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return None
    bytes_per_second, bytes_per_block = 0, 1
    while len(head := file.read(8)) == 8:
        name, length = struct.unpack("<4sI", head)
        there = size - file.tell()
        if name == b"fmt " and length >= 16 <= there:
            fmt = file.read(16)
            bytes_per_second, bytes_per_block = struct.unpack("<8xIH2x", fmt)
            length -= 16
        if name == b"data":
            if length >= _UNKNOWN_LENGTH or there // max(bytes_per_block, 1) >= length // max(bytes_per_block, 1):
                return None
            if not bytes_per_second:
                return f"{there} of {length} bytes of audio are there"
            return f"{there / bytes_per_second:.2f} s of {length / bytes_per_second:.2f} s of audio are there"
        file.seek(length + length % 2, os.SEEK_CUR)
    return None


def _resampled(blocks: Iterator[tuple[int, np.ndarray]]) -> np.ndarray:
    """Join blocks of (sample rate, mono samples) to float32 (n,) at 16 kHz."""
    import soxr

    parts = [np.empty(0, np.float32)]
    stream = None
    for rate, block in blocks:
        if rate != SAMPLE_RATE and stream is None:
            stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
        parts.append(stream.resample_chunk(block) if stream else block)
    if stream:
        parts.append(stream.resample_chunk(parts[0], last=True))
    return np.concatenate(parts)


def _mono_blocks(path: Path, start: float, end: float) -> Iterator[tuple[int, np.ndarray]]:
    import soundfile

    try:
        sound = soundfile.SoundFile(os.fspath(path))
    except (soundfile.LibsndfileError, TypeError):  # TypeError: soundfile takes the ending .raw for headerless audio
        return _ffmpeg_blocks(path, start, end)
    return _libsndfile_blocks(sound, path, start, end)


def _libsndfile_blocks(sound: Any, path: Path, start: float, end: float) -> Iterator[tuple[int, np.ndarray]]:
    import soundfile

    with sound:
        rate, frames = sound.samplerate, sound.frames
        position = round(start * rate)
        if position >= frames > 0:
            raise _starts_too_late(path, start, frames / rate)
        last = round(end * rate) if math.isfinite(end) else None
        lossless = sound.format in LOSSLESS
        try:
            sound.seek(position)
            while last is None or position < last:
                wanted = _BLOCK if last is None else min(_BLOCK, last - position)
                block = sound.read(wanted, dtype="float32", always_2d=True)  # (frames, channels)
                position += len(block)
                if len(block) == 0:
                    break
                yield rate, block.mean(axis=1)
        except soundfile.LibsndfileError as error:
            raise _damaged(path, position / rate, error) from error
    check_end(path, end, position / rate, lossless=lossless)


def _ffmpeg_blocks(path: Path, start: float, end: float) -> Iterator[tuple[int, np.ndarray]]:
    import av

    position, rate = 0, 0
    try:
        with path.open("rb") as file, av.open(file, "r", options={"format_whitelist": CONTAINERS}) as container:
            if not container.streams.audio:
                raise AudioError(f"{path}: holds no audio stream ({container.format.name}). Expected a recording.")
            to_float = av.AudioResampler(format="fltp")
            for decoded in container.decode(audio=0):
                for frame in to_float.resample(decoded):
                    rate = frame.sample_rate
                    block = frame.to_ndarray().mean(axis=0)  # (channels, frames) -> (frames,)
                    first, last = round(start * rate), round(end * rate) if math.isfinite(end) else None
                    wanted = block[max(first - position, 0) : None if last is None else max(last - position, 0)]
                    position += len(block)
                    if len(wanted):
                        yield rate, wanted
                    if last is not None and position >= last:
                        return
    except (av.FFmpegError, ValueError) as error:
        if position:
            raise _damaged(path, position / rate, error) from error
        raise AudioError(
            f"{path}: no audio that can be decoded. Expected a recording such as WAV, FLAC, OGG, MP3, M4A, MP4 or WebM."
        ) from error
    if position and start * rate >= position:
        raise _starts_too_late(path, start, position / rate)
    if position:
        check_end(path, end, position / rate, lossless=False)


def check_end(path: Path | str, end: float, seconds: float, *, lossless: bool) -> None:
    """Check that a recording of `seconds` is as long as a segment that ends at `end` needs.

    Raises:
        EndsEarly: it is not, beyond what rounded tables and, in compressed formats, different decoders account for.
    """
    tolerance = _TOLERANCE if lossless else _TOLERANCE_LOSSY
    if math.isfinite(end) and end > seconds + tolerance:
        error = EndsEarly(
            f"{path}: segment ends at {end:g} s, but the recording ends at {seconds:.2f} s. Correct the end, or leave "
            "it empty for the end of the recording."
        )
        error.seconds, error.tolerance = seconds, tolerance
        raise error


def _starts_too_late(path: Path, start: float, seconds: float) -> AudioError:
    return AudioError(f"{path}: segment starts at {start:g} s, but the recording ends at {seconds:.2f} s.")


def _damaged(path: Path, seconds: float, error: Exception) -> AudioError:
    return AudioError(
        f"{path}: damaged somewhere after {seconds:.2f} s ({error}). Copy it again, or cut it to what is sound."
    )
