"""Recipes: read, changed with --set, refused with a message that names the key, written and read again."""

import json
import tomllib
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.config import Recipe, Section, dump_toml, load_recipe, parse_recipe
from emofuse.config_keys import keys_of, render_keys_page, render_keys_table
from emofuse.errors import EmofuseError

DEFAULTS = Path(__file__).with_name("recipe_defaults.json")
TOY = """
name = "toy"
protocol = "hold-out, speaker-disjoint"

[data]
corpora = [{ reader = "toy", root = "toy", split = { rule = "k_fold", k = 3, fold = 1 } }]

[model]
fusion = "single_stage"
stages = [2, 4]
heads = ["categories", "dimensions"]

[training]
epochs = 3
monitor = "mean"
loss_weights = [1.0, 0.5]
"""


@pytest.fixture
def toy(tmp_path):
    path = tmp_path / "toy.toml"
    path.write_text(TOY, encoding="utf-8")
    return path


def tree(**changes):
    return {"name": "a", "protocol": "b", "data": {"corpora": [{"reader": "toy", "root": "toy"}]}, **changes}


def test_values_and_defaults(toy):
    recipe = load_recipe(toy)
    assert recipe.model.fusion == "single_stage" and recipe.model.stages == [2, 4]
    assert recipe.data.corpora[0].split.fold == 1
    assert recipe.training.loss_weights == (1.0, 0.5)
    assert recipe.model.encoder == "cnn14" and recipe.training.batch_size == 32 and recipe.seed == 0


def test_keys_of_earlier_versions_are_passed_over_where_they_changed_nothing(toy):
    old = ["model.layer_dropout=0.0", "training.channels_last=true"]
    assert load_recipe(toy, old) == load_recipe(toy) and load_recipe(toy, old).hash == load_recipe(toy).hash


def test_recipe_does_not_change(toy):
    recipe = load_recipe(toy)
    with pytest.raises(ValueError, match="frozen"):
        recipe.seed = 1


def test_round_trip(toy, tmp_path):
    recipe = load_recipe(toy)
    (tmp_path / "again.toml").write_text(dump_toml(recipe), encoding="utf-8")
    again = load_recipe(tmp_path / "again.toml")
    assert again == recipe and again.hash == recipe.hash


@settings(max_examples=50, deadline=None)
@given(
    name=st.from_regex(r"\A[A-Za-z0-9_-][A-Za-z0-9._-]*\Z"),
    protocol=st.text(st.characters(codec="utf-8")),
    seed=st.integers(-(2**63), 2**63 - 1),
    rate=st.floats(1e-12, 1e6),
    stages=st.one_of(st.sampled_from(["all", "last"]), st.lists(st.integers(1, 6), min_size=1)),
    composed=st.booleans(),
)
def test_round_trip_of_any_values(name, protocol, seed, rate, stages, composed):
    data = tree()["data"]
    if composed:
        data["composed"] = {"audio": ["ravdess"], "text": ["meld"]}
    changes = {"model": {"stages": stages}, "training": {"learning_rate": rate}, "data": data}
    recipe = parse_recipe(tree(name=name, protocol=protocol, seed=seed, **changes), source="test")
    assert parse_recipe(tomllib.loads(dump_toml(recipe)), source="test") == recipe


@pytest.mark.parametrize(
    ("override", "place", "value"),
    [
        ("seed=7", "seed", 7),
        ("model.fusion=audio_only", "model.fusion", "audio_only"),
        ('model.fusion="audio_only"', "model.fusion", "audio_only"),
        ("model.stages=[1, 3]", "model.stages", [1, 3]),
        ("training.spec_augment=true", "training.spec_augment", True),
        ("training.learning_rate=1e-2", "training.learning_rate", 0.01),
        ("text.encoder=some/model=1", "text.encoder", "some/model=1"),
        ("text.encoder = some/model", "text.encoder", "some/model"),
        ("data.corpora.0.split.fold=2", "data.corpora.0.split.fold", 2),
    ],
)
def test_set(toy, override, place, value):
    recipe = load_recipe(toy, [override])
    found = recipe
    for part in place.split("."):
        found = found[int(part)] if part.isdigit() else getattr(found, part)
    assert found == value
    assert recipe.hash != load_recipe(toy).hash


def defaults_of(section=Recipe):
    """Default of each key that has one, in all tables of a recipe."""
    found = {}
    for name, field in section.model_fields.items():
        if not field.is_required() and not isinstance(field.default, Section):
            found[f"{section.__name__}.{name}"] = json.loads(json.dumps(field.default))
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, Section):
                found |= defaults_of(kind)
    return found


