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
from emofuse.corpora import splits
from emofuse.corpora.splits import Split, freeze, in_words, make_split, n_folds, shared_speakers
from emofuse.corpora.table import TableError, make_table
from emofuse.errors import EmofuseError
from emofuse.labels import EMOTIONS


def corpus(sizes: list[int], genders: str = "fm") -> pd.DataFrame:
    """Speakers with so many rows each; two speakers a session; emotions in turn, a third of the speakers have one."""
    names = {"f": "female", "m": "male", "-": None}
    rows = [
        {
            "key": f"c/{s}-{i}",
            "text": "x",
            "speaker": f"c/{s:02d}",
            "gender": names[genders[s % len(genders)]],
            "session": s // 2 + 8,
            "emotion": EMOTIONS[i % 3 if s % 3 else 0],
        }
        for s, size in enumerate(sizes)
        for i in range(size)
    ]
    return make_table(rows, "c")


def speakers(df: pd.DataFrame, keys: tuple[str, ...]) -> set[str]:
    return set(df.loc[df["key"].isin(keys), "speaker"])


columns = st.sampled_from([None, "speaker", "session"])
configs = st.one_of(
    st.builds(
        lambda column, stratify, k, fold, seed: SplitConfig(
            rule="k_fold", column=column, stratify=stratify, k=k, fold=fold % k, seed=seed
        ),
        columns,
        st.sampled_from([None, "emotion"]),
        st.integers(3, 4),
        st.integers(0, 3),
        st.integers(0, 99),
    ),
    st.builds(
        lambda column, fold: SplitConfig(rule="leave_one_out", column=column, fold=fold), columns, st.integers(0, 3)
    ),
    st.builds(
        lambda fold: SplitConfig(rule="leave_one_out", column="session", dev="other_speaker", fold=fold),
        st.integers(0, 7),
    ),
    st.builds(
        lambda column, dev, test, seed: SplitConfig(column=column, dev_share=dev, test_share=test, seed=seed),
        columns,
        st.floats(0.01, 0.3),
        st.floats(0, 0.3),
        st.integers(0, 99),
    ),
)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=4, max_size=7).map(lambda p: [*sum(p, ())]),
    configs,
    st.sampled_from(["fm", "f", "-", "fmm-"]),
    st.randoms(),
)
def test_speaker_disjoint_complete_and_independent_of_row_order(sizes, config, genders, random) -> None:
    df = corpus(sizes, genders)
    try:
        split = make_split(df, config)
    except TableError as error:  # labels so uneven that one fold would be empty
        assert config.stratify and "is empty" in str(error)
        return
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
    with pytest.raises(TableError, match="rule, hash, train"):
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


def keys_by(df: pd.DataFrame, column: str, *values: object) -> tuple[str, ...]:
    return tuple(sorted(df.loc[df[column].isin(values), "key"]))


def test_leave_one_session_out_in_natural_order() -> None:
    df = corpus([2] * 10)  # sessions 8, 9, 10, 11, 12
    config = SplitConfig(rule="leave_one_out", column="session", fold=1)
    split = make_split(df, config)
    assert n_folds(df, config) == 5 and split.rule == "leave_one_out column=session fold=1"
    assert split.test == keys_by(df, "session", 9) and split.dev == keys_by(df, "session", 10)
    assert make_split(df.assign(session=df["session"].astype(float)), config) == split
    assert make_split(df.assign(session=df["session"].map("s{}".format)), config) == split


def test_the_other_speaker_of_the_session_is_for_development() -> None:
    df = corpus([2, 3] * 5)
    config = SplitConfig(rule="leave_one_out", column="session", dev="other_speaker")
    assert n_folds(df, config) == 10
    split = make_split(df, config.model_copy(update={"fold": 3}))
    assert split.test == keys_by(df, "speaker", "c/03") and split.dev == keys_by(df, "speaker", "c/02")
    assert split.train == tuple(sorted(set(df["key"]) - set(keys_by(df, "session", 9))))
    df.loc[0, "session"] = 12
    with pytest.raises(TableError, match="c/00 has 8, 12"):
        make_split(df, config)
    with pytest.raises(TableError, match="c/04 is alone in 10"):
        make_split(corpus([2] * 5), config)
    with pytest.raises(TableError, match="leaves no session for training: all rows have session 8"):
        make_split(corpus([2, 2]), config)


