"""`emofuse corpus ...` in this process: what each command writes, and its exit code."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from emofuse.corpora.table import read_table, write_table
from emofuse.encoders.recogniser import Transcript
from made_up import trees


@pytest.fixture
def run(command_line, monkeypatch, tmp_path):
    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path / "cache"))
    return partial(command_line, "corpus")


@pytest.fixture
def table(run, tmp_path):
    trees.make("nemo", tmp_path / "nemo")
    assert run("prepare", "nemo", tmp_path / "nemo", tmp_path / "nemo.csv").code == 0
    return tmp_path / "nemo.csv"


def test_list(run):
    told = run("list").out
    assert "iemocap" in told and "ravdess-song" in told
    assert "signed" in run("list", "msp-podcast").out
    assert run("list", "--markdown").out.startswith("# Corpora\n")
    done = run("list", "imocap")
    assert done.code == 1 and "unknown corpus reader 'imocap'" in done.err


def test_prepare_tells_what_is_there_and_chooses_rows(run, table, tmp_path):
    whole = read_table(table)
    done = run("prepare", "nemo", tmp_path / "nemo", tmp_path / "some.parquet", "--where", "emotion=anger,fear")
    some = read_table(tmp_path / "some.parquet")
    assert (
        f"{len(some)} utterances" in done.out and set(some["emotion"]) == {"anger", "fear"} and len(some) < len(whole)
    )


def test_prepare_a_table_in_its_own_words(run, tmp_path):
    (tmp_path / "own.csv").write_text("id,words,felt,act\na,hello there,Wut,7\nb,good bye,Langeweile,1\n")
    out = tmp_path / "ours.jsonl"
    names = ["--column", "id=key", "--column", "words=text", "--column", "felt=emotion", "--column", "act=arousal"]
    words = ["--emotion", "Wut=anger", "--emotion", "Langeweile=none", "--scale", "1", "7"]
    assert run("prepare", "table", tmp_path / "own.csv", out, *names, *words).code == 0
    df = read_table(out)
    assert df["emotion"].tolist() == ["anger", None] and df["original_emotion"].tolist() == ["Wut", "Langeweile"]
    assert df["arousal"].tolist() == [1, 0]
    done = run("prepare", "table", tmp_path / "own.csv", out, "--column", "id")
    assert done.code == 1 and "--column 'id': expected THEIRS=OURS" in done.err


def test_segments_longer_than_their_recording_and_other_errors_are_refused_at_once(run, tmp_path):
    soundfile.write(tmp_path / "x.wav", np.random.default_rng(0).normal(0, 0.1, 32000), 16000)
    (tmp_path / "own.csv").write_text("key,file,start,end,gender\na,x.wav,0,1,f\nb,x.wav,1,4,robot\na,x.wav,1,2,m\n")
    done = run("prepare", "table", tmp_path / "own.csv", tmp_path / "out.csv")
    assert done.code == 1 and not (tmp_path / "out.csv").exists()
    assert "3 kinds of errors" in done.err and "row 4: key 'a'" in done.err and "gender 'robot'" in done.err
    assert f"row 3: segment ends at 4 s, but {tmp_path / 'x.wav'} ends at 2.00 s" in done.err
    (tmp_path / "split.json").write_text("{}")
    (tmp_path / "table.csv").write_text("key,file,start,end\na,x.wav,0,1\nb,x.wav,1,4\n")
    done = run("audit", tmp_path / "table.csv", tmp_path / "split.json")
    assert done.code == 1 and "row 3: segment ends at 4 s" in done.err


def test_prepare_goes_on_without_what_is_missing_when_told(run, table, tmp_path):
    whole = read_table(table)
    Path(whole.loc[whole["text"].notna(), "file"].iat[0]).unlink()
    done = run("prepare", "nemo", tmp_path / "nemo", tmp_path / "half.csv")
    assert done.code == 1 and "1 of 48 audio files are missing" in done.err and "--allow-missing" in done.err
    assert not (tmp_path / "half.csv").exists() and "Traceback" not in done.err
    done = run("prepare", "nemo", tmp_path / "nemo", tmp_path / "half.csv", "--allow-missing")
    assert done.code == 0 and "1 without audio" in done.out
    assert read_table(tmp_path / "half.csv")["file"].isna().sum() == 1


def test_stats(run, table, tmp_path):
    done = run("stats", table, "--json", tmp_path / "stats.json", "--plots", tmp_path / "plots")
    assert done.code == 0 and "anger" in done.out
    assert json.loads((tmp_path / "stats.json").read_text())["rows"] == len(read_table(table))
    assert sorted(tmp_path.glob("plots/*.png"))


def test_merge(run, table, tmp_path):
    trees.make("ravdess", tmp_path / "ravdess")
    run("prepare", "ravdess", tmp_path / "ravdess", tmp_path / "ravdess.csv")
    done = run("merge", table, tmp_path / "ravdess.csv", "--out", tmp_path / "both.parquet")
    assert done.code == 0 and set(read_table(tmp_path / "both.parquet")["corpus"]) == {"nemo", "ravdess"}
    done = run("merge", table, table, "--out", tmp_path / "twice.csv")
    assert done.code == 1 and not (tmp_path / "twice.csv").exists()


def test_split_and_audit(run, table, tmp_path):
    split = tmp_path / "split.json"
    done = run("split", table, split, "--k", 3, "--seed", 1)
    assert done.code == 0 and done.out.count("fold ") == 3
    done = run("audit", table, split, "--fold", 1, "--json", tmp_path / "audit.json")
    assert done.code == 0, done.err
    assert list(json.loads((tmp_path / "audit.json").read_text())["folds"]) == ["1"]
    done = run("split", table, split, "--rule", "k_fold", "--test", "test1")
    assert done.code == 1 and "official" in done.err


def test_audit_of_a_leaking_split_fails(run, table, tmp_path):
    """Folds over utterances, as EmoBox publishes them for EMO-DB: every speaker is in every part."""
    df = read_table(table)
    df["official_split"] = (["train", "dev", "test"] * len(df))[: len(df)]
    df = pd.concat([df.assign(official_split="train", key=df["key"] + "-again"), df])
    write_table(df, tmp_path / "leaking.csv")
    assert run("split", tmp_path / "leaking.csv", tmp_path / "s.json", "--rule", "official").code == 0
    done = run("audit", tmp_path / "leaking.csv", tmp_path / "s.json", "--json", tmp_path / "audit.json")
    speakers = df["speaker"].nunique()
    assert done.code == 1 and f"{speakers} of {speakers} speakers" in done.out and "fold 0" in done.err
    assert json.loads((tmp_path / "audit.json").read_text())["folds"]["0"]["failed"]


def test_audit_of_folds_of_ones_own_tells_what_they_share(run, table, tmp_path):
    keys = read_table(table)["key"].tolist()
    folds = [{"train": keys[0::3], "dev": keys[1::3], "test": keys[2::3]}]
    (tmp_path / "own.json").write_text(json.dumps({"folds": folds}))
    done = run("audit", table, tmp_path / "own.json", "--no-audio")
    assert done.code == 1 and "4 of 4 speakers" in done.out, done.err
    done = run("audit", table, tmp_path / "own.json", "--no-audio", "--fold", -1)
    assert done.code == 2 and "--fold" in done.err


def test_export_as_audformat(run, table, tmp_path):
    done = run("export", table, tmp_path / "db")
    assert done.code == 0 and (tmp_path / "db" / "db.yaml").is_file()


def test_transcribe_without_human_transcripts(run, table, tmp_path, monkeypatch):
    class Fake:
        name, identity = "fake", "1"

        def transcribe_batch(self, samples, language=None):
            return [Transcript("words", "pl", 1.0, 0.5) for _ in samples]

    monkeypatch.setattr("emofuse.encoders.recogniser.Transcriber", lambda *_, **__: Fake())
    write_table(read_table(table).assign(text=None), tmp_path / "mute.csv")
    done = run("transcribe", tmp_path / "mute.csv", "--in-place")
    assert done.code == 0 and "no word error rate: the table has no human transcripts" in done.out, done.err
    assert set(read_table(tmp_path / "mute.csv")["text"]) == {"words"}
    done = run("transcribe", tmp_path / "mute.csv", "--in-place", "--json", tmp_path / "wer.json")
    assert done.code == 1 and "no human transcripts" in done.err and not (tmp_path / "wer.json").exists()


@pytest.mark.parametrize("options", [[], ["--out", "table"], ["--out", "other.csv", "--in-place"]])
def test_transcribe_does_not_overwrite_its_input_unasked(run, table, options):
    before = table.read_bytes()
    done = run("transcribe", table, *(table if option == "table" else option for option in options))
    assert done.code == 1 and "--out" in done.err and "--in-place" in done.err and table.read_bytes() == before


@pytest.mark.slow
@pytest.mark.weights
def test_transcribe(run, table, tmp_path):
    done = run("transcribe", table, "--model", "whisper-tiny.en", "--language", "en", "--out", tmp_path / "heard.csv")
    assert done.code == 0, done.err
    heard = read_table(tmp_path / "heard.csv")
    assert heard["human_text"].tolist() == read_table(table)["text"].tolist()
    assert heard["asr_confidence"].notna().all()


def test_wrong_table(run, tmp_path):
    (tmp_path / "t.csv").write_text("key,text,emotion\na,hi,joy\n")
    for command in (["stats"], ["transcribe", "--in-place"], ["split", "s.json"]):
        done = run(command[0], tmp_path / "t.csv", *command[1:])
        assert done.code == 1 and "t.csv, row 2" in done.err and "Traceback" not in done.err


def test_another_ending_is_told_before_the_work(run, table, tmp_path):
    commands = [["prepare", "nemo", tmp_path / "absent"], ["merge", tmp_path / "absent.csv", "--out"]]
    commands += [["transcribe", tmp_path / "absent.csv", "--out"]]
    for command in commands:
        done = run(*command, tmp_path / "table.xlsx")
        assert done.code == 1 and "table.xlsx: a table is written as .jsonl, .csv" in done.err
