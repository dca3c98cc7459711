"""From a PyTorch module to an ONNX graph that says nothing of the machine it was made on, its weights stored small.

Small weights are decoded once, when ONNX Runtime loads the graph: the arithmetic stays fp32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from emofuse.quiet import quiet_onnx_export

BLOCK = 32
"""So many int8 weights share one scale."""

_Stored = tuple[dict[str, np.ndarray], list[onnx.NodeProto]]  # tensors by name, and the nodes that decode them


def to_onnx(
    module: nn.Module,
    examples: tuple[Tensor, ...],
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    dynamic_shapes: tuple[Any, ...],
) -> onnx.ModelProto:
    """Trace a module in evaluation mode.

    Args:
        module: takes `examples`.
        examples: one batch.
        inputs: names of the arguments.
        outputs: names of the results.
        dynamic_shapes: one entry an argument, as `torch.export.export` takes them, in a tuple for `forward(*values)`.
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
    assert program is not None  # only the older exporter returns nothing
    model = program.model_proto
    for node in model.graph.node:
        node.ClearField("metadata_props")  # stack traces, with the paths of this machine
    return model


def store_as_fp16(graph: onnx.GraphProto) -> None:
    """Store every large fp32 tensor of the graph as fp16, but for those whose values fp16 cannot hold."""
    _store(graph, lambda name, values: _as_fp16(name, values) if values.size >= 1024 else None)


def store_as_int8(graph: onnx.GraphProto) -> None:
    """Store the matrices as int8 in blocks with an fp16 scale each; square ones, positions, convolutions as fp16.

    Square are the projections of attention: in MiniLM 16 % of the weights, and half of the error if they were int8.
    Whisper's table of positions, which is sliced to the clip, is 4 % of its weights, and most of the largest errors.
    Blocks run along the inputs of a layer; along its outputs the error would be twice as large.
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


def _store(graph: onnx.GraphProto, way: Callable[[str, np.ndarray], _Stored | None]) -> None:
    """Replace each fp32 tensor by what `way` makes of it; None leaves it as it is."""
    decoding = []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or not (found := way(tensor.name, numpy_helper.to_array(tensor))):
            continue
        parts, nodes = found
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
    """A matrix as int8 times fp16: its `axis` is split in (blocks, BLOCK), and in (blocks, 1) for the scales."""
    rows, columns = values.shape
    blocks = values.reshape((-1, BLOCK, columns) if axis == 0 else (rows, -1, BLOCK))
    scales = (np.abs(blocks).max(axis=axis + 1, keepdims=True) / 127).astype(np.float16)
    divisors = np.where(scales > 0, scales, 1).astype(np.float32)  # a scale is 0 where a block is, or nearly
    return np.clip(np.round(blocks / divisors), -127, 127).astype(np.int8), scales
