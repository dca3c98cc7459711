"""A study of composed tasks, broken down by what the pairs have; corpora are read once a task and fold."""

import json

import numpy as np
import pandas as pd
import pytest
import soundfile

from emofuse.config import dump_toml, parse_recipe
from emofuse.corpora.table import make_table, write_table
from emofuse.data import rows as preparing
from emofuse.report.write import write_report

EMOTIONS = ["neutral", "anger", "happiness"]
COLUMNS = ["gender", "voice", "words", "pairing", "seconds"]


@pytest.fixture
def corpora(tmp_path):
    """Six voices in three folds, and rated sentences in official parts; their folder."""
    voices, words = [], []
    for i in range(36):
        file = tmp_path / f"{i}.wav"
        soundfile.write(file, np.random.default_rng(i).normal(size=3200 + 400 * i) * 0.1, 16000)
        row = {"key": f"voice/{i}", "file": file.name, "speaker": f"v{i // 6}", "emotion": EMOTIONS[i % 3]}
        voices.append(row | {"text": "Dogs are sitting by the door", "gender": ["female", "male"][i // 6 % 2]})
    for i in range(36):
        row = {"key": f"words/{i}", "text": f"One more sentence, the {i}th", "language": "en", "speaker": f"w{i}"}
        row |= {"emotion": EMOTIONS[i % 3], "valence": [0.5, 0.1, 0.9][i % 3], "dominance": 0.5, "arousal": 0.5}
        words.append(row | {"official_split": ["train", "dev", "test"][i // 12]})
    write_table(make_table(voices, "voices"), tmp_path / "voices.csv")
    write_table(make_table(words, "words"), tmp_path / "words.csv")
    return tmp_path


def task(name):
    """Recipe of a composed task of these corpora."""
    composed = {"task": name, "audio": ["voices"], "text": ["words"]} | dict.fromkeys(
        ("train_pairs", "dev_pairs", "test_pairs"), 12
    )
    given = {"reader": "table", "root": "voices.csv", "split": {"rule": "k_fold", "k": 3}}
    data = {"composed": composed, "corpora": [given, given | {"root": "words.csv", "split": {"rule": "official"}}]}
    options = {"heads": ["categories"]}
    if name == "dimensions":
        options = {"heads": ["dimensions"]}
    elif name == "clash":
        data["labels"] = {"column": "original_emotion", "names": ["agree", "clash"]}
    else:
        data["labels"] = {"names": EMOTIONS}
    training = {"monitor": "ccc" if name == "dimensions" else "uar"}
    return parse_recipe(
        {"name": name, "protocol": "p", "data": data, "model": options, "training": training}, source=""
    )


def answers(table, recipe, system):
    """Made-up predictions for the test rows of a fold."""
    told = table[["key", "corpus", "speaker"]].assign(has_audio=True, has_text=True).reset_index(drop=True)
    rng = np.random.default_rng(len(system))
    names = recipe.data.labels.names
    if recipe.model.heads == ["categories"]:
        told["truth"] = table[recipe.data.labels.column].map(names.index).to_numpy()
        told[[f"probability_{k}" for k in range(len(names))]] = rng.dirichlet(np.ones(len(names)), len(table))
    else:
        told["truth"] = -1
        for name in ("arousal", "valence", "dominance"):
            told[f"true_{name}"], told[name] = table[name].to_numpy(), rng.random(len(table))
    return told


@pytest.fixture
def study(corpora):
    """A study of three composed tasks with two folds, nothing trained; its folder."""
    folder, cells, tasks = corpora / "study", [], []
    for name in ("agree", "clash", "dimensions"):
        recipe = task(name)
        tasks.append({"name": name, "recipe": recipe.model_dump(mode="json")})
        for fold in (0, 1):
            ((pairs, split),), _ = preparing.read_rows(recipe.with_fold(fold), data=corpora)
            rows = pairs[pairs["key"].isin(split.test)]
            for system in ("audio_only", "multistage"):
                cell = f"{name}-{system}-{fold}".replace("_", "")
                cells.append({"cell": cell, "task": name, "system": system, "fold": fold, "seed": 1})
                run = folder / "cells" / cell
                run.mkdir(parents=True)
                model = recipe.model.model_copy(update={"fusion": system})
                (run / "recipe.toml").write_text(dump_toml(recipe.with_fold(fold).model_copy(update={"model": model})))
                answers(rows, recipe, system).to_parquet(run / "predictions-test.parquet")
                facts = {"created": "2026", "versions": {}, "commit": "", "hardware": {}, "corpora": []}
                facts |= {"speech_encoder": None, "text_encoder": None}
                for file, value in {
                    "audit": {},
                    "environment": facts,
                    "metrics": {},
                    "cell": cells[-1] | {"wall_seconds": 1.0, "cpu_seconds": 1.0},
                }.items():
                    (run / f"{file}.json").write_text(json.dumps(value))
    (folder / "cells.json").write_text(json.dumps(cells))
    facts = {"name": "pairs", "protocol": "Made up.", "quick": False, "reference": "audio_only", "tasks": tasks}
    facts["systems"] = [{"name": name, "overrides": []} for name in ("audio_only", "multistage")]
    (folder / "study.json").write_text(json.dumps(facts))
    return folder


@pytest.mark.slow
def test_pairs_are_broken_down_by_all_they_have(study, corpora, monkeypatch):
    reads = []
    whole = preparing.read_rows
    monkeypatch.setattr(preparing, "read_rows", lambda *a, **k: reads.append(1) or whole(*a, **k))
    tables = write_report(study, by=COLUMNS, data=corpora, resamples=20).parent / "tables"
    assert len(reads) == 3 * 2  # once a task and fold, not once a column
    found = {path.stem: pd.read_csv(path) for path in tables.glob("by-*.csv")}
    per_system = {
        name: table[table["system"] == "audio_only"].set_index(table.columns[0])["n"].to_dict()
        for name, table in found.items()
    }
    n = sum(per_system["by-gender-agree"].values())
    assert 20 <= n <= 24 and set(per_system["by-gender-agree"]) == {"female", "male"}
    assert set(per_system["by-voice-agree"]) == set(per_system["by-words-agree"]) == set(EMOTIONS)  # not their number
    assert per_system["by-pairing-agree"] == {"agree": n}
    assert set(per_system["by-words-clash"]) == {"positive", "negative"}
    assert set(per_system["by-pairing-clash"]) == {"agree", "clash"}
    assert sum(per_system["by-seconds-agree"].values()) == n and len(per_system["by-seconds-agree"]) == 4
    assert {name for name in found if "dimensions" in name} == {
        f"by-{column}-dimensions-{name}"
        for column in ("gender", "voice", "words", "seconds")  # pairs of that task have no pairing
        for name in ("arousal", "valence", "dominance")
    }
    assert not any("(missing)" in values for values in per_system.values())


def test_a_column_that_no_task_has(study, corpora, command_line):
    failed = command_line("report", study, "--by", "pairing", "--by", "shoe_size", "--data", corpora)
    assert failed.code == 1 and "--by shoe_size: the corpora of the study have no such column" in failed.err
    assert "pairing" in failed.err.split("no such column")[1] and "Traceback" not in failed.err
    assert not (study / "report").exists()
