"""Splits: disjoint, complete, the same whatever the order of rows, and refused where they cannot be."""

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.config import SplitConfig
from emofuse.corpora.splits import Split, make_split, shared_speakers
from emofuse.corpora.table import TableError, make_table
from emofuse.errors import EmofuseError


def corpus(sizes: list[int], genders: str = "fm") -> pd.DataFrame:
    names = {"f": "female", "m": "male", "-": None}
    rows = [
        {"key": f"c/{s}-{i}", "text": "x", "speaker": f"c/{s:02d}", "gender": names[genders[s % len(genders)]]}
        for s, size in enumerate(sizes)
        for i in range(size)
    ]
    return make_table(rows, "c")


def speakers(df: pd.DataFrame, keys: tuple[str, ...]) -> set[str]:
    return set(df.loc[df["key"].isin(keys), "speaker"])


configs = st.one_of(
    st.builds(
        lambda k, fold, seed: SplitConfig(rule="k_fold", k=k, fold=fold % k, seed=seed),
        st.integers(3, 5),
        st.integers(0, 4),
        st.integers(0, 99),
    ),
    st.builds(lambda fold: SplitConfig(rule="leave_one_out", fold=fold), st.integers(0, 4)),
    st.builds(
        lambda dev, test, seed: SplitConfig(dev_share=dev, test_share=test, seed=seed),
        st.floats(0.01, 0.4),
        st.floats(0, 0.4),
        st.integers(0, 99),
    ),
)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=5, max_size=12),
    configs,
    st.sampled_from(["fm", "f", "-", "fmm-"]),
    st.randoms(),
)
def test_speaker_disjoint_complete_and_independent_of_row_order(sizes, config, genders, random) -> None:
    df = corpus(sizes, genders)
    split = make_split(df, config)
    assert sorted(split.train + split.dev + split.test) == sorted(df["key"])  # disjoint and complete
    parts = [speakers(df, part) for part in (split.train, split.dev, split.test)]
    assert len(set.union(*parts)) == sum(map(len, parts)) == len(sizes)
    assert split.train and split.dev
    assert shared_speakers(df, split) == set()
    order = list(range(len(df)))
    random.shuffle(order)
    again = make_split(df.iloc[order], config)
    assert again == split and again.hash == split.hash


@pytest.mark.parametrize(
    "make",
    [
        lambda fold: SplitConfig(rule="k_fold", k=4, fold=fold, seed=3),
        lambda fold: SplitConfig(rule="leave_one_out", fold=fold),
    ],
)
def test_test_parts_of_all_folds_make_up_the_corpus_and_dev_is_the_next(make) -> None:
    df = corpus([3, 1, 4, 1, 5, 9, 2, 6])
    folds = 4 if make(0).rule == "k_fold" else 8
    splits = [make_split(df, make(fold)) for fold in range(folds)]
    assert sorted(key for split in splits for key in split.test) == sorted(df["key"])
    for fold, split in enumerate(splits):
        assert split.dev == splits[(fold + 1) % folds].test
    with pytest.raises(TableError, match=f"fold = {folds} is out of range.*{folds} folds"):
        make_split(df, make(folds))


def test_k_fold_is_alike_in_rows_and_gender_and_seeded() -> None:
    df = corpus([10] * 12 + [30] * 4)
    for seed in range(3):
        for fold in range(4):
            test = df[df["key"].isin(make_split(df, SplitConfig(rule="k_fold", k=4, fold=fold, seed=seed)).test)]
            assert test.groupby("gender")["speaker"].nunique().tolist() == [2, 2]
            assert len(test) == 60
    tests = {make_split(df, SplitConfig(rule="k_fold", k=4, seed=seed)).test for seed in range(5)}
    assert len(tests) > 1


def test_hold_out_shares() -> None:
    df = corpus([2] * 20)
    split = make_split(df, SplitConfig(dev_share=0.2, test_share=0.1))
    assert [len(speakers(df, p)) for p in (split.train, split.dev, split.test)] == [14, 4, 2]
    assert make_split(df, SplitConfig(dev_share=0.2, test_share=0)).test == ()
    assert len(speakers(df, make_split(df, SplitConfig(dev_share=0.001, test_share=0.001)).test)) == 1
    with pytest.raises(TableError, match="leaves none of the 2"):
        make_split(corpus([1, 1]), SplitConfig())


@pytest.mark.parametrize(
    ("sizes", "config", "message"),
    [
        ([1, 1], {"rule": "k_fold", "k": 3}, "needs at least 3 speakers; the table has 2"),
        ([1, 1], {"rule": "leave_one_out"}, "leaves no speaker for training"),
        ([1], {"rule": "leave_one_out"}, "leaves no speaker for training"),
        ([1] * 6, {"rule": "hold_out", "fold": 1}, "fold = 1 is out of range: this split has 1 fold,"),
    ],
)
def test_too_few_speakers_or_folds(sizes: list[int], config: dict, message: str) -> None:
    with pytest.raises(TableError, match=message):
        make_split(corpus(sizes), SplitConfig(**config))


@pytest.mark.parametrize("rule", ["k_fold", "leave_one_out", "hold_out"])
def test_rows_without_speaker_are_refused(rule: str) -> None:
    df = corpus([2] * 6)
    df.loc[[3, 5], "speaker"] = None
    with pytest.raises(TableError, match=r"2 of 12 rows have no speaker \(first: c/1-1\)"):
        make_split(df, SplitConfig(rule=rule))


