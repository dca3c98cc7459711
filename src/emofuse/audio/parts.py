"""What a recording's file says of itself: the recordings that are joined in it, and how long each claims to be.

Recorders die, downloads stop, and programs join files end to end. A decoder then reads the first part, or less, without
a word. Here headers are read only to be checked against what is there: a part is a stretch of the file that one decoder
can read, with lengths in its header put right.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_UNKNOWN_LENGTH = 0x7F000000  # programs that write WAV to a pipe announce this many bytes or more
_SMALLEST_PART = 256  # bytes: what is left after a recording and is smaller is padding or a tag
_CHUNK = 1 << 20


class View(io.RawIOBase):
    """A stretch of a file as a file of its own, with some bytes replaced.

    The stretch lasts from byte `first` to before byte `last`; `replaced` has bytes by their position in it.
    """

    def __init__(self, file: BinaryIO, first: int, last: int, replaced: dict[int, bytes] | None = None) -> None:
        self._file, self._first, self.size = file, first, last - first
        self._replaced = replaced or {}
        self._position = 0

    def readable(self) -> bool:
        """Always true."""
        return True

    seekable = readable

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As of any file."""
        self._position = max(offset + (0, self._position, self.size)[whence], 0)
        return self._position

    def readinto(self, buffer: memoryview | bytearray) -> int:  # type: ignore[override]
        """As of any file."""
        wanted = max(min(len(buffer), self.size - self._position), 0)
        self._file.seek(self._first + self._position)
        data = bytearray(self._file.read(wanted))
        for place, replacement in self._replaced.items():
            for i, byte in enumerate(replacement, place - self._position):
                if 0 <= i < len(data):
                    data[i] = byte
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


@dataclass
class Part:
    """One recording in a file.

    Attributes:
        view: its bytes.
        whole: whether they are the whole file, unchanged.
        announced: seconds that its header announces, where the header can be trusted to; else None.
        problem: what its bytes show to be missing; None if nothing.
        misleading: whether libsndfile would go wrong by its header.
    """

    view: View
    whole: bool = True
    announced: float | None = None
    problem: str | None = None
    misleading: bool = False


def parts_of(file: BinaryIO) -> list[Part]:
    """The recordings in a file, in order: one, unless files were joined end to end."""
    size = file.seek(0, io.SEEK_END)
    parts: list[Part] = []
    first = 0
    while first < size and (not parts or size - first > _SMALLEST_PART):
        part, last = _next_part(file, first, size)
        if parts and part is None:
            break  # what follows a recording is a tag or padding, not another recording
        part = part or Part(View(file, first, size))
        part.whole = part.whole and first == 0 and last >= size
        parts.append(part)
        first = last
    return parts


def _next_part(file: BinaryIO, first: int, size: int) -> tuple[Part | None, int]:
    """The recording that starts at a byte, and the byte where the next may start; None if its format is not known."""
    head = _read(file, first, 16)
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return _wav(file, first, size)
    if head[:4] == b"OggS":
        return _ogg(file, first, size)
    if head[:4] == b"fLaC":
        return _until(file, first, size, re.compile(rb"fLaC[\x00\x80]\x00\x00\x22"))
    if head[:5] == b"#!AMR":
        return _until(file, first, size, re.compile(rb"#!AMR(-WB)?\n"))
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        last = min(first + 8 + struct.unpack(">I", head[4:8])[0], size)
        return Part(View(file, first, last), whole=last == size), last
    if head[4:8] == b"ftyp":
        return _mp4(file, first, size)
    if head[:3] == b"ID3" or _is_mp3_frame(head):
        return _mp3(file, first, size)
    return None, size


def _read(file: BinaryIO, position: int, n: int) -> bytes:
    file.seek(position)
    return file.read(n)


def _rest(file: BinaryIO, first: int, size: int) -> tuple[Part, int]:
    return Part(View(file, first, size)), size


def _until(file: BinaryIO, first: int, size: int, mark: re.Pattern[bytes]) -> tuple[Part, int]:
    """The part that ends where the mark of another recording stands."""
    last = next(_places(file, first + 4, size, mark), size)
    return Part(View(file, first, last)), last


def _places(file: BinaryIO, first: int, size: int, mark: re.Pattern[bytes]) -> Iterator[int]:
    overlap = 16
    while first < size:
        data = _read(file, first, _CHUNK + overlap)
        for match in mark.finditer(data):
            if match.start() < _CHUNK:
                yield first + match.start()
        first += _CHUNK


def _wav(file: BinaryIO, first: int, size: int) -> tuple[Part, int]:
    """A WAV file; the length of its samples is corrected where the file has fewer, or plainly more."""
    position, bytes_per_second, block = first + 12, 0, 1
    while position + 8 <= size:
        file.seek(position)
        name, length = struct.unpack("<4sI", file.read(8))
        data = position + 8
        if name == b"fmt " and length >= 16 <= size - data:
            bytes_per_second, block = struct.unpack("<8xIH2x", file.read(16))
            block = max(block, 1)
        if name == b"data":
            return _wav_samples(file, first, size, position, length, bytes_per_second, block)
        position = data + length + length % 2
    return _rest(file, first, size)


