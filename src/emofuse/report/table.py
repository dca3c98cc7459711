"""Tables as HTML, Markdown, LaTeX and CSV, the format of numbers, and the templates of a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emofuse.files import write_text

if TYPE_CHECKING:
    import pandas as pd
    from jinja2 import Environment

_TEX_ESCAPES = r"""
\ \textbackslash{}   & \&   % \%   $ \$   # \#   _ \_   { \{   } \}   ~ \textasciitilde{}   ^ \textasciicircum{}
< \textless{}   > \textgreater{}   | \textbar{}   " ''   “ ``   ” ''   ‘ `   ’ '   † \dag{}   ‡ \ddag{}   – --   — ---
± $\pm$   × $\times$   ≤ $\leq$   ≥ $\geq$   ≈ $\approx$   → $\rightarrow$   − $-$   … \ldots{}"""
_TEX_PAIRS = zip(_TEX_ESCAPES.split()[::2], _TEX_ESCAPES.split()[1::2], strict=True)
_TEX = str.maketrans({"\n": " ", "\xa0": "~", **dict(_TEX_PAIRS)})
_PAGE_LINES = 35  # of a LaTeX page beside a long caption
_LONG_TEXT = 50  # letters from which LaTeX breaks a text into lines
_LINE_LETTERS = 80  # of all such texts of a row together


@dataclass(frozen=True)
class Cell:
    """A cell of a table: text, detail beside it (an interval), True for the best value of a column, mark after it."""

    text: str
    detail: str = ""
    best: bool = False
    mark: str = ""


@dataclass(frozen=True, eq=False)
class Table:
    """A table to read, and its numbers.

    Attributes:
        name: stem of its files and anchor in the page.
        caption: what the table shows.
        columns: group (or an empty text) and name of each column.
        rows: one cell for each column; the first is the head of the row.
        data: unrounded numbers, one observation in each row.
        note: explains all tables of its kind: in files it follows the caption, on the page it appears once.
        is_text: True for cells that are texts, which the page aligns to the left.
    """

    name: str
    caption: str
    columns: Sequence[tuple[str, str]]
    rows: Sequence[Sequence[Cell]]
    data: pd.DataFrame
    note: str = ""
    is_text: bool = False

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Name and number of columns of each group of columns."""
        return [(group, len(list(columns))) for group, columns in groupby(self.columns, key=lambda column: column[0])]

    @property
    def latex_columns(self) -> str:
        """Column types for LaTeX; columns of long texts break lines."""
        wide = f"p{{{1.2 / max(sum(self._is_long), 1):.2f}\\linewidth}}"
        return "".join(wide if is_long else "r" if i else "l" for i, is_long in enumerate(self._is_long))

    @property
    def pages(self) -> list[list[Sequence[Cell]]]:
        """The rows of each LaTeX float."""
        letters = _LINE_LETTERS // max(sum(self._is_long), 1)
        pages: list[list[Sequence[Cell]]] = [[]]
        left = _PAGE_LINES
        for row in self.rows:
            lengths = [len(cell.text) for cell, is_long in zip(row, self._is_long, strict=True) if is_long]
            lines = 1 + max(lengths, default=0) // letters
            if lines > left and pages[-1]:
                pages.append([])
                left = _PAGE_LINES
            pages[-1].append(row)
            left -= lines
        return pages

    @property
    def _is_long(self) -> list[bool]:
        return [any(len(row[i].text) > _LONG_TEXT for row in self.rows) for i in range(len(self.columns))]

    def to_html(self) -> str:
        """Render as a figure, which scrolls if it is too wide and is folded if it is long."""
        return render_template("table.html.j2", table=self)

    def to_markdown(self) -> str:
        """Render as a table with pipes, the group before the name of a column."""
        return render_template("table.md.j2", table=self)

    def to_latex(self) -> str:
        """Render as floats, one for each page, not wider than a line; they need booktabs and graphicx."""
        return render_template("table.tex.j2", table=self)

    def save(self, folder: Path) -> list[Path]:
        """Write NAME.csv (the numbers), NAME.md and NAME.tex.

        Raises:
            EmofuseError: the folder cannot be written.
        """
        csv = self.data.to_csv(index=False, lineterminator="\n")
        texts = {"csv": csv, "md": self.to_markdown(), "tex": self.to_latex()}
        for ending, text in texts.items():
            write_text(folder / f"{self.name}.{ending}", text)
        return [folder / f"{self.name}.{ending}" for ending in texts]


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("emofuse.report"),
        autoescape=select_autoescape(["html.j2"]),
        extensions=["jinja2.ext.do"],
        keep_trailing_newline=True,
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"pipes": _pipes, "tex": tex, "tex_cell": _tex_cell}
    environment.tests["filled"] = lambda text: bool(text.strip())
    return environment


