"""Whether a recording is as long as a segment of it needs, from its header wherever the header can be trusted."""

from __future__ import annotations

import os
from pathlib import Path

from emofuse.audio import CONTAINERS, LOSSLESS, AudioError, EndsEarly, check_end, decode


def ends_before(path: Path | str, seconds: float) -> EndsEarly | None:
    """The error of a segment that lasts until `seconds`, if the recording ends before, beyond the tolerance.

    Only headers are read, but where the header of a compressed format says that the recording is too short: such
    headers are estimates, and the file is decoded.

    Args:
        path: recording. None is returned for one that cannot be read: other checks name it.
        seconds: where the segment ends, of the recording.
    """
    header, exact = _header_seconds(Path(path))
    if header is not None and header >= seconds:
        return None
    try:
        if header is not None and exact:
            check_end(path, seconds, header, lossless=True)
        else:
            decode(path, end=seconds)
    except EndsEarly as error:
        return error
    except AudioError:
        return None
    return None


def _header_seconds(path: Path) -> tuple[float | None, bool]:
    """Duration by the header, None if it has none; and whether it is exact."""
    import soundfile

    try:
        info = soundfile.info(os.fspath(path))
        return (info.frames / info.samplerate if info.frames > 0 else None), info.format in LOSSLESS
    except (soundfile.SoundFileError, TypeError, OSError):
        return _ffmpeg_seconds(path), False


def _ffmpeg_seconds(path: Path) -> float | None:
    import av

    try:
        with path.open("rb") as file, av.open(file, "r", options={"format_whitelist": CONTAINERS}) as container:
            return None if container.duration is None else container.duration / av.time_base
    except (av.FFmpegError, ValueError, OSError):
        return None
