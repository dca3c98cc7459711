"""Made-up sentences for the training of a text encoder, from the templates of made_up.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

TEMPLATES = Path(__file__).with_suffix(".toml")
_NEGATIVE = ("sadness", "anger", "fear", "disgust")


class MadeUp(NamedTuple):
    """A sentence with probabilities of GoEmotions' labels and of the shared categories."""

    text: str
    goemotions: Mapping[str, float]
    categories: Mapping[str, float]


def make_sentences(n: int, *, seed: int = 0) -> list[MadeUp]:
    """Fill templates at random, each group by its share; equal sentences can occur."""
    table = read_templates()
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(n, [group["share"] for group in table["group"]])
    return [_fill(group, table, rng) for group, count in zip(table["group"], counts, strict=True) for _ in range(count)]


@cache
def read_templates() -> dict[str, Any]:
    """The contents of made_up.toml."""
    return tomllib.loads(TEMPLATES.read_text("utf8"))


def _fill(group: Mapping[str, Any], table: Mapping[str, Any], rng: np.random.Generator) -> MadeUp:
    words = table[group.get("words", "feelings")]
    x = _draw(sorted(words), rng)
    y = _draw(_NEGATIVE, rng) if x == "joy" else "joy"
    if rng.random() < 0.5 and "{y}" in "".join(group["templates"]):  # as many positive as negative feelings
        x, y = y, x
    who, thing = (_draw(table["words"][name], rng) for name in ("who", "thing"))
    text = _draw(group["templates"], rng).format(
        x=_draw(words[x], rng),
        y=_draw(words[y], rng),
        who=who,
        Who=_capitalize(who),
        thing=thing,
        Thing=_capitalize(thing),
    )
    label = {"x": x, "y": y, "not x": "unhappy" if x == "joy" else "calm"}.get(group["label"], group["label"])
    targets = (table["labels"][label][name] for name in ("goemotions", "categories"))
    return MadeUp(_capitalize(text), *(_soften(target, group.get("strength", 1.0)) for target in targets))


def _draw(options: Sequence[Any], rng: np.random.Generator) -> Any:
    return options[int(rng.integers(len(options)))]


def _capitalize(text: str) -> str:
    return text[0].upper() + text[1:]


def _soften(target: Mapping[str, float], strength: float) -> dict[str, float]:
    """Move the rest of the probability to neutral."""
    softened = {name: strength * share for name, share in target.items()}
    softened["neutral"] = softened.get("neutral", 0.0) + 1 - strength
    return softened
