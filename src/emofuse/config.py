"""The recipe of a run: typed, read from TOML, changed with `--set key=value`. Unknown keys are errors."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from emofuse.errors import EmofuseError
from emofuse.files import hash_of

Fusion = Literal["audio_only", "text_only", "late", "single_stage", "single_stage_additive", "multistage"]
Operator = Literal["shift", "shift_norm", "shift_narrow", "scale", "film", "gate", "concat"]
Modality = Literal["audio_only", "text_only"]
MODALITIES: tuple[Modality, Modality] = ("audio_only", "text_only")  # of the models of a late fusion, in this order
_DEFAULTS = 1  # raised when a default changes its value: recipes that say nothing of it are other runs then
_WHERE = ("accelerator", "workers")  # keys of training that say where to compute, not what


class Section(BaseModel):
    """A table of a TOML file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


AnySection = TypeVar("AnySection", bound=Section)


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
    """How the rows of one corpus are parted into train, dev and test."""

    rule: Literal["given", "k_fold", "leave_one_out", "hold_out", "official"] = "hold_out"
    folds: str | None = Field(None, description="given: name of a shipped fold file, or path of a JSON file of folds")
    column: str | None = Field(
        None,
        description="official: column that names the parts (official_split); else the column whose values stay "
        "together, or are left out in turn (speaker)",
    )
    k: int = Field(5, ge=3, description="k_fold: number of folds")
    stratify: str | None = Field(None, description="k_fold: column whose values the folds have in like shares")
    fold: int = Field(0, ge=0, description="which fold is the test part")
    dev: Literal["next", "other_speaker"] = Field(
        "next",
        description="leave_one_out: the next value is for development; or each speaker is left out in turn and the "
        "others with the same value of `column` (such as session) are for development",
    )
    test: str = Field("test", description="official: which part is for test, where there are several (test1, test2)")
    dev_share: float = Field(0.15, gt=0, lt=1, description="hold_out: share of speakers for development")
    test_share: float = Field(0.15, ge=0, lt=1, description="hold_out: share of speakers for test")
    allow_shared_speakers: bool = Field(False, description="let speakers stand in more than one part")
    seed: int = 0

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
    """One corpus: its reader, where it lies, its split."""

    reader: str = Field(description="a corpus of `emofuse corpus list`, or table, audformat, huggingface")
    root: str = Field(description="folder or table, absolute or relative to the data folder (--data or EMOFUSE_DATA)")
    allow_missing: bool = Field(False, description="go on where audio is missing")
    where: dict[str, str | float | bool | list[str | float]] = Field(
        {}, description='rows to keep: a value, a list of values, or a range such as "4..12", by column'
    )
    # The next three are for table, audformat and huggingface.
    columns: dict[str, str] = Field({}, description="from the source's column names to ours")
    emotions: dict[str, str] = Field({}, description='from its categories to ours, or "none" where we have none')
    scale: tuple[float, float] | None = Field(None, description="lowest and highest rating, such as [1, 7]")
    split: SplitConfig = SplitConfig()


class ComposedConfig(Section):
    """Composed pairs: a real clip beside a real sentence that was not spoken in it. Synthetic."""

    task: Literal["mix", "agree", "either", "clash", "dimensions"] = Field(
        "mix",
        description="mix: pairs train beside the corpora's own rows; else the pairs of that task are all the data, and "
        "corpora only give clips and sentences, each part of their splits to the same part",
    )
    audio: list[str] = Field(description="corpora (by reader name) that give the clips")
    text: list[str] = Field(description="corpora (by reader name) that give the sentences")
    train_pairs: int = Field(4000, ge=1)
    dev_pairs: int = Field(1000, ge=0)
    test_pairs: int = Field(0, ge=0, description="for all tasks but mix, which has its own rows to test on")
    seed: int = 0

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

    column: str = Field("emotion", description="emotion (shared by all corpora), original_emotion, or any other column")
    names: list[str] = ["neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise"]
    merge: dict[str, str] = Field({}, description='categories that count as another, such as {excited = "happiness"}')
    soft: bool = Field(False, description="train on the annotators' votes, where a row has them, not on one category")
    weak_dimensions: bool = Field(False, description="fill missing A/V/D of audio rows from category prototypes")

    @model_validator(mode="after")
    def _merged_names_are_there(self) -> LabelsConfig:
        if unknown := sorted(set(self.merge.values()) - set(self.names)):
            raise ValueError(f"`merge` leads to {', '.join(unknown)}, which `names` lacks: such rows would be left out")
        return self

    @model_validator(mode="after")
    def _votes_are_of_shared_categories(self) -> LabelsConfig:
        if self.soft and self.column != "emotion":
            raise ValueError('`soft` goes with column = "emotion": votes are counted over the shared categories')
        return self


