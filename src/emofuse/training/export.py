"""Export a trained model as a bundle of ONNX graphs, checked against PyTorch before anything is written."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from emofuse.audio import FrontEnd
from emofuse.config import Recipe
from emofuse.corpora import CORPORA
from emofuse.encoders.export import exported_text_encoder, store_as_fp16, to_onnx
from emofuse.encoders.multilingual import MultilingualEncoder, require_teacher
from emofuse.encoders.onnx import OnnxTextEncoder, open_session, require_text_encoder
from emofuse.errors import EmofuseError
from emofuse.files import atomic
from emofuse.inference.bundle import (
    ADAPTER_FILE,
    CARD_FILE,
    FACTS_FILE,
    MODEL_FILE,
    MULTILINGUAL_ENCODER_FOLDER,
    SPEECH_ENCODER_FILE,
    TEXT_ENCODER_FOLDER,
    Bundle,
    hash_files,
)
from emofuse.labels import DIMENSIONS
from emofuse.models.adapter import SpeakerAdapter
from emofuse.training.card import model_card
from emofuse.training.speakers import save_adapter_arrays

INPUTS = ("frames", "n_frames", "text", "has_audio", "has_text")
TOLERANCE = {
    "fp32": 1e-3,
    "fp16": 1e-2,
    "int8": 1e-2,
}  # largest difference from PyTorch in probabilities and dimensions
N_MELS = 64

Weights = Literal["fp32", "fp16", "int8"]


class Answers(nn.Module):
    """Wraps a model so that it returns a tuple of probabilities and dimensions, as the graph of a bundle does."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, frames: Tensor, n_frames: Tensor, text: Tensor, has_audio: Tensor, has_text: Tensor
    ) -> tuple[Tensor, ...]:
        """Probabilities (batch, categories) and dimensions (batch, 3), or the one of them that the model has."""
        outputs = self.model(frames, n_frames, text, has_audio, has_text)
        answers = (outputs["logits"].softmax(dim=1),) if "logits" in outputs else ()
        return (*answers, outputs["dimensions"]) if "dimensions" in outputs else answers


def export_run(run: Path | str, out: Path | str, *, weights: Weights = "fp32", licence: str | None = None) -> Bundle:
    """Export a finished run.

    Args:
        run: run folder.
        out: folder of the bundle; an existing bundle is replaced.
        weights: how the weights are stored; int8: the speech encoder as int8, the rest as fp16. The text encoder is
            always stored as int8, unless that changes its embeddings too much.
        licence: licence of the weights; None: derived from the licences of the training data.

    Raises:
        EmofuseError: the run is not finished, its text encoder is missing, the exported model differs from the trained
            one, or `out` cannot be written or holds something else.
    """
    from emofuse.training.run import load_run

    loaded = load_run(Path(run))
    recipe, text = loaded.recipe, loaded.text_encoder
    model = loaded.model
    languages = _languages(recipe, loaded.corpora) if text else []
    multilingual = _multilingual_facts(recipe, text, languages) if text else {}
    durations = [second for corpus in loaded.corpora for second in corpus.get("duration_range") or []]
    facts = Bundle(
        name=recipe.name,
        labels=loaded.labels if "categories" in recipe.model.heads else [],
        dimensions=list(DIMENSIONS) if "dimensions" in recipe.model.heads else [],
        reads=loaded.reads,
        reads_text_alone=bool(model.reads_text_without_audio),
        front_end=FrontEnd().to_dict(),
        speech_encoder=loaded.speech_encoder or {},
        adapter=loaded.adapter.facts() if loaded.adapter else {},
        calibration=loaded.calibration,
        text_encoder=text or {},
        text_languages=languages,
        multilingual_encoder=multilingual,
        duration_range=[min(durations), max(durations)] if durations else [],
        licence=licence or licence_of(loaded.corpora),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        training_data=loaded.corpora,
        metrics=loaded.metrics,
        notes=[*_notes(recipe), *loaded.metrics.get("notes", [])],
    )
    encoder = exported_text_encoder(recipe.text.encoder, text) if text else None
    return export_bundle(
        model,
        out,
        facts,
        weights=weights,
        adapter=loaded.adapter,
        text_encoder=encoder,
        multilingual_encoder=Path(recipe.text.multilingual) if recipe.text.multilingual and text else None,
    )


