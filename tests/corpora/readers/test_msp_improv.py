"""MSP-IMPROV: speakers and scenes from names, activation turned round, annotators' lines."""

import json
import logging
from pathlib import Path

import pytest

from emofuse.corpora.readers.msp_improv import CORPUS, read
from emofuse.corpora.table import TableError
from made_up.msp_improv import make

TURN = "msp-improv/MSP-IMPROV-"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path)


def edit(root: Path, old: str, new: str) -> None:
    path = root / "Evalution.txt"
    text = path.read_bytes().decode()
    assert old in text
    path.write_bytes(text.replace(old, new, 1).encode())


def test_table_of_the_made_up_release(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        df = CORPUS.read(root).set_index("key")
    assert len(df) == 50 and df["speaker"].nunique() == 12
    assert df["emotion"].value_counts().to_dict() == dict.fromkeys(("anger", "happiness", "neutral", "sadness"), 12)
    assert df.groupby("session")["speaker"].unique().map(sorted)[3] == ["msp-improv/F03", "msp-improv/M03"]
    first = df.loc[TURN + "S01A-F01-R-FM01"]
    assert first[["gender", "session", "script", "dialogue", "statement", "intended"]].tolist() == (
        ["female", 1, "read", "1/S01A", 1, "anger"]
    )
    assert first["text"] == "How can I not"
    assert Path(first["file"]) == root / "session1" / "S01A" / "R" / "MSP-IMPROV-S01A-F01-R-FM01.wav"
    lower_case = df.loc[TURN + "S01H-F01-S-FM02"]
    assert lower_case["script"] == "improvised" and lower_case["text"] == "words of turn S01H-F01-S-FM02 – really?"
    assert df.loc[df["script"].isin(["improvised", "natural"]), "statement"].isna().all()
    odd = df.loc[TURN + "S02A-F01-S-FM07"]
    assert odd[["emotion", "text"]].isna().all() and odd["original_emotion"] == "no agreement"
    assert df.loc[TURN + "S02A-M01-S-FM08", "original_emotion"] == "other"
    for words in (
        "1 rows are repeated",
        "1 of 50 clips have no transcript",
        "1 transcripts belong to no",
    ):
        assert words in caplog.text


def test_activation_is_turned_round_and_missing_dominance_stays_empty(root: Path) -> None:
    df = read(root).set_index("key")
    assert df["arousal"].groupby(df["emotion"]).mean().to_dict() == pytest.approx(
        {"anger": 0.75, "happiness": 0.625, "neutral": 0.25, "sadness": 0.125}
    )
    assert (df["valence"] == 0.5).all() and df["dominance"].isna().all()


def test_ratings_keep_the_corpus_scale_and_repeated_annotators_count_once(root: Path) -> None:
    df = read(root).set_index("key")
    rating = {"emotion": "anger", "arousal": 2.0, "valence": 3.0}
    assert json.loads(df.loc[TURN + "S01A-F01-R-FM01", "ratings"]) == [
        {"annotator": "worker-1_x", **rating},
        {"annotator": "worker-2_x", **rating},
        {"annotator": "worker-3_x", **rating, "emotion": "neutral"},
    ]
    assert json.loads(df.loc[TURN + "S01A-F01-R-FM01", "votes"]) == {"anger": 2, "neutral": 1}
    assert json.loads(df.loc[TURN + "S02A-M01-S-FM08", "votes"]) == {"neutral": 1, "other": 2}


def test_audio_folder_other_spelling_and_transcripts_in_sessions(root: Path) -> None:
    expected = read(root).drop(columns="file")
    for session in list(root.glob("session*")):
        (root / "Audio").mkdir(exist_ok=True)
        session.rename(root / "Audio" / session.name)
    (root / "Evalution.txt").rename(root / "Evaluation.txt")
    inner = root / "Human_transcriptions"
    inner.mkdir()
    (root / "All_human_transcriptions").rename(inner / "All_human_transcriptions")
    assert read(root).drop(columns="file").equals(expected)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("A:2.000000; V:3", "A:6.000000; V:3", r"Evalution\.txt, row 1: '6\.000000' is not a rating from 1 to 5"),
        (".avi; A;", ".avi; Q;", r"Evalution\.txt, row 1: unknown emotion 'Q'; expected one of A, H, S, N, O, X"),
        ("S01A-F01-R", "S01Q-F01-R", r"row 1: 'UTD-IMPROV-S01Q.*' is not a turn"),
        ("; V:3.000000; D:NaN ; N", "; N", r"row 1: .* is not a label; expected NAME; EMOTION"),
        (
            "x; Neutral; Neutral,Excited; A:2.0",
            "x; Neutral; Neutral,Excited; A:0.0",
            r"row 2: '0.000000' is not",
        ),
    ],
)
def test_wrong_rows_are_named(root: Path, old: str, new: str, message: str) -> None:
    edit(root, old, new)
    with pytest.raises(TableError, match=message):
        read(root)


def test_wrong_root_and_half_download(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(TableError, match=r"no MSP-IMPROV here; expected Evalution\.txt and session1"):
        read(tmp_path_factory.mktemp("empty"))
    (root / "session2" / "S01A" / "S" / "MSP-IMPROV-S01A-F02-S-FM01.wav").unlink()
    with pytest.raises(TableError, match=r"1 of \d+ audio files are missing:\n.*session2/S01A/S/MSP-IMPROV-S01A-F02"):
        read(root)
    df = read(root, allow_missing=True).set_index("key")
    assert len(df) == 50 and df.loc[TURN + "S01A-F02-S-FM01", "file"] is None


def test_clips_without_labels_are_counted(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = (root / "Evalution.txt").read_text("utf-8-sig").split("\n\n")
    (root / "Evalution.txt").write_text("\n\n".join(block for block in lines if "S02A-M01-S-FM08" not in block))
    assert len(read(root)) == 49
    assert "1 clips have no labels and are left out" in caplog.text
