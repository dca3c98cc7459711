"""MSP-Podcast: all forms of its label files, partitions kept apart, unknown speakers, rows without labels."""

import json
import logging
import random
import shutil
from pathlib import Path

import pandas as pd
import pytest

from emofuse.corpora.readers.msp_podcast import CORPUS, read, read_labels
from emofuse.corpora.select import select
from emofuse.corpora.table import TableError
from made_up.msp_podcast import HEADER, SPEAKERS, make

FOUR = ["anger", "happiness", "neutral", "sadness"]
EIGHT = [*FOUR, "surprise", "fear", "disgust", "contempt"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path)


def by_name(df: pd.DataFrame) -> pd.DataFrame:
    return df.set_index(df["key"].str.removeprefix("msp-podcast/MSP-PODCAST_"))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_bytes().decode()
    assert old in text
    path.write_bytes(text.replace(old, new, 1).encode())


def test_table_of_the_made_up_release(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        df = by_name(CORPUS.read(root))
    assert len(df) == 82 and df["corpus"].unique() == ["msp-podcast"] and df["language"].unique() == ["en"]
    assert df["official_split"].value_counts().to_dict() == dict.fromkeys(("train", "dev", "test1", "test2"), 20) | {
        "test3": 2
    }
    assert df["original_emotion"].value_counts().to_dict() == dict.fromkeys([*EIGHT, "other", "no agreement"], 8)
    assert df.loc[df["emotion"].isna(), "original_emotion"].dropna().unique().tolist() == [
        "contempt",
        "other",
        "no agreement",
    ]
    first = df.loc["0001_0000"]
    assert (first["speaker"], first["gender"], first["emotion"]) == ("msp-podcast/11", "male", "anger")
    assert first[["arousal", "valence", "dominance"]].tolist() == pytest.approx([1.0, 0.0, 0.5])
    assert first["text"] == "the words of clip 0 …"
    assert Path(first["file"]) == root / "Audios" / "MSP-PODCAST_0001_0000.wav"
    assert df.loc["0001_0003", "text"] == "the words of clip 3 …", "the label file writes this name in other case"
    assert "1 rows are repeated" in caplog.text
    assert "the speaker of 3 of 83 rows is unknown" in caplog.text
    assert "3 of 82 clips have no transcript" in caplog.text
    assert "1 transcripts belong to no clip" in caplog.text
    assert "2 clips of the partitions have no labels" in caplog.text


def test_unknown_speakers_and_rows_without_labels_are_kept(root: Path) -> None:
    df = by_name(read(root))
    assert df.loc["0001_0001", ["speaker", "gender"]].tolist() == [None, None]
    assert df.loc["0001_0001", "emotion"] == "anger"
    hidden = df.loc["test3_0001"]
    assert hidden[["speaker", "gender", "emotion", "original_emotion", "text", "ratings", "votes"]].isna().all()
    assert hidden[["arousal", "valence", "dominance"]].isna().all() and hidden["file"] is not None
    speakers = {part: set(rows["speaker"].dropna()) for part, rows in df.groupby("official_split")}
    assert speakers["train"] == {f"msp-podcast/{s}" for s in SPEAKERS["Train"]}
    assert not speakers["train"] & speakers["dev"]


def test_ratings_and_votes_come_from_the_detailed_file(root: Path) -> None:
    df = by_name(read(root))
    assert json.loads(df.loc["0001_0002", "ratings"]) == [
        {"annotator": "WORKER00000001", "emotion": "sadness", "arousal": 2.0, "valence": 3.0, "dominance": 4.0},
        {"annotator": "WORKER00000002", "emotion": "sadness", "arousal": 3.0, "valence": 3.0, "dominance": 4.0},
        {"annotator": "WORKER00000009", "emotion": "neutral", "arousal": 7.0, "valence": 3.0, "dominance": 4.0},
    ]
    assert json.loads(df.loc["0001_0002", "votes"]) == {"neutral": 1, "sadness": 2}
    assert json.loads(df.loc["0001_0016", "votes"]) == {"neutral": 1, "other": 2}, "Other-hopeful; not sure"
    (root / "Labels" / "labels_detailed.csv").unlink()
    assert read(root)[["ratings", "votes"]].isna().all(axis=None)


def columns_of_release_2(root: Path) -> None:
    rows = ["FileName,WorkerID,EmoClass_Major,EmoClass_Second,EmoAct,EmoVal,EmoDom"]
    for line in (root / "Labels" / "labels_detailed.csv").read_text().splitlines()[1:]:
        name, detail = line.split(",", 1)
        fields = detail.strip('"').split("; ")
        numbers = [field.strip(";")[2:] for field in fields[-3:]]
        rows.append(",".join([name, fields[0], fields[1], '"Neutral,Concerned"', *numbers]))
    (root / "Labels" / "labels_detailed.csv").write_text("\n".join(rows))


def json_files(root: Path) -> None:
    labels, details = {}, {}
    for line in (root / "Labels" / "labels_consensus.csv").read_text("utf-8-sig").splitlines()[1:]:
        if line.strip(" ,"):
            name, *cells = line.split(",")
            labels[name] = dict(zip(HEADER.split(",")[1:], cells, strict=True))
    for line in (root / "Labels" / "labels_detailed.csv").read_text().splitlines()[1:]:
        name, detail = line.split(",", 1)
        worker, primary, *_, activation, valence, dominance = detail.strip('";').split("; ")
        cells = {"EmoClass_Major": primary, "EmoAct": activation[2:], "EmoVal": float(valence[2:])}
        details.setdefault(name, {})[worker] = cells | {"EmoDom": dominance[2:].strip(";")}
    for name, content in (("labels_consensus", labels), ("labels_detailed", details)):
        (root / "Labels" / f"{name}.csv").unlink()
        (root / "Labels" / f"{name}.json").write_text(json.dumps(content), encoding="utf-8-sig")


def old_text_files(root: Path) -> None:
    details: dict[str, list[str]] = {}
    for line in (root / "Labels" / "labels_detailed.csv").read_text().splitlines()[1:]:
        name, detail = line.split(",", 1)
        details.setdefault(name.lower(), []).append(detail.strip('"'))
    lines = []
    for line in (root / "Labels" / "labels_consensus.csv").read_text("utf-8-sig").splitlines()[1:]:
        if line.strip(" ,"):
            name, code, a, v, d, *_ = line.split(",")
            lines += [f"{name}; {code}; A:{a}; V:{v}; D:{d};", *details[name.lower()], ""]
    for path in (root / "Labels").iterdir():
        path.unlink()
    (root / "Labels").rename(root / "label")
    (root / "label" / "Labels.txt").write_text("\r\n".join(lines))


def misspelt(root: Path) -> None:
    (root / "Labels" / "labels_consensus.csv").rename(root / "Labels" / "labels_concensus.csv")
    (root / "Labels").rename(root / "labels")
    (root / "Audios").rename(root / "Audio")
    (root / "Partitions.txt").rename(root / "Partition.txt")


@pytest.mark.parametrize("form", [columns_of_release_2, json_files, old_text_files, misspelt])
def test_all_forms_give_the_same_table(root: Path, tmp_path_factory: pytest.TempPathFactory, form) -> None:
    other = tmp_path_factory.mktemp("form")
    shutil.copytree(root, other, dirs_exist_ok=True)
    form(other)
    expected, found = (read(r).sort_values("key", ignore_index=True).drop(columns="file") for r in (root, other))
    pd.testing.assert_frame_equal(found, expected)


def test_split_set_of_old_releases_and_order_of_rows(root: Path) -> None:
    path = root / "Labels" / "labels_consensus.csv"
    expected = read(root).sort_values("key", ignore_index=True)
    header, *rows = path.read_text("utf-8-sig").replace("Development", "Validation").splitlines()
    path.write_text("\n".join([header, *sorted(rows, reverse=True)]))
    details = root / "Labels" / "labels_detailed.csv"
    header, *rows = details.read_text().splitlines()
    details.write_text("\n".join([header, *sorted(rows, reverse=True), rows[0]]))
    pd.testing.assert_frame_equal(read(root).sort_values("key", ignore_index=True), expected)


def test_four_and_eight_classes_can_be_chosen(root: Path) -> None:
    df = read(root)
    assert len(select(df, {"original_emotion": FOUR, "official_split": ["train", "dev", "test1"]})) == 4 * 2 * 3
    assert len(select(df, {"original_emotion": EIGHT, "official_split": "test2"})) == 8 * 2


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("consensus", ",7,4.0,", ",7.5,4.0,", r"labels_consensus\.csv, row 8: '7\.5' is not a rating from 1 to 7"),
        ("consensus", "0008.wav,F", "0008.wav,Q", r"row 10: unknown EmoClass 'Q'; expected one of A, S, H, U"),
        ("consensus", "Male,Train", "Male,Trian", r"row 2: unknown part 'Trian'; expected Train, Development"),
        ("consensus", "Female,Train", "Fem,Train", r"row 5: unknown gender 'Fem'"),
        ("consensus", "MSP-PODCAST_0001_0000", "clip_1", r"row 2: 'clip_1\.wav' is not a clip of the corpus"),
        ("consensus", "EmoVal", "Valence", r"column 'EmoVal' is missing"),
        (
            "detailed",
            "D:4.000000",
            "D:0.000000",
            r"labels_detailed\.csv, row 2: '0\.000000' is not a rating",
        ),
        ("detailed", "; A:7.000000", "", r"labels_detailed\.csv, row 2: .* is not a label; expected NAME; EMOTION"),
    ],
)
def test_wrong_rows_are_named(root: Path, file: str, old: str, new: str, message: str) -> None:
    edit(root / "Labels" / f"labels_{file}.csv", old, new)
    with pytest.raises(TableError, match=message):
        read(root)


