"""A small IEMOCAP with clips, and label files of the size of the full release without clips."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from made_up.clips import write_clip

COUNTS = {
    "ang": 1103,
    "hap": 595,
    "exc": 1041,
    "sad": 1084,
    "neu": 1708,
    "fru": 1849,
    "fea": 40,
    "sur": 107,
    "dis": 2,
    "oth": 3,
    "xxx": 2507,
}
"""Consensus labels of the full release."""

_WORDS = {
    "ang": "Anger",
    "hap": "Happiness",
    "exc": "Excited",
    "sad": "Sadness",
    "neu": "Neutral",
    "fru": "Frustration",
    "fea": "Fear",
    "sur": "Surprise",
    "dis": "Disgust",
    "oth": "Other",
}
_MEANS = {"hap": (4.5, 4, 4), "exc": (4.5, 5, 4), "sad": (1.5, 2, 2), "neu": (2.5, 3, 3)}  # valence, arousal, dominance
_HEADER = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
_FULL_SCENES = [f"impro{n:02d}" for n in range(1, 9)] + [f"script{n}" for n in ("01_1", "01_2", "01_3", "02_1")]
_FULL_SCENES += [f"script{n}" for n in ("02_2", "03_1", "03_2")]


def make(root: Path) -> Path:
    """Five sessions of two dialogues: 110 utterances, each actor with all labels of the six-class subset."""
    for session in range(1, 6):
        improvised = ["ang", "hap", "neu", "sad", "fru"]
        scripted = ["ang", "exc", "neu", "sad", "fru", "xxx"]
        for dialogue, labels in ((f"Ses0{session}F_impro01", improvised), (f"Ses0{session}M_script01_1", scripted)):
            for utterance in _write_dialogue(root, session, dialogue, [label for label in labels for _ in "FM"]):
                write_clip(root / f"Session{session}/sentences/wav/{dialogue}/{utterance}.wav")
    _make_odd(root)
    return root


def make_labels(root: Path) -> Path:
    """Evaluations and transcriptions of 10,039 utterances in 150 dialogues, with `COUNTS`; no clips."""
    labels = [label for label, count in COUNTS.items() for _ in range(count)]
    random.Random(0).shuffle(labels)
    dialogues = [(n, f"Ses0{n}{actor}_{scene}") for n in range(1, 6) for actor in "FM" for scene in _FULL_SCENES]
    for i, (session, dialogue) in enumerate(dialogues):
        _write_dialogue(root, session, dialogue, labels[i :: len(dialogues)])
    return root


def _write_dialogue(root: Path, session: int, dialogue: str, labels: Sequence[str]) -> list[str]:
    """Actors take turns, the woman first; the utterances' names."""
    evaluations, turns, names = [_HEADER], [], []
    scripted = "script" in dialogue
    for i, label in enumerate(labels):
        name = f"{dialogue}_{'FM'[i % 2]}{i // 2:03d}"
        start, end = 3.0 * i + 1, 3.0 * i + 3.5
        evaluations.append(_evaluation(name, start, end, label))
        words = (
            f"This is line {i} of the play." if scripted else f"I say {i} in {dialogue} as {_WORDS.get(label, 'I')}."
        )
        turns.append(f"{name} [{start:08.4f}-{end:08.4f}]: {words}\n")
        names.append(name)
    folder = root / f"Session{session}" / "dialog"
    for kind, lines in (("EmoEvaluation", evaluations), ("transcriptions", turns)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        (folder / kind / f"{dialogue}.txt").write_text("".join(lines), encoding="utf-8")
    return names


def _evaluation(name: str, start: float, end: float, label: str) -> str:
    first, second, third = ("Anger;", "Surprise; Fear;", "Other;") if label == "xxx" else (f"{_WORDS[label]};",) * 3
    valence, arousal, dominance = _MEANS.get(label, (2.5, 4, 3))
    return (
        f"[{start:.4f} - {end:.4f}]\t{name}\t{label}\t[{valence:.4f}, {arousal:.4f}, {dominance:.4f}]\n"
        f"C-E2:\t{first}\t()\nC-E3:\t{second}\t(curious)\nC-E4:\t{third} Frustration;\t()\n"
        f"C-{name[-4]}1:\tNeutral;\t()\n"
        f"A-E3:\tval {valence + 0.5:.0f}; act {arousal:.0f}; dom  {dominance - 1:.0f};\t()\n"
        f"A-E4:\tval {valence - 0.5:.0f}; act {arousal:.0f}; dom  {dominance + 1:.0f};\t(mild; val 9)\n"
        f"A-{name[-4]}1:\tval 3; act ; dom  ;\t()\n\n"
    )


def _make_odd(root: Path) -> None:
    """What a real copy may have: other encodings, hidden files, turns without evaluation, an id in other case."""
    labels = root / "Session1/dialog/EmoEvaluation"
    (labels / "._Ses01F_impro01.txt").write_bytes(b"\x00\x05\x16\x07")
    (labels / "Categorical").mkdir()
    (labels / "Categorical/Ses01F_impro01_e2_cat.txt").write_text("Ses01F_impro01_F000 :Neutral state; ()\n")
    first = labels / "Ses01F_impro01.txt"
    text = first.read_text().replace("Ses01F_impro01_M000\tang", "SES01F_IMPRO01_m000\tANG")
    repeated = text[text.index("[1.0000") : text.index("[4.0000")]
    first.write_bytes(("\ufeff" + text + repeated).replace("\n", "\r\n").encode())
    write_clip(root / "Session1/sentences/wav/Ses01F_impro01/._Ses01F_impro01_F000.wav")
    turns = root / "Session1/dialog/transcriptions/Ses01F_impro01.txt"
    lines = turns.read_text().splitlines()[:-1]  # the last utterance has no transcript
    lines[0] = "ses01f_IMPRO01_f000 [001.0000-003.5000]:\tIt\u2019s a\tcaf\u00e9."
    lines += [
        "",
        "Ses01F_impro01_FXX0 [061.0000-062.0000]: Hm.",
        "Ses01F_impro01_F099 [063.0000-064.0000]: Yes.",
        "M: No",
    ]
    turns.write_bytes("\n".join(lines).encode("cp1252"))
