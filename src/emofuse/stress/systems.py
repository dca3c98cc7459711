"""Models under a stress test: bundles run by ONNX Runtime and runs in PyTorch, behind one interface."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from emofuse.audio import AudioError, FrontEnd, check_samples, log_mel
from emofuse.files import cache_dir, hash_of
from emofuse.inference.bundle import FACTS_FILE, Bundle
from emofuse.inference.network import Answer, Network
from emofuse.labels import DIMENSIONS
from emofuse.stress.conditions import Utterance

if TYPE_CHECKING:
    from emofuse.training.run import LoadedRun

RECIPE_FILE = "recipe.toml"
BATCH = 32
_MIN_FRAMES = 16  # of zeros in place of missing audio; models ignore them
_CACHED_CLIPS = 64  # more than the conditions make of one utterance
_CACHED_TEXTS = 4096
_LOG_MEL = "log-Mel"

Array = np.ndarray
_Text = tuple[str, str | None]  # a text and its language
_Result = TypeVar("_Result")


class System(ABC):
    """A model under test.

    Attributes:
        labels: categories in the order of the probabilities; empty for a model without categories.
        dimensions: names of the dimensions; empty for a model without dimensions.
        reads: modalities of the model: "audio", "text" or both.
        languages: ISO 639-1 codes of the texts that the model reads; None: all.
        reads_text_alone: True if the model predicts from text without audio.
    """

    labels: Sequence[str]
    dimensions: Sequence[str]
    reads: Sequence[str]
    languages: Collection[str] | None
    reads_text_alone: bool

    def reads_language_of(self, utterance: Utterance) -> bool:
        """Return True if the model reads the utterance's language, or the language is unknown."""
        return self.languages is None or utterance.language is None or utterance.language in self.languages

    def predict(self, utterances: Sequence[Utterance]) -> list[Answer | None]:
        """Predict each utterance; None where the model cannot, for example where a clip has become silent."""
        clips = [one.samples if "audio" in self.reads else None for one in utterances]
        distinct = {id(clip): clip for clip in clips if clip is not None}  # most conditions share their clip or text
        clip_frames = {number: self._frames(clip) for number, clip in distinct.items()}
        frames = [clip_frames.get(id(clip)) for clip in clips]
        texts = [
            (one.text, one.language) if one.text and "text" in self.reads and self.reads_language_of(one) else None
            for one in utterances
        ]
        known = self._embeddings(list(dict.fromkeys(text for text in texts if text is not None)))
        embeddings = [None if text is None else known[text] for text in texts]
        usable = [
            i
            for i, clip in enumerate(clips)
            if frames[i] is not None or (clip is None and embeddings[i] is not None and self.reads_text_alone)
        ]
        answers: list[Answer | None] = [None] * len(utterances)
        predicted = self._answers([frames[i] for i in usable], [embeddings[i] for i in usable])
        for i, answer in zip(usable, predicted, strict=True):
            answers[i] = answer
        return answers

    @abstractmethod
    def _frames(self, samples: Array) -> Array | None:
        """Frames of a clip, float32 (frames, width); None for a clip that `check_samples` refuses."""

    @abstractmethod
    def _embeddings(self, texts: list[_Text]) -> Mapping[_Text, Array]:
        """Summary embeddings, float32 (dim,), by text and language."""

    @abstractmethod
    def _answers(self, frames: Sequence[Array | None], texts: Sequence[Array | None]) -> list[Answer]:
        """Predictions from frames and embeddings, at least one of which each utterance has."""


class BundleSystem(System):
    """A bundle, which predicts as `emofuse predict` does, one utterance at a time, with networks of `threads`."""

    def __init__(self, bundle: Bundle, threads: int = 1):
        self.labels, self.dimensions, self.reads = bundle.labels, bundle.dimensions, bundle.reads
        self.languages, self.reads_text_alone = bundle.text_languages, bundle.reads_text_alone
        self._network = Network(bundle, threads)
        self._embedding = lru_cache(_CACHED_TEXTS)(self._network.embedding)

    def _frames(self, samples: Array) -> Array | None:
        return _if_usable(self._network.frames, samples)

    def _embeddings(self, texts: list[_Text]) -> Mapping[_Text, Array]:
        return {text: self._embedding(*text) for text in texts}

    def _answers(self, frames: Sequence[Array | None], texts: Sequence[Array | None]) -> list[Answer]:
        return [self._network.answer(*inputs) for inputs in zip(frames, texts, strict=True)]


