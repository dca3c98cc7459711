"""Reading of every format, errors for what is no audio, and the log-Mel front end against librosa."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.audio import (
    MIN_SECONDS,
    SAMPLE_RATE,
    AudioError,
    FrontEnd,
    check_samples,
    log_mel,
    mel_filter_bank,
    read_audio,
    whisper_log_mel,
)
from emofuse.audio.reading import ends_before


def voice(seconds: float = 1.0, rate: int = SAMPLE_RATE) -> np.ndarray:
    """A gliding tone in noise: float32, (n,), the same in time at every rate but for the noise."""
    t = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0).standard_normal(t.size) * 0.01
    return (0.4 * np.sin(2 * np.pi * (200 + 150 * t) * t) + noise).astype(np.float32)


def encode(path: Path, codec: str, rate: int, samples: np.ndarray) -> Path:
    """Write mono samples through FFmpeg."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        convert = av.AudioResampler(format=stream.format.name, layout="mono", rate=rate)
        for converted in convert.resample(frame):
            container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
    return path


def best_lag(signal: np.ndarray, reference: np.ndarray) -> int:
    """Samples by which the signal comes after the reference, by cross-correlation."""
    return int(np.argmax(np.correlate(signal, reference, "full"))) - (reference.size - 1)


# Reading


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
def test_wav_sample_formats(tmp_path, subtype):
    soundfile.write(tmp_path / "a.wav", voice(), SAMPLE_RATE, subtype=subtype)
    samples = read_audio(tmp_path / "a.wav")
    assert samples.dtype == np.float32 and samples.shape == (SAMPLE_RATE,)
    np.testing.assert_allclose(samples, voice(), atol=0.02 if subtype in ("PCM_U8", "ULAW") else 1e-4)


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.mp3", "a.aiff", "a.au", "a.w64", "a.rf64", "a.caf"])
def test_formats_of_libsndfile(tmp_path, name):
    soundfile.write(tmp_path / name, voice(), SAMPLE_RATE)
    samples = read_audio(tmp_path / name)
    assert abs(samples.size - SAMPLE_RATE) <= 1200
    assert best_lag(samples, voice()) == 0


@pytest.mark.parametrize(
    ("name", "codec", "rate"), [("a.m4a", "aac", 44100), ("a.mp4", "aac", 48000), ("a.webm", "libopus", 48000)]
)
def test_formats_of_ffmpeg(tmp_path, name, codec, rate):
    path = encode(tmp_path / name, codec, rate, voice(rate=rate))
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.info(path)
    samples = read_audio(path)
    assert samples.dtype == np.float32
    assert abs(samples.size - SAMPLE_RATE) <= 1000  # encoders fill their last frame
    assert abs(best_lag(samples, voice())) <= 16  # 1 ms
    part = read_audio(path, start=0.25, end=0.75)
    assert part.size == 8000
    np.testing.assert_allclose(part[200:-200], samples[4200:11800], atol=1e-3)


def test_ending_does_not_matter(tmp_path):
    soundfile.write(tmp_path / "a.wav", voice(), SAMPLE_RATE)
    for name in ("a.raw", "a", "ä ö:1.mp4"):
        (tmp_path / name).write_bytes((tmp_path / "a.wav").read_bytes())
        np.testing.assert_array_equal(read_audio(tmp_path / name), read_audio(str(tmp_path / "a.wav")))


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000, 192000])
def test_sample_rates(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", voice(rate=rate), rate, subtype="FLOAT")
    samples = read_audio(tmp_path / "a.wav")
    assert samples.size == SAMPLE_RATE
    np.testing.assert_array_equal(samples, soxr.resample(voice(rate=rate), rate, SAMPLE_RATE, quality="HQ"))


def test_channels_are_averaged(tmp_path):
    channels = np.stack([voice() * gain for gain in np.linspace(0.1, 0.8, 8)], axis=1)  # (frames, 8)
    soundfile.write(tmp_path / "a.wav", channels, SAMPLE_RATE, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), voice() * 0.45, atol=1e-6)


def test_eight_channels_at_192_khz(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.repeat(voice(rate=192000)[:, None], 8, axis=1), 192000)
    assert read_audio(tmp_path / "a.wav").size == SAMPLE_RATE


