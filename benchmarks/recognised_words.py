"""How often speech in another language, or no speech at all, is taken for English words, and what `distrust` keeps.

    python benchmarks/recognised_words.py --data FOLDER [--clips 60] [--model whisper-base]

English, Polish and German clips (RAVDESS, nEMO and EMO-DB below FOLDER) are transcribed one by one, each as if it were
a recording: clean, with pink noise at 5 dB, and cut to one second in the middle. Sounds that are not speech are made
up, 6 s each, and transcribed twice: with detection of the language, and as if the user had said that it is English.

Prints a Markdown table: clips, clips with words that count as English, and those of them that `distrust` lets pass;
for the two other languages also the clips whose own words pass.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy.signal import butter, sosfilt

from emofuse.audio import SAMPLE_RATE, read_audio
from emofuse.corpora import read_corpus
from emofuse.degradations import add_noise, colour_noise
from emofuse.encoders.recogniser import Transcriber, Transcript, distrust
from emofuse.words import has_words

LANGUAGES = {"ravdess": "en", "nemo": "pl", "emodb": "de"}
SECONDS = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=60, help="of each corpus")
    parser.add_argument("--model", default="whisper-base")
    options = parser.parse_args()
    transcriber = Transcriber(options.model)
    clips = {name: list(read_clips(name, options.data / name, options.clips)) for name in LANGUAGES}
    print("| sound | condition | n | taken for English | English words used | words of its language used |")
    print("|---|---|---|---|---|---|")
    for condition, change in conditions().items():
        for name, language in LANGUAGES.items():
            print_row(
                f"{name} ({language})", condition, [transcriber.transcribe(change(c)) for c in clips[name]], language
            )
    sounds = list(made_up_sounds(options.clips // 10 or 1))
    for condition, language in (("language detected", None), ("language given", "en")):
        print_row("not speech", condition, [transcriber.transcribe(sound, language) for sound in sounds], None)


def print_row(sound: str, condition: str, transcripts: list[Transcript], language: str | None) -> None:
    def count(code: str | None, *, trusted: bool) -> int:
        return sum(
            one.language == code and has_words(one.text) and not (trusted and distrust(one)) for one in transcripts
        )

    own = "" if language in (None, "en") else count(language, trusted=True)
    english = count("en", trusted=False), count("en", trusted=True)
    print(f"| {sound} | {condition} | {len(transcripts)} | {english[0]} | {english[1]} | {own} |", flush=True)


def read_clips(name: str, root: Path, n: int) -> Iterator[np.ndarray]:
    table = read_corpus(name, root).sample(n, random_state=0).sort_values("speaker")
    return (read_audio(root / file) for file in table["file"])


def conditions() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    rng = np.random.default_rng(0)

    def add_pink_noise(samples: np.ndarray) -> np.ndarray:
        noise = colour_noise(rng.normal(size=len(samples)), 0.5, flat_below=50)
        return add_noise(samples, noise, 5).astype(np.float32)

    def cut_middle(samples: np.ndarray) -> np.ndarray:
        first = max(0, len(samples) // 2 - SAMPLE_RATE // 2)
        return samples[first : first + SAMPLE_RATE]

    return {"clean": lambda samples: samples, "noise, 5 dB": add_pink_noise, "1 s": cut_middle}


def made_up_sounds(n_each: int) -> Iterator[np.ndarray]:
    """Mains hum, struck tones, a melody, breathing, a hummed voice, and white noise, `n_each` of each."""
    t = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    for seed in range(n_each):
        rng = np.random.default_rng(seed)
        white = rng.normal(size=len(t))
        scale = 220 * 2 ** (rng.choice([0, 2, 4, 5, 7, 9, 11, 12], size=SECONDS * 4) / 12)  # Hz, four notes a second
        pitch = np.repeat(scale, SAMPLE_RATE // 4) * (1 + 0.01 * np.sin(2 * np.pi * 5.5 * t))
        voice = rng.uniform(100, 250)
        voice_phase = 2 * np.pi * np.cumsum(voice * (1 + 0.03 * np.sin(2 * np.pi * 0.7 * t))) / SAMPLE_RATE
        formant = rng.choice([300, 500, 700])
        breath = butter(2, [400 + 50 * (seed % 10), 1500 + 100 * (seed % 10)], "bandpass", fs=SAMPLE_RATE, output="sos")
        notes = [(220 * 2 ** (rng.integers(0, 24) / 12), start) for start in rng.uniform(0, 2, 3)]
        sounds = [
            harmonics(2 * np.pi * 50 * t, 5),
            sum(np.sin(2 * np.pi * hertz * t) * np.exp(-2 * ((t - start) % 2.0)) for hertz, start in notes),
            harmonics(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE, 7) * (0.3 + 0.7 * np.exp(-6 * (t % 0.25))),
            sosfilt(breath, white) * np.clip(np.sin(2 * np.pi * (0.3 + 0.05 * (seed % 10)) * t), 0, 1) ** 2,
            sum(np.sin(k * voice_phase) * np.exp(-(((k * voice - formant) / 300) ** 2)) for k in range(1, 20)),
            white / 2,
        ]
        yield from (np.asarray(0.1 * sound, np.float32) for sound in sounds)


def harmonics(phase: np.ndarray, n: int) -> np.ndarray:
    return np.sum([np.sin(k * phase) / k for k in range(1, n + 1)], axis=0)


if __name__ == "__main__":
    main()
