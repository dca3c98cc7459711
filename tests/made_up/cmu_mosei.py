"""A small CMU-MOSEI: whole recordings and a CSV of labels for each part, with the oddities of real downloads."""

from __future__ import annotations

from pathlib import Path

from made_up.clips import write_clip

COLUMNS = ("happy", "sad", "anger", "surprise", "disgust", "fear")
_HEADER = "video,start_time,end_time,sentiment," + ",".join(COLUMNS) + ",text,ASR"


def make(root: Path) -> Path:
    """54 segments of 12 recordings: each emotion, neutral and a tie in each part."""
    number = 0
    for part, videos in (("Train_modified", 8), ("Val_modified", 2), ("Test_original", 2)):
        rows = []
        for video in (f"{part[:2]}-v_{i}" for i in range(videos)):
            write_clip(root / "Audio" / "WAV_16000" / f"{video}.wav", seconds=2.4)
            for place in range(6 if videos == 2 else 4):
                number += 1
                rows.append(_row(video, 0.4 * place, len(rows) % 8, number))
        rows[0] = rows[0].replace(",0.00,", ",-0.15,", 1)
        rows += ["", rows[1], ",,,"]
        content = "\ufeff" + "\r\n".join([_HEADER, *rows])
        (root / "Labels").mkdir(exist_ok=True)
        (root / "Labels" / f"Data_{part}.csv").write_bytes(content.encode())
    (root / "Labels" / "._Data_Train_modified.csv").write_bytes(b"\x00")
    (root / "Audio" / "WAV_16000" / "._Tr-v_0.wav").write_bytes(b"\x00")
    return root


def _row(video: str, start: float, kind: int, number: int) -> str:
    """Kinds 0 to 5: that emotion is the strongest; 6: none is there; 7: two are equal."""
    values = [0.0] * 6
    if kind < 6:
        values[kind], values[(kind + 1) % 6] = 1.333333, 0.333333
    elif kind == 7:
        values[0] = values[1] = 0.666667
    text = "" if number == 3 else f'"so, the words\tof segment {number}"'
    cells = ",".join(f"{value:g}" for value in values)
    return f"{video},{start:.2f},{start + 0.4:.2f},{number % 7 - 3},{cells},{text},so the words"
