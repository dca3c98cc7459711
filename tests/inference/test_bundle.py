import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from emofuse.encoders.multilingual import read_facts
from emofuse.errors import EmofuseError
from emofuse.files import read_json, write_json
from emofuse.inference import bundle as bundle_module
from emofuse.inference.bundle import FORMAT_VERSION, Bundle, BundleError, default_bundle
from emofuse.inference.predictor import Predictor
from emofuse.training.card import model_card
from emofuse.training.export import export_bundle, licence_of
from made_up.multilingual import write_encoder

EXAMPLE = Path(__file__).parents[2] / "examples" / "angry.flac"


@pytest.fixture
def copy(bundle_folder, tmp_path):
    return shutil.copytree(bundle_folder, tmp_path / "copy")


def test_load_gives_what_was_exported(bundle_folder, facts):
    bundle = Bundle.load(bundle_folder)
    assert bundle.labels == facts.labels and bundle.text_encoder == facts.text_encoder
    assert bundle.folder == bundle_folder and bundle.model_path.is_file() and len(bundle.model_sha256) == 64
    assert "folder" not in read_json(bundle_folder / "bundle.json")


def change(folder, **values):
    facts = read_json(folder / "bundle.json")
    write_json(folder / "bundle.json", {**facts, **values})


def test_wrong_hash(copy):
    with open(copy / "model.onnx", "r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x55")
    with pytest.raises(BundleError, match=r"model\.onnx.*hash"):
        Bundle.load(copy)


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_every_file_has_its_hash(bundle_folder):
    for folder in (bundle_folder, bundle_module.DEFAULT_FOLDER):
        listed = Bundle.load(folder).files
        assert listed == bundle_module.hash_files(folder)
        assert files_of(folder) - set(listed) == {"bundle.json", "README.md", "text_encoder/README.md"}


