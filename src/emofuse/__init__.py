"""Speech emotion recognition from voice and words together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emofuse.inference.predictor import Predictor

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(
    model: Path | str | None = None,
    *,
    asr: str = "whisper-base",
    transcribe: bool = True,
    threads: int | None = None,
    adapt: bool = True,
) -> Predictor:
    """Load a model for prediction: `emofuse.load()("clip.wav")` gives a list of predictions.

    Args:
        model: folder of a bundle; None for the model that ships in the package.
        asr: speech recogniser for recordings that come without a transcript (see `emofuse.encoders.recogniser`).
        transcribe: whether to recognise the words of such recordings at all.
        threads: processor threads that may be used in all; None for the cores available to this process. A network
            works on one thread; segments of a recording are worked on side by side, and the recogniser uses them all.
        adapt: whether the segments of a recording adapt the model to it.

    Raises:
        EmofuseError: the bundle cannot be used.
    """
    from emofuse.inference.bundle import Bundle, default_bundle
    from emofuse.inference.predictor import Predictor

    bundle = default_bundle() if model is None else Bundle.load(model)
    return Predictor(bundle, asr=asr, transcribe=transcribe, threads=threads, adapt=adapt)
