"""Sound that arrives while it is used: a microphone, or PCM and WAV from a pipe.

A thread takes the sound as it arrives, so that nothing is lost while earlier sound is judged.
"""

from __future__ import annotations

import logging
import queue
import struct
import threading
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np

from emofuse.audio.reading import _resampled
from emofuse.audio.samples import MAX_CHANNELS, MAX_PEAK, AudioError, full_scale

log = logging.getLogger("emofuse")

SampleFormat = Literal["s16le", "f32le"]

_BLOCK_SECONDS = 0.1
_WAITING = 600  # blocks that wait to be judged: a minute of sound
_POLL = 0.1  # seconds after which a queue that is empty is asked again whether it has been stopped
_UNKNOWN_LENGTH = 0x7F000000  # programs that write WAV to a pipe announce this many bytes or more, or 0
_RAW = {"s16le": "<i2", "f32le": "<f4"}
_WAV = {(1, 8): "u1", (1, 16): "<i2", (1, 24): "i3", (1, 32): "<i4", (3, 32): "<f4", (3, 64): "<f8"}
_EXTENSIBLE = 0xFFFE
_OTHER_FORMATS = {
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"ID3": "MP3",
    b"\xff\xfb": "MP3",
    b"FORM": "AIFF",
    b"caff": "CAF",
    b"\x1aE\xdf\xa3": "WebM",
    b"#!AMR": "AMR",
}


class LiveInput:
    """Blocks of mono sound in the order of their arrival, float32 (n,); iterating waits for the next.

    Attributes:
        name: for messages.
        sample_rate: of the blocks, in Hz.
    """

    def __init__(self, name: str, sample_rate: int) -> None:
        self.name, self.sample_rate = name, sample_rate
        self._blocks: queue.Queue[np.ndarray | AudioError | None] = queue.Queue(_WAITING)
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Take no more sound; what has arrived is still given. Safe in a signal handler."""
        self._stopped.set()

    def __iter__(self) -> Iterator[np.ndarray]:
        while True:
            try:
                block = self._blocks.get(timeout=_POLL)
            except queue.Empty:
                if self._stopped.is_set():
                    return
                continue
            if block is None:
                return
            if isinstance(block, AudioError):
                raise block
            yield block


class PcmInput(LiveInput):
    """Raw PCM or WAV from a pipe. The header of WAV is recognised and goes before the arguments.

    Args:
        file: binary, such as `sys.stdin.buffer.raw`. It need not be seekable.
        sample_rate: of raw PCM, in Hz.
        channels: of raw PCM; several are averaged.
        sample_format: of raw PCM: "s16le" or "f32le".
        name: for messages.

    Raises:
        AudioError: the input is empty, a WAV file of a kind that is not supported, or a file of another format.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        sample_rate: int = 16000,
        channels: int = 1,
        sample_format: SampleFormat = "s16le",
        name: str = "standard input",
    ) -> None:
        self._file = file
        head = _read_exactly(file, 12)
        if not head:
            raise AudioError(f"{name}: it is empty. Pipe PCM samples or a WAV file into it.")
        if head[:4] in (b"RIFF", b"RF64") and head[8:] == b"WAVE":
            self._pcm, head = _read_wav_header(file, name), b""
        else:
            for mark, other in _OTHER_FORMATS.items():
                if head.startswith(mark):
                    raise AudioError(
                        f"{name}: this is {other}, but raw PCM or WAV is expected. Decode it first: "
                        "ffmpeg -i INPUT -f s16le -ar 16000 -ac 1 - | emofuse listen -"
                    )
            self._pcm = _Pcm(sample_rate, channels, _RAW[sample_format], None)
        if not (1000 <= self._pcm.sample_rate <= 1_000_000 and 1 <= self._pcm.channels <= MAX_CHANNELS):
            raise AudioError(
                f"{name}: the sample rate is {self._pcm.sample_rate} Hz with {self._pcm.channels} channels. Expected "
                f"1000 to 1000000 Hz and 1 to {MAX_CHANNELS} channels."
            )
        super().__init__(name, self._pcm.sample_rate)
        threading.Thread(target=self._read, args=(head,), name="emofuse input", daemon=True).start()

    def _read(self, data: bytes) -> None:
        """Put blocks into the queue until the input ends; runs in its own thread."""
        pcm, left = self._pcm, self._pcm.length
        wanted = max(1, round(pcm.sample_rate * _BLOCK_SECONDS)) * pcm.frame_size
        while not self._stopped.is_set() and (left is None or left > 0):
            try:
                more = self._file.read(wanted if left is None else min(wanted, left)) or b""
            except (OSError, ValueError) as error:
                self._blocks.put(AudioError(f"{self.name}: reading it failed ({error})."))
                return
            left = None if left is None else left - len(more)
            data += more
            complete = len(data) - len(data) % pcm.frame_size
            if complete:
                self._blocks.put(pcm.decode(data[:complete]))
            data = data[complete:]
            if not more:
                break
        if data:
            log.warning("%s: it ends in the middle of a sample, which was left out.", self.name)
        self._blocks.put(None)


