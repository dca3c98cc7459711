"""From a recording, a text, or both to emotions: the whole way of prediction, with ONNX Runtime and no PyTorch.

A recording of up to 15 s is one segment; a longer one is cut at its pauses. A recording that comes with its text is
taken as one utterance and not cut.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from emofuse.audio import SAMPLE_RATE, FrontEnd, check_samples, log_mel, read_audio
from emofuse.errors import EmofuseError
from emofuse.inference.bundle import TEXT_ENCODER_FOLDER, Bundle, BundleError
from emofuse.inference.transcripts import Clip

MAX_SECONDS = 15.0  # of a segment
MAX_UTTERANCE_SECONDS = 30.0  # of a recording that comes with its text: what the recogniser takes at once, too

log = logging.getLogger("emofuse")


@dataclass(frozen=True)
class Prediction:
    """What the model says about one segment.

    Attributes:
        file: the recording; None for samples and for text alone.
        start: in seconds from the recording's beginning; None for text alone.
        end: likewise.
        text: transcript; None if there is none.
        text_source: "given", "asr" (recognised), or None without a transcript.
        language: ISO 639-1 code of the transcript; None if it was given without one.
        used: "audio+text", "audio" or "text": what the prediction rests on. A transcript in a language that the model
            does not read is shown but not used.
        emotion: the most probable category; None if the model has no categories.
        confidence: its probability.
        probabilities: probability of each category; empty if the model has none.
        arousal: 0 (calm) to 1 (excited); None if the model has no dimensions, as the next two.
        valence: 0 (negative) to 1 (positive).
        dominance: 0 (weak) to 1 (strong).
    """

    file: str | None
    start: float | None
    end: float | None
    text: str | None
    text_source: str | None
    language: str | None
    used: str
    emotion: str | None
    confidence: float | None
    probabilities: dict[str, float]
    arousal: float | None
    valence: float | None
    dominance: float | None


@dataclass(frozen=True)
class _Transcript:
    text: str | None = None
    source: str | None = None
    language: str | None = None


class Predictor:
    """A bundle, ready to predict.

    Args:
        bundle: the model.
        asr: speech recogniser for recordings without a transcript: a name that `emofuse.text.asr` knows, or a folder.
            It is loaded when first needed. If its weights are not installed, a warning is logged once and the voice
            alone is used.
        threads: threads of the network; None for one per core.
        transcribe: False: never recognise words, use the voice alone.
    """

    def __init__(
        self, bundle: Bundle, *, asr: str = "whisper-base", threads: int | None = None, transcribe: bool = True
    ) -> None:
        self.bundle = bundle
        self.asr = asr
        self.transcribe = transcribe
        self._front_end = FrontEnd(**bundle.front_end)
        self._session = _session(bundle.model_path, threads)
        self._text_encoder: Any = None
        self._transcriber: Any = None

    def __call__(
        self,
        audio: Path | str | np.ndarray | None = None,
        text: str | None = None,
        *,
        sample_rate: int | None = None,
        language: str | None = None,
        start: float = 0.0,
        end: float | None = None,
    ) -> list[Prediction]:
        """Predict.

        Args:
            audio: path of a recording, or samples (n,) or (n, channels), or None for text alone.
            text: what is said in it. The recording (or the stretch) is then one utterance of at most 30 s.
            sample_rate: of the samples, in Hz; for samples only.
            language: ISO 639-1 code of what is said; None: the recogniser finds it, and a given text is taken to be
                in a language that the model reads.
            start: with `end`, the stretch of the recording to predict, in seconds.
            end: None for the recording's end.

        Returns:
            One prediction a segment, in order of time.

        Raises:
            EmofuseError: the audio cannot be read or used, no speech was found in a long recording, or the model does
                not read what was given.
        """
        given = _Transcript()
        if text is not None and text.strip():
            given = _Transcript(text.strip(), "given", language)
        if audio is None:
            if given.text is None:
                raise EmofuseError("Nothing to predict from: give a recording, a text, or both.")
            return [self._predict(None, given)]
        if isinstance(audio, np.ndarray):
            source, samples = None, _from_array(audio, sample_rate, start, end)
        else:
            source, samples = str(audio), read_audio(audio, start=start, end=end)
        name = source or "samples"
        segments = self._segments(samples, has_text=given.text is not None, name=name)
        transcripts = [given] if given.text else self._recognise(samples, segments, language)
        predictions = []
        for (first, last), transcript in zip(segments, transcripts, strict=True):
            segment = samples[round(first * SAMPLE_RATE) : round(last * SAMPLE_RATE)]
            prediction = self._predict(segment, transcript, name)
            predictions.append(replace(prediction, file=source, start=start + first, end=start + last))
        return predictions

    def _segments(self, samples: np.ndarray, *, has_text: bool, name: str) -> list[tuple[float, float]]:
        seconds = len(samples) / SAMPLE_RATE
        if seconds <= MAX_SECONDS or (has_text and seconds <= MAX_UTTERANCE_SECONDS):
            return [(0.0, seconds)]
        if has_text:
            raise EmofuseError(
                f"{name}: {seconds:.0f} s are too long for one text (at most {MAX_UTTERANCE_SECONDS:.0f} s). "
                "Leave the text out, or give a transcript for each part (--transcripts with columns start and end)."
            )
        from emofuse.inference.vad import speech_segments

        segments = speech_segments(samples, max_seconds=MAX_SECONDS)
        if not segments:
            raise EmofuseError(f"{name}: no speech found in {seconds:.0f} s. Give a recording in which someone speaks.")
        return segments

    def _recognise(
        self, samples: np.ndarray, segments: list[tuple[float, float]], language: str | None
    ) -> list[_Transcript]:
        if self.transcribe and self._transcriber is None:
            self._transcriber = _load_transcriber(self.asr)
            self.transcribe = self._transcriber is not None
        if not self.transcribe:
            return [_Transcript()] * len(segments)
        if len(samples) <= MAX_SECONDS * SAMPLE_RATE:  # not cut: no one has looked yet whether there is speech
            found = [self._transcriber.transcribe(samples, language)]
        else:
            found = self._transcriber.transcribe_segments(samples, segments, language)
        return [_Transcript(one.text, "asr", one.language) if one.text else _Transcript() for one in found]

    def _predict(self, samples: np.ndarray | None, transcript: _Transcript, name: str = "text") -> Prediction:
        reads, languages = self.bundle.reads, self.bundle.text_languages
        has_audio = samples is not None and "audio" in reads
        has_text = transcript.text is not None and "text" in reads
        if transcript.language is not None and transcript.language not in languages:
            has_text = False
        if not has_audio and not (has_text and self.bundle.reads_text_alone):
            raise EmofuseError(f"{name}: nothing that this model can use. It reads {self._reads()}.")
        if samples is not None and has_audio:
            check_samples(samples, name)
            mel = log_mel(samples, self._front_end)  # (frames, mels)
        else:
            mel = np.zeros((16, self._front_end.n_mels), np.float32)
        text = np.zeros(self.bundle.text_encoder.get("dim", 1), np.float32)
        if has_text:
            text = self._encoder().encode([transcript.text])[0]
        out = self._run(mel, text, has_audio, has_text)
        probabilities = dict(zip(self.bundle.labels, out.get("probabilities", []), strict=True))
        emotion = max(probabilities, key=probabilities.__getitem__, default=None)
        dimensions = dict(zip(self.bundle.dimensions, out.get("dimensions", []), strict=True))
        return Prediction(
            file=None,
            start=None,
            end=None,
            text=transcript.text,
            text_source=transcript.source,
            language=transcript.language,
            used="+".join(kind for kind, there in (("audio", has_audio), ("text", has_text)) if there),
            emotion=emotion,
            confidence=None if emotion is None else probabilities[emotion],
            probabilities=probabilities,
            arousal=dimensions.get("arousal"),
            valence=dimensions.get("valence"),
            dominance=dimensions.get("dominance"),
        )

    def _reads(self) -> str:
        text = f"text ({', '.join(self.bundle.text_languages)})"
        if not self.bundle.reads_text_alone:
            text += " beside audio"
        return " and ".join(text if kind == "text" else kind for kind in self.bundle.reads)

    def _run(self, mel: np.ndarray, text: np.ndarray, has_audio: bool, has_text: bool) -> dict[str, list[float]]:
        values = {
            "frames": mel[None],  # (1, frames, mels)
            "n_frames": np.array([len(mel)], np.int64),
            "text": text[None],  # (1, dim)
            "has_audio": np.array([has_audio]),
            "has_text": np.array([has_text]),
        }
        feeds = {node.name: values[node.name] for node in self._session.get_inputs()}
        names = [node.name for node in self._session.get_outputs()]
        return {name: value[0].tolist() for name, value in zip(names, self._session.run(names, feeds), strict=True)}

    def _encoder(self) -> Any:
        if self._text_encoder is None:
            self._text_encoder = _load_text_encoder(self.bundle)
        return self._text_encoder


def predict_clips(
    predictor: Predictor,
    clips: Iterable[Clip],
    *,
    language: str | None = None,
    on_error: Callable[[EmofuseError], None],
) -> Iterator[Prediction]:
    """Predict clip after clip; a clip that fails is handed to `on_error`, and the others are predicted all the same."""
    for clip in clips:
        try:
            yield from predictor(clip.file, clip.text, language=language, start=clip.start, end=clip.end)
        except EmofuseError as error:
            on_error(error)


def _session(path: Path, threads: int | None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no common base class for what it raises here
        raise BundleError(f"{path}: ONNX Runtime cannot load this model ({error}). Export it again.") from error


def _load_text_encoder(bundle: Bundle) -> Any:
    from emofuse.text.onnx import OnnxTextEncoder, require_encoder

    own = bundle.folder / TEXT_ENCODER_FOLDER
    encoder = OnnxTextEncoder(own if own.is_dir() else None, pooling=bundle.text_encoder["pooling"])
    require_encoder(encoder, bundle.text_encoder, str(bundle.folder))
    return encoder


def _load_transcriber(name: str) -> Any:
    """The recogniser, or None (and a warning) where its weights are not installed."""
    from emofuse.text.asr import Transcriber
    from emofuse.text.weights import WEIGHTS, find_weights

    if name in WEIGHTS:
        try:
            find_weights(name)
        except EmofuseError as error:
            log.warning("No transcripts, the voice alone is used: %s", error)
            return None
    # Windows of a long recording are decoded two at once; a short one, alone, still has all cores.
    return Transcriber(name, threads=os.cpu_count(), workers=2)


def _from_array(samples: np.ndarray, sample_rate: int | None, start: float, end: float | None) -> np.ndarray:
    if sample_rate is None:
        raise EmofuseError("Samples come without their rate: give sample_rate, in Hz.")
    if np.issubdtype(samples.dtype, np.integer):
        samples = samples / np.iinfo(samples.dtype).max
    mono = samples.astype(np.float32) if samples.ndim == 1 else samples.mean(axis=1, dtype=np.float32)
    mono = mono[round(start * sample_rate) : None if end is None else round(end * sample_rate)]
    if sample_rate != SAMPLE_RATE:
        import soxr

        mono = soxr.resample(mono, sample_rate, SAMPLE_RATE)
    check_samples(mono, "samples")
    return np.ascontiguousarray(mono, np.float32)
