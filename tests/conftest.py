"""A small untrained model as a bundle, and a clip: what the tests of prediction and of the command line share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from emofuse import cli
from made_up.encoders import length_encoder, tiny_encoders  # noqa: F401 - fixtures

LABELS = ["neutral", "happiness", "sadness", "anger"]


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder of the real corpora; skips where there is none."""
    if not (named := os.environ.get("EMOFUSE_DATA")):
        pytest.skip("EMOFUSE_DATA is not set")
    return Path(named)


@pytest.fixture(scope="session")
def small_model():
    """Multistage fusion with both heads, in evaluation mode, with random weights."""
    import torch

    from emofuse.config import ModelConfig
    from emofuse.models.ser import build_model

    torch.manual_seed(0)
    config = ModelConfig(fusion="multistage", encoder="cnn6", width=1 / 16, heads=["categories", "dimensions"])
    return build_model(config, len(LABELS), 384).eval()


@pytest.fixture(scope="session")
def text_encoder() -> Path:
    """The exported text encoder of the default bundle."""
    from emofuse.inference.bundle import DEFAULT_FOLDER, TEXT_ENCODER_FOLDER

    return DEFAULT_FOLDER / TEXT_ENCODER_FOLDER


@pytest.fixture(scope="session")
def facts(text_encoder):
    """What the bundle of `small_model` says about itself."""
    from emofuse.audio import FrontEnd
    from emofuse.encoders.onnx import OnnxTextEncoder
    from emofuse.inference.bundle import Bundle

    return Bundle(
        name="small",
        labels=LABELS,
        dimensions=["arousal", "valence", "dominance"],
        reads=["audio", "text"],
        reads_text_alone=True,
        front_end=FrontEnd().to_dict(),
        text_encoder=OnnxTextEncoder(text_encoder).identity,
        text_languages=["en"],
        duration_range=[1.0, 5.0],
        licence="MIT",
        created="2026-01-01T00:00:00+00:00",
    )


@pytest.fixture(scope="session")
def bundle_folder(small_model, facts, text_encoder, tmp_path_factory) -> Path:
    """`small_model`, exported. Read only: copy it to change it."""
    from emofuse.training.export import export_bundle

    folder = tmp_path_factory.mktemp("bundle") / "small"
    return export_bundle(small_model, folder, facts, text_encoder=text_encoder).folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """One second of noise that swells, as WAV."""
    path = tmp_path_factory.mktemp("clips") / "clip.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 16000) * np.linspace(0.1, 1, 16000), 16000)
    return path


@pytest.fixture
def command_line(monkeypatch, capsys):
    """`emofuse ARGUMENTS` in this process: its exit code and what it printed."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["emofuse", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return SimpleNamespace(code=end.value.code or 0, out=out, err=err)

    return call


@pytest.fixture
def emofuse():
    """`emofuse ARGUMENTS` in a process of its own, at home in a folder that holds the corpora and the cache."""

    def call(*arguments, folder, code=0):
        done = subprocess.run(
            [sys.executable, "-m", "emofuse", *map(str, arguments)],
            cwd=folder,
            env=os.environ | {"EMOFUSE_CACHE": str(folder / "cache"), "EMOFUSE_DATA": str(folder)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stderr[-3000:]
        return done

    return call


@pytest.fixture
def all_is_speech(monkeypatch):
    """The speech detector takes all that is not silent for speech, so that noise can stand for a voice."""

    def probabilities(samples):
        padded = np.pad(np.abs(samples), (0, -len(samples) % 512)).reshape(-1, 512)
        return (padded.max(axis=1, initial=0.0) > 1e-3).astype(np.float32)

    monkeypatch.setattr("emofuse.timeline.segments.speech_probabilities", probabilities)
