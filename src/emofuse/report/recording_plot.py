"""Picture of a timeline for papers and slides: waveform, emotions by speaker or channel, and dimensions over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emofuse.audio import SAMPLE_RATE
from emofuse.labels import DIMENSIONS
from emofuse.plot_style import BLUE, GREY, check_picture, new_figure, save_figure
from emofuse.report.lanes import Lane, categories_of, colours_of, lanes_of, text_colour
from emofuse.timeline.prediction import Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 10.0, {"sound": 0.9, "lane": 0.4, "dimension": 0.8}  # in inches
_LETTER = 0.065  # width of a letter of a label, in inches
_EDGED = 0.05  # mean width of segments that are drawn with an edge, in inches
_COLUMNS = 2000  # of the waveform
_FAINT = 0.3  # opacity of what is uncertain


def plot_timeline(timeline: Timeline, output: Path | str, *, samples: np.ndarray | None = None) -> Path:
    """Draw a timeline.

    Args:
        timeline: the predictions for a recording; it may be empty.
        output: path of the picture; the ending .png, .svg or .pdf chooses the format.
        samples: float32 (n,), the recording at 16 kHz, to draw its waveform above.

    Returns:
        Path of the picture.

    Raises:
        EmofuseError: matplotlib is not installed, the ending is another one, a prediction has no times, or the picture
            cannot be written.
    """
    output = Path(output)
    check_picture(output)
    lanes, categories = lanes_of(timeline), categories_of(timeline)
    dimensions = [name for name in DIMENSIONS if any(getattr(one, name) is not None for one in timeline)]
    heights = [_HEIGHT["sound"]] if samples is not None else []
    heights += [max(len(lanes), 1) * _HEIGHT["lane"], *(_HEIGHT["dimension"] for _ in dimensions)]
    figure, axes = new_figure(
        len(heights), width=_WIDTH, height=sum(heights) + 1.0, sharex=True, gridspec_kw={"height_ratios": heights}
    )
    seconds = max([timeline.seconds or 0.0, len(samples) / SAMPLE_RATE if samples is not None else 0.0])
    rows = list(axes[:, 0])
    rows[0].set_xlim(0, max([seconds, *(one.end or 0.0 for one in timeline)]) or 1.0)
    if samples is not None:
        _draw_waveform(rows.pop(0), samples)
    _draw_lanes(rows.pop(0), lanes, colours_of(categories))
    for ax, dimension in zip(rows, dimensions, strict=True):
        _draw_dimension(ax, lanes, dimension)
    _draw_legend(figure, colours_of(categories), with_uncertain=any(one.uncertain for one in timeline))
    axes[-1, 0].set_xlabel("seconds")
    return save_figure(figure, output)


def _draw_waveform(ax: Axes, samples: np.ndarray) -> None:
    width = max(-(-len(samples) // _COLUMNS), 1)
    columns = np.pad(samples, (0, -len(samples) % width)).reshape(-1, width)
    times = (np.arange(len(columns)) + 0.5) * width / SAMPLE_RATE
    ax.fill_between(times, columns.min(axis=1), columns.max(axis=1), color=GREY, linewidth=0.5)
    ax.set_yticks([])
    ax.set_ylabel("sound", rotation=0, ha="right", va="center")


def _draw_lanes(ax: Axes, lanes: Sequence[Lane], colours: dict[str, str]) -> None:
    """Draw the segments of each lane, from top to bottom, with the name of the emotion where it fits."""
    inches = (_WIDTH - 1.5) / ax.get_xlim()[1]  # of a second
    for row, lane in enumerate(lanes):
        dense = inches * sum(block.seconds for block in lane.blocks) / len(lane.blocks) < _EDGED
        for emotion, colour in colours.items():
            for uncertain in (False, True):
                chosen = [block for block in lane.blocks if block.kind == (emotion, uncertain)]
                style = _bar_style(colour, uncertain) | ({"linewidth": 0} if dense else {})
                ax.broken_barh([(block.start, block.seconds) for block in chosen], (row - 0.4, 0.8), **style)
                for block in chosen:
                    if name := _fitting(emotion + "?" * uncertain, block.seconds * inches):
                        text = ax.text((block.start + block.end) / 2, row, name, ha="center", va="center", fontsize=7)
                        text.set_color("black" if uncertain else text_colour(colour))
    if not lanes:
        ax.text(0.5, 0.5, "nobody speaks", transform=ax.transAxes, ha="center", va="center")
    ax.set_ylim(max(len(lanes), 1) - 0.5, -0.5)
    ax.set_yticks(range(len(lanes)), [lane.name for lane in lanes], parse_math=False)
    ax.tick_params(axis="y", length=0)


def _fitting(name: str, inches: float) -> str:
    """The name, or its first three letters, whichever fits; empty if neither does."""
    return next((text for text in (name, name[:3]) if inches > _LETTER * len(text)), "")


def _draw_legend(figure: Figure, colours: dict[str, str], *, with_uncertain: bool) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(**_bar_style(colour, False), label=name) for name, colour in colours.items()]
    if with_uncertain:
        handles.append(Patch(**_bar_style(GREY, True), label="uncertain"))
    if handles:
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, fontsize="small")


def _bar_style(colour: str, uncertain: bool) -> dict[str, Any]:
    """How the segments of an emotion look; opaque dashes around a faint area where they are uncertain."""
    face = (colour, _FAINT if uncertain else 1.0)
    return {"facecolor": face, "edgecolor": "black", "linewidth": 0.4, "linestyle": "--" if uncertain else "-"}


def _draw_dimension(ax: Axes, lanes: Sequence[Lane], dimension: str) -> None:
    """Draw a value for each segment, dotted where it is uncertain, its interval, and lines between those of a lane."""
    for lane in lanes:
        blocks = [block for block in lane.blocks if getattr(block.prediction, dimension) is not None]
        values = [getattr(block.prediction, dimension) for block in blocks]
        times = [time for block in blocks for time in (block.start, block.end)]
        ax.plot(times, np.repeat(values, 2), color=BLUE, linewidth=0.6, alpha=0.5)
        for uncertain, dots in ((False, "-"), (True, ":")):
            chosen = [i for i, block in enumerate(blocks) if bool(block.prediction.uncertain) == uncertain]
            starts, ends = [blocks[i].start for i in chosen], [blocks[i].end for i in chosen]
            ax.hlines([values[i] for i in chosen], starts, ends, color=BLUE, linewidth=2, linestyle=dots)
        bands = [block for block in blocks if dimension in block.prediction.intervals]
        corners = [time for block in bands for time in (block.start, block.end, block.end)]
        limits = [block.prediction.intervals[dimension] for block in bands]
        low_high = np.array([corner for limit in limits for corner in (limit, limit, (np.nan, np.nan))]).reshape(-1, 2)
        ax.fill_between(corners, *low_high.T, color=BLUE, alpha=0.2, linewidth=0)  # NaN parts the segments
    ax.set_ylim(0, 1)
    ax.set_yticks([0, 0.5, 1])
    ax.grid(axis="y", linewidth=0.3)
    ax.set_ylabel(dimension, rotation=0, ha="right", va="center")
