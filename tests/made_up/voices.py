"""Mean hidden states of made-up speakers: each voice has its offset, and emotions differ in some of the directions."""

import numpy as np

D = 30
CATEGORIES = 4
EMOTIONS = 2.5 * np.random.default_rng(7).standard_normal((CATEGORIES, D)) * (np.arange(D) < 18)


def draw_clips(n_speakers, each=12, *, seed=0, corpus="a", scale=4.0):
    """`each` clips of each category by each speaker.

    Returns:
        A dictionary with "means" (n, D), "label", "speaker" and "corpus" (n,), and the voices (n_speakers, D).
    """
    rng = np.random.default_rng(seed)
    voices = 5 + scale * rng.standard_normal((n_speakers, D))
    speaker = np.repeat(np.arange(n_speakers), CATEGORIES * each)
    label = np.tile(np.repeat(np.arange(CATEGORIES), each), n_speakers)
    means = voices[speaker] + EMOTIONS[label] + rng.standard_normal((len(label), D))
    names = np.array([f"{corpus}{number:02}" for number in speaker])
    return {"means": means, "label": label, "speaker": names, "corpus": np.full(len(label), corpus)}, voices
