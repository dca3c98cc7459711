"""CNN6, CNN10 and CNN14, and the log-Mel spectrograms that they read.

Architecture and parameter names follow PANNs (Kong et al. 2020, "PANNs: Large-Scale Pretrained Audio Neural Networks
for Audio Pattern Recognition", https://arxiv.org/abs/1912.10211), so that its checkpoints load. A stage is a
convolutional block.

Frames beyond a row's `n_frames` are set to zero after every layer, like the padding of the convolutions, so that a clip
gets the same prediction alone and in a padded batch. (In training, the BatchNorm statistics of the blocks include
padded positions; those of the input do not.) `n_frames = None` means that all rows have full length, which saves the
masking.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from emofuse.audio import FrontEnd, hann_window, mel_filter_bank
from emofuse.errors import EmofuseError

N_MELS = 64

Act = Callable[[int, Tensor, Tensor | None], Tensor]
"""Modifies a stage: maps its number (from 1), its map (batch, channels, frames, mels) and n_frames to a new map."""


class ConvBlock(nn.Module):
    """`n_convs` of [convolution with an odd square kernel, BatchNorm, ReLU], then a 2x2 average pool if `pool`."""

    def __init__(self, in_channels: int, out_channels: int, *, kernel: int, n_convs: int, pool: bool) -> None:
        super().__init__()
        self.n_convs, self.pool = n_convs, pool
        for i in range(1, n_convs + 1):
            conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
            nn.init.xavier_uniform_(conv.weight)
            self.add_module(f"conv{i}", conv)
            self.add_module(f"bn{i}", nn.BatchNorm2d(out_channels))
            in_channels = out_channels

    def forward(self, x: Tensor, n_frames: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Map (batch, in_channels, frames, mels) to (batch, out_channels, frames // 2, mels // 2), and its n_frames."""
        for i in range(1, self.n_convs + 1):
            x = self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(x))
            # Masked in place before the ReLU, whose backward pass needs its output unchanged.
            x = mask_frames(x, n_frames, in_place=True).relu_()
        if not self.pool:
            return x, n_frames
        n_frames = None if n_frames is None else n_frames // 2
        return mask_frames(functional.avg_pool2d(x, 2), n_frames), n_frames


