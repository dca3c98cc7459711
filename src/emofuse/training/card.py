"""The model card: README.md of a bundle, generated from the facts that training recorded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment

from emofuse.corpora import CORPORA
from emofuse.inference.bundle import Bundle

_KNOWN, _NEW = "new voices of known corpora", "new corpora"
_PROTOCOLS = {
    "test": (_KNOWN, "a clip by itself"),
    "test-adapted": (_KNOWN, "adapted by all other clips"),
    "new-corpus": (_NEW, "a clip by itself"),
    "new-corpus-adapted-5": (_NEW, "adapted by 5 other clips"),
    "new-corpus-adapted": (_NEW, "adapted by all other clips"),
    "new-corpus-adapted-5-same": (_NEW, "adapted by 5 other clips of the same emotion"),
}
"""What each part of the predictions was measured on, and how the model was used."""


def model_card(bundle: Bundle) -> str:
    """The model card in Markdown."""
    heads = [f"{len(bundle.labels)} categories ({', '.join(bundle.labels)})"] if bundle.labels else []
    heads += [f"{', '.join(bundle.dimensions)} (0..1)"] if bundle.dimensions else []
    corpora = []
    for corpus in bundle.training_data:
        about = CORPORA[corpus["name"]].about if corpus["name"] in CORPORA else None
        licence = about.licence if about else corpus.get("licence", "ask its owner")
        corpora.append((corpus, licence, about.citation if about else "-"))
    scores = []
    for part in ("dev", "test", "test-adapted"):
        of_part = bundle.metrics.get(part, {})
        for corpus, of_corpus in {"all": of_part, **of_part.get("by_corpus", {})}.items():
            measures = {"UAR": of_corpus.get("categories", {}).get("uar")}
            measures |= {f"CCC {name}": of.get("ccc") for name, of in of_corpus.get("dimensions", {}).items()}
            scores += [(part, corpus, name, score) for name, score in measures.items() if score is not None]
    environment = Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False)
    environment.filters["number"] = lambda value: "-" if value is None else f"{value:.3f}"
    environment.filters["percent"] = lambda value: "-" if value is None else f"{value:.0%}"
    template = environment.from_string(Path(__file__).with_name("card.md.j2").read_text(encoding="utf-8"))
    expected = list(_expected(bundle))
    return template.render(bundle=bundle, heads=heads, corpora=corpora, scores=scores, expected=expected)


def _expected(bundle: Bundle) -> Iterator[dict[str, Any]]:
    """Results by protocol and corpus, if whole corpora were left out: UAR, and `Quality` of the calibration."""
    measured = {part: of for kind in bundle.calibration.values() for part, of in kind.get("by_corpus", {}).items()}
    for part, (what, way) in _PROTOCOLS.items():
        of_part = bundle.metrics.get(part, {})
        for corpus, quality in measured.get(part, {}).items():
            uar = of_part.get("by_corpus", {}).get(corpus, of_part)["categories"]["uar"]
            yield {"what": what, "way": way, "corpus": corpus, "uar": uar, **quality}
