"""Predict many recordings on a Ray cluster, with results in order.

Each recording is a task that takes one processor. A worker process loads the model for its first task and keeps it. If
a machine is lost, its recordings are predicted on others, and the results are the same.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Unpack

from emofuse.audio import name_of
from emofuse.errors import EmofuseError
from emofuse.hardware import connect_to_ray
from emofuse.inference.adaptation import Speakers
from emofuse.inference.bundle import Bundle
from emofuse.inference.files import Finished, predict_recording, with_profiles
from emofuse.inference.inputs import Recording
from emofuse.inference.options import PredictOptions
from emofuse.inference.predictor import Predictor
from emofuse.timeline.prediction import Prediction, Timeline

MAX_RETRIES = 3
"""How often a recording is tried again whose worker died, because its machine was lost or its memory was full."""

log = logging.getLogger("emofuse")


@dataclass(frozen=True)
class _Model:
    """What a worker needs to load the model."""

    folder: Path
    asr: str
    transcribe: str
    adapt: bool


def predict_on_ray(
    predictor: Predictor,
    recordings: Sequence[Recording],
    *,
    address: str,
    profiles: Sequence[Speakers] | None = None,
    **options: Unpack[PredictOptions],
) -> Iterator[Prediction | Finished]:
    """Predict recordings on a cluster, as `predict_recordings` does on this machine.

    Args:
        predictor: the model; all machines must see its folder and the recordings at the same paths.
        recordings: from `find_recordings`.
        address: of the cluster: "auto", "local" for one of this machine only, or HOST:PORT.
        profiles: from `speaker_profiles`.
        **options: for all recordings.

    Raises:
        EmofuseError: Ray is not installed, or the cluster cannot be reached.
    """
    if not recordings:
        return
    ray = connect_to_ray(address)
    try:
        yield from _predict(ray, predictor, recordings, profiles, options)
    finally:
        ray.shutdown()


def _predict(
    ray: Any,
    predictor: Predictor,
    recordings: Sequence[Recording],
    profiles: Sequence[Speakers] | None,
    options: PredictOptions,
) -> Iterator[Prediction | Finished]:
    model = _Model(predictor.bundle.folder.resolve(), predictor.asr, predictor.transcribe, predictor.adapt)
    task = ray.remote(num_cpus=1, max_retries=MAX_RETRIES)(_predict_in_task)
    waiting = with_profiles(options, recordings, profiles)
    running: deque[tuple[Recording, Any]] = deque()
    while True:
        at_once = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
        for recording, of_recording in islice(waiting, max(0, at_once - len(running))):
            running.append((recording, task.remote(model, recording, of_recording)))
        if not running:
            return
        recording, reference = running.popleft()
        try:
            finished = ray.get(reference)
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            failure = EmofuseError(f"{_name(recording)}: its worker ended before the result came ({reason})")
            finished = Finished(recording, Timeline(), [failure])
        for note in finished.timeline.notes:
            log.warning("%s: %s.", _name(recording), note.message)
        yield from finished.timeline
        yield finished


def _predict_in_task(model: _Model, recording: Recording, options: PredictOptions) -> Finished:
    *_, finished = predict_recording(_load(model), recording, options)
    assert isinstance(finished, Finished)
    return replace(finished, errors=[EmofuseError(str(error)) for error in finished.errors])  # all can be pickled


@lru_cache(maxsize=1)
def _load(model: _Model) -> Predictor:
    bundle = Bundle.load(model.folder)
    return Predictor(bundle, asr=model.asr, threads=1, transcribe=model.transcribe, adapt=model.adapt)


def _name(recording: Recording) -> str:
    return "text" if recording.file is None else name_of(recording.file)
