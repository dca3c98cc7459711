"""Recordings spread over a Ray cluster."""

import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from emofuse.errors import EmofuseError
from emofuse.inference.bundle import Bundle
from emofuse.inference.files import Finished, predict_recordings
from emofuse.inference.inputs import Recording
from emofuse.inference.predictor import Predictor
from emofuse.inference.ray_files import predict_on_ray
from emofuse.timeline.prediction import Timeline
from made_up.predictor import FakePredictor


class FakeRay:
    """As much of Ray as is called; tasks are done when their results are asked for."""

    class exceptions:
        RayError = RuntimeError

    def __init__(self):
        self.running = self.most = 0
        self.is_connected = False

    def init(self, address, **_):
        self.is_connected = True

    def shutdown(self):
        self.is_connected = False

    def cluster_resources(self):
        return {"CPU": 2.0}

    def remote(self, **options):
        return lambda function: SimpleNamespace(remote=lambda *arguments: self.begin(arguments))

    def begin(self, arguments):
        self.running += 1
        self.most = max(self.most, self.running)
        return arguments

    def get(self, arguments):
        self.running -= 1
        recording = arguments[1]
        if recording.file.name == "lost.wav":
            raise RuntimeError("Traceback ...\nThe worker died.\n")
        return Finished(recording, Timeline(), [EmofuseError("short")] if "short" in recording.file.name else [])


def test_order_is_kept_few_tasks_wait_and_a_lost_one_is_an_error(monkeypatch, tmp_path):
    ray = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    recordings = [Recording(tmp_path / f"{name}.wav") for name in ("a", "lost", "short", *map(str, range(50)))]
    finished = list(predict_on_ray(FakePredictor(), recordings, address="auto"))
    assert [one.recording for one in finished] == recordings and ray.most == 4 and not ray.is_connected
    assert [bool(one.errors) for one in finished[:4]] == [False, True, True, False]
    assert "lost.wav" in str(finished[1].errors[0]) and "The worker died." in str(finished[1].errors[0])


def wait_until(is_so):
    for _ in range(100):
        if is_so():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen within 10 s")


@pytest.mark.slow
def test_a_machine_that_is_lost_midway_loses_nothing(bundle_folder, tmp_path):
    """Two Ray nodes with one processor each; the second is killed while it works."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    rng, recordings = np.random.default_rng(0), []
    for number in range(8):
        recordings.append(Recording(tmp_path / f"{number}.wav", extra={"number": str(number)}))
        noise = rng.normal(0, 0.1, 16000 * 60) * (np.sin(np.arange(16000 * 60) / 16000) > 0)
        soundfile.write(recordings[-1].file, noise, 16000)
    (tmp_path / "3.wav").write_bytes(b"not audio")
    predictor = Predictor(Bundle.load(bundle_folder), transcribe=False, threads=1)
    options = {"window": 5.0}
    expected = list(predict_recordings(predictor, recordings, jobs=1, **options))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        second = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        events = predict_on_ray(predictor, recordings, address=cluster.address, **options)
        found = [next(events)]
        wait_until(lambda: ray.available_resources().get("CPU", 0) == 0)  # both work
        cluster.remove_node(second, allow_graceful=False)
        found += events
    finally:
        cluster.shutdown()
    for one, other in zip(found, expected, strict=True):
        if isinstance(one, Finished):
            assert one.records() == other.records() and one.recording == other.recording and one.state == other.state
        else:
            assert one == other
