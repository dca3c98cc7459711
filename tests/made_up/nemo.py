"""A small nEMO: data.tsv with BOM, CRLF, padded ids, a blank line, a repeated row, and a sentence that is missing."""

from __future__ import annotations

from itertools import product
from pathlib import Path

from made_up.clips import write_clip

HEADER = "file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage"
SPEAKERS = {"WR0": ("male", 23), "EB0": ("female", 27), "KL0": ("male", 30), "ZG1": ("female", 24)}
EMOTIONS = ("neutral", "happiness", "sadness", "anger", "fear", "surprised")


def make(root: Path) -> Path:
    """48 clips: four speakers, six emotions, two sentences."""
    lines: list[str] = []
    for (speaker, (gender, age)), emotion, sentence in product(SPEAKERS.items(), EMOTIONS, (1, 2)):
        name = f"{speaker}_{emotion}_{sentence}.wav"
        text = ("To jest ćma.", "Nie wiem, gdzie „on” jest.")[sentence - 1] if lines else ""
        lines.append(f"{name}\t{emotion}\t{text}\t{text.lower()}\t        {speaker}\t{gender}\t{age}")
        write_clip(root / "samples" / (name if lines[1:] else name.upper()))
    (root / "samples" / "._WR0_neutral_1.wav").write_bytes(b"x")
    table = "\r\n".join([HEADER, *lines[:9], "", *lines[9:], lines[3], ""])
    (root / "data.tsv").write_bytes(table.encode("utf-8-sig"))
    return root
