"""Frozen speech encoders: hidden states of all layers of Whisper, wav2vec2, HuBERT or WavLM.

Whisper's encoder (Radford et al. 2022, arXiv 2212.04356) was trained on 30 s windows; here its positional encodings are
cut to the length of the clip, which takes a tenth of the time on short clips.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import nn

from emofuse import silence
from emofuse.audio import SAMPLE_RATE, WHISPER, WHISPER_SECONDS, whisper_log_mel
from emofuse.console import quiet_loading
from emofuse.encoders.weights import WEIGHTS, find_checkpoint, find_weights
from emofuse.errors import EmofuseError
from emofuse.files import file_hash, hash_of
from emofuse.hardware import full_precision

_TYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)  # by CTranslate2's type numbers

POOL = 4
"""Number of encoder steps that are averaged to one, which leaves 12.5 per second."""


class SpeechEncoder:
    """A frozen speech encoder and its hidden states.

    Attributes:
        name: as given to `load_speech_encoder`.
        weights_hash: SHA-256 of the weights.
        dim: size of a hidden state.
        layers: number of layers with hidden states; layer 0 is the input of the first layer.
        rate: hidden states per second.
        revision: commit of a model of the hub; None if unknown.
    """

    rate = 50.0

    def __init__(self, model: nn.Module, *, name: str, weights_hash: str, revision: str | None = None):
        self.model = model.eval().requires_grad_(False)
        self.name = name
        self.weights_hash = weights_hash
        self.revision = revision
        config: Any = model.config
        self.dim: int = config.hidden_size
        self.layers: int = config.num_hidden_layers + 1

    @property
    def identity(self) -> dict[str, Any]:
        """Facts stored with a trained model: name, weights_hash, dim, and revision if known."""
        identity = {"name": self.name, "weights_hash": self.weights_hash, "dim": self.dim}
        return identity | ({"revision": self.revision} if self.revision else {})

    @property
    def hash(self) -> str:
        """SHA-256 of everything that the hidden states depend on."""
        return hash_of([self.name, self.weights_hash, WHISPER.hash, silence.VERSION])

    @property
    def reads_log_mel(self) -> bool:
        """Whether its input is Whisper's log-Mel spectrogram, not samples."""
        return hasattr(self.model, "embed_positions")

    @torch.inference_mode()
    def hidden_states(self, samples: np.ndarray) -> torch.Tensor:
        """Hidden states of a clip after trimming silence; at most its first 30 s.

        Args:
            samples: float32 (n,), 16 kHz.

        Returns:
            float32 (layers, steps, dim), 50 steps per second.
        """
        samples = silence.trim_silence(samples)[: int(WHISPER_SECONDS * SAMPLE_RATE)]
        clip = whisper_log_mel(samples) if self.reads_log_mel else samples
        device = next(self.model.parameters()).device
        with full_precision():
            return torch.stack(layer_states(self.model, torch.from_numpy(clip).to(device))).cpu()


def load_speech_encoder(name: str) -> SpeechEncoder:
    """Find and load a speech encoder.

    Args:
        name: `whisper-base`, `whisper-tiny.en` (from registry packages), or the folder or hub name, also with a
            revision (`facebook/wav2vec2-base@COMMIT`), of a Whisper, wav2vec2, HuBERT or WavLM checkpoint for
            transformers; see `emofuse.encoders.weights`.

    Raises:
        EmofuseError: the model is missing, cannot be downloaded, has no safetensors, or is of another kind.
    """
    if name in WEIGHTS and name.startswith("whisper-"):
        path = find_weights(name) / "model.bin"
        return SpeechEncoder(_from_ctranslate2(path), name=name, weights_hash=file_hash(path))
    from transformers import AutoModel

    checkpoint = find_checkpoint(name, "speech encoder")
    try:
        with quiet_loading():
            model = AutoModel.from_pretrained(
                checkpoint.folder, local_files_only=True, use_safetensors=True, dtype="float32"
            )
    except (OSError, ValueError, KeyError) as error:
        raise EmofuseError(
            f"speech encoder {name!r}: {str(error).splitlines()[0]} Give the folder of a checkpoint, or whisper-base."
        ) from error
    kind = model.config.model_type
    if kind == "whisper":
        if (bands := model.config.num_mel_bins) != WHISPER.n_mels:
            raise EmofuseError(
                f"speech encoder {name!r}: takes {bands} Mel bands; expected {WHISPER.n_mels} (Whisper up to large-v2)."
            )
        model = model.encoder
    elif kind not in ("wav2vec2", "hubert", "wavlm"):
        raise EmofuseError(f"speech encoder {name!r} is a {kind}; expected whisper, wav2vec2, hubert or wavlm.")
    return SpeechEncoder(model, name=name, weights_hash=checkpoint.weights_hash, revision=checkpoint.revision)


def require_speech_encoder(encoder: SpeechEncoder, identity: Mapping[str, Any], source: str) -> None:
    """Refuse a speech encoder other than the one a model was trained with.

    Args:
        encoder: from `load_speech_encoder`.
        identity: `SpeechEncoder.identity` as stored with the model. For models of the hub, earlier versions stored a
            hash of sums of the parameters, which is accepted too.
        source: name of the trained model for the error message.

    Raises:
        EmofuseError: the weights differ.
    """
    expected = identity["weights_hash"]
    if encoder.weights_hash == expected:
        return
    sums = {key: float(value.double().abs().sum()) for key, value in encoder.model.state_dict().items()}
    if hash_of(sums) != expected:
        raise EmofuseError(
            f"{source} was trained with the speech encoder {identity.get('name')!r} ({expected[:12]}...), but "
            f"{encoder.name!r} has other weights ({encoder.weights_hash[:12]}...). Give the same checkpoint."
        )


