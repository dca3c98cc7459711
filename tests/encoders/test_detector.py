import numpy as np

from emofuse.encoders.detector import find_speech, has_speech

RATE = 16000


def test_silence_and_noise_are_no_speech():
    rng = np.random.default_rng(0)
    for samples in (np.zeros(RATE // 10, np.float32), rng.normal(0, 0.01, 3 * RATE).astype(np.float32)):
        assert find_speech(samples) == [] and not has_speech(samples)
