from pathlib import Path

import pytest

from emofuse.errors import EmofuseError
from emofuse.training.xed_pairs import Line, Pairs, part_of, read_pairs


def write(root: Path, language: str, *rows: str) -> None:
    (root / "pairs").mkdir(exist_ok=True)
    (root / "pairs" / f"{language}.tsv").write_text("\n".join(rows), "utf8")


def test_a_danish_pivot_is_replaced_by_its_english(tmp_path):
    write(tmp_path, "de", "1:1\tWhat now?\t- Was nun?", "2:7\tJeg er bange.\tIch habe Angst.", "2:8\tNej!\tNein!")
    write(tmp_path, "en", "2:7\tJeg er bange.\tI'm afraid.", "2:7\tJeg er bange.\tI am scared.")
    pairs = read_pairs(tmp_path)
    assert pairs.english == {"1:1": ["What now?"], "2:7": ["I'm afraid.", "I am scared."]}
    assert set(pairs.lines) == {
        Line("de", "Was nun?", "1:1"),
        Line("de", "Ich habe Angst.", "2:7"),
        Line("da", "Jeg er bange.", "2:7"),
    }


def test_versions_in_different_parts_leave_the_split():
    texts = [f"line {number}" for number in range(200)]
    test, train = (next(text for text in texts if part_of(text) == part) for part in ("test", "train"))
    pairs = Pairs([], {"1:1": [test, train], "1:2": [test, test.upper() + "!"], "1:3": [train]})
    assert pairs.parts() == {"1:1": None, "1:2": "test", "1:3": "train"}


def test_a_row_with_other_columns_is_an_error_that_names_it(tmp_path):
    write(tmp_path, "en", "1:1\tHej.\tHi.", "1:2\tHej.")
    with pytest.raises(EmofuseError, match=r"en\.tsv, line 2"):
        read_pairs(tmp_path)


def test_without_english_pairs_it_says_what_is_missing(tmp_path):
    write(tmp_path, "de", "1:1\tWhat now?\tWas nun?")
    with pytest.raises(EmofuseError, match=r"en\.tsv is missing"):
        read_pairs(tmp_path)
