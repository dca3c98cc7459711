"""Why the model answers as it does: what words, stretches of audio, and each modality did to the answer.

Three views of the log-odds of a category, and of arousal, valence and dominance:

- *Left out* (occlusion; Zeiler & Fergus 2014, https://arxiv.org/abs/1311.2901): the answer less the answer without the
  part. A stretch of audio becomes the clip's mean frame, which says nothing beyond the average; a word is left out.
- *Integrated gradients* (Sundararajan et al. 2017, https://arxiv.org/abs/1703.01365): the slope along each part, summed
  over the straight way from a baseline to the input. The parts add up to the answer less that to the baseline. The
  baseline of the audio is the mean frame all the time, with the words as they are. That of the text, with the audio as
  it is, is its embedding less what every word adds to it. (A text such as "." would be none: it reads as neutral.)
- *Shapley values* of voice and words (Shapley 1953): from the answers to one, to the other and to both, where the
  model's own absent embedding stands for what is missing. Without either the answer is taken to be even: training never
  leaves out both, so the network has learned nothing for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emofuse.audio import SAMPLE_RATE
from emofuse.errors import EmofuseError
from emofuse.inference.formats import rounded

if TYPE_CHECKING:
    from emofuse.inference.network import Network
    from emofuse.inference.predictor import Prediction, Predictor, SegmentPrediction

STRETCH = 0.5  # seconds of audio that are judged together
_STEPS = 10  # cells of the way of integrated gradients
_BATCH = 16  # rows that the network answers at once
_SMALLEST = 1e-30  # probability

Values = dict[str, float]
"""Log-odds of the explained category under its name, and arousal, valence, dominance: what the model has of them."""
_Row = tuple[np.ndarray | None, np.ndarray | None]  # frames (n, width) and embedding (dim,) of one utterance
_Function = Callable[[Iterable[np.ndarray]], np.ndarray]  # inputs to (inputs, outputs)


@dataclass(frozen=True)
class Stretch:
    """What a stretch of audio did.

    Attributes:
        start: in seconds from the recording's beginning.
        end: likewise.
        left_out: the answer less the answer without it; above 0: it raised the output.
        gradients: its part by integrated gradients.
    """

    start: float
    end: float
    left_out: Values
    gradients: Values


@dataclass(frozen=True)
class Word:
    """What a word did; `left_out` and `gradients` as in `Stretch`."""

    word: str
    left_out: Values
    gradients: Values


@dataclass(frozen=True)
class Explanation:
    """What moved the answer to one segment.

    Attributes:
        prediction: what is explained.
        target: the output that tables and pictures show: a category or a dimension.
        values: the answer.
        baselines: the answers where the ways of integrated gradients of "audio" and "text" begin.
        stretches: in order of time; empty if the model heard nothing.
        words: in order; empty if it read nothing.
        alone: the answers to "audio" alone and "text" alone, as far as the model can give them.
        shapley: Shapley values of "audio" and "text"; they add up to the answer less an even one.
        samples: the sound, float32 (n,), 16 kHz; None without a recording. Not in `to_dict`.
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
        """How far the part that did most moved the target, left out; at least 0."""
        moves = [part.left_out for part in self.stretches] + [part.left_out for part in self.words]
        return max((abs(move[self.target]) for move in moves), default=0.0)

    @property
    def shares(self) -> dict[str, float]:
        """Share of "audio" and "text" in what moved the target: of the sizes of the Shapley values, 0..1."""
        sizes = {modality: abs(values[self.target]) for modality, values in self.shapley.items()}
        total = sum(sizes.values()) or 1.0
        return {modality: size / total for modality, size in sizes.items()}

    @property
    def remainders(self) -> dict[str, Values]:
        """What integrated gradients leave unexplained: the answer less the baseline less the parts, each modality."""
        parts = {"audio": [part.gradients for part in self.stretches], "text": [part.gradients for part in self.words]}
        return {
            modality: {
                name: value - baseline[name] - sum(part[name] for part in parts[modality])
                for name, value in self.values.items()
            }
            for modality, baseline in self.baselines.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, rounded to 5 digits."""
        facts = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "samples"}
        facts["prediction"] = asdict(self.prediction)
        facts["stretches"] = [asdict(stretch) for stretch in self.stretches]
        facts["words"] = [asdict(word) for word in self.words]
        found: dict[str, Any] = rounded({**facts, "shares": self.shares, "remainders": self.remainders}, digits=5)
        return found


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
        predictor: the model. It adapts to the recording as in its predictions.
        audio: as in `Predictor.__call__`, as are `text`, `sample_rate` and `language`.
        text: what is said.
        target: category or dimension to explain; None for the predicted category, or the first dimension of a model
            without categories. The explanation tells of the dimensions in any case.
        segment: number of the one segment to explain, from 1; None for all.
        sample_rate: of samples, in Hz.
        language: of what is said.

    Returns:
        One explanation a segment, in order of time.

    Raises:
        EmofuseError: no prediction is possible, the model has no such target, or there is no such segment.
    """
    outputs = [*predictor.bundle.labels, *predictor.bundle.dimensions]
    if target is not None and target not in outputs:
        raise EmofuseError(f"--target {target}: this model does not tell that; expected one of {', '.join(outputs)}.")
    wanted, number = [], 0
    for number, heard in enumerate(predictor.iter_segments(audio, text, sample_rate=sample_rate, language=language), 1):
        if segment in (None, number):
            wanted.append(heard)
    if not wanted:
        raise EmofuseError(f"--segment {segment}: expected 1 to {number}, the segments that were found.")
    return [explain_segment(predictor.network, heard, target=target) for heard in wanted]


def explain_segment(network: Network, heard: SegmentPrediction, *, target: str | None = None) -> Explanation:
    """Explain one prediction; `target` as in `explain`."""
    prediction, frames = heard.prediction, heard.frames
    outputs = _Outputs(network, target if target in network.bundle.labels else prediction.emotion)
    words = (prediction.text or "").split() if "text" in prediction.used else []
    text = network.embedding(prediction.text or "") if words else None
    baselines, stretches, read = {}, [], []
    if frames is not None and heard.samples is not None:
        start, end = ((prediction.start or 0.0) + sample / SAMPLE_RATE for sample in network.span(heard.samples))
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
            ways = [text - network.embedding(" ".join(words[:i] + words[i + 1 :])) for i in range(len(words))]
            parts, baseline = _parts(lambda rows: outputs((frames, row) for row in rows), text, ways)
        else:  # there is no way from one word to none
            baseline = outputs.of(frames, None)
            parts = [(outputs.of(frames, text) - baseline,) * 2]
        baselines["text"] = outputs.named(baseline)
        read = [Word(word, *map(outputs.named, part)) for word, part in zip(words, parts, strict=True)]
    answer, alone, shapley = _modalities(outputs, frames, text)
    return Explanation(
        prediction, target or outputs.names[0], answer, baselines, stretches, read, alone, shapley, heard.samples
    )


def _parts(
    outputs: _Function, whole: np.ndarray, ways: Sequence[np.ndarray]
) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray]:
    """What each part of the input does, left out and by integrated gradients, and the outputs at the baseline."""
    left_out = outputs([whole]) - outputs(whole - way for way in ways)
    gradients = integrated_gradients(outputs, whole, ways)
    return list(zip(left_out, gradients, strict=True)), outputs([whole - sum(ways)])[0]


