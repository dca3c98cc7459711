"""Files are written whole or not at all, and hashes name their content."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from emofuse.errors import EmofuseError
from emofuse.files import atomic, hash_of, read_json, sha256, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def disk_full(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_atomic_writes_a_new_file_in_a_new_folder(tmp_path):
    with atomic(tmp_path / "a" / "b" / "out.txt") as temporary:
        assert not temporary.exists()
        assert not (tmp_path / "a" / "b" / "out.txt").exists()
        temporary.write_text("whole")
    assert (tmp_path / "a" / "b" / "out.txt").read_text() == "whole"
    assert names(tmp_path / "a" / "b") == ["out.txt"]


def test_atomic_replaces_a_file(tmp_path):
    write_text(tmp_path / "out.txt", "old")
    write_text(tmp_path / "out.txt", "new é")
    assert (tmp_path / "out.txt").read_text(encoding="utf-8") == "new é"
    assert names(tmp_path) == ["out.txt"]


def test_atomic_replaces_a_folder(tmp_path):
    for content in ("old", "new"):
        with atomic(tmp_path / "bundle") as temporary:
            temporary.mkdir()
            (temporary / content).write_text(content)
    assert names(tmp_path / "bundle") == ["new"]
    assert names(tmp_path) == ["bundle"]


@pytest.mark.parametrize("there", ["nothing", "an empty folder", "a folder with content"])
def test_of_those_who_write_a_folder_at_once_the_first_is_kept(tmp_path, there):
    """Else one of two processes that make the same would take its files from the other, which reads them by now."""
    target = tmp_path / "folder"
    if there != "nothing":
        target.mkdir()
    with atomic(target, keep=True) as temporary:
        temporary.mkdir()
        (temporary / "a").write_text("second")
        if there == "a folder with content":
            (target / "a").write_text("first")
    assert (target / "a").read_text() == ("first" if there == "a folder with content" else "second")
    assert os.listdir(tmp_path) == ["folder"]


def test_a_folder_to_keep_that_comes_at_the_last_moment(tmp_path, monkeypatch):
    target, rmdir = tmp_path / "folder", Path.rmdir

    def other(path):
        target.mkdir()
        (target / "a").write_text("first")
        rmdir(path)

    monkeypatch.setattr(Path, "rmdir", other)
    with atomic(target, keep=True) as temporary:
        temporary.mkdir()
        (temporary / "a").write_text("second")
    assert (target / "a").read_text() == "first"


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_failing_block_leaves_nothing_and_keeps_the_old_file(tmp_path, failure):
    write_text(tmp_path / "out.txt", "old")
    with pytest.raises(failure), atomic(tmp_path / "out.txt") as temporary:
        temporary.write_text("ha")
        raise failure
    assert (tmp_path / "out.txt").read_text() == "old"
    assert names(tmp_path) == ["out.txt"]


def test_a_block_that_writes_nothing_is_an_error_and_keeps_the_old_folder(tmp_path):
    with atomic(tmp_path / "bundle") as temporary:
        temporary.mkdir()
        (temporary / "model").write_text("old")
    with pytest.raises(EmofuseError), atomic(tmp_path / "bundle"):
        pass
    assert names(tmp_path) == ["bundle"]
    assert names(tmp_path / "bundle") == ["model"]


def test_disk_full_while_writing(tmp_path, monkeypatch):
    write_json(tmp_path / "metrics.json", {"uar": 0.5})
    monkeypatch.setattr(Path, "write_text", disk_full)
    with pytest.raises(EmofuseError, match=r"metrics.json: cannot be written \(No space left on device\)"):
        write_json(tmp_path / "metrics.json", {"uar": 0.6})
    assert read_json(tmp_path / "metrics.json") == {"uar": 0.5}
    assert names(tmp_path) == ["metrics.json"]


@pytest.mark.parametrize("step", ["mkdtemp", "replace"])
def test_disk_full_before_and_after_writing(tmp_path, monkeypatch, step):
    write_text(tmp_path / "out.txt", "old")
    monkeypatch.setattr("tempfile.mkdtemp" if step == "mkdtemp" else "os.replace", disk_full)
    with pytest.raises(EmofuseError, match="No space left on device"):
        write_text(tmp_path / "out.txt", "new")
    assert (tmp_path / "out.txt").read_text() == "old"
    assert names(tmp_path) == ["out.txt"]


def test_disk_full_while_a_folder_is_replaced_keeps_the_old_one(tmp_path, monkeypatch):
    with atomic(tmp_path / "bundle") as temporary:
        temporary.mkdir()
        (temporary / "old").touch()
    real = os.replace

    def full_for_the_new(source, target):
        if Path(target).name == "bundle" and (Path(source) / "new").exists():
            disk_full()
        real(source, target)

    monkeypatch.setattr("os.replace", full_for_the_new)
    with pytest.raises(EmofuseError, match="No space left"), atomic(tmp_path / "bundle") as temporary:
        temporary.mkdir()
        (temporary / "new").touch()
    assert names(tmp_path) == ["bundle"]
    assert names(tmp_path / "bundle") == ["old"]


def test_read_only_folder(tmp_path, monkeypatch):
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o500)
    if os.access(folder, os.W_OK):  # root may write anywhere: let the system say what it says to others
        monkeypatch.setattr(
            "tempfile.mkdtemp", lambda **_: (_ for _ in ()).throw(PermissionError(13, "Permission denied"))
        )
    with pytest.raises(EmofuseError, match=r"out.txt: cannot be written \(Permission denied\). Choose a place"):
        write_text(folder / "out.txt", "new")
    assert names(folder) == []


def test_a_file_does_not_take_the_place_of_a_folder(tmp_path):
    write_text(tmp_path / "tables" / "mine.csv", "kept")
    with pytest.raises(EmofuseError, match=r"tables: cannot be written \(.*folder or device"):
        write_text(tmp_path / "tables", "new")
    assert names(tmp_path) == ["tables"]
    assert names(tmp_path / "tables") == ["mine.csv"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_file_does_not_take_the_place_of_a_pipe_or_device(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(EmofuseError, match="folder or device"):
        write_text(tmp_path / "pipe", "new")
    assert (tmp_path / "pipe").is_fifo() and names(tmp_path) == ["pipe"]


def test_a_file_where_a_folder_should_be(tmp_path):
    write_text(tmp_path / "file", "old")
    with pytest.raises(EmofuseError, match="cannot be written"):
        write_text(tmp_path / "file" / "out.txt", "new")
    assert (tmp_path / "file").read_text() == "old"


@pytest.mark.parametrize(("content", "message"), [(b"{", "valid JSON"), (b"\xff\xfe\x00", "valid JSON")])
def test_what_is_no_json(tmp_path, content, message):
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(EmofuseError, match=message):
        read_json(tmp_path / "bad.json")


def test_json_that_cannot_be_read(tmp_path):
    with pytest.raises(EmofuseError, match=r"absent.json: cannot be read \(No such file or directory\)"):
        read_json(tmp_path / "absent.json")
    with pytest.raises(EmofuseError, match="cannot be read"):
        read_json(tmp_path)


def test_json_with_a_byte_order_mark(tmp_path):
    (tmp_path / "bom.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "bom.json") == {"a": 1}


def test_sha256_of_a_file_longer_than_a_block(tmp_path):
    content = os.urandom((1 << 20) + 17)
    (tmp_path / "blob").write_bytes(content)
    assert sha256(tmp_path / "blob") == hashlib.sha256(content).hexdigest()


def test_hash_does_not_depend_on_the_order_of_keys():
    assert hash_of({"a": 1, "b": [1, 2]}) == hash_of({"b": [1, 2], "a": 1})
    assert hash_of({"a": 1}) != hash_of({"a": 2})
    assert hash_of([1, 2]) != hash_of([2, 1])
