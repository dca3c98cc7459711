import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from emofuse.corpora.stats import describe, render_stats, seconds_of
from emofuse.corpora.stats_plots import write_plots
from emofuse.corpora.table import TableError, make_table
from made_up.clips import write_clip


def ratings(*arousal: float) -> str:
    return json.dumps([{"annotator": f"e{i}", "emotion": "anger", "arousal": a} for i, a in enumerate(arousal)])


def table(folder: Path) -> pd.DataFrame:
    """Six rows: four with audio of 0.5 to 0.8 s, one whose file is broken, one of text."""
    (folder / "4.wav").write_bytes(b"no audio")
    rows = [
        {
            "key": f"c/{i}",
            "file": str(write_clip(folder / f"{i}.wav", 0.5 + i / 10) if i < 4 else folder / "4.wav")
            if i < 5
            else None,
            "speaker": f"c/s{i % 2}" if i < 5 else None,
            "gender": ("female", "male")[i % 2] if i < 5 else None,
            "language": "en",
            "text": "one two three" if i == 5 else "one" if i == 0 else None,
            "emotion": ("anger", "anger", "sadness", "anger", None, None)[i],
            "original_emotion": ("rage", "anger", "grief", "anger", "bored", None)[i],
            "arousal": i / 4 if i < 5 else None,
            "ratings": ratings(1, 2 + i, 3) if i < 3 else None,
            "votes": json.dumps({"anger": 3, "sadness": 1}) if i < 2 else None,
            "official_split": ("train", "train", "train", "test", "test", "test")[i],
        }
        for i in range(6)
    ]
    return make_table(rows, "c")


def test_figures(tmp_path: Path) -> None:
    stats = describe(table(tmp_path))
    json.dumps(stats, allow_nan=False)
    audio = stats["audio"]
    assert [audio[name] for name in ("rows", "without", "unreadable", "files")] == [5, 1, 1, 5]
    assert audio["hours"] == pytest.approx(2.6 / 3600) and audio["seconds"]["median"] == pytest.approx(0.65)
    speakers = stats["speakers"]
    assert speakers["n"] == 2 and speakers["rows_without"] == 1 and speakers["rows_each"]["max"] == 3
    assert speakers["genders"] == {"female": {"n": 1, "share": 0.5}, "male": {"n": 1, "share": 0.5}}
    assert stats["genders"]["female"] == {"n": 3, "share": 0.5} and stats["languages"]["en"]["n"] == 6
    assert stats["emotion"]["without"] == 2 and list(stats["emotion"]["values"]) == ["anger", "sadness"]
    anger = {"n": 3, "share": 0.5, "by_gender": {"female": 1, "male": 2}}
    assert stats["emotion"]["values"]["anger"] == anger
    assert list(stats["original_emotion"]["values"]) == ["anger", "bored", "grief", "rage"]
    assert stats["official_split"]["values"]["test"]["by_gender"] == {"female": 1, "male": 1, "unknown": 1}
    arousal = stats["dimensions"]["arousal"]
    assert list(stats["dimensions"]) == ["arousal"] and (arousal["n"], arousal["mean"]) == (5, 0.5)
    assert arousal["sd"] == pytest.approx(np.std([0, 0.25, 0.5, 0.75, 1])) and arousal["q1"] == 0.25
    assert sum(arousal["histogram"]["counts"]) == 5 and arousal["histogram"]["edges"][-1] == 1
    assert stats["text"]["without"] == 4 and stats["text"]["words"]["max"] == 3
    assert stats["votes"]["rows"] == 2 and stats["votes"]["winning"]["mean"] == 0.75
    assert stats["agreement"]["c"]["emotion"]["alpha"] is None  # all said the same
    assert stats["agreement"]["c"]["arousal"]["utterances"] == 3


def test_report(tmp_path: Path) -> None:
    text = render_stats(describe(table(tmp_path)))
    flat = [" ".join(line.split()) for line in text.splitlines()]
    for line in (
        "audio 0.00 h in 5 files",
        "speakers 2 (1 female, 1 male)",
        "1 rows have audio that cannot be read",
        "emotion rows share female male",
        "anger 3 50.0% 1 2",
        "arousal (0..1) 5 0.50 0.35 0.00 0.25 0.50 0.75 1.00",
        "share of winning votes 2 0.75 0.00 0.75 0.75 0.75 0.75 0.75",
        "c emotion - - 3 9 3",
    ):
        assert line in flat, text
    assert all(len(line) <= 120 for line in text.splitlines())


