"""Write the report of a study: the page and its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from emofuse import __version__
from emofuse.config import dump_toml
from emofuse.files import read_json, write_text
from emofuse.report import answers, conditioning, facts, page, plots, stress, summary, tables
from emofuse.report.measured import measure_study
from emofuse.report.page import Section
from emofuse.report.results import FEW_SYSTEMS, NAMES, RESAMPLES, Result, results_of
from emofuse.report.table import Table
from emofuse.study.columns import columns_of
from emofuse.study.folder import StudyFolder, read_study
from emofuse.study.progress import in_words


@dataclass
class _Report:
    """The study with what was found, and the tables that stand in the page."""

    study: StudyFolder
    results: list[Result]
    findings: pd.DataFrame
    tables: list[Table] = field(default_factory=list)

    def put(self, table: Table) -> str:
        """A table's HTML; the table is saved with the others."""
        self.tables.append(table)
        return table.to_html()

    def put_all(self, tables: Sequence[Table]) -> list[str]:
        """HTML of tables of one kind: first what holds for all, then each."""
        return [page.paragraph(tables[0].note), *map(self.put, tables)] if tables else []

    @property
    def of_categories(self) -> list[Result]:
        """Results on categories."""
        return [result for result in self.results if result.dimension is None]


def write_report(
    folder: Path,
    out: Path | None = None,
    *,
    by: Sequence[str] = (),
    data: Path | None = None,
    conditioning_seeds: int = 0,
    resamples: int = RESAMPLES,
) -> Path:
    """Write `report.html`, which needs nothing beside it, and `tables/` (CSV, Markdown, LaTeX).

    Args:
        folder: of the study, finished or not.
        out: where to write; `folder`/report if None.
        by: columns to break results down by.
        data: folder of the corpora, which are read for columns that predictions do not have, and to measure.
        conditioning_seeds: under so many seeds what conditioning does is measured first, with the weights of the runs,
            unless it was before.
        resamples: of every bootstrap and permutation test.

    Returns:
        Path of the page.

    Raises:
        EmofuseError: the folder is no study, nothing in it can be compared, or there is no such column.
    """
    out = out or folder / "report"
    study = read_study(folder)
    by = list(dict.fromkeys(by))
    columns = columns_of(study.tasks, by, data)
    if conditioning_seeds:
        measure_study(study, conditioning_seeds, data)
    report = _Report(study, results_of(study, resamples=resamples), facts.audit_findings(study.tasks))
    sections = [
        Section("summary", "In short", _summary(report)),
        Section("results", "Results", _results(report)),
        Section("comparisons", "Comparisons", _comparisons(report)),
        Section("classes", "Classes", _classes(report)),
        Section("fusion", "What fusion changes", _fusion(report)),
        Section("conditioning", "Conditioning", conditioning.section(study, report.results, report.put)),
        Section("dimensions", "Truth and prediction", _dimensions(report)),
        Section("breakdown", "Breakdown", _breakdown(report, by, columns)),
        Section("stress", "Stress", stress.section(study, report.results, report.put, resamples=resamples)),
        Section("training", "Training and seeds", _training(report)),
        Section("protocol", "Protocol", _protocol(report)),
        Section("audit", "Audit", _audit(report)),
        Section("environment", "Environment", _environment(report, by)),
    ]
    name = study.facts["name"]
    title = f"Study {name}{' (quick)' * study.facts['quick']}"
    lead = answers.compared(report.results, study.reference)
    write_text(out / "report.html", page.page(title, lead, sections, __version__))
    for table in report.tables:
        table.save(out / "tables")
    return out / "report.html"


def _summary(report: _Report) -> str:
    study, results = report.study, report.results
    parts = [
        page.definitions({result.title: answers.answer(result, study.reference) for result in results}),
        page.listed(summary.ranks(results)),
        report.put(tables.paper_table(results, study.reference)),
        page.limits(summary.of_study(study, results, report.findings)),
    ]
    return "\n".join(parts)


def _results(report: _Report) -> str:
    parts = []
    for result in report.results:
        parts += [page.heading(result.title), page.listed(summary.of_result(result, report.study.reference))]
        parts.append(page.picture(plots.intervals(result), f"{NAMES[result.metric]} of each system."))
        parts.append(report.put(tables.metrics_table(result)))
    return "\n".join(parts)


def _comparisons(report: _Report) -> str:
    compared = [result for result in report.results if result.comparisons]
    telling = [result for result in compared if result.can_differ]
    parts = [report.put(tables.wins_table(telling))] if telling else []
    return "\n".join(parts + report.put_all([tables.comparisons_table(result) for result in compared]))