def test_wrong_partitions_and_json_are_named(root: Path) -> None:
    edit(root / "Partitions.txt", "Dev", "Div")
    with pytest.raises(TableError, match=r"Partitions\.txt, row 23: unknown part 'Divelopment'"):
        read(root)
    shutil.rmtree(root / "Labels")
    (root / "Labels").mkdir()
    path = root / "Labels" / "labels_consensus.json"
    path.write_text('{"MSP-PODCAST_0001_0000.wav": {"EmoClass": "A"}}')
    edit(root / "Partitions.txt", "Div", "Dev")
    with pytest.raises(TableError, match=r"labels_consensus\.json, MSP-PODCAST_0001_0000\.wav: 'EmoAct' is missing"):
        read(root)
    path.write_text("{")
    with pytest.raises(TableError, match=r"labels_consensus\.json"):
        read(root)
    path.unlink()
    with pytest.raises(TableError, match=r"no MSP-Podcast here; expected Labels/labels_consensus\.csv"):
        read(root)


def test_two_labels_of_one_clip_are_refused(root: Path) -> None:
    edit(root / "Labels" / "labels_consensus.csv", "_0001.wav,A", "_0000.wav,S")
    with pytest.raises(TableError, match="MSP-PODCAST_0001_0000 has two rows that differ in emotion, original_emotion"):
        read(root)


