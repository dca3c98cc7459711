"""A small GoEmotions: made-up comments with one label or two in three parts."""

from __future__ import annotations

from pathlib import Path

LABELS = (
    *("admiration", "amusement", "anger", "annoyance", "approval", "caring", "confusion", "curiosity", "desire"),
    *("disappointment", "disapproval", "disgust", "embarrassment", "excitement", "fear", "gratitude", "grief", "joy"),
    *("love", "nervousness", "optimism", "pride", "realization", "relief", "remorse", "sadness", "surprise", "neutral"),
)
_COMMENTS = {
    "What a fine day": ("joy",),
    "Thank you, [NAME]": ("gratitude", "love"),
    'I said "no': ("anger",),
    "It makes me cry": ("sadness",),
    "The door is shut": ("neutral",),
    "I laugh and cry": ("amusement", "sadness"),
    "Who goes there": ("fear",),
    "What is this": ("disgust",),
    "I had no idea": ("surprise",),
}


def make(root: Path) -> Path:
    """Each of the nine comments three times in train, once in dev and in test."""
    folder = root / "data"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "emotions.txt").write_text("\n".join(LABELS))
    for part, copies in {"train": 3, "dev": 1, "test": 1}.items():
        lines = []
        for i, (text, labels) in enumerate(_COMMENTS.items()):
            numbers = ",".join(str(LABELS.index(label)) for label in labels)
            lines += [f"{text}, {part} {copy}.\t{numbers}\t{part}{i}{copy}" for copy in range(copies)]
        (folder / f"{part}.tsv").write_text("\n".join(lines) + "\n")
    return root
