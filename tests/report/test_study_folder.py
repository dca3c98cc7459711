"""What of a study counts, and what is told to be missing."""

import pytest

from emofuse.errors import EmofuseError
from emofuse.report.results import results_of
from emofuse.study.folder import complete, read_study


def test_everything_counts_in_a_finished_study(make_study):
    study = read_study(make_study())
    (task,) = study.tasks
    assert (task.seeds, task.folds, study.missing) == ([1, 2, 3], [0, 1], [])
    assert task.unimodal == ["audio_only", "text_only"] and task.fused == ["late", "multistage"]
    assert [len(table) for seeds in task.answers.values() for table in seeds] == [96] * 4 * 3


def test_a_missing_cell_takes_its_seed_out_and_is_told(make_study):
    study = read_study(make_study(without=[("late", 1, 3)]))
    (task,) = study.tasks
    assert (task.seeds, task.folds) == ([1, 2], [0, 1])
    assert study.missing == [
        "1 of 24 runs of the study are not finished.",
        "joint: seed 3 not finished for all systems, so not counted.",
    ]


def test_a_system_without_any_run_is_left_out_and_told(make_study):
    study = read_study(make_study(seeds=[1], without=[("late", 0, 1), ("late", 1, 1)]))
    assert list(study.tasks[0].answers) == ["audio_only", "text_only", "multistage"]
    assert "joint: late has no finished run and is left out." in study.missing


@pytest.mark.parametrize(
    "finished, expected",
    [
        ([], ([], [])),
        ([("a", 1, 0), ("b", 2, 0)], ([], [])),
        ([(s, 1, f) for s in "ab" for f in (0, 1, 2)] + [(s, 2, 0) for s in "ab"], ([1], [0, 1, 2])),
        ([(s, n, f) for s in "ab" for n in (1, 2) for f in (0, 1)] + [("a", 3, 0)], ([1, 2], [0, 1])),
        ([(s, n, 0) for s in "ab" for n in (1, 2, 3)] + [(s, 1, 1) for s in "ab"], ([1, 2, 3], [0])),
    ],
)
def test_the_largest_complete_set_of_seeds_and_folds(finished, expected):
    assert complete(finished, ["a", "b"]) == expected


def test_systems_are_compared_on_what_all_answer(make_study):
    def wordless(table, system, fold, seed):
        return table[table.index % 4 > 0] if system == "text_only" else table

    study = read_study(make_study(change=wordless))
    assert {len(table) for seeds in study.tasks[0].answers.values() for table in seeds} == {72}
    assert study.missing == [
        "joint: 24 of 96 test utterances are left out, because not every system predicts them (fewest: text_only)."
    ]


def test_an_utterance_that_two_folds_test_counts_once(make_study):
    def same_keys(table, system, fold, seed):
        return table.assign(key=table["key"].where(table.index > 0, "toy/00-0"))

    study = read_study(make_study(seeds=[1], change=same_keys))
    assert len(study.tasks[0].answers["late"][0]) == 95
    assert len(study.missing) == 1 and study.missing[0].startswith(
        "joint: 1 utterances are in the test parts of several"
    )


def test_each_corpus_has_its_own_results(make_study):
    def two_corpora(table, system, fold, seed):
        return table.assign(corpus=f"corpus-{fold}")

    results = results_of(read_study(make_study(seeds=[1], change=two_corpora)), resamples=50)
    assert [result.title for result in results if result.dimension is None] == ["joint, corpus-0", "joint, corpus-1"]
    assert [result.n for result in results] == [48] * 8


def test_a_folder_that_is_no_study(tmp_path):
    with pytest.raises(EmofuseError, match=r"study\.json"):
        read_study(tmp_path)


def test_a_study_of_which_nothing_is_finished(make_study):
    cells = [(system, 0, 1) for system in ("audio_only", "text_only", "late", "multistage")]
    with pytest.raises(EmofuseError, match="no seed and fold is finished"):
        read_study(make_study(seeds=[1], folds=[0], without=cells))


def test_a_broken_file_is_named(make_study):
    folder = make_study(seeds=[1], folds=[0])
    path = folder / "cells" / "late-0-1" / "predictions-test.parquet"
    path.write_bytes(b"no parquet")
    with pytest.raises(EmofuseError, match="late-0-1"):
        read_study(folder)
