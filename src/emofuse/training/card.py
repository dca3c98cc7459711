"""The model card of a bundle (README.md in its folder), generated from the facts that training recorded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emofuse.inference.bundle import Bundle

ADAPTED = "test-adapted"


def licence_of(corpora: list[dict[str, Any]]) -> str:
    """The licence of weights trained on these corpora, as far as the corpora are known.

    >>> licence_of([{"name": "ravdess"}, {"name": "meld"}])
    'CC BY-NC-SA 4.0 (non-commercial)'
    """
    from emofuse.corpora import CORPORA  # imports pandas, which prediction does without

    licences = [CORPORA[corpus["name"]].about.licence for corpus in corpora if corpus["name"] in CORPORA]
    if any("-NC" in licence for licence in licences):
        return "CC BY-NC-SA 4.0 (non-commercial)"
    if any("research" in licence for licence in licences):
        return "for research only, as the licences of the training data say"
    return "as the training data allow"


def model_card(bundle: Bundle) -> str:
    """The card, in Markdown."""
    heads = []
    if bundle.labels:
        heads.append(f"{len(bundle.labels)} categories ({', '.join(bundle.labels)})")
    if bundle.dimensions:
        heads.append(f"{', '.join(bundle.dimensions)} (0..1)")
    lines = [
        f"# {bundle.name}",
        "",
        f"Speech emotion recognition from {' and '.join(bundle.reads)}: {' and '.join(heads)}. Exported by emofuse on "
        f"{bundle.created[:10]}, weights stored as {bundle.weights}. Licence of the weights: {bundle.licence}.",
        "",
        "```",
        "emofuse predict clip.wav --model FOLDER            # this folder",
        "python -c \"import emofuse; print(emofuse.load('FOLDER')('clip.wav'))\"",
        "```",
        "",
        "## Corpora",
        "",
        "Whole corpora are counted; the protocol below says which part trained the model.",
        "",
        "| corpus | rows | with audio | with text | speakers | languages | licence | cite |",
        "|---|---|---|---|---|---|---|---|",
        *(_corpus(facts) for facts in bundle.training_data),
        "",
        "## Results",
        "",
        " ".join(_how_measured(bundle.metrics)),
        "",
        "| part | corpus | measure | value | interval | n |",
        "|---|---|---|---|---|---|",
        *_results(bundle.metrics),
        "",
        *_calibration(bundle),
        "## What to know",
        "",
        *(f"- {note}" for note in [*bundle.notes, *_limits(bundle)]),
        "",
    ]
    return "\n".join(lines)


def _corpus(facts: dict[str, Any]) -> str:
    from emofuse.corpora import CORPORA

    known = CORPORA.get(facts["name"])
    licence = known.about.licence if known else facts.get("licence", "ask its owner")
    source = known.about.citation if known else "-"
    cells = [facts["name"], *(facts.get(key, "-") for key in ("rows", "with_audio", "with_text", "speakers"))]
    return "| " + " | ".join(map(str, [*cells, ", ".join(facts.get("languages", [])) or "-", licence, source])) + " |"


def _results(metrics: dict[str, Any]) -> Iterator[str]:
    """One table row for each measure in the `metrics.json` of a run."""
    for part in ("dev", "test", ADAPTED):
        scores = metrics.get(part, {})
        for corpus, found in {"all": scores, **scores.get("by_corpus", {})}.items():
            named = {"UAR": found.get("categories", {}).get("uar")}
            for name, dimension in found.get("dimensions", {}).items():
                named[f"CCC {name}"] = dimension.get("ccc")
            for name, score in named.items():
                if score is not None:
                    interval = f"{_number(score['low'])} to {_number(score['high'])}"
                    yield f"| {part} | {corpus} | {name} | {_number(score['value'])} | {interval} | {score['n']} |"


def _how_measured(metrics: dict[str, Any]) -> Iterator[str]:
    yield "With 95 % intervals from a bootstrap over speakers where there are speakers."
    if "dev" in metrics:
        yield "The development part selected the checkpoint, so its results are somewhat too good."
    if ADAPTED in metrics:
        yield (
            f"*{ADAPTED}*: the model is adapted to each speaker with all clips of the speaker in that part, "
            "without their labels; *test*: each clip by itself."
        )


def _calibration(bundle: Bundle) -> Iterator[str]:
    if not bundle.calibration:
        return
    yield "## Calibration"
    yield ""
    yield (
        "Fitted on speakers and sentences that the model was not trained on. The ECE after calibration and the shares "
        "were measured on other rows than the calibration was fitted on."
    )
    yield ""
    yield (
        "| predictions from | n | speakers | temperature | ECE before | after | uncertain below | share kept | "
        "wrong of all | wrong of kept |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for kind, facts in bundle.calibration.items():
        names = ("temperature", "ece_before", "ece_after", "uncertain_below", "coverage", "risk", "risk_kept")
        cells = [kind, facts["n"], facts["speakers"], *(_number(facts[name]) for name in names)]
        yield "| " + " | ".join(map(str, cells)) + " |"
    yield ""
    for kind, facts in bundle.calibration.items():
        widths = facts["dimension_half_width"]
        if widths is None:
            yield f"- Dimensions from {kind} have no interval, because no such clip has human ratings."
        else:
            intervals = ", ".join(f"{name} ± {w:.2f}" for name, w in zip(bundle.dimensions, widths, strict=True))
            yield f"- Intervals of dimensions from {kind} alone cover {facts['level']:.0%} of new ratings: {intervals}."
    yield ""


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _limits(bundle: Bundle) -> Iterator[str]:
    if "text" in bundle.reads:
        languages = ", ".join(bundle.text_languages)
        yield f"Transcripts are used only in these languages: {languages}. Others are shown, but not used."
        if not bundle.reads_text_alone:
            yield "This model needs a recording; it predicts nothing from text alone."
    if bundle.duration_range:
        yield "Clips in training were {:.1f} to {:.1f} s long.".format(*bundle.duration_range)
    if "audio" in bundle.reads:
        yield (
            "Use it for emotion over the course of a recording, for search, annotation and research. Leave out "
            "uncertain predictions."
        )
    yield "It predicts how an emotion sounds or reads, not what a person feels. Acted speech is easier than natural."
    yield "Do not use it to decide about people. Inferring emotions at work or in education is forbidden in the EU."