class DataConfig(Section):
    """The corpora of a run and their labels."""

    corpora: list[CorpusConfig] = Field(min_length=1)
    composed: ComposedConfig | None = None
    labels: LabelsConfig = LabelsConfig()


class TextConfig(Section):
    """The summary embedding."""

    encoder: str = Field(
        "minilm",
        description="minilm, or the hub name (NAME@REVISION for a commit, branch or tag) or folder of any BERT-family "
        "model with safetensors",
    )
    pooling: Literal["mean", "cls"] = "mean"
    column: str = Field("text", description="transcripts: text, or human_text where ASR wrote text")
    min_confidence: float = Field(0.0, ge=0, le=1, description="ASR transcripts below it count as absent")
    languages: list[str] | None = Field(None, description="ISO 639-1; other transcripts count as absent; None: all")


class ModelConfig(Section):
    """The network."""

    fusion: Fusion = "multistage"
    encoder: Literal["cnn6", "cnn10", "cnn14", "ladder", "layer_mix"] = Field(
        "cnn14", description="a CNN on log-Mel; or a ladder, or a learned mix, of a frozen speech encoder's layers"
    )
    members: int = Field(1, ge=1, description="networks that start differently, trained each for itself and averaged")
    width: float = Field(1.0, gt=0, le=2, description="cnn: factor on the number of channels")
    speech_encoder: str = Field(
        "whisper-base",
        description="ladder, layer_mix: whisper-base, whisper-tiny.en, or the hub name (NAME@REVISION for a commit, "
        "branch or tag) or folder of a Whisper, wav2vec2, HuBERT or WavLM checkpoint with safetensors",
    )
    layers: list[int] = Field([2, 3, 4, 5], min_length=1, description="ladder, layer_mix: hidden states; 0: the input")
    fine_tune_layers: int = Field(
        0,
        ge=0,
        description="ladder, layer_mix: so many of the speech encoder's layers, from the highest of `layers` down, are "
        "trained too; Whisper only",
    )
    ladder_dim: int = Field(128, ge=1, description="ladder, layer_mix: width")
    layer_dropout: float = Field(0.0, ge=0, lt=1, description="ladder, layer_mix: chance that a layer is left out")
    input_dropout: float = Field(0.0, ge=0, lt=1, description="ladder, layer_mix: of the states, all steps alike")
    pooling: Literal["mean", "mean_std", "attention"] = Field("mean", description="ladder, layer_mix: over time")
    operator: Operator = "shift"
    stages: Literal["all", "last"] | list[int] = Field("all", description="multistage: conditioned stages, from 1")
    heads: list[Literal["categories", "dimensions"]] = Field(["categories"], min_length=1)
    dropout: float = Field(0.2, ge=0, lt=1)
    channel_dropout: bool = Field(False, description="drop whole channels (2-d), as in the paper")
    text_norm: Literal["none", "layer"] = Field("layer", description="layer: each summary embedding to mean 0, sd 1")
    text_dropout: float = Field(0.0, ge=0, lt=1, description="chance that a value of the summary embedding is left out")
    text_hidden: int = Field(256, ge=1, description="text_only: width of the MLP")
    late_weight: Literal["average", "dev"] = Field("average", description="late: equal weights, or fitted on dev")
    pretrained: str | None = Field(None, description="path of a PANNs checkpoint of the same encoder at width 1")

    @property
    def hears_states(self) -> bool:
        """Whether the audio encoder takes hidden states of a frozen speech encoder, not log-Mel frames."""
        return self.encoder in ("ladder", "layer_mix")

    @property
    def frozen_layers(self) -> list[int]:
        """The hidden states that no training changes: `layers`, or those below the trained ones and what these take."""
        if not self.fine_tune_layers:
            return self.layers
        base = max(self.layers) - self.fine_tune_layers
        return [layer for layer in self.layers if layer < base] + [base]

    @model_validator(mode="after")
    def _layers_and_checkpoints_have_their_encoder(self) -> ModelConfig:
        if len(set(self.layers)) < len(self.layers) or min(self.layers) < 0:
            raise ValueError(f"`layers` = {self.layers}: expected different numbers from 0")
        if self.hears_states and self.pretrained is not None:
            raise ValueError(f'`pretrained` is for a CNN, not for encoder = "{self.encoder}"')
        if self.fine_tune_layers and not self.hears_states:
            raise ValueError(f'`fine_tune_layers` is for ladder and layer_mix, not for encoder = "{self.encoder}"')
        if self.fine_tune_layers and self.fine_tune_layers >= (highest := max(self.layers)):
            most = f"expected at most {highest - 1}: one stays frozen" if highest > 1 else "there is no layer to train"
            raise ValueError(
                f"`fine_tune_layers` = {self.fine_tune_layers}: the highest of `layers` is {highest}; {most}"
            )
        return self


