"""Speaker embeddings: vectors that are close for stretches of speech of one person, and far apart for two people.

The network is the GE2E encoder (Wan et al. 2018, "Generalized end-to-end loss for speaker verification", arXiv
1710.10467) with the weights of Resemblyzer: three LSTM layers over 40 mel bands. It runs in ONNX Runtime. The two
directions in which a person's embeddings vary most, mainly with emotion, are projected out of the embeddings (nuisance
attribute projection; Solomonoff et al. 2005, "Advances in channel compensation for SVM speaker recognition").
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emofuse.audio import FrontEnd, log_mel
from emofuse.encoders.onnx import open_session
from emofuse.errors import EmofuseError
from emofuse.files import sha256

SPEAKER_ENCODER = Path(__file__).resolve().parent.parent / "bundles" / "speaker" / "ge2e.onnx"
SPEAKER_ENCODER_SHA256 = "0a4a9725486649de6dae30cb3a0419422ddc99e8b3779a1208c00f57d4afd261"
EMOTION_DIRECTIONS = SPEAKER_ENCODER.with_name("emotion.npz")
EMOTION_DIRECTIONS_SHA256 = "10674e0212b5e7e9bc55b29e7766ba044f75ac1a3815ec00c21b190ded504962"
DIM = 256
"""Size of an embedding."""

FRONT_END = FrontEnd(n_fft=400, hop=160, n_mels=40, fmin=0.0, fmax=8000.0)
PARTIAL_FRAMES = 160
"""Frames that the network reads at once: 1.6 s."""

_STEP = 80  # frames from one partial to the next
_BATCH = 16  # partials of one call of the network; more would take and return large blocks of memory again and again
_LEVEL_DB = -30.0  # quieter segments are made as loud as this, root mean square below full scale
_BACKGROUND_QUANTILE = 0.1
_OVERSUBTRACTION = 2.0  # how many times the background's power is subtracted
_LEAST_SHARE = 0.02  # of a frame's power in a band that subtraction leaves


class SpeakerEncoder:
    """The speaker encoder inside the package. Several threads may use it at once.

    Args:
        path: the ONNX file that `export_speaker_encoder` wrote.
        threads: that work on one call.

    Attributes:
        emotion: directions that are projected out, orthonormal, (directions, 256).

    Raises:
        EmofuseError: the file is missing or damaged.
    """

    def __init__(self, path: Path | str = SPEAKER_ENCODER, *, threads: int = 1) -> None:
        path = Path(path)
        expected = SPEAKER_ENCODER_SHA256 if path == SPEAKER_ENCODER else None
        for file, digest in ((path, expected), (EMOTION_DIRECTIONS, EMOTION_DIRECTIONS_SHA256)):
            if not file.is_file():
                raise EmofuseError(f"{file}: this file of the speaker encoder is missing. Install emofuse again.")
            if digest is not None and sha256(file) != digest:
                raise EmofuseError(f"{file}: this file of the speaker encoder is damaged. Install emofuse again.")
        self._session = open_session(path, threads)
        self.emotion: np.ndarray = np.load(EMOTION_DIRECTIONS)["directions"]

    def embed(self, segments: Sequence[np.ndarray], *, background: np.ndarray | None = None) -> np.ndarray:
        """Embed stretches of speech.

        A segment is read in partials of 1.6 s that overlap by half, whose embeddings are averaged. Segments do
        not influence each other.

        Args:
            segments: samples of each, float32 (n,), mono, 16 kHz, at least one.
            background: steady noise to subtract, from `background_mel`.

        Returns:
            float32 (segments, 256), each row of length 1.

        Raises:
            AudioError: a segment is not one-dimensional.
        """
        if not len(segments):
            return np.zeros((0, DIM), np.float32)
        partials = [split_partials(speaker_mel(samples, background=background)) for samples in segments]
        vectors = self._run(np.concatenate(partials))  # (all partials, 256)
        ends = np.cumsum([len(part) for part in partials])
        means = np.stack([part.mean(axis=0) for part in np.split(vectors, ends[:-1])])
        means -= (means @ self.emotion.T) @ self.emotion
        return means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)

    def _run(self, partials: np.ndarray) -> np.ndarray:
        batches = [partials[first : first + _BATCH] for first in range(0, len(partials), _BATCH)]
        return np.concatenate([self._session.run(None, {"mel": batch})[0] for batch in batches])


def speaker_mel(samples: np.ndarray, *, background: np.ndarray | None = None) -> np.ndarray:
    """Mel power spectrogram that the speaker encoder reads: 40 bands, 25 ms windows every 10 ms, not in decibels.

    As `librosa.feature.melspectrogram` with its default options; quiet segments are amplified, as they were when the
    weights were trained.

    Args:
        samples: float32 (n,), mono, 16 kHz.
        background: steady noise to subtract, from `background_mel` of the recording.

    Returns:
        float32 (1 + n // 160, 40).

    Raises:
        AudioError: the samples are not one-dimensional.
    """
    samples = np.asarray(samples, np.float32)
    power = _mel_power(samples)
    if background is not None:
        power = np.maximum(power - _OVERSUBTRACTION * background, _LEAST_SHARE * power)
    level = 10 * np.log10(max(float(np.square(samples, dtype=np.float64).mean()), 1e-10)) if samples.size else 0.0
    return power * np.float32(10 ** (max(0.0, _LEVEL_DB - level) / 10))


def background_mel(samples: np.ndarray) -> np.ndarray:
    """Power of the steady noise of a recording with pauses, in each mel band: its 10 % quantile over time.

    Maps float32 (n,), mono, 16 kHz, to float32 (40,).
    """
    return np.quantile(_mel_power(np.asarray(samples, np.float32)), _BACKGROUND_QUANTILE, axis=0).astype(np.float32)


def _mel_power(samples: np.ndarray) -> np.ndarray:
    edge = 2 * FRONT_END.hop  # zeros before and after, where `log_mel` would reflect
    return 10 ** (log_mel(np.pad(samples, edge) if samples.ndim == 1 else samples, FRONT_END)[2:-2] / 10)


def split_partials(mel: np.ndarray) -> np.ndarray:
    """Cut a spectrogram (frames, 40) into overlapping partials (partials, 160, 40).

    The last partial ends with the spectrogram. A spectrogram of fewer than 160 frames is repeated until it fills one:
    silence after it would say more than the voice.
    """
    if len(mel) < PARTIAL_FRAMES:
        return np.resize(mel, (1, PARTIAL_FRAMES, mel.shape[1]))
    steps = 1 + int(np.ceil((len(mel) - PARTIAL_FRAMES) / _STEP))
    starts = np.linspace(0, len(mel) - PARTIAL_FRAMES, steps).round().astype(int)
    return np.stack([mel[start : start + PARTIAL_FRAMES] for start in starts])
