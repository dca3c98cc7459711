"""Speed of the log-Mel front end: NumPy against librosa and torch, interleaved in one run.

Usage: OMP_NUM_THREADS=1 python benchmarks/log_mel.py [SECONDS] [ROUNDS]
"""

from __future__ import annotations

import os
import sys
import time

import librosa
import numpy as np
import torch

from emofuse.audio import SAMPLE_RATE, log_mel
from emofuse.models.cnn import LogMel


def librosa_log_mel(samples: np.ndarray) -> np.ndarray:
    mel = librosa.feature.melspectrogram(
        y=samples, sr=SAMPLE_RATE, n_fft=512, hop_length=160, n_mels=64, fmin=50, fmax=8000, pad_mode="reflect"
    )
    return librosa.power_to_db(mel, ref=1.0, amin=1e-10, top_db=None).T


def main(seconds: float = 10.0, rounds: int = 100) -> None:
    samples = np.random.default_rng(0).standard_normal(round(seconds * SAMPLE_RATE)).astype(np.float32) * 0.1
    module, batch = LogMel(), torch.from_numpy(samples)[None]

    def torch_log_mel() -> np.ndarray:
        with torch.inference_mode():
            return module(batch)[0].numpy()

    systems = {"numpy": lambda: log_mel(samples), "librosa": lambda: librosa_log_mel(samples), "torch": torch_log_mel}
    outputs = {name: system() for name, system in systems.items()}  # warm-up
    wall: dict[str, list[float]] = {name: [] for name in systems}
    cpu: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(rounds):
        for name, system in systems.items():
            begin, begin_cpu = time.perf_counter(), time.process_time()
            system()
            wall[name].append(time.perf_counter() - begin)
            cpu[name].append(time.process_time() - begin_cpu)

    print(
        f"{seconds:g} s clip, {rounds} rounds; torch threads {torch.get_num_threads()}, "
        f"OMP_NUM_THREADS {os.environ.get('OMP_NUM_THREADS', 'unset')}, {os.cpu_count()} CPUs"
    )
    print("          wall: median  fastest  ratio   CPU: median  ratio   largest difference to numpy")
    for name in systems:
        difference = np.abs(outputs[name] - outputs["numpy"]).max()
        print(
            f"{name:8} {np.median(wall[name]) * 1e3:10.2f} ms {min(wall[name]) * 1e3:5.2f} ms "
            f"{np.median(wall[name]) / np.median(wall['numpy']):6.2f} {np.median(cpu[name]) * 1e3:10.2f} ms "
            f"{np.median(cpu[name]) / np.median(cpu['numpy']):6.2f}   {difference:.1e} dB"
        )


if __name__ == "__main__":
    main(*(kind(value) for kind, value in zip((float, int), sys.argv[1:], strict=False)))
