"""A table that can be written as HTML, Markdown, LaTeX (booktabs) and CSV, and how its numbers look."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from emofuse.files import write_text

_TEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "\n": " ",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≈": r"$\approx$",
    "→": r"$\rightarrow$",
    "…": r"\ldots{}",
    "“": "``",
    "”": "''",
    "‘": "`",
    "’": "'",
    "—": "---",
    "\u00a0": "~",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "–": "--",
    "−": "$-$",
}
_OPEN_ROWS = 20  # a longer table is folded in the page
_PAGE_LINES = 35  # what a page holds beside a long caption
_LONG_TEXT = 50  # letters from which a text is broken into lines
_LINE_LETTERS = 80  # of all such texts of a row together


@dataclass(frozen=True)
class Cell:
    """What stands in a cell: text, what is said beside it (an interval), whether it is bold, a sign after it."""

    text: str
    detail: str = ""
    best: bool = False
    mark: str = ""


@dataclass(frozen=True, eq=False)
class Table:
    """A table for people and the same as numbers.

    Attributes:
        name: of its files, and its anchor.
        caption: what it shows.
        columns: group (empty for none) and name of each.
        rows: one cell a column; the first is the head of the row.
        data: the numbers in full, one observation a row.
        note: what holds for all tables of its kind: follows the caption in files; the page says it once.
    """

    name: str
    caption: str
    columns: Sequence[tuple[str, str]]
    rows: Sequence[Sequence[Cell]]
    data: pd.DataFrame
    note: str = ""

    def to_html(self) -> str:
        """A figure with the table, which scrolls where it is too wide and is folded where it is long."""
        groups = _groups(self.columns)
        head = ""
        if any(group for group, _ in groups):
            cells = (f'<th colspan="{n}" scope="colgroup">{html.escape(group)}</th>' for group, n in groups)
            head = f"<tr>{''.join(cells)}</tr>"
        head += "<tr>" + "".join(f'<th scope="col">{html.escape(name)}</th>' for _, name in self.columns) + "</tr>"
        body = "\n".join(
            "<tr>" + "".join(_html(cell, head=i == 0) for i, cell in enumerate(row)) + "</tr>" for row in self.rows
        )
        caption = f"<figcaption>{html.escape(self.caption)}</figcaption>"
        table = f'<div class="scroll" tabindex="0"><table><thead>{head}</thead><tbody>\n{body}\n</tbody></table></div>'
        if len(self.rows) > _OPEN_ROWS:
            table = f"<details><summary>{len(self.rows)} rows</summary>{table}</details>"
        return f'<figure class="table" id="table-{html.escape(self.name)}">{caption}{table}</figure>'

    def to_markdown(self) -> str:
        """A table with pipes, the group before the name of a column."""
        heads = [_pipes(f"{group}: {name}" if group else name) for group, name in self.columns]
        lines = [heads, ["---"] * len(heads), *([_markdown(cell) for cell in row] for row in self.rows)]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n{self._told}\n"

    def to_latex(self) -> str:
        """Table floats, as many as pages are needed, no wider than the line; need booktabs and graphicx."""
        groups = _groups(self.columns)
        head = [" & ".join(tex(name) for _, name in self.columns) + r" \\"]
        if any(group for group, _ in groups):
            cells, rules, start = [], [], 1
            for group, n in groups:
                cells.append(rf"\multicolumn{{{n}}}{{c}}{{{tex(group)}}}" if group else "&" * (n - 1))
                if group:
                    rules.append(rf"\cmidrule(lr){{{start}-{start + n - 1}}}")
                start += n
            head = [" & ".join(cells) + r" \\", "".join(rules), *head]
        head = [rf"\begin{{tabular}}{{{self._kinds()}}}", r"\toprule", *head, r"\midrule"]
        lines = []
        for i, rows in enumerate(self._pages()):
            named = rf"\caption{{{tex(self._told)}}}" + "\n" + rf"\label{{tab:{self.name}}}"
            lines += [
                r"\begin{table}",
                r"\centering",
                rf"Table \ref{{tab:{self.name}}}, continued.\par\smallskip" if i else named,
                r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
                *head,
                *(" & ".join(map(_latex, row)) + r" \\" for row in rows),
                r"\bottomrule",
                r"\end{tabular}}",
                r"\end{table}",
                "",
            ]
        return "\n".join(lines)

    @property
    def _told(self) -> str:
        return f"{self.caption} {self.note}".strip()

    @property
    def _long(self) -> list[bool]:
        """Columns of texts that LaTeX has to break into lines."""
        return [any(len(row[i].text) > _LONG_TEXT for row in self.rows) for i in range(len(self.columns))]

    def _kinds(self) -> str:
        """LaTeX's letters for the columns."""
        wide = f"p{{{1.2 / max(sum(self._long), 1):.2f}\\linewidth}}"
        return "".join(wide if long else "r" if i else "l" for i, long in enumerate(self._long))

    def _pages(self) -> list[list[Sequence[Cell]]]:
        """The rows of each LaTeX float."""
        letters = _LINE_LETTERS // max(sum(self._long), 1)
        pages: list[list[Sequence[Cell]]] = [[]]
        left = _PAGE_LINES
        for row in self.rows:
            lines = max(
                1 + len(cell.text) // letters if long else 1 for cell, long in zip(row, self._long, strict=True)
            )
            if lines > left and pages[-1]:
                pages.append([])
                left = _PAGE_LINES
            pages[-1].append(row)
            left -= lines
        return pages

    def save(self, folder: Path) -> list[Path]:
        """Write NAME.csv (the numbers), NAME.md and NAME.tex.

        Raises:
            EmofuseError: the folder cannot be written.
        """
        forms: dict[str, Callable[[], str]] = {
            "csv": lambda: self.data.to_csv(index=False, lineterminator="\n"),
            "md": self.to_markdown,
            "tex": self.to_latex,
        }
        paths = []
        for ending, form in forms.items():
            paths.append(folder / f"{self.name}.{ending}")
            write_text(paths[-1], form())
        return paths


