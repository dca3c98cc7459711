"""The joined example recording can be made again from RAVDESS, sample by sample."""

import csv
import os
import runpy
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_turns_lie_in_the_recording_with_pauses_between():
    recording = sf.info(EXAMPLES / "conversation.flac")
    turns = list(csv.DictReader((EXAMPLES / "conversation-turns.csv").read_text().splitlines()))
    times = [float(turn[edge]) for turn in turns for edge in ("start", "end")]
    assert recording.samplerate == 16000 and recording.channels == 1
    assert {turn["actor"] for turn in turns} == {"07", "24"}
    assert times[0] >= 0 and times == sorted(times) and times[-1] <= recording.duration
    pauses = np.subtract(times[2::2], times[1:-1:2])
    assert pauses.min() >= 0.699 and pauses.max() <= 1.501


@pytest.mark.data
def test_conversation_is_made_again_from_ravdess(tmp_path):
    if not (data := os.environ.get("EMOFUSE_DATA")):
        pytest.skip("EMOFUSE_DATA is not set")
    runpy.run_path(str(EXAMPLES / "make_conversation.py"))["make"](Path(data) / "ravdess", tmp_path)
    made, _ = sf.read(tmp_path / "conversation.flac", dtype="int16")
    kept, _ = sf.read(EXAMPLES / "conversation.flac", dtype="int16")
    np.testing.assert_array_equal(made, kept)
    assert (tmp_path / "conversation-turns.csv").read_bytes() == (EXAMPLES / "conversation-turns.csv").read_bytes()
