"""ONNX Runtime sessions: every exported network is opened here."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from emofuse.errors import EmofuseError

# Where tensors can be in an ONNX model: by message the number of each field that holds one, or leads to one
# (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
_FIELDS: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # fields of a tensor
_FIXED_SIZES = {1: 8, 5: 4}  # bytes, by wire type


def open_session(path: Path, threads: int = 1) -> Any:
    """A session on the processor. It may be run by several threads at once.

    Args:
        path: the ONNX file.
        threads: that work on one call; they sleep while there is nothing to do.

    Raises:
        EmofuseError: ONNX Runtime cannot load the file, or the model would read its weights from other files.
    """
    import onnxruntime

    if _has_external_data(path):
        raise EmofuseError(
            f"{path}: this ONNX model reads weights from other files, which no hash covers. "
            "Export it again, with the weights inside."
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # a fifth less memory at the same speed
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads would cost CPU time
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no public base
        raise _unusable(path, error) from error


def _unusable(path: Path, reason: object) -> EmofuseError:
    return EmofuseError(f"{path}: no usable ONNX model ({reason}). Export it again.")


def _has_external_data(path: Path) -> bool:
    """Whether a tensor of an ONNX file lies in another file, told from the file's bytes without the package `onnx`.

    Raises:
        EmofuseError: the file cannot be read or is not in the wire format of Protocol Buffers.
    """
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _refers(data, "model", 0, len(data))
    except (OSError, ValueError, IndexError, RecursionError) as error:  # IndexError: it ends too early
        raise _unusable(path, error) from error


def _refers(data: mmap.mmap, message: str, start: int, end: int) -> bool:
    for field, value, place in _fields(data, start, end):
        if message == "tensor":
            if field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value):
                return True
        elif (inner := _FIELDS[message].get(field)) and _refers(data, inner, place, place + value):
            return True
    return False


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Each field of a message: its number, its value (of an embedded message or bytes: the length), where it begins."""
    at = start
    while at < end:
        tag, at = _varint(data, at)
        kind, value = tag & 7, 0
        if kind in (0, 2):
            value, at = _varint(data, at)
        begin = at
        at += value if kind == 2 else _FIXED_SIZES.get(kind, 0)
        if kind not in (0, 1, 2, 5) or tag >> 32 or at > end:
            raise ValueError(f"damaged at byte {begin}")
        yield tag >> 3, value, begin


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    """A number of up to ten bytes, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(f"damaged at byte {at}")
