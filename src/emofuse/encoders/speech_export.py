"""Export a frozen speech encoder to ONNX: hidden states of chosen layers, averaged over short stretches of time."""

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
from emofuse.encoders.onnx_graph import lowest_cosine, store_as_fp16, store_as_int8, to_onnx
from emofuse.encoders.speech import SpeechEncoder, layer_states, pool_time
from emofuse.encoders.speech_onnx import OnnxSpeechEncoder
from emofuse.errors import EmofuseError
from emofuse.files import atomic, sha256

Weights = Literal["fp32", "fp16", "int8"]

_MIN_COSINE = 0.999


class _PooledStates(nn.Module):
    """Maps one clip to the concatenated hidden states of some layers, averaged over every `pool` steps."""

    def __init__(self, encoder: SpeechEncoder, layers: Sequence[int], pool: int):
        super().__init__()
        self.model = _cut(encoder, max(layers))
        self.layers = list(layers)
        self.pool = pool

    def forward(self, clip: Tensor) -> Tensor:
        states = layer_states(self.model, clip)
        chosen = torch.cat([states[layer] for layer in self.layers], dim=1)  # (steps, layers * dim)
        means = nn.functional.avg_pool1d(chosen.T[None], self.pool, ceil_mode=True)
        return means[0].T  # (ceil(steps / pool), layers * dim)


def export_speech_encoder(
    encoder: SpeechEncoder, path: Path | str, *, layers: Sequence[int], pool: int = 4, weights: Weights = "int8"
) -> dict[str, Any]:
    """Write an ONNX file for `OnnxSpeechEncoder`, without the layers above the highest one in `layers`.

    The graph takes one clip, Whisper's log-Mel (80, frames) or samples (n,), and returns float32
    (ceil(steps / pool), len(layers) * dim), averaged as by `pool_time`.

    Args:
        encoder: as `load_speech_encoder` returns it.
        path: the file to write; an existing one is replaced.
        layers: numbers of layers, 0 for the input of the first, in the order of the output.
        pool: number of steps that are averaged to one.
        weights: how weights are stored. The arithmetic is fp32 in any case, because ONNX Runtime decodes the weights
            when it loads them.

    Returns:
        The facts that `OnnxSpeechEncoder` needs, ready for JSON: `name` and `weights_hash` of the encoder, `layers`,
        `pool`, `dim` of a layer, `rate` (states per second), `input` ("log_mel" or "samples"), `front_end` (empty for
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
                f"speech encoder {encoder.name!r}: the exported graph gives other hidden states (cosine {cosine:.4f}, "
                f"expected at least {_MIN_COSINE}). "
                + ("Try another version of PyTorch." if weights == "fp32" else "Export fp32 weights.")
            )
    return facts


def _check(encoder: SpeechEncoder, layers: Sequence[int], pool: int, weights: str) -> None:
    if not layers or len(set(layers)) < len(layers) or not all(0 <= layer < encoder.layers for layer in layers):
        raise EmofuseError(
            f"layers {list(layers)}: expected different numbers from 0 (the input of the first layer) to "
            f"{encoder.layers - 1}, the last layer of {encoder.name}."
        )
    if pool < 1:
        raise EmofuseError(f"pool {pool}: expected 1 or more steps.")
    if weights not in get_args(Weights):
        raise EmofuseError(f"weights {weights!r}: expected one of {', '.join(get_args(Weights))}.")


def _cut(encoder: SpeechEncoder, highest: int) -> nn.Module:
    """Copy the model without the layers above `highest`."""
    model: Any = copy.deepcopy(encoder.model)
    blocks = model if encoder.reads_log_mel else model.encoder
    blocks.layers = blocks.layers[: max(highest, 1)]
    if encoder.reads_log_mel and highest < encoder.layers - 1:
        model.layer_norm = nn.Identity()  # only the output of the last layer is normalised
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
    except Exception as error:  # the exporter raises many kinds
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EmofuseError(
            f"speech encoder {encoder.name!r}: PyTorch {torch.__version__} cannot export it to ONNX ({reason})."
        ) from error


def _lowest_cosine(encoder: SpeechEncoder, exported: OnnxSpeechEncoder, layers: Sequence[int], pool: int) -> float:
    """The lowest cosine between hidden states of encoder and export, over layers and steps of three synthetic clips."""
    rng = np.random.default_rng(0)
    lowest = 1.0
    for seconds in (MIN_SECONDS, 0.837, 3.3):
        n = int(seconds * SAMPLE_RATE)
        tone = 0.2 * np.sin(2 * np.pi * 180 * np.arange(n) / SAMPLE_RATE) * np.linspace(0, 1, n)
        samples = (tone + rng.normal(0, 0.01, n)).astype(np.float32)
        expected = pool_time(encoder.hidden_states(samples)[list(layers)].numpy(), pool)  # (layers, steps, dim)
        states = exported.states(samples).reshape(expected.shape[1], len(layers), -1).transpose(1, 0, 2)
        lowest = min(lowest, lowest_cosine(expected, states))
    return lowest
