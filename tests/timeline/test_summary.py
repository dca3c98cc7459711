"""Summaries of timelines: weights, speakers, courses, changes; and change points in series with a known truth."""

import json

import numpy as np
import pytest

from emofuse.audio import Note
from emofuse.timeline.changes import MIN_SEGMENTS, MIN_SPEECH, find_changes
from emofuse.timeline.prediction import Prediction, Timeline
from emofuse.timeline.summary import COURSE_STEP, COURSE_WIDTH, render_summary, summarise


def prediction(start, end, *, anger=0.25, arousal=0.5, **other):
    emotion = "anger" if anger > 0.5 else "neutral"
    values = {"file": "a/call.wav", "text": None, "text_source": None, "language": None, "used": "audio"}
    values |= {"emotion": emotion, "confidence": max(anger, 1 - anger)}
    values |= {"probabilities": {"neutral": 1 - anger, "anger": anger}, "valence": 0.25, "dominance": 0.75}
    return Prediction(start=start, end=end, arousal=arousal, **values | other)


CALL = Timeline(
    [
        prediction(0, 4, anger=0.75, arousal=0.75, speaker="A"),
        prediction(5, 7, anger=0.5, arousal=0.25, speaker="B"),
        prediction(8, 9, anger=0.25, arousal=0.5, speaker="A", uncertain=True),
        prediction(10, 11, anger=0.75, arousal=0.5, speaker="A", uncertain=True),
    ],
    file="a/call.wav",
    seconds=60.0,
    notes=[Note("gap", "2 s cannot be decoded", 12, 14)],
)


def test_means_and_shares_are_weighted_by_time():
    summary = summarise(CALL)
    assert (summary.overall.segments, summary.overall.seconds, summary.duration) == (4, 8.0, 60.0)
    assert summary.overall.probabilities["anger"] == pytest.approx((4 * 0.75 + 2 * 0.5 + 0.25 + 0.75) / 8)
    assert summary.overall.dimensions["arousal"] == pytest.approx((4 * 0.75 + 2 * 0.25 + 0.5 + 0.5) / 8)
    shares = {label: (share.certain, share.uncertain) for label, share in summary.overall.shares.items()}
    assert shares == {"anger": (0.5, 0.125), "neutral": (0.25, 0.125)}
    assert [(one.speaker, one.segments, one.seconds) for one in summary.speakers] == [("A", 3, 6.0), ("B", 1, 2.0)]
    assert summary.notes == ["2 s cannot be decoded"]


def test_channels_are_summarised_apart():
    summary = summarise(
        Timeline([prediction(0, 1, channel=2), prediction(1, 2, channel=1), prediction(3, 4, channel=2)])
    )
    assert [(one.channel, one.seconds) for one in summary.speakers] == [(1, 1.0), (2, 2.0)]


def test_overlapping_windows_count_their_time_once():
    windows = Timeline([prediction(start, start + 4) for start in range(0, 10, 2)])
    assert summarise(windows).overall.seconds == 12.0


def test_the_course_is_a_running_mean_of_what_the_window_covers():
    rng = np.random.default_rng(0)
    starts = np.cumsum(rng.uniform(2, 30, 40))
    timeline = Timeline([prediction(start, start + 2, arousal=rng.random()) for start in starts])
    course = summarise(timeline).overall.course
    assert np.diff(course.seconds) == pytest.approx(COURSE_STEP)
    grid = np.arange(0, starts[-1] + 60, 0.01) + 0.005  # a second way: samples of the recording
    value = np.full(len(grid), np.nan)
    for one in timeline:
        value[(grid >= one.start) & (grid < one.end)] = one.arousal
    for point, mean in zip(course.seconds, course.arousal, strict=True):
        window = value[np.abs(grid - point) < COURSE_WIDTH / 2]
        if mean is None:
            assert np.isnan(window).all()
        else:
            assert mean == pytest.approx(np.nanmean(window), abs=0.01)
    assert None in course.arousal


def test_a_lasting_change_is_found_and_shown():
    calm = [prediction(5 * i, 5 * i + 3, arousal=0.4 + 0.02 * (i % 2)) for i in range(12)]
    angry = [prediction(5 * i, 5 * i + 3, anger=0.9, arousal=0.7 + 0.02 * (i % 2)) for i in range(12, 24)]
    summary = summarise(Timeline([*calm, *angry], file="call.wav"))
    before, after = summary.overall.phases
    assert (before.start, before.end, after.start, after.end) == (0, 58, 60, 118)
    assert (before.emotion, after.emotion) == ("neutral", "anger")
    assert after.dimensions["arousal"] == pytest.approx(0.71)
    assert "1:00: neutral -> anger, arousal 0.41 -> 0.71" in render_summary(summary)


