"""Tables and splits of the size of MSP-Podcast 2.0 are right too; benchmarks/tables.py tells how long they take."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emofuse.config import SplitConfig
from emofuse.corpora.splits import freeze, make_split, shared_speakers
from emofuse.corpora.table import COLUMNS, TableError, read_table, write_table
from emofuse.labels import DIMENSIONS, EMOTIONS

pytestmark = pytest.mark.slow

ROWS, SPEAKERS = 250_000, 3_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scale")
    for i in range(200):
        (folder / f"{i}.wav").touch()
    return folder


@pytest.fixture(scope="module")
def df(folder: Path) -> pd.DataFrame:
    """All columns filled; each row with ratings of its own by five annotators."""
    rng = np.random.default_rng(0)
    i = np.arange(ROWS)
    speaker = rng.integers(0, SPEAKERS, ROWS)
    emotion = np.array(EMOTIONS, dtype=object)[rng.integers(0, len(EMOTIONS), ROWS)]
    ratings = [
        json.dumps([{"annotator": f"e{(k + j) % 9999}", "emotion": name, "valence": 1 + k % 7} for j in range(5)])
        for k, name in enumerate(emotion)
    ]
    known = {
        "key": [f"msp/{k:06d}" for k in i],
        "file": [str(folder / f"{k % 200}.wav") for k in i],
        "start": i / 8,
        "end": i / 8 + 3,
        "speaker": [f"msp/{s}" for s in speaker],
        "gender": np.array(["female", "male"], dtype=object)[speaker % 2],
        "language": "en",
        "text": [f"what was said in utterance {k}" for k in i],
        "emotion": emotion,
        "original_emotion": emotion,
        **{dimension: rng.random(ROWS) for dimension in DIMENSIONS},
        "ratings": ratings,
        "corpus": "msp",
        "official_split": np.array(["train", "train", "dev", "test1", "test2"], dtype=object)[speaker % 5],
        "session": speaker // 2,
    }
    return pd.DataFrame({name: known[name] for name in (*COLUMNS, "official_split", "session")}).astype(
        {name: object for name in COLUMNS if name not in ("start", "end", *DIMENSIONS)}
    )


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_round_trip(folder: Path, df: pd.DataFrame, ending: str) -> None:
    write_table(df, folder / f"t{ending}")
    pd.testing.assert_frame_equal(read_table(folder / f"t{ending}"), df, check_exact=True, check_dtype=False)


def test_faults_are_found_wherever_they_are(folder: Path, df: pd.DataFrame) -> None:
    faulty = df.copy()
    faulty.loc[7, "ratings"] = faulty.loc[7, "ratings"][:-1]
    faulty.loc[200_000, "emotion"] = "happyness"
    faulty.loc[249_997, "file"] = str(folder / "gone.wav")
    faulty.loc[249_998, "valence"] = 1.01
    faulty.loc[249_999, "key"] = faulty.loc[0, "key"]
    write_table(faulty, folder / "faulty.csv")
    with pytest.raises(TableError) as error:
        read_table(folder / "faulty.csv")
    head, *lines = str(error.value).splitlines()
    assert head == f"{folder / 'faulty.csv'}: 5 kinds of errors"
    rows = {line.split(":")[0].strip() for line in lines}
    assert rows == {"row 9", "row 200002", "row 249999", "row 250000", "row 250001"}
    assert any(line.startswith("  row 250001:") and line.endswith("row 2") for line in lines)


@pytest.mark.parametrize(
    "config",
    [
        SplitConfig(rule="hold_out"),
        SplitConfig(rule="k_fold"),
        SplitConfig(rule="k_fold", stratify="emotion"),
        SplitConfig(rule="k_fold", column="session"),
        SplitConfig(rule="leave_one_out", fold=2_999),
        SplitConfig(rule="leave_one_out", column="session", dev="other_speaker", fold=1),
    ],
)
def test_every_rule_parts_all_rows_by_speakers(df: pd.DataFrame, config: SplitConfig) -> None:
    split = make_split(df, config)
    assert np.array_equal(np.sort(np.array([*split.train, *split.dev, *split.test])), df["key"].to_numpy(str))
    assert not shared_speakers(df, split)
    assert min(map(len, (split.train, split.dev, split.test))) > 30
    if config.rule == "k_fold":
        assert abs(len(split.test) - ROWS / 5) < ROWS / 100
        shares = df.set_index("key").loc[list(split.test), "emotion"].value_counts(normalize=True)
        assert (shares - 1 / len(EMOTIONS)).abs().max() < 0.01


def test_frozen_folds_come_back(folder: Path, df: pd.DataFrame) -> None:
    splits = freeze(df, SplitConfig(rule="k_fold", k=3), folder / "split.json")
    given = SplitConfig(rule="given", folds=str(folder / "split.json"), fold=2)
    assert make_split(df.iloc[::-1], given) == splits[2]
