"""Training step of our CNN14 (bf16 autocast, fused AdamW) against panns-inference's Cnn14 in plain fp32.

Forward, backward and AdamW on the same batch of log-Mel spectrograms, taken in turns; medians of wall time and of the
process's CPU time, which other work on the machine disturbs less (then with --threads 1: idle threads spin):

    pip install panns-inference
    python benchmarks/cnn14_step.py --seconds 3 --batch 8 --steps 6
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.nn import functional

from emofuse.config import ModelConfig
from emofuse.models.ser import build_model

N_CATEGORIES = 7
TEXT_DIM = 384


def panns_models() -> ModuleType:
    """`panns_inference.models` without the package's own start, which fetches a label file over the network."""
    spec = importlib.util.find_spec("panns_inference")
    if spec is None:
        raise SystemExit("pip install panns-inference")
    package = ModuleType("panns_inference")
    package.__path__ = list(spec.submodule_search_locations or [])
    sys.modules["panns_inference"] = package
    return importlib.import_module("panns_inference.models")


def reference_step(log_mel: Tensor, labels: Tensor) -> Callable[[], None]:
    """PANNs' network and code; its spectrogram and SpecAugment are left out, for ours starts at the log-Mel as well."""
    model = panns_models().Cnn14(16000, 512, 160, 64, 50, 8000, N_CATEGORIES)
    model.spectrogram_extractor = nn.Identity()
    model.logmel_extractor = nn.Identity()
    model.spec_augmenter = nn.Identity()
    optimizer = torch.optim.AdamW(model.parameters())
    batch = log_mel.unsqueeze(1)  # (batch, 1, frames, mels)
    targets = functional.one_hot(labels, N_CATEGORIES).float()

    def step() -> None:
        optimizer.zero_grad()
        functional.binary_cross_entropy(model(batch)["clipwise_output"], targets).backward()
        optimizer.step()

    return step


def our_step(
    log_mel: Tensor,
    labels: Tensor,
    n_frames: Tensor,
    fusion: str,
    layout: torch.memory_format = torch.contiguous_format,
) -> Callable[[], None]:
    config = ModelConfig.model_validate({"fusion": fusion})
    model = build_model(config, N_CATEGORIES, TEXT_DIM).to(memory_format=layout)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    text = torch.randn(len(log_mel), TEXT_DIM)
    present = torch.ones(len(log_mel), dtype=torch.bool)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(log_mel, n_frames, text, present, present)["logits"]
        functional.cross_entropy(logits, labels).backward()
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)

    frames = round(options.seconds * 100) + 1
    log_mel = torch.randn(options.batch, frames, 64) * 10 - 40
    labels = torch.randint(N_CATEGORIES, (options.batch,))
    full = torch.full((options.batch,), frames)
    ragged = torch.linspace(0.7 * frames, frames, options.batch).long()
    steps = {
        "panns-inference Cnn14, fp32": reference_step(log_mel, labels),
        "ours, audio_only, bf16": our_step(log_mel, labels, full, "audio_only"),
        "ours, multistage, bf16": our_step(log_mel, labels, full, "multistage"),
        "ours, multistage, bf16, clips of 70-100 % length": our_step(log_mel, labels, ragged, "multistage"),
        "ours, multistage, bf16, channels last": our_step(log_mel, labels, full, "multistage", torch.channels_last),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for turn in range(options.steps + 1):
        for name, step in steps.items():
            wall, cpu = time.perf_counter(), time.process_time()
            step()
            if turn:  # the first one warms up
                times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    medians = {name: [statistics.median(kind) for kind in zip(*taken, strict=True)] for name, taken in times.items()}
    wall_0, cpu_0 = next(iter(medians.values()))
    for name, (wall, cpu) in medians.items():
        rate = options.batch / wall
        print(f"{name:50} {rate:6.2f} clips/s {wall_0 / wall:5.2f}x   CPU {cpu:6.2f} s {cpu_0 / cpu:5.2f}x")


if __name__ == "__main__":
    main()
