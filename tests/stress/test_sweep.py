"""Stress tests: conditions, samples, scores, and the whole on real bundles."""

import json
from dataclasses import replace
from pathlib import Path

import jiwer
import numpy as np
import pandas as pd
import pytest
import soundfile

from emofuse.audio import read_audio
from emofuse.corpora.table import make_table, write_table
from emofuse.errors import EmofuseError
from emofuse.inference.bundle import Bundle, default_bundle
from emofuse.metrics import scores as metrics
from emofuse.metrics.outcomes import Outcomes
from emofuse.metrics.significance import system_intervals
from emofuse.stress import sweep as module
from emofuse.stress.conditions import CONDITIONS, Utterance, conditions_of
from emofuse.stress.rows import Rows, balanced_sample
from emofuse.stress.scores import score_predictions
from emofuse.stress.sweep import stress

RATE = 16000
EXAMPLES = Path(__file__).parents[2] / "examples"
TEXTS = ["Kids are talking by the door", "Dogs are sitting by the door", "What a day it was for all of us"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A folder with four short clips of noise that swells, each another."""
    folder = tmp_path_factory.mktemp("stress")
    for number in range(4):
        noise = np.random.default_rng(number).normal(0, 0.05, RATE // 2) * np.linspace(0.1, 1 + number, RATE // 2)
        soundfile.write(folder / f"{number}.wav", noise, RATE)
    return folder


def row(folder, number, **more):
    emotion = ("anger", "sadness", "neutral", "happiness")[number]
    return {
        "key": f"k{number}",
        "file": str(folder / f"{number}.wav"),
        "speaker": f"s{number % 2}",
        "language": "en",
        "text": TEXTS[number % 3],
        "emotion": emotion,
        **more,
    }


@pytest.fixture
def table(clips):
    return make_table([row(clips, number) for number in range(4)], "made-up")


@pytest.fixture(scope="session")
def bundle(bundle_folder):
    return Bundle.load(bundle_folder)


def voice(seed=0, seconds=1.0):
    return (np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE))).astype(np.float32)


def rms(samples):
    return np.sqrt(np.square(samples).mean())


def at(name, level, utterance, seed=0):
    return CONDITIONS[name].change(utterance, level, np.random.default_rng(seed))


# Conditions


@pytest.mark.parametrize("name", [name for name, one in CONDITIONS.items() if one.reads == ("audio",)])
def test_every_sound_condition_changes_samples_and_nothing_else(name):
    utterance = Utterance("k", samples=voice(), text="so it is", babble=lambda: voice(9))
    before = utterance.samples.copy()
    condition = CONDITIONS[name]
    assert condition.applies(utterance) and not condition.applies(Utterance("k", text="so it is"))
    found = [at(name, level, utterance) for level in condition.levels]
    for one, level in zip(found, condition.levels, strict=True):
        assert one.text == "so it is" and np.isfinite(one.samples).all()
        if name == "speed":
            assert len(one.samples) == pytest.approx(RATE / level, abs=1)
        elif name == "crop":
            assert len(one.samples) == min(RATE, level * RATE)
        else:
            assert len(one.samples) == RATE and np.abs(one.samples - before).max() > 1e-4
        np.testing.assert_array_equal(one.samples, at(name, level, utterance).samples)
    np.testing.assert_array_equal(utterance.samples, before)


@pytest.mark.parametrize("name", ["white_noise", "pink_noise", "babble"])
def test_noise_has_the_snr_of_its_level_and_is_the_same_at_each(name):
    utterance = Utterance("k", samples=voice(), babble=lambda: 3 * voice(9))
    noises = []
    for snr in CONDITIONS[name].levels:
        noise = at(name, snr, utterance).samples - utterance.samples
        assert 10 * np.log10(np.square(utterance.samples).mean() / np.square(noise).mean()) == pytest.approx(
            snr, abs=0.1
        )
        noises.append(noise / np.sqrt(np.square(noise).mean()))
    np.testing.assert_allclose(noises[0], noises[-1], atol=1e-3)


def test_echo_grows_with_rt60_alone():
    utterance = Utterance("k", samples=np.eye(1, 2 * RATE, dtype=np.float32)[0])
    responses = [at("reverberation", level, utterance).samples for level in (0.2, 1.2)]
    lasting = [np.flatnonzero(np.abs(one) > 1e-5).max() / RATE for one in responses]
    assert lasting[0] < 0.2 <= 1.0 < lasting[1] <= 1.2


def test_gain_and_clipping():
    utterance = Utterance("k", samples=voice())
    np.testing.assert_allclose(at("gain", -20.0, utterance).samples, voice() / 10, rtol=1e-5)
    assert np.abs(at("clipping", 24.0, utterance).samples).max() == pytest.approx(np.abs(voice()).max())


def test_unknown_condition():
    with pytest.raises(EmofuseError, match=r"'nois'.*white_noise"):
        conditions_of(["babble", "nois"])
    assert list(conditions_of(["wer", "babble"])) == ["wer", "babble"]


# Rows


def test_text_conditions(table):
    rows = Rows(table, seed=1)
    utterance = rows.utterance(0)
    for wer in CONDITIONS["wer"].levels:
        changed = at("wer", wer, utterance).text
        errors = jiwer.process_words(utterance.text, changed)
        assert abs(errors.substitutions + errors.deletions + errors.insertions - 6 * wer) < 1 + 1e-9
    assert at("other_text", 1.0, utterance).text in TEXTS[1:]
    assert at("no_text", 1.0, utterance) == replace(utterance, text=None)
    assert at("no_audio", 1.0, utterance).samples is None
    assert not CONDITIONS["asr"].applies(utterance)


def test_recognised_beside_human_text(clips):
    heard = [
        row(clips, 0, human_text="What a day", text="What a bay", asr_model="whisper"),
        row(clips, 1, human_text="Well then", text=None, asr_model="whisper"),
        row(clips, 2, human_text=None, text="What of it", asr_model="whisper"),
        row(clips, 3, human_text="Go", text="Go", asr_model=None),
    ]
    utterances = [Rows(make_table(heard, "made-up"), seed=0).utterance(number) for number in range(4)]
    assert [one.text for one in utterances] == ["What a day", "Well then", "What of it", "Go"]
    assert [one.recognised for one in utterances] == ["What a bay", "", None, None]
    assert [CONDITIONS["asr"].applies(one) for one in utterances] == [True, True, False, False]


def test_other_texts_and_words_are_of_the_same_language(clips):
    rows = [row(clips, 0), row(clips, 1, language="pl", text="To jest"), row(clips, 2, language="pl", text="Co to")]
    english, polish, _ = (Rows(make_table(rows, "made-up"), seed=0).utterance(number) for number in range(3))
    assert english.other_text is None and not CONDITIONS["other_text"].applies(english)
    assert polish.other_text == "Co to" and set(polish.corrupt(1.0).split()) <= {"Co"}


def test_babble_is_of_other_speakers(table, clips):
    def loudest(number):
        return Rows(table.assign(file=[str(clips / f"{n}.wav") for n in range(4)]), seed=0).utterance(number).babble()

    found = loudest(0)  # of speaker s0, who speaks rows 0 and 2: so of rows 1 and 3
    voices = [read_audio(clips / f"{number}.wav") for number in range(4)]
    shares = [np.abs(np.fft.ifft(np.fft.fft(found) * np.conj(np.fft.fft(one)))).max() for one in voices]
    norms = [np.linalg.norm(one) * np.linalg.norm(found) for one in voices]
    likeness = np.divide(shares, norms)
    assert (likeness[[1, 3]] > 0.6).all() and (likeness[[0, 2]] < 0.2).all()
    alone = Rows(table.assign(speaker="one"), seed=0).utterance(0).babble
    assert len(alone()) == RATE // 2
    assert Rows(table[:1], seed=0).utterance(0).babble is None


def test_chance_is_by_seed_key_and_purpose_not_by_place(table):
    rows, turned = Rows(table, seed=0), Rows(table[::-1].reset_index(drop=True), seed=0)
    one, same, other = rows.utterance(1), turned.utterance(2), Rows(table, seed=1).utterance(1)
    np.testing.assert_array_equal(one.babble(), same.babble())
    assert np.abs(one.babble() - other.babble()).max() > 1e-3
    assert one.corrupt(0.5) == same.corrupt(0.5) and one.other_text == same.other_text
    draws = [rows.generator(*of).random() for of in (("a", "k"), ("a", "k"), ("b", "k"), ("a", "l"))]
    assert draws[0] == draws[1] and len(set(draws)) == 3


def test_unreadable_audio_names_the_utterance(table, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    with pytest.raises(EmofuseError, match=r"utterance k0: .*bad\.wav"):
        Rows(table.assign(file=str(tmp_path / "bad.wav")), seed=0).utterance(0)


def crowd(counts):
    """Rows of (label, speaker): how many."""
    rows = [{"emotion": e, "speaker": s} for (e, s), n in counts.items() for _ in range(n)]
    return pd.DataFrame(rows).assign(key=[f"k{i}" for i in range(len(rows))])


def test_sample_is_balanced_and_seeded():
    table = crowd({("anger", "a"): 50, ("anger", "b"): 50, ("fear", "a"): 3, ("fear", "b"): 20, (None, "c"): 30})
    found = balanced_sample(table, 18, seed=3)
    assert found["emotion"].value_counts(dropna=False).tolist() == [6, 6, 6]
    assert found[found["emotion"] == "anger"]["speaker"].value_counts().tolist() == [3, 3]
    again = balanced_sample(table.sample(frac=1, random_state=1), 18, seed=3)
    assert set(again["key"]) == set(found["key"]) != set(balanced_sample(table, 18, seed=4)["key"])
    assert found["key"].is_unique and balanced_sample(table, 153) is table and balanced_sample(table, None) is table
    assert len(balanced_sample(table, 152)) == 152
    few = balanced_sample(crowd({("anger", "a"): 1, ("fear", "a"): 9}), 5)
    assert few["emotion"].value_counts().to_dict() == {"fear": 4, "anger": 1}


# Scores


def test_sample_follows_its_rule_one_row_after_another():
    """Each row from the label with the fewest so far, there from the speaker with the fewest of it, then of all."""
    rng = np.random.default_rng(0)
    rows = [("anger", "a"), ("anger", "b"), ("joy", "a"), ("joy", "c"), ("joy", None), (None, "b")]
    drawn = [rows[i] for i in rng.integers(0, len(rows), 60)]
    table = pd.DataFrame(drawn, columns=["emotion", "speaker"], dtype=object).assign(key=[f"k{i}" for i in range(60)])
    for n in range(1, 60):
        before, now = (set(balanced_sample(table, count)["key"]) for count in (n - 1, n))
        assert before < now
        taken = table[table["key"].isin(before)].fillna("")
        left = table[~table["key"].isin(before)].fillna("")

        def cost(row, taken=taken):
            of_label, of_speaker = taken["emotion"] == row["emotion"], taken["speaker"] == row["speaker"]
            return sum(of_label), sum(of_label & of_speaker), sum(of_speaker)

        costs = {row["key"]: cost(row) for _, row in left.iterrows()}
        [new] = now - before
        assert costs[new] == min(costs.values())


def test_marks_alone_are_no_words(clips):
    table = make_table([row(clips, 0, text="..."), row(clips, 1, text="two words")], "c")
    table.loc[0, "text"] = "?!"  # as after a transcription, which does not go through a file
    rows = Rows(table, seed=0)
    assert rows.utterance(0).text is None and rows.utterance(1).other_text is None


def predicted(condition, level, correct, speakers="aabb", **more):
    """One system's answers to four rows of class 0, 1, 0, 1."""
    truth = np.array([0, 1, 0, 1])
    right = np.where(np.array(correct), truth, 1 - truth)
    return pd.DataFrame(
        {
            "system": "m",
            "condition": condition,
            "level": level,
            "key": list("wxyz"),
            "speaker": list(speakers),
            "truth": truth,
            "probability_0": np.where(right == 0, 0.8, 0.3),
            "probability_1": np.where(right == 0, 0.2, 0.7),
            "confidence": np.where(right == 0, 0.8, 0.7),
            "uncertain": np.nan,
            **{f"true_{name}": [0.1, 0.4, 0.5, 0.9] for name in module.DIMENSIONS},
            **dict.fromkeys(module.DIMENSIONS, 0.0),
            **more,
        }
    )


def picked(scores, condition, level, metric):
    at_level = scores["level"].isna() if level is None else scores["level"] == level
    [found] = scores[(scores["condition"] == condition) & at_level & (scores["metric"] == metric)].to_dict("records")
    return found


def test_scores_against_the_same_rows_as_they_are():
    clean = predicted("clean", np.nan, [1, 1, 1, 1], valence=[0.1, 0.4, 0.5, 0.9])
    noisy = predicted("babble", 0.0, [1, 0, 1, 0], valence=[0.2, 0.5, 0.6, 1.0])
    scores = score_predictions(pd.concat([clean, noisy]), {"m": ["no", "yes"]})
    before, after = (picked(scores, "babble", level, "uar") for level in (None, 0.0))
    assert (before["value"], after["value"], after["change"]) == (1.0, 0.5, -0.5)
    assert np.isnan(before["change"]) and (after["n"], after["refused"]) == (4, 0)
    valence = picked(scores, "babble", 0.0, "ccc_valence")
    assert valence["value"] == pytest.approx(metrics.ccc([0.1, 0.4, 0.5, 0.9], [0.2, 0.5, 0.6, 1.0]))
    assert valence["change"] == pytest.approx(valence["value"] - 1)
    sure = picked(scores, "babble", 0.0, "confidence")
    assert sure["value"] == pytest.approx(0.8) and sure["low"] <= sure["value"] <= sure["high"]
    assert "uncertain" not in set(scores["metric"])


def test_rows_that_a_condition_leaves_out_or_a_model_refuses():
    clean = predicted("clean", np.nan, [1, 0, 0, 0])
    noisy = predicted("gain", -40.0, [1, 0, 1, 1]).iloc[:3].copy()  # the condition did not apply to the last row
    answers = ["probability_0", "probability_1", "confidence", *module.DIMENSIONS]
    noisy.loc[1, answers] = np.nan
    scores = score_predictions(pd.concat([clean, noisy]), {"m": ["no", "yes"]})
    before, after = (picked(scores, "gain", level, "uar") for level in (None, -40.0))
    assert (before["n"], before["value"]) == (3, 0.25)
    assert (after["n"], after["refused"], after["value"]) == (2, 1, 1.0)
    assert after["change"] == pytest.approx(0.5)  # rows w and y: before, one of two was right


def test_a_row_counts_once():
    clean, noisy = predicted("clean", np.nan, [1, 1, 1, 1]), predicted("babble", 0.0, [1, 0, 1, 0])
    with pytest.raises(ValueError, match="same row"):
        score_predictions(pd.concat([clean, noisy, noisy]), {"m": ["no", "yes"]})


def test_a_value_is_the_mean_over_seeds():
    seeds = [([1, 1, 1, 1], [1, 0, 1, 0]), ([1, 1, 1, 0], [0, 0, 0, 0])]
    tables = []
    for seed, (before, after) in enumerate(seeds):
        tables += [predicted("clean", np.nan, before).assign(seed=seed)]
        tables += [predicted("babble", 0.0, after).assign(seed=seed)[:: 1 - 2 * seed]]  # found by key, not by place
    whole = pd.concat(tables)
    scores = score_predictions(whole, {"m": ["no", "yes"]}, metrics=["uar"])
    assert set(scores["metric"]) == {"uar"}
    before, after = (picked(scores, "babble", level, "uar") for level in (None, 0.0))
    assert (before["value"], after["value"], after["change"]) == (0.875, 0.25, -0.625) and after["n"] == 4
    both = {
        name: np.stack([np.where(right, [0, 1, 0, 1], [1, 0, 1, 0]) for right in answers])
        for name, answers in zip(("before", "after"), zip(*seeds, strict=True), strict=True)
    }
    outcomes = Outcomes("uar", list("wxyz"), [0, 1, 0, 1], both, list("aabb"), ["no", "yes"])
    found = system_intervals(outcomes, resamples=1000, seed=0)["after"]
    assert (after["low"], after["high"]) == (found.low, found.high)
    with pytest.raises(ValueError, match="different rows"):
        score_predictions(whole[(whole["seed"] == 0) | (whole["key"] != "z")], {"m": ["no", "yes"]})


@pytest.mark.slow
def test_folds_as_one(bundle, table):
    folds = [stress({"small": bundle}, rows, conditions=["gain"], threads=1) for rows in (table[:2], table[2:])]
    whole = stress({"small": bundle}, table, conditions=["gain"], threads=1)
    found = module.pool_folds(folds)
    pd.testing.assert_frame_equal(found.scores, whole.scores)
    assert found.facts["rows"] == 4 and len(found.facts["models"]["small"]["sha256"]) == 2
    with pytest.raises(ValueError, match="same systems"):
        module.pool_folds([folds[0], stress({"other": bundle}, table[2:], conditions=["gain"], threads=1)])
    with pytest.raises(ValueError, match="same row"):
        module.pool_folds([folds[0], folds[0]])


# The whole


@pytest.mark.slow
def test_stress_of_a_bundle(bundle, table):
    found = stress({"small": bundle}, table, seed=1, threads=1)
    assert set(found.facts["conditions"]) == set(CONDITIONS) - {"asr"} == set(found.scores["condition"])
    levels = found.scores[found.scores["metric"] == "uar"].groupby("condition")["level"].count()
    assert {name: levels[name] for name in levels.index} == {
        name: len(one.levels) for name, one in CONDITIONS.items() if name != "asr"
    }
    clean = found.predictions[found.predictions["condition"] == "clean"]
    assert clean["key"].tolist() == ["k0", "k1", "k2", "k3"]
    from emofuse.inference.predictor import Predictor
    from emofuse.segment import Segment

    [expected] = Predictor(bundle, transcribe=False, threads=1)(table["file"][0], TEXTS[0])
    answers = clean.iloc[0][[f"probability_{i}" for i in range(4)]].tolist()
    assert answers == pytest.approx(list(expected.probabilities.values()), abs=1e-5)
    assert clean.iloc[0]["valence"] == pytest.approx(expected.valence, abs=1e-5)
    silent = found.predictions[(found.predictions["condition"] == "no_text")].iloc[0]
    [unread] = Predictor(bundle, transcribe=False, threads=1)(table["file"][0], segments=[Segment()])
    assert silent["confidence"] == pytest.approx(unread.confidence, abs=1e-5)


@pytest.mark.slow
def test_same_seed_same_result_whatever_the_order_and_the_company(bundle, table):
    chosen = ["white_noise", "babble", "wer"]
    once = stress({"small": bundle}, table, conditions=chosen, seed=1, threads=1)
    again = stress({"other": bundle, "small": bundle}, table[::-1], conditions=chosen[::-1], seed=1, threads=1)
    pd.testing.assert_frame_equal(
        once.scores, again.scores[again.scores["system"] == "small"].reset_index(drop=True), check_like=True
    )
    both = [again.scores[again.scores["system"] == name].drop(columns="system") for name in ("other", "small")]
    pd.testing.assert_frame_equal(*(one.reset_index(drop=True) for one in both))
    other = stress({"small": bundle}, table, conditions=chosen, seed=2, threads=1)
    assert not np.allclose(once.predictions["confidence"], other.predictions["confidence"])


@pytest.mark.slow
def test_what_a_model_does_not_read_is_left_out(bundle, table, clips):
    deaf = replace(bundle, reads=["text"])
    mute = replace(bundle, reads=["audio"])
    found = stress({"deaf": deaf, "mute": mute}, table, conditions=["gain", "wer"], threads=1)
    assert set(zip(found.scores["system"], found.scores["condition"], strict=True)) == {
        ("deaf", "wer"),
        ("mute", "gain"),
    }
    polish = table.assign(language="pl")
    with pytest.raises(EmofuseError, match="'wer' applies to no row"):
        stress({"small": bundle}, polish, conditions=["gain", "wer"], threads=1)
    assert "wer" not in set(stress({"small": bundle}, polish, threads=1).scores["condition"])
    with pytest.raises(EmofuseError, match="corpus transcribe"):
        stress({"small": bundle}, table, conditions=["asr"], threads=1)


def test_a_clip_that_becomes_silent_is_refused(bundle, table, tmp_path):
    soundfile.write(tmp_path / "quiet.wav", voice(seconds=0.5) * 0.003, RATE, subtype="FLOAT")
    quiet = pd.concat([table[1:], table[:1].assign(file=str(tmp_path / "quiet.wav"))])
    found = stress({"small": bundle}, quiet, conditions=["gain"], threads=1).scores
    assert picked(found, "gain", -10.0, "uar")["refused"] == 0
    assert (picked(found, "gain", -40.0, "uar")["refused"], picked(found, "gain", -40.0, "uar")["n"]) == (1, 3)


def test_tables_that_cannot_be_scored(bundle, table):
    with pytest.raises(EmofuseError, match="mood"):
        stress({"small": bundle}, table, column="mood")
    with pytest.raises(EmofuseError, match="--column"):
        stress({"small": bundle}, table.assign(emotion="fear"), threads=1)
    with pytest.raises(EmofuseError, match="audio, or text in a language"):
        stress({"small": bundle}, table.assign(file=None, language="pl"), threads=1)


def test_rows_without_audio_and_with_dimensions_alone(bundle, table):
    written = table.assign(file=None, emotion=None, valence=[0.1, 0.4, 0.6, 0.9], speaker=None)
    found = stress({"small": bundle}, written, conditions=["wer"], threads=1).scores
    assert {"ccc_valence", "confidence"} == set(found["metric"])


@pytest.mark.slow
@pytest.mark.weights
def test_the_shipped_model_on_two_tiny_clips(command_line, tmp_path):
    rows = []
    for emotion in ("angry", "neutral"):
        samples = read_audio(EXAMPLES / f"{emotion}.flac")[RATE : 2 * RATE]
        soundfile.write(tmp_path / f"{emotion}.wav", samples, RATE)
        rows.append(
            {
                "key": emotion,
                "file": str(tmp_path / f"{emotion}.wav"),
                "speaker": emotion,
                "language": "en",
                "human_text": "Kids are talking by the door",
                "text": "Kids are walking by the door",
                "asr_model": "whisper-base",
                "emotion": {"angry": "anger"}.get(emotion, emotion),
            }
        )
    write_table(make_table(rows, "examples"), tmp_path / "table.csv")
    model = default_bundle().folder
    names = "white_noise,telephone,opus,crop,wer,asr,no_text,no_audio"
    done = command_line(
        "stress", model, "--table", tmp_path / "table.csv", "--conditions", names, "--out", tmp_path / "out"
    )
    assert done.code == 0 and "white_noise" in done.out and "as it is" in done.out
    scores = pd.read_csv(tmp_path / "out" / "stress.csv")
    assert set(scores["condition"]) == set(names.split(","))
    assert {"uar", "ece", "confidence"} <= set(scores["metric"]) and scores["value"].between(0, 1).all()
    told = json.loads((tmp_path / "out" / "stress.json").read_text())
    assert told["rows"] == 2 and len(told["scores"]) == len(scores) and told["scores"][0]["level"] is None
    predictions = pd.read_parquet(tmp_path / "out" / "stress-predictions.parquet")
    again = score_predictions(predictions, {"default": default_bundle().labels})
    np.testing.assert_allclose(again["value"], scores["value"])
    for metric in ("uar", "confidence"):
        assert (tmp_path / "out" / f"stress-{metric}.png").read_bytes()[:4] == b"\x89PNG"
