"""Audits, corpora, environment, time and training curves of a study, read from its run folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from emofuse.files import read_json
from emofuse.study.folder import StudyFolder, Task
from emofuse.study.progress import in_words

SEVERITIES = ("error", "warning", "note")


def audit_findings(tasks: Sequence[Task]) -> pd.DataFrame:
    """List errors, warnings and notes of the audits, worst first; a finding in several folds is one row.

    Returns:
        Columns task, corpus, folds ("all" or numbers), severity, check, and message and advice of the first fold.
    """
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for task in tasks:
        system, seed = next(iter(task.fusions)), task.seeds[0]
        for fold in task.folds:
            for corpus, audit in read_json(task.runs[system, seed, fold] / "audit.json").items():
                for finding in audit["findings"]:
                    if finding["severity"] in SEVERITIES:
                        key = (task.name, corpus, finding["severity"], finding["check"])
                        row = {"task": task.name, "corpus": corpus, "folds": [], **finding}
                        rows.setdefault(key, row)["folds"].append(fold)
    folds = {task.name: task.folds for task in tasks}
    for row in rows.values():
        row["folds"] = "all" if row["folds"] == folds[row["task"]] else ", ".join(map(str, row["folds"]))
    columns = ["task", "corpus", "folds", "severity", "check", "message", "advice"]
    worst_first = sorted(rows.values(), key=lambda row: SEVERITIES.index(row["severity"]))
    return pd.DataFrame(worst_first, columns=columns)


def run_notes(tasks: Sequence[Task]) -> list[str]:
    """Notes of the runs, such as rows left out, without repetitions."""
    notes = {
        f"{task.name}: {note}": None
        for task in tasks
        for run in task.runs.values()
        for note in read_json(run / "metrics.json").get("notes", [])
    }
    return list(notes)


def corpora(tasks: Sequence[Task]) -> pd.DataFrame:
    """Rows, speakers, languages and hours of each corpus of a task, from the run that read most rows of it."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for task in tasks:
        for run in task.runs.values():
            for fact in read_json(run / "environment.json")["corpora"]:
                key = (task.name, fact["name"])
                if key not in rows or fact["rows"] > rows[key]["rows"]:
                    names = ("rows", "with_audio", "with_text", "speakers", "languages", "hours")
                    numbers = {name.replace("_", " "): fact[name] for name in names}
                    numbers["languages"] = ", ".join(fact["languages"])
                    rows[key] = {"task": task.name, "corpus": fact["name"], **numbers}
    return pd.DataFrame(list(rows.values()))


def environment(study: StudyFolder) -> dict[str, str]:
    """Versions, commit, hardware, encoders, dates and processor time of all runs; all values where runs differ."""
    values: dict[str, dict[str, None]] = {}
    created = []
    for task in study.tasks:
        for run in task.runs.values():
            facts = read_json(run / "environment.json")
            created.append(facts["created"])
            named = {**facts["versions"], "commit": facts["commit"] or "unknown", **facts["hardware"]}
            for name in ("speech_encoder", "text_encoder"):
                if (encoder := facts[name]) is not None:
                    named[name.replace("_", " ")] = f"{encoder['name']} ({str(encoder['weights_hash'])[:16]})"
            for name, value in named.items():
                values.setdefault(name, {})[str(value)] = None
    table = {name: ", ".join(of_runs) for name, of_runs in values.items()}
    table["runs made"] = " to ".join(dict.fromkeys((min(created), max(created))))
    if (path := study.folder / "time.json").exists():
        total = read_json(path)
        table["processor time"] = f"{in_words(total['cpu_seconds'])}, all {total['runs']} runs"
    return table


def spent(tasks: Sequence[Task]) -> pd.DataFrame:
    """Number of runs and their seconds of processor and wall time, with columns task, system, runs, cpu, wall."""
    rows = []
    for task in tasks:
        for (system, _, _), run in task.runs.items():
            cell = read_json(run / "cell.json")
            times = {"cpu": cell["cpu_seconds"], "wall": cell["wall_seconds"]}
            rows.append({"task": task.name, "system": system, "runs": 1, **times})
    return pd.DataFrame(rows).groupby(["task", "system"], sort=False).sum().reset_index()


def histories(task: Task) -> pd.DataFrame:
    """Join history.csv of all runs of a task, with columns system, seed and fold; late fusions have none."""
    tables = [
        pd.read_csv(path).assign(system=system, seed=seed, fold=fold)
        for (system, seed, fold), run in task.runs.items()
        if (path := run / "history.csv").exists()
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def commands(study: StudyFolder, by: Sequence[str]) -> list[str]:
    """Commands that repeat the study and this report."""
    file = study.facts.get("file", "STUDY.toml")
    breakdowns = "".join(f" --by {column}" for column in by)
    stress = " --stress" * (study.folder / "stress" / "stress.json").exists()
    return [
        f"emofuse study {file}{' --quick' * study.facts['quick']}{stress}",
        f"emofuse report {study.folder}{breakdowns}",
    ]


def changes_of_systems(facts: Mapping[str, Any]) -> dict[str, str]:
    """Changes that each system makes to a task's recipe."""
    return {system["name"]: "  ".join(system["overrides"]) or "nothing" for system in facts["systems"]}
