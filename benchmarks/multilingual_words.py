"""Whether words in languages of the multilingual encoder help, and whether they harm where they carry no emotion.

    python benchmarks/multilingual_words.py --data FOLDER [--model BUNDLE] [--encoder FOLDER] [--clips 400]

FOLDER contains nemo, emodb and xed. Without --encoder, the bundle must hold a multilingual encoder; --encoder puts
another one in its place. Each clip is judged alone, without adaptation to the speaker. Prints Markdown tables:

- how well each language is read (from the encoder's facts);
- nEMO (Polish) and EMO-DB (German), whose sentences carry no emotion: UAR by voice, and by voice and words, given ones
  and recognised ones (200 clips), with the share of answers that the words change;
- composed pairs of their voices and lines of XED's test part with the same emotion: UAR by voice, words, and both.

Differences come with a 95 % interval from a bootstrap over clips.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emofuse.audio import read_audio
from emofuse.corpora import read_corpus
from emofuse.encoders.multilingual import MultilingualEncoder, require_teacher
from emofuse.encoders.recogniser import Transcriber, distrust
from emofuse.inference.bundle import Bundle, default_bundle
from emofuse.inference.network import Network
from emofuse.metrics.scores import uar
from emofuse.training.xed_pairs import EMOTIONS, read_labels, read_pairs
from emofuse.words import has_words

LANGUAGES = {"nemo": "pl", "emodb": "de"}
RECOGNISED = 200
SHARED = {"joy": "happiness"}  # XED's name and the shared one, where they differ
ROW = "| {} | {} | {} | {:.3f} | {:.3f} | {:+.3f} ({:+.3f} to {:+.3f}) | {:.0%} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="a bundle; default: the one in the package")
    parser.add_argument("--encoder", type=Path, help="folder of a multilingual encoder")
    parser.add_argument("--clips", type=int, default=400, help="of each corpus")
    options = parser.parse_args()
    network = open_network(Bundle.load(options.model) if options.model else default_bundle(), options.encoder)
    print_languages(network.bundle.multilingual_encoder["scores"], network.bundle.multilingual_encoder["languages"])
    print("\n| clips | words | n | voice | voice and words | difference | answers changed |")
    print("|---|---|---|---|---|---|---|")
    voices = {}
    for name, language in LANGUAGES.items():
        table = read_corpus(name, options.data / name).sample(frac=1, random_state=0)
        table = table[table["emotion"].isin(network.bundle.labels)][: options.clips].reset_index(drop=True)
        samples = [read_audio(options.data / name / file) for file in table["file"]]
        frames = [network.frames(one) for one in samples]
        voices[name] = (table, frames)
        print_words(network, f"{name} ({language})", "given", table, frames, list(table["text"]), language)
        texts = recognise(samples[:RECOGNISED], language)
        print_words(network, f"{name} ({language})", "recognised", table[:RECOGNISED], frames, texts, language)
    print("\nComposed pairs: a voice beside a line with the same emotion.\n")
    print("| voices | lines | n | voice | voice and words | difference | answers changed | words |")
    print("|---|---|---|---|---|---|---|---|")
    lines = test_lines(options.data / "xed")
    for name, language in LANGUAGES.items():
        print_composed(network, name, *voices[name], lines[lines["language"] == language], language)


def open_network(bundle: Bundle, encoder: Path | None) -> Network:
    """A network for a bundle, with another multilingual encoder if one is given."""
    if encoder is None:
        if not bundle.multilingual_encoder:
            raise SystemExit(f"{bundle.name} has no multilingual encoder. Give one with --encoder.")
        return Network(bundle)
    chosen = MultilingualEncoder(encoder)
    require_teacher(chosen.facts, bundle.text_encoder, bundle.name)
    languages = sorted({*chosen.languages, *LANGUAGES.values()})  # judged even if they are not read

    class WithEncoder(Network):
        _multilingual_encoder: Any = chosen

    return WithEncoder(replace(bundle, multilingual_encoder={"languages": languages, "scores": chosen.facts["scores"]}))


def print_languages(scores: dict[str, Any], read: Sequence[str]) -> None:
    """One row for each language that was judged."""
    print(
        "| language | read | n | polarity | English | gain | n | six | English |\n|---|---|---|---|---|---|---|---|---|"
    )
    for language, score in scores.items():
        polarity, six = score["polarity"], score["six"]
        gain = (polarity["uar"] - 0.5) / (polarity["english"] - 0.5)
        print(
            f"| {language} | {'yes' if language in read else 'no'} | {polarity['n']} | {polarity['uar']:.3f} | "
            f"{polarity['english']:.3f} | {gain:.2f} | {six['n']} | {six['macro_f1']:.3f} | {six['english']:.3f} |"
        )


def print_words(
    network: Network,
    name: str,
    source: str,
    table: pd.DataFrame,
    frames: Sequence[np.ndarray],
    texts: Sequence[str | None],
    language: str,
) -> None:
    """One row: answers from the voice alone against those with the words of each clip."""
    voice = answers(network, frames[: len(table)], [None] * len(table), language)
    both = answers(network, frames[: len(table)], texts, language)
    print(ROW.format(name, source, len(table), *compare(table["emotion"].to_numpy(), voice, both)), flush=True)


def print_composed(
    network: Network,
    name: str,
    table: pd.DataFrame,
    frames: Sequence[np.ndarray],
    lines: pd.DataFrame,
    language: str,
) -> None:
    """One row: each voice beside a random line with the emotion of the voice."""
    rng = np.random.default_rng(0)
    by_emotion = {emotion: list(rows["text"]) for emotion, rows in lines.groupby("emotion")}
    rows = [i for i, emotion in enumerate(table["emotion"]) if emotion in by_emotion]
    texts = [str(rng.choice(by_emotion[table["emotion"][i]])) for i in rows]
    truth, chosen = table["emotion"].to_numpy()[rows], [frames[i] for i in rows]
    voice, both = answers(network, chosen, [None] * len(rows), language), answers(network, chosen, texts, language)
    row = ROW.format(name, f"XED ({language})", len(rows), *compare(truth, voice, both))
    words = "-"
    if network.bundle.reads_text_alone:
        words = f"{uar(truth, answers(network, [None] * len(rows), texts, language)):.3f}"
    print(f"{row} {words} |", flush=True)


def answers(
    network: Network, frames: Sequence[np.ndarray | None], texts: Sequence[str | None], language: str
) -> np.ndarray:
    """The most probable category of each clip, with its text if it has one."""
    best = []
    for one, text in zip(frames, texts, strict=True):
        embedding = network.embedding(text, language) if has_words(text) and text else None
        best.append(network.bundle.labels[int(network.answer(one, embedding).probabilities.argmax())])
    return np.array(best)


def compare(truth: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, ...]:
    """UAR of both, their difference with its interval, and the share of answers that differ."""
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(1000):
        rows = rng.integers(0, len(truth), len(truth))
        draws.append(uar(truth[rows], second[rows]) - uar(truth[rows], first[rows]))
    low, high = np.quantile(draws, [0.025, 0.975])
    scores = uar(truth, first), uar(truth, second)
    return (*scores, scores[1] - scores[0], float(low), float(high), float((first != second).mean()))


def recognise(samples: Sequence[np.ndarray], language: str) -> list[str | None]:
    """The words of clips as a prediction would use them: trusted, and in the language of the corpus."""
    transcriber = Transcriber()
    transcripts = [transcriber.transcribe(one) for one in samples]
    return [one.text if one.language == language and not distrust(one) else None for one in transcripts]


def test_lines(root: Path) -> pd.DataFrame:
    """Lines of XED's test part with exactly one emotion: language, text, emotion under its shared name."""
    pairs = read_pairs(root)
    labels, parts = read_labels(root, pairs), pairs.parts()
    rows = []
    for line in pairs.lines:
        emotions = [EMOTIONS[number] for number in labels.get(line.key, ())]
        if parts[line.key] == "test" and len(emotions) == 1:
            rows.append({"language": line.language, "text": line.text, "emotion": SHARED.get(emotions[0], emotions[0])})
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
