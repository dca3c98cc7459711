"""Many runs under stress at once: what a condition makes of an utterance is heard and read once for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from emofuse.audio import AudioError, FrontEnd, log_mel
from emofuse.data.utterances import bucketed_batches
from emofuse.encoders.speech import pool_time
from emofuse.files import cache_dir, hash_of
from emofuse.inference.network import Answer
from emofuse.labels import DIMENSIONS
from emofuse.stress.conditions import Utterance
from emofuse.stress.systems import checked
from emofuse.training.run import LoadedRun, load_run

BATCH = 32
_SHORTEST = 16  # frames of zeros in the place of audio; networks do not look at them
_KEPT = 128  # changed clips whose frames are kept: more than all conditions make of one utterance
_NO_STATES = "log-Mel"


class RunSystem:
    """A run that answers in PyTorch, to many utterances at a time; texts are those that its recipe reads.

    Unlike a bundle it is given whatever language its recipe is, so that it is tested as the run was.

    Args:
        run: as loaded.
        hearing: of this and other runs.
        reading: of this and other runs.
    """

    def __init__(self, run: LoadedRun, hearing: Hearing, reading: Reading):
        heads = run.recipe.model.heads
        self.labels: Sequence[str] = run.labels if "categories" in heads else []
        self.dimensions: Sequence[str] = DIMENSIONS if "dimensions" in heads else []
        self.reads: Sequence[str] = run.reads
        self._run, self._hearing, self._reading = run, hearing, reading

    def knows(self, utterance: Utterance) -> bool:
        """Whether the recipe reads the utterance's language; an unknown one it reads, too."""
        languages = self._run.recipe.text.languages
        return languages is None or utterance.language is None or utterance.language in languages

    @torch.inference_mode()
    def answers(self, utterances: Sequence[Utterance]) -> list[Answer | None]:
        """As `System.answers`."""
        frames = [self._hearing.frames(one.samples, self._run) if "audio" in self.reads else None for one in utterances]
        texts = self._texts(utterances)
        alone = bool(self._run.model.reads_text_without_audio)
        silent = ["audio" in self.reads and one.samples is not None for one in utterances]  # where it has no frames
        able = [
            i
            for i in range(len(utterances))
            if frames[i] is not None or (not silent[i] and alone and texts[i] is not None)
        ]
        found: list[Answer | None] = [None] * len(utterances)
        lengths = np.array([0 if frames[i] is None else len(frames[i]) for i in able])  # type: ignore[arg-type]
        for batch in bucketed_batches(lengths, BATCH):
            rows = [able[i] for i in batch]
            answers = self._answers([frames[i] for i in rows], [texts[i] for i in rows])
            for row, answer in zip(rows, answers, strict=True):
                found[row] = answer
        return found

    def _texts(self, utterances: Sequence[Utterance]) -> list[np.ndarray | None]:
        """Summary embedding of each; None where there is no text that it reads."""
        if self._run.text_encoder is None:
            return [None] * len(utterances)
        texts = [one.text if one.text and self.knows(one) else None for one in utterances]
        return self._reading.embeddings(texts, self._run)

    def _answers(self, frames: Sequence[np.ndarray | None], texts: Sequence[np.ndarray | None]) -> list[Answer]:
        width = self._hearing.width(self._run)
        longest = max(_SHORTEST if clip is None else len(clip) for clip in frames)
        heard = torch.zeros(len(frames), longest, width)
        read = torch.zeros(len(frames), self._run.text_encoder["dim"] if self._run.text_encoder else 1)
        for i, (clip, text) in enumerate(zip(frames, texts, strict=True)):
            if clip is not None:
                heard[i, : len(clip)] = torch.from_numpy(clip)
            if text is not None:
                read[i] = torch.from_numpy(np.array(text))
        out = self._run.model(
            heard,
            torch.tensor([0 if clip is None else len(clip) for clip in frames]),
            read,
            torch.tensor([clip is not None for clip in frames]),
            torch.tensor([text is not None for text in texts]),
        )
        nothing = np.zeros((len(frames), 0), np.float32)
        probabilities = out["logits"].float().softmax(dim=1).numpy() if "logits" in out else nothing
        dimensions = out["dimensions"].float().numpy() if "dimensions" in out else nothing
        return [Answer(*both, None) for both in zip(probabilities, dimensions, strict=True)]


