"""Explanations as JSON, or as tables for the terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, Literal

from emofuse.console import as_text
from emofuse.explanation.attribution import Explanation, Stretch, Word
from emofuse.timeline.tables import base_name

RAISED, LOWERED = "#D55E00", "#0072B2"  # of Okabe & Ito's palette, told apart by colour-blind readers too
MODALITIES = {"audio": "voice", "text": "words"}
_SIDE = 6  # characters of a bar, each way

_LEGEND = (
    "left out: prediction minus prediction without the part, also shown as bars on one scale for each segment. "
    "gradients: integrated gradients, which add up to the prediction minus its baseline, except for a rest. "
    "voice, words: Shapley values, their shares, and the prediction from each alone. "
    "Log-odds 0 is a probability of 0.5; +0.7 doubles the odds."
)


def render_explanations(
    explanations: Sequence[Explanation], form: Literal["table", "json"], *, colour: bool = False
) -> str:
    """Render explanations as tables or JSON; set colour for tables on a terminal."""
    if form == "json":
        return json.dumps([one.to_dict() for one in explanations], indent=2, ensure_ascii=False) + "\n"
    return to_table(explanations, width=None if colour else 100, colour=colour)


def to_table(explanations: Sequence[Explanation], *, width: int | None = None, colour: bool = False) -> str:
    """Render tables, `width` characters wide (None: width of the terminal)."""
    from rich.table import Table
    from rich.text import Text

    printed: list[Any] = []
    for i, one in enumerate(explanations, start=1):
        beside = Table.grid(padding=(0, 3))
        beside.add_row(*_parts(one))
        number = f"{i}. " if len(explanations) > 1 else ""
        ways = ", ".join(
            f"{MODALITIES[modality]} from {level(one, values[one.target])} (rest {move(one, rest[one.target])})"
            for (modality, values), rest in zip(one.baselines.items(), one.remainders.values(), strict=True)
        )
        printed += [
            Text(number + headline(one), style="bold"),
            Text(f"What moved the {one.output} ({level(one, one.values[one.target])}):\n"),
            _modalities(one),
            beside,
            Text(f"Gradients lead to {level(one, one.values[one.target])}: {ways}.\n"),
        ]
    return as_text(*printed, Text(_LEGEND), width=width, colour=colour)


def headline(one: Explanation) -> str:
    """Place, prediction and modalities of an explanation in one line.

    "angry.flac 0.0-3.4 s: anger 0.79, from voice and words"
    """
    said = one.prediction
    place = base_name(said.file) if said.file else "text" if said.start is None else "samples"
    if said.start is not None:
        place += f" {said.start:.1f}-{said.end:.1f} s"
    answers = [] if said.emotion is None else [f"{said.emotion} {said.confidence:.2f}"]
    if one.target != said.emotion:
        answers.append(answer(one, one.values[one.target]))
    rests = " and ".join(MODALITIES[kind] for kind in said.used.split("+"))
    if said.text and not one.words:
        rests += f" (text not used{f', {said.language}' if said.language else ''})"
    return f"{place}: {', '.join(answers)}, from {rests}{', adapted' * said.adapted}"


def answer(one: Explanation, value: float) -> str:
    """Format a value of the target, "anger 0.79"; log-odds of a category are shown as its probability."""
    is_category = one.target in one.prediction.probabilities
    return f"{one.target} {1 / (1 + math.exp(-value)) if is_category else value:.2f}"


def level(one: Explanation, value: float) -> str:
    """Format a value of the target: log-odds, or a dimension from 0 to 1."""
    return f"{value:+.2f}" if one.target in one.prediction.probabilities else f"{value:.2f}"


def move(one: Explanation, value: float) -> str:
    """Format a change of the target, with its sign."""
    return f"{value:+.2f}" if one.target in one.prediction.probabilities else f"{value:+.3f}"


def _modalities(one: Explanation) -> Any:
    """Table of the shares of voice and words."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for modality, share in one.shares.items():
        value = one.shapley[modality][one.target]
        alone = one.alone.get(modality)
        table.add_row(
            MODALITIES[modality],
            Text(f"{share:4.0%}"),
            Text("█" * round(share * 24), style=_style(value)),
            f"{move(one, value)}{'' if alone is None else f', alone: {answer(one, alone[one.target])}'}",
        )
    return table


def _parts(one: Explanation) -> list[Any]:
    """Tables of words and stretches, without empty ones."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    kinds: dict[str, Sequence[Word | Stretch]] = {"word": one.words, "time (s)": one.stretches}
    tables = []
    for title, parts in kinds.items():
        if not parts:
            continue
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column(title, overflow="fold")
        table.add_column("left out", justify="right", no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column("gradients", justify="right", no_wrap=True)
        for part in parts:
            value = part.left_out[one.target]
            name = f"{part.start:.1f}-{part.end:.1f}" if isinstance(part, Stretch) else part.word
            bar = Text(_bar(value / one.widest if one.widest else 0.0), style=_style(value))
            table.add_row(Text(name), move(one, value), bar, move(one, part.gradients[one.target]))
        tables.append(table)
    return tables


def _bar(share: float) -> str:
    """Draw a bar from the middle: to the right for positive, to the left for negative, in half characters.

    >>> _bar(1.0), _bar(-0.25), _bar(0.0)
    ('      │██████', '    ▐█│      ', '      │      ')
    """
    full, half = divmod(round(abs(share) * 2 * _SIDE), 2)
    if share < 0:
        return ("▐" * half + "█" * full).rjust(_SIDE) + "│" + " " * _SIDE
    return " " * _SIDE + "│" + ("█" * full + "▌" * half).ljust(_SIDE)


def _style(value: float) -> str:
    return RAISED if value > 0 else LOWERED
