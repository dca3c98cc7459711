"""What the model adapts to in each recording of a batch: a voice of its folder, a named speaker, or a recording."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emofuse.audio import name_of
from emofuse.encoders.speaker import SpeakerEncoder
from emofuse.errors import EmofuseError
from emofuse.hardware import run_parallel
from emofuse.inference.inputs import Recording
from emofuse.inference.options import PredictOptions, checked_options
from emofuse.inference.predictor import Predictor
from emofuse.inference.profiles import MAX_PROFILE, MeasuredRecording, measure_recording, merge_profiles
from emofuse.models.adapter import SpeakerProfile
from emofuse.segment import Segment
from emofuse.timeline.voice_groups import group_by_voice

Speakers = SpeakerProfile | Mapping[str, SpeakerProfile] | None
"""What the model adapts to in a recording: a speaker, some of those whom its segments name, or the recording itself."""

WAYS = ("recording", "folder", "speaker", "off")
"""Values of --adapt that are not the path of a recording."""

_MAX_SEGMENTS = 20_000  # whose states are in memory at once, 6 kB each, while a folder is measured
_MEASURED = {"sample_rate", "start", "end", "max_seconds", "channels", "track", "speakers"}
"""Options that measuring depends on."""

log = logging.getLogger("emofuse")


@dataclass(frozen=True)
class AdaptationSource:
    """A recording that others may be adapted to.

    Attributes:
        audio: the recording, as `Predictor` takes it; None if it can be read only once, or has none.
        identity: equal for the same recording under several names.
        folder: in which the recording lies, by its path and not by what it is a link to; None if it has no path.
        speaker: who speaks in all of it, if that is known.
        segments: its segments with times, if they are given.
        channel: number of the channel, from 1; None for all.
    """

    audio: Any
    identity: Hashable
    folder: Path | None = None
    speaker: str | None = None
    segments: Sequence[Segment] | None = None
    channel: int | None = None

    @classmethod
    def of_recording(cls, recording: Recording) -> AdaptationSource:
        """The source of a recording that a command names."""
        segments, speaker = recording.segments, recording.speaker
        if segments is not None and len(segments) == 1 and segments[0].is_whole:
            speaker, segments = segments[0].speaker or speaker, None
        if recording.file is None or not recording.file.is_file():
            return cls(None, None, folder_of(recording), speaker, segments)
        identity = (os.path.realpath(recording.file), recording.channel)
        return cls(recording.file, identity, folder_of(recording), speaker, segments, recording.channel)

    @classmethod
    def of_audio(cls, audio: Any, number: int, *, speaker: str | None) -> AdaptationSource:
        """The source of an input of `predict_many`, and of its number among them."""
        if isinstance(audio, str | Path):
            return cls.of_recording(Recording(Path(audio), speaker=speaker))
        can_be_read_again = not hasattr(audio, "read")
        return cls(audio if can_be_read_again else None, number, speaker=speaker)

    @property
    def names(self) -> set[str]:
        """Names of its speakers, where they are given."""
        if self.speaker is not None:
            return {self.speaker}
        return {one.speaker for one in self.segments or () if one.speaker is not None}

    @property
    def name(self) -> str:
        """For messages."""
        return name_of(self.audio) if isinstance(self.audio, str | Path) else "samples"


def adaptation(option: str) -> Path | str:
    """Parse the value of --adapt: one of `WAYS`, or the path of a recording.

    Raises:
        EmofuseError: there is no such file.
    """
    if option in WAYS:
        return option
    if not Path(option).is_file():
        raise EmofuseError(
            f"--adapt {option}: there is no such file. Give a recording of the speaker, or recording, folder, speaker "
            "or off."
        )
    return Path(option)


def folder_of(recording: Recording) -> Path | None:
    """The folder that the path of a recording names, whatever the recording is a link to; None for a text alone."""
    return None if recording.file is None else Path(os.path.abspath(recording.file)).parent


def speaker_profiles(
    predictor: Predictor,
    sources: Sequence[AdaptationSource],
    *,
    adapt: Path | str,
    among: Sequence[AdaptationSource] | None = None,
    options: PredictOptions,
) -> list[Speakers]:
    """What the model adapts to in each recording; None if only to the recording itself.

    Args:
        predictor: the model.
        sources: the recordings to predict.
        adapt: the path of a recording of the speaker; "folder" for recordings of the same voice in the same folder;
            "speaker" for all recordings and segments of the same named speaker; "recording"; or "off".
        among: all recordings of the batch, also those that need not be predicted any more; None for `sources`.
        options: of the prediction.

    Raises:
        EmofuseError: the model cannot adapt, the recording of the speaker cannot be used, or no speaker has a name.
    """
    among = sources if among is None else among
    if isinstance(adapt, Path):
        return [predictor.speaker_profile([adapt], track=options.get("track"))] * len(sources)
    if adapt not in ("folder", "speaker"):
        return [None] * len(sources)
    if predictor.adapter is None:
        raise EmofuseError(f"The model {predictor.bundle.name} cannot adapt to a speaker. Leave --adapt out.")
    measure = _Measure(predictor, options)
    if adapt == "folder":
        folders: dict[Path | None, list[AdaptationSource]] = {
            one.folder: [] for one in sources if one.folder is not None
        }
        for one in among:
            if one.folder in folders:
                folders[one.folder].append(one)
        profiles = {folder: _voices_of(inside, measure) for folder, inside in folders.items()}
        return [profiles.get(one.folder, {}).get(one.identity) for one in sources]
    if not any(one.names for one in among):
        raise EmofuseError(
            "--adapt speaker: no speaker is named. Give a table of the recordings with a column speaker, or --segments "
            "with speakers."
        )
    named = _named_speakers(set().union(*(one.names for one in sources)), among, measure)
    return [_speakers_of(one, named) for one in sources]


class _Measure:
    """Measures recordings, several at once; those that cannot be measured are left out."""

    def __init__(self, predictor: Predictor, options: PredictOptions) -> None:
        self._predictor = predictor
        given: Any = {name: value for name, value in options.items() if name in _MEASURED}
        self._options = checked_options(given)

    def __call__(
        self, sources: Sequence[AdaptationSource], *, by_voice: bool = False
    ) -> list[MeasuredRecording | None]:
        """Measure recordings.

        Args:
            sources: the recordings.
            by_voice: whether to embed their voices, and to leave their segments aside.
        """
        predictor = self._predictor
        encoder = SpeakerEncoder() if by_voice else None
        limit = min(MAX_PROFILE, max(1, _MAX_SEGMENTS // max(1, len(sources))))

        def measure(source: AdaptationSource) -> MeasuredRecording | None:
            options: PredictOptions = {**self._options, "segments": None if by_voice else source.segments}
            if source.channel is not None:
                options["channels"] = source.channel
            try:
                return measure_recording(
                    predictor, source.audio, options, speaker_encoder=encoder, limit=limit, quiet=True
                )
            except Exception as error:  # it is reported when the recording is predicted
                log.debug("%s: %s", source.name, error)
                return None

        predictor.calls_at_once = max(1, min(predictor.threads, len(sources)))
        return [call.result() for call in run_parallel(measure, sources, threads=predictor.threads)]


def _voices_of(inside: Sequence[AdaptationSource], measure: _Measure) -> dict[Hashable, SpeakerProfile]:
    """Profiles for the recordings of a folder that share their voice with others of it, by their identity."""
    inside = _once(inside)
    sources = [one for one in inside if len(one.names) < 2]
    if len(sources) < 2:
        return {}
    voices: dict[Hashable, tuple[np.ndarray, SpeakerProfile]] = {}
    for source, measured in zip(sources, measure(sources, by_voice=True), strict=True):
        if measured is not None and measured.embedding is not None:
            voices[source.identity] = measured.embedding, measured.profiles[None]
    groups = group_by_voice(np.array([embedding for embedding, _ in voices.values()]))
    members: dict[int, list[SpeakerProfile]] = {}
    for group, (_, profile) in zip(groups, voices.values(), strict=True):
        if group is not None:
            members.setdefault(group, []).append(profile)
    grouped = sum(map(len, members.values()))
    log.warning("%s: %s.", name_of(str(inside[0].folder)), _decision(len(inside), len(members), grouped))
    profiles = {group: merge_profiles(parts) for group, parts in members.items()}
    return {identity: profiles[group] for identity, group in zip(voices, groups, strict=True) if group is not None}


def _decision(recordings: int, voices: int, grouped: int) -> str:
    """What was decided about the recordings of a folder, of which some were grouped by voice."""
    if not voices:
        return f"the voices in {recordings} recordings differ or are unclear, so each recording is adapted to by itself"
    rest = f", and {recordings - grouped} by themselves" if grouped < recordings else ""
    if voices == 1:
        return f"one voice in {grouped} of {recordings} recordings; these are adapted to together{rest}"
    return f"{voices} voices in {grouped} of {recordings} recordings; each voice is adapted to by itself{rest}"


def _named_speakers(names: set[str], among: Sequence[AdaptationSource], measure: _Measure) -> dict[str, SpeakerProfile]:
    """Profiles of those named speakers who speak in several recordings."""
    sources = _once(among, by=lambda one: (one.identity, one.speaker, tuple(one.segments or ())))
    count = Counter(name for one in sources for name in one.names)
    shared = {name for name in names if count[name] > 1}
    sources = [one for one in sources if one.names & shared]
    parts: dict[str, list[SpeakerProfile]] = {}
    for source, measured in zip(sources, measure(sources), strict=True):
        for name, profile in {} if measured is None else measured.profiles.items():
            name = source.speaker if source.speaker is not None else name
            if name in shared:
                parts.setdefault(name, []).append(profile)
    return {name: merge_profiles(of_name) for name, of_name in parts.items()}


def _speakers_of(source: AdaptationSource, named: Mapping[str, SpeakerProfile]) -> Speakers:
    if source.speaker is not None:
        return named.get(source.speaker)
    return {name: named[name] for name in source.names if name in named} or None


def _once(
    sources: Iterable[AdaptationSource], *, by: Callable[[AdaptationSource], Hashable] = lambda one: one.identity
) -> list[AdaptationSource]:
    """The recordings that can be measured, each once, in an order that does not depend on the given one."""
    different = {by(one): one for one in sources if one.audio is not None}
    return sorted(different.values(), key=lambda one: str(one.identity))
