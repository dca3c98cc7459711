"""TextGrids and ELAN documents, written by the field's own programs and by emofuse."""

import pympi
import pytest
from praatio import textgrid
from praatio.data_classes.interval_tier import IntervalTier
from praatio.data_classes.point_tier import PointTier

from emofuse.errors import EmofuseError
from emofuse.segment import Segment
from emofuse.timeline.tiers import Interval, Tier, read_eaf, read_textgrid, segments_on_tiers


def rows(segments):
    return [(one.start, one.end, one.text, one.speaker) for one in segments]


def on(**tiers):
    """Segments on tiers of (start, end, label)."""
    return segments_on_tiers(
        [Tier(name.replace("_at_", "@"), [Interval(*one, "line 1") for one in of]) for name, of in tiers.items()], "a"
    )


def named(tiers):
    return rows(segments_on_tiers([Tier(name, [Interval(*one, "line 1") for one in of]) for name, of in tiers], "a"))


@pytest.fixture(params=["long_textgrid", "short_textgrid"])
def form(request):
    return request.param


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig"])
def test_praatio(tmp_path, form, encoding):
    grid = textgrid.Textgrid()
    entries = [(0.5, 2.25, "Das weiß ich!"), (2.25, 3, "sp"), (4.125, 5, "! size = 3\n<ja> 1")]
    grid.addTier(IntervalTier("Sentences", entries, 0, 10))
    grid.addTier(PointTier("clicks", [(1.0, "x"), (2.5, "")], 0, 10))
    grid.addTier(IntervalTier("phones", [(0, 1, "d")], 0, 10))
    path = tmp_path / "a.TextGrid"
    grid.save(str(path), form, includeBlankSpaces=True)
    path.write_text(path.read_text("utf-8"), encoding=encoding)
    assert rows(read_textgrid(path)) == [(0.5, 2.25, "Das weiß ich!", None), (4.125, 5.0, "! size = 3 <ja> 1", None)]


def test_short_form_of_old_with_doubled_quotes(tmp_path):
    content = (
        'File type = "ooTextFile short"\n"TextGrid" 0 2 <exists> 1 "IntervalTier" "a ""b""" 0 2 1 0 2 "he said ""no"""'
    )
    (tmp_path / "a.TextGrid").write_text(content)
    assert rows(read_textgrid(tmp_path / "a.TextGrid")) == [(0.0, 2.0, 'he said "no"', None)]


HEAD = '"ooTextFile"\n"TextGrid"\n0\n2\n<exists>\n1\n"IntervalTier"\n"anna"\n0\n2\n2\n'


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (HEAD + '0\n1\n"hi"\n1.5\n1\n"ho"', ["line 17", "anna"]),
        (HEAD + '0\n1\n"hi"\n1\ntwo\n"ho"', ["line 17", "number"]),
        (HEAD + '0\n1\n"hi"\n', ["ends"]),
        (HEAD + '0\n1\n""\n1\n2\n"sil"', ["no tier", "'anna'"]),
        ('"Praat chronological TextGrid text file"\n0 1', ["Save as text file"]),
        ("ooBinaryFile\x08TextGrid", ["Save as text file"]),
        ("", ["Save as text file"]),
    ],
)
def test_broken_textgrids(tmp_path, content, parts):
    (tmp_path / "a.TextGrid").write_text(content)
    with pytest.raises(EmofuseError) as caught:
        read_textgrid(tmp_path / "a.TextGrid")
    for part in ["a.TextGrid", *parts]:
        assert part in str(caught.value)


def test_pympi(tmp_path):
    document = pympi.Elan.Eaf(author="x")
    for tier in ("anna", "bo"):
        document.add_tier(tier)
    document.remove_tier("default")
    document.add_annotation("anna", 500, 2250, "Das weiß ich.")
    document.add_annotation("bo", 2000, 3000, "...")
    document.add_annotation("anna", 4000, 5000, "")
    document.add_linguistic_type("words", "Time_Subdivision")
    document.add_tier("words of anna", "words", parent="anna")
    document.add_annotation("words of anna", 500, 1000, "Das")
    document.to_file(str(tmp_path / "a.eaf"))
    expected = [(0.5, 2.25, "Das weiß ich.", "anna"), (2.0, 3.0, None, "bo")]
    assert rows(read_eaf(tmp_path / "a.eaf")) == expected


