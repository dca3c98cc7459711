"""Prediction of one clip: the exported model in ONNX Runtime against the same model in PyTorch fp32.

    python benchmarks/onnx_predict.py --encoder cnn14 --width 1 --seconds 3 --threads 2

Multistage fusion, random weights, audio and text present. PyTorch is measured in its usual memory layout and in
channels last; the ratio is to the faster of the two. The contestants take turns, medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from emofuse.audio import FrontEnd
from emofuse.config import ModelConfig
from emofuse.encoders.onnx import OnnxTextEncoder
from emofuse.inference.bundle import DEFAULT_FOLDER, TEXT_ENCODER_FOLDER, Bundle
from emofuse.models.ser import build_model
from emofuse.training.export import DIMENSIONS, INPUTS, Answers, export_bundle

LABELS = ["neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise"]
TEXT_ENCODER = DEFAULT_FOLDER / TEXT_ENCODER_FOLDER  # any will do: embeddings are random here
TEXT_DIM = OnnxTextEncoder(TEXT_ENCODER).dim


def make_bundle(model: torch.nn.Module, folder: Path, weights: str) -> Bundle:
    facts = Bundle(
        name="benchmark",
        labels=LABELS,
        dimensions=DIMENSIONS,
        reads=["audio", "text"],
        reads_text_alone=True,
        front_end=FrontEnd().to_dict(),
        text_encoder=OnnxTextEncoder(TEXT_ENCODER).identity,
        text_languages=["en"],
        duration_range=[],
        licence="none",
        created="2026-01-01",
    )
    return export_bundle(model, folder, facts, weights=weights, text_encoder=TEXT_ENCODER)  # type: ignore[arg-type]


def in_torch(model: torch.nn.Module, batch: tuple[Tensor, ...]) -> Callable[[], list[np.ndarray]]:
    def run() -> list[np.ndarray]:
        with torch.inference_mode():
            return [value.numpy() for value in model(*batch)]

    return run


def in_onnx(path: Path, batch: tuple[Tensor, ...], threads: int) -> Callable[[], list[np.ndarray]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feeds = {name: value.numpy() for name, value in zip(INPUTS, batch, strict=True)}
    return lambda: session.run(None, feeds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="cnn14")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--weights", default="fp32", choices=["fp32", "fp16"])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    config = ModelConfig.model_validate(
        {"encoder": arguments.encoder, "width": arguments.width, "heads": ["categories", "dimensions"]}
    )
    model = build_model(config, len(LABELS), TEXT_DIM).eval()
    frames = 1 + round(arguments.seconds * 100)
    yes = torch.ones(1, dtype=torch.bool)
    batch = (torch.randn(1, frames, 64) * 12 - 40, torch.tensor([frames]), torch.randn(1, TEXT_DIM) * 0.3, yes, yes)
    with tempfile.TemporaryDirectory() as folder:
        path = make_bundle(model, Path(folder) / "bundle", arguments.weights).model_path
        megabytes = path.stat().st_size / 1e6
        onnx = in_onnx(path, batch, arguments.threads)
    contestants = {
        "torch": in_torch(Answers(model).eval(), batch),
        "onnx": onnx,
    }
    contestants["torch channels last"] = in_torch(Answers(build_channels_last(model, config)).eval(), batch)
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(arguments.runs + 2):
        for name, run in contestants.items():
            started = time.perf_counter()
            run()
            if turn >= 2:  # the first ones warm up
                times[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in times.items()}
    differences = [np.abs(a - b).max() for a, b in zip(contestants["torch"](), onnx(), strict=True)]
    print(
        f"{arguments.encoder} width {arguments.width:g}, {arguments.seconds:g} s, {arguments.threads} threads, "
        f"{arguments.weights} {megabytes:.1f} MB, largest difference {max(differences):.1g}"
    )
    for name, median in medians.items():
        print(f"  {name:20} {1000 * median:7.1f} ms   onnx is {median / medians['onnx']:.2f} times as fast")


def build_channels_last(model: torch.nn.Module, config: ModelConfig) -> torch.nn.Module:
    twin = build_model(config, len(LABELS), TEXT_DIM)
    twin.load_state_dict(model.state_dict())
    return twin.eval().to(memory_format=torch.channels_last)


if __name__ == "__main__":
    main()
