"""Sentences of several corpora: their labels by task, and that no test sentence is read."""

import numpy as np
import pytest

from emofuse.errors import EmofuseError
from emofuse.labels import EMOTIONS
from emofuse.training import sentences
from emofuse.training.sentences import TASKS, Row, gather, read_sentences, seven_of_goemotions
from emofuse.training.xed_pairs import part_of
from made_up import emobank, goemotions, meld, xed


def test_texts_without_words_are_left_out_and_emoji_are_named():
    gathered = gather(
        [
            Row(" ... ", "meld", {"categories": {"anger": 1.0}}),
            Row("Oh 😭", "meld", {"categories": {"sadness": 1.0}}),
            Row("Ah.", "emobank", {"dimensions": {"arousal": 0.1, "valence": 0.2, "dominance": 0.3}}),
        ]
    )
    assert gathered.texts == ["Oh loudly crying face", "Ah."] and gathered.corpora.tolist() == ["meld", "emobank"]
    assert gathered.targets["categories"][0].tolist() == [float(name == "sadness") for name in EMOTIONS]
    assert gathered.targets["dimensions"][1].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert gathered.labelled("categories").tolist() == [0] and gathered.labelled("dimensions").tolist() == [1]
    assert not len(gathered.labelled("xed"))


def test_goemotions_labels_are_summed_by_category():
    labels = np.zeros((2, 28))
    for row, names in enumerate([["joy", "love"], ["anger", "fear"]]):
        labels[row, [TASKS["goemotions"].index(name) for name in names]] = 0.5
    seven = seven_of_goemotions(labels)
    assert seven[0, EMOTIONS.index("happiness")] == 1
    assert seven[1, EMOTIONS.index("anger")] == seven[1, EMOTIONS.index("fear")] == 0.5


@pytest.fixture
def corpora(tmp_path):
    meld.write_labels(tmp_path / "meld")
    for corpus in (emobank, goemotions, xed):
        corpus.make(tmp_path / corpus.__name__.rpartition(".")[2])
    return tmp_path


def test_only_training_and_development_parts_are_read(corpora, monkeypatch):
    monkeypatch.setattr(sentences, "MADE_UP", 50)
    train, dev = read_sentences(corpora)
    counts = [
        {task: len(part.labelled(task)) for task in ("categories", "dimensions", "goemotions")} for part in (train, dev)
    ]
    assert counts == [
        {"categories": 29 + 50, "dimensions": 48, "goemotions": 27 + 50},
        {"categories": 15, "dimensions": 12, "goemotions": 9},
    ]
    assert "made_up" in train.corpora and "made_up" not in dev.corpora
    for name, part in (("train", train), ("dev", dev)):
        lines = [part.texts[row] for row in part.labelled("xed")]
        assert lines and {part_of(line) for line in lines} == {name}
        others = [text for text, corpus in zip(part.texts, part.corpora, strict=True) if corpus != "xed"]
        assert not any("test" in text for text in others)
    rows = [i for i, text in enumerate(train.texts) if text.startswith("Thank you, Robert")]
    labels = train.targets["goemotions"][rows]
    assert labels[:, TASKS["goemotions"].index("love")].tolist() == [0.5] * 3


def test_a_missing_file_is_named(corpora):
    (corpora / "xed" / "annotated" / "neu_en.txt").unlink()
    with pytest.raises(EmofuseError, match=r"neu_en\.txt"):
        read_sentences(corpora)
