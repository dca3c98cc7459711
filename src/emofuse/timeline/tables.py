"""Predictions as flat records: what JSON, JSON Lines, CSV, Parquet and pandas have in common.

Every input gives at least one record. A segment's record has the fields of `Prediction`; a recording in which nobody
speaks has one record without times, whose `note` says so; and a file that failed has one record with its `error`.
`prediction.schema.json` describes the records.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from emofuse.audio import name_of
from emofuse.labels import DIMENSIONS
from emofuse.timeline.prediction import Prediction, Timeline

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
NOBODY_SPEAKS = "no speech was detected"
"""The note of a recording without predictions, if its timeline has no notes."""
NO_EXTRA: Mapping[str, str | None] = MappingProxyType({})


def prediction_record(prediction: Prediction, *, extra: Mapping[str, str | None] = NO_EXTRA) -> dict[str, Any]:
    """The record of a prediction: the version of the schema, the fields of `Prediction`, `error`, and `extra`.

    Args:
        prediction: a prediction.
        extra: further columns of the recording's row in the user's table; those of the segment's row come after them.
    """
    record = rounded(asdict(prediction))
    further = {**extra, **record.pop("extra")}
    return {"schema": SCHEMA_VERSION, **record, "error": None, "extra": further}


def empty_record(timeline: Timeline, *, extra: Mapping[str, str | None] = NO_EXTRA) -> dict[str, Any]:
    """The record of a recording in which nobody speaks; `note` has the notes of its timeline."""
    note = "; ".join(note.message for note in timeline.notes) or NOBODY_SPEAKS
    return _without_prediction(extra, file=timeline.file, note=note)


def failure_record(file: str, reason: str, *, extra: Mapping[str, str | None] = NO_EXTRA) -> dict[str, Any]:
    """The record of a file that could not be predicted."""
    return _without_prediction(extra, file=name_of(file), error=reason)


def timeline_records(timeline: Timeline) -> list[dict[str, Any]]:
    """The records of a recording; one if nobody speaks in it."""
    return [prediction_record(one) for one in timeline] or [empty_record(timeline)]


def flat_record(record: dict[str, Any], labels: Iterable[str], extra: Iterable[str] = ()) -> dict[str, Any]:
    """A record without nested values, as a row of a table.

    The probability of a category is in the column `p_<category>`, the ends of an interval are in
    `<dimension>_low` and `<dimension>_high`. The version of the schema is left out.

    Args:
        record: from one of the functions above.
        labels: categories that have a column, whether or not the record has their probabilities.
        extra: further columns of the user's table; "extra_" stands before the name of one that has a meaning here.
    """
    row: dict[str, Any] = {}
    for name, value in record.items():
        if name == "probabilities":
            row |= {f"p_{label}": value.get(label) for label in labels}
        elif name == "intervals":
            for dimension in DIMENSIONS:
                row[f"{dimension}_low"], row[f"{dimension}_high"] = value.get(dimension, (None, None))
        elif name not in ("schema", "extra"):
            row[name] = value
    return row | {f"extra_{name}" if name in row else name: record["extra"].get(name) for name in extra}


def table_columns(labels: Iterable[str], extra: Iterable[str] = ()) -> list[str]:
    """The columns of a table of flat records."""
    return list(flat_record(_without_prediction(NO_EXTRA), labels, extra))


def labels_of(predictions: Iterable[Prediction]) -> list[str]:
    """The categories of predictions, in the order of the first that has each."""
    return list(dict.fromkeys(label for one in predictions for label in one.probabilities))


def extra_of(predictions: Iterable[Prediction]) -> list[str]:
    """The further columns of predictions, in the order of the first that has each."""
    return list(dict.fromkeys(name for one in predictions for name in one.extra))


def to_pandas(predictions: Sequence[Prediction]) -> pd.DataFrame:
    """A table of predictions, one row each, with the columns of the CSV form."""
    import pandas as pd

    labels, extra = labels_of(predictions), extra_of(predictions)
    rows = [flat_record(prediction_record(one), labels, extra) for one in predictions]
    return pd.DataFrame(rows, columns=table_columns(labels, extra))


def rounded(value: Any, *, digits: int = 4) -> Any:
    """Plain values for JSON: floats are rounded (None if they are not finite), tuples become lists."""
    if isinstance(value, dict):
        return {key: rounded(item, digits=digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item, digits=digits) for item in value]
    if isinstance(value, float):
        return round(value, digits) if math.isfinite(value) else None
    return value


def base_name(file: str | None) -> str:
    """Last part of a path, with slashes of any system; "-" for None."""
    return "-" if file is None else file.replace("\\", "/").rpartition("/")[2]


def lane(speaker: str | None, channel: int | None) -> str | None:
    """Name of a speaker, or of the channel where the speaker has no name; None without either.

    >>> lane("Ana", 1), lane(None, 2), lane(None, None)
    ('Ana', 'channel 2', None)
    """
    return speaker or (None if channel is None else f"channel {channel}")


def _without_prediction(extra: Mapping[str, str | None], **values: str | None) -> dict[str, Any]:
    empty = dict.fromkeys(field.name for field in fields(Prediction)) | {"probabilities": {}, "intervals": {}}
    del empty["extra"]  # it is the last of a record
    return {"schema": SCHEMA_VERSION, **empty, "error": None, "extra": dict(extra), **values}
