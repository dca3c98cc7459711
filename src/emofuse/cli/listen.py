"""`emofuse listen`."""

from __future__ import annotations

import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emofuse.cli.options import Language, Model, NoAsr, Threads
from emofuse.cli.output import print_error, silence_standard_output
from emofuse.cli.predict import STOPPED
from emofuse.errors import EmofuseError
from emofuse.labels import DIMENSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emofuse.audio.live_input import LiveInput
    from emofuse.inference.live import Live
    from emofuse.inference.predictor import Predictor
    from emofuse.models.adapter import SpeakerProfile
    from emofuse.timeline.prediction import Prediction
    from emofuse.timeline.writers import Writer

_CLEAR = "\r\x1b[K"  # of the line on a terminal


class SampleFormat(StrEnum):
    """How raw samples are written in bytes."""

    s16le = "s16le"
    f32le = "f32le"


class ListenFormat(StrEnum):
    """What is printed."""

    table = "table"
    jsonl = "jsonl"


def listen(
    source: Annotated[
        str | None,
        typer.Argument(metavar="[-]", help="- for raw PCM or WAV on standard input. Default: the microphone."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Number of the microphone, or a part of its name. Default: that of the system.")
    ] = None,
    rate: Annotated[int, typer.Option(help="Sample rate of raw PCM, in Hz.")] = 16000,
    channels: Annotated[int, typer.Option(help="Number of channels of raw PCM; they are averaged.")] = 1,
    sample_format: Annotated[SampleFormat, typer.Option(help="Format of raw PCM.")] = SampleFormat.s16le,
    max_seconds: Annotated[float, typer.Option(help="Longest utterance, in seconds (1 to 30).")] = 8.0,
    model: Model = None,
    format: Annotated[ListenFormat, typer.Option(help="Output format.")] = ListenFormat.table,
    asr: Annotated[str, typer.Option(help="Speech recogniser.")] = "whisper-base",
    no_asr: NoAsr = False,
    language: Language = None,
    adapt: Annotated[
        str,
        typer.Option(
            metavar="stream|FILE|off",
            help="What the model adapts to: the utterances so far, a recording of the speaker, or nothing.",
        ),
    ] = "stream",
    threads: Threads = None,
) -> None:
    """Predict emotions while somebody speaks.

    A prediction is printed for each utterance as soon as it has ended, and a preliminary one each second before: on a
    terminal in a line that is drawn anew, in JSON Lines as records with "final": false. Ctrl-C stops listening, judges
    what has been said, and sets the exit code 130; pressed twice, it stops at once.
    """
    import emofuse
    from emofuse.inference.live import listen
    from emofuse.timeline.writers import open_writer

    with _Interrupt() as interrupt:
        sound = _open(source, device, rate=rate, channels=channels, sample_format=sample_format.value)
        interrupt.sound = sound
        predictor = emofuse.load(
            model, asr=asr, transcribe="off" if no_asr else "auto", threads=threads, adapt=adapt != "off"
        )
        profile = _profile(adapt, predictor)
        if sys.stderr.isatty():
            print_error(f"listening to {sound.name}; Ctrl-C ends it.")
        predictions = listen(
            predictor,
            sound,
            sample_rate=sound.sample_rate,
            max_seconds=max_seconds,
            language=language,
            speaker=profile,
            rolling=format == ListenFormat.jsonl or sys.stderr.isatty(),
        )
        labels, colour = predictor.bundle.labels, sys.stdout.isatty()
        writer = open_writer(sys.stdout, format.value, labels=labels, colour=colour)
        _print(predictions, writer, draw=format == ListenFormat.table and sys.stderr.isatty())
    if interrupt.is_asked:
        raise typer.Exit(STOPPED)


class _Interrupt:
    """Ctrl-C while sound is taken: the first ends the sound, the second ends the command."""

    def __init__(self) -> None:
        self.sound: LiveInput | None = None
        self.is_asked = False

    def __enter__(self) -> _Interrupt:
        self._before = signal.signal(signal.SIGINT, self._take)
        return self

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        signal.signal(signal.SIGINT, self._before)
        if isinstance(error, KeyboardInterrupt):
            raise typer.Exit(STOPPED) from None

    def _take(self, number: int, frame: object) -> None:
        if self.is_asked or self.sound is None:
            raise KeyboardInterrupt
        self.is_asked = True
        self.sound.stop()


def _open(source: str | None, device: str | None, *, rate: int, channels: int, sample_format: Any) -> LiveInput:
    from emofuse.audio.live_input import Microphone, PcmInput

    if source is None:
        return Microphone(int(device) if device is not None and device.isdecimal() else device)
    if source != "-":
        raise EmofuseError(
            f"{source}: listen takes - for standard input, or nothing for the microphone. For files "
            f"there is: emofuse predict {source}"
        )
    if sys.stdin.isatty():
        raise EmofuseError("Standard input is the terminal. Pipe raw PCM or WAV into this command.")
    file: Any = getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)
    return PcmInput(file, sample_rate=rate, channels=channels, sample_format=sample_format)


def _profile(adapt: str, predictor: Predictor) -> SpeakerProfile | None:
    """The speaker of the recording that --adapt names, if it names one."""
    from emofuse.inference.adaptation import adaptation

    if adapt in ("stream", "off"):
        return None
    recording = adaptation(adapt)
    if not isinstance(recording, Path):
        raise EmofuseError(f"--adapt {adapt}: expected stream, off or a recording of the speaker.")
    return predictor.speaker_profile([recording])


def _print(predictions: Iterable[Live], writer: Writer, *, draw: bool) -> None:
    """Print predictions as they come.

    Args:
        predictions: of one stream.
        writer: to standard output.
        draw: whether preliminary predictions are a line on standard error that is drawn anew.
    """
    from emofuse.timeline.prediction import Timeline
    from emofuse.timeline.tables import empty_record, prediction_record

    nobody_speaks = True
    for prediction, final in predictions:
        if draw:
            sys.stderr.write(_CLEAR if final else _CLEAR + _line(prediction))
            sys.stderr.flush()
        if final or not draw:
            _write({**prediction_record(prediction), "final": final}, writer)
        nobody_speaks = nobody_speaks and not final
    if nobody_speaks:
        _write({**empty_record(Timeline()), "final": True}, writer)


def _write(record: dict[str, Any], writer: Writer) -> None:
    try:
        writer.write_record(record)
    except EmofuseError:
        silence_standard_output()
        raise


def _line(prediction: Prediction) -> str:
    """A preliminary prediction in one line."""
    words = [f"{prediction.end:.0f} s:"]
    if prediction.emotion is not None:
        words.append(f"{prediction.emotion} {prediction.confidence:.2f}")
    for name in DIMENSIONS:
        if (value := getattr(prediction, name)) is not None:
            words.append(f"{name} {value:.2f}")
    return " ".join(words) + " (preliminary)"
