"""The words of a recording's segments: given ones, or recognised ones as far as they can be trusted."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from emofuse.encoders.recogniser import MIN_LANGUAGE_PROBABILITY, distrust
from emofuse.encoders.recogniser import Transcript as Recognised
from emofuse.segment import Segment
from emofuse.timeline.chapters import Chapter
from emofuse.words import LANGUAGES, has_words, language_of

_WINDOW = 30.0  # seconds of speech that the recogniser decodes at once


@dataclass(frozen=True)
class Transcript:
    """The words of a segment.

    Attributes:
        text: the words; None if there are none.
        source: "given" or "asr"; None without words.
        language: code; None if unknown.
        language_probability: 0..1; None if unknown.
        confidence: of the recogniser in the words, 0..1; None unless they were recognised.
        doubt: why the words must not be used; None if they may.
    """

    text: str | None = None
    source: str | None = None
    language: str | None = None
    language_probability: float | None = None
    confidence: float | None = None
    doubt: str | None = None


def given_transcript(text: str, language: str | None, *, detect: bool) -> Transcript:
    """Words that the user gave, in a given language or, if `detect`, in the one that is identified."""
    if language is None and detect:
        return Transcript(text.strip(), "given", language_of(text))
    return Transcript(text.strip(), "given", language, None if language is None else 1.0)


class RecordingWords:
    """Recognises the words of one recording, whose language it finds once.

    Args:
        transcriber: the recogniser; None if words are not recognised.
        language: of the recording; None to find it, "mixed" to find it anew for each stretch of 30 s.
        read: languages whose words are decoded; None for all.
    """

    def __init__(self, transcriber: Any, language: str | None, read: Collection[str] | None) -> None:
        self._transcriber, self._read = transcriber, read
        self._is_mixed = language == "mixed"
        self._language = None if self._is_mixed else language
        self._probability = None if self._language is None else 1.0

    def transcribe(self, chapter: Chapter, segments: list[Segment]) -> list[Transcript]:
        """The words of some segments of a chapter, in order of time."""
        if self._transcriber is None:
            return [Transcript()] * len(segments)
        transcripts = [Transcript()] * len(segments)
        for layer in _layers(segments):
            found = self._transcribe(chapter, [segments[number] for number in layer])
            for number, transcript in zip(layer, found, strict=True):
                transcripts[number] = transcript
        return transcripts

    def _transcribe(self, chapter: Chapter, segments: list[Segment]) -> list[Transcript]:
        """The words of segments that do not overlap."""
        spans = [(one.start - chapter.start, one.end - chapter.start) for one in segments if one.end is not None]
        if self._language is None and not self._is_mixed and sum(end - start for start, end in spans) > _WINDOW:
            self._settle(*self._transcriber.detect_language(chapter.samples, spans))
        if self._language is not None and self._read is not None and self._language not in self._read:
            return [self._unread()] * len(segments)
        found = self._transcriber.transcribe_segments(chapter.samples, spans, self._language, read=self._read)
        if self._language is None and not self._is_mixed and found[0].language:
            self._settle(found[0].language, found[0].language_probability)
        return [self._transcript(one) for one in found]

    def _settle(self, language: str, probability: float) -> None:
        """Take a language for the rest of the recording if it is sure."""
        if probability >= MIN_LANGUAGE_PROBABILITY:
            self._language, self._probability = language, probability

    def _unread(self) -> Transcript:
        return Transcript(language=self._language, language_probability=self._probability)

    def _transcript(self, recognised: Recognised) -> Transcript:
        if not has_words(recognised.text):
            language = recognised.language or None
            return Transcript(
                language=language, language_probability=recognised.language_probability if language else None
            )
        if self._probability is not None:  # the recogniser was told the language, and cannot know how sure it is
            recognised = replace(recognised, language_probability=self._probability)
        return Transcript(
            recognised.text,
            "asr",
            recognised.language,
            recognised.language_probability,
            recognised.confidence,
            distrust(recognised),
        )


def _layers(segments: list[Segment]) -> list[list[int]]:
    """Numbers of the segments, in groups of which none has two that overlap."""
    layers: list[list[int]] = []
    ends: list[float] = []
    for number, segment in enumerate(segments):
        end = segment.end or segment.start
        layer = next((layer for layer, last in enumerate(ends) if last <= segment.start), len(layers))
        if layer == len(layers):
            layers.append([])
            ends.append(end)
        layers[layer].append(number)
        ends[layer] = end
    return layers


def language_name(code: str) -> str:
    """English name of a language, such as Polish; the code itself if it has none."""
    return LANGUAGES.get(code, code).title()
