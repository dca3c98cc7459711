"""Types of columns: text, numbers, and extra columns of a CSV file."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emofuse.corpora.table_files import inferred, numbers_of, texts_of


@given(st.lists(st.text(max_size=5) | st.none(), max_size=8))
def test_texts_are_stripped(cells: list[str | None]) -> None:
    assert texts_of(pd.Series(cells, dtype=object)) == [(c or "").strip() or None for c in cells]


@given(st.lists(st.floats() | st.none(), max_size=8), st.sampled_from(["high", "1,2,3", "0x1", [1]]))
def test_numbers_are_read_back(numbers: list[float | None], wrong: object) -> None:
    cells = [None if x is None else repr(x) for x in numbers]
    expected = [np.nan if x is None else x for x in numbers]
    for given_cells in (cells, [*cells, wrong]):
        found, refused = numbers_of(pd.Series(given_cells, dtype=object))
        np.testing.assert_array_equal(found[: len(cells)], expected)
        assert refused.tolist() == [False] * len(cells) + [True] * (len(given_cells) - len(cells))


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["0,5", "1", "", "NA", None, pd.NA], [0.5, 1, np.nan, np.nan, np.nan, np.nan]),
        (["0,5", "1.5"], [None, 1.5]),
        (["1,234.5"], [None]),
    ],
)
def test_decimal_commas(cells: list[object], expected: list[float | None]) -> None:
    found, refused = numbers_of(pd.Series(cells, dtype=object))
    assert refused.tolist() == [x is None for x in expected]
    np.testing.assert_array_equal(found, np.array(expected, dtype=float))


@pytest.mark.parametrize(
    ("cells", "expected", "dtype"),
    [
        (["2", "1", "2"], [2, 1, 2], int),
        (["2", "", "1"], [2, np.nan, 1], float),
        (["0.5", "1.5"], [0.5, 1.5], float),
        (["007", "1"], ["007", "1"], object),
        (["1", "0.5"], ["1", "0.5"], object),
        (["9007199254740993"], ["9007199254740993"], object),
        (["nan", "1.0", "NA"], [np.nan, 1.0, np.nan], float),
        (["NA", "x"], ["NA", "x"], object),
        (["True", "False"], [True, False], bool),
        (["True", ""], ["True", None], object),
        (["", ""], [None, None], object),
        ([" a", "b", " a"], [" a", "b", " a"], object),
    ],
)
def test_extras_of_a_csv(cells: list[str], expected: list[object], dtype: type) -> None:
    found = inferred(pd.Series(cells, dtype=object))
    pd.testing.assert_series_equal(found, pd.Series(expected, dtype=dtype))
