"""Speech recognition with faster-whisper (CTranslate2, int8 on the CPU).

Whisper hears windows of 30 seconds, however short the clip (Radford et al. 2023, arXiv:2212.04356). So the segments of
a long recording share windows, and its alignment of words and frames says whose words are whose.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from emofuse.audio import SAMPLE_RATE
from emofuse.encoders.weights import WEIGHTS, find_weights
from emofuse.errors import EmofuseError
from emofuse.files import hash_of
from emofuse.hashes import file_hash
from emofuse.threads import available_cores, once_property

# Whisper caught in a loop: one phrase over and over (its own limit), and more of it than anyone can say in the time.
# Where a second try is possible, more than people mostly say is enough to doubt it.
_MAX_COMPRESSION_RATIO = 2.4
_MAX_CHARACTERS_PER_SECOND = 30
_DOUBTFUL_CHARACTERS_PER_SECOND = 15
_WINDOW = 30 * SAMPLE_RATE  # what the model hears at once
_PAUSE = SAMPLE_RATE // 2  # what stays of a pause between two segments in one window
_VERSION = 2  # of what becomes of the model's output here, part of the identity

Span = tuple[int, int]  # first and last sample + 1


@dataclass(frozen=True)
class Transcript:
    """What was said.

    Attributes:
        text: empty if there is no speech.
        language: ISO 639-1 code; empty if there is no speech and no language was given.
        language_probability: 0..1; 1 if the language was given or the model knows one only.
        confidence: exp of the mean log probability of the tokens, phrases weighted by duration (windows of a long clip
            by length of text), 0..1. Segments that
            were heard in one window share it, as they share the language.
    """

    text: str
    language: str
    language_probability: float
    confidence: float


class Transcriber:
    """A Whisper model. Deterministic: beam search at temperature 0, no sampling.

    Args:
        model: `whisper-base` (multilingual), `whisper-tiny.en`, a name that faster-whisper knows (`small`), a hub name,
            or the folder of a CTranslate2 conversion.
        language: ISO 639-1 code of the speech; None to detect it.
        threads: of the processor, for each clip; None for this worker's share of the available cores.
        workers: clips that `transcribe_batch` decodes at once.
        beam_size: 1 is greedy; 5 costs next to nothing more on short clips, where the encoder takes the time.

    Raises:
        EmofuseError: the model is absent or cannot be downloaded, or it does not know the language.
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
            raise EmofuseError(f"{folder}: no usable Whisper model for CTranslate2 ({error}).") from error
        self.name = model
        self.language = self._check_language(language)
        self._folder, self._workers, self._beam_size = folder, workers, beam_size

    @once_property
    def identity(self) -> str:
        """SHA-256 of the weights and of every option that a transcript depends on."""
        files = {path.name: file_hash(path) for path in self._folder.iterdir() if path.is_file()}
        options = {"version": _VERSION, "language": self.language, "beam_size": self._beam_size}
        return hash_of({"files": files, **options})

    def transcribe(self, samples: np.ndarray, language: str | None = None) -> Transcript:
        """Transcribe mono speech.

        Args:
            samples: float32 (n,), 16 kHz.
            language: for this call, instead of that of the transcriber.

        Raises:
            EmofuseError: the model does not know the language.
        """
        language = self._check_language(language) or self.language
        speech = _speech(samples)
        if not speech:
            return Transcript("", language or "", 1.0 if language else 0.0, 0.0)
        first, *others = _windows(speech if len(samples) > _WINDOW else [(0, len(samples))])
        found = self._transcribe_window(samples, first, language)
        for window in others:
            found += self._transcribe_window(samples, window, found[0].language)
        return _joined(found)

    def transcribe_segments(
        self, samples: np.ndarray, segments: Sequence[tuple[float, float]], language: str | None = None
    ) -> list[Transcript]:
        """Transcribe the segments of one recording, in which speech was found already.

        Consecutive segments are heard together as long as they fit into the 30 seconds of the model, with half a second
        of the pauses between them. Windows are decoded independently, as many at once as the transcriber has workers.
        A segment for which a shared window yields no words, or those of a loop, is heard again by itself.

        Args:
            samples: float32 (n,), 16 kHz, the whole recording.
            segments: (start, end) in seconds, in order, not overlapping, each of at most 30 s.
            language: of the whole recording, instead of that of the transcriber; None: each window has its own.

        Returns:
            One transcript a segment.

        Raises:
            EmofuseError: as `transcribe`.
        """
        language = self._check_language(language) or self.language
        spans = [(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)) for start, end in segments]
        return self._transcribe_spans(samples, spans, language)

    def transcribe_batch(self, samples: Sequence[np.ndarray], language: str | None = None) -> list[Transcript]:
        """Transcribe several clips, as many at once as the transcriber has workers.

        Each clip is decoded by itself, so a transcript never depends on the others. Whisper hears 30 seconds whatever
        the length of the clip, so one clip keeps a core busy: workers of one thread each are faster than one worker
        with all threads, and joining clips into one call of the network gains nothing on a processor.

        Args:
            samples: clips as for `transcribe`.
            language: of all clips, instead of that of the transcriber.

        Raises:
            EmofuseError: as `transcribe`.
        """
        with ThreadPoolExecutor(self._workers) as pool:
            return list(pool.map(lambda clip: self.transcribe(clip, language), samples))

    def _transcribe_spans(self, samples: np.ndarray, spans: list[Span], language: str | None) -> list[Transcript]:
        with ThreadPoolExecutor(self._workers) as pool:
            found = pool.map(lambda window: self._transcribe_window(samples, window, language), _windows(spans))
            return [transcript for window in found for transcript in window]

    def _transcribe_window(self, samples: np.ndarray, spans: list[Span], language: str | None) -> list[Transcript]:
        sound, middles = _joined_sound(samples, spans)
        found = self._hear(sound, middles, language)
        if len(spans) > 1 and _is_loop(" ".join(found.texts), len(sound), _DOUBTFUL_CHARACTERS_PER_SECOND):
            return [one for span in spans for one in self._transcribe_window(samples, [span], language)]
        transcripts = []
        for span, text in zip(spans, found.texts, strict=True):
            lost = not text or _is_loop(text, span[1] - span[0], _MAX_CHARACTERS_PER_SECOND)
            if lost and len(spans) > 1:
                transcripts += self._transcribe_window(samples, [span], language)
            else:
                said = Transcript(text, found.language, found.language_probability, found.confidence)
                transcripts.append(replace(said, text="", confidence=0.0) if lost else said)
        return transcripts

    def _hear(self, sound: np.ndarray, middles: list[int], language: str | None) -> _Heard:
        """Decode one window: `WhisperModel.transcribe`, but the encoder runs once for the language and the words."""
        from faster_whisper.tokenizer import Tokenizer
        from faster_whisper.transcribe import pad_or_trim

        whisper = self._model
        features = whisper.feature_extractor(sound)  # (mels, frames + 1)
        encoded = whisper.encode(pad_or_trim(features[:, :-1]))
        probability = 1.0
        if not whisper.model.is_multilingual:
            language = "en"
        elif language is None:
            token, probability = whisper.model.detect_language(encoded)[0][0]
            language = token[2:-2]  # <|en|>
        tokenizer = Tokenizer(whisper.hf_tokenizer, whisper.model.is_multilingual, "transcribe", language)
        phrases = list(whisper.generate_segments(features, tokenizer, self._options, False, encoded))
        if not middles:
            texts = [" ".join(part for phrase in phrases if (part := phrase.text.strip()))]
        else:
            # The model looks a second time at the end of a window if it stopped early: no alignment for that.
            tokens = [
                token for phrase in phrases if not phrase.seek for token in phrase.tokens if token < tokenizer.eot
            ]
            words = whisper.find_alignment(tokenizer, [tokens], encoded, features.shape[1] - 1)[0] if tokens else []
            timed = [(word["word"], (word["start"] + word["end"]) / 2) for word in words]
            timed += [(f" {phrase.text.strip()}", (phrase.start + phrase.end) / 2) for phrase in phrases if phrase.seek]
            texts = _shared_out(timed, [middle / SAMPLE_RATE for middle in middles])
        return _Heard(texts, language or "", float(probability), _confidence(phrases))

    @once_property
    def _options(self) -> Any:
        """How to decode, with faster-whisper's defaults for all that is not said here."""
        _, info = self._model.transcribe(
            np.zeros(SAMPLE_RATE, np.float32),  # never decoded: the phrases are not asked for
            language="en",
            beam_size=self._beam_size,
            temperature=0.0,
            condition_on_previous_text=False,
            clip_timestamps=[0.0],
        )
        return info.transcription_options

    def _check_language(self, language: str | None) -> str | None:
        known = self._model.supported_languages
        if not self._model.model.is_multilingual and language not in (None, "en"):
            raise EmofuseError(
                f"the speech recogniser {self.name!r} knows English only, asked for language {language!r}. "
                "Choose a multilingual one, such as whisper-base."
            )
        if language is not None and language not in known:
            raise EmofuseError(f"unknown language {language!r}: expected one of {', '.join(sorted(known))}.")
        return language


