"""CREMA-D in small: six actors, three sentences, six emotions, and the owners' tables with some oddities."""

from __future__ import annotations

from pathlib import Path

from made_up.clips import write_clip

SEXES = {"1001": "Male", "1002": "Female", "1003": "Female", "1014": "Male", "1015": "Male", "1076": "Female"}
NAMES = [
    f"{actor}_{sentence}_{emotion}_{'HI' if (sentence, emotion) == ('IEO', 'ANG') else 'XX'}"
    for actor in SEXES
    for sentence in ("IEO", "DFA", "MTI")
    for emotion in ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
]


def make(root: Path) -> Path:
    """The tree at `root`, with names in other case, hidden files, BOM, CRLF, blank lines and repeated rows."""
    for name in NAMES:
        odd = {"1014_DFA_SAD_XX": "1014_DFA_SAD_X.wav", "1015_DFA_SAD_XX": "1015_dfa_sad_xx.WAV"}
        write_clip(root / "AudioWAV" / odd.get(name, f"{name}.wav"))
    (root / "AudioWAV" / "._1001_DFA_ANG_XX.wav").write_bytes(b"x")
    (root / "AudioWAV" / "notes.txt").write_text("x")
    _write(
        root / "SentenceFilenames.csv", ['"Stimulus_Number","Filename"', *(f'{i},"{n}"' for i, n in enumerate(NAMES))]
    )
    people = [f'{actor},{20 + i},"{sex}","Caucasian","Not Hispanic"' for i, (actor, sex) in enumerate(SEXES.items())]
    _write(root / "VideoDemographics.csv", ['"ActorID","Age","Sex","Race","Ethnicity"', "", *people], bom=True)
    summary = [f'"{i}","{n}","{_vote(n)}","75","N","60","A:N","70:65"' for i, n in enumerate(NAMES, 1)]
    header = '"","FileName","VoiceVote","VoiceLevel","FaceVote","FaceLevel","MultiModalVote","MultiModalLevel"'
    _write(root / "processedResults" / "summaryTable.csv", [header, *summary, summary[0]])
    header = '"","A","D","F","H","N","S","fileName","numResponses","agreement","emoVote"'
    votes = [f'"{100001 + i}",{_counts(n)},"{n}",9,0.5,"{_vote(n)}"' for i, n in enumerate(NAMES)]
    face = [f'"{200001 + i}",9,0,0,0,0,0,"{n}",9,1,"A"' for i, n in enumerate(NAMES)]
    _write(root / "processedResults" / "tabulatedVotes.csv", [header, *votes, *face])
    header = '"","localid","pos","ans","ttr","queryType","numTries","clipNum","questNum","subType","clipName",'
    header += '"sessionNums","respEmo","respLevel","dispEmo","dispVal","dispLevel"'
    answers = [
        f'"{i}","R{rater}",{i},"{answer}_50",900,{query},0,{i},1,4,"{name}",7,"{answer}","50","A",20,"L"'
        for i, name in enumerate(NAMES)
        for rater, query, answer in ((2, 1, "A"), (1, 1, "N"), (1, 1, "S"), (3, 2, "H"), (4, 3, "H"))
    ]
    _write(root / "finishedResponses.csv", [header, *answers])
    return root


def _vote(name: str) -> str:
    return "A:D" if name == "1001_IEO_DIS_XX" else name[9]


def _counts(name: str) -> str:
    if name == "1001_IEO_DIS_XX":
        return "4,4,0,0,1,0"
    return ",".join("7" if code == name[9] else "2" if code == "N" else "0" for code in "ADFHNS")


def _write(path: Path, lines: list[str], *, bom: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(("\r\n".join([*lines, "", ""])).encode("utf-8-sig" if bom else "utf-8"))
