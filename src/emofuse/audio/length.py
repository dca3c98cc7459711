"""Whether a recording is as long as a segment of it needs, from its header wherever the header can be trusted."""

from __future__ import annotations

from pathlib import Path

from emofuse.audio.decoders import CONTAINERS, LOSSLESS
from emofuse.audio.parts import View, parts_of
from emofuse.audio.reading import EndsEarly, check_end, decode
from emofuse.audio.samples import AudioError


def ends_before(path: Path | str, seconds: float) -> EndsEarly | None:
    """The error of a segment that lasts until `seconds`, if the recording ends before, beyond the tolerance.

    Only headers are read, but where the header of a compressed format says that the recording is too short, or where
    several recordings are joined in one file: then the file is decoded.

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
    """Duration by the header, None if it has none or several; and whether it is exact."""
    import soundfile

    try:
        with path.open("rb") as file:
            parts = parts_of(file)
            if len(parts) != 1:
                return None, False
            view = parts[0].view
            try:
                info = soundfile.info(str(path) if parts[0].whole else view)
            except (soundfile.SoundFileError, TypeError, UnicodeEncodeError):
                return _ffmpeg_seconds(view), False
            return (info.frames / info.samplerate if info.frames > 0 else None), info.format in LOSSLESS
    except OSError:
        return None, False


def _ffmpeg_seconds(view: View) -> float | None:
    import av

    view.seek(0)
    try:
        with av.open(view, "r", options={"format_whitelist": CONTAINERS}) as container:
            return None if container.duration is None else container.duration / av.time_base
    except (av.FFmpegError, ValueError, OSError):
        return None
