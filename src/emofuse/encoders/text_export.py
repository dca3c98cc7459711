"""Export a text encoder to ONNX: the `text_encoder/` of a bundle."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from emofuse.encoders.onnx_graph import lowest_cosine, store_as_int8, to_onnx
from emofuse.encoders.text import TextEncoder, load_text_encoder, pool
from emofuse.encoders.text_onnx import OnnxTextEncoder, require_text_encoder
from emofuse.encoders.weights import MINILM_SHA256
from emofuse.errors import EmofuseError
from emofuse.files import atomic, cache_dir, hash_of, sha256, write_json

_VERSION = 2  # of the exported files; raise it with every change, so that cached exports are not used
_LICENCE = Path(__file__).parent / "APACHE-2.0.txt"
_PROBES = (
    "Yes.",
    "I did not expect to see you here again!",
    "The meeting was moved to Tuesday because of the strike. " * 8,
)
_MIN_COSINE = 0.999


class _Summary(nn.Module):
    """Maps the tokens of one text to its summary embedding."""

    def __init__(self, encoder: TextEncoder):
        super().__init__()
        self.model = encoder.model
        self.inputs = encoder.inputs
        self.pooling = encoder.pooling

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        fields = dict(zip(self.inputs, values, strict=True))
        hidden = self.model(**fields).last_hidden_state  # (1, tokens, dim)
        return pool(hidden, fields["attention_mask"], self.pooling)  # (1, dim)


def exported_text_encoder(name: str, identity: Mapping[str, Any]) -> Path:
    """Export a text encoder, unless `cache_dir()` has its export already, and return the folder. Copy it.

    Args:
        name: as `load_text_encoder` takes it; not used if the encoder is in the cache.
        identity: `TextEncoder.identity` as stored with a trained model.

    Raises:
        EmofuseError: `name` is missing or another encoder, or as `export_text_encoder`.
    """
    made_of = [identity.get(key) for key in ("weights_hash", "pooling", "tokenizer_hash", "max_tokens")]
    key = hash_of([*made_of, _VERSION])[:16]
    folder = cache_dir() / "text-encoders" / key
    with suppress(EmofuseError):  # missing or damaged
        OnnxTextEncoder(folder)
        return folder
    encoder = load_text_encoder(name, identity["pooling"])
    require_text_encoder(encoder, identity, f"text encoder {name!r}")
    export_text_encoder(encoder, folder)
    return folder


def export_text_encoder(encoder: TextEncoder, folder: Path | str) -> float:
    """Write `model.onnx` (pooling included), `tokenizer.json` and `encoder.json`, for `OnnxTextEncoder(folder)`.

    `README.md` names the origin of the encoder; MiniLM and encoders fine-tuned from it get its `LICENSE`. Weights are
    stored as int8, a third of the space, or as fp32 if int8 changes the embeddings too much. The arithmetic is fp32
    with both, because ONNX Runtime decodes the weights when it loads them.

    Args:
        encoder: of the BERT family, with a fast tokenizer.
        folder: the folder to write, as a whole; an existing one is replaced.

    Returns:
        The lowest cosine between embeddings before and after export of three texts, from short to long.

    Raises:
        EmofuseError: the tokenizer has no `tokenizer.json` form, the cosine is below 0.999 with fp32 too, or the
            folder cannot be written.
    """
    backend = getattr(encoder.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise EmofuseError(f"text encoder {encoder.name!r} has no fast tokenizer, so it cannot be exported.")
    exact = _to_onnx(encoder)
    small = onnx.ModelProto()
    small.CopyFrom(exact)
    store_as_int8(small.graph)
    with atomic(folder) as temporary:
        temporary.mkdir()
        backend.save(str(temporary / "tokenizer.json"), pretty=False)
        expected = encoder.encode(_PROBES)
        for weights, model in (("int8", small), ("fp32", exact)):
            onnx.save(model, temporary / "model.onnx")
            facts = {
                "weights": weights,
                "model_sha256": sha256(temporary / "model.onnx"),
                "tokenizer_sha256": sha256(temporary / "tokenizer.json"),
            }
            write_json(temporary / "encoder.json", {**encoder.identity, **facts})
            cosine = lowest_cosine(expected, OnnxTextEncoder(temporary).encode(_PROBES))
            if cosine >= _MIN_COSINE:
                break
        else:
            raise EmofuseError(
                f"text encoder {encoder.name!r}: the exported graph gives other embeddings (cosine {cosine:.4f}, "
                f"expected at least {_MIN_COSINE}). Try another version of PyTorch."
            )
        (temporary / "README.md").write_text("\n".join(_about(encoder, weights)), encoding="utf-8")
        if MINILM_SHA256 in _ancestry(encoder):
            shutil.copyfile(_LICENCE, temporary / "LICENSE")
    return cosine


def _ancestry(encoder: TextEncoder) -> Iterator[str]:
    """Hashes of the weights, of the weights they were fine-tuned from, and so on."""
    yield encoder.weights_hash
    start = encoder.finetuning.get("start")
    while start:
        yield start["weights_hash"]
        start = start.get("start")


def _about(encoder: TextEncoder, weights: str) -> Iterator[str]:
    """Lines of README.md: origin and changes, as the Apache License requires."""
    yield f"# Text encoder {encoder.name}"
    yield ""
    if MINILM_SHA256 in _ancestry(encoder):
        yield "[sentence-transformers/all-MiniLM-L6-v2](https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2)"
        yield "(vocabulary of bert-base-uncased), Apache License 2.0, see `LICENSE` in this folder. Changed from it:"
    else:
        yield "Its licence is that of the original. Changed from it:"
    yield ""
    if encoder.finetuning:
        corpora = ", ".join(encoder.finetuning.get("corpora", [])) or "of unknown corpora"
        by = "`emofuse.training.text_finetune`"
        yield f"- The weights were fine-tuned on sentences with emotions ({corpora}) by {by}."
    pooling = "mean pooling over the tokens" if encoder.pooling == "mean" else "the state of the first token as output"
    yield f"- `model.onnx` holds the weights as an ONNX graph with {pooling} and without the pooler."
    if weights == "int8":
        yield "  Matrices are stored as int8 in blocks of 32 with an fp16 scale each, those of attention as fp16; the"
        yield "  graph computes in fp32."
    yield ""
    yield f"Made by `emofuse.encoders.text_export` from weights with SHA-256 {encoder.weights_hash}."
    yield ""


def _to_onnx(encoder: TextEncoder) -> onnx.ModelProto:
    tokens = {name: torch.zeros(1, 7, dtype=torch.int64) for name in encoder.inputs}
    tokens["input_ids"] += 1
    tokens["attention_mask"] += 1
    return to_onnx(
        _Summary(encoder),
        tuple(tokens[name] for name in encoder.inputs),
        inputs=encoder.inputs,
        outputs=["summary"],
        dynamic_shapes=(tuple({1: torch.export.Dim("tokens", min=2, max=encoder.max_tokens)} for _ in tokens),),
    )