def _classes(report: _Report) -> str:
    parts = []
    for result in report.of_categories:
        parts.append(page.heading(result.title))
        parts.append(page.picture(plots.recalls(result), "Recall of each class by each system."))
        parts.append(report.put(tables.recall_table(result)))
        caption = "What is taken for what; percent of the true class (rows), columns are the answer."
        foremost = result.foremost(report.study.reference)
        parts.append(page.picture(plots.confusions(result, foremost), caption + _left_out(result, foremost)))
        report.tables.append(tables.confusion_table(result))
    return "\n".join(parts)


def _fusion(report: _Report) -> str:
    changed = [tables.changes_table(result) for result in report.of_categories if result.changed]
    return "\n".join(report.put_all(changed))


def _dimensions(report: _Report) -> str:
    parts = []
    for result in report.results:
        if result.dimension is not None:
            weak = " Targets are partly or all weak: prototypes of the category." if result.weak else ""
            foremost = result.foremost(report.study.reference)
            caption = f"{result.title}: prediction (mean over seeds) against truth; dotted: equal.{weak}"
            picture = plots.truth_against_prediction(result, foremost)
            parts.append(page.picture(picture, caption + _left_out(result, foremost)))
    return "\n".join(parts)


def _left_out(result: Result, foremost: Sequence[str]) -> str:
    """What a caption adds where a picture does not show all systems."""
    left = len(result.systems) - len(foremost)
    return f" The reference and the best; {left} more systems are left out of the picture." if left else ""


def _breakdown(report: _Report, by: Sequence[str], columns: dict[tuple[str, str], pd.Series]) -> str:
    return "\n".join(
        report.put(tables.breakdown_table(result, column, result.broken_down(columns[result.task.name, column])))
        for column in by
        for result in report.results
        if (result.task.name, column) in columns
    )


def _training(report: _Report) -> str:
    parts = []
    for task in report.study.tasks:
        if len(histories := facts.histories(task)):
            thin = " (thin: each seed)" if len(task.fusions) <= FEW_SYSTEMS else ""
            caption = f"{task.name}: training, mean of the folds{thin}. Late fusions are not trained."
            parts.append(page.picture(plots.curves(histories, task.name), caption))
    for result in report.results:
        if len(result.task.seeds) > 1:
            parts.append(page.picture(plots.seeds(result), f"{result.title}: {NAMES[result.metric]} under each seed."))
    return "\n".join([*parts, report.put(tables.seeds_table(report.results))])


def _protocol(report: _Report) -> str:
    study = report.study
    parts = [page.paragraph(study.facts["protocol"])]
    for task in study.tasks:
        told = {
            "protocol": task.recipe.protocol,
            "seeds": ", ".join(map(str, task.seeds)),
            "test folds": ", ".join(map(str, task.folds)),
            "composed": "yes: clips and sentences that do not belong together" if task.composed else "no",
        }
        parts += [page.heading(task.name), page.definitions(told)]
        recipe = page.code(dump_toml(task.recipe).splitlines())
        parts.append(f"<details><summary>Recipe, before the changes of a system</summary>{recipe}</details>")
    parts.append(page.heading("Systems: what each changes in the recipe"))
    parts.append(page.definitions(facts.changes_of_systems(study.facts)))
    parts.append(page.words(report.put(tables.plain("corpora", "Corpora, as read.", facts.corpora(study.tasks)))))
    parts += [page.heading("How the figures were made"), page.listed(_method(report.results[0].resamples))]
    return "\n".join(parts)


def _method(resamples: int) -> list[str]:
    """What docs/decisions/study-statistics.md says, in short."""
    return [
        "A value is the mean over seeds of the metric over the test parts of all folds together, on utterances that "
        "all systems answer.",
        f"Intervals are 95 % percentile intervals of {resamples:,} bootstrap draws of speakers and seeds.",
        "p is the larger of a paired bootstrap's and a permutation test's (answers swapped speaker by speaker), after "
        "Holm's correction over all pairs of systems of a result.",
        "The test part was looked at once a run; epochs and weights were chosen on the development part.",
    ]


def _audit(report: _Report) -> str:
    notes = page.listed(facts.run_notes(report.study.tasks))
    if not len(report.findings):
        return page.paragraph("The audits of all splits found nothing to tell.") + notes
    return page.words(report.put(tables.audit_table(report.findings))) + notes


def _environment(report: _Report, by: Sequence[str]) -> str:
    study = report.study
    told = facts.environment(study.tasks)
    times = study.folder / "time.json"
    if times.exists():
        total = read_json(times)
        told["processor time"] = f"{in_words(total['cpu_seconds'])}, all {total['runs']} runs"
    parts = [page.definitions(told), page.heading("Commands"), page.code(facts.commands(study, by))]
    retrain = "One run again: emofuse train STUDY/cells/HASH/recipe.toml --out NEW; cells.json tells which is which."
    return "\n".join([*parts, page.paragraph(retrain), report.put(tables.cost_table(facts.spent(study.tasks)))])
