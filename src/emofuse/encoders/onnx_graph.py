"""Export PyTorch modules to ONNX graphs without traces of this machine, and store their weights as fp16 or int8.

ONNX Runtime decodes such weights when it loads the graph; the arithmetic stays fp32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from emofuse.console import quiet_onnx_export

BLOCK = 32
"""Number of int8 weights that share a scale."""

_Stored = tuple[dict[str, np.ndarray], list[onnx.NodeProto]]  # tensors by name, and nodes that decode them


def to_onnx(
    module: nn.Module,
    examples: tuple[Tensor, ...],
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    dynamic_shapes: tuple[Any, ...],
) -> onnx.ModelProto:
    """Export a module in evaluation mode.

    Args:
        module: the module.
        examples: arguments of its forward.
        inputs: names of the arguments.
        outputs: names of the results.
        dynamic_shapes: one entry per argument, as `torch.export.export` takes them, in a tuple for `forward(*values)`.
    """
    with quiet_onnx_export():
        program = torch.onnx.export(
            module.eval(),
            examples,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=dynamic_shapes,
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # only the old exporter returns None
    model = program.model_proto
    for node in model.graph.node:
        node.ClearField("metadata_props")  # stack traces with paths of this machine
    return model


def store_as_fp16(graph: onnx.GraphProto) -> None:
    """Store every large fp32 tensor of the graph as fp16, except those with values beyond fp16's range."""
    _store(graph, lambda name, values: _as_fp16(name, values) if values.size >= 1024 else None)


def store_as_int8(graph: onnx.GraphProto) -> None:
    """Store matrices as int8 in blocks with an fp16 scale each; square matrices, positions and convolutions as fp16.

    Square matrices are the projections of attention: 16 % of the weights in MiniLM, but half of the error if stored as
    int8. Whisper's positional encodings, which are sliced to the clip, are 4 % of its weights and cause most of the
    largest errors. Blocks run along the inputs of a layer; along its outputs the error would be twice as large.
    """
    layers = {node.input[1] for node in graph.node if node.op_type == "MatMul"}  # (inputs, outputs)
    sliced = {node.input[0] for node in graph.node if node.op_type == "Slice"}

    def stored(name: str, values: np.ndarray) -> _Stored | None:
        if values.size < 1024 or values.ndim not in (2, 3):
            return None
        if values.ndim == 3 or values.shape[0] == values.shape[1] or name in sliced:
            return _as_fp16(name, values)
        axis = 0 if name in layers else 1
        return _as_int8(name, values, axis=axis) if values.shape[axis] % BLOCK == 0 else None

    _store(graph, stored)


def lowest_cosine(first: np.ndarray, second: np.ndarray) -> float:
    """The lowest cosine between vectors of two arrays (..., dim)."""
    norms = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    return float(((first * second).sum(axis=-1) / norms).min())


def _store(graph: onnx.GraphProto, encode: Callable[[str, np.ndarray], _Stored | None]) -> None:
    """Replace fp32 tensors by what `encode` returns for their name and values; None leaves a tensor as it is."""
    decoding = []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT:
            continue
        encoded = encode(tensor.name, numpy_helper.to_array(tensor))
        if encoded is None:
            continue
        parts, nodes = encoded
        graph.initializer.remove(tensor)
        graph.initializer.extend(numpy_helper.from_array(part, key) for key, part in parts.items())
        decoding += nodes
    nodes = [*decoding, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _as_fp16(name: str, values: np.ndarray) -> _Stored | None:
    if np.abs(values).max() > np.finfo(np.float16).max:
        return None
    stored = {f"{name}.fp16": values.astype(np.float16)}
    return stored, [helper.make_node("Cast", list(stored), [name], to=TensorProto.FLOAT)]


def _as_int8(name: str, values: np.ndarray, *, axis: int) -> _Stored:
    names = [f"{name}.{part}" for part in ("int8", "scales", "shape")]
    stored = dict(zip(names, [*_quantise(values, axis), np.array(values.shape)], strict=True))
    numbers, scales, shape = names
    return stored, [
        helper.make_node("Cast", [numbers], [f"{numbers}.fp32"], to=TensorProto.FLOAT),
        helper.make_node("Cast", [scales], [f"{scales}.fp32"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{numbers}.fp32", f"{scales}.fp32"], [f"{name}.blocks"]),
        helper.make_node("Reshape", [f"{name}.blocks", shape], [name]),
    ]


def _quantise(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Quantise a matrix to int8 values and fp16 scales, with `axis` split into (blocks, BLOCK) and (blocks, 1)."""
    rows, columns = values.shape
    blocks = values.reshape((-1, BLOCK, columns) if axis == 0 else (rows, -1, BLOCK))
    scales = (np.abs(blocks).max(axis=axis + 1, keepdims=True) / 127).astype(np.float16)
    divisors = np.where(scales > 0, scales, 1).astype(np.float32)  # scales of blocks that are (nearly) zero are 0
    return np.clip(np.round(blocks / divisors), -127, 127).astype(np.int8), scales
