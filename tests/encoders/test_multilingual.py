import json
import subprocess
import sys

import numpy as np
import pytest

from emofuse.encoders.multilingual import (
    FACTS_FILE,
    MAX_WORDS,
    MODEL_FILE,
    MultilingualEncoder,
    feature_key,
    require_teacher,
    word_features,
    words_of_text,
)
from emofuse.errors import EmofuseError
from emofuse.files import file_hash, read_json, write_json
from made_up.multilingual import TEACHER, write_encoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    words = {"de": {"gut": "good", "schlecht": "bad"}, "hr": {"dobro": "good"}}
    return write_encoder(tmp_path_factory.mktemp("encoder"), words=words)


@pytest.fixture(scope="module")
def encoder(folder):
    return MultilingualEncoder(folder)


def test_embeddings_do_not_depend_on_the_batch(encoder):
    together = encoder.encode(["gut", "Schlecht!", ""], "de")
    assert together.shape == (3, encoder.dim) and together.dtype == np.float32 and np.isfinite(together).all()
    assert np.allclose(together[1], encoder.encode(["schlecht !"], "de")[0], atol=1e-6)
    assert abs(together[0] - together[1]).max() > 0.01


def test_composed_and_decomposed_letters_and_cases_are_equal():
    assert words_of_text("SCHÖN", "de") == words_of_text("scho\u0308n", "de") == ["schön"]
    assert words_of_text("İyi", "tr") == ["iyi"]


def test_related_languages_share_words(encoder):
    assert np.array_equal(encoder.encode(["добро"], "sr"), encoder.encode(["dobro"], "hr"))


def test_keys_do_not_depend_on_the_process():
    feature = word_features("böse", "de")[0]
    code = f"from emofuse.encoders.multilingual import feature_key; print(feature_key({feature!r}))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(printed) == feature_key(feature)


@pytest.mark.parametrize(("language", "sentence"), [("de", "Das ist gut. "), ("zh", "我很好。")])
def test_long_texts_are_embedded_in_parts(encoder, language, sentence):
    text = sentence * 60
    parts = encoder.split(text, language)
    assert "".join(parts) == text and all(len(words_of_text(part, language)) <= MAX_WORDS for part in parts)
    assert all(part.endswith(sentence) for part in parts)
    lengths = [len(words_of_text(part, language)) for part in parts]
    expected = np.average(encoder.encode(parts, language), axis=0, weights=lengths)
    assert np.allclose(encoder.encode_whole(text, language), expected, atol=1e-5)


def test_a_gloss_is_word_by_word(encoder):
    assert encoder.gloss_text("Gut, gut, sehr schlecht!", "de") == "good bad !"
    assert encoder.gloss_text("schlechter und schlech", "de") == "bad", "words that begin alike"
    assert encoder.gloss_text("sc gutes", "de") == "", "too short to be the beginning of a word"
    assert encoder.gloss_text("добро", "sr") == "good"
    assert np.allclose(encoder.add_gloss(np.ones(encoder.dim), np.full(encoder.dim, 0.5)), 1.2)


def test_unknown_words(encoder):
    assert encoder.unknown_share("gut", "de") == 0
    assert encoder.unknown_share("gut xyz", "de") == 0.5
    assert encoder.unknown_share("...", "de") == 1


def test_the_teacher_must_be_the_text_encoder_of_the_model(encoder):
    require_teacher(encoder.facts, TEACHER, "model")
    with pytest.raises(EmofuseError, match="imitates"):
        require_teacher(encoder.facts, {**TEACHER, "weights_hash": "other"}, "model")


@pytest.mark.parametrize("name", [FACTS_FILE, MODEL_FILE])
def test_damaged_and_missing_files(folder, tmp_path, name):
    for other in (FACTS_FILE, MODEL_FILE):
        (tmp_path / other).write_bytes((folder / other).read_bytes())
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:-9] if name == MODEL_FILE else json.dumps({"dim": "8"}).encode())
    with pytest.raises(EmofuseError, match=name):
        MultilingualEncoder(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(EmofuseError, match=f"has no {name}"):
        MultilingualEncoder(tmp_path)


def test_a_file_that_is_not_a_model(folder, tmp_path):
    (tmp_path / MODEL_FILE).write_bytes(b"nothing")
    facts = read_json(folder / FACTS_FILE)
    write_json(tmp_path / FACTS_FILE, {**facts, "model_sha256": file_hash(tmp_path / MODEL_FILE)})
    with pytest.raises(EmofuseError, match="not a usable text encoder"):
        MultilingualEncoder(tmp_path)
