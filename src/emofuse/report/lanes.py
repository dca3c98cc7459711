"""The predictions of a timeline by lane: one for each speaker or channel; and the colours of emotions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise
from typing import NamedTuple

import numpy as np

from emofuse.errors import EmofuseError
from emofuse.labels import EMOTIONS
from emofuse.plot_style import EMOTION_COLOURS, PALETTE
from emofuse.timeline.prediction import Prediction


class Block(NamedTuple):
    """A prediction and the seconds of the recording in which it is drawn."""

    start: float
    end: float
    prediction: Prediction

    @property
    def seconds(self) -> float:
        """Its duration."""
        return self.end - self.start

    @property
    def kind(self) -> tuple[str | None, bool]:
        """The emotion, and whether the prediction is uncertain."""
        return self.prediction.emotion, bool(self.prediction.uncertain)


@dataclass(frozen=True)
class Lane:
    """The predictions for one speaker or channel, in order of time, drawn without overlap."""

    name: str
    channel: int | None
    speaker: str | None
    blocks: Sequence[Block]


def lanes_of(predictions: Iterable[Prediction]) -> list[Lane]:
    """Sort the predictions of a recording into lanes, in order of channel and first appearance.

    Where segments of a lane overlap, as windows that slide do, each is drawn until the next one starts.

    Raises:
        EmofuseError: a prediction has no times, because it is for a text alone.
    """
    by_lane: dict[tuple[int | None, str | None], list[Block]] = {}
    for one in predictions:
        if one.start is None or one.end is None:
            raise EmofuseError("A prediction for a text alone has no times, so it cannot be shown on a timeline.")
        by_lane.setdefault((one.channel, one.speaker), []).append(Block(one.start, one.end, one))
    several_channels = len({channel for channel, _ in by_lane}) > 1
    named = any(speaker is not None for _, speaker in by_lane)
    lanes = []
    for (channel, speaker), blocks in by_lane.items():
        parts = [f"channel {channel}"] if channel is not None and (several_channels or not named) else []
        parts += [speaker or "unknown speaker"] if named else []
        lanes.append(Lane(", ".join(parts) or "speech", channel, speaker, _without_overlap(blocks)))
    return sorted(lanes, key=lambda lane: (lane.channel or 0, lane.blocks[0].start))


def _without_overlap(blocks: list[Block]) -> list[Block]:
    blocks = sorted(blocks, key=lambda block: block[:2])
    cut = [block._replace(end=min(block.end, following.start)) for block, following in pairwise(blocks)]
    return [*cut, blocks[-1]]


def categories_of(predictions: Iterable[Prediction]) -> list[str]:
    """The categories that the model distinguishes: the usual ones in their usual order, then others."""
    names: dict[str, None] = {}
    for one in predictions:
        names |= dict.fromkeys(one.probabilities)
        if one.emotion is not None:
            names[one.emotion] = None
    return [name for name in EMOTIONS if name in names] + [name for name in names if name not in EMOTIONS]


def colours_of(categories: Sequence[str]) -> dict[str, str]:
    """A colour for each category, as #rrggbb; other categories than the usual ones get colours that are free.

    >>> colours_of(["anger", "boredom"])
    {'anger': '#D55E00', 'boredom': '#0072B2'}
    """
    usual = {name: EMOTION_COLOURS[name] for name in categories if name in EMOTION_COLOURS}
    free = cycle([colour for colour in PALETTE if colour not in usual.values()] or PALETTE)
    return {name: usual.get(name) or next(free) for name in categories}


def text_colour(colour: str) -> str:
    """Black or white, whichever has the higher contrast with a colour (WCAG 2.2, relative luminance).

    >>> text_colour("#0072B2"), text_colour("#F0E442")
    ('#fff', '#000')
    """
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    return "#000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#fff"
