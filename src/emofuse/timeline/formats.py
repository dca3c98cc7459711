"""Timelines in the formats of the tools that people open them with.

Praat and ELAN get one tier a speaker for the words, the emotion and each dimension; subtitles, Audacity and RTTM one
line a segment. Times have milliseconds, confidences two digits and dimensions three. A question mark after an emotion
says that it is uncertain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from xml.etree import ElementTree as xml

from emofuse.errors import EmofuseError
from emofuse.labels import DIMENSIONS
from emofuse.timeline.prediction import Prediction

_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_LABEL_OF_SPEAKER = "speaker"  # where nobody asked who speaks

Interval = tuple[int, int, str]
"""Start and end in milliseconds, and a label."""
Timed = tuple[int, int, Prediction]
"""Start and end in milliseconds, and a prediction."""


def to_textgrid(predictions: Sequence[Prediction], *, seconds: float | None = None) -> str:
    """A Praat TextGrid (Boersma & Weenink), long form.

    Args:
        predictions: of one recording, each with its times.
        seconds: duration of the recording; None: the end of the last prediction.

    Raises:
        EmofuseError: a prediction has no times, as all the writers here.
    """
    tiers = _tiers(predictions)
    last = max([end for intervals in tiers.values() for _, end, _ in intervals], default=0)
    total = max(last, 0 if seconds is None else round(seconds * 1000)) or 1
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {total / 1000:.3f}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, intervals) in enumerate(tiers.items(), start=1):
        whole = _without_gaps(intervals, total)
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f"        name = {_quoted(name)}"]
        lines += ["        xmin = 0", f"        xmax = {total / 1000:.3f}", f"        intervals: size = {len(whole)}"]
        for place, (start, end, label) in enumerate(whole, start=1):
            lines += [f"        intervals [{place}]:", f"            xmin = {start / 1000:.3f}"]
            lines += [f"            xmax = {end / 1000:.3f}", f"            text = {_quoted(label)}"]
    return "\n".join(lines) + "\n"


def to_eaf(predictions: Sequence[Prediction], *, media: str | None = None) -> str:
    """An ELAN annotation document (EAF 3.0).

    Args:
        predictions: of one recording, each with its times.
        media: path of the recording that ELAN opens with it.
    """
    attributes = {"AUTHOR": "emofuse", "DATE": "1970-01-01T00:00:00+00:00", "FORMAT": "3.0", "VERSION": "3.0"}
    attributes |= {"xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance", "xsi:noNamespaceSchemaLocation": _SCHEMA}
    document = xml.Element("ANNOTATION_DOCUMENT", attributes)
    header = xml.SubElement(document, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    if media is not None:
        xml.SubElement(header, "MEDIA_DESCRIPTOR", {"MEDIA_URL": media, "MIME_TYPE": "audio/*"})
    order = xml.SubElement(document, "TIME_ORDER")
    count = 0
    for name, intervals in _tiers(predictions).items():
        participant = name.rpartition(": ")[0]
        tier = {"TIER_ID": name, "LINGUISTIC_TYPE_REF": "default-lt", "PARTICIPANT": participant}
        element = xml.SubElement(document, "TIER", tier)
        for start, end, label in intervals:
            count += 1
            for slot, time in ((f"ts{2 * count - 1}", start), (f"ts{2 * count}", end)):
                xml.SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": slot, "TIME_VALUE": str(time)})
            slots = {"TIME_SLOT_REF1": f"ts{2 * count - 1}", "TIME_SLOT_REF2": f"ts{2 * count}"}
            annotation = xml.SubElement(element, "ANNOTATION")
            aligned = xml.SubElement(annotation, "ALIGNABLE_ANNOTATION", {"ANNOTATION_ID": f"a{count}", **slots})
            xml.SubElement(aligned, "ANNOTATION_VALUE").text = label
    kind = {"LINGUISTIC_TYPE_ID": "default-lt", "TIME_ALIGNABLE": "true", "GRAPHIC_REFERENCES": "false"}
    xml.SubElement(document, "LINGUISTIC_TYPE", kind)
    xml.indent(document)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + xml.tostring(document, encoding="unicode") + "\n"


def to_vtt(predictions: Sequence[Prediction]) -> str:
    """WebVTT captions: the speaker as a voice tag, the emotion in brackets, the words."""
    cues = []
    for start, end, one in _timed(predictions):
        voice = f"<v {_escaped(one.speaker)}>" if one.speaker else ""
        words = f" {_escaped(_line(one.text))}" if one.text else ""
        cues.append(f"{_clock(start)} --> {_clock(end)}\n{voice}[{_escaped(_emotion(one))}]{words}\n")
    return "\n".join(["WEBVTT\n", *cues])


def to_srt(predictions: Sequence[Prediction]) -> str:
    """SubRip subtitles: the speaker, the emotion in brackets, the words."""
    cues = []
    for number, (start, end, one) in enumerate(_timed(predictions), start=1):
        speaker = f"{_line(one.speaker)}: " if one.speaker else ""
        words = f" {_line(one.text)}" if one.text else ""
        times = f"{_clock(start, ',')} --> {_clock(end, ',')}"
        cues.append(f"{number}\n{times}\n{speaker}[{_emotion(one)}]{words}\n")
    return "\n".join(cues)


def to_audacity(predictions: Sequence[Prediction]) -> str:
    """An Audacity label track: start, end and label, separated by tabs."""
    lines = []
    for start, end, one in _timed(predictions):
        label = " ".join(filter(None, [f"{one.speaker}:" if one.speaker else "", _emotion(one), one.text]))
        lines.append(f"{start / 1000:.3f}\t{end / 1000:.3f}\t{_line(label)}\n")
    return "".join(lines)


def to_rttm(predictions: Sequence[Prediction], *, name: str) -> str:
    """Rich Transcription Time Marked (NIST 2009): who spoke when, with the emotion as subtype and its confidence.

    Args:
        predictions: of one recording, each with its times.
        name: of the recording.
    """
    lines = []
    for start, end, one in _timed(predictions):
        fields = ["SPEAKER", _field(name), "1", f"{start / 1000:.3f}", f"{(end - start) / 1000:.3f}"]
        confidence = "<NA>" if one.confidence is None else f"{one.confidence:.2f}"
        speaker = _field(one.speaker or _LABEL_OF_SPEAKER)
        lines.append(" ".join([*fields, "<NA>", _field(one.emotion or "<NA>"), speaker, confidence, "<NA>"]) + "\n")
    return "".join(lines)


def _timed(predictions: Sequence[Prediction]) -> list[Timed]:
    """(start, end, prediction) in milliseconds, in order of time."""
    timed = []
    for one in predictions:
        if one.start is None or one.end is None:
            raise EmofuseError("A prediction from text alone has no times, so that it cannot stand on a timeline.")
        start = round(one.start * 1000)
        timed.append((start, max(round(one.end * 1000), start + 1), one))
    return sorted(timed, key=lambda item: item[:2])


def _tiers(predictions: Sequence[Prediction]) -> dict[str, list[Interval]]:
    """Intervals by name of tier; those of a tier follow each other, and what overlaps has a tier of its own."""
    labels: dict[str, Callable[[Prediction], str | None]] = {"words": lambda one: one.text, "emotion": _emotion}
    for dimension in DIMENSIONS:
        labels[dimension] = lambda one, name=dimension: _number(getattr(one, name))  # type: ignore[misc]
    layers = _layers(_timed(predictions))
    several = {one.speaker for *_, one in _timed(predictions)} != {None}
    tiers = {}
    for (speaker, layer), timed in layers.items():
        suffix = f" {layer + 1}" if layer else ""
        prefix = f"{_line(speaker or _LABEL_OF_SPEAKER)}{suffix}: " if several or suffix else ""
        for kind, label in labels.items():
            intervals = [(start, end, _line(text)) for start, end, one in timed if (text := label(one))]
            if intervals or kind == "emotion":
                tiers[f"{prefix}{kind}"] = intervals
    return tiers


def _layers(
    timed: list[Timed],
) -> dict[tuple[str | None, int], list[Timed]]:
    """The predictions by speaker and layer; in a layer none overlaps another."""
    layers: dict[tuple[str | None, int], list[Timed]] = {}
    for start, end, one in timed:
        layer = 0
        while (before := layers.get((one.speaker, layer))) and before[-1][1] > start:
            layer += 1
        layers.setdefault((one.speaker, layer), []).append((start, end, one))
    return dict(sorted(layers.items(), key=lambda item: (item[0][0] or "", item[0][1])))


def _without_gaps(intervals: list[Interval], total: int) -> list[Interval]:
    """The intervals with empty ones between them, from 0 to the end, as Praat wants them."""
    whole: list[Interval] = []
    position = 0
    for start, end, label in intervals:
        if start > position:
            whole.append((position, start, ""))
        whole.append((start, end, label))
        position = end
    if position < total:
        whole.append((position, total, ""))
    return whole


def _emotion(prediction: Prediction) -> str:
    if prediction.emotion is None:
        return " ".join(f"{name[0].upper()} {_number(getattr(prediction, name))}" for name in DIMENSIONS)
    return f"{prediction.emotion}{'?' if prediction.uncertain else ''} {prediction.confidence:.2f}"


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"


def _clock(milliseconds: int, point: str = ".") -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{rest:03d}"


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _line(text: str | None) -> str:
    """The text on one line, without characters that files of text cannot hold."""
    return re.sub(r"[\x00-\x1f\x7f\ufffe\uffff\ud800-\udfff\s]+", " ", text or "").strip()


def _escaped(text: str | None) -> str:
    return _line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _field(text: str) -> str:
    """A field of a line whose fields are separated by blanks."""
    return re.sub(r"\s+", "_", _line(text)) or "<NA>"
