"""Prediction never imports PyTorch and what hangs on it: its modules are imported in a fresh interpreter."""

import subprocess
import sys
from pathlib import Path

import pytest

import emofuse

PACKAGE = Path(emofuse.__file__).parent
HEAVY = ("torch", "pandas", "lightning", "transformers", "sklearn", "matplotlib")
FILES = ["audio.py", "cli.py", "config.py", "text/asr.py", "text/onnx.py", "text/weights.py"]
MODULES = sorted(
    "emofuse." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in [*(PACKAGE / name for name in FILES), *(PACKAGE / "inference").rglob("*.py")]
    if path.exists() and path.name not in ("export.py", "__init__.py")
)


def heavy_after(code: str) -> list[str]:
    check = f"{code}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_all_at_once():
    assert heavy_after("\n".join(f"import {module}" for module in ["emofuse", *MODULES])) == []


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_one_by_one(module):
    assert heavy_after(f"import {module}") == []


def test_the_check_can_fail():
    assert heavy_after("import sys, types; sys.modules['torch'] = types.ModuleType('torch')") == ["torch"]
