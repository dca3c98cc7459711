"""Predict emotions from a recording, a text, or both, with ONNX Runtime and without PyTorch.

A recording is judged utterance by utterance, in chapters of about a minute, so that answers come early and memory does
not grow with length. With several segments of one speaker, the model adapts to that speaker.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Unpack

import numpy as np

from emofuse.audio import Note, Source, name_of
from emofuse.encoders import detector
from emofuse.encoders.speaker import SpeakerEncoder
from emofuse.errors import EmofuseError
from emofuse.hardware import available_cores, release_memory, run_parallel
from emofuse.inference.bundle import Bundle
from emofuse.inference.context import RecordingContext, speaker_key
from emofuse.inference.network import Network
from emofuse.inference.options import MAX_UTTERANCE_SECONDS, PredictOptions, checked_options
from emofuse.inference.profiles import measure_recording, merge_profiles
from emofuse.inference.reader import RecordingReader
from emofuse.inference.transcripts import RecordingWords, Transcript, given_transcript, language_name
from emofuse.inference.voices import chapters_of
from emofuse.models.adapter import RunningOffset, SpeakerProfile
from emofuse.segment import checked_text, extent_of
from emofuse.timeline.chapters import Chapter, single_chapter
from emofuse.timeline.prediction import Prediction, Timeline
from emofuse.words import has_words_or_emoji

log = logging.getLogger("emofuse")


_APPROXIMATE = (
    "The words were read by a small encoder of many languages, which overlooks negations; the probabilities are "
    "calibrated for English only."
)


class SegmentPrediction(NamedTuple):
    """A prediction together with the network's input."""

    prediction: Prediction
    samples: np.ndarray | None  # float32 (n,), 16 kHz; None without a recording
    frames: np.ndarray | None  # (frames, width), after adaptation to the speaker; None if no audio was used


