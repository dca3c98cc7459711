"""Format predictions and metrics as JSON, CSV, or tables for the terminal."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from emofuse.console import as_text
from emofuse.labels import DIMENSIONS

if TYPE_CHECKING:
    from emofuse.timeline.prediction import Prediction

_PER_CLASS = {"precision_per_class": "precision", "recall_per_class": "recall", "f1_per_class": "F1"}


def render_predictions(
    predictions: Sequence[Prediction], form: Literal["table", "json", "csv"], *, colour: bool = False
) -> str:
    """Format predictions in one of three forms; `colour` is for tables on a terminal."""
    if form == "table":
        return to_table(predictions, width=None if colour else 100, colour=colour)
    return to_json(predictions) if form == "json" else to_csv(predictions)


def to_json(predictions: Sequence[Prediction]) -> str:
    """Format predictions as a JSON list of objects with the fields of `Prediction`."""
    return json.dumps([rounded(asdict(p)) for p in predictions], indent=2, ensure_ascii=False) + "\n"


def to_csv(predictions: Sequence[Prediction]) -> str:
    """Format predictions as CSV, one row each; the probability of a category is in the column `p_<category>`."""
    buffer = io.StringIO()
    rows = [_flat(p) for p in predictions]
    writer = csv.DictWriter(buffer, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def to_table(predictions: Sequence[Prediction], *, width: int | None = None, colour: bool = False) -> str:
    """Format predictions as a table, `width` characters wide (None for the width of the terminal)."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    has_file = any(p.file for p in predictions)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=False)
    for name in (["file", "time (s)"] if has_file else []) + ["transcript", "emotion", "A / V / D", "used"]:
        table.add_column(name, overflow="fold", no_wrap=name not in ("file", "transcript"))
    previous = None
    for p in predictions:
        place = []
        if has_file:
            place = ["" if p.file == previous else base_name(p.file), _time(p)]
            previous = p.file
        values = [getattr(p, name) for name in DIMENSIONS]
        avd = "-" if None in values else " ".join(f"{value:.2f}" for value in values)
        used = f"{p.used}\nadapted" if p.adapted else p.used
        table.add_row(*(Text(cell) for cell in (*place, _words(p), _top(p), avd, used)))
    return as_text(table, width=width, colour=colour)


def render_metrics(metrics: dict[str, Any]) -> str:
    """Format nested metrics, one per line; a value with its interval and n, a class with all its metrics.

    >>> uar = {"value": 0.51234, "low": 0.4, "high": 0.6, "n": 40, "speakers": 4}
    >>> print(render_metrics({"test": {"uar": uar, "ece": 0.1}}), end="")
    test.uar  0.512 (0.400 .. 0.600), n 40, 4 speakers
    test.ece  0.100
    """
    rows = list(_leaves(metrics))
    width = max((len(name) for name, _ in rows), default=0)
    return "".join(f"{name:<{width}}  {value}\n" for name, value in rows)


def rounded(value: Any, *, digits: int = 4) -> Any:
    """Round the floats in nested values, and turn tuples into lists."""
    if isinstance(value, dict):
        return {key: rounded(item, digits=digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item, digits=digits) for item in value]
    return round(value, digits) if isinstance(value, float) else value


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict):
        yield name, _short(value)
    elif "low" in value:
        low, high = _short(value["low"]), _short(value["high"])
        yield name, f"{_short(value['value'])} ({low} .. {high}), n {value['n']}, {value['speakers']} speakers"
    else:
        by_class = {metric: value[key] for key, metric in _PER_CLASS.items() if key in value}
        for key, item in value.items():
            if key == "recall_per_class":
                for label in item:
                    figures = ", ".join(f"{metric} {_short(values[label])}" for metric, values in by_class.items())
                    yield f"{name}.{label}" if name else label, figures
            elif key not in _PER_CLASS:
                yield from _leaves(item, f"{name}.{key}" if name else str(key))


def _short(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _top(prediction: Prediction, n: int = 3) -> str:
    """The most probable category with a bar, marked "?" if uncertain, and the next ones."""
    if not prediction.probabilities:
        return "-"
    ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])[:n]
    (best, p), rest = ranked[0], ranked[1:]
    mark = "?" if prediction.uncertain else ""
    return "\n".join([f"{best}{mark} {p:.2f} {'█' * max(1, round(p * 6))}", *(f"{label} {p:.2f}" for label, p in rest)])


def _words(prediction: Prediction) -> str:
    if prediction.text is None:
        return "-"
    note = "" if "text" in prediction.used else f" [{prediction.language or 'text'}: not used]"
    return prediction.text + note


def _time(prediction: Prediction) -> str:
    return "-" if prediction.start is None else f"{prediction.start:.1f}-{prediction.end:.1f}"


def base_name(file: str | None) -> str:
    """Last part of a path, with slashes of any system; "-" for None."""
    return "-" if file is None else file.replace("\\", "/").rpartition("/")[2]


def _flat(prediction: Prediction) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, value in rounded(asdict(prediction)).items():
        if name == "probabilities":
            row.update({f"p_{label}": p for label, p in value.items()})
        elif name == "intervals":  # every row has these columns
            for dimension in DIMENSIONS:
                row[f"{dimension}_low"], row[f"{dimension}_high"] = value.get(dimension, (None, None))
        else:
            row[name] = value
    return row
