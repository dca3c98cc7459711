"""Processor and GPU of this machine, the right precision for them, threads, and clusters."""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from emofuse.errors import EmofuseError

if TYPE_CHECKING:
    import torch

Precision = Literal["bf16", "fp32"]

_BF16 = ("avx512_bf16", "amx_bf16", "svebf16")
_NOTED = (*_BF16, "avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "sve")
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Processor:
    """A processor."""

    name: str  # the maker's, such as "Intel(R) Xeon(R) Processor"
    instruction_sets: tuple[str, ...]  # those that matter for speed, by Linux names such as "avx2"; empty if unknown

    @property
    def has_bf16(self) -> bool:
        """Whether it has bfloat16 instructions, without which bf16 is many times slower than fp32."""
        return any(name in self.instruction_sets for name in _BF16)

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(self.instruction_sets) or 'instruction sets unknown'})"


@cache
def processor() -> Processor:
    """The processor of this machine."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return Processor(_name_without_cpuinfo(), ())
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = facts.get("flags", facts.get("Features", "")).split()  # on x86 and on ARM
    return Processor(facts.get("model name") or platform.machine(), tuple(sorted(set(flags) & set(_NOTED))))


def choose_device(accelerator: str) -> torch.device:
    """Choose the device for a recipe's `training.accelerator` on this machine.

    Args:
        accelerator: "cpu"; "gpu" of NVIDIA, AMD or Apple; or "auto", a GPU of NVIDIA or AMD if there is one.

    Raises:
        EmofuseError: a GPU is requested, but PyTorch finds none.
    """
    import torch

    if accelerator == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if accelerator == "auto":
        return torch.device("cpu")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    raise EmofuseError(
        'training.accelerator = "gpu", but PyTorch finds no GPU on this machine. Install a build of PyTorch that '
        "supports the GPU, or train on the processor: --set training.accelerator=cpu."
    )


def choose_precision(device: torch.device) -> Precision:
    """Choose bf16 if the device has instructions for it, otherwise fp32."""
    import torch

    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if device.type == "cpu" and processor().has_bf16 else "fp32"


def describe_device(device: torch.device) -> str:
    """Describe the device for people."""
    import torch

    if device.type == "cuda":
        return f"the GPU ({torch.cuda.get_device_name(device)})"
    return f"the GPU ({device.type})" if device.type != "cpu" else f"the processor, {processor()}"


@contextmanager
def full_precision() -> Iterator[None]:
    """Disable TF32, NVIDIA's default for convolutions, which has only ten bits of mantissa."""
    import torch

    with torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False):
        yield


def hardware_facts(device: torch.device) -> dict[str, Any]:
    """Facts about processor, threads and GPU (if that is the device), ready for JSON."""
    import torch

    facts: dict[str, Any] = {
        "machine": platform.machine(),
        "processor": processor().name,
        "instruction_sets": list(processor().instruction_sets),
        "threads": torch.get_num_threads(),
        "device": device.type,
    }
    if device.type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(device)
        facts["gpu_memory_gib"] = round(torch.cuda.get_device_properties(device).total_memory / 2**30, 1)
    return facts


def _name_without_cpuinfo() -> str:
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.strip()
    return platform.processor() or platform.machine() or "unknown processor"


def release_memory() -> None:
    """Give memory that has been freed back to the system, where the C library can (glibc).

    Large arrays of changing size leave gaps in the heap, so that a process that works for hours would seem to grow.
    """
    trim = getattr(_c_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)


@cache
def _c_library() -> Any:
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):  # Windows
        return None


Item = TypeVar("Item")
Result = TypeVar("Result")


def available_cores() -> int:
    """Number of processor cores that this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class locked_cached_property(cached_property):
    """A `cached_property` that is computed only once even if several threads read it at the same time.

    From Python 3.12 on, `cached_property` itself may compute it in each thread.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__(function)
        self._making = threading.RLock()

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Compute the value once; later reads find it in the instance, without a lock."""
        if instance is None:
            return self
        with self._making:
            return super().__get__(instance, owner)


def run_parallel(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    threads: int,
    stop: Callable[[], object] = lambda: None,
) -> Iterator[Future[Result]]:
    """Call a function on items in parallel threads.

    If the caller ends early, after Ctrl-C or because it needs no more results, calls that are running are waited for.
    `stop` is called before, and may make them end.

    Items are consumed lazily: at most `2 * threads` calls are running or waiting, which limits memory. With one thread,
    calls are made in the caller's thread, because memory that one thread has freed is not available to another.

    Yields:
        The finished call of each item in order; its `result()` raises the exception of the call.
    """
    if threads == 1:
        yield from (_called(work, item) for item in items)
        return
    begun: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) >= 2 * threads:
                wait([begun[0]])
                yield begun.popleft()
        while begun:
            wait([begun[0]])
            yield begun.popleft()
    finally:
        stop()
        pool.shutdown(cancel_futures=True)


def connect_to_ray(address: str) -> Any:
    """Connect to a Ray cluster; "local" starts one on this machine. Returns the module `ray`; end with its `shutdown`.

    Raises:
        EmofuseError: Ray is not installed, or the cluster cannot be reached.
    """
    try:
        ray: Any = import_module("ray")
    except ImportError as error:
        raise EmofuseError('--ray needs Ray. Install it: pip install "emofuse[distributed]"') from error
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise EmofuseError(
            f"--ray {address}: cannot reach a Ray cluster ({error}). Start one: ray start --head"
        ) from error
    return ray


def _called(work: Callable[[Item], Result], item: Item) -> Future[Result]:
    call: Future[Result] = Future()
    try:
        call.set_result(work(item))
    except Exception as error:
        call.set_exception(error)
    return call
