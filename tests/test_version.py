"""The version stands in the package; what else names it agrees."""

import re
import tomllib

import pytest

from emofuse import __version__


@pytest.fixture
def root(request):
    return request.config.rootpath


def test_the_package_is_built_with_the_version_of_the_source(root):
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["project"]["dynamic"] == ["version"] and "version" not in settings["project"]
    named = root / settings["tool"]["hatch"]["version"]["path"]
    assert f'__version__ = "{__version__}"' in named.read_text(encoding="utf-8")


def test_the_citation_names_the_version(root):
    citation = (root / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.*)$", citation, flags=re.MULTILINE) == [__version__]
