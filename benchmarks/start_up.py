"""CPU time, wall time and peak memory of the command line, each command in a process of its own.

    python benchmarks/start_up.py --clip clip.wav [--model BUNDLE] [--repeats 5]

Says too whether prediction imported PyTorch. Medians over the repeats; CPU time is user + system, of all threads.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

IN_A_PROCESS = "import sys; sys.argv[0] = 'emofuse'; from emofuse.cli import main; main()"
WITH_MODULES = (
    "import sys; sys.argv[0] = 'emofuse'\n"
    "from emofuse.cli import main\n"
    "try:\n    main()\n"
    "finally:\n"
    "    print([name for name in ('torch', 'pandas', 'transformers') if name in sys.modules], file=sys.stderr)"
)


def measure(arguments: list[str]) -> tuple[float, float, float]:
    """CPU seconds, wall seconds and peak resident memory in MB of one run."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", IN_A_PROCESS, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"emofuse {' '.join(arguments)} failed with exit code {process.returncode}")
    peak = usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    return usage.ru_utime + usage.ru_stime, wall, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="bundle; default: the shipped one")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    model = ["--model", str(arguments.model)] if arguments.model else []
    predict = ["predict", str(arguments.clip), *model, "--format", "json"]
    commands = {
        "--help": ["--help"],
        "predict CLIP --text": [*predict, "--text", "kids are talking by the door"],
        "predict CLIP --no-asr": [*predict, "--no-asr"],
        "predict CLIP (with ASR)": predict,
    }
    print(f"{'command':26}{'CPU s':>8}{'wall s':>8}{'peak MB':>9}")
    for name, command in commands.items():
        measure(command)  # fills the caches of the disk and of joined weights
        runs = [measure(command) for _ in range(arguments.repeats)]
        cpu, wall, peak = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"{name:26}{cpu:8.2f}{wall:8.2f}{peak:9.0f}")
    command = [sys.executable, "-c", WITH_MODULES, *commands["predict CLIP --text"]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    print(f"heavy modules imported by predict CLIP --text: {done.stderr.splitlines()[-1]}")


if __name__ == "__main__":
    main()
