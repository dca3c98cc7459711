"""A predictor without a model: what it predicts depends on the bytes of the file, and some make it fail."""

import os
import signal
from pathlib import Path

from emofuse.audio import AudioError, Note, name_of
from emofuse.inference.bundle import Bundle
from emofuse.inference.options import checked_options
from emofuse.timeline.prediction import Prediction, Timeline

LABELS = ["neutral", "happiness", "sadness", "anger"]


class FakePredictor:
    """Yields a prediction for each byte of a file.

    A file that holds "bad" cannot be read, "crash" is an error that nobody expects, "damaged" fails after a
    prediction, in "silent" nobody speaks, "stop" is Ctrl-C and "kill" is kill -9.
    """

    def __init__(self, *, threads: int = 1, name: str = "fake") -> None:
        self.bundle = Bundle(
            name=name,
            labels=LABELS,
            dimensions=["arousal", "valence", "dominance"],
            reads=["audio"],
            reads_text_alone=False,
            front_end={},
            text_encoder={},
            text_languages=[],
            duration_range=[],
            licence="MIT",
            created="2026-01-01",
        )
        self.threads, self.calls_at_once, self.asr, self.transcribe, self.adapt = threads, 1, "none", "off", True
        self.calls: list[str] = []  # base names of the files

    def __call__(self, audio, text=None, **options):
        return Timeline(self.stream(audio, text, **options), file=name_of(audio))

    def stream(self, audio, text=None, **options):
        options = checked_options(options)
        self.calls.append(Path(os.fspath(audio)).name)
        try:
            content = Path(audio).read_bytes()
        except OSError as error:
            raise AudioError(f"{name_of(audio)}: there is no such file.") from error
        if content == b"bad":
            raise AudioError(f"{name_of(audio)}: it is not audio.")
        if content == b"crash":
            raise ZeroDivisionError("oh")
        if content == b"stop":
            raise KeyboardInterrupt
        if content == b"kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if content == b"silent":
            options["tell"](Note("speech", "no speech was found in it"))
            content = b""
        for second, byte in enumerate(content):
            yield prediction(float(second), byte)
            if content == b"damaged":
                raise AudioError(f"{name_of(audio)}: it is damaged.")
            options["progress"](second + 1.0)


def prediction(start: float, byte: int) -> Prediction:
    return Prediction(
        file=None,
        start=start,
        end=start + 1,
        text=None,
        text_source=None,
        language=None,
        used="audio",
        emotion=LABELS[byte % 4],
        confidence=0.7,
        probabilities={label: 0.7 if label == LABELS[byte % 4] else 0.1 for label in LABELS},
        arousal=byte / 255,
        valence=0.5,
        dominance=1 / 3,
    )