def test_a_hash_lasts_as_long_as_what_it_stands_for(toy):
    """Runs are known by the hash of their recipe: a new key must not change it, and no default must change."""
    known = json.loads(DEFAULTS.read_text())
    now = defaults_of()
    assert {key: now.get(key) for key in known} == known, "a default has changed: raise config._DEFAULTS, then write it"
    assert set(now) == set(known), f"new keys: add them to {DEFAULTS.name} {json.dumps(now)}"
    recipe = load_recipe(toy)
    spelled_out = load_recipe(toy, ["training.batch_size=32", "model.encoder=cnn14"])
    assert spelled_out.hash == recipe.hash != load_recipe(toy, ["training.batch_size=33"]).hash
    assert recipe.run_id == "aa10e2ad1e895d32", "runs that are finished would be trained again"


def test_where_a_run_is_trained_is_no_part_of_its_hash(toy):
    """And bf16, once the default, is the same run as saying nothing."""
    recipe = load_recipe(toy)
    for same in ("precision=auto", "precision=bf16", "accelerator=cpu", "workers=3"):
        assert load_recipe(toy, [f"training.{same}"]).hash == recipe.hash
    for other in ("precision=fp32", "devices=2"):
        assert load_recipe(toy, [f"training.{other}"]).hash != recipe.hash


def test_the_last_set_wins(toy):
    assert load_recipe(toy, ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.fusion", "expected key=value"),
        ("=3", "expected key=value"),
        ("data.corpora.5.root=x", "'data.corpora.5.root'"),
        ("data.corpora.first.root=x", "--set"),
        ("name.first=x", "--set"),
        ("model.fussion=late", "unknown key 'model.fussion'; did you mean `model.fusion`"),
        ("trainng.epochs=1", "unknown key 'trainng'; did you mean `training`"),
        ("training.fusion=late", "unknown key 'training.fusion'; did you mean `model.fusion`"),
        ("model.batchsize=1", "unknown key 'model.batchsize'; did you mean `training.batch_size`"),
        ("batch_size=1", "unknown key 'batch_size'; did you mean `training.batch_size`"),
        ("data.corpora.0.splt.k=3", "unknown key 'data.corpora.0.splt'; did you mean `data.corpora.0.split`"),
        ("data.split.k=3", "unknown key 'data.split'; did you mean `data.corpora.0.split`"),
        ("data.corpora.fold=1", "'data.corpora.fold'.* `data.corpora.0.split.fold`"),
        ("extra.key=1", "unknown key 'extra'"),
        ("model.fusion=early", "model.fusion: Input should be 'audio_only', 'text_only'"),
        ("training.epochs=many", "training.epochs: .* valid integer.*found 'many'"),
        ("training.epochs=0", "training.epochs: .*greater than or equal to 1"),
        ("training.epochs=2.5", "training.epochs: .*integer"),
        ("training.batch_size=[]", "training.batch_size"),
        ("model.heads=[]", "model.heads"),
        ("data.corpora=[]", "data.corpora"),
        ("name=a/b", r"name: expected letters, digits.*it names a folder \(found 'a/b'\)"),
        ("name=..", r"name: expected .*not '\.' at the start.*found '\.\.'"),
        ("name=.", "name: .*it names a folder"),
        ("name=.cache", "name: .*it names a folder"),
        ("training.gradient_clip=-1", "training.gradient_clip: .*greater than or equal to 0"),
        ("training.plateau_factor=0.5", '`plateau_factor` .*schedule = "plateau"'),
        ("training.plateau_patience=2", '`plateau_patience` .*schedule = "plateau"'),
        ('training={schedule = "plateau", plateau_factor = 1.0}', "training.plateau_factor: .*less than 1"),
    ],
)
def test_set_that_does_not_fit(toy, override, message):
    with pytest.raises(EmofuseError, match=message):
        load_recipe(toy, [override])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modle": {}}, "unknown key 'modle'; did you mean `model`"),
        ({"data": {}}, "key 'data.corpora' is missing"),
        ({"model": "cnn14"}, "model: .*found 'cnn14'"),
        ({"seed": None}, "seed: .*found None"),
        ({"training": {"monitor": "ccc"}}, "needs model.heads to have \\['dimensions'\\]"),
        ({"training": {"loss_weights": [1.0]}}, "loss_weights"),
    ],
)
def test_tree_that_does_not_fit(changes, message):
    with pytest.raises(EmofuseError, match=message) as caught:
        parse_recipe(tree(**changes), source="my.toml")
    assert str(caught.value).startswith("my.toml: ")


