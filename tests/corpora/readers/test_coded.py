"""Corpora whose file names are codes: what each code means, odd names, and the files beside the clips."""

import json
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from emofuse.corpora.about import Corpus
from emofuse.corpora.readers import coded_corpora, coded_transcripts
from emofuse.corpora.table import COLUMNS, TableError
from emofuse.errors import EmofuseError
from emofuse.labels import EMOTIONS
from made_up import coded
from made_up.clips import write_clip

CORPORA: dict[str, Corpus] = {
    **coded_corpora.CORPORA,
    **coded_transcripts.CORPORA,
}
ALL_SEVEN = set(EMOTIONS)

# The owners' names, and what they say by the owners' documentation.
MEANINGS: list[tuple[str, str, str, dict[str, Any]]] = [
    (
        "ravdess",
        "Actor_12/03-01-06-02-01-02-12.flac",
        "03-01-06-02-01-02-12",
        {"speaker": "ravdess/12", "gender": "female", "language": "en", "text": "Kids are talking by the door."}
        | {"emotion": "fear", "original_emotion": "fearful", "intensity": "strong", "statement": 1, "repetition": 2}
        | {"vocal_channel": "speech"},
    ),
    (
        "ravdess",
        "Actor_01/03-01-02-01-02-01-01.wav",
        "03-01-02-01-02-01-01",
        {"emotion": "neutral", "original_emotion": "calm", "gender": "male", "text": "Dogs are sitting by the door."},
    ),
    (
        "ravdess-song",
        "Actor_07/03-02-03-02-02-01-07.wav",
        "03-02-03-02-02-01-07",
        {"speaker": "ravdess/07", "emotion": "happiness", "vocal_channel": "song", "intensity": "strong"},
    ),
    ("savee", "AudioData/DC/su15.wav", "DC_su15", {"speaker": "savee/DC", "emotion": "surprise", "gender": "male"}),
    ("savee", "KL_a03.wav", "KL_a03", {"speaker": "savee/KL", "emotion": "anger", "prompt": "a03", "text": None}),
    ("savee", "AudioData/JK/d01.wav", "JK_d01", {"emotion": "disgust", "original_emotion": "disgust"}),
    (
        "tess",
        "YAF_pleasant_surprised/YAF_back_ps.wav",
        "YAF_back_ps",
        {"speaker": "tess/YAF", "gender": "female", "age": 26, "text": "Say the word back.", "prompt": "back"}
        | {"emotion": "surprise", "original_emotion": "pleasant surprise"},
    ),
    ("tess", "OAF_neutral/OA_bite_neutral.wav", "OA_bite_neutral", {"speaker": "tess/OAF", "age": 64}),
    (
        "emodb",
        "wav/03a01Fa.wav",
        "03a01Fa",
        {"speaker": "emodb/03", "gender": "male", "age": 31, "language": "de", "emotion": "happiness"}
        | {"text": "Der Lappen liegt auf dem Eisschrank.", "statement": "a01", "version": "a"},
    ),
    (
        "emodb",
        "16b10Lb.wav",
        "16b10Lb",
        {"emotion": None, "original_emotion": "boredom", "gender": "female", "age": 31},
    ),
    ("emodb", "wav/14a07Ac.wav", "14a07Ac", {"emotion": "fear", "age": 35}),
    ("emodb", "wav/09b02Wb.wav", "09b02Wb", {"emotion": "anger", "age": 21}),
    ("emodb", "wav/10a04Ta.wav", "10a04Ta", {"emotion": "sadness", "text": "Heute abend könnte ich es ihm sagen."}),
    (
        "emovo",
        "m2/rab-m2-d1.wav",
        "rab-m2-d1",
        {"speaker": "emovo/m2", "gender": "male", "emotion": "anger", "text": "Sabato sera cosa farà?"},
    ),
    ("emovo", "f1/pau-f1-n3.wav", "pau-f1-n3", {"emotion": "fear", "gender": "female", "statement": "n3"}),
    ("emovo", "f3/gio-f3-b1.wav", "gio-f3-b1", {"emotion": "happiness", "original_emotion": "joy"}),
    (
        "cafe",
        "ColŠre/Faible/07-C-1-2.wav",
        "07-C-1-2",
        {"speaker": "cafe/07", "gender": "male", "age": 15, "emotion": "anger", "intensity": "mild", "language": "fr"}
        | {"text": "Deux ânes aigris au pelage brun.", "statement": 2},
    ),
    ("cafe", "Peur/Fort/08-P-2-1.wav", "08-P-2-1", {"emotion": "fear", "intensity": "strong", "gender": "female"}),
    (
        "subesco",
        "F_01_OISHI_S_10_ANGRY_1.wav",
        "F_01_OISHI_S_10_ANGRY_1",
        {"speaker": "subesco/F_01", "gender": "female", "emotion": "anger", "statement": 10, "take": 1, "text": None},
    ),
    ("subesco", "M_01_X_S_2_SURPRISE_3].wav", "M_01_X_S_2_SURPRISE_3", {"speaker": "subesco/M_01", "gender": "male"}),
    ("urdu", "Angry/SM4_F48_A0100.wav", "SM4_F48_A0100", {"speaker": "urdu/SM4", "gender": "male", "emotion": "anger"}),
    ("urdu", "Sad/SF10_F1_S01.wav", "SF10_F1_S01", {"gender": "female", "emotion": "sadness", "language": "ur"}),
    (
        "ased",
        "05Angry/a5-03-01-02-50.wav",
        "a5-03-01-02-50",
        {"speaker": "ased/50", "gender": "male", "emotion": "anger", "prompt": 3, "repetition": 1, "language": "am"},
    ),
    ("ased", "04Sad/S4-04-02-01-29.wav", "s4-04-02-01-29", {"gender": "female", "emotion": "sadness"}),
    ("shemo", "male/M02F01.wav", "M02F01", {"speaker": "shemo/M02", "gender": "male", "emotion": "fear"}),
    ("shemo", "F14A09.wav", "F14A09", {"speaker": "shemo/F14", "gender": "female", "emotion": "anger", "text": None}),
    ("shemo", "female/F21W09.wav", "F21W09", {"emotion": "surprise", "language": "fa"}),
    (
        "esd",
        "Emotion Speech Dataset/0011/Happy/evaluation/0011_000701.wav",
        "0011_000701",
        {"speaker": "esd/0011", "gender": "male", "language": "en", "emotion": "happiness", "official_split": "dev"},
    ),
    ("esd", "0009/Sad/train/0009_001101.wav", "0009_001101", {"gender": "female", "language": "zh"}),
    ("esd", "0010/Neutral/0010_000001.wav", "0010_000001", {"gender": "male", "emotion": "neutral"}),
]


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def same(row: Mapping[Any, Any], expected: Mapping[str, Any]) -> bool:
    return {column: row[column] for column in expected} == expected


