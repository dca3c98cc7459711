"""How often `ChannelComparison` is right, and what `mute_crosstalk` removes, on scenes composed of acted speech.

    python benchmarks/channels.py --data FOLDER --voices ravdess-odd ravdess-even nemo emodb [--scenes 10]

Prints, for each kind of scene, the expected verdict, how often it was given, and the others that were given. Then, for
calls with crosstalk, the seconds in which the speech detector finds speech in the channel of somebody who is speaking
(own), and in that of somebody who is silent (other), before and after crosstalk is muted.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from conversations import Conversation, compose, load_voices

from emofuse.audio import SAMPLE_RATE
from emofuse.audio.channels import ChannelComparison, mute_crosstalk
from emofuse.degradations import add_noise, add_reverberation, apply_mu_law, colour_noise
from emofuse.timeline.segments import find_utterances

Rng = np.random.Generator


class Scene(NamedTuple):
    """How two people's clean tracks (n, 2) become two channels (n, 2), and the verdict to expect."""

    expected: str
    record: Callable[[np.ndarray, Rng], np.ndarray]
    condition: str = "clean"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="holds the corpora")
    parser.add_argument("--voices", nargs="+", required=True, help="ravdess-odd, ravdess-even, nemo, emodb")
    parser.add_argument("--scenes", type=int, default=10, help="of each kind and set of voices")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=2000)
    options = parser.parse_args()
    voices = [load_voices(options.data, name) for name in options.voices]
    verdicts: dict[str, Counter[str]] = {name: Counter() for name in SCENES}
    found: dict[float, list[np.ndarray]] = {decibels: [] for decibels in CROSSTALK}
    for chosen in voices:
        for seed in range(options.seed, options.seed + options.scenes):
            for condition in ("clean", "overlap"):
                conversation = compose(chosen, people=2, seconds=options.seconds, condition=condition, seed=seed)
                for name, scene in SCENES.items():
                    if scene.condition == condition:
                        rng = np.random.default_rng(seed)
                        comparison = ChannelComparison()
                        comparison.add(scene.record(conversation.tracks.astype(np.float64), rng))
                        verdicts[name][comparison.verdict] += 1
                if condition == "clean":
                    for decibels in CROSSTALK:
                        found[decibels].append(speech_found(conversation, decibels, np.random.default_rng(seed)))
    print("| scene | expected | right | others |\n|---|---|---|---|")
    for name, scene in SCENES.items():
        right = verdicts[name].pop(scene.expected, 0)
        others = ", ".join(f"{verdict} {count}" for verdict, count in verdicts[name].items())
        print(f"| {name} | {scene.expected} | {right} of {len(voices) * options.scenes} | {others} |")
    print("| crosstalk | own, before | own, after | other, before | other, after |\n|---|---|---|---|---|")
    for decibels, seconds in found.items():
        print(f"| {decibels:g} dB | " + " | ".join(f"{value:.1f} s" for value in np.sum(seconds, axis=0)) + " |")


def speech_found(conversation: Conversation, decibels: float, rng: Rng) -> np.ndarray:
    """Seconds of speech by the detector: own before and after muting, other's before and after."""
    samples = noisy(crosstalk(conversation.tracks.astype(np.float64), decibels), rng, 30).astype(np.float32)
    comparison = ChannelComparison()
    comparison.add(samples)
    muted = np.concatenate(list(mute_crosstalk([samples], comparison)))
    own, other = [], []
    for channels in (samples, muted):
        sums = np.zeros(2)  # own, other
        for person, channel in enumerate(channels.T):
            for interval in find_utterances(channel):
                power = np.square(interval.samples_of(conversation.tracks)).mean(axis=0)
                sums[int(power[person] < power[1 - person])] += interval.seconds
        own.append(sums[0])
        other.append(sums[1])
    return np.array([*own, *other])


def noisy(tracks: np.ndarray, rng: Rng, snr: float = 15.0) -> np.ndarray:
    """Independent pink noise in each channel."""
    channels = [add_noise(one, colour_noise(rng.normal(size=len(one)), 0.5, flat_below=50.0), snr) for one in tracks.T]
    return np.stack(channels, axis=1)


def roomy(tracks: np.ndarray, rng: Rng, below: float = 6.0) -> np.ndarray:
    """A room (RT60 0.4 s) whose reverberation differs by channel."""
    n = int(0.4 * SAMPLE_RATE)
    channels = [add_reverberation(one, rng.normal(size=n), rt60=0.4, below=below) for one in tracks.T]
    return np.stack(channels, axis=1)


def telephone(tracks: np.ndarray) -> np.ndarray:
    return np.stack([apply_mu_law(one / max(1.0, np.abs(one).max())) for one in tracks.T], axis=1)


