"""The network: audio encoder, fusion with the summary embedding, heads; and averages of networks.

Fusions (`ModelConfig.fusion`):
    audio_only: the encoder alone.
    text_only: the summary embedding through an MLP with one hidden layer.
    single_stage: an operator on the pooled map, before the clip embedding's Linear + ReLU.
    single_stage_additive: the projected text added to the clip embedding, directly before the output layer: a sum of a
        function of the audio and one of the text. `operator` is ignored.
    multistage: an operator after each of `stages` (Triantafyllopoulos et al. 2023), followed by dropout.
    late: two unimodal models, averaged (`LateModel`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from emofuse.config import ModelConfig
from emofuse.encoders.speech import load_speech_encoder
from emofuse.labels import DIMENSIONS
from emofuse.models.cnn import CNNS, CnnEncoder, load_panns, mask_frames
from emofuse.models.conditioning import OPERATORS, Add, ConditioningOperator, conditioned_stages
from emofuse.models.ladder import Ladder, LayerMix, TopLayers

_SOFTENING = 3.0  # temperature of the probabilities that weigh prototypes, so that the most probable is not alone


class SerModel(nn.Module):
    """Predicts emotion from voice and words; rows may lack either.

    Args:
        config: any fusion but "late".
        n_categories: number of categories.
        text_dim: size of the summary embedding.
        state_dim: size of a hidden state of the frozen speech encoder; 0 for a CNN.

    Attributes:
        discriminant: linear scores of the categories, which `emofuse.training.run` fits in closed form and which are
            added to the network's in evaluation; None without `config.discriminants`. The network is trained without
            it: it would learn nothing of the voice that the discriminant knows of the training clips.
        prototypes: arousal, valence and dominance of each category (n_categories, 3), whose mean, weighted by the
            categories' probabilities, replaces those of a voice in evaluation; None without
            `config.expected_dimensions`.
        top_layers: trained layers of the speech encoder, initially with the pretrained weights; None without
            `config.fine_tune_layers`.

    Raises:
        EmofuseError: `config.stages` names a stage that the encoder does not have, or `config.fine_tune_layers` asks
            for layers of a speech encoder that is absent.
    """

    prototypes: Tensor | None

    def __init__(self, config: ModelConfig, n_categories: int, text_dim: int, state_dim: int = 0) -> None:
        super().__init__()
        if config.fusion == "late":
            raise ValueError('fusion "late" is two models: use build_model')
        self.config = config
        self.top_layers: TopLayers | None = None
        self.discriminant: LinearScores | None = None
        self.register_buffer("prototypes", None)
        if config.fusion != "audio_only":
            self.absent_text = nn.Parameter(torch.randn(text_dim) * 0.02)
        if config.fusion == "text_only":
            self.mlp = nn.Sequential(nn.Linear(text_dim, config.text_hidden), nn.ReLU(), nn.Dropout(config.dropout))
            self.heads = Heads(config.text_hidden, config.heads, n_categories)
            return
        self.encoder: CnnEncoder | Ladder | LayerMix
        if config.uses_hidden_states:
            kind = Ladder if config.encoder == "ladder" else LayerMix
            n, dim = len(config.layers), config.ladder_dim
            self.encoder = kind(n, state_dim, dim, pooling=config.pooling, input_dropout=config.input_dropout)
        else:
            self.encoder = CNNS[config.encoder](config.width)
        channels = self.encoder.channels
        self.absent_audio = nn.Parameter(torch.randn(channels[-1], 1, 1) * 0.02)
        operator = OPERATORS[config.operator]
        self.operators = nn.ModuleDict()
        if config.fusion == "multistage":
            for stage in conditioned_stages(config.stages, len(channels)):
                self.operators[str(stage)] = operator(text_dim, channels[stage - 1])
        elif config.fusion == "single_stage":
            self.operators["pooled"] = operator(text_dim, self.encoder.pooled_dim)
        elif config.fusion == "single_stage_additive":
            self.project = Add(text_dim, self.encoder.embedding_dim)
        self.dropout = (nn.Dropout2d if config.channel_dropout else nn.Dropout)(config.dropout)
        self.heads = Heads(self.encoder.embedding_dim, config.heads, n_categories)
        if config.expected_dimensions:
            self.prototypes = torch.zeros(n_categories, len(DIMENSIONS))
        if config.discriminants:
            self.discriminant = LinearScores(len(config.layers) * state_dim, n_categories)
        if config.fine_tune_layers:  # last, so that all other initial weights are the same with and without
            encoder = load_speech_encoder(config.speech_encoder)
            self.top_layers = TopLayers(encoder, layers=config.layers, frozen=config.frozen_layers)

    @property
    def reads_text_without_audio(self) -> bool:
        """Whether the model can predict from text without audio.

        False for audio_only, and for multistage if the last stage is not conditioned.
        """
        if self.config.fusion == "multistage":
            return str(len(self.encoder.channels)) in self.operators
        return self.config.fusion != "audio_only"

    @property
    def conditioned(self) -> dict[str, ConditioningOperator]:
        """Operators by position: stages "1".., "pooled" (the pooled map), "embedding"; empty for unimodal models."""
        if self.config.fusion == "single_stage_additive":
            return {"embedding": self.project}
        return {} if self.config.fusion == "text_only" else dict(self.operators.items())  # type: ignore[arg-type]

    def condition(self, stage: str, x: Tensor, text: Tensor, valid: Tensor | None = None) -> Tensor:
        """Condition x on the text at one position of `conditioned`; frames beyond the valid ones are zero."""
        return mask_frames(self.conditioned[stage](x, text), valid)

    def forward(
        self, frames: Tensor, n_frames: Tensor, text: Tensor, has_audio: Tensor, has_text: Tensor
    ) -> dict[str, Tensor]:
        """Predict a batch.

        Args:
            frames: input of the encoder: (batch, frames, 64) log-Mel in dB for a CNN, or (batch, steps, layers *
                state_dim) hidden states of `config.frozen_layers` (12.5 per second, or 50 with
                `config.fine_tune_layers`). Ignored beyond a row's n_frames and in rows without audio.
            n_frames: (batch,) int64, valid frames of each row.
            text: (batch, text_dim) summary embeddings; ignored in rows without text.
            has_audio: (batch,) bool.
            has_text: (batch,) bool.

        Returns:
            "logits" (batch, n_categories) if that head is on, "dimensions" (batch, 3) in 0..1 if that head is on.
        """
        fusion = self.config.fusion
        if fusion != "audio_only":
            text = self.prepare_text(text, has_text)
        if fusion == "text_only":
            return self.heads(self.mlp(text))
        x, valid = self._last_map(frames, n_frames, text, has_audio)
        pooled = self.encoder.pool(x, valid)  # (batch, channels)
        if fusion == "single_stage":
            pooled = self.condition("pooled", pooled, text)
        embedding = self.encoder.embed(pooled)
        if fusion == "single_stage_additive":
            embedding = self.condition("embedding", embedding, text)
        outputs = self.heads(embedding)
        if self.training:
            return outputs
        if self.discriminant is not None:
            scores = self.config.discriminant_weight * self.discriminant(frames, n_frames)
            outputs["logits"] = outputs["logits"].log_softmax(dim=1) + torch.where(has_audio[:, None], scores, 0.0)
        if self.prototypes is not None:
            expected = (outputs["logits"] / _SOFTENING).softmax(dim=1) @ self.prototypes
            share = has_audio.float() if fusion == "audio_only" else has_audio * torch.where(has_text, 0.5, 1.0)
            outputs["dimensions"] = torch.lerp(outputs["dimensions"], expected, share.unsqueeze(1))
        return outputs

    def prepare_text(self, text: Tensor, has_text: Tensor) -> Tensor:
        """Normalise text embeddings, and use the learned embedding where the text is missing."""
        if self.config.text_norm == "layer":
            text = functional.layer_norm(text, text.shape[1:])
        text = functional.dropout(text, self.config.text_dropout, self.training)
        return torch.where(has_text.unsqueeze(1), text, self.absent_text)

    def _last_map(
        self, frames: Tensor, n_frames: Tensor, text: Tensor, has_audio: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Run the encoder: the last stage's map (batch, channels, frames, mels), and its n_frames (None: all valid)."""
        last = len(self.encoder.channels)
        # Shapes may depend on the data in training only, not in the exported graph.
        gaps = self.training and not bool(has_audio.all())
        if gaps and not bool(has_audio.any()):
            absent = self.absent_audio.expand(len(has_audio), -1, -1, -1)
            return self._condition(last, absent, None, text), None
        rows = has_audio.nonzero().squeeze(1) if gaps else slice(None)
        full = self.training and bool((n_frames[rows] == frames.shape[1]).all())
        words = text[rows]
        audio, valid = frames[rows], None if full else n_frames[rows]
        if self.top_layers is not None:
            audio, valid = self.top_layers(audio, valid)
        x, valid = self.encoder.run_stages(
            audio, valid, lambda stage, x, valid: self._condition(stage, x, valid, words)
        )
        if gaps:
            back = (has_audio.cumsum(0) - 1).clamp(min=0)
            x, valid = x[back], None if valid is None else valid[back]
        x = torch.where(has_audio[:, None, None, None], x, self.absent_audio.to(x.dtype))
        return self._condition(last, mask_frames(x, valid), valid, text), valid

    def _condition(self, stage: int, x: Tensor, valid: Tensor | None, text: Tensor) -> Tensor:
        if str(stage) in self.operators:
            x = self.condition(str(stage), x, text, valid)
        return self.dropout(x)


