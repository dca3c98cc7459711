"""Streams against files: the same recordings by `emofuse.inference.live.listen` and by a call, and latency and memory.

    python benchmarks/live.py agreement examples/conversation.flac --ravdess /path/to/ravdess
    python benchmarks/live.py latency examples/conversation.flac --minutes 10

`agreement` judges each recording whole and as a stream in blocks of 0.1 s, by the voice alone: the recordings given,
and 20 clips of one RAVDESS actor strung together with pauses. `latency` pipes the recording, repeated, at the speed of
speech into `emofuse listen -` and prints the time from the end of each utterance to its prediction, and the memory of
the process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

import numpy as np

import emofuse
from emofuse.audio import SAMPLE_RATE, read_audio
from emofuse.inference.live import listen
from emofuse.segment import Segment
from emofuse.timeline.prediction import Prediction

BLOCK = SAMPLE_RATE // 10


def clips_with_pauses(folder: Path, *, clips: int = 20, actor: int = 1) -> np.ndarray:
    """Clips of a RAVDESS actor in random order, with pauses of 0.3 to 1.5 s between them."""
    rng = np.random.default_rng(0)
    files = sorted(folder.rglob(f"03-01-*-{actor:02d}.*"))
    parts = []
    for number in rng.permutation(len(files))[:clips]:
        parts += [read_audio(files[number]), np.zeros(round(rng.uniform(0.3, 1.5) * SAMPLE_RATE), np.float32)]
    return np.concatenate(parts)


def live_predictions(predictor: emofuse.Predictor, samples: np.ndarray) -> list[Prediction]:
    blocks = np.split(samples, range(BLOCK, len(samples), BLOCK))
    return [one for one, final in listen(predictor, blocks, sample_rate=SAMPLE_RATE, rolling=False) if final]


def overlap(one: Prediction, other: Prediction) -> float:
    return min(one.end, other.end) - max(one.start, other.start)


def compare(name: str, samples: np.ndarray, *, threads: int) -> None:
    for adapt in (True, False):
        predictor = emofuse.load(transcribe="off", threads=threads, adapt=adapt)
        by_file, live = predictor(samples, sample_rate=SAMPLE_RATE), live_predictions(predictor, samples)
        pairs = [(one, max(by_file, key=lambda other, one=one: overlap(one, other))) for one in live]
        apart = [max(abs(one.start - other.start), abs(one.end - other.end)) for one, other in pairs]
        same = sum(one.emotion == other.emotion for one, other in pairs)
        print(
            f"{name}, {len(samples) / SAMPLE_RATE:.0f} s, adaptation {'on' if adapt else 'off'}: {len(live)} "
            f"utterances ({len(by_file)} by file), emotion agrees in {same}; boundaries within 0.05 s in "
            f"{sum(a <= 0.05 for a in apart)}, median {np.median(apart):.3f} s, largest difference {max(apart):.3f} s"
        )
        if adapt:
            continue
        segments = [Segment(start=one.start, end=one.end) for one in live]
        given = predictor(samples, sample_rate=SAMPLE_RATE, segments=segments, max_seconds=30)
        differences = [
            abs(one.probabilities[label] - other.probabilities[label])
            for one, other in zip(live, given, strict=True)
            for label in one.probabilities
        ]
        print(f"  with equal boundaries: largest difference of a probability {max(differences):.1e}")


def feed(pipe: IO[bytes], samples: np.ndarray, begun: float) -> None:
    """Write 16-bit samples at the speed of speech."""
    data = (samples * 32767).astype("<i2")
    for first in range(0, len(data), BLOCK):
        time.sleep(max(0.0, begun + (first + BLOCK) / SAMPLE_RATE - time.monotonic()))
        pipe.write(data[first : first + BLOCK].tobytes())
        pipe.flush()
    pipe.close()


def memory(process: int) -> float:
    """Resident memory in MB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def measure_latency(file: Path, minutes: float, arguments: list[str]) -> None:
    samples = read_audio(file)
    samples = np.tile(samples, max(1, round(minutes * 60 * SAMPLE_RATE / len(samples))))
    command = [sys.executable, "-m", "emofuse", "listen", "-", "--format", "jsonl", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    begun = time.monotonic() + 10.0  # the models are loaded by then
    threading.Thread(target=feed, args=(process.stdin, samples, begun)).start()
    latencies, preliminary, without_words, minute = [], 0, 0, 0
    for line in process.stdout:
        record, now = json.loads(line), time.monotonic() - begun
        if not record["final"]:
            preliminary += 1
            continue
        latencies.append(now - record["end"])
        without_words += bool(record["note"] and "too slow" in record["note"])
        if now >= 60 * minute:
            print(f"  {now / 60:.1f} min: {memory(process.pid):.0f} MB", flush=True)
            minute = int(now // 60) + 1
    p50, p95 = np.quantile(latencies, [0.5, 0.95])
    print(
        f"{len(latencies)} utterances in {len(samples) / SAMPLE_RATE / 60:.1f} min: latency {p50:.2f} s (median), "
        f"{p95:.2f} s (95 %), {max(latencies):.2f} s (largest); {preliminary} preliminary predictions; "
        f"{without_words} utterances without words for lack of time"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["agreement", "latency"])
    parser.add_argument("recordings", nargs="+", type=Path)
    parser.add_argument("--ravdess", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--no-asr", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.what == "latency":
        arguments = ["--threads", str(options.threads), *["--no-asr"] * options.no_asr]
        measure_latency(options.recordings[0], options.minutes, arguments)
        return
    for recording in options.recordings:
        compare(recording.name, read_audio(recording), threads=options.threads)
    if options.ravdess is not None:
        compare("20 clips of RAVDESS", clips_with_pauses(options.ravdess), threads=options.threads)


if __name__ == "__main__":
    main()
