"""What a study was made with: audits, corpora, environment, time, training curves; all read from its run folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from emofuse.files import read_json
from emofuse.study.folder import StudyFolder, Task

SEVERITIES = ("error", "warning", "note")


def audit_findings(tasks: Sequence[Task]) -> pd.DataFrame:
    """Errors, warnings and notes of the audits, worst first; what several folds have is one row.

    Returns:
        Columns task, corpus, folds ("all" or numbers), severity, check, message, advice (of the first fold).
    """
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for task in tasks:
        system, seed = next(iter(task.fusions)), task.seeds[0]
        for fold in task.folds:
            for corpus, audit in read_json(task.runs[system, seed, fold] / "audit.json").items():
                for found in audit["findings"]:
                    if found["severity"] in SEVERITIES:
                        key = (task.name, corpus, found["severity"], found["check"])
                        new = {"message": found["message"], "advice": found["advice"], "folds": []}
                        rows.setdefault(key, new)["folds"].append(fold)
    of = {task.name: task.folds for task in tasks}
    listed = [
        {
            "task": task,
            "corpus": corpus,
            "folds": "all" if row["folds"] == of[task] else ", ".join(map(str, row["folds"])),
            "severity": severity,
            "check": check,
            "message": row["message"],
            "advice": row["advice"],
        }
        for (task, corpus, severity, check), row in rows.items()
    ]
    listed.sort(key=lambda row: SEVERITIES.index(row["severity"]))
    columns = ["task", "corpus", "folds", "severity", "check", "message", "advice"]
    return pd.DataFrame(listed, columns=columns)


def run_notes(tasks: Sequence[Task]) -> list[str]:
    """What the runs say a reader should know (rows left out, leaks), each once."""
    notes = {
        f"{task.name}: {note}": None
        for task in tasks
        for run in task.runs.values()
        for note in read_json(run / "metrics.json").get("notes", [])
    }
    return list(notes)


def corpora(tasks: Sequence[Task]) -> pd.DataFrame:
    """Rows, speakers, languages and hours of each task's corpora, as its fullest run read them."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for task in tasks:
        for run in task.runs.values():
            for fact in read_json(run / "environment.json")["corpora"]:
                key = (task.name, fact["name"])
                if key not in rows or fact["rows"] > rows[key]["rows"]:
                    rows[key] = {"task": task.name, "corpus": fact["name"]} | {
                        "rows": fact["rows"],
                        "with audio": fact["with_audio"],
                        "with text": fact["with_text"],
                        "speakers": fact["speakers"],
                        "languages": ", ".join(fact["languages"]),
                        "hours": fact["hours"],
                    }
    return pd.DataFrame(list(rows.values()))


def environment(tasks: Sequence[Task]) -> dict[str, str]:
    """Versions, commit, hardware, encoders and dates of all runs; several values where runs differ."""
    seen: dict[str, dict[str, None]] = {}
    created = []
    for task in tasks:
        for run in task.runs.values():
            facts = read_json(run / "environment.json")
            created.append(facts["created"])
            named = {**facts["versions"], "commit": facts["commit"] or "not known"}
            named |= {name: facts["hardware"][name] for name in facts["hardware"]}
            for name in ("speech_encoder", "text_encoder"):
                if (encoder := facts[name]) is not None:
                    named[name.replace("_", " ")] = f"{encoder['name']} ({str(encoder['weights_hash'])[:16]})"
            for name, value in named.items():
                seen.setdefault(name, {})[str(value)] = None
    told = {name: ", ".join(values) for name, values in seen.items()}
    return told | {"runs made": " to ".join(dict.fromkeys((min(created), max(created))))}


def spent(tasks: Sequence[Task]) -> pd.DataFrame:
    """Runs, and their seconds of processor and wall time, by task and system."""
    rows = [
        {"task": task.name, "system": system} | read_times(run)
        for task in tasks
        for (system, _, _), run in task.runs.items()
    ]
    table = pd.DataFrame(rows)
    named = {"runs": ("cpu", "size"), "cpu": ("cpu", "sum"), "wall": ("wall", "sum")}
    return table.groupby(["task", "system"], sort=False).agg(**named).reset_index()


def read_times(run: Path) -> dict[str, float]:
    """Seconds of a run."""
    facts = read_json(run / "cell.json")
    return {"cpu": facts["cpu_seconds"], "wall": facts["wall_seconds"]}


def histories(task: Task) -> pd.DataFrame:
    """history.csv of all runs of a task (late fusions have none): system, seed, fold, epoch, dev_score, ... ."""
    tables = [
        pd.read_csv(path).assign(system=system, seed=seed, fold=fold)
        for (system, seed, fold), run in task.runs.items()
        if (path := run / "history.csv").exists()
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def commands(study: StudyFolder, by: Sequence[str]) -> list[str]:
    """How to make the study and this report again."""
    file = study.facts.get("file", "STUDY.toml")
    breakdowns = "".join(f" --by {column}" for column in by)
    stress = " --stress" * (study.folder / "stress" / "stress.json").exists()
    return [
        f"emofuse study {file}{' --quick' * study.facts['quick']}{stress}",
        f"emofuse report {study.folder}{breakdowns}",
    ]


def changes_of_systems(facts: Mapping[str, Any]) -> dict[str, str]:
    """What each system changes in a task's recipe."""
    return {system["name"]: "  ".join(system["overrides"]) or "nothing" for system in facts["systems"]}
