"""Many clips, one after another: what fails is told, the others are predicted; what the model adapts to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from emofuse.audio import AudioError
from emofuse.errors import EmofuseError
from emofuse.inference.predictor import Prediction, Predictor, Voice
from emofuse.inference.transcripts import Clip


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
    clips: Sequence[Clip],
    *,
    language: str | None = None,
    adapt: Path | str = "recording",
    on_error: Callable[[EmofuseError], None],
) -> Iterator[Prediction]:
    """Predict clip after clip; a clip that fails is handed to `on_error`, and the others are predicted all the same.

    Args:
        predictor: the model.
        clips: what to predict.
        language: of all of them; see `Predictor.__call__`.
        adapt: what the model adapts to: the other segments of each recording (if `predictor.adapt`), all recordings of
            the same folder among the clips, a recording of the speaker, or nothing.
        on_error: takes the errors.
    """
    voices: dict[Path | None, Voice] = {}
    if isinstance(adapt, Path):
        voices = dict.fromkeys({_folder(clip) for clip in clips}, predictor.voice([adapt]))
    elif adapt == "folder":
        voices = _voices_of_folders(predictor, clips)
    for clip in clips:
        voice = voices.get(_folder(clip))
        try:
            yield from predictor(clip.file, clip.text, language=language, start=clip.start, end=clip.end, voice=voice)
        except EmofuseError as error:
            on_error(error)


def _folder(clip: Clip) -> Path | None:
    return None if clip.file is None else clip.file.resolve().parent


def _voices_of_folders(predictor: Predictor, clips: Sequence[Clip]) -> dict[Path | None, Voice]:
    parts: dict[Path | None, list[Voice]] = {}
    for file in sorted({clip.file for clip in clips if clip.file is not None}):
        try:
            parts.setdefault(file.resolve().parent, []).append(predictor.voice([file]))
        except AudioError:
            continue  # said when it is predicted
    return {
        folder: Voice(np.concatenate([v.means for v in own]), np.concatenate([v.seconds for v in own]))
        for folder, own in parts.items()
    }
