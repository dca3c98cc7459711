"""A frozen speech encoder in ONNX: how small, how fast, how faithful.

    python benchmarks/speech_encoder.py --data FOLDER [--encoder whisper-base] [--layers 2 3 4 5] [--probe]

Weights stored as fp32, fp16 and int8 (computed in fp32), and int8 arithmetic (`quantize_dynamic`, matrices only).
Speed is CPU time and wall time of one clip of noise, the contestants in turns, medians. Error: mean and standard
deviation over time of each state, for 16 clips of RAVDESS, against PyTorch, in standard deviations between the clips.
--probe: UAR over EmoBox's six folds of RAVDESS of a logistic regression that was fitted on PyTorch's states.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
from frozen_probe import SPLITS
from onnxruntime.quantization import QuantType, quantize_dynamic
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score

from emofuse.audio import SAMPLE_RATE, read_audio
from emofuse.corpora import read_corpus
from emofuse.corpora.splits import make_splits
from emofuse.encoders.export import export_speech_encoder
from emofuse.encoders.onnx import OnnxSpeechEncoder
from emofuse.encoders.speech import SpeechEncoder, load_speech_encoder, pool_time
from emofuse.files import sha256

Hear = Callable[[np.ndarray], np.ndarray]  # samples (n,) to states (steps, layers * dim)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="holds ravdess/")
    parser.add_argument("--encoder", default="whisper-base")
    parser.add_argument("--layers", type=int, nargs="+", default=[2, 3, 4, 5])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--probe", action="store_true", help="takes minutes")
    options = parser.parse_args()
    encoder = load_speech_encoder(options.encoder)
    table = read_corpus("ravdess", options.data / "ravdess")
    clips = [read_audio(file) for file in table["file"].sample(16, random_state=0)]
    expected = np.stack([summary(in_torch(encoder, options.layers)(clip)) for clip in clips])
    with tempfile.TemporaryDirectory() as folder:
        files = export(encoder, options.layers, Path(folder))
        for name, (path, facts) in files.items():
            hear = OnnxSpeechEncoder(path, facts).states
            found = np.stack([summary(hear(clip)) for clip in clips])
            error = (found - expected) / (expected.std(axis=0) + 1e-9)
            errors = np.sqrt(np.square(error).reshape(len(clips), 2, len(options.layers), -1).mean(axis=(0, 1, 3)))
            print(f"{name:13} {path.stat().st_size / 1e6:5.1f} MB, error of each layer {np.round(errors, 4)}")
        for threads in (1, 2):
            hearers = {name: OnnxSpeechEncoder(*file, threads).states for name, file in files.items()}
            for seconds in (3, 15):
                compare(hearers, seconds, threads, options.runs)
        print(f"int8, 15 s in a process of its own: {memory(*files['int8'])}")
        if options.probe:
            probe(table, in_torch(encoder, options.layers), OnnxSpeechEncoder(*files["int8"], 1).states)


def export(encoder: SpeechEncoder, layers: list[int], folder: Path) -> dict[str, tuple[Path, dict]]:
    files = {}
    for weights in ("fp32", "fp16", "int8"):
        path = folder / f"{weights}.onnx"
        files[weights] = (path, export_speech_encoder(encoder, path, layers=layers, weights=weights))
    model = onnx.load(folder / "fp32.onnx")
    del model.graph.value_info[:]  # the quantiser infers shapes itself
    onnx.save(model, folder / "plain.onnx")
    path = folder / "computed.onnx"
    quantize_dynamic(
        folder / "plain.onnx", path, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8, per_channel=True
    )
    files["int8 computed"] = (path, {**files["fp32"][1], "sha256": sha256(path)})
    return files


def in_torch(encoder: SpeechEncoder, layers: list[int]) -> Hear:
    def hear(samples: np.ndarray) -> np.ndarray:
        states = pool_time(encoder.hidden_states(samples)[layers].numpy(), 4)
        return states.transpose(1, 0, 2).reshape(states.shape[1], -1)

    return hear


def summary(states: np.ndarray) -> np.ndarray:
    return np.concatenate([states.mean(axis=0), states.std(axis=0)])


def compare(hearers: dict[str, Hear], seconds: int, threads: int, runs: int) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, seconds * SAMPLE_RATE).astype(np.float32)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in hearers}
    for turn in range(runs + 1):
        for name, hear in hearers.items():
            cpu, wall = time.process_time(), time.perf_counter()
            hear(noise)
            if turn:  # the first one warms up
                times[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    print(f"{seconds} s, {threads} threads")
    medians = {name: np.median(taken, axis=0) for name, taken in times.items()}
    for name, (cpu, wall) in medians.items():
        print(
            f"  {name:13} CPU {1000 * cpu:5.0f} ms, {medians['fp32'][0] / cpu:.2f} times as fast as fp32; "
            f"wall {1000 * wall:5.0f} ms, {seconds / wall:.0f} x real time"
        )


def memory(path: Path, facts: dict) -> str:
    code = (
        "import re, numpy as np, onnxruntime; from emofuse.encoders.onnx import OnnxSpeechEncoder\n"
        "def peak(): return re.search(r'VmHWM:\\s+(.*)', open('/proc/self/status').read())[1]\n"
        f"before = peak(); encoder = OnnxSpeechEncoder({str(path)!r}, {facts!r}, 2); loaded = peak()\n"
        "encoder.states(np.random.default_rng(0).normal(0, 0.1, 240_000).astype(np.float32))\n"
        "print(f'peak {before} before, {loaded} loaded, {peak()} after')"
    )
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def probe(table: pd.DataFrame, original: Hear, exported: Hear) -> None:
    clips = [read_audio(file) for file in table["file"]]
    first, second = (np.stack([summary(hear(clip)) for clip in clips]) for hear in (original, exported))
    labels = table["original_emotion"].to_numpy()
    guesses = {"PyTorch": labels.copy(), "int8": labels.copy()}
    for parts in make_splits(table, SPLITS["ravdess"]):
        test = table["key"].isin(parts.test).to_numpy()
        mean, sd = first[~test].mean(axis=0), first[~test].std(axis=0) + 1e-3
        model = LogisticRegression(C=0.01, max_iter=300).fit((first[~test] - mean) / sd, labels[~test])
        for name, rows in {"PyTorch": first, "int8": second}.items():
            guesses[name][test] = model.predict((rows[test] - mean) / sd)
    for name, guess in guesses.items():
        print(f"UAR {recall_score(labels, guess, average='macro'):.4f} with {name}'s states")
    print(f"other answers: {np.mean(guesses['PyTorch'] != guesses['int8']):.2%} of {len(labels)}")


if __name__ == "__main__":
    main()