def export_bundle(
    model: nn.Module,
    folder: Path | str,
    facts: Bundle,
    *,
    weights: Weights = "fp32",
    adapter: SpeakerAdapter | None = None,
    text_encoder: Path | None = None,
    multilingual_encoder: Path | None = None,
) -> Bundle:
    """Export a model with the facts about it.

    Args:
        model: takes and returns what `SerModel.forward` does.
        folder: folder of the bundle; an existing bundle is replaced.
        facts: contents of `bundle.json`; hashes and weights are filled in here.
        weights: how the weights are stored; the arithmetic is always fp32.
        adapter: estimates the offset of a speaker.
        text_encoder: folder that `export_text_encoder` wrote, copied into the bundle; needed if the model reads text.
        multilingual_encoder: folder that `emofuse.training.distil_languages` wrote, copied into the bundle; needed if
            the facts name its languages.

    Raises:
        EmofuseError: the exported model differs from `model`, its text encoder is missing or another one, or `folder`
            cannot be written or holds something else.
    """
    folder = Path(folder)
    if weights not in TOLERANCE:
        raise EmofuseError(f"weights {weights!r}: expected one of {', '.join(TOLERANCE)}.")
    if folder.exists() and not (folder / FACTS_FILE).exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EmofuseError(f"{folder}: exists and is not a bundle. Choose another folder.")
    if facts.text_encoder:
        facts = replace(facts, text_encoder=_checked(text_encoder, facts))
    answers = Answers(model).eval().to("cpu", torch.float32)
    with atomic(folder) as temporary:
        temporary.mkdir()
        path = temporary / MODEL_FILE
        graph = _to_onnx(answers, facts)
        if weights != "fp32":
            store_as_fp16(graph.graph)
        onnx.save(graph, path)
        check_parity(answers, path, facts, tolerance=TOLERANCE[weights])
        if facts.speech_encoder:
            encoder = _export_speech_encoder(facts.speech_encoder, temporary / SPEECH_ENCODER_FILE, weights)
            facts = replace(facts, speech_encoder=encoder)
        if adapter is not None:
            save_adapter_arrays(adapter, temporary / ADAPTER_FILE)
        if facts.text_encoder and text_encoder:
            shutil.copytree(text_encoder, temporary / TEXT_ENCODER_FOLDER)
        if facts.multilingual_encoder and multilingual_encoder:
            shutil.copytree(multilingual_encoder, temporary / MULTILINGUAL_ENCODER_FOLDER)
        files = hash_files(temporary)
        bundle = replace(facts, model_sha256=files[MODEL_FILE], files=files, weights=weights, folder=folder)
        bundle.save(temporary)
        (temporary / CARD_FILE).write_text(model_card(bundle), encoding="utf-8")
    return bundle


def check_parity(model: nn.Module, path: Path, facts: Bundle, *, tolerance: float) -> float:
    """Compare an ONNX file with `model` (an `Answers`) over batch sizes, lengths and missing modalities.

    Returns:
        The largest absolute difference of an output.

    Raises:
        EmofuseError: the difference is above the tolerance.
    """
    session = open_session(path)
    names = {node.name for node in session.get_inputs()}
    worst = 0.0
    for batch in _example_batches(facts):
        with torch.inference_mode():
            expected = model(*batch)
        feeds = {name: value.numpy() for name, value in zip(INPUTS, batch, strict=True) if name in names}
        for actual, reference in zip(session.run(None, feeds), expected, strict=True):
            worst = max(worst, float(np.abs(actual - reference.numpy()).max()))
    if not worst <= tolerance:
        raise EmofuseError(
            f"The exported model differs from the trained one by {worst:.2g} (at most {tolerance:g} is allowed); "
            "nothing was written." + (" Export with fp32 weights." if tolerance > 1e-3 else " Please report this.")
        )
    return worst


def _sizes(facts: Bundle) -> tuple[int, int]:
    """The width of a frame and of a summary embedding."""
    encoder = facts.speech_encoder
    return len(encoder["layers"]) * encoder["dim"] if encoder else N_MELS, facts.text_encoder.get("dim", 1)


def _example_batches(facts: Bundle) -> Iterator[tuple[Tensor, ...]]:
    """Batches of clips of 0.1 s or longer, single and padded, with and without audio and text."""
    generator = torch.Generator().manual_seed(0)
    width, text_dim = _sizes(facts)
    scale, mean = (1, 0) if facts.speech_encoder else (12, -40)  # states, or dB
    for lengths in ([11], [301], [11, 64], [37, 150, 301, 11, 90], [700, 32]):
        batch, longest = len(lengths), max(lengths)
        frames = torch.randn(batch, longest, width, generator=generator) * scale + mean
        text = torch.randn(batch, text_dim, generator=generator) * 0.3
        for gaps in (False, True):
            rows = torch.arange(batch)
            has_audio = (rows % 3 != 1) | torch.tensor(not gaps)
            has_text = (rows % 3 != 0) | torch.tensor(not gaps)
            yield frames, torch.tensor(lengths), text, has_audio, has_text
    nothing = torch.zeros(1, dtype=torch.bool)
    yield frames[:1], torch.tensor([700]), text[:1], nothing, ~nothing


