"""Statistics of an utterance table: hours, speakers, labels, text and agreement of annotators."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emofuse.audio import SAMPLE_RATE, AudioError, read_audio
from emofuse.console import as_text
from emofuse.corpora.agreement import agreement, votes_of
from emofuse.labels import DIMENSIONS

_BINS = 20
_LONGEST = 7 * 24 * 3600  # seconds; a header that claims more was never completed
_NAMES = ("emotion", "original_emotion", "official_split")


def describe(df: pd.DataFrame) -> dict[str, Any]:
    """Statistics of a table as JSON-serialisable values; undefined ones are None.

    Numbers are described by n, mean, sd (population), min, q1, median, q3, max and a histogram of 20 bins.

    Returns:
        `rows`; `corpora`, `languages`, `genders` (n and share of rows of each value); `audio` (`rows`, `without`,
        `unreadable`, `files`, `hours` of the utterances, `seconds` of each); `speakers` (`n`, `rows_without`, by
        gender, `rows_each`); `emotion`, `original_emotion`, `official_split` (n, share, and n by gender of each value;
        rows `without`); `dimensions` (0..1); `text` (`rows`, `without`, `words` of each transcript); `votes` (`rows`,
        number of `votes`, share of the `winning` category) where there are any; `agreement` by corpus (see
        `emofuse.corpora.agreement`).

    Raises:
        TableError: votes or ratings are not valid JSON of the expected form.
    """
    return {
        "rows": len(df),
        "corpora": _values(df["corpus"]),
        "languages": _values(df["language"]),
        "genders": _values(df["gender"]),
        "audio": _audio(df),
        "speakers": _speakers(df),
        **{name: _by_gender(df, name) for name in _NAMES if name in df.columns and df[name].notna().any()},
        "dimensions": {
            name: _numbers(df[name].dropna(), range=(0.0, 1.0)) for name in DIMENSIONS if df[name].notna().any()
        },
        "text": {**_filled(df["text"]), "words": _numbers(word_counts(df))},
        **({"votes": votes} if (votes := _votes(df)) else {}),
        "agreement": agreement(df),
    }


def seconds_of(df: pd.DataFrame) -> NDArray[np.float64]:
    """Duration of each row's clip in seconds, rounded to microseconds; NaN without readable audio.

    It follows from start and end if both are given, else from the header of the file, which is read once (the file is
    decoded if its header has no duration).
    """
    lengths = np.full(len(df), np.nan)
    for row, (file, start, end) in enumerate(zip(df["file"], df["start"], df["end"], strict=True)):
        if isinstance(file, str):
            last = _file_seconds(file) if np.isnan(end) else end
            lengths[row] = max(last - (0.0 if np.isnan(start) else start), 0.0)
    return lengths.round(6)  # np.histogram fails on values that differ by rounding errors only


def word_counts(df: pd.DataFrame) -> pd.Series:
    """Number of words, separated by white space, of each transcript."""
    return df["text"].dropna().map(lambda text: len(str(text).split())).astype(float)


def render_stats(stats: dict[str, Any]) -> str:
    """The result of `describe` as tables for the terminal."""
    parts = [_overview(stats)]
    parts += [_category_table(name, stats[name]["values"]) for name in _NAMES if name in stats]
    parts += [_category_table(name, stats[name]) for name in ("corpora", "languages") if len(stats[name]) > 1]
    parts.append(_number_table(stats))
    if stats["agreement"]:
        parts.append(_agreement_table(stats["agreement"]))
    return "\n".join(parts)


@lru_cache(maxsize=1 << 20)
def _file_seconds(file: str) -> float:
    import soundfile

    try:
        header = soundfile.info(file)
        if 0 < header.frames < _LONGEST * header.samplerate:
            return header.frames / header.samplerate
    except (soundfile.LibsndfileError, TypeError):  # TypeError: soundfile takes the ending .raw for headerless audio
        pass
    try:
        return len(read_audio(file)) / SAMPLE_RATE
    except AudioError:
        return float("nan")


def _audio(df: pd.DataFrame) -> dict[str, Any]:
    lengths = seconds_of(df)
    known = np.sort(lengths[~np.isnan(lengths)])
    with_file = int(df["file"].notna().sum())
    return {
        "rows": with_file,
        "without": len(df) - with_file,
        "unreadable": with_file - len(known),
        "files": int(df["file"].nunique()),
        "hours": float(known.sum() / 3600),
        "seconds": _numbers(known),
    }


def _speakers(df: pd.DataFrame) -> dict[str, Any]:
    rows = df.groupby("speaker").size()
    genders = df.sort_values("key").groupby("speaker")["gender"].first()
    return {
        "n": len(rows),
        "rows_without": int(df["speaker"].isna().sum()),
        "genders": _values(genders),
        "rows_each": _numbers(rows),
    }


def _votes(df: pd.DataFrame) -> dict[str, Any] | None:
    if "votes" not in df.columns or not df["votes"].notna().any():
        return None
    cast, winning = [], []
    given = df[df["votes"].notna()]
    for key, text in zip(given["key"], given["votes"], strict=True):
        numbers = votes_of(text, key).values()
        if sum(numbers) > 0:
            cast.append(sum(numbers))
            winning.append(max(numbers) / sum(numbers))
    return {"rows": len(cast), "votes": _numbers(cast), "winning": _numbers(winning, range=(0.0, 1.0))}


def _values(column: pd.Series) -> dict[str, dict[str, Any]]:
    """Number and share of rows of each value, most frequent first."""
    counts = column.dropna().astype(str).value_counts()
    order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {str(value): {"n": int(n), "share": float(n / len(column))} for value, n in order}


def _filled(column: pd.Series) -> dict[str, Any]:
    filled = int(column.notna().sum())
    without = len(column) - filled
    return {"rows": filled, "without": without, "share_without": without / len(column) if len(column) else None}


def _by_gender(df: pd.DataFrame, name: str) -> dict[str, Any]:
    values = _values(df[name])
    if df["gender"].notna().any():
        counts = pd.crosstab(df[name].astype(str)[df[name].notna()], df["gender"].fillna("unknown"))
        for value, entry in values.items():
            entry["by_gender"] = {str(gender): int(n) for gender, n in counts.loc[value].items() if n}
    return {"without": int(df[name].isna().sum()), "values": values}


def _numbers(values: Any, range: tuple[float, float] | None = None) -> dict[str, Any]:
    x = np.sort(np.asarray(values, dtype=np.float64))  # sums must not depend on the order of rows
    if not len(x):
        return {"n": 0}
    counts, edges = np.histogram(x, bins=_BINS, range=range)
    quartiles = dict(zip(("min", "q1", "median", "q3", "max"), np.quantile(x, (0, 0.25, 0.5, 0.75, 1)), strict=True))
    return {
        "n": len(x),
        "mean": float(x.mean()),
        "sd": float(x.std()),
        **{name: float(value) for name, value in quartiles.items()},
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }


def _overview(stats: dict[str, Any]) -> str:
    audio, speakers, text = stats["audio"], stats["speakers"], stats["text"]
    genders = ", ".join(f"{entry['n']} {gender}" for gender, entry in speakers["genders"].items())
    lines = [
        ("rows", f"{stats['rows']}"),
        ("audio", f"{audio['hours']:.2f} h in {audio['files']} files"),
        ("speakers", f"{speakers['n']}" + (f" ({genders})" if genders else "")),
        ("text", f"{text['rows']} rows"),
        ("languages", ", ".join(stats["languages"]) or "unknown"),
        ("corpora", ", ".join(stats["corpora"])),
    ]
    notes = [
        (audio["without"], "rows have no audio"),
        (audio["unreadable"], "rows have audio that cannot be read"),
        (speakers["rows_without"], "rows have no speaker"),
        (text["without"], "rows have no text"),
        *((stats[name]["without"], f"rows have no {name}") for name in _NAMES if name in stats),
    ]
    lines += [("", f"{n} {what}") for n, what in notes if n]
    return "".join(f"{name:<10}{value}\n" for name, value in lines)


def _category_table(name: str, values: dict[str, dict[str, Any]]) -> str:
    genders = sorted({gender for entry in values.values() for gender in entry.get("by_gender", {})})
    rows = [
        [value, str(entry["n"]), f"{entry['share']:.1%}", *(str(entry["by_gender"].get(g, 0)) for g in genders)]
        for value, entry in values.items()
    ]
    return _table([name, "rows", "share", *genders], rows)


def _number_table(stats: dict[str, Any]) -> str:
    described: list[tuple[str, dict[str, Any]]] = [
        ("duration (s)", stats["audio"]["seconds"]),
        ("words per transcript", stats["text"]["words"]),
        ("rows per speaker", stats["speakers"]["rows_each"]),
        *((f"{name} (0..1)", numbers) for name, numbers in stats["dimensions"].items()),
    ]
    if "votes" in stats:
        described += [
            ("votes per row", stats["votes"]["votes"]),
            ("share of winning votes", stats["votes"]["winning"]),
        ]
    names = ("mean", "sd", "min", "q1", "median", "q3", "max")
    rows = [[title, str(x["n"]), *(f"{x[name]:.2f}" for name in names)] for title, x in described if x["n"]]
    return _table(["", "n", *names], rows)


def _agreement_table(agreement_of: dict[str, dict[str, Any]]) -> str:
    rows = [
        [
            *(corpus, measure, _figure(x["alpha"]), _figure(x.get("ccc")), x.get("ccc_of", "")),
            *(str(x["utterances"]), str(x["ratings"]), "unknown" if x["annotators"] is None else str(x["annotators"])),
        ]
        for corpus, measures in agreement_of.items()
        for measure, x in measures.items()
    ]
    header = ["agreement", "", "alpha", "CCC", "of", "utterances", "ratings", "annotators"]
    notes = ["alpha: Krippendorff's, nominal for emotion, interval for dimensions.\n"]
    if any(row[4] == "pairs" for row in rows):
        notes.append(
            "CCC of pairs: mean over pairs of annotators, weighted by the number of utterances that both rated.\n"
        )
    if any(row[4] == "halves" for row in rows):
        notes.append("CCC of halves: between the means of two random halves of each utterance's ratings.\n")
    several = sum(measures.get("emotion", {}).get("several_categories", 0) for measures in agreement_of.values())
    if several:
        notes.append(f"{several} ratings with several categories are left out for emotion.\n")
    return _table(header, rows) + "".join(notes)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(header):
        figures = all(row[number][:1] in "-0123456789" for row in rows)
        table.add_column(name, justify="right" if figures and number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return "\n".join(line for line in as_text(table, width=200).splitlines() if line) + "\n"
