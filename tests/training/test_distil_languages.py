import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from emofuse.encoders.multilingual import MultilingualEncoder, save_encoder
from emofuse.errors import EmofuseError
from emofuse.training import distil_languages, multilingual_lines
from emofuse.training.distil_languages import distil, render_scores
from emofuse.training.multilingual_lines import WordByWord, english_sentences, near_copies, read_lines
from emofuse.training.multilingual_student import Options, Student, fit_head, frequent_features
from emofuse.training.word_alignment import WordAlignment
from emofuse.training.xed_pairs import part_of, read_labels, read_pairs

GERMAN = {"good": "gut", "happy": "froh", "lovely": "schön", "bad": "schlecht", "angry": "böse", "sad": "traurig"}
NAMES = ("Bert", "Carl", "Dora", "Emil", "Fred", "Gert", "Hans", "Ines", "Jens", "Kurt", "Lars", "Mark")
GERMAN |= {name: name.lower() + "a" for name in NAMES}
GERMAN |= {"very": "sehr", "is": "ist", "today": "heute", "always": "immer", "not": "nie", "home": "heim"}
FEELINGS = list(GERMAN)[:6]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with a made-up XED: English lines, word-by-word German ones, and joy or sadness as labels."""
    folder = tmp_path_factory.mktemp("data") / "xed"
    for name in ("pairs", "projections", "annotated"):
        (folder / name).mkdir(parents=True)
    draw = random.Random(0)
    fillers = list(GERMAN)[18:]
    pairs, projections, english = [], [], []
    for number in range(900):
        words = [draw.choice(NAMES), *draw.sample(fillers, draw.randint(1, 4)), draw.choice(FEELINGS)]
        line = " ".join(GERMAN[word] for word in words)
        english.append(" ".join(words))
        pairs.append(f"1:{number}\t{english[-1]}\t{line}")
        projections.append(f"{line}\t{5 if words[-1] in FEELINGS[:3] else 6}")
    (folder / "pairs" / "de.tsv").write_text("\n".join(pairs), "utf8")
    (folder / "pairs" / "en.tsv").write_text("2:1\tdet er godt\tIt is good", "utf8")
    (folder / "projections" / "de-projections.tsv").write_text("\n".join(projections), "utf8")
    (folder / "annotated" / "en-annotated.tsv").write_text("\n".join(f"{text}\t5" for text in english[:50]), "utf8")
    return folder.parent


@pytest.fixture(scope="module")
def teacher():
    """Embeds a text as the mean of fixed random vectors of its words."""
    vectors = {}

    def encode(texts):
        for word in (word for text in texts for word in text.lower().split()):
            vectors.setdefault(word, np.random.default_rng(len(vectors)).normal(size=16))
        return np.array([np.mean([vectors[w] for w in text.lower().split()], axis=0) for text in texts], np.float32)

    identity = {"name": "teacher", "weights_hash": "b" * 64, "pooling": "mean", "dim": 16}
    facts = {**identity, "file_hash": identity["weights_hash"], "identity": identity}
    return SimpleNamespace(**facts, encode=encode)


@pytest.fixture(scope="module")
def lines(data):
    multilingual_lines.MIN_LINES, before = 20, multilingual_lines.MIN_LINES
    yield read_lines(read_pairs(data / "xed"))
    multilingual_lines.MIN_LINES = before


def test_lines_are_split_by_their_english(lines, data):
    labels = read_labels(data / "xed", read_pairs(data / "xed"))
    assert lines.languages == ["de"] and set(lines.part_of.values()) == {"train", "dev", "test"}
    for line in lines.of_part("test"):
        assert {part_of(text) for text in lines.english[line.key]} == {"test"}
    feeling = {key: texts[0].split()[-1] for key, texts in lines.english.items()}
    assert all(labels[line.key] == ((5,) if feeling[line.key] in FEELINGS[:3] else (6,)) for line in lines.lines)


def test_likeness_tells_pairs_from_chance(lines):
    alignment = lines.alignments["de"]
    english = "Dora is always very happy".lower().split()
    assert alignment.likeness(["doraa", "ist", "immer", "sehr", "froh"], english) > 0.5
    assert alignment.likeness(["kurta", "schlecht", "heim"], english) < 0.3
    assert alignment.likeness([], english) == 0


def test_alignment_needs_both_directions():
    pairs = [(["das", "haus"], ["the", "house"]), (["das", "buch"], ["the", "book"])] * 5
    lexicon = WordAlignment.learn(pairs).lexicon()
    assert {english: list(words) for english, words in lexicon.items()} == {
        "the": ["das"],
        "house": ["haus"],
        "book": ["buch"],
    }
    assert WordAlignment.learn(pairs).glosses() == {"das": "the", "haus": "house", "buch": "book"}


def test_sentences_are_translated_word_by_word(lines):
    rng = np.random.default_rng(0)
    words = WordByWord(lines)
    assert words.translate(["dora", "is", "always", "happy"], "de", rng) == ["doraa", "ist", "immer", "froh"]
    assert words.translate(["some", "unknown", "words", "are", "here"], "de", rng) == []
    [(text, number)] = words.draw([["a", "b", "c"], ["dora", "is", "sad"]], 1, rng)
    assert (text, number) == (("de", ["doraa", "ist", "traurig"]), 1)


def test_english_sentences_leave_out_the_test_part(data):
    sentences = english_sentences(data, 1000)
    assert sentences and all(part_of(text) == "train" for text in sentences)
    assert english_sentences(data, 5) == english_sentences(data, 5) and len(english_sentences(data, 5)) == 5
    assert near_copies(["I am very happy!", "Something else"], ["i am very, very happy"]) == {"I am very happy!"}


def test_student_and_encoder_agree(tmp_path):
    texts = [("de", ["das", "ist", "gut", "!"]), ("de", ["unbekannt"]), ("pl", ["dobrze"])]
    options = Options(width=8, hidden=12)
    torch.manual_seed(0)
    student = Student(frequent_features(texts * 9, 1000), 16, options).eval()
    mean, std = np.arange(16.0), np.linspace(0.5, 2, 16)
    weights = student.weights(mean, std)
    save_encoder(tmp_path / "out", weights, {}, {"teacher": {}, "languages": [], "scores": {}})
    encoder = MultilingualEncoder(tmp_path / "out")
    texts.append(("de", ["völlig", "anders"]))
    expected = student(texts).detach().numpy() * std + mean
    given = encoder.encode_words((words, language) for language, words in texts)
    assert np.abs(given - expected).max() < 0.05 * np.abs(expected - mean).max()


def test_heads_learn_distributions():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5)).astype(np.float32)
    weight, bias = fit_head(x, np.stack([x[:, 0] > 0, x[:, 0] <= 0], axis=1).astype(np.float32))
    logits = x @ weight.numpy().T + bias.numpy()
    assert ((logits[:, 0] > logits[:, 1]) == (x[:, 0] > 0)).mean() > 0.95


@pytest.mark.slow
def test_distilling_learns_the_meaning_of_unseen_lines(data, teacher, tmp_path, monkeypatch):
    monkeypatch.setattr(multilingual_lines, "MIN_LINES", 20)
    monkeypatch.setattr(distil_languages, "_MIN_JUDGED", 10)
    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path / "cache"))
    options = Options(width=16, hidden=32, epochs=20, batch_size=64, learning_rate=2e-2)
    facts = distil(teacher, tmp_path / "out", data, options=options)
    assert facts["languages"] == ["de"]
    assert "| de* |" in render_scores(facts)
    encoder = MultilingualEncoder(tmp_path / "out")
    happy, sad = (
        encoder.encode([f"{GERMAN[name]} ist sehr {word}" for name in NAMES], "de") for word in ("froh", "traurig")
    )
    wanted = teacher.encode([f"{name} is very happy" for name in NAMES])
    distances = [np.linalg.norm(given - wanted, axis=1).mean() for given in (happy, sad)]
    assert distances[0] < distances[1]


def test_missing_data(tmp_path, teacher):
    with pytest.raises(EmofuseError, match=r"en\.tsv"):
        distil(teacher, tmp_path / "out", tmp_path)
