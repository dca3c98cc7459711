"""A tiny multilingual text encoder with random weights."""

from pathlib import Path

import numpy as np

from emofuse.encoders.multilingual import FACTS_FILE, feature_key, save_encoder, word_features

TEACHER = {"name": "teacher", "weights_hash": "a" * 64, "pooling": "mean", "dim": 8}


def write_encoder(folder: Path, *, words: dict[str, dict[str, str]], teacher: dict = TEACHER, read=("de",)) -> Path:
    """Write an encoder that knows these words of each language and their English, and return its folder."""
    rng = np.random.default_rng(0)
    width, hidden, dim = 4, 6, teacher["dim"]
    features = [one for language, known in words.items() for word in known for one in word_features(word, language)]
    keys = np.array(sorted({feature_key(one) for one in features}), np.uint32)
    weights = {
        "keys": keys,
        "table": rng.normal(size=(len(keys), width)),
        "word_norm": np.array([np.ones(width), np.zeros(width)]),
        "gate": rng.normal(size=width),
        "gate_bias": np.array(0.1),
        "norm": np.array([np.ones(3 * width), np.zeros(3 * width)]),
        "hidden": rng.normal(size=(3 * width, hidden)),
        "hidden_bias": rng.normal(size=hidden),
        "out": rng.normal(size=(hidden, dim)),
        "out_bias": rng.normal(size=dim),
        "mean": np.zeros(dim),
    }
    score = {"polarity": {"n": 100, "uar": 0.7, "english": 0.8}, "six": {"n": 60, "macro_f1": 0.3, "english": 0.5}}
    facts = {"teacher": teacher, "languages": list(read), "scores": dict.fromkeys(words, score)}
    save_encoder(folder, weights, words, facts)
    assert (folder / FACTS_FILE).is_file()
    return folder
