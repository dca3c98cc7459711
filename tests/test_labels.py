"""Shared labels and the weak targets made from them."""

import numpy as np
import pandas as pd
import pytest

from emofuse.corpora.table import make_table
from emofuse.errors import EmofuseError
from emofuse.labels import DIMENSIONS, EMOTIONS, PROTOTYPES, to_shared, weak_dimensions


def test_prototypes_are_scaled_and_in_order() -> None:
    assert tuple(PROTOTYPES) == EMOTIONS and DIMENSIONS == ("arousal", "valence", "dominance")
    assert PROTOTYPES["neutral"] == (0.5, 0.5, 0.5)
    assert PROTOTYPES["anger"] == pytest.approx((0.795, 0.245, 0.625))  # pleasure -.51, arousal .59, dominance .25
    assert all(0 <= value <= 1 for values in PROTOTYPES.values() for value in values)


def test_to_shared_names_the_place_of_an_unknown_label() -> None:
    assert to_shared("joy", {"joy": "happiness"}, "x") == "happiness"
    assert to_shared("frustration", {"frustration": None}, "x") is None
    with pytest.raises(EmofuseError, match=r"t\.csv, row 3: unknown emotion 'jo'.*joy"):
        to_shared("jo", {"joy": "happiness"}, "t.csv, row 3")


def test_weak_dimensions_fill_only_what_audio_rows_lack() -> None:
    rows = [
        {"key": "empty", "file": "a.wav", "emotion": "anger"},
        {"key": "rated", "file": "a.wav", "emotion": "anger", "arousal": 0.1, "valence": 0.2, "dominance": 0.3},
        {"key": "partly", "file": "a.wav", "emotion": "fear", "arousal": 0.1},
        {"key": "no emotion", "file": "a.wav"},
        {"key": "text only", "text": "hi", "emotion": "anger"},
    ]
    df = make_table(rows, "c")
    filled = weak_dimensions(df).set_index("key")
    assert df["arousal"].isna().sum() == 3  # the given table is left as it is
    values = filled[list(DIMENSIONS)]
    assert tuple(values.loc["empty"]) == PROTOTYPES["anger"]
    assert tuple(values.loc["rated"]) == (0.1, 0.2, 0.3)
    assert tuple(values.loc["partly"]) == (0.1, *PROTOTYPES["fear"][1:])
    assert values.loc[["no emotion", "text only"]].isna().all(axis=None)
    assert filled["weak_dimensions"].dtype == bool
    assert filled.index[filled["weak_dimensions"]].tolist() == ["empty", "partly"]


def test_weak_dimensions_of_no_rows() -> None:
    df = weak_dimensions(make_table([], "c"))
    assert len(df) == 0 and df["weak_dimensions"].dtype == bool
    both = pd.concat([df, weak_dimensions(make_table([{"key": "a", "file": "f", "emotion": "fear"}], "c"))])
    assert both["arousal"].dtype == np.float64


def test_instructed_intensity_orders_the_weak_arousal_of_emotions_but_not_of_neutral():
    table = make_table(
        [
            {"key": f"{emotion}-{intensity}", "file": "a.wav", "emotion": emotion, "intensity": intensity}
            for emotion in ("anger", "neutral")
            for intensity in ("strong", "normal", None)
        ],
        "x",
    )
    arousal = weak_dimensions(table).set_index("key")["arousal"]
    assert arousal["anger-strong"] > arousal["anger-None"] > arousal["anger-normal"]
    assert arousal["neutral-strong"] == arousal["neutral-normal"] == arousal["neutral-None"] == 0.5
    assert arousal.between(0, 1).all()
