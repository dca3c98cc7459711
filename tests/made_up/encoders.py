"""Text encoders: one without weights, and a tiny random BERT, RoBERTa and DistilBERT in folders."""

from pathlib import Path

import numpy as np
import pytest

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "i", "am", "so", "happy", "sad", "not", "the", "door", ".", "!"]


class LengthEncoder:
    """A text encoder whose embedding of a text is its length / 9, three times."""

    name, weights_hash, file_hash, pooling, dim = "length", "0" * 64, "0" * 64, "mean", 3

    def __init__(self, **identity):
        kept = ("name", "weights_hash", "pooling", "dim")
        self.identity = {name: getattr(self, name) for name in kept} | identity

    def encode(self, texts):
        return np.array([[len(text) / 9] * self.dim for text in texts], np.float32)


@pytest.fixture
def length_encoder(monkeypatch) -> LengthEncoder:
    """The text encoder of every recipe."""
    encoder = LengthEncoder()
    monkeypatch.setattr("emofuse.encoders.text.load_text_encoder", lambda name, pooling: encoder)
    return encoder


@pytest.fixture(scope="session")
def tiny_encoders(tmp_path_factory) -> dict[str, Path]:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    size: dict[str, float] = {"vocab_size": len(WORDS), "max_position_embeddings": 48, "pad_token_id": 0}
    size["initializer_range"] = 0.5  # far from zero, so that texts differ
    usual = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    configs = {
        "bert": transformers.BertConfig(**size, **usual),
        "roberta": transformers.RobertaConfig(**size, **usual),
        "distilbert": transformers.DistilBertConfig(**size, dim=16, n_layers=2, n_heads=2, hidden_dim=32),
    }
    folders = {}
    for name, config in configs.items():
        torch.manual_seed(0)
        folders[name] = tmp_path_factory.mktemp(name)
        transformers.AutoModel.from_config(config).save_pretrained(folders[name])
        fast.save_pretrained(folders[name])
    return folders


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path_factory, request):
    """Tests that do not need the real weights leave the user's cache alone."""
    if request.node.get_closest_marker("weights") is None:
        monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path_factory.mktemp("cache")))
