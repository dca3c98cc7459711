import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from emofuse.corpora.checks import audio as audio_checks
from emofuse.corpora.checks import near_audio
from emofuse.corpora.checks.audio import index_audio
from emofuse.corpora.checks.near_audio import SIMILARITY, fingerprint, near_copies, similarity
from emofuse.corpora.table import make_table


def speech(seed: int, seconds: float = 2.0) -> np.ndarray:
    """Noise in 16 bands that swell and fade like syllables."""
    rng = np.random.default_rng(seed)
    n = int(seconds * 16000)
    spectrum = np.fft.rfft(rng.normal(size=n))
    bands = np.array_split(np.arange(len(spectrum)), 16)
    total = np.zeros(n)
    for band in bands:
        part = np.zeros_like(spectrum)
        part[band] = spectrum[band]
        knots = rng.uniform(-30, 0, int(seconds * 4) + 2)
        envelope = np.interp(np.linspace(0, len(knots) - 1, n), np.arange(len(knots)), knots)
        total += np.fft.irfft(part, n) * 10 ** (envelope / 20)
    return (0.5 * total / np.abs(total).max()).astype(np.float32)


def table(files: dict[str, Path | None], **columns) -> pd.DataFrame:
    rows = [{"key": key, "file": str(file) if file else None, "text": "a"} for key, file in files.items()]
    return make_table(rows, "c").assign(**columns)


def write(path: Path, samples: np.ndarray) -> Path:
    soundfile.write(path, np.rint(samples * 32767).astype(np.int16), 16000)
    return path


def test_facts(tmp_path):
    loud = np.clip(speech(1) * 4, -1, 1)
    files = {
        "c/plain": write(tmp_path / "plain.wav", speech(1)),
        "c/flac": write(tmp_path / "plain.flac", speech(1)),
        "c/loud": write(tmp_path / "loud.wav", loud),
        "c/silent": write(tmp_path / "silent.wav", np.zeros(8000)),
        "c/short": write(tmp_path / "short.wav", speech(1)[:800]),
        "c/damaged": tmp_path / "damaged.wav",
        "c/absent": tmp_path / "absent.wav",
        "c/words": None,
    }
    files["c/damaged"].write_bytes(b"no audio at all")
    facts = index_audio(table(files), cache=tmp_path / "cache.sqlite")
    assert list(facts.index) == [key for key in files if key != "c/words"]
    assert facts.loc["c/plain", "samples_hash"] == facts.loc["c/flac", "samples_hash"]
    assert facts["samples_hash"].notna().tolist() == [True, True, True, False, False, False, False]
    assert facts.loc["c/plain", "seconds"] == 2.0
    assert facts.loc["c/plain", "peak"] == pytest.approx(0.5, abs=1e-3)
    assert facts.loc["c/plain", "clipped"] == 0
    assert facts.loc["c/loud", "clipped"] == pytest.approx((np.abs(loud) >= 0.99).mean(), abs=1e-4)
    assert facts["silent"].tolist() == [False, False, False, True, False, False, False]
    assert facts.loc["c/short", "seconds"] == 0.05
    assert "damaged.wav: it holds no sound" in facts.loc["c/damaged", "error"]
    assert "absent.wav: there is no such file" in facts.loc["c/absent", "error"]
    assert facts["error"].notna().sum() == 2


def test_segments_of_one_file_are_clips_of_their_own(tmp_path):
    file = write(tmp_path / "long.wav", speech(1, 4.0))
    df = table({"c/1": file, "c/2": file, "c/3": file}, start=[0.0, 2.0, np.nan], end=[2.0, np.nan, np.nan])
    facts = index_audio(df, cache=tmp_path / "cache.sqlite")
    assert facts["seconds"].tolist() == [2.0, 2.0, 4.0]
    assert facts["samples_hash"].nunique() == 3


def test_second_run_decodes_nothing_and_says_the_same(tmp_path, monkeypatch):
    df = table({f"c/{i}": write(tmp_path / f"{i}.wav", speech(i, 0.5)) for i in range(5)})
    first = index_audio(df, cache=tmp_path / "cache.sqlite")
    (tmp_path / "0.wav").rename(tmp_path / "moved.wav")
    df.loc[0, "file"] = str(tmp_path / "moved.wav")
    monkeypatch.setattr(audio_checks, "_measure", None)
    pd.testing.assert_frame_equal(index_audio(df, cache=tmp_path / "cache.sqlite"), first)


