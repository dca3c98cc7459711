"""Rows by the values of columns, and how conditions are written on the command line."""

import pandas as pd
import pytest

from emofuse.corpora.select import parse_where, select
from emofuse.corpora.table import TableError

TABLE = pd.DataFrame(
    {
        "key": list("abcd"),
        "age": [4, 12, None, 40],
        "script": ["improvised", "scripted", None, "improvised"],
        "solo": [True, False, True, False],
        "prompt": [1, 2, 1, 10],
    }
)


@pytest.mark.parametrize(
    ("where", "keys"),
    [
        ({}, "abcd"),
        ({"age": "4..12"}, "ab"),
        ({"age": "..4"}, "a"),
        ({"age": "12.."}, "bd"),
        ({"age": 4}, "a"),
        ({"age": "4"}, "a"),
        ({"script": "improvised"}, "ad"),
        ({"script": ["improvised", "scripted"]}, "abd"),
        ({"solo": True}, "ac"),
        ({"solo": "true"}, "ac"),
        ({"prompt": "1"}, "ac"),
        ({"prompt": [1, 10], "script": "improvised"}, "ad"),
    ],
)
def test_conditions(where: dict, keys: str) -> None:
    found = select(TABLE, where)
    assert "".join(found["key"]) == keys
    assert found.index.tolist() == list(range(len(keys)))


def test_no_such_column_and_no_row_left() -> None:
    with pytest.raises(TableError, match=r"no column 'skript'.*key, age, script"):
        select(TABLE, {"skript": "improvised"})
    with pytest.raises(TableError, match=r"no row has script = 'improvized'.*improvised, scripted"):
        select(TABLE, {"script": "improvized"})
    with pytest.raises(TableError, match=r"no row has script = 'scripted'.*improvised"):
        select(TABLE, {"age": "4..9", "script": "scripted"})


def test_command_line() -> None:
    assert parse_where(["a=1", "b = x, y", "c=4..12"]) == {"a": "1", "b": ["x", "y"], "c": "4..12"}
    for wrong in ("a", "=1", "a="):
        with pytest.raises(TableError, match="expected COLUMN=VALUE"):
            parse_where([wrong])
