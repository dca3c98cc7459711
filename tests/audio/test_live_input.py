import io
import struct
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from emofuse.audio import AudioError
from emofuse.audio.live_input import Microphone, PcmInput, resample_blocks
from emofuse.audio.reading import stream_samples

SAMPLES = np.random.default_rng(0).uniform(-0.5, 0.5, (4000, 2)).astype(np.float32)


class Pipe:
    """A file that cannot be seeked, and gives at most so many bytes at once."""

    def __init__(self, data, sizes=(65536,)):
        self._file, self._sizes, self._reads = io.BytesIO(data), sizes, 0

    def read(self, count):
        self._reads += 1
        return self._file.read(min(count, self._sizes[self._reads % len(self._sizes)]))


def read(data, sizes=(65536,), **options):
    sound = PcmInput(Pipe(data, sizes), **options)
    return sound, np.concatenate([np.empty(0, np.float32), *sound])


def wav(subtype="PCM_16", format="WAV"):
    file = io.BytesIO()
    soundfile.write(file, SAMPLES, 22050, format=format, subtype=subtype)
    return file.getvalue()


def pcm16():
    return (SAMPLES * 32767).astype("<i2")


@pytest.mark.parametrize("sizes", [(1,), (3, 5, 2), (65536,), (4001,)])
def test_raw_samples_arrive_however_the_pipe_cuts_them(sizes):
    sound, found = read(pcm16().tobytes(), sizes, sample_rate=8000, channels=2)
    assert sound.sample_rate == 8000
    assert np.array_equal(found, (pcm16() / 32768).astype(np.float32).mean(axis=1))
    _, found = read(SAMPLES.astype("<f4").tobytes(), sizes, channels=2, sample_format="f32le")
    assert np.array_equal(found, SAMPLES.mean(axis=1))


@pytest.mark.parametrize(
    ("format", "subtype"),
    [
        ("WAV", "PCM_U8"),
        ("WAV", "PCM_16"),
        ("WAVEX", "PCM_24"),
        ("WAV", "PCM_32"),
        ("RF64", "FLOAT"),
        ("WAV", "DOUBLE"),
    ],
)
def test_a_wav_header_goes_before_the_arguments(format, subtype):
    data = wav(subtype, format)
    sound, found = read(data, (5, 7), sample_rate=8000, channels=5)
    expected, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    assert sound.sample_rate == rate == 22050
    assert found == pytest.approx(expected.mean(axis=1), abs=1e-6)


@pytest.mark.parametrize("length", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_the_size_of_an_unfinished_wav_is_ignored(length):
    data, whole = wav(), read(wav())[1]
    place = data.index(b"data") + 4
    _, found = read(data[:place] + struct.pack("<I", length) + data[place + 4 :])
    assert np.array_equal(found, whole)


def test_other_chunks_before_the_samples_of_a_wav_are_skipped():
    data = wav()
    place = data.index(b"data")
    _, found = read(data[:place] + b"JUNK" + struct.pack("<I", 999) + bytes(1000) + data[place:], (7,))
    assert len(found) == len(SAMPLES)


def test_what_follows_the_samples_of_a_wav_is_not_sound():
    _, found = read(wav() + b"LIST" + struct.pack("<I", 1000) + bytes(range(250)) * 4)
    assert len(found) == len(SAMPLES)


def test_an_end_in_the_middle_of_a_sample_is_told(caplog):
    sound, found = read(pcm16().tobytes()[:-1], channels=2)
    assert len(found) == len(SAMPLES) - 1
    assert sound.name in caplog.text and "middle of a sample" in caplog.text


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"fLaC" + bytes(100), "FLAC.*ffmpeg"),
        (wav()[:30], "before its samples"),
        (wav("ULAW"), "kind 7"),
    ],
)
def test_input_that_cannot_be_used_is_refused(data, said):
    with pytest.raises(AudioError, match=f"(?s)standard input.*{said}"):
        read(data)


@pytest.mark.parametrize("options", [{"sample_rate": 10}, {"channels": 0}, {"channels": 1000}])
def test_impossible_numbers_are_refused(options):
    with pytest.raises(AudioError, match="standard input"):
        read(bytes(100), **options)


def test_a_failing_pipe_is_an_error():
    class Broken(Pipe):
        def read(self, count):
            if self._reads > 2:
                raise OSError(5, "Input/output error")
            return super().read(count)

    with pytest.raises(AudioError, match="Input/output error"):
        list(PcmInput(Broken(bytes(10**6))))


def test_after_stop_what_has_arrived_is_given():
    sound = PcmInput(io.BytesIO(pcm16().tobytes()))
    first = next(iter(sound))
    sound.stop()
    assert len(first) + sum(map(len, sound)) <= SAMPLES.size


@pytest.mark.parametrize("size", [1, 441, 777, 4000])
@pytest.mark.parametrize("rate", [16000, 44100, 8000])
def test_resampling_does_not_depend_on_the_blocks(rate, size):
    expected = np.concatenate(list(stream_samples(SAMPLES.mean(axis=1), rate)))[:, 0]
    blocks = (SAMPLES[first : first + size] for first in range(0, len(SAMPLES), size))
    found = np.concatenate(list(resample_blocks(blocks, rate, name="stream")))
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 30000.0])
def test_samples_that_are_not_sound_are_refused(bad):
    blocks = [np.zeros(16000), np.array([0.1, bad])]
    with pytest.raises(AudioError, match=r"stream: at about 1\.0 s"):
        list(resample_blocks(blocks, 16000, name="stream"))
    with pytest.raises(AudioError, match="shape"):
        list(resample_blocks([np.zeros((2, 2, 2))], 16000, name="stream"))


class PortAudioError(Exception):
    pass


class FakeStream:
    """A microphone that gives three blocks when it starts."""

    def __init__(self, *, samplerate, channels, blocksize, callback, finished_callback, device, dtype):
        if device == "busy":
            raise PortAudioError("Device unavailable")
        self._size, self._callback, self._end = blocksize, callback, finished_callback
        self.closed = False

    def start(self):
        for number in range(3):
            status = SimpleNamespace(input_overflow=number == 2)
            self._callback(np.full((self._size, 1), 0.1 * number, np.float32), self._size, None, status)
        self._end()

    def close(self):
        self.closed = True


@pytest.fixture
def sounddevice(monkeypatch):
    devices = [{"index": 3, "name": "Desk mic", "max_input_channels": 1, "default_samplerate": 48000.0}]

    def query(device=None, kind=None):
        if device == "absent":
            raise ValueError("No input device matching 'absent'")
        return devices[0] if kind else devices

    module = SimpleNamespace(query_devices=query, InputStream=FakeStream, PortAudioError=PortAudioError)
    monkeypatch.setitem(sys.modules, "sounddevice", module)


def test_the_microphone_gives_its_sound_and_is_closed(sounddevice, caplog):
    microphone = Microphone()
    blocks = list(microphone)
    assert (microphone.name, microphone.sample_rate) == ("Desk mic", 48000)
    assert [round(float(block[0]), 1) for block in blocks] == [0.0, 0.1, 0.2] and len(blocks[0]) == 4800
    assert microphone._stream.closed and "lost" in caplog.text


@pytest.mark.parametrize("device", ["busy", "absent"])
def test_a_microphone_that_cannot_be_used_is_an_error_that_names_the_others(sounddevice, device):
    with pytest.raises(AudioError, match="3 Desk mic"):
        Microphone(device)


def test_the_microphone_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(AudioError, match=r"emofuse\[listen\]"):
        Microphone()
