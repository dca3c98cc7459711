import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from emofuse.config import SplitConfig
from emofuse.corpora.audit import Audit, audit, render_audit
from emofuse.corpora.checks.findings import Finding, of_all
from emofuse.corpora.splits import PARTS, Split, make_split
from emofuse.corpora.table import make_table

EMOTIONS = ["anger", "happiness", "neutral", "sadness"]
WORDS = ["time", "house", "water", "green", "seven", "letter", "morning", "summer", "river", "garden", "window"]


def corpus(n: int = 240, speakers: int = 12, **columns) -> pd.DataFrame:
    """Rows of speakers in turn, each with a sentence of its own; categories and dimensions the same for all."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "key": f"c/{i:03d}",
            "speaker": f"c/{i % speakers:02d}",
            "text": " ".join(rng.choice(WORDS, 8)) + f" {i}",
            "emotion": EMOTIONS[i // speakers % 4],
            "arousal": (i // speakers % 5) / 4,
            "file": f"c/{i:03d}.wav",
        }
        for i in range(n)
    ]
    return make_table(rows, "c").assign(**columns)


def by_speaker(df: pd.DataFrame, dev: int = 3, test: int = 3, rule: str = "by hand") -> Split:
    names = sorted(df["speaker"].dropna().unique())
    of = (
        dict.fromkeys(names, "train")
        | dict.fromkeys(names[:dev], "dev")
        | dict.fromkeys(names[dev : dev + test], "test")
    )
    part = df["speaker"].map(of).fillna("train")
    return split_of(df, part, rule)


def split_of(df: pd.DataFrame, part, rule: str = "by hand") -> Split:
    part = np.asarray(part)
    train, dev, test = (tuple(df["key"][part == name]) for name in PARTS)
    return Split(train, dev, test, rule)


def found(df: pd.DataFrame, split: Split, check: str, **options) -> Finding:
    findings = audit(df, split, **{"audio": False, **options}).findings
    assert len({finding.check for finding in findings}) == len(findings)
    return next(finding for finding in findings if finding.check == check)


def test_a_sound_split_passes():
    df = corpus()
    result = audit(df, by_speaker(df), audio=False)
    assert not result.failed
    assert {f.check for f in result.findings if f.severity != "ok"} == {"audio"}


def test_folds_like_those_of_emodb_in_emobox():
    """535 utterances of ten speakers and ten sentences, parted at random."""
    df = corpus(535, 10)
    df["text"] = [f"This is the sentence number {i}" for i in np.random.default_rng(1).integers(10, size=535)]
    split = split_of(df, np.random.default_rng(0).choice(PARTS, 535, p=[0.6, 0.2, 0.2]), "given emodb fold=0")
    result = audit(df, split, audio=False)
    assert result.failed
    finding = next(f for f in result.findings if f.check == "speakers train/test")
    assert (finding.severity, finding.count, finding.of, finding.share) == ("error", 10, 10, 1.0)
    assert "10 of 10 speakers of test are also in train" in finding.message
    assert f"({len(split.test)} of {len(split.test)} rows of test)" in finding.message
    assert "Split by speaker" in finding.advice
    sentences = found(df, split, "sentences train/test")
    assert (sentences.severity, sentences.share) == ("warning", 1.0)
    assert "by design: the corpus has 10 sentences in 535 rows" in sentences.message


def test_one_shared_speaker_is_named_in_its_pair_only():
    df = corpus()
    split = by_speaker(df)
    moved = next(key for key in split.test)
    split = Split((*split.train, moved), split.dev, split.test[1:], "by hand")
    shared = found(df, split, "speakers train/test")
    assert (shared.severity, shared.count, shared.of) == ("error", 1, 3)
    assert shared.examples == (df.set_index("key").loc[moved, "speaker"],)
    assert found(df, split, "speakers train/dev").severity == "ok"
    assert found(df, split, "speakers dev/test").severity == "ok"


def test_official_split_that_shares_speakers_is_an_error_that_says_so():
    df = corpus()
    split = split_of(df, np.resize(["train", "train", "train", "dev", "test"], len(df)), "official test=test1")
    finding = found(df, split, "speakers train/test")
    assert finding.severity == "error"
    assert "official split" in finding.advice


def test_unknown_speakers_never_count_as_shared():
    df = corpus()
    split = by_speaker(df)
    df.loc[df["key"].isin([*split.test[:4], *split.train[:4]]), "speaker"] = None
    unknown = found(df, split, "unknown speakers")
    assert (unknown.severity, unknown.count) == ("warning", 8)
    assert found(df, split, "speakers train/test").severity == "ok"


def test_without_speakers_nothing_can_be_said():
    df = corpus()
    split = by_speaker(df)
    df["speaker"] = None
    finding = found(df, split, "speakers train/test")
    assert finding.severity == "warning"
    assert "cannot be checked" in finding.message
    assert not audit(df, split, audio=False).failed


def test_shared_sentences_whatever_their_case_and_punctuation():
    df = corpus()
    split = by_speaker(df)
    text = df.set_index("key")["text"]
    df.loc[df["key"] == split.test[3], "text"] = f"  {text[split.train[0]].upper().replace(' ', ', ')}!"
    finding = found(df, split, "sentences train/test")
    assert (finding.severity, finding.count, finding.of) == ("warning", 1, 60)
    assert finding.examples == (split.test[3],)
    assert "by design" not in finding.message
    assert found(df, split, "near sentences train/test").count == 0  # not counted again
    assert found(df, split, "sentences train/dev").severity == "ok"


def test_few_shared_sentences_are_a_note():
    df = corpus(1200)
    split = by_speaker(df)
    df.loc[df["key"].isin([split.test[0], split.train[0]]), "text"] = "Yeah."
    assert found(df, split, "sentences train/test").severity == "note"


def test_empty_text_is_no_shared_sentence():
    df = corpus(text="...")
    assert found(df, by_speaker(df), "sentences train/test").severity == "ok"


def test_near_sentences():
    df = corpus()
    split = by_speaker(df)
    text = df.set_index("key")["text"]
    df.loc[df["key"] == split.test[0], "text"] = "so " + text[split.train[7]]
    finding = found(df, split, "near sentences train/test")
    assert (finding.severity, finding.count) == ("warning", 1)
    assert finding.examples == (f"{split.test[0]} ~ {split.train[7]}",)


def test_short_texts_are_not_nearly_the_same():
    df = corpus()
    split = by_speaker(df)
    df.loc[df["key"] == split.train[0], "text"] = "extraordinarily incomprehensible"
    df.loc[df["key"] == split.test[0], "text"] = "extraordinarily incomprehensibly"
    finding = found(df, split, "near sentences train/test")
    assert finding.count == 0
    assert "1 rows of under 4 words" in finding.message


def test_speaker_that_gives_the_label_away():
    df = corpus()
    assert found(df, by_speaker(df), "speaker and label").severity == "ok"
    df["emotion"] = [EMOTIONS[int(speaker[2:]) % 4] for speaker in df["speaker"]]
    finding = found(df, by_speaker(df), "speaker and label")
    assert (finding.severity, finding.count, finding.of) == ("warning", 12, 12)
    assert "V of speaker and category 1.00" in finding.message


def test_many_small_speakers_are_no_confounding():
    """Uncorrected, Cramér's V of independent labels is .5 here."""
    rng = np.random.default_rng(0)
    df = corpus(1200, 300)
    df["emotion"] = rng.choice(EMOTIONS, len(df))
    finding = found(df, by_speaker(df), "speaker and label")
    assert finding.severity == "ok"
    assert "(chance 0.50, corrected 0.0" in finding.message