@pytest.mark.parametrize(("name", "path", "key", "expected"), MEANINGS)
def test_codes_mean_what_the_owners_say(
    tmp_path: Path, name: str, path: str, key: str, expected: dict[str, Any]
) -> None:
    clip = touch(tmp_path / path)
    (row,) = CORPORA[name].read(tmp_path).to_dict("records")
    assert row["key"] == f"{name}/{key}" and row["file"] == str(clip)
    assert same(row, expected)


@pytest.mark.parametrize("change", [str.upper, str.lower])
@pytest.mark.parametrize(("name", "path", "key", "expected"), MEANINGS)
def test_names_in_other_case_are_the_same_clips(
    tmp_path: Path, name: str, path: str, key: str, expected: dict[str, Any], change: Any
) -> None:
    clip = tmp_path / path
    touch(clip.with_name(change(clip.name)))
    (row,) = CORPORA[name].read(tmp_path).to_dict("records")
    assert row["key"] == f"{name}/{key}" and same(row, expected)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: coded.make(tmp_path_factory.mktemp("coded") / name, name) for name in coded.NAMES}


@pytest.mark.parametrize(
    ("name", "rows", "speakers", "emotions"),
    [
        ("ravdess", 192, 24, ALL_SEVEN),
        ("ravdess-song", 36, 6, ALL_SEVEN - {"disgust", "surprise"}),
        ("savee", 56, 4, ALL_SEVEN),
        ("tess", 43, 2, ALL_SEVEN),
        ("emodb", 84, 6, ALL_SEVEN - {"surprise"}),
        ("emovo", 84, 6, ALL_SEVEN),
        ("cafe", 84, 6, ALL_SEVEN),
        ("subesco", 57, 4, ALL_SEVEN),
        ("urdu", 32, 4, {"anger", "happiness", "neutral", "sadness"}),
        ("ased", 40, 4, {"anger", "fear", "happiness", "neutral", "sadness"}),
        ("shemo", 48, 4, ALL_SEVEN - {"disgust"}),
        ("esd", 90, 6, {"anger", "happiness", "neutral", "sadness", "surprise"}),
    ],
)
def test_made_up_copies(
    trees: dict[str, Path],
    caplog: pytest.LogCaptureFixture,
    name: str,
    rows: int,
    speakers: int,
    emotions: set[str],
) -> None:
    with caplog.at_level(logging.WARNING):
        df = CORPORA[name].read(trees[name])
    assert len(df) == rows and set(df["emotion"].dropna()) == emotions
    assert df["speaker"].nunique() == speakers and df["speaker"].notna().all() and df["gender"].notna().all()
    assert set(df["language"]) == set(CORPORA[name].about.languages)
    assert list(df.columns[: len(COLUMNS)]) == list(COLUMNS) and df["arousal"].isna().all()
    assert re.search(rf"found {rows} of \d+ clips", caplog.text)
    assert sum(df.groupby("speaker")["original_emotion"].nunique() == df["original_emotion"].nunique()) == speakers


