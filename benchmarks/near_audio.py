"""How well near copies of clips are told from other clips: similarity of re-encoded copies, and of what is no copy.

    python benchmarks/near_audio.py --data FOLDER [--clips 150]     # FOLDER holds ravdess/ and nemo/

Copies: every form below of `--clips` clips drawn from both corpora by seed. No copies: all pairs of different clips of
both corpora whose durations are within the limit of the audit.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr

from emofuse.audio import SAMPLE_RATE, AudioError, read_audio
from emofuse.corpora import read_corpus
from emofuse.corpora.checks.near_audio import SECONDS_APART, SIMILARITY, fingerprint

RNG = np.random.default_rng(0)


def by_libsndfile(kind: str, subtype: str) -> Callable[[np.ndarray], np.ndarray]:
    def code(samples: np.ndarray) -> np.ndarray:
        rate = 48000 if subtype == "OPUS" else SAMPLE_RATE
        file = io.BytesIO()
        soundfile.write(file, soxr.resample(samples, SAMPLE_RATE, rate), rate, format=kind, subtype=subtype)
        file.seek(0)
        coded, rate = soundfile.read(file, dtype="float32")
        return soxr.resample(coded, rate, SAMPLE_RATE)

    return code


def by_ffmpeg(codec: str, container: str, bit_rate: int) -> Callable[[np.ndarray], np.ndarray]:
    def code(samples: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        with av.open(file, "w", format=container) as out:
            stream = out.add_stream(codec, rate=48000, layout="mono", bit_rate=bit_rate)
            resampled = soxr.resample(samples, SAMPLE_RATE, 48000)
            frame = av.AudioFrame.from_ndarray(resampled[None].astype(np.float32), format="fltp", layout="mono")
            frame.sample_rate = 48000
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        file.seek(0)
        to_float = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)
        with av.open(file) as coded:
            parts = [part.to_ndarray()[0] for f in coded.decode(audio=0) for part in to_float.resample(f)]
        return np.concatenate(parts)

    return code


def telephone(samples: np.ndarray) -> np.ndarray:
    return soxr.resample(soxr.resample(samples, SAMPLE_RATE, 8000), 8000, SAMPLE_RATE)


def noisy(samples: np.ndarray) -> np.ndarray:
    return samples + RNG.normal(0, samples.std() * 10 ** (-30 / 20), len(samples)).astype(np.float32)


def cut(samples: np.ndarray) -> np.ndarray:
    return samples[SAMPLE_RATE // 20 : -SAMPLE_RATE // 20]


FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Vorbis": by_libsndfile("OGG", "VORBIS"),
    "MP3": by_libsndfile("MP3", "MPEG_LAYER_III"),
    "Opus": by_libsndfile("OGG", "OPUS"),
    "Opus, 12 kbit/s": by_ffmpeg("libopus", "ogg", 12_000),
    "AAC, 32 kbit/s": by_ffmpeg("aac", "adts", 32_000),
    "gain of -12 dB": lambda samples: samples / 4,
    "60 ms later": lambda samples: np.pad(samples, (SAMPLE_RATE * 60 // 1000, 0)),
    "telephone band (8 kHz)": telephone,
    "noise at 30 dB SNR": noisy,
    "50 ms cut at both ends": cut,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=150)
    options = parser.parse_args()
    files = [f for name in ("ravdess", "nemo") for f in read_corpus(name, options.data / name)["file"]]
    prints, seconds = [], []
    for file in files:
        samples = read_audio(file)
        prints.append(fingerprint(samples))
        seconds.append(len(samples) / SAMPLE_RATE)
    print(f"limit of similarity {SIMILARITY}; {len(files)} clips\n\nno copies: {highest(prints, seconds)}\n")
    chosen = np.random.default_rng(1).choice(len(files), options.clips, replace=False)
    for name, change in FORMS.items():
        alike = []
        for i in chosen:
            try:
                alike.append(cosine(prints[i], fingerprint(change(read_audio(files[i])))))
            except AudioError:
                alike.append(0.0)
        found = np.mean(np.array(alike) >= SIMILARITY)
        print(f"{name:<24} least {min(alike):.3f}, found {found:.1%} of {len(alike)}")


def highest(prints: list[np.ndarray], seconds: list[float]) -> str:
    """The most alike of all pairs of different clips of like length."""
    order = np.argsort(seconds, kind="stable")
    durations = np.array(seconds)[order]
    unit = np.array(prints, np.float32)[order]
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-6)
    best, pairs = -1.0, 0
    for i in range(len(order) - 1):
        last = np.searchsorted(durations, durations[i] + SECONDS_APART, side="right")
        if last > i + 1:
            best, pairs = max(best, float((unit[i + 1 : last] @ unit[i]).max())), pairs + last - i - 1
    return f"at most {best:.3f} over {pairs:,} pairs"


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    a, b = first.astype(float), second.astype(float)
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-6))


if __name__ == "__main__":
    main()
