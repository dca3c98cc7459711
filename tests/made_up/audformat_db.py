"""An audformat database in the manner of published ones: labels by part, files with speakers, one segmented table."""

from __future__ import annotations

from pathlib import Path

from made_up.clips import write_clip

EMOTIONS = ("anger", "happiness", "sadness", "neutral", "boredom")
SPEAKERS = {
    3: ("male", 31),
    8: ("female", 34),
    9: ("female", 21),
    10: ("male", 32),
    11: ("male", 26),
    12: ("female", 30),
}
SENTENCES = {"a01": "Der Lappen liegt auf dem Eisschrank.", "a02": "Das will sie am Mittwoch abgeben."}
FILES = [
    (f"wav/{speaker:02d}{sentence}{emotion[:2]}.wav", speaker, sentence, emotion)
    for speaker in SPEAKERS
    for sentence in SENTENCES
    for emotion in EMOTIONS
]
TEST_SPEAKERS = (11, 12)


def make(root: Path) -> Path:
    """The database at `root`: a scheme's labels hold speakers and sentences; arousal is on 1..7; a word is missing."""
    import audformat

    db = audformat.Database("made-up-emodb", "made up", languages="deu", license="CC0-1.0")
    db.schemes["emotion"] = audformat.Scheme(labels=list(EMOTIONS))
    db.schemes["arousal"] = audformat.Scheme("float", minimum=1, maximum=7)
    speakers = {n: {"gender": gender, "age": age, "language": "deu"} for n, (gender, age) in SPEAKERS.items()}
    db.schemes["speaker"] = audformat.Scheme(labels=speakers)
    db.schemes["transcription"] = audformat.Scheme(labels=SENTENCES)
    for part in ("train", "test"):
        rows = [row for row in FILES if (row[1] in TEST_SPEAKERS) == (part == "test")]
        db.splits[part] = audformat.Split(part)
        table = db[f"emotion.{part}"] = audformat.Table(audformat.filewise_index([r[0] for r in rows]), split_id=part)
        table["emotion"] = audformat.Column(scheme_id="emotion")
        table["emotion"].set([row[3] for row in rows])
        table["arousal"] = audformat.Column(scheme_id="arousal")
        table["arousal"].set([4.0 if row[3] == "neutral" else 7.0 for row in rows])
    table = db["files"] = audformat.Table(audformat.filewise_index([row[0] for row in FILES]))
    table["speaker"] = audformat.Column(scheme_id="speaker")
    table["speaker"].set([row[1] for row in FILES])
    table["transcription"] = audformat.Column(scheme_id="transcription")
    table["transcription"].set([None, *(row[2] for row in FILES[1:])])
    table["take"] = audformat.Column()
    table["take"].set([f"t{i}" for i in range(len(FILES))])
    db.save(str(root), storage_format="csv")
    for file, *_ in FILES:
        write_clip(root / file)
    (root / "wav" / "._x.wav").write_bytes(b"x")
    return root
