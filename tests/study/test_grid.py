from pathlib import Path

import pytest

from emofuse.errors import EmofuseError
from emofuse.study.grid import cells_of, folds_of, load_study, runs_of, study_facts

RECIPES = Path(__file__).parents[2] / "recipes"
SYSTEMS = {
    "audio_only": ["model.fusion=audio_only"],
    "text_only": ["model.fusion=text_only"],
    "late": ["model.fusion=late"],
    "late_weighted": ["model.fusion=late", "model.late_weight=dev"],
    "multistage": ["model.fusion=multistage"],
}
HEAD = f"""
name = "mine"
protocol = "What is compared."
tasks.toy.recipe = "{(RECIPES / "toy.toml").as_posix()}"
"""
SPLIT = "data.corpora.0.split={rule = 'k_fold', k = 3}"


@pytest.fixture
def write(tmp_path):
    """A study file: what every one has, and the given text."""

    def written(text: str, head: str = HEAD) -> Path:
        path = tmp_path / "study.toml"
        path.write_text(head + text)
        return path

    return written


def as_toml(systems) -> str:
    return "\n".join(f"systems.{name} = {changes}" for name, changes in systems.items())


def test_all_combinations_and_nothing_else(write, tmp_path):
    study = load_study(write(f'seeds = [4, 5]\ntasks.toy.set = ["{SPLIT}"]\n' + as_toml(SYSTEMS)))
    folds = folds_of(study, tmp_path)
    assert folds == {"toy": [0, 1, 2]} and study.reference == "audio_only"
    cells = cells_of(study, folds)
    there = [(cell.task, cell.system, cell.fold, cell.seed) for cell in cells]
    assert len(there) == len(set(there)) == 5 * 3 * 2
    for cell in cells:
        assert (cell.recipe.seed, cell.recipe.data.corpora[0].split.fold) == (cell.seed, cell.fold)
        assert cell.recipe.model.fusion == ("late" if cell.system.startswith("late") else cell.system)
    assert there[:5] == [("toy", system, 0, 4) for system in SYSTEMS], "the first fold of all systems comes first"


def test_tasks_may_have_different_folds(write, tmp_path):
    study = load_study(write(f'tasks.folded = {{ recipe = "{RECIPES}/toy.toml", set = ["{SPLIT}"] }}\nsystems.a = []'))
    folds = folds_of(study, tmp_path)
    assert folds == {"toy": [0], "folded": [0, 1, 2]}
    assert [(cell.task, cell.fold) for cell in cells_of(study, folds)] == [
        ("toy", 0),
        ("folded", 0),
        ("folded", 1),
        ("folded", 2),
    ]


def test_late_fusions_are_made_of_the_unimodal_cells(write):
    cells = cells_of(load_study(write(as_toml(SYSTEMS))), {"toy": [0]})
    hashes = {cell.system: cell.hash for cell in cells}
    for name in ("late", "late_weighted"):
        (late,) = [cell for cell in cells if cell.system == name]
        assert [part.hash for part in late.unimodal] == [hashes["audio_only"], hashes["text_only"]]
    runs = runs_of(cells)
    assert len(runs) == 5 == len(set(hashes.values()))
    assert {run.system for run in runs} == set(SYSTEMS), "a run has the name of its own cell"


def test_unimodal_models_that_are_no_cells_are_runs_too(write):
    cells = cells_of(load_study(write('systems.late = ["model.fusion=late"]')), {"toy": [0]})
    assert [run.system for run in runs_of(cells)] == ["late/audio_only", "late/text_only", "late"]


def test_cells_of_one_recipe_are_one_run(write):
    cells = cells_of(load_study(write('systems.a = []\nsystems.b = ["model.operator=shift"]')), {"toy": [0]})
    assert len(cells) == 2 and [run.system for run in runs_of(cells)] == ["a"]


def test_a_family_of_systems(write):
    study = load_study(
        write(
            '[systems.deep]\nset = ["model.dropout=0.5"]\n'
            'each = { "model.operator" = ["film", "gate"], "model.stages" = ["all", [2, 4]] }'
        )
    )
    assert list(study.systems) == ["deep-film-all", "deep-film-2+4", "deep-gate-all", "deep-gate-2+4"]
    model = study.recipes["toy", "deep-gate-2+4"].model
    assert (model.operator, model.stages, model.dropout) == ("gate", [2, 4], 0.5)


