import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import onnx
import onnxruntime
import pytest
import torch

import emofuse
from emofuse.config import ModelConfig, parse_recipe
from emofuse.encoders.export import store_as_fp16
from emofuse.errors import EmofuseError
from emofuse.inference.bundle import Bundle
from emofuse.models.ser import build_model
from emofuse.training import export
from emofuse.training.export import Answers, check_parity, export_bundle
from emofuse.training.run import LoadedRun


def test_parity_over_batches_lengths_and_gaps(bundle_folder, small_model, facts):
    """Also the alarm's own test: the same file beside another model."""
    path = bundle_folder / "model.onnx"
    assert check_parity(Answers(small_model), path, facts, tolerance=1e-3) < 1e-5
    torch.manual_seed(1)
    other = build_model(small_model.config, 4, 384).eval()
    with pytest.raises(EmofuseError, match=r"differs|strays"):
        check_parity(Answers(other), path, facts, tolerance=1e-3)


def test_padding_and_batch_do_not_matter(bundle_folder):
    session = onnxruntime.InferenceSession(str(bundle_folder / "model.onnx"))
    generator = torch.Generator().manual_seed(3)
    mel, text = torch.randn(3, 120, 64, generator=generator), torch.randn(3, 384, generator=generator)
    lengths, yes = [120, 50, 11], torch.ones(3, dtype=torch.bool)
    feeds = {"frames": mel, "n_frames": torch.tensor(lengths), "text": text, "has_audio": yes, "has_text": yes}
    together = session.run(None, {name: value.numpy() for name, value in feeds.items()})
    for row, frames in enumerate(lengths):
        one = {name: value[row : row + 1] for name, value in feeds.items()}
        one["frames"] = one["frames"][:, :frames]
        alone = session.run(None, {name: value.numpy() for name, value in one.items()})
        for a, b in zip(alone, together, strict=True):
            assert abs(a[0] - b[row]).max() < 1e-5


def test_nothing_is_written_when_the_export_strays(monkeypatch, small_model, facts, text_encoder, tmp_path):
    monkeypatch.setattr(export, "_to_onnx", lambda *_: onnx.ModelProto())
    monkeypatch.setattr(export, "check_parity", lambda *_, **__: (_ for _ in ()).throw(EmofuseError("strays")))
    with pytest.raises(EmofuseError, match=r"differs|strays"):
        export_bundle(small_model, tmp_path / "out", facts, text_encoder=text_encoder)
    assert list(tmp_path.iterdir()) == []


