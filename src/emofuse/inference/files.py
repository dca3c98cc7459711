"""Predict many recordings, several at once, in order; one that fails does not end the others."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from emofuse.audio import Note, Source, name_of
from emofuse.errors import EmofuseError
from emofuse.hardware import run_parallel
from emofuse.inference.inputs import Recording
from emofuse.inference.options import PredictOptions
from emofuse.inference.predictor import Predictor
from emofuse.models.adapter import SpeakerProfile
from emofuse.segment import Segment
from emofuse.timeline.prediction import Prediction, Timeline
from emofuse.timeline.tables import empty_record, failure_record, prediction_record

Audio = Source | np.ndarray
"""A recording as `Predictor` takes it."""

log = logging.getLogger("emofuse")


@dataclass(frozen=True)
class Finished:
    """A recording that is done.

    Attributes:
        recording: the recording.
        timeline: its predictions; those made before an error too.
        errors: why the recording, or some of its segments, could not be predicted.
        state: `file_state` of the recording before it was read.
    """

    recording: Recording
    timeline: Timeline
    errors: list[EmofuseError]
    state: tuple[int, int] | None = None

    @property
    def failed(self) -> bool:
        """True if nothing of it could be predicted."""
        return bool(self.errors) and not self.timeline

    def records(self) -> list[dict[str, Any]]:
        """Its records (see `emofuse.timeline.tables`): predictions, then errors; one if there are neither."""
        file, extra = str(self.recording.file or ""), self.recording.extra
        records = [prediction_record(prediction) for prediction in self.timeline]
        records += [failure_record(file, str(error), extra=extra) for error in self.errors]
        return records or [empty_record(self.timeline, extra=extra)]


def predict_many(
    predictor: Predictor,
    inputs: Iterable[Audio],
    *,
    jobs: int | None = None,
    on_error: Callable[[Audio, EmofuseError], object] | None = None,
    **options: Unpack[PredictOptions],
) -> Iterator[Timeline]:
    """Predict many recordings, several at once, and yield their timelines in order.

    Inputs are taken as they are needed, at most `2 * jobs` ahead, so that they may come from a generator without end.

    Args:
        predictor: the model, from `emofuse.load`.
        inputs: recordings, as `Predictor` takes them.
        jobs: how many recordings to predict at once; None for as many as the predictor has threads.
        on_error: is called with an input that cannot be predicted, and why; the input has no timeline then. None to
            raise the error.
        **options: for all recordings; see `emofuse.inference.options.PredictOptions`.

    Raises:
        EmofuseError: an input cannot be predicted, and there is no `on_error`.
    """
    jobs = predictor.calls_at_once = max(1, jobs or predictor.threads)

    def predict(audio: Audio) -> tuple[Audio, Timeline | EmofuseError]:
        try:
            return audio, predictor(audio, **options)
        except Exception as error:
            return audio, explained(error, "samples" if isinstance(audio, np.ndarray) else name_of(audio))

    for call in run_parallel(predict, inputs, threads=jobs):
        audio, result = call.result()
        if isinstance(result, Timeline):
            yield result
        elif on_error is None:
            raise result
        else:
            on_error(audio, result)


def predict_recordings(
    predictor: Predictor,
    recordings: Sequence[Recording],
    *,
    jobs: int | None = None,
    profiles: Mapping[Path | None, SpeakerProfile] | None = None,
    **options: Unpack[PredictOptions],
) -> Iterator[Prediction | Finished]:
    """Predict recordings in their order: the predictions of each, then that it is finished.

    Several recordings are predicted at once, each in a thread of its own; the results are those of one after another.
    Where one is predicted at a time, its predictions come about a minute of the recording at a time.

    Args:
        predictor: the model. Its `calls_at_once` is set here.
        recordings: from `find_recordings`.
        jobs: how many recordings to predict at once; None for as many as the predictor has threads.
        profiles: from `speaker_profiles`; without them, the model adapts to each recording (if `predictor.adapt`).
        **options: for all recordings.
    """
    jobs = predictor.calls_at_once = max(1, min(jobs or predictor.threads, len(recordings)))
    stopped = threading.Event()

    def begin(recording: Recording) -> Iterator[Prediction | Finished]:
        return predict_recording(predictor, recording, with_profile(options, recording, profiles))

    def predict(recording: Recording) -> list[Prediction | Finished]:
        events = []
        for event in begin(recording):
            if stopped.is_set():
                break
            events.append(event)
        return events

    if jobs == 1:
        for recording in recordings:
            yield from begin(recording)
        return
    for call in run_parallel(predict, recordings, threads=jobs, stop=stopped.set):
        yield from call.result()


def predict_recording(
    predictor: Predictor, recording: Recording, options: PredictOptions
) -> Iterator[Prediction | Finished]:
    """Predict a recording; whatever goes wrong becomes one of its errors."""
    name = "text" if recording.file is None else name_of(recording.file)
    timeline = Timeline(file=None if recording.file is None else name)
    errors: list[EmofuseError] = []
    progress = options.get("progress")

    def refuse(segment: Segment, error: EmofuseError) -> None:
        errors.append(error)

    def reached(seconds: float) -> None:
        timeline.seconds = seconds
        if progress is not None:
            progress(seconds)

    options = {**options, "tell": timeline.notes.append, "progress": reached, "refuse": refuse}
    text = None
    if recording.channel is not None:
        options["channels"] = recording.channel
    segments = recording.segments
    if segments is not None and len(segments) == 1 and segments[0].is_whole:
        text, segments = segments[0].text, None
    options["segments"] = segments
    state = file_state(recording)
    try:
        for prediction in predictor.stream(recording.source(), text, **options):
            completed = replace(
                prediction,
                file=timeline.file,
                speaker=prediction.speaker or recording.speaker,
                extra={**recording.extra, **prediction.extra},
            )
            timeline.append(completed)
            yield completed
    except Exception as error:
        errors.append(explained(error, name))
    if file_state(recording) != state and not errors:
        timeline.notes.append(Note("changed", "the file has changed while it was read, so that its end may be missing"))
        log.warning("%s: %s.", name, timeline.notes[-1].message)
    yield Finished(recording, timeline, errors, state)


def file_state(recording: Recording) -> tuple[int, int] | None:
    """Size in bytes and time of the last change (ns) of a recording; None if it is not a regular file."""
    if recording.file is None or not recording.file.is_file():
        return None
    try:
        status = os.stat(recording.file)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def explained(error: Exception, name: str) -> EmofuseError:
    """The error that a user sees if something goes wrong with a recording."""
    if isinstance(error, EmofuseError):
        return error
    return EmofuseError(f"{name}: it cannot be predicted ({type(error).__name__}: {error}).")


def adaptation(option: str) -> Path | str:
    """Parse the value of --adapt: "recording", "folder", "off", or the path of a recording.

    Raises:
        EmofuseError: there is no such file.
    """
    if option in ("recording", "folder", "off"):
        return option
    if not Path(option).is_file():
        raise EmofuseError(
            f"--adapt {option}: there is no such file. Give a recording of the speaker, or recording, folder or off."
        )
    return Path(option)


def speaker_profiles(
    predictor: Predictor,
    recordings: Sequence[Recording],
    *,
    adapt: Path | str,
    among: Sequence[Recording],
    track: int | None = None,
) -> dict[Path | None, SpeakerProfile]:
    """What the model adapts to in the recordings of each folder; empty if each recording is adapted by itself.

    Args:
        predictor: the model.
        recordings: those to predict.
        adapt: the path of a recording of the speaker; "folder" for all recordings of the same folder; "recording"; or
            "off".
        among: all recordings of the batch, also those that need not be predicted any more.
        track: number of the audio track.

    Raises:
        EmofuseError: the model cannot adapt, or the recording of the speaker cannot be used.
    """
    folders = {folder_of(recording) for recording in recordings}
    if isinstance(adapt, Path):
        return dict.fromkeys(folders, predictor.speaker_profile([adapt]))
    if adapt != "folder":
        return {}
    files = sorted({one.file for one in among if one.file is not None and folder_of(one) in folders})
    parts: dict[Path | None, list[SpeakerProfile]] = {}
    measure: Callable[[Path], SpeakerProfile] = lambda file: predictor.speaker_profile([file], track=track)  # noqa: E731
    for file, call in zip(files, run_parallel(measure, files, threads=predictor.threads), strict=True):
        try:
            parts.setdefault(file.resolve().parent, []).append(call.result())
        except EmofuseError as error:  # it is reported when the recording is predicted
            log.debug("%s", error)
    return {folder: SpeakerProfile.merge(of_folder) for folder, of_folder in parts.items() if of_folder}


def with_profile(
    options: PredictOptions, recording: Recording, profiles: Mapping[Path | None, SpeakerProfile] | None
) -> PredictOptions:
    """The options for one recording, with what the model adapts to."""
    return {**options, "speaker": profiles.get(folder_of(recording))} if profiles else options


def folder_of(recording: Recording) -> Path | None:
    """The folder in which a recording lies; None for a text alone."""
    return None if recording.file is None else recording.file.resolve().parent
