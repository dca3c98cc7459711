"""The page and the picture of a recording: whole in one file, escaped, with every segment, and shown by a browser."""

import base64
import io
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import matplotlib.image
import numpy as np
import pytest
import soundfile

from emofuse.audio import AudioError, Note
from emofuse.errors import EmofuseError
from emofuse.labels import DIMENSIONS, EMOTIONS
from emofuse.report import recording
from emofuse.report.lanes import colours_of, lanes_of, text_colour
from emofuse.report.recording import write_recording_page
from emofuse.report.recording_plot import plot_timeline
from emofuse.timeline.prediction import Prediction, Timeline

VOID = {"meta", "input"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "</script><script>alert('1')</script>"


def predicted(start, end, emotion="anger", **fields):
    """A prediction of `emotion` with a confidence of 0.9 and all dimensions 0.25, but for `fields`."""
    values = {
        "file": "talk.wav",
        "text": f"words at {start:g}",
        "text_source": "given",
        "language": "en",
        "used": "audio+text",
        "confidence": 0.9,
        "probabilities": dict.fromkeys(EMOTIONS, 0.1 / 6) | {emotion: 0.9},
        **dict.fromkeys(DIMENSIONS, 0.25),
    }
    return Prediction(start=start, end=end, emotion=emotion, **(values | fields))


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    """Four seconds of two channels: noise, loud from second 2 on."""
    path = tmp_path_factory.mktemp("talk") / "talk.wav"
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, (4 * 22050, 2)).astype(np.float32)
    noise[2 * 22050 :] *= 8
    soundfile.write(path, noise, 22050)
    return path


@pytest.fixture
def conversation():
    """Two speakers, one prediction uncertain, one with intervals and a note, one with a hostile transcript."""
    predictions = [
        predicted(0.0, 1.0, speaker="Ann"),
        predicted(1.0, 2.0, "sadness", speaker=HOSTILE, uncertain=True, note="the transcript was not used"),
        predicted(2.0, 3.5, "neutral", speaker="Ann", text=HOSTILE, intervals={"arousal": (0.125, 0.5)}),
        predicted(3.5, 4.0, "happiness", speaker=HOSTILE, text=None),
    ]
    notes = [Note("damaged", "it has <gaps>", 1.5, 2.0)]
    return Timeline(predictions, file="talk.wav", seconds=4.0, notes=notes)


class Page(HTMLParser):
    """A parsed page: attributes by tag, text by tag, rows of tables; every tag that opens must close."""

    def __init__(self, path):
        super().__init__()
        self.text, self.open, self.ids, self.attributes, self.texts, self.rows = (
            path.read_text("utf-8"),
            [],
            [],
            {},
            {},
            [],
        )
        self.feed(self.text)
        self.close()
        assert self.open == [] and len(set(self.ids)) == len(self.ids)

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self.attributes.setdefault(tag, []).append(dict(attrs))
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_startendtag(self, tag, attrs):
        self.attributes.setdefault(tag, []).append(dict(attrs))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def classes(self, tag):
        return [attributes.get("class") or "" for attributes in self.attributes.get(tag, [])]

    @property
    def segments(self):
        """Rows of the table of segments, by column."""
        head = next(row for row in self.rows if row[0] == "start")
        return [dict(zip(head, row, strict=True)) for row in self.rows[self.rows.index(head) + 1 :]]

    @property
    def sound(self):
        """Samples and rate of the sound inside."""
        kind, _, encoded = self.attributes["audio"][0]["src"].partition(";base64,")
        assert kind in ("data:audio/mpeg", "data:audio/flac")
        return soundfile.read(io.BytesIO(base64.b64decode(encoded)))


def written(timeline, audio, folder, **options):
    return Page(write_recording_page(timeline, audio, folder / "page.html", model_name="default <1>", **options))


def test_the_page_needs_no_other_file_and_its_sound_is_that_of_the_recording(conversation, talk, tmp_path):
    page = written(conversation, talk, tmp_path)
    assert not re.search(r"https?:|@import|url\(|<link|\bsrc=\"(?!data:)|href=", page.text)
    samples, rate = page.sound
    assert rate == 16000 and samples.shape == (64000, 2)
    loudness = np.sqrt(np.square(samples).mean(axis=1).reshape(4, -1).mean(axis=1))
    assert loudness[0] == pytest.approx(0.1 / np.sqrt(3), rel=0.3) and loudness[3] == pytest.approx(
        8 * loudness[0], rel=0.3
    )