class RunSystem(System):
    """A run, which predicts in PyTorch, in batches and without calibration; it shares encoders with other runs."""

    def __init__(self, run: LoadedRun, encoders: RunEncoders):
        heads = run.recipe.model.heads
        self.labels = run.labels if "categories" in heads else []
        self.dimensions = DIMENSIONS if "dimensions" in heads else []
        self.reads, self.languages = run.reads, run.recipe.text.languages
        self.reads_text_alone = bool(run.model.reads_text_without_audio)
        self._run, self._encoders = run, encoders

    def _frames(self, samples: Array) -> Array | None:
        return self._encoders.frames(samples, self._run)

    def _embeddings(self, texts: list[_Text]) -> Mapping[_Text, Array]:
        known = self._encoders.embeddings(list(dict.fromkeys(text for text, _ in texts)), self._run)
        return {(text, language): known[text] for text, language in texts}

    def _answers(self, frames: Sequence[Array | None], texts: Sequence[Array | None]) -> list[Answer]:
        import torch

        from emofuse.data.utterances import bucketed_batches

        answers: dict[int, Answer] = {}
        lengths = np.array([0 if clip is None else len(clip) for clip in frames], int)
        with torch.inference_mode():
            for batch in bucketed_batches(lengths, BATCH):
                batch_answers = self._batch([frames[i] for i in batch], [texts[i] for i in batch])
                answers |= zip(batch, batch_answers, strict=True)
        return [answers[i] for i in range(len(frames))]

    def _batch(self, frames: Sequence[Array | None], texts: Sequence[Array | None]) -> list[Answer]:
        import torch

        lengths = [0 if clip is None else len(clip) for clip in frames]
        padded = torch.zeros(len(frames), max(*lengths, _MIN_FRAMES), self._encoders.width(self._run))
        embeddings = torch.zeros(len(frames), self._run.text_encoder["dim"] if self._run.text_encoder else 1)
        for i, (clip, embedding) in enumerate(zip(frames, texts, strict=True)):
            if clip is not None:
                padded[i, : len(clip)] = torch.from_numpy(clip)
            if embedding is not None:
                embeddings[i] = torch.from_numpy(np.array(embedding))
        outputs = self._run.model(
            padded,
            torch.tensor(lengths),
            embeddings,
            torch.tensor([clip is not None for clip in frames]),
            torch.tensor([embedding is not None for embedding in texts]),
        )
        absent = np.zeros((len(frames), 0), np.float32)
        probabilities = outputs["logits"].float().softmax(dim=1).numpy() if "logits" in outputs else absent
        dimensions = outputs["dimensions"].float().numpy() if "dimensions" in outputs else absent
        return [Answer(*values, None) for values in zip(probabilities, dimensions, strict=True)]


