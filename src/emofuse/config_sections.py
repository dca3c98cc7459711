"""The sections of a recipe on its data (corpora, splits, composed pairs, labels) and on its model."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    """A table of a TOML file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    removed: ClassVar[dict[str, tuple[Any, ...]]] = {}
    """Keys of earlier versions, with the values at which the recipes of old runs are still understood without them."""

    @model_validator(mode="before")
    @classmethod
    def _without_removed_keys(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {key: value for key, value in values.items() if value not in cls.removed.get(key, ())}


FOLDED = ("given", "k_fold", "leave_one_out")  # rules that have folds
_RULES_OF = {
    "k": ("k_fold",),
    "stratify": ("k_fold",),
    "test": ("official",),
    "dev_share": ("hold_out",),
    "test_share": ("hold_out",),
    "seed": ("k_fold", "hold_out"),
}


class SplitConfig(Section):
    """How the rows of one corpus are divided into train, dev and test."""

    rule: Literal["given", "k_fold", "leave_one_out", "hold_out", "official"] = Field(
        "hold_out",
        description="How the rows are split: by a file of folds, into k folds, leaving each speaker (or session) out "
        "in turn, by drawing speakers once, or by the corpus's official parts.",
    )
    folds: str | None = Field(
        None, description="given: name of a fold file that ships with emofuse, or path of a JSON file of folds."
    )
    column: str | None = Field(
        None,
        description="official: column that names the parts; official_split if not set. Other rules: column whose "
        "values stay in one part, or are left out in turn; speaker if not set.",
    )
    k: int = Field(5, ge=3, description="k_fold: number of folds.")
    stratify: str | None = Field(
        None, description="k_fold: column whose values each fold should have in about equal shares, such as emotion."
    )
    fold: int = Field(0, ge=0, description="Number of the fold that is the test part, counted from 0.")
    dev: Literal["next", "other_speaker"] = Field(
        "next",
        description="leave_one_out: next uses the next value of `column` for development. other_speaker leaves out "
        "each speaker in turn and uses the other speakers with the same value of `column` (such as session) for "
        "development.",
    )
    test: str = Field(
        "test", description="official: part that is used for test where a corpus has several (test1, test2)."
    )
    dev_share: float = Field(0.15, gt=0, lt=1, description="hold_out: share of the speakers for development.")
    test_share: float = Field(0.15, ge=0, lt=1, description="hold_out: share of the speakers for test.")
    all_rows: Literal["train", "test"] | None = Field(
        None,
        description="test: all rows are the test part. train: the rows of the test part are used for training too, and "
        "none for test. training.leave_out sets it.",
    )
    allow_shared_speakers: bool = Field(False, description="Whether a speaker may be in more than one part.")
    seed: int = Field(0, description="k_fold, hold_out: seed of the random draw of speakers.")

    @model_validator(mode="after")
    def _options_have_their_rule(self) -> SplitConfig:
        if (self.rule == "given") != (self.folds is not None):
            raise ValueError(
                'rule = "given" goes with `folds` (a shipped name or a JSON file), and only that rule does'
            )
        if self.dev == "other_speaker" and (self.rule != "leave_one_out" or self.column in (None, "speaker")):
            raise ValueError(
                'dev = "other_speaker" goes with rule = "leave_one_out" and a `column` that speakers share, such as '
                "session"
            )
        for option, rules in _RULES_OF.items():
            if self.rule not in rules and getattr(self, option) != type(self).model_fields[option].default:
                raise ValueError(f"`{option}` goes with rule = " + " or ".join(f'"{rule}"' for rule in rules))
        return self


class CorpusConfig(Section):
    """One corpus: its reader, folder, rows and split."""

    reader: str = Field(
        description="Name of the reader: one that `emofuse corpus list` shows, or table, audformat or huggingface."
    )
    root: str = Field(
        description="Folder or table of the corpus, absolute or relative to the data folder (--data or EMOFUSE_DATA)."
    )
    allow_missing: bool = Field(
        False, description="Whether to continue where audio files are missing; rows with text are then used without it."
    )
    where: dict[str, str | float | bool | list[str | float]] = Field(
        {}, description='Rows to use, by column: a value, a list of values, or a range such as "4..12".'
    )
    columns: dict[str, str] = Field(
        {}, description="table, audformat, huggingface: from the column names of the source to those of emofuse."
    )
    emotions: dict[str, str] = Field(
        {},
        description="table, audformat, huggingface: from the categories of the source to the shared ones, or to "
        '"none" where no shared category fits.',
    )
    scale: tuple[float, float] | None = Field(
        None,
        description="table, audformat, huggingface: lowest and highest rating of arousal, valence and dominance, such "
        "as [1, 7].",
    )
    split: SplitConfig = Field(SplitConfig(), description="How the rows are divided into train, dev and test.")


class ComposedConfig(Section):
    """Composed pairs: a real clip beside a real sentence that was not spoken in it. Synthetic."""

    task: Literal["mix", "agree", "either", "clash", "dimensions"] = Field(
        "mix",
        description="mix adds the pairs to the training rows of the corpora. With any other task the pairs are all the "
        "data: each part of the corpora's splits provides clips and sentences for the same part of the pairs.",
    )
    audio: list[str] = Field(description="Corpora (by reader name) that provide the clips.")
    text: list[str] = Field(description="Corpora (by reader name) that provide the sentences.")
    train_pairs: int = Field(4000, ge=1, description="Number of pairs for training.")
    dev_pairs: int = Field(1000, ge=0, description="Number of pairs for development.")
    test_pairs: int = Field(
        0, ge=0, description="Number of pairs for test; not for mix, which is tested on the rows of the corpora."
    )
    seed: int = Field(0, description="Seed of the random draw of pairs.")

    @model_validator(mode="after")
    def _pairs_fit_the_task(self) -> ComposedConfig:
        if self.task == "mix" and self.test_pairs:
            raise ValueError(
                '`test_pairs` are for the other tasks: with task = "mix" the corpora\'s own rows are tested'
            )
        if self.task != "mix" and not (self.dev_pairs and self.test_pairs):
            raise ValueError(f'task = "{self.task}" needs `dev_pairs` and `test_pairs`')
        if self.task == "clash" and (self.train_pairs % 4 or self.dev_pairs % 4 or self.test_pairs % 4):
            raise ValueError('the pairs of task = "clash" come in fours: give multiples of four')
        return self


class LabelsConfig(Section):
    """Which categories the head has."""

    column: str = Field(
        "emotion",
        description="Column of the categories: emotion (shared by all corpora), original_emotion, or any other column.",
    )
    names: list[str] = Field(
        ["neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise"],
        description="Categories that the model predicts, in the order of its outputs; rows of others are not used.",
    )
    merge: dict[str, str] = Field(
        {}, description='Categories that count as another one, such as {excited = "happiness"}.'
    )
    soft: bool = Field(
        False, description="Whether to train on the annotators' votes, where a row has them, instead of one category."
    )
    weak_dimensions: bool = Field(
        False,
        description="Whether to fill missing arousal, valence and dominance of rows with audio from a prototype of "
        "their category.",
    )

    @model_validator(mode="after")
    def _options_fit_together(self) -> LabelsConfig:
        if unknown := sorted(set(self.merge.values()) - set(self.names)):
            raise ValueError(f"`merge` leads to {', '.join(unknown)}, which `names` lacks: such rows would be left out")
        if self.soft and self.column != "emotion":
            raise ValueError('`soft` goes with column = "emotion": votes are counted over the shared categories')
        return self


class DataConfig(Section):
    """The corpora of a run and their labels."""

    corpora: list[CorpusConfig] = Field(min_length=1, description="One entry for each corpus.")
    composed: ComposedConfig | None = Field(None, description="Pairs of a clip and a sentence of different utterances.")
    labels: LabelsConfig = Field(LabelsConfig(), description="The categories.")
    speech_only: bool = Field(
        False,
        description="ladder, layer_mix: whether each clip is cut to its speech first, from the start of its first "
        "utterance to the end of its last, as prediction cuts recordings.",
    )


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
    multilingual: str | None = Field(
        None,
        description="Folder of a multilingual encoder, which python -m emofuse.training.distil_languages makes from "
        "the text encoder. Training does not use it; emofuse export puts it into the bundle, so that predictions use "
        "transcripts in its languages too.",
    )


class ModelConfig(Section):
    """The network."""

    removed = {"layer_dropout": (0.0,)}

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
    discriminants: list[list[int]] = Field(
        [],
        description="ladder, layer_mix: sets of `layers`. On the mean states of each, a linear discriminant of the "
        "categories is fitted in closed form; their average is added to the network's scores.",
    )
    discriminant_weight: float = Field(
        1.0, gt=0, description="Factor on the scores of the discriminants beside those of the network."
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
    expected_dimensions: bool = Field(
        False,
        description="Whether arousal, valence and dominance of a voice are the mean of the categories' prototypes, "
        "weighted by their probabilities; with words, half of that and half of what the dimensions head predicts.",
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
        if self.discriminants and (not self.uses_hidden_states or "categories" not in self.heads):
            raise ValueError('`discriminants` are for ladder and layer_mix, with "categories" among the heads')
        if self.discriminants and self.fine_tune_layers:
            raise ValueError("`discriminants` are for frozen layers: leave out `fine_tune_layers`")
        if unknown := sorted({layer for one in self.discriminants for layer in one} - set(self.layers)):
            raise ValueError(f"`discriminants` name layers {unknown}, which `layers` = {self.layers} lacks")
        if self.expected_dimensions and len(self.heads) < 2:
            raise ValueError('`expected_dimensions` needs both heads, "categories" and "dimensions"')
        if not all(one and len(set(one)) == len(one) for one in self.discriminants):
            raise ValueError("`discriminants`: expected sets of at least one layer, each named once")
        if self.fine_tune_layers and not self.uses_hidden_states:
            raise ValueError(f'`fine_tune_layers` is for ladder and layer_mix, not for encoder = "{self.encoder}"')
        highest = max(self.layers)
        if self.fine_tune_layers and self.fine_tune_layers >= highest:
            most = f"expected at most {highest - 1}, because one stays frozen" if highest > 1 else "none can be trained"
            raise ValueError(
                f"`fine_tune_layers` = {self.fine_tune_layers}: the highest of `layers` is {highest}; {most}"
            )
        return self
