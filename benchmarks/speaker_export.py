"""Write the speaker encoder's ONNX file from the PyTorch weights of Resemblyzer.

    pip download Resemblyzer==0.1.4 --no-deps; unzip the wheel
    python benchmarks/speaker_export.py resemblyzer/pretrained.pt

The graph is put together node by node, so the file has the same bytes on every machine.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from emofuse.encoders.export import store_as_fp16
from emofuse.encoders.speaker import DIM, FRONT_END, SPEAKER_ENCODER
from emofuse.errors import EmofuseError
from emofuse.files import atomic, sha256

CHECKPOINT_SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
"""Of `resemblyzer/pretrained.pt` in Resemblyzer 0.1.4."""

LAYERS, HIDDEN = 3, 256


def load_checkpoint(path: Path | str) -> dict[str, np.ndarray]:
    """Read the weights of Resemblyzer by name.

    Raises:
        EmofuseError: the file is not `pretrained.pt` of Resemblyzer 0.1.4.
    """
    path = Path(path)
    if not path.is_file() or sha256(path) != CHECKPOINT_SHA256:
        raise EmofuseError(f"{path}: expected resemblyzer/pretrained.pt of Resemblyzer 0.1.4 ({CHECKPOINT_SHA256}).")
    state: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
    return {name: tensor.numpy() for name, tensor in state.items()}


def export_speaker_encoder(checkpoint: Path | str, path: Path | str = SPEAKER_ENCODER) -> str:
    """Write the ONNX file that `SpeakerEncoder` loads, its weights stored as fp16 (2.9 MB).

    The graph takes `mel`, float32 (partials, frames, 40), and gives `embedding`, float32 (partials, 256).

    Args:
        checkpoint: `resemblyzer/pretrained.pt`.
        path: the file to write.

    Returns:
        The SHA-256 of the file.

    Raises:
        EmofuseError: the checkpoint is another file, or `path` cannot be written.
    """
    weights = load_checkpoint(checkpoint)
    model = build_graph(weights)
    store_as_fp16(model.graph)
    with atomic(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))
    return sha256(Path(path))


def build_graph(weights: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """Build the network: LSTM layers, a linear layer on the last hidden state, ReLU, and scaling to length 1.

    Args:
        weights: `lstm.weight_ih_l0` and so on, with PyTorch's order of gates; `linear.weight`, `linear.bias`.
    """
    tensors: dict[str, np.ndarray] = {
        "linear.weight": weights["linear.weight"],
        "linear.bias": weights["linear.bias"],
        "first": np.array([0]),
        "direction": np.array([1]),
        "tiny": np.array(1e-9, np.float32),
        "last": np.array([1]),
    }
    nodes = [helper.make_node("Transpose", ["mel"], ["x0"], perm=[1, 0, 2])]  # (frames, partials, bands)
    for layer in range(LAYERS):
        names = [f"lstm{layer}.{part}" for part in ("W", "R", "B")]
        matrices = (_gates(weights[f"lstm.weight_{kind}_l{layer}"]) for kind in ("ih", "hh"))
        bias = np.concatenate([_gates(weights[f"lstm.bias_{kind}_l{layer}"]) for kind in ("ih", "hh")])
        tensors |= {name: part[None] for name, part in zip(names, (*matrices, bias), strict=True)}
        outputs = [f"y{layer}", f"hidden{layer}"]
        nodes += [
            helper.make_node("LSTM", [f"x{layer}", *names], outputs, hidden_size=HIDDEN),
            helper.make_node("Squeeze", [f"y{layer}", "direction"], [f"x{layer + 1}"]),
        ]
    nodes.pop()  # only the hidden state leaves the last layer
    nodes += [
        helper.make_node("Squeeze", [f"hidden{LAYERS - 1}", "first"], ["state"]),
        helper.make_node("Gemm", ["state", "linear.weight", "linear.bias"], ["projected"], transB=1),
        helper.make_node("Relu", ["projected"], ["positive"]),
        helper.make_node("ReduceL2", ["positive", "last"], ["norm"], keepdims=1),
        helper.make_node("Max", ["norm", "tiny"], ["length"]),
        helper.make_node("Div", ["positive", "length"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "ge2e",
        [helper.make_tensor_value_info("mel", TensorProto.FLOAT, ["partials", "frames", FRONT_END.n_mels])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["partials", DIM])],
        [numpy_helper.from_array(np.ascontiguousarray(tensor), name) for name, tensor in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _gates(values: np.ndarray) -> np.ndarray:
    """From PyTorch's order of gates (input, forget, cell, output) to that of ONNX (input, output, forget, cell)."""
    i, f, c, o = np.split(values, 4)
    return np.concatenate([i, o, f, c])


if __name__ == "__main__":
    print(export_speaker_encoder(sys.argv[1]))
