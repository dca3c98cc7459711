"""Sentences say what the statistics show, and no more."""

import re
import shutil
from pathlib import Path

import pytest

from emofuse.config import ComposedConfig, load_recipe
from emofuse.report import sentences
from emofuse.report.facts import audit_findings
from emofuse.report.results import results_of
from emofuse.study.folder import read_study


@pytest.fixture
def said(make_study):
    """Sentences on the categories, and those on the study, of a made-up study."""

    def of(**options):
        study = read_study(make_study(**options))
        results = results_of(study, resamples=400)
        first = [sentences.headline(results[0], study.reference), *sentences.details(results[0], study.reference)]
        whole = [
            sentences.compared(results, study.reference),
            *sentences.limits_of_study(study, results, audit_findings(study.tasks)),
        ]
        return " ".join(first), " ".join(whole)

    return of


def test_the_better_system_is_named(said):
    text, whole = said()
    assert text.startswith("Best UAR: multistage, 0.9")
    assert (
        "multistage: better than audio_only, text_only, late." in text and "(reference): worse than multistage" in text
    )
    assert "multistage is better than audio_only in UAR (+0." in text and "n 96" in text and "Holm p" in text
    assert "audio_only is better than multistage" not in text
    assert "audio_only and late have identical scores." in text
    assert whole.startswith(
        "4 systems on 1 task (joint), 96 test utterances, 12 speakers, 2 test folds, 3 seeds; the reference is "
        "audio_only."
    )
    assert "The audit of the splits has 1 warning" in whole and "same sentences" in whole
    assert "prove" not in text + whole


def test_systems_of_equal_strength_are_not_told_apart(said):
    text, _ = said(systems={"audio_only": 0.5, "text_only": 0.5, "multistage": 0.5})
    assert "No difference in UAR was found between audio_only and text_only" in text
    assert "a difference of 0." in text and "does not show that they are equal" in text
    assert "better than" not in text


def test_of_many_systems_the_number_is_told(said, monkeypatch):
    monkeypatch.setattr(sentences, "MOST_NAMES", 1)
    text, _ = said(systems={"audio_only": 0.9, "text_only": 0.4, "late": 0.9, "multistage": 0.4})
    assert text.startswith("Best UAR: audio_only and late, 0.")
    assert "audio_only: better than 2 of the 3 others; no difference found from late." in text


def test_few_speakers_can_show_nothing(said):
    def one_speaker_a_fold(table, system, fold, seed):
        return table.assign(speaker=f"toy/{fold}")

    text, whole = said(change=one_speaker_a_fold)
    assert "cannot be compared" not in text
    assert whole.count("too few speakers (2) for 6 comparisons") == 1  # of UAR, and of CCC of three dimensions
    assert whole.count("There are only 2 speakers") == 1
    assert "better than" not in text and "No difference" not in text


@pytest.mark.slow
def test_one_seed_and_the_quick_version_are_limits(said, tmp_path):
    _, whole = said(seeds=[1], quick=True)
    assert whole.count("There is one seed") == 1 and "quick version" in whole
    shutil.rmtree(tmp_path / "study")
    _, whole = said()
    assert "one seed" not in whole and "quick version" not in whole


def test_chance_is_told(said):
    text, _ = said(systems={"audio_only": 0.25, "multistage": 0.9})
    assert "Not above chance (0.250), by the 95 % interval: audio_only." in text


def test_missing_runs_are_told(said):
    _, whole = said(without=[("late", 1, 3)])
    assert "1 of 24 runs" in whole and "seed 3 not finished" in whole


def test_composed_and_weak_data_are_called_so(make_study):
    toy = load_recipe(Path(__file__).parents[2] / "recipes" / "toy.toml")
    pairs = ComposedConfig(task="agree", audio=["toy"], text=["toy"], test_pairs=100)
    recipe = toy.model_copy(update={"data": toy.data.model_copy(update={"composed": pairs})})

    def weak(table, system, fold, seed):
        return table.assign(weak_dimensions=table.index % 2 == 0)

    study = read_study(make_study(recipe=recipe, change=weak))
    results = results_of(study, resamples=50)
    assert "composed" in " ".join(sentences.limits(results[0])) and "weak" not in " ".join(sentences.limits(results[0]))
    assert "50 % of the targets are weak" in " ".join(sentences.limits(results[1]))
    whole = " ".join(sentences.limits_of_study(study, results, audit_findings(study.tasks)))
    assert "joint, arousal; joint, valence; joint, dominance: 50 % of the targets are weak" in whole
    assert whole.count("are composed") == whole.count("are weak") == 1
    assert "too few resamples (50) for 6 comparisons" in whole  # not for want of speakers
    assert "of composed pairs (joint)" in sentences.compared(results, study.reference)


def test_valence_of_composed_dimensions_is_rated(make_study):
    toy = load_recipe(Path(__file__).parents[2] / "recipes" / "toy.toml")
    pairs = ComposedConfig(task="dimensions", audio=["toy"], text=["toy"], test_pairs=100)
    recipe = toy.model_copy(update={"data": toy.data.model_copy(update={"composed": pairs})})
    study = read_study(make_study(recipe=recipe, change=lambda table, *_: table.assign(weak_dimensions=True)))
    assert {r.dimension: r.weak for r in results_of(study, resamples=50) if r.dimension} == {
        "arousal": 1.0,
        "valence": 0.0,
        "dominance": 1.0,
    }


def test_a_single_system_is_not_compared(said):
    text, whole = said(systems={"audio_only": 0.5})
    assert "cannot be compared" in whole and "better than" not in text


@pytest.mark.slow
def test_one_speaker_has_no_interval(said):
    def alone(table, system, fold, seed):
        return table.assign(speaker="toy/0")

    text, whole = said(change=alone)
    assert not re.search(r"\bnan\b", text + whole) and "speakers (1)" in whole
