"""A frozen speech encoder as ONNX, without PyTorch: the states of the layers that a model hears, averaged over time."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from emofuse.audio import MIN_SECONDS, SAMPLE_RATE, WHISPER, WHISPER_SECONDS
from emofuse.encoders.onnx_graph import store_as_fp16, store_as_int8, to_onnx
from emofuse.encoders.speech import SpeechEncoder, layer_states, pool_time
from emofuse.encoders.speech_onnx import OnnxSpeechEncoder
from emofuse.errors import EmofuseError
from emofuse.files import atomic, sha256

Weights = Literal["fp32", "fp16", "int8"]

_MIN_COSINE = 0.999


class _PooledStates(nn.Module):
    """One clip to the chosen layers' states side by side, averaged over every `pool` steps."""

    def __init__(self, encoder: SpeechEncoder, layers: Sequence[int], pool: int):
        super().__init__()
        self.model = _cut(encoder, max(layers))
        self.layers = list(layers)
        self.pool = pool

    def forward(self, clip: Tensor) -> Tensor:
        states = layer_states(self.model, clip)
        side_by_side = torch.cat([states[layer] for layer in self.layers], dim=1)  # (steps, layers * dim)
        means = nn.functional.avg_pool1d(side_by_side.T[None], self.pool, ceil_mode=True)
        return means[0].T  # (ceil(steps / pool), layers * dim)


def export_speech_encoder(
    encoder: SpeechEncoder, path: Path | str, *, layers: Sequence[int], pool: int = 4, weights: Weights = "int8"
) -> dict[str, Any]:
    """Write an ONNX file for `OnnxSpeechEncoder`; layers above the highest one that is asked for are left out.

    The graph takes one clip, Whisper's log-Mel (80, frames) or samples (n,), and gives float32
    (ceil(steps / pool), len(layers) * dim), as `pool_time` averages.

    Args:
        encoder: any that `load_speech_encoder` gives.
        path: the file; replaced if it is there.
        layers: numbers of hidden states, 0 for the input of the first layer, in the order of the output.
        pool: this many steps are averaged to one.
        weights: how they are stored. The arithmetic is fp32 with all, because ONNX Runtime decodes the weights once,
            when it loads them.

    Returns:
        The facts that `OnnxSpeechEncoder` needs, ready for JSON: `name` and `weights_hash` of the encoder, `layers`,
        `pool`, `dim` of a layer, `rate` (states a second), `input` ("log_mel" or "samples"), `front_end` (empty for
        samples), `weights`, and `sha256` of the file.

    Raises:
        EmofuseError: the encoder has no such layer, PyTorch cannot export it, the exported graph differs from it, or
            the file cannot be written.
    """
    _check(encoder, layers, pool, weights)
    graph = _to_onnx(encoder, layers, pool)
    if weights == "int8":
        store_as_int8(graph.graph)
    elif weights == "fp16":
        store_as_fp16(graph.graph)
    with atomic(path) as temporary:
        onnx.save(graph, temporary)
        facts = {
            "name": encoder.name,
            "weights_hash": encoder.weights_hash,
            "layers": list(layers),
            "pool": pool,
            "dim": encoder.dim,
            "rate": encoder.rate / pool,
            "input": "log_mel" if encoder.reads_log_mel else "samples",
            "front_end": WHISPER.to_dict() if encoder.reads_log_mel else {},
            "weights": weights,
            "sha256": sha256(temporary),
        }
        cosine = _lowest_cosine(encoder, OnnxSpeechEncoder(temporary, facts), layers, pool)
        if not cosine >= _MIN_COSINE:
            raise EmofuseError(
                f"speech encoder {encoder.name!r}: the exported graph differs (cosine {cosine:.4f}, expected at least "
                f"{_MIN_COSINE}). "
                + ("It may not export with this PyTorch." if weights == "fp32" else "Export fp32 weights.")
            )
    return facts


def _check(encoder: SpeechEncoder, layers: Sequence[int], pool: int, weights: str) -> None:
    if not layers or len(set(layers)) < len(layers) or not all(0 <= layer < encoder.layers for layer in layers):
        raise EmofuseError(
            f"layers {list(layers)}: expected different numbers from 0 (the input of the first layer) to "
            f"{encoder.layers - 1}, which is what {encoder.name} has."
        )
    if pool < 1:
        raise EmofuseError(f"pool {pool}: expected 1 or more steps.")
    if weights not in get_args(Weights):
        raise EmofuseError(f"weights {weights!r}: expected one of {', '.join(get_args(Weights))}.")


def _cut(encoder: SpeechEncoder, highest: int) -> nn.Module:
    """A copy of the model that ends with the layer that makes hidden state `highest`."""
    model: Any = copy.deepcopy(encoder.model)
    blocks = model if encoder.reads_log_mel else model.encoder
    blocks.layers = blocks.layers[: max(highest, 1)]
    if encoder.reads_log_mel and highest < encoder.layers - 1:
        model.layer_norm = nn.Identity()  # only what leaves the whole encoder is normalised
    return model


def _to_onnx(encoder: SpeechEncoder, layers: Sequence[int], pool: int) -> onnx.ModelProto:
    if encoder.reads_log_mel:
        clip, axis, rate = torch.zeros(WHISPER.n_mels, 300), 1, SAMPLE_RATE // WHISPER.hop
    else:
        clip, axis, rate = torch.randn(3 * SAMPLE_RATE, generator=torch.Generator().manual_seed(0)), 0, SAMPLE_RATE
    length = torch.export.Dim("length", min=int(MIN_SECONDS * rate), max=int(WHISPER_SECONDS * rate))
    module = _PooledStates(encoder, layers, pool).eval()
    try:
        return to_onnx(module, (clip,), inputs=["clip"], outputs=["states"], dynamic_shapes=({axis: length},))
    except Exception as error:  # the exporter has many, most of them its own
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EmofuseError(
            f"speech encoder {encoder.name!r}: PyTorch {torch.__version__} cannot export it to ONNX ({reason})."
        ) from error


def _lowest_cosine(encoder: SpeechEncoder, exported: OnnxSpeechEncoder, layers: Sequence[int], pool: int) -> float:
    """The lowest cosine of a layer's state at any time, over three made-up clips, the shortest and two odd lengths."""
    rng = np.random.default_rng(0)
    lowest = 1.0
    for seconds in (MIN_SECONDS, 0.837, 3.3):
        n = int(seconds * SAMPLE_RATE)
        tone = 0.2 * np.sin(2 * np.pi * 180 * np.arange(n) / SAMPLE_RATE) * np.linspace(0, 1, n)
        samples = (tone + rng.normal(0, 0.01, n)).astype(np.float32)
        first = pool_time(encoder.hidden_states(samples)[list(layers)].numpy(), pool)  # (layers, steps, dim)
        found = exported.states(samples).reshape(first.shape[1], len(layers), -1).transpose(1, 0, 2)
        lengths = np.linalg.norm(first, axis=2) * np.linalg.norm(found, axis=2)
        lowest = min(lowest, float(((first * found).sum(axis=2) / lengths).min()))
    return lowest