def test_changed_file_is_measured_again(tmp_path):
    df = table({"c/1": write(tmp_path / "1.wav", speech(1, 0.5))})
    first = index_audio(df, cache=tmp_path / "cache.sqlite")
    write(tmp_path / "1.wav", speech(2, 0.5))
    assert index_audio(df, cache=tmp_path / "cache.sqlite")["samples_hash"].item() != first["samples_hash"].item()


@pytest.mark.slow
def test_goes_on_after_a_kill(tmp_path):
    df = table({f"c/{i:02d}": write(tmp_path / f"{i:02d}.wav", speech(i, 0.3)) for i in range(40)})
    df.to_pickle(tmp_path / "table.pkl")
    code = """
        import sys, time, pandas as pd
        from emofuse.corpora.checks import audio as audio_checks
        audio_checks._AT_ONCE = 4
        measure = audio_checks._measure
        def slow(clip):
            time.sleep(0.05)
            return measure(clip)
        audio_checks._measure = slow
        audio_checks.index_audio(pd.read_pickle(sys.argv[1]), cache=sys.argv[2])
    """
    cache = tmp_path / "cache.sqlite"
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "table.pkl"), str(cache)]
    process = subprocess.Popen(command)
    while not _kept(cache) and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = _kept(cache)
    assert 0 < kept < 40
    facts = index_audio(df, cache=cache)
    assert _kept(cache) == 40
    pd.testing.assert_frame_equal(facts, index_audio(df, cache=tmp_path / "fresh.sqlite"))


def _kept(cache: Path) -> int:
    import sqlite3

    try:
        return sqlite3.connect(f"file:{cache}?mode=ro", uri=True).execute("SELECT count(*) FROM clips").fetchone()[0]
    except sqlite3.Error:
        return 0


def test_damaged_cache_is_set_aside(tmp_path):
    (tmp_path / "cache.sqlite").write_bytes(b"no database, but long enough to look at" * 10)
    df = table({"c/1": write(tmp_path / "1.wav", speech(1, 0.5))})
    assert index_audio(df, cache=tmp_path / "cache.sqlite")["seconds"].item() == 0.5
    assert (tmp_path / "cache.sqlite.damaged").read_bytes().startswith(b"no database")


def test_no_audio_at_all(tmp_path):
    assert len(index_audio(table({"c/1": None}), cache=tmp_path / "cache.sqlite")) == 0


def encoded(samples: np.ndarray, kind: str, subtype: str) -> np.ndarray:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 16000, format=kind, subtype=subtype)
    buffer.seek(0)
    return soundfile.read(buffer, dtype="float32")[0]


