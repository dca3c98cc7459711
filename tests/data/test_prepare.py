import numpy as np
import pytest
import soundfile

from emofuse.config import SplitConfig, parse_recipe
from emofuse.corpora.splits import freeze, make_split
from emofuse.corpora.table import make_table, read_table, write_table
from emofuse.data.prepare import Encoders, identify, prepare
from emofuse.data.rows import LABEL, labelled_parts, select_rows
from emofuse.errors import EmofuseError

EMOTIONS = ["neutral", "anger", "happiness"]


@pytest.fixture(autouse=True)
def _made_up(tmp_path, monkeypatch, length_encoder):
    """Two small corpora: voices with Polish words, and English sentences; an embedding that needs no weights."""
    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    voices, words = [], []
    for i in range(18):
        file = tmp_path / f"{i}.wav"
        soundfile.write(file, rng.normal(size=4000) * 0.1, 16000)
        row = {"key": f"voice/{i}", "file": file.name, "speaker": f"v{i // 3}", "emotion": EMOTIONS[i % 3]}
        voices.append(row | {"text": "Dzień dobry, jak się pan miewa?", "language": "pl"})
    for i in range(30):
        row = {
            "key": f"words/{i}",
            "text": f"One more sentence, the {i}th",
            "language": "en",
            "emotion": EMOTIONS[i % 3],
        }
        words.append(row | {"official_split": ["train", "dev", "test"][i // 10], "speaker": f"w{i}"})
    write_table(make_table(voices, "voices"), tmp_path / "voices.csv")
    write_table(make_table(words, "words"), tmp_path / "words.csv")


def recipe(**sections):
    corpora = [
        {"reader": "table", "root": "voices.csv", "split": {"rule": "k_fold", "k": 3}},
        {"reader": "table", "root": "words.csv", "split": {"rule": "official"}},
    ]
    data = {"corpora": corpora, "labels": {"names": EMOTIONS}} | sections.pop("data", {})
    return parse_recipe({"name": "r", "protocol": "p", "data": data, **sections}, source="test")


def test_a_part_alone_has_the_rows_and_labels_that_training_has(tmp_path):
    changed = recipe(data={"labels": {"names": EMOTIONS[:2], "merge": {"happiness": "anger"}}})
    found = prepare(changed, data=tmp_path)
    for part, rows in found.parts.items():
        alone = labelled_parts([changed], part, data=tmp_path)[0]
        assert sorted(alone["key"]) == sorted(rows.table["key"])
        assert alone.set_index("key")[LABEL].to_dict() == rows.table.set_index("key")[LABEL].to_dict()
        assert set(alone[LABEL]) == set(EMOTIONS[:2])


def test_parts_hold_what_the_splits_say(tmp_path, length_encoder):
    found = prepare(recipe(), data=tmp_path)
    assert [len(part) for part in found.parts.values()] == [16, 16, 16]
    speakers = [set(part.table["speaker"]) for part in found.parts.values()]
    assert not speakers[0] & speakers[1] and not speakers[0] & speakers[2] and not speakers[1] & speakers[2]
    assert set(found.rows.split.train) == set(found.parts["train"].table["key"])
    assert found.text_encoder == length_encoder.identity
    facts = {corpus["name"]: corpus for corpus in found.corpora}
    assert facts["voices"]["duration_range"] == [0.3, 0.3]
    assert (facts["words"]["with_audio"], facts["words"]["with_text"]) == (0, 30)


def test_transcripts_in_other_languages_count_as_absent(tmp_path):
    assert prepare(recipe(), data=tmp_path).parts["train"].batch([0]).has_text.tolist() == [True]
    covered = prepare(recipe(text={"languages": ["en"]}), data=tmp_path)
    table = covered.parts["train"].table
    assert table.loc[table["language"] == "pl", "text"].isna().all()
    assert table.loc[table["language"] == "en", "text"].notna().all()


def test_composed_pairs_stay_within_their_part(tmp_path):
    composed = {"audio": ["voices"], "text": ["words"], "train_pairs": 20, "dev_pairs": 10}
    found = prepare(recipe(data={"composed": composed}, text={"languages": ["en"]}), data=tmp_path)
    assert [len(part) for part in found.parts.values()] == [36, 26, 16]
    for part in ("train", "dev"):
        table = found.parts[part].table
        pairs = table[table["corpus"] == "composed"]
        own = table[table["corpus"] != "composed"]
        assert (found.parts[part].composed == (table["corpus"] == "composed")).all()
        assert set(pairs["file"]) <= set(own["file"].dropna())
        assert set(pairs["text"]) <= set(own["text"].dropna())
        batch = found.parts[part].batch([int(pairs.index[0])])
        assert batch.has_audio.item() and batch.has_text.item() and batch.n_frames.item() == 26


def test_a_key_does_not_make_a_row_composed(tmp_path):
    for name in ("voices.csv", "words.csv"):
        table = read_table(tmp_path / name)
        write_table(table.assign(key="composed/" + table["key"]), tmp_path / name)
    assert not prepare(recipe(), data=tmp_path).parts["train"].composed.any()


def test_encoders_are_loaded_once_for_identity_and_arrays(tmp_path, monkeypatch, length_encoder):
    loads = []
    monkeypatch.setattr("emofuse.encoders.text.load_text_encoder", lambda *names: loads.append(names) or length_encoder)
    rows, encoders = select_rows(recipe(), data=tmp_path), Encoders(recipe())
    assert identify(recipe(), rows, encoders)["text_encoder"] == length_encoder.identity
    assert prepare(recipe(), rows=rows, encoders=encoders).text_encoder == length_encoder.identity
    assert loads == [("minilm", "mean")]


def test_the_pairs_of_a_composed_task_are_all_the_data(tmp_path):
    composed = {"audio": ["voices"], "text": ["words"], "train_pairs": 8, "dev_pairs": 4, "test_pairs": 4}
    labels = {"column": "original_emotion", "names": ["agree", "clash"]}
    data = {"composed": composed | {"task": "clash"}, "labels": labels}
    found = prepare(recipe(data=data), data=tmp_path)
    tables = {part: rows.table for part, rows in found.parts.items()}
    assert [len(table) for table in tables.values()] == [8, 4, 4]
    for part, table in tables.items():
        assert found.parts[part].composed.all() and set(table["key"]) == set(getattr(found.rows.split, part))
        assert np.bincount(found.parts[part].label).tolist() == [len(table) / 2] * 2
    assert not set(tables["train"]["speaker"]) & set(tables["test"]["speaker"])
    assert list(found.rows.audits) == ["composed"] and not found.rows.audits["composed"].failed
    facts = {corpus["name"]: corpus for corpus in found.corpora}
    assert set(facts) == {"voices", "words"} and (facts["words"]["with_audio"], facts["voices"]["with_audio"]) == (0, 8)
    whole = prepare(recipe(data={}), data=tmp_path).parts
    for part, table in tables.items():
        assert set(table["clip"]) | set(table["sentence"]) <= set(whole[part].table["key"])
    alone = prepare(
        recipe(data=data | {"labels": {"column": "voice", "names": ["positive", "negative"]}}), data=tmp_path
    )
    assert set(alone.parts["test"].table["key"]) == set(tables["test"]["key"])


def test_a_part_alone_of_a_composed_task_is_its_pairs(tmp_path):
    composed = {"audio": ["voices"], "text": ["words"], "train_pairs": 6, "dev_pairs": 6, "test_pairs": 6}
    changed = recipe(data={"composed": composed | {"task": "agree"}})
    rows = prepare(changed, data=tmp_path).parts["test"].table.set_index("key")
    alone = labelled_parts([changed], "test", data=tmp_path)[0].set_index("key")
    assert set(alone.index) == set(rows.index) and alone[LABEL].to_dict() == rows[LABEL].to_dict()
    mixed = recipe(data={"composed": composed | {"task": "mix", "test_pairs": 0}})
    [mixed_rows] = labelled_parts([mixed], "dev", data=tmp_path)
    assert set(mixed_rows["corpus"]) == {"voices", "words"}


def test_a_part_alone_keeps_recognised_beside_human_words(tmp_path):
    for name in ("voices.csv", "words.csv"):
        table = read_table(tmp_path / name)
        write_table(table.assign(human_text="as said: " + table["text"]), tmp_path / name)
    alone = labelled_parts([recipe(text={"column": "human_text"})], "test", data=tmp_path)[0]
    assert (alone["human_text"] == "as said: " + alone["text"]).all()


def test_words_of_a_composed_task_are_those_the_recipe_reads(tmp_path):
    table = read_table(tmp_path / "words.csv")
    write_table(table.assign(human_text="as a human read it, " + table["text"]), tmp_path / "words.csv")
    voices = read_table(tmp_path / "voices.csv")
    write_table(voices.assign(human_text=voices["text"]), tmp_path / "voices.csv")
    composed = {"audio": ["voices"], "text": ["words"], "train_pairs": 6, "dev_pairs": 6, "test_pairs": 6}
    data = {"composed": composed | {"task": "agree"}}
    found = prepare(recipe(data=data, text={"column": "human_text"}), data=tmp_path).parts["train"].table
    assert found["text"].str.startswith("as a human").all()
    with pytest.raises(EmofuseError, match=r"data.corpora have no sentences of words to compose"):
        prepare(recipe(data=data, text={"languages": ["pl"]}), data=tmp_path)
    with pytest.raises(EmofuseError, match=r"data.corpora have no clips of wards to compose"):
        prepare(recipe(data={"composed": composed | {"task": "agree", "audio": ["wards"]}}), data=tmp_path)


def test_weak_dimensions_only_where_there_is_audio(tmp_path):
    labels = {"names": EMOTIONS, "weak_dimensions": True}
    heads = {"heads": ["categories", "dimensions"]}
    table = prepare(recipe(data={"labels": labels}, model=heads), data=tmp_path).parts["train"].table
    assert table.loc[table["corpus"] == "voices", "arousal"].notna().all()
    assert table.loc[table["corpus"] == "words", "arousal"].isna().all()


def test_rows_without_a_usable_label_or_modality_are_left_out_and_told(tmp_path):
    found = prepare(recipe(data={"labels": {"names": ["neutral", "anger"]}}), data=tmp_path)
    assert "voices: 6 of 18 rows left out" in found.rows.notes[0]
    assert (found.parts["train"].label >= 0).all()
    with pytest.raises(EmofuseError, match="no row of words has a label"):
        prepare(recipe(model={"fusion": "audio_only"}), data=tmp_path)
    with pytest.raises(EmofuseError, match="bliss"):
        prepare(recipe(data={"labels": {"names": ["bliss"]}}), data=tmp_path)


def test_rows_are_chosen_by_column_and_categories_merged(tmp_path):
    voices = {"reader": "table", "root": "voices.csv", "where": {"speaker": ["v0", "v1", "v2"]}}
    labels = {"names": ["neutral", "aroused"], "merge": {"anger": "aroused", "happiness": "aroused"}}
    corpora = [voices | {"split": {"rule": "leave_one_out", "fold": 1}}]
    found = prepare(recipe(data={"corpora": corpora, "labels": labels}), data=tmp_path)
    assert {part: set(rows.table["speaker"]) for part, rows in found.parts.items()} == {
        "train": {"v0"},
        "dev": {"v2"},
        "test": {"v1"},
    }
    assert found.parts["train"].label.tolist() == [0, 1, 1]


def test_labels_and_words_that_are_numbers(tmp_path):
    table = read_table(tmp_path / "voices.csv")
    write_table(table.assign(level=[1, 2, None] * 6, asr_confidence="unknown"), tmp_path / "levels.csv")
    corpora = [{"reader": "table", "root": "levels.csv", "split": {"rule": "k_fold", "k": 3}}]
    data = {"corpora": corpora, "labels": {"column": "level", "names": ["1", "2"]}}
    found = prepare(recipe(data=data, text={"column": "level", "min_confidence": 0.5}), data=tmp_path).parts["train"]
    assert found.label.tolist() == [0, 1] * 2 and found.table["text"].tolist() == ["1", "2"] * 2
    assert prepare(recipe(data=data, text={"min_confidence": 0.5}), data=tmp_path).parts["train"].table["text"].all()


def test_rows_that_only_votes_label_train_with_soft_targets(tmp_path):
    table = read_table(tmp_path / "voices.csv")
    table["votes"] = '{"anger": 1, "neutral": 3}'
    table.loc[table["emotion"] == "happiness", ["emotion"]] = None
    write_table(table, tmp_path / "voted.csv")
    corpora = [{"reader": "table", "root": "voted.csv", "split": {"rule": "k_fold", "k": 3}}]
    sizes = []
    for soft in (False, True):
        data = {"corpora": corpora, "labels": {"names": EMOTIONS, "soft": soft}}
        found = prepare(recipe(data=data, training={"class_balanced": False}), data=tmp_path)
        sizes.append(len(found.parts["train"]))
    assert sizes == [4, 6]
    np.testing.assert_allclose(found.parts["train"].target, [[0.75, 0.25, 0]] * 6)


@pytest.mark.parametrize("votes", ["much", "[1]", '{"anger": "two"}', '{"anger": null}', '{"anger": -1}'])
def test_votes_that_are_none(tmp_path, votes):
    write_table(read_table(tmp_path / "voices.csv").assign(votes=votes), tmp_path / "voted.csv")
    corpora = [{"reader": "table", "root": "voted.csv", "split": {"rule": "k_fold", "k": 3}}]
    with pytest.raises(EmofuseError, match="voice/0: votes"):
        prepare(recipe(data={"corpora": corpora, "labels": {"names": EMOTIONS, "soft": True}}), data=tmp_path)


def test_transcripts_by_column_and_confidence(tmp_path):
    table = read_table(tmp_path / "voices.csv")
    table["human_text"] = "as a human heard it"
    table["asr_confidence"] = [0.2, 0.8] * 9
    write_table(table, tmp_path / "heard.csv")
    corpora = [{"reader": "table", "root": "heard.csv", "split": {"rule": "k_fold", "k": 3}}]
    found = prepare(recipe(data={"corpora": corpora}, text={"min_confidence": 0.5}), data=tmp_path)
    rows = found.parts["train"].table
    assert (rows["text"].notna() == (rows["asr_confidence"] > 0.5)).all() and rows["text"].notna().any()
    found = prepare(recipe(data={"corpora": corpora}, text={"column": "human_text"}), data=tmp_path)
    assert set(found.parts["train"].table["text"]) == {"as a human heard it"}
    with pytest.raises(EmofuseError, match="voices has no column 'human_text'"):
        prepare(recipe(text={"column": "human_text"}), data=tmp_path)


def test_frozen_split_of_the_whole_corpus_holds_for_the_rows_that_are_used(tmp_path):
    freeze(read_table(tmp_path / "voices.csv"), SplitConfig(rule="k_fold", k=3), tmp_path / "split.json")
    corpora = [{"reader": "table", "root": "voices.csv", "where": {"emotion": ["neutral", "anger"]}}]
    corpora[0]["split"] = {"rule": "given", "folds": "split.json", "fold": 2}
    found = prepare(recipe(data={"corpora": corpora}), data=tmp_path)
    frozen = make_split(read_table(tmp_path / "voices.csv"), SplitConfig(rule="k_fold", k=3, fold=2))
    assert len(frozen.test) == 6 and len(found.rows.split.test) == 4
    assert set(found.rows.split.test) < set(frozen.test)


def test_corpus_that_is_named_twice(tmp_path):
    def named(*where, folds=(0, 0)):
        entry = {"reader": "table", "root": "voices.csv"}
        corpora = [
            entry | {"where": {"emotion": e} if e else {}, "split": {"rule": "k_fold", "k": 3, "fold": fold}}
            for e, fold in zip(where, folds, strict=True)
        ]
        return prepare(recipe(data={"corpora": corpora}), data=tmp_path)

    with pytest.raises(EmofuseError, match=r"18 rows stand under two of data.corpora \(such as voice/0\)"):
        named(None, None)
    with pytest.raises(EmofuseError, match=r"6 speakers stand under two of data.corpora in parts that differ"):
        named("anger", "neutral", folds=(0, 1))
    found = named("anger", "neutral")
    assert len(found.parts["train"]) == 4 and list(found.rows.audits) == ["voices", "voices, 2"]


def test_audit_comes_with_the_data(tmp_path):
    audits = prepare(recipe(), data=tmp_path).rows.audits
    assert list(audits) == ["voices", "words"] and not audits["voices"].failed
    words = read_table(tmp_path / "words.csv")
    words["speaker"] = "w"
    write_table(words, tmp_path / "words.csv")
    found = prepare(recipe(), data=tmp_path)
    assert found.rows.audits["words"].failed
    assert any(note.startswith("words: 1 of 1 speakers of test are also in train") for note in found.rows.notes)


def test_absent_corpus_is_named(tmp_path):
    with pytest.raises(EmofuseError, match="elsewhere"):
        prepare(recipe(), data=tmp_path / "elsewhere")