def test_every_corpus_has_a_made_up_copy_and_its_facts() -> None:
    assert CORPORA.keys() == coded.NAMES.keys()
    for name, corpus in CORPORA.items():
        facts = vars(corpus.about)
        assert all(value for fact, value in facts.items() if fact != "defects"), name
        assert all(text.endswith(".") for text in (corpus.about.layout, corpus.about.labels, corpus.about.protocol))


@pytest.mark.parametrize("name", CORPORA)
def test_wrong_root_says_what_was_sought_and_where(tmp_path: Path, name: str) -> None:
    for root in (tmp_path, tmp_path / "absent"):
        with pytest.raises(TableError, match=rf"{root}: no .* here; expected .*\.wav.* and so on"):
            CORPORA[name].read(root)


@pytest.mark.parametrize(
    ("name", "odd"),
    [
        ("ravdess", "Actor_01/03-01-09-01-01-01-01.wav"),
        ("ravdess", "Actor_01/03-01-01-01-01-01.wav"),
        ("ravdess", "Actor_01/clip.wav"),
        ("ravdess", "Actor_01/03-01-01-01-01-01-x.wav"),
        ("ravdess-song", "Actor_01/03-02-07-01-01-01-01.wav"),
        ("savee", "AudioData/XX/a01.wav"),
        ("savee", "AudioData/DC/x01.wav"),
        ("tess", "OAF_angry/OAF_back_furious.wav"),
        ("emodb", "wav/04a01Fa.wav"),
        ("emodb", "wav/03a03Fa.wav"),
        ("emodb", "wav/03a01Xa.wav"),
        ("emovo", "f1/ira-f1-b1.wav"),
        ("cafe", "Peur/Fort/13-P-2-1.wav"),
        ("cafe", "Peur/Fort/08-P-3-1.wav"),
        ("subesco", "F_01_OISHI_S_1_BORED_1.wav"),
        ("urdu", "Angry/SM1_F10_X010.wav"),
        ("ased", "01Neutral/n1-01-01-03-01.wav"),
        ("shemo", "male/M02X01.wav"),
        ("esd", "0001/Bored/0001_000351.wav"),
        ("esd", "0001/Angry/0002_000351.wav"),
        ("esd", "0021/Angry/0021_000351.wav"),
    ],
)
def test_odd_names_are_refused(tmp_path: Path, name: str, odd: str) -> None:
    touch(tmp_path / odd)
    title = r"not an official .* name; expected .*\. Remove or rename the file\."
    with pytest.raises(TableError, match=rf"{re.escape(odd)}: {title} No clip below .*: is it the folder of"):
        CORPORA[name].read(tmp_path)
    touch(tmp_path / coded.NAMES[name][-1])
    with pytest.raises(TableError, match=rf"{re.escape(odd)}: {title}$"):
        CORPORA[name].read(tmp_path)


