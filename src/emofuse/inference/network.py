"""The networks of a bundle, run by ONNX Runtime: samples to frames, words to an embedding, both to answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from emofuse.audio import SAMPLE_RATE, WHISPER_SECONDS, FrontEnd, log_mel
from emofuse.encoders.sessions import open_session
from emofuse.inference.bundle import Bundle
from emofuse.metrics.calibration import Calibration, apply_temperature
from emofuse.silence import sounding
from emofuse.threads import once_property

_NOTHING = 16  # frames of zeros in the place of audio; the network does not look at them


@dataclass(frozen=True)
class Answer:
    """What the model says of one utterance.

    Attributes:
        probabilities: of the categories, calibrated, sums to 1; empty without that head.
        dimensions: arousal, valence, dominance in 0..1; empty without that head.
        calibration: what was measured of answers of this kind; None if the bundle has no calibration.
    """

    probabilities: np.ndarray
    dimensions: np.ndarray
    calibration: Calibration | None


class Network:
    """The networks of a bundle.

    Args:
        bundle: the model.
        threads: that work on one call of a network; several calls may be made at once.

    Attributes:
        rate: frames a second.
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
        """What the model hears of a clip: log-Mel in dB, or hidden states of its speech encoder.

        Args:
            samples: float32 (n,), 16 kHz, at least 0.1 s.

        Returns:
            float32 (frames, width).
        """
        if self.bundle.speech_encoder:
            return self._speech_encoder.states(samples)
        return log_mel(samples, self._front_end)

    def span(self, samples: np.ndarray) -> tuple[int, int]:
        """First and last sample (exclusive) of the clip that `frames` tell of."""
        if not self.bundle.speech_encoder:
            return 0, len(samples)
        first, last = sounding(samples)
        return first, min(last, first + int(WHISPER_SECONDS * SAMPLE_RATE))

    def embedding(self, text: str) -> np.ndarray:
        """Summary embedding of a text, float32 (dim,)."""
        return self._text_encoder.encode([text])[0]

    def answer(self, frames: np.ndarray | None, embedding: np.ndarray | None) -> Answer:
        """The answer to frames (n, width), to an embedding (dim,), or to both; None is what there is not."""
        [answer] = self.answers(
            None if frames is None else frames[None], None if embedding is None else embedding[None]
        )
        return answer

    def answers(self, frames: np.ndarray | None, embeddings: np.ndarray | None) -> list[Answer]:
        """As `answer`, of several utterances of one length: (batch, n, width), (batch, dim) or None."""
        there = frames if frames is not None else embeddings
        if there is None:
            raise ValueError("neither frames nor an embedding")
        batch = len(there)
        kind = "text" if frames is None else "audio"
        if frames is None:
            frames = np.zeros((batch, _NOTHING, self._width), np.float32)
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
        nothing = np.zeros((batch, 0), np.float32)
        probabilities = out.get("probabilities", nothing)
        if calibration is not None and probabilities.size:
            probabilities = apply_temperature(probabilities, calibration.temperature)
        pairs = zip(probabilities, out.get("dimensions", nothing), strict=True)
        return [Answer(own, dimensions, calibration) for own, dimensions in pairs]

    @once_property
    def _speech_encoder(self) -> Any:
        from emofuse.encoders.speech_onnx import OnnxSpeechEncoder

        bundle = self.bundle
        checked = bool(bundle.files)  # by `Bundle.load`
        return OnnxSpeechEncoder(
            bundle.speech_encoder_path, bundle.speech_encoder, self._threads, check_hash=not checked
        )

    @once_property
    def _text_encoder(self) -> Any:
        from emofuse.encoders.text_onnx import OnnxTextEncoder, require_encoder

        encoder = OnnxTextEncoder(self.bundle.text_encoder_path, threads=self._threads)
        require_encoder(encoder, self.bundle.text_encoder, str(self.bundle.folder))
        return encoder
