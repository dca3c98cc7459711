"""Recordings in: mono samples at 16 kHz, or channel by channel, from files, bytes and file objects."""

from __future__ import annotations

import io
import logging
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from emofuse.audio.decoders import LOSSLESS, Block, Note, decode_part, seconds_by_ffmpeg
from emofuse.audio.parts import Part, parts_of
from emofuse.audio.samples import SAMPLE_RATE, AudioError, channels_cancel, channels_of, check_samples

Source = Path | str | bytes | BinaryIO
"""A recording: its path, its bytes, or an open binary file."""

_TOLERANCE, _TOLERANCE_LOSSY = 0.05, 0.25  # seconds that a segment may end after its recording: tables are rounded
_LOST = ("truncated", "damaged")

log = logging.getLogger("emofuse")


class EndsEarly(AudioError):
    """A recording that ends before a segment of it does.

    Attributes:
        seconds: duration of the recording.
        tolerance: seconds that a segment of it may end later.
    """

    seconds: float
    tolerance: float


def read_audio(path: Path | str, *, start: float = 0.0, end: float | None = None) -> np.ndarray:
    """Read a recording, or a segment of it, as mono samples at 16 kHz; all of it must be sound.

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
        AudioError: the file is absent, not a file, unreadable, empty, truncated, damaged or not audio; the segment
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
    samples, notes = read_recording(path, start=start, end=end)
    for note in notes:
        if note.kind in _LOST:
            raise AudioError(f"{path}: {note.message}. Copy it again, or cut it to what can be decoded.")
    return samples


def read_recording(
    source: Source,
    *,
    start: float = 0.0,
    end: float | None = None,
    channel: int | None = None,
    track: int | None = None,
) -> tuple[np.ndarray, list[Note]]:
    """Read what can be decoded of a recording as mono samples at 16 kHz, at the times of the recording.

    Sound that cannot be decoded is replaced by silence where the file says how long it is, and is left out otherwise.

    Args:
        source: path, bytes or an open binary file.
        start: first second that is wanted.
        end: last second that is wanted; None for the recording's end.
        channel: number of the channel, from 1; None for the average of all, or the first where they cancel each other.
        track: number of the audio track, from 1; None for the first.

    Returns:
        Samples, float32 (n,), full scale -1..1; and what should be known of the reading.

    Raises:
        AudioError: as `decode`, but for truncated and damaged files; or there is no such channel or track.
    """
    notes: list[Note] = []
    blocks, energies = [np.empty(0, np.float32)], np.zeros(2)
    name = name_of(source)

    def mix(samples: np.ndarray) -> np.ndarray:
        if channel is not None:
            if not 1 <= channel <= samples.shape[1]:
                raise AudioError(f"{name}: there is no channel {channel}, only 1 to {samples.shape[1]}.")
            return samples[:, channel - 1 : channel]
        mixed = samples.mean(axis=1, keepdims=True)
        if samples.shape[1] > 1:
            energies[:] += np.square(samples).sum() / samples.shape[1], np.square(mixed).sum()
        return mixed

    for block in stream_audio(source, start=start, end=end, track=track, tell=notes.append, mix=mix):
        blocks.append(block[:, 0])
    mono = np.concatenate(blocks)
    if channels_cancel(*energies / max(len(mono), 1)):
        samples, notes = read_recording(source, start=start, end=end, channel=1, track=track)
        notes.append(Note("channels", "its channels cancel each other, so that channel 1 was taken alone"))
        return samples, notes
    return mono, notes


def stream_audio(
    source: Source,
    *,
    start: float = 0.0,
    end: float | None = None,
    track: int | None = None,
    tell: Callable[[Note], None] = lambda note: None,
    mix: Callable[[np.ndarray], np.ndarray] = lambda samples: samples,
) -> Iterator[np.ndarray]:
    """Decode a recording block by block, at 16 kHz, at the times of the recording.

    Args:
        source: as for `read_recording`, as are `start`, `end` and `track`.
        start: first second that is wanted.
        end: last second that is wanted.
        track: of the file.
        tell: takes what should be known of the reading, as soon as it shows.
        mix: from the channels of the recording (n, channels) to those that are wanted (n, wanted), before resampling.

    Yields:
        float32 (n, channels), all with as many channels.

    Raises:
        AudioError: as `read_recording`.
    """
    name = name_of(source)
    start = 0.0 if math.isnan(start) else start
    end = math.inf if end is None or math.isnan(end) else end
    if not 0 <= start < end:
        raise AudioError(f"{name}: the segment is {start:g} s to {end:g} s. Expected 0 <= start < end, in seconds.")
    with _opened(source, name) as file:
        try:
            yield from _resampled(_cut(_blocks(file, source, start, end, track, tell), start, end, name), mix)
        except OSError as error:
            raise AudioError(f"{name}: reading it failed ({error.strerror or error}). Is it still there?") from error


def stream_samples(
    samples: Any,
    sample_rate: int | None,
    *,
    start: float = 0.0,
    end: float | None = None,
    mix: Callable[[np.ndarray], np.ndarray] = lambda samples: samples,
) -> Iterator[np.ndarray]:
    """Blocks of samples that another library read, at 16 kHz, as `stream_audio` gives them of a file.

    Raises:
        AudioError: as `channels_of`, or the segment ends before it starts.
    """
    if not 0 <= start < (math.inf if end is None else end):
        raise AudioError(f"The segment is {start} s to {end} s. Expected 0 <= start < end, in seconds.")
    channels = channels_of(samples, sample_rate)
    assert sample_rate is not None  # or `channels_of` had refused it
    channels = channels[round(start * sample_rate) : None if end is None else round(end * sample_rate)]
    size = 60 * sample_rate
    blocks = ((sample_rate, channels[first : first + size]) for first in range(0, len(channels), size))
    return _resampled(blocks, mix)


def ends_before(path: Path | str, seconds: float) -> EndsEarly | None:
    """The error of a segment that lasts until `seconds`, if the recording ends before, beyond the tolerance.

    Only headers are read, unless that of a compressed format says that the recording is too short, or several
    recordings are joined in one file: then the file is decoded.

    Args:
        path: recording. None is returned for one that cannot be read: other checks name it.
        seconds: where the segment ends, of the recording.
    """
    header, exact = _header_seconds(Path(path))
    if header is not None and header >= seconds:
        return None
    try:
        if header is not None and exact:
            _check_end(path, seconds, header, lossless=True)
        else:
            decode(path, end=seconds)
    except EndsEarly as error:
        return error
    except AudioError:
        return None
    return None


def name_of(source: Source) -> str:
    """What errors call a recording: its path, or that it came as bytes or a file object."""
    if isinstance(source, (str, Path)):
        return os.fsencode(source).decode("utf-8", "backslashreplace")
    if isinstance(source, bytes):
        return f"{len(source)} bytes"
    named = getattr(source, "name", None)
    return named if isinstance(named, str) else "file object"


@contextmanager
def _opened(source: Source, name: str) -> Iterator[BinaryIO]:
    """An open, seekable file."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield _filled(io.BytesIO(source), name)
    elif isinstance(source, (str, Path)):
        path = Path(source)
        try:
            if not path.exists():
                raise AudioError(f"{name}: there is no such file. Check its name and folder.")
            if not path.is_file():
                kind = "a folder" if path.is_dir() else "not a regular file"
                raise AudioError(f"{name}: it is {kind}. Expected a recording.")
            file = path.open("rb")
        except OSError as error:
            message = f"{name}: it cannot be read ({error.strerror or error}). Check its permissions."
            raise AudioError(message) from error
        with file:
            yield _filled(file, name)
    elif callable(getattr(source, "read", None)):
        seekable = source if getattr(source, "seekable", bool)() else io.BytesIO(source.read())
        yield _filled(seekable, name)
    else:
        raise AudioError(
            f"A recording cannot be read from a {type(source).__name__}. Give a path, bytes, an open binary file, or "
            "an array of samples."
        )


