"""Timelines written in the formats of others and read back by their own parsers."""

import pympi
import pytest
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st
from praatio import textgrid

from emofuse.errors import EmofuseError
from emofuse.timeline.formats import to_audacity, to_eaf, to_rttm, to_srt, to_textgrid, to_vtt
from emofuse.timeline.prediction import Prediction


def prediction(start, end, *, emotion="anger", confidence=0.841, text=None, speaker=None, arousal=0.5, **other):
    values = {"file": "call.wav", "start": start, "end": end, "text": text, "emotion": emotion, "speaker": speaker}
    values |= {"confidence": confidence, "arousal": arousal, "valence": 0.25, "dominance": 0.75}
    values |= {"text_source": None, "language": None, "used": "audio", "probabilities": {}, **other}
    return Prediction(**values)


CALL = [
    prediction(0.5, 2.25, text='He said "no" & left <here>', speaker="A"),
    prediction(2.5, 4.0, text="Ja, das weiß ich.\nNoch was?", speaker="B", emotion="sadness", uncertain=True),
    prediction(5.0, 6.125, text=None, speaker="A", emotion="neutral", confidence=0.5),
]


def textgrid_of(tmp_path, content):
    (tmp_path / "a.TextGrid").write_text(content, encoding="utf-8")
    return textgrid.openTextgrid(str(tmp_path / "a.TextGrid"), includeEmptyIntervals=False)


def test_textgrid_is_read_by_praatio(tmp_path):
    grid = textgrid_of(tmp_path, to_textgrid(CALL, seconds=10))
    assert grid.maxTimestamp == 10
    assert [tuple(entry) for entry in grid.getTier("A: emotion").entries] == [
        (0.5, 2.25, "anger 0.84"),
        (5.0, 6.125, "neutral 0.50"),
    ]
    assert [tuple(entry) for entry in grid.getTier("B: emotion").entries] == [(2.5, 4.0, "sadness? 0.84")]
    (words,) = grid.getTier("A: words").entries
    assert words.label.replace('""', '"') == 'He said "no" & left <here>'  # praatio leaves doubled quotes as they are
    assert [float(entry.label) for entry in grid.getTier("B: valence").entries] == [0.25]


def test_eaf_is_read_by_pympi(tmp_path):
    (tmp_path / "a.eaf").write_text(to_eaf(CALL, media="call.wav"), encoding="utf-8")
    document = pympi.Elan.Eaf(str(tmp_path / "a.eaf"))
    assert sorted(document.get_annotation_data_for_tier("A: emotion")) == [
        (500, 2250, "anger 0.84"),
        (5000, 6125, "neutral 0.50"),
    ]
    assert document.get_annotation_data_for_tier("A: words") == [(500, 2250, 'He said "no" & left <here>')]
    assert document.get_annotation_data_for_tier("B: words") == [(2500, 4000, "Ja, das weiß ich. Noch was?")]
    assert document.get_annotation_data_for_tier("B: dominance") == [(2500, 4000, "0.750")]
    assert document.media_descriptors[0]["MEDIA_URL"] == "call.wav"


def test_captions_are_read_by_webvtt(tmp_path):
    (tmp_path / "a.vtt").write_text(to_vtt(CALL), encoding="utf-8")
    captions = webvtt.read(str(tmp_path / "a.vtt"))
    assert [(one.start, one.end, one.voice) for one in captions] == [
        ("00:00:00.500", "00:00:02.250", "A"),
        ("00:00:02.500", "00:00:04.000", "B"),
        ("00:00:05.000", "00:00:06.125", "A"),
    ]
    assert captions[0].text == '[anger 0.84] He said "no" &amp; left &lt;here&gt;'
    (tmp_path / "a.srt").write_text(to_srt(CALL), encoding="utf-8")
    subtitles = webvtt.from_srt(str(tmp_path / "a.srt"))
    assert [one.raw_text for one in subtitles] == [
        'A: [anger 0.84] He said "no" & left <here>',
        "B: [sadness? 0.84] Ja, das weiß ich. Noch was?",
        "A: [neutral 0.50]",
    ]
    assert [(one.start, one.end) for one in subtitles] == [(one.start, one.end) for one in captions]


