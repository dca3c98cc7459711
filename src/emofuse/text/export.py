"""A text encoder as ONNX, for prediction without PyTorch."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from emofuse.errors import EmofuseError
from emofuse.files import atomic, sha256, write_json
from emofuse.text.encoder import TextEncoder, pool
from emofuse.text.onnx import OnnxTextEncoder

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


def export_text_encoder(encoder: TextEncoder, folder: Path | str) -> float:
    """Write `model.onnx` (fp32, pooling included), `tokenizer.json` and `encoder.json`, for `OnnxTextEncoder(folder)`.

    Args:
        encoder: of the BERT family, with a fast tokenizer.
        folder: replaced if it is there; written whole or not at all.

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
        _export_graph(encoder, temporary / "model.onnx")
        backend.save(str(temporary / "tokenizer.json"))
        about = {**encoder.identity, "max_tokens": encoder.max_tokens, "model_sha256": sha256(temporary / "model.onnx")}
        write_json(temporary / "encoder.json", about)
        cosine = _lowest_cosine(encoder.encode(_PROBES), OnnxTextEncoder(temporary).encode(_PROBES))
        if cosine < _MIN_COSINE:
            raise EmofuseError(
                f"text encoder {encoder.name!r}: the exported graph differs (cosine {cosine:.4f}, expected at least "
                f"{_MIN_COSINE}). Its architecture may not export with this PyTorch."
            )
    return cosine


def _export_graph(encoder: TextEncoder, path: Path) -> None:
    tokens = {name: torch.zeros(1, 7, dtype=torch.int64) for name in encoder.inputs}
    tokens["input_ids"] += 1
    tokens["attention_mask"] += 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on the exporter's own future
        torch.onnx.export(
            _Summary(encoder).eval(),
            tuple(tokens[name] for name in encoder.inputs),
            str(path),
            input_names=list(encoder.inputs),
            output_names=["summary"],
            dynamic_shapes=(tuple({1: torch.export.Dim("tokens", min=2, max=encoder.max_tokens)} for _ in tokens),),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _lowest_cosine(first: np.ndarray, second: np.ndarray) -> float:
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return float(((first * second).sum(axis=1) / lengths).min())