class Microphone(LiveInput):
    """The sound of a microphone or another input of this computer, by sounddevice (PortAudio).

    Args:
        device: number or a part of the name of an input device; None for the default one.

    Raises:
        AudioError: sounddevice or PortAudio is not installed, or there is no such device.
    """

    def __init__(self, device: int | str | None = None) -> None:
        try:
            import sounddevice
        except ModuleNotFoundError as error:
            raise AudioError(
                'The microphone needs sounddevice, which is not installed: pip install "emofuse[listen]"'
            ) from error
        except OSError as error:  # sounddevice's wheels for Linux come without PortAudio
            raise AudioError(
                "The microphone needs the library PortAudio, which is not installed. On Debian and Ubuntu: "
                "apt install libportaudio2"
            ) from error
        try:
            facts: Any = sounddevice.query_devices(device, "input")
            super().__init__(str(facts["name"]), round(facts["default_samplerate"]))
            self._stream = sounddevice.InputStream(
                device=device,
                samplerate=self.sample_rate,
                channels=1,
                dtype="float32",
                blocksize=round(self.sample_rate * _BLOCK_SECONDS),
                callback=self._take,
                finished_callback=self._end,
            )
            self._stream.start()
        except (sounddevice.PortAudioError, ValueError) as error:
            inputs = [f"{one['index']} {one['name']}" for one in _input_devices(sounddevice)]
            raise AudioError(
                f"The microphone cannot be used ({error}). "
                + (f"Choose one with --device: {'; '.join(inputs)}." if inputs else "No input device is connected.")
            ) from error

    def __iter__(self) -> Iterator[np.ndarray]:
        try:
            yield from super().__iter__()
        finally:
            self._stream.close()

    def _take(self, samples: np.ndarray, count: int, time: Any, status: Any) -> None:
        """Put a block into the queue; sounddevice calls this in its own thread."""
        if self._stopped.is_set():
            return
        if status.input_overflow:
            log.warning("%s: some sound was lost, because this computer is too slow.", self.name)
        try:
            self._blocks.put_nowait(samples[:, 0].copy())
        except queue.Full:
            log.warning("%s: %d samples were lost, because a minute of sound waits to be judged.", self.name, count)

    def _end(self) -> None:
        """The device is gone."""
        self._stopped.set()


class _Pcm(NamedTuple):
    """How samples are written in bytes."""

    sample_rate: int
    channels: int
    sample_type: str  # as NumPy names it, or i3 for 24 bits
    length: int | None  # bytes; None if unknown

    @property
    def frame_size(self) -> int:
        """Bytes of one sample of all channels."""
        return self.channels * int(self.sample_type[-1])

    def decode(self, data: bytes) -> np.ndarray:
        """Average of the channels, float32 (n,)."""
        if self.sample_type == "i3":
            low = np.frombuffer(data, np.uint8).reshape(-1, 3)
            values = np.pad(low, ((0, 0), (1, 0))).view("<i4").ravel()
        else:
            values = np.frombuffer(data, self.sample_type)
        return full_scale(values).reshape(-1, self.channels).mean(axis=1)


def _read_exactly(file: BinaryIO, count: int) -> bytes:
    """The next bytes; fewer where the input ends."""
    data = b""
    while len(data) < count and (more := file.read(count - len(data))):
        data += more
    return data


def _skip(file: BinaryIO, count: int) -> None:
    while count > 0 and (data := file.read(min(count, 1 << 16))):
        count -= len(data)


def _read_wav_header(file: BinaryIO, name: str) -> _Pcm:
    """Read a WAV file from after "WAVE" to the first sample."""
    facts: tuple[int, int, str] | None = None
    while len(head := _read_exactly(file, 8)) == 8:
        chunk, length = struct.unpack("<4sI", head)
        if chunk == b"data" and facts is not None:
            return _Pcm(*facts, length if 0 < length < _UNKNOWN_LENGTH else None)
        content = _read_exactly(file, min(length + length % 2, 64))
        _skip(file, length + length % 2 - len(content))
        if chunk == b"fmt " and len(content) >= 16:
            kind, channels, rate, bits = struct.unpack("<HHI6xH", content[:16])
            if kind == _EXTENSIBLE and len(content) >= 26:
                kind = struct.unpack("<H", content[24:26])[0]
            if (kind, bits) not in _WAV:
                raise AudioError(
                    f"{name}: this WAV file has {bits}-bit samples of kind {kind}. Expected 8, 16, 24 or 32-bit PCM or "
                    "32 or 64-bit floating point."
                )
            facts = rate, channels, _WAV[kind, bits]
    raise AudioError(f"{name}: this WAV file ends before its samples begin.")


def _input_devices(sounddevice: Any) -> list[Any]:
    return [one for one in sounddevice.query_devices() if one["max_input_channels"] > 0]


def resample_blocks(blocks: Iterable[np.ndarray], sample_rate: int, *, name: str) -> Iterator[np.ndarray]:
    """Blocks of any size as mono samples at 16 kHz, float32 (n,); the same samples however the blocks are cut.

    Args:
        blocks: (n,) or (n, channels), which are averaged; floating point (full scale -1..1) or integers.
        sample_rate: of the blocks, in Hz.
        name: for messages.

    Raises:
        AudioError: a block has another shape or type, or values that are not sound (NaN, beyond 100 times full scale).
    """

    def checked() -> Iterator[tuple[int, np.ndarray]]:
        count = 0
        for block in blocks:
            values = np.asarray(block)
            if values.ndim not in (1, 2):
                raise AudioError(f"{name}: a block has the shape {values.shape}. Expected (n,) or (n, channels).")
            samples = full_scale(values).reshape(len(values), -1)
            peak = float(np.abs(samples).max(initial=0.0))
            if not peak <= MAX_PEAK:  # NaN too
                raise AudioError(
                    f"{name}: at about {count / sample_rate:.1f} s the samples are not sound (their peak is {peak:g}, "
                    "but full scale is 1). Is the sample format right?"
                )
            count += len(samples)
            if len(samples):
                yield sample_rate, samples

    for block in _resampled(checked(), lambda samples: samples.mean(axis=1, keepdims=True)):
        yield block[:, 0]
