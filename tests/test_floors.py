"""The floors of the house (docs/design.md): a package imports only from floors below, and prediction never PyTorch."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import emofuse

PACKAGE = Path(emofuse.__file__).parent
FLOORS = [
    {
        "errors",
        "files",
        "labels",
        "hardware",
        "console",
        "config",
        "config_sections",
        "config_keys",
        "words",
    },
    {"csv_table", "file_names", "segment", "plot_style"},
    {"audio", "silence", "degradations", "metrics"},
    {"encoders"},
    {"models", "corpora"},
    {"data", "timeline"},
    {"inference", "training"},
    {"explanation", "stress"},
    {"study"},
    {"report"},
    {"cli", "__main__"},
]
FLOOR_OF = {name: number for number, names in enumerate(FLOORS) for name in names}
HEAVY = ("torch", "pandas", "lightning", "transformers", "sklearn", "matplotlib")


def imports(path: Path, *, types: bool = True) -> set[str]:
    """Modules of emofuse that a file imports, lazily too, and for its types if `types`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not types:
        tree.body = [node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node))]
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {
                f"{node.module}.{alias.name}" if node.module == "emofuse" else node.module for alias in node.names
            }
    return {name for name in modules if name.startswith("emofuse.")}


def room(module: str) -> str:
    return module.split(".")[1]


def arrows() -> set[tuple[str, str]]:
    """(file's module, imported module) over all files below the package but its own `__init__`."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts != ("__init__",):
            found |= {(".".join(("emofuse", *parts)), name) for name in imports(path)}
    return found


def test_every_file_has_a_floor():
    rooms = {path.stem for path in PACKAGE.glob("*.py")} | {path.parent.name for path in PACKAGE.glob("*/*.py")}
    assert rooms - {"__init__"} == set(FLOOR_OF)


def test_the_design_page_lists_the_floors():
    page = (PACKAGE.parents[1] / "docs" / "design.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| ([^|]*) \|", page, flags=re.MULTILINE)
    assert [set(re.findall(r"`(\w+)`", names)) for _, names in reversed(rows)] == FLOORS


def test_no_arrow_runs_up():
    lawful = {"__version__"}  # the package's own name
    up = {
        (source, target)
        for source, target in arrows()
        if room(target) not in lawful and FLOOR_OF[room(target)] > FLOOR_OF[room(source)]
    }
    assert up == set(), "these imports run up"


def test_neighbours_on_a_floor_do_not_import_each_other_both_ways():
    across = {
        (room(a), room(b)) for a, b in arrows() if room(a) != room(b) and FLOOR_OF.get(room(b)) == FLOOR_OF[room(a)]
    }
    assert not {(a, b) for a, b in across if (b, a) in across}


def needed_by(package: str) -> set[str]:
    """The modules of a package and all that they import, lazily too, from file to file."""
    waiting = {f"emofuse.{package}.{path.stem}" for path in (PACKAGE / package).glob("*.py") if path.stem != "__init__"}
    reached: set[str] = set()
    while waiting:
        module = waiting.pop()
        path = PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")
        if module not in reached and path.exists():
            reached.add(module)
            waiting |= imports(path, types=False)
    return reached


def heavy_after(code: str) -> list[str]:
    """Heavy packages that a fresh interpreter has imported after some code."""
    check = f"{code}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_prediction_needs_nothing_heavy():
    modules = needed_by("inference")
    assert {"emofuse.inference.predictor", "emofuse.encoders.recogniser", "emofuse.models.adapter"} <= modules
    lines = [f"import {module}" for module in ["emofuse", "emofuse.cli", *sorted(modules)]]
    assert heavy_after("\n".join(lines)) == []


@pytest.mark.slow
@pytest.mark.parametrize("module", sorted(needed_by("inference")))
def test_no_module_of_prediction_needs_anything_heavy(module):
    assert heavy_after(f"import {module}") == []


def test_the_check_can_fail():
    assert heavy_after("import sys, types; sys.modules['torch'] = types.ModuleType('torch')") == ["torch"]