def _filled(file: BinaryIO, name: str) -> BinaryIO:
    if file.seek(0, io.SEEK_END) == 0:
        raise AudioError(f"{name}: it is empty (0 bytes). Copy or record it again.")
    file.seek(0)
    return file


def _blocks(
    file: BinaryIO, source: Source, start: float, end: float, track: int | None, tell: Callable[[Note], None]
) -> Iterator[tuple[float, bool, Block]]:
    """Blocks of all parts, each with the second at which its part starts and whether its format is lossless."""
    name, origin = name_of(source), 0.0
    parts = parts_of(file)
    if len(parts) > 1:
        tell(Note("joined", f"it holds {len(parts)} recordings, one after another, all of which were read"))
    for number, part in enumerate(parts):
        path = Path(source) if part.whole and isinstance(source, (str, Path)) else None
        seconds, lossless = 0.0, _is_lossless(part)

        def tell_later(note: Note, origin: float = origin) -> None:
            shifted = [None if time is None else time + origin for time in (note.start, note.end)]
            tell(replace(note, start=shifted[0], end=shifted[1]))

        skip = start if len(parts) == 1 else 0.0
        try:
            for block in decode_part(part, path, start=skip, end=end - origin, track=track, tell=tell_later):
                seconds = (block.first + len(block.samples)) / block.rate
                yield origin, lossless, block
                if origin + seconds >= end:
                    return
        except AudioError as error:
            if number == 0:
                raise AudioError(f"{name}: {error}") from error
            tell_later(Note("truncated", f"it goes on after {origin:.2f} s with something that cannot be decoded"))
            return
        origin += seconds


