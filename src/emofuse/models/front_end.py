"""The log-Mel front end of `emofuse.audio` in PyTorch, for batches and any device."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from emofuse.audio import FrontEnd, hann_window, mel_filter_bank


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
