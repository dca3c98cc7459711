from types import SimpleNamespace

import pytest
import torch

from emofuse import hardware
from emofuse.errors import EmofuseError
from emofuse.hardware import Processor, choose_device, choose_precision, describe_device, hardware_facts

SAPPHIRE = """\
processor	: 0
model name	: Intel(R) Xeon(R) Processor
flags		: fpu avx2 avx512f avx512_bf16 amx_bf16 hypervisor

processor	: 1
model name	: Intel(R) Xeon(R) Processor
flags		: fpu avx2 avx512f avx512_bf16 amx_bf16 hypervisor
"""
ROME = "model name\t: AMD EPYC 7B12\nflags\t\t: fpu avx2 fma\n"
GRAVITON = "processor\t: 0\nFeatures\t: fp asimd sve svebf16 bf16\nCPU part\t: 0xd40\n"


@pytest.fixture
def cpuinfo(tmp_path, monkeypatch):
    def give(text):
        path = tmp_path / "cpuinfo"
        path.write_text(text)
        monkeypatch.setattr(hardware, "_CPUINFO", path)
        hardware.processor.cache_clear()
        return hardware.processor()

    yield give
    monkeypatch.undo()
    hardware.processor.cache_clear()


@pytest.mark.parametrize(
    ("text", "name", "precision"),
    [(SAPPHIRE, "Intel(R) Xeon(R) Processor", "bf16"), (ROME, "AMD EPYC 7B12", "fp32"), (GRAVITON, None, "bf16")],
)
def test_bf16_only_where_the_processor_has_it(cpuinfo, text, name, precision):
    found = cpuinfo(text)
    assert name is None or found.name == name
    assert choose_precision(torch.device("cpu")) == precision
    facts = hardware_facts(torch.device("cpu"))
    assert facts["processor"] == found.name and facts["instruction_sets"] == list(found.instruction_sets)
    assert found.name in describe_device(torch.device("cpu"))


def test_a_machine_without_cpuinfo_trains_in_fp32(tmp_path, monkeypatch, cpuinfo):
    cpuinfo("")
    monkeypatch.setattr(hardware, "_CPUINFO", tmp_path / "absent")
    hardware.processor.cache_clear()
    assert hardware.processor().name
    assert choose_precision(torch.device("cpu")) == "fp32"
    assert "unknown" in str(Processor("x", ()))


@pytest.mark.parametrize("native", [True, False])
def test_a_gpu_that_emulates_bf16_trains_in_fp32(monkeypatch, native):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation or native)
    assert choose_precision(torch.device("cuda")) == ("bf16" if native else "fp32")
    assert choose_precision(torch.device("mps")) == "fp32"


def test_the_device_that_a_recipe_means(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto").type == choose_device("cpu").type == "cpu"
    with pytest.raises(EmofuseError, match="finds no GPU"):
        choose_device("gpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("gpu").type == "mps" and choose_device("auto").type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("gpu").type == choose_device("auto").type == "cuda"
    assert choose_device("cpu").type == "cpu"


def test_freed_memory_is_released_or_nothing_happens(monkeypatch):
    released = []
    monkeypatch.setattr(hardware, "_c_library", lambda: SimpleNamespace(malloc_trim=released.append))
    hardware.release_memory()
    assert released == [0]
    monkeypatch.setattr(hardware, "_c_library", lambda: None)
    hardware.release_memory()
