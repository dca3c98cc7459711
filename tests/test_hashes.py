"""Hashes of files: remembered until the file changes, right where the memory cannot be used."""

import hashlib
import os
import sqlite3
from contextlib import closing

import pytest

from emofuse import files
from emofuse.errors import EmofuseError
from emofuse.files import file_hash, file_hashes, sha256


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def hashed(monkeypatch):
    """Names of the files that were read."""
    names: list[str] = []
    monkeypatch.setattr(files, "sha256", lambda path: names.append(os.path.basename(path)) or sha256(path))
    return names


def write(path, content, *, age=60):
    """A file that was modified so many seconds ago."""
    path.write_bytes(content)
    moment = path.stat().st_mtime_ns - age * 10**9
    os.utime(path, ns=(moment, moment))
    return path


def of(content):
    return hashlib.sha256(content).hexdigest()


def test_hash_is_remembered_until_the_file_changes(tmp_path, hashed):
    path = write(tmp_path / "file", b"one")
    assert file_hash(path) == file_hash(str(path)) == of(b"one")
    assert hashed == ["file"]
    write(path, b"three")
    assert file_hash(path) == of(b"three")
    write(path, b"seven", age=30)  # of the same size
    assert file_hash(path) == of(b"seven")
    assert len(hashed) == 3


def test_another_file_of_the_same_size_and_time_is_hashed(tmp_path, hashed):
    """As `cp -p` and `rsync -t` put it there."""
    first, second = write(tmp_path / "a", b"one"), write(tmp_path / "b", b"two")
    assert file_hash(first) == of(b"one")
    moment = first.stat().st_mtime_ns
    os.replace(second, first)
    os.utime(first, ns=(moment, moment))
    assert file_hash(first) == of(b"two")


def test_a_file_modified_just_now_is_not_remembered(tmp_path, hashed):
    path = write(tmp_path / "file", b"one", age=0)
    assert file_hash(path) == file_hash(path) == of(b"one")
    assert len(hashed) == 2


def test_a_file_that_changes_while_it_is_read_is_not_remembered(tmp_path, monkeypatch):
    path = write(tmp_path / "file", b"one")

    def slow(name):
        digest = sha256(name)
        write(path, b"two", age=30)
        return digest

    monkeypatch.setattr(files, "sha256", slow)
    assert file_hash(path) == of(b"one")
    monkeypatch.undo()
    assert file_hash(path) == of(b"two")


def test_many_files_at_once(tmp_path, hashed, monkeypatch):
    monkeypatch.setattr(files, "_AT_ONCE", 4)
    paths = [write(tmp_path / f"{i}.wav", f"{i}".encode()) for i in range(10)]
    expected = {str(path): of(f"{i}".encode()) for i, path in enumerate(paths)}
    assert file_hashes([*paths, paths[0], str(paths[1])]) == expected
    assert len(hashed) == 10
    write(paths[3], b"changed")
    assert file_hashes(paths) == expected | {str(paths[3]): of(b"changed")}
    assert hashed[10:] == ["3.wav"]
    assert file_hashes([]) == {}


def test_names_stay_as_they_were_given(tmp_path, monkeypatch, hashed):
    write(tmp_path / "file", b"one")
    monkeypatch.chdir(tmp_path)
    assert set(file_hashes(["file", "./file", tmp_path / "file"])) == {"file", "./file", str(tmp_path / "file")}
    assert hashed == ["file"]


def test_files_that_cannot_be_read(tmp_path):
    paths = [write(tmp_path / "a", b"one"), tmp_path / "absent", tmp_path]
    with pytest.raises(EmofuseError, match=r"absent: cannot be read \(No such file"):
        file_hashes(paths)
    unreadable = {}
    assert file_hashes(paths, unreadable=unreadable) == {str(tmp_path / "a"): of(b"one")}
    assert set(unreadable) == {str(tmp_path / "absent"), str(tmp_path)}


def test_an_interrupted_run_keeps_what_it_hashed(tmp_path, monkeypatch, hashed):
    monkeypatch.setattr(files, "_AT_ONCE", 2)
    paths = [write(tmp_path / f"{i}", b"x") for i in range(5)]

    def stop(path):
        if path.endswith("4"):
            raise KeyboardInterrupt
        return of(b"x")

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(files, "sha256", stop)
        file_hashes(paths)
    assert len(file_hashes(paths)) == 5
    assert hashed == ["4"]


def test_memory_that_is_damaged_or_cannot_be_written_costs_time_only(tmp_path, monkeypatch):
    path = write(tmp_path / "file", b"one")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "hashes.sqlite").write_bytes(b"no database " * 500)
    assert file_hash(path) == of(b"one")
    monkeypatch.setenv("EMOFUSE_CACHE", str(path))
    assert file_hash(path) == of(b"one")


def test_memory_with_another_table(tmp_path):
    (tmp_path / "cache").mkdir()
    with closing(sqlite3.connect(tmp_path / "cache" / "hashes.sqlite")) as store:
        store.execute("CREATE TABLE files (path TEXT)")
    path = write(tmp_path / "file", b"one")
    assert file_hash(path) == of(b"one")


def test_a_name_that_is_not_text(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav")
    with open(path, "wb") as file:
        file.write(b"x")
    assert file_hash(path) == file_hash(path) == sha256(path)
