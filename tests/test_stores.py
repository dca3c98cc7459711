"""SQLite caches: shared by processes, set aside when damaged, refused with advice where they cannot be used."""

import logging
import os
import sqlite3
import subprocess
import sys

import pytest

from emofuse.errors import EmofuseError
from emofuse.files import open_store

SCHEMA = "CREATE TABLE IF NOT EXISTS words (word TEXT PRIMARY KEY)"


def add(path, *words):
    with open_store(path, SCHEMA) as store, store:
        store.executemany("INSERT OR REPLACE INTO words VALUES (?)", [(word,) for word in words])


def words(path):
    with open_store(path, SCHEMA) as store:
        return [word for (word,) in store.execute("SELECT word FROM words ORDER BY word")]


def test_what_is_committed_stays_and_the_rest_does_not(tmp_path):
    path = tmp_path / "new" / "words.sqlite"
    add(path, "b", "a")
    with pytest.raises(KeyboardInterrupt), open_store(path, SCHEMA) as store:
        store.execute("INSERT INTO words VALUES ('c')")
        raise KeyboardInterrupt
    assert words(path) == ["a", "b"]


@pytest.mark.parametrize("content", [b"no database " * 500, bytes(8192)])
def test_a_file_that_is_not_a_database_is_set_aside(tmp_path, caplog, content):
    path = tmp_path / "words.sqlite"
    path.write_bytes(content)
    (tmp_path / "words.sqlite-journal").write_bytes(b"of the damaged file")
    with caplog.at_level(logging.WARNING):
        add(path, "a")
    assert words(path) == ["a"]
    assert (tmp_path / "words.sqlite.damaged").read_bytes() == content
    assert "words.sqlite is damaged" in caplog.text


def test_damage_that_shows_only_in_use(tmp_path):
    path = tmp_path / "words.sqlite"
    add(path, *(f"word {i:05}" for i in range(5000)))
    with path.open("r+b") as file:
        file.seek(4096)  # the first page, which has the schema, is left as it is
        file.write(b"\xff" * (path.stat().st_size - 4096))
    with pytest.raises(EmofuseError, match=r"words\.sqlite: .*damaged"):
        words(path)
    assert words(path) == []
    assert (tmp_path / "words.sqlite.damaged").exists()


def test_a_store_that_another_process_has_made_anew_is_not_set_aside(tmp_path, monkeypatch):
    path = tmp_path / "words.sqlite"
    add(path, "a")
    with pytest.raises(EmofuseError, match="damaged"), open_store(path, SCHEMA):
        error = sqlite3.DatabaseError("malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error
    assert words(path) == ["a"]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EmofuseError, match=r"words\.sqlite: this cache cannot be used .* EMOFUSE_CACHE"):
        words(tmp_path / "file" / "words.sqlite")
    with pytest.raises(EmofuseError, match="cannot be used"):
        words(tmp_path)


def test_another_table_of_that_name(tmp_path):
    with open_store(tmp_path / "words.sqlite", "CREATE TABLE words (other TEXT)"):
        pass
    with pytest.raises(EmofuseError, match=r"cannot be used .no such column: word"):
        words(tmp_path / "words.sqlite")


def test_a_store_that_may_only_be_read(tmp_path):
    path = tmp_path / "words.sqlite"
    add(path, "a")
    read_only = tmp_path / "read-only.sqlite"
    with open_store(path, SCHEMA) as store:
        store.execute("PRAGMA query_only = ON")  # a file mode would not stop root
        assert store.execute("SELECT word FROM words").fetchall() == [("a",)]
        store.executescript(SCHEMA)
    with pytest.raises(EmofuseError, match=r"cannot be used .attempt to write"), open_store(path, SCHEMA) as store:
        store.execute("PRAGMA query_only = ON")
        store.execute("INSERT INTO words VALUES ('b')")
    assert not read_only.exists() and words(path) == ["a"]


@pytest.mark.slow
def test_several_processes_at_once(tmp_path):
    code = """
import sys
from emofuse.files import open_store
for i in range(20):
    with open_store(sys.argv[1], "CREATE TABLE IF NOT EXISTS words (word TEXT PRIMARY KEY)") as store, store:
        store.execute("INSERT INTO words VALUES (?)", (f"{sys.argv[2]} {i}",))
"""
    path = tmp_path / "words.sqlite"
    path.write_bytes(b"no database " * 500)  # they all find it damaged
    processes = [subprocess.Popen([sys.executable, "-c", code, str(path), name], env=os.environ) for name in "abcd"]
    assert [process.wait() for process in processes] == [0] * 4
    assert len(words(path)) == 80
