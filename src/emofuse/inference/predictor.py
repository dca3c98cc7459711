"""From a recording, a text, or both to emotions: the whole way of prediction, with ONNX Runtime and no PyTorch.

A recording of up to 15 s is one segment; a longer one is cut at its pauses. A recording that comes with its text is
taken as one utterance and not cut. Where several segments of one voice are at hand, the model adapts to it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emofuse.audio import SAMPLE_RATE, EndsEarly, check_samples, read_audio
from emofuse.errors import EmofuseError
from emofuse.inference.bundle import Bundle
from emofuse.inference.network import Network
from emofuse.segment import checked_text
from emofuse.threads import available_cores, side_by_side
from emofuse.words import has_words

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
        uncertain: whether the confidence is so low that the answer had better not be used; None if not measured. A
            model that knows what its confidence is worth takes it half way back to even where there is no speech.
        intervals: lowest and highest likely value of each dimension; empty if that was not measured.
        adapted: whether other audio of the same voice adapted the prediction.
        channel: number of the recording's channel, from 1; None where its channels were averaged.
        speaker: name of who speaks; None if not known.
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
    uncertain: bool | None = None
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    adapted: bool = False
    channel: int | None = None
    speaker: str | None = None


class Heard(NamedTuple):
    """A prediction with what it rests on.

    Attributes:
        prediction: the answer.
        samples: the sound of the segment, float32 (n,), 16 kHz; None without a recording.
        frames: what the network heard of it, adapted if the prediction is, (frames, width); None if it heard nothing.
    """

    prediction: Prediction
    samples: np.ndarray | None
    frames: np.ndarray | None


@dataclass(frozen=True)
class Voice:
    """Audio of one voice, or of one room and line, for the model to adapt to.

    Attributes:
        means: what the model hears of each segment, averaged over time, (n, width).
        seconds: length of each segment, (n,).
    """

    means: np.ndarray
    seconds: np.ndarray


@dataclass(frozen=True)
class _Transcript:
    text: str | None = None
    source: str | None = None
    language: str | None = None


class Predictor:
    """A bundle, ready to predict. Several threads may use it at once.

    Args:
        bundle: the model.
        asr: speech recogniser for recordings without a transcript: a name that `emofuse.encoders.recogniser` knows, or
            a folder. It is loaded when first needed. If its weights are not installed, a warning is logged once and the
            voice alone is used.
        threads: processor threads that may be used in all, at least 1; None for the cores available to this process.
            A network works on one thread. With more, segments of a recording (and clips of `predict_clips`) are worked
            on side by side, and the recogniser uses them all. Threads that call the predictor at once are not counted.
        transcribe: False: never recognise words, use the voice alone.
        adapt: whether the segments of a recording adapt the model to it; a given `Voice` does so in any case.

    Attributes:
        calls_at_once: how many calls, from as many threads, share the processor threads; 1 unless set. What it is when
            the recogniser is loaded decides how many clips that decodes at once, each on its share of the threads.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        asr: str = "whisper-base",
        threads: int | None = None,
        transcribe: bool = True,
        adapt: bool = True,
    ) -> None:
        if threads is not None and threads < 1:
            raise EmofuseError(f"threads: expected at least 1 (found {threads}).")
        self.bundle = bundle
        self.threads = threads or available_cores()
        self.calls_at_once = 1
        self.asr = asr
        self.transcribe = transcribe
        self.adapt = adapt
        self.network = Network(bundle)
        self._adapter = bundle.load_adapter()
        self._transcriber: Any = None
        self._loading = threading.Lock()

    def __call__(
        self,
        audio: Path | str | np.ndarray | None = None,
        text: str | None = None,
        *,
        sample_rate: int | None = None,
        language: str | None = None,
        start: float = 0.0,
        end: float | None = None,
        voice: Voice | None = None,
    ) -> list[Prediction]:
        """Predict.

        Args:
            audio: path of a recording, or samples (n,) or (n, channels), or None for text alone.
            text: what is said in it. The recording (or the stretch) is then one utterance of at most 30 s. A text
                without a letter or digit ("", "...") says that there are no words: the voice alone is used, and nothing
                is recognised. None: the words are not known.
            sample_rate: of the samples, in Hz; for samples only.
            language: ISO 639-1 code of what is said; None: the recogniser finds it, or the words of a given text tell;
                a text too short to tell is taken to be in a language that the model reads.
            start: with `end`, the stretch of the recording to predict, in seconds.
            end: None for the recording's end.
            voice: other audio of the same speaker, from `voice`.

        Returns:
            One prediction a segment, in order of time.

        Raises:
            EmofuseError: the audio cannot be read or used, no speech was found in a long recording, or the model does
                not read what was given.
        """
        options: Any = {"sample_rate": sample_rate, "language": language, "start": start, "end": end, "voice": voice}
        return [heard.prediction for heard in self.heard(audio, text, **options)]

    def heard(
        self,
        audio: Path | str | np.ndarray | None = None,
        text: str | None = None,
        *,
        sample_rate: int | None = None,
        language: str | None = None,
        start: float = 0.0,
        end: float | None = None,
        voice: Voice | None = None,
    ) -> Iterator[Heard]:
        """As a call, one after another, each with what it rests on."""
        text = checked_text(text)
        given = _Transcript()
        if text is not None and has_words(text):
            given = _Transcript(text.strip(), "given", language or self._language_of(text))
        if audio is None:
            if given.text is None:
                raise EmofuseError("Nothing to predict from: give a recording, a text, or both.")
            yield Heard(self._predict(None, given), None, None)
            return
        source, samples = self._read(audio, sample_rate, start, end)
        name = source or "samples"
        segments = self._segments(samples, has_text=given.text is not None, name=name)
        transcripts = self._recognise(samples, segments, language) if text is None else [given] * len(segments)
        all_frames = self._hear(samples, segments, name)
        offset = self._offset(all_frames, segments, voice)
        for (first, last), frames, transcript in zip(segments, all_frames, transcripts, strict=True):
            adapted = offset is not None and frames is not None
            frames = frames - offset if adapted else frames
            heard = samples[round(first * SAMPLE_RATE) : round(last * SAMPLE_RATE)]
            prediction = self._predict(frames, transcript, name)
            if frames is not None and prediction.uncertain is not None and not self._speaks(heard, len(segments)):
                prediction = _doubted(prediction)
            prediction = replace(prediction, file=source, start=start + first, end=start + last, adapted=adapted)
            yield Heard(prediction, heard, frames)

    def voice(self, recordings: Iterable[Path | str]) -> Voice:
        """What recordings of one speaker sound like, to adapt predictions of others of the same speaker to it.

        Raises:
            EmofuseError: the model cannot adapt, or a recording cannot be used.
        """
        if self._adapter is None:
            raise EmofuseError(f"The model {self.bundle.name} cannot adapt to a speaker. Leave --adapt out.")
        means, seconds = [], []
        for recording in recordings:
            samples = read_audio(recording)
            segments = self._segments(samples, has_text=False, name=str(recording))
            means += [frames.mean(axis=0) for frames in self._hear(samples, segments, str(recording))]
            seconds += [last - first for first, last in segments]
        return Voice(np.stack(means), np.array(seconds))

    def _read(
        self, audio: Path | str | np.ndarray, sample_rate: int | None, start: float, end: float | None
    ) -> tuple[str | None, np.ndarray]:
        if isinstance(audio, np.ndarray):
            return None, _from_array(audio, sample_rate, start, end)
        try:
            return str(audio), read_audio(audio, start=start, end=end)
        except EndsEarly as error:  # the last subtitle often does: what is there is predicted
            log.warning(
                "%s: segment ends at %g s, is cut at the end of the recording (%.2f s).", audio, end, error.seconds
            )
            return str(audio), read_audio(audio, start=start)

    def _hear(self, samples: np.ndarray, segments: list[tuple[float, float]], name: str) -> list[Any]:
        """Frames of each segment; None for all if the model does not listen."""
        if "audio" not in self.bundle.reads:
            return [None] * len(segments)

        def hear(segment: tuple[float, float]) -> np.ndarray:
            first, last = segment
            part = samples[round(first * SAMPLE_RATE) : round(last * SAMPLE_RATE)]
            check_samples(part, name)
            return self.network.frames(part)

        threads = max(1, min(self.threads // self.calls_at_once, len(segments)))
        return [call.result() for call in side_by_side(hear, segments, threads=threads)]

    def _offset(self, heard: list[Any], segments: list[tuple[float, float]], voice: Voice | None) -> np.ndarray | None:
        """What the speaker, the room and the line add to the frames; None if nothing is known of it."""
        if self._adapter is None or (voice is None and (not self.adapt or len(heard) < 2)):
            return None
        own = Voice(np.stack([frames.mean(axis=0) for frames in heard]), np.array([b - a for a, b in segments]))
        known = own if voice is None else voice
        offset = self._adapter.offset(known.means, known.seconds)
        return offset if offset.any() else None

    def _segments(self, samples: np.ndarray, *, has_text: bool, name: str) -> list[tuple[float, float]]:
        seconds = len(samples) / SAMPLE_RATE
        if seconds <= MAX_SECONDS or (has_text and seconds <= MAX_UTTERANCE_SECONDS):
            return [(0.0, seconds)]
        if has_text:
            raise EmofuseError(
                f"{name}: {seconds:.0f} s are too long for one text (at most {MAX_UTTERANCE_SECONDS:.0f} s). "
                "Leave the text out, or give a transcript for each part (--transcripts with columns start and end)."
            )
        from emofuse.encoders.detector import speech_segments

        segments = speech_segments(samples, max_seconds=MAX_SECONDS)
        if not segments:
            raise EmofuseError(f"{name}: no speech found in {seconds:.0f} s. Give a recording in which someone speaks.")
        return segments

    def _recognise(
        self, samples: np.ndarray, segments: list[tuple[float, float]], language: str | None
    ) -> list[_Transcript]:
        is_cut = len(samples) > MAX_SECONDS * SAMPLE_RATE
        transcriber = self._load_once(several=is_cut)
        if transcriber is None:
            return [_Transcript()] * len(segments)
        if is_cut:
            found = transcriber.transcribe_segments(samples, segments, language)
        else:  # no one has looked yet whether there is speech
            found = [transcriber.transcribe(samples, language)]
        return [_Transcript(one.text, "asr", one.language) if has_words(one.text) else _Transcript() for one in found]

    def _load_once(self, *, several: bool) -> Any:
        """The recogniser, loaded by the first thread that needs it; None if no words are to be recognised.

        Decoding of one clip gains little from many threads, so they are divided among what can be decoded at once:
        the calls that are made at once, or the windows of a long recording if that comes first.
        """
        with self._loading:
            if self.transcribe and self._transcriber is None:
                workers = self.threads if several else min(self.threads, self.calls_at_once)
                self._transcriber = _load_transcriber(self.asr, threads=self.threads // workers, workers=workers)
                self.transcribe = self._transcriber is not None
            return self._transcriber if self.transcribe else None

    def _speaks(self, samples: np.ndarray, segments: int) -> bool:
        """Whether there is speech in a segment; one of several was cut out because there is."""
        from emofuse.encoders.detector import has_speech

        return segments > 1 or has_speech(samples)

    def _language_of(self, text: str) -> str | None:
        """The language of a given text where that matters and can be told."""
        if "text" not in self.bundle.reads or "audio" not in self.bundle.reads:
            return None
        from emofuse.encoders.language import language_of

        return language_of(text)

    def _predict(self, frames: np.ndarray | None, transcript: _Transcript, name: str = "text") -> Prediction:
        has_text = transcript.text is not None and "text" in self.bundle.reads
        if transcript.language is not None and transcript.language not in self.bundle.text_languages:
            has_text = False
        if frames is None and not (has_text and self.bundle.reads_text_alone):
            raise EmofuseError(f"{name}: nothing that this model can use. It reads {self._reads()}.")
        answer = self.network.answer(frames, self.network.embedding(transcript.text or "") if has_text else None)
        probabilities = dict(zip(self.bundle.labels, answer.probabilities.tolist(), strict=True))
        emotion = max(probabilities, key=probabilities.__getitem__, default=None)
        confidence = None if emotion is None else probabilities[emotion]
        dimensions = dict(zip(self.bundle.dimensions, answer.dimensions.tolist(), strict=True))
        measured = answer.calibration
        intervals = {}
        if measured is not None and measured.dimension_half_width is not None:
            for (dimension, value), half in zip(dimensions.items(), measured.dimension_half_width, strict=True):
                intervals[dimension] = (max(0.0, value - half), min(1.0, value + half))
        return Prediction(
            file=None,
            start=None,
            end=None,
            text=transcript.text,
            text_source=transcript.source,
            language=transcript.language,
            used="+".join(kind for kind, there in (("audio", frames is not None), ("text", has_text)) if there),
            emotion=emotion,
            confidence=confidence,
            probabilities=probabilities,
            arousal=dimensions.get("arousal"),
            valence=dimensions.get("valence"),
            dominance=dimensions.get("dominance"),
            uncertain=None if measured is None or confidence is None else confidence < measured.uncertain_below,
            intervals=intervals,
        )

    def _reads(self) -> str:
        text = f"text ({', '.join(self.bundle.text_languages)})"
        if not self.bundle.reads_text_alone:
            text += " beside audio"
        return " and ".join(text if kind == "text" else kind for kind in self.bundle.reads)


def _doubted(prediction: Prediction) -> Prediction:
    """An answer to a sound without speech: the networks are sure of noise and music, which they have never heard."""
    even = 1 / len(prediction.probabilities)
    probabilities = {name: (p + even) / 2 for name, p in prediction.probabilities.items()}
    return replace(prediction, probabilities=probabilities, confidence=max(probabilities.values()), uncertain=True)


def _load_transcriber(name: str, *, threads: int, workers: int) -> Any:
    """The recogniser, or None (and a warning) where its weights are not installed."""
    from emofuse.encoders.recogniser import Transcriber
    from emofuse.encoders.weights import WEIGHTS, find_weights

    if name in WEIGHTS:
        try:
            find_weights(name)
        except EmofuseError as error:
            log.warning("No transcripts, the voice alone is used: %s", error)
            return None
    return Transcriber(name, threads=threads, workers=workers)


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
