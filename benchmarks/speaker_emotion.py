"""Learn the directions in which a person's speaker embeddings vary most, and write the file of the package.

    python benchmarks/speaker_emotion.py --data FOLDER [--output emotion.npz]

They are eigenvectors of the covariance within speakers, averaged over the odd actors of RAVDESS (60 utterances each)
and the speakers of nEMO (120 each). Both are acted, with the same sentences in all emotions, so that these directions
are mainly those of emotion; both are also corpora of the default model. Two directions were best among 1 to 16 in
conversations of RAVDESS when learnt on nEMO, and the reverse.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from conversations import cut_to_speech, load_voices

from emofuse.audio import SAMPLE_RATE, read_audio
from emofuse.encoders.speaker import EMOTION_DIRECTIONS, SpeakerEncoder
from emofuse.files import sha256

UTTERANCES = {"nemo": 120, "ravdess-odd": 60}  # of each speaker
COUNT = 2  # directions
_SHORTEST = 0.6  # seconds of speech


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="holds the corpora")
    parser.add_argument("--output", type=Path, default=EMOTION_DIRECTIONS)
    options = parser.parse_args()
    speakers = [embeddings for name in UTTERANCES for embeddings in embeddings_of(options.data, name)]
    np.savez(options.output, directions=emotion_directions(speakers))
    print(options.output, sha256(options.output))


def embeddings_of(data: Path, name: str) -> list[np.ndarray]:
    """Embeddings of each speaker's utterances, (utterances, 256) each."""
    encoder = SpeakerEncoder()
    encoder.emotion = encoder.emotion[:0]
    rng = np.random.default_rng(0)
    speakers = []
    for utterances in load_voices(data, name).values():
        chosen = [utterances[i] for i in rng.permutation(len(utterances))[: UTTERANCES[name]]]
        clips = [cut_to_speech(read_audio(one.file)).astype(np.float32) for one in chosen]
        speakers.append(encoder.embed([clip for clip in clips if len(clip) >= _SHORTEST * SAMPLE_RATE]))
    return speakers


def emotion_directions(speakers: list[np.ndarray]) -> np.ndarray:
    """The eigenvectors of the mean covariance within speakers that have the largest eigenvalues: float32 (2, 256)."""
    within = np.mean([np.cov(embeddings.T.astype(np.float64)) for embeddings in speakers], axis=0)
    return np.linalg.eigh(within)[1][:, -COUNT:].T.astype(np.float32)


if __name__ == "__main__":
    main()
