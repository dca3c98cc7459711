"""Run the networks of a bundle: front end or speech encoder, text encoder, and the model itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from emofuse.audio import SAMPLE_RATE, WHISPER_SECONDS, FrontEnd, log_mel
from emofuse.encoders.onnx import open_session
from emofuse.hardware import locked_cached_property
from emofuse.inference.bundle import SPEECH_ENCODER_FILE, Bundle
from emofuse.metrics.calibration import Calibration, apply_temperature
from emofuse.silence import sound_bounds
from emofuse.words import has_words, name_emoji, split_emoji

_MAX_UNKNOWN_SHARE = 0.5  # of the characters of a text
_DUMMY_FRAMES = 16  # number of frames given for text alone, which the model ignores


@dataclass(frozen=True)
class Answer:
    """Output of the model for one utterance."""

    probabilities: np.ndarray  # (K,), calibrated, of the categories; empty without that head
    dimensions: np.ndarray  # (3,), arousal, valence, dominance in 0..1; empty without that head
    calibration: Calibration | None  # for this input (with audio, adapted audio, or text alone)


class Network:
    """The networks of a bundle.

    Args:
        bundle: the model.
        threads: number of threads for one call of a network. Several threads may make calls at once.

    Attributes:
        rate: frames per second.
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.bundle = bundle
        self._threads = threads
        self._front_end = FrontEnd(**bundle.front_end)
        self._session = open_session(bundle.model_path, threads)
        self._calibration = {kind: Calibration.from_dict(facts) for kind, facts in bundle.calibration.items()}
        self._width = self._front_end.n_mels
        self.rate = self._front_end.sample_rate / self._front_end.hop
        if facts := bundle.speech_encoder:
            self._width, self.rate = len(facts["layers"]) * facts["dim"], facts["rate"]

    def frames(self, samples: np.ndarray) -> np.ndarray:
        """Audio input of the model for a clip: log-Mel in dB, or hidden states of its speech encoder.

        Args:
            samples: float32 (n,), 16 kHz, at least 0.1 s.

        Returns:
            float32 (frames, width).
        """
        if self.bundle.speech_encoder:
            return self._speech_encoder.states(samples)
        return log_mel(samples, self._front_end)

    def span(self, samples: np.ndarray) -> tuple[int, int]:
        """First and last sample (exclusive) of a clip that `frames` covers."""
        if not self.bundle.speech_encoder:
            return 0, len(samples)
        first, last = sound_bounds(samples)
        return first, min(last, first + int(WHISPER_SECONDS * SAMPLE_RATE))

    def embedding(self, text: str, language: str | None = None) -> np.ndarray:
        """Summary embedding of a text of any length, float32 (dim,).

        The multilingual encoder embeds texts in its languages, the text encoder all others. Emoji that the text encoder
        does not know are replaced by their names, which are English. In training they are unknown pieces.
        """
        if not self.is_multilingual(text, language):
            embedding: np.ndarray = self._text_encoder.encode_whole(self._readable(text))
            return embedding
        words, names = split_emoji(text)
        embedding = self._multilingual_encoder.encode_whole(words, language)
        if gloss := self._multilingual_encoder.gloss_text(words, language):
            embedding = self._multilingual_encoder.add_gloss(embedding, self._text_encoder.encode_whole(gloss))
        if not names:
            return embedding
        both = [embedding, self._text_encoder.encode_whole(names)]
        embedding = np.average(both, axis=0, weights=[len(words.split()), len(names.split())])
        return embedding.astype(np.float32)

    def text_parts(self, text: str, language: str | None = None) -> list[str]:
        """Split a text at the ends of its sentences into parts within its encoder's length limit."""
        if self.is_multilingual(text, language):
            parts: list[str] = self._multilingual_encoder.split(text, language)
            return parts
        parts = self._text_encoder.split(text)
        return parts

    def unreadable(self, text: str, language: str | None = None) -> str | None:
        """Return why a text cannot be judged, as a sentence; None if its encoder knows most of its characters."""
        if self.is_multilingual(text, language):
            share = self._multilingual_encoder.unknown_share(split_emoji(text)[0], language)
        else:
            share = self._text_encoder.unknown_share(self._readable(text))
        if share <= _MAX_UNKNOWN_SHARE:
            return None
        return f"The model cannot read {share:.0%} of the text: its text encoder does not know the words or characters."

    def is_multilingual(self, text: str, language: str | None) -> bool:
        """Return whether a text is for the multilingual encoder. Emoji alone are not, as their names are English."""
        return language in self.bundle.multilingual_encoder.get("languages", []) and has_words(text)

    def _readable(self, text: str) -> str:
        return name_emoji(text) if self._text_encoder.unknown_share(text) else text

    def answer(self, frames: np.ndarray | None, embedding: np.ndarray | None, *, adapted: bool = False) -> Answer:
        """Run the model on frames (n, width), on an embedding (dim,), or on both; see `answers`."""
        [answer] = self.answers(
            None if frames is None else frames[None], None if embedding is None else embedding[None], adapted=adapted
        )
        return answer

    def answers(
        self, frames: np.ndarray | None, embeddings: np.ndarray | None, *, adapted: bool = False
    ) -> list[Answer]:
        """Run the model on utterances of equal length.

        Args:
            frames: (batch, n, width); None for utterances without audio.
            embeddings: (batch, dim); None for utterances without text.
            adapted: whether the offset of a speaker was subtracted from the frames, which has its own calibration.
        """
        given = frames if frames is not None else embeddings
        if given is None:
            raise ValueError("expected frames, embeddings or both")
        batch = len(given)
        kind = "text" if frames is None else "audio"
        if frames is None:
            frames = np.zeros((batch, _DUMMY_FRAMES, self._width), np.float32)
        has_text = embeddings is not None
        if embeddings is None:
            embeddings = np.zeros((batch, self.bundle.text_encoder.get("dim", 1)), np.float32)
        values = {
            "frames": frames.astype(np.float32),
            "n_frames": np.full(batch, frames.shape[1], np.int64),
            "text": embeddings.astype(np.float32),
            "has_audio": np.full(batch, kind == "audio"),
            "has_text": np.full(batch, has_text),
        }
        feeds = {node.name: values[node.name] for node in self._session.get_inputs()}
        names = [node.name for node in self._session.get_outputs()]
        out = dict(zip(names, self._session.run(names, feeds), strict=True))
        calibration = self._calibration.get(kind)
        if adapted and kind == "audio":
            calibration = self._calibration.get("audio_adapted", calibration)  # old bundles have one for both
        empty = np.zeros((batch, 0), np.float32)
        probabilities = out.get("probabilities", empty)
        if calibration is not None and probabilities.size:
            probabilities = apply_temperature(probabilities, calibration.temperature)
        pairs = zip(probabilities, out.get("dimensions", empty), strict=True)
        return [Answer(p, dimensions, calibration) for p, dimensions in pairs]

    @locked_cached_property
    def _speech_encoder(self) -> Any:
        from emofuse.encoders.onnx import OnnxSpeechEncoder

        path, facts = self.bundle.folder / SPEECH_ENCODER_FILE, self.bundle.speech_encoder
        # `Bundle.load` has checked the hash if the bundle lists its files.
        return OnnxSpeechEncoder(path, facts, self._threads, check_hash=not self.bundle.files)

    @locked_cached_property
    def _text_encoder(self) -> Any:
        from emofuse.encoders.onnx import OnnxTextEncoder, require_text_encoder

        encoder = OnnxTextEncoder(self.bundle.text_encoder_path, threads=self._threads)
        require_text_encoder(encoder, self.bundle.text_encoder, str(self.bundle.folder))
        return encoder

    @locked_cached_property
    def _multilingual_encoder(self) -> Any:
        from emofuse.encoders.multilingual import MultilingualEncoder, require_teacher

        encoder = MultilingualEncoder(self.bundle.multilingual_encoder_path)
        require_teacher(encoder.facts, self.bundle.text_encoder, str(self.bundle.folder))
        return encoder