def test_eaf_with_times_between_others(tmp_path):
    slots = '<TIME_SLOT TIME_SLOT_ID="a" TIME_VALUE="1000"/><TIME_SLOT TIME_SLOT_ID="b"/>'
    slots += '<TIME_SLOT TIME_SLOT_ID="c" TIME_VALUE="3000"/>'
    annotations = "".join(
        f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="{a}" TIME_SLOT_REF1="{a}" TIME_SLOT_REF2="{b}">'
        f"<ANNOTATION_VALUE>{a} x</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
        for a, b in ("ab", "bc")
    )
    tier = f'<TIER TIER_ID="turns" PARTICIPANT="anna">{annotations}</TIER>'
    (tmp_path / "a.eaf").write_text(
        f"<ANNOTATION_DOCUMENT><TIME_ORDER>{slots}</TIME_ORDER>{tier}</ANNOTATION_DOCUMENT>"
    )
    assert rows(read_eaf(tmp_path / "a.eaf")) == [(1.0, 2.0, "a x", "anna"), (2.0, 3.0, "b x", "anna")]


@pytest.mark.parametrize("content", ["<a", "<ANNOTATION_DOCUMENT/>", ""])
def test_broken_eaf(tmp_path, content):
    (tmp_path / "a.eaf").write_text(content)
    with pytest.raises(EmofuseError, match=r"a\.eaf"):
        read_eaf(tmp_path / "a.eaf")


def test_tiers_of_speakers():
    one = [("hallo", [(0, 1, "Hello there.")])]
    assert named(one) == [(0, 1, "Hello there.", None)]
    assert named([*one, ("bo", [(1, 2, "Hi.")]), ("phones", [(0, 1, "h")])]) == [
        (0, 1, "Hello there.", "hallo"),
        (1, 2, "Hi.", "bo"),
    ]
    assert named([("Speaker 1", [(1, 2, "Hi.")]), ("Speaker 2", [(0, 1, "Ho.")])]) == [
        (0, 1, "Ho.", "Speaker 2"),
        (1, 2, "Hi.", "Speaker 1"),
    ]


@pytest.mark.parametrize("name", ["anna: utterances", "anna - Sentences", "turn@anna"])
def test_sentences_come_first(name):
    tiers = [(name, [(0, 2, "Hello there.")]), ("anna - words", [(0, 1, "Hello")]), ("x", [(0, 1, "y")])]
    assert named(tiers) == [(0, 2, "Hello there.", "anna")]


def test_labels_that_are_speakers():
    tiers = [("Speakers", [(0, 3, "anna"), (3, 5, "bo")])]
    assert named(tiers) == [(0, 3, None, "anna"), (3, 5, None, "bo")]
    sentences = ("text", [(0, 1, "One."), (1, 2.5, "Two."), (2.9, 5, "Three."), (6, 7, "Four.")])
    assert [one[3] for one in named([*tiers, sentences])] == ["anna", "anna", "bo", None]


def test_words_of_aligners_are_joined():
    words = [(0, 0.4, "Hello"), (0.5, 1, "there"), (1.3, 2, "you"), (2, 2.1, "")]
    assert named([("anna - words", words), ("anna - phones", [(0, 0.1, "h")])]) == [
        (0, 1, "Hello there", "anna"),
        (1.3, 2, "you", "anna"),
    ]
    long = [(i, i + 1, "la") for i in range(20)]
    assert [end - start for start, end, *_ in named([("words", long)])] == [8, 8, 4]


def test_detected_silence():
    assert named([("silences", [(0, 1, "silent"), (1, 2, "sounding"), (2, 3, "silent")])]) == [(1, 2, None, None)]


def test_ratings_are_no_segments():
    with pytest.raises(EmofuseError, match="'arousal'"):
        named([("arousal", [(0, 1, "0.5")]), ("phones", [(0, 1, "a")])])


def test_segments_hold_no_names_of_files():
    assert on(text=[(0, 1, "x")]) == [Segment(None, "x", 0, 1)]
