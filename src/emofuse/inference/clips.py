"""Predict many clips in parallel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from emofuse.audio import AudioError, name_of
from emofuse.errors import EmofuseError
from emofuse.hardware import run_parallel
from emofuse.inference.inputs import find_recordings
from emofuse.inference.predictor import Predictor, SpeakerProfile
from emofuse.segment import Segment
from emofuse.timeline.prediction import Prediction


def segments_of(
    files: Sequence[Path | str], *, text: str | None = None, transcripts: Path | str | None = None
) -> list[Segment]:
    """The segments of `find_recordings`; a recording without given ones is a segment."""
    recordings = find_recordings(files, text=text, segments=transcripts)
    whole = [[Segment(one.file, speaker=one.speaker)] if one.segments is None else one.segments for one in recordings]
    return [segment for segments in whole for segment in segments]


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


def predict_clips(
    predictor: Predictor,
    clips: Sequence[Segment],
    *,
    language: str | None = None,
    adapt: Path | str = "recording",
    on_error: Callable[[EmofuseError], None],
) -> Iterator[Prediction]:
    """Predict clips in parallel, in as many threads as the predictor has.

    Predictions are in the order of the clips and equal those of one call after another. The error of a clip is passed
    to `on_error` in its turn; the other clips are predicted nevertheless. Files are read as threads become free, so
    memory does not grow with the number of clips.

    Args:
        predictor: the model. Its `calls_at_once` is set here.
        clips: the clips.
        language: language of all clips; see `Predictor.__call__`.
        adapt: what the model adapts to: "recording", the other segments of each recording (if `predictor.adapt`);
            "folder", all recordings of the same folder; the path of a recording of the speaker; or "off".
        on_error: is called with each error.
    """
    predictor.calls_at_once = max(1, min(predictor.threads, len(clips)))
    profiles: dict[Path | None, SpeakerProfile] = {}
    if isinstance(adapt, Path):
        profiles = dict.fromkeys({_folder(clip) for clip in clips}, predictor.speaker_profile([adapt]))
    elif adapt == "folder":
        profiles = _profiles_of_folders(predictor, clips)

    def predict(clip: Segment) -> list[Prediction]:
        profile = profiles.get(_folder(clip))
        options: Any = {"language": language, "start": clip.start, "end": clip.end, "speaker": profile}
        return [replace(one, speaker=clip.speaker) for one in predictor(clip.file, clip.text, **options)]

    for clip, call in zip(clips, run_parallel(predict, clips, threads=predictor.calls_at_once), strict=True):
        try:
            predictions = call.result()
        except EmofuseError as error:
            on_error(error)
        except Exception as error:  # one recording must not end the others' prediction
            name = "text" if clip.file is None else name_of(clip.file)
            on_error(EmofuseError(f"{name}: it cannot be predicted ({type(error).__name__}: {error})."))
        else:
            yield from predictions


def _folder(clip: Segment) -> Path | None:
    return None if clip.file is None else clip.file.resolve().parent


def _profiles_of_folders(predictor: Predictor, clips: Sequence[Segment]) -> dict[Path | None, SpeakerProfile]:
    parts: dict[Path | None, list[SpeakerProfile]] = {}
    files = sorted({clip.file for clip in clips if clip.file is not None})
    calls = run_parallel(lambda file: predictor.speaker_profile([file]), files, threads=predictor.calls_at_once)
    for file, call in zip(files, calls, strict=True):
        try:
            parts.setdefault(file.resolve().parent, []).append(call.result())
        except AudioError:
            continue  # reported when it is predicted
    return {folder: SpeakerProfile.merge(of_folder) for folder, of_folder in parts.items()}