def test_number_of_odd_names_is_told(tmp_path: Path) -> None:
    for i in range(3):
        touch(tmp_path / f"{i}.wav")
    with pytest.raises(TableError, match=r"0\.wav: not an official EMO-DB name.* 2 more files\."):
        CORPORA["emodb"].read(tmp_path)


def test_any_kind_of_audio(tmp_path: Path) -> None:
    for name in ("03a01Fa.opus", "08a01Fa.mp3", "._09a01Fa.wav", "10a01Fa.txt"):
        touch(tmp_path / name)
    df = CORPORA["emodb"].read(tmp_path)
    assert df["key"].tolist() == ["emodb/03a01Fa", "emodb/08a01Fa"]


def test_copies_are_left_out_but_not_other_clips_of_the_same_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for folder in (tmp_path, tmp_path / "TESS", tmp_path / ".cache"):
        write_clip(folder / "OAF_angry" / "OAF_back_angry.wav")
    with caplog.at_level(logging.WARNING):
        df = CORPORA["tess"].read(tmp_path)
    assert df["file"].tolist() == [str(tmp_path / "OAF_angry" / "OAF_back_angry.wav")]
    assert "1 clips are copies of others of the same name and are left out" in caplog.text
    other = write_clip(tmp_path / "TESS" / "OAF_angry" / "OAF_back_angry.wav", seconds=0.5)
    with pytest.raises(TableError, match=rf"{other}: has the name of {df['file'][0]}"):
        CORPORA["tess"].read(tmp_path)


def test_ravdess_archives_each_in_its_own_folder(tmp_path: Path) -> None:
    touch(tmp_path / "Audio_Speech_Actors_01-24" / "Actor_01" / "03-01-03-01-01-01-01.wav")
    touch(tmp_path / "Audio_Song_Actors_01-24" / "Actor_01" / "03-02-03-01-01-01-01.wav")
    assert CORPORA["ravdess"].read(tmp_path)["key"].tolist() == ["ravdess/03-01-03-01-01-01-01"]
    assert CORPORA["ravdess-song"].read(tmp_path)["key"].tolist() == ["ravdess-song/03-02-03-01-01-01-01"]


def test_complete_corpus_gives_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clips = [f"S{g}{n}_F{f}_{e}0{f}.wav" for g in "FM" for n in range(1, 11) for f in range(1, 6) for e in "AHNS"]
    for clip in clips:
        touch(tmp_path / clip)
    with caplog.at_level(logging.WARNING):
        assert len(CORPORA["urdu"].read(tmp_path)) == 400
        assert caplog.text == ""
        (tmp_path / clips[0]).unlink()
        CORPORA["urdu"].read(tmp_path, allow_missing=True)
    assert "found 399 of 400 clips of URDU" in caplog.text


