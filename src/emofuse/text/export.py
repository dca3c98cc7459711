"""A text encoder as ONNX, for prediction without PyTorch.

The packaged MiniLM was made by `python -m emofuse.text.export minilm FOLDER`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import onnx
import torch
from torch import nn

from emofuse.errors import EmofuseError
from emofuse.files import atomic, sha256, write_json
from emofuse.onnx_graph import store_as_int8, to_onnx
from emofuse.text.encoder import TextEncoder, load_text_encoder, pool
from emofuse.text.onnx import POOLINGS, OnnxTextEncoder

Weights = Literal["fp32", "int8"]

_PROBES = (
    "Yes.",
    "I did not expect to see you here again!",
    "The meeting was moved to Tuesday because of the strike. " * 8,
)
_MIN_COSINE = 0.999


class _Summary(nn.Module):
    """One text of any length to its summary embedding."""

    def __init__(self, encoder: TextEncoder):
        super().__init__()
        self.model = encoder.model
        self.inputs = encoder.inputs
        self.pooling = encoder.pooling

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        fields = dict(zip(self.inputs, values, strict=True))
        hidden = self.model(**fields).last_hidden_state  # (1, tokens, dim)
        return pool(hidden, fields["attention_mask"], self.pooling)  # (1, dim)


def export_text_encoder(encoder: TextEncoder, folder: Path | str, *, weights: Weights = "int8") -> float:
    """Write `model.onnx` (pooling included), `tokenizer.json` and `encoder.json`, for `OnnxTextEncoder(folder)`.

    Args:
        encoder: of the BERT family, with a fast tokenizer.
        folder: replaced if it is there; written whole or not at all.
        weights: how to store them; `int8` needs a third of the space. The arithmetic is fp32 with both, because ONNX
            Runtime decodes the weights once, when it loads them.

    Returns:
        The lowest cosine between both encoders on three texts, short to long.

    Raises:
        EmofuseError: the tokenizer has no `tokenizer.json` form, the cosine is below 0.999, or the folder
            cannot be written.
    """
    backend = getattr(encoder.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise EmofuseError(f"text encoder {encoder.name!r}: has no fast tokenizer, so it cannot be exported.")
    with atomic(folder) as temporary:
        temporary.mkdir()
        model = _to_onnx(encoder)
        if weights == "int8":
            store_as_int8(model.graph)
        onnx.save(model, temporary / "model.onnx")
        backend.save(str(temporary / "tokenizer.json"), pretty=False)
        about = {**encoder.identity, "max_tokens": encoder.max_tokens, "model_sha256": sha256(temporary / "model.onnx")}
        write_json(temporary / "encoder.json", about)
        cosine = _lowest_cosine(encoder.encode(_PROBES), OnnxTextEncoder(temporary).encode(_PROBES))
        if not cosine >= _MIN_COSINE:
            raise EmofuseError(
                f"text encoder {encoder.name!r}: the exported graph differs (cosine {cosine:.4f}, expected at least "
                f"{_MIN_COSINE}). "
                + ("Export fp32 weights." if weights == "int8" else "It may not export with this PyTorch.")
            )
    return cosine


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


def _lowest_cosine(first: np.ndarray, second: np.ndarray) -> float:
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return float(((first * second).sum(axis=1) / lengths).min())


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m emofuse.text.export", description="Export a text encoder to ONNX.")
    parser.add_argument("encoder", help="minilm, a folder, or a hub name")
    parser.add_argument("folder", type=Path, help="is replaced if it is there")
    parser.add_argument("--pooling", choices=POOLINGS, default="mean")
    parser.add_argument("--weights", choices=get_args(Weights), default="int8")
    options = parser.parse_args()
    try:
        encoder = load_text_encoder(options.encoder, options.pooling)
        cosine = export_text_encoder(encoder, options.folder, weights=options.weights)
    except EmofuseError as error:
        sys.exit(f"error: {error}")
    print(f"{options.folder}: cosine to the original at least {cosine:.5f}")


if __name__ == "__main__":
    _main()