class LinearScores(nn.Module):
    """Scores of categories that are linear in the mean hidden state of a clip: a discriminant that was fitted.

    Its values are buffers, zeros until `fill`.

    Args:
        width: size of a hidden state.
        n_categories: number of categories.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, width: int, n_categories: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(width, n_categories))
        self.register_buffer("bias", torch.zeros(n_categories))

    def fill(self, centre: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> None:
        """Take over a discriminant with the scores (mean - centre) @ weight + bias."""
        self.weight.copy_(torch.from_numpy(weight))
        self.bias.copy_(torch.from_numpy(bias - centre @ weight))

    def forward(self, frames: Tensor, n_frames: Tensor) -> Tensor:
        """Map hidden states (batch, steps, width), of which n_frames (batch,) are valid, to (batch, n_categories)."""
        n = n_frames.clamp(min=1).unsqueeze(1)
        valid = (torch.arange(frames.shape[1], device=frames.device) < n).unsqueeze(2)
        mean = frames.float().masked_fill(~valid, 0.0).sum(dim=1) / n
        # Not a matrix product, which mixed precision would round: its terms nearly cancel with the bias.
        return (mean.unsqueeze(2) * self.weight).sum(dim=1) + self.bias


class Heads(nn.Module):
    """One linear layer for each of `heads` ("categories", "dimensions"), with float32 output."""

    def __init__(self, in_dim: int, heads: Sequence[str], n_categories: int) -> None:
        super().__init__()
        self.categories = nn.Linear(in_dim, n_categories) if "categories" in heads else None
        self.dimensions = nn.Linear(in_dim, 3) if "dimensions" in heads else None

    def forward(self, embedding: Tensor) -> dict[str, Tensor]:
        """Map embeddings (batch, in_dim) to "logits" (batch, n_categories) and/or "dimensions" (batch, 3) in 0..1."""
        outputs = {}
        if self.categories is not None:
            outputs["logits"] = self.categories(embedding).float()
        if self.dimensions is not None:
            outputs["dimensions"] = self.dimensions(embedding).float().sigmoid()
        return outputs


def build_model(
    config: ModelConfig, n_categories: int, text_dim: int, state_dim: int = 0, *, pretrained: bool = False
) -> SerModel | Ensemble | LateModel:
    """Build the model of a recipe.

    Args:
        config: the recipe's model section.
        n_categories: number of categories.
        text_dim: size of the summary embedding.
        state_dim: size of a hidden state of the frozen speech encoder; 0 for a CNN.
        pretrained: whether to load `config.pretrained`, for a new run.

    Raises:
        EmofuseError: the checkpoint cannot be used, or a conditioned stage does not exist.
    """
    if config.fusion == "late":
        audio, text = (
            build_model(
                config.model_copy(update={"fusion": fusion}), n_categories, text_dim, state_dim, pretrained=load
            )
            for fusion, load in (("audio_only", pretrained), ("text_only", False))
        )
        return LateModel(audio, text)
    members = [SerModel(config, n_categories, text_dim, state_dim) for _ in range(config.members)]
    if pretrained and config.pretrained is not None and config.fusion != "text_only":
        for member in members:
            load_panns(member.encoder, config.pretrained)  # type: ignore[arg-type] # the recipe checks that it is a CNN
    return Ensemble(members) if len(members) > 1 else members[0]


class LateModel(nn.Module):
    """Late fusion: the average of the predictions of two unimodal models; a row with one modality gets that model's.

    Args:
        audio: `SerModel` with fusion "audio_only".
        text: `SerModel` with fusion "text_only".
        weight: weight of the audio model in 0..1, a buffer; change it with `set_weight`.
    """

    weight: Tensor
    reads_text_without_audio = True

    def __init__(self, audio: nn.Module, text: nn.Module, weight: float = 0.5) -> None:
        super().__init__()
        self.audio, self.text = audio, text
        self.register_buffer("weight", torch.tensor(weight))

    def set_weight(self, weight: float) -> None:
        """Set the weight of the audio model."""
        self.weight.fill_(weight)

    def forward(
        self, frames: Tensor, n_frames: Tensor, text: Tensor, has_audio: Tensor, has_text: Tensor
    ) -> dict[str, Tensor]:
        """Predict as `SerModel.forward`; "logits" are logarithms of averaged probabilities."""
        predictions = [model(frames, n_frames, text, has_audio, has_text) for model in (self.audio, self.text)]
        share = torch.where(has_audio & has_text, self.weight, has_audio.to(self.weight.dtype)).unsqueeze(1)
        return _averaged(predictions, lambda audio, text: share * audio + (1 - share) * text)


class Ensemble(nn.Module):
    """The average of networks of one recipe with different initial weights, which reduces the effect of the seed.

    Each network is trained separately (Lakshminarayanan, Pritzel & Blundell 2017, "Simple and scalable predictive
    uncertainty estimation using deep ensembles").

    Args:
        members: networks with the same inputs and outputs.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    @property
    def reads_text_without_audio(self) -> bool:
        """Whether the model can predict from text without audio."""
        return bool(self.members[0].reads_text_without_audio)

    def forward(
        self, frames: Tensor, n_frames: Tensor, text: Tensor, has_audio: Tensor, has_text: Tensor
    ) -> dict[str, Tensor]:
        """Predict as `SerModel.forward`; "logits" are logarithms of averaged probabilities."""
        predictions = [member(frames, n_frames, text, has_audio, has_text) for member in self.members]
        return _averaged(predictions, lambda *outputs: torch.stack(outputs).mean(dim=0))


def _averaged(predictions: list[dict[str, Tensor]], average: Callable[..., Tensor]) -> dict[str, Tensor]:
    """Average each output of several networks; the logits as probabilities, without the logarithm of 0."""
    outputs = {}
    if "logits" in predictions[0]:
        posterior = average(*(p["logits"].softmax(dim=1) for p in predictions))
        outputs["logits"] = posterior.clamp(min=torch.finfo(posterior.dtype).tiny).log()
    if "dimensions" in predictions[0]:
        outputs["dimensions"] = average(*(p["dimensions"] for p in predictions))
    return outputs
