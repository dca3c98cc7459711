"""A small EmoTale: five adults and a child, five emotions, two sentences, Danish and English."""

from __future__ import annotations

from pathlib import Path

from made_up.clips import write_clip

_HEADER = "file,a1_A,a1_V,a1_D,a1_cat,a2_A,a2_V,a2_D,a2_cat,a3_A,a3_V,a3_D,a3_cat,gt_emotion"
_SPEAKERS = {"001": ("F", 24), "003": ("M", 31), "004": ("F", 9), "005": ("M", 39), "006": ("F", 12), "007": ("F", 22)}
_RATED = {"A": "4.5,1.5,4.5", "B": "1.5,2.5,2.0", "H": "4.0,4.5,3.5", "N": "2.5,3.0,3.0", "S": "2.0,1.5,2.0"}


def make(root: Path) -> Path:
    """90 clips; the first three speakers speak English as well, as in the release only some do."""
    rows = []
    for language, speakers in (("DK", list(_SPEAKERS)), ("EN", list(_SPEAKERS)[:3])):
        for name in (f"{language}_{s}_{e}_{n}" for s in speakers for e in _RATED for n in (1, 4)):
            emotion = name[7]
            third = "N" if name[-1] == "4" else emotion
            rated = (f"{_RATED[emotion]},{emotion}", f"{_RATED[emotion]},{emotion}", f"{_RATED[third]},{third}")
            rows.append(f"{name}.wav,{','.join(rated)},{emotion}")
            write_clip(root / "wav" / f"{name}.wav")
    rows[0] = rows[0].replace("DK_001_A_1.wav", "dk_001_a_1.WAV")
    rows[1] = "DK_001_A_4.wav,4.0,1.5,,A,5.0,2.5,,A,,,,,A"  # the third annotator rated nothing, no one dominance
    write_clip(root / "wav" / "._DK_001_A_1.wav")
    text = "\r\n".join([_HEADER, "", *rows, rows[-1], "", ""])
    (root / "annotations.csv").write_bytes(("\ufeff" + text).encode())
    lines = [f"{int(s)},{gender},{age}" for s, (gender, age) in _SPEAKERS.items()]
    (root / "speaker_info.csv").write_text("\n".join(["Speaker_ID,Gender,Age", *lines, ""]))
    return root
