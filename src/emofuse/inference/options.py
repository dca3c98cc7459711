"""Options of a prediction, and what they may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypedDict

from emofuse.audio import Note
from emofuse.errors import EmofuseError
from emofuse.models.adapter import SpeakerProfile
from emofuse.segment import Segment
from emofuse.timeline.segments import MAX_SECONDS
from emofuse.words import language_code

MAX_UTTERANCE_SECONDS = 30.0
"""Longest segment that the model can judge at once, and longest recording with a single given text."""


class PredictOptions(TypedDict, total=False):
    """Options of `Predictor.__call__` and `Predictor.stream`.

    Attributes:
        sample_rate: sample rate in Hz, for samples only.
        language: language of the words, as code or English name (see `emofuse.words.language_code`); "mixed" if it
            changes within the recording; None to detect it. A given text that is too short for detection is assumed to
            be in a language that the model reads.
        start: predict only the recording from here, in seconds.
        end: predict only the recording up to here, in seconds; None for its end.
        segments: stretches to predict instead of utterances, with speakers and words where these are known.
        max_seconds: longest utterance, 1 to 30; longer ones are cut at their quietest places. 8 by default.
        window: predict windows of so many seconds instead of utterances, at most 30.
        hop: seconds from the start of a window to the start of the next; None for `window`.
        channels: "mix" (their average), "split" (each by itself), a number from 1, or "auto": split where two channels
            carry different voices, otherwise mix.
        speakers: how many people speak in the recording; "auto" to estimate it from its first ten minutes, cautiously;
            "off" not to tell them apart.
        track: number of the audio track of a file, from 1; None for the first.
        speaker: other audio of the same speaker, from `Predictor.speaker_profile`, which replaces the adaptation to the
            recording itself; or such audio for some of the speakers whom segments name.
        tell: is called with what a user should know of the recording.
        progress: is called with the second of the recording up to which it is done.
        refuse: is called with each given segment that cannot be predicted, and why; without it, that is an error.
    """

    sample_rate: int | None
    language: str | None
    start: float
    end: float | None
    segments: Sequence[Segment] | None
    max_seconds: float
    window: float | None
    hop: float | None
    channels: Literal["auto", "mix", "split"] | int
    speakers: Literal["auto", "off"] | int
    track: int | None
    speaker: SpeakerProfile | Mapping[str, SpeakerProfile] | None
    tell: Callable[[Note], None]
    progress: Callable[[float], None]
    refuse: Callable[[Segment, EmofuseError], None]


_DEFAULTS: PredictOptions = {
    "sample_rate": None,
    "language": None,
    "start": 0.0,
    "end": None,
    "segments": None,
    "max_seconds": MAX_SECONDS,
    "window": None,
    "hop": None,
    "channels": "auto",
    "speakers": "auto",
    "track": None,
    "speaker": None,
    "tell": lambda note: None,
    "progress": lambda seconds: None,
}


def checked_options(options: PredictOptions) -> PredictOptions:
    """The options with defaults for those that are missing, and the language as a code.

    Raises:
        EmofuseError: an option has no such value, or two do not go together.
        TypeError: there is no such option.
    """
    if unknown := set(options) - set(PredictOptions.__annotations__):
        raise TypeError(f"unexpected keyword arguments: {', '.join(sorted(unknown))}")
    checked: PredictOptions = {**_DEFAULTS, **options}
    language = checked["language"]
    if language is None or language.strip().lower() != "mixed":
        checked["language"] = language_code(language)
    if not 1 <= checked["max_seconds"] <= MAX_UTTERANCE_SECONDS:
        raise EmofuseError(f"The longest segment is {checked['max_seconds']:g} s. Expected 1 to 30 s.")
    _check_windows(checked)
    _check_voices(checked)
    return checked


def _check_windows(options: PredictOptions) -> None:
    window, hop = options["window"], options["hop"]
    if window is None:
        if hop is not None:
            raise EmofuseError("A hop needs a window: give both, or leave the hop out.")
        return
    if options["segments"] is not None:
        raise EmofuseError("Give segments or a window, not both.")
    options["hop"] = hop = window if hop is None else hop
    if not 0.5 <= window <= MAX_UTTERANCE_SECONDS or not hop >= 0.1:
        raise EmofuseError(
            f"The window is {window:g} s and the hop {hop:g} s. Expected a window of 0.5 to 30 s and a hop of at least "
            "0.1 s."
        )


def _check_voices(options: PredictOptions) -> None:
    channels, speakers, track = options["channels"], options["speakers"], options["track"]
    if channels not in ("auto", "mix", "split") and not _is_count(channels):
        raise EmofuseError(f"channels is {channels!r}. Expected auto, mix, split or the number of a channel, from 1.")
    if speakers not in ("auto", "off") and not _is_count(speakers):
        raise EmofuseError(f"speakers is {speakers!r}. Expected auto, off or how many people speak, at least 1.")
    if track is not None and not _is_count(track):
        raise EmofuseError(f"track is {track!r}. Expected the number of an audio track, from 1.")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
