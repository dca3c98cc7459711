"""ONNX Runtime sessions: every exported network is opened here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emofuse.errors import EmofuseError


def open_session(path: Path, threads: int | None = None) -> Any:
    """A session on the processor.

    Args:
        path: the ONNX file.
        threads: of the session; None leaves the choice to ONNX Runtime.

    Raises:
        EmofuseError: ONNX Runtime cannot load the file.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # a fifth less memory at the same speed
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no public base
        raise EmofuseError(f"{path}: no usable ONNX model ({error}). Export it again.") from error