def test_audacity_labels():
    rows = [line.split("\t") for line in to_audacity(CALL).splitlines()]
    assert [(float(start), float(end)) for start, end, _ in rows] == [(0.5, 2.25), (2.5, 4), (5, 6.125)]
    assert rows[2][2] == "A: neutral 0.50"


def test_rttm():
    rows = [line.split(" ") for line in to_rttm(CALL, name="my call").splitlines()]
    assert all(len(row) == 10 for row in rows)
    assert rows[1] == ["SPEAKER", "my_call", "1", "2.500", "1.500", "<NA>", "sadness", "B", "0.84", "<NA>"]


def test_overlapping_segments_are_on_further_tiers(tmp_path):
    windows = [prediction(start, start + 3.0) for start in (0.0, 1.0, 2.0, 3.0)]
    grid = textgrid_of(tmp_path, to_textgrid(windows))
    tiers = [grid.getTier(name) for name in grid.tierNames if name.endswith("emotion")]
    assert sorted(entry.start for tier in tiers for entry in tier.entries) == [0, 1, 2, 3]
    assert [len(tier.entries) for tier in tiers] == [2, 1, 1]


@pytest.mark.parametrize("names", [("Ana", "Ana", "Ana 2"), ("Ana", "Ana 2", "Ana"), ("A\tB", "A B", "A  B")])
def test_tiers_with_the_same_name_are_told_apart(names, tmp_path):
    grid = textgrid_of(tmp_path, to_textgrid([prediction(0.0, 2.0, speaker=name) for name in names]))
    assert len([name for name in grid.tierNames if name.endswith("emotion")]) == 3


@pytest.mark.parametrize("write", [to_textgrid, to_eaf, to_vtt, to_srt, to_audacity, lambda p: to_rttm(p, name="a")])
def test_text_alone_has_no_times(write):
    with pytest.raises(EmofuseError, match="no times"):
        write([prediction(None, None)])


def test_an_empty_timeline_is_a_valid_file(tmp_path):
    grid = textgrid_of(tmp_path, to_textgrid([], seconds=3))
    assert grid.tierNames == ("emotion",) and grid.maxTimestamp == 3
    (tmp_path / "a.vtt").write_text(to_vtt([]))
    assert len(webvtt.read(str(tmp_path / "a.vtt"))) == 0
    (tmp_path / "a.eaf").write_text(to_eaf([]))
    assert list(pympi.Elan.Eaf(str(tmp_path / "a.eaf")).get_tier_names()) == []
    assert to_srt([]) == to_audacity([]) == to_rttm([], name="a") == ""


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 5000),
            st.floats(0.001, 30),
            st.text(st.characters(codec="utf-8"), max_size=30),
            st.sampled_from([None, "A", "Zoë 2"]),
        ),
        max_size=8,
    )
)
def test_every_segment_comes_back_with_its_times(tmp_path_factory, segments):
    predictions = [prediction(start, start + n, text=text or None, speaker=who) for start, n, text, who in segments]
    folder = tmp_path_factory.mktemp("formats")
    expected = sorted(round(start * 1000) for start, *_ in segments)
    (folder / "a.eaf").write_text(to_eaf(predictions), encoding="utf-8")
    document = pympi.Elan.Eaf(str(folder / "a.eaf"))
    tiers = [name for name in document.get_tier_names() if name.endswith("emotion")]
    assert sorted(row[0] for name in tiers for row in document.get_annotation_data_for_tier(name)) == expected
    grid = textgrid_of(folder, to_textgrid(predictions))
    tiers = [grid.getTier(name) for name in grid.tierNames if name.endswith("emotion")]
    starts = [entry.start for tier in tiers for entry in tier.entries]
    assert sorted(round(start * 1000) for start in starts) == expected
    assert len(to_audacity(predictions).splitlines()) == len(segments)