def test_category_drift():
    df = corpus()
    split = by_speaker(df)
    in_test = df["key"].isin(split.test)
    df.loc[in_test & (df["emotion"] == "anger"), "emotion"] = "neutral"
    df.loc[df["key"] == split.dev[0], "emotion"] = "fear"
    finding = found(df, split, "categories train/test")
    assert (finding.severity, finding.count, finding.examples) == ("warning", 15, ("anger",))
    assert "distance 0.25" in finding.message
    assert "test lacks anger" in finding.message
    assert "train lacks fear" in found(df, split, "categories train/dev").message


@pytest.mark.parametrize(("moved", "severity"), [(20, "ok"), (80, "note"), (150, "warning")])
def test_categories_in_other_shares(moved, severity):
    df = corpus(2400)
    split = by_speaker(df)
    angry = df.loc[df["key"].isin(split.test) & (df["emotion"] == "anger"), "key"]
    df.loc[df["key"].isin(angry[:moved]), "emotion"] = "neutral"
    assert found(df, split, "categories train/test").severity == severity


def test_dimension_drift():
    df = corpus(arousal=lambda d: 0.4 + d["arousal"] / 10)
    split = by_speaker(df)
    assert found(df, split, "dimensions train/test").severity == "ok"
    in_test = df["key"].isin(split.test)
    df.loc[in_test, "arousal"] += 0.02
    assert found(df, split, "dimensions train/test").severity == "warning"
    df.loc[in_test, "arousal"] = 0.45 + (df.loc[in_test, "arousal"] - 0.47) * 2
    spread = found(df, split, "dimensions train/test")
    assert (spread.severity, spread.examples) == ("note", ("arousal",))
    df.loc[~in_test, "arousal"] = 0.5
    assert "(train 0.50 ± 0.00)" in found(df, split, "dimensions train/test").message


