"""The journal of a batch: which recordings are done, and their results, so that a run can be resumed.

It is a file of JSON Lines. A line is added when a recording is done, with what the result depends on: hashes of the
audio, the given segments and words, the model and the options. A recording is finished if it has such a line without
errors, and nothing of this has changed.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emofuse import __version__
from emofuse.audio import name_of
from emofuse.errors import EmofuseError
from emofuse.files import file_hash, file_hashes, hash_of, lock_file
from emofuse.inference.adaptation import AdaptationSource
from emofuse.inference.files import Finished, file_state
from emofuse.inference.inputs import Recording

if TYPE_CHECKING:
    from emofuse.inference.predictor import Predictor

_REASONS = {
    "model": "the model has changed",
    "options": "the options have changed",
    "segments": "their segments or words have changed",
    "audio": "their audio has changed",
    "errors": "they failed before",
    "result": "their results are missing",
}
"""Why recordings are predicted again."""


def fingerprints(
    predictor: Predictor, recordings: Sequence[Recording], *, adapt: Path | str, options: Mapping[str, Any]
) -> list[dict[str, str]]:
    """Hashes of what the result for each recording depends on, but for its audio.

    Args:
        predictor: the model.
        recordings: all recordings of the batch.
        adapt: as in `emofuse.inference.adaptation.speaker_profiles`.
        options: of the prediction and of the output.

    Raises:
        EmofuseError: the recording to adapt to cannot be read.
    """
    facts = {name: value for name, value in asdict(predictor.bundle).items() if name != "folder"}
    settings = {**options, "asr": predictor.asr, "transcribe": predictor.transcribe, "adapt": str(adapt)}
    model, others = hash_of([__version__, facts]), _hashes_of_others(recordings, adapt)
    count: Counter[Path | None] = Counter()
    result = []
    for recording, hashes in zip(recordings, others, strict=True):
        count[recording.file] += 1  # a recording that is named twice is predicted twice
        segments = None if recording.segments is None else [asdict(one) for one in recording.segments]
        given = [segments, recording.speaker, recording.channel, dict(recording.extra)]
        result.append(
            {
                "recording": f"{count[recording.file]} {recording.file}",
                "segments": hash_of(given),
                "model": model,
                "options": hash_of([settings, hashes]),
            }
        )
    return result


def _hashes_of_others(recordings: Sequence[Recording], adapt: Path | str) -> list[list[str]]:
    """For each recording, hashes of the recordings on which its result depends by adaptation, its own among them."""
    if isinstance(adapt, Path):
        return [[file_hash(adapt)]] * len(recordings)
    if adapt not in ("folder", "speaker"):
        return [[]] * len(recordings)
    files = sorted({one.file for one in recordings if one.file is not None and file_state(one) is not None})
    audio = file_hashes(files, unreadable={})
    groups: list[list[str]] = []  # of each recording: the names of its speakers, or its folder
    members: dict[str, dict[Hashable, str]] = {}
    for recording in recordings:
        source = AdaptationSource.of_recording(recording)
        groups.append(sorted(source.names) if adapt == "speaker" else [str(source.folder)])
        segments = [asdict(one) for one in source.segments or ()] if adapt == "speaker" else []
        digest = hash_of([audio.get(str(recording.file)), source.channel, source.speaker, segments])
        for group in groups[-1]:
            members.setdefault(group, {})[recording.file, digest] = digest
    digests = {group: hash_of(sorted(hashes.values())) for group, hashes in members.items()}
    return [[digests[group] for group in of_recording] for of_recording in groups]


class Journal:
    """Opens the journal of a batch, and looks up which recordings are finished. Use it as a context manager.

    Args:
        path: the file. A lock beside it keeps other processes away.
        recordings: all recordings of the batch.
        fingerprints: of the recordings, from `fingerprints`.
        resume: whether to continue what the journal holds.
        has_result: whether the result that an earlier run wrote, by its name in the journal, is still there.

    Attributes:
        finished: numbers of the finished recordings, from 0.
        repeated: number of recordings that are predicted again, by reason.
        results: names of the results that an earlier run wrote, by the numbers of their recordings.

    Raises:
        EmofuseError: the file cannot be used, there is one but `resume` is false, or another process uses it.
    """

    def __init__(
        self,
        path: Path,
        recordings: Sequence[Recording],
        fingerprints: Sequence[dict[str, str]],
        *,
        resume: bool,
        has_result: Callable[[str], bool] = lambda name: True,
    ) -> None:
        self._path, self._recordings, self._fingerprints = path, recordings, fingerprints
        self._has_result = has_result
        self.repeated: Counter[str] = Counter()
        self.results: dict[int, str] = {}
        self._offsets: dict[int, int] = {}  # in the file, of the entry of a recording
        self._lock_path = path.with_name(f".{path.name}.lock")
        with ExitStack() as stack:
            stack.enter_context(lock_file(self._lock_path, "writes results"))
            if not resume and path.exists() and path.stat().st_size:
                raise EmofuseError(
                    f"{name_of(path)}: this is the journal of an earlier run. Add --resume to continue that run, or "
                    "write to another place."
                )
            try:
                self._file = stack.enter_context(path.open("a+b"))
                self._read()
            except OSError as error:
                raise self._unusable(error) from error
            self._stack = stack.pop_all()
        self.finished = frozenset(self._offsets)

    def append(self, number: int, finished: Finished, *, result: str = "", **facts: Any) -> None:
        """Add a recording that is done.

        Args:
            number: of the recording, from 0.
            finished: what was predicted, or the errors.
            result: name of the file with the result.
            **facts: what else to keep of the recording.

        Raises:
            EmofuseError: the file has been deleted, or cannot be written.
        """
        self.check()
        entry = {
            **self._fingerprints[number],
            "audio": _audio_hash(finished),
            "errors": list(map(str, finished.errors)),
            "result": result,
            **facts,
            "records": finished.records(),
        }
        self._append(number, entry)

    def rename(self, number: int, result: str) -> None:
        """Note that the result of a recording has another name now."""
        if entry := self.entry(number):
            self._append(number, {**entry, "result": result})

    def _append(self, number: int, entry: dict[str, Any]) -> None:
        try:
            offset = self._file.seek(0, os.SEEK_END)
            self._file.write(json.dumps(entry).encode() + b"\n")
            self._file.flush()
            self._offsets[number] = offset
        except OSError as error:
            raise self._unusable(error) from error

    def entry(self, number: int) -> dict[str, Any] | None:
        """What the journal holds of a recording; None if it is not done."""
        if number not in self._offsets:
            return None
        self._file.seek(self._offsets[number])
        entry: dict[str, Any] = json.loads(self._file.readline())
        return entry

    def check(self) -> None:
        """Raise an error if the file has been deleted, or its folder has, because results would then be lost."""
        try:
            is_same = os.path.samestat(os.stat(self._path), os.fstat(self._file.fileno()))
        except OSError:
            is_same = False
        if not is_same:
            raise EmofuseError(
                f"{name_of(self._path)}: the file or its folder has disappeared during the run. Nothing more was "
                "written."
            )

    def close(self, *, delete: bool = False) -> None:
        """Close the file, or delete it."""
        if delete:
            for path in (self._path, self._lock_path):
                with suppress(OSError):  # a system may refuse while the file is open
                    path.unlink()
        with suppress(OSError):  # what is left of a line that could not be written
            self._stack.close()

    def _read(self) -> None:
        """Find the finished recordings, and begin a new line if the last one was not written to its end."""
        latest: dict[str, tuple[int, dict[str, Any]]] = {}
        self._file.seek(0)
        for offset, entry in _entries(self._file):
            latest[entry["recording"]] = offset, entry
        end = self._file.seek(0, os.SEEK_END)
        if end:
            self._file.seek(end - 1)
            if self._file.read(1) != b"\n":  # the line was not written to its end
                self._file.write(b"\n")
        candidates: dict[int, tuple[int, dict[str, Any]]] = {}
        for number, fingerprint in enumerate(self._fingerprints):
            if (known := latest.get(fingerprint["recording"])) is None:
                continue
            if known[1]["result"]:
                self.results[number] = known[1]["result"]
            if reason := self._reason(fingerprint, known[1]):
                self.repeated[_REASONS[reason]] += 1
            else:
                candidates[number] = known
        files = {number: self._recordings[number].file for number in candidates}
        hashes = file_hashes((file for file in files.values() if file is not None), unreadable={})
        for number, (offset, entry) in candidates.items():
            audio = "" if files[number] is None else hashes.get(str(files[number]))
            if audio is not None and entry["audio"] == audio:
                self._offsets[number] = offset
            else:
                self.repeated[_REASONS["audio"]] += 1

    def _reason(self, fingerprint: Mapping[str, str], entry: Mapping[str, Any]) -> str | None:
        """Why a recording must be predicted again, apart from its audio; None if it need not be."""
        if entry["errors"]:
            return "errors"
        changed = next((name for name in ("model", "options", "segments") if entry[name] != fingerprint[name]), None)
        return changed or (None if self._has_result(entry["result"]) else "result")

    def _unusable(self, error: OSError) -> EmofuseError:
        return EmofuseError(f"{name_of(self._path)}: cannot be written ({error.strerror or error}).")


def names_of_results(path: Path) -> set[str]:
    """Names of the results that a journal lists; none if the file cannot be read."""
    try:
        with path.open("rb") as file:
            return {entry["result"] for _, entry in _entries(file)}
    except OSError:
        return set()


def _entries(file: Iterable[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The entries of a journal without their records, each with its place in the file; damaged lines are left out."""
    offset = 0
    for line in file:
        try:
            entry = json.loads(line)
            del entry["records"]
            if {"recording", "segments", "model", "options", "audio", "errors", "result"} <= entry.keys():
                yield offset, entry
        except (ValueError, KeyError, TypeError):
            pass  # the recording is predicted again
        offset += len(line)


def _audio_hash(finished: Finished) -> str | None:
    """Hash of the audio that was read; "" for a text alone; None if it is not known, or has changed meanwhile."""
    file = finished.recording.file
    if file is None:
        return ""
    if finished.state is None or finished.errors:
        return None
    try:
        digest = file_hash(file)
    except EmofuseError:
        return None
    return digest if file_state(finished.recording) == finished.state else None
