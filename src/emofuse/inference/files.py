"""Predict many recordings, several at once, in order; one that fails does not end the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from emofuse.audio import name_of
from emofuse.errors import EmofuseError
from emofuse.hardware import run_parallel
from emofuse.inference.inputs import Recording
from emofuse.inference.options import PredictOptions
from emofuse.inference.predictor import NoSpeech, Predictor
from emofuse.models.adapter import SpeakerProfile
from emofuse.segment import Segment
from emofuse.timeline.prediction import Prediction, Timeline


@dataclass(frozen=True)
class Finished:
    """A recording that is done.

    Attributes:
        recording: the recording.
        timeline: its predictions; those made before an error too.
        errors: why the recording, or some of its segments, could not be predicted.
    """

    recording: Recording
    timeline: Timeline
    errors: list[EmofuseError]

    @property
    def failed(self) -> bool:
        """True if nothing of it could be predicted."""
        return bool(self.errors) and not self.timeline


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


def predict_recordings(
    predictor: Predictor,
    recordings: Sequence[Recording],
    *,
    jobs: int | None = None,
    adapt: Path | str = "recording",
    **options: Unpack[PredictOptions],
) -> Iterator[Prediction | Finished]:
    """Predict recordings in their order: the predictions of each, then that it is finished.

    Several recordings are predicted at once, each in a thread of its own; the results are those of one after another.
    Where one is predicted at a time, its predictions come about a minute of the recording at a time.

    Args:
        predictor: the model. Its `calls_at_once` is set here.
        recordings: from `find_recordings`.
        jobs: how many recordings to predict at once; None for as many as the predictor has threads.
        adapt: what the model adapts to: "recording", the other segments of each recording (if `predictor.adapt`);
            "folder", all recordings of the same folder; the path of a recording of the speaker; or "off".
        **options: for all recordings.
    """
    jobs = predictor.calls_at_once = max(1, min(jobs or predictor.threads, len(recordings)))
    profiles: dict[Path | None, SpeakerProfile] = {}
    if isinstance(adapt, Path):
        profile = predictor.speaker_profile([adapt])
        profiles = {_folder(recording): profile for recording in recordings}
    elif adapt == "folder":
        profiles = _profiles_of_folders(predictor, recordings, options)

    def begin(recording: Recording) -> Iterator[Prediction | Finished]:
        own: PredictOptions = {**options, "speaker": profiles.get(_folder(recording))}
        return _predict(predictor, recording, own)

    if jobs == 1:
        for recording in recordings:
            yield from begin(recording)
        return
    for call in run_parallel(lambda recording: list(begin(recording)), recordings, threads=jobs):
        yield from call.result()


def _predict(predictor: Predictor, recording: Recording, options: PredictOptions) -> Iterator[Prediction | Finished]:
    timeline = Timeline(file=None if recording.file is None else name_of(recording.file))
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
    try:
        for prediction in predictor.stream(recording.source(), text, **options):
            named = replace(prediction, speaker=prediction.speaker or recording.speaker, file=timeline.file)
            timeline.append(named)
            yield named
    except EmofuseError as error:
        errors.append(error)
    except Exception as error:  # one recording must not end the others' prediction
        name = "text" if recording.file is None else name_of(recording.file)
        errors.append(EmofuseError(f"{name}: it cannot be predicted ({type(error).__name__}: {error})."))
    yield Finished(recording, timeline, errors)


def _folder(recording: Recording) -> Path | None:
    return None if recording.file is None else recording.file.resolve().parent


def _profiles_of_folders(
    predictor: Predictor, recordings: Sequence[Recording], options: PredictOptions
) -> dict[Path | None, SpeakerProfile]:
    parts: dict[Path | None, list[SpeakerProfile]] = {}
    files = sorted({recording.file for recording in recordings if recording.file is not None})
    profile: Callable[[Path], Any] = lambda file: predictor.speaker_profile([file], track=options.get("track"))  # noqa: E731
    for file, call in zip(files, run_parallel(profile, files, threads=predictor.calls_at_once), strict=True):
        try:
            parts.setdefault(file.resolve().parent, []).append(call.result())
        except NoSpeech:
            continue
        except EmofuseError:
            continue  # reported when it is predicted
    return {folder: SpeakerProfile.merge(of_folder) for folder, of_folder in parts.items() if of_folder}
