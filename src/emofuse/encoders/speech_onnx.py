"""Run a frozen speech encoder in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from emofuse.audio import SAMPLE_RATE, WHISPER, WHISPER_SECONDS, whisper_log_mel
from emofuse.encoders.sessions import open_session
from emofuse.errors import EmofuseError
from emofuse.files import sha256
from emofuse.silence import trim_silence


class OnnxSpeechEncoder:
    """A speech encoder that `export_speech_encoder` wrote as an ONNX graph.

    Args:
        path: the ONNX file.
        facts: what `export_speech_encoder` returned for this file.
        threads: number of threads for one clip.
        check_hash: whether to check the file's hash; False if the caller has done so.

    Attributes:
        layers: layers whose hidden states it returns, in the order of the output.
        dim: size of a hidden state.
        rate: hidden states per second.

    Raises:
        EmofuseError: the file is missing, is damaged, does not match the facts, or needs another front end.
    """

    def __init__(self, path: Path | str, facts: Mapping[str, Any], threads: int = 1, *, check_hash: bool = True):
        path = Path(path)
        try:
            self.layers: list[int] = list(facts["layers"])
            self.dim: int = facts["dim"]
            self.rate: float = facts["rate"]
            self._reads_log_mel = facts["input"] == "log_mel"
            front_end, expected = facts["front_end"], facts["sha256"]
        except KeyError as error:
            raise EmofuseError(f"{path}: the facts of this speech encoder lack {error}. Export it again.") from error
        if self._reads_log_mel and front_end != WHISPER.to_dict():
            raise EmofuseError(f"{path} needs the front end {front_end}, emofuse has {WHISPER}. Export it again.")
        if not path.is_file():
            raise EmofuseError(f"{path}: the file of the speech encoder is missing. Copy or export the bundle again.")
        if check_hash and (found := sha256(path)) != expected:
            raise EmofuseError(
                f"{path}: wrong hash ({found[:12]}..., expected {expected[:12]}...): the file is damaged or another "
                "speech encoder. Copy or export the bundle again."
            )
        self._session = open_session(path, threads)

    def states(self, samples: np.ndarray) -> np.ndarray:
        """Hidden states of a clip after trimming silence; at most its first 30 s.

        Args:
            samples: float32 (n,), 16 kHz, at least 0.1 s.

        Returns:
            float32 (steps, layers * dim), `rate` steps per second.
        """
        samples = trim_silence(samples)[: int(WHISPER_SECONDS * SAMPLE_RATE)]
        clip = whisper_log_mel(samples) if self._reads_log_mel else samples
        states: np.ndarray = self._session.run(None, {"clip": clip})[0]
        return states
