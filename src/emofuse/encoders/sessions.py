"""Open exported networks in ONNX Runtime."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from emofuse.errors import EmofuseError

# Where an ONNX model can hold tensors: for each message type, the numbers of the fields that contain or lead to one
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
    """Open a session on the processor. Several threads may run it at once.

    Args:
        path: the ONNX file.
        threads: number of threads for one call; idle threads sleep.

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
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # saves a fifth of the memory at the same speed
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # spinning threads would cost CPU time
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no public base class
        raise _unusable(path, error) from error


def _unusable(path: Path, reason: object) -> EmofuseError:
    return EmofuseError(f"{path}: not a usable ONNX model ({reason}). Export it again.")


def _has_external_data(path: Path) -> bool:
    """Return whether an ONNX file stores a tensor in another file. Parses the bytes, to do without the package `onnx`.

    Raises:
        EmofuseError: the file cannot be read or is not in the wire format of Protocol Buffers.
    """
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _refers(data, "model", 0, len(data))
    except (OSError, ValueError, IndexError, RecursionError) as error:  # IndexError: truncated
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
    """Yield the fields of a message: number, value (for embedded messages and bytes their length), and start."""
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
    """Read a variable-length integer (at most ten bytes); return it with the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(f"damaged at byte {at}")