def test_official_takes_the_column_and_shared_speakers_are_counted() -> None:
    df = corpus([3, 3, 3])
    df["official_split"] = ["train", "dev", "test", "train", "train", "validation", "train", "train", "train"]
    split = make_split(df, SplitConfig(rule="official"))
    assert split.dev == ("c/0-1", "c/1-2") and split.test == ("c/0-2",) and len(split.train) == 6
    assert shared_speakers(df, split) == {"c/00", "c/01"}
    assert make_split(df.assign(speaker=None), SplitConfig(rule="official")) == split


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "no column official_split"),
        (["train", "dev", "tset"], "of c/2-0 is 'tset'; expected one of train"),
        (["train", "dev", None], "of c/2-0 is"),
        (["train", "test", "test"], "no dev rows"),
    ],
)
def test_official_refuses(values: list | None, message: str) -> None:
    df = corpus([1, 1, 1])
    if values:
        df["official_split"] = values
    with pytest.raises(TableError, match=message):
        make_split(df, SplitConfig(rule="official"))


def ravdess() -> pd.DataFrame:
    rows = [
        {"key": f"ravdess/{a:02d}-{i}", "text": "x", "speaker": f"ravdess/{a:02d}"} for a in range(1, 25) for i in "ab"
    ]
    return make_table(rows, "ravdess")


def test_shipped_ravdess_folds() -> None:
    df = ravdess()
    actors = []
    for fold in range(6):
        split = make_split(df, SplitConfig(rule="given", folds="ravdess-emobox", fold=fold))
        actors.append({int(s[-2:]) for s in speakers(df, split.test)})
        assert len(split.train) == 32 and len(split.dev) == len(split.test) == 8
        assert shared_speakers(df, split) == set()
    assert actors == [
        {1, 11, 20, 21},
        {4, 10, 12, 14},
        {8, 9, 19, 23},
        {3, 5, 7, 24},
        {2, 15, 16, 18},
        {6, 13, 17, 22},
    ]
    dev = make_split(df, SplitConfig(rule="given", folds="ravdess-emobox", fold=5)).dev
    assert {int(s[-2:]) for s in speakers(df, dev)} == actors[0]


def given_file(tmp_path: Path, folds: object) -> SplitConfig:
    path = tmp_path / "folds.json"
    path.write_text(json.dumps({"folds": folds}))
    return SplitConfig(rule="given", folds=str(path))


def test_given_keys(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    df = corpus([1, 1, 1, 1])
    config = given_file(tmp_path, [{"train": ["c/2-0"], "dev": ["c/0-0"], "test": ["c/1-0"]}])
    with caplog.at_level(logging.WARNING):
        split = make_split(df, config)
    assert (split.train, split.dev, split.test) == (("c/2-0",), ("c/0-0",), ("c/1-0",))
    assert "1 of 4 rows are in no part" in caplog.text


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([{"train": ["c/9-9"], "dev": ["c/0-0"], "test": []}], "1 keys are not in the table, such as 'c/9-9'"),
        ([{"train": ["c/2-0"], "dev": ["c/2-0"], "test": []}], "key 'c/2-0' is listed twice"),
        ([{"train": ["c/2-0"], "dev": ["c/2-1"], "test": []}], "1 speakers are in more than one part"),
        ([{"train": ["c/2-0"], "dev": ["c/1-0"]}], "fold 0: expected a list of names under 'test'"),
        ([{"train": [2], "dev": ["c/1-0"], "test": []}], "expected a list of names under 'train'"),
        ([{"test_speakers": ["c/00"]}, {"test_speakers": ["c/07"]}], "1 speakers are not in the table, such as 'c/07'"),
        ([{"test_speakers": ["c/00"]}, {"test_speakers": ["c/00"]}], "speaker 'c/00' is listed twice"),
        ([], "expected"),
        ("x", "expected"),
    ],
)
def test_given_files_are_checked(tmp_path: Path, folds: object, message: str) -> None:
    with pytest.raises(TableError, match=message):
        make_split(corpus([2, 2, 2]), given_file(tmp_path, folds))


def test_given_file_absent_names_the_shipped_ones() -> None:
    with pytest.raises(TableError, match="ravdess-emobox"):
        make_split(corpus([1, 1, 1]), SplitConfig(rule="given", folds="ravdess"))


def test_save_and_load_verify_the_hash(tmp_path: Path) -> None:
    split = make_split(corpus([2] * 6), SplitConfig())
    split.save(tmp_path / "split.json")
    assert Split.load(tmp_path / "split.json") == split
    tree = json.loads((tmp_path / "split.json").read_text())
    tree["train"], tree["test"] = tree["train"] + tree["test"], []
    (tmp_path / "split.json").write_text(json.dumps(tree))
    with pytest.raises(TableError, match="do not match the hash"):
        Split.load(tmp_path / "split.json")
    (tmp_path / "split.json").write_text("[]")
    with pytest.raises(TableError, match="no saved split"):
        Split.load(tmp_path / "split.json")
    with pytest.raises(EmofuseError, match="cannot be read"):
        Split.load(tmp_path / "none.json")


def test_hash_depends_on_part_and_rule_but_not_on_order() -> None:
    split = Split(("a", "b"), ("c",), (), "r")
    assert split.hash == Split(("b", "a"), ("c",), (), "r").hash
    others = [
        Split(("a",), ("b", "c"), (), "r"),
        Split(("a", "b"), (), ("c",), "r"),
        Split(("a", "b"), ("c",), (), "s"),
    ]
    assert len({split.hash, *(other.hash for other in others)}) == 4


def test_folds_do_not_depend_on_numpy_global_state() -> None:
    df = corpus([2] * 9)
    first = make_split(df, SplitConfig(seed=1))
    np.random.seed(0)
    assert make_split(df, SplitConfig(seed=1)) == first
