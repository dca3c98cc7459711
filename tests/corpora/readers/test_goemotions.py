"""GoEmotions: categories of comments with one label and with several, and files that are not as published."""

from pathlib import Path

import pytest

from emofuse.corpora.readers.goemotions import CATEGORIES, CORPUS, read
from emofuse.corpora.table import TableError
from emofuse.labels import EMOTIONS
from made_up import goemotions


def test_labels_of_one_category_give_that_category(tmp_path: Path) -> None:
    df = read(goemotions.make(tmp_path)).set_index("key")
    assert df["official_split"].value_counts().to_dict() == {"train": 27, "dev": 9, "test": 9}
    columns = ["emotion", "original_emotion", "labels"]
    assert df.loc["goemotions/test00", columns].tolist() == ["happiness", "joy", "joy"]
    assert df.loc["goemotions/test10", columns].tolist() == ["happiness", None, "gratitude love"]
    assert df.loc["goemotions/test50", columns].tolist() == [None, None, "amusement sadness"]


def test_text_is_as_published_but_for_masks(tmp_path: Path) -> None:
    df = read(goemotions.make(tmp_path)).set_index("key")
    assert df.loc["goemotions/test20", "text"] == 'I said "no, test 0.'
    assert df.loc["goemotions/test10", "text"] == "Thank you, Robert, test 0."


def test_every_label_has_a_category() -> None:
    assert sorted(label for labels in CATEGORIES.values() for label in labels) == sorted(goemotions.LABELS)
    assert set(CATEGORIES) == set(EMOTIONS)


@pytest.mark.parametrize("line", ["Two columns\t3", "Unknown label\t28\ta", "No label\t\ta", "A word\tjoy\ta"])
def test_other_rows_are_refused(tmp_path: Path, line: str) -> None:
    file = goemotions.make(tmp_path) / "data" / "dev.tsv"
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(TableError, match=r"dev\.tsv, row 10: "):
        read(tmp_path)


def test_other_label_names_are_refused(tmp_path: Path) -> None:
    (goemotions.make(tmp_path) / "data" / "emotions.txt").write_text("neutral\nboredom\n")
    with pytest.raises(TableError, match=r"emotions\.txt: .*'boredom'"):
        read(tmp_path)


def test_wrong_root(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=rf"{tmp_path}: .*GoEmotions.*train\.tsv"):
        CORPUS.read(tmp_path)
