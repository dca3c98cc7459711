"""A training step in fp32 and in bf16, on this processor and as it would be without bf16 instructions.

    python benchmarks/precision_step.py [--batch 8] [--seconds 3] [--steps 5]

Forward, backward and AdamW of CNN6 at a quarter of its width and of CNN14, multistage, one thread, in turns; medians of
CPU time. "Without" is the same processor with oneDNN and PyTorch held to AVX2: what is slow there is the emulation.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch

from emofuse.config import ModelConfig
from emofuse.hardware import processor
from emofuse.models.ser import build_model

AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
NETWORKS = {"CNN6 x 0.25": ("cnn6", 0.25), "CNN14": ("cnn14", 1.0)}
TEXT_DIM = 384


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--here", action="store_true", help="with the instruction sets of this process only")
    options = parser.parse_args()
    if not options.here:
        print(processor())
        for name, environment in (("as it is", {}), ("held to AVX2", AVX2)):
            print(name, flush=True)
            command = [sys.executable, __file__, *sys.argv[1:], "--here"]
            subprocess.run(command, check=True, env=os.environ | environment | {"OMP_NUM_THREADS": "1"})
        return
    for name, (encoder, width) in NETWORKS.items():
        steps = {precision: step_of(encoder, width, precision, options) for precision in ("fp32", "bf16")}
        seconds: dict[str, list[float]] = {precision: [] for precision in steps}
        for step in steps.values():
            step()
        for _ in range(options.steps):
            for precision, step in steps.items():
                begun = time.process_time()
                step()
                seconds[precision].append(time.process_time() - begun)
        fp32, bf16 = (statistics.median(values) for values in seconds.values())
        print(f"  {name:12} fp32 {fp32:.3f} s, bf16 {bf16:.3f} s of CPU a step, {bf16 / fp32:.2f} times as long")


def step_of(encoder: str, width: float, precision: str, options: argparse.Namespace) -> Callable[[], None]:
    torch.manual_seed(0)
    config = ModelConfig.model_validate({"fusion": "multistage", "encoder": encoder, "width": width})
    model = build_model(config, 7, TEXT_DIM).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters())
    frames = round(100 * options.seconds)
    there = torch.ones(options.batch, dtype=torch.bool)
    inputs = (
        torch.randn(options.batch, frames, 64),
        torch.full((options.batch,), frames),
        torch.randn(options.batch, TEXT_DIM),
        there,
        there,
    )
    target = torch.arange(options.batch) % 7

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = model(*inputs)["logits"]
        torch.nn.functional.cross_entropy(logits.float(), target).backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
