"""Attribution: how words, stretches of audio, and each modality contribute to a prediction.

Three views of the log-odds of a category, and of arousal, valence and dominance:

- *Left out* (occlusion; Zeiler & Fergus 2014, https://arxiv.org/abs/1311.2901): the prediction minus the prediction
  without the part. A stretch of audio is replaced by the clip's mean frame; a word is removed from the text.
- *Integrated gradients* (Sundararajan et al. 2017, https://arxiv.org/abs/1703.01365): the slope along each part, summed
  over the straight path from a baseline to the input. The parts add up to the prediction minus that at the baseline.
  The audio baseline is the mean frame throughout, with the text unchanged. The text baseline, with the audio unchanged,
  is the embedding minus what each word adds to it. (A text such as "." is no baseline: the model reads it as neutral.)
- *Shapley values* of voice and words (Shapley 1953): from the predictions with either and with both, where the model's
  learned embedding of absence replaces what is missing. Without both, the prediction is taken as uniform, because
  training never drops both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emofuse.audio import SAMPLE_RATE
from emofuse.errors import EmofuseError
from emofuse.timeline.tables import rounded

if TYPE_CHECKING:
    from emofuse.inference.network import Network
    from emofuse.inference.predictor import Predictor, SegmentPrediction
    from emofuse.timeline.prediction import Prediction

STRETCH = 0.5  # duration of a stretch of audio, in seconds
_STEPS = 10  # of the path of integrated gradients
_BATCH = 16  # rows in a call of the network
_SMALLEST = 1e-30  # probability

Values = dict[str, float]
"""Log-odds of the explained category under its name, and arousal, valence, dominance, as far as the model has them."""
_Row = tuple[np.ndarray | None, np.ndarray | None]  # frames (n, width) and embedding (dim,) of one utterance
_Function = Callable[[Iterable[np.ndarray]], np.ndarray]  # inputs to (inputs, outputs)


@dataclass(frozen=True)
class Stretch:
    """Contribution of a stretch of audio.

    Attributes:
        start: seconds from the beginning of the recording.
        end: likewise.
        left_out: prediction minus prediction without the stretch; positive if the stretch raised the output.
        gradients: contribution by integrated gradients.
    """

    start: float
    end: float
    left_out: Values
    gradients: Values


@dataclass(frozen=True)
class Word:
    """Contribution of a word; `left_out` and `gradients` as in `Stretch`."""

    word: str
    left_out: Values
    gradients: Values


@dataclass(frozen=True)
class Explanation:
    """Explanation of the prediction for one segment.

    Attributes:
        prediction: the explained prediction.
        target: the output that tables and pictures show: a category or a dimension.
        values: the predicted outputs.
        baselines: outputs at the baselines of integrated gradients of "audio" and "text".
        stretches: in order of time; empty if the model used no audio.
        words: in order; empty if the model used no text.
        alone: outputs for "audio" alone and "text" alone, as far as the model predicts from them.
        shapley: Shapley values of "audio" and "text"; they add up to `values` minus a uniform prediction.
        samples: of the segment, float32 (n,), 16 kHz; None without a recording. Not in `to_dict`.
    """

    prediction: Prediction
    target: str
    values: Values
    baselines: dict[str, Values]
    stretches: list[Stretch]
    words: list[Word]
    alone: dict[str, Values]
    shapley: dict[str, Values]
    samples: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def output(self) -> str:
        """The target in words: "log-odds of anger" or "valence"."""
        return f"log-odds of {self.target}" if self.target in self.prediction.probabilities else self.target

    @property
    def widest(self) -> float:
        """Largest absolute `left_out` of the target over all stretches and words; 0 without any."""
        parts: list[Stretch | Word] = [*self.stretches, *self.words]
        return max((abs(part.left_out[self.target]) for part in parts), default=0.0)

    @property
    def shares(self) -> dict[str, float]:
        """Shares of "audio" and "text" in the sum of the absolute Shapley values of the target, 0..1."""
        sizes = {modality: abs(values[self.target]) for modality, values in self.shapley.items()}
        total = sum(sizes.values()) or 1.0
        return {modality: size / total for modality, size in sizes.items()}

    @property
    def remainders(self) -> dict[str, Values]:
        """What integrated gradients leave unexplained in each modality: values minus baseline minus all parts."""
        parts: dict[str, Sequence[Stretch | Word]] = {"audio": self.stretches, "text": self.words}
        return {
            modality: {
                name: value - baseline[name] - sum(part.gradients[name] for part in parts[modality])
                for name, value in self.values.items()
            }
            for modality, baseline in self.baselines.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, rounded to 5 digits."""
        facts = asdict(self) | {"shares": self.shares, "remainders": self.remainders}
        del facts["samples"]
        rounded_facts: dict[str, Any] = rounded(facts, digits=5)
        return rounded_facts


