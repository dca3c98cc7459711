"""A long recording: the whole path with recognised words against the recogniser alone, and the voice alone.

    python benchmarks/long_recording.py examples/conversation.flac [--minutes 10] [--contestants "voice alone"]
        [--model BUNDLE] [--repeats 1]

FILE is repeated until the recording is as long as asked, so the recording is composed. The recogniser alone is
faster-whisper's own `transcribe` of the file, with its voice activity detection, its words thrown away. Each contestant
has a process of its own, and they take turns; time counts from the open file to the last prediction, with the models
loaded. CPU time is that of all threads. On a machine with other work only CPU time says anything: the whole path runs
more threads than the recogniser alone, so it gets more of the processor there and its wall time looks too good.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import soundfile

import emofuse
from emofuse.audio import SAMPLE_RATE, read_audio

CONTESTANTS = ("recogniser alone", "whole path", "voice alone")


def contestant(name: str, model: str | None) -> Callable[[Path], object]:
    if name != "recogniser alone":
        return emofuse.load(model, transcribe=name == "whole path")
    from faster_whisper import WhisperModel

    from emofuse.encoders.weights import find_weights

    threads = os.cpu_count() or 1
    whisper = WhisperModel(str(find_weights("whisper-base")), device="cpu", compute_type="int8", cpu_threads=threads)

    def transcribe(path: Path) -> object:
        options = {"vad_filter": True, "beam_size": 5, "temperature": 0.0, "condition_on_previous_text": False}
        return list(whisper.transcribe(read_audio(path), **options)[0])

    return transcribe


def measure(name: str, recording: Path, model: str | None) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak resident memory in MB, in a process of its own."""
    command = [sys.executable, __file__, str(recording), "--only", name, *(["--model", model] if model else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{name}: failed with exit code {process.returncode}")
    wall, cpu = json.loads(said)
    return wall, cpu, usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def repeated(file: Path, minutes: float, out: Path) -> float:
    """Write the recording; its length in seconds."""
    samples = read_audio(file)
    times = max(1, round(60 * minutes * SAMPLE_RATE / len(samples)))
    with soundfile.SoundFile(out, "w", SAMPLE_RATE, 1) as recording:
        for _ in range(times):
            recording.write(samples)
    return times * len(samples) / SAMPLE_RATE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--model", help="bundle; default: the shipped one")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=CONTESTANTS)
    parser.add_argument("--only", choices=CONTESTANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        run = contestant(arguments.only, arguments.model)
        with tempfile.TemporaryDirectory() as folder:
            beginning = Path(folder) / "beginning.wav"
            soundfile.write(beginning, read_audio(arguments.file, end=10.0), SAMPLE_RATE)
            run(beginning)  # loads all models
        wall, cpu = time.perf_counter(), time.process_time()
        run(arguments.file)
        print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))
        return
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "long.flac"
        seconds = repeated(arguments.file, arguments.minutes, recording)
        names = arguments.contestants
        runs = [[measure(name, recording, arguments.model) for name in names] for _ in range(arguments.repeats)]
    medians = {
        name: [statistics.median(column) for column in zip(*turns, strict=True)]
        for name, turns in zip(names, zip(*runs, strict=True), strict=True)
    }
    print(f"{arguments.file.name}, repeated to {seconds:.0f} s, {os.cpu_count()} cores")
    print(f"{'':18}{'wall s':>8}{'CPU s':>8}{'peak MB':>9}{'x real time':>13}")
    for name, (wall, cpu, peak) in medians.items():
        print(f"{name:18}{wall:8.1f}{cpu:8.1f}{peak:9.0f}{seconds / wall:13.1f}")
    if not {"whole path", "recogniser alone"} <= medians.keys():
        return
    whole, alone = medians["whole path"], medians["recogniser alone"]
    print(
        f"whole path / recogniser alone: {whole[0] / alone[0]:.2f} of its wall time, {whole[1] / alone[1]:.2f} of CPU"
    )


if __name__ == "__main__":
    main()
