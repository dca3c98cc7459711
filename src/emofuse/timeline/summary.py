"""Summaries of a timeline: how someone sounded on average, over time, and where that changed.

All means are weighted by the duration of the segments. A segment of a sliding window counts with its whole duration,
also where windows overlap; `seconds` counts overlapping time once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from emofuse.labels import DIMENSIONS
from emofuse.timeline.changes import find_changes
from emofuse.timeline.prediction import Prediction, Timeline
from emofuse.timeline.tables import base_name, labels_of, lane, rounded

MIN_SEGMENTS = 4
"""Fewest segments of a recording whose summary is shown as text; the table says as much about fewer."""
COURSE_STEP = 5.0
"""Seconds between two points of a course."""
COURSE_WIDTH = 15.0
"""Seconds of the recording that a point of a course averages over, with the point in the middle."""


@dataclass(frozen=True)
class Share:
    """Share of the time for which a category is the most probable one, 0..1.

    Attributes:
        certain: share of segments that are not uncertain, or whose model is not calibrated.
        uncertain: share of uncertain segments.
    """

    certain: float
    uncertain: float


@dataclass(frozen=True)
class Course:
    """Running means of the dimensions over `COURSE_WIDTH` seconds.

    Attributes:
        seconds: times of the points in the recording, `COURSE_STEP` apart.
        arousal: value at each point; None where nobody speaks within half the width. Empty if the model does not
            predict dimensions.
        valence: likewise.
        dominance: likewise.
    """

    seconds: list[float]
    arousal: list[float | None]
    valence: list[float | None]
    dominance: list[float | None]


@dataclass(frozen=True)
class Phase:
    """Means of a stretch between two changes.

    Attributes:
        start: in seconds of the recording.
        end: likewise.
        emotion: category with the highest mean probability; None if the model does not predict categories.
        dimensions: mean of each dimension; empty if the model does not predict dimensions.
    """

    start: float
    end: float
    emotion: str | None
    dimensions: dict[str, float]


@dataclass(frozen=True)
class SpeakerSummary:
    """Summary of a speaker, of a channel, or of all.

    Attributes:
        speaker: name; None if the speaker has no name, and for all together.
        channel: number of the channel; None if the channels were averaged, and for all together.
        segments: number of segments.
        seconds: duration of what was predicted.
        probabilities: mean probability of each category.
        dimensions: mean of each dimension; empty if the model does not predict dimensions.
        shares: share of the time of each category that is ever the most probable one, the largest first.
        course: arousal, valence and dominance over time.
        phases: stretches between lasting changes of the dimensions (see `emofuse.timeline.changes`), of the
            probabilities if there are no dimensions; one stretch if nothing changes.
    """

    speaker: str | None
    channel: int | None
    segments: int
    seconds: float
    probabilities: dict[str, float]
    dimensions: dict[str, float]
    shares: dict[str, Share]
    course: Course
    phases: list[Phase]


@dataclass(frozen=True)
class Summary:
    """Summary of a recording.

    Attributes:
        file: path of the recording; None if it has none.
        duration: duration of the recording in seconds; None if unknown.
        overall: summary of all segments.
        speakers: one summary for each speaker or channel; empty if they were not told apart.
        notes: what could not be decoded, and what was left out and why.
    """

    file: str | None
    duration: float | None
    overall: SpeakerSummary
    speakers: list[SpeakerSummary]
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, rounded to 4 digits."""
        values: dict[str, Any] = rounded(asdict(self))
        return values


def summarise(timeline: Timeline) -> Summary:
    """Summarise the predictions for one recording. Predictions without times, from text alone, are left out."""
    timed = sorted((one for one in timeline if one.start is not None and one.end is not None), key=_times)
    groups: dict[tuple[int | None, str | None], list[Prediction]] = {}
    for one in timed:
        groups.setdefault((one.channel, one.speaker), []).append(one)
    by_speaker = [
        _summarise(group, speaker=speaker, channel=channel)
        for (channel, speaker), group in sorted(groups.items(), key=lambda item: (item[0][0] or 0, item[0][1] or ""))
        if (channel, speaker) != (None, None)
    ]
    notes = [note.message for note in timeline.notes]
    return Summary(timeline.file, timeline.seconds, _summarise(timed), by_speaker, notes)


