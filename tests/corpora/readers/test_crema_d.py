"""CREMA-D on a made-up tree in the owners' layout."""

import json
import logging
import shutil
from pathlib import Path

import pytest

from emofuse.corpora.readers.crema_d import CORPUS, SENTENCES, read
from emofuse.corpora.table import TableError
from made_up.crema_d import NAMES, make


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("made-up") / "CREMA-D")


@pytest.fixture
def root(tree: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tree, tmp_path / "CREMA-D"))


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_names_people_and_sentences(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        df = read(root).set_index("key")
    assert len(df) == len(NAMES) - 1 and df["speaker"].nunique() == 6
    row = df.loc["crema-d/1001_IEO_ANG_HI"]
    assert (row["emotion"], row["original_emotion"], row["intensity"]) == ("anger", "anger", "high")
    assert (row["text"], row["statement"], row["language"]) == ("It's eleven o'clock.", "IEO", "en")
    assert (row["speaker"], row["gender"], row["age"]) == ("crema-d/1001", "male", 20)
    row = df.loc["crema-d/1002_DFA_HAP_XX"]
    assert (row["emotion"], row["original_emotion"], row["intensity"]) == ("happiness", "happy", None)
    assert (row["gender"], row["age"]) == ("female", 21)
    assert df["emotion"].value_counts().to_dict() == {
        **dict.fromkeys(["anger", "disgust", "fear", "happiness", "neutral"], 18),
        "sadness": 17,
    }
    assert "1076_MTI_SAD_XX.wav: the clip has no audio and is left out" in caplog.text
    assert len(SENTENCES) == 12 and CORPUS.about.languages == ("en",)


def test_older_and_lower_case_names_are_the_same_clips(root: Path) -> None:
    df = read(root).set_index("key")
    assert df.loc["crema-d/1014_DFA_SAD_XX", "file"].endswith("1014_DFA_SAD_X.wav")
    assert df.loc["crema-d/1015_DFA_SAD_XX", "file"].endswith("1015_dfa_sad_xx.WAV")


def test_votes_are_those_on_the_voice_alone(root: Path) -> None:
    df = read(root).set_index("key")
    tie = df.loc["crema-d/1001_IEO_DIS_XX"]
    assert (tie["emotion"], tie["voice_vote"]) == ("disgust", "anger:disgust")
    assert json.loads(tie["votes"]) == {"anger": 4, "disgust": 4, "neutral": 1}
    assert df.loc["crema-d/1003_DFA_SAD_XX", "voice_vote"] == "sadness"
    assert json.loads(df.loc["crema-d/1003_DFA_SAD_XX", "votes"]) == {"neutral": 2, "sadness": 7}
    # the last answer of a rater counts; answers to face and video do not
    answers = [{"annotator": "R1", "emotion": "sad"}, {"annotator": "R2", "emotion": "anger"}]
    assert json.loads(tie["ratings"]) == answers


def test_votes_on_a_broken_recording_are_left_out(root: Path) -> None:
    row = read(root).set_index("key").loc["crema-d/1076_MTI_NEU_XX"]
    assert row["file"] and (row["voice_vote"], row["votes"], row["ratings"]) == (None, None, None)


def test_without_tabulated_votes_the_answers_are_counted(root: Path) -> None:
    (root / "processedResults" / "tabulatedVotes.csv").unlink()
    votes = read(root).set_index("key").loc["crema-d/1001_DFA_HAP_XX", "votes"]
    assert json.loads(votes) == {"anger": 1, "sadness": 1}


def test_tables_may_lie_in_the_root(root: Path) -> None:
    expected = read(root)
    for name in ("summaryTable.csv", "tabulatedVotes.csv"):
        shutil.move(root / "processedResults" / name, root / name)
    assert read(root).equals(expected)


def test_audio_alone_is_enough(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.rmtree(root / "processedResults")
    for path in root.glob("*.csv"):
        path.unlink()
    with caplog.at_level(logging.WARNING):
        df = read(root)
    assert len(df) == len(NAMES) - 1 and df[["gender", "voice_vote", "votes", "age"]].isna().all(axis=None)
    assert "sex and age of 6 actors are not known (such as 1001)" in caplog.text


def test_half_a_download(root: Path) -> None:
    (root / "AudioWAV" / "1002_DFA_ANG_XX.wav").unlink()
    with pytest.raises(
        TableError, match=r"1 of 107 audio files are missing:\n.*1002_DFA_ANG_XX\.wav\n.*--allow-missing"
    ):
        read(root)
    row = read(root, allow_missing=True).set_index("key").loc["crema-d/1002_DFA_ANG_XX"]
    assert (row["file"], row["emotion"], row["text"]) == (None, "anger", "Don't forget a jacket.")


def test_pointers_in_place_of_audio(root: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    (root / "AudioWAV" / "1002_DFA_ANG_XX.wav").write_text(pointer)
    with pytest.raises(TableError, match=r"1002_DFA_ANG_XX\.wav: a git-lfs pointer, no audio\. .*git lfs pull"):
        read(root)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("processedResults/summaryTable.csv", '"A:D"', '"A:X"', r"summaryTable\.csv, row 3: unknown vote 'X'"),
        (
            "processedResults/tabulatedVotes.csv",
            "4,4,0",
            "4,four,0",
            r"tabulatedVotes\.csv, row 3: 'four' is not a number",
        ),
        ("finishedResponses.csv", '7,"A"', '7,"B"', r"finishedResponses\.csv, row 2: unknown vote 'B'"),
        ("VideoDemographics.csv", '"Male"', '"Mail"', r"VideoDemographics\.csv, row 3: unknown sex 'Mail'"),
        ("SentenceFilenames.csv", "1001_IEO_DIS", "1001_IEX_DIS", r"SentenceFilenames\.csv, row 3: not an official"),
        ("VideoDemographics.csv", '"Sex"', '"S"', r"VideoDemographics\.csv: column 'Sex' is missing"),
    ],
)
def test_wrong_rows_are_named(root: Path, file: str, old: str, new: str, message: str) -> None:
    change(root / file, old, new)
    with pytest.raises(TableError, match=message):
        read(root)


def test_other_files_among_the_clips(root: Path) -> None:
    (root / "AudioWAV" / "1001_DFA_BOR_XX.wav").write_bytes(b"x")
    with pytest.raises(TableError, match=r"1001_DFA_BOR_XX\.wav: not an official CREMA-D name"):
        read(root)


def test_wrong_root(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"no CREMA-D here; expected the folder AudioWAV"):
        read(tmp_path)
