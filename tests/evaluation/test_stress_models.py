"""What a stress test runs on."""

from pathlib import Path

import pandas as pd
import pytest

from emofuse.config import SplitConfig, dump_toml, load_recipe
from emofuse.corpora.splits import freeze
from emofuse.corpora.table import make_table, write_table
from emofuse.errors import EmofuseError
from emofuse.evaluation.stress_models import opened, rows_of_runs, rows_of_table

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
    with opened([bundle_folder]) as bundles:
        assert list(bundles) == ["small"] and bundles["small"].labels
    twin = tmp_path / "small"
    twin.symlink_to(bundle_folder)
    with opened([bundle_folder, twin]) as bundles:
        assert list(bundles) == [str(bundle_folder), str(twin)]
    with pytest.raises(EmofuseError, match="no bundle"), opened([tmp_path]):
        pass


def test_a_table_or_the_test_part_of_a_fold(table, tmp_path):
    assert len(rows_of_table(table)) == 20
    folds = freeze(rows_of_table(table), SplitConfig(rule="k_fold", k=5), tmp_path / "split.json")
    for number, fold in enumerate(folds):
        assert set(rows_of_table(table, tmp_path / "split.json", fold=number)["key"]) == set(fold.test)


def test_runs_are_tested_on_their_own_test_rows(tmp_path):
    one, same = (run_folder(tmp_path / name) for name in ("one", "same"))
    other = run_folder(tmp_path / "other", "data.corpora.0.split.seed=5")
    rows, column = rows_of_runs([one, same], tmp_path)
    assert rows["speaker"].nunique() == 2 and set(rows[column]) == {"neutral", "happiness", "sadness", "anger"}
    with pytest.raises(EmofuseError, match="different rows"):
        rows_of_runs([one, other], tmp_path)
    fitted = run_folder(tmp_path / "fitted", "training.fit=all")
    with pytest.raises(EmofuseError, match="trained on its test rows"):
        rows_of_runs([fitted], tmp_path)


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
