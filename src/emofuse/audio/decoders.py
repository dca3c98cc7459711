"""Decoders: blocks of samples of one part of a file, at times of the recording.

libsndfile reads what it can (WAV, FLAC, OGG, MP3, AIFF, ...), FFmpeg the rest (M4A, MP4, WebM, ...) and what libsndfile
cannot finish. Samples that cannot be decoded are skipped; where the file says when the next ones are, silence stands in
their place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emofuse.audio.parts import Part, View
from emofuse.audio.samples import AudioError

LOSSLESS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC")
"""Formats whose headers give the exact duration; decoders of the others add or cut some hundredths of a second."""
# Containers only: FFmpeg's playlists and scripts could make it open other files and addresses.
CONTAINERS = "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,eac3,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,w64,wav,wv"

_BLOCK = 1 << 16  # decoded samples at once
_GAP = 0.2  # seconds between what timestamps say and what was decoded that count as a gap
_LONGEST_GAP = 3600.0  # seconds, where the file does not say how long it is: beyond, the timestamps are wrong
_SHORT, _SHORT_LOSSY = 0.05, 0.25  # seconds that may be missing without a word
_ESTIMATED = ("aac", "ac3", "amr", "eac3", "mp3", "mpeg", "mpegts", "ogg")  # formats whose duration FFmpeg estimates


@dataclass(frozen=True)
class Note:
    """What a user should know of how a recording was read.

    Attributes:
        kind: "truncated" (less sound than announced), "damaged" (sound inside that cannot be decoded), "unfinished"
            (an end mark is missing), "gap" (timestamps jump), "joined" (several recordings in a file), "tracks",
            "channels".
        message: a sentence's end, to stand after the file's name and a colon.
        start: where in the recording, in seconds; None for all of it.
        end: likewise.
    """

    kind: str
    message: str
    start: float | None = None
    end: float | None = None


class Block(NamedTuple):
    """Decoded samples.

    Attributes:
        rate: in Hz.
        first: number of the first sample at that rate, from the beginning of the part.
        samples: float32 (n, channels).
    """

    rate: int
    first: int
    samples: np.ndarray


_NOTHING = "it holds no sound that can be decoded. Expected a recording such as WAV, FLAC, OGG, MP3, M4A, MP4 or WebM."

Tell = Callable[[Note], None]


def decode_part(
    part: Part, path: Path | None, *, start: float, end: float, track: int | None, tell: Tell
) -> Iterator[Block]:
    """Decode one part of a file.

    Args:
        part: of the file.
        path: of the file, where the part is the whole of it; libsndfile reads it without a detour then.
        start: first second that is wanted; more may be given, before and after.
        end: last second that is wanted.
        track: number of the audio track, from 1; None for the first.
        tell: takes what should be known of the reading; its times are those of the part.

    Raises:
        AudioError: nothing can be decoded, or there is no such track. Messages do not name the file.
    """
    import soundfile

    if track is None and not part.misleading:
        try:
            part.view.seek(0)
            sound = soundfile.SoundFile(str(path) if path else part.view)
        except (soundfile.LibsndfileError, TypeError, UnicodeEncodeError):  # TypeError: .raw is headerless to soundfile
            pass
        else:
            if sound.frames > 0:
                yield from _with_libsndfile(sound, part, start, end, tell)
                return
    yield from _Ffmpeg(part, track or 1, tell)


def _with_libsndfile(sound: Any, part: Part, start: float, end: float, tell: Tell) -> Iterator[Block]:
    import soundfile

    with sound:
        rate, frames, lossless = sound.samplerate, sound.frames, sound.format in LOSSLESS
        position = min(round(start * rate), frames)
        last = None if math.isinf(end) else round(end * rate)
        try:
            position = sound.seek(position) if sound.seekable() else 0  # telephone codecs cannot seek at all
            while True:
                wanted = _BLOCK if last is None else min(_BLOCK, last - position)
                samples = sound.read(wanted, dtype="float32", always_2d=True)
                yield Block(rate, position, samples)
                position += len(samples)
                if position == last:
                    return
                if not len(samples):
                    break
        except soundfile.LibsndfileError:
            pass  # FFmpeg goes on
    announced = part.announced or frames / rate
    if part.whole and sound.format in ("AIFF", "AU", "CAF", "W64", "RF64"):  # libsndfile corrects these headers unasked
        announced = max(announced, seconds_by_ffmpeg(part.view) or 0.0)
    seconds = position / rate
    short = _SHORT if lossless else _SHORT_LOSSY
    if position < frames and frames / rate - seconds > short:
        yield from _Ffmpeg(part, 1, tell, announced=announced, after=seconds)
        return
    if part.problem:
        tell(Note("unfinished", part.problem, seconds))
    _tell_if_short(tell, seconds, announced, short)


class _Ffmpeg:
    """Blocks of a track by FFmpeg, with silence where timestamps jump.

    Args:
        part: what to decode.
        track: from 1.
        tell: takes notes.
        announced: duration by the header; None: FFmpeg is asked.
        after: second at which another decoder has failed. Only what comes later is given, and it may be nothing.
    """

    def __init__(
        self, part: Part, track: int, tell: Tell, *, announced: float | None = None, after: float | None = None
    ) -> None:
        self._part, self._track, self._tell = part, track, tell
        self._after, self._goes_on = after or 0.0, after is not None
        self._announced = announced or part.announced
        self._rate = self._position = 0  # of the block that comes next
        self._seconds = 0.0  # decoded so far
        self._base: float | None = None  # time stamp of the recording's beginning
        self._latest = 0.0  # timestamp of any track
        self._damage: list[float] = []

    def __iter__(self) -> Iterator[Block]:
        import av

        self._part.view.seek(0)
        try:
            container = av.open(self._part.view, "r", options={"format_whitelist": CONTAINERS})
        except (av.FFmpegError, ValueError) as error:
            if self._goes_on:
                self._finish()
                return
            raise AudioError(_NOTHING) from error
        with container:
            for rate, first, samples in self._blocks(container):
                known = max(round(self._after * rate) - first, 0)  # samples that the other decoder has given
                if len(samples) > known:
                    yield Block(rate, first + known, samples[known:])
            if not self._position and not self._goes_on:
                raise AudioError(_NOTHING)
        self._finish()

    def _blocks(self, container: Any) -> Iterator[Block]:
        import av

        stream = self._stream(container)
        kind = container.format.name.split(",")[0]
        if self._announced is None and kind not in _ESTIMATED:
            self._announced = _announced(container, stream)
        ends = container.duration / av.time_base if container.duration and kind not in _ESTIMATED else None
        to_float = av.AudioResampler(format="fltp")
        base = container.start_time / av.time_base if container.start_time is not None else None
        for packet in self._packets(container, stream):
            try:
                decoded = packet.decode()
            except av.FFmpegError:
                self._damage.append(self._seconds)
                continue
            for frame in decoded:
                if self._base is None:
                    first = frame.time or 0.0
                    self._base = base if base is not None and kind not in ("mp3", "ogg") else first
                yield from self._silence(frame, ends)
                for part in to_float.resample(frame):
                    yield self._block(part.sample_rate, np.ascontiguousarray(part.to_ndarray().T))

    def _packets(self, container: Any, stream: Any) -> Iterator[Any]:
        """Packets of the track; the latest timestamp of all tracks shows whether the file was cut off."""
        import av

        try:
            for packet in container.demux():
                if packet.pts is not None and packet.time_base:
                    self._latest = max(self._latest, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if packet.stream.index == stream.index:
                    yield packet
        except av.FFmpegError:
            self._damage.append(self._seconds)

    def _stream(self, container: Any) -> Any:
        streams = container.streams.audio
        if not streams:
            raise AudioError(f"it holds no audio track ({container.format.name}). Expected a recording.")
        if not 1 <= self._track <= len(streams):
            raise AudioError(f"there is no audio track {self._track}, only 1 to {len(streams)}.")
        if len(streams) > 1 and not self._goes_on:
            self._tell(Note("tracks", f"it has {len(streams)} audio tracks, of which track {self._track} was read"))
        return streams[self._track - 1]

    def _block(self, rate: int, samples: np.ndarray) -> Block:
        if rate != self._rate:
            self._position, self._rate = round(self._seconds * rate), rate
        block = Block(rate, self._position, samples)
        self._position += len(samples)
        self._seconds = self._position / rate
        return block

    def _silence(self, frame: Any, ends: float | None) -> Iterator[Block]:
        """Zeros up to the frame's time, where that lies ahead of what was decoded."""
        if frame.time is None or self._base is None:
            return
        gap = frame.time - self._base - self._seconds
        longest = _LONGEST_GAP if ends is None else ends - self._seconds + 1
        if _GAP < gap <= longest:
            start = self._seconds
            if self._rate and not self._damage:
                self._tell(Note("gap", f"it has a gap from {start:.2f} s to {start + gap:.2f} s", start, start + gap))
            rate, channels = frame.sample_rate, len(frame.layout.channels)
            missing = round(gap * rate)
            for first in range(0, missing, _BLOCK):
                yield self._block(rate, np.zeros((min(_BLOCK, missing - first), channels), np.float32))
        elif abs(gap) > _GAP:
            self._base += gap  # timestamps start anew or are wrong: the sound goes on

    def _finish(self) -> None:
        seconds = max(self._seconds, self._after)
        if self._damage and (self._damage[0] < seconds - _SHORT or self._announced is None):
            self._tell(_damaged(self._damage[0], seconds))
        elif self._goes_on and self._announced and self._announced - seconds <= _SHORT_LOSSY:
            self._tell(_damaged(self._after, seconds))
        if self._part.problem:
            self._tell(Note("unfinished", self._part.problem, seconds))
        _tell_if_short(self._tell, max(seconds, self._latest - (self._base or 0.0)), self._announced, _SHORT_LOSSY)


def _damaged(start: float, end: float) -> Note:
    return Note("damaged", f"it is damaged: some sound after {start:.2f} s cannot be decoded", start, end)


def _announced(container: Any, stream: Any) -> float | None:
    """Seconds that the header of a container gives for a track, or else for all tracks."""
    import av

    if stream.duration is not None and stream.time_base:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / av.time_base


def seconds_by_ffmpeg(view: View) -> float | None:
    """Seconds that a file's header gives for its first audio track; None if it gives none or is not a recording."""
    import av

    view.seek(0)
    try:
        with av.open(view, "r", options={"format_whitelist": CONTAINERS}) as container:
            return _announced(container, container.streams.audio[0]) if container.streams.audio else None
    except (av.FFmpegError, ValueError, OSError):
        return None


def _tell_if_short(tell: Tell, seconds: float, announced: float | None, tolerance: float) -> None:
    if announced is not None and math.isfinite(announced) and announced - seconds > tolerance:
        message = f"it is truncated: {seconds:.2f} s of {announced:.2f} s of audio are there"
        tell(Note("truncated", message, seconds, announced))
