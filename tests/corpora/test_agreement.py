import json

import krippendorff
import numpy as np
import pandas as pd
import pytest

from emofuse.corpora.agreement import agreement, alpha, pairwise_ccc, split_half_ccc
from emofuse.corpora.table import TableError, make_table
from emofuse.metrics.scores import ccc

NAN = np.nan
# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section C: 4 observers, 12 units.
TEXTBOOK = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)


def table(data: np.ndarray, corpus: str = "c", names: bool = True) -> pd.DataFrame:
    """Rows whose annotators gave the numbers as arousal and, spelled out, as emotion."""
    rows = []
    for unit, column in enumerate(data.T):
        ratings = [
            {**({"annotator": f"e{i}"} if names else {}), "emotion": f"is {value:g}", "arousal": value}
            for i, value in enumerate(column)
            if not np.isnan(value)
        ]
        rows.append({"key": f"{corpus}/{unit:06d}", "text": "x", "ratings": json.dumps(ratings)})
    return make_table(rows, corpus)


def long(data: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    annotators, units = np.nonzero(~np.isnan(data))
    return units, annotators, data[annotators, units]


def test_published_example() -> None:
    found = agreement(table(TEXTBOOK))["c"]
    assert found["emotion"]["alpha"] == pytest.approx(0.743, abs=5e-4)
    assert found["arousal"]["alpha"] == pytest.approx(0.849, abs=5e-4)
    assert "valence" not in found
    # unit 12 has a single rating
    assert [found["arousal"][k] for k in ("utterances", "ratings", "annotators", "ccc_of")] == [11, 40, 4, "pairs"]


@pytest.mark.parametrize("seed", range(5))
def test_alpha_is_that_of_the_library(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = rng.integers(0, 6, size=(7, 40)) + rng.integers(0, 2, size=40) * 2.0
    data[rng.random(data.shape) < 0.4] = NAN
    units, _, values = long(data)
    one_hot = (values[:, None] == np.unique(values)).astype(float)
    for level, rows in (("interval", values[:, None]), ("nominal", one_hot)):
        assert alpha(units, rows) == pytest.approx(krippendorff.alpha(data, level_of_measurement=level))


@pytest.mark.parametrize("annotators", [3, 30])
def test_perfect_and_random(annotators: int) -> None:
    rng = np.random.default_rng(0)
    same = np.tile(rng.integers(1, 6, 500).astype(float), (annotators, 1))
    chance = rng.integers(1, 6, (annotators, 500)).astype(float)
    perfect, random = (agreement(table(data))["c"] for data in (same, chance))
    assert perfect["arousal"]["ccc_of"] == ("pairs" if annotators <= 20 else "halves")
    for measure, figure in (("emotion", "alpha"), ("arousal", "alpha"), ("arousal", "ccc")):
        assert perfect[measure][figure] == pytest.approx(1)
        assert abs(random[measure][figure]) < 0.05


def test_ccc_of_pairs_is_weighted_by_shared_units() -> None:
    units, annotators, values = long(TEXTBOOK)
    parts = []
    for a in range(4):
        for b in range(a + 1, 4):
            both = ~np.isnan(TEXTBOOK[a] + TEXTBOOK[b])
            parts.append((both.sum(), ccc(TEXTBOOK[a][both], TEXTBOOK[b][both])))
    expected = sum(n * value for n, value in parts) / sum(n for n, _ in parts)
    assert pairwise_ccc(units, annotators, values) == pytest.approx(expected)


def test_halves_of_two_ratings_are_the_ratings() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=400)
    y = x + rng.normal(size=400)
    units = np.repeat(np.arange(400), 2)
    found = split_half_ccc(units, np.stack([x, y], axis=1).ravel(), seed=0)
    assert found == pytest.approx(ccc(x, y), abs=0.03)
    assert found == split_half_ccc(units, np.stack([x, y], axis=1).ravel(), seed=0)
    # an odd rating is drawn out: both halves have as many
    three = split_half_ccc(np.repeat(np.arange(400), 3), np.stack([x, x, x], axis=1).ravel(), seed=0)
    assert three == pytest.approx(1)


def test_order_of_rows_does_not_matter() -> None:
    data = np.random.default_rng(2).integers(1, 8, (30, 50)).astype(float)
    df = table(data)
    assert agreement(df) == agreement(df.sample(frac=1, random_state=1)) != agreement(df, seed=1)


def test_corpora_are_apart_and_json() -> None:
    df = pd.concat([table(TEXTBOOK, "a"), table(TEXTBOOK * 10 + 7, "b"), make_table([{"key": "n", "text": "x"}], "n")])
    found = agreement(df)
    assert list(found) == ["a", "b"]
    assert found["b"]["arousal"]["alpha"] == pytest.approx(found["a"]["arousal"]["alpha"])
    json.dumps(found, allow_nan=False)
    assert agreement(make_table([{"key": "n", "text": "x"}], "n")) == {}


def test_several_categories_repeats_and_nameless() -> None:
    def row(i: int, *ratings: dict) -> dict:
        return {"key": f"c/{i}", "text": "x", "ratings": json.dumps(ratings)}

    anger, several = {"annotator": "a", "emotion": "anger"}, {"annotator": "b", "emotion": ["fear", "anger"]}
    df = make_table(
        [
            row(1, anger, several, {"annotator": "c", "emotion": ["Anger "]}),
            row(2, anger, {"annotator": "a", "emotion": "fear"}),  # the second is not another annotator's
            row(3, {"emotion": "fear"}, {"emotion": "fear"}, {"annotator": "a", "emotion": None, "arousal": None}),
            row(4),
        ],
        "c",
    )
    found = agreement(df)["c"]
    assert list(found) == ["emotion"]
    expected = {"utterances": 2, "ratings": 4, "annotators": None, "alpha": 1.0, "several_categories": 1}
    assert found["emotion"] == expected
    single = agreement(make_table([row(1, {"annotator": "a", "valence": 3})], "c"))["c"]["valence"]
    assert single == {"utterances": 0, "ratings": 0, "annotators": 0, "alpha": None, "ccc": None, "ccc_of": "pairs"}


def test_bad_ratings() -> None:
    with pytest.raises(TableError, match=r"c/1: 'high' is not a rating of arousal; expected a number"):
        agreement(make_table([{"key": "c/1", "text": "x", "ratings": '[{"arousal": "high"}]'}], "c"))
    for emotion in (5, {"anger": 1}, ["anger", 2]):
        rows = [{"key": "c/1", "text": "x", "ratings": json.dumps([{"emotion": emotion}])}]
        with pytest.raises(TableError, match=r"c/1: .* is not a rating of emotion; expected a category"):
            agreement(make_table(rows, "c"))
    with pytest.raises(TableError, match=r"c/1: ratings is not a JSON list"):
        agreement(make_table([{"key": "c/1", "text": "x", "ratings": '{"arousal": 1}'}], "c"))


def test_what_speakers_say_of_themselves_does_not_count() -> None:
    df = table(TEXTBOOK)
    own = {"annotator": "C-F1", "emotion": "other", "arousal": 9, "self": True}
    df["ratings"] = [json.dumps([*json.loads(ratings), own]) for ratings in df["ratings"]]
    assert agreement(df) == agreement(table(TEXTBOOK))