CHANGES = {
    "mp3": lambda x: encoded(x, "MP3", "MPEG_LAYER_III"),
    "vorbis": lambda x: encoded(x, "OGG", "VORBIS"),
    "opus": lambda x: encoded(x, "OGG", "OPUS"),
    "fainter": lambda x: encoded(x / 8, "WAV", "PCM_16"),
    "padded": lambda x: np.concatenate([np.zeros(1000, np.float32), x, np.zeros(1500, np.float32)]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_fingerprint_outlives(change):
    clips = [speech(i) for i in range(3)]
    prints = np.stack([fingerprint(clip) for clip in clips])
    changed = np.stack([fingerprint(CHANGES[change](clip)) for clip in clips])
    assert similarity(prints, changed).min() > SIMILARITY
    assert similarity(prints, changed[[1, 2, 0]]).max() < 0.7


def test_steady_and_very_short_sounds_are_like_nothing():
    tone = np.sin(np.arange(32000) * 0.2).astype(np.float32)
    assert not fingerprint(tone).any()
    assert not fingerprint(speech(1, 0.4)).any()
    assert near_copies(np.stack([fingerprint(tone)] * 2), np.array([2.0, 2.0]))[0].tolist() == []


def test_near_copies_agree_with_all_pairs(monkeypatch):
    monkeypatch.setattr("emofuse.corpora.checks.near_audio._BLOCK", 7)
    prints = np.stack([fingerprint(speech(i % 20)) for i in range(30)])
    seconds = np.random.default_rng(0).permutation(np.linspace(2, 2.5, 30))
    expected = [
        [i, j] for i in range(30) for j in range(i + 1, 30) if j - i == 20 and abs(seconds[i] - seconds[j]) <= 0.2
    ]
    pairs, alike = near_copies(prints, seconds)
    assert 0 < len(expected) < 10
    assert pairs.tolist() == expected
    assert alike == pytest.approx(1)


def test_fingerprints_are_those_of_the_stored_version():
    """Fingerprints are stored; if this test fails, the computation has changed, and `near_audio.VERSION` must too."""
    picture = fingerprint(speech(1)).reshape(80, 8).astype(int)
    assert np.flatnonzero(picture.any(axis=1))[[0, -1]].tolist() == [20, 60]
    expected = {
        20: [-11, 10, 21, 21, 25, 4, 3, -4],
        21: [0, 17, 24, 30, 38, 9, 13, -3],
        30: [26, 6, 1, 5, 10, -19, 7, -1],
        50: [-30, -11, -2, -7, -6, -17, -8, 4],
        60: [14, 15, 18, 15, 4, 12, 13, 2],
    }
    np.testing.assert_allclose(picture[list(expected)], list(expected.values()), atol=1)
    assert near_audio.VERSION == 1


@pytest.mark.parametrize(("seconds", "is_enough"), [(0.55, False), (0.62, True)])
def test_fingerprints_need_six_tenths_of_a_second_of_sound(seconds, is_enough):
    assert [fingerprint(speech(seed, seconds)).any() for seed in range(3)] == [is_enough] * 3


def fingerprint_pair(cosine: float) -> np.ndarray:
    """Two fingerprints with this similarity, which is also that of their coarse pictures."""
    rng = np.random.default_rng(0)
    one, other = (np.repeat(np.repeat(rng.normal(size=(40, 4)), 2, axis=0), 2, axis=1).ravel() for _ in range(2))
    other -= one * (one @ other) / (one @ one)
    other *= np.linalg.norm(one) / np.linalg.norm(other)
    second = cosine * one + np.sqrt(1 - cosine**2) * other
    return np.clip(np.rint(30 * np.stack([one, second])), -127, 127).astype(np.int8)


@pytest.mark.parametrize(("cosine", "is_copy"), [(0.93, False), (0.937, False), (0.943, True), (0.96, True)])
def test_limit_of_similarity_of_near_copies(cosine, is_copy):
    prints = fingerprint_pair(cosine)
    assert similarity(prints[:1], prints[1:])[0] == pytest.approx(cosine, abs=2e-3)
    assert len(near_copies(prints, np.array([2.0, 2.0]))[0]) == is_copy


@pytest.mark.parametrize(
    ("apart", "is_copy"), [(0.0, True), (0.19, True), (0.21, False), (-0.19, True), (-0.21, False)]
)
def test_limit_of_duration_of_near_copies(apart, is_copy):
    prints = fingerprint_pair(1.0)
    pairs, _ = near_copies(prints, np.array([2.0, 2.0 + apart]))
    assert pairs.tolist() == [[0, 1]] * is_copy


@pytest.mark.data
def test_repetitions_of_an_actor_are_no_copies(tmp_path):
    from emofuse.corpora import read_corpus

    if "EMOFUSE_DATA" not in os.environ:
        pytest.skip("EMOFUSE_DATA is not set")
    df = read_corpus("ravdess", Path(os.environ["EMOFUSE_DATA"]) / "ravdess")
    df = df[df["speaker"].isin(["ravdess/11", "ravdess/17", "ravdess/22"])]  # with the most alike of all
    df = df[df["original_emotion"].isin(["neutral", "sad", "fearful"])].reset_index(drop=True)
    copies = {}
    for key, file in zip(df["key"][::5], df["file"][::5], strict=True):
        samples, rate = soundfile.read(file, dtype="float32")
        copies[f"{key}-copy"] = tmp_path / f"{Path(file).stem}.ogg"
        soundfile.write(copies[f"{key}-copy"], samples / 2, rate)
    both = pd.concat([df, table(copies)], ignore_index=True)
    facts = index_audio(both, cache=tmp_path / "cache.sqlite")
    prints = np.frombuffer(b"".join(facts["fingerprint"]), np.int8).reshape(len(facts), -1)
    pairs, _ = near_copies(prints, facts["seconds"].to_numpy())
    found = {(facts.index[i], facts.index[j]) for i, j in pairs}
    assert found == {(key.removesuffix("-copy"), key) for key in copies}