def test_stratified_folds_have_like_shares_and_are_seeded() -> None:
    df = corpus([5] * 40)
    df["emotion"] = df["speaker"].map({f"c/{s:02d}": (*EMOTIONS[:3], None)[s % 7 % 4] for s in range(40)})
    expected = df["emotion"].fillna("").value_counts() / 4
    tests, uneven = [], 0
    for seed in range(3):
        config = SplitConfig(rule="k_fold", k=4, stratify="emotion", seed=seed)
        parts = [make_split(df, config.model_copy(update={"fold": fold})) for fold in range(4)]
        for fold, part in enumerate(parts):
            counts = df[df["key"].isin(part.test)]["emotion"].fillna("").value_counts()
            assert (counts - expected).abs().max() <= 5  # a speaker
            assert part.dev == parts[(fold + 1) % 4].test
        other = make_split(df, config.model_copy(update={"stratify": None}))
        counts = df[df["key"].isin(other.test)]["emotion"].fillna("").value_counts()
        uneven += (counts.reindex(expected.index, fill_value=0) - expected).abs().max() > 5
        assert parts[0].rule == f"k_fold k=4 stratify=emotion fold=0 seed={seed}"
        tests.append(parts[0].test)
    assert len(set(tests)) > 1 and uneven
    with pytest.raises(TableError, match="no column mood to stratify by"):
        make_split(df, SplitConfig(rule="k_fold", stratify="mood"))


@pytest.mark.parametrize("rule", ["k_fold", "leave_one_out", "hold_out"])
def test_groups_by_another_column_keep_speakers_apart_unless_told(rule: str) -> None:
    df = corpus([4] * 10)
    df["take"] = [i % 4 for i in range(len(df))]
    options = {"k_fold": {"k": 4}, "hold_out": {"dev_share": 0.25, "test_share": 0.25}}
    config = SplitConfig(rule=rule, column="take", **options.get(rule, {}))
    with pytest.raises(TableError, match=r"10 of 10 speakers .* \(such as c/00\).*allow_shared_speakers = true"):
        make_split(df, config)
    allowed = config.model_copy(update={"allow_shared_speakers": True})
    split = make_split(df, allowed)
    assert len(split.dev) == len(split.test) == 10 and len(shared_speakers(df, split)) == 10
    df.loc[3, "speaker"] = None
    with pytest.raises(TableError, match="1 of 40 rows have no speaker"):
        make_split(df, config)
    assert make_split(df, allowed) == split
    df["take"] = df["take"].astype(object).where(df.index != 5, None)
    with pytest.raises(TableError, match=r"1 of 40 rows have no take \(first: c/1-1\), so no split can be made"):
        make_split(df, allowed)
    with pytest.raises(TableError, match="no column room"):
        make_split(df, SplitConfig(rule=rule, column="room"))


def test_official_test_parts_are_kept_apart() -> None:
    df = corpus([1] * 8)
    df["Split_Set"] = ["Train", " TRAIN ", "Development", "Test1", "Test1", "Test2", "Test3", "test10"]
    split = make_split(df, SplitConfig(rule="official", column="Split_Set", test="Test1"))
    assert split == Split(("c/0-0", "c/1-0"), ("c/2-0",), ("c/3-0", "c/4-0"), "official column=Split_Set test=Test1")
    assert make_split(df, SplitConfig(rule="official", column="Split_Set", test="test3")).test == ("c/6-0",)
    for test in ("test", "test4", "dev"):
        with pytest.raises(
            TableError, match=f"no {test} rows. Set the key `test` to test1 or test2 or test3 or test10"
        ):
            make_split(df, SplitConfig(rule="official", column="Split_Set", test=test))
    none = df.assign(Split_Set=["train", "dev"] * 4)
    assert make_split(none, SplitConfig(rule="official", column="Split_Set")).test == ()
    with pytest.raises(TableError, match=r"no test1 rows"):
        make_split(none, SplitConfig(rule="official", column="Split_Set", test="test1"))


def test_given_folds_may_share_speakers_where_allowed(tmp_path: Path) -> None:
    config = given_file(tmp_path, [{"train": ["c/2-0"], "dev": ["c/2-1"], "test": []}])
    split = make_split(corpus([2, 2, 2]), config.model_copy(update={"allow_shared_speakers": True}))
    assert split.dev == ("c/2-1",)


def frozen_config(path: Path, fold: int = 0) -> SplitConfig:
    return SplitConfig(rule="given", folds=str(path), fold=fold)


@pytest.mark.parametrize(
    "config",
    [
        SplitConfig(rule="k_fold", k=3, stratify="emotion", seed=4, fold=2),
        SplitConfig(rule="leave_one_out", column="session", dev="other_speaker"),
        SplitConfig(rule="hold_out", column="session"),
        SplitConfig(rule="official", column="part", test="test2"),
        SplitConfig(rule="k_fold", k=3, column="part", allow_shared_speakers=True),
        SplitConfig(rule="given", folds="own"),
    ],
)
def test_frozen_splits_come_back_as_they_were(tmp_path: Path, config: SplitConfig) -> None:
    df = corpus([6] * 10)
    df["part"] = ["train", "dev", "test1", "test2"] * 15
    if config.rule == "given":
        folds = [{"test_speakers": [f"c/{s:02d}" for s in range(i, 10, 3)]} for i in range(3)]
        config = given_file(tmp_path, folds)
    path = tmp_path / "my split.json"
    splits = freeze(df, config, path)
    assert len(splits) == n_folds(df, config) == n_folds(df, frozen_config(path))
    again = [make_split(df.sample(frac=1, random_state=1), frozen_config(path, i)) for i in range(len(splits))]
    assert again == splits and [a.hash for a in again] == [s.hash for s in splits]
    assert splits == [make_split(df, config.model_copy(update={"fold": i})) for i in range(len(splits))]
    tree = json.loads(path.read_text())
    assert tree["format"] == tree["rule_version"] == 1 and tree["rule"] == in_words(config) and tree["rows"] == 60
    assert SplitConfig(**tree["config"]) == config.model_copy(update={"fold": 0})
    first = tree["folds"][0]
    assert first["counts"] == {"train": len(splits[0].train), "dev": len(splits[0].dev), "test": len(splits[0].test)}
    assert first["speakers"]["test"] == sorted(speakers(df, splits[0].test))
    with pytest.raises(TableError, match="out of range"):
        make_split(df, frozen_config(path, len(splits)))


