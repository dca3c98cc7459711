"""Predict emotions from a recording, a text, or both, with ONNX Runtime and without PyTorch.

A recording of up to 15 s is one segment; a longer one is cut at its pauses. A recording with a given text is one
utterance and is not cut. With several segments of one speaker, the model adapts to that speaker.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emofuse.audio import (
    SAMPLE_RATE,
    EndsEarly,
    Source,
    channels_cancel,
    channels_of,
    check_samples,
    name_of,
    read_audio,
    read_recording,
)
from emofuse.encoders import detector
from emofuse.errors import EmofuseError
from emofuse.hardware import available_cores, run_parallel
from emofuse.inference.bundle import Bundle
from emofuse.inference.network import Network
from emofuse.segment import checked_text
from emofuse.timeline.prediction import Prediction
from emofuse.words import has_words, language_code, language_of

MAX_SECONDS = 15.0  # longest segment
MAX_UTTERANCE_SECONDS = 30.0  # longest recording with a given text

log = logging.getLogger("emofuse")


class SegmentPrediction(NamedTuple):
    """A prediction together with the network's input."""

    prediction: Prediction
    samples: np.ndarray | None  # float32 (n,), 16 kHz; None without a recording
    frames: np.ndarray | None  # (frames, width), after adaptation to the speaker; None if no audio was used


@dataclass(frozen=True)
class SpeakerProfile:
    """Statistics of one speaker's audio, for the model to adapt to."""

    means: np.ndarray  # (n, width), frames of each segment averaged over time
    seconds: np.ndarray  # (n,), duration of each segment

    @classmethod
    def merge(cls, profiles: Sequence[SpeakerProfile]) -> SpeakerProfile:
        """Combine the segments of several recordings of one speaker."""
        return cls(np.concatenate([p.means for p in profiles]), np.concatenate([p.seconds for p in profiles]))


@dataclass(frozen=True)
class _Transcript:
    text: str | None = None
    source: str | None = None
    language: str | None = None


