"""Read segments from subtitles (SRT, WebVTT), Audacity labels and RTTM."""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from emofuse.csv_table import TableError, read_text_file
from emofuse.segment import Segment
from emofuse.timeline.segment_tables import check_times, seconds_of
from emofuse.timeline.tiers import UNNAMED_SPEAKER
from emofuse.words import has_words

_EMOTION = r"(?:\w[\w -]*\?? [01]\.\d\d|A (?:[\d.]+|None) V (?:[\d.]+|None) D (?:[\d.]+|None))"  # as emofuse writes it
_SPEAKER = r"(?P<speaker>[^:\[\]]{1,60}): "
_TAG = r"</?(?:[bciusv]|font|lang|ruby|rt)\b[^<>]*>|<[\d:.]+>|\{\\[^}]*\}"
_log = logging.getLogger(__name__)


def read_subtitles(path: Path) -> list[Segment]:
    """Read the segments of SRT or WebVTT subtitles.

    The speaker of a cue is its voice tag (`<v anna>`), or a name before what it says: `[anna]: Hello.`, a name before
    an emotion in brackets, as emofuse writes it, or `anna: Hello.` if all cues begin so. Tags and remarks in brackets
    are not words.

    Raises:
        TableError: a cue's times are wrong; names the line.
    """
    segments: list[Segment] = []
    spoken: list[list[str]] = []
    in_cue = False
    for number, line in _lines(path):
        if "-->" in line:
            if in_cue and spoken[-1] and spoken[-1][-1].isdigit():
                spoken[-1].pop()  # the number of this cue, without a blank line before it
            start, _, rest = line.partition("-->")
            segments.append(Segment(None, None, *_times(start, (rest.split() or [""])[0], f"{path}, line {number}")))
            spoken.append([])
            in_cue = True
        elif not line.strip():
            in_cue = False
        elif in_cue:
            spoken[-1].append(line.strip())
    texts = [" ".join(lines) for lines in spoken]
    named = [re.match(_SPEAKER, _plain(text)) for text in texts]
    all_named = bool(named) and all(named)
    return [_with_cue(segment, text, names=all_named) for segment, text in zip(segments, texts, strict=True)]


def read_audacity_labels(path: Path) -> list[Segment]:
    """Read the segments of an Audacity label track: start, end and label, separated by tabs.

    Labels are words, after the speaker's name if all labels begin with one ("anna: Hello."); or speakers, if each is a
    single word and some occur several times. Labels of a point in time are left out with a warning.

    Raises:
        TableError: a line is wrong.
    """
    segments, labels, points = [], [], 0
    for number, line in _lines(path):
        if not line.strip() or line.startswith("\\"):  # a backslash starts a label's range of frequencies
            continue
        start, end, label = [*line.rstrip("\r\n").split("\t", 2), "", ""][:3]
        if start.strip() == end.strip():
            points += 1
            continue
        segments.append(Segment(None, None, *_times(start, end, f"{path}, line {number}")))
        labels.append(" ".join(label.split()))
    if points:
        _log.warning("%s: %d labels of a point in time are left out", path, points)
    emotions = [re.fullmatch(rf"(?:{_SPEAKER})?{_EMOTION}(?: (?P<text>.*))?", label) for label in labels]
    if emotions and all(emotions):
        labels = [f"{one['speaker'] or ''}: {one['text'] or ''}" for one in emotions if one]
        named = True
    else:
        named = bool(labels) and all(re.match(_SPEAKER, label) for label in labels)
    if not named and all(label and " " not in label for label in labels) and len(set(labels)) < len(labels):
        return [replace(one, speaker=label) for one, label in zip(segments, labels, strict=True)]
    return [_with_label(one, label, named=named) for one, label in zip(segments, labels, strict=True)]


def read_rttm(path: Path) -> list[Segment]:
    """Read the segments of an RTTM file (NIST), by recording and in order of time.

    The channel counts only if a recording has turns in several channels, since most programs always write 1. Lines
    of other types than SPEAKER are ignored. Turns of no duration are left out with a warning.

    Raises:
        TableError: a line is wrong.
    """
    segments, empty = [], 0
    channels: dict[str, set[str]] = {}
    for number, line in _lines(path):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        where = f"{path}, line {number}"
        if len(fields) < 8:
            raise TableError(
                f"{where}: {len(fields)} fields. Expected SPEAKER file channel start duration - - speaker."
            )
        _, name, channel, start, duration, _, _, speaker = fields[:8]
        first, seconds = _times(start, duration, where, check=False)
        if seconds == 0:
            empty += 1
            continue
        check_times(first, first + seconds, where)
        channels.setdefault(name, set()).add(channel)
        who = None if speaker in ("<NA>", UNNAMED_SPEAKER) else speaker
        number_of_channel = int(channel) if re.fullmatch("[1-9][0-9]?", channel) else None
        segments.append(Segment(Path(name), None, first, first + seconds, who, number_of_channel))
    if empty:
        _log.warning("%s: %d turns have no duration and are left out", path, empty)
    one = {Path(name) for name, numbers in channels.items() if len(numbers) == 1}
    segments = [replace(segment, channel=None) if segment.file in one else segment for segment in segments]
    return sorted(segments, key=lambda segment: (str(segment.file), segment.start))


def _lines(path: Path) -> Iterable[tuple[int, str]]:
    return enumerate(re.split("\r\n|\r|\n", read_text_file(path, lambda file: file.read())), 1)


def _times(start: str, end: str, where: str, *, check: bool = True) -> tuple[float, float]:
    try:
        times = seconds_of(start), seconds_of(end)
    except ValueError:
        raise TableError(f"{where}: {start.strip()!r} and {end.strip()!r} must be times.") from None
    if check:
        check_times(*times, where)
    return times


def _plain(text: str) -> str:
    """The text of a cue without tags, `{\\an8}` and dashes before it."""
    plain = html.unescape(re.sub(_TAG, "", text))
    return re.sub(r"^\s*[-–—]\s*", "", plain).strip()


def _with_cue(segment: Segment, text: str, *, names: bool) -> Segment:
    """The segment with the words and the speaker of a cue."""
    voices = set(re.findall(r"<v(?:\.[^\s>]*)?\s+([^>]+)>", text))
    plain = _plain(text)
    speaker = html.unescape(voices.pop()).strip() if len(voices) == 1 else None
    if speaker is None:
        patterns = (r"\[(?P<speaker>[^\]]{1,60})\]: ", rf"{_SPEAKER}(?=\[{_EMOTION}\])", *([_SPEAKER] if names else []))
        for pattern in patterns:
            if match := re.match(pattern, plain):
                speaker, plain = match["speaker"].strip(), plain[match.end() :]
                break
    words = " ".join(re.sub(r"\[[^\]]*\]", " ", plain).split())
    return replace(segment, text=words if has_words(words) else None, speaker=speaker)


def _with_label(segment: Segment, label: str, *, named: bool) -> Segment:
    speaker, _, words = label.partition(": ") if named else ("", "", label)
    return replace(segment, text=words if has_words(words) else None, speaker=speaker or None)
