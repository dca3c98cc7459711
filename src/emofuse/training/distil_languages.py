"""Distil an English text encoder into a small encoder of many languages: `python -m emofuse.training.distil_languages`.

A student learns to give for a subtitle line in another language the embedding that the English encoder gives for the
line's English (Reimers & Gurevych 2020, arXiv 2004.09813). The lines are those of XED, about six thousand a language,
without those that do not match their English. Because they have only eight thousand meanings, the student also learns
from other English sentences, translated word by word with lexicons that are learned from the lines.

Each language is judged on lines whose English neither the student nor the English encoder has seen, by how well a
linear classifier that was fitted on English embeddings tells emotions from the student's. Those whose polarity reaches
`MIN_POLARITY` are read.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from emofuse.encoders.multilingual import MultilingualEncoder, save_encoder, words_of_text
from emofuse.encoders.text import CachedTextEncoder, load_text_encoder
from emofuse.errors import EmofuseError
from emofuse.files import cache_dir
from emofuse.training.multilingual_lines import (
    MIN_LIKENESS,
    Line,
    Lines,
    WordByWord,
    english_sentences,
    near_copies,
    read_lines,
)
from emofuse.training.multilingual_student import (
    Options,
    Student,
    Words,
    fit_head,
    frequent_features,
    train_student,
)
from emofuse.training.xed_pairs import EMOTIONS, read_labels, read_pairs

log = logging.getLogger("emofuse")
MIN_POLARITY = 0.68  # UAR of a language that is read
_MIN_JUDGED = 50  # lines with a polarity
_SIX = [EMOTIONS.index(name) for name in ("anger", "disgust", "fear", "joy", "sadness", "surprise")]
_POSITIVE = [EMOTIONS.index(name) for name in ("joy", "trust")]
_NEGATIVE = [EMOTIONS.index(name) for name in ("anger", "disgust", "fear", "sadness")]


def distil(
    teacher: Any,
    out: Path | str,
    data: Path,
    *,
    sentences: int = 40_000,
    sentence_share: float = 1.5,
    options: Options | None = None,
) -> dict[str, Any]:
    """Train a multilingual encoder, judge it, and write it for `MultilingualEncoder`.

    Args:
        teacher: the English encoder, as `load_text_encoder` returns it.
        out: folder to write; an existing one is replaced.
        data: folder that contains `xed`, and `goemotions` for more English sentences.
        sentences: number of English sentences to translate word by word.
        sentence_share: number of translated sentences in an epoch, by the number of lines.
        options: sizes of the network and its training.

    Returns:
        Its facts: `teacher`, `languages`, `scores` and others.

    Raises:
        EmofuseError: the data are incomplete, or `out` cannot be written.
    """
    options = options or Options()
    pairs = read_pairs(data / "xed")
    labels = read_labels(data / "xed", pairs)
    lines = read_lines(pairs)
    log.info("%d lines in %d languages", len(lines.lines), len(lines.languages))
    kept_back = [text for key, part in lines.part_of.items() if part != "train" for text in lines.english[key]]
    english = english_sentences(data, sentences)
    near = near_copies(english, kept_back)
    english = [text for text in english if text not in near]
    embeddings = _Embeddings(teacher, lines, english)
    heads = [fit_head(*embeddings.labelled(labels))]
    words = WordByWord(lines)
    training = [line for line in lines.of_part("train") if line.likeness >= MIN_LIKENESS]
    texts: list[Words] = [(line.language, line.words) for line in training]
    english_words = [words_of_text(text, "en") for text in english]
    targets = np.stack([embeddings.of_key[line.key] for line in training])

    def draw(rng: np.random.Generator) -> tuple[list[Words], np.ndarray]:
        drawn = list(words.draw(english_words, int(sentence_share * len(training)), rng))
        more = embeddings.of_sentences[[number for _, number in drawn]]
        return [*texts, *(text for text, _ in drawn)], np.concatenate([targets, more])

    torch.manual_seed(options.seed)
    features = frequent_features(texts, options.features)
    log.info("%d training lines, %d English sentences, %d features", len(texts), len(english), len(features))
    student = Student(features, teacher.dim, options)
    train_student(student, draw, heads, options)
    facts: dict[str, Any] = {"teacher": teacher.identity, "languages": [], "scores": {}, "lines": len(texts)}
    weights = student.weights(embeddings.mean, embeddings.std)
    lexicon = {language: lines.alignments[language].glosses() for language in lines.languages}
    save_encoder(out, weights, lexicon, facts)
    test = [line for line in lines.of_part("test") if line.key in labels]
    given = embed(MultilingualEncoder(out), teacher, test)
    facts["scores"] = judge(given, test, labels, embeddings)
    facts["languages"] = [code for code, one in facts["scores"].items() if one["polarity"]["uar"] >= MIN_POLARITY]
    save_encoder(out, weights, lexicon, facts)
    return facts


def embed(encoder: MultilingualEncoder, teacher: Any, lines: Sequence[Line]) -> np.ndarray:
    """Embeddings of lines as a prediction has them, with what the teacher reads in their glosses: (n, dim)."""
    embeddings = encoder.encode_words((line.words, line.language) for line in lines)
    glosses = [encoder.gloss(line.words, line.language) for line in lines]
    distinct = list(dict.fromkeys(gloss for gloss in glosses if gloss))
    log.info("embedding %d glosses of %d test lines", len(distinct), len(lines))
    of_gloss = dict(zip(distinct, teacher.encode(distinct), strict=True))
    for row, gloss in enumerate(glosses):
        if gloss:
            embeddings[row] = encoder.add_gloss(embeddings[row], of_gloss[gloss])
    return embeddings


class _Embeddings:
    """The teacher's embeddings: the mean over the English versions of each key, and those of sentences, standardised.

    Attributes:
        mean: of the keys of the training part, (dim,).
        std: likewise.
        of_key: standardised embedding, (dim,), by key.
        of_sentences: standardised embeddings, (n, dim).
    """

    def __init__(self, teacher: Any, lines: Lines, sentences: Sequence[str]) -> None:
        cached = CachedTextEncoder(teacher, cache_dir() / "text")
        keys = [key for key in lines.english if key in lines.part_of]
        versions = [text for key in keys for text in lines.english[key]]
        log.info("embedding %d English lines and %d sentences", len(versions), len(sentences))
        vectors = iter(cached.encode(versions))
        means = {key: np.mean([next(vectors) for _ in lines.english[key]], axis=0) for key in keys}
        self._training_keys = [key for key in keys if lines.part_of[key] == "train"]
        training = np.stack([means[key] for key in self._training_keys])
        self.mean, self.std = training.mean(axis=0), training.std(axis=0) + 1e-2
        self.of_key = {key: self.standardise(mean) for key, mean in means.items()}
        self.of_sentences = self.standardise(cached.encode(sentences))

    def standardise(self, embeddings: np.ndarray) -> np.ndarray:
        """Subtract the mean and divide by the standard deviation of the English training lines."""
        standardised: np.ndarray = ((embeddings - self.mean) / self.std).astype(np.float32)
        return standardised

    def labelled(self, labels: Mapping[str, Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
        """Standardised embeddings (n, dim) of the labelled training keys, and distributions over `EMOTIONS`."""
        keys = [key for key in self._training_keys if key in labels]
        shares = _label_matrix(keys, labels).astype(np.float32)
        return np.stack([self.of_key[key] for key in keys]), shares / shares.sum(axis=1, keepdims=True)


def judge(
    given: np.ndarray, test: Sequence[Line], labels: Mapping[str, Sequence[int]], embeddings: _Embeddings
) -> dict[str, dict[str, dict[str, float]]]:
    """Score the embeddings of test lines by language, for languages with enough of them.

    Args:
        given: embeddings, (n, dim).
        test: the lines, each with labels.
        labels: emotions by key.
        embeddings: the teacher's, of the English lines.

    Returns:
        By language, `polarity` (n, uar) and `six` (n, macro_f1), each also with the score of the English encoder on the
        lines' English (`english`) and without the lines that hardly match their English (`matching`, `n_matching`).
    """
    known = embeddings.standardise(given)
    english = np.stack([embeddings.of_key[line.key] for line in test])
    training, _ = embeddings.labelled(labels)
    training_labels = _label_matrix([key for key in embeddings._training_keys if key in labels], labels)
    test_labels = _label_matrix([line.key for line in test], labels)
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for task, name in (("polarity", "uar"), ("six", "macro_f1")):
        usable, classes = _classes(training_labels, task)
        classifier = _classifier(training[usable], classes[usable])
        usable, classes = _classes(test_labels, task)
        answers = {"student": classifier.predict(known), "english": classifier.predict(english)}
        for language in dict.fromkeys(line.language for line in test):
            rows = np.flatnonzero(usable & [line.language == language for line in test])
            matching = np.array([row for row in rows.tolist() if test[row].likeness >= MIN_LIKENESS], np.int64)
            if len(rows) >= (_MIN_JUDGED if task == "polarity" else 1):
                scores.setdefault(language, {})[task] = {
                    "n": len(rows),
                    name: _score(task, classes[rows], answers["student"][rows]),
                    "english": _score(task, classes[rows], answers["english"][rows]),
                    "n_matching": len(matching),
                    "matching": _score(task, classes[matching], answers["student"][matching]),
                }
    return {language: one for language, one in scores.items() if len(one) == 2}


def _label_matrix(keys: Sequence[str], labels: Mapping[str, Sequence[int]]) -> np.ndarray:
    """Whether each key has each of `EMOTIONS`, (n, 9)."""
    matrix = np.zeros((len(keys), len(EMOTIONS)), bool)
    for row, key in enumerate(keys):
        matrix[row, list(labels[key])] = True
    return matrix


def _classes(labels: np.ndarray, task: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows that have exactly one class of a task, (n,), and the class of each row."""
    if task == "six":
        return (labels.sum(axis=1) == 1) & labels[:, _SIX].any(axis=1), labels[:, _SIX].argmax(axis=1)
    positive, negative = labels[:, _POSITIVE].any(axis=1), labels[:, _NEGATIVE].any(axis=1)
    return positive != negative, positive.astype(int)