@pytest.mark.parametrize("name", ["adapter.npz", "speech_encoder.onnx", "text_encoder/tokenizer.json"])
@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_each_file_is_checked(tmp_path, name, damage):
    copy = shutil.copytree(bundle_module.DEFAULT_FOLDER, tmp_path / "copy")
    if damage == "missing":
        (copy / name).unlink()
    else:
        content = bytearray((copy / name).read_bytes())
        content[len(content) // 2] ^= 1
        (copy / name).write_bytes(content)
    message = {"changed": f"{re.escape(name)}.*hash", "missing": f"{re.escape(name)} is missing"}[damage]
    with pytest.raises(BundleError, match=message):
        Bundle.load(copy)


def test_a_file_without_a_hash_is_refused(copy):
    files = read_json(copy / "bundle.json")["files"]
    del files["text_encoder/tokenizer.json"]
    change(copy, files=files)
    with pytest.raises(BundleError, match=r"\['text_encoder/tokenizer\.json'\]"):
        Bundle.load(copy)


def test_readmes_may_be_edited(copy):
    (copy / "README.md").write_text("other words")
    (copy / "text_encoder" / "README.md").unlink()
    assert Bundle.load(copy).name == "small"


def test_a_bundle_without_hashes_of_all_files_is_checked_as_before(copy):
    facts = read_json(copy / "bundle.json")
    del facts["files"]
    write_json(copy / "bundle.json", facts)
    assert Bundle.load(copy).files == {}
    with open(copy / "model.onnx", "ab") as file:
        file.write(b"1")
    with pytest.raises(BundleError, match=r"model\.onnx.*hash"):
        Bundle.load(copy)


@pytest.mark.parametrize(("step", "message"), [(1, "newer"), (-1, "older")])
def test_other_formats(copy, step, message):
    change(copy, format_version=FORMAT_VERSION + step, something_new=1)
    with pytest.raises(BundleError, match=message):
        Bundle.load(copy)


@pytest.mark.parametrize("values", [{"labels": "neutral"}, {"text_encoder": None}, {"licence": 1}])
def test_wrong_type_names_the_key(copy, values):
    change(copy, **values)
    with pytest.raises(BundleError, match=next(iter(values))):
        Bundle.load(copy)


def test_missing_key_is_named(copy):
    facts = read_json(copy / "bundle.json")
    del facts["labels"]
    write_json(copy / "bundle.json", facts)
    with pytest.raises(BundleError, match="labels"):
        Bundle.load(copy)


def test_missing_model(copy):
    (copy / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx is missing"):
        Bundle.load(copy)


def test_missing_text_encoder(copy):
    shutil.rmtree(copy / "text_encoder")
    with pytest.raises(BundleError, match="text_encoder/ is missing"):
        Bundle.load(copy)
    change(copy, text_encoder={}, files={})  # a model that reads no text has none
    assert Bundle.load(copy).text_encoder == {}


def test_the_default_bundle_has_its_text_encoder():
    bundle = default_bundle()
    about = read_json(bundle.text_encoder_path / "encoder.json")
    assert {key: about[key] for key in bundle.text_encoder} == bundle.text_encoder
    assert "Apache License" in (bundle.text_encoder_path / "LICENSE").read_text()


@pytest.mark.parametrize("content", ["[]", "{}", '"a"', json.dumps({"format_version": "1"})])
def test_foreign_json_is_no_bundle(tmp_path, content):
    (tmp_path / "bundle.json").write_text(content)
    with pytest.raises(BundleError, match=r"bundle\.json"):
        Bundle.load(tmp_path)


@pytest.mark.parametrize("place", ["nowhere", "."])
def test_no_bundle(tmp_path, place):
    with pytest.raises(BundleError, match=r"bundle\.json"):
        Bundle.load(tmp_path / place)


def test_no_default_bundle(monkeypatch, tmp_path):
    monkeypatch.setattr(bundle_module, "DEFAULT_FOLDER", tmp_path / "absent")
    with pytest.raises(BundleError, match="--model"):
        default_bundle()


CALIBRATION = {
    "temperature": 1.5,
    "uncertain_below": 0.6,
    "level": 0.9,
    "ece_before": 0.1,
    "ece_after": 0.05,
    "coverage": 0.8,
    "risk": 0.3,
    "risk_kept": 0.2,
    "n": 40,
    "speakers": 4,
}
WIDTHS = {"audio": None, "text": [0.1, 0.2, 0.3]}


def test_card_says_the_facts(facts):
    from dataclasses import replace

    score = {"value": 0.5, "low": 0.4, "high": None, "n": 40, "speakers": 4}
    card = model_card(
        replace(
            facts,
            training_data=[
                {"name": "ravdess", "rows": 1430, "languages": ["en"]},
                {"name": "mine", "licence": "secret"},
            ],
            metrics={
                "dev": {
                    "categories": {"uar": score},
                    "by_corpus": {"ravdess": {"dimensions": {"valence": {"ccc": score}}}},
                }
            },
            notes=["composed pairs are synthetic"],
            calibration={kind: CALIBRATION | {"dimension_half_width": w} for kind, w in WIDTHS.items()},
        )
    )
    for part in (
        "| ravdess | 1430 | - | - | - | en | CC BY-NC-SA 4.0 |",
        "| mine | - | - | - | - | - | secret |",
        "| dev | all | UAR | 0.500 | 0.400 to - | 40 |",
        "| dev | ravdess | CCC valence | 0.500 |",
        "- composed pairs are synthetic",
        "somewhat too good",
        "| audio | 40 | 4 | 1.500 | 0.100 | 0.050 | 0.600 | 0.800 | 0.300 | 0.200 |",
        "- Dimensions from audio have no interval",
        "cover 90% of new ratings: arousal ± 0.10, valence ± 0.20, dominance ± 0.30.",
        "1.0 to 5.0 s",
        "Licence of the weights: MIT",
    ):
        assert part in card


def test_card_says_what_to_expect_on_new_corpora(facts):
    quality = {"n": 535, "ece": 0.08, "auroc": 0.7, "kept": 0.4, "wrong": 0.5, "wrong_of_kept": None, "final": {}}
    uar = {"categories": {"uar": {"value": 0.6, "low": 0.5, "high": 0.7, "n": 535, "speakers": 10}}}
    adapted = {"new-corpus-adapted-5": {"emodb": quality}}
    kinds = {"audio": {"new-corpus": {"emodb": quality, "nemo": quality}}, "audio_adapted": adapted}
    calibration = CALIBRATION | {"dimension_half_width": None}
    card = model_card(
        replace(
            facts,
            metrics={"new-corpus": {"by_corpus": {"emodb": uar, "nemo": uar}}, "new-corpus-adapted-5": uar},
            calibration={kind: calibration | {"by_corpus": by_corpus} for kind, by_corpus in kinds.items()},
        )
    )
    figures = "535 | 0.600 | 0.500 to 0.700 | 0.080 | 0.700 | 40% | 50% | - |"
    for start in ("a clip by itself | emodb", "a clip by itself | nemo", "adapted by 5 other clips | emodb"):
        assert f"| new corpora | {start} | {figures}" in card
    assert "| audio adapted | 40 |" in card
    assert "What to expect" not in model_card(facts)


def test_licence_of_unknown_corpora():
    assert licence_of([{"name": "mine"}]) == "as the training data allow"


@pytest.fixture(scope="module")
def multilingual(small_model, facts, text_encoder, tmp_path_factory):
    """`small_model`, exported with an encoder that reads German, and the folder of that encoder."""
    root = tmp_path_factory.mktemp("multilingual")
    encoder = write_encoder(
        root / "encoder", words={"de": {"gut": "good", "schlecht": "bad"}}, teacher=facts.text_encoder
    )
    read = read_facts(encoder)
    added = {"languages": read["languages"], "scores": read["scores"]}
    facts = replace(facts, text_languages=["en"], multilingual_encoder=added)
    return export_bundle(small_model, root / "out", facts, text_encoder=text_encoder, multilingual_encoder=encoder)


def test_a_bundle_reads_the_languages_of_its_multilingual_encoder(multilingual):
    bundle = Bundle.load(multilingual.folder)
    assert bundle.files == bundle_module.hash_files(bundle.folder)
    assert {f"multilingual_encoder/{name}" for name in ("encoder.json", "model.npz")} <= set(bundle.files)
    predict = Predictor(bundle, transcribe="off")
    german, english = (predict(text="Das ist gut!", language=language) for language in ("de", "en"))
    assert german[0].used == english[0].used == "text" and german[0].probabilities != english[0].probabilities
    [read] = predict(text="Gut, gut, schlecht!", language="de")
    assert read.uncertain and "calibrated" in read.note and not read.intervals
    assert not english[0].note
    with pytest.raises(EmofuseError, match="cannot use"):
        predict(text="To jest dobre!", language="pl")
    [spoken] = predict(EXAMPLE, "Das ist gut!", language="de")
    assert spoken.used == "audio" and "without a voice" in spoken.note
    assert "| de | 100 | 0.700 | 0.800 |" in model_card(bundle)
    assert predict(text="Das ist gut! " * 40, language="de").to_pandas()["text"].str.len().gt(0).all()


def test_the_multilingual_encoder_must_be_that_of_the_text_encoder(multilingual, tmp_path):
    copy = shutil.copytree(multilingual.folder, tmp_path / "copy")
    shutil.rmtree(copy / "multilingual_encoder")
    with pytest.raises(BundleError, match=r"multilingual_encoder/encoder\.json is missing"):
        Bundle.load(copy)
    write_encoder(copy / "multilingual_encoder", words={"de": {"gut": "good"}})
    change(copy, files=bundle_module.hash_files(copy))
    with pytest.raises(EmofuseError, match="imitates"):
        Predictor(Bundle.load(copy), transcribe="off")(text="Das ist gut!", language="de")


def test_an_older_bundle_has_no_multilingual_encoder(copy):
    facts = read_json(copy / "bundle.json")
    del facts["multilingual_encoder"]
    write_json(copy / "bundle.json", facts)
    assert Bundle.load(copy).multilingual_encoder == {}