def test_every_wrong_key_is_named_at_once():
    with pytest.raises(EmofuseError, match=r"unknown key 'model\.two'") as caught:
        parse_recipe(tree(one=1, model={"two": 2}), source="my.toml")
    assert "unknown key 'one'" in str(caught.value)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"rule": "given"}, r"split: rule = .given. goes with `folds`"),
        ({"folds": "ravdess_emobox"}, "goes with `folds`"),
        ({"rule": "random"}, "rule"),
        ({"dev_share": 1.0}, "dev_share"),
        ({"rule": "k_fold", "dev_share": 0.3}, 'my.toml: .*`dev_share` goes with rule = "hold_out"'),
        ({"rule": "leave_one_out", "seed": 1}, '`seed` goes with rule = "k_fold" or "hold_out"'),
    ],
)
def test_split_that_does_not_fit(split, message):
    data = {"corpora": [{"reader": "toy", "root": "toy", "split": split}]}
    with pytest.raises(EmofuseError, match=message):
        parse_recipe(tree(data=data), source="my.toml")


def test_parts_that_weights_are_fitted_on():
    fitted = {
        fit: parse_recipe(tree(training={"fit": fit}), source="test").training.fitted_parts
        for fit in ("train", "train+dev", "all")
    }
    assert fitted == {"train": ("train",), "train+dev": ("train", "dev"), "all": ("train", "dev", "test")}
    assert parse_recipe(tree(), source="test").training.fit == "train"


def test_ladder_with_all_its_options(tmp_path):
    model = {"layers": [5, 2, 0], "ladder_dim": 64, "pooling": "mean_std", "input_dropout": 0.2}
    model |= {"discriminants": [[2, 5], [0]], "discriminant_weight": 0.5, "heads": ["categories", "dimensions"]}
    training = {"varied_copies": 2, "borrow_rooms": 0.8, "other_clips": [0, 0, 3]}
    data = tree()["data"] | {"speech_only": True}
    for encoder in ("ladder", "layer_mix"):
        recipe = parse_recipe(tree(data=data, model=model | {"encoder": encoder}, training=training), source="test")
        assert recipe.model.uses_hidden_states and recipe.model.layers == [5, 2, 0]  # their order is kept
        (tmp_path / "recipe.toml").write_text(dump_toml(recipe), encoding="utf-8")
        assert load_recipe(tmp_path / "recipe.toml") == recipe
    assert not parse_recipe(tree(), source="test").model.uses_hidden_states


LADDER, MIX, CNN = {"encoder": "ladder"}, {"encoder": "layer_mix"}, {"encoder": "cnn6"}


