"""Many clips, several at once: what fails is reported, the others are predicted; what the model adapts to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from emofuse.audio import AudioError
from emofuse.errors import EmofuseError
from emofuse.inference.predictor import Prediction, Predictor, Voice
from emofuse.segment import Segment
from emofuse.threads import side_by_side


def adaptation(option: str) -> Path | str:
    """What --adapt names.

    Raises:
        EmofuseError: neither one of the words nor a file.
    """
    if option in ("recording", "folder", "off"):
        return option
    if not Path(option).is_file():
        raise EmofuseError(
            f"--adapt {option}: no such file. Give a recording of the speaker, recording, folder or off."
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
    """Predict clips, as many at once as the predictor may use threads.

    Predictions come in the order of the clips and are the same as from one clip after another. A clip that fails is
    handed to `on_error` in its turn, and the others are predicted all the same. Memory does not grow with the number
    of clips: a file is read when a thread is free for it.

    Args:
        predictor: the model. Its `calls_at_once` is set here.
        clips: what to predict.
        language: of all of them; see `Predictor.__call__`.
        adapt: what the model adapts to: the other segments of each recording (if `predictor.adapt`), all recordings of
            the same folder among the clips, a recording of the speaker, or nothing.
        on_error: takes the errors.
    """
    predictor.calls_at_once = max(1, min(predictor.threads, len(clips)))
    voices: dict[Path | None, Voice] = {}
    if isinstance(adapt, Path):
        voices = dict.fromkeys({_folder(clip) for clip in clips}, predictor.voice([adapt]))
    elif adapt == "folder":
        voices = _voices_of_folders(predictor, clips)

    def predict(clip: Segment) -> list[Prediction]:
        voice = voices.get(_folder(clip))
        return predictor(clip.file, clip.text, language=language, start=clip.start, end=clip.end, voice=voice)

    for call in side_by_side(predict, clips, threads=predictor.calls_at_once):
        try:
            yield from call.result()
        except EmofuseError as error:
            on_error(error)


def _folder(clip: Segment) -> Path | None:
    return None if clip.file is None else clip.file.resolve().parent


def _voices_of_folders(predictor: Predictor, clips: Sequence[Segment]) -> dict[Path | None, Voice]:
    parts: dict[Path | None, list[Voice]] = {}
    files = sorted({clip.file for clip in clips if clip.file is not None})
    calls = side_by_side(lambda file: predictor.voice([file]), files, threads=predictor.calls_at_once)
    for file, call in zip(files, calls, strict=True):
        try:
            parts.setdefault(file.resolve().parent, []).append(call.result())
        except AudioError:
            continue  # reported when it is predicted
    return {
        folder: Voice(np.concatenate([v.means for v in own]), np.concatenate([v.seconds for v in own]))
        for folder, own in parts.items()
    }
