"""From a PyTorch module to an ONNX graph that says nothing of the machine it was made on."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import Any

import onnx
import torch
from torch import Tensor, nn


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
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on the exporter's own future
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