class Predictor:
    """A bundle, ready to predict. Several threads may use it at once.

    Args:
        bundle: the model.
        asr: speech recogniser for recordings without a transcript: a model for `emofuse.encoders.recogniser`. It is
            loaded when first needed. If its weights are not installed, a warning is logged once and only the voice is
            used.
        threads: number of processor threads to use, at least 1; None for the cores available to this process. A network
            uses one thread; the segments of a recording, and the recordings of `predict_many`, are processed in
            parallel, and the recogniser uses all threads. Threads of the caller are not counted.
        transcribe: whether to recognise the words of recordings without a transcript: "auto" or True, where the model
            reads their language; "always", in all languages; "off" or False, never.
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
        transcribe: bool | str = "auto",
        adapt: bool = True,
    ) -> None:
        if threads is not None and threads < 1:
            raise EmofuseError(f"threads is {threads}; expected at least 1.")
        self.bundle = bundle
        self.threads = threads or available_cores()
        self.calls_at_once = 1
        self.asr = asr
        self.transcribe = transcribe if isinstance(transcribe, str) else ("auto" if transcribe else "off")
        if self.transcribe not in ("auto", "always", "off"):
            raise EmofuseError(f"transcribe is {transcribe!r}. Expected auto, always or off.")
        self.adapt = adapt
        self.network = Network(bundle)
        self.adapter = bundle.load_adapter()
        self._transcriber: Any = None
        self._loading = threading.Lock()

    def __call__(
        self, audio: Source | np.ndarray | None = None, text: str | None = None, **options: Unpack[PredictOptions]
    ) -> Timeline:
        """Predict emotions from a recording, a text, or both.

        Args:
            audio: a recording, as its path, its bytes, an open binary file, or samples (n,), (n, channels) or
                (channels, n), floating point (full scale -1..1) or integers; None for text alone.
            text: words of the recording, which is then treated as one utterance of at most 30 s. A text without letters
                and digits ("", "...") means that there are no words: only the voice is used, without recognition. None
                means that the words are unknown.
            **options: see `emofuse.inference.options.PredictOptions`.

        Returns:
            One prediction per utterance (or window, or given segment), in order of time; none if nobody speaks. Its
            notes, which are also logged as warnings, say what is missing: sound that cannot be decoded, channels that
            cancel each other, several recordings in one file.

        Raises:
            EmofuseError: the audio cannot be read or used, an option has no such value, or the model cannot use the
                given modalities.
        """
        timeline = Timeline()
        tell, progress = options.get("tell"), options.get("progress")

        def note(what: Note) -> None:
            timeline.notes.append(what)
            if tell is not None:
                tell(what)

        def reached(seconds: float) -> None:
            timeline.seconds = seconds
            if progress is not None:
                progress(seconds)

        options["tell"], options["progress"] = note, reached
        timeline.extend(self.stream(audio, text, **options))
        timeline.file = name_of(audio) if isinstance(audio, str | Path) else None
        return timeline

    def stream(
        self, audio: Source | np.ndarray | None = None, text: str | None = None, **options: Unpack[PredictOptions]
    ) -> Iterator[Prediction]:
        """Yield predictions as they are ready, about a minute of the recording at a time.

        They are those of a call: the model adapts to what a speaker has said up to the end of that minute.
        """
        for segment in self.iter_segments(audio, text, **options):
            yield segment.prediction

    def iter_segments(
        self, audio: Source | np.ndarray | None, text: str | None = None, **options: Unpack[PredictOptions]
    ) -> Iterator[SegmentPrediction]:
        """Yield each segment's prediction together with its samples and frames, as `stream` does."""
        checked, text = checked_options(options), checked_text(text)
        if audio is None:
            yield from self._judge_text(text, checked["language"])
            return
        start, end = checked["start"], checked["end"]
        if checked["segments"]:
            start, end = extent_of(checked["segments"])
        channels = "mix" if has_words_or_emoji(text) and checked["channels"] == "auto" else checked["channels"]
        recording = RecordingReader(
            audio,
            sample_rate=checked["sample_rate"],
            start=start,
            end=end,
            track=checked["track"],
            channels=channels,
            tell=checked["tell"],
        )
        yield from self._judge_recording(recording, text, checked)

    def speaker_profile(self, recordings: Iterable[Path | str], **options: Unpack[PredictOptions]) -> SpeakerProfile:
        """Measure recordings of one speaker, to adapt predictions for that speaker.

        Args:
            recordings: paths.
            **options: those that decide about the segments.

        Raises:
            EmofuseError: the model cannot adapt, a recording cannot be used, or nobody speaks in any of them.
        """
        if self.adapter is None:
            raise EmofuseError(f"The model {self.bundle.name} cannot adapt to a speaker. Leave --adapt out.")
        paths, checked = list(recordings), checked_options({**options, "channels": "mix"})
        measured = [measure_recording(self, path, checked) for path in paths]
        profiles = [profile for one in measured for profile in one.profiles.values()]
        if not profiles:
            names = ", ".join(map(name_of, paths))
            raise EmofuseError(f"{names}: nobody speaks, so that there is nothing to adapt to.")
        return merge_profiles(profiles)

    def _judge_text(self, text: str | None, language: str | None) -> Iterator[SegmentPrediction]:
        if text is None or not has_words_or_emoji(text):
            raise EmofuseError("There is nothing to predict from: give a recording, a text, or both.")
        transcript = self._given(text, language)
        for part in self.network.text_parts(text.strip(), transcript.language):
            yield SegmentPrediction(self._predict(None, replace(transcript, text=part)), None, None)

    def _judge_recording(
        self, recording: RecordingReader, text: str | None, options: PredictOptions
    ) -> Iterator[SegmentPrediction]:
        """Judge chapter by chapter; predictions come in order of time, whatever channel they are of."""
        has_text = has_words_or_emoji(text)
        context = RecordingContext(recording.name, recording.file, options, use_words=text is None, has_text=has_text)
        if self.adapter is not None:
            context.adapt_to(options["speaker"], self.adapter)
        count = 0
        waiting: list[SegmentPrediction] = []
        reached: dict[int | None, float] = dict.fromkeys(recording.channels, recording.start)
        for chapter in self._chapters(recording, text, options):
            waiting += self.judge(chapter, context)
            reached[chapter.channel] = chapter.until
            until = min(reached.values())
            options["progress"](until)
            waiting.sort(key=lambda one: one.prediction.start or 0.0)
            ready = [one for one in waiting if (one.prediction.start or 0.0) < until]
            waiting = waiting[len(ready) :]
            count += len(ready)
            yield from ready
            release_memory()
        yield from waiting
        options["progress"](max(reached.values()))
        if not count + len(waiting):
            recording.tell(Note("speech", "no speech was found in it"))

    def _chapters(self, recording: RecordingReader, text: str | None, options: PredictOptions) -> Iterator[Chapter]:
        if text is None or not has_words_or_emoji(text):
            yield from chapters_of(recording, options, speaker_encoder=SpeakerEncoder)
            return
        [(_, blocks)] = recording.channel_blocks()
        try:
            yield single_chapter(blocks, text, max_seconds=MAX_UTTERANCE_SECONDS, origin=recording.start)
        except ValueError:
            raise EmofuseError(
                f"{recording.name}: more than {MAX_UTTERANCE_SECONDS:.0f} s are too long for one text. Leave the text "
                "out, or give transcripts of shorter parts (--transcripts with the columns start and end)."
            ) from None

    def judge(self, chapter: Chapter, context: RecordingContext) -> list[SegmentPrediction]:
        """Judge the segments of a chapter, given what is known of the recording so far."""
        chapter = context.usable(chapter)
        all_frames = self.segment_frames(chapter)
        transcripts = self._transcripts(chapter, context)
        keys = [speaker_key(chapter, segment) for segment in chapter.segments]
        for key, segment, frames in zip(keys, chapter.segments, all_frames, strict=True):
            if self.adapter is not None and frames is not None:
                speaker = context.speakers.setdefault(key, RunningOffset(self.adapter))
                speaker.add(frames.mean(axis=0), segment.seconds)
        offsets = {key: self._offset(key[1], speaker, context) for key, speaker in context.speakers.items()}
        judged = []
        for key, segment, frames, transcript in zip(keys, chapter.segments, all_frames, transcripts, strict=True):
            offset = offsets.get(key)
            adapted = offset is not None and frames is not None
            frames = frames - offset if adapted else frames
            samples = chapter.samples_of(segment)
            prediction = self._predict(frames, transcript, context.name, adapted=adapted)
            if context.must_detect_speech and frames is not None and not detector.has_speech(samples):
                prediction = _without_speech(prediction)
            prediction = replace(
                prediction,
                file=context.file,
                start=segment.start,
                end=segment.end,
                speaker=segment.speaker,
                channel=chapter.channel,
                adapted=adapted,
                extra=segment.extra,
            )
            judged.append(SegmentPrediction(prediction, samples, frames))
        return judged

    def segment_frames(self, chapter: Chapter) -> list[Any]:
        """Frames of each segment; None for each if the model does not use audio."""
        if "audio" not in self.bundle.reads:
            return [None] * len(chapter.segments)
        threads = max(1, min(self.threads // self.calls_at_once, len(chapter.segments)))
        parts = [chapter.samples_of(segment) for segment in chapter.segments]
        return [call.result() for call in run_parallel(self.network.frames, parts, threads=threads)]

    def _offset(self, name: str | None, speaker: RunningOffset, context: RecordingContext) -> np.ndarray | None:
        """The offset of speaker, room and line in the frames, (width,); None if it is unknown."""
        offset = context.offset if name is None else context.offsets.get(name, context.offset)
        if offset is None and self.adapt:
            offset = speaker.offset()
        return offset if offset is not None and offset.any() else None

    def _transcripts(self, chapter: Chapter, context: RecordingContext) -> list[Transcript]:
        """The words of each segment: those given with it, else recognised ones if there are to be any."""
        transcripts = [
            None if one.text is None else self._given(one.text, context.language) for one in chapter.segments
        ]
        unknown = [one for one in chapter.segments if one.text is None]
        recognised = iter([Transcript()] * len(unknown))
        if context.use_words and unknown:
            recognised = iter(self._words(context).transcribe(chapter, unknown))
        return [next(recognised) if one is None else one for one in transcripts]

    def _words(self, context: RecordingContext) -> RecordingWords:
        if context.words is None:
            read = None if self.transcribe == "always" else self.bundle.text_languages
            language = context.options["language"]
            unread = read is not None and language not in (None, "mixed", *read)
            transcriber = None if unread else self.load_recogniser(several=True)
            context.words = RecordingWords(transcriber, language, read)
        return context.words

    def _given(self, text: str, language: str | None) -> Transcript:
        """Words that the user gave; their language is identified if the model can do without them."""
        detect = "text" in self.bundle.reads and "audio" in self.bundle.reads
        return given_transcript(text, language, detect=detect)

    def load_recogniser(self, *, several: bool) -> Any:
        """The recogniser, loaded by the first thread that needs it; None if words are not recognised.

        Decoding one clip gains little from many threads, so they are divided among the clips decoded at once: windows
        of a long recording if the first recording is `several` segments long, otherwise simultaneous calls.
        """
        with self._loading:
            if self.transcribe != "off" and self._transcriber is None:
                workers = self.threads if several else min(self.threads, self.calls_at_once)
                self._transcriber = _load_transcriber(self.asr, threads=self.threads // workers, workers=workers)
                if self._transcriber is None:
                    self.transcribe = "off"
            return self._transcriber if self.transcribe != "off" else None

    def _predict(
        self, frames: np.ndarray | None, transcript: Transcript, name: str = "text", *, adapted: bool = False
    ) -> Prediction:
        reads_text = "text" in self.bundle.reads
        doubt = self._doubt(transcript, with_voice=frames is not None) if reads_text else None
        unreadable = None
        if transcript.text and reads_text and not doubt:
            unreadable = self.network.unreadable(transcript.text, transcript.language)
        # A text alone that cannot be read is answered all the same, but never with certainty.
        has_text = (
            transcript.text is not None and reads_text and doubt is None and not (unreadable and frames is not None)
        )
        if frames is None and not (has_text and self.bundle.reads_text_alone):
            raise EmofuseError(f"{name}: this model cannot use the input. It reads {self._reads()}.")
        embedding = self.network.embedding(transcript.text or "", transcript.language) if has_text else None
        answer = self.network.answer(frames, embedding, adapted=adapted)
        probabilities = dict(zip(self.bundle.labels, answer.probabilities.tolist(), strict=True))
        emotion = max(probabilities, key=probabilities.__getitem__, default=None)
        confidence = None if emotion is None else probabilities[emotion]
        dimensions = dict(zip(self.bundle.dimensions, answer.dimensions.tolist(), strict=True))
        calibration = answer.calibration
        uncertain = None if calibration is None or confidence is None else confidence < calibration.uncertain_below
        approximate = has_text and self.network.is_multilingual(transcript.text or "", transcript.language)
        if (unreadable and frames is None) or approximate:
            uncertain = True
        intervals = {}
        if not approximate and calibration is not None and calibration.dimension_half_width is not None:
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
            uncertain=uncertain,
            intervals=intervals,
            language_probability=transcript.language_probability,
            text_confidence=transcript.confidence,
            note=doubt or unreadable or (_APPROXIMATE if approximate else None),
        )

    def _doubt(self, transcript: Transcript, *, with_voice: bool) -> str | None:
        """Why the words of a transcript are not used; None if they may be."""
        if transcript.language is None or transcript.language in self.bundle.text_languages:
            return transcript.doubt
        without_voice = transcript.language in self.bundle.multilingual_encoder.get("languages", [])
        if without_voice and not with_voice:
            return transcript.doubt
        words = f"The words, in {language_name(transcript.language)}, were not used"
        if without_voice:  # they help too little: docs/results/default-model.md
            return f"{words} because the model reads that language only without a voice."
        return f"{words} because the model does not read that language."

    def _reads(self) -> str:
        without_voice = self.bundle.multilingual_encoder.get("languages", []) if self.bundle.reads_text_alone else []
        text = f"text ({', '.join([*self.bundle.text_languages, *without_voice])})"
        if not self.bundle.reads_text_alone:
            text += " together with audio"
        return " and ".join(text if kind == "text" else kind for kind in self.bundle.reads)


def _without_speech(prediction: Prediction) -> Prediction:
    """Lower the confidence for audio without speech, because networks are overconfident on noise and music."""
    if prediction.uncertain is None:
        return prediction
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