def explain(
    predictor: Predictor,
    audio: Path | str | np.ndarray | None = None,
    text: str | None = None,
    *,
    target: str | None = None,
    segment: int | None = None,
    sample_rate: int | None = None,
    language: str | None = None,
) -> list[Explanation]:
    """Explain the predictions for a recording, a text, or both.

    Args:
        predictor: the model; it adapts to the speaker as in its predictions.
        audio: as in `Predictor.__call__`, as are `text`, `sample_rate` and `language`.
        text: transcript.
        target: category or dimension to explain; None for the predicted category, or the first dimension of a model
            without categories. The explanation always includes the dimensions.
        segment: number of the segment to explain, from 1; None for all.
        sample_rate: of samples, in Hz.
        language: of the speech.

    Returns:
        One explanation for each segment, in order of time.

    Raises:
        EmofuseError: no prediction is possible, or the target or the segment does not exist.
    """
    outputs = [*predictor.bundle.labels, *predictor.bundle.dimensions]
    if target is not None and target not in outputs:
        raise EmofuseError(f"--target {target}: this model does not predict it. Choose from {', '.join(outputs)}.")
    wanted, number = [], 0
    for number, one in enumerate(predictor.iter_segments(audio, text, sample_rate=sample_rate, language=language), 1):
        if segment in (None, number):
            wanted.append(one)
    if number == 0:
        raise EmofuseError("There is nothing to explain: no speech was found in the recording.")
    if not wanted:
        raise EmofuseError(f"--segment {segment}: the recording has segments 1 to {number}.")
    return [explain_segment(predictor.network, one, target=target) for one in wanted]


def explain_segment(
    network: Network, segment_prediction: SegmentPrediction, *, target: str | None = None
) -> Explanation:
    """Explain one prediction; `target` as in `explain`."""
    prediction, frames = segment_prediction.prediction, segment_prediction.frames
    category = target if target in network.bundle.labels else prediction.emotion
    outputs = _Outputs(network, category, adapted=prediction.adapted)
    words = (prediction.text or "").split() if "text" in prediction.used else []
    embed = partial(network.embedding, language=prediction.language)
    text = embed(prediction.text or "") if words else None
    baselines, stretches, read = {}, [], []
    if frames is not None and segment_prediction.samples is not None:
        start, end = (
            (prediction.start or 0.0) + sample / SAMPLE_RATE for sample in network.span(segment_prediction.samples)
        )
        cuts = _cuts(len(frames), end - start)
        times = np.interp(cuts, [0, len(frames)], [start, end]).tolist()
        ways = [_of_stretch(frames, *cut) for cut in pairwise(cuts)]
        parts, baseline = _parts(lambda rows: outputs((row, text) for row in rows), frames, ways)
        baselines["audio"] = outputs.named(baseline)
        stretches = [
            Stretch(*span, *map(outputs.named, part)) for span, part in zip(pairwise(times), parts, strict=True)
        ]
    if text is not None:
        if len(words) > 1:
            ways = [text - embed(" ".join(words[:i] + words[i + 1 :])) for i in range(len(words))]
            parts, baseline = _parts(lambda rows: outputs((frames, row) for row in rows), text, ways)
        else:  # a single word has no baseline text
            baseline = outputs.of(frames, None)
            parts = [(outputs.of(frames, text) - baseline,) * 2]
        baselines["text"] = outputs.named(baseline)
        read = [Word(word, *map(outputs.named, part)) for word, part in zip(words, parts, strict=True)]
    answer, alone, shapley = _modalities(outputs, frames, text)
    return Explanation(
        prediction,
        target or outputs.names[0],
        answer,
        baselines,
        stretches,
        read,
        alone,
        shapley,
        segment_prediction.samples,
    )


def _parts(
    outputs: _Function, whole: np.ndarray, ways: Sequence[np.ndarray]
) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray]:
    """Contribution of each part, left out and by integrated gradients, and the outputs at the baseline."""
    left_out = outputs([whole]) - outputs(whole - way for way in ways)
    gradients = integrated_gradients(outputs, whole, ways)
    return list(zip(left_out, gradients, strict=True)), outputs([whole - sum(ways)])[0]


