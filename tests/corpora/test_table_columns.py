"""Columns of Arrow's strings are typed as the same strings in a list are."""

import numpy as np
import pandas as pd
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emofuse.corpora import table_columns
from emofuse.corpora.table_columns import extra_of, inferred, numbers_of, of_arrow, texts_of

ODD = [
    "",
    " ",
    "1",
    " 1\t",
    "1_0",
    "1e999",
    "-0.0",
    "nan",
    "nan(1)",
    "inf",
    "0x1",
    "1,5",
    "١",
    "é\x1c",
    "\u3000a",
    "a ",
]
columns = st.lists(st.sampled_from(ODD) | st.floats().map(repr) | st.text(max_size=5) | st.none(), max_size=8)


@given(columns, st.integers(1, 5))
def test_as_the_same_strings_in_a_list(cells: list[str | None], at_once: int) -> None:
    values, arrow = pd.Series(cells, dtype=object), of_arrow(pyarrow.array(cells, pyarrow.string()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_columns, "_AT_ONCE", at_once)
        assert texts_of(arrow) == texts_of(values) == [(c or "").strip() or None for c in cells]
    for given_numbers, expected in zip(numbers_of(arrow), numbers_of(values), strict=True):
        np.testing.assert_array_equal(given_numbers, expected)
    assert extra_of(arrow).tolist() == cells


def test_texts_that_recur_are_one_object() -> None:
    texts = texts_of(of_arrow(pyarrow.array(["speaker 1", None, " speaker 1"] * 4)))
    assert texts == ["speaker 1", None, "speaker 1"] * 4 and len({id(text) for text in texts}) == 2


@pytest.mark.parametrize(
    ("cells", "expected", "dtype"),
    [
        (["2", "1", "2"], [2, 1, 2], int),
        (["2", "", "1"], [2, np.nan, 1], float),
        (["0.5", "1.5"], [0.5, 1.5], float),
        (["007", "1"], ["007", "1"], object),
        (["1", "0.5"], ["1", "0.5"], object),
        (["9007199254740993"], ["9007199254740993"], object),
        (["nan", "1.0"], ["nan", "1.0"], object),
        (["True", "False"], [True, False], bool),
        (["True", ""], ["True", None], object),
        (["", ""], [None, None], object),
        ([" a", "b", " a"], [" a", "b", " a"], object),
    ],
)
def test_extras_of_a_csv(cells: list[str], expected: list[object], dtype: type) -> None:
    found = inferred(of_arrow(pyarrow.array(cells)))
    pd.testing.assert_series_equal(found, pd.Series(expected, dtype=dtype))
