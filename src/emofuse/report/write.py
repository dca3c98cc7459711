"""Write the report of a study as a page and tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from emofuse import __version__
from emofuse.config import dump_toml
from emofuse.files import write_text
from emofuse.report import conditioning, facts, plots, stress, tables
from emofuse.report import sentences as said
from emofuse.report.results import FEW_SYSTEMS, NAMES, RESAMPLES, results_of
from emofuse.report.table import Table, render_template
from emofuse.study.folder import columns_of, read_study


def write_report(
    folder: Path,
    out: Path | None = None,
    *,
    by: Sequence[str] = (),
    data: Path | None = None,
    conditioning_seeds: int = 0,
    resamples: int = RESAMPLES,
) -> Path:
    """Write `report.html`, a page in one file, and its tables as CSV, Markdown and LaTeX in `tables/`.

    Args:
        folder: of the study, which need not be finished.
        out: folder of the report; None: `folder`/report.
        by: columns to break results down by.
        data: folder of the corpora, for columns that are not stored with the predictions, and for `conditioning_seeds`.
        conditioning_seeds: number of seeds in which to measure the effect of conditioning first, with the weights of
            the runs, unless the study has the measurements.
        resamples: number of draws of every bootstrap and permutation test.

    Returns:
        Path of the page.

    Raises:
        EmofuseError: the folder is not a study, nothing in it can be compared, or no corpus has a column of `by`.
    """
    out = out or folder / "report"
    study = read_study(folder)
    by = list(dict.fromkeys(by))
    columns = columns_of(study.tasks, by, data)
    if conditioning_seeds:
        conditioning.measure_study(study, conditioning_seeds, data)
    results = results_of(study, resamples=resamples)
    shown: list[Table] = []

    def show(table: Table) -> str:
        from markupsafe import Markup

        shown.append(table)
        return Markup(table.to_html())

    page = render_template(
        "report.html.j2",
        # Functions that the template calls: `show` and `save` also write the table's files.
        show=show,
        save=shown.append,
        said=said,
        tables=tables,
        plots=plots,
        facts=facts,
        recipe_text=dump_toml,
        # What it shows.
        study=study,
        results=results,
        findings=facts.audit_findings(study.tasks),
        conditioning=conditioning.effects_of(study, results),
        stress=stress.stress_of(study, results, resamples=resamples),
        histories=[(task, history) for task in study.tasks if len(history := facts.histories(task))],
        comparison_tables=[tables.comparisons_table(result) for result in results if result.comparisons],
        change_tables=[
            tables.changes_table(result) for result in results if result.dimension is None and result.changed
        ],
        by=by,
        columns=columns,
        names=NAMES,
        few_systems=FEW_SYSTEMS,
        version=__version__,
    )
    write_text(out / "report.html", page)
    for table in shown:
        table.save(out / "tables")
    return out / "report.html"