class Predictor:
    """A bundle, ready to predict. Several threads may use it at once.

    Args:
        bundle: the model.
        asr: speech recogniser for recordings without a transcript: a model for `emofuse.encoders.recogniser`. It is
            loaded when first needed. If its weights are not installed, a warning is logged once and only the voice is
            used.
        threads: number of processor threads to use, at least 1; None for the cores available to this process. A network
            uses one thread; segments of a recording (and clips of `predict_clips`) are processed in parallel, and the
            recogniser uses all threads. Threads of the caller are not counted.
        transcribe: whether to recognise the words of recordings without a transcript.
        adapt: whether to adapt the model to a recording by its segments. A given `SpeakerProfile` is used in any case.

    Attributes:
        calls_at_once: number of calls, from as many threads, that share the processor threads; 1 by default. Its value
            when the recogniser is loaded decides how many clips the recogniser decodes at once.
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
            raise EmofuseError(f"threads is {threads}; expected at least 1.")
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
        audio: Source | np.ndarray | None = None,
        text: str | None = None,
        *,
        sample_rate: int | None = None,
        language: str | None = None,
        start: float = 0.0,
        end: float | None = None,
        speaker: SpeakerProfile | None = None,
    ) -> list[Prediction]:
        """Predict emotions from a recording, a text, or both.

        Args:
            audio: a recording, as its path, its bytes, an open binary file, or samples (n,), (n, channels) or
                (channels, n), floating point (full scale -1..1) or integers; None for text alone. A warning is logged
                if sound is missing, channels cancel each other, or several recordings are joined.
            text: words of the recording, which is then treated as one utterance of at most 30 s. A text without letters
                and digits ("", "...") means that there are no words: only the voice is used, without recognition. None
                means that the words are unknown.
            sample_rate: sample rate in Hz, for samples only.
            language: language of the words, as code or English name (see `emofuse.words.language_code`); None to detect
                it. A given text that is too short for detection is assumed to be in a language that the model reads.
            start: predict only the recording from here, in seconds.
            end: predict only the recording up to here, in seconds; None for its end.
            speaker: other audio of the same speaker, from `Predictor.speaker_profile`.

        Returns:
            One prediction per segment, in order of time.

        Raises:
            EmofuseError: the audio cannot be read or used, a long recording has no speech, or the model cannot use the
                given modalities.
        """
        options = {"sample_rate": sample_rate, "language": language, "start": start, "end": end, "speaker": speaker}
        return [segment.prediction for segment in self.iter_segments(audio, text, **options)]

    def iter_segments(
        self, audio: Source | np.ndarray | None, text: str | None, **options: Any
    ) -> Iterator[SegmentPrediction]:
        """Yield each segment's prediction together with its samples and frames. Arguments are those of a call."""
        language, start = language_code(options.get("language")), options.get("start", 0.0)
        text = checked_text(text)
        given = _Transcript()
        if text is not None and has_words(text):
            given = _Transcript(text.strip(), "given", language or self._language_of(text))
        if audio is None:
            if given.text is None:
                raise EmofuseError("There is nothing to predict from: give a recording, a text, or both.")
            yield SegmentPrediction(self._predict(None, given), None, None)
            return
        file, samples = self._read(audio, options.get("sample_rate"), start, options.get("end"))
        name = file or "samples"
        segments = self._segments(samples, has_text=given.text is not None, name=name)
        transcripts = self._recognise(samples, segments, language) if text is None else [given] * len(segments)
        all_frames = self._frames(samples, segments, name)
        offset = self._offset(all_frames, segments, options.get("speaker"))
        for (first, last), frames, transcript in zip(segments, all_frames, transcripts, strict=True):
            adapted = offset is not None and frames is not None
            frames = frames - offset if adapted else frames
            part = samples[round(first * SAMPLE_RATE) : round(last * SAMPLE_RATE)]
            prediction = self._predict(frames, transcript, name)
            # If a recording was cut into several segments, the detector has found speech in each.
            check_speech = frames is not None and prediction.uncertain is not None and len(segments) == 1
            if check_speech and not detector.has_speech(part):
                prediction = _lower_confidence(prediction)
            prediction = replace(prediction, file=file, start=start + first, end=start + last, adapted=adapted)
            yield SegmentPrediction(prediction, part, frames)

    def speaker_profile(self, recordings: Iterable[Path | str]) -> SpeakerProfile:
        """Measure recordings of one speaker, to adapt predictions for that speaker.

        Raises:
            EmofuseError: the model cannot adapt, or a recording cannot be used.
        """
        if self._adapter is None:
            raise EmofuseError(f"The model {self.bundle.name} cannot adapt to a speaker. Leave --adapt out.")
        profiles = []
        for recording in recordings:
            samples = read_audio(recording)
            segments = self._segments(samples, has_text=False, name=str(recording))
            profiles.append(_measure(self._frames(samples, segments, str(recording)), segments))
        return SpeakerProfile.merge(profiles)

    def _read(
        self, audio: Any, sample_rate: int | None, start: float, end: float | None
    ) -> tuple[str | None, np.ndarray]:
        """Name of the recording, None if it has none, and its samples; what is missing in it is logged."""
        if not isinstance(audio, str | Path | bytes | bytearray | memoryview) and not hasattr(audio, "read"):
            return None, _from_array(audio, sample_rate, start, end)
        name = name_of(audio)
        try:
            samples, notes = read_recording(audio, start=start, end=end)
        except EndsEarly as error:  # the last subtitle often ends after the recording
            log.warning(
                "%s: the segment up to %g s is cut at the end of the recording (%.2f s).", name, end, error.seconds
            )
            samples, notes = read_recording(audio, start=start)
        for note in notes:
            log.warning("%s: %s.", name, note.message)
        check_samples(samples, name)
        return (name if isinstance(audio, str | Path) else None), samples

    def _frames(self, samples: np.ndarray, segments: list[tuple[float, float]], name: str) -> list[Any]:
        """Frames of each segment; None for each if the model does not use audio."""
        if "audio" not in self.bundle.reads:
            return [None] * len(segments)

        def frames(segment: tuple[float, float]) -> np.ndarray:
            first, last = segment
            part = samples[round(first * SAMPLE_RATE) : round(last * SAMPLE_RATE)]
            check_samples(part, name)
            return self.network.frames(part)

        threads = max(1, min(self.threads // self.calls_at_once, len(segments)))
        return [call.result() for call in run_parallel(frames, segments, threads=threads)]

    def _offset(
        self, all_frames: list[Any], segments: list[tuple[float, float]], speaker: SpeakerProfile | None
    ) -> np.ndarray | None:
        """The offset of speaker, room and line in the frames, (width,); None if it is unknown."""
        if self._adapter is None or (speaker is None and (not self.adapt or len(all_frames) < 2)):
            return None
        speaker = speaker or _measure(all_frames, segments)
        offset = self._adapter.offset(speaker.means, speaker.seconds)
        return offset if offset.any() else None

    def _segments(self, samples: np.ndarray, *, has_text: bool, name: str) -> list[tuple[float, float]]:
        seconds = len(samples) / SAMPLE_RATE
        if seconds <= MAX_SECONDS or (has_text and seconds <= MAX_UTTERANCE_SECONDS):
            return [(0.0, seconds)]
        if has_text:
            raise EmofuseError(
                f"{name}: {seconds:.0f} s are too long for one text (at most {MAX_UTTERANCE_SECONDS:.0f} s). Leave the "
                "text out, or give transcripts of shorter parts (--transcripts with the columns start and end)."
            )
        segments = detector.speech_segments(samples, max_seconds=MAX_SECONDS)
        if not segments:
            raise EmofuseError(
                f"{name}: there is no speech in {seconds:.0f} s. Give a recording in which someone speaks."
            )
        return segments

    def _recognise(
        self, samples: np.ndarray, segments: list[tuple[float, float]], language: str | None
    ) -> list[_Transcript]:
        is_cut = len(samples) > MAX_SECONDS * SAMPLE_RATE
        transcriber = self._load_once(several=is_cut)
        if transcriber is None:
            return [_Transcript()] * len(segments)
        if is_cut:
            transcripts = transcriber.transcribe_segments(samples, segments, language)
        else:  # `transcribe` looks for speech first
            transcripts = [transcriber.transcribe(samples, language)]
        return [_Transcript(t.text, "asr", t.language) if has_words(t.text) else _Transcript() for t in transcripts]

    def _load_once(self, *, several: bool) -> Any:
        """The recogniser, loaded by the first thread that needs it; None if words are not recognised.

        Decoding one clip gains little from many threads, so they are divided among the clips decoded at once: windows
        of a long recording if the first recording is `several` segments long, otherwise simultaneous calls.
        """
        with self._loading:
            if self.transcribe and self._transcriber is None:
                workers = self.threads if several else min(self.threads, self.calls_at_once)
                self._transcriber = _load_transcriber(self.asr, threads=self.threads // workers, workers=workers)
                self.transcribe = self._transcriber is not None
            return self._transcriber if self.transcribe else None

    def _language_of(self, text: str) -> str | None:
        """Language of a given text, if the model uses audio too (and can do without the text); None if unclear."""
        if "text" not in self.bundle.reads or "audio" not in self.bundle.reads:
            return None
        return language_of(text)

    def _predict(self, frames: np.ndarray | None, transcript: _Transcript, name: str = "text") -> Prediction:
        has_text = transcript.text is not None and "text" in self.bundle.reads
        if transcript.language is not None and transcript.language not in self.bundle.text_languages:
            has_text = False
        if frames is None and not (has_text and self.bundle.reads_text_alone):
            raise EmofuseError(f"{name}: this model cannot use the input. It reads {self._reads()}.")
        answer = self.network.answer(frames, self.network.embedding(transcript.text or "") if has_text else None)
        probabilities = dict(zip(self.bundle.labels, answer.probabilities.tolist(), strict=True))
        emotion = max(probabilities, key=probabilities.__getitem__, default=None)
        confidence = None if emotion is None else probabilities[emotion]
        dimensions = dict(zip(self.bundle.dimensions, answer.dimensions.tolist(), strict=True))
        calibration = answer.calibration
        intervals = {}
        if calibration is not None and calibration.dimension_half_width is not None:
            for (dimension, value), half in zip(dimensions.items(), calibration.dimension_half_width, strict=True):
                intervals[dimension] = (max(0.0, value - half), min(1.0, value + half))
        return Prediction(
            file=None,
            start=None,
            end=None,
            text=transcript.text,
            text_source=transcript.source,
            language=transcript.language,
            used="+".join(["audio"] * (frames is not None) + ["text"] * has_text),
            emotion=emotion,
            confidence=confidence,
            probabilities=probabilities,
            arousal=dimensions.get("arousal"),
            valence=dimensions.get("valence"),
            dominance=dimensions.get("dominance"),
            uncertain=None if calibration is None or confidence is None else confidence < calibration.uncertain_below,
            intervals=intervals,
        )

    def _reads(self) -> str:
        text = f"text ({', '.join(self.bundle.text_languages)})"
        if not self.bundle.reads_text_alone:
            text += " together with audio"
        return " and ".join(text if kind == "text" else kind for kind in self.bundle.reads)


def _measure(all_frames: list[np.ndarray], segments: list[tuple[float, float]]) -> SpeakerProfile:
    return SpeakerProfile(
        np.stack([frames.mean(axis=0) for frames in all_frames]), np.array([b - a for a, b in segments])
    )


def _lower_confidence(prediction: Prediction) -> Prediction:
    """Lower the confidence for audio without speech, because networks are overconfident on noise and music."""
    uniform = 1 / len(prediction.probabilities)
    probabilities = {name: (p + uniform) / 2 for name, p in prediction.probabilities.items()}
    return replace(prediction, probabilities=probabilities, confidence=max(probabilities.values()), uncertain=True)


def _load_transcriber(name: str, *, threads: int, workers: int) -> Any:
    """Load the recogniser; log a warning and return None if its weights are not installed."""
    from emofuse.encoders.recogniser import Transcriber
    from emofuse.encoders.weights import WEIGHTS, find_weights

    if name in WEIGHTS:
        try:
            find_weights(name)
        except EmofuseError as error:
            log.warning("Words are not recognised, only the voice is used: %s", error)
            return None
    return Transcriber(name, threads=threads, workers=workers)


def _from_array(samples: Any, sample_rate: int | None, start: float, end: float | None) -> np.ndarray:
    if not 0 <= start < (np.inf if end is None else end):
        raise EmofuseError(f"The segment is {start} s to {end} s. Expected 0 <= start < end, in seconds.")
    channels = channels_of(samples, sample_rate)
    assert sample_rate is not None
    channels = channels[round(start * sample_rate) : None if end is None else round(end * sample_rate)]
    mono = channels.mean(axis=1)
    if channels_cancel(float(np.square(channels).mean()), float(np.square(mono).mean())) if len(mono) else False:
        log.warning("The channels of these samples cancel each other, so that the first was taken alone.")
        mono = channels[:, 0]
    if sample_rate != SAMPLE_RATE:
        import soxr

        mono = soxr.resample(mono, sample_rate, SAMPLE_RATE)
    check_samples(mono, "samples")
    return np.ascontiguousarray(mono, np.float32)
