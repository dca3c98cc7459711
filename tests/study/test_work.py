"""Cells of the toy corpus in processes of their own, and on a small Ray cluster."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from emofuse.config import load_recipe
from emofuse.errors import EmofuseError
from emofuse.study.grid import cells_of, load_study
from emofuse.study.work import Place, Processes, RayCluster
from emofuse.training.run import train

AUDIO = ["model.fusion=audio_only"]
BAD = [*AUDIO, "data.labels.names=['bliss']", "model.heads=['categories']", "training.monitor=uar"]  # no row has it
TOY_STUDY = Path(__file__).parents[2] / "recipes" / "studies" / "toy.toml"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOFUSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def stamps(out: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob("cells/*/cell.json")}


def same_results(a: Path, b: Path) -> None:
    pd.testing.assert_frame_equal(pd.read_csv(a / "history.csv"), pd.read_csv(b / "history.csv"))
    for part in ("dev", "test"):
        first, second = (pd.read_parquet(run / f"predictions-{part}.parquet") for run in (a, b))
        pd.testing.assert_frame_equal(first, second)


@pytest.mark.slow
def test_one_that_fails_leaves_the_others_which_are_kept(command_line, study_file, tmp_path):
    """A system whose categories no row has; and when it was mended, nothing else is done again."""
    out, options = tmp_path / "out", ("--data", tmp_path, "--out", tmp_path / "out", "--jobs", 2)
    done = command_line("study", study_file({"bad": BAD, "good": AUDIO}, "seeds = [1, 2]"), *options)
    assert done.code == 1 and "2 of 4 runs failed" in done.err and "bliss" in done.err and "Traceback" not in done.err
    assert "good, joint, fold 0, seed 2" in done.err and done.out == ""
    cells = {(cell["system"], cell["seed"]): cell["cell"] for cell in json.loads((out / "cells.json").read_text())}
    assert set(cells) == {(system, seed) for system in ("bad", "good") for seed in (1, 2)}
    assert "bliss" in (out / "cells" / f"{cells['bad', 1]}.log").read_text()
    finished = stamps(out)
    assert set(finished) == {cells["good", 1], cells["good", 2]}

    mended = study_file({"good": AUDIO, "bad": [*AUDIO, "model.dropout=0"]}, "seeds = [1]")
    done = command_line("study", mended, *options)
    assert done.code == 0 and "[1/2] runs are finished" in done.err and "[2/2] bad" in done.err
    assert done.out.startswith(str(out))
    assert {name: stamp for name, stamp in stamps(out).items() if name in finished} == finished
    study = json.loads((out / "study.json").read_text())
    assert study["reference"] == "good" and study["folds"] == {"joint": [0]} and study["seeds"] == [1]
    assert [system["name"] for system in study["systems"]] == ["good", "bad"]
    for entry in json.loads((out / "cells.json").read_text()):
        facts = json.loads((out / "cells" / entry["cell"] / "cell.json").read_text())
        assert {name: facts[name] for name in ("task", "system", "fold", "seed")}.items() <= entry.items()
        kept = {path.name for path in (out / "cells" / entry["cell"] / "checkpoints").iterdir()}
        assert kept == {"model.safetensors"}, "checkpoints of a finished run would fill the disk"
        assert facts["cpu_seconds"] > 0 and facts["wall_seconds"] > 0
    sums = json.loads((out / "time.json").read_text())
    every = [json.loads(path.read_text())["cpu_seconds"] for path in out.glob("cells/*/cell.json")]
    assert sums["runs"] == 2 and sums["cpu_seconds"] < sum(every), "sums are over the runs of this study"


@pytest.mark.slow
def test_a_process_that_is_killed_is_a_failure_of_its_cell(study_file, tmp_path):
    (cell,) = cells_of(load_study(study_file({"a": [*AUDIO, "training.epochs=500"]})), {"joint": [0]})
    place = Place(tmp_path / "cells", tmp_path, 1)
    place.cells.mkdir()
    pool = Processes(place, 1)
    pool.start(cell)
    wait_for(lambda: (place.cells / cell.hash / "history.csv").exists())
    ((_, process),) = pool._running.values()
    os.kill(process.pid, signal.SIGKILL)
    ((ended, failure),) = pool.ended()
    assert ended is cell and "signal 9" in failure
    pool.start(cell)
    ((_, process),) = pool._running.values()
    pool.close()
    assert not process.is_alive()


@pytest.mark.slow
@pytest.mark.weights
def test_a_cell_is_the_run_that_its_recipe_makes_alone(emofuse, tmp_path):
    """The study of the recipes, late fusion too, beside runs of this process; unimodal models are not trained twice."""
    import torch

    emofuse("study", TOY_STUDY, "--quick", "--out", "out", folder=tmp_path)
    cells = json.loads((tmp_path / "out" / "cells.json").read_text())
    assert {cell["system"] for cell in cells} >= {"audio_only", "text_only", "late", "multistage"}
    assert {path.name for path in tmp_path.glob("out/cells/*/")} == {cell["cell"] for cell in cells}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for entry in cells:
            run = tmp_path / "out" / "cells" / entry["cell"]
            alone = train(load_recipe(run / "recipe.toml"), tmp_path / entry["cell"], tmp_path)
            if entry["system"] != "late":
                same_results(run, alone)
                continue
            assert not (run / "audio_only").exists() and (alone / "audio_only").exists()
            a, b = (pd.read_parquet(folder / "predictions-test.parquet") for folder in (run, alone))
            pd.testing.assert_frame_equal(a, b)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.slow
def test_killed_and_called_again_is_the_same_as_unbroken(emofuse, study_file, tmp_path):
    """kill -9 after the first cells: none of the study's processes lives on, and nothing finished is done again."""
    study = study_file({"a": AUDIO, "b": [*AUDIO, "model.dropout=0"]}, "seeds = [1, 2]")
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "emofuse", "study", str(study), "--data", str(tmp_path), "--out", str(out)]
    with subprocess.Popen([*command, "--jobs", "2"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        wait_for(lambda: len(stamps(out)) >= 1)
        process.kill()
        process.stderr.read()  # ends when the last process that holds it does
    finished = stamps(out)
    assert 1 <= len(finished) < 4, "it was done before it was killed"
    emofuse("study", study, "--out", out, folder=tmp_path)
    now = stamps(out)
    assert len(now) == 4 and {name: now[name] for name in finished} == finished
    emofuse("study", study, "--out", "unbroken", folder=tmp_path)
    for name in now:
        same_results(out / "cells" / name, tmp_path / "unbroken" / "cells" / name)


@pytest.mark.slow
def test_spread_over_a_cluster_of_two_machines(command_line, study_file, tmp_path):
    """Two Ray nodes with one processor each, so that two cells at a time need both; a bad cell is told as elsewhere."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    study = study_file({"a": AUDIO, "b": [*AUDIO, "model.dropout=0"], "bad": BAD})
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        options = ("--data", tmp_path, "--out", tmp_path / "out", "--ray", cluster.address)
        done = command_line("study", study, *options)
    finally:
        cluster.shutdown()
    assert done.code == 1 and "1 of 3 runs failed" in done.err and "bliss" in done.err
    facts = [json.loads(path.read_text()) for path in tmp_path.glob("out/cells/*/cell.json")]
    assert sorted(fact["system"] for fact in facts) == ["a", "b"]
    assert len({fact["ray_node"] for fact in facts}) == 2


@pytest.mark.slow
def test_no_cluster(command_line, study_file, tmp_path):
    pytest.importorskip("ray")
    done = command_line("study", study_file({"a": AUDIO}), "--data", tmp_path, "--out", tmp_path, "--ray", "auto")
    assert done.code == 1 and "cannot reach" in done.err and "Traceback" not in done.err


class FakeRay:
    """As much of Ray as a study calls; what is begun is lost."""

    class exceptions:
        RayError = RuntimeError

    def __init__(self, **resources):
        self.resources, self.options = resources, {}

    def init(self, address, **_):
        if address == "nowhere":
            raise ConnectionError("nobody answers")

    def cluster_resources(self):
        return self.resources

    def remote(self, **options):
        self.options = options
        return lambda function: SimpleNamespace(remote=lambda cell, place: f"reference of {cell.system}")

    def wait(self, references):
        return references[:1], references[1:]

    def get(self, reference):
        raise RuntimeError(f"Traceback ...\n{reference} was lost with its machine.\n")


@pytest.mark.parametrize(
    ("resources", "size"), [({"CPU": 9}, 4), ({"CPU": 1}, 1), ({"CPU": 64, "GPU": 2}, 2), ({"CPU": 4, "GPU": 8}, 2)]
)
def test_what_a_cluster_has_room_for(monkeypatch, study_file, tmp_path, resources, size):
    """A run takes its threads, and a GPU where there is one; what Ray says of a lost run is told in a line."""
    ray = FakeRay(**resources)
    monkeypatch.setitem(sys.modules, "ray", ray)
    pool = RayCluster(Place(tmp_path, tmp_path, 2), "auto")
    assert pool.size == size and ray.options["num_cpus"] == 2 and ray.options["num_gpus"] == ("GPU" in resources)
    (cell,) = cells_of(load_study(study_file({"a": AUDIO})), {"joint": [0]})
    pool.start(cell)
    assert pool.ended() == [(cell, "reference of a was lost with its machine.")]


def test_no_ray_and_no_cluster(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EmofuseError, match=r"emofuse\[distributed\]"):
        RayCluster(Place(tmp_path, tmp_path, 1), "auto")
    monkeypatch.setitem(sys.modules, "ray", FakeRay())
    with pytest.raises(EmofuseError, match=r"cannot reach .*nobody answers.*ray start"):
        RayCluster(Place(tmp_path, tmp_path, 1), "nowhere")


def wait_for(there, seconds=300):
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)