def test_parts_and_keys():
    df = corpus()
    split = by_speaker(df)
    broken = Split((*split.train, split.test[0]), (), (*split.test[:-1], "c/nowhere"), "by hand")
    assert found(df, broken, "parts").severity == "warning"
    assert found(df, broken, "parts").examples == ("dev",)
    assert found(df, broken, "repeated keys").examples == (split.test[0],)
    assert found(df, broken, "unknown keys").examples == ("c/nowhere",)
    assert found(df, broken, "rows in no part").count == len(split.dev) + 1
    assert found(df, Split((), split.dev, split.test, "by hand"), "parts").severity == "error"
    nothing = audit(df, Split((), (), (), "by hand"), audio=False)
    assert nothing.failed


def test_missing():
    df = corpus()
    split = by_speaker(df)
    df.loc[df["key"].isin(split.test[:2]), "text"] = None
    df.loc[df["key"].isin(split.dev[:6]), ["emotion", "arousal"]] = [None, np.nan]
    df["file"] = None
    texts, labels, audio = (found(df, split, f"missing {what}") for what in ("transcripts", "labels", "audio"))
    assert (texts.severity, texts.count) == ("note", 2)
    assert (labels.severity, labels.count) == ("warning", 6)
    assert "train 0 of 120, dev 6 of 60, test 0 of 60" in labels.message
    assert (audio.severity, audio.share) == ("note", 1.0)  # words alone are a corpus too


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Twelve speakers with two clips each, all different and of different length."""
    folder = tmp_path_factory.mktemp("clips")
    df = corpus(24)
    df["file"] = [str(folder / f"{key[2:]}.wav") for key in df["key"]]
    for i, file in enumerate(df["file"]):
        write(Path(file), speech(i, 1 + i / 20))
    return df, by_speaker(df)


def speech(seed: int, seconds: float) -> np.ndarray:
    """Bursts of noise of random loudness."""
    rng = np.random.default_rng(seed)
    n = int(seconds * 16000)
    loudness = np.interp(np.linspace(0, 1, n), np.linspace(0, 1, 8), rng.uniform(-40, 0, 8))
    noise = rng.normal(0, 0.1, n) * 10 ** (loudness / 20)
    return np.clip(noise / np.abs(noise).max() / 2, -1, 1)


def write(path: Path, samples: np.ndarray, **kind) -> None:
    soundfile.write(path, np.rint(samples * 32767).astype(np.int16), 16000, **kind)


def test_audio_that_is_sound(clips, tmp_path):
    result = audit(*clips, audio=True, cache=tmp_path / "cache.sqlite")
    assert [f.severity for f in result.findings if "audio" in f.check] == ["ok"] * 7


def test_copies_and_useless_audio(clips, tmp_path):
    df, split = clips[0].copy(), clips[1]
    place = {key: i for i, key in enumerate(df["key"])}

    def put(key: str, samples: np.ndarray, ending: str = ".wav") -> None:
        file = tmp_path / f"{key[2:]}{ending}"
        write(file, samples)
        df.loc[df["key"] == key, "file"] = str(file)

    def of(key: str) -> np.ndarray:
        return soundfile.read(clips[0]["file"][place[key]])[0]

    put(split.test[0], of(split.train[0]), ".flac")
    put(split.test[1], of(split.train[1]) / 3, ".ogg")
    put(split.train[2], of(split.train[3]))
    put(split.dev[0], np.zeros(16000))
    put(split.dev[1], of(split.dev[1])[:1000])
    put(split.dev[2], np.clip(of(split.dev[2]) * 20, -1, 1))
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    df.loc[df["key"] == split.dev[3], "file"] = str(tmp_path / "broken.wav")
    findings = {f.check: f for f in audit(df, split, audio=True, cache=tmp_path / "cache.sqlite").findings}
    copied, near = findings["copied audio"], findings["nearly copied audio"]
    assert (copied.severity, copied.count, copied.of) == ("error", 2, 21)
    assert set(copied.examples) == {
        f"{a} = {b}" for a, b in [(split.test[0], split.train[0]), (split.train[0], split.test[0])]
    }
    assert "; 2 have the same samples as a clip of the same part" in copied.message
    assert (near.severity, near.count) == ("error", 2)
    assert f"{split.test[1]} = {split.train[1]}" in near.examples
    for check, key, severity in [
        ("silent audio", split.dev[0], "warning"),
        ("short audio", split.dev[1], "warning"),
        ("clipped audio", split.dev[2], "warning"),
        ("audio that cannot be read", split.dev[3], "error"),
    ]:
        assert (findings[check].severity, findings[check].examples) == (severity, (key,)), check
    assert "broken.wav" in findings["audio that cannot be read"].advice


def test_a_segment_that_ends_after_its_recording_is_an_error(clips, tmp_path):
    df, split = clips[0].copy(), clips[1]
    df.loc[df["key"] == split.dev[3], "end"] = 99.0
    finding = found(df, split, "audio that cannot be read", audio=True, cache=tmp_path / "cache.sqlite")
    assert (finding.severity, finding.examples) == ("error", (split.dev[3],))
    assert "segment ends at 99 s, but the recording ends at" in finding.advice


def test_copies_within_a_part_are_a_warning(clips, tmp_path):
    df, split = clips[0].copy(), clips[1]
    same = df["key"].isin(split.train[:2])
    df.loc[same, "file"] = df.loc[same, "file"].iloc[0]
    finding = found(df, split, "copied audio", audio=True, cache=tmp_path / "cache.sqlite")
    assert (finding.severity, finding.count) == ("warning", 2)


def test_two_segments_of_one_file_are_no_copies(clips, tmp_path):
    df, split = clips[0].copy(), clips[1]
    df.loc[df["key"] == split.train[0], ["file", "start", "end"]] = [df["file"].iloc[-1], 0.0, 0.9]
    df.loc[df["key"] == split.test[0], ["file", "start", "end"]] = [df["file"].iloc[-1], 0.9, 1.8]
    assert found(df, split, "copied audio", audio=True, cache=tmp_path / "cache.sqlite").severity == "ok"


def test_audio_that_was_not_checked_is_told(clips):
    finding = found(*clips, "audio")
    assert (finding.severity, finding.message[:11]) == ("note", "not checked")


def test_order_of_rows_does_not_matter():
    df = corpus(240, 7)
    df["emotion"] = np.random.default_rng(0).choice(EMOTIONS, 240)
    split = split_of(df, np.random.default_rng(0).choice(PARTS, 240))
    shuffled = df.sample(frac=1, random_state=0).reset_index(drop=True)
    assert audit(df, split, audio=False).to_dict() == audit(shuffled, split, audio=False).to_dict()


def test_json_and_table():
    df = corpus(535, 10)
    result = audit(df, split_of(df, np.resize(PARTS, 535), "given emodb fold=0"), audio=False)
    tree = json.loads(json.dumps(result.to_dict()))
    assert tree["failed"] is True
    assert tree["rule"] == "given emodb fold=0"
    assert sum(tree["rows"].values()) == 535
    assert {"check", "severity", "count", "of", "share", "examples", "message", "advice"} == set(tree["findings"][0])
    table = render_audit(result)
    assert all(len(line) <= 120 for line in table.splitlines())
    assert "given emodb fold=0" in table
    assert "what to do" in table
    assert "3 errors" in table and "failed" in table
    rows = re.findall(r"(?m)^ (ok|note|warning|error) ", table)
    assert rows == [f.severity for f in result.findings]
    assert "passed." in render_audit(Audit("by hand", {"train": 1}, ()))


@pytest.mark.parametrize(
    ("count", "of", "expected"),
    [(0, 5, "0 of 5 x (0 %)"), (5, 5, "5 of 5 x (100 %)"), (1, 1500, "1 of 1,500 x (0.1 %)")],
)
def test_counts_in_words(count, of, expected):
    assert of_all(count, of, "x") == expected


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "config", "statement"),
    [
        ("ravdess", SplitConfig(rule="given", folds="ravdess-emobox"), "239 of 239 rows of test"),
        ("nemo", SplitConfig(rule="k_fold", k=5), "the corpus has 90 sentences in 4,481 rows"),
    ],
)
def test_corpora_at_hand_share_all_sentences_and_no_speaker(name, config, statement):
    from emofuse.corpora import read_corpus

    if "EMOFUSE_DATA" not in os.environ:
        pytest.skip("EMOFUSE_DATA is not set")
    df = read_corpus(name, Path(os.environ["EMOFUSE_DATA"]) / name)
    result = audit(df, make_split(df, config), audio=False)
    assert not result.failed
    assert {f.check for f in result.findings if f.severity == "warning"} == {
        "sentences train/dev",
        "sentences train/test",
    }
    sentences = next(f for f in result.findings if f.check == "sentences train/test")
    assert (sentences.share, "by design" in sentences.message) == (1.0, True)
    assert statement in sentences.message


def test_brief_report_leaves_out_what_passed() -> None:
    df = corpus()
    found = audit(df, by_speaker(df), audio=False)
    assert "repeated keys" in render_audit(found) and "repeated keys" not in render_audit(found, brief=True)
    assert f"{len(found.findings)} checks, 0 errors" in render_audit(found, brief=True)
