"""A small EmoBank: made-up sentences with ratings in three parts."""

from __future__ import annotations

from pathlib import Path

_KINDS = {
    "What a {} day": (4.2, 3.5, 3.4),
    "That {} thing again": (1.8, 3.6, 2.6),
    "The {} door is shut": (3.0, 2.4, 3),
}
_WORDS = ("fine", "red", "old", "new", "long", "late", "first", "third")


def make(root: Path) -> Path:
    """48 sentences in train, 12 in dev, 12 in test; one more has no text."""
    lines = ["id,split,V,A,D,text"]
    for kind, (pattern, (v, a, d)) in enumerate(_KINDS.items()):
        for i in range(24):
            part = "train" if i < 16 else "dev" if i < 20 else "test"
            text = f'"{pattern.format(_WORDS[i % 8])}, {i}."'
            lines.append(f"S{kind}_{i},{part},{v + 0.02 * i:.2f},{a - 0.02 * i:.2f},{d},{text}")
    lines += [lines[-1], "S9,test,3.0,3.0,3.0,", ""]
    root.mkdir(parents=True, exist_ok=True)
    (root / "emobank.csv").write_bytes(("\ufeff" + "\r\n".join(lines)).encode())
    return root