def test_lengths(tmp_path: Path) -> None:
    clip = str(write_clip(tmp_path / "a.wav", 2.0, rate=8000))
    soundfile.write(tmp_path / "b.ogg", np.zeros(24000), 16000)
    times = [(clip, None, None), (clip, 0.5, None), (clip, 0.5, 1.25), (clip, None, 1.0), (clip, 3.0, None)]
    files = [*times, (str(tmp_path / "b.ogg"), None, None), (None, None, None)]
    rows = [{"key": str(i), "file": f, "start": s, "end": e} for i, (f, s, e) in enumerate(files)]
    np.testing.assert_allclose(seconds_of(make_table(rows, "c")), [2, 1.5, 0.75, 1, 0, 1.5, np.nan])


def test_segments_of_one_length_but_for_rounding(tmp_path: Path) -> None:
    file = str(write_clip(tmp_path / "long.wav", 2.0))
    rows = [{"key": f"c/{i}", "file": file, "start": i * 0.4, "end": i * 0.4 + 0.39} for i in range(4)]
    seconds = describe(make_table(rows, "c"))["audio"]["seconds"]
    assert seconds["min"] == seconds["max"] == 0.39 and sum(seconds["histogram"]["counts"]) == 4
    write_plots(make_table(rows, "c"), tmp_path / "plots")


def test_header_that_does_not_say_how_long(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "piped.wav", 1.0)
    head = bytearray(path.read_bytes())
    place = head.index(b"data")
    head[4:8] = head[place + 4 : place + 8] = b"\xff\xff\xff\xff"  # as FFmpeg leaves it when it writes to a pipe
    path.write_bytes(head)
    assert seconds_of(make_table([{"key": "a", "file": str(path)}], "c")) == pytest.approx([1.0])


def test_text_alone() -> None:
    df = make_table([{"key": "t/1", "text": "well then"}], "t")
    stats = describe(df)
    json.dumps(stats, allow_nan=False)
    assert stats["audio"]["seconds"] == {"n": 0} and "emotion" not in stats and "votes" not in stats
    assert "words per transcript" in render_stats(stats)


@pytest.mark.parametrize("votes", ["[1]", "much", '{"a": "two"}', '{"a": null}', '{"a": NaN}', '{"a": -1}', 3])
def test_bad_votes(votes: str | int) -> None:
    with pytest.raises(TableError, match=r"t/1: votes"):
        describe(make_table([{"key": "t/1", "text": "a", "votes": votes}], "t"))


def test_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    df = table(tmp_path)
    assert json.dumps(describe(df.iloc[::-1])) == json.dumps(describe(df))


def test_plots(tmp_path: Path) -> None:
    df = table(tmp_path)
    names = [path.name for path in write_plots(df, tmp_path / "plots")]
    assert names == ["emotion.png", "dimensions.png", "durations.png", "words.png", "speakers.png"]
    assert sorted(p.name for p in (tmp_path / "plots").iterdir()) == sorted(names)
    assert all((tmp_path / "plots" / name).read_bytes()[:4] == b"\x89PNG" for name in names)
    rng = np.random.default_rng(0)
    many = make_table([{"key": str(i), "text": "x y", "speaker": f"s{i % 99}"} for i in range(4000)], "m")
    many["valence"], many["arousal"] = rng.random((2, 4000))
    names = [path.name for path in write_plots(many, tmp_path / "many")]
    assert names == ["dimensions.png", "valence-arousal.png", "words.png", "speakers.png"]
    assert write_plots(make_table([{"key": "a", "file": "a.wav"}], "m"), tmp_path / "none") == []


@pytest.mark.data
def test_nemo() -> None:
    if "EMOFUSE_DATA" not in os.environ:
        pytest.skip("EMOFUSE_DATA is not set")
    from emofuse.corpora.readers import nemo

    stats = describe(nemo.read(Path(os.environ["EMOFUSE_DATA"]) / "nemo"))
    assert stats["rows"] == 4481 and stats["speakers"]["n"] == 9 and 2.8 < stats["audio"]["hours"] < 3.4
    assert len(stats["emotion"]["values"]) == 6 and stats["text"]["without"] == 0