def integrated_gradients(
    outputs: _Function, whole: np.ndarray, ways: Sequence[np.ndarray], steps: int = _STEPS
) -> np.ndarray:
    """Integrated gradients of parts of an input, along the straight way from the input less all parts.

    ONNX Runtime has no gradients. So the slope along part g, which goes by d_g on the way, is a central difference in
    each of m cells with middle x_k: IG_g = sum_k f(x_k + d_g / 2m) - f(x_k - d_g / 2m).

    Args:
        outputs: f, takes inputs, gives (inputs, outputs).
        whole: the input, of any shape.
        ways: d_g, the share of each part in the input, of its shape. The baseline is the input less all of them.
        steps: number of cells, m.

    Returns:
        (parts, outputs). The sum over parts is the change of the outputs from the baseline, but for what parts do
        together within a cell.
    """
    start, way = whole - sum(ways), sum(ways)

    def inputs() -> Iterator[np.ndarray]:
        for k in range(steps):
            middle = start + (k + 0.5) / steps * way
            for part in ways:
                yield middle + part * (0.5 / steps)
                yield middle - part * (0.5 / steps)

    values = outputs(inputs())
    slopes = (values[::2] - values[1::2]).reshape(steps, len(ways), values.shape[1])
    total: np.ndarray = slopes.sum(axis=0)
    return total


class _Outputs:
    """The outputs that are explained, as a function of frames and embedding.

    Attributes:
        names: the category, if there is one, and the dimensions.
        even: their values for a model that knows nothing, (outputs,).
        reads_text_alone: whether the model answers to text without audio.
    """

    def __init__(self, network: Network, category: str | None) -> None:
        bundle = network.bundle
        self._network = network
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
                answers = self._network.answers(frames, texts)
                values += [self._values(answer.probabilities, answer.dimensions) for answer in answers]
        return np.reshape(values, (-1, len(self.names)))

    def of(self, frames: np.ndarray | None, embedding: np.ndarray | None) -> np.ndarray:
        """Outputs (outputs,) of one row."""
        values: np.ndarray = self([(frames, embedding)])[0]
        return values

    def named(self, values: np.ndarray) -> Values:
        """Outputs (outputs,) by name."""
        return dict(zip(self.names, values.tolist(), strict=True))

    def _values(self, probabilities: np.ndarray, dimensions: np.ndarray) -> np.ndarray:
        if self._row is None:
            return np.asarray(dimensions, np.float64)
        p = np.asarray(probabilities, np.float64)
        others = np.delete(p, self._row).sum()  # not 1 - p, which a sure answer would round to 0
        odds = max(p[self._row], _SMALLEST) / max(others, _SMALLEST)
        return np.concatenate([[np.log(odds)], dimensions])


def _modalities(
    outputs: _Outputs, frames: np.ndarray | None, text: np.ndarray | None
) -> tuple[Values, dict[str, Values], dict[str, Values]]:
    """The answer, that to each modality alone as far as the model can give it, and the Shapley values."""
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
    """Where the stretches begin, and the end of the last, in frames."""
    count = min(max(1, round(seconds / STRETCH)), frames)
    cuts: list[int] = np.linspace(0, frames, count + 1).round().astype(int).tolist()
    return cuts


def _of_stretch(frames: np.ndarray, first: int, last: int) -> np.ndarray:
    """What a stretch adds to the mean frame; 0 elsewhere."""
    way = np.zeros_like(frames)
    way[first:last] = frames[first:last] - frames.mean(axis=0)
    return way
