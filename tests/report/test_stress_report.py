"""The section on stress: made-up answers under made-up conditions."""

import json

import numpy as np
import pandas as pd
import pytest

from emofuse.errors import EmofuseError
from emofuse.metrics import scores as metrics
from emofuse.report import stress as module
from emofuse.report.results import results_of
from emofuse.report.write import write_report
from emofuse.study.folder import read_study

SYSTEMS = {"audio_only": 0.5, "late": 0.5, "multistage": 0.95}
LEFT = {"audio_only": 1.0, "late": 1.0, "multistage": 0.3}  # share of the answers that noise leaves as they are
LEVELS = {"babble": [20.0, 10.0], "wer": [0.4], "no_text": [1.0]}


def add_stress(folder, *, left=LEFT, without=()):
    """Write a stress test beside a made-up study, of its own answers; `without` runs (system, fold, seed)."""
    entries = []
    for fold in (0, 1):
        tables = []
        for cell in json.loads((folder / "cells.json").read_text()):
            if cell["fold"] != fold or (cell["system"], fold, cell["seed"]) in without:
                continue
            table = pd.read_parquet(folder / "cells" / cell["cell"] / "predictions-test.parquet")
            table = table.assign(system=cell["system"], seed=cell["seed"], uncertain=np.nan)
            columns = [f"probability_{k}" for k in range(4)]
            table["confidence"] = table[columns].max(axis=1)
            tables.append(table.assign(condition="clean", level=np.nan))
            for condition, levels in LEVELS.items():
                if condition != "babble" and cell["system"] == "audio_only":
                    continue
                for level in levels:
                    hit = np.random.default_rng([fold, cell["seed"]]).random(len(table)) >= left[cell["system"]]
                    changed = table.copy()
                    changed.loc[hit, columns] = np.roll(changed.loc[hit, columns].to_numpy(), 1, axis=1)
                    tables.append(changed.assign(condition=condition, level=level))
        (folder / "stress").mkdir(exist_ok=True)
        whole = pd.concat(tables, ignore_index=True)
        whole["system"] = whole["system"].astype("category")
        whole.to_parquet(folder / "stress" / f"joint-fold-{fold}.parquet")
        entries.append({"task": "joint", "fold": fold, "file": f"joint-fold-{fold}.parquet"})
    facts = {"conditions": {}, "rows": 48, "seed": 0, "folds": entries}
    (folder / "stress" / "stress.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture
def made(make_study):
    """Study, results and predictions under stress."""

    def of(**options):
        study = read_study(add_stress(make_study(systems=SYSTEMS), **options))
        facts = json.loads((study.folder / "stress" / "stress.json").read_text())
        found, notes = module.read_predictions(study.folder / "stress", facts, study.tasks[0])
        return study, results_of(study, resamples=200), found, notes

    return of


@pytest.mark.slow
def test_values_are_the_mean_over_seeds_of_the_metric_over_all_folds(made):
    _, results, found, notes = made()
    assert notes == []
    scores = module.scores_of(results[0], found, resamples=100)
    assert set(scores["metric"]) == {"uar", "ece"} and list(dict.fromkeys(scores["system"])) == list(SYSTEMS)
    columns = [f"probability_{k}" for k in range(4)]
    own = found[(found["system"] == "multistage") & (found["condition"] == "babble") & (found["level"] == 10.0)]
    values = [metrics.uar(t["truth"], t[columns].to_numpy().argmax(axis=1)) for _, t in own.groupby("seed")]
    at = scores[(scores["system"] == "multistage") & (scores["level"] == 10.0) & (scores["metric"] == "uar")]
    assert at["value"].tolist() == pytest.approx([np.mean(values)]) and at["n"].tolist() == [96]
    as_they_are = results[0].intervals["uar"]["multistage"].value
    assert at["change"].tolist() == pytest.approx([np.mean(values) - as_they_are])
    valence = module.scores_of(next(r for r in results if r.dimension == "valence"), found, resamples=50)
    assert set(valence["metric"]) == {"ccc"}


@pytest.mark.slow
def test_sentences_tell_what_is_shown_and_no_more(made):
    _, results, found, _ = made()
    said = module.StressedResult(results[0], module.scores_of(results[0], found, resamples=1000)).sentences
    better = [sentence for sentence in said if "is better than" in sentence]
    assert len(better) == 2 and all(s.startswith("multistage on clean input") and "n 96" in s for s in better)
    assert "word error rate of 0.4" in better[0] and "babble at an SNR of 10 dB" in better[1]
    others = [sentence for sentence in said if sentence.startswith("No difference")]
    assert any("audio_only in babble at an SNR of 10 dB (0.000" in sentence for sentence in others)
    assert not any("audio_only at a word error rate" in sentence for sentence in others)


@pytest.mark.slow
def test_nothing_is_said_to_change_where_nothing_does(made):
    _, results, found, _ = made(left=dict.fromkeys(SYSTEMS, 1.0))
    said = module.StressedResult(results[0], module.scores_of(results[0], found, resamples=200)).sentences
    assert said and all(sentence.startswith("No difference") for sentence in said)


def test_few_speakers_can_show_nothing(make_study):
    def two(table, system, fold, seed):
        return table.assign(speaker=f"toy/{fold}")

    study = read_study(add_stress(make_study(systems=SYSTEMS, change=two)))
    stress = module.stress_of(study, results_of(study, resamples=50), resamples=50)
    (sentence,) = stress.missing  # once, for UAR and the three CCC
    assert "cannot be compared" in sentence and "speakers (2)" in sentence
    assert [part.sentences for part in stress.parts] == [[]] * 4


def test_what_was_not_stressed_is_told_and_not_counted(made):
    runs = [(system, fold, 3) for system in SYSTEMS for fold in (0, 1)]
    _, _, found, notes = made(
        without=[*runs[:2], ("late", 0, 1), ("late", 1, 1), ("late", 0, 2), ("late", 1, 2), *runs]
    )
    assert set(found["seed"]) == {1, 2} and set(found["system"]) == {"audio_only", "multistage"}
    assert notes == ["late was not stressed.", "seed 3 was not stressed with all systems."]


@pytest.mark.slow
def test_the_page_has_the_section_only_where_there_was_stress(make_study, tmp_path):
    folder = make_study(systems=SYSTEMS)
    page = write_report(folder, tmp_path / "before", resamples=50).read_text()
    assert 'id="stress"' not in page and "--stress" not in page
    add_stress(folder)
    path = write_report(folder, tmp_path / "after", resamples=50)
    page = path.read_text()
    section = page[page.index('<section id="stress">') : page.index('<section id="training">')]
    assert section.count("<svg") == 2 + 3 and section.count('id="table-stress-') == 5  # UAR, ECE, and a CCC each
    assert "emofuse study recipes/studies/made-up.toml --stress" in page
    table = (path.parent / "tables" / "stress-uar-joint.md").read_text()
    assert "| babble | clean | 96 |" in table and "| wer | 0.4 | 96 | – |" in table
    data = pd.read_csv(path.parent / "tables" / "stress-uar-joint.csv")
    assert {"system", "condition", "level", "value", "low", "high", "n", "change", "change_low", "p"} <= set(data)
    (folder / "stress" / "joint-fold-1.parquet").unlink()
    with pytest.raises(EmofuseError, match=r"joint-fold-1\.parquet: cannot be read.*emofuse study --stress"):
        write_report(folder, tmp_path / "again", resamples=50)