def test_each_segment_is_in_the_table_and_the_transcript(conversation, talk, tmp_path):
    page = written(conversation, talk, tmp_path)
    assert [row["start"] for row in page.segments] == ["0:00.0", "0:01.0", "0:02.0", "0:03.5"]
    assert [row["emotion"] for row in page.segments][:2] == ["anger 0.90", "sadness? 0.90 uncertain"]
    assert page.segments[2]["arousal"] == "0.25 0.12–0.50" and page.segments[3]["arousal"] == "0.25"
    assert [row["words"] for row in page.segments] == ["words at 0", "words at 1", HOSTILE, "–"]
    assert page.segments[1]["note"] == "the transcript was not used"
    jumps = [one for one in page.attributes["button"] if "data-start" in one]
    assert [(float(one["data-start"]), float(one["data-end"]), one["data-lane"]) for one in jumps] == [
        (0.0, 1.0, "0"), (1.0, 2.0, "1"), (2.0, 3.5, "0"), (3.5, 4.0, "1"),
    ]  # fmt: skip


def test_what_users_write_is_text_and_never_markup(conversation, talk, tmp_path):
    odd = tmp_path / "<b>&\"'.wav"
    shutil.copy(talk, odd)
    conversation.append(predicted(4.0, 4.0, "<i>", language='"><u>', text="\ud800", speaker="Ann"))
    page = written(conversation, odd, tmp_path, licence="<u>")
    assert len(page.attributes["script"]) == 1 and not {"i", "u"} & set(page.attributes)
    assert page.texts["h1"] == [odd.name]
    assert any("it has <gaps> (from 0:01.5 to 0:02.0)" in text for text in page.texts["li"])
    assert "default <1>" in "".join(page.texts["footer"]) and "licence: <u>" in "".join(page.texts["footer"])


def test_a_lane_for_each_speaker(conversation, talk, tmp_path):
    page = written(conversation, talk, tmp_path)
    assert page.classes("div").count("row lane") == 2 and page.classes("div").count("row dimension") == 3
    blocks = [(one["class"], one["d"]) for one in page.attributes["path"] if one["class"].startswith("block")]
    neutral, happiness, sadness, anger = (
        "block c" + str(EMOTIONS.index(e)) for e in ("neutral", "happiness", "sadness", "anger")
    )
    assert blocks == [
        (neutral, "M200 0H350V100H200Z"),
        (anger, "M0 0H100V100H0Z"),
        (happiness, "M350 0H400V100H350Z"),
        (f"{sadness} uncertain", "M100 0H200V100H100Z"),
    ]
    arousal = {one["class"]: one["d"] for one in page.attributes["path"][-15:] if one["d"] and "band" in one["class"]}
    assert arousal == {"band": "M200 50H350V87.5H200Z"}


def test_lanes_follow_channels_and_speakers_and_cut_what_overlaps():
    assert [lane.name for lane in lanes_of([predicted(0, 1)])] == ["speech"]
    assert [lane.name for lane in lanes_of([predicted(0, 1, channel=2), predicted(1, 2, channel=1)])] == [
        "channel 1",
        "channel 2",
    ]
    named = [
        predicted(0, 1, channel=1, speaker="Ann"),
        predicted(0, 1, channel=2),
        predicted(2, 3, channel=2, speaker="Ben"),
    ]
    assert [lane.name for lane in lanes_of(named)] == ["channel 1, Ann", "channel 2, unknown speaker", "channel 2, Ben"]
    [windows] = lanes_of([predicted(start, start + 2.0) for start in (1.0, 0.0, 2.0)])
    assert [(block.start, block.end) for block in windows.blocks] == [(0.0, 1.0), (1.0, 2.0), (2.0, 4.0)]
    with pytest.raises(EmofuseError, match="no times"):
        lanes_of([predicted(0, None)])


def test_the_summary_is_by_speaker(conversation, talk, tmp_path):
    page = written(conversation, talk, tmp_path)
    head, everyone, ann, other = page.rows[:4]
    shares = dict(zip(head, everyone, strict=True))
    assert (shares["who"], shares["time"], shares["neutral"], shares["fear"]) == ("all", "0:04.0", "38 %", "–")
    assert (shares["uncertain"], shares["arousal"]) == ("25 %", "0.25")
    assert ann[:3] == ["Ann", "0:02.5", "2"] and other[:3] == [HOSTILE, "0:01.5", "2"]


def test_labels_have_enough_contrast():
    def luminance(colour):
        values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
        return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    colours = colours_of([*EMOTIONS, "boredom"])
    assert len(set(colours.values())) == 8
    for colour in colours.values():
        text, ground = (
            luminance(text_colour(colour).replace("#000", "#000000").replace("#fff", "#ffffff")),
            luminance(colour),
        )
        assert (max(text, ground) + 0.05) / (min(text, ground) + 0.05) >= 4.5