def render_template(template: str, **context: Any) -> str:
    """Render a template of this package; LaTeX templates use << >> and <% %> in place of braces."""
    environment = _environment()
    if template.endswith(".tex.j2"):
        signs = {"variable_start_string": "<<", "variable_end_string": ">>"}
        signs |= {"block_start_string": "<%", "block_end_string": "%>"}
        signs |= {"comment_start_string": "<#", "comment_end_string": "#>"}
        environment = environment.overlay(**signs)  # type: ignore[arg-type]
    return environment.get_template(template).render(**context)


def number(value: float, *, sign: bool = False) -> str:
    """Format with three decimals, a dash for NaN; with `sign` also a plus.

    >>> number(0.5), number(-0.0312), number(0.03, sign=True), number(float("nan"))
    ('0.500', '−0.031', '+0.030', '–')
    """
    if np.isnan(value):
        return "–"
    text = f"{value:.3f}"
    text = "0.000" if text == "-0.000" else text.replace("-", "−")
    return f"+{text}" if sign and value > 0 else text


def share(value: float) -> str:
    """Format a share in percent.

    >>> share(0.1234), share(float("nan"))
    ('12 %', '–')
    """
    return "–" if np.isnan(value) else f"{100 * value:.0f} %"


def interval(low: float, high: float, *, sign: bool = False) -> str:
    """Format an interval in brackets; empty where there is none.

    >>> interval(0.45, 0.552)
    '(0.450 .. 0.552)'
    """
    return "" if np.isnan(low) or np.isnan(high) else f"({number(low, sign=sign)} .. {number(high, sign=sign)})"


def spread(value: float, low: float, high: float, *, sign: bool = False) -> str:
    """Format a value and its interval, if it has one.

    >>> spread(0.5, 0.45, 0.552)
    '0.500 (0.450 .. 0.552)'
    """
    return f"{number(value, sign=sign)} {interval(low, high, sign=sign)}".strip()


def span(low: str, high: str) -> str:
    """Join the ends of a range, or give one if they are equal.

    >>> span("96", "120"), span("3", "3")
    ('96 to 120', '3')
    """
    return low if low == high else f"{low} to {high}"


def p_value(p: float) -> str:
    """Format a p-value, never as 0.

    >>> p_value(0.01234), p_value(0.00002), p_value(float("nan"))
    ('0.012', '< 0.001', '–')
    """
    return "–" if np.isnan(p) else "< 0.001" if p < 0.0005 else f"{p:.3f}"


def enumerated(names: Sequence[str]) -> str:
    """Join names for a sentence.

    >>> enumerated(["a"]), enumerated(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def count(n: int, what: str) -> str:
    """Format a count with its noun.

    >>> count(1, "seed"), count(4200, "utterance")
    ('1 seed', '4,200 utterances')
    """
    return f"{n:,} {what}{'s' * (n != 1)}"


def tex(text: str) -> str:
    """Escape text for LaTeX.

    >>> tex("single_stage 5 %")
    'single\\\\_stage 5 \\\\%'
    """
    return text.translate(_TEX)


def _tex_cell(cell: Cell) -> str:
    text = tex(cell.text)
    text = f"{{}}{text}" if text.startswith(("[", "*")) else text  # else an option of the line break before it
    text = rf"\textbf{{{text}}}" if cell.best else text
    text += rf"\textsuperscript{{{tex(cell.mark)}}}" if cell.mark else ""
    return rf"{text} {{\scriptsize {tex(cell.detail)}}}" if cell.detail else text


def _pipes(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
