"""List of the corpora, and a page in Markdown for each."""

from __future__ import annotations

from collections.abc import Mapping

from emofuse.corpora.about import Corpus

_OWN = """\
table         your own CSV, TSV, JSON Lines or Parquet file
audformat     an audformat database on disk (emofuse[audformat])
huggingface   a folder of datasets.save_to_disk (emofuse[huggingface])

emofuse corpus list NAME shows how to get a corpus, its licence, layout, labels and known defects."""


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
