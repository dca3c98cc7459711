"""Does emofuse train, resume, export and predict on a GPU as it does on the processor, and how fast?

    python benchmarks/gpu_check.py [--accelerator gpu] [--steps 30] [--width 1.0]

One command, under five minutes on one GPU. It trains the made-up toy corpus (a CNN, and a ladder on Whisper base, both
with multistage conditioning on MiniLM) in fp32 and in bf16, goes on with a finished run for one more epoch, exports it,
and compares the predictions of device, processor and bundle; then it trains CNN14 x multistage for some steps on
made-up batches. Printed are steps a second, peak memory, and the largest difference between device and processor.
The exit code is 1 if a difference is larger than its precision explains. With --accelerator cpu it checks itself.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from emofuse import hardware
from emofuse.config import ModelConfig, load_recipe
from emofuse.data.prepare import prepare
from emofuse.files import read_json
from emofuse.inference.bundle import Bundle
from emofuse.inference.predictor import Predictor
from emofuse.models.ser import build_model
from emofuse.training.export import export_run
from emofuse.training.module import predict_rows
from emofuse.training.run import load_run, train

TOY = Path(__file__).parents[1] / "recipes" / "toy.toml"
CLOSE = 2e-3  # of probabilities and dimensions, both computed in fp32; GPUs sum in another order
CLOSE_STEP = {"fp32": 1e-2, "bf16": 1e-1}  # of outputs of one forward pass, relative to their spread
ENCODERS = {
    "CNN6": ["model.encoder=cnn6"],
    "ladder on Whisper base": ["model.encoder=ladder"],
}
BATCH, FRAMES, TEXT = 32, 300, 384  # of the steps of CNN14: clips of 3 s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accelerator", choices=["gpu", "cpu"], default="gpu")
    parser.add_argument("--steps", type=int, default=30, help="of CNN14")
    parser.add_argument("--width", type=float, default=1.0, help="of CNN14")
    options = parser.parse_args()
    device = hardware.choose_device(options.accelerator)
    print(f"torch {torch.__version__} on {hardware.describe_device(device)}; processor: {hardware.processor()}")
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EMOFUSE_CACHE"] = str(Path(folder) / "cache")
        for name, changes in ENCODERS.items():
            for precision in ("fp32", "bf16"):
                failures += toy_run(name, changes, precision, options.accelerator, Path(folder), device)
    for precision in ("fp32", "bf16"):
        failures += cnn14_steps(precision, options.steps, options.width, device)
    print("\n".join(failures) or "Device, processor and bundle agree.")
    sys.exit(bool(failures))


def toy_run(
    name: str, changes: list[str], precision: str, accelerator: str, folder: Path, device: torch.device
) -> list[str]:
    """Train, go on, export and predict; what does not agree."""
    options = [*changes, "training.schedule=none", f"training.precision={precision}"]
    recipe = load_recipe(TOY, [*options, f"training.accelerator={accelerator}", "training.epochs=3"])
    longer = recipe.model_copy(update={"training": recipe.training.model_copy(update={"epochs": 4})})
    out = folder / f"{name}-{precision}"
    with quiet(), measured(device) as peak:
        begun = time.perf_counter()
        run = train(recipe, out, folder)
        seconds = time.perf_counter() - begun
        train(longer, run, folder)
    history = pd.read_csv(run / "history.csv")
    written = pd.read_parquet(run / "predictions-test.parquet")
    with quiet():
        rows = prepare(longer, data=folder).parts["test"]
        on_cpu = predict_rows(load_run(run).model, rows)
        bundle = Predictor(Bundle.load(export_run(run, folder / f"bundle-{out.name}").folder), transcribe=False)
    answers = [bundle(row.file, row.text if isinstance(row.text, str) else None)[0] for row in rows.table.itertuples()]
    columns = [column for column in written if str(column).startswith("probability_")]
    by_bundle = np.array([list(answer.probabilities.values()) for answer in answers])
    differences = {
        "processor": float(np.abs(written[columns] - on_cpu[columns]).to_numpy().max()),
        "bundle": float(np.abs(written[columns].to_numpy() - by_bundle).max()),
    }
    uar = read_json(run / "metrics.json")["test"]["categories"]["uar"]["value"]
    told = ", ".join(f"{value:.1e} from the {what}" for what, value in differences.items())
    print(f"{name}, {precision}: {seconds:.1f} s for 3 epochs, {peak()}, UAR {uar:.2f}; differs by {told}")
    failures = [
        f"{name}, {precision}: {value:.1e} from the {what}" for what, value in differences.items() if value > CLOSE
    ]
    if history["epoch"].tolist() != [0, 1, 2, 3] or not np.isfinite(history["train_loss"]).all():
        failures.append(f"{name}, {precision}: the run did not go on as it should: {history.to_dict('list')}")
    return failures


def cnn14_steps(precision: str, steps: int, width: float, device: torch.device) -> list[str]:
    """Train CNN14 x multistage on made-up batches; whether its first outputs are the processor's."""
    torch.manual_seed(0)
    config = ModelConfig(
        fusion="multistage", encoder="cnn14", width=width, heads=["categories", "dimensions"], dropout=0
    )
    model = build_model(config, 4, TEXT)
    inputs = (
        torch.randn(BATCH, FRAMES, 64),
        torch.full((BATCH,), FRAMES),
        torch.randn(BATCH, TEXT),
        torch.ones(BATCH, dtype=torch.bool),
        torch.ones(BATCH, dtype=torch.bool),
    )
    with torch.inference_mode():
        expected = model.eval()(*(part[:4] for part in inputs))["logits"]
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    inputs = tuple(part.to(device) for part in inputs)
    target = torch.arange(BATCH, device=device) % 4
    mixed = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
    with torch.inference_mode(), mixed:
        found = model(*(part[:4] for part in inputs))["logits"].float().cpu()
    difference = float((found - expected).abs().max() / expected.std())
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-4)

    def step() -> float:
        with mixed:
            out = model(*inputs)
        loss = torch.nn.functional.cross_entropy(out["logits"].float(), target) + out["dimensions"].float().var()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.detach())  # waits for the device

    with measured(device) as peak:
        step()
        begun = time.perf_counter()
        losses = [step() for _ in range(steps)]
        rate = steps / (time.perf_counter() - begun)
    print(
        f"CNN14 x {width:g} multistage, {precision}: {rate:.2f} steps a second ({BATCH * rate:.0f} clips of 3 s), "
        f"{peak()}; first outputs differ by {difference:.1e} of their spread"
    )
    failures = (
        [] if difference < CLOSE_STEP[precision] else [f"CNN14, {precision}: {difference:.1e} from the processor"]
    )
    return failures + ([] if np.isfinite(losses).all() else [f"CNN14, {precision}: the loss is not finite"])


@contextmanager
def measured(device: torch.device) -> Iterator[Callable[[], str]]:
    """Peak memory of the GPU, from here on, in words."""
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    yield lambda: f"{torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB" if on_gpu else "memory not measured"


@contextmanager
def quiet() -> Iterator[None]:
    """Without what training prints."""
    with open(os.devnull, "w") as nowhere:
        before, sys.stdout = sys.stdout, nowhere
        try:
            yield
        finally:
            sys.stdout = before


if __name__ == "__main__":
    main()
