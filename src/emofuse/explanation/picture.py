"""Picture of explanations: waveform and words of each segment, coloured by their effect on the prediction."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emofuse.errors import EmofuseError
from emofuse.explanation.table import LOWERED, MODALITIES, RAISED, headline, move
from emofuse.plot_style import check_picture, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from emofuse.explanation.attribution import Explanation, Word

_MOST_SEGMENTS = 20
_DARK, _GREY = "#222222", "#6b6b6b"
_COLOURS = (LOWERED, "#7fbbdf", "#dcdcdc", "#f2ae72", RAISED)  # from the lowest to the highest

# In inches.
_WIDTH, _LEFT, _RIGHT = 10.0, 1.7, 0.3
_INNER = _WIDTH - _LEFT - _RIGHT  # of the sound and the words
_HEAD, _FOOT, _TITLE, _SOUND, _AXIS, _LINE, _GAP = 0.75, 0.65, 0.4, 1.4, 0.55, 0.6, 0.2
_SIZE = 11  # of words, in points


def draw(explanations: Sequence[Explanation], path: Path | str) -> None:
    """Draw a panel for each segment, in the format of the name's ending.

    Args:
        explanations: at least one, from one call of `explain`.
        path: .png, .svg or .pdf.

    Raises:
        EmofuseError: as `check_picture`; there are too many segments; or the file cannot be written.
    """
    path = Path(path)
    check_picture(path)
    if len(explanations) > _MOST_SEGMENTS:
        raise EmofuseError(
            f"{path}: {len(explanations)} segments are too many for one picture (at most {_MOST_SEGMENTS}). "
            "Choose one with --segment."
        )
    save_figure(_figure(explanations), path)


def _figure(explanations: Sequence[Explanation]) -> Figure:
    lines = [_lines(one) for one in explanations]
    sounds = sum(one.samples is not None for one in explanations)
    panels = len(lines) * (_TITLE + _GAP) + sounds * (_SOUND + _AXIS) + sum(map(len, lines)) * _LINE
    page = _Page(explanations, _HEAD + panels + _FOOT)
    page.head()
    for one, word_lines in zip(explanations, lines, strict=True):
        page.text(0.25, 0.16, headline(one), size=11.5, weight="bold")
        page.top += _TITLE
        if one.samples is not None:
            page.sound(one, one.samples)
        if word_lines:
            page.words(one, word_lines)
        page.top += _GAP
    page.foot()
    return page.figure


def _lines(one: Explanation) -> list[list[tuple[float, float, Word]]]:
    """Break the words into lines; each has its distance from the left and its width, in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font, pad, space = FontProperties(size=_SIZE), 0.08, 0.1
    lines: list[list[tuple[float, float, Word]]] = []
    left = np.inf
    for word in one.words:
        text_width = text_to_path.get_text_width_height_descent(word.word, font, ismath=False)[0] / 72
        width = max(text_width, 0.36) + 2 * pad  # at least that of the number below it
        if left + width > _INNER:
            lines.append([])
            left = 0.0
        lines[-1].append((left, width, word))
        left += width + space
    return lines


