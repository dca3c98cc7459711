"""The page of a report: one HTML file that needs nothing beside it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import Template

_PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="emofuse $version">
<title>$title</title>
<style>$style</style>
</head>
<body>
<header><h1>$title</h1>
<p class="lead">$lead</p></header>
<nav aria-label="Contents"><ul>
$contents
</ul></nav>
<main>
$sections
</main>
<footer>Made by emofuse $version. Tables as CSV, Markdown and LaTeX lie beside this file, in tables.</footer>
</body>
</html>
""")

_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1c1e21; --soft: #5a6068; --line: #d5d9de; --panel: #f5f6f8;
  --accent: #0b62a5; --warn: #8a4b00; --warn-ground: #fff4e2; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171a; --ink: #e6e8ea; --soft: #a3abb3; --line: #343a40;
  --panel: #1d2125; --accent: #79b8f0; --warn: #ffc46b; --warn-ground: #33260f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 64rem; padding: 1rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .6rem; padding-top: .6rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
a { color: var(--accent); }
.lead, figcaption, footer { color: var(--soft); }
nav ul { display: flex; flex-wrap: wrap; gap: .3rem 1rem; padding: .6rem .9rem; margin: 1rem 0; list-style: none;
  background: var(--panel); border-radius: .4rem; }
ul.said { padding-left: 1.2rem; margin: .4rem 0; }
ul.said li { margin: .25rem 0; }
.limits { background: var(--warn-ground); border-left: .25rem solid var(--warn); padding: .4rem .9rem;
  margin: .8rem 0; }
figure { margin: 1rem 0 1.6rem; }
figcaption { font-size: .9rem; margin-bottom: .4rem; }
.scroll { overflow-x: auto; }
.picture svg { display: block; width: 100%; height: auto; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; min-width: 60%; }
th, td { padding: .28rem .6rem; text-align: right; vertical-align: baseline; }
td { overflow-wrap: normal; }
th[scope=row], thead tr:last-child th:first-child { text-align: left; }
thead th { border-bottom: 1px solid var(--ink); vertical-align: bottom; }
th[scope=colgroup] { text-align: center; }
tbody tr:nth-child(even) { background: var(--panel); }
tbody th { font-weight: 500; white-space: nowrap; }
td small, th small { color: var(--soft); white-space: nowrap; }
.words td { text-align: left; min-width: 5rem; }
pre { background: var(--panel); padding: .7rem .9rem; overflow-x: auto; border-radius: .4rem; font-size: .85rem; }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .2rem 1rem; margin: .5rem 0; }
dt { font-weight: 600; } dd { margin: 0; min-width: 0; }
footer { margin: 3rem 0 1rem; font-size: .85rem; border-top: 1px solid var(--line); padding-top: .8rem; }
@media (max-width: 34rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .5rem; } h1 { font-size: 1.4rem; } }
@media print { nav { display: none; } body { max-width: none; font-size: 10pt; } .scroll { overflow: visible; }
  figure { break-inside: avoid; } h2, h3 { break-after: avoid; } .picture svg { min-width: 0 !important; } }
"""


@dataclass(frozen=True)
class Section:
    """A part of the page: the name of its anchor, its title, its HTML."""

    name: str
    title: str
    content: str


def page(title: str, lead: str, sections: Sequence[Section], version: str) -> str:
    """The whole page.

    Args:
        title: of the page, plain text.
        lead: what stands under it, plain text.
        sections: those without content are left out.
        version: of emofuse.
    """
    there = [section for section in sections if section.content]
    contents = "\n".join(f'<li><a href="#{s.name}">{html.escape(s.title)}</a></li>' for s in there)
    body = "\n".join(f'<section id="{s.name}"><h2>{html.escape(s.title)}</h2>\n{s.content}\n</section>' for s in there)
    return _PAGE.substitute(
        title=html.escape(title),
        lead=html.escape(lead),
        style=_STYLE,
        contents=contents,
        sections=body,
        version=html.escape(version),
    )


def heading(text: str) -> str:
    """A title within a section."""
    return f"<h3>{html.escape(text)}</h3>"


def paragraph(text: str) -> str:
    """Plain text."""
    return f"<p>{html.escape(text)}</p>"


def listed(sentences: Iterable[str]) -> str:
    """Sentences as a list; nothing for none."""
    items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
    return f'<ul class="said">{items}</ul>' if items else ""


def limits(sentences: Iterable[str]) -> str:
    """Sentences that a reader must not miss; nothing for none."""
    inside = listed(sentences)
    return f'<div class="limits">{inside}</div>' if inside else ""


def definitions(facts: Mapping[str, str]) -> str:
    """Names and what they are."""
    items = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>" for name, text in facts.items())
    return f"<dl>{items}</dl>"


def code(lines: Iterable[str]) -> str:
    """Commands or a file, as they are."""
    return f"<pre><code>{html.escape(chr(10).join(lines))}</code></pre>"


def picture(svg: str, caption: str) -> str:
    """An SVG element with what it shows."""
    text = html.escape(caption)
    return (
        f'<figure class="picture"><figcaption>{text}</figcaption><div class="scroll" tabindex="0" role="img" '
        f'aria-label="{text}">{svg}</div></figure>'
    )


def words(table: str) -> str:
    """A table of texts, not of numbers."""
    return f'<div class="words">{table}</div>'
