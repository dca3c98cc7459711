"""The prediction for a segment, and the timeline of a recording."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from emofuse.audio import Note

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Prediction:
    """Prediction for one segment.

    Attributes:
        file: path of the recording; None for samples and for text alone.
        start: start of the segment in the recording, in seconds; None for text alone.
        end: end of the segment in the recording, in seconds; None for text alone.
        text: transcript; None if there is none.
        text_source: "given", "asr" (recognised), or None without a transcript.
        language: ISO 639-1 code of the transcript; None if unknown.
        used: "audio+text", "audio" or "text": the modalities that the prediction is based on. A transcript in a
            language that the model does not read is shown but not used.
        emotion: the most probable category; None if the model does not predict categories.
        confidence: probability of `emotion`.
        probabilities: probability of each category; empty if the model does not predict categories.
        arousal: 0 (calm) to 1 (excited); None if the model does not predict dimensions.
        valence: 0 (negative) to 1 (positive); None likewise.
        dominance: 0 (weak) to 1 (strong); None likewise.
        uncertain: True if the confidence is below the calibrated threshold; None if the model is not calibrated. Where
            no speech is detected, a calibrated model is always uncertain, and its probabilities move halfway to
            uniform.
        intervals: lowest and highest likely value of each dimension; empty if the model is not calibrated for this.
        adapted: whether the model was adapted to the speaker by other audio.
        speaker: name of the speaker, where it was given or several speakers were told apart.
        channel: number of the recording's channel, from 1; None if the channels were averaged.
        language_probability: probability of `language`, 0..1; 1 if it was given, None without a transcript.
        text_confidence: of the recogniser in its words, 0..1; None unless they were recognised.
        note: what to know about this prediction, such as why the transcript was not used; None for most.
        extra: further columns of the segment's row in the user's table.
    """

    file: str | None
    start: float | None
    end: float | None
    text: str | None
    text_source: str | None
    language: str | None
    used: str
    emotion: str | None
    confidence: float | None
    probabilities: dict[str, float]
    arousal: float | None
    valence: float | None
    dominance: float | None
    uncertain: bool | None = None
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    adapted: bool = False
    speaker: str | None = None
    channel: int | None = None
    language_probability: float | None = None
    text_confidence: float | None = None
    note: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)


class Timeline(list[Prediction]):
    """The predictions for one recording, in order of time; empty if nobody speaks in it.

    Attributes:
        file: path of the recording; None for samples, bytes and text alone.
        seconds: duration of the recording; None for text alone.
        notes: what to know about the recording: what could not be decoded, and what was left out and why.
    """

    def __init__(
        self,
        predictions: Iterable[Prediction] = (),
        *,
        file: str | None = None,
        seconds: float | None = None,
        notes: Iterable[Note] = (),
    ) -> None:
        super().__init__(predictions)
        self.file, self.seconds, self.notes = file, seconds, list(notes)

    def to_pandas(self) -> pd.DataFrame:
        """A pandas table with one row for each prediction, and the columns of CSV (docs/formats.md)."""
        from emofuse.timeline.tables import to_pandas

        return to_pandas(self)

    def save(self, path: Path | str, form: str | None = None) -> None:
        """Write the timeline to a file, or nothing if that fails.

        Args:
            path: the file, which is replaced if it exists.
            form: name of the format, such as "csv" or "textgrid"; None for the one that the ending of `path` means:
                .json .jsonl .csv .parquet .TextGrid .eaf .vtt .srt .txt (Audacity) or .rttm.

        Raises:
            EmofuseError: the format is unknown, needs a library that is not installed, or needs times and a prediction
                from text alone has none; or the file cannot be written.
        """
        from emofuse.timeline.saving import save

        save([self], path, form)
