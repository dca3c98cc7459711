import onnxruntime
import pytest
import torch

from emofuse.config import ModelConfig
from emofuse.errors import EmofuseError
from emofuse.inference import export
from emofuse.inference.bundle import Bundle
from emofuse.inference.export import Answers, check_parity, export_bundle
from emofuse.models.ser import build_model


def test_parity_over_batches_lengths_and_gaps(bundle_folder, small_model):
    """Also the alarm's own test: the same file beside another model."""
    path = bundle_folder / "model.onnx"
    assert check_parity(Answers(small_model), path, 384, tolerance=1e-3) < 1e-5
    torch.manual_seed(1)
    other = build_model(small_model.config, 4, 384).eval()
    with pytest.raises(EmofuseError, match="strays"):
        check_parity(Answers(other), path, 384, tolerance=1e-3)


def test_padding_and_batch_do_not_matter(bundle_folder):
    session = onnxruntime.InferenceSession(str(bundle_folder / "model.onnx"))
    generator = torch.Generator().manual_seed(3)
    mel, text = torch.randn(3, 120, 64, generator=generator), torch.randn(3, 384, generator=generator)
    lengths, yes = [120, 50, 11], torch.ones(3, dtype=torch.bool)
    feeds = {"log_mel": mel, "n_frames": torch.tensor(lengths), "text": text, "has_audio": yes, "has_text": yes}
    together = session.run(None, {name: value.numpy() for name, value in feeds.items()})
    for row, frames in enumerate(lengths):
        one = {name: value[row : row + 1] for name, value in feeds.items()}
        one["log_mel"] = one["log_mel"][:, :frames]
        alone = session.run(None, {name: value.numpy() for name, value in one.items()})
        for a, b in zip(alone, together, strict=True):
            assert abs(a[0] - b[row]).max() < 1e-5


def test_nothing_is_written_when_the_export_strays(monkeypatch, small_model, facts, tmp_path):
    monkeypatch.setattr(export, "_to_onnx", lambda answers, path, *_: path.write_bytes(b"x"))
    monkeypatch.setattr(export, "check_parity", lambda *_, **__: (_ for _ in ()).throw(EmofuseError("strays")))
    with pytest.raises(EmofuseError, match="strays"):
        export_bundle(small_model, tmp_path / "out", facts)
    assert list(tmp_path.iterdir()) == []


def test_export_leaves_foreign_folders_alone(small_model, facts, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(EmofuseError, match="no bundle"):
        export_bundle(small_model, tmp_path, facts)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_unknown_weights(small_model, facts, tmp_path):
    with pytest.raises(EmofuseError, match="fp32, fp16"):
        export_bundle(small_model, tmp_path / "out", facts, weights="int4")  # type: ignore[arg-type]


def test_fp16_is_half_the_size(bundle_folder, small_model, tmp_path):
    whole, half = bundle_folder / "model.onnx", tmp_path / "half.onnx"
    half.write_bytes(whole.read_bytes())
    export._store_as_fp16(half)
    weights = sum(p.numel() for p in small_model.parameters() if p.numel() >= 1024)
    assert whole.stat().st_size - half.stat().st_size > 0.95 * 2 * weights
    assert 0 < check_parity(Answers(small_model), half, 384, tolerance=export.TOLERANCE["fp16"]) < 0.01


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
def test_every_fusion_exports(fusion, encoder, heads, facts, tmp_path):
    from dataclasses import replace

    torch.manual_seed(0)
    model = build_model(ModelConfig(fusion=fusion, encoder=encoder, width=1 / 32, heads=heads), 4, 384).eval()
    own = replace(
        facts,
        labels=facts.labels if "categories" in heads else [],
        dimensions=facts.dimensions if "dimensions" in heads else [],
    )
    export_bundle(model, tmp_path / "out", own)
    assert Bundle.load(tmp_path / "out").labels == own.labels