@pytest.mark.parametrize(
    ("model", "training", "message"),
    [
        (LADDER | {"layers": []}, {}, r"model\.layers: .*at least 1 item"),
        (LADDER | {"layers": [2, 3, 2]}, {}, r"`layers` = \[2, 3, 2\]: expected different numbers from 0"),
        (LADDER | {"layers": [-1, 2]}, {}, r"`layers` = \[-1, 2\]: expected different numbers from 0"),
        (LADDER | {"ladder_dim": 0}, {}, r"model\.ladder_dim: .*greater than or equal to 1"),
        (LADDER | {"fine_tune_layers": -1}, {}, r"model\.fine_tune_layers: .*greater than or equal to 0"),
        (LADDER | {"layers": [1, 3], "fine_tune_layers": 3}, {}, "highest of `layers` is 3; expected at most 2"),
        (MIX | {"layers": [0], "fine_tune_layers": 1}, {}, "the highest of `layers` is 0"),
        (CNN | {"fine_tune_layers": 1}, {}, '`fine_tune_layers` is for ladder and layer_mix, not for encoder = "cnn6"'),
        (LADDER, {"encoder_learning_rate": 0}, r"training\.encoder_learning_rate: .*greater than 0"),
        (LADDER | {"layer_dropout": 0.1}, {}, r"unknown key .model\.layer_dropout"),
        (LADDER | {"input_dropout": -0.1}, {}, r"model\.input_dropout: .*greater than or equal to 0"),
        (LADDER | {"pooling": "max"}, {}, r"model\.pooling: .*'mean_std'"),
        (LADDER | {"pretrained": "panns.pth"}, {}, '`pretrained` is for a CNN, not for encoder = "ladder"'),
        (LADDER, {"mixup": 0.2}, 'mixup are for CNNs, not for encoder = "ladder"'),
        (MIX, {"spec_augment": True}, 'spec_augment .* for CNNs, not for encoder = "layer_mix"'),
        (
            CNN,
            {"varied_copies": 1, "borrow_rooms": 0.5},
            r"training\.varied_copies .*encoder = ladder or layer",
        ),
        (CNN, {"other_clips": [1]}, r"training\.other_clips .*encoder = ladder or layer_mix"),
        (LADDER, {"varied_copies": 2}, "give both or neither"),
        (LADDER, {"borrow_rooms": 0.5}, "give both or neither"),
        (LADDER, {"other_clips": [3, -1]}, r"other_clips = \[3, -1\]: .*at least 0"),
        (LADDER, {"other_clips": [0.5]}, r"training\.other_clips\.0"),
        (CNN | {"discriminants": [[2]]}, {}, "`discriminants` are for ladder and layer_mix"),
        (
            LADDER | {"discriminants": [[2]], "heads": ["dimensions"]},
            {"monitor": "ccc"},
            '`discriminants` .* "categories" among the heads',
        ),
        (LADDER | {"discriminants": [[2]], "fine_tune_layers": 1}, {}, "leave out `fine_tune_layers`"),
        (LADDER | {"discriminants": [[2, 7], [0]]}, {}, r"`discriminants` name layers \[0, 7\], .*\[2, 3, 4, 5\]"),
        (LADDER | {"discriminants": [[2], []]}, {}, "`discriminants`: expected sets of at least one layer"),
        (LADDER | {"expected_dimensions": True}, {}, "`expected_dimensions` needs both heads"),
        (MIX | {"discriminants": [[2, 3, 2]]}, {}, "`discriminants`: .*each named once"),
        (LADDER | {"discriminant_weight": 0}, {}, r"model\.discriminant_weight: .*greater than 0"),
        (LADDER, {"fit": "train+dev", "patience": 3}, '`patience` .* fit = "train\\+dev"'),
        (CNN, {"fit": "all", "patience": 3}, '`patience` .* fit = "all"'),
        (CNN, {"fit": "dev"}, r"training\.fit: .*'train', 'train\+dev' or 'all'"),
    ],
)
def test_ladder_and_training_that_do_not_fit(model, training, message):
    with pytest.raises(EmofuseError, match=message):
        parse_recipe(tree(model=model, training=training), source="my.toml")


def test_cutting_clips_to_their_speech_is_for_hidden_states():
    data = tree()["data"] | {"speech_only": True}
    assert parse_recipe(tree(data=data, model=LADDER), source="test").data.speech_only
    with pytest.raises(EmofuseError, match=r"data\.speech_only .*encoder = ladder or layer_mix"):
        parse_recipe(tree(data=data, model=CNN), source="my.toml")


def test_runs_of_earlier_versions_load_without_their_shares_of_centred_and_swapped_speakers():
    old = tree(model=LADDER, training={"centre_speakers": 0.4, "swap_speakers": 0.3})
    assert parse_recipe(old, source="old.toml") == parse_recipe(tree(model=LADDER), source="new.toml")
    with pytest.raises(EmofuseError, match="centre_speakers"):
        parse_recipe(tree(model=LADDER, training={"centre_speakers": 0.2}), source="old.toml")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"merge": {"excited": "hapiness"}}, r"data\.labels: `merge` leads to hapiness, which `names` lacks.*out$"),
        ({"soft": True, "column": "original_emotion"}, r"data\.labels: `soft` goes with column = .emotion."),
    ],
)
def test_labels_that_do_not_fit(labels, message):
    data = {"corpora": [{"reader": "toy", "root": "toy"}], "labels": labels}
    with pytest.raises(EmofuseError, match=message):
        parse_recipe(tree(data=data), source="my.toml")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"name = ", "valid TOML"), (b"name = '\xff'", "valid TOML"), (None, "cannot be read")],
)
def test_file_that_is_no_recipe(tmp_path, content, message):
    path = tmp_path / "bad.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EmofuseError, match=rf"bad\.toml.*{message}"):
        load_recipe(path)