def crosstalk(tracks: np.ndarray, decibels: float) -> np.ndarray:
    gain = 10 ** (decibels / 20)
    return tracks @ np.array([[1, gain], [gain, 1]])


def late(tracks: np.ndarray, share: float) -> np.ndarray:
    """The second person says nothing in the first part of the recording."""
    tracks = tracks.copy()
    tracks[: round(share * len(tracks)), 1] = 0
    return tracks


def microphones(tracks: np.ndarray, rng: Rng) -> np.ndarray:
    """Two microphones 10 to 30 cm apart: each person with a delay and a level difference of up to 3 dB."""
    channels = np.stack([tracks.sum(axis=1)] * 2, axis=1)
    for person in range(2):
        delay = round(rng.uniform(0.1, 0.3) / 343 * SAMPLE_RATE) * (-1) ** person
        channels[:, 1] += 10 ** (rng.uniform(-3, 3) / 20) * np.roll(tracks[:, person], delay) - tracks[:, person]
    return channels


def music(tracks: np.ndarray, rng: Rng, below: float) -> np.ndarray:
    """One voice in the middle over chords whose notes are panned at random."""
    voice = tracks[:, :1]
    time = np.arange(len(voice)) / SAMPLE_RATE
    band = np.zeros((len(voice), 2))
    for start in np.arange(0, time[-1], 0.25):
        part = slice(round(start * SAMPLE_RATE), round((start + 1) * SAMPLE_RATE))
        decay = np.exp(-3 * (time[part] - start))
        pan = rng.uniform()
        note = 110 * 2 ** (rng.integers(36) / 12)
        tone = decay * sum(np.sin(2 * np.pi * note * k * time[part]) / k for k in range(1, 6))
        band[part] += tone[:, None] * [pan, 1 - pan]
    return voice + band * np.sqrt(np.square(voice).mean() / np.square(band).mean()) * 10 ** (-below / 20)


CROSSTALK = (-15.0, -20.0, -30.0, -40.0)  # dB
SCENES = {
    "call": Scene("different", lambda tracks, rng: tracks),
    "call, people overlap": Scene("different", lambda tracks, rng: tracks, "overlap"),
    "call, one line 20 dB quieter": Scene("different", lambda tracks, rng: noisy(tracks, rng, 25) * [1, 0.1]),
    "call, crosstalk at -20 dB": Scene("different", lambda tracks, rng: crosstalk(tracks, -20)),
    "call, crosstalk at -20 dB, noise 20 dB below": Scene(
        "different", lambda tracks, rng: noisy(crosstalk(tracks, -20), rng, 20), "overlap"
    ),
    "call, room and noise 15 dB below": Scene("different", lambda tracks, rng: noisy(roomy(tracks, rng), rng)),
    "call, noise 5 dB below": Scene("different", lambda tracks, rng: noisy(tracks, rng, 5)),
    "call, mu-law": Scene("different", lambda tracks, rng: telephone(tracks)),
    "call, one silent for 80 %": Scene("different", lambda tracks, rng: late(tracks, 0.8)),
    "call, one has noise only for 80 %": Scene("different", lambda tracks, rng: noisy(late(tracks, 0.8), rng)),
    "identical": Scene("same", lambda tracks, rng: tracks.sum(axis=1, keepdims=True) * [1, 1]),
    "level difference of 12 dB": Scene("same", lambda tracks, rng: tracks.sum(axis=1, keepdims=True) * [1, 0.25]),
    "two microphones": Scene("same", microphones),
    "two microphones in a room": Scene("same", lambda tracks, rng: roomy(microphones(tracks, rng), rng)),
    "two microphones in a noisy room": Scene(
        "same", lambda tracks, rng: noisy(roomy(microphones(tracks, rng), rng, 0), rng), "overlap"
    ),
    "one voice, music 10 dB below": Scene("same", lambda tracks, rng: music(tracks, rng, 10)),
    "one voice, music as loud": Scene("same", lambda tracks, rng: music(tracks, rng, 0)),
    "people panned 70/30": Scene("same", lambda tracks, rng: tracks @ np.array([[0.7, 0.3], [0.3, 0.7]])),
    "people panned 90/10": Scene("different", lambda tracks, rng: tracks @ np.array([[0.9, 0.1], [0.1, 0.9]])),
    "inverted": Scene("cancel", lambda tracks, rng: tracks.sum(axis=1, keepdims=True) * [1, -1]),
    "one channel empty": Scene("one silent", lambda tracks, rng: tracks * [1, 0]),
    "one channel has noise only": Scene(
        "one silent", lambda tracks, rng: tracks * [1, 0] + 1e-3 * rng.normal(size=tracks.shape)
    ),
}

if __name__ == "__main__":
    main()