@dataclass(frozen=True)
class _Heard:
    texts: list[str]  # one a segment
    language: str
    language_probability: float
    confidence: float


def _windows(spans: list[Span]) -> list[list[Span]]:
    """Consecutive segments together, as long as they fit."""
    windows: list[list[Span]] = []
    length = 0
    for span in spans:
        seconds = span[1] - span[0]
        pause = min(_PAUSE, span[0] - windows[-1][-1][1]) if windows else 0
        if windows and length + pause + seconds <= _WINDOW:
            windows[-1].append(span)
            length += pause + seconds
        else:
            windows.append([span])
            length = seconds
    return windows


def _joined_sound(samples: np.ndarray, spans: list[Span]) -> tuple[np.ndarray, list[int]]:
    """One window: the segments with what stays of the pauses between them, and where in it the pauses' middles are."""
    parts = [samples[slice(*spans[0])]]
    middles: list[int] = []
    for (_, end), (start, next_end) in pairwise(spans):
        kept = min(_PAUSE, start - end)
        parts += [samples[end : end + kept // 2], samples[start - (kept - kept // 2) : start]]
        middles.append(sum(map(len, parts)) - (kept - kept // 2))
        parts.append(samples[start:next_end])
    return np.concatenate(parts, dtype=np.float32), middles


def _shared_out(words: list[tuple[str, float]], middles: list[float]) -> list[str]:
    """The words of each segment, from the time of every word and of the middle of every pause.

    The alignment may miss a pause by a word, so a phrase that ends one word before or after the pause ends there. Marks
    have no sound: they belong to the word before them.
    """
    said: list[str] = []
    times: list[float] = []
    for word, seconds in words:
        if said and not any(letter.isalnum() for letter in word):
            said[-1] += word
        else:
            said.append(word)
            times.append(max(seconds, times[-1] if times else 0.0))
    cuts = [0]
    for middle in middles:
        cut = bisect(times, middle)
        near = [i for i in (cut, cut - 1, cut + 1) if 0 < i <= len(said) and not said[i - 1][-1:].isalnum()]
        cuts.append(max(cuts[-1], near[0] if near else cut))
    return ["".join(said[i:j]).strip() for i, j in pairwise([*cuts, len(said)])]


def _is_loop(text: str, length: int, characters_per_second: float) -> bool:
    from faster_whisper.transcribe import get_compression_ratio

    if len(text) <= characters_per_second * length / SAMPLE_RATE:
        return False
    return bool(get_compression_ratio(text) > _MAX_COMPRESSION_RATIO)


def _joined(found: list[Transcript]) -> Transcript:
    said = [transcript for transcript in found if transcript.text]
    if not said:
        return found[0]
    text = " ".join(transcript.text for transcript in said)
    mean = sum(math.log(transcript.confidence) * len(transcript.text) for transcript in said)
    confidence = math.exp(mean / sum(len(transcript.text) for transcript in said))
    return Transcript(text, found[0].language, found[0].language_probability, confidence)


def _confidence(phrases: list[Any]) -> float:
    if not phrases:
        return 0.0
    seconds = [max(phrase.end - phrase.start, 1e-3) for phrase in phrases]
    mean = sum(p.avg_logprob * weight for p, weight in zip(phrases, seconds, strict=True)) / sum(seconds)
    return min(1.0, math.exp(mean))


def _speech(samples: np.ndarray) -> list[Span]:
    """Stretches in which the voice activity detector finds any speech; Whisper invents words where there is none."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(
        threshold=0.3, min_silence_duration_ms=100, max_speech_duration_s=_WINDOW / SAMPLE_RATE, speech_pad_ms=400
    )
    found = get_speech_timestamps(np.asarray(samples, dtype=np.float32), options)
    return [(stretch["start"], min(stretch["end"], len(samples))) for stretch in found]


def _find_model(name: str) -> Path:
    """A packaged name, a folder, or a hub name (local hub cache first, then the network)."""
    if name in WEIGHTS and name.startswith("whisper-"):
        return find_weights(name)
    if Path(name).is_dir():
        if not (Path(name) / "model.bin").is_file():
            raise EmofuseError(f"{name}: no model.bin; expected a Whisper model converted for CTranslate2.")
        return Path(name)
    from faster_whisper.utils import available_models, download_model

    packaged = [known for known in WEIGHTS if known.startswith("whisper-")]
    if "/" not in name and name not in available_models():
        raise EmofuseError(
            f"unknown speech recogniser {name!r}: expected a folder, a hub name, or one of "
            f"{', '.join([*packaged, *available_models()])}."
        )
    for local in (True, False):
        try:
            return Path(download_model(name, local_files_only=local))
        except Exception as error:  # no common base among network, hub and name errors
            if not local:
                raise EmofuseError(
                    f"speech recogniser {name!r}: not in the local hub cache, and the download failed "
                    f"({str(error).splitlines()[0]}). Give a folder that holds it, or one of {', '.join(packaged)}."
                ) from error
    raise AssertionError("unreachable")
