"""What `emofuse predict` shows beside the predictions: a summary, a page, a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from emofuse.cli.output import check_output
from emofuse.errors import EmofuseError

if TYPE_CHECKING:
    from emofuse.cli.batch import Destination
    from emofuse.inference.bundle import Bundle
    from emofuse.inference.files import Finished
    from emofuse.inference.inputs import Recording


def show_summary(event: Finished, destination: Destination) -> None:
    """Print what a recording of several segments comes to, below its table on the terminal."""
    from emofuse.timeline.summary import render_summary, summarise

    if destination.output is None and destination.folder is None and destination.form.name == "table":
        text = render_summary(summarise(event.timeline))
        if text:
            typer.echo(f"\n{text.rstrip()}\n")


@dataclass(frozen=True)
class Views:
    """The page and the picture of a recording.

    Attributes:
        report: path of the page; None for no page.
        plot: path of the picture; None for no picture.
        track: number of the audio track, from 1; None for the first.
    """

    report: Path | None
    plot: Path | None
    track: int | None

    @classmethod
    def parse(
        cls, *, report: Path | None, plot: Path | None, recordings: Sequence[Recording], track: int | None
    ) -> Views:
        """Check, before any work, that the page and the picture can be made.

        Raises:
            EmofuseError: there is not exactly one recording, or the files cannot be written.
        """
        from emofuse.inference.inputs import STANDARD_INPUT

        if report is None and plot is None:
            return cls(None, None, track)
        option = "--report" if report is not None else "--plot"
        files = [recording.file for recording in recordings if recording.file is not None]
        if len(recordings) != 1 or not files:
            raise EmofuseError(f"{option} is for one recording, but {len(files)} are given.")
        if report is not None and files[0] == STANDARD_INPUT:
            raise EmofuseError("--report needs the recording as a file, because it reads it once more.")
        for path in (report, plot):
            check_output(path, files)
        if report is not None and report.suffix.lower() not in (".html", ".htm"):
            raise EmofuseError(f"{report}: the page is HTML. Choose a name that ends in .html.")
        if plot is not None:
            from emofuse.plot_style import check_picture

            check_picture(plot)
        return cls(report, plot, track)

    def write(self, event: Finished, bundle: Bundle) -> None:
        """Write the page and the picture, unless nothing could be predicted."""
        if event.failed or event.recording.file is None:
            return
        if self.report is not None:
            from emofuse.report.recording import write_recording_page

            write_recording_page(
                event.timeline,
                event.recording.file,
                self.report,
                model_name=bundle.name,
                licence=bundle.licence,
                track=self.track,
            )
        if self.plot is not None:
            from emofuse.report.recording_plot import plot_timeline

            plot_timeline(event.timeline, self.plot)
