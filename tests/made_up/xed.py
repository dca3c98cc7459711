"""A small XED: English lines with one label or two, and neutral lines."""

from __future__ import annotations

from pathlib import Path

_WORDS = ("day", "door", "song", "train", "dog", "boat", "letter", "house")


def make(root: Path) -> Path:
    """Forty annotated lines and forty neutral ones; with these words each part has some of both."""
    annotated, neutral = [], []
    for i in range(40):
        word = f"{_WORDS[i % 8]} number {i}"
        annotated.append(f"I love this {word} .\t{5 if i % 2 else '5, 8'}")
        neutral.append(f"{i}\tHere is the {word}.")
    folder = root / "annotated"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "en-annotated.tsv").write_text("\n".join(["...\t1", *annotated]) + "\n")
    (folder / "neu_en.txt").write_text("\n".join(neutral) + "\n")
    return root
