"""Where `emofuse predict` writes, and what it says about the recordings of a batch."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emofuse.cli.output import check_output, print_error, print_or_write, silence_standard_output
from emofuse.cli.progress import Progress
from emofuse.errors import EmofuseError

if TYPE_CHECKING:
    from emofuse.inference.files import Finished
    from emofuse.inference.inputs import Recording
    from emofuse.inference.options import PredictOptions
    from emofuse.inference.predictor import Predictor
    from emofuse.inference.results import Results
    from emofuse.timeline.prediction import Prediction, Timeline
    from emofuse.timeline.saving import Form


@dataclass(frozen=True)
class Destination:
    """Where `emofuse predict` writes: a file, a folder, or else standard output.

    Attributes:
        output: the file.
        folder: the folder.
        form: format of the file, or of the files in the folder.
        excel: whether CSV is for Excel.
        resume: whether to continue an earlier run.
    """

    output: Path | None
    folder: Path | None
    form: Form
    excel: bool
    resume: bool

    @classmethod
    def parse(
        cls,
        *,
        output: Path | None,
        folder: Path | None,
        format: str | None,
        excel: bool,
        resume: bool,
        recordings: Sequence[Recording],
        others: Sequence[Path],
    ) -> Destination:
        """The destination that options mean.

        Args:
            output: --output.
            folder: --out.
            format: --format.
            excel: --excel.
            resume: --resume.
            recordings: all recordings of the batch.
            others: other files that are read.

        Raises:
            EmofuseError: the options do not go together, or an input would be replaced.
        """
        from emofuse.audio import name_of
        from emofuse.inference.folder import result_names

        if output is not None and folder is not None:
            raise EmofuseError("--output writes one file, --out a folder. Give one of them.")
        inputs = [recording.file for recording in recordings if recording.file is not None] + list(others)
        check_output(output, inputs)
        form = _form_of(output, format or ("csv" if folder else None))
        if excel and form.name != "csv":
            raise EmofuseError(f"--excel is for CSV, but the format is {form.name}. Add --format csv.")
        if folder is not None:
            if form.name == "table":
                raise EmofuseError("--format table is for a terminal. Choose another format for --out.")
            results = {os.path.abspath(folder / name) for name in result_names(recordings, form.ending)}
            if clash := results.intersection(map(os.path.abspath, inputs)):
                raise EmofuseError(f"{name_of(min(clash))} is one of the inputs. Choose another folder for --out.")
        elif not form.many and len(recordings) > 1:
            raise EmofuseError(
                f"A file of the format {form.name} holds one recording, but {len(recordings)} are given. Write a file "
                "for each with --out FOLDER."
            )
        elif resume and (output is None or not form.streams or _is_device(output)):
            raise EmofuseError(
                "--resume needs --out FOLDER, or --output FILE that ends in .csv, .jsonl, .json or .parquet."
            )
        return cls(output, folder, form, excel, resume)

    @contextmanager
    def open(
        self, recordings: Sequence[Recording], predictor: Predictor, *, adapt: Path | str, options: PredictOptions
    ) -> Iterator[Results]:
        """Open the destination for the results of recordings; `adapt` and `options` are those of the prediction.

        Raises:
            EmofuseError: it cannot be written, or holds results and is not to be resumed.
        """
        from emofuse.inference.folder import FolderResults
        from emofuse.inference.journal import Journal, fingerprints
        from emofuse.inference.results import CollectedResults, StreamedResults, extra_columns
        from emofuse.timeline.writers import open_writer

        def journal(path: Path, has_result: Any = lambda name: True, **settings: Any) -> Journal:
            known = fingerprints(predictor, recordings, adapt=adapt, options={**options, **settings})
            return Journal(path, recordings, known, resume=self.resume, has_result=has_result)

        labels = predictor.bundle.labels
        if self.folder is not None:
            settings = {"format": self.form.name, "excel": self.excel}
            with FolderResults(
                self.folder,
                recordings,
                self.form,
                labels=labels,
                open_journal=lambda path, has_result: journal(path, has_result, **settings),
                excel=self.excel,
            ) as results:
                yield results
        elif not self.form.streams:
            with CollectedResults(recordings, self._save) as results:
                yield results
        elif self.output is None:
            extra, colour = extra_columns(recordings), sys.stdout.isatty()
            try:
                writer = open_writer(
                    sys.stdout, self.form.name, labels=labels, extra=extra, excel=self.excel, colour=colour
                )
                with StreamedResults(recordings, writer) as results:
                    yield results
            except EmofuseError:
                silence_standard_output()
                raise
        else:
            log = None
            if self.resume or (len(recordings) > 1 and not _is_device(self.output)):
                log = journal(self.output.with_name(f"{self.output.name}.progress.jsonl"))
            try:
                self.output.parent.mkdir(parents=True, exist_ok=True)
                file = self.output.open("w", encoding="utf-8", newline="\n")
            except OSError as error:
                raise EmofuseError(f"{self.output} cannot be written: {error.strerror}.") from error
            extra = extra_columns(recordings)
            with file:
                writer = open_writer(file, self.form.name, labels=labels, extra=extra, excel=self.excel)
                with StreamedResults(recordings, writer, log) as results:
                    yield results

    def _save(self, timelines: list[Timeline]) -> None:
        from emofuse.timeline.saving import save

        if self.output is not None:
            save(timelines, self.output, self.form.name)
        elif self.form.render is None:
            raise EmofuseError(f"The format {self.form.name} needs a place to write to: add --output.")
        else:
            print_or_write("".join(map(self.form.render, timelines)), None, is_table=False)


class Work:
    """Shows progress and errors, and counts what has failed."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._total = self._done = self._failed = 0
        self._is_one = self._has_errors = self._can_resume = False

    def begin(self, recordings: Sequence[Recording], results: Results) -> None:
        """Say what of an earlier run is used again, and show progress from now on."""
        from emofuse.audio import header_seconds

        self._total, self._done = len(recordings), results.finished
        self._can_resume = results.journal is not None
        if results.finished or results.repeated:
            print_error(f"{results.finished} of {self._total} recordings are finished.")
        for reason, count in sorted(results.repeated.items()):
            print_error(f"{count} are predicted again, because {reason}.")
        self._is_one = self._total == 1
        if self._is_one:
            file = recordings[0].file
            self._progress = Progress(None if file is None else header_seconds(file), "seconds")
        else:
            self._progress = Progress(self._total, "files")

    def reached(self, seconds: float) -> None:
        """Show how far a recording is, if it is the only one."""
        if self._is_one and self._progress is not None:
            self._progress.update(seconds)

    def take(self, event: Prediction | Finished, results: Results) -> None:
        """Write a prediction, or the end of a recording and its errors."""
        from emofuse.timeline.prediction import Prediction

        self.end()
        if isinstance(event, Prediction):
            results.write(event)
            return
        event = results.finish(event)
        for error in event.errors:
            print_error(error)
        self._done += 1
        self._failed += event.failed
        self._has_errors = self._has_errors or bool(event.errors)
        if not self._is_one and self._progress is not None:
            self._progress.update(self._done)

    def end(self) -> None:
        """Remove the progress bar."""
        if self._progress is not None:
            self._progress.clear()

    def interrupted(self) -> str:
        """What is done, and how to continue."""
        so_far = f" after {self._done} of {self._total} recordings" if self._total else ""
        return f"stopped{so_far}." + " Run the same command with --resume to continue." * self._can_resume

    def exit_code(self) -> int:
        """0 if all went well, 1 if some recordings failed, 2 if none could be used."""
        return 2 if self._failed == self._total else int(self._has_errors)


def _form_of(output: Path | None, format: str | None) -> Form:
    """The format that --format and the ending of the output file mean."""
    from emofuse.timeline.saving import FORMS, form_of

    by_ending = None
    if output is not None and output.suffix:
        try:
            by_ending = form_of(output)
        except EmofuseError:
            if format is None:
                raise
    if format is None:
        return by_ending or FORMS["table"]
    if format.lower() not in FORMS:
        raise EmofuseError(f"--format {format}: this format is unknown. Expected one of {', '.join(FORMS)}.")
    form = FORMS[format.lower()]
    if by_ending is not None and by_ending != form and form.ending:
        raise EmofuseError(f"{output} ends in {by_ending.ending}, but --format is {format}. Change one of them.")
    return form


def _is_device(path: Path) -> bool:
    """True for a pipe or a device, such as /dev/stdout."""
    return path.exists() and not path.is_file()
