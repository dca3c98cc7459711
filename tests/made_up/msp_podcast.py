"""A small MSP-Podcast in the layout of release 1.12, with the oddities of real downloads."""

from __future__ import annotations

from pathlib import Path

from made_up.clips import write_clip

HEADER = "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set"
SPEAKERS = {"Train": (11, 12, 13, 14), "Development": (21, 22), "Test1": (31, 32), "Test2": (41, 42)}
_WORDS = {"A": "Angry", "S": "Sad", "H": "Happy", "U": "Surprise", "F": "Fear", "D": "Disgust", "C": "Contempt"}
_WORDS |= {"N": "Neutral", "O": "Other-hopeful; not sure", "X": "Neutral"}


def make(root: Path) -> Path:
    """80 labelled clips, each code twice in each of four parts, and two clips of Test3 without labels."""
    rows, details, partitions = [], [], ["Number of clips: 82", ""]
    for number, (part, code) in enumerate((p, c) for p in SPEAKERS for c in "ASHUFDCNOX" for _ in range(2)):
        name = f"MSP-PODCAST_0001_{number:04d}"
        speaker = SPEAKERS[part][number % len(SPEAKERS[part])]
        gender = "Male" if speaker % 2 else "Female"
        activation = 1 + "SNXODFCHUA".index(code) / 1.5
        known = f"{speaker},{gender}" if number != 1 else "UNKNOWN,Unknown"
        rows.append(f"{name}.wav,{code},{activation:.6f},{1 + number % 7},4.0,{known},{part}")
        for worker, word in ((9, "Neutral"), (1, _WORDS[code]), (2, _WORDS[code])):
            numbers = f"A:{min(7, 1 + worker)}.000000; V:{1 + number % 7}.000000; D:4.000000;"
            details.append(f'{name}.wav,"WORKER{worker:08d}; {word}; {word},Concerned; {numbers}"')
        partitions.append(f"{part}; {name}.wav")
        write_clip(root / "Audios" / f"{name}.wav")
        _write(root / "Transcripts" / f"{name}.txt", f"the words of\tclip {number} …\r\n".encode("cp1252"))
    for number in (1, 2):
        partitions.append(f"Test3; MSP-PODCAST_test3_{number:04d}.wav")
        write_clip(root / "Audios" / f"MSP-PODCAST_test3_{number:04d}.wav")

    rows[3] = rows[3].replace("MSP-PODCAST_0001_0003.wav", "msp-podcast_0001_0003.WAV")
    rows += ["", rows[5], "  ,,"]  # a repeated row between blank ones
    (root / "Transcripts" / "MSP-PODCAST_0001_0002.txt").unlink()
    _write(root / "Transcripts" / "MSP-PODCAST_9999_0001.txt", b"of no clip")
    _write(root / "Audios" / "._MSP-PODCAST_0001_0000.wav", b"\x00")
    _write(root / "Labels" / "labels_consensus.csv", ("\ufeff" + "\r\n".join([HEADER, *rows, ""])).encode())
    _write(root / "Labels" / "labels_detailed.csv", "\n".join(["FileName,EmoDetail", *details]).encode())
    _write(root / "Partitions.txt", "\r\n".join(partitions).encode())
    speakers = [f"Speaker_{s}; {'Male' if s % 2 else 'Female'}" for part in SPEAKERS.values() for s in part]
    ids = [f"{row.split(',')[0]}; {row.split(',')[5]}" for row in rows if row.strip(" ,")]
    _write(root / "Speaker_ids.txt", "\n".join([*speakers, "", *ids]).encode())
    return root


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
