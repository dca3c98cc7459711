"""Speech recognition with faster-whisper (CTranslate2, int8 on the CPU).

Whisper decodes windows of 30 seconds, however short the clip (Radford et al. 2023, arXiv:2212.04356). Segments of a
long recording therefore share windows, and Whisper's word alignment assigns each word to its segment.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emofuse.audio import SAMPLE_RATE
from emofuse.encoders.detector import find_speech
from emofuse.encoders.weights import WEIGHTS, find_weights
from emofuse.encoders.windows import WINDOW, Span, cut_window, group_segments, split_words
from emofuse.errors import EmofuseError
from emofuse.files import file_hash, hash_of
from emofuse.hardware import available_cores, locked_cached_property
from emofuse.words import LANGUAGES

# A transcript counts as a decoding loop if it is repetitive (Whisper's own limit of the compression ratio) and has more
# characters per second than anyone can say. The stricter, lower rate is used where segments can be decoded once more.
_MAX_COMPRESSION_RATIO = 2.4
_MAX_CHARACTERS_PER_SECOND = 30
_STRICT_CHARACTERS_PER_SECOND = 15
_MAX_DETECTION_WINDOWS = 4
_VERSION = 3  # part of the identity; raise it when this module treats the model's output differently

# With these limits, none of ten Polish and German clips that Whisper base took for English passes, and 60 of 60 clean
# English clips, 53 of 60 with noise at 5 dB and 52 of 60 cut to one second do (benchmarks/recognised_words.py).
MIN_LANGUAGE_PROBABILITY = 0.7
MIN_CONFIDENCE = 0.45


@dataclass(frozen=True)
class Transcript:
    """The recognised words of a clip or segment.

    Attributes:
        text: the words; empty if there is no speech, or if its language was not to be decoded.
        language: ISO 639-1 code; empty if there is no speech and no language was given.
        language_probability: 0..1; 1 if the language was given or the model knows only one.
        confidence: exp of the mean log probability of the tokens, 0..1. Phrases are weighted by duration, and windows
            of a long clip by the length of their text. Segments decoded in one window share confidence and language.
    """

    text: str
    language: str
    language_probability: float
    confidence: float


def distrust(transcript: Transcript) -> str | None:
    """Return why the words of a transcript must not be used, in a sentence; None if they may be used.

    >>> distrust(Transcript("Dogs are sitting by the door.", "en", 0.97, 0.59))
    >>> distrust(Transcript("I'm sorry.", "en", 0.41, 0.5))
    'The words were not used because their language is uncertain (English, probability 0.41).'
    """
    probability, confidence = transcript.language_probability, transcript.confidence
    if probability < MIN_LANGUAGE_PROBABILITY:
        language = LANGUAGES.get(transcript.language, transcript.language).title()
        reason = f"their language is uncertain ({language}, probability {probability:.2f})"
    elif confidence < MIN_CONFIDENCE:
        reason = f"they were hard to recognise (confidence {confidence:.2f})"
    else:
        return None
    return f"The words were not used because {reason}."


class _Language(NamedTuple):
    code: str
    probability: float


class Transcriber:
    """A Whisper model. It decodes deterministically, by beam search at temperature 0.

    Args:
        model: `whisper-base` (multilingual), `whisper-tiny.en`, a name that faster-whisper knows (`small`), a hub name,
            or the folder of a CTranslate2 conversion.
        language: ISO 639-1 code of the speech; None to detect it.
        threads: processor threads for each clip; None for this worker's share of the available cores.
        workers: number of clips that `transcribe_batch` decodes at once.
        beam_size: 1 is greedy decoding; 5 is hardly slower on short clips, where the encoder takes most of the time.

    Raises:
        EmofuseError: the model is missing and cannot be downloaded, or it does not know the language.
    """

    def __init__(
        self,
        model: str = "whisper-base",
        language: str | None = None,
        *,
        threads: int | None = None,
        workers: int = 1,
        beam_size: int = 5,
    ):
        from faster_whisper import WhisperModel

        folder = _find_model(model)
        threads = threads or max(1, available_cores() // workers)
        try:
            self._model: Any = WhisperModel(
                str(folder), device="cpu", compute_type="int8", cpu_threads=threads, num_workers=workers
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise EmofuseError(f"{folder}: not a usable Whisper model for CTranslate2 ({error}).") from error
        self.name = model
        self.language = self._check_language(language)
        self._folder, self._workers, self._beam_size = folder, workers, beam_size

    @locked_cached_property
    def identity(self) -> str:
        """SHA-256 of the weights and of every option that affects a transcript."""
        files = {path.name: file_hash(path) for path in self._folder.iterdir() if path.is_file()}
        options = {"version": _VERSION, "language": self.language, "beam_size": self._beam_size}
        return hash_of({"files": files, **options})

    def detect_language(self, samples: np.ndarray, segments: Sequence[tuple[float, float]]) -> tuple[str, float]:
        """Detect the language of a recording from up to four windows, spread over its segments.

        Args:
            samples: float32 (n,), 16 kHz.
            segments: as for `transcribe_segments`, at least one.

        Returns:
            ISO 639-1 code, and its probability averaged over the windows, weighted by their seconds. The probability is
            1 if the transcriber was given a language or the model knows only one.
        """
        return self._detect(samples, group_segments(_spans(segments)))

    def transcribe(
        self, samples: np.ndarray, language: str | None = None, *, read: Collection[str] | None = None
    ) -> Transcript:
        """Transcribe mono speech.

        Args:
            samples: float32 (n,), 16 kHz.
            language: overrides the language of the transcriber for this call.
            read: languages whose words are decoded, which takes most of the time; None for all.

        Raises:
            EmofuseError: the model does not know the language.
        """
        language = self._check_language(language) or self.language
        speech = _find_speech(samples)
        if not speech:
            return Transcript("", language or "", 1.0 if language else 0.0, 0.0)
        windows = group_segments(speech if len(samples) > WINDOW else [(0, len(samples))])
        known = _Language(language, 1.0) if language else None
        if known is None and len(windows) > 1:
            known = self._detect(samples, windows)
        transcripts = [one for window in windows for one in self._transcribe_window(samples, window, known, read)]
        joined = _join_transcripts(transcripts)
        is_loop = _is_loop(joined.text, sum(end - start for start, end in speech), _MAX_CHARACTERS_PER_SECOND)
        return _without_words(joined) if is_loop else joined

    def transcribe_segments(
        self,
        samples: np.ndarray,
        segments: Sequence[tuple[float, float]],
        language: str | None = None,
        *,
        read: Collection[str] | None = None,
    ) -> list[Transcript]:
        """Transcribe the segments of one recording; the caller has found speech in each of them.

        Consecutive segments are decoded together as long as they fit into the model's 30 seconds, with pauses shortened
        to half a second. Windows are decoded independently, as many at once as the transcriber has workers. A segment
        that gets no words, or a loop, from a shared window is decoded again on its own.

        Args:
            samples: float32 (n,), 16 kHz, the whole recording.
            segments: (start, end) in seconds, in order, not overlapping, each of at most 30 s.
            language: of the whole recording, overrides that of the transcriber; if both are None, it is detected in
                each window. `detect_language` tells the language of a recording of several windows more surely.
            read: languages whose words are decoded, which takes most of the time; None for all. A window in a known
                other language costs nothing, and one whose language is detected costs the encoder alone.

        Returns:
            One transcript per segment, without words where the language is not in `read`.

        Raises:
            EmofuseError: as `transcribe`.
        """
        language = self._check_language(language) or self.language
        known = _Language(language, 1.0) if language else None
        windows = group_segments(_spans(segments))
        with ThreadPoolExecutor(self._workers) as pool:
            transcripts = pool.map(lambda window: self._transcribe_window(samples, window, known, read), windows)
            return [transcript for of_window in transcripts for transcript in of_window]

    def transcribe_batch(self, samples: Sequence[np.ndarray], language: str | None = None) -> list[Transcript]:
        """Transcribe several clips as `transcribe` does, as many at once as the transcriber has workers.

        As Whisper always processes 30 seconds, one clip keeps a core busy: several workers with one thread each are
        faster than one worker with all threads, and batching clips in one call of the network gains nothing.
        """
        with ThreadPoolExecutor(self._workers) as pool:
            return list(pool.map(lambda clip: self.transcribe(clip, language), samples))

    def _detect(self, samples: np.ndarray, windows: list[list[Span]]) -> _Language:
        if self.language is not None or not self._model.model.is_multilingual:
            return _Language(self.language or "en", 1.0)
        chosen = np.linspace(0, len(windows) - 1, min(len(windows), _MAX_DETECTION_WINDOWS)).round().astype(int)
        parts = [cut_window(samples, windows[i])[0] for i in chosen]
        totals: Counter[str] = Counter()
        with ThreadPoolExecutor(self._workers) as pool:
            rows = pool.map(lambda part: self._probabilities(self._encode(part)[1]), parts)
            for part, probabilities in zip(parts, rows, strict=True):
                totals.update({code: probability * len(part) for code, probability in probabilities.items()})
        code, total = totals.most_common(1)[0]
        return _Language(code, total / sum(map(len, parts)))

    def _transcribe_window(
        self, samples: np.ndarray, spans: list[Span], language: _Language | None, read: Collection[str] | None
    ) -> list[Transcript]:
        if language is not None and read is not None and language.code not in read:
            return [Transcript("", *language, 0.0)] * len(spans)
        window, pauses = cut_window(samples, spans)
        decoded = self._decode(window, pauses, language, read)
        language = decoded.language
        if len(spans) > 1 and _is_loop(" ".join(decoded.texts), len(window), _STRICT_CHARACTERS_PER_SECOND):
            return [one for span in spans for one in self._transcribe_window(samples, [span], language, read)]
        transcripts = []
        for span, text in zip(spans, decoded.texts, strict=True):
            failed = not text or _is_loop(text, span[1] - span[0], _MAX_CHARACTERS_PER_SECOND)
            if failed and len(spans) > 1:
                transcripts += self._transcribe_window(samples, [span], language, read)
            else:
                transcript = Transcript(text, *language, decoded.confidence)
                transcripts.append(_without_words(transcript) if failed else transcript)
        return transcripts

    def _encode(self, window: np.ndarray) -> tuple[np.ndarray, Any]:
        """Log-Mel features (mels, frames + 1) of samples (n,), and the encoder's output for them."""
        from faster_whisper.transcribe import pad_or_trim

        features = self._model.feature_extractor(window)
        return features, self._model.encode(pad_or_trim(features[:, :-1]))

    def _probabilities(self, encoded: Any) -> dict[str, float]:
        """Probabilities of all languages, the highest first."""
        return {token[2:-2]: probability for token, probability in self._model.model.detect_language(encoded)[0]}

    def _decode(
        self, window: np.ndarray, pauses: list[int], language: _Language | None, read: Collection[str] | None
    ) -> _DecodedWindow:
        """Decode a window of samples (n,), with segments between the middles of `pauses` (in samples).

        Like `WhisperModel.transcribe`, but the encoder runs only once for the language and the words.
        """
        from faster_whisper.tokenizer import Tokenizer

        whisper = self._model
        features, encoded = self._encode(window)
        if not whisper.model.is_multilingual:
            language = _Language("en", 1.0)
        elif language is None:
            language = _Language(*next(iter(self._probabilities(encoded).items())))
        if read is not None and language.code not in read:
            return _DecodedWindow([""] * (len(pauses) + 1), language, 0.0)
        tokenizer = Tokenizer(whisper.hf_tokenizer, whisper.model.is_multilingual, "transcribe", language.code)
        phrases = list(whisper.generate_segments(features, tokenizer, self._options, False, encoded))
        if not pauses:
            texts = [" ".join(part for phrase in phrases if (part := phrase.text.strip()))]
        else:
            # If the model stopped early, it decodes the end of the window in a second pass, which is not aligned.
            tokens = [
                token for phrase in phrases if not phrase.seek for token in phrase.tokens if token < tokenizer.eot
            ]
            words = whisper.find_alignment(tokenizer, [tokens], encoded, features.shape[1] - 1)[0] if tokens else []
            timed = [(word["word"], (word["start"] + word["end"]) / 2) for word in words]
            timed += [(f" {phrase.text.strip()}", (phrase.start + phrase.end) / 2) for phrase in phrases if phrase.seek]
            texts = split_words(timed, [pause / SAMPLE_RATE for pause in pauses])
        return _DecodedWindow(texts, language, _confidence(phrases))

    @locked_cached_property
    def _options(self) -> Any:
        """Decoding options: those given here, and faster-whisper's defaults for the rest."""
        _, info = self._model.transcribe(
            np.zeros(SAMPLE_RATE, np.float32),  # not decoded, because the phrases are not iterated
            language="en",
            beam_size=self._beam_size,
            temperature=0.0,
            log_prob_threshold=None,  # without it, no words come from what is probably not speech, however fluent
            condition_on_previous_text=False,
            clip_timestamps=[0.0],
        )
        return info.transcription_options

    def _check_language(self, language: str | None) -> str | None:
        known = self._model.supported_languages
        if not self._model.model.is_multilingual and language not in (None, "en"):
            raise EmofuseError(
                f"the speech recogniser {self.name!r} knows English only, but the language is {language!r}. "
                "Choose a multilingual recogniser, such as whisper-base."
            )
        if language is not None and language not in known:
            raise EmofuseError(f"unknown language {language!r}: expected one of {', '.join(sorted(known))}.")
        return language


