"""Conditioning in a report: measured once with the weights, kept by run, told as it is."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emofuse.config import load_recipe
from emofuse.data import prepare as preparing
from emofuse.errors import EmofuseError
from emofuse.explanation.conditioning import effects
from emofuse.metrics.outcomes import Outcomes
from emofuse.report import conditioning
from emofuse.report.results import results_of
from emofuse.report.write import write_report
from emofuse.study.folder import read_study
from emofuse.training.run import train

RECIPE = Path(__file__).parents[2] / "recipes" / "toy.toml"
DIMENSIONS = ["arousal", "valence", "dominance"]
NORMS = {"1": (0.25, 0.0), "2": (0.5, 0.125)}


def keep(study, seeds, *, needed=("2", "all"), systems=("multistage",)):
    """Keep made-up measurements: without the words at the needed stages every answer is neutral."""
    for (system, seed, _), run in study.tasks[0].runs.items():
        if system not in systems or seed not in seeds:
            continue
        told = pd.read_parquet(run / "predictions-test.parquet")
        tables = []
        for off in ("none", "1", "2", "all"):
            norm, by_words = NORMS.get(off, (np.nan, np.nan))
            table = told[["key", *DIMENSIONS]].assign(off=off, norm=norm, by_words=by_words)
            answer = told[[f"probability_{k}" for k in range(4)]].to_numpy().argmax(axis=1)
            table["answer"] = 0 if off in needed else answer
            tables.append(table)
        path = conditioning._measurement(study, run)
        path.parent.mkdir(exist_ok=True)
        pd.concat(tables).to_parquet(path)


def found(study):
    """Effects on the categories."""
    return conditioning.effects_on(
        results_of(study, resamples=200)[0], conditioning.read_measured(study, study.tasks[0])
    )


def better(effects):
    """Sentences that a system loses something."""
    return [sentence for sentence in effects.sentences if " is better than " in sentence]


def test_effects_are_differences_of_the_metric():
    answers = {
        "none": np.array([[0, 1, 0, 1], [0, 1, 0, 0]]),
        "all": np.array([[0, 0, 0, 0], [0, 0, 0, 0]]),
        "10": np.array([[0, 1, 0, 1], [0, 1, 0, 0]]),
        "2": np.array([[0, 1, 0, 0], [0, 1, 0, 0]]),
    }
    table = effects(Outcomes("uar", list("wxyz"), [0, 1, 0, 1], answers, list("aabb"), labels=["x", "y"]), seed=0)
    assert table["stage"].tolist() == ["2", "10", "all"]
    assert table["changed"].tolist() == [1 / 8, 0, 3 / 8] and table["without"].tolist() == [0.75, 0.875, 0.5]
    assert table["difference"].tolist() == [-0.125, 0, -0.375]
    assert table.loc[1, ["low", "high"]].tolist() == [0, 0] and (table["speakers"] == 2).all()


def test_effects_on_numbers_are_mean_changes():
    truth = np.array([0.1, 0.5, 0.9])
    answers = {"none": truth[None], "1": truth[None] + 0.25}
    table = effects(Outcomes("ccc", list("xyz"), truth, answers, list("abc")), seed=0)
    assert table["changed"].tolist() == pytest.approx([0.25]) and table["difference"].item() < 0


def test_made_up_measurements_are_told(make_study):
    study = read_study(make_study())
    keep(study, [1, 2, 3])
    own = found(study)
    stages = own.table.set_index("stage")
    assert list(stages.index) == ["1", "2", "all"] and own.seeds == [1, 2, 3] and own.folds == [0, 1]
    value = own.result.intervals["uar"]["multistage"].value
    assert stages.loc["1", "difference"] == 0 and stages.loc["1", "changed"] == 0
    assert stages.loc["2", "without"] == 0.25 and stages.loc["2", "difference"] == pytest.approx(0.25 - value)
    assert stages.loc["2", "low"] < stages.loc["2", "difference"] < stages.loc["2", "high"] < 0
    assert stages.loc["2", ["norm", "by_words"]].tolist() == [0.5, 0.125]
    norms, at_two, at_all, nowhere_else = own.sentences
    assert "25 to 50 %" in norms and "0 to 12 %" in norms
    for sentence, stage in ((at_two, "stage 2"), (at_all, "all stages")):
        assert "is better than multistage without text at " + stage in sentence and f"+{value - 0.25:.3f}" in sentence
    assert "No difference" in nowhere_else and "at stage 1 (0.000" in nowhere_else


def test_systems_without_a_loss(make_study):
    study = read_study(make_study(systems={"multistage": 0.9, "single_stage": 0.6}))
    keep(study, [1, 2, 3], needed=["all"], systems=["multistage"])
    keep(study, [1, 2, 3], systems=["single_stage"])
    assert [s.startswith("No difference") for s in found(study).sentences[1:]].count(True) == 2  # one of each system
    assert not any("multistage without text at stage" in s for s in better(found(study)))
    keep(study, [1, 2, 3], needed=[], systems=["multistage", "single_stage"])
    assert len(better(found(study))) == 0


def test_only_utterances_of_the_report_count(make_study):
    study = read_study(make_study())
    assert conditioning.read_measured(study, study.tasks[0]) is None
    keep(study, [1])
    own = conditioning.read_measured(study, study.tasks[0])
    assert own.seeds == [1]
    tables = [table[table["key"].str.endswith(("0", "1"))] for table in own.tables["multistage"]]
    result = results_of(study, resamples=50)[0]
    part = conditioning.effects_on(result, conditioning.Measured([1], [0, 1], {"multistage": tables}))
    assert (part.table["n"] == 24).all() and (part.table["speakers"] == 12).all()
    nothing = conditioning.effects_on(result, conditioning.Measured([1], [0, 1], {"multistage": [tables[0].iloc[:0]]}))
    assert nothing.table.empty


@pytest.mark.slow
def test_the_page_has_it_if_it_is_there(make_study):
    folder = make_study()
    assert 'id="conditioning"' not in write_report(folder, resamples=50).read_text(encoding="utf-8")
    keep(read_study(folder), [1, 2, 3])
    text = write_report(folder, resamples=50).read_text(encoding="utf-8")
    assert '<section id="conditioning"><h2>Conditioning</h2>' in text and "(seeds 1, 2, 3, folds 0, 1)" in text
    data = pd.read_csv(folder / "report" / "tables" / "conditioning-joint.csv")
    assert data["stage"].tolist() == ["1", "2", "all"]


@pytest.fixture
def trained(tmp_path, monkeypatch, length_encoder):
    """A study of one trained multistage run and made-up answers of an audio-only one; its folder."""
    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path / "cache"))
    small = ["training.epochs=1", "model.width=0.0625", "model.members=2", "model.stages=[2,4]"]
    recipe = load_recipe(RECIPE, small)
    folder = tmp_path / "study"
    run = train(recipe, folder / "cells" / "one", tmp_path)
    cell = {"cell": "one", "task": "joint", "system": "multistage", "fold": 0, "seed": 1}
    (run / "cell.json").write_text(json.dumps(cell | {"wall_seconds": 1.0, "cpu_seconds": 1.0}))
    (folder / "cells.json").write_text(json.dumps([cell]))
    facts = {"name": "one", "protocol": "One run.", "quick": False, "reference": "multistage"}
    facts |= {"tasks": [{"name": "joint", "recipe": recipe.model_dump(mode="json")}]}
    facts |= {"systems": [{"name": "multistage", "overrides": []}], "seeds": [1]}
    (folder / "study.json").write_text(json.dumps(facts))
    return folder


@pytest.mark.slow
def test_measured_once_and_kept(trained, command_line, tmp_path, monkeypatch):
    done = command_line("report", trained, "--conditioning", 1, "--data", tmp_path)
    assert done.code == 0, done.err
    (kept,) = (trained / "conditioning").iterdir()
    assert set(pd.read_parquet(kept)["off"]) == {"none", "2", "4", "all"}
    stages = pd.read_csv(trained / "report" / "tables" / "conditioning-joint.csv")
    assert stages["stage"].tolist() == ["2", "4", "all"] and (stages["norm"].dropna() > 0).all()
    monkeypatch.setattr(preparing, "prepare", None)  # nothing is measured again
    assert command_line("report", trained, "--conditioning", 5, "--data", tmp_path).code == 0


def test_other_answers_than_the_run_s_are_refused(trained, command_line, tmp_path):
    path = trained / "cells" / "one" / "predictions-test.parquet"
    told = pd.read_parquet(path)
    told["valence"] += 0.1
    told.to_parquet(path)
    failed = command_line("report", trained, "--conditioning", 1, "--data", tmp_path)
    assert (
        failed.code == 1
        and "predictions-test.parquet" in failed.err
        and "--conditioning" in failed.err
        and "Traceback" not in failed.err
    )
    assert not (trained / "conditioning").exists() and not (trained / "report").exists()


@pytest.mark.slow
def test_a_run_that_did_not_note_the_tokenizer_is_measured(trained, tmp_path, length_encoder):
    length_encoder.identity |= {"tokenizer_hash": "2", "max_tokens": 256}
    write_report(trained, conditioning_seeds=1, data=tmp_path)
    assert (trained / "report" / "tables" / "conditioning-joint.csv").exists()


def test_another_text_encoder_is_refused(trained, tmp_path, length_encoder):
    length_encoder.identity |= {"name": "other", "weights_hash": "1"}
    with pytest.raises(EmofuseError, match="text encoder"):
        write_report(trained, conditioning_seeds=1, data=tmp_path)
