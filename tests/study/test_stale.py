"""A study hands back no run of other data, and reads its corpora once."""

import pandas as pd
import pytest

from emofuse.corpora import recipe_rows
from emofuse.data.prepare import identify
from emofuse.data.rows import select_rows
from emofuse.errors import EmofuseError
from emofuse.files import read_json, write_json
from emofuse.study.grid import cells_of, folds_of, load_study, runs_of
from emofuse.study.stale import find_stale, refuse_or_remove

AUDIO = ["model.fusion=audio_only"]
SYSTEMS = {
    "a": AUDIO,
    "b": [*AUDIO, "model.dropout=0"],
    "c": [*AUDIO, 'model.heads=["categories"]', "training.monitor=uar"],
}


@pytest.fixture
def trained(tmp_path, study_file, monkeypatch):
    """The runs of a study and their folder, as if each had begun; nothing is trained."""
    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path / "cache"))
    study = load_study(study_file(SYSTEMS, "seeds = [1, 2]"))
    runs = runs_of(cells_of(study, folds_of(study, tmp_path)))
    for run in runs:
        identity = identify(run.recipe, select_rows(run.recipe, data=tmp_path))
        write_json(tmp_path / "cells" / run.hash / "environment.json", {"identity": identity})
    return runs, tmp_path / "cells"


def stale(trained, tmp_path):
    runs, cells = trained
    return find_stale(runs, cells, tmp_path)


def test_runs_of_other_data_are_named_and_removed_only_if_told(trained, tmp_path):
    runs, cells = trained
    assert stale(trained, tmp_path) == {}
    path = tmp_path / "toy-corpus" / "table.csv"
    table = pd.read_csv(path, keep_default_na=False)
    table.assign(arousal=1 - table["arousal"].astype(float)).to_csv(path, index=False)
    found = stale(trained, tmp_path)
    assert set(found) == {run.hash for run in runs} and set(found.values()) == {"the labels"}
    with pytest.raises(
        EmofuseError, match=r"6 runs of this study.*\n.*labels changed since 6 runs were trained \(such as a, "
    ):
        refuse_or_remove(found, runs, cells, fresh=False)
    assert len(list(cells.iterdir())) == 6
    one = {runs[0].hash: "the labels"}
    refuse_or_remove(one, runs, cells, fresh=True)
    assert {path.name for path in cells.iterdir()} == {run.hash for run in runs[1:]}


def test_runs_of_before_hashes_are_left_as_they_are(trained, tmp_path):
    runs, cells = trained
    write_json(cells / runs[0].hash / "environment.json", {})
    (cells / runs[1].hash / "environment.json").unlink()
    assert stale(trained, tmp_path) == {}


def test_a_corpus_is_read_and_audited_once_for_all_runs(trained, tmp_path, monkeypatch):
    reads, audits = [], []
    read, audit = recipe_rows.read_corpus, recipe_rows.audit
    monkeypatch.setattr(recipe_rows, "read_corpus", lambda *a, **k: reads.append(a) or read(*a, **k))
    monkeypatch.setattr(recipe_rows, "audit", lambda *a, **k: audits.append(a) or audit(*a, **k))
    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path / "another cache"))
    recipe = trained[0][0].recipe
    first, second = (select_rows(recipe, data=tmp_path) for _ in range(2))
    assert len(reads) == len(audits) == 1
    assert identify(recipe, first) == identify(recipe, second)
    pd.testing.assert_frame_equal(first.whole, second.whole)
    assert first.audits == second.audits and first.notes == second.notes


@pytest.mark.slow
def test_a_study_does_not_hand_back_runs_of_other_data(command_line, study_file, tmp_path, monkeypatch):
    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path / "cache"))
    study = study_file({"a": AUDIO})
    command = ("study", study, "--data", tmp_path, "--out", tmp_path / "out")
    assert command_line(*command).code == 0
    [cell] = (tmp_path / "out" / "cells").glob("*/cell.json")
    before = read_json(cell)
    assert command_line(*command).code == 0 and read_json(cell) == before
    path = tmp_path / "toy-corpus" / "table.csv"
    table = pd.read_csv(path, keep_default_na=False)
    table.assign(emotion="anger").to_csv(path, index=False)
    refused = command_line(*command)
    assert refused.code == 1 and "the labels changed since 1 runs" in refused.err and read_json(cell) == before
    assert command_line(*command, "--fresh").code == 0 and read_json(cell) != before