@dataclass(frozen=True)
class _DecodedWindow:
    texts: list[str]  # one per segment
    language: _Language
    confidence: float


def _spans(segments: Sequence[tuple[float, float]]) -> list[Span]:
    return [(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)) for start, end in segments]


def _is_loop(text: str, length: int, characters_per_second: float) -> bool:
    """Whether a text is repetitive, and longer than can be said in `length` samples at the given rate."""
    from faster_whisper.transcribe import get_compression_ratio

    if len(text) <= characters_per_second * length / SAMPLE_RATE:
        return False
    return bool(get_compression_ratio(text) > _MAX_COMPRESSION_RATIO)


def _without_words(transcript: Transcript) -> Transcript:
    return replace(transcript, text="", confidence=0.0)


def _join_transcripts(transcripts: list[Transcript]) -> Transcript:
    first = transcripts[0]
    lengths = [len(transcript.text) for transcript in transcripts]
    if not any(lengths):
        return first
    text = " ".join(transcript.text for transcript in transcripts if transcript.text)
    log_confidence = sum(math.log(t.confidence) * n for t, n in zip(transcripts, lengths, strict=True) if n)
    return Transcript(text, first.language, first.language_probability, math.exp(log_confidence / sum(lengths)))


def _confidence(phrases: list[Any]) -> float:
    if not phrases:
        return 0.0
    seconds = [max(phrase.end - phrase.start, 1e-3) for phrase in phrases]
    mean = sum(p.avg_logprob * weight for p, weight in zip(phrases, seconds, strict=True)) / sum(seconds)
    return min(1.0, math.exp(mean))


