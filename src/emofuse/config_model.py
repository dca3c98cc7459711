"""Sections of a recipe about the model: summary embedding and network."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from emofuse.config_data import Section

Fusion = Literal["audio_only", "text_only", "late", "single_stage", "single_stage_additive", "multistage"]
Operator = Literal["shift", "shift_norm", "shift_narrow", "scale", "film", "gate", "concat"]


class TextConfig(Section):
    """The summary embedding."""

    encoder: str = Field(
        "minilm",
        description="minilm, or the hub name (NAME@REVISION for a commit, branch or tag) or folder of any model of the "
        "BERT family with safetensors.",
    )
    pooling: Literal["mean", "cls"] = Field(
        "mean", description="How the token embeddings become one vector: their mean, or that of the first token (CLS)."
    )
    column: str = Field(
        "text", description="Column of the transcripts: text, or human_text where text comes from speech recognition."
    )
    min_confidence: float = Field(
        0.0, ge=0, le=1, description="Recognised transcripts with a lower confidence count as absent."
    )
    languages: list[str] | None = Field(
        None, description="ISO 639-1 codes; transcripts in other languages count as absent. All are used if not set."
    )


class ModelConfig(Section):
    """The network."""

    removed = {"layer_dropout": (0.0,)}  # noqa: RUF012

    fusion: Fusion = Field(
        "multistage",
        description="How audio and text are combined: not at all (audio_only, text_only), by averaging two unimodal "
        "models (late), or by conditioning the audio encoder on the text, at the clip embedding (single_stage) or at "
        "several stages (multistage). single_stage_additive adds the projected text to the clip embedding.",
    )
    encoder: Literal["cnn6", "cnn10", "cnn14", "ladder", "layer_mix"] = Field(
        "cnn14",
        description="Audio encoder: a CNN on log-Mel spectrograms; or a ladder, or a learned mix, of the layers of a "
        "frozen speech encoder.",
    )
    members: int = Field(
        1,
        ge=1,
        description="Number of networks that start from different weights, are trained separately, and are averaged.",
    )
    width: float = Field(1.0, gt=0, le=2, description="cnn6, cnn10, cnn14: factor on the number of channels.")
    speech_encoder: str = Field(
        "whisper-base",
        description="ladder, layer_mix: whisper-base, whisper-tiny.en, or the hub name (NAME@REVISION for a commit, "
        "branch or tag) or folder of a Whisper, wav2vec2, HuBERT or WavLM checkpoint with safetensors.",
    )
    layers: list[int] = Field(
        [2, 3, 4, 5],
        min_length=1,
        description="ladder, layer_mix: layers of the speech encoder whose hidden states are used; 0 is its input.",
    )
    fine_tune_layers: int = Field(
        0,
        ge=0,
        description="ladder, layer_mix: number of layers of the speech encoder that are trained too, from the highest "
        "of `layers` down.",
    )
    ladder_dim: int = Field(128, ge=1, description="ladder, layer_mix: number of channels.")
    input_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="ladder, layer_mix: probability of leaving a value of the hidden states out, at all steps of a "
        "clip, in training.",
    )
    pooling: Literal["mean", "mean_std", "attention"] = Field(
        "mean", description="ladder, layer_mix: how the steps of a clip become one vector."
    )
    operator: Operator = Field(
        "shift", description="single_stage, multistage: how the text acts on a stage of the audio encoder."
    )
    stages: Literal["all", "last"] | list[int] = Field(
        "all", description="multistage: stages that are conditioned on the text, as a list of numbers from 1."
    )
    heads: list[Literal["categories", "dimensions"]] = Field(
        ["categories"], min_length=1, description="What the model predicts."
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="Probability of leaving a value out in training.")
    channel_dropout: bool = Field(
        False, description="cnn6, cnn10, cnn14: whether dropout leaves whole channels out, as in the paper."
    )
    text_norm: Literal["none", "layer"] = Field(
        "layer", description="layer normalises each summary embedding to mean 0 and standard deviation 1."
    )
    text_dropout: float = Field(
        0.0, ge=0, lt=1, description="Probability of leaving a value of the summary embedding out in training."
    )
    text_hidden: int = Field(256, ge=1, description="text_only: width of the hidden layer.")
    late_weight: Literal["average", "dev"] = Field(
        "average", description="late: weigh both models equally, or by the best score on the development part."
    )
    pretrained: str | None = Field(
        None, description="Path of a PANNs checkpoint of the same CNN at width 1, whose weights training starts from."
    )

    @property
    def uses_hidden_states(self) -> bool:
        """Whether the input of the audio encoder is hidden states of a frozen speech encoder, not log-Mel."""
        return self.encoder in ("ladder", "layer_mix")

    @property
    def frozen_layers(self) -> list[int]:
        """Layers whose hidden states stay fixed in training: `layers`, or those up to the input of trained layers."""
        if not self.fine_tune_layers:
            return self.layers
        base = max(self.layers) - self.fine_tune_layers
        return [layer for layer in self.layers if layer < base] + [base]

    @model_validator(mode="after")
    def _layers_and_checkpoints_have_their_encoder(self) -> ModelConfig:
        if len(set(self.layers)) < len(self.layers) or min(self.layers) < 0:
            raise ValueError(f"`layers` = {self.layers}: expected different numbers from 0")
        if self.uses_hidden_states and self.pretrained is not None:
            raise ValueError(f'`pretrained` is for a CNN, not for encoder = "{self.encoder}"')
        if self.fine_tune_layers and not self.uses_hidden_states:
            raise ValueError(f'`fine_tune_layers` is for ladder and layer_mix, not for encoder = "{self.encoder}"')
        if self.fine_tune_layers and self.fine_tune_layers >= (highest := max(self.layers)):
            most = (
                f"expected at most {highest - 1}, because one stays frozen"
                if highest > 1
                else "no layer can be trained"
            )
            raise ValueError(
                f"`fine_tune_layers` = {self.fine_tune_layers}: the highest of `layers` is {highest}; {most}"
            )
        return self