@settings(max_examples=20, deadline=None)
@given(channels=st.sampled_from([1, 2, 4, 8]), n=st.integers(1600, 4000))
def test_identical_channels_are_one_channel(tmp_path_factory, channels, n):
    path = tmp_path_factory.getbasetemp() / "identical.wav"
    soundfile.write(path, np.repeat(voice()[:n, None], channels, axis=1), SAMPLE_RATE, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(path), voice()[:n])


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_segment_is_that_part(tmp_path, name):
    soundfile.write(tmp_path / name, voice(9), SAMPLE_RATE, subtype="PCM_24")
    whole = read_audio(tmp_path / name)
    np.testing.assert_array_equal(read_audio(tmp_path / name, start=0.25, end=8.75), whole[4000:140000])
    np.testing.assert_array_equal(read_audio(tmp_path / name, start=8.5), whole[136000:])
    np.testing.assert_array_equal(read_audio(tmp_path / name, end=len(whole) / 16000 + 0.04), whole)
    np.testing.assert_array_equal(read_audio(tmp_path / name, start=float("nan"), end=float("nan")), whole)


def test_segment_is_sought_not_decoded(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", voice(60), SAMPLE_RATE)
    counts = []
    read = soundfile.SoundFile.read

    def counting(self, *args, **kwargs):
        counts.append(len(block := read(self, *args, **kwargs)))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    read_audio(tmp_path / "a.wav", start=50, end=51)
    assert sum(counts) == SAMPLE_RATE


# What is no audio


def rejects(path: Path, *parts: str, **segment: float) -> None:
    with pytest.raises(AudioError) as caught:
        read_audio(path, **segment)
    for part in (str(path), *parts):
        assert part in str(caught.value)


def test_missing_file_folder_and_empty_file(tmp_path):
    rejects(tmp_path / "a.wav", "there is no such file")
    rejects(tmp_path, "folder")
    os.mkfifo(tmp_path / "pipe")
    rejects(tmp_path / "pipe", "not a regular file")
    (tmp_path / "empty.wav").touch()
    rejects(tmp_path / "empty.wav", "empty", "0 bytes")


def test_no_permission(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", voice(), SAMPLE_RATE)

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # a mode of 000 does not stop root
    rejects(tmp_path / "a.wav", "Permission denied")


def test_text_and_noise_named_wav(tmp_path):
    (tmp_path / "text.wav").write_text("This is no audio.\n" * 100)
    rejects(tmp_path / "text.wav", "no sound", "Expected")
    (tmp_path / "bytes.mp3").write_bytes(np.random.default_rng(0).bytes(5000))
    rejects(tmp_path / "bytes.mp3")


def test_script_that_names_other_files_is_no_audio(tmp_path):
    encode(tmp_path / "secret.m4a", "aac", 44100, voice(rate=44100))
    (tmp_path / "script.wav").write_text("ffconcat version 1.0\nfile secret.m4a\n")
    rejects(tmp_path / "script.wav", "no sound")


def test_video_without_sound(tmp_path):
    import av

    with av.open(str(tmp_path / "mute.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    rejects(tmp_path / "mute.mp4", "no audio track")


@pytest.mark.parametrize("share", [0.3, 0.5, 0.97])
def test_truncated_wav(tmp_path, share):
    soundfile.write(tmp_path / "whole.wav", voice(2), SAMPLE_RATE)
    whole = (tmp_path / "whole.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: 44 + int(share * (len(whole) - 44))])
    rejects(tmp_path / "cut.wav", "truncated", f"{2 * share:.2f} s of 2.00 s")


def test_wav_cut_within_its_header(tmp_path):
    soundfile.write(tmp_path / "a.wav", voice(), SAMPLE_RATE)
    whole = (tmp_path / "a.wav").read_bytes()
    for length in (3, 11, 19, 30, 43):
        (tmp_path / "a.wav").write_bytes(whole[:length])
        rejects(tmp_path / "a.wav")


@pytest.mark.parametrize("announced", [0xFFFFFFFF, 0x7FFFF000, 0x80000000])
def test_wav_from_a_pipe_announces_no_length(tmp_path, announced):
    soundfile.write(tmp_path / "a.wav", voice(), SAMPLE_RATE)
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[40:44] = struct.pack("<I", announced)
    (tmp_path / "a.wav").write_bytes(content)
    assert read_audio(tmp_path / "a.wav").size == SAMPLE_RATE


def test_wav_with_other_chunks_is_whole(tmp_path):
    soundfile.write(tmp_path / "a.wav", voice(), SAMPLE_RATE)
    content = (tmp_path / "a.wav").read_bytes()
    odd = b"LIST" + struct.pack("<I", 5) + b"INFOx\0"
    (tmp_path / "a.wav").write_bytes(content[:36] + odd + content[36:] + odd)
    assert read_audio(tmp_path / "a.wav").size == SAMPLE_RATE


def test_damaged_flac(tmp_path):
    soundfile.write(tmp_path / "a.flac", voice(5), SAMPLE_RATE)
    whole = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(whole[: len(whole) // 2])
    rejects(tmp_path / "a.flac", "damaged")


@pytest.mark.parametrize("n", [0, 1, 160, 1599])
def test_too_short(tmp_path, n):
    soundfile.write(tmp_path / "a.wav", voice()[:n], SAMPLE_RATE)
    rejects(tmp_path / "a.wav", "no s" if n == 0 else "Expected at least 0.1 s")


def test_shortest_clip_is_read(tmp_path):
    soundfile.write(tmp_path / "a.wav", voice(MIN_SECONDS), SAMPLE_RATE)
    assert read_audio(tmp_path / "a.wav").size == 1600


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate", [SAMPLE_RATE, 48000])
def test_nan_and_infinite_samples(tmp_path, bad, rate):
    samples = voice(rate=rate)
    samples[rate // 2] = bad
    soundfile.write(tmp_path / "a.wav", samples, rate, subtype="FLOAT")
    rejects(tmp_path / "a.wav", "NaN or infinite")


@pytest.mark.parametrize("level", [0.0, 0.5, 2 / 32768])
def test_silence(tmp_path, level):
    """Zeros, a constant offset, and dither."""
    samples = np.full(SAMPLE_RATE, level, np.float32)
    if level == 2 / 32768:
        samples *= np.random.default_rng(0).choice([-1, 1], SAMPLE_RATE)
    soundfile.write(tmp_path / "a.wav", samples, SAMPLE_RATE)
    rejects(tmp_path / "a.wav", "silence")


def test_quiet_voice_is_no_silence(tmp_path):
    soundfile.write(tmp_path / "a.wav", voice() * 1e-3, SAMPLE_RATE)
    assert read_audio(tmp_path / "a.wav").size == SAMPLE_RATE


def test_a_segment_that_ends_after_the_recording_is_not_shortened(tmp_path):
    soundfile.write(tmp_path / "a.wav", voice(2), SAMPLE_RATE)
    rejects(tmp_path / "a.wav", "segment ends at 2.1 s", "recording ends at 2.00 s", start=1.0, end=2.1)
    for name, codec in (("a.m4a", "aac"), ("a.webm", "libopus")):
        path = encode(tmp_path / name, codec, 48000, voice(2, 48000))
        assert read_audio(path, start=1.0, end=2.1).size <= 1.1 * SAMPLE_RATE  # coders pad the last frame
        rejects(path, "segment ends at 3 s", "recording ends at 2.0", start=1.0, end=3.0)


def test_whether_a_recording_is_long_enough(tmp_path):
    soundfile.write(tmp_path / "a.wav", voice(2), SAMPLE_RATE)
    soundfile.write(tmp_path / "a.mp3", voice(2, 44100), 44100)
    paths = [tmp_path / "a.wav", tmp_path / "a.mp3"]
    paths += [encode(tmp_path / "a.m4a", "aac", 44100, voice(2, 44100))]
    paths += [encode(tmp_path / "a.webm", "libopus", 48000, voice(2, 48000))]
    for path in paths:
        assert ends_before(path, 2.0) is None and ends_before(path, 2.04) is None
        assert ends_before(path, 3.0).seconds == pytest.approx(2, abs=0.1)
    (tmp_path / "b.wav").write_text("This is not a recording.")
    assert ends_before(tmp_path / "b.wav", 2.0) is None and ends_before(tmp_path / "none.wav", 2.0) is None


def test_headers_of_compressed_formats_are_not_trusted_to_be_short(tmp_path, monkeypatch):
    """FFmpeg estimates the duration of some files by their bit rate."""
    soundfile.write(tmp_path / "a.mp3", voice(2, 44100), 44100)
    monkeypatch.setattr("emofuse.audio.reading._header_seconds", lambda path: (1.0, False))
    assert ends_before(tmp_path / "a.mp3", 2.0) is None and ends_before(tmp_path / "a.mp3", 2.5) is not None


def test_segments_that_cannot_be(tmp_path):
    soundfile.write(tmp_path / "a.wav", voice(2), SAMPLE_RATE)
    rejects(tmp_path / "a.wav", "start < end", start=1.0, end=0.5)
    rejects(tmp_path / "a.wav", "start < end", start=1.0, end=1.0)
    rejects(tmp_path / "a.wav", "start < end", start=-1.0)
    rejects(tmp_path / "a.wav", "start < end", start=float("inf"))
    rejects(tmp_path / "a.wav", "starts at 5 s", "ends at 2.00 s", start=5.0)
    rejects(tmp_path / "a.wav", "1 s to 1.05 s", "Expected at least", start=1.0, end=1.05)
    path = encode(tmp_path / "a.m4a", "aac", 44100, voice(2, 44100))
    rejects(path, "starts at 5 s", "ends at 2.0", start=5.0)


def test_arrays_that_are_no_audio():
    check_samples(voice(), "clip")
    check_samples(voice().astype(np.float64), "clip")
    for samples, part in [
        (np.zeros((2, SAMPLE_RATE), np.float32), "one channel"),
        ((voice() * 32767).astype(np.int16), "floating-point"),
        (voice() * 32767, "32768"),
    ]:
        with pytest.raises(AudioError, match=part) as caught:
            check_samples(samples, "clip")
        assert str(caught.value).startswith("clip: ")


# Front end


def librosa_log_mel(samples: np.ndarray) -> np.ndarray:
    librosa = pytest.importorskip("librosa")
    mel = librosa.feature.melspectrogram(
        y=samples, sr=16000, n_fft=512, hop_length=160, n_mels=64, fmin=50, fmax=8000, pad_mode="reflect"
    )
    return librosa.power_to_db(mel, ref=1.0, amin=1e-10, top_db=None).T


def test_filter_bank_is_librosas():
    librosa = pytest.importorskip("librosa")
    for front_end in (FrontEnd(), FrontEnd(n_mels=40, fmin=0, fmax=4000), FrontEnd(n_fft=1024, n_mels=80)):
        bank = mel_filter_bank(front_end)
        expected = librosa.filters.mel(
            sr=16000, n_fft=front_end.n_fft, n_mels=front_end.n_mels, fmin=front_end.fmin, fmax=front_end.fmax
        )
        assert bank.dtype == np.float32 and bank.shape == (front_end.n_fft // 2 + 1, front_end.n_mels)
        np.testing.assert_allclose(bank, expected.T, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("n", [1600, 1601, 1759, 1760, 20479, 20480, 47999])
@pytest.mark.parametrize("gain", [1.0, 1e-4])
def test_log_mel_is_librosas(n, gain):
    samples = (np.random.default_rng(n).uniform(-1, 1, n) * gain).astype(np.float32)
    np.testing.assert_allclose(log_mel(samples), librosa_log_mel(samples), atol=1e-4, rtol=0)


def test_log_mel_has_a_floor():
    np.testing.assert_allclose(log_mel(np.zeros(1600, np.float32)), -100, rtol=1e-6)


def test_log_mel_does_not_change_its_input():
    samples = voice()
    log_mel(samples)
    np.testing.assert_array_equal(samples, voice())


def test_log_mel_rejects_what_it_cannot_reflect():
    for samples in (np.zeros(256, np.float32), np.zeros((1, 16000), np.float32)):
        with pytest.raises(AudioError):
            log_mel(samples)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1600, 50000), hop=st.sampled_from([80, 160, 200]))
def test_number_of_frames(n, hop):
    assert log_mel(np.zeros(n, np.float32), FrontEnd(hop=hop)).shape == (1 + n // hop, 64)


@settings(max_examples=30, deadline=None)
@given(shift=st.integers(1, 60), n=st.integers(20000, 60000))
def test_frames_do_not_depend_on_their_place(shift, n):
    """Frames away from the ends are the same wherever the clip starts, across chunks."""
    samples = np.random.default_rng(n).standard_normal(n).astype(np.float32)
    part = log_mel(samples[shift * 160 :])[2:-2]
    np.testing.assert_allclose(part, log_mel(samples)[shift + 2 : shift + 2 + len(part)], atol=1e-4)


def test_hash_tells_front_ends_apart():
    assert FrontEnd().hash == FrontEnd().hash == FrontEnd(**FrontEnd().to_dict()).hash
    changed = [FrontEnd(n_mels=80), FrontEnd(hop=320), FrontEnd(fmin=0.0), FrontEnd(fmax=7600.0), FrontEnd(n_fft=1024)]
    assert len({front_end.hash for front_end in [FrontEnd(), *changed]}) == 6


def test_import_is_cheap():
    code = (
        "import sys, emofuse.audio; "
        "print(*{'soundfile', 'soxr', 'av', 'torch', 'pandas', 'scipy', 'librosa'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


@pytest.mark.data
@pytest.mark.skipif("EMOFUSE_DATA" not in os.environ, reason="EMOFUSE_DATA names no folder of corpora")
def test_real_clips():
    root = Path(os.environ["EMOFUSE_DATA"])
    clips = [sorted((root / "ravdess").rglob("*.flac"))[::300], sorted((root / "nemo").rglob("*.opus"))[::900]]
    for clip in [*clips[0], *clips[1]]:
        samples = read_audio(clip)
        expected = librosa_log_mel(samples)
        loud = expected > expected.max(axis=1, keepdims=True) - 50
        assert np.abs(log_mel(samples) - expected)[loud].max() < 1e-4


def test_log_mel_of_whisper_is_that_of_the_recogniser():
    from faster_whisper.feature_extractor import FeatureExtractor

    padded = np.pad(voice(1.5), (0, 456_000))  # to 30 s
    np.testing.assert_allclose(whisper_log_mel(padded), FeatureExtractor()(padded)[:, :3000], atol=1e-5)
    assert whisper_log_mel(voice(1.5)).shape == (80, 150)
