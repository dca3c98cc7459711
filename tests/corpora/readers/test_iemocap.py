"""IEMOCAP: the counts of the full release, labels and ratings of every evaluator, copies that are not as shipped."""

import json
import logging
import shutil
from pathlib import Path

import pandas as pd
import pytest

from emofuse.corpora.readers.iemocap import CORPUS, read
from emofuse.corpora.table import TableError
from emofuse.errors import EmofuseError
from made_up import iemocap

FOUR = ["anger", "happiness", "neutral", "sadness"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return iemocap.make(tmp_path_factory.mktemp("iemocap") / "IEMOCAP_full_release")


@pytest.fixture(scope="module")
def df(tree: Path) -> pd.DataFrame:
    return read(tree).set_index("key")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return read(iemocap.make_labels(tmp_path_factory.mktemp("full")), allow_missing=True)


def test_full_release_has_the_published_counts(full: pd.DataFrame) -> None:
    assert len(full) == 10039 and full["file"].isna().all() and full["text"].notna().all()
    assert full["speaker"].nunique() == 10 and full["session"].unique().tolist() == [1, 2, 3, 4, 5]
    four = full[full["emotion"].isin(FOUR)]
    assert len(four) == 5531
    assert four["emotion"].value_counts().to_dict() == {
        "anger": 1103,
        "happiness": 1636,
        "sadness": 1084,
        "neutral": 1708,
    }
    assert full["emotion"].isna().sum() == 1849 + 3 + 2507


def test_five_and_six_classes_come_from_the_original_labels(full: pd.DataFrame) -> None:
    counts = full["original_emotion"].value_counts()
    six = ["anger", "happiness", "excited", "sadness", "neutral", "frustration"]
    assert counts[six].tolist() == [1103, 595, 1041, 1084, 1708, 1849]
    five = full["original_emotion"].replace({"excited": "happiness"})
    assert five.isin([*FOUR, "frustration"]).sum() == 5531 + 1849
    assert counts.drop(six).to_dict() == {"undecided": 2507, "surprise": 107, "fear": 40, "other": 3, "disgust": 2}


def test_speaker_is_who_speaks_the_utterance(df: pd.DataFrame) -> None:
    row = df.loc["iemocap/Ses03F_impro01_M001"]
    assert (row["speaker"], row["gender"], row["session"]) == ("iemocap/Ses03M", "male", 3)
    assert (row["script"], row["dialogue"]) == ("improvised", "Ses03F_impro01")
    row = df.loc["iemocap/Ses05M_script01_1_F004"]
    assert (row["speaker"], row["gender"], row["script"]) == ("iemocap/Ses05F", "female", "scripted")
    assert len(df) == 110 and df["speaker"].nunique() == 10
    assert Path(row["file"]).parts[-5:] == (
        *("Session5", "sentences", "wav", "Ses05M_script01_1"),
        "Ses05M_script01_1_F004.wav",
    )


def test_dimensions_stand_in_the_file_as_valence_arousal_dominance(df: pd.DataFrame) -> None:
    row = df.iloc[0]
    assert (row["valence"], row["arousal"], row["dominance"]) == (0.375, 0.75, 0.5)


def test_ratings_keep_every_evaluator_and_votes_only_the_external_ones(df: pd.DataFrame) -> None:
    row = df.loc["iemocap/Ses02M_script01_1_F005"]
    assert row["original_emotion"] == "undecided" and row["emotion"] is None
    assert json.loads(row["ratings"]) == [
        {"annotator": "C-E2", "emotion": "anger"},
        {"annotator": "C-E3", "emotion": ["surprise", "fear"]},
        {"annotator": "C-E4", "emotion": ["other", "frustration"]},
        {"annotator": "C-F1", "emotion": "neutral", "self": True},
        {"annotator": "A-E3", "valence": 3, "arousal": 4, "dominance": 2},
        {"annotator": "A-E4", "valence": 2, "arousal": 4, "dominance": 4},
        {"annotator": "A-F1", "valence": 3, "self": True},
    ]
    assert json.loads(row["votes"]) == {"anger": 1, "surprise": 1, "fear": 1, "other": 1, "frustration": 1}
    excited = df[df["original_emotion"] == "excited"].iloc[0]
    assert excited["emotion"] == "happiness" and json.loads(excited["votes"]) == {"happiness": 3, "frustration": 1}


def test_an_evaluator_who_names_happiness_and_excited_has_one_vote(tree: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(tree, tmp_path / "copy"))
    edit(root, "C-E2:\tAnger;", "C-E2:\tExcited; Happiness;")
    votes = read(root).set_index("key").loc["iemocap/Ses02F_impro01_F000", "votes"]
    assert json.loads(votes) == {"happiness": 1, "anger": 2, "frustration": 1}


def test_odd_copy_is_read_and_told(tree: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        df = read(tree.parent).set_index("key")  # the folder above IEMOCAP_full_release does as well
    assert "1 utterances have no transcript; 1 transcripts belong to no evaluated utterance" in caplog.text
    assert "1 rows are repeated" in caplog.text
    assert df.loc["iemocap/Ses01F_impro01_F000", "text"] == "It\u2019s a\tcaf\u00e9."
    assert df.loc["iemocap/Ses01F_impro01_M000", "original_emotion"] == "anger"
    assert df["text"].isna().sum() == 1


def test_dialogue_acts_come_from_the_public_file(tree: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(tree, tmp_path / "copy"))
    assert "dialogue_act" not in read(root)
    (root / "eda_iemocap_no_utts_dataset.csv").write_text(
        "speaker,utt_id,utterance,emotion,sentiment,eda1,eda2,eda3,eda4,eda5,EDA,all_match,con_match,match\n"
        "b'Ses01F_impro01_F',001,b'',neu,,qy,qy,qy,qy,qy,qy^d,AllMatch,NotConMatch,NotMatch\n"
        "b'Ses01F_impro01_M',001,b'',neu,,br,ad,ad,fa,ba,xx,AllNotMatch,NotConMatch,NotMatch\n"
    )
    acts = read(root).set_index("key")["dialogue_act"]
    assert acts["iemocap/Ses01F_impro01_F001"] == "qy^d" and acts.notna().sum() == 1


def test_ratings_off_the_scale(tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = Path(shutil.copytree(tree, tmp_path / "copy"))
    edit(root, "[2.5000, 4.0000, 3.0000]", "[5.5000, 4.0000, 0.5000]")
    with caplog.at_level(logging.WARNING):
        row = read(root).set_index("key").loc["iemocap/Ses02F_impro01_F000"]
    assert (row["valence"], row["arousal"], row["dominance"]) == (1, 0.75, 0)
    assert "2 consensus ratings lie off the scale 1-5 and count as 1 or 5 (such as " in caplog.text
    assert "Ses02F_impro01.txt, row 3: 5.5000)" in caplog.text
    edit(root, "[5.5000, 4.0000, 0.5000]", "[6.0000, 4.0000, 1.0000]")
    with pytest.raises(TableError, match=r"Ses02F_impro01\.txt, row 3: '6\.0000' is not a rating from 1 to 5"):
        read(root)


def test_odd_lines_are_told_once_however_many_they_are(
    tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = Path(shutil.copytree(tree, tmp_path / "copy"))
    file = root / "Session2/dialog/EmoEvaluation/Ses02F_impro01.txt"
    file.write_text(file.read_text().replace("A-E3:\tval 3;", "A-E3:\tval 6;") + "what\n" * 9)
    with caplog.at_level(logging.WARNING):
        ratings = json.loads(read(root).set_index("key").loc["iemocap/Ses02F_impro01_F000", "ratings"])
    assert {"annotator": "A-E3", "valence": 6, "arousal": 4, "dominance": 2} in ratings
    assert caplog.text.count("ratings off the scale 1-5") == 1
    assert caplog.text.count("9 lines are neither an utterance nor an evaluation") == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("F000\tang", "F000\tbor", r"row 3: unknown emotion 'bor'"),
        ("Ses02F_impro01_F000", "Ses07F_impro01_F000", r"row 3: 'Ses07F_impro01_F000' is not an utterance"),
        ("[2.5000, 4.0000, 3.0000]", "[2.5000, 4.0000]", r"row 3: .* is not an evaluation; expected \[start - end\]"),
        ("% [START", "C-E1:\tAnger;\t()\n% [START", r"row 1: .* comes before any utterance"),
    ],
)
def test_wrong_lines_are_named(tree: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    root = Path(shutil.copytree(tree, tmp_path / "copy"))
    edit(root, old, new)
    with pytest.raises(EmofuseError, match=r"Ses02F_impro01\.txt, " + message):
        read(root)


def test_clips_without_evaluation_are_told(tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = Path(shutil.copytree(tree, tmp_path / "copy"))
    for kind in ("EmoEvaluation", "transcriptions"):
        (root / f"Session2/dialog/{kind}/Ses02F_impro01.txt").unlink()
    with caplog.at_level(logging.WARNING):
        left = len(read(root))
    assert f"{110 - left} clips belong to no evaluated utterance and are left out" in caplog.text and left < 110


def test_sessions_and_clips_that_are_missing(tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = Path(shutil.copytree(tree, tmp_path / "copy"))
    clip = "Session4/sentences/wav/Ses04F_impro01/Ses04F_impro01_F002.wav"
    (root / clip).unlink()
    with pytest.raises(TableError, match=rf"1 of 110 audio files are missing:\n  .*{clip}"):
        read(root)
    shutil.rmtree(root / "Session2")
    with pytest.raises(TableError, match=r"in Session2\. Complete the download.*--allow-missing"):
        read(root)
    with caplog.at_level(logging.WARNING):
        df = read(root, allow_missing=True).set_index("key")
    assert "EmoEvaluation/*.txt in Session2; continuing without" in caplog.text
    assert len(df) == 88 and df.loc["iemocap/Ses04F_impro01_F002", "file"] is None


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=rf"{tmp_path}: no IEMOCAP here; expected Session1 to Session5"):
        CORPUS.read(tmp_path)


def edit(root: Path, old: str, new: str) -> None:
    """Change the first place in one file of evaluations."""
    file = root / "Session2/dialog/EmoEvaluation/Ses02F_impro01.txt"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
