"""Where the results of a batch go: to a stream as they come, or to a file at the end. For a folder, see `folder`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from emofuse.inference.files import Finished
from emofuse.inference.inputs import Recording
from emofuse.inference.journal import Journal
from emofuse.timeline.prediction import Prediction, Timeline
from emofuse.timeline.writers import Writer


class Results:
    """Takes the results of recordings in their order. Use it as a context manager.

    Args:
        recordings: all recordings of the batch.
        journal: of the batch, which is closed in the end; None if the batch cannot be resumed.

    Attributes:
        remaining: the recordings to predict: those that are not finished.
        finished: number of the others.
    """

    def __init__(self, recordings: Sequence[Recording], journal: Journal | None = None) -> None:
        self.journal = journal
        finished = frozenset() if journal is None else journal.finished
        numbers = [number for number in range(len(recordings)) if number not in finished]
        self.remaining = [recordings[number] for number in numbers]
        self.finished = len(finished)
        self._numbers = iter(numbers)  # of the remaining recordings

    @property
    def repeated(self) -> Counter[str]:
        """Number of recordings that an earlier run had predicted and that are predicted again, by reason."""
        return Counter() if self.journal is None else self.journal.repeated

    def write(self, prediction: Prediction) -> None:
        """Take a prediction for the next of the remaining recordings."""

    def finish(self, finished: Finished) -> Finished:
        """Take the next of the remaining recordings, after its predictions.

        Returns:
            The same, with further errors if its result cannot be written although those of others can.
        """
        raise NotImplementedError

    def complete(self) -> None:
        """Write what comes after the last recording."""

    def interrupt(self) -> None:
        """Write what makes the results useful although the batch was interrupted."""

    def close(self) -> None:
        """Release files. Further calls have no effect."""
        if self.journal is not None:
            self.journal.close()

    def __enter__(self) -> Results:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        try:
            if error is None:
                self.complete()
            elif issubclass(error, KeyboardInterrupt):
                self.interrupt()
        finally:
            self.close()


class StreamedResults(Results):
    """Writes predictions to a stream as they come.

    If the batch is resumed, the results of finished recordings are taken from the journal, in their place. The journal
    is deleted when all recordings are done.
    """

    def __init__(self, recordings: Sequence[Recording], writer: Writer, journal: Journal | None = None) -> None:
        super().__init__(recordings, journal)
        self._writer, self._next = writer, 0

    def write(self, prediction: Prediction) -> None:
        """Write the prediction."""
        self._repeat()
        self._writer.write(prediction)

    def finish(self, finished: Finished) -> Finished:
        """Write the errors of the recording, or that nobody speaks in it."""
        self._repeat()
        for record in finished.records()[len(finished.timeline) :]:
            self._writer.write_record(record)
        if self.journal is not None:
            self.journal.append(self._next, finished)
        self._next += 1
        return finished

    def complete(self) -> None:
        """Write the finished recordings after the last that was predicted."""
        self._repeat()
        self._writer.close()
        if self.journal is not None:
            self.journal.close(delete=True)

    def close(self) -> None:
        """Close the journal; the stream is the caller's."""
        self._writer.close()
        super().close()

    def _repeat(self) -> None:
        """Write the records of the finished recordings that come next."""
        while self.journal is not None and self._next in self.journal.finished:
            entry = self.journal.entry(self._next)
            for record in entry["records"] if entry else ():
                self._writer.write_record(record)
            self._next += 1


class CollectedResults(Results):
    """Keeps all timelines, for formats that cannot be written prediction by prediction.

    Args:
        recordings: all recordings of the batch.
        save: is called with the timelines of the recordings that could be used, if there are any.
    """

    def __init__(self, recordings: Sequence[Recording], save: Callable[[list[Timeline]], Any]) -> None:
        super().__init__(recordings)
        self._save, self._timelines = save, list[Timeline]()

    def finish(self, finished: Finished) -> Finished:
        """Keep the timeline, unless nothing could be predicted."""
        if not finished.failed:
            self._timelines.append(finished.timeline)
        return finished

    def complete(self) -> None:
        """Save the timelines."""
        if self._timelines:
            self._save(self._timelines)

    def interrupt(self) -> None:
        """Save the timelines of the finished recordings."""
        self.complete()


def extra_columns(recordings: Sequence[Recording]) -> list[str]:
    """Names of the further columns that the rows of recordings and of their segments have in the user's tables."""
    names: dict[str, None] = {}
    for recording in recordings:
        names |= dict.fromkeys(recording.extra)
        for segment in recording.segments or ():
            names |= dict.fromkeys(segment.extra)
    return list(names)
