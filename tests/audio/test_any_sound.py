"""Recordings as they come: unfinished, joined, cut off, with gaps, in telephone codecs, as bytes and arrays."""

import io
import os
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile

from emofuse.audio import SAMPLE_RATE, AudioError, channels_of, decode, read_recording

RATE = SAMPLE_RATE


def voice(seconds=2.0, rate=RATE, pitch=220.0):
    """A hum with a syllable's rhythm, full of harmonics."""
    time = np.arange(round(seconds * rate)) / rate
    hum = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 8))
    return (0.2 * hum * (1.2 + np.sin(2 * np.pi * 3 * time))).astype(np.float32)


def encoded(samples, form, subtype=None, rate=RATE):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=subtype)
    return file.getvalue()


def with_ffmpeg(parts, *, form, codec, rate, frame, video=0, tracks=1):
    """Encode parts (seconds at which it starts, samples) into each of some tracks, beside seconds of video."""
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        film = container.add_stream("mpeg4", rate=5) if video else None
        streams = [container.add_stream(codec, rate=rate, layout="mono") for _ in range(tracks)]
        if film:
            film.width = film.height = 64
            film.pix_fmt = "yuv420p"
            for i in range(5 * video):
                picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
                picture.pts, picture.time_base = i, Fraction(1, 5)
                container.mux(film.encode(picture))
            container.mux(film.encode())
        for stream in streams:
            to_format = av.AudioResampler(format=stream.codec_context.format.name, layout="mono", rate=rate)
            for start, samples in parts:
                for i in range(0, len(samples) - frame + 1, frame):
                    whole = (samples[i : i + frame] * 32767).astype(np.int16)[None]
                    sound = av.AudioFrame.from_ndarray(whole, format="s16", layout="mono")
                    sound.sample_rate = rate
                    for one in to_format.resample(sound):
                        one.pts, one.time_base = round(start * rate) + i, Fraction(1, rate)
                        container.mux(stream.encode(one))
            container.mux(stream.encode())
    return file.getvalue()


def kinds(notes):
    return [note.kind for note in notes]


def sounding_seconds(samples):
    """Seconds of the first and last loud sample."""
    loud = np.flatnonzero(np.abs(samples) > 0.02)
    return loud[0] / RATE, loud[-1] / RATE