class _Page:
    """The picture, drawn from the top down; `top` is the position reached so far, in inches."""

    def __init__(self, explanations: Sequence[Explanation], height: float) -> None:
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import LinearSegmentedColormap, Normalize
        from matplotlib.figure import Figure

        first = explanations[0]
        is_category = first.target in first.prediction.probabilities
        outputs = {one.output for one in explanations}
        self.output = outputs.pop() if len(outputs) == 1 else "log-odds of the answer"
        self.note = "+0.7 doubles the odds." if is_category else f"The {self.output} lies between 0 and 1."
        floor = 0.3 if is_category else 0.02  # smaller effects are pale
        self.widest = max(floor, *(one.widest for one in explanations))
        colours = LinearSegmentedColormap.from_list("moved", _COLOURS)
        self.scale = ScalarMappable(Normalize(-self.widest, self.widest), colours)
        self.height, self.top = height, 0.0
        self.figure: Figure = Figure(figsize=(_WIDTH, height), facecolor="white")

    def head(self) -> None:
        """Draw the title and the colour key."""
        self.text(0.25, 0.38, f"What moved the {self.output}", size=14, weight="bold")
        ax = self._axes(_WIDTH - _RIGHT - 2.6, 0.22, 2.6, 0.13)
        bar = self.figure.colorbar(self.scale, cax=ax, orientation="horizontal")
        bar.outline.set_visible(False)
        ends = (f"{-self.widest:.2g} lowered", f"raised +{self.widest:.2g}")
        bar.set_ticks([-self.widest, 0, self.widest], labels=[ends[0], "0", ends[1]])
        ax.tick_params(length=0, labelsize=8.5, labelcolor=_DARK)
        ax.get_xticklabels()[0].set_horizontalalignment("left")
        ax.get_xticklabels()[-1].set_horizontalalignment("right")
        self.top = _HEAD

    def sound(self, one: Explanation, samples: np.ndarray) -> None:
        """Draw the waveform, coloured by stretch."""
        start, end = one.prediction.start or 0.0, one.prediction.end or 0.0
        self._share(one, "audio", _SOUND)
        ax = self._axes(_LEFT, 0, _INNER, _SOUND)
        bins = np.array_split(samples, min(1200, len(samples)))
        low, high = (np.array([pick(part) for part in bins]) for pick in (np.min, np.max))
        times = np.linspace(start, end, len(bins))
        loudest = max(np.abs(samples).max(), 1e-9)
        ax.set(xlim=(start, end), ylim=(-1.15 * loudest, 1.45 * loudest), yticks=[])
        if not one.stretches:
            ax.fill_between(times, low, high, color=_GREY, linewidth=0.4)
        for stretch in one.stretches:
            value = stretch.left_out[one.target]
            colour = self.scale.to_rgba(np.array(value))
            inside = (times >= stretch.start) & (times <= stretch.end)
            ax.axvspan(stretch.start, stretch.end, color=colour, alpha=0.22, linewidth=0)
            ax.fill_between(times[inside], low[inside], high[inside], color=colour, linewidth=0.4)
            ax.axvline(stretch.start, color="white", linewidth=1.5)
            if (stretch.end - stretch.start) / (end - start) * _INNER > 0.45:
                middle = (stretch.start + stretch.end) / 2
                ax.text(middle, 1.4 * loudest, move(one, value), size=8.5, color=_DARK, ha="center", va="top")
        ax.set_xlabel("time in the recording (s)", size=9, color=_GREY)
        ax.set_ylabel("amplitude", size=9, color=_GREY)
        ax.tick_params(labelsize=8.5, colors=_GREY)
        ax.spines[["top", "right", "left", "bottom"]].set_visible(False)
        self.top += _SOUND + _AXIS

    def words(self, one: Explanation, lines: list[list[tuple[float, float, Word]]]) -> None:
        """Draw the words on their colours, each with its number below."""
        from matplotlib.patches import FancyBboxPatch

        self._share(one, "text", _LINE)
        ax = self._axes(_LEFT, 0, _INNER, _LINE * len(lines))
        ax.set(xlim=(0, _INNER), ylim=(_LINE * len(lines), 0))
        ax.axis("off")
        for row, line in enumerate(lines):
            for left, width, word in line:
                value = word.left_out[one.target]
                colour = self.scale.to_rgba(np.array(value))
                style = "round,pad=0,rounding_size=0.05"
                box = FancyBboxPatch(
                    (left, row * _LINE), width, 0.28, boxstyle=style, facecolor=colour, edgecolor="none"
                )
                ax.add_patch(box)
                ink = "white" if np.dot(colour[:3], [0.299, 0.587, 0.114]) < 0.42 else _DARK
                place: Any = {"ha": "center", "va": "center", "parse_math": False}
                ax.text(left + width / 2, row * _LINE + 0.145, word.word, size=_SIZE, color=ink, **place)
                ax.text(left + width / 2, row * _LINE + 0.38, move(one, value), size=8.5, color=_DARK, **place)
        self.top += _LINE * len(lines)

    def foot(self) -> None:
        """Draw the legend."""
        legend = (
            f"Numbers and colours: the {self.output} minus the {self.output} without this half second of sound (set to "
            f"the average of the clip) or without this word. Orange raised it, blue lowered it. {self.note} Left: "
            "the shares of voice and words and their Shapley values, from predictions with each alone and with both."
        )
        self.text(0.25, 0.1, "\n".join(textwrap.wrap(legend, 145)), size=8.5, color=_GREY, va="top")

    def _share(self, one: Explanation, modality: str, height: float) -> None:
        """Draw the share of voice or words, to their left."""
        middle = height / 2 - 0.12
        self.text(0.25, middle - 0.12, MODALITIES[modality], size=11, weight="bold")
        if modality not in one.shares:
            self.text(0.25, middle + 0.1, "not used", size=8.5, color=_GREY)
            return
        value = one.shapley[modality][one.target]
        self.text(1.25, middle - 0.12, f"{one.shares[modality]:.0%}", size=11, ha="right")
        ax = self._axes(0.25, middle + 0.05, 1.0, 0.08)
        ax.barh(0, 1, color="#eeeeee")
        ax.barh(0, one.shares[modality], color="#555555")
        ax.set(xlim=(0, 1), ylim=(-0.4, 0.4))
        ax.axis("off")
        self.text(0.25, middle + 0.28, move(one, value), size=8.5, color=_GREY)

    def _axes(self, left: float, down: float, width: float, height: float) -> Axes:
        """Add axes at a position in inches, from the left and from `top`."""
        bottom = 1 - (self.top + down + height) / self.height
        return self.figure.add_axes((left / _WIDTH, bottom, width / _WIDTH, height / self.height))

    def text(
        self, left: float, down: float, text: str, *, color: str = _DARK, va: str = "center", **style: Any
    ) -> None:
        """Text at a place in inches, from the left and from `top`."""
        y = 1 - (self.top + down) / self.height
        self.figure.text(left / _WIDTH, y, text, color=color, va=va, parse_math=False, **style)
