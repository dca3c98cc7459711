"""Subtitles, Audacity labels and RTTM."""

import pytest
import webvtt

from emofuse.errors import EmofuseError
from emofuse.segment import Segment
from emofuse.timeline.cues import read_audacity_labels, read_rttm, read_subtitles


@pytest.fixture
def read(tmp_path):
    """Rows that a reader has from a content."""

    def rows(reader, content):
        (tmp_path / "a.txt").write_text(content, encoding="utf-8")
        return [(one.start, one.end, one.text, one.speaker) for one in reader(tmp_path / "a.txt")]

    return rows


def test_webvtt(tmp_path):
    captions = webvtt.WebVTT()
    captions.captions += [
        webvtt.Caption("00:00:00.500", "00:00:02.250", "<v Anna>Das <i>weiß</i> ich &amp; <00:00:01.000>du"),
        webvtt.Caption("00:00:02.500", "01:00:04.000", ["<v.loud Bo B.>Ja,", "sicher.</v>"]),
        webvtt.Caption("01:00:05.000", "01:00:06.125", "[door slams]"),
    ]
    captions.save(str(tmp_path / "a.vtt"))
    assert read_subtitles(tmp_path / "a.vtt") == [
        Segment(None, "Das weiß ich & du", 0.5, 2.25, "Anna"),
        Segment(None, "Ja, sicher.", 2.5, 3604.0, "Bo B."),
        Segment(None, None, 3605.0, 3606.125),
    ]


def test_webvtt_with_all_that_it_may_have(read):
    content = "WEBVTT - x\n\nNOTE 00:01 is early\n\nSTYLE\n::cue { color: red }\n\n"
    content += "intro\n00:01.000 --> 00:02.000 align:start\nHi"
    assert read(read_subtitles, content) == [(1.0, 2.0, "Hi", None)]


@pytest.mark.parametrize(
    ("cue", "text", "speaker"),
    [
        ("anna: [anger 0.84] Well: now.", "Well: now.", "anna"),
        ("[sadness? 0.50] Well.", "Well.", None),
        ("[A 0.500 V 0.250 D 0.750]", None, None),
        ("[SPEAKER_00]: Hello.", "Hello.", "SPEAKER_00"),
        ("{\\an8}<i>- Hello.</i>", "Hello.", None),
        ("<v A>Hi</v> <v B>Ho</v>", "Hi Ho", None),
        ("[music]", None, None),
        ("...", None, None),
        ("", None, None),
    ],
)
def test_cues(read, cue, text, speaker):
    other = "2\n00:00:03,000 --> 00:00:04,000\nOther.\n"
    rows = read(read_subtitles, f"1\n00:00:01,000 --> 00:00:02,500\n{cue}\n\n{other}")
    assert rows == [(1.0, 2.5, text, speaker), (3.0, 4.0, "Other.", None)]


def test_names_before_words_count_if_all_cues_have_them(read):
    cues = ["00:01.0 --> 00:02.0\nAnna: Hi.\n", "00:02.0 --> 00:03.0\nBo: Note: ho.\n"]
    assert read(read_subtitles, "\n".join(cues)) == [(1.0, 2.0, "Hi.", "Anna"), (2.0, 3.0, "Note: ho.", "Bo")]
    cues.append("00:03.0 --> 00:04.0\nHello.\n")
    assert [row[3] for row in read(read_subtitles, "\n".join(cues))] == [None] * 3


def test_cues_without_blank_lines_between(read):
    content = "1\r\n00:01,0 --> 00:02,0\r\nIn 2000\r\n2\r\n00:02,0 --> 00:03,0\r\nHo.\r\nHi."
    assert read(read_subtitles, content) == [(1.0, 2.0, "In 2000", None), (2.0, 3.0, "Ho. Hi.", None)]


@pytest.mark.parametrize("times", ["00:02,0 --> 00:01,0", "00:02,0 --> x", "00:02,0 -->", "x --> 00:01,0"])
def test_wrong_cues(read, times):
    with pytest.raises(EmofuseError, match=r"a\.txt, line 6"):
        read(read_subtitles, f"1\n00:00:01,000 --> 00:00:02,500\nHi\n\n2\n{times}\nHo\n")


def test_audacity(read, caplog):
    content = "0.5\t2.25\tWell, well\n\\\t100.0\t200.0\n3,0\t3,0\tmark\n3,5\t4,0\n"
    assert read(read_audacity_labels, content) == [(0.5, 2.25, "Well, well", None), (3.5, 4.0, None, None)]
    assert "1 label" in caplog.text


def test_audacity_speakers(read):
    content = "0\t1\tanna\n1\t2\tbo\n2\t3\tanna\n"
    assert [row[2:] for row in read(read_audacity_labels, content)] == [(None, "anna"), (None, "bo"), (None, "anna")]
    content = "0\t1\tanna: Hi.\n1\t2\tbo: Ho.\n"
    assert [row[2:] for row in read(read_audacity_labels, content)] == [("Hi.", "anna"), ("Ho.", "bo")]
    assert [row[2:] for row in read(read_audacity_labels, "0\t1\tYes\n1\t2\tNo\n")] == [("Yes", None), ("No", None)]


@pytest.mark.parametrize("line", ["2\t1\tx", "one\t2\tx", "-1\t2\tx"])
def test_wrong_labels(read, line):
    with pytest.raises(EmofuseError, match=r"a\.txt, line 2"):
        read(read_audacity_labels, f"0\t1\tx\n{line}\n")


def test_rttm(tmp_path, caplog):
    content = (
        ";; a comment\nSPKR-INFO call 1 <NA> <NA> <NA> unknown anna <NA> <NA>\n"
        "SPEAKER call 1 2.5 1.5 <NA> <NA> bo <NA> <NA>\nSPEAKER call 1 0.50 1.75 <NA> anger anna 0.84\n"
        "SPEAKER stereo 1 0 1 <NA> <NA> <NA> <NA>\nSPEAKER stereo 2 1 0 <NA> <NA> x <NA>\n"
        "SPEAKER stereo 2 1 1 <NA> <NA> speaker <NA>\n"
    )
    (tmp_path / "a.rttm").write_text(content)
    rows = [(str(one.file), one.start, one.end, one.speaker, one.channel) for one in read_rttm(tmp_path / "a.rttm")]
    assert rows == [
        ("call", 0.5, 2.25, "anna", None),
        ("call", 2.5, 4.0, "bo", None),
        ("stereo", 0.0, 1.0, None, 1),
        ("stereo", 1.0, 2.0, None, 2),
    ]
    assert "1 turn" in caplog.text


@pytest.mark.parametrize("times", ["1 -1", "x 1", "-2 1", "1", "NA 1", "1 inf"])
def test_wrong_turns(read, times):
    with pytest.raises(EmofuseError, match=r"a\.txt, line 2"):
        read(read_rttm, f"SPEAKER a 1 0 1 <NA> <NA> x\nSPEAKER a 1 {times} <NA> <NA> x\n")
