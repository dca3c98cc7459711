"""A made-up study folder, as `emofuse study` would leave it; nothing is trained."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emofuse import __version__
from emofuse.config import dump_toml, load_recipe

RECIPES = Path(__file__).parents[2] / "recipes"
NAMES = ["neutral", "happiness", "sadness", "anger"]
SYSTEMS = {"audio_only": 0.5, "text_only": 0.4, "late": 0.5, "multistage": 0.95}  # share of right answers
ENVIRONMENT = {
    "created": "2026-01-02T03:04:05+00:00",
    "versions": {"python": "3.11.7", "emofuse": __version__, "torch": "2.9.0"},
    "commit": "abc123",
    "hardware": {"machine": "x86_64", "threads": 1, "cuda": False},
    "speech_encoder": None,
    "text_encoder": {"name": "minilm", "weights_hash": "0123456789abcdef0123", "pooling": "mean", "dim": 384},
    "corpora": [
        {
            "name": "toy",
            "rows": 96,
            "with_audio": 96,
            "with_text": 96,
            "speakers": 12,
            "languages": ["en"],
            "hours": 0.02,
        }
    ],
}
AUDIT = {
    "toy": {
        "rule": "k_fold",
        "findings": [
            {"check": "parts", "severity": "ok", "message": "rows", "advice": ""},
            {
                "check": "same sentences",
                "severity": "warning",
                "message": "30 of 32 sentences",
                "advice": "Mind <them>.",
            },
        ],
    }
}


def predictions(system, share, fold, seed, *, speakers=6, each=8):
    """Answers to the test part of a fold; late answers what audio_only does."""
    key = [f"toy/{6 * fold + s:02}-{u}" for s in range(speakers) for u in range(each)]
    n = len(key)
    truth = np.tile(np.arange(4), n // 4)
    places = {name: i for i, name in enumerate(SYSTEMS)} | {"late": 0}
    rng = np.random.default_rng([seed, fold, places.get(system, len(SYSTEMS))])
    guess = np.where(rng.random(n) < share, truth, (truth + rng.integers(1, 4, n)) % 4)
    probabilities = np.full((n, 4), 0.1)
    probabilities[np.arange(n), guess] = 0.7
    table = pd.DataFrame({"key": key, "corpus": "toy", "speaker": [k[:6] for k in key], "truth": truth})
    table["has_audio"] = table["has_text"] = True
    table[[f"probability_{k}" for k in range(4)]] = probabilities
    for i, name in enumerate(("arousal", "valence", "dominance")):
        table[f"true_{name}"] = np.random.default_rng([fold, i]).random(n)
        table[name] = share * table[f"true_{name}"] + (1 - share) * rng.random(n)
    return table


def write_study(
    folder, *, seeds=(1, 2, 3), folds=(0, 1), systems=SYSTEMS, without=(), change=None, recipe=None, quick=False
):
    """Writes a study; `change(table, system, fold, seed)` changes predictions, `without` leaves cells unfinished."""
    base = recipe or load_recipe(RECIPES / "toy.toml")
    cells = []
    for seed in seeds:
        for fold in folds:
            for system, share in systems.items():
                name = f"{system}-{fold}-{seed}".replace("_", "")
                cells.append({"cell": name, "task": "joint", "system": system, "fold": fold, "seed": seed})
                run = folder / "cells" / name
                run.mkdir(parents=True)
                if (system, fold, seed) in without:
                    continue
                model = base.model.model_copy(update={"fusion": system})
                (run / "recipe.toml").write_text(dump_toml(base.model_copy(update={"model": model, "seed": seed})))
                table = predictions(system, share, fold, seed)
                if change:
                    table = change(table, system, fold, seed)
                table.to_parquet(run / "predictions-test.parquet")
                if system != "late":
                    epochs = range(3)
                    rows = {
                        "epoch": epochs,
                        "dev_score": [0.3, 0.4, 0.5],
                        "train_loss": [1.5, 1.2, 1.1 + seed / 10],
                    }
                    pd.DataFrame(rows).to_csv(run / "history.csv", index=False)
                put(run / "audit.json", AUDIT)
                put(run / "environment.json", ENVIRONMENT)
                put(run / "metrics.json", {"notes": ["toy: 3 of 99 rows left out."]})
                put(run / "cell.json", cells[-1] | {"wall_seconds": 10.0, "cpu_seconds": 5.0})
    put(folder / "cells.json", cells)
    facts = {
        "name": "made-up",
        "file": "recipes/studies/made-up.toml",
        "protocol": "Made-up answers & <nothing> trained.",
        "quick": quick,
        "tasks": [{"name": "joint", "recipe": base.model_dump(mode="json")}],
        "systems": [{"name": name, "overrides": [f"model.fusion={name}"]} for name in systems],
        "seeds": list(seeds),
        "folds": {"joint": list(folds)},
        "reference": "audio_only",
    }
    put(folder / "study.json", facts)
    return folder


def put(path, value):
    path.write_text(json.dumps(value))


@pytest.fixture
def make_study(tmp_path):
    """Writes a study with the options of `write_study`; its folder."""
    return lambda **options: write_study(tmp_path / "study", **options)


@pytest.fixture(scope="session")
def whole_study(tmp_path_factory):
    """A finished study. Read only, but for its report."""
    return write_study(tmp_path_factory.mktemp("whole") / "study")