def test_overlapping_windows_of_noise_have_no_changes():
    rng = np.random.default_rng(0)
    for level in (np.zeros(600), 0.3 * (np.arange(600) >= 300)):
        arousal = 0.4 + level + rng.normal(0, 0.1, 600)  # of each second; a window has the mean of eight
        windows = [prediction(i, i + 8, arousal=arousal[i : i + 8].mean()) for i in range(593)]
        phases = summarise(Timeline(windows)).overall.phases
        assert len(phases) == 1 + bool(level.any())
    assert phases[1].start == pytest.approx(300, abs=8)


def test_text_and_json():
    text = render_summary(summarise(CALL))
    assert text.startswith("call.wav: 4 segments, 8.0 s of speech in 1:00\n")
    assert "anger 62 %, neutral 38 %; 25 % uncertain" in text and "2 s cannot be decoded" in text
    assert [line.split()[0] for line in text.splitlines()[1:4]] == ["all", "A", "B"]
    assert render_summary(summarise(Timeline(CALL[:3]))) == ""
    values = json.loads(json.dumps(summarise(CALL).to_dict(), allow_nan=False))
    assert values["speakers"][0]["shares"]["anger"] == {"certain": 0.6667, "uncertain": 0.1667}


def test_what_a_model_does_not_predict_is_empty():
    nothing = summarise(Timeline(file="silent.wav", seconds=3.0)).overall
    assert (nothing.segments, nothing.seconds, nothing.shares, nothing.phases) == (0, 0.0, {}, [])
    no_categories = {"emotion": None, "confidence": None, "probabilities": {}}
    dimensions_only = summarise(Timeline([prediction(i, i + 1, **no_categories) for i in range(5)]))
    assert dimensions_only.overall.dimensions["valence"] == 0.25 and dimensions_only.overall.phases[0].emotion is None
    assert "A 0.50" in render_summary(dimensions_only)
    no_dimensions = {"arousal": None, "valence": None, "dominance": None}
    angrier = [prediction(5 * i, 5 * i + 4, anger=0.1 + 0.8 * (i > 9), **no_dimensions) for i in range(20)]
    categories_only = summarise(Timeline(angrier)).overall
    assert categories_only.course.seconds == [] and [phase.start for phase in categories_only.phases] == [0, 50]
    assert "neutral -> anger" in render_summary(summarise(Timeline(angrier)))


@pytest.mark.parametrize(("n", "truth"), [(40, [20]), (90, [30, 60]), (200, [25, 100, 160])])
def test_known_steps_are_found(n, truth):
    rng = np.random.default_rng(n)
    level = np.zeros((n, 3))
    for number, position in enumerate(truth):
        level[position:] += (-1) ** number * np.array([0.3, -0.2, 0.1])
    found = find_changes(0.5 + level + rng.normal(0, 0.08, (n, 3)), rng.uniform(1, 5, n))
    assert len(found) == len(truth) and np.abs(np.array(found) - truth).max() <= 1


@pytest.mark.parametrize("kind", ["normal", "outbursts", "one factor"])
def test_noise_has_no_changes(kind):
    rng = np.random.default_rng(0)
    found = 0
    for n in [12, 40, 100, 250] * 10:
        values = 0.5 + rng.normal(0, 0.1, (n, 3))
        if kind == "outbursts":  # one segment in five is much more aroused than the rest
            values = rng.normal(0.4, 0.05, (n, 3)) + 0.4 * (rng.random((n, 1)) < 0.2)
        elif kind == "one factor":  # arousal and dominance move together
            values = rng.normal(0.5, 0.1, (n, 1)) + rng.normal(0, 0.02, (n, 3))
        found += bool(find_changes(values, rng.uniform(1, 5, n)))
    assert found <= 1  # of 40


def test_parts_have_a_shortest_length():
    values = np.repeat([[0.1], [0.9], [0.1]], [10, MIN_SEGMENTS - 1, 10], axis=0)
    assert find_changes(values, np.full(len(values), 5.0)) == []
    short = np.repeat([[0.1], [0.9]], 5, axis=0)
    assert find_changes(short, np.full(10, MIN_SPEECH / 6)) == []
    assert find_changes(short, np.full(10, MIN_SPEECH / 4)) == [5]


def test_the_minimum_is_exact():
    rng = np.random.default_rng(1)
    values, seconds = rng.normal(0.5, 0.1, (14, 1)), np.full(14, 4.0)
    values[8:] += 0.5
    [found] = find_changes(values, seconds)

    def error(position):
        return sum(((part - part.mean(axis=0)) ** 2).sum() for part in (values[:position], values[position:]))

    assert found == min(range(MIN_SEGMENTS, 14 - MIN_SEGMENTS + 1), key=error)
