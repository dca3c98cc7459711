"""A page that shows a recording: one HTML file with its sound, and the predictions over time, as a picture and a table.

The pictures are SVG with one path for all segments of a kind, so that a page with thousands of segments opens quickly.
They are stretched to the width of the page; the x axis counts hundredths of a second.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from emofuse import __version__
from emofuse.audio import SAMPLE_RATE, name_of, stream_audio
from emofuse.files import write_text
from emofuse.labels import DIMENSIONS
from emofuse.report.lanes import Lane, categories_of, colours_of, lanes_of, text_colour
from emofuse.report.table import render_template
from emofuse.timeline.prediction import Timeline
from emofuse.timeline.summary import SpeakerSummary, summarise

EMBED_SECONDS = 600.0
"""Longest recording whose sound is stored in the page by default."""

SCALES = {"arousal": ("calm", "excited"), "valence": ("negative", "positive"), "dominance": ("weak", "strong")}
"""The meaning of 0 and 1 in each dimension."""

_PEAK = SAMPLE_RATE // 50  # samples of one peak of the waveform
_MOST_PEAKS = 20_000
_HEIGHT = 100  # of a picture, in units of its view box


@dataclass(frozen=True)
class Sound:
    """What the page needs of a recording's sound.

    Attributes:
        peaks: highest absolute value in each 20 ms, over all channels, 0..1.
        seconds: duration.
        encoded: the sound at 16 kHz as a file of `media_type`; None if it is not to be stored in the page.
        media_type: of `encoded`.
    """

    peaks: np.ndarray
    seconds: float
    encoded: bytes | None
    media_type: str


def write_recording_page(
    timeline: Timeline,
    audio_path: Path | str,
    output: Path | str,
    *,
    model_name: str,
    licence: str | None = None,
    embed: bool | None = None,
    track: int | None = None,
) -> Path:
    """Write a page with the predictions for a recording.

    Args:
        timeline: the predictions; it may be empty.
        audio_path: the recording.
        output: path of the page.
        model_name: name of the model that made the predictions.
        licence: licence of the model.
        embed: whether the page contains the sound. If not, it plays the recording where it lies, so that both have to
            be moved together. None: it contains the sound of recordings of up to 10 minutes.
        track: number of the audio track, from 1; None for the first.

    Returns:
        Path of the page.

    Raises:
        AudioError: the recording cannot be read.
        EmofuseError: a prediction has no times, or the page cannot be written.
    """
    output, lanes = Path(output), lanes_of(timeline)
    if embed is None and timeline.seconds is not None:
        embed = timeline.seconds <= EMBED_SECONDS
    sound = read_sound(audio_path, embed=embed, track=track)
    numbered = [(block, number) for number, lane in enumerate(lanes) for block in lane.blocks]
    rows = sorted(numbered, key=lambda row: row[0][:2])
    seconds = max([sound.seconds, timeline.seconds or 0.0, *(one.end or 0.0 for one in timeline)])
    categories = categories_of(timeline)
    curves = [(name, *SCALES[name], paths) for name in DIMENSIONS if (paths := dimension_paths(lanes, name))]
    page = render_template(
        "recording.html.j2",
        name=Path(name_of(audio_path)).name,
        beside=sound.encoded is None,
        source=data_url(sound) if sound.encoded else relative_url(audio_path, output.parent),
        seconds=seconds,
        width=max(round(seconds * 100), 1),
        waveform=waveform_path(sound.peaks),
        lanes=[(lane.name, emotion_paths(lane, categories)) for lane in lanes],
        curves=curves,
        dimensions=[name for name, *_ in curves],
        rows=rows,
        lane_names=[lane.name for lane in lanes],
        summaries=summaries_of(timeline, lanes),
        styles=[(name, colour, text_colour(colour)) for name, colour in colours_of(categories).items()],
        classes={name: f"c{i}" for i, name in enumerate(categories)},
        with_speakers=any(one.speaker for one in timeline),
        with_notes=any(one.note for one in timeline),
        with_uncertain=any(one.uncertain for one in timeline),
        with_intervals=any(one.intervals for one in timeline),
        notes=timeline.notes,
        clock=clock,
        model_name=model_name,
        licence=licence,
        version=__version__,
    )
    write_text(output, page.encode("utf-8", "backslashreplace").decode())  # a transcript may hold lone surrogates
    return output


def summaries_of(timeline: Timeline, lanes: Sequence[Lane]) -> list[tuple[str, SpeakerSummary]]:
    """Summaries of all predictions and, if there are several lanes, of each whose speaker or channel is known."""
    summary = summarise(timeline)
    by_lane = {(one.channel, one.speaker): one for one in summary.speakers} if len(lanes) > 1 else {}
    known = [(lane.name, by_lane.get((lane.channel, lane.speaker))) for lane in lanes]
    return [("all", summary.overall), *((name, one) for name, one in known if one)]


def read_sound(path: Path | str, *, embed: bool | None, track: int | None = None) -> Sound:
    """Read a recording block by block: the peaks of its waveform and, if it is to be stored in the page, its sound.

    Args:
        path: the recording.
        embed: whether to encode the sound; None: if it lasts at most `EMBED_SECONDS`.
        track: number of the audio track, from 1; None for the first.
    """
    import soundfile

    # MP3, which every browser plays, at a constant rate, which lets them find the exact place in it.
    form: dict[str, Any] = {"format": "MP3", "bitrate_mode": "CONSTANT", "compression_level": 0.75}  # 48 kbit/s
    if "MP3" not in soundfile.available_formats():  # libsndfile before version 1.1
        form = {"format": "FLAC"}
    buffer, encoder = io.BytesIO(), None
    peaks, rest, samples = [], np.empty(0, np.float32), 0
    for block in stream_audio(path, track=track):
        block = block if block.shape[1] <= 2 else block.mean(axis=1, keepdims=True)
        samples += len(block)
        levels = np.concatenate([rest, np.abs(block).max(axis=1)])
        whole = len(levels) // _PEAK * _PEAK
        peaks.append(levels[:whole].reshape(-1, _PEAK).max(axis=1))
        rest = levels[whole:]
        if embed or (embed is None and samples <= EMBED_SECONDS * SAMPLE_RATE):
            encoder = encoder or soundfile.SoundFile(buffer, "w", SAMPLE_RATE, block.shape[1], **form)
            encoder.write(np.clip(block, -1, 1))
        elif encoder:
            encoder.close()
            encoder, buffer = None, io.BytesIO()
    if len(rest):
        peaks.append(rest.max(keepdims=True))
    if encoder:
        encoder.close()
    media_type = "audio/mpeg" if form["format"] == "MP3" else "audio/flac"
    return Sound(np.concatenate(peaks), samples / SAMPLE_RATE, buffer.getvalue() if encoder else None, media_type)


def data_url(sound: Sound) -> str:
    """The sound itself as a URL."""
    return f"data:{sound.media_type};base64,{base64.b64encode(sound.encoded or b'').decode()}"


def relative_url(path: Path | str, folder: Path) -> str:
    """URL of a file as seen from a folder, whatever bytes are in its name.

    >>> relative_url("talks/day 1.wav", Path("pages"))
    '../talks/day%201.wav'
    """
    try:
        relative = os.path.relpath(path, folder)
    except ValueError:  # another drive of Windows
        return Path(path).absolute().as_uri()
    return quote(os.fsencode(relative.replace(os.sep, "/")))


def clock(seconds: float) -> str:
    """Write a time as minutes, seconds and tenths, with hours if there are any.

    >>> clock(83.25), clock(3600)
    ('1:23.2', '1:00:00.0')
    """
    tenths = round(seconds * 10)
    hours, minutes, rest = tenths // 36000, tenths // 600 % 60, tenths % 600 / 10
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


def waveform_path(peaks: np.ndarray) -> str:
    """The outline of a waveform as the data of an SVG path; the loudest peak fills the height."""
    stride = -(-len(peaks) // _MOST_PEAKS)
    padded = np.pad(peaks, (0, -len(peaks) % stride)).reshape(-1, stride).max(axis=1)
    heights = np.rint(padded / (padded.max() or 1.0) * _HEIGHT / 2).astype(int)
    times = np.arange(len(heights)) * stride * _PEAK * 100 // SAMPLE_RATE
    above = [f"{x} {_HEIGHT // 2 - y}" for x, y in zip(times, heights, strict=True)]
    below = [f"{x} {_HEIGHT // 2 + y}" for x, y in zip(times[::-1], heights[::-1], strict=True)]
    return f"M{' '.join([*above, *below])}Z"


def emotion_paths(lane: Lane, categories: Sequence[str]) -> list[tuple[str, bool, str]]:
    """Category, whether it is uncertain, and path of the segments of each such kind in a lane."""
    paths: dict[tuple[str, bool], list[str]] = {}
    for block in lane.blocks:
        emotion, uncertain = block.kind
        if emotion is not None:
            paths.setdefault((emotion, uncertain), []).append(_rectangle(block.start, block.end, 0, _HEIGHT))
    kinds = sorted(paths, key=lambda kind: (categories.index(kind[0]), kind[1]))
    return [(*kind, "".join(paths[kind])) for kind in kinds]


def dimension_paths(lanes: Iterable[Lane], dimension: str) -> list[tuple[str, str]]:
    """CSS class and path of what shows a dimension: intervals, lines between segments, certain and uncertain values."""
    paths: dict[str, list[str]] = {"band": [], "step": [], "certain": [], "uncertain": []}
    for lane in lanes:
        before = None
        for start, end, one in lane.blocks:
            value = getattr(one, dimension)
            if value is None:
                continue
            x, y, right = round(start * 100), round(_HEIGHT * (1 - value), 1), round(end * 100)
            if low_high := one.intervals.get(dimension):
                low, high = (round(_HEIGHT * (1 - limit), 1) for limit in low_high)
                paths["band"].append(_rectangle(start, end, high, low))
            if before:
                paths["step"].append(f"M{before[0]} {before[1]}L{x} {y}")
            paths["uncertain" if one.uncertain else "certain"].append(f"M{x} {y}H{right}")
            before = right, y
    return [(name, "".join(parts)) for name, parts in paths.items() if parts]


def _rectangle(start: float, end: float, top: float, bottom: float) -> str:
    return f"M{round(start * 100)} {top:g}H{round(end * 100)}V{bottom:g}H{round(start * 100)}Z"