def _find_speech(samples: np.ndarray) -> list[Span]:
    """Find stretches with any speech, because Whisper invents words where there is none."""
    return find_speech(samples, threshold=0.3, min_silence_duration_ms=100, max_speech_duration_s=30, speech_pad_ms=400)


def _find_model(name: str) -> Path:
    """Find a packaged model, a folder, or a model of the hub (in the local hub cache first, then by download)."""
    if name in WEIGHTS and name.startswith("whisper-"):
        return find_weights(name)
    if Path(name).is_dir():
        if not (Path(name) / "model.bin").is_file():
            raise EmofuseError(f"{name} has no model.bin; expected a Whisper model converted for CTranslate2.")
        return Path(name)
    from faster_whisper.utils import available_models, download_model

    packaged = [known for known in WEIGHTS if known.startswith("whisper-")]
    if "/" not in name and name not in available_models():
        raise EmofuseError(
            f"unknown speech recogniser {name!r}: expected a folder, a hub name, or one of "
            f"{', '.join([*packaged, *available_models()])}."
        )
    with suppress(Exception):  # network, hub and name errors have no common base class
        return Path(download_model(name, local_files_only=True))
    try:
        return Path(download_model(name))
    except Exception as error:
        raise EmofuseError(
            f"speech recogniser {name!r} is not in the local hub cache, and its download failed "
            f"({str(error).splitlines()[0]}). Give a folder that holds it, or one of {', '.join(packaged)}."
        ) from error
