"""Cache the speech encoder's states of RAVDESS, nEMO and EMO-DB for research on the voice model.

    python benchmarks/voice_states.py --data FOLDER --out FOLDER [--varied 1]

Each clip is cut as `emofuse predict` cuts it, from the start of its first utterance to the end of its last (the whole
clip if nobody speaks), and goes through the speech encoder of the default model. The folder then holds `clips.parquet`
(a row per clip), `states.npy` (float16, all frames of all clips, 12.5 per second), and `means.npy` and `stds.npy`
(float32, over the frames of each clip). With --varied, the clips are first changed as another voice, room or line would
change them.
"""

from __future__ import annotations

import argparse
import time
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

import emofuse
from emofuse.audio import SAMPLE_RATE, read_audio
from emofuse.corpora import read_corpus
from emofuse.data.states import vary
from emofuse.timeline.segments import speech_of

CORPORA = ("ravdess", "nemo", "emodb")
COLUMNS = ["key", "corpus", "speaker", "gender", "emotion", "original_emotion", "text", "file"]


def main() -> None:
    """Write the cache."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="holds ravdess/, nemo/ and emodb/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--varied", type=int, default=0, help="number of the varied copy; 0 for the clips as recorded")
    options = parser.parse_args()
    tables = [read_corpus(name, options.data / name) for name in CORPORA]
    table = pd.concat(tables, ignore_index=True)[COLUMNS]
    network = emofuse.load().network
    states, means, stds, seconds = [], [], [], []
    start = time.perf_counter()
    for number, file in enumerate(table["file"]):
        samples = speech_of(read_audio(file))
        if options.varied:
            samples = vary(samples, np.random.default_rng([options.varied, zlib.crc32(samples.tobytes())]))
        frames = network.frames(samples)
        states.append(frames.astype(np.float16))
        means.append(frames.mean(axis=0))
        stds.append(frames.std(axis=0))
        seconds.append(len(samples) / SAMPLE_RATE)
        if number % 200 == 199:
            print(f"{number + 1} of {len(table)} clips, {time.perf_counter() - start:.0f} s", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    table = table.assign(seconds=seconds, n_frames=[len(one) for one in states])
    table.to_parquet(options.out / "clips.parquet")
    arrays = {"states": np.concatenate(states), "means": means, "stds": stds}
    for name, array in arrays.items():
        np.save(options.out / f"{name}.npy", np.asarray(array))


if __name__ == "__main__":
    main()
