"""Render timelines in the text formats of Praat, ELAN, video players, Audacity and diarisation tools.

For Praat and ELAN, each speaker (or channel, where speakers have no names) has a tier for the words, one for the
emotion and one for each dimension. In subtitles, Audacity labels and RTTM, each segment is one entry. Times are given
in milliseconds or with three decimals, confidences with two, dimensions with three. A question mark marks an uncertain
emotion.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import count
from xml.etree import ElementTree as xml

from emofuse.errors import EmofuseError
from emofuse.labels import DIMENSIONS
from emofuse.timeline.prediction import Prediction
from emofuse.timeline.tables import lane

_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_UNNAMED = "speaker"  # stands for a speaker without a name

Interval = tuple[int, int, str]
"""Start and end in milliseconds, and a label."""
Timed = tuple[int, int, Prediction]
"""Start and end in milliseconds, and a prediction."""


def to_textgrid(predictions: Sequence[Prediction], *, seconds: float | None = None) -> str:
    """Render a Praat TextGrid (Boersma & Weenink) in the long text format.

    Args:
        predictions: predictions for one recording.
        seconds: duration of the recording; None for the end of the last prediction.

    Raises:
        EmofuseError: a prediction has no times. The other functions raise this too.
    """
    tiers = _tiers(predictions) or {"emotion": []}
    last = max([end for intervals in tiers.values() for _, end, _ in intervals], default=0)
    total = max(last, 0 if seconds is None else round(seconds * 1000)) or 1
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {total / 1000:.3f}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, labelled) in enumerate(tiers.items(), start=1):
        intervals = _fill_gaps(labelled, total)
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f"        name = {_quoted(name)}"]
        lines += [
            "        xmin = 0",
            f"        xmax = {total / 1000:.3f}",
            f"        intervals: size = {len(intervals)}",
        ]
        for position, (start, end, label) in enumerate(intervals, start=1):
            lines += [f"        intervals [{position}]:", f"            xmin = {start / 1000:.3f}"]
            lines += [f"            xmax = {end / 1000:.3f}", f"            text = {_quoted(label)}"]
    return "\n".join(lines) + "\n"


def to_eaf(predictions: Sequence[Prediction], *, media: str | None = None) -> str:
    """Render an ELAN annotation document (EAF 3.0).

    Args:
        predictions: predictions for one recording.
        media: URL or path of the recording, which ELAN opens together with the document.
    """
    attributes = {"AUTHOR": "emofuse", "DATE": "1970-01-01T00:00:00+00:00", "FORMAT": "3.0", "VERSION": "3.0"}
    attributes |= {"xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance", "xsi:noNamespaceSchemaLocation": _SCHEMA}
    document = xml.Element("ANNOTATION_DOCUMENT", attributes)
    header = xml.SubElement(document, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    if media is not None:
        xml.SubElement(header, "MEDIA_DESCRIPTOR", {"MEDIA_URL": media, "MIME_TYPE": "audio/*"})
    order = xml.SubElement(document, "TIME_ORDER")
    number = 0
    for name, intervals in _tiers(predictions).items():
        participant = name.rpartition(": ")[0]
        tier = {"TIER_ID": name, "LINGUISTIC_TYPE_REF": "default-lt", "PARTICIPANT": participant}
        element = xml.SubElement(document, "TIER", tier)
        for start, end, label in intervals:
            number += 1
            for slot, time in ((f"ts{2 * number - 1}", start), (f"ts{2 * number}", end)):
                xml.SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": slot, "TIME_VALUE": str(time)})
            slots = {"TIME_SLOT_REF1": f"ts{2 * number - 1}", "TIME_SLOT_REF2": f"ts{2 * number}"}
            annotation = xml.SubElement(element, "ANNOTATION")
            aligned = xml.SubElement(annotation, "ALIGNABLE_ANNOTATION", {"ANNOTATION_ID": f"a{number}", **slots})
            xml.SubElement(aligned, "ANNOTATION_VALUE").text = label
    kind = {"LINGUISTIC_TYPE_ID": "default-lt", "TIME_ALIGNABLE": "true", "GRAPHIC_REFERENCES": "false"}
    xml.SubElement(document, "LINGUISTIC_TYPE", kind)
    xml.indent(document)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + xml.tostring(document, encoding="unicode") + "\n"


def to_vtt(predictions: Sequence[Prediction]) -> str:
    """Render WebVTT captions: the speaker as a voice tag, the emotion in brackets, and the words."""
    cues = []
    for start, end, one in _timed(predictions):
        voice = f"<v {_escaped(name)}>" if (name := lane(one.speaker, one.channel)) else ""
        words = f" {_escaped(_line(one.text))}" if one.text else ""
        cues.append(f"{_clock(start)} --> {_clock(end)}\n{voice}[{_escaped(_emotion(one))}]{words}\n")
    return "\n".join(["WEBVTT\n", *cues])


def to_srt(predictions: Sequence[Prediction]) -> str:
    """Render SubRip subtitles: the speaker, the emotion in brackets, and the words."""
    cues = []
    for number, (start, end, one) in enumerate(_timed(predictions), start=1):
        speaker = f"{_line(name)}: " if (name := lane(one.speaker, one.channel)) else ""
        words = f" {_line(one.text)}" if one.text else ""
        times = f"{_clock(start, ',')} --> {_clock(end, ',')}"
        cues.append(f"{number}\n{times}\n{speaker}[{_emotion(one)}]{words}\n")
    return "\n".join(cues)


def to_audacity(predictions: Sequence[Prediction]) -> str:
    """Render an Audacity label track: start, end and label, separated by tabs."""
    lines = []
    for start, end, one in _timed(predictions):
        name = lane(one.speaker, one.channel)
        label = " ".join(filter(None, [f"{name}:" if name else "", _emotion(one), one.text]))
        lines.append(f"{start / 1000:.3f}\t{end / 1000:.3f}\t{_line(label)}\n")
    return "".join(lines)


def to_rttm(predictions: Sequence[Prediction], *, name: str) -> str:
    """Render RTTM (Rich Transcription Time Marked, NIST 2009): who spoke when, with the emotion as the subtype.

    Args:
        predictions: predictions for one recording.
        name: name of the recording. Blanks become underscores, because they separate the fields.
    """
    lines = []
    for start, end, one in _timed(predictions):
        times = [f"{start / 1000:.3f}", f"{(end - start) / 1000:.3f}"]
        confidence = "<NA>" if one.confidence is None else f"{one.confidence:.2f}"
        speaker = _field(lane(one.speaker, one.channel) or _UNNAMED)
        fields = ["SPEAKER", _field(name), str(one.channel or 1), *times, "<NA>", _field(one.emotion or "<NA>")]
        lines.append(" ".join([*fields, speaker, confidence, "<NA>"]) + "\n")
    return "".join(lines)


def _timed(predictions: Sequence[Prediction]) -> list[Timed]:
    """The predictions in order of time, each with start and end in milliseconds."""
    timed = []
    for one in predictions:
        if one.start is None or one.end is None:
            raise EmofuseError(
                "A prediction from text alone has no times, which this format needs. Choose JSON, JSON Lines, CSV or "
                "Parquet."
            )
        start = round(one.start * 1000)
        timed.append((start, max(round(one.end * 1000), start + 1), one))
    return sorted(timed, key=lambda item: item[:2])


def _tiers(predictions: Sequence[Prediction]) -> dict[str, list[Interval]]:
    """Intervals by name of tier. Intervals of one tier do not overlap; segments that do are put in further tiers."""
    labels: dict[str, Callable[[Prediction], str | None]] = {"words": lambda one: one.text, "emotion": _emotion}
    for dimension in DIMENSIONS:
        labels[dimension] = lambda one, name=dimension: _number(getattr(one, name))  # type: ignore[misc]
    layers = _layers(_timed(predictions))
    has_names = any(name is not None for name, _ in layers)
    tiers: dict[str, list[Interval]] = {}
    for (speaker, layer), timed in layers.items():
        name = _line(speaker or _UNNAMED)
        numbered = (f"{name} {n}: " if n > 1 else f"{name}: " if has_names else "" for n in count(layer + 1))
        prefix = next(one for one in numbered if f"{one}emotion" not in tiers)  # "Ana 2" may also be a speaker
        for kind, label in labels.items():
            intervals = [(start, end, _line(text)) for start, end, one in timed if (text := label(one))]
            if intervals or kind == "emotion":
                tiers[f"{prefix}{kind}"] = intervals
    return tiers


def _layers(timed: list[Timed]) -> dict[tuple[str | None, int], list[Timed]]:
    """The predictions by speaker (or channel) and layer, where those of one layer do not overlap."""
    layers: dict[tuple[str | None, int], list[Timed]] = {}
    for start, end, one in timed:
        name, layer = lane(one.speaker, one.channel), 0
        while (before := layers.get((name, layer))) and before[-1][1] > start:
            layer += 1
        layers.setdefault((name, layer), []).append((start, end, one))
    return dict(sorted(layers.items(), key=lambda item: (item[0][0] or "", item[0][1])))


def _fill_gaps(intervals: list[Interval], total: int) -> list[Interval]:
    """Add empty intervals, so that the tier has no gap from 0 to the end: Praat requires this."""
    filled: list[Interval] = []
    position = 0
    for start, end, label in intervals:
        if start > position:
            filled.append((position, start, ""))
        filled.append((start, end, label))
        position = end
    if position < total:
        filled.append((position, total, ""))
    return filled


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
    """The text on one line, without control characters, surrogates and non-characters."""
    return re.sub(r"[\x00-\x1f\x7f\ufffe\uffff\ud800-\udfff\s]+", " ", text or "").strip()


def _escaped(text: str | None) -> str:
    return _line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _field(text: str) -> str:
    """The text with underscores for blanks, which separate the fields of a line."""
    return re.sub(r"\s+", "_", _line(text)) or "<NA>"
