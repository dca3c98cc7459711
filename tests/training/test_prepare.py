import numpy as np
import pytest
import soundfile

from emofuse.config import parse_recipe
from emofuse.corpora.table import make_table, write_table
from emofuse.errors import EmofuseError
from emofuse.training import prepare as module
from emofuse.training.prepare import prepare

EMOTIONS = ["neutral", "anger", "happiness"]


@pytest.fixture(autouse=True)
def _made_up(tmp_path, monkeypatch):
    """Two small corpora: voices with Polish words, and English sentences; an embedding that needs no weights."""
    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path / "cache"))
    identity = {"name": "made-up", "weights_hash": "0", "pooling": "mean", "dim": 3}
    monkeypatch.setattr(
        module, "embed", lambda texts, config: (identity, {t: np.full(3, len(t), np.float32) for t in texts})
    )
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


def test_parts_hold_what_the_splits_say(tmp_path):
    found = prepare(recipe(), data=tmp_path)
    assert [len(part) for part in found.parts.values()] == [16, 16, 16]
    speakers = [set(part.table["speaker"]) for part in found.parts.values()]
    assert not speakers[0] & speakers[1] and not speakers[0] & speakers[2] and not speakers[1] & speakers[2]
    assert set(found.split.train) == set(found.parts["train"].table["key"])
    assert found.text == {"name": "made-up", "weights_hash": "0", "pooling": "mean", "dim": 3}
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
        assert set(pairs["file"]) <= set(own["file"].dropna())
        assert set(pairs["text"]) <= set(own["text"].dropna())
        batch = found.parts[part].batch([int(pairs.index[0])])
        assert batch.has_audio.item() and batch.has_text.item() and batch.n_frames.item() == 26


def test_weak_dimensions_only_where_there_is_audio(tmp_path):
    labels = {"names": EMOTIONS, "weak_dimensions": True}
    heads = {"heads": ["categories", "dimensions"]}
    table = prepare(recipe(data={"labels": labels}, model=heads), data=tmp_path).parts["train"].table
    assert table.loc[table["corpus"] == "voices", "arousal"].notna().all()
    assert table.loc[table["corpus"] == "words", "arousal"].isna().all()


def test_rows_without_a_usable_label_or_modality_are_left_out_and_told(tmp_path):
    found = prepare(recipe(data={"labels": {"names": ["neutral", "anger"]}}), data=tmp_path)
    assert "voices: 6 of 18 rows left out" in found.notes[0]
    assert (found.parts["train"].label >= 0).all()
    with pytest.raises(EmofuseError, match="no row of the corpus"):
        prepare(recipe(model={"fusion": "audio_only"}), data=tmp_path)
    with pytest.raises(EmofuseError, match="bliss"):
        prepare(recipe(data={"labels": {"names": ["bliss"]}}), data=tmp_path)


def test_absent_corpus_is_named(tmp_path):
    with pytest.raises(EmofuseError, match="elsewhere"):
        prepare(recipe(), data=tmp_path / "elsewhere")
