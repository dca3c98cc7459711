"""Audit checks that need no audio; `emofuse.corpora.audit` explains the severities and their limits.

Each check takes an utterance table with the column `part` (train, dev, test; None for rows in no part).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from emofuse.corpora.checks.findings import Finding, Severity, affected, of_all, some
from emofuse.corpora.checks.near_text import JACCARD, MIN_WORDS, is_short, nearest, normalised
from emofuse.corpora.splits import PARTS, Split
from emofuse.labels import DIMENSIONS

SMALL_SHARE = 0.01  # in a smaller share of a part's rows, shared sentences are a note
MISSING_SHARE = 0.05  # in a larger share of a part's rows, missing values are a warning
ROWS_A_SENTENCE = 5  # with at least this mean, the corpus has fixed prompts
CRAMERS_V = 0.3  # a medium effect (Cohen 1988)
ROWS_A_SPEAKER = 10  # speakers with fewer rows are not checked for a single category
ONE_CATEGORY_SHARE = 0.1  # of the speakers, beyond chance
DRIFT = (0.05, 0.1)  # note, warning: total variation distance of the categories beyond chance
SHIFT = (0.2, 0.5)  # note, warning: difference of means in standard deviations (Cohen's small and medium)
SPREAD = 1.25  # note: ratio of standard deviations


def parts(table: pd.DataFrame, split: Split) -> Iterator[Finding]:
    """Check for empty parts, keys in two parts, keys that are not in the table, and rows in no part."""
    sizes = {part: len(getattr(split, part)) for part in PARTS}
    is_whole = " all_rows=" in split.rule  # parts of a corpus that trains or tests as a whole are empty on purpose
    empty = [part for part in PARTS if not sizes[part] and not is_whole]
    message = ", ".join(f"{part} {size:,}" for part, size in sizes.items())
    severity: Severity = "error" if "train" in empty else "warning" if empty else "ok"
    advice = (
        f"Add rows to {' and '.join(empty)}: training, model selection and test need one part each." if empty else ""
    )
    yield Finding("parts", severity, len(empty), len(PARTS), f"rows: {message}", advice, tuple(empty))

    listed = pd.Series([key for part in PARTS for key in getattr(split, part)], dtype=object)
    repeated = listed[listed.duplicated()].unique()
    what, advice = (
        "keys are listed more than once",
        "Make the split again: the model is tested on rows that it was trained on.",
    )
    yield affected("repeated keys", repeated, listed.nunique(), what, advice, "error")
    unknown = listed[~listed.isin(table["key"])].unique()
    what, advice = "keys of the split are not in the table", "Use the table that the split was made from."
    yield affected("unknown keys", unknown, listed.nunique(), what, advice, "error")
    left = table.loc[table["part"].isna(), "key"]
    what, advice = "rows of the table are in no part", "Add them to a part, or report this with the results."
    yield affected("rows in no part", left, len(table), what, advice, "note")


def speakers(table: pd.DataFrame, split: Split) -> Iterator[Finding]:
    """Check for speakers in two parts; rows without a speaker do not count."""
    rows = table[table["part"].notna()]
    unknown = rows.loc[rows["speaker"].isna(), "key"]
    advice = "Their speakers may be in several parts: fill the column speaker, or remove these rows."
    yield affected("unknown speakers", unknown, len(rows), "rows have no speaker", advice, "warning")
    named = {part: set(group.dropna()) for part, group in rows.groupby("part")["speaker"]}
    for first, second in itertools.combinations((part for part in PARTS if part in named), 2):
        check = f"speakers {first}/{second}"
        if not named[first] or not named[second]:
            unnamed = " and ".join(part for part in (first, second) if not named[part])
            message = f"cannot be checked: the speakers of {unnamed} are unknown"
            yield Finding(check, "warning", 0, len(named[second]), message, "Fill the column speaker.")
            continue
        shared = named[first] & named[second]
        n = int(rows.loc[rows["part"] == second, "speaker"].isin(shared).sum())
        message = f"{len(shared)} of {len(named[second])} speakers of {second} are also in {first}"
        advice = ""
        if shared:
            message += f" ({n:,} of {int((rows['part'] == second).sum()):,} rows of {second})"
            advice = "Split by speaker: the model may recognise the voice instead of the emotion."
            if split.rule.startswith("official"):
                advice = (
                    "The official split shares speakers: state with every result that it is not speaker-independent."
                )
        yield Finding(
            check, "error" if shared else "ok", len(shared), len(named[second]), message, advice, some(shared)
        )


def sentences(table: pd.DataFrame) -> Iterator[Finding]:
    """Check for sentences of dev and test that also occur in train, exactly or nearly."""
    rows = table.loc[table["part"].notna() & table["text"].notna(), ["key", "part", "text"]]
    of_text = {text: normalised(text) for text in rows["text"].unique()}
    words = [of_text[text] for text in rows["text"]]
    rows = rows.assign(words=words, sentence=[text.replace(" ", "") for text in words])
    rows = rows[rows["sentence"] != ""]
    by_part = dict(iter(rows.groupby("part")))
    train = by_part.get("train", rows[:0])
    known = set(train["sentence"])
    distinct = rows["sentence"].nunique()
    fixed = len(rows) >= ROWS_A_SENTENCE * distinct
    queries: dict[str, pd.DataFrame] = {}
    for part in ("dev", "test"):
        part_rows = by_part.get(part, rows[:0])
        shared = part_rows["sentence"].isin(known)
        queries[part] = part_rows[~shared]
        count = int(shared.sum())
        message = of_all(count, len(part_rows), f"rows of {part} with text have a sentence that is also in train")
        advice = ""
        if count and fixed:
            message += f"; by design: the corpus has {distinct:,} sentences in {len(rows):,} rows"
            advice = "With fixed prompts, words say nothing about emotion, or too much if prompts differ by category."
        elif count:
            advice = "Also report results without these rows: the model may have learned the label with the sentence."
        yield Finding(
            f"sentences train/{part}",
            _severity(count, len(part_rows)),
            count,
            len(part_rows),
            message,
            advice,
            () if fixed else some(part_rows.loc[shared, "key"]),
        )
    yield from _near_sentences(train, queries, {part: len(by_part.get(part, ())) for part in queries})


def _near_sentences(train: pd.DataFrame, queries: dict[str, pd.DataFrame], sizes: dict[str, int]) -> Iterator[Finding]:
    short = {words: is_short(words) for words in {w for rows in (train, *queries.values()) for w in rows["words"]}}

    def long_ones(rows: pd.DataFrame) -> pd.DataFrame:
        return rows[~rows["words"].map(short).astype(bool)]

    compared = {part: long_ones(rows) for part, rows in queries.items()}
    references = sorted(set(long_ones(train)["sentence"]))
    sentences = sorted({sentence for rows in compared.values() for sentence in rows["sentence"]})
    positions, _ = nearest(sentences, references)
    near = {sentences[i]: references[positions[i]] for i in np.flatnonzero(positions >= 0)}
    key_of = train.sort_values("key").drop_duplicates("sentence").set_index("sentence")["key"]
    for part, rows in compared.items():
        similar = rows[rows["sentence"].isin(near)]
        message = of_all(
            len(similar), sizes[part], f"rows of {part} with text have nearly the same sentence as a row of train"
        )
        message += f" (Jaccard index >= {JACCARD:g}"
        message += f"; {len(queries[part]) - len(rows):,} rows of under {MIN_WORDS} words were not compared)"
        advice = "Compare the examples with train: are they templates, retakes, or two transcripts of one recording?"
        yield Finding(
            f"near sentences train/{part}",
            _severity(len(similar), sizes[part]),
            len(similar),
            sizes[part],
            message,
            advice if len(similar) else "",
            some(
                f"{key} ~ {key_of[near[text]]}" for key, text in zip(similar["key"], similar["sentence"], strict=True)
            ),
        )


def _severity(count: int, of: int) -> Severity:
    return "ok" if not count else "note" if count < SMALL_SHARE * of else "warning"


def confounding(table: pd.DataFrame) -> Iterator[Finding]:
    """Check how well the speaker predicts the category."""
    column = category_column(table)
    rows = table[table["part"].notna() & table["speaker"].notna() & table[column].notna()]
    speaker, names = pd.factorize(rows["speaker"])
    category, categories = pd.factorize(rows[column])
    if len(names) < 2 or len(categories) < 2:
        message = f"nothing to compare: {len(names)} known speakers, {len(categories)} categories"
        yield Finding("speaker and label", "ok", 0, len(names), message)
        return
    v, corrected, chance = cramers_v(speaker, category)
    sizes, shares = np.bincount(speaker), np.bincount(category) / len(rows)
    cells = np.unique(speaker * len(categories) + category)
    kinds = np.bincount(cells // len(categories), minlength=len(names))
    many = sizes >= ROWS_A_SPEAKER
    single = many & (kinds == 1)
    expected = float(sum((shares ** int(n)).sum() for n in sizes[many]))
    excess = single.sum() - expected > ONE_CATEGORY_SHARE * max(many.sum(), 1)
    severe = corrected >= CRAMERS_V or bool(excess)
    message = (
        f"Cramér's V of speaker and category {v:.2f} (chance {chance:.2f}, corrected {corrected:.2f}); "
        f"{single.sum()} of {many.sum()} speakers with {ROWS_A_SPEAKER} rows or more have one category only "
        f"(chance {expected:.1f})"
    )
    advice = "The speaker predicts the category: split by speaker, and balance or weight categories within speakers."
    yield Finding(
        "speaker and label",
        "warning" if severe else "ok",
        int(single.sum()),
        int(many.sum()),
        message,
        advice if severe else "",
        some(names[single]),
    )


def cramers_v(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """Cramér's V of two arrays of codes 0..n-1: V, V corrected for bias (Bergsma 2013), and V expected by chance.

    >>> [round(float(v), 2) for v in cramers_v(np.array([0, 0, 1, 1] * 10), np.array([0, 1, 0, 1] * 10))]
    [0.0, 0.0, 0.16]
    """
    n = len(first)
    rows, columns = np.bincount(first), np.bincount(second)
    cells, counts = np.unique(first * len(columns) + second, return_counts=True)
    phi = float((counts / rows[cells // len(columns)] * (counts / columns[cells % len(columns)])).sum()) - 1
    r, k = len(rows), len(columns)
    free = (r - 1) * (k - 1) / (n - 1)
    r_corrected, k_corrected = r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)
    least = min(r_corrected, k_corrected) - 1
    corrected = math.sqrt(max(0.0, phi - free) / least) if least > 0 else 0.0
    smaller = min(r, k) - 1
    return math.sqrt(max(0.0, phi) / smaller), min(corrected, 1.0), min(1.0, math.sqrt(free / smaller))


def drift(table: pd.DataFrame) -> Iterator[Finding]:
    """Compare the categories and dimensions of dev and test with those of train."""
    column = category_column(table)
    train = table[table["part"] == "train"]
    for part in ("dev", "test"):
        rows = table[table["part"] == part]
        if len(train) and len(rows):
            yield _category_drift(train[column].dropna(), rows[column].dropna(), part)
            yield _dimension_drift(train, rows, part)


def _category_drift(train: pd.Series, rows: pd.Series, part: str) -> Finding:
    check = f"categories train/{part}"
    if not len(train) or not len(rows):
        return Finding(check, "ok", 0, len(rows), "not compared: one of the parts has no categories")
    part_shares, train_shares = rows.value_counts(normalize=True).align(
        train.value_counts(normalize=True), fill_value=0.0
    )
    distance = float((part_shares - train_shares).abs().sum() / 2)
    pooled = (part_shares * len(rows) + train_shares * len(train)) / (len(rows) + len(train))
    variance = pooled * (1 - pooled) * (1 / len(rows) + 1 / len(train))
    chance = float(np.sqrt(2 * variance / math.pi).sum() / 2)  # mean absolute difference, normal approximation
    new, lacking = sorted(part_shares.index[train_shares == 0]), sorted(part_shares.index[part_shares == 0])
    message = f"total variation distance {distance:.2f} (chance {chance:.2f})"
    message += f"; train lacks {', '.join(new)}" if new else ""
    message += f"; {part} lacks {', '.join(lacking)}" if lacking else ""
    severity: Severity = "ok"
    if distance - chance >= DRIFT[0]:
        severity = "note"
    if new or lacking or distance - chance >= DRIFT[1]:
        severity = "warning"
    advice = "Prefer UAR to accuracy; " + ("check the categories." if new or lacking else "stratify if you can.")
    count = round(distance * len(rows))
    return Finding(check, severity, count, len(rows), message, "" if severity == "ok" else advice, (*new, *lacking))


def _dimension_drift(train: pd.DataFrame, rows: pd.DataFrame, part: str) -> Finding:
    check = f"dimensions train/{part}"
    worst: Severity = "ok"
    descriptions, drifting = [], []
    for name in DIMENSIONS:
        train_values, part_values = train[name].dropna(), rows[name].dropna()
        if len(train_values) < 2 or len(part_values) < 2:
            continue
        spread = float(train_values.std()) or math.nan
        shift, ratio = float(part_values.mean() - train_values.mean()) / spread, float(part_values.std()) / spread
        # The mean of a few rows differs by chance: allow two standard errors.
        beyond = abs(shift) - 2 * math.sqrt(1 / len(part_values) + 1 / len(train_values))
        descriptions.append(
            f"{name} {part_values.mean():.2f} ± {part_values.std():.2f} "
            f"(train {train_values.mean():.2f} ± {train_values.std():.2f})"
        )
        if (abs(shift) >= SHIFT[0] and beyond > 0) or (len(part_values) >= 30 and not 1 / SPREAD <= ratio <= SPREAD):
            drifting.append(name)
            worst = "warning" if worst == "warning" or (abs(shift) >= SHIFT[1] and beyond > 0) else "note"
    message = "; ".join(descriptions) or "not compared: one of the parts has no dimensions"
    advice = "CCC counts a different mean or spread as error: report this with it." if drifting else ""
    return Finding(check, worst, len(drifting), len(descriptions), message, advice, tuple(drifting))


def missing(table: pd.DataFrame) -> Iterator[Finding]:
    """Check for rows without a transcript, label or audio."""
    labels = ["emotion", "original_emotion", *DIMENSIONS]
    rows = table[table["part"].notna()]
    absent = {
        "transcripts": rows["text"].isna(),
        "labels": rows[labels].isna().all(axis=1),
        "audio": rows["file"].isna(),
    }
    advice = {
        "transcripts": "Run speech recognition (emofuse corpus transcribe), or train with modality dropout.",
        "labels": "Training and scores ignore such rows: remove them, and report n.",
        "audio": "Complete the download, or report that the model had only words for these rows.",
    }
    for what, mask in absent.items():
        count = int(mask.sum())
        by_part = mask.groupby(rows["part"]).agg(["sum", "size"])
        shown = ", ".join(f"{p} {by_part['sum'][p]:,} of {by_part['size'][p]:,}" for p in PARTS if p in by_part.index)
        severity: Severity = "ok"
        if count:
            all_or_few = count == len(rows) or (by_part["sum"] <= MISSING_SHARE * by_part["size"]).all()
            severity = "note" if all_or_few and not (what == "labels" and count == len(rows)) else "warning"
        message = f"rows without {what.rstrip('s')}: {shown}" if count else f"every row has {what}"
        examples = some(rows.loc[mask, "key"])
        yield Finding(f"missing {what}", severity, count, len(rows), message, advice[what] if count else "", examples)


def category_column(table: pd.DataFrame) -> str:
    """Column of categories: emotion, or original_emotion if no row of a part has a shared category."""
    return "emotion" if table.loc[table["part"].notna(), "emotion"].notna().any() else "original_emotion"