def _to_onnx(answers: Answers, facts: Bundle) -> onnx.ModelProto:
    width, text_dim = _sizes(facts)
    batch, frames = torch.export.Dim("batch"), torch.export.Dim("frames")
    examples = (
        torch.randn(2, 200, width),
        torch.tensor([200, 150]),
        torch.randn(2, text_dim),
        torch.tensor([True, False]),
        torch.tensor([False, True]),
    )
    outputs = ["probabilities"] * bool(facts.labels) + ["dimensions"] * bool(facts.dimensions)
    dynamic = ({0: batch, 1: frames}, {0: batch}, {0: batch}, {0: batch}, {0: batch})
    return to_onnx(answers, examples, inputs=INPUTS, outputs=outputs, dynamic_shapes=dynamic)


def _export_speech_encoder(identity: dict[str, Any], path: Path, weights: Weights) -> dict[str, Any]:
    from emofuse.encoders.export import export_speech_encoder
    from emofuse.encoders.speech import load_speech_encoder, require_speech_encoder

    encoder = load_speech_encoder(identity["name"])
    require_speech_encoder(encoder, identity, "the run")
    return export_speech_encoder(encoder, path, layers=identity["layers"], pool=identity["pool"], weights=weights)


def _checked(text_encoder: Path | None, facts: Bundle) -> dict[str, Any]:
    """The identity of an exported text encoder, with its name; a run may have recorded a path instead."""
    if text_encoder is None:
        raise EmofuseError(f"model {facts.name!r}: the model reads text. Give the folder of its exported text encoder.")
    encoder = OnnxTextEncoder(text_encoder)
    require_text_encoder(encoder, facts.text_encoder, f"model {facts.name!r}")
    return encoder.identity


def _languages(recipe: Recipe, corpora: list[dict[str, Any]]) -> list[str]:
    """The languages whose transcripts the model was trained on; for MiniLM only English, the language it knows."""
    if recipe.text.languages is not None:
        return list(recipe.text.languages)
    if recipe.text.encoder == "minilm":
        return ["en"]
    return sorted({language for corpus in corpora if corpus["with_text"] for language in corpus["languages"]})


def _multilingual_facts(recipe: Recipe, text_encoder: dict[str, Any], languages: list[str]) -> dict[str, Any]:
    """Facts of the multilingual encoder that the recipe names, for languages that the text encoder does not read."""
    if recipe.text.multilingual is None:
        return {}
    encoder = MultilingualEncoder(recipe.text.multilingual)
    require_teacher(encoder.facts, text_encoder, recipe.name)
    added = [language for language in encoder.languages if language not in languages]
    return {"languages": added, "scores": {language: encoder.facts["scores"][language] for language in added}}


def _notes(recipe: Recipe) -> list[str]:
    notes = [f"Protocol: {recipe.protocol}"]
    if recipe.data.labels.weak_dimensions:
        notes.append(
            "Arousal, valence and dominance of audio come from weak targets: prototypes of each category, not human "
            "ratings. Read them as a position among the categories."
        )
    if recipe.data.composed is not None:
        part = "Part" if recipe.data.composed.task == "mix" else "All"
        notes.append(
            f"{part} of the training pairs are composed: a real clip beside a real sentence that was not spoken in it. "
            "They are synthetic; the model cannot learn from them how voice and words go together in natural speech."
        )
    if recipe.model.fusion not in ("audio_only", "text_only", "late") and recipe.training.modality_dropout == 0:
        notes.append(
            "It was trained without modality dropout, so predictions from voice or words alone are less reliable."
        )
    return notes


def licence_of(corpora: list[dict[str, Any]]) -> str:
    """The licence of weights trained on these corpora, as far as the corpora are known.

    >>> licence_of([{"name": "ravdess"}, {"name": "meld"}])
    'CC BY-NC-SA 4.0 (non-commercial)'
    """
    licences = [CORPORA[corpus["name"]].about.licence for corpus in corpora if corpus["name"] in CORPORA]
    if any("-NC" in licence for licence in licences):
        return "CC BY-NC-SA 4.0 (non-commercial)"
    if any("research" in licence for licence in licences):
        return "for research only, as the licences of the training data say"
    return "as the training data allow"
