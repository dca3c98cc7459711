"""Behavioural tests of emotion from words: `behaviour.toml` beside this file, on a model with words alone.

    python benchmarks/behaviour.py                                # the default model
    python benchmarks/behaviour.py --model BUNDLE --failures      # another one, and every text that fails

Prints a Markdown table: capability, number of cases, and the share that passes.
"""

from __future__ import annotations

import argparse
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from string import Formatter
from typing import Any, NamedTuple

import numpy as np

TABLE = Path(__file__).with_suffix(".toml")
Predict = Callable[[Sequence[str]], np.ndarray]  # texts to probabilities (texts, categories)


class Case(NamedTuple):
    """One text or a pair of texts, and what is expected of the prediction."""

    capability: str
    texts: tuple[str, ...]
    expectation: str
    value: Any


def read_cases(path: Path = TABLE) -> list[Case]:
    """Read the table and fill the slots of its templates."""
    table = tomllib.loads(path.read_text("utf8"))
    return [case for test in table["test"] for case in _cases(test, table["slots"])]


def _cases(test: Mapping[str, Any], slots: Mapping[str, list[str]]) -> Iterator[Case]:
    (expectation,) = {"expect", "avoid", "same", "up", "down"} & set(test)
    for template in [[text] for text in test.get("templates", [])] + test.get("pairs", []):
        names = sorted({field for text in template for _, field, _, _ in Formatter().parse(text) if field})
        for values in product(*(test.get(name) or slots[name] for name in names)):
            filled = dict(zip(names, values, strict=True))
            texts = tuple(text.format(**filled) for text in template)
            yield Case(test["capability"], texts, expectation, test[expectation])


def passes(case: Case, probabilities: np.ndarray, categories: list[str]) -> bool:
    """Return whether predictions (texts of the case, categories) are as expected."""
    best = [categories[i] for i in probabilities.argmax(axis=1)]
    if case.expectation == "expect":
        return best[0] in case.value
    if case.expectation == "avoid":
        return best[0] not in case.value
    if case.expectation == "same":
        return len(set(best)) == 1
    before, after = probabilities[:, categories.index(case.value)]
    return bool(after > before if case.expectation == "up" else after < before)


def run_cases(predict: Predict, categories: list[str]) -> list[tuple[Case, bool]]:
    """Predict all texts at once, and check each case."""
    cases = read_cases()
    rows = iter(predict([text for case in cases for text in case.texts]))
    return [(case, passes(case, np.stack([next(rows) for _ in case.texts]), categories)) for case in cases]


def render_table(results: Sequence[tuple[Case, bool]]) -> str:
    by_capability: dict[str, list[bool]] = defaultdict(list)
    for case, passed in results:
        by_capability[case.capability].append(passed)
        by_capability["all"].append(passed)
    by_capability["all"] = by_capability.pop("all")
    lines = ["| capability | cases | pass |", "|---|---|---|"]
    lines += [f"| {name} | {len(passed)} | {np.mean(passed):.0%} |" for name, passed in by_capability.items()]
    mean = np.mean([np.mean(passed) for name, passed in by_capability.items() if name != "all"])
    return "\n".join([*lines, f"| mean of capabilities | | {mean:.0%} |"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a bundle; the default model if not given")
    parser.add_argument("--failures", action="store_true", help="print each text that fails")
    options = parser.parse_args()
    predict, categories = load_words_alone(options.model)
    results = run_cases(predict, categories)
    print(render_table(results))
    if options.failures:
        for case, passed in results:
            if not passed:
                print(f"{case.capability}: {' | '.join(case.texts)} ({case.expectation} {case.value})")


def load_words_alone(model: Path | None) -> tuple[Predict, list[str]]:
    """A bundle as a function of texts alone, and its categories."""
    import emofuse

    predict = emofuse.load(model, transcribe="off")
    categories = list(predict.bundle.labels)

    def probabilities(texts: Sequence[str]) -> np.ndarray:
        predictions = [predict(text=text, language="en")[0].probabilities for text in texts]
        return np.array([[prediction[name] for name in categories] for prediction in predictions])

    return probabilities, categories


if __name__ == "__main__":
    main()
