"""Explanations, of networks that one can read and of an exported one."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyBboxPatch

from emofuse.audio import read_audio
from emofuse.errors import EmofuseError
from emofuse.explanation import attribution as module
from emofuse.explanation import picture as explain_plot
from emofuse.explanation.attribution import explain, explain_segment, integrated_gradients
from emofuse.explanation.picture import draw
from emofuse.explanation.table import LOWERED, RAISED, render_explanations
from emofuse.inference.bundle import Bundle
from emofuse.inference.network import Answer
from emofuse.inference.predictor import Predictor, SegmentPrediction
from emofuse.metrics.calibration import apply_temperature
from emofuse.models.adapter import SpeakerAdapter, SpreadRule
from emofuse.silence import sound_bounds
from emofuse.timeline.prediction import Prediction

WORDS = ["i", "really", "hate", "rain"]
ABSENT_AUDIO, ABSENT_TEXT = 0.3, -0.4  # what the toys answer where a modality is missing


class Toy:
    """Log-odds of "angry": what `hear` makes of the frames and `read` of the words, joined by `join`.

    An embedding counts the words of `WORDS`, so that every word adds its own unit vector.
    """

    def __init__(self, hear, read, join=lambda a, b: a + b, *, labels=("calm", "angry"), dimensions=()):
        self.hear, self.read, self.join = hear, read, join
        self.bundle = SimpleNamespace(labels=list(labels), dimensions=list(dimensions), reads_text_alone=True)

    def span(self, samples):
        return 0, len(samples)

    def embedding(self, text, language=None):
        return np.array([text.lower().split().count(word) for word in WORDS], np.float32)

    def value(self, frames, embedding):
        audio = ABSENT_AUDIO if frames is None else self.hear(frames.astype(float))
        return self.join(audio, ABSENT_TEXT if embedding is None else self.read(embedding.astype(float)))

    def answers(self, frames, embeddings, *, adapted=False):
        rows = (
            zip(*(x if x is not None else [None] * len(embeddings) for x in (frames, embeddings)), strict=True)
            if (embeddings is not None)
            else ((row, None) for row in frames)
        )
        return [self._answer(self.value(*row)) for row in rows]

    def _answer(self, z):
        probabilities = np.array([1 / (1 + np.exp(z)), 1 / (1 + np.exp(-z))]) if self.bundle.labels else np.zeros(0)
        return Answer(probabilities, np.full(len(self.bundle.dimensions), z), None)


def heard(toy, frames, text, *, start=0.0, file="clip.wav"):
    """A prediction as `Predictor.iter_segments` gives it, half a second for every four frames."""
    seconds = None if frames is None else len(frames) / 8
    used = "+".join(kind for kind, there in (("audio", frames is not None), ("text", text is not None)) if there)
    [answer] = toy.answers(
        None if frames is None else frames[None], None if text is None else toy.embedding(text)[None]
    )
    probabilities = dict(zip(toy.bundle.labels, answer.probabilities.tolist(), strict=True))
    emotion = max(probabilities, key=probabilities.get, default=None)
    dimensions = dict(zip(toy.bundle.dimensions, answer.dimensions.tolist(), strict=True))
    prediction = Prediction(
        file=None if frames is None else file,
        start=None if frames is None else start,
        end=None if frames is None else start + seconds,
        text=text,
        text_source=text and "given",
        language=text and "en",
        used=used,
        emotion=emotion,
        confidence=None if emotion is None else probabilities[emotion],
        probabilities=probabilities,
        **{name: dimensions.get(name) for name in ("arousal", "valence", "dominance")},
    )
    return SegmentPrediction(prediction, None if frames is None else np.zeros(int(seconds * 16000), np.float32), frames)


def predictor_of(toy, *found):
    return SimpleNamespace(bundle=toy.bundle, network=toy, iter_segments=lambda *_, **__: iter(found))


@pytest.fixture
def frames():
    return np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)  # 3 s, six stretches


A = np.random.default_rng(1).normal(size=(24, 3))
T = np.array([0.5, -1.0, 2.0, 0.25])


def linear(**options):
    return Toy(lambda frames: (A * frames).sum(), lambda embedding: T @ embedding, **options)


def test_parts_of_a_linear_network_are_its_weights(frames):
    """Left out and integrated gradients alike, and nothing remains."""
    toy = linear()
    one = explain_segment(toy, heard(toy, frames, "I really hate rain"), target="angry")
    moves = A * (frames - frames.mean(axis=0))
    for kind in ("left_out", "gradients"):
        found = [getattr(stretch, kind)["angry"] for stretch in one.stretches]
        assert found == pytest.approx(moves.reshape(6, 12).sum(axis=1), abs=1e-4)
        assert [getattr(word, kind)["angry"] for word in one.words] == pytest.approx(T, abs=1e-4)
    assert [word.word for word in one.words] == ["I", "really", "hate", "rain"]
    answer = (A * frames).sum() + T.sum()
    assert one.values["angry"] == pytest.approx(answer, abs=1e-4)
    assert one.baselines["audio"]["angry"] == pytest.approx(answer - moves.sum(), abs=1e-4)
    assert one.baselines["text"]["angry"] == pytest.approx(answer - T.sum(), abs=1e-4)
    assert [rest["angry"] for rest in one.remainders.values()] == pytest.approx([0, 0], abs=1e-4)


def test_explaining_the_other_category_turns_the_signs(frames):
    toy = linear()
    angry, calm = (explain_segment(toy, heard(toy, frames, "i hate"), target=kind) for kind in ("angry", "calm"))
    assert calm.values["calm"] == pytest.approx(-angry.values["angry"])
    for a, b in zip(angry.stretches + angry.words, calm.stretches + calm.words, strict=True):
        assert (a.left_out["angry"], a.gradients["angry"]) == pytest.approx((-b.left_out["calm"], -b.gradients["calm"]))


def test_integrated_gradients_of_known_functions():
    """f = x0 x1 + x2^2 + sin x3 from 0: x0 x1 / 2 each, x2^2, sin x3, in closed form."""
    whole = np.array([2.0, -3.0, 1.5, 4.0])

    def f(rows):
        return np.array([[x[0] * x[1] + x[2] ** 2 + np.sin(x[3])] for x in rows])

    errors = []
    for steps in (2, 8, 32):
        found = integrated_gradients(f, whole, list(np.diag(whole)), steps=steps)
        errors.append(np.abs(found[:, 0] - [-3.0, -3.0, 2.25, np.sin(4.0)]).max())
    assert errors[-1] < 1e-9  # the sum over cells of a function of one part telescopes


def test_the_remainder_is_what_parts_do_together_and_shrinks_with_the_steps():
    whole = np.array([1.0, 2.0, 3.0])

    def f(rows):
        return np.array([[np.prod(x)] for x in rows])

    rests = [6 - integrated_gradients(f, whole, list(np.diag(whole)), steps=steps).sum() for steps in (1, 2, 4, 8)]
    assert rests == pytest.approx([6 - 4.5, (6 - 4.5) / 4, (6 - 4.5) / 16, (6 - 4.5) / 64])  # second order


def test_the_frame_and_the_word_that_decide():
    frames = np.zeros((32, 2), np.float32)
    frames[17, 1] = 4.0  # in the fifth of eight stretches: 2.0 to 2.5 s
    toy = Toy(lambda frames: frames[:, 1].max(), lambda embedding: 3.0 * (embedding[2] > 0.5))
    one = explain_segment(toy, heard(toy, frames, "i really hate rain", start=10.0))
    moved = [(s.start, s.end, s.left_out["angry"]) for s in one.stretches if s.left_out["angry"] != 0]
    assert moved == [(12.0, 12.5, pytest.approx(4.0 - 4.0 / 32))]
    assert [word.left_out["angry"] for word in one.words] == pytest.approx([0, 0, 3, 0])
    assert [s.gradients["angry"] for s in one.stretches] == pytest.approx(
        [0] * 4 + [4.0 - 4.0 / 32] + [0] * 3, abs=1e-5
    )
    assert [word.gradients["angry"] for word in one.words] == pytest.approx([0, 0, 3, 0])
    assert (one.stretches[0].start, one.stretches[-1].end, len(one.stretches)) == (10.0, 14.0, 8)
    assert one.widest == pytest.approx(4.0 - 4.0 / 32)


@pytest.mark.parametrize("reads_text_alone", [True, False])
@pytest.mark.parametrize("join", [lambda a, b: a + b, lambda a, b: a * b, max])
def test_shapley_values_add_up_to_the_answer_less_an_even_one(frames, join, reads_text_alone):
    toy = linear(join=join, dimensions=("arousal",))
    toy.bundle.reads_text_alone = reads_text_alone
    one = explain_segment(toy, heard(toy, frames, "i really hate rain"), target="angry")
    embedding = toy.embedding("i really hate rain")
    both, audio = toy.value(frames, embedding), toy.value(frames, None)
    text = toy.value(None, embedding)
    for name, even in (("angry", 0.0), ("arousal", 0.5)):
        words = text if reads_text_alone else even
        orders = np.array([[audio - even, both - audio], [both - words, words - even]])  # audio first, text first
        found = [one.shapley[kind][name] for kind in ("audio", "text")]
        assert found == pytest.approx(orders.mean(axis=0), abs=1e-5)
        assert sum(found) == pytest.approx(both - even, abs=1e-5)
    assert set(one.alone) == ({"audio", "text"} if reads_text_alone else {"audio"})
    assert sum(one.shares.values()) == pytest.approx(1) and all(0 <= share <= 1 for share in one.shares.values())


def test_text_alone():
    toy = linear()
    one = explain_segment(toy, heard(toy, None, "i hate rain"))
    assert one.stretches == [] and one.samples is None and set(one.baselines) == {"text"}
    assert [word.gradients["angry"] for word in one.words] == pytest.approx([0.5, 2.0, 0.25], abs=1e-5)
    assert one.shapley == {"text": {"angry": pytest.approx(ABSENT_AUDIO + 2.75)}} and one.shares == {"text": 1.0}


def test_audio_alone(frames):
    toy = linear()
    one = explain_segment(toy, heard(toy, frames, None))
    assert one.words == [] and len(one.stretches) == 6 and set(one.baselines) == set(one.shapley) == {"audio"}
    assert one.shapley["audio"][one.target] == pytest.approx(one.values[one.target])


def test_text_that_is_not_used(frames):
    toy = linear()
    found = heard(toy, frames, None)
    found = found._replace(prediction=replace(found.prediction, text="nie lubię deszczu", language="pl"))
    one = explain_segment(toy, found)
    assert one.words == [] and "text not used, pl" in render_explanations([one], "table")


def test_one_word(frames):
    """There is no way from one word to none: its part is the answer less that to the voice, or an even one."""
    toy = linear()
    one = explain_segment(toy, heard(toy, frames, "hate"), target="angry")
    [word] = one.words
    assert word.left_out == word.gradients == {"angry": pytest.approx(2.0 - ABSENT_TEXT)}
    assert one.baselines["text"] == one.alone["audio"] and one.remainders["text"]["angry"] == pytest.approx(0)
    [word] = explain_segment(toy, heard(toy, None, "hate"), target="angry").words
    assert word.left_out == {"angry": pytest.approx(2.0 + ABSENT_AUDIO)}


def test_one_stretch():
    toy = Toy(lambda frames: frames.max(), lambda embedding: 0.0)
    one = explain_segment(toy, heard(toy, np.arange(3, dtype=np.float32)[:, None], None))
    assert [(s.start, s.end, s.left_out) for s in one.stretches] == [(0.0, 0.375, {"angry": pytest.approx(1.0)})]


def test_a_constant_network_is_moved_by_nothing(frames):
    toy = Toy(lambda frames: 0.0, lambda embedding: 0.0, lambda a, b: 0.0)
    one = explain_segment(toy, heard(toy, frames, "i hate"))
    assert one.widest == 0 and one.shares == {"audio": 0.0, "text": 0.0}
    assert "+0.00" in render_explanations([one], "table")


def test_model_without_categories(frames):
    toy = linear(labels=(), dimensions=("arousal", "valence", "dominance"))
    one = explain_segment(toy, heard(toy, frames, "i hate"))
    assert one.target == one.output == "arousal" and list(one.values) == ["arousal", "valence", "dominance"]
    assert one.stretches[0].left_out["valence"] == one.stretches[0].left_out["arousal"] != 0
    assert "What moved the arousal" in render_explanations([one], "table")


def test_a_dimension_of_a_model_with_categories(frames):
    toy = linear(dimensions=("arousal",))
    one = explain_segment(toy, heard(toy, frames, "i hate"), target="arousal")
    other = explain_segment(toy, heard(toy, frames, "i hate"))
    assert (one.output, other.output) == ("arousal", f"log-odds of {other.target}")
    assert one.values == other.values and list(one.values) == [one.prediction.emotion, "arousal"]


def test_a_sure_answer_keeps_its_log_odds():
    """In single precision the other probabilities are lost in 1 - p, not in their sum."""
    toy = Toy(lambda frames: 40.0, lambda embedding: 0.0)
    frames = np.ones((8, 1), np.float32)
    assert explain_segment(toy, heard(toy, frames, None), target="angry").values["angry"] == pytest.approx(39.6)
    toy = Toy(lambda frames: 1000.0 * frames.sum(), lambda embedding: 0.0)
    with np.errstate(over="ignore"):
        one = explain_segment(toy, heard(toy, frames, None), target="angry")
    assert np.isfinite(one.values["angry"])


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"target": "joy"}, "--target joy: .* calm, angry, arousal"),
        ({"segment": 3}, "--segment 3: .* 1 to 2"),
        ({"segment": 0}, "--segment 0: .* 1 to 2"),
    ],
)
def test_what_there_is_not(frames, wanted, message):
    toy = linear(dimensions=("arousal",))
    predictor = predictor_of(toy, heard(toy, frames, None), heard(toy, frames, "i hate", start=3.0))
    with pytest.raises(EmofuseError, match=message):
        explain(predictor, "clip.wav", **wanted)


def test_segments(frames):
    toy = linear()
    predictor = predictor_of(toy, heard(toy, frames, None), heard(toy, frames, "i hate", start=3.0))
    both = explain(predictor, "clip.wav")
    assert [one.prediction.start for one in both] == [0.0, 3.0]
    assert explain(predictor, "clip.wav", segment=2) == both[1:]
    table = render_explanations(both, "table")
    assert "1. clip.wav 0.0-3.0 s" in table and "2. clip.wav 3.0-6.0 s" in table
    assert "1. " not in render_explanations(both[1:], "table")


def test_json_holds_everything_but_the_sound(frames):
    toy = linear(dimensions=("arousal",))
    found = heard(toy, frames, "i really hate")
    found = found._replace(prediction=replace(found.prediction, intervals={"arousal": (0.123456789, 0.2)}))
    one = explain_segment(toy, found)
    [facts] = json.loads(render_explanations([one], "json"))
    assert facts == one.to_dict() and "samples" not in facts
    assert facts["prediction"]["intervals"] == {"arousal": [0.12346, 0.2]}
    parts = sum(part["gradients"][facts["target"]] for part in facts["stretches"])
    whole = facts["values"][facts["target"]] - facts["baselines"]["audio"][facts["target"]]
    assert parts + facts["remainders"]["audio"][facts["target"]] == pytest.approx(whole, abs=1e-4)


def test_table_shows_numbers_and_bars_of_every_part(frames):
    toy = linear()
    one = explain_segment(toy, heard(toy, frames, "i really hate rain"), target="angry")
    table = render_explanations([one], "table")
    rows = {line.split()[0]: line for line in table.splitlines() if line.split()}
    assert "+2.00" in rows["hate"] and "│█" in rows["hate"] and "-1.00" in rows["really"] and "█│" in rows["really"]
    assert all(f"{s.start:.1f}-{s.end:.1f}" in table for s in one.stretches)
    assert "\x1b" not in table and "\x1b" in render_explanations([one], "table", colour=True)


@pytest.mark.slow
def test_picture(frames, tmp_path):
    """Of sound and words, of either alone, of words that matplotlib could take for formulas, of many lines."""
    toy = linear()
    sound = heard(toy, frames, "i $hate$ rain_ " * 30, file="$x$.wav")
    noise = np.random.default_rng(0).normal(size=48000).astype(np.float32)
    unheard = heard(toy, None, "i hate")  # as a model of text alone has a recording
    place = replace(unheard.prediction, file="clip.wav", start=1.0, end=4.0)
    unheard = unheard._replace(prediction=place, samples=noise)
    segments = [sound, heard(toy, frames, None), heard(toy, None, "i hate"), unheard]
    found = [explain_segment(toy, one, target="angry") for one in segments]
    heights = []
    for name, shown in (("all", found), ("first", found[:1]), ("second", found[1:2])):
        draw(shown, tmp_path / f"{name}.png")
        picture = (tmp_path / f"{name}.png").read_bytes()
        assert picture[:8] == b"\x89PNG\r\n\x1a\n"
        heights.append(int.from_bytes(picture[20:24], "big"))
    assert heights[0] > heights[1] > heights[2]  # thirty times the words take lines


def test_picture_shows_what_moved_the_answer():
    """The stretch and the word that decide have the ends of the colour scale."""
    frames = np.zeros((32, 2), np.float32)
    frames[17, 1] = 4.0
    toy = Toy(lambda frames: frames[:, 1].max(), lambda embedding: -3.875 * embedding[2])
    one = explain_segment(toy, heard(toy, frames, "i hate rain"), target="angry")
    figure = explain_plot._figure([one])
    [sound] = [ax for ax in figure.axes if ax.get_xlabel() == "time in the recording (s)"]
    assert sound.get_ylabel() == "amplitude" and sound.get_xlim() == (0.0, 4.0)
    spans = {round(patch.get_x(), 3): patch.get_facecolor()[:3] for patch in sound.patches}
    assert spans[2.0] == pytest.approx(to_rgb(RAISED), abs=0.01) and len(spans) == 8
    assert all(spans[x] == pytest.approx(spans[0.0]) for x in spans if x != 2.0)
    boxes = [patch for ax in figure.axes for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    assert [box.get_facecolor()[:3] for box in boxes] == [
        pytest.approx(spans[0.0], abs=0.01),
        pytest.approx(to_rgb(LOWERED), abs=0.01),
        pytest.approx(spans[0.0], abs=0.01),
    ]
    texts = [text.get_text() for text in figure.texts + [text for ax in figure.axes for text in ax.texts]]
    assert {"voice", "words", "hate", "-3.88"} <= set(texts) and texts.count("+3.88") == 1


def test_what_cannot_be_drawn(frames, tmp_path, monkeypatch):
    toy = linear()
    one = explain_segment(toy, heard(toy, frames, None))
    with pytest.raises(EmofuseError, match=r"ends in \.png"):
        draw([one], tmp_path / "picture.txt")
    with pytest.raises(EmofuseError, match=r"21 segments are too many .* --segment"):
        draw([one] * 21, tmp_path / "picture.png")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(EmofuseError, match="pip install matplotlib"):
        draw([one], tmp_path / "picture.png")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def predict(bundle_folder, all_is_speech):
    return Predictor(Bundle.load(bundle_folder), transcribe=False, threads=1)


def test_exported_network(predict, clip):
    """The answer is that of the prediction, and each part is what it says by the network itself."""
    [prediction] = predict(clip, "what a day")
    [one] = explain(predict, clip, "what a day")
    assert one.prediction == prediction and one.target == prediction.emotion
    p = prediction.confidence
    assert one.values[one.target] == pytest.approx(np.log(p / (1 - p)), abs=1e-4)
    assert one.values["valence"] == pytest.approx(prediction.valence, abs=1e-6)
    [shorter] = predict(clip, "what day")
    move = prediction.valence - shorter.valence
    assert one.words[1].left_out["valence"] == pytest.approx(move, abs=1e-5)
    [voice], [words] = predict(clip), predict(text="what a day")
    assert one.alone["audio"]["arousal"] == pytest.approx(voice.arousal, abs=1e-5)
    assert one.alone["text"]["arousal"] == pytest.approx(words.arousal, abs=1e-5)
    np.testing.assert_array_equal(one.samples, read_audio(clip))
    parts = one.values["arousal"] - one.baselines["audio"]["arousal"]
    assert abs(one.remainders["audio"]["arousal"]) < 0.1 * abs(parts) + 1e-4


def test_batches_do_not_matter(predict, clip, monkeypatch):
    [together] = explain(predict, clip, "what a day")
    monkeypatch.setattr(module, "_BATCH", 1)
    [alone] = explain(predict, clip, "what a day")
    for a, b in zip(together.stretches + together.words, alone.stretches + alone.words, strict=True):
        assert a.left_out == pytest.approx(b.left_out, abs=1e-4)
        assert a.gradients == pytest.approx(b.gradients, abs=1e-3)


def test_adaptation_as_in_the_prediction(predict, all_is_speech):
    samples = np.random.default_rng(0).normal(0, 0.1, 6 * 16000).astype(np.float32)
    samples[: 3 * 16000] *= np.linspace(0.1, 3, 3 * 16000, dtype=np.float32)
    samples[2 * 16000 : 4 * 16000] = 0
    plain = explain(predict, samples, sample_rate=16000)
    rule = SpreadRule(np.eye(64, 2, dtype=np.float32), one=1e-3, mixed=1e-2)
    predict.adapter = SpeakerAdapter(np.full(64, -20, np.float32), rule, shrinkage=1.0)
    adapted = explain(predict, samples, sample_rate=16000)
    for before, after, prediction in zip(plain, adapted, predict(samples, sample_rate=16000), strict=True):
        assert prediction.adapted and after.prediction == prediction
        p = prediction.probabilities[after.target]
        assert after.values[after.target] == pytest.approx(np.log(p / (1 - p)), abs=1e-4)
        assert after.values["arousal"] != pytest.approx(before.values["arousal"], abs=1e-4)
        assert after.stretches[0].start == prediction.start and after.stretches[-1].end == prediction.end
    assert "from voice, adapted" in render_explanations(adapted, "table")


def test_temperature_counts(predict, clip):
    """Log-odds are those of the calibrated probabilities."""
    frames = predict.network.frames(read_audio(clip))
    plain = predict.network.answer(frames, None).probabilities
    predict.network._calibration = {
        "audio": SimpleNamespace(temperature=2.0, uncertain_below=0.5, dimension_half_width=None)
    }
    [one] = explain(predict, clip)
    expected = apply_temperature(plain, 2.0)
    row = predict.bundle.labels.index(one.target)
    assert one.values[one.target] == pytest.approx(np.log(expected[row] / (1 - expected[row])), abs=1e-4)


def test_neither_torch_nor_matplotlib(bundle_folder, clip):
    code = (
        "import sys, emofuse\n"
        "from emofuse.explanation.attribution import explain\n"
        "from emofuse.explanation.table import render_explanations\n"
        f"found = explain(emofuse.load({str(bundle_folder)!r}, transcribe=False, threads=1), {str(clip)!r}, 'a text')\n"
        "print(len(render_explanations(found, 'table')) > 100)\n"
        "print([m for m in ('torch', 'pandas', 'lightning', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["True", "[]"]


@pytest.mark.slow
def test_frozen_speech_encoder(facts, text_encoder, clip, tmp_path):
    """A bundle whose network hears states of a frozen encoder."""
    import torch
    import transformers

    from emofuse.config import ModelConfig
    from emofuse.encoders.speech import load_speech_encoder
    from emofuse.models.ser import build_model
    from emofuse.training.export import export_bundle

    torch.manual_seed(0)
    size = {"d_model": 16, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 16}
    size |= {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "vocab_size": 60000}
    transformers.WhisperModel(transformers.WhisperConfig(**size, init_std=0.2)).save_pretrained(tmp_path / "whisper")
    name = str(tmp_path / "whisper")
    hears = {
        "name": name,
        "weights_hash": load_speech_encoder(name).weights_hash,
        "layers": [1, 2],
        "dim": 16,
        "pool": 4,
    }
    config = ModelConfig(encoder="ladder", layers=[1, 2], ladder_dim=8, heads=["categories", "dimensions"])
    model = build_model(config, 4, 384, 16).eval()
    export_bundle(model, tmp_path / "bundle", replace(facts, speech_encoder=hears), text_encoder=text_encoder)
    predict = Predictor(Bundle.load(tmp_path / "bundle"), transcribe=False, threads=1)
    [prediction], [one] = predict(clip, "what a day"), explain(predict, clip, "what a day")
    assert one.prediction == prediction and one.values["arousal"] == pytest.approx(prediction.arousal, abs=1e-6)
    samples, rate = soundfile.read(clip, dtype="float32")
    first, last = sound_bounds(read_audio(clip))
    assert (one.stretches[0].start, one.stretches[-1].end) == pytest.approx((first / 16000, last / 16000))
    assert all(a.end == b.start for a, b in pairwise(one.stretches))
    whole = one.values["arousal"] - one.baselines["audio"]["arousal"]
    assert sum(s.gradients["arousal"] for s in one.stretches) == pytest.approx(whole, abs=1e-4)
    # Silence at the ends is not heard: the stretches lie where the sound is.
    between = np.concatenate([np.zeros(rate, np.float32), samples, np.zeros(rate // 2, np.float32)])
    soundfile.write(tmp_path / "between.wav", between, rate)
    [late] = explain(predict, tmp_path / "between.wav", "what a day")
    first, last = sound_bounds(read_audio(tmp_path / "between.wav"))
    assert first > 15000 and late.stretches[0].start == pytest.approx(first / 16000)
    assert late.stretches[-1].end == pytest.approx(last / 16000)


@pytest.mark.parametrize("adapted", [True, False])
def test_an_adapted_prediction_is_explained_with_the_calibration_of_adapted_audio(frames, adapted, monkeypatch):
    toy, used = linear(), set()
    answers = toy.answers

    def record(frames, embeddings, *, adapted=False):
        used.add(adapted)
        return answers(frames, embeddings)

    one = heard(toy, frames, "good news")
    monkeypatch.setattr(toy, "answers", record)
    explain_segment(toy, one._replace(prediction=replace(one.prediction, adapted=adapted)))
    assert used == {adapted}