class TrainingConfig(Section):
    """Optimisation."""

    fit: Literal["train", "train+dev", "all"] = Field(
        "train",
        description="parts that the weights are fitted on; without dev left, the last epoch counts, not the best. all: "
        "for a model to ship, whose figures come from folds (emofuse train --folds)",
    )
    epochs: int = Field(40, ge=1)
    epoch_steps: int = Field(0, ge=0, description="steps of an epoch; 0: as many as see every row once")
    batch_size: int = Field(32, ge=1)
    optimizer: Literal["sgd", "adamw"] = "adamw"
    learning_rate: float = Field(1e-3, gt=0)
    encoder_learning_rate: float = Field(1e-5, gt=0, description="of the layers that model.fine_tune_layers trains")
    operator_rate: float = Field(1.0, gt=0, description="factor on the learning rate of the conditioning operators")
    momentum: float = Field(0.9, ge=0, lt=1, description="sgd only")
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["one_cycle", "plateau", "none"] = "one_cycle"
    crop_seconds: float = Field(2.5, ge=0, description="random crop of longer clips in training; 0: whole clips")
    spec_augment: bool = Field(False, description="for CNNs: stripes of time and mel are blanked")
    varied_copies: int = Field(
        0, ge=0, description="copies of each clip as other voices, rooms and lines would have it, for borrow_rooms"
    )
    borrow_rooms: float = Field(
        0.0, ge=0, le=1, description="ladder, layer_mix: chance that a clip moves as varying moved some other clip"
    )
    centre_speakers: float = Field(
        0.0, ge=0, le=1, description="ladder, layer_mix: chance that a clip comes without its speaker's mean"
    )
    swap_speakers: float = Field(
        0.0, ge=0, le=1, description="ladder, layer_mix: chance that a clip comes with another speaker's mean"
    )
    mixup: float = Field(0.0, ge=0, description="alpha of the Beta distribution; 0 = off")
    class_balanced: bool = Field(True, description="the categories of a corpus weigh the same within it")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    modality_dropout: float = Field(0.0, ge=0, lt=1, description="chance that a row with both modalities loses one")
    loss_weights: Literal["uncertainty"] | tuple[float, float] = Field(
        (1.0, 1.0), description="categories, dimensions; or learned by uncertainty (Kendall et al. 2018)"
    )
    monitor: Literal["uar", "ccc", "mean"] = Field("uar", description="development score; mean of UAR and CCC")
    patience: int = Field(0, ge=0, description="epochs without a better score before stopping; 0 = never")
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto",
        description="auto: bf16 where the processor or the GPU has instructions for it, else fp32; a run that is "
        "resumed on another machine keeps the precision it began with",
    )
    channels_last: bool = Field(True, description="memory layout of a CNN's maps; faster, with the same values")
    accelerator: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="what to train on; auto: a GPU of NVIDIA or AMD where there is one, else the processor"
    )
    devices: int = Field(1, ge=1, description="processes or GPUs; more than one trains with DDP")
    workers: int | None = Field(
        None,
        ge=0,
        description="processes that make batches ahead of the training, without a say in the result; default: 4 with "
        "a GPU (fewer where there are fewer cores), else 0",
    )

    @property
    def fitted(self) -> tuple[str, ...]:
        """The parts of the split that the weights are fitted on."""
        return {"train": ("train",), "train+dev": ("train", "dev"), "all": ("train", "dev", "test")}[self.fit]

    @model_validator(mode="after")
    def _patience_needs_dev(self) -> TrainingConfig:
        if self.patience and "dev" in self.fitted:
            raise ValueError(f'`patience` looks at the development part, which fit = "{self.fit}" trains on')
        return self