class CnnEncoder(nn.Module):
    """The audio encoder: input normalisation, blocks, pooling, clip embedding.

    Use one of `CNNS`. The callback `act` can condition stages on text::

        x, n_frames = encoder.run_stages(log_mel, n_frames, act)
        embedding = encoder.embed(encoder.pool(x, n_frames))

    Attributes:
        channels: channels of each stage.
        pooled_dim: size of the pooled map.
        min_frames: shorter clips are padded with zeros (the mean, after the input's BatchNorm).
        embedding_dim: size of the clip embedding, which equals the last stage's channels.
    """

    def __init__(self, n_blocks: int, width: float = 1.0, *, kernel: int, n_convs: int, n_pools: int) -> None:
        super().__init__()
        self.channels = tuple(max(1, round(64 * width * 2**i)) for i in range(n_blocks))
        self.min_frames = 2**n_pools
        self.embedding_dim = self.pooled_dim = self.channels[-1]
        # PANNs uses BatchNorm2d, which is equivalent over (frames, mels) and has the same parameters.
        self.bn0 = nn.BatchNorm1d(N_MELS)
        for i, (before, after) in enumerate(zip((1, *self.channels), self.channels, strict=False)):
            block = ConvBlock(before, after, kernel=kernel, n_convs=n_convs, pool=i < n_pools)
            self.add_module(f"conv_block{i + 1}", block)
        self.fc1 = nn.Linear(self.embedding_dim, self.embedding_dim)
        nn.init.xavier_uniform_(self.fc1.weight)
        nn.init.zeros_(self.fc1.bias)

    @property
    def blocks(self) -> list[nn.Module]:
        """The stages in order."""
        return [self.get_submodule(f"conv_block{i}") for i in range(1, len(self.channels) + 1)]

    def start(self, log_mel: Tensor, n_frames: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Normalise each mel band and pad short clips.

        Args:
            log_mel: (batch, frames, 64) in dB; frames beyond a row's n_frames are ignored.
            n_frames: (batch,) int64 valid frames of each row, or None if all are valid.

        Returns:
            The map (batch, 1, frames, 64) with at least `min_frames` frames, and its n_frames.
        """
        if n_frames is not None and self.training:
            valid = valid_frames(log_mel.shape[1], n_frames)
            x = log_mel.new_zeros(log_mel.shape)
            x[valid] = self.bn0(log_mel[valid])
        else:
            x = self.bn0(log_mel.flatten(0, 1)).unflatten(0, log_mel.shape[:2])
        x = mask_frames(x.unsqueeze(1), n_frames)  # (batch, 1, frames, mels)
        missing = torch.sym_max(self.min_frames - log_mel.shape[1], 0)
        x = functional.pad(x, (0, 0, 0, missing))
        return x, None if n_frames is None else n_frames.clamp(min=self.min_frames)

    def run_stages(self, log_mel: Tensor, n_frames: Tensor | None, act: Act) -> tuple[Tensor, Tensor | None]:
        """Run all stages on the arguments of `start`; `act` is applied to the map of every stage except the last.

        Returns:
            The map of the last stage (batch, channels, frames, mels), and its n_frames.
        """
        x, valid = self.start(log_mel, n_frames)
        *blocks, last_block = self.blocks
        for stage, block in enumerate(blocks, start=1):
            x, valid = block(x, valid)
            x = act(stage, x, valid)
        return last_block(x, valid)

    def pool(self, x: Tensor, n_frames: Tensor | None) -> Tensor:
        """Pool a map (batch, channels, frames, mels) to (batch, channels): mean over mel, max plus mean over time.

        Uses valid frames only, and float32 whatever the precision of the map.
        """
        x = x.mean(dim=3, dtype=torch.float32)  # (batch, channels, frames)
        if n_frames is None:
            return x.amax(dim=2) + x.mean(dim=2)
        valid = valid_frames(x.shape[2], n_frames).unsqueeze(1)
        return x.masked_fill(~valid, -torch.inf).amax(dim=2) + x.sum(dim=2) / n_frames.unsqueeze(1)

    def embed(self, pooled: Tensor) -> Tensor:
        """Clip embedding (batch, embedding_dim), never negative, of the pooled map."""
        return self.fc1(pooled).relu()


CNNS = {
    "cnn6": partial(CnnEncoder, 4, kernel=5, n_convs=1, n_pools=4),  # 512 channels at the end, with width 1
    "cnn10": partial(CnnEncoder, 4, kernel=3, n_convs=2, n_pools=4),  # 512
    "cnn14": partial(CnnEncoder, 6, kernel=3, n_convs=2, n_pools=5),  # 2048; no pool after the last block
}


def mask_frames(x: Tensor, n_frames: Tensor | None, *, in_place: bool = False) -> Tensor:
    """Set frames of a map (batch, channels, frames, mels) beyond n_frames (batch,) to zero; None: all are valid."""
    if n_frames is None:
        return x
    mask = ~valid_frames(x.shape[2], n_frames)[:, None, :, None]
    return x.masked_fill_(mask, 0.0) if in_place else x.masked_fill(mask, 0.0)


def load_panns(encoder: CnnEncoder, path: Path | str) -> None:
    """Load the weights of a PANNs checkpoint of the same architecture at width 1 into `encoder`.

    The checkpoint's front end and AudioSet output layer are ignored.

    Raises:
        EmofuseError: the file is missing, is not a checkpoint, or is the checkpoint of another model.
    """
    state = _read_panns(path)
    expected = encoder.state_dict()
    for name, value in expected.items():
        if name not in state:
            raise EmofuseError(f"{path} has no {name!r}. Give the PANNs checkpoint of the encoder in the recipe.")
        if state[name].shape != value.shape:
            raise EmofuseError(
                f"{path}: {name!r} has shape {tuple(state[name].shape)}, expected {tuple(value.shape)}. "
                "Give the PANNs checkpoint of the encoder in the recipe, with model.width = 1."
            )
    if unknown := sorted(set(state) - set(expected)):
        raise EmofuseError(f"{path}: checkpoint of another model, the recipe's encoder has no {unknown[0]!r}.")
    encoder.load_state_dict(state)


def _read_panns(path: Path | str) -> dict[str, Tensor]:
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise EmofuseError(f"{path}: the checkpoint cannot be read ({error.strerror}).") from error
    except Exception as error:  # torch.load raises many kinds of errors, depending on the bytes
        raise EmofuseError(f"{path} is not a PyTorch checkpoint. Give a PANNs .pth file.") from error
    state = checkpoint.get("model") if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise EmofuseError(
            f'{path} is not a PANNs checkpoint, which has a state dict under "model". Give a PANNs .pth file.'
        )
    ignored = ("spectrogram_extractor.", "logmel_extractor.", "spec_augmenter.", "fc_audioset.")
    return {name: value for name, value in state.items() if not name.startswith(ignored)}


def valid_frames(frames: int, n_frames: Tensor) -> Tensor:
    """Which of the frames of each row are valid, bool (batch, frames)."""
    return torch.arange(frames, device=n_frames.device) < n_frames.unsqueeze(1)


class LogMel(nn.Module):
    """Log-Mel spectrogram in dB, always in float32, equal to `emofuse.audio.log_mel`.

    Buffers are not in the state dict, because the front end's settings determine them. All clips of a batch must have
    the same length: padding would change the last frames of a clip, at whose end samples are reflected.
    """

    window: Tensor
    bank: Tensor

    def __init__(self, front_end: FrontEnd = FrontEnd()):  # noqa: B008 - frozen
        super().__init__()
        self.front_end = front_end
        self.register_buffer("window", torch.tensor(hann_window(front_end.n_fft)), persistent=False)
        self.register_buffer("bank", torch.tensor(mel_filter_bank(front_end)), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Transform a batch of clips.

        Args:
            samples: (batch, n), full scale -1..1, n > n_fft / 2.

        Returns:
            float32, (batch, frames, n_mels), frames = 1 + n // hop.
        """
        with torch.autocast(samples.device.type, enabled=False):
            spectrum = torch.stft(
                samples.float(),
                self.front_end.n_fft,
                self.front_end.hop,
                window=self.window,
                center=True,
                pad_mode="reflect",
                return_complex=True,
            )  # (batch, bins, frames)
            power = spectrum.real.square() + spectrum.imag.square()
            mel = power.transpose(1, 2) @ self.bank  # (batch, frames, mels)
            return 10 * mel.clamp_min(1e-10).log10()