def systems_of(runs: Mapping[str, Path]) -> dict[str, RunSystem]:
    """Runs by name, all with the same ears and eyes.

    Raises:
        EmofuseError: a folder is no finished run, or an encoder is no longer the one that it was trained with.
    """
    loaded = {name: load_run(folder) for name, folder in runs.items()}
    hearing, reading = Hearing(loaded.values()), Reading()
    return {name: RunSystem(run, hearing, reading) for name, run in loaded.items()}


class Hearing:
    """The frames of clips for runs: of each clip computed once, for all runs.

    Args:
        runs: those that will ask.
    """

    def __init__(self, runs: Any):
        self._front_end = FrontEnd()
        self._wanted = {_ears(run): run.speech_encoder for run in runs if "audio" in run.reads}
        self._encoders: dict[str, Any] = {}
        self._kept: dict[int, tuple[np.ndarray, dict[str, np.ndarray] | None]] = {}

    def width(self, run: LoadedRun) -> int:
        """Values of a frame of a run."""
        facts = run.speech_encoder
        return len(facts["layers"]) * facts["dim"] if facts else self._front_end.n_mels

    def frames(self, samples: np.ndarray | None, run: LoadedRun) -> np.ndarray | None:
        """Float32 (frames, width), as a bundle of the run computes them; None for nothing or a clip that it refuses.

        Raises:
            EmofuseError: the speech encoder is absent, or not the one that the run was trained with.
        """
        if samples is None:
            return None
        known = self._kept.get(id(samples))
        if known is None or known[0] is not samples:  # the clip is kept, so that no other has its id
            if len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
            known = self._kept[id(samples)] = samples, self._all(samples)
        return None if known[1] is None else known[1][_ears(run)]

    def _all(self, samples: np.ndarray) -> dict[str, np.ndarray] | None:
        try:
            samples = checked(samples)
        except AudioError:  # silent or too short now
            return None
        states: dict[str, np.ndarray] = {}
        found = {}
        for ears, facts in self._wanted.items():
            if facts is None:
                found[ears] = log_mel(samples, self._front_end)
                continue
            if facts["weights_hash"] not in states:
                states[facts["weights_hash"]] = self._encoder(facts).hidden_states(samples).float().numpy()
            own = pool_time(states[facts["weights_hash"]][facts["layers"]], facts["pool"])  # (layers, steps, dim)
            found[ears] = own.transpose(1, 0, 2).reshape(own.shape[1], -1).astype(np.float32)
        return found

    def _encoder(self, facts: dict[str, Any]) -> Any:
        from emofuse.encoders import speech as whisper

        if facts["weights_hash"] not in self._encoders:
            encoder = whisper.load_speech_encoder(facts["name"])
            whisper.require_speech_encoder(encoder, facts, "the runs")
            self._encoders[facts["weights_hash"]] = encoder
        return self._encoders[facts["weights_hash"]]


class Reading:
    """The summary embeddings of texts for runs: of each text computed once, and kept in the cache."""

    def __init__(self) -> None:
        self._encoders: dict[str, Any] = {}
        self._known: dict[tuple[str, str], np.ndarray] = {}

    def embeddings(self, texts: Sequence[str | None], run: LoadedRun) -> list[np.ndarray | None]:
        """One (dim,) a text; None for None.

        Raises:
            EmofuseError: the text encoder is absent, or not the one that the run was trained with.
        """
        assert run.text_encoder is not None
        eyes = hash_of(run.text_encoder)
        new = list(dict.fromkeys(text for text in texts if text and (eyes, text) not in self._known))
        if new:
            found = self._encoder(eyes, run).encode(new)
            self._known |= {(eyes, text): vector for text, vector in zip(new, found, strict=True)}
        return [self._known[eyes, text] if text else None for text in texts]

    def _encoder(self, eyes: str, run: LoadedRun) -> Any:
        from emofuse.encoders import text as text
        from emofuse.encoders.text_onnx import require_text_encoder

        if eyes not in self._encoders:
            config = run.recipe.text
            encoder = text.load_text_encoder(config.encoder, config.pooling)
            require_text_encoder(encoder, run.text_encoder or {}, f"run {run.recipe.name!r}")
            self._encoders[eyes] = text.CachedTextEncoder(encoder, cache_dir() / "text")
        return self._encoders[eyes]


def _ears(run: LoadedRun) -> str:
    """What makes the frames of a run."""
    return hash_of(run.speech_encoder) if run.speech_encoder else _NO_STATES