def layer_states(model: Any, clip: torch.Tensor) -> list[torch.Tensor]:
    """Hidden states of one clip, (steps, dim) each: the input of the first layer, then the output of each layer.

    `model` is `SpeechEncoder.model`; `clip` is Whisper's log-Mel (80, frames), or samples (n,).
    """
    if hasattr(model, "embed_positions"):
        return _whisper_states(model, clip)
    normal = (clip - clip.mean()) / (clip.std(correction=0) + 1e-7)
    return [states[0] for states in model(normal[None], output_hidden_states=True).hidden_states]


def _whisper_states(encoder: Any, mel: torch.Tensor) -> list[torch.Tensor]:
    """Like transformers' WhisperEncoder, with positional encodings cut to the length of the clip."""
    hidden = nn.functional.gelu(encoder.conv1(mel[None]))
    hidden = nn.functional.gelu(encoder.conv2(hidden)).transpose(1, 2)  # (1, steps, dim)
    hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
    states = [hidden]
    for layer in encoder.layers:
        hidden = layer(hidden, None)
        states.append(hidden)
    states[-1] = encoder.layer_norm(hidden)
    return [state[0] for state in states]


def _from_ctranslate2(path: Path) -> nn.Module:
    """Build transformers' WhisperEncoder with the weights of a CTranslate2 model."""
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    tensors = {name: torch.from_numpy(value) for name, value in read_ctranslate2(path).items()}
    state = {
        **_renamed(tensors, "encoder/conv1", "conv1"),
        **_renamed(tensors, "encoder/conv2", "conv2"),
        **_renamed(tensors, "encoder/layer_norm", "layer_norm"),
        "embed_positions.weight": tensors["encoder/position_encodings/encodings"],
    }
    n_layers = 0
    while f"encoder/layer_{n_layers}/ffn/linear_0/weight" in tensors:
        theirs, ours = f"encoder/layer_{n_layers}", f"layers.{n_layers}"
        fused = {part: tensors[f"{theirs}/self_attention/linear_0/{part}"].chunk(3) for part in ("weight", "bias")}
        for i, name in enumerate(("q_proj", "k_proj", "v_proj")):
            state[f"{ours}.self_attn.{name}.weight"] = fused["weight"][i]
            if name != "k_proj":  # Whisper's keys have no bias; CTranslate2 stores zeros
                state[f"{ours}.self_attn.{name}.bias"] = fused["bias"][i]
        for part, name in {
            "self_attention/linear_1": "self_attn.out_proj",
            "self_attention/layer_norm": "self_attn_layer_norm",
            "ffn/layer_norm": "final_layer_norm",
            "ffn/linear_0": "fc1",
            "ffn/linear_1": "fc2",
        }.items():
            state.update(_renamed(tensors, f"{theirs}/{part}", f"{ours}.{name}"))
        n_layers += 1
    positions, dim = state["embed_positions.weight"].shape
    config = WhisperConfig(
        d_model=dim,
        encoder_layers=n_layers,
        encoder_attention_heads=int(tensors["encoder/num_heads"]),
        encoder_ffn_dim=state["layers.0.fc1.weight"].shape[0],
        num_mel_bins=state["conv1.weight"].shape[1],
        max_source_positions=positions,
    )
    encoder = WhisperEncoder(config)
    encoder.load_state_dict({name: value.float() for name, value in state.items()})
    return encoder


def _renamed(tensors: dict[str, torch.Tensor], theirs: str, ours: str) -> dict[str, torch.Tensor]:
    weight = "gamma" if f"{theirs}/gamma" in tensors else "weight"
    bias = "beta" if f"{theirs}/beta" in tensors else "bias"
    return {f"{ours}.weight": tensors[f"{theirs}/{weight}"], f"{ours}.bias": tensors[f"{theirs}/{bias}"]}


def read_ctranslate2(path: Path) -> dict[str, np.ndarray]:
    """Read the tensors of a CTranslate2 model.bin (binary version 6), by name.

    Raises:
        EmofuseError: the file has another version or is damaged.
    """
    try:
        with path.open("rb") as file:
            (version,) = _unpack(file, "<I")
            if version != 6:
                raise EmofuseError(f"{path}: CTranslate2 binary version {version}; expected 6.")
            _string(file)  # model type
            _, count = _unpack(file, "<II")  # revision
            return dict(_tensor(file) for _ in range(count))
    except (struct.error, ValueError, IndexError, UnicodeDecodeError) as error:
        raise EmofuseError(f"{path}: damaged CTranslate2 model ({error}). Install its package again.") from error


def _tensor(file: BinaryIO) -> tuple[str, np.ndarray]:
    name = _string(file)
    (rank,) = _unpack(file, "<B")
    shape = _unpack(file, f"<{rank}I")
    kind, size = _unpack(file, "<BI")
    return name, np.frombuffer(file.read(size), _TYPES[kind]).reshape(shape).copy()


def _string(file: BinaryIO) -> str:
    (length,) = _unpack(file, "<H")
    return file.read(length).rstrip(b"\0").decode()


def _unpack(file: BinaryIO, form: str) -> tuple[int, ...]:
    return struct.unpack(form, file.read(struct.calcsize(form)))


def pool_time(states: np.ndarray, pool: int) -> np.ndarray:
    """Average every `pool` steps (the last group may have fewer).

    Maps (layers, steps, dim) to (layers, ceil(steps / pool), dim).
    """
    starts = np.arange(0, states.shape[1], pool)
    sums = np.add.reduceat(states, starts, axis=1)
    counts = np.diff(np.append(starts, states.shape[1]))
    return sums / counts[:, None]