def test_export_leaves_foreign_folders_alone(small_model, facts, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(EmofuseError, match="not a bundle"):
        export_bundle(small_model, tmp_path, facts)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_unknown_weights(small_model, facts, tmp_path):
    with pytest.raises(EmofuseError, match="fp32, fp16"):
        export_bundle(small_model, tmp_path / "out", facts, weights="int4")  # type: ignore[arg-type]


def test_fp16_is_half_the_size(bundle_folder, small_model, facts, tmp_path):
    whole, half = bundle_folder / "model.onnx", tmp_path / "half.onnx"
    model = onnx.load(whole)
    store_as_fp16(model.graph)
    onnx.save(model, half)
    weights = sum(p.numel() for p in small_model.parameters() if p.numel() >= 1024)
    assert whole.stat().st_size - half.stat().st_size > 0.95 * 2 * weights
    assert 0 < check_parity(Answers(small_model), half, facts, tolerance=export.TOLERANCE["fp16"]) < 0.01


def recipe_of(**sections):
    corpora = [{"reader": "toy", "root": "."}]
    return parse_recipe({"name": "r", "protocol": "p", "data": {"corpora": corpora}, **sections}, source="test")


@pytest.mark.parametrize(
    ("fusion", "text", "reads", "languages"),
    [
        ("audio_only", None, ["audio"], []),
        ("multistage", {"name": "minilm", "dim": 8}, ["audio", "text"], ["en"]),
        ("text_only", {"name": "some-bert", "dim": 8}, ["text"], ["de", "pl"]),
    ],
)
def test_a_run_gives_its_facts(monkeypatch, fusion, text, reads, languages):
    corpora = [
        {"name": "ravdess", "with_text": 9, "languages": ["pl", "de"], "duration_range": [1.0, 4.0]},
        {"name": "mine", "with_text": 0, "languages": ["fr"], "duration_range": None},
    ]
    run = LoadedRun(
        recipe=recipe_of(model={"fusion": fusion}, text={"encoder": text["name"] if text else "minilm"}),
        model=SimpleNamespace(reads_text_without_audio=False),
        labels=["anger"],
        speech_encoder=None,
        adapter=None,
        calibration={},
        text_encoder=text,
        metrics={"notes": ["12 rows left out"]},
        corpora=corpora,
    )
    monkeypatch.setattr("emofuse.training.run.load_run", lambda folder: run)
    monkeypatch.setattr(export, "export_bundle", lambda model, out, facts, **_: facts)
    monkeypatch.setattr(export, "exported_text_encoder", lambda name, identity: Path(name))
    facts = export.export_run("run", "out")
    assert (facts.reads, facts.text_languages, facts.duration_range) == (reads, languages, [1.0, 4.0])
    assert (facts.labels, facts.dimensions, facts.reads_text_alone) == (["anger"], [], False)
    assert "CC BY-NC-SA" in facts.licence and facts.notes[0] == "Protocol: p" and facts.notes[-1] == "12 rows left out"
    assert any("modality dropout" in note for note in facts.notes) == (fusion == "multistage")
    assert export.export_run("run", "out", licence="MIT").licence == "MIT"


def test_notes_say_what_is_synthetic():
    data = {"corpora": [{"reader": "toy", "root": "."}], "labels": {"weak_dimensions": True}}
    notes = " ".join(export._notes(recipe_of(data={**data, "composed": {"audio": ["a"], "text": ["b"]}})))
    assert "weak targets" in notes and "synthetic" in notes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fusion", "encoder", "heads"),
    [
        ("multistage", "cnn14", ["categories"]),
        ("multistage", "cnn10", ["dimensions"]),
        ("audio_only", "cnn6", ["categories"]),
        ("text_only", "cnn6", ["categories", "dimensions"]),
        ("late", "cnn6", ["categories", "dimensions"]),
        ("single_stage", "cnn6", ["categories"]),
        ("single_stage_additive", "cnn6", ["dimensions"]),
    ],
)
def test_every_fusion_exports(fusion, encoder, heads, facts, text_encoder, tmp_path):
    torch.manual_seed(0)
    model = build_model(ModelConfig(fusion=fusion, encoder=encoder, width=1 / 32, heads=heads), 4, 384).eval()
    own = replace(
        facts,
        labels=facts.labels if "categories" in heads else [],
        dimensions=facts.dimensions if "dimensions" in heads else [],
    )
    export_bundle(model, tmp_path / "out", own, text_encoder=text_encoder)
    assert Bundle.load(tmp_path / "out").labels == own.labels


def test_a_model_that_reads_text_needs_the_text_encoder_of_its_training(small_model, facts, text_encoder, tmp_path):
    with pytest.raises(EmofuseError, match="'small': the model reads text"):
        export_bundle(small_model, tmp_path / "out", facts)
    strange = replace(facts, text_encoder={**facts.text_encoder, "weights_hash": "0" * 64})
    with pytest.raises(EmofuseError, match="'small'"):
        export_bundle(small_model, tmp_path / "out", strange, text_encoder=text_encoder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_run_with_a_text_encoder_of_its_own(facts, tmp_path, monkeypatch):
    """From a folder in the style of transformers to a prediction that needs neither that folder nor transformers."""
    transformers = pytest.importorskip("transformers")
    from emofuse.encoders.text import load_text_encoder

    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path / "cache"))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "rain", "sun", "what", "a", "day"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    source = tmp_path / "bert"
    transformers.BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(source)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    transformers.BertModel(transformers.BertConfig(vocab_size=len(words), **size)).save_pretrained(source)
    identity = load_text_encoder(str(source)).identity
    run = LoadedRun(
        recipe=recipe_of(model={"fusion": "text_only"}, text={"encoder": str(source), "languages": ["en"]}),
        model=build_model(ModelConfig(fusion="text_only"), 4, identity["dim"]).eval(),
        labels=facts.labels,
        speech_encoder=None,
        adapter=None,
        calibration={},
        text_encoder={**identity, "name": str(source)},  # as runs kept it once
        metrics={},
        corpora=[],
    )
    monkeypatch.setattr("emofuse.training.run.load_run", lambda folder: run)
    first = export.export_run("run", tmp_path / "first")
    shutil.rmtree(source)
    second = export.export_run("run", tmp_path / "second")  # from the cache
    assert first.text_encoder == second.text_encoder == identity and identity["name"] == "bert"
    for bundle in (first, second):
        [rain], [sun] = (emofuse.load(bundle.folder)(text=text) for text in ("what a rain day", "sun"))
        assert rain.used == "text" and rain.probabilities != sun.probabilities
        texts = [path for path in bundle.folder.rglob("*") if path.suffix in (".json", ".md")]
        assert len(texts) == 5 and not any(str(tmp_path) in path.read_text() for path in texts)
