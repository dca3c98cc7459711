"""`emofuse predict`."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emofuse.cli.batch import Destination, Work
from emofuse.cli.options import Language, Model, NoAsr, Output, Threads
from emofuse.cli.output import print_error
from emofuse.cli.views import Views, show_summary
from emofuse.errors import EmofuseError

if TYPE_CHECKING:
    from emofuse.inference.options import PredictOptions

STOPPED = 130
"""Exit code after Ctrl-C."""


class Transcribe(StrEnum):
    """Which words are recognised."""

    auto = "auto"
    always = "always"
    off = "off"


def predict(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT",
            help="Recordings: audio or video files, folders, patterns, @LIST (a file with a path a line), tables with "
            "a column file, or - for standard input.",
        ),
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Words spoken in INPUT (one file only), or a text to predict without a file.")
    ] = None,
    segments: Annotated[
        Path | None,
        typer.Option(
            "--segments",
            "--transcripts",
            metavar="FILE",
            help="Segments of the recordings, with words and speakers where they are known: CSV (columns file, text, "
            "start, end, speaker), TextGrid, EAF, SRT, VTT, RTTM, Audacity labels or audformat.",
        ),
    ] = None,
    max_seconds: Annotated[float, typer.Option(help="Longest segment, in seconds (1 to 30).")] = 8.0,
    window: Annotated[
        float | None, typer.Option(help="Predict windows of so many seconds instead of utterances.")
    ] = None,
    hop: Annotated[float | None, typer.Option(help="Seconds from one window to the next. Default: no overlap.")] = None,
    channels: Annotated[
        str,
        typer.Option(
            metavar="auto|mix|split|N",
            help="Channels to predict: split predicts each by itself, mix their average, N the one of that number; "
            "auto splits two that carry different voices.",
        ),
    ] = "auto",
    speakers: Annotated[
        str,
        typer.Option(
            metavar="auto|N|off",
            help="How many people speak in a recording, to tell them apart; auto estimates it, cautiously.",
        ),
    ] = "auto",
    track: Annotated[int | None, typer.Option(min=1, help="Number of the audio track. Default: the first.")] = None,
    model: Model = None,
    format: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            help="table, json, jsonl, csv, parquet, textgrid, eaf, vtt, srt, audacity, rttm or audformat. Default: by "
            "the ending of the output file, else a table.",
        ),
    ] = None,
    output: Output = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write a file for each recording to this folder (CSV unless --format says otherwise), and tables of "
            "all segments and all recordings.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue an interrupted run of --out or --output: recordings that are finished, and have not changed "
            "since, are not predicted again.",
        ),
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Also write a page to look at and listen to (one INPUT).")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="PICTURE", help="Also draw a picture, .png, .svg or .pdf (one INPUT).")
    ] = None,
    excel: Annotated[bool, typer.Option("--excel", help="Write CSV as Excel on this computer opens it.")] = False,
    asr: Annotated[str, typer.Option(help="Speech recogniser for recordings without words.")] = "whisper-base",
    transcribe: Annotated[
        Transcribe,
        typer.Option(help="Recognise words: auto where the model reads their language, always, or off."),
    ] = Transcribe.auto,
    no_asr: NoAsr = False,
    language: Language = None,
    adapt: Annotated[
        str,
        typer.Option(
            metavar="recording|folder|speaker|FILE|off",
            help="What the model adapts to: the other segments of the same recording; recordings of the same voice in "
            "the same folder; all of the same speaker by the column speaker; another recording of the speaker; or "
            "nothing.",
        ),
    ] = "recording",
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Number of recordings to predict at once. Default: as many as threads.")
    ] = None,
    threads: Threads = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Predict on a Ray cluster: auto, local or HOST:PORT. All its machines must see the files and the "
            "model at the same paths.",
        ),
    ] = None,
) -> None:
    """Predict the emotions of recordings or of a text.

    The result is a category and arousal, valence and dominance (0 to 1) for each utterance. Results are written as they
    come. A recording that cannot be read is reported, and the others are predicted. The exit code is 0 if all went
    well, 1 if some recordings failed, 2 if none could be used, and 130 after Ctrl-C.
    """
    options: PredictOptions = {
        "language": language,
        "max_seconds": max_seconds,
        "window": window,
        "hop": hop,
        "channels": _number_or_word(channels),  # type: ignore[typeddict-item] # checked below
        "speakers": _number_or_word(speakers),  # type: ignore[typeddict-item]
        "track": track,
    }
    if ray is not None and jobs is not None:
        raise EmofuseError("--jobs is for this machine, --ray for a cluster. Leave one of them out.")
    work = Work()
    try:
        import emofuse
        from emofuse.inference.adaptation import AdaptationSource, adaptation, speaker_profiles
        from emofuse.inference.files import Finished, predict_recordings
        from emofuse.inference.folder import results_in
        from emofuse.inference.inputs import find_recordings
        from emofuse.inference.options import checked_options
        from emofuse.inference.ray_files import predict_on_ray

        options["language"] = checked_options(options)["language"]
        source = adaptation(adapt)
        earlier = set[str]() if out is None else results_in(out)
        recordings = find_recordings(inputs or [], text=text, segments=segments, results=earlier)
        others = [segments, source if isinstance(source, Path) else None, *map(_path, inputs or [])]
        destination = Destination.parse(
            output=output,
            folder=out,
            format=format,
            excel=excel,
            resume=resume,
            recordings=recordings,
            others=[path for path in others if path is not None],
        )
        views = Views.parse(report=report, plot=plot, recordings=recordings, track=track)
        words = "off" if no_asr else transcribe.value
        predictor = emofuse.load(model, asr=asr, transcribe=words, threads=threads, adapt=source != "off")
        with destination.open(recordings, predictor, adapt=source, options=options) as results:
            work.begin(recordings, results)
            among = list(map(AdaptationSource.of_recording, recordings))
            remaining = list(map(AdaptationSource.of_recording, results.remaining))
            profiles = speaker_profiles(predictor, remaining, adapt=source, among=among, options=options)
            if ray is not None:
                events = predict_on_ray(predictor, results.remaining, address=ray, profiles=profiles, **options)
            else:
                options["progress"] = work.reached
                events = predict_recordings(predictor, results.remaining, jobs=jobs, profiles=profiles, **options)
            for event in events:
                work.take(event, results)
                if isinstance(event, Finished):
                    show_summary(event, destination)
                    views.write(event, predictor.bundle)
    except KeyboardInterrupt:
        work.end()
        print_error(work.interrupted())
        raise typer.Exit(STOPPED) from None
    finally:
        work.end()
    if code := work.exit_code():
        raise typer.Exit(code)


def _path(argument: str) -> Path:
    """The file of an argument; of a list without its @."""
    return Path(argument if os.path.exists(argument) else argument.removeprefix("@"))


def _number_or_word(value: str) -> int | str:
    return int(value) if value.isascii() and value.isdigit() else value