@pytest.mark.parametrize("subtype", ["GSM610", "G721_32", "IMA_ADPCM", "MS_ADPCM", "ULAW", "ALAW"])
def test_telephone_codecs(tmp_path, subtype):
    (tmp_path / "a.wav").write_bytes(encoded(voice(rate=8000), "WAV", subtype, rate=8000))
    samples, notes = read_recording(tmp_path / "a.wav")
    assert len(samples) / RATE == pytest.approx(2, abs=0.15)
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(np.sqrt(np.mean(voice() ** 2)), rel=0.2)
    stretch = decode(tmp_path / "a.wav", start=0.5, end=1.5)
    assert len(stretch) == RATE
    assert np.abs(stretch - samples[RATE // 2 : RATE // 2 + RATE])[800:-800].max() < 0.02
    assert notes == []


@pytest.mark.parametrize("length", [0, 1 << 31, 0xFFFFFFFF])
@pytest.mark.parametrize("riff", [0, 36, 0xFFFFFFFF])
def test_wav_that_was_never_finished(length, riff):
    wav = bytearray(encoded(voice(), "WAV"))
    wav[4:8], wav[40:44] = struct.pack("<I", riff), struct.pack("<I", length)
    samples, notes = read_recording(bytes(wav))
    np.testing.assert_array_equal(samples, read_recording(encoded(voice(), "WAV"))[0])
    assert notes == []


@pytest.mark.parametrize("written", [0.25, 0.5])
def test_wav_that_goes_on_after_its_announced_end(written):
    wav = bytearray(encoded(voice(), "WAV"))
    wav[40:44] = struct.pack("<I", int(written * (len(wav) - 44)) & ~1)
    assert len(read_recording(bytes(wav))[0]) == 2 * RATE


@pytest.mark.parametrize("more", [1, 2, 3, 44, 500])
def test_a_length_that_is_a_little_too_long_is_no_time_at_all(tmp_path, more):
    wav = bytearray(encoded(voice(), "WAV"))
    wav[40:44] = struct.pack("<I", len(wav) - 44 + more)
    (tmp_path / "a.wav").write_bytes(wav)
    assert read_recording(tmp_path / "a.wav")[1] == []
    assert len(decode(tmp_path / "a.wav")) == 2 * RATE


@pytest.mark.parametrize(
    "tag", [b"ID3\x04" + bytes(400), b"TAG" + bytes(125), b"LIST" + struct.pack("<I", 300) + bytes(300)]
)
def test_tags_after_the_samples_are_not_sound(tag):
    assert len(read_recording(encoded(voice(), "WAV") + tag)[0]) == 2 * RATE


@pytest.mark.parametrize(
    ("form", "subtype"),
    [
        ("WAV", None),
        ("WAV", "FLOAT"),
        ("FLAC", None),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", None),
        ("AIFF", None),
    ],
)
def test_joined_files_are_read_to_the_end(form, subtype):
    first, second = encoded(voice(2), form, subtype), encoded(voice(1, pitch=330), form, subtype)
    samples, notes = read_recording(first + second)
    parts = [read_recording(part)[0] for part in (first, second)]
    assert len(samples) / RATE == pytest.approx(3, abs=0.01)
    np.testing.assert_allclose(samples[-RATE // 2 :], parts[1][-RATE // 2 :], atol=1e-3)
    assert kinds(notes) == ["joined"]
    later = read_recording(first + second, start=2.2, end=2.7)[0]
    np.testing.assert_allclose(later, samples[round(2.2 * RATE) :][: len(later)], atol=1e-3)


def test_joined_files_of_different_rates_and_channels():
    stereo = np.stack([voice(1, rate=44100)] * 2, axis=1)
    samples, _ = read_recording(encoded(voice(2), "FLAC") + encoded(stereo, "FLAC", rate=44100))
    assert len(samples) / RATE == pytest.approx(3, abs=0.01)
    assert np.corrcoef(samples[2 * RATE + 800 : 3 * RATE - 800], voice(1)[800:-800])[0, 1] > 0.99


def test_joined_mp4():
    part = with_ffmpeg([(0, voice(2, rate=44100))], form="mp4", codec="aac", rate=44100, frame=1024)
    samples, notes = read_recording(part + part)
    assert len(samples) / RATE == pytest.approx(4, abs=0.1)
    assert kinds(notes) == ["joined"]


CUT = {
    "wav": lambda: encoded(voice(8), "WAV"),
    "flac": lambda: encoded(voice(8), "FLAC"),
    "mp3": lambda: encoded(voice(8), "MP3"),
    "aiff": lambda: encoded(voice(8), "AIFF"),
    "au": lambda: encoded(voice(8), "AU"),
    "rf64": lambda: encoded(voice(8), "RF64"),
    "webm": lambda: with_ffmpeg([(0, voice(8, rate=48000))], form="webm", codec="libopus", rate=48000, frame=960),
    "mkv": lambda: with_ffmpeg([(0, voice(8, rate=44100))], form="matroska", codec="aac", rate=44100, frame=1024),
}


@pytest.mark.parametrize("kind", CUT)
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_file_that_was_cut_off_says_so(tmp_path, kind, share):
    whole = CUT[kind]()
    samples, notes = read_recording(whole[: int(share * len(whole))])
    assert len(samples) / RATE == pytest.approx(8 * share, abs=1.0)
    (note,) = [note for note in notes if note.kind == "truncated"]
    assert note.end == pytest.approx(8, abs=0.15)
    assert note.start == pytest.approx(len(samples) / RATE, abs=0.3)
    (tmp_path / f"cut.{kind}").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(AudioError, match=f"cut.{kind}: .*truncated"):
        decode(tmp_path / f"cut.{kind}")  # what is learned from must be whole
    assert read_recording(whole)[1] == []


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_file_without_its_end_says_so(subtype):
    whole = encoded(voice(8), "OGG", subtype)
    assert read_recording(whole)[1] == []
    samples, notes = read_recording(whole[: len(whole) // 2])
    assert 1 < len(samples) / RATE < 7
    assert kinds(notes) == ["unfinished"]


@pytest.mark.parametrize("form", ["FLAC", "MP3"])
def test_sound_before_and_after_damage_is_read(form):
    whole = encoded(voice(20), form)
    middle = len(whole) // 2
    samples, notes = read_recording(whole[:middle] + bytes(3000) + whole[middle + 3000 :])
    assert len(samples) / RATE > 18
    assert "damaged" in kinds(notes) or "truncated" in kinds(notes)
    end = read_recording(whole)[0][-RATE:]
    assert max(np.correlate(samples[-RATE - 2000 :], end)) > 0.9 * np.dot(end, end)


@pytest.mark.parametrize(
    ("form", "codec", "rate", "frame", "video"),
    [
        ("webm", "libopus", 48000, 960, 0),
        ("matroska", "aac", 44100, 1024, 0),
        ("mp4", "aac", 44100, 1024, 40),
        ("mpegts", "aac", 44100, 1024, 0),
    ],
)
def test_times_are_those_of_the_recording(form, codec, rate, frame, video):
    """Packets were lost: the container says that the second sentence starts at 30 s."""
    speech = voice(2, rate=rate)
    samples, notes = read_recording(
        with_ffmpeg([(0, speech), (30, speech)], form=form, codec=codec, rate=rate, frame=frame, video=video)
    )
    assert len(samples) / RATE == pytest.approx(32, abs=0.2)
    assert sounding_seconds(samples[: 10 * RATE]) == pytest.approx((0, 2), abs=0.15)
    assert sounding_seconds(samples[10 * RATE :]) == pytest.approx((20, 22), abs=0.15)
    (note,) = [note for note in notes if note.kind == "gap"]
    assert (note.start, note.end) == pytest.approx((2, 30), abs=0.15)


def test_sound_that_starts_after_the_picture():
    film = with_ffmpeg([(5, voice(2, rate=48000))], form="matroska", codec="libopus", rate=48000, frame=960, video=8)
    assert sounding_seconds(read_recording(film)[0]) == pytest.approx((5, 7), abs=0.2)


def test_tracks_are_a_choice_and_told():
    film = with_ffmpeg([(0, voice(1, rate=48000))], form="matroska", codec="libopus", rate=48000, frame=960, tracks=2)
    samples, notes = read_recording(film)
    assert kinds(notes) == ["tracks"]
    assert "2 audio tracks" in notes[0].message
    np.testing.assert_allclose(read_recording(film, track=2)[0], samples, atol=1e-4)
    with pytest.raises(AudioError, match="track 3"):
        read_recording(film, track=3)


def test_channels_that_cancel_are_told_from_silence():
    opposite = np.stack([voice(), -voice()], axis=1)
    samples, notes = read_recording(encoded(opposite, "WAV", "FLOAT"))
    np.testing.assert_array_equal(samples, opposite[:, 0])
    assert kinds(notes) == ["channels"]
    silent, notes = read_recording(encoded(np.zeros((RATE, 2), np.float32), "WAV"))
    assert not silent.any()
    assert notes == []


def test_one_channel_is_a_choice():
    both = np.stack([voice(), voice(pitch=330)], axis=1)
    np.testing.assert_array_equal(read_recording(encoded(both, "WAV", "FLOAT"), channel=2)[0], both[:, 1])
    with pytest.raises(AudioError, match="no channel 3"):
        read_recording(encoded(both, "WAV"), channel=3)


@pytest.mark.parametrize("name", [b"caf\xe9.wav", b"a\nb.wav", "日本.wav".encode(), b"a.raw", b" x .flac"])
def test_file_names_of_any_bytes(tmp_path, name):
    path = os.fsencode(tmp_path) + b"/" + name
    with open(path, "wb") as file:
        file.write(encoded(voice(), "WAV"))
    assert len(read_recording(os.fsdecode(path))[0]) == 2 * RATE


class Unseekable(io.BytesIO):
    def seekable(self):
        return False


@pytest.mark.parametrize("source", [bytes, bytearray, io.BytesIO, Unseekable])
def test_bytes_and_file_objects(source):
    flac = encoded(voice(), "FLAC")
    np.testing.assert_array_equal(read_recording(source(flac))[0], read_recording(flac)[0])


@pytest.mark.parametrize("source", [None, 3, ["a.wav"], {"a": 1}])
def test_what_is_not_a_recording(source):
    with pytest.raises(AudioError, match=type(source).__name__):
        read_recording(source)


@pytest.mark.parametrize("empty", [b"", encoded(np.zeros(0, np.float32), "WAV"), b"OggS", b"RIFF\0\0\0\0WAVE"])
def test_files_without_sound(empty):
    with pytest.raises(AudioError):
        read_recording(empty)


@pytest.mark.parametrize(
    ("samples", "shape"),
    [
        (np.zeros(1000, np.float32), (1000, 1)),
        (np.zeros((1, 1000)), (1000, 1)),
        (np.zeros((1000, 1)), (1000, 1)),
        (np.zeros((2, 1000), np.int16), (1000, 2)),
        (np.zeros((1000, 8), np.float16), (1000, 8)),
        ([0.0] * 1000, (1000, 1)),
        (np.zeros(0, np.float32), (0, 1)),
    ],
)
def test_arrays_of_any_sensible_shape(samples, shape):
    array = channels_of(samples, RATE)
    assert array.shape == shape
    assert array.dtype == np.float32


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros((4, 5)),
        np.zeros((300, 400)),
        np.zeros((2, 3, 4)),
        np.array(1.0),
        np.zeros(9, bool),
        ["a", "b"],
        [[1], [2, 3]],
    ],
)
def test_arrays_that_are_not_sensible(samples):
    with pytest.raises(AudioError, match="samples"):
        channels_of(samples, RATE)


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int32, np.uint8, np.uint16])
def test_integers_are_scaled_by_their_type(kind):
    info = np.iinfo(kind)
    array = channels_of(np.array([info.min, (int(info.min) + int(info.max) + 1) // 2, info.max] * 10, kind), RATE)
    assert array[:3, 0] == pytest.approx([-1, 0, 1], abs=0.01)


@pytest.mark.parametrize("rate", [None, 0, -16000, True, 10_000_000])
def test_sample_rates_that_are_not_sensible(rate):
    with pytest.raises(AudioError, match="rate"):
        channels_of(np.zeros(100), rate)