def test_esd_transcripts_in_any_encoding_never_give_the_label(
    trees: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        df = CORPORA["esd"].read(trees["esd"]).set_index("key")
    assert "6 of 90 clips have no transcript; 6 transcripts" in caplog.text
    assert df["text"].isna().sum() == 6 and pd.isna(df.loc["esd/0001_000001", "text"])
    words = df.groupby("speaker")["text"].agg(lambda text: set(text.dropna()))
    for speaker in ("0001", "0002", "0004"):
        assert words[f"esd/{speaker}"] == {"打远一看，它们的确很是美丽，"}
    assert words["esd/0011"] == words["esd/0015"] == {"The café isn’t “open” yet."}
    assert words["esd/0020"] == {"The nine the eggs, I keep."}
    assert df["official_split"].value_counts().to_dict() == {"train": 30, "dev": 30, "test": 30}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0011_000351\tHe was sad.\tAngry", "He was sad."),
        ("0011_000351\tHe was\tsad.\tAngry", "He was sad."),
        ("0011_000351 He was sad. Angry ", "He was sad."),
        ("0011_000351\tHe was sad. Angry", "He was sad."),
        ("0011_000351\tHe was sad.", "He was sad."),
        ("  0011_000351\t  \tAngry", None),
        ("words", None),
    ],
)
def test_esd_lines_with_and_without_tabs(tmp_path: Path, line: str, words: str | None) -> None:
    touch(tmp_path / "0011" / "Angry" / "0011_000351.wav")
    (tmp_path / "0011" / "0011.txt").write_text(f"{line}\n")
    df = CORPORA["esd"].read(tmp_path)
    assert df["text"].tolist() == [words] and "official_split" not in df.columns


def test_shemo_transcripts_and_corrected_labels(tmp_path: Path) -> None:
    root = coded.make(tmp_path / "shemo", "shemo")
    df = CORPORA["shemo"].read(root).set_index("key")
    assert df["text"].isna().sum() == 1 and df.loc["shemo/F21N01", "text"] == "دیگه نمی‌تونم"
    corrected = {"F21N01.wav": {"emotion": "Sadness", "transcript": "باشه", "path": "shemo/F21N01.wav"}}
    (root / "modified_shemo.json").write_text(json.dumps(corrected), encoding="utf-8")
    changed = CORPORA["shemo"].read(root).set_index("key")
    row = changed.loc["shemo/F21N01"]
    assert (row["text"], row["emotion"], row["original_emotion"]) == ("باشه", "sadness", "sadness")
    assert changed.drop("shemo/F21N01").equals(df.drop("shemo/F21N01"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"F21N01.wav": {"emotion": "bored", "transcript": "x"}}', r"F21N01\.wav: unknown emotion 'bored'"),
        ('{"F21N01.wav": {"transcript": "x"}}', "not as published"),
        ('[{"emotion": "anger"}]', "not as published"),
        ('{"F21N01.wav": "x"}', "not as published"),
        ("3", "not as published"),
        ("{", "not valid JSON"),
    ],
)
def test_shemo_refuses_other_json(tmp_path: Path, content: str, message: str) -> None:
    touch(tmp_path / "F21N01.wav")
    (tmp_path / "modified_shemo.json").write_text(content)
    with pytest.raises(EmofuseError, match=rf"modified_shemo\.json.*{message}"):
        CORPORA["shemo"].read(tmp_path)


@pytest.mark.data
def test_real_ravdess(caplog: pytest.LogCaptureFixture) -> None:
    if "EMOFUSE_DATA" not in os.environ:
        pytest.skip("EMOFUSE_DATA is not set")
    with caplog.at_level(logging.WARNING):
        df = CORPORA["ravdess"].read(Path(os.environ["EMOFUSE_DATA"]) / "ravdess")
    assert len(df) == 1430 and df["speaker"].nunique() == 24 and df["emotion"].nunique() == 7
    assert list(df.columns) == [*COLUMNS, "intensity", "statement", "repetition", "vocal_channel"]
    assert "found 1430 of 1440 clips of RAVDESS speech" in caplog.text
