"""Weights stored small: what comes back when ONNX Runtime decodes them."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto
from torch import nn

from emofuse.encoders import export as onnx_graph
from emofuse.encoders.export import BLOCK, store_as_fp16, store_as_int8, to_onnx


class Small(nn.Module):
    """A convolution, a square matrix, an oblong one, a table of positions, and weights that fit no block."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(8, 64, 3, padding=1)
        self.square = nn.Linear(64, 64)
        self.oblong = nn.Linear(64, 96)
        self.odd = nn.Linear(96, 11)
        self.last = nn.Linear(11, 130)
        self.positions = nn.Embedding(50, 64)

    def forward(self, x):
        hidden = self.conv(x).transpose(1, 2)
        hidden = self.square(hidden + self.positions.weight[: hidden.shape[1]])
        return self.last(self.odd(self.oblong(hidden)))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Small().eval()


@pytest.fixture(scope="module")
def exported(model) -> bytes:
    shape = ({2: torch.export.Dim("steps", min=2, max=50)},)
    graph = to_onnx(model, (torch.zeros(1, 8, 20),), inputs=["x"], outputs=["y"], dynamic_shapes=shape)
    return graph.SerializeToString()


@pytest.fixture
def graph(exported):
    return onnx.load_from_string(exported)


def stored_types(graph) -> dict[tuple[int, ...], int]:
    return {tuple(tensor.dims): tensor.data_type for tensor in graph.graph.initializer}


def output(graph, x) -> np.ndarray:
    return onnxruntime.InferenceSession(graph.SerializeToString()).run(None, {"x": x})[0]


@pytest.mark.parametrize(("store", "tolerance"), [(store_as_fp16, 1e-3), (store_as_int8, 1e-2)])
def test_the_output_hardly_changes(model, graph, store, tolerance):
    x = np.random.default_rng(0).normal(size=(1, 8, 33)).astype(np.float32)
    with torch.inference_mode():
        expected = model(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(output(graph, x), expected, atol=1e-5)
    size = graph.ByteSize()
    store(graph.graph)
    assert graph.ByteSize() < 0.7 * size
    found = output(graph, x)
    assert 0 < np.abs(found - expected).max() < tolerance * np.abs(expected).max()


def test_what_is_stored_how(graph):
    store_as_int8(graph.graph)
    types = stored_types(graph)
    assert types[(64, 8, 3)] == types[(64, 64)] == types[(50, 64)] == TensorProto.FLOAT16
    assert types[(2, BLOCK, 96)] == types[(3, BLOCK, 11)] == TensorProto.INT8
    assert types[(2, 1, 96)] == TensorProto.FLOAT16
    assert types[(11, 130)] == TensorProto.FLOAT  # 11 inputs make no block


def test_values_beyond_fp16_stay(model, graph):
    for tensor in graph.graph.initializer:
        if tuple(tensor.dims) == (64, 64):
            tensor.raw_data = np.full((64, 64), 1e5, np.float32).tobytes()
    store_as_fp16(graph.graph)
    assert stored_types(graph)[(64, 64)] == TensorProto.FLOAT
    assert stored_types(graph)[(64, 8, 3)] == TensorProto.FLOAT16


@pytest.mark.parametrize("axis", [0, 1])
def test_int8_blocks(axis):
    rows = np.random.default_rng(0).normal(0, 0.05, (6, 2 * BLOCK)).astype(np.float32)
    rows[1], rows[2, 0] = 0, 3
    numbers, scales = onnx_graph._quantise(rows.T if axis == 0 else rows, axis)
    if axis == 0:
        numbers, scales = numbers.transpose(2, 0, 1), scales.transpose(2, 0, 1)
    assert numbers.shape == (6, 2, BLOCK) and scales.shape == (6, 2, 1) and not numbers[1].any()
    found = (numbers * scales.astype(np.float32)).reshape(rows.shape)
    assert (np.abs(found - rows) <= 0.55 * np.repeat(scales.reshape(6, 2), BLOCK, axis=1)).all()