def _wav_samples(
    file: BinaryIO, first: int, size: int, chunk: int, length: int, bytes_per_second: int, block: int
) -> tuple[Part, int]:
    data = chunk + 8
    available = size - data
    announced = length if 0 < length < _UNKNOWN_LENGTH else None
    after = data + length + length % 2
    if (
        announced is not None
        and length <= available
        and (available - length < _SMALLEST_PART or _is_chunk(_read(file, after, 4)))
    ):
        return _wav_whole(file, first, size, after)
    found = available - available % block
    lengths = {4: data + found - first - 8, chunk + 4 - first: found}
    replaced = {place: struct.pack("<I", min(length, 0xFFFFFFFF)) for place, length in lengths.items()}
    part = Part(View(file, first, data + found, replaced), whole=False)
    if announced is not None and announced > found and bytes_per_second:
        part.announced = announced / bytes_per_second
    return part, size


def _wav_whole(file: BinaryIO, first: int, size: int, position: int) -> tuple[Part, int]:
    """A WAV file whose samples are all there: it ends with its last chunk, where another file may be joined to it."""
    while position + 12 <= size:
        head = _read(file, position, 12)
        if head[:4] == b"RIFF" and head[8:] == b"WAVE":
            return Part(
                View(file, first, position, {4: struct.pack("<I", position - first - 8)}), whole=False
            ), position
        if not _is_chunk(head[:4]):
            break
        length = struct.unpack("<I", head[4:8])[0]
        position += 8 + length + length % 2
    return _rest(file, first, size)


def _is_chunk(name: bytes) -> bool:
    """Whether a chunk of a RIFF file may have this name, as against samples that go on."""
    return name[:3] in (b"ID3", b"TAG") or re.fullmatch(rb"[A-Za-z_][\w +-]{3}", name) is not None


def _ogg(file: BinaryIO, first: int, size: int) -> tuple[Part, int]:
    """An Ogg file up to where another begins: a page that begins a stream after one that does not."""
    position, begun, ended = first, False, False
    while position < size:
        head = _read(file, position, 27)
        if len(head) < 27 or head[:4] != b"OggS":
            position = next(_places(file, position + 1, size, re.compile(b"OggS")), size)
            ended = False
            continue
        begins = bool(head[5] & 2)
        if begins and begun:
            return Part(View(file, first, position), whole=False), position
        begun = begun or not begins
        lengths = file.read(head[26])
        position += 27 + head[26] + sum(lengths)
        ended = bool(head[5] & 4) and position <= size
    part = Part(View(file, first, size))
    if not ended:
        part.problem = "it ends without the end mark of an Ogg file, so it may have been cut off"
    return part, size


def _mp4(file: BinaryIO, first: int, size: int) -> tuple[Part, int]:
    """An MP4 file up to where another begins."""
    position, has_content = first, False
    while position + 8 <= size:
        head = _read(file, position, 16)
        length, name = struct.unpack(">I4s", head[:8])
        if name == b"ftyp" and has_content:
            return Part(View(file, first, position), whole=False), position
        if length == 1 and len(head) == 16:
            length = struct.unpack(">Q", head[8:])[0]
        if length < 8:
            break  # the box lasts until the end of the file
        has_content = has_content or name in (b"mdat", b"moov")
        position += length
    return _rest(file, first, size)


def _mp3(file: BinaryIO, first: int, size: int) -> tuple[Part | None, int]:
    """An MP3 file; where its first frame says how long it is (Xing, Info), that is compared with what is there."""
    start = first
    head = _read(file, start, 10)
    if head[:3] == b"ID3" and len(head) == 10:
        start += 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    frame = _read(file, start, 192)
    if len(frame) < 192 or not _is_mp3_frame(frame):
        return (None, size) if first else _rest(file, first, size)
    version = {3: 1.0, 2: 2.0, 0: 2.5}.get(frame[1] >> 3 & 3, 0.0)
    rates, index = (44100, 48000, 32000), frame[2] >> 2 & 3
    if not version or index == 3:
        return _rest(file, first, size)
    rate = rates[index] / {1.0: 1, 2.0: 2, 2.5: 4}[version]
    mono = frame[3] >> 6 == 3
    tag = 4 + ((17 if mono else 32) if version == 1.0 else (9 if mono else 17))
    flags = struct.unpack(">I", frame[tag + 4 : tag + 8])[0]
    if frame[tag : tag + 4] not in (b"Xing", b"Info") or flags & 3 != 3:
        return _rest(file, first, size)
    frames, length = struct.unpack(">II", frame[tag + 8 : tag + 16])
    seconds = frames * (1152 if version == 1.0 else 576) / rate
    last = start + length
    if last > size + 1024:  # some writers count a frame too many
        return Part(View(file, first, size), announced=seconds, misleading=True), size
    after = _read(file, last, 4)  # more sound, or tags
    if size - last > _SMALLEST_PART and (after[:3] == b"ID3" or _is_mp3_frame(after)):
        return Part(View(file, first, last), whole=False, announced=seconds), last
    return Part(View(file, first, size), announced=seconds), size


def _is_mp3_frame(head: bytes) -> bool:
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2
