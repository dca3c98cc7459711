"""What shifts all hidden states of a clip alike: the speaker, the room, the line; taken away or swapped in training.

A voice, its room and its line move the states of a clip by much the same at every step. So a model learns to do
without a speaker's offset by training on clips without it, or with that of another; and learns to stand rooms and lines
by training on clips moved as the change of a room moved some other clip. It costs one addition: no audio is read again.
Where more audio of a speaker is at hand, `emofuse.models.adapter` estimates the offset and takes it away.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch


class Offsets:
    """Random changes of a clip's offset.

    Args:
        means: float32 (copies, rows, width), mean over time of each row's states: first of the clip as it is, then of
            its varied copies (`rooms.vary`); NaN in rows without audio.
        speakers: of each row; None where not known.
        centre: chance that a clip is left without its speaker's offset, the mean of the speaker's clips less that of
            all clips.
        swap: chance that it gets the offset of another speaker instead, at 0 to 1.5 times its size.
        borrow: chance that it is moved, moreover, as varying moved some other clip, at 0 to 1 times that.
    """

    def __init__(
        self,
        means: np.ndarray,
        speakers: Sequence[str | None],
        *,
        centre: float = 0.0,
        swap: float = 0.0,
        borrow: float = 0.0,
    ):
        self.centre, self.swap, self.borrow = centre, swap, borrow
        self._there = np.flatnonzero(~np.isnan(means[0, :, 0]))
        self._means = means
        self._speaker, self._offsets = speaker_offsets(means[0], speakers)

    def change(self, row: int, generator: torch.Generator) -> np.ndarray:
        """What to add to each of the frames of a clip, (width,)."""
        draw, size, other, share, clip, copy, strength = torch.rand(7, generator=generator).tolist()
        change = np.zeros(self._means.shape[2], np.float32)
        speaker = self._speaker[row]
        if speaker >= 0 and draw < self.centre + self.swap:
            change -= self._offsets[speaker]
            if draw >= self.centre:
                others = len(self._offsets) - 1
                change += 1.5 * size * self._offsets[(speaker + 1 + int(other * others)) % (others + 1)]
        copies = len(self._means) - 1
        if copies and share < self.borrow:
            lender = self._there[int(clip * len(self._there))]
            change += strength * (self._means[1 + int(copy * copies), lender] - self._means[0, lender])
        return change


def speaker_offsets(means: np.ndarray, speakers: Sequence[str | None]) -> tuple[np.ndarray, np.ndarray]:
    """Mean of each speaker's clips, less the mean of all clips.

    Args:
        means: (rows, width), NaN in rows without audio.
        speakers: of each row; None where not known.

    Returns:
        The number of each row's speaker (rows,), -1 where it is not known or none of its clips is there; and the
        offsets (speakers, width).
    """
    there = ~np.isnan(means[:, 0])
    names = [s if isinstance(s, str) and has else None for s, has in zip(speakers, there, strict=True)]
    number = {name: i for i, name in enumerate(sorted({name for name in names if name is not None}))}
    speaker = np.array([-1 if name is None else number[name] for name in names])
    overall = means[there].mean(axis=0) if there.any() else np.zeros(means.shape[1], means.dtype)
    offsets = [means[speaker == i].mean(axis=0) - overall for i in range(len(number))]
    return speaker, np.array(offsets, means.dtype).reshape(len(offsets), means.shape[1])
