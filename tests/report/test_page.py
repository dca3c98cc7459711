"""The page needs nothing beside it, is well formed, and a browser shows it; its tables lie beside it."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from emofuse.config import load_recipe
from emofuse.errors import EmofuseError
from emofuse.report.write import write_report
from emofuse.study.folder import columns_of

VOID = {"meta", "br", "hr", "img", "link", "input"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TITLES = [
    "In short",
    "Results",
    "Comparisons",
    "Classes",
    "What fusion changes",
    "Truth and prediction",
    "Breakdown",
    "Training and seeds",
    "Protocol",
    "Audit",
    "Environment",
]


@pytest.fixture(scope="module")
def page(whole_study):
    """The page of a made-up study, broken down by speaker; made once."""
    return write_report(whole_study, by=["speaker"], resamples=200)


class Reader(HTMLParser):
    """Tags, in order, with a check that they close; ids, links, and what is loaded from elsewhere."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.loaded, self.titles = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("href", "xlink:href"):
                (self.links if tag == "a" else self.loaded).append(value)
            if name in ("src", "srcset", "data", "poster", "action"):
                self.loaded.append(value)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.titles.append(data)


def test_the_page_is_well_formed_and_needs_nothing_else(page):
    text = page.read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == [] and reader.titles == TITLES
    assert len(set(reader.ids)) == len(reader.ids)
    inside = [link for link in reader.loaded if link.startswith("#")]
    assert all(link.startswith(("#", "data:")) for link in reader.loaded)
    assert {link[1:] for link in inside} | {link.removeprefix("#") for link in reader.links} <= set(reader.ids)
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(reader.ids)
    assert not re.search(r"@import|url\((?!#)|<script|<link", text)


def test_everything_of_the_study_is_in_it(page):
    text = page.read_text(encoding="utf-8")
    assert "Made-up answers &amp; &lt;nothing&gt; trained." in text and "<nothing>" not in text
    assert "Mind &lt;them&gt;." in text  # what to do after an audit
    for told in ("abc123", "x86_64", "toy: 3 of 99 rows left out.", "emofuse study recipes/studies/made-up.toml"):
        assert told in text
    assert not re.search(r"\bnan\b", re.sub(r"<svg.*?</svg>", "", text, flags=re.S), re.I)
    assert text.count("<svg") == 4 + 2 + 3 + 1 + 4


def test_tables_lie_beside_it(page):
    folder = page.parent / "tables"
    names = {path.name for path in folder.iterdir()}
    stems = {name.rpartition(".")[0] for name in names}
    assert {f"{stem}.{ending}" for stem in stems for ending in ("csv", "md", "tex")} == names
    assert {"results", "comparisons-joint", "metrics-joint-arousal", "recall-joint", "changes-joint"} <= stems
    by_speaker = pd.read_csv(folder / "by-speaker-joint.csv")
    assert by_speaker["speaker"].nunique() == 12 and by_speaker["n"].sum() == 96 * 4


@pytest.mark.slow
def test_the_same_study_gives_the_same_page(page, tmp_path):
    again = write_report(page.parents[1], tmp_path, by=["speaker"], resamples=200)
    assert again.read_text(encoding="utf-8") == page.read_text(encoding="utf-8")


def test_columns_come_from_the_corpora(tmp_path):
    recipe = load_recipe(Path(__file__).parents[2] / "recipes" / "toy.toml")
    keys = [f"toy/04-anger-{u}" for u in (1, 2)]
    answers = pd.DataFrame({"key": keys, "speaker": "toy/04"})
    task = SimpleNamespace(name="joint", recipe=recipe, answers={"late": [answers]}, folds=[0], composed=False)
    found = {
        name: own for (_, name), own in columns_of([task], ["speaker", "gender", "seconds", "words"], tmp_path).items()
    }
    assert found["speaker"].tolist() == ["toy/04", "toy/04"]
    assert set(found["gender"].index) == set(keys)
    assert (found["seconds"] > 0.1).all()
    words = found["words"]
    assert words[keys[0]] >= 1 and np.isnan(words[keys[1]])  # the toy corpus leaves out every second transcript
    with pytest.raises(EmofuseError, match=r"no such column.*gender"):
        columns_of([task], ["gender", "shoe_size"], tmp_path)


@pytest.mark.slow
def test_command_line(make_study, command_line, tmp_path):
    folder = make_study(seeds=[1], folds=[0], systems={"audio_only": 0.5, "multistage": 0.9})
    done = command_line("report", folder, "--out", tmp_path / "out", "--by", "speaker")
    assert done.code == 0 and done.out.strip() == str(tmp_path / "out" / "report.html")
    assert (tmp_path / "out" / "tables" / "by-speaker-joint.md").exists()
    failed = command_line("report", tmp_path)
    assert failed.code == 1 and "not the folder of a study" in failed.err and "Traceback" not in failed.err


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
@pytest.mark.parametrize("width", [1200, 500])
def test_a_browser_shows_it(page, tmp_path, width):
    def chromium(file, *options):
        arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        arguments += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}"]
        arguments += [f"--window-size={width},2000", *options, file.as_uri()]
        return subprocess.run([CHROMIUM, *arguments], capture_output=True, text=True, timeout=900, check=True).stdout

    measure = "<script>document.title = [document.documentElement.scrollWidth, innerWidth]</script></body>"
    copy = tmp_path / "copy.html"
    copy.write_text(page.read_text(encoding="utf-8").replace("</body>", measure), encoding="utf-8")
    shown = chromium(copy, "--dump-dom")
    assert all(f"<h2>{title}</h2>" in shown for title in TITLES)
    found = re.search(r"<title>(\d+),(\d+)</title>", shown)
    assert int(found[1]) <= int(found[2])  # nothing but tables and pictures is scrolled sideways
    chromium(page, f"--screenshot={tmp_path / 'page.png'}")
    pixels = matplotlib.image.imread(tmp_path / "page.png")[..., :3]
    assert pixels.shape[:2] == (2000, width)
    inked = (np.abs(pixels - pixels[0, 0]).max(axis=2) > 0.3).mean()
    assert 0.005 < inked < 0.5  # text on a ground: neither blank nor black
