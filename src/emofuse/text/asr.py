"""Speech recognition with faster-whisper (CTranslate2, int8 on the CPU)."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from emofuse.audio import SAMPLE_RATE
from emofuse.errors import EmofuseError
from emofuse.files import hash_of, sha256
from emofuse.text.weights import WEIGHTS, find_weights

# Whisper caught in a loop: one phrase over and over (its own limit), and more of it than anyone can say in the time.
_MAX_COMPRESSION_RATIO = 2.4
_MAX_CHARACTERS_PER_SECOND = 30
_VERSION = 1  # of what becomes of the model's output here, part of the identity


@dataclass(frozen=True)
class Transcript:
    """What was said.

    Attributes:
        text: empty if there is no speech.
        language: ISO 639-1 code; empty if there is no speech and no language was given.
        language_probability: 0..1; 1 if the language was given or the model knows one only.
        confidence: exp of the mean log probability of the tokens, segments weighted by duration, 0..1.
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
        threads: of the processor, for each clip; None for all that there are.
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
        threads = threads or max(1, (os.cpu_count() or 1) // workers)
        try:
            self._model: Any = WhisperModel(
                str(folder), device="cpu", compute_type="int8", cpu_threads=threads, num_workers=workers
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise EmofuseError(f"{folder}: no usable Whisper model for CTranslate2 ({error}).") from error
        self.name = model
        self.language = self._check_language(language)
        self._folder, self._workers, self._beam_size = folder, workers, beam_size

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the weights and of every option that a transcript depends on."""
        files = {path.name: sha256(path) for path in self._folder.iterdir() if path.is_file()}
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
        if not _has_speech(samples):
            return Transcript("", language or "", 1.0 if language else 0.0, 0.0)
        segments, info = self._model.transcribe(
            np.ascontiguousarray(samples, dtype=np.float32),
            language=language,
            beam_size=self._beam_size,
            temperature=0.0,
            condition_on_previous_text=False,
        )
        found = list(segments)
        sayable = sum(len(s.text) for s in found) <= _MAX_CHARACTERS_PER_SECOND * len(samples) / SAMPLE_RATE
        kept = [s for s in found if sayable or s.compression_ratio <= _MAX_COMPRESSION_RATIO]
        text = " ".join(part for segment in kept if (part := segment.text.strip()))
        return Transcript(text, info.language, float(info.language_probability), _confidence(kept) if text else 0.0)

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


def _confidence(segments: list[Any]) -> float:
    seconds = [max(segment.end - segment.start, 1e-3) for segment in segments]
    mean = sum(s.avg_logprob * weight for s, weight in zip(segments, seconds, strict=True)) / sum(seconds)
    return min(1.0, math.exp(mean))


def _has_speech(samples: np.ndarray) -> bool:
    """Whether the voice activity detector finds any speech; Whisper invents words where there is none."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(threshold=0.3, min_speech_duration_ms=0, min_silence_duration_ms=100)
    return bool(get_speech_timestamps(np.asarray(samples, dtype=np.float32), options))


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