def edited(path: Path, change) -> Path:
    tree = json.loads(path.read_text())
    change(tree)
    path.write_text(json.dumps(tree))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t["folds"][1]["train"].append(t["folds"][1]["test"].pop()),
            "fold 1: the keys do not match the hash",
        ),
        (lambda t: t["folds"][1].pop("test"), "fold 1: "),
        (lambda t: t["folds"][2]["speakers"]["test"].pop(), "speakers or counts do not match the hash"),
        (lambda t: t["config"].update(seed=9), "do not match the hash; the file was changed"),
        (lambda t: t.update(format=2), "frozen in format 2; this version of emofuse reads format 1"),
        (lambda t: t["folds"].pop(0), "do not match the hash"),
    ],
)
def test_edited_frozen_splits_are_refused(tmp_path: Path, change, message: str) -> None:
    df = corpus([2] * 9)
    path = tmp_path / "split.json"
    freeze(df, SplitConfig(rule="k_fold", k=3), path)
    with pytest.raises(TableError, match=message):
        make_split(df, frozen_config(edited(path, change), 1))


def test_more_folds_than_a_file_can_hold(tmp_path: Path) -> None:
    df = corpus([1] * 5_000)
    with pytest.raises(TableError, match=r"5,000 folds of 5,000 rows would hold 25,000,000 keys.*Use fewer folds"):
        freeze(df, SplitConfig(rule="leave_one_out"), tmp_path / "split.json")
    assert not list(tmp_path.iterdir())


def test_frozen_splits_refuse_a_changed_table(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    df = corpus([2] * 9)
    config, path = SplitConfig(rule="k_fold", k=3), tmp_path / "split.json"
    split = freeze(df, config, path)[1]
    with pytest.raises(TableError, match=r"fold 1: 1 keys are not in the table, such as 'c/0-0'"):
        make_split(df[1:], frozen_config(path, 1))
    more = pd.concat([df, corpus([3]).tail(1)], ignore_index=True)
    with caplog.at_level(logging.WARNING):
        assert make_split(more, frozen_config(path, 1)) == split
    assert "fold 1: 1 of 19 rows are in no part" in caplog.text
    renamed = df.assign(speaker=df["speaker"].where(df["key"] != split.test[0], "c/new"))
    with pytest.raises(TableError, match="fold 1: the table was changed: c/new is now a speaker of the test part"):
        make_split(renamed, frozen_config(path, 1))
    merged = df.assign(
        speaker=df["speaker"].replace(sorted(speakers(df, split.dev))[0], sorted(speakers(df, split.dev))[1])
    )
    with pytest.raises(TableError, match="is no longer a speaker of the dev part"):
        make_split(merged, frozen_config(path, 1))


def test_splits_frozen_by_other_rules_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    df, path = corpus([2] * 9), tmp_path / "split.json"
    split = freeze(df, SplitConfig(rule="k_fold", k=3), path)[0]
    monkeypatch.setattr(splits, "RULE_VERSION", 2)
    assert make_split(df, frozen_config(path)) == split
    assert "frozen by version 1" in caplog.text


def test_freeze_writes_all_or_nothing(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="needs at least 5 speakers"):
        freeze(corpus([1, 1]), SplitConfig(rule="k_fold"), tmp_path / "split.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("config", "parts"),
    [
        ({"rule": "k_fold", "k": 4, "stratify": "emotion"}, ["4 folds", "speaker", "shares of emotion", "seed 0"]),
        ({"rule": "k_fold", "column": "session"}, ["5 folds", "session", "genders"]),
        ({"rule": "hold_out", "test_share": 0.2}, ["15% of the values of speaker", "20% for test"]),
        ({"rule": "official", "test": "test1"}, ["official_split", "test1 is for test"]),
        ({"rule": "leave_one_out", "column": "session", "dev": "other_speaker"}, ["each speaker", "same session"]),
        ({"rule": "given", "folds": "ravdess-emobox"}, ["ravdess-emobox"]),
    ],
)
def test_rules_in_words(config: dict, parts: list[str]) -> None:
    for part in parts:
        assert part in in_words(SplitConfig(**config))
