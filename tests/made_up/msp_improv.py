"""A small MSP-IMPROV in the owner's layout, with the oddities of real downloads."""

from __future__ import annotations

from pathlib import Path

from made_up.clips import write_clip

_WORDS = {"A": "Angry", "H": "Happy", "S": "Sad", "N": "Neutral"}
_ACTIVATION = {"A": 2.0, "H": 2.5, "N": 4.0, "S": 4.5}  # 1 is active, 5 is calm
_SENTENCE = "How can I not"


def make(root: Path) -> Path:
    """50 turns: four emotions for each of twelve actors in six sessions, one without agreement, one of another."""
    blocks = []
    for session in range(1, 7):
        for gender in "FM":
            for place, code in enumerate("AHNS"):
                script = "PRST"[(place + session) % 4]
                blocks.append(_turn(root, f"S01{code}-{gender}{session:02d}-{script}-{gender}M{place + 1:02d}", code))
    blocks.append(_turn(root, "S02A-F01-S-FM07", "X"))
    blocks.append(_turn(root, "S02A-M01-S-FM08", "O"))
    blocks[0] += blocks[0].split("\r\n")[1] + "\r\n"  # an annotator twice
    blocks[1] = blocks[1].replace("UTD-IMPROV-S01H", "utd-improv-s01h")
    blocks.append("\r\n" + blocks[2])  # a repeated turn

    texts = root / "All_human_transcriptions"
    (texts / "MSP-IMPROV-S02A-F01-S-FM07.txt").unlink()
    (texts / "MSP-IMPROV-S99A-F01-S-FM01.txt").write_text("of no turn")
    (root / "session1" / "S01A" / "._MSP-IMPROV-S01A-F01-R-FM01.wav").write_bytes(b"\x00")
    (root / "Evalution.txt").write_bytes(("\ufeff" + "\r\n".join(blocks)).encode())
    return root


def _turn(root: Path, turn: str, code: str) -> str:
    """Write clip and words; the lines of the turn and of three annotators."""
    scenario, actor, script, _ = turn.split("-")
    name = f"MSP-IMPROV-{turn}"
    write_clip(root / f"session{int(actor[1:])}" / scenario / script / f"{name}.wav")
    words = root / "All_human_transcriptions" / f"{name}.txt"
    words.parent.mkdir(parents=True, exist_ok=True)
    words.write_bytes((_SENTENCE if script in "RT" else f"words of turn {turn} – really?").encode("cp1252"))
    activation = _ACTIVATION.get(code, 3.0)
    lines = [f"UTD-IMPROV-{turn}.avi; {code}; A:{activation:.6f}; V:3.000000; D:NaN ; N:3.333333;"]
    for worker, word in ((3, "Neutral"), (1, _WORDS.get(code, "Other")), (2, _WORDS.get(code, "Other"))):
        numbers = f"A:{activation:.6f}; V:3.000000; D:NaN; N:4.000000;"
        lines.append(f"worker-{worker}_x; {word}; {word},Excited; {numbers}")
    return "\r\n".join(lines) + "\r\n"