def test_shipped_recipes_are_valid(request):
    recipes = sorted((request.config.rootpath / "recipes").glob("*.toml"))
    if not recipes:
        pytest.skip("no recipes here")
    for path in recipes:
        assert load_recipe(path).name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_pairs": 4}, "`test_pairs` are for the other tasks"),
        ({"task": "agree"}, 'task = "agree" needs `dev_pairs` and `test_pairs`'),
        ({"task": "agree", "test_pairs": 4, "dev_pairs": 0}, 'task = "agree" needs `dev_pairs` and `test_pairs`'),
        ({"task": "clash", "test_pairs": 6}, "come in fours"),
        ({"task": "both", "test_pairs": 4}, "data.composed.task"),
    ],
)
def test_pairs_that_do_not_fit_the_composed_task(changes, message):
    data = tree()["data"] | {"composed": {"audio": ["ravdess"], "text": ["meld"], **changes}}
    with pytest.raises(EmofuseError, match=message):
        parse_recipe(tree(data=data), source="test")


def test_every_key_is_described():
    keys = keys_of(Recipe)
    assert {str(key) for key in keys} >= {
        "name",
        "data.corpora.N.split.fold",
        "data.composed.task",
        "training.patience",
    }
    assert [str(key) for key in keys if not (key.meaning.endswith(".") and len(key.meaning.split()) > 1)] == [
        "training"  # "Optimisation."
    ]
    assert all(key.type and (key.default or key.is_section) for key in keys)


def test_keys_with_type_and_default():
    keys = {str(key): key for key in keys_of(Recipe)}
    assert (keys["name"].type, keys["name"].default) == ("text", "required")
    assert (keys["text.languages"].type, keys["text.languages"].default) == ("list of texts", "not set")
    assert keys["training.momentum"].type == "number, at least 0, below 1"
    assert keys["model.stages"].type == "all, last or list of integers"
    assert keys["data.corpora.N.split.k"].type == "integer, at least 3"


def test_the_command_lists_all_keys(command_line):
    told = command_line("recipe", "--keys").out
    assert told == render_keys_table(Recipe) and all(str(key) in told for key in keys_of(Recipe) if not key.is_section)
    assert command_line("recipe", "--markdown").out == render_keys_page(Recipe)


def test_the_page_of_keys_is_up_to_date(request):
    page = request.config.rootpath / "docs" / "recipe.md"
    assert page.read_text(encoding="utf-8") == render_keys_page(Recipe), "write it anew: emofuse recipe --markdown"


TWO = [
    {"reader": "toy", "root": "a", "split": {"rule": "k_fold"}},
    {"reader": "nemo", "root": "b", "split": {"rule": "k_fold"}},
]
OFFICIAL = {"reader": "meld", "root": "c", "split": {"rule": "official"}}


def with_left_out(*names, **data):
    training = {"leave_out": names, "patience": 3}
    return parse_recipe(tree(data={"corpora": [*TWO, OFFICIAL], **data}, training=training), source="x")


def test_the_recipe_without_a_corpus():
    """The corpus tests, the other one trains as a whole, and a corpus without folds keeps its parts."""
    recipe = with_left_out("toy", "nemo")
    without = recipe.without_corpus("nemo")
    assert [one.split.all_rows for one in without.data.corpora] == ["train", "test", None]
    assert without.training.fit == "train+dev" and without.tests_whole_corpus and not recipe.tests_whole_corpus
    assert without.hash != recipe.without_corpus("toy").hash
    whole = recipe.with_all_speakers()
    assert [one.split.all_rows for one in whole.data.corpora] == ["train", "train", None]
    assert whole.training.fit == "train+dev" and not whole.tests_whole_corpus
    for changed in (without, recipe.with_all_speakers()):  # early stopping would need a part that is not trained on
        assert parse_recipe(tomllib.loads(dump_toml(changed)), source="x") == changed


def test_a_multilingual_encoder_does_not_change_the_hash():
    recipe = parse_recipe(tree(), source="x")
    text = recipe.text.model_copy(update={"multilingual": "runs/languages"})
    assert recipe.model_copy(update={"text": text}).hash == recipe.hash


def test_corpora_to_leave_out_do_not_change_the_hash():
    assert with_left_out("toy", "nemo").hash == with_left_out().hash


@pytest.mark.parametrize(
    ("names", "data", "part"),
    [
        (["toy", "ravdess"], {}, "ravdess"),
        (["toy", "meld"], {}, "meld"),
        (["toy"], {}, "two"),
        (["toy", "toy", "nemo"], {}, "once"),
        (
            ["toy", "nemo"],
            {"composed": {"task": "either", "audio": ["toy"], "text": ["meld"], "test_pairs": 10}},
            "either",
        ),
    ],
)
def test_corpora_that_cannot_be_left_out(names, data, part):
    with pytest.raises(EmofuseError, match=f"leave_out.*{part}"):
        with_left_out(*names, **data)
