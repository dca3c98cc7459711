"""Corpora that can be read, the facts about them (about.toml), and a page in Markdown for each."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_OWN = """\
table         your own CSV, TSV, JSON Lines or Parquet file
audformat     an audformat database on disk (emofuse[audformat])
huggingface   a folder of datasets.save_to_disk (emofuse[huggingface])

emofuse corpus list NAME shows how to get a corpus, its licence, layout, labels and known defects."""


@dataclass(frozen=True)
class About:
    """Description of a corpus for users, from which its page in the documentation is made.

    Attributes:
        title: the corpus's name in full.
        languages: ISO 639-1 codes.
        access: how to get it, and from where.
        licence: as its owner states it.
        citation: authors, year, title or venue, DOI or arXiv number.
        layout: files and folders that the reader looks for below the root.
        labels: categories, dimensions and their scales, and what they are mapped to.
        protocol: how results on it are usually reported, and its pitfalls.
        defects: known defects, and how the reader handles them; empty if none are known.
    """

    title: str
    languages: tuple[str, ...]
    access: str
    licence: str
    citation: str
    layout: str
    labels: str
    protocol: str
    defects: str = ""


@dataclass(frozen=True)
class Corpus:
    """A corpus that can be read: `read(root, allow_missing=False)` gives its utterance table.

    With `allow_missing`, rows whose audio is absent keep their labels and words, with an empty `file`; without it they
    are an error.
    """

    name: str
    read: Callable[..., pd.DataFrame]

    @property
    def about(self) -> About:
        """Facts for users."""
        facts = _all_facts()[self.name]
        return About(**facts | {"languages": tuple(facts["languages"])})


@cache
def _all_facts() -> dict[str, dict[str, Any]]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def listing(corpora: Mapping[str, Corpus]) -> str:
    """One line for each corpus (reader, languages, title), then the readers of users' own data."""
    width = max(map(len, corpora))
    lines = [f"{name:<{width}}  {_languages(corpus):<8}  {corpus.about.title}" for name, corpus in corpora.items()]
    return "\n".join([*lines, "", _OWN]) + "\n"


def page(name: str, corpus: Corpus) -> str:
    """A page in Markdown: how to get the corpus, licence, citation, layout, labels, protocol, known defects."""
    about = corpus.about
    facts = {
        "Languages": _languages(corpus),
        "How to get it": about.access,
        "Licence": about.licence,
        "Cite": about.citation,
        "Layout": about.layout,
        "Labels": about.labels,
        "Protocol": about.protocol,
        "Known defects": about.defects or "none known",
    }
    return f"## {name}: {about.title}\n\n" + "".join(f"- **{title}**: {text}\n" for title, text in facts.items())


def handbook(corpora: Mapping[str, Corpus]) -> str:
    """All pages, docs/corpora.md: `emofuse corpus list --markdown`."""
    head = (
        "# Corpora\n\nWritten by `emofuse corpus list --markdown`. emofuse ships no corpus: get it from its owner, "
        "under its owner's licence.\n`emofuse corpus prepare NAME ROOT OUT.parquet` reads it into a table.\n\n"
    )
    return head + "\n".join(page(name, corpus) for name, corpus in corpora.items())


def _languages(corpus: Corpus) -> str:
    return ", ".join(corpus.about.languages) or "any"