def test_some_of_the_tasks(write):
    """Their cells are those of the whole study, so that the others can follow in the same folder."""
    toy = f'{{ recipe = "{(RECIPES / "toy.toml").as_posix()}", set = ["training.epochs=2"] }}'
    path = write(f"tasks.short = {toy}\ntasks.third = {toy}\nsystems.a = []")
    whole, some = load_study(path), load_study(path, only=["third", "toy"])
    assert list(whole.tasks) == ["toy", "short", "third"] and list(some.tasks) == ["toy", "third"]
    cells = cells_of(some, {"toy": [0], "third": [0]})
    assert [cell.task for cell in cells] == ["toy", "third"]
    assert {cell.hash for cell in cells} <= {cell.hash for cell in cells_of(whole, {name: [0] for name in whole.tasks})}
    with pytest.raises(EmofuseError, match=r"study.toml .*'fourth'.* toy, short, third"):
        load_study(path, only=["toy", "fourth"])


@pytest.mark.parametrize("name", ["..", ".", ".runs", "a/b", ""])
def test_a_name_that_is_not_a_folder_of_its_own(write, name):
    with pytest.raises(EmofuseError, match=r"name: expected letters, digits.*it names a folder"):
        load_study(write("systems.a = []", head=HEAD.replace('"mine"', f'"{name}"')))


def test_the_quick_version(write):
    path = write(
        'seeds = [1, 2]\nsystems.a = ["training.epochs=9"]\n'
        '[quick]\nseeds = [7]\nfolds = [1]\nset = ["training.epochs=2"]'
    )
    full, quick = load_study(path), load_study(path, quick=True)
    assert (full.config.seeds, full.config.folds, full.recipes["toy", "a"].training.epochs) == ([1, 2], "all", 9)
    assert (quick.config.seeds, quick.config.folds, quick.recipes["toy", "a"].training.epochs) == ([7], [1], 2)
    assert [study_facts(study, {"toy": [0]})["quick"] for study in (full, quick)] == [False, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("systems.a = []\nnonsense = 1", "unknown key 'nonsense'"),
        ("systems.a = []\nreferense = 'a'", "unknown key 'referense'; did you mean `reference`"),
        ("systems.a.sett = []", "unknown key 'systems.a.sett'; did you mean `systems.a.set`"),
        ("systems.a.change = []\n[quik]\nseeds = [1]", "'quik'; did you mean `quick`"),
        ("systems.a = ['training.fusion=late']", "'training.fusion'; did you mean `model.fusion`"),
        ("seeds = [1]", "'systems' is missing"),
        ("systems.a = []\nseeds = []", "seeds"),
        ("systems.a = []\nseeds = [1, 2, 1]", "seeds: 1 "),
        ("systems.a = []\nfolds = [0, 0]", "folds: 0 "),
        ("systems.a = []\nfolds = []", "folds"),
        ("systems.a = []\nreference = 'b'", "reference: 'b' .* a\\."),
        ("systems.a = ['model.fusoin=late']", "tasks.toy with systems.a: .*unknown key 'model.fusoin'"),
        ("systems.a = ['model.fusion']", "systems.a: .*expected key=value"),
        ("systems.a = ['training.fit=all']", "fit = "),
        ("systems.a.each = { 'model.operator' = [] }", "systems.a.each"),
        ("systems.a = []\ntasks.no.recipe = 'no.toml'", "no.toml: cannot be read"),
        ("systems.x-film = []\nsystems.x.each = { 'model.operator' = ['film'] }", "'x-film'"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(write, text, message):
    path = write(text)
    with pytest.raises(EmofuseError, match=message) as error:
        load_study(path)
    assert str(error.value).startswith(str(path))


def test_a_fold_that_is_not_there(write, tmp_path):
    study = load_study(write(f'folds = [2, 3]\ntasks.toy.set = ["{SPLIT}"]\nsystems.a = []'))
    with pytest.raises(EmofuseError, match="task toy has no fold 3: its split has 3"):
        folds_of(study, tmp_path)


@pytest.mark.parametrize("path", sorted((RECIPES / "studies").glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_studies(path):
    full, quick = load_study(path), load_study(path, quick=True)
    assert full.config.name == path.stem and len(full.config.protocol.split()) >= 10
    folds = {name: [0, 1] for name in full.tasks}
    full_cells, quick_cells = cells_of(full, folds), cells_of(quick, folds)
    assert max(c.recipe.training.epochs for c in quick_cells) <= max(c.recipe.training.epochs for c in full_cells)
    assert len(runs_of(full_cells)) == len({cell.hash for cell in full_cells}), "every late fusion is made of cells"