class Recipe(Section):
    """Everything that makes a run."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    protocol: str = Field(description="the evaluation protocol in words")
    seed: int = 0
    data: DataConfig
    text: TextConfig = TextConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()

    @model_validator(mode="after")
    def _monitor_has_its_head(self) -> Recipe:
        needed = {"uar": {"categories"}, "ccc": {"dimensions"}, "mean": {"categories", "dimensions"}}
        if missing := needed[self.training.monitor] - set(self.model.heads):
            raise ValueError(
                f"training.monitor = {self.training.monitor!r} needs model.heads to have {sorted(missing)}"
            )
        return self

    @model_validator(mode="after")
    def _augmentation_fits_the_encoder(self) -> Recipe:
        config = self.training
        if self.model.hears_states and (config.spec_augment or config.mixup):
            raise ValueError(f'spec_augment and mixup are for CNNs, not for encoder = "{self.model.encoder}"')
        for_states = ("varied_copies", "borrow_rooms", "centre_speakers", "swap_speakers")
        if not self.model.hears_states and (given := [name for name in for_states if getattr(config, name)]):
            raise ValueError(f"training.{given[0]} goes with encoder = ladder or layer_mix")
        if bool(config.varied_copies) != bool(config.borrow_rooms):
            raise ValueError("varied_copies are for borrow_rooms: give both or neither")
        if config.centre_speakers + config.swap_speakers > 1:
            raise ValueError("centre_speakers and swap_speakers are chances of one choice: expected a sum of at most 1")
        return self

    @property
    def hash(self) -> str:
        """SHA-256 of what the recipe says otherwise than the defaults: a key that is new in emofuse changes no hash.

        What only says where to compute is not part of it, and neither is bf16, the default before there was "auto".
        """
        said = self.model_dump(mode="json", exclude_defaults=True)
        training = {name: value for name, value in said.pop("training", {}).items() if name not in _WHERE}
        if training.get("precision") == "bf16":
            del training["precision"]
        return hash_of([_DEFAULTS, said | ({"training": training} if training else {})])

    @property
    def run_id(self) -> str:
        """Name of a run's folder where many lie side by side: the first 16 digits of the hash."""
        return self.hash[:16]

    def alone(self, modality: Modality) -> Recipe:
        """The unimodal model of a late fusion: what a system with that fusion, and else the same recipe, is."""
        default = ModelConfig.model_fields["late_weight"].default
        return self.model_copy(
            update={"model": self.model.model_copy(update={"fusion": modality, "late_weight": default})}
        )

    def with_fold(self, fold: int) -> Recipe:
        """The same with another test fold, of every corpus whose split has folds."""
        corpora = [
            corpus.model_copy(update={"split": corpus.split.model_copy(update={"fold": fold})})
            if corpus.split.rule in FOLDED
            else corpus
            for corpus in self.data.corpora
        ]
        return self.model_copy(update={"data": self.data.model_copy(update={"corpora": corpora})})


def load_recipe(path: Path | str, overrides: list[str] | None = None) -> Recipe:
    """Read a TOML recipe and apply overrides such as `model.fusion=audio_only` or `data.corpora.0.split.fold=3`.

    Raises:
        EmofuseError: the file cannot be read, is no TOML, has an unknown key or a value of the wrong type.
    """
    tree = read_toml(path)
    for override in overrides or []:
        _set(tree, override)
    return parse_recipe(tree, source=str(path))


def split_config(options: dict[str, Any]) -> SplitConfig:
    """Options of a split, by the names of `SplitConfig`, checked.

    Raises:
        EmofuseError: a value out of range, or options that do not go together.
    """
    try:
        return SplitConfig.model_validate(options)
    except ValidationError as error:
        raise EmofuseError("; ".join(_explain(e) for e in error.errors())) from None


def read_toml(path: Path | str) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        EmofuseError: the file cannot be read or is no TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise EmofuseError(f"{path}: cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EmofuseError(f"{path}: no valid TOML ({error}).") from error


def parse_recipe(tree: dict[str, Any], *, source: str) -> Recipe:
    """Validate a recipe given as nested dictionaries; `source` names it in errors."""
    return parse(Recipe, tree, source=source)


def parse(kind: type[AnySection], tree: dict[str, Any], *, source: str) -> AnySection:
    """Validate nested dictionaries; `source` names them in errors.

    Raises:
        EmofuseError: an unknown or missing key, or a value of the wrong type.
    """
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        lines = [_explain(e) for e in error.errors()]
        raise EmofuseError(f"{source}: " + "; ".join(lines)) from None


def dump_toml(recipe: Recipe) -> str:
    """The resolved recipe as TOML; reading it again gives an equal recipe."""
    import tomli_w

    return tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True))


def _explain(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"unknown key {place!r}: check its spelling and section"
    if error["type"] == "missing":
        return f"key {place!r} is missing"
    message = error["msg"].removeprefix("Value error, ")
    found = "" if isinstance(error["input"], dict) else f" (found {error['input']!r})"
    return f"{place}: {message}{found}" if place else message


def _set(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise EmofuseError(f"--set {override!r}: expected key=value, such as model.fusion=audio_only.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a bare word is a string
    *path, last = key.strip().split(".")
    node: Any = tree
    try:
        for part in path:
            node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
        node[int(last) if isinstance(node, list) else last] = value
    except (ValueError, IndexError, TypeError, AttributeError):
        raise EmofuseError(f"--set {override!r}: the recipe has no place {key.strip()!r}.") from None