def number(value: float, *, sign: bool = False) -> str:
    """Three decimals, a dash for NaN; with `sign` also a plus.

    >>> number(0.5), number(-0.0312), number(0.03, sign=True), number(float("nan"))
    ('0.500', '−0.031', '+0.030', '–')
    """
    if np.isnan(value):
        return "–"
    text = f"{value:.3f}"
    text = "0.000" if text == "-0.000" else text.replace("-", "−")
    return f"+{text}" if sign and value > 0 else text


def share(value: float) -> str:
    """A share in percent.

    >>> share(0.1234), share(float("nan"))
    ('12 %', '–')
    """
    return "–" if np.isnan(value) else f"{100 * value:.0f} %"


def spread(value: float, low: float, high: float, *, sign: bool = False) -> str:
    """A value with its interval, where there is one.

    >>> spread(0.5, 0.45, 0.552)
    '0.500 (0.450 .. 0.552)'
    """
    inside = "" if np.isnan(low) or np.isnan(high) else f" ({number(low, sign=sign)} .. {number(high, sign=sign)})"
    return number(value, sign=sign) + inside


def p_value(p: float) -> str:
    """A p-value, never 0.

    >>> p_value(0.01234), p_value(0.00002), p_value(float("nan"))
    ('0.012', '< 0.001', '–')
    """
    return "–" if np.isnan(p) else "< 0.001" if p < 0.0005 else f"{p:.3f}"


def enumerated(names: Sequence[str]) -> str:
    """Names as a sentence has them.

    >>> enumerated(["a"]), enumerated(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def count(n: int, what: str) -> str:
    """A number of things.

    >>> count(1, "seed"), count(4200, "utterance")
    ('1 seed', '4,200 utterances')
    """
    return f"{n:,} {what}{'s' * (n != 1)}"


def tex(text: str) -> str:
    """Text as LaTeX shows it.

    >>> tex("single_stage 5 %")
    'single\\\\_stage 5 \\\\%'
    """
    return "".join(_TEX.get(letter, letter) for letter in text)


def _groups(columns: Sequence[tuple[str, str]]) -> list[tuple[str, int]]:
    return [(group, len(list(own))) for group, own in groupby(columns, key=lambda column: column[0])]


def _html(cell: Cell, *, head: bool) -> str:
    text = html.escape(cell.text)
    text = f"<strong>{text}</strong>" if cell.best else text
    if cell.mark:
        text += f"<sup>{html.escape(cell.mark)}</sup>"
    if cell.detail:
        text += f" <small>{html.escape(cell.detail)}</small>"
    return f'<th scope="row">{text}</th>' if head else f"<td>{text}</td>"


def _markdown(cell: Cell) -> str:
    text = _pipes(cell.text)
    text = (f"**{text}**" if cell.best else text) + cell.mark
    return f"{text} {cell.detail}" if cell.detail else text


def _pipes(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def _latex(cell: Cell) -> str:
    text = tex(cell.text)
    text = f"{{}}{text}" if text.startswith(("[", "*")) else text  # else an option of the line break before it
    text = rf"\textbf{{{text}}}" if cell.best else text
    text += rf"\textsuperscript{{{tex(cell.mark)}}}" if cell.mark else ""
    return rf"{text} {{\scriptsize {tex(cell.detail)}}}" if cell.detail else text
