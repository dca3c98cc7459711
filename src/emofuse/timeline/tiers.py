"""Read segments from Praat TextGrids and ELAN documents, whose intervals lie on tiers.

Which tiers hold segments is decided by their names, in any letter case. A tier may belong to a speaker: "anna: words",
"anna - words", "words@anna", or ELAN's participant. The first of these kinds that a file has is read:

1. turns and sentences: tiers called sentences, utterances, turns, text, transcription and the like;
2. speakers: a tier called speakers or diarization, whose labels are the speakers. If there are sentences too, each gets
   the speaker who is named at its middle;
3. words: an utterance in each interval, as emofuse writes them, or a word in each, as forced aligners do; the latter
   are joined to utterances of at most 8 s at pauses below 0.3 s. emofuse's tier emotion adds utterances without words;
4. all interval tiers of other names. If there are several, each name is a speaker.

Tiers of sounds (phones, syllables) and of ratings (arousal) are ignored. Empty intervals, and those that say
silence ("silent", "sil", "sp", "<p:>"), are gaps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as xml

import numpy as np

from emofuse.csv_table import TableError, read_text_file
from emofuse.segment import Segment
from emofuse.timeline.segment_tables import check_times
from emofuse.words import has_words

_SENTENCES = (
    "ipu ipus orthography phrase phrases segment segments sentence sentences speech text transcript transcription "
    "transcriptions turn turns utterance utterances"
)
_SPEAKERS = "diarization diarisation speakers"
_WORDS = "word words ort ort-mau token tokens"
_OTHERS = (
    "arousal confidence dominance kan kan-mau language mau note notes phone phoneme phonemes phones syllable "
    "syllables valence"
)
_KINDS = {
    name: kind
    for kind, names in (("sentences", _SENTENCES), ("speakers", _SPEAKERS), ("words", _WORDS), ("others", _OTHERS))
    for name in names.split()
}
_KINDS["emotion"] = "emotion"
_KINDS["silences"] = "sentences"  # of Praat's command To TextGrid (silences)
_GAPS = ("", "#", "<eps>", "<p:>", "<p>", "<sil>", "pause", "sil", "silence", "silent", "sp")
_SPEECH = ("sounding", "speech")  # labels that say that someone speaks, but not what

UNNAMED_SPEAKER = "speaker"
"""Name that emofuse writes where a format needs one, but the speaker is not known."""

_MAX_PAUSE, _MAX_SECONDS = 0.3, 8.0  # between joined words, and of what is joined


class Interval(NamedTuple):
    """A labelled interval, in seconds, and the place in its file for messages."""

    start: float
    end: float
    label: str
    where: str


@dataclass
class Tier:
    """A tier of intervals; `speaker` is who speaks on it, if the file has a field for this."""

    name: str
    intervals: list[Interval]
    speaker: str | None = None


def read_textgrid(path: Path) -> list[Segment]:
    """Read the segments of a Praat TextGrid, in long or short form.

    Raises:
        TableError: the file is broken, or no tier has segments.
    """
    return segments_on_tiers(list(_textgrid_tiers(path)), path)


def read_eaf(path: Path) -> list[Segment]:
    """Read the segments of an ELAN document (EAF). Tiers that depend on others are ignored.

    Raises:
        TableError: the file is broken, or no tier has segments.
    """
    try:
        document = xml.parse(path).getroot()
        slots = document.findall("TIME_ORDER/TIME_SLOT")
        times = [float(slot.get("TIME_VALUE", "nan")) / 1000 for slot in slots]
        known = [place for place, time in enumerate(times) if time == time]
        if known:  # slots without a time lie evenly between those that have one
            times = np.interp(range(len(times)), known, [times[place] for place in known]).tolist()
        seconds = {slot.attrib["TIME_SLOT_ID"]: time for slot, time in zip(slots, times, strict=True)}
        tiers = []
        for tier in document.findall("TIER"):
            intervals = [
                Interval(
                    seconds[one.attrib["TIME_SLOT_REF1"]],
                    seconds[one.attrib["TIME_SLOT_REF2"]],
                    one.findtext("ANNOTATION_VALUE") or "",
                    f"{path}, annotation {one.get('ANNOTATION_ID')}",
                )
                for one in tier.iter("ALIGNABLE_ANNOTATION")
            ]
            if tier.get("PARENT_REF") is None:
                tiers.append(Tier(tier.attrib["TIER_ID"], intervals, tier.get("PARTICIPANT") or None))
    except OSError as error:
        raise TableError(f"{path}: the file cannot be read ({error.strerror}).") from error
    except (xml.ParseError, LookupError, ValueError) as error:
        raise TableError(f"{path}: this ELAN document is broken ({error}). Save it again in ELAN.") from error
    return segments_on_tiers(tiers, path)


def segments_on_tiers(tiers: Sequence[Tier], path: Path) -> list[Segment]:
    """Find the segments on tiers by the rules of this module, in order of time.

    Raises:
        TableError: there are none, or an interval ends before it starts.
    """
    for tier in tiers:
        for interval in tier.intervals:
            check_times(interval.start, interval.end, f"{interval.where}, tier {tier.name!r}")
    by_kind: dict[str, list[tuple[str | None, Tier]]] = {}
    for tier in tiers:
        spoken = [one for one in tier.intervals if one.label.strip().lower() not in _GAPS]
        kind, speaker = _kind_and_speaker(tier)
        if spoken:
            by_kind.setdefault(kind, []).append((speaker, Tier(tier.name, spoken)))
    turns = [
        Segment(None, None, *one[:2], one.label.strip()) for _, t in by_kind.get("speakers", []) for one in t.intervals
    ]
    if "sentences" in by_kind:
        segments = [_with_speaker(one, turns) for one in _segments_on(by_kind["sentences"])]
    elif turns:
        segments = turns
    elif "words" in by_kind or "unknown" not in by_kind:
        segments = _segments_of_words(by_kind.get("words", []), by_kind.get("emotion", []))
    else:
        several = len(by_kind["unknown"]) > 1
        named = [(speaker or (tier.name.strip() if several else None), tier) for speaker, tier in by_kind["unknown"]]
        segments = _segments_on(named)
    if not segments:
        names = ", ".join(repr(tier.name) for tier in tiers) or "none"
        raise TableError(
            f"{path}: no tier has segments (tiers: {names}). Expected an interval tier called 'sentences', or one for "
            "each speaker."
        )
    return sorted(segments, key=lambda one: (one.start, one.end or 0.0))


def _kind_and_speaker(tier: Tier) -> tuple[str, str | None]:
    name = tier.name.strip()
    for pattern in (
        r"(?P<speaker>.+): (?P<kind>.+)",
        r"(?P<speaker>.+) - (?P<kind>.+)",
        "(?P<kind>.+)@(?P<speaker>.+)",
    ):
        if (match := re.fullmatch(pattern, name)) and (kind := _KINDS.get(match["kind"].strip().lower())):
            return kind, tier.speaker or match["speaker"].strip()
    return _KINDS.get(name.lower(), "unknown"), tier.speaker


def _segments_on(tiers: Sequence[tuple[str | None, Tier]]) -> list[Segment]:
    return [_segment(one, speaker) for speaker, tier in tiers for one in tier.intervals]


def _segment(interval: Interval, speaker: str | None) -> Segment:
    label = " ".join(interval.label.split())
    text = label if has_words(label) and label.lower() not in _SPEECH else None
    return Segment(None, text, interval.start, interval.end, speaker)


def _with_speaker(sentence: Segment, turns: Sequence[Segment]) -> Segment:
    """A sentence with the speaker whose turn it is at its middle, unless its own is known."""
    middle = (sentence.start + (sentence.end or sentence.start)) / 2
    speakers = [turn.speaker for turn in turns if turn.start <= middle < (turn.end or 0.0)]
    return replace(sentence, speaker=sentence.speaker or (speakers[0] if speakers else None))


def _segments_of_words(
    words: Sequence[tuple[str | None, Tier]], emotions: Sequence[tuple[str | None, Tier]]
) -> list[Segment]:
    """Segments on tiers of words and of emotions; those with equal times and speakers are one."""
    segments: dict[tuple[str | None, float, float | None], Segment] = {}
    speakers = {speaker for speaker, _ in [*words, *emotions]}
    rated = {speaker for speaker, _ in emotions}
    for speaker, tier in words:
        spoken = [_segment(one, _without_layer(speaker, speakers)) for one in tier.intervals]
        if speaker not in rated and all(len((one.text or "").split()) < 2 for one in spoken):
            spoken = list(_joined(spoken))
        segments |= {(one.speaker, one.start, one.end): one for one in spoken}
    for speaker, tier in emotions:
        for interval in tier.intervals:
            one = Segment(None, None, interval.start, interval.end, _without_layer(speaker, speakers))
            segments.setdefault((one.speaker, one.start, one.end), one)
    return list(segments.values())


def _without_layer(speaker: str | None, names: set[str | None]) -> str | None:
    """The speaker of a tier; emofuse numbers the tiers of one whose segments overlap: anna, anna 2."""
    first = re.sub(r" (?!1$)\d+$", "", speaker or "")
    is_layer = first in names or (first == UNNAMED_SPEAKER and None in names)
    name = first if is_layer else speaker
    return None if name == UNNAMED_SPEAKER else name


def _joined(words: Sequence[Segment]) -> Iterator[Segment]:
    """Words that follow each other closely, joined to utterances."""
    current: Segment | None = None
    for word in words:
        assert word.end is not None
        if current is not None and current.end is not None:
            if word.start - current.end < _MAX_PAUSE and word.end - current.start <= _MAX_SECONDS:
                current = replace(current, end=word.end, text=" ".join(filter(None, (current.text, word.text))) or None)
                continue
            yield current
        current = word
    if current is not None:
        yield current


def _textgrid_tiers(path: Path) -> Iterator[Tier]:
    """The interval tiers of a TextGrid.

    Both forms are the same sequence of strings, numbers and flags. Praat ignores all other text, and so does this.
    """
    content = read_text_file(path, lambda file: file.read())
    if not re.match(r'(File type = )?"ooTextFile( short)?"\s+(Object class = )?"TextGrid"', content):
        raise TableError(f"{path}: expected a TextGrid as text. In Praat, save it with Save as text file.")
    token = re.compile(
        r'"(?P<string>(?:[^"]|"")*)"|!.*|(?P<flag><[^>\n]*>)|(?<!\S)(?P<number>[-+]?[\d.][\d.eE+-]*)(?!\S)'
    )
    tokens = (match for match in token.finditer(content) if match.lastgroup)
    line, position = 1, 0

    def take(kind: str) -> str:
        nonlocal line, position
        match = next(tokens, None)
        if match is None:
            raise TableError(f"{path}: the TextGrid ends after line {line}, in the middle. Save it again.")
        line += content.count("\n", position, match.start())
        position = match.start()
        if match.lastgroup != kind:
            raise TableError(f"{path}, line {line}: expected a {kind}, but there is {match[0]!r}.")
        return match[kind].replace('""', '"')

    def number(kind: Callable[[str], float] = float) -> float:
        try:
            return kind(take("number"))
        except ValueError as error:
            raise TableError(f"{path}, line {line}: expected a number ({error}).") from None

    take("string"), take("string"), number(), number(), take("flag")
    for _ in range(int(number(int))):
        kind, name = take("string"), take("string")
        number(), number()
        intervals = []
        for _ in range(int(number(int))):
            if kind != "IntervalTier":
                number(), take("string")
                continue
            start, end = number(), number()
            intervals.append(Interval(start, end, take("string"), f"{path}, line {line}"))
        if kind == "IntervalTier":
            yield Tier(name, intervals)