def _is_lossless(part: Part) -> bool:
    part.view.seek(0)
    return part.view.read(4) in (b"RIFF", b"RF64", b"riff", b"FORM", b"fLaC", b".snd", b"caff")


def _cut(
    blocks: Iterator[tuple[float, bool, Block]], start: float, end: float, name: str
) -> Iterator[tuple[int, np.ndarray]]:
    """(rate, samples) from `start` to `end`."""
    seconds, lossless, given = 0.0, True, False
    for origin, lossless, (rate, number, samples) in blocks:  # noqa: B007
        first = max(round((start - origin) * rate) - number, 0)
        last = len(samples) if math.isinf(end) else max(round((end - origin) * rate) - number, 0)
        seconds = origin + (number + len(samples)) / rate
        if len(wanted := samples[first:last]):
            given = True
            yield rate, wanted
    if start > 0 and not given:
        raise AudioError(f"{name}: the segment starts at {start:g} s, but the recording ends at {seconds:.2f} s.")
    if seconds:
        _check_end(name, end, seconds, lossless=lossless)


def _check_end(name: Path | str, end: float, seconds: float, *, lossless: bool) -> None:
    """Check that a recording of `seconds` is as long as a segment that ends at `end` needs.

    Raises:
        EndsEarly: it is not, beyond what rounded tables and, in compressed formats, different decoders account for.
    """
    tolerance = _TOLERANCE if lossless else _TOLERANCE_LOSSY
    if math.isfinite(end) and end > seconds + tolerance:
        error = EndsEarly(
            f"{name}: the segment ends at {end:g} s, but the recording ends at {seconds:.2f} s. Correct the end, or "
            "leave it empty for the end of the recording."
        )
        error.seconds, error.tolerance = seconds, tolerance
        raise error


def header_seconds(path: Path) -> float | None:
    """Duration of a recording as its header says; None if it does not, or cannot be read."""
    try:
        return _header_seconds(path)[0] if path.is_file() else None
    except (AudioError, OSError):
        return None


def _header_seconds(path: Path) -> tuple[float | None, bool]:
    """Duration by the header, None if it has none or several; and whether it is exact."""
    import soundfile

    try:
        with path.open("rb") as file:
            parts = parts_of(file)
            if len(parts) != 1:
                return None, False
            view = parts[0].view
            try:
                info = soundfile.info(str(path) if parts[0].whole else view)
            except (soundfile.SoundFileError, TypeError, UnicodeEncodeError):
                return seconds_by_ffmpeg(view), False
            return (info.frames / info.samplerate if info.frames > 0 else None), info.format in LOSSLESS
    except OSError:
        return None, False


def _resampled(
    blocks: Iterator[tuple[int, np.ndarray]], mix: Callable[[np.ndarray], np.ndarray]
) -> Iterator[np.ndarray]:
    """Blocks at 16 kHz, all with the number of channels of the first."""
    import soxr

    stream: Any = None
    channels = current = 0
    for rate, samples in blocks:
        channels = channels or samples.shape[1]
        if samples.shape[1] != channels:  # as in joined files
            samples = samples.mean(axis=1, keepdims=True).repeat(channels, axis=1)
        samples = mix(samples)
        if rate != current:
            if stream is not None:
                yield stream.resample_chunk(samples[:0], last=True)
            stream = None
            if rate != SAMPLE_RATE:
                stream = soxr.ResampleStream(rate, SAMPLE_RATE, samples.shape[1], dtype="float32", quality="HQ")
            current = rate
        yield samples if stream is None else stream.resample_chunk(np.ascontiguousarray(samples))
    if stream is not None:
        yield stream.resample_chunk(samples[:0], last=True)


def _stretch(start: float, end: float | None) -> str:
    """The segment in words; nothing for a whole recording."""
    if end is not None and math.isfinite(end):
        return f", {start:g} s to {end:g} s"
    return f", from {start:g} s on" if start > 0 else ""
