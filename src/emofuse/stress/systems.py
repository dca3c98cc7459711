"""What a stress test asks: a system answers to utterances, whether it is a bundle or a run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np

from emofuse.audio import AudioError, check_samples
from emofuse.inference.bundle import Bundle
from emofuse.inference.network import Answer, Network
from emofuse.stress.conditions import Utterance


class System(Protocol):
    """What is stressed.

    Attributes:
        labels: categories in the order of the answers; empty without that head.
        dimensions: names of the dimensions; empty without that head.
        reads: modalities that it takes: "audio", "text" or both.
    """

    @property
    def labels(self) -> Sequence[str]: ...  # noqa: D102

    @property
    def dimensions(self) -> Sequence[str]: ...  # noqa: D102

    @property
    def reads(self) -> Sequence[str]: ...  # noqa: D102

    def knows(self, utterance: Utterance) -> bool:
        """Whether it reads the utterance's language; an unknown one it is given, too."""
        ...

    def answers(self, utterances: Sequence[Utterance]) -> list[Answer | None]:
        """The answer to each; None where it can do nothing with what there is, as where a clip has become silent."""
        ...


class BundleSystem:
    """A bundle, which hears and answers as `emofuse predict` does, one utterance at a time.

    Args:
        bundle: the model.
        threads: of each of its networks.
    """

    def __init__(self, bundle: Bundle, threads: int = 1):
        self.labels: Sequence[str] = bundle.labels
        self.dimensions: Sequence[str] = bundle.dimensions
        self.reads: Sequence[str] = bundle.reads
        self._bundle = bundle
        self._network = Network(bundle, threads)
        self._embedding = lru_cache(maxsize=4096)(self._network.embedding)

    def knows(self, utterance: Utterance) -> bool:
        """Whether it reads the utterance's language; an unknown one it is given, too."""
        return utterance.language is None or utterance.language in self._bundle.text_languages

    def answers(self, utterances: Sequence[Utterance]) -> list[Answer | None]:
        """As `System.answers`; samples that utterances share are heard once."""
        heard: dict[int, np.ndarray | None] = {}
        found: list[Answer | None] = []
        for utterance in utterances:
            samples = utterance.samples if "audio" in self.reads else None
            try:
                if samples is not None and id(samples) not in heard:
                    heard[id(samples)] = self._network.frames(checked(samples))
                found.append(self._answer(None if samples is None else heard[id(samples)], utterance))
            except AudioError:  # silent or too short now
                found.append(None)
        return found

    def _answer(self, frames: np.ndarray | None, utterance: Utterance) -> Answer | None:
        text = utterance.text if "text" in self.reads and self.knows(utterance) else None
        if frames is None and not (text and self._bundle.reads_text_alone):
            return None
        return self._network.answer(frames, self._embedding(text) if text else None)


def checked(samples: np.ndarray) -> np.ndarray:
    """Samples as a front end takes them.

    Raises:
        AudioError: what `check_samples` refuses.
    """
    samples = np.ascontiguousarray(samples, np.float32)
    check_samples(samples, "stressed samples")
    return samples
