"""Predict many recordings, several at once, in order; one that fails does not end the others."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, Unpack

import numpy as np

from emofuse.audio import Note, Source, name_of
from emofuse.errors import EmofuseError
from emofuse.hardware import run_parallel
from emofuse.inference.adaptation import AdaptationSource, Speakers, speaker_profiles
from emofuse.inference.inputs import Recording
from emofuse.inference.options import PredictOptions
from emofuse.inference.predictor import Predictor
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
    adapt: str = "recording",
    speaker_names: Sequence[str | None] | None = None,
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
        adapt: "folder" to adapt to the recordings of the same voice in the same folder, "speaker" to those of the same
            speaker by `speaker_names`; all inputs are then measured before the first is predicted. "recording" to adapt
            to each by itself.
        speaker_names: who speaks in each input, None where it is not known.
        **options: for all recordings; see `emofuse.inference.options.PredictOptions`.

    Raises:
        EmofuseError: an input cannot be predicted, and there is no `on_error`; or the model cannot adapt so.
    """
    profiles: Iterable[Speakers] = repeat(options.get("speaker"))
    if adapt != "recording" or speaker_names is not None:
        inputs = list(inputs)
        profiles = _profiles_of(predictor, inputs, adapt=adapt, speaker_names=speaker_names, options=options)
    jobs = predictor.calls_at_once = max(1, jobs or predictor.threads)

    def predict(one: tuple[Audio, Speakers]) -> tuple[Audio, Timeline | EmofuseError]:
        audio, profile = one
        try:
            with_profile: PredictOptions = {**options, "speaker": profile}
            return audio, predictor(audio, **with_profile)
        except Exception as error:
            return audio, explained(error, "samples" if isinstance(audio, np.ndarray) else name_of(audio))

    for call in run_parallel(predict, zip(inputs, profiles, strict=False), threads=jobs):
        audio, result = call.result()
        if isinstance(result, Timeline):
            yield result
        elif on_error is None:
            raise result
        else:
            on_error(audio, result)


def _profiles_of(
    predictor: Predictor,
    inputs: Sequence[Audio],
    *,
    adapt: str,
    speaker_names: Sequence[str | None] | None,
    options: PredictOptions,
) -> list[Speakers]:
    names = [None] * len(inputs) if speaker_names is None else speaker_names
    if adapt not in ("recording", "folder", "speaker"):
        raise EmofuseError(f"adapt is {adapt!r}. Expected recording, folder or speaker.")
    if adapt == "speaker" and speaker_names is None:
        raise EmofuseError("To adapt to speakers, give speaker_names: who speaks in each input.")
    if len(names) != len(inputs):
        raise EmofuseError(f"There are {len(names)} speaker_names for {len(inputs)} inputs. Give one for each.")
    sources = [
        AdaptationSource.of_audio(audio, number, speaker=name)
        for number, (audio, name) in enumerate(zip(inputs, names, strict=True))
    ]
    return speaker_profiles(predictor, sources, adapt=adapt, options=options)


def predict_recordings(
    predictor: Predictor,
    recordings: Sequence[Recording],
    *,
    jobs: int | None = None,
    profiles: Sequence[Speakers] | None = None,
    **options: Unpack[PredictOptions],
) -> Iterator[Prediction | Finished]:
    """Predict recordings in their order: the predictions of each, then that it is finished.

    Several recordings are predicted at once, each in a thread of its own; the results are those of one after another.
    Where one is predicted at a time, its predictions come about a minute of the recording at a time.

    Args:
        predictor: the model. Its `calls_at_once` is set here.
        recordings: from `find_recordings`.
        jobs: how many recordings to predict at once; None for as many as the predictor has threads.
        profiles: what to adapt to in each, from `speaker_profiles`; without them, the model adapts to each recording by
            itself (if `predictor.adapt`).
        **options: for all recordings.
    """
    jobs = predictor.calls_at_once = max(1, min(jobs or predictor.threads, len(recordings)))
    stopped = threading.Event()

    work = with_profiles(options, recordings, profiles)

    def predict(one: tuple[Recording, PredictOptions]) -> list[Prediction | Finished]:
        events = []
        for event in predict_recording(predictor, *one):
            if stopped.is_set():
                break
            events.append(event)
        return events

    if jobs == 1:
        for one in work:
            yield from predict_recording(predictor, *one)
        return
    for call in run_parallel(predict, work, threads=jobs, stop=stopped.set):
        yield from call.result()


def with_profiles(
    options: PredictOptions, recordings: Sequence[Recording], profiles: Sequence[Speakers] | None
) -> Iterator[tuple[Recording, PredictOptions]]:
    """Each recording with its options: those for all, with what the model adapts to."""
    if profiles is None:
        return ((recording, options) for recording in recordings)
    return (
        (recording, {**options, "speaker": profile}) for recording, profile in zip(recordings, profiles, strict=True)
    )


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
