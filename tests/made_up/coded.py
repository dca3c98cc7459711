"""Small copies of the corpora whose file names are codes: names in the owners' form, in every speaker and category."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

from made_up.clips import write_clip

_RAVDESS = "Actor_{0:02d}/03-{1}-{2:02d}-{3:02d}-{4:02d}-01-{0:02d}.wav"
_TESS = {
    "OAF": ("angry", "disgust", "Fear", "happy", "neutral", "Pleasant_surprise", "Sad"),
    "YAF": ("angry", "disgust", "fear", "happy", "neutral", "pleasant_surprised", "sad"),
}
_CAFE = {
    "C": "Colère/Fort",
    "D": "Dégoût/Fort",
    "J": "Joie/Fort",
    "N": "Neutre",
    "P": "Peur/Fort",
    "S": "Surprise/Fort",
    "T": "Tristesse/Fort",
}
_SUBESCO = {"F_01": "OISHI", "F_02": "MONIKA", "M_01": "NIPUN", "M_02": "RASEL"}
_ESD = {"Neutral": 0, "Angry": 350, "Happy": 700, "Sad": 1050, "Surprise": 1400}
_ESD_PARTS = {"evaluation": 1, "test": 21, "train": 51}
_ESD_ENCODINGS = {
    "0001": "gb18030",
    "0002": "utf-16",
    "0004": "utf-8-sig",
    "0011": "cp1252",
    "0015": "utf-16",
    "0020": "utf-8",
}

NAMES: dict[str, list[str]] = {
    "ravdess": [_RAVDESS.format(a, "01", e, 1 + (e > 1), 1 + (a + e) % 2) for a in range(1, 25) for e in range(1, 9)],
    "ravdess-song": [_RAVDESS.format(a, "02", e, 1, 1 + (a + e) % 2) for a in range(1, 7) for e in range(1, 7)],
    "savee": [
        f"AudioData/{s}/{e}{n:02d}.wav"
        for s, e, n in product(("DC", "JE", "JK", "KL"), ("a", "d", "f", "h", "n", "sa", "su"), (1, 2))
    ],
    "tess": [
        f"{s}_{e}/{s}_{w}_{'ps' if 'surprise' in e else e.lower()}.wav"
        for s in _TESS
        for e, w in product(_TESS[s], ("back", "bite", "dog"))
    ],
    "emodb": [
        f"wav/{s}{t}{e}{v}.wav"
        for s, e, (t, v) in product(("03", "08", "09", "10", "11", "16"), "WLEAFTN", (("a01", "a"), ("b10", "c")))
    ],
    "emovo": [
        f"{s}/{e}-{s}-{t}.wav"
        for s, e, t in product(
            ("f1", "f2", "f3", "m1", "m2", "m3"), ("dis", "gio", "neu", "pau", "rab", "sor", "tri"), ("b1", "n5")
        )
    ],
    "cafe": [
        f"{_CAFE[e]}/{a:02d}-{e}-{1 if e == 'N' else 2}-{s}.wav" for a, e, s in product(range(1, 7), _CAFE, (1, 6))
    ],
    "subesco": [
        f"{s}_{_SUBESCO[s]}_S_{n}_{e}_{t}.wav"
        for s, (n, t), e in product(
            _SUBESCO, ((1, 1), (10, 5)), ("ANGRY", "DISGUST", "FEAR", "HAPPY", "NEUTRAL", "SAD", "SURPRISE")
        )
    ],
    "urdu": [
        f"{e}/{s}_F{n}_{e[0]}0{n}.wav"
        for e, s, n in product(("Angry", "Happy", "Neutral", "Sad"), ("SF1", "SF2", "SM1", "SM2"), (1, 2))
    ],
    "ased": [
        f"{folder}/{folder[2].lower()}{folder[1]}-{p}-{r}-{g}-{s}.wav"
        for folder, (p, r), (g, s) in product(
            ("01Neutral", "02Fearful", "03Happy", "04Sad", "05Angry"),
            (("01", "01"), ("03", "02")),
            (("01", "01"), ("01", "23"), ("02", "02"), ("02", "50")),
        )
    ],
    "shemo": [
        f"{'female' if s[0] == 'F' else 'male'}/{s}{e}{n:02d}.wav"
        for s, e, n in product(("F01", "F21", "M01", "M28"), "AFHNSW", (1, 2))
    ],
    "esd": [
        f"{s}/{e}/{part}/{s}_{first + _ESD_PARTS[part]:06d}.wav"
        for s, (e, first), part in product(_ESD_ENCODINGS, _ESD.items(), _ESD_PARTS)
    ],
}
"""Paths of the clips, by the name of the corpus's reader."""


def make(root: Path, name: str) -> Path:
    """A corpus of `NAMES` with clips: the last name in upper case, a hidden file, and what lies beside the clips."""
    *clips, last = (root / clip for clip in NAMES[name])
    for clip in [*clips, last.with_name(last.name.upper())]:
        write_clip(clip)
    (clips[0].parent / f"._{clips[0].name}").write_bytes(b"x")
    (root / "ReadMe.txt").write_text("made up")
    if name in ("ravdess", "ravdess-song"):
        other = "03-02" if name == "ravdess" else "03-01"
        write_clip(clips[0].with_name(other + clips[0].name[5:]))
        clips[0].with_name("02" + clips[0].name[2:]).with_suffix(".mp4").write_bytes(b"video without sound")
    if name == "subesco":
        write_clip(root / "F_02_MONIKA_S_2_SURPRISE_3].wav")
    if name == "tess":
        write_clip(root / "OAF_neutral" / "OA_bite_neutral.wav")
    if name == "esd":
        _write_esd_texts(root)
    if name == "shemo":
        _write_shemo_texts(root)
    return root


def _write_esd_texts(root: Path) -> None:
    for speaker, encoding in _ESD_ENCODINGS.items():
        words = "打远一看，它们的确很是美丽，" if speaker <= "0010" else "The café isn’t “open” yet."
        words = words if encoding != "utf-8" else "The nine the eggs, I keep."
        lines = []
        for emotion, first in _ESD.items():
            label = emotion if speaker > "0010" else {"Neutral": "中立", "Angry": "生气"}.get(emotion, "快乐")
            lines += [f"{speaker}_{first + number:06d}\t{words}\t{label}" for number in _ESD_PARTS.values()]
        lines[1] = lines[1].replace("\t", " ")
        lines += ["", lines[2], f"{speaker}_001750\tSpoken in no clip.\tSurprise"]
        (root / speaker / f"{speaker}.txt").write_bytes("\r\n".join(lines[1:]).encode(encoding))


def _write_shemo_texts(root: Path) -> None:
    ids = [Path(clip).stem for clip in NAMES["shemo"]]
    entries = [
        {"id": i, "gender": "x", "emotion": "y", "transcript": "\ufeffدیگه  نمی‌تونم", "ipa": "z"} for i in ids[1:]
    ]
    (root / "shemo.json").write_text(json.dumps(entries), encoding="utf-8-sig")
