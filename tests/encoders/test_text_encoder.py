import sqlite3
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from emofuse.encoders import export as export
from emofuse.encoders.export import export_text_encoder, exported_text_encoder
from emofuse.encoders.onnx import OnnxTextEncoder, require_text_encoder
from emofuse.encoders.text import CachedTextEncoder, load_text_encoder
from emofuse.encoders.weights import MINILM_SHA256
from emofuse.errors import EmofuseError
from emofuse.files import read_json, sha256

TEXTS = ["I am so happy!", "not so sad.", "the door", "sad sad sad sad sad sad sad sad", "I", "happy " * 90]


def cosine(first, second):
    return (first * second).sum(1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_batch_equals_each_alone(tiny_encoders, family, pooling):
    encoder = load_text_encoder(str(tiny_encoders[family]), pooling)
    together = encoder.encode(TEXTS)
    assert together.shape == (len(TEXTS), 16) and together.dtype == np.float32
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-2


def test_mean_is_over_all_tokens_with_the_special_ones(tiny_encoders):
    import torch

    encoder = load_text_encoder(str(tiny_encoders["bert"]))
    hidden = encoder.model(input_ids=torch.tensor([[2, 5, 6, 3]])).last_hidden_state[0]
    np.testing.assert_allclose(encoder.encode(["I am"])[0], hidden.mean(0).numpy(), atol=1e-6)


def test_long_texts_are_cut(tiny_encoders):
    encoder = load_text_encoder(str(tiny_encoders["bert"]))
    assert encoder.max_tokens == 46
    np.testing.assert_array_equal(encoder.encode(["happy " * 44]), encoder.encode(["happy " * 60]))
    assert np.abs(encoder.encode(["happy " * 43]) - encoder.encode(["happy " * 60])).max() > 1e-6


def test_weights_hash_is_that_of_the_file(tiny_encoders):
    folder = tiny_encoders["bert"]
    assert load_text_encoder(str(folder)).weights_hash == sha256(folder / "model.safetensors")


def test_a_folder_gives_its_last_part_as_name(tiny_encoders, monkeypatch):
    folder = tiny_encoders["bert"]
    monkeypatch.chdir(folder)
    assert load_text_encoder(str(folder)).name == load_text_encoder(".").name == folder.name


@pytest.mark.slow
@pytest.mark.parametrize(("family", "pooling"), [("bert", "mean"), ("roberta", "cls"), ("distilbert", "mean")])
def test_export_parity(tiny_encoders, tmp_path, family, pooling):
    encoder = load_text_encoder(str(tiny_encoders[family]), pooling)
    export_text_encoder(encoder, tmp_path / "onnx")
    exported = OnnxTextEncoder(tmp_path / "onnx")
    assert exported.identity == encoder.identity and {"tokenizer_hash", "max_tokens"} <= exported.identity.keys()
    first, second = encoder.encode(TEXTS), exported.encode(TEXTS)
    assert cosine(first, second).min() >= 0.999
    assert cosine(first[:-1], first[1:]).max() < 0.995  # else the line above could not fail
    require_text_encoder(exported, encoder.identity, "model")


@pytest.mark.slow
def test_changed_export_is_refused(tiny_encoders, tmp_path):
    export_text_encoder(load_text_encoder(str(tiny_encoders["bert"])), tmp_path / "onnx")
    with open(tmp_path / "onnx" / "model.onnx", "ab") as file:
        file.write(b"x")
    with pytest.raises(EmofuseError, match=r"model\.onnx.*hash"):
        OnnxTextEncoder(tmp_path / "onnx")
    export_text_encoder(load_text_encoder(str(tiny_encoders["bert"])), tmp_path / "onnx")
    tokenizer = tmp_path / "onnx" / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"happy"', '"Happy"'))
    with pytest.raises(EmofuseError, match=r"tokenizer\.json"):
        OnnxTextEncoder(tmp_path / "onnx")
    (tmp_path / "onnx" / "tokenizer.json").unlink()
    with pytest.raises(EmofuseError, match=r"tokenizer\.json"):
        OnnxTextEncoder(tmp_path / "onnx")


@pytest.mark.slow
def test_fp32_where_int8_strays(tiny_encoders, tmp_path, monkeypatch):
    encoder, cosines = load_text_encoder(str(tiny_encoders["bert"])), [0.9, 1.0, 0.9, 0.9]
    monkeypatch.setattr(export, "lowest_cosine", lambda *_: cosines.pop(0))
    assert export_text_encoder(encoder, tmp_path / "onnx") == 1.0
    about = read_json(tmp_path / "onnx" / "encoder.json")
    assert about["weights"] == "fp32" and about["model_sha256"] == sha256(tmp_path / "onnx" / "model.onnx")
    np.testing.assert_allclose(OnnxTextEncoder(tmp_path / "onnx").encode(TEXTS), encoder.encode(TEXTS), atol=1e-5)
    with pytest.raises(EmofuseError, match="cosine"):
        export_text_encoder(encoder, tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.slow
def test_exported_once_then_from_the_cache(tiny_encoders, monkeypatch):
    name = str(tiny_encoders["bert"])
    identity = load_text_encoder(name).identity
    folder = exported_text_encoder(name, identity)
    monkeypatch.setattr(export, "export_text_encoder", lambda *_: pytest.fail("exported again"))
    assert exported_text_encoder("not needed", identity) == folder
    with open(folder / "model.onnx", "ab") as file:
        file.write(b"x")
    with pytest.raises(pytest.fail.Exception, match="exported again"):  # damaged
        exported_text_encoder(name, identity)
    with pytest.raises(EmofuseError, match="text encoder"):
        exported_text_encoder(name, {**identity, "weights_hash": "0" * 64})


@pytest.mark.parametrize("generations", [0, 1, 2, None])
def test_what_descends_from_minilm_says_so(tiny_encoders, generations):
    encoder = load_text_encoder(str(tiny_encoders["bert"]))
    if generations == 0:
        encoder.weights_hash = MINILM_SHA256
    elif generations:
        start = {"weights_hash": MINILM_SHA256}
        encoder.finetuning = {"start": start if generations == 1 else {"weights_hash": "1" * 64, "start": start}}
    told = export._about(encoder, "int8")
    assert ("Apache License 2.0" in told) == (MINILM_SHA256 in export._ancestry(encoder)) == (generations is not None)
    assert ("fine-tuned" in told) == bool(generations) and encoder.weights_hash in told


def test_another_encoder_is_refused(tiny_encoders):
    bert, roberta = (load_text_encoder(str(tiny_encoders[name])) for name in ("bert", "roberta"))
    with pytest.raises(EmofuseError, match="clash-model"):
        require_text_encoder(bert, roberta.identity, "clash-model")
    cls = load_text_encoder(str(tiny_encoders["bert"]), "cls")
    with pytest.raises(EmofuseError, match="cls"):
        require_text_encoder(bert, cls.identity, "model")


@pytest.mark.parametrize("texts", [[""], ["happy", " \n"]])
def test_empty_text_is_an_error(tiny_encoders, tmp_path, texts):
    encoder = load_text_encoder(str(tiny_encoders["bert"]))
    for target in (encoder, CachedTextEncoder(encoder, tmp_path)):
        with pytest.raises(EmofuseError, match=f"text {len(texts) - 1}"):
            target.encode(texts)


def test_unusable_models(tmp_path, monkeypatch):
    with pytest.raises(EmofuseError, match=r"no model\*\.safetensors"):
        load_text_encoder(str(tmp_path))
    with pytest.raises(EmofuseError, match="pooling"):
        load_text_encoder("minilm", "max")


class Counting:
    """An encoder that counts what it embeds."""

    name, weights_hash, file_hash, pooling, dim = "counting", "w", "f", "mean", 3
    identity: dict = {}  # noqa: RUF012

    def __init__(self, stop_after=10**9):
        self.seen: list[str] = []
        self.stop_after = stop_after

    def encode(self, texts):
        if len(self.seen) >= self.stop_after:
            raise KeyboardInterrupt
        self.seen += texts
        return np.array([[len(text), ord(text[0]), ord(text[-1])] for text in texts], dtype=np.float32)


def test_cache_embeds_each_text_once(tmp_path):
    encoder = Counting()
    first = CachedTextEncoder(encoder, tmp_path).encode(["b", "aa", "b"])
    np.testing.assert_array_equal(first, Counting().encode(["b", "aa", "b"]))
    again = CachedTextEncoder(encoder, tmp_path).encode(["aa", "c", "b"])
    np.testing.assert_array_equal(again, Counting().encode(["aa", "c", "b"]))
    assert encoder.seen == ["b", "aa", "c"]
    assert CachedTextEncoder(encoder, tmp_path).encode([]).shape == (0, 3)


def test_cache_goes_on_after_an_interruption(tmp_path):
    texts = [f"text {i}" for i in range(1300)]
    with pytest.raises(KeyboardInterrupt):
        CachedTextEncoder(Counting(stop_after=1000), tmp_path).encode(texts)
    encoder = Counting()
    np.testing.assert_array_equal(CachedTextEncoder(encoder, tmp_path).encode(texts), Counting().encode(texts))
    assert len(encoder.seen) == 1300 - 1024


def test_cache_is_keyed_by_file_and_pooling(tmp_path):
    paths = set()
    for file_hash, pooling in (("f", "mean"), ("g", "mean"), ("f", "cls")):
        encoder = Counting()
        encoder.file_hash, encoder.pooling = file_hash, pooling
        paths.add(CachedTextEncoder(encoder, tmp_path).path)
    assert len(paths) == 3


def test_cache_is_keyed_by_tokenizer_and_length_limit(tiny_encoders, tmp_path):
    encoder = load_text_encoder(str(tiny_encoders["bert"]))
    paths = [CachedTextEncoder(encoder, tmp_path).path]
    encoder.max_tokens = 7
    paths.append(CachedTextEncoder(encoder, tmp_path).path)
    encoder = load_text_encoder(str(tiny_encoders["bert"]))
    encoder.encode(TEXTS)  # sets the truncation of the tokenizer
    paths.append(CachedTextEncoder(encoder, tmp_path).path)
    encoder = load_text_encoder(str(tiny_encoders["bert"]))
    encoder.tokenizer.backend_tokenizer.normalizer = None
    paths.append(CachedTextEncoder(encoder, tmp_path).path)
    assert paths[0] == paths[2] and len(set(paths)) == 3


def test_tokenizer_in_python_is_known_by_its_vocabulary(tiny_encoders):
    encoder = load_text_encoder(str(tiny_encoders["bert"]))
    hashes = []
    for vocabulary in ({"a": 0}, {"b": 0}, {"a": 0}):
        encoder.tokenizer = SimpleNamespace(get_vocab=lambda vocabulary=vocabulary: vocabulary)
        encoder.__dict__.pop("tokenizer_hash", None)
        hashes.append(encoder.tokenizer_hash)
    assert hashes[0] == hashes[2] != hashes[1]


def test_damaged_cache_is_made_anew(tmp_path):
    cache = CachedTextEncoder(Counting(), tmp_path)
    cache.path.write_bytes(b"no database" * 500)
    np.testing.assert_array_equal(cache.encode(["a"]), [[1, 97, 97]])
    with sqlite3.connect(cache.path) as database:
        database.execute("UPDATE embeddings SET vector = ?", (b"\0" * 12,))
    np.testing.assert_array_equal(cache.encode(["a"]), [[1, 97, 97]])


def test_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EmofuseError, match="cannot be used"):
        CachedTextEncoder(Counting(), tmp_path / "file").encode(["a"])
