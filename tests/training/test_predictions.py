"""The predictions of a run as a table and as a picture of the confusion."""

import pandas as pd
import pytest

from emofuse.config import dump_toml, load_recipe
from emofuse.errors import EmofuseError
from emofuse.training.predictions import predictions_of
from emofuse.training.run import evaluate

NAMES = ["neutral", "happiness", "sadness", "anger"]
PROBABILITIES = [[0.7, 0.1, 0.1, 0.1], [0.2, 0.5, 0.2, 0.1], [0.6, 0.2, 0.1, 0.1], [0.1, 0.2, 0.1, 0.6]]
TRUTH = [0, 1, 2, -1]  # sadness is not recognised; the last row has no label


@pytest.fixture
def run_folder(tmp_path, request):
    """A finished run with predictions for dev and test, as training leaves it."""

    def made(*overrides):
        recipe = load_recipe(request.config.rootpath / "recipes" / "toy.toml", list(overrides))
        (tmp_path / "recipe.toml").write_text(dump_toml(recipe), encoding="utf-8")
        table = pd.DataFrame({"key": ["é/1", "é/2", "é/3", "é/4"], "corpus": "toy", "speaker": ["a", "a", "b", None]})
        table["truth"] = TRUTH
        for i in range(len(NAMES)):
            table[f"probability_{i}"] = [row[i] for row in PROBABILITIES]
        for name in ("arousal", "valence", "dominance"):
            table[f"true_{name}"] = [0.1, 0.9, 0.5, None]
            table[name] = [0.2, 0.8, 0.5, 0.5]
        for part in ("dev", "test"):
            table.to_parquet(tmp_path / f"predictions-{part}.parquet")
        return tmp_path

    return made


def test_figures_of_each_class(run_folder):
    found = evaluate(run_folder())["test"]["categories"]
    assert found["recall_per_class"] == {"neutral": 1, "happiness": 1, "sadness": 0, "anger": None}
    assert found["precision_per_class"] == {"neutral": 0.5, "happiness": 1, "sadness": None, "anger": None}
    f1 = {"neutral": pytest.approx(2 / 3), "happiness": 1, "sadness": 0, "anger": None}
    assert found["f1_per_class"] == f1


def test_predictions_have_names_instead_of_numbers(run_folder):
    table = predictions_of(run_folder())
    assert table["part"].tolist() == ["dev"] * 4 + ["test"] * 4
    test = table[table["part"] == "test"].reset_index(drop=True)
    assert test["truth"].tolist()[:3] == ["neutral", "happiness", "sadness"] and test["truth"].isna().iat[3]
    assert test["predicted"].tolist() == ["neutral", "happiness", "neutral", "anger"]
    assert test["confidence"].tolist() == [0.7, 0.5, 0.6, 0.6]
    assert test[[f"p_{name}" for name in NAMES]].to_numpy().tolist() == PROBABILITIES
    assert test["true_valence"].tolist()[:3] == [0.1, 0.9, 0.5] and test["valence"].tolist() == [0.2, 0.8, 0.5, 0.5]


def test_the_command_prints_classes_and_writes_a_table(run_folder, command_line, tmp_path):
    done = command_line("evaluate", run_folder(), "--predictions", tmp_path / "out" / "p.csv")
    assert done.code == 0, done.err
    line = next(line for line in done.out.splitlines() if line.startswith("test.categories.neutral"))
    assert line.endswith("precision 0.500, recall 1.000, F1 0.667")
    read = pd.read_csv(tmp_path / "out" / "p.csv", encoding="utf-8")
    assert read["key"].iat[4] == "é/1" and read["predicted"].iat[7] == "anger"
    assert read["truth"].isna().tolist() == [False, False, False, True] * 2
    assert read["p_neutral"].tolist()[:4] == pytest.approx([0.7, 0.2, 0.6, 0.1])


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_command_draws_the_confusion(run_folder, command_line, tmp_path, ending):
    picture = tmp_path / f"c.{ending}"
    done = command_line("evaluate", run_folder(), "--confusion", picture)
    assert done.code == 0 and done.err == ""
    assert picture.read_bytes()[:4] == {"png": b"\x89PNG", "svg": b"<?xm", "pdf": b"%PDF"}[ending]


def test_what_cannot_be_drawn(run_folder, command_line, tmp_path):
    done = command_line("evaluate", run_folder(), "--confusion", tmp_path / "c.gif")
    assert done.code == 1 and "c.gif" in done.err and done.out == ""
    dimensions = run_folder("model.heads=['dimensions']", "training.monitor=ccc")
    done = command_line("evaluate", dimensions, "--confusion", tmp_path / "c.png")
    assert done.code == 1 and "has no confusion to draw" in done.err


def test_a_run_without_predictions(run_folder):
    folder = run_folder()
    for path in folder.glob("*.parquet"):
        path.unlink()
    with pytest.raises(EmofuseError, match="no predictions"):
        predictions_of(folder)
