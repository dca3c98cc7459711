"""What a stress test runs on."""

from pathlib import Path

import pandas as pd
import pytest

from emofuse.config import SplitConfig, dump_toml, load_recipe
from emofuse.corpora.splits import freeze
from emofuse.corpora.table import make_table, write_table
from emofuse.data.rows import LABEL
from emofuse.errors import EmofuseError
from emofuse.inference.bundle import Bundle
from emofuse.stress.rows import rows_of_runs, rows_of_table
from emofuse.stress.sweep import stress_runs
from emofuse.stress.systems import open_bundles

TOY = Path(__file__).parents[2] / "recipes" / "toy.toml"


@pytest.fixture
def table(tmp_path):
    rows = [{"key": f"k{i}", "text": "so it is", "speaker": f"s{i % 5}", "emotion": "anger"} for i in range(20)]
    write_table(make_table(rows, "made-up"), tmp_path / "table.csv")
    return tmp_path / "table.csv"


def run_folder(folder, *overrides):
    """What of an unfinished run tells its test rows."""
    folder.mkdir()
    (folder / "recipe.toml").write_text(dump_toml(load_recipe(TOY, list(overrides))))
    return folder


def test_bundles_by_name_or_by_path_where_names_are_alike(bundle_folder, tmp_path):
    with open_bundles([bundle_folder]) as bundles:
        assert list(bundles) == ["small"] and bundles["small"].labels
    twin = tmp_path / "small"
    twin.symlink_to(bundle_folder)
    with open_bundles([bundle_folder, twin]) as bundles:
        assert list(bundles) == [str(bundle_folder), str(twin)]
    with pytest.raises(EmofuseError, match="bundle"), open_bundles([tmp_path]):
        pass


def test_a_table_or_the_test_part_of_a_fold(table, tmp_path):
    assert len(rows_of_table(table)) == 20
    folds = freeze(rows_of_table(table), SplitConfig(rule="k_fold", k=5), tmp_path / "split.json")
    for number, fold in enumerate(folds):
        assert set(rows_of_table(table, tmp_path / "split.json", fold=number)["key"]) == set(fold.test)


def test_runs_are_tested_on_their_own_test_rows(tmp_path):
    one, same = (run_folder(tmp_path / name) for name in ("one", "same"))
    other = run_folder(tmp_path / "other", "data.corpora.0.split.seed=5")
    rows = rows_of_runs([one, same], tmp_path)
    assert rows["speaker"].nunique() == 2 and set(rows[LABEL]) == {"neutral", "happiness", "sadness", "anger"}
    with pytest.raises(EmofuseError, match="different rows"):
        rows_of_runs([one, other], tmp_path)
    fitted = run_folder(tmp_path / "fitted", "training.fit=all")
    with pytest.raises(EmofuseError, match="trained on its test rows"):
        rows_of_runs([fitted], tmp_path)


def test_systems_with_unequal_folds(tmp_path):
    for name in ("one", "two/fold-0", "two/fold-1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        run_folder(tmp_path / name)
    with pytest.raises(EmofuseError, match="one 1, two 2"):
        stress_runs([tmp_path / "one", tmp_path / "two"], tmp_path)


@pytest.mark.slow
def test_folds_are_put_together_each_row_by_the_run_of_its_fold(bundle_folder, tmp_path, monkeypatch):
    """Folds are counted as numbers; the bundle stands for every run."""
    (tmp_path / "system").mkdir()
    for fold, number in enumerate((0, 1, 10)):
        split = f'data.corpora.0.split={{rule = "k_fold", k = 3, fold = {fold}}}'
        run_folder(tmp_path / "system" / f"fold-{number}", split)
    exported = []

    def export_run(run, out):
        exported.append(run.name)
        return Bundle.load(bundle_folder)

    monkeypatch.setattr("emofuse.training.export.export_run", export_run)
    found = stress_runs([tmp_path / "system"], tmp_path, conditions=["no_text"], rows=4)
    assert exported == ["fold-0", "fold-1", "fold-10"]
    clean = found.predictions[found.predictions["condition"] == "clean"]
    assert len(clean) == found.facts["rows"] == 12 and clean["key"].is_unique
    assert clean["speaker"].nunique() == 6
    spoken_and_said = found.predictions["condition"].eq("no_text").sum()
    assert spoken_and_said > 4 and (found.scores[found.scores["metric"] == "confidence"]["n"] == spoken_and_said).all()


def test_a_bundle_needs_a_table(bundle_folder, command_line):
    done = command_line("stress", bundle_folder)
    assert done.code == 1 and "--table" in done.err and "Traceback" not in done.err


def test_wrong_conditions_are_told_before_anything_is_read(command_line, tmp_path):
    done = command_line("stress", tmp_path / "nothing", "--conditions", "babble,sirens")
    assert done.code == 1 and "'sirens'" in done.err and "reverberation" in done.err


@pytest.mark.slow
@pytest.mark.weights
def test_a_run_is_stressed_as_it_would_be_used(emofuse, tmp_path):
    for fusion in ("multistage", "late"):
        changes = [f"model.fusion={fusion}", "model.width=0.0625", "training.epochs=1"]
        options = [word for change in changes for word in ("--set", change)]
        emofuse("train", TOY, *options, "--out", fusion, "--data", tmp_path, folder=tmp_path)
    chosen = ["--conditions", "gain,wer,no_text", "--rows", "8", "--out", "stress"]
    done = emofuse("stress", "multistage", "late", "--data", tmp_path, *chosen, folder=tmp_path)
    assert "multistage" in done.stdout and "late" in done.stdout
    predictions = pd.read_parquet(tmp_path / "stress" / "stress-predictions.parquet")
    clean = predictions[predictions["condition"] == "clean"]
    for fusion, own in clean.groupby("system"):
        tested = pd.read_parquet(tmp_path / str(fusion) / "predictions-test.parquet").set_index("key")
        rows = tested.loc[own["key"]]
        assert len(rows) == 8 and own["truth"].tolist() == rows["truth"].tolist()
        for column in ("probability_0", "valence", "true_valence"):
            assert own[column].tolist() == pytest.approx(rows[column].tolist(), abs=2e-3)