class RunEncoders:
    """Speech and text encoders of several runs, with one cache of frames and one of embeddings for all of them.

    Args:
        runs: all that use it. The first to ask for a clip has the frames of all runs computed, because runs that use
            different layers of an encoder share its hidden states, which are too large to cache.
    """

    def __init__(self, runs: Collection[LoadedRun]):
        self._front_end = FrontEnd()
        self._speech = {_frames_key(run): run.speech_encoder for run in runs if "audio" in run.reads}
        self._loaded: dict[str, Any] = {}
        self._clips: dict[int, tuple[Array, dict[str, Array]]] = {}  # clips and their frames; a held clip keeps its id
        self._texts: dict[str, dict[str, Array]] = {}  # embeddings by encoder and text

    def width(self, run: LoadedRun) -> int:
        """Number of values in a frame of a run."""
        facts = run.speech_encoder
        return len(facts["layers"]) * facts["dim"] if facts else self._front_end.n_mels

    def frames(self, samples: Array, run: LoadedRun) -> Array | None:
        """Frames of a clip, float32 (frames, width), as a bundle of the run computes them; None if it is unusable.

        Raises:
            EmofuseError: the speech encoder is missing, or is not the one that the run was trained with.
        """
        if id(samples) not in self._clips:
            if len(self._clips) == _CACHED_CLIPS:
                del self._clips[next(iter(self._clips))]
            self._clips[id(samples)] = (samples, _if_usable(self._compute_frames, samples) or {})
        return self._clips[id(samples)][1].get(_frames_key(run))

    def embeddings(self, texts: Sequence[str], run: LoadedRun) -> Mapping[str, Array]:
        """Embeddings, (dim,), at least of these texts, by text. They are also kept in the cache folder.

        Raises:
            EmofuseError: as `frames`, for the text encoder.
        """
        known = self._texts.setdefault(hash_of(run.text_encoder), {})
        if new := [text for text in texts if text not in known]:
            known.update(zip(new, self._text_encoder(run).encode(new), strict=True))
        return known

    def _compute_frames(self, samples: Array) -> dict[str, Array]:
        """Frames for every run, by key."""
        from emofuse.encoders.speech import pool_time

        states: dict[str, Array] = {}
        frames = {}
        for key, facts in self._speech.items():
            if facts is None:
                frames[key] = log_mel(samples, self._front_end)
                continue
            if facts["weights_hash"] not in states:
                states[facts["weights_hash"]] = self._speech_encoder(facts).hidden_states(samples).float().numpy()
            pooled = pool_time(states[facts["weights_hash"]][facts["layers"]], facts["pool"])  # (layers, steps, dim)
            frames[key] = pooled.transpose(1, 0, 2).reshape(pooled.shape[1], -1).astype(np.float32)
        return frames

    def _speech_encoder(self, facts: dict[str, Any]) -> Any:
        from emofuse.encoders import speech

        if (key := facts["weights_hash"]) not in self._loaded:
            self._loaded[key] = speech.load_speech_encoder(facts["name"])
            speech.require_speech_encoder(self._loaded[key], facts, "the runs")
        return self._loaded[key]

    def _text_encoder(self, run: LoadedRun) -> Any:
        from emofuse.encoders import text
        from emofuse.encoders.onnx import require_text_encoder

        if (key := hash_of(run.text_encoder)) not in self._loaded:
            encoder = text.load_text_encoder(run.recipe.text.encoder, run.recipe.text.pooling)
            require_text_encoder(encoder, run.text_encoder or {}, f"run {run.recipe.name!r}")
            self._loaded[key] = text.CachedTextEncoder(encoder, cache_dir() / "text")
        return self._loaded[key]


def load_systems(runs: Mapping[str, Path]) -> dict[str, RunSystem]:
    """Load runs by name; they share one cache of frames and one of text embeddings.

    Raises:
        EmofuseError: a folder is not a finished run, or its encoder has changed since it was trained.
    """
    from emofuse.training.run import load_run

    loaded = {name: load_run(folder) for name, folder in runs.items()}
    encoders = RunEncoders(loaded.values())
    return {name: RunSystem(run, encoders) for name, run in loaded.items()}


@contextmanager
def open_bundles(models: Sequence[Path]) -> Iterator[dict[str, Bundle]]:
    """Open bundles by name; a run is first exported to a temporary folder, so that it is tested as it would be used.

    Raises:
        EmofuseError: a folder is neither a bundle nor a finished run.
    """
    with tempfile.TemporaryDirectory() as temporary:
        bundles = {}
        for number, (name, folder) in enumerate(zip(system_names(models), models, strict=True)):
            if is_run(folder):
                from emofuse.training.export import export_run

                bundles[name] = export_run(folder, Path(temporary) / str(number))
            else:
                bundles[name] = Bundle.load(folder)
        yield bundles


def is_run(folder: Path) -> bool:
    """Return True if a folder is a run and not a bundle."""
    return (folder / RECIPE_FILE).is_file() and not (folder / FACTS_FILE).exists()


def system_names(models: Sequence[Path]) -> list[str]:
    """Names of the folders, or their whole paths where two have the same name."""
    names = [folder.resolve().name for folder in models]
    return names if len(set(names)) == len(names) else [str(folder) for folder in models]


def _if_usable(compute: Callable[[Array], _Result], samples: Array) -> _Result | None:
    """Result for float32 samples; None for a clip that is silent or too short."""
    checked = np.ascontiguousarray(samples, np.float32)
    try:
        check_samples(checked, "stressed samples")
        return compute(checked)
    except AudioError:
        return None


def _frames_key(run: LoadedRun) -> str:
    """Identifies what makes the frames of a run."""
    return hash_of(run.speech_encoder) if run.speech_encoder else _LOG_MEL