def test_primary_emotions_that_are_no_choice_count_as_other(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    edit(root / "Labels" / "labels_detailed.csv", "; Angry;", "; Grumpy;")
    edit(root / "Labels" / "labels_detailed.csv", "0001_0002.wav", "0009_0002.wav")
    df = by_name(read(root))
    assert json.loads(df.loc["0001_0000", "votes"]) == {"anger": 1, "neutral": 1, "other": 1}
    assert "1 primary emotions, such as 'Grumpy', count as other" in caplog.text
    assert "1 ratings of clips that are not in the consensus labels are ignored" in caplog.text


def test_half_downloaded(root: Path) -> None:
    (root / "Audios" / "MSP-PODCAST_0001_0007.wav").unlink()
    (root / "Audios" / "MSP-PODCAST_test3_0001.wav").unlink()
    with pytest.raises(TableError, match=r"2 of \d+ audio files are missing:\n.*MSP-PODCAST_0001_0007\.wav"):
        read(root)
    df = by_name(read(root, allow_missing=True))
    assert len(df) == 81 and df.loc["0001_0007", "file"] is None and df.loc["0001_0007", "text"]


def write_labels(root: Path, counts: dict[str, int]) -> None:
    draw = random.Random(1)
    lines = [HEADER]
    for part, count in counts.items():
        for _ in range(count):
            rating = f"{draw.uniform(1, 7):.6f}"
            name = f"MSP-PODCAST_{len(lines) // 100:04d}_{len(lines) % 100:04d}.wav"
            speaker = draw.choice(("Unknown", str(len(lines) % 2500)))
            lines.append(f"{name},{draw.choice('ASHUFDCNOX')},{rating},4,{rating},{speaker},Male,{part}")
    (root / "Labels").mkdir()
    (root / "Labels" / "labels_consensus.csv").write_text("\n".join(lines))


def test_partitions_of_a_full_label_file(tmp_path: Path) -> None:
    counts = {"Train": 5000, "Development": 700, "Test1": 12902, "Test2": 300}  # the size of release 1.7's Test1
    write_labels(tmp_path, counts)
    found = pd.Series([row["official_split"] for row in read_labels(tmp_path)]).value_counts().to_dict()
    assert found == {"train": 5000, "dev": 700, "test1": 12902, "test2": 300}


def test_parts_that_disagree_or_lack(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    edit(root / "Partitions.txt", "Train; MSP-PODCAST_0001_0000.wav", "Test1; MSP-PODCAST_0001_0000.wav")
    with caplog.at_level(logging.WARNING):
        df = by_name(read(root))
    assert df.loc["0001_0000", "official_split"] == "train"
    assert "the parts of 1 clips differ from Partitions.txt" in caplog.text
    assert "labels_consensus.csv, row 2: train, not test1)" in caplog.text and "the part of" not in caplog.text
    edit(root / "Labels" / "labels_consensus.csv", ",Train", ",")
    (root / "Partitions.txt").unlink()
    with caplog.at_level(logging.WARNING):
        read(root)
    assert "the part of 1 of 81 rows is unknown" in caplog.text


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("Partitions.txt", "Test1; MSP-PODCAST_0001_0000.wav", "MSP-PODCAST_0001_0000 is test1 here, but train"),
        ("Speaker_ids.txt", "msp-podcast_0001_0000.wav; 12", "MSP-PODCAST_0001_0000 is 12 here, but 11"),
    ],
)
def test_a_clip_in_two_parts_or_of_two_speakers_is_refused(root: Path, file: str, line: str, message: str) -> None:
    path = root / file
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, *lines]))
    read(root)
    path.write_text("\n".join([*lines, line]))
    with pytest.raises(TableError, match=rf"{file}, row {len(lines) + 1}: {message} further up"):
        read(root)