def render_summary(summary: Summary) -> str:
    """Render a summary as a few lines of text, one for each speaker or channel; "" for fewer than four segments."""
    if summary.overall.segments < MIN_SEGMENTS:
        return ""
    name = "" if summary.file is None else f"{base_name(summary.file)}: "
    duration = "" if summary.duration is None else f" in {_clock(summary.duration)}"
    seconds = _clock(summary.overall.seconds)
    lines = [f"{name}{summary.overall.segments} segments, {seconds} of speech{duration}"]
    rows = {"all": summary.overall}
    if len(summary.speakers) > 1:
        rows |= {lane(one.speaker, one.channel) or "others": one for one in summary.speakers}
    width = max(map(len, rows))
    for name, one in rows.items():
        means = " ".join(f"{dimension[0].upper()} {value:.2f}" for dimension, value in one.dimensions.items())
        facts = f"{name:<{width}}  {_clock(one.seconds):>7}  {means}  {_shares(one.shares)}"
        lines.append(f"  {facts.rstrip()}")
        for before, after in pairwise(one.phases):
            lines.append(f"  {'':<{width}}  from {_clock(after.start)}: {_difference(before, after)}")
    return "\n".join([*lines, *(f"  {note}" for note in summary.notes)]) + "\n"


def _summarise(
    predictions: Sequence[Prediction], *, speaker: str | None = None, channel: int | None = None
) -> SpeakerSummary:
    times = np.array([_times(one) for one in predictions]).reshape(-1, 2)
    weights = times[:, 1] - times[:, 0]
    labels = labels_of(predictions)
    probabilities = np.array([[one.probabilities.get(label, 0.0) for label in labels] for one in predictions], float)
    probabilities = probabilities.reshape(len(predictions), len(labels))
    dimensions = _dimensions(predictions)
    values = dimensions if dimensions.size else probabilities
    apart = _without_overlap(times)  # overlapping windows resemble each other, which would hide the noise
    changes = [apart[position] for position in find_changes(values[apart], weights[apart])]
    edges = [0, *changes, len(predictions)] if len(predictions) else []
    phases = []
    for first, last in pairwise(edges):
        part = slice(first, last)
        means = _means(labels, probabilities[part], weights[part])
        phases.append(
            Phase(
                start=float(times[first, 0]),
                end=float(times[part, 1].max()),
                emotion=max(means, key=means.__getitem__, default=None),
                dimensions=_means(DIMENSIONS, dimensions[part], weights[part]),
            )
        )
    return SpeakerSummary(
        speaker=speaker,
        channel=channel,
        segments=len(predictions),
        seconds=_covered(times),
        probabilities=_means(labels, probabilities, weights),
        dimensions=_means(DIMENSIONS, dimensions, weights),
        shares=_time_shares(predictions, weights),
        course=_course(times, dimensions),
        phases=phases,
    )


def _times(prediction: Prediction) -> tuple[float, float]:
    assert prediction.start is not None and prediction.end is not None
    return prediction.start, prediction.end


def _dimensions(predictions: Sequence[Prediction]) -> np.ndarray:
    """Dimensions of each prediction, (n, 3); (n, 0) if the model does not predict them."""
    values = [[getattr(one, name) for name in DIMENSIONS] for one in predictions]
    if not values or any(None in row for row in values):
        return np.empty((len(values), 0))
    return np.array(values, float)