def integrated_gradients(
    outputs: _Function, whole: np.ndarray, ways: Sequence[np.ndarray], steps: int = _STEPS
) -> np.ndarray:
    """Integrated gradients of parts of an input, along the straight path from the input minus all parts.

    ONNX Runtime has no gradients, so the slope along part d_g is a central difference in each of m cells of the path
    with middle x_k: IG_g = sum_k f(x_k + d_g / 2m) - f(x_k - d_g / 2m).

    Args:
        outputs: f, from inputs to (inputs, outputs).
        whole: the input, of any shape.
        ways: parts d_g of the input, of its shape.
        steps: number of cells, m.

    Returns:
        (parts, outputs). The sum over parts approximates the change of the outputs from the baseline.
    """
    start, way = whole - sum(ways), sum(ways)
    values = outputs(
        start + (k + 0.5) / steps * way + sign * part * (0.5 / steps)
        for k in range(steps)
        for part in ways
        for sign in (1, -1)
    )
    slopes = (values[::2] - values[1::2]).reshape(steps, len(ways), values.shape[1])
    total: np.ndarray = slopes.sum(axis=0)
    return total


class _Outputs:
    """Explained outputs as a function of frames and embedding.

    Attributes:
        names: the category, if any, and the dimensions.
        even: outputs of a uniform prediction, (outputs,).
        reads_text_alone: True if the model predicts from text without audio.
    """

    def __init__(self, network: Network, category: str | None, *, adapted: bool) -> None:
        bundle = network.bundle
        self._network, self._adapted = network, adapted
        self.reads_text_alone = bundle.reads_text_alone
        self._row = None if category is None else bundle.labels.index(category)
        self.names = [name for name in (category, *bundle.dimensions) if name is not None]
        self.even = self._values(np.ones(len(bundle.labels)), np.full(len(bundle.dimensions), 0.5))

    def __call__(self, rows: Iterable[_Row]) -> np.ndarray:
        """Outputs (rows, outputs) of rows that have the same modalities and one number of frames."""
        rows, values = iter(rows), []
        while batch := list(islice(rows, _BATCH)):
            frames, texts = (None if part[0] is None else np.stack(part) for part in zip(*batch, strict=True))
            if frames is None and texts is None:
                values += [self.even] * len(batch)
            else:
                answers = self._network.answers(frames, texts, adapted=self._adapted)
                values += [self._values(answer.probabilities, answer.dimensions) for answer in answers]
        return np.reshape(values, (-1, len(self.names)))

    def of(self, frames: np.ndarray | None, embedding: np.ndarray | None) -> np.ndarray:
        """Outputs (outputs,) of one row."""
        return np.asarray(self([(frames, embedding)])[0])

    def named(self, values: np.ndarray) -> Values:
        """Outputs (outputs,) by name."""
        return dict(zip(self.names, values.tolist(), strict=True))

    def _values(self, probabilities: np.ndarray, dimensions: np.ndarray) -> np.ndarray:
        if self._row is None:
            return np.asarray(dimensions, np.float64)
        p = np.asarray(probabilities, np.float64)
        others = np.delete(p, self._row).sum()  # not 1 - p, which rounds to 0 for a confident prediction
        odds = max(p[self._row], _SMALLEST) / max(others, _SMALLEST)
        return np.concatenate([[np.log(odds)], dimensions])


def _modalities(
    outputs: _Outputs, frames: np.ndarray | None, text: np.ndarray | None
) -> tuple[Values, dict[str, Values], dict[str, Values]]:
    """Outputs, outputs for each modality alone as far as the model predicts from it, and Shapley values."""
    answer, alone, shapley = outputs.of(frames, text), {}, {}
    if frames is not None:
        alone["audio"] = outputs.of(frames, None)
    if text is not None and outputs.reads_text_alone:
        alone["text"] = outputs.of(None, text)
    audio, words = (alone.get(kind, outputs.even) for kind in ("audio", "text"))
    if frames is not None:
        shapley["audio"] = (audio - outputs.even + answer - words) / 2
    if text is not None:
        shapley["text"] = (words - outputs.even + answer - audio) / 2
    named = outputs.named
    return named(answer), {k: named(v) for k, v in alone.items()}, {k: named(v) for k, v in shapley.items()}


def _cuts(frames: int, seconds: float) -> list[int]:
    """Boundaries of the stretches, in frames."""
    count = min(max(1, round(seconds / STRETCH)), frames)
    cuts: list[int] = np.linspace(0, frames, count + 1).round().astype(int).tolist()
    return cuts


def _of_stretch(frames: np.ndarray, first: int, last: int) -> np.ndarray:
    """Difference of a stretch from the mean frame; 0 elsewhere."""
    way = np.zeros_like(frames)
    way[first:last] = frames[first:last] - frames.mean(axis=0)
    return way