def _classifier(embeddings: np.ndarray, classes: np.ndarray) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=0.02, max_iter=300, class_weight="balanced").fit(embeddings, classes)


def _score(task: str, expected: np.ndarray, given: np.ndarray) -> float:
    from sklearn.metrics import balanced_accuracy_score, f1_score

    if not len(expected):
        return float("nan")
    if task == "six":
        return round(float(f1_score(expected, given, average="macro", labels=range(len(_SIX)), zero_division=0)), 4)
    return round(float(balanced_accuracy_score(expected, given)), 4)


def render_scores(facts: Mapping[str, Any]) -> str:
    """The scores of a multilingual encoder as a Markdown table; languages that are read are marked with a star."""
    rows = ["| language | n | polarity | English | n | six | English |", "|---|---|---|---|---|---|---|"]
    for language, score in facts["scores"].items():
        polarity, six = score["polarity"], score["six"]
        mark = "*" if language in facts["languages"] else ""
        rows.append(
            f"| {language}{mark} | {polarity['n']} | {polarity['uar']:.3f} | {polarity['english']:.3f} "
            f"| {six['n']} | {six['macro_f1']:.3f} | {six['english']:.3f} |"
        )
    return "\n".join(rows)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m emofuse.training.distil_languages",
        description="Distil an English text encoder into a small encoder of many languages.",
    )
    parser.add_argument("teacher", help="folder or name of the English encoder, as text.encoder in a recipe")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--data", type=Path, required=True, help="folder that contains xed and goemotions")
    parser.add_argument("--sentences", type=int, default=40_000, help="number of English sentences (default 40000)")
    parser.add_argument("--epochs", type=int, default=Options.epochs, help=f"(default {Options.epochs})")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        teacher = load_text_encoder(arguments.teacher)
        facts = distil(
            teacher,
            arguments.out,
            arguments.data,
            sentences=arguments.sentences,
            options=Options(epochs=arguments.epochs),
        )
    except EmofuseError as error:
        sys.exit(f"error: {error}")
    print(render_scores(facts))


if __name__ == "__main__":
    main()