def _means(names: Sequence[str], values: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """Weighted mean of each column; empty without rows or columns."""
    if not values.size or not weights.sum():
        return {}
    return dict(zip(names, np.average(values, axis=0, weights=weights).tolist(), strict=True))


def _time_shares(predictions: Sequence[Prediction], weights: np.ndarray) -> dict[str, Share]:
    seconds: dict[str, list[float]] = {}
    for one, weight in zip(predictions, weights.tolist(), strict=True):
        if one.emotion is not None:
            seconds.setdefault(one.emotion, [0.0, 0.0])[bool(one.uncertain)] += weight
    total = float(weights.sum()) or 1.0
    ranked = sorted(seconds.items(), key=lambda item: -sum(item[1]))
    return {label: Share(certain / total, uncertain / total) for label, (certain, uncertain) in ranked}


def _covered(times: np.ndarray) -> float:
    """Seconds that at least one of the intervals covers; they are in order of their starts."""
    if not len(times):
        return 0.0
    ends = np.maximum.accumulate(times[:, 1])
    begins = np.maximum(times[:, 0], np.concatenate([[0.0], ends[:-1]]))
    return float(np.maximum(ends - begins, 0.0).sum())


def _without_overlap(times: np.ndarray) -> list[int]:
    """Positions of intervals that do not overlap, each the first that starts after the one before has ended."""
    positions: list[int] = []
    end = -np.inf
    for position, (start, its_end) in enumerate(times.tolist()):
        if start >= end:
            positions.append(position)
            end = its_end
    return positions


def _course(times: np.ndarray, dimensions: np.ndarray) -> Course:
    """Running means: in the window of each point, a segment counts with the time that it shares with the window."""
    if not dimensions.size:
        return Course([], [], [], [])
    points = np.arange(COURSE_STEP / 2, times[:, 1].max() + COURSE_STEP / 2, COURSE_STEP)
    weight = _time_in_window(times, np.ones(len(times)), points)
    columns = []
    for values in dimensions.T:
        means = _time_in_window(times, values, points) / np.where(weight > 1e-6, weight, 1.0)
        columns.append(
            [mean if is_known else None for mean, is_known in zip(means.tolist(), weight > 1e-6, strict=True)]
        )
    return Course(points.tolist(), *columns)


def _time_in_window(times: np.ndarray, values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Integral over each point's window of the sum of the values of the segments at a time."""
    edges = times.T.ravel()  # the sum steps up by a value at each start, and down at each end
    steps = np.concatenate([values, -values])[np.argsort(edges, kind="stable")]
    edges = np.sort(edges)
    integral = np.concatenate([[0.0], np.cumsum(np.cumsum(steps)[:-1] * np.diff(edges))])
    half = COURSE_WIDTH / 2
    return np.asarray(np.interp(points + half, edges, integral) - np.interp(points - half, edges, integral))


def _clock(seconds: float) -> str:
    """A duration or time, such as "7.5 s", "2:05" or "1:02:05"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _shares(shares: dict[str, Share], n: int = 3) -> str:
    """The largest shares and how much is uncertain, such as "anger 40 %, neutral 25 %; 15 % uncertain"."""
    largest = [f"{label} {share.certain + share.uncertain:.0%}" for label, share in list(shares.items())[:n]]
    uncertain = sum(share.uncertain for share in shares.values())
    texts = [", ".join(largest), *([f"{uncertain:.0%} uncertain"] if uncertain >= 0.005 else [])]
    return "; ".join(texts).replace("%", " %")


def _difference(before: Phase, after: Phase) -> str:
    """What changes most, such as "neutral -> anger, arousal 0.42 -> 0.71"."""
    texts = [] if before.emotion == after.emotion else [f"{before.emotion} -> {after.emotion}"]
    moves = {name: abs(after.dimensions[name] - value) for name, value in before.dimensions.items()}
    if name := max(moves, key=moves.__getitem__, default=None):
        texts.append(f"{name} {before.dimensions[name]:.2f} -> {after.dimensions[name]:.2f}")
    return ", ".join(texts) or f"{after.emotion}, other probabilities"
