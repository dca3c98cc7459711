"""Conditions of a stress test: named changes of an utterance at several levels.

A level is a number on the scale of its condition; a condition without degrees has the single level 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from emofuse import degradations
from emofuse.audio import SAMPLE_RATE
from emofuse.errors import EmofuseError

Samples = np.ndarray
Generator = np.random.Generator


@dataclass(frozen=True)
class Utterance:
    """One row of a table, with the material that conditions need to change it.

    Attributes:
        key: of the row.
        language: ISO 639-1 code of the speech; None if unknown.
        samples: float32 (n,), 16 kHz; None without audio.
        text: transcript; None without text.
        recognised: transcript of a speech recogniser, if `text` is a human transcript.
        other_text: a different text, of another utterance.
        babble: makes a mix of other voices, (n,); None without other clips.
        corrupt: makes the text with a given word error rate, 0 to 1; None without text.
    """

    key: str
    language: str | None = None
    samples: Samples | None = None
    text: str | None = None
    recognised: str | None = None
    other_text: str | None = None
    babble: Callable[[], Samples] | None = None
    corrupt: Callable[[float], str] | None = None


@dataclass(frozen=True)
class Condition:
    """One way to make an utterance harder.

    Attributes:
        axis: meaning of a level, with its unit.
        levels: from easy to hard if they have that order, else rising.
        reads: modalities that a model must read for the condition to affect it.
        change: makes the utterance at a level; the generator has the same state at every level, so that only the level
            differs.
        applies: returns True if an utterance has what the condition needs.
    """

    axis: str
    levels: tuple[float, ...]
    reads: tuple[str, ...]
    change: Callable[[Utterance, float, Generator], Utterance]
    applies: Callable[[Utterance], bool]


def conditions_of(names: Sequence[str] | None) -> dict[str, Condition]:
    """Conditions by name; None: all.

    Raises:
        EmofuseError: a name is unknown.
    """
    if names is None:
        return dict(CONDITIONS)
    if unknown := [name for name in names if name not in CONDITIONS]:
        raise EmofuseError(f"Unknown stress condition {unknown[0]!r}. Choose from {', '.join(CONDITIONS)}.")
    return {name: CONDITIONS[name] for name in names}


def _sound(axis: str, levels: tuple[float, ...], change: Callable[[Samples, float, Generator], Samples]) -> Condition:
    """Condition that changes only the samples."""

    def changed(utterance: Utterance, level: float, rng: Generator) -> Utterance:
        assert utterance.samples is not None
        return replace(utterance, samples=change(utterance.samples, level, rng))

    return Condition(axis, levels, ("audio",), changed, lambda utterance: utterance.samples is not None)


def _noise(slope: float) -> Callable[[Samples, float, Generator], Samples]:
    def change(samples: Samples, snr: float, rng: Generator) -> Samples:
        noise = degradations.colour_noise(rng.standard_normal(len(samples)), slope, flat_below=50)
        return degradations.add_noise(samples, noise, snr)

    return change


def _babble(utterance: Utterance, snr: float, _: Generator) -> Utterance:
    assert utterance.samples is not None and utterance.babble is not None
    return replace(utterance, samples=degradations.add_noise(utterance.samples, utterance.babble(), snr))


def _room(samples: Samples, rt60: float, rng: Generator) -> Samples:
    white = rng.standard_normal(round(_LONGEST_ECHO * SAMPLE_RATE))  # the same noise at every level
    return degradations.add_reverberation(samples, white[: round(rt60 * SAMPLE_RATE)], rt60=rt60, below=0)


def _telephone(samples: Samples, _: float, __: Generator) -> Samples:
    narrow = degradations.band_pass(samples, 300, 3400, order=4)
    return degradations.apply_mu_law(degradations.limit_peak(narrow))


def _codec(name: Literal["mp3", "opus"]) -> Callable[[Samples, float, Generator], Samples]:
    return lambda samples, kbps, _: degradations.apply_codec(degradations.limit_peak(samples), name, kbps)


def _corrupted(utterance: Utterance, wer: float, _: Generator) -> Utterance:
    assert utterance.corrupt is not None
    return replace(utterance, text=utterance.corrupt(wer))


def _has_text(utterance: Utterance) -> bool:
    return utterance.text is not None


def _has_both(utterance: Utterance) -> bool:
    return utterance.samples is not None and utterance.text is not None


_LONGEST_ECHO = 1.2  # seconds
_SNRS = (30.0, 20.0, 15.0, 10.0, 5.0, 0.0, -5.0)
_BOTH = ("audio", "text")

CONDITIONS = {
    "white_noise": _sound("SNR (dB)", _SNRS, _noise(0.0)),
    "pink_noise": _sound("SNR (dB)", _SNRS, _noise(0.5)),
    "babble": Condition("SNR (dB)", _SNRS, ("audio",), _babble, lambda utterance: utterance.babble is not None),
    "reverberation": _sound("RT60 (s), echo as strong as the direct sound", (0.2, 0.4, 0.6, 0.8, 1.0, 1.2), _room),
    "telephone": _sound("300-3400 Hz, mu-law", (1.0,), _telephone),
    "mp3": _sound("MP3 (kbit/s)", (64.0, 32.0, 16.0, 8.0), _codec("mp3")),
    "opus": _sound("Opus (kbit/s)", (32.0, 16.0, 8.0, 6.0), _codec("opus")),
    "gain": _sound("gain (dB)", (-40.0, -30.0, -20.0, -10.0, 10.0, 20.0), lambda x, gain, _: x * 10 ** (gain / 20)),
    "clipping": _sound("too loud by (dB)", (6.0, 12.0, 18.0, 24.0), lambda x, over, _: degradations.clip(x, over)),
    "crop": _sound("middle (s)", (3.0, 2.0, 1.5, 1.0, 0.5), lambda x, seconds, _: degradations.take_middle(x, seconds)),
    "speed": _sound("speed", (0.8, 0.9, 1.1, 1.25), lambda x, factor, _: degradations.change_speed(x, factor)),
    "wer": Condition("word error rate", (0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0), ("text",), _corrupted, _has_text),
    "asr": Condition(
        "recognised, not human text",
        (1.0,),
        ("text",),
        lambda utterance, _, __: replace(utterance, text=utterance.recognised),
        lambda utterance: utterance.recognised is not None,
    ),
    "other_text": Condition(
        "text of another utterance",
        (1.0,),
        ("text",),
        lambda utterance, _, __: replace(utterance, text=utterance.other_text),
        lambda utterance: _has_text(utterance) and utterance.other_text is not None,
    ),
    "no_text": Condition(
        "without its text", (1.0,), _BOTH, lambda utterance, _, __: replace(utterance, text=None), _has_both
    ),
    "no_audio": Condition(
        "without its audio", (1.0,), _BOTH, lambda utterance, _, __: replace(utterance, samples=None), _has_both
    ),
}
