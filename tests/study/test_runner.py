"""What runs when, and what is said of it; nothing is trained here."""

import io

import pytest
from rich.console import Console

from emofuse.errors import EmofuseError
from emofuse.study.grid import cells_of, load_study, runs_of
from emofuse.study.progress import State, progress, seconds_left
from emofuse.study.runner import run_all, run_study

SYSTEMS = {
    "late": ["model.fusion=late"],
    "audio_only": ["model.fusion=audio_only"],
    "text_only": ["model.fusion=text_only"],
    "multistage": ["model.fusion=multistage"],
}


class FakePool:
    """Ends one cell at a time, the last begun first; those of `bad` systems fail."""

    def __init__(self, size, bad=()):
        self.size, self.bad = size, bad
        self.running, self.begun, self.most = [], [], 0

    def start(self, cell):
        self.begun.append(cell)
        self.running.append(cell)
        self.most = max(self.most, len(self.running))

    def ended(self):
        cell = self.running.pop()
        return [(cell, "bad luck" if cell.system in self.bad else "")]

    def close(self):
        pass


@pytest.fixture
def runs(study_file):
    return runs_of(cells_of(load_study(study_file(SYSTEMS, "seeds = [1, 2]")), {"joint": [0]}))


def run(runs, pool, done=None):
    """Failures, facts of what is finished, and the states that were told."""
    states, done = [], {} if done is None else done
    failures = run_all(runs, done, pool, lambda cell: cell.facts | {"wall_seconds": 10.0}, states.append)
    return failures, done, states


@pytest.mark.parametrize("size", [1, 3, 100])
def test_everything_runs_once_and_unimodal_models_first(runs, size):
    pool = FakePool(size)
    failures, done, states = run(runs, pool)
    assert not failures and len(pool.begun) == len(runs) == 8 and set(done) == {cell.hash for cell in runs}
    assert pool.most <= size and (size == 1 or pool.most == min(size, 6))
    ended = [state.cell.hash for state in states if state.cell]
    for cell in runs:
        for part in cell.unimodal:
            assert ended.index(part.hash) < ended.index(cell.hash)
    assert [state.finished for state in states] == list(range(9)) and states[-1].left == 0


def test_what_is_finished_is_not_run_again(runs):
    finished = {cell.hash: cell.facts | {"wall_seconds": 5.0} for cell in runs[:3]}
    pool = FakePool(2)
    _, done, states = run(runs, pool, finished)
    assert {cell.hash for cell in pool.begun} == {cell.hash for cell in runs[3:]} and len(done) == 8
    assert states[0].finished == 3 and states[0].left == pytest.approx(5 * 5 / 2)


def test_a_failure_leaves_the_others_and_takes_what_rests_on_it(runs):
    pool = FakePool(2, bad=["text_only"])
    failures, done, states = run(runs, pool)
    failed = {cell.system for cell in runs if cell.hash in failures}
    assert failed == {"text_only", "late"} and len(done) == 4
    assert "late" not in {cell.system for cell in pool.begun}
    assert [s.failure for s in states if s.cell and s.cell.system == "text_only"] == ["bad luck"] * 2
    assert all("unimodal run" in s.failure for s in states if s.cell and s.cell.system == "late")


def test_estimate_by_the_mean_of_the_same_system(runs):
    late, audio, *_ = [next(cell for cell in runs if cell.system == name) for name in SYSTEMS]
    assert seconds_left(runs, {}, 1) is None
    known = {
        "a": {"task": "joint", "system": "audio_only", "wall_seconds": 100.0},
        "b": {"task": "joint", "system": "audio_only", "wall_seconds": 300.0},
        "c": {"task": "joint", "system": "late", "wall_seconds": 2.0},
        "d": {"task": "other", "system": "multistage", "wall_seconds": 6.0},
    }
    assert seconds_left([audio], known, 1) == seconds_left([audio], known, 4) == 200
    assert seconds_left([audio, audio, late, late], known, 2) == (200 + 200 + 2 + 2) / 2
    multistage = next(cell for cell in runs if cell.system == "multistage")
    assert seconds_left([multistage], known, 1) == (100 + 300 + 2 + 6) / 4, "not known for this task: the mean of all"
    assert seconds_left([], known, 2) == 0


def test_lines(runs):
    late = next(cell for cell in runs if cell.system == "late")
    assert str(State(0, 8, None)) == "[0/8] runs are finished"
    done = str(State(3, 8, 3700, late, 95))
    assert done == "[3/8] late, joint, fold 0, seed 1: 2 min; about 1.0 h left"
    assert "FAILED: no [b]luck" in str(State(3, 8, 60, late, 0, "no [b]luck"))
    assert str(State(8, 8, 0, late, 4)).endswith("4 s; all finished")


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_on_a_terminal_only(runs, terminal):
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=60)
    with progress(console) as tell:
        tell(State(1, 4, 60, runs[0], 20, "no [b]luck"))
    said = out.getvalue()
    assert "no [b]luck" in said and ("1/4" in said.replace("[1/4]", "")) == terminal
    assert terminal or "\x1b" not in said


def test_two_processes_cannot_run_one_study(study_file, tmp_path):
    from filelock import FileLock

    study = load_study(study_file(SYSTEMS))
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".lock"), pytest.raises(EmofuseError, match="another process runs"):
        run_study(study, tmp_path / "out", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(EmofuseError, match="cannot be written"):
        run_study(study, tmp_path / "file" / "out", tmp_path)
