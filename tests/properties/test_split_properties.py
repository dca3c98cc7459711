"""Properties of frozen folds and of official parts; those of the rules themselves are tested beside the splits."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from emofuse.config import SplitConfig
from emofuse.corpora.splits import freeze, make_split, make_splits
from emofuse.corpora.table import TableError, make_table

GENDERS = ("female", "male", None)

rules = st.one_of(
    st.builds(lambda k, seed: SplitConfig(rule="k_fold", k=k, seed=seed), st.integers(3, 5), st.integers(0, 99)),
    st.builds(
        lambda k, seed: SplitConfig(rule="k_fold", k=k, stratify="emotion", seed=seed),
        st.integers(3, 4),
        st.integers(0, 99),
    ),
    st.just(SplitConfig(rule="leave_one_out")),
    st.builds(
        lambda dev, test, seed: SplitConfig(rule="hold_out", dev_share=dev, test_share=test, seed=seed),
        st.floats(0.05, 0.3),
        st.floats(0, 0.3),
        st.integers(0, 99),
    ),
)
utterances_per_speaker = st.lists(st.integers(1, 5), min_size=5, max_size=9)


def corpus(sizes):
    """A corpus whose i-th speaker has sizes[i] utterances."""
    rows = [
        {
            "key": f"c/{speaker}-{i}",
            "text": "x",
            "speaker": f"c/s{speaker}",
            "gender": GENDERS[speaker % 3],
            "emotion": ("anger", "neutral")[(speaker + i) % 2],
        }
        for speaker, size in enumerate(sizes)
        for i in range(size)
    ]
    return make_table(rows, "c")


def make_all(table, rule):
    try:
        return list(make_splits(table, rule))
    except TableError:  # labels so uneven that one fold would be empty
        assume(False)


@settings(max_examples=25, deadline=None)
@given(utterances_per_speaker, rules, st.randoms(use_true_random=False))
def test_frozen_folds_are_the_made_ones_whatever_the_order_of_rows(sizes, rule, random):
    table = corpus(sizes)
    order = list(range(len(table)))
    random.shuffle(order)
    shuffled = table.iloc[order].reset_index(drop=True)
    made = make_all(table, rule)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "folds.json"
        assert freeze(shuffled, rule, path) == made
        if rule.rule != "hold_out":  # each row is tested once
            assert sorted(key for split in made for key in split.test) == sorted(table["key"])
        again = Path(folder) / "again.json"
        freeze(table, rule, again)
        assert path.read_bytes() == again.read_bytes()
        given_rule = SplitConfig(rule="given", folds=str(path))
        assert list(make_splits(shuffled, given_rule)) == made
        last = given_rule.model_copy(update={"fold": len(made) - 1})
        assert make_split(table, last).hash == made[-1].hash


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["train", "dev", "test", "test2", "Train", "validation"]), min_size=4, max_size=20))
def test_official_parts_are_those_of_the_column(names):
    names = ["train", "dev", "test", *names]
    table = corpus([len(names)]).assign(official_split=names)
    split = make_split(table, SplitConfig(rule="official"))
    lower = pd.Series([name.lower() for name in names], index=table["key"]).replace("validation", "dev")
    for part in ("train", "dev", "test"):
        assert set(getattr(split, part)) == set(lower.index[lower == part])
