"""Predict many clips in parallel, with adaptation to speakers or folders; failures do not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from emofuse.audio import AudioError
from emofuse.errors import EmofuseError
from emofuse.inference.predictor import Prediction, Predictor, SpeakerProfile
from emofuse.segment import Segment
from emofuse.threads import run_parallel


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
        return predictor(clip.file, clip.text, language=language, start=clip.start, end=clip.end, speaker=profile)

    for call in run_parallel(predict, clips, threads=predictor.calls_at_once):
        try:
            yield from call.result()
        except EmofuseError as error:
            on_error(error)


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