def test_a_recording_in_which_nobody_speaks(talk, tmp_path):
    page = written(Timeline([], file="talk.wav", seconds=4.0), talk, tmp_path)
    assert any("Nobody speaks" in text for text in page.texts["p"])
    assert "table" not in page.attributes and "button" not in page.attributes
    assert len(page.sound[0]) == 64000


def test_models_with_one_head(talk, tmp_path):
    page = written(Timeline([predicted(0, 1, **dict.fromkeys(DIMENSIONS))]), talk, tmp_path)
    assert "arousal" not in page.segments[0] and page.segments[0]["emotion"] == "anger 0.90"
    page = written(Timeline([predicted(0, 1, None, confidence=None, probabilities={})]), talk, tmp_path)
    assert "emotion" not in page.segments[0] and page.segments[0]["valence"] == "0.25"


def test_long_recordings_stay_beside_the_page(conversation, talk, tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "EMBED_SECONDS", 3.0)
    audio = tmp_path / "day 1" / "talk?#.wav"
    audio.parent.mkdir()
    shutil.copy(talk, audio)
    for seconds in (4.0, None):
        conversation.seconds = seconds
        page = written(conversation, audio, tmp_path / "pages")
        assert page.attributes["audio"][0]["src"] == "../day%201/talk%3F%23.wav"
        assert any("is not in this page" in text for text in page.texts["p"])
    assert len(written(conversation, audio, tmp_path, embed=True).sound[0]) == 64000


def test_many_segments_are_few_elements(talk, tmp_path):
    many = [predicted(i / 1000, (i + 1) / 1000, EMOTIONS[i % 7], speaker=f"{i % 2}") for i in range(1000)]
    page = written(Timeline(many, seconds=4.0), talk, tmp_path)
    assert len(page.attributes["path"]) < 50 and len(page.segments) == 1000
    assert "open" not in page.attributes["details"][0]


def test_a_recording_that_cannot_be_read(conversation, tmp_path):
    with pytest.raises(AudioError, match=r"absent\.wav"):
        written(conversation, tmp_path / "absent.wav", tmp_path)
    assert not (tmp_path / "page.html").exists()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_runs_it(conversation, talk, tmp_path, width):
    page = write_recording_page(conversation, talk, tmp_path / "page.html", model_name="default")
    measure = "<script>document.title = [document.documentElement.scrollWidth, innerWidth]</script></body>"
    page.write_text(page.read_text("utf-8").replace("</body>", measure), encoding="utf-8")
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom"]
    arguments += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}"]
    arguments += [f"--window-size={width},900", page.as_uri()]
    shown = subprocess.run([CHROMIUM, *arguments], capture_output=True, text=True, timeout=300, check=True).stdout
    content, visible = re.search(r"<title>(\d+),(\d+)</title>", shown).groups()
    assert int(content) <= int(visible)  # nothing but tables and the picture is scrolled sideways
    assert re.findall(r'class="label[^>]*>([^<]*)<', shown)[:2] == ["anger", "neutral"]
    assert re.search(r'aria-valuetext="0:00\s+Ann\s+anger 0\.90\s+words at 0"', shown)
    assert shown.count('tabindex="-1"') == 3 and 'id="failure" hidden' in shown


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_picture_of_a_timeline(conversation, talk, tmp_path, ending):
    samples = np.zeros(64000, np.float32)
    path = plot_timeline(conversation, tmp_path / f"talk.{ending}", samples=samples)
    if ending == "svg":
        texts = re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text("utf-8"))
        assert {"Ann", *DIMENSIONS, "anger", "sadness?", "uncertain", "seconds"} <= set(texts)
    else:
        assert matplotlib.image.imread(path).shape[1] == 1500
    assert plot_timeline(Timeline([], seconds=4.0), tmp_path / f"nobody.{ending}").stat().st_size > 1000


def test_a_picture_needs_matplotlib_and_a_known_ending(conversation, tmp_path, monkeypatch):
    with pytest.raises(EmofuseError, match=r"talk\.gif.*\.png, \.svg"):
        plot_timeline(conversation, tmp_path / "talk.gif")
    monkeypatch.setattr("emofuse.plot_style.find_spec", lambda name: None)
    with pytest.raises(EmofuseError, match="pip install matplotlib"):
        plot_timeline(conversation, tmp_path / "talk.png")


def test_a_page_needs_neither_pandas_nor_matplotlib():
    code = "import sys; import emofuse.report.recording, emofuse.report.recording_plot; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pandas", "matplotlib"} & set(done.stdout.split())
