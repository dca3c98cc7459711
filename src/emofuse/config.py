"""Recipes of runs: typed, read from TOML, changed with `--set key=value`. Unknown keys are errors."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationError, model_validator

from emofuse.config_keys import suggest_key
from emofuse.config_sections import (  # noqa: F401 - sections that others import from here
    FOLDED,
    ComposedConfig,
    CorpusConfig,
    DataConfig,
    Fusion,
    LabelsConfig,
    ModelConfig,
    Operator,
    Section,
    SplitConfig,
    TextConfig,
)
from emofuse.errors import EmofuseError
from emofuse.files import hash_of
from emofuse.labels import EMOTIONS

Modality = Literal["audio_only", "text_only"]
MODALITIES: tuple[Modality, Modality] = ("audio_only", "text_only")  # models of a late fusion, in this order
_DEFAULTS = 1  # version of the defaults; raise it when one changes, because recipes without the key change too
_WITHOUT_EFFECT = ("accelerator", "workers", "leave_out")  # keys of training that do not affect the results of a run


AnySection = TypeVar("AnySection", bound=Section)


def _folder_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name):
        raise ValueError("expected letters, digits, '_', '-' and '.', and not '.' at the start: it names a folder")
    return name


FolderName = Annotated[str, AfterValidator(_folder_name)]


class TrainingConfig(Section):
    """Optimisation."""

    removed = {  # noqa: RUF012
        "channels_last": (True, False),  # it changed the speed alone
        "centre_speakers": (0.0, 0.4),  # `other_clips` replaces both; runs of earlier versions have these values
        "swap_speakers": (0.0, 0.3),
    }

    fit: Literal["train", "train+dev", "all"] = Field(
        "train",
        description="Parts of the split that the weights are fitted on. Unless dev is left for development, the "
        "weights of the last epoch are used, not those of the best. all is for a model to ship, whose figures come "
        "from folds (emofuse train --folds).",
    )
    leave_out: list[str] = Field(
        [],
        description="Two or more corpora (by reader name) whose split has folds. emofuse train --folds also leaves out "
        "each of them in turn: it trains on all rows of the other corpora with folds, tests on all rows of this one, "
        "and fits the calibration of audio on these predictions, instead of on those of the folds.",
    )
    epochs: int = Field(40, ge=1, description="Number of epochs.")
    epoch_steps: int = Field(
        0, ge=0, description="Number of batches in an epoch; 0: as many as it takes to see every row once."
    )
    batch_size: int = Field(32, ge=1, description="Number of rows in a batch.")
    optimizer: Literal["sgd", "adamw"] = Field("adamw", description="SGD with momentum, or AdamW.")
    learning_rate: float = Field(1e-3, gt=0, description="Learning rate, before the schedule changes it.")
    encoder_learning_rate: float = Field(
        1e-5, gt=0, description="Learning rate of the layers that model.fine_tune_layers trains."
    )
    operator_rate: float = Field(1.0, gt=0, description="Factor on the learning rate of the conditioning operators.")
    momentum: float = Field(0.9, ge=0, lt=1, description="sgd: momentum.")
    weight_decay: float = Field(0.0, ge=0, description="Weight decay of the optimiser.")
    gradient_clip: float = Field(
        0.0,
        ge=0,
        description="Largest norm of the gradient over all weights; larger gradients are scaled down to it. 0: off.",
    )
    schedule: Literal["one_cycle", "plateau", "none"] = Field(
        "one_cycle",
        description="Learning rate over time: one_cycle rises to learning_rate and falls again, plateau lowers it "
        "when the development score stops rising, none keeps it.",
    )
    plateau_factor: float = Field(
        0.9, gt=0, lt=1, description="plateau: factor that the learning rate is multiplied by when it is lowered."
    )
    plateau_patience: int = Field(
        5, ge=0, description="plateau: epochs without a better development score before the learning rate is lowered."
    )
    crop_seconds: float = Field(
        2.5, ge=0, description="Longer clips are cropped at random to this length in training, in seconds; 0: never."
    )
    spec_augment: bool = Field(
        False, description="cnn6, cnn10, cnn14: whether to blank random stripes of time and frequency in training."
    )
    varied_copies: int = Field(
        0,
        ge=0,
        description="ladder, layer_mix: copies of each clip with its voice, room or transmission changed, for "
        "borrow_rooms.",
    )
    borrow_rooms: float = Field(
        0.0,
        ge=0,
        le=1,
        description="ladder, layer_mix: probability of adding the shift in hidden states that such a change caused on "
        "another clip.",
    )
    other_clips: list[int] = Field(
        [],
        description="ladder, layer_mix: numbers of other clips of the speaker; one is drawn for each clip, and the "
        "speaker's offset by so many clips is subtracted from the hidden states. Empty: none is.",
    )
    mixup: float = Field(
        0.0, ge=0, description="cnn6, cnn10, cnn14: alpha of the Beta distribution that mixes two rows; 0: off."
    )
    class_balanced: bool = Field(
        True, description="Whether all categories of a corpus have the same total weight in the loss."
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Share of the target that is spread evenly over all categories."
    )
    modality_dropout: float = Field(
        0.0, ge=0, lt=1, description="Probability of leaving audio or text out of a row that has both, in training."
    )
    loss_weights: Literal["uncertainty"] | tuple[float, float] = Field(
        (1.0, 1.0),
        description="Weights of the losses of categories and dimensions, or learned by uncertainty (Kendall et al. "
        "2018).",
    )
    monitor: Literal["uar", "ccc", "mean"] = Field(
        "uar", description="Development score that selects the best epoch: UAR, mean CCC, or the mean of the two."
    )
    patience: int = Field(
        0, ge=0, description="Epochs without a better development score before training stops; 0: never."
    )
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto",
        description="Arithmetic in training; evaluation always uses fp32. bf16 is mixed precision; auto is bf16 where "
        "the processor or the GPU has instructions for it, and fp32 elsewhere. A run that is resumed on another "
        "machine keeps the precision that it began with.",
    )
    accelerator: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="What to train on; auto is an NVIDIA or AMD GPU if the machine has one, else the processor."
    )
    devices: int = Field(1, ge=1, description="Number of GPUs or processes; more than one trains with DDP.")
    workers: int | None = Field(
        None,
        ge=0,
        description="Processes that prepare batches while the model trains; the batches do not depend on it. Default: "
        "up to 4 with a GPU, 0 without.",
    )

    @property
    def fitted_parts(self) -> tuple[str, ...]:
        """Parts of the split that the weights are fitted on."""
        return {"train": ("train",), "train+dev": ("train", "dev"), "all": ("train", "dev", "test")}[self.fit]

    @model_validator(mode="after")
    def _options_fit_together(self) -> TrainingConfig:
        if self.patience and "dev" in self.fitted_parts:
            raise ValueError(f'`patience` needs the development part, but fit = "{self.fit}" trains on it')
        for option in ("plateau_factor", "plateau_patience"):
            if self.schedule != "plateau" and getattr(self, option) != type(self).model_fields[option].default:
                raise ValueError(f'`{option}` requires schedule = "plateau"')
        return self


class Recipe(Section):
    """Everything that makes a run."""

    name: FolderName = Field(description="Name of the run folder in runs/: letters, digits, '_', '-' and '.'.")
    protocol: str = Field(description="The evaluation protocol in words.")
    seed: int = Field(0, description="Seed of the weights, of the order of the rows, and of augmentation.")
    data: DataConfig = Field(description="The corpora and their labels.")
    text: TextConfig = Field(TextConfig(), description="The summary embedding of the transcript.")
    model: ModelConfig = Field(ModelConfig(), description="The network.")
    training: TrainingConfig = Field(TrainingConfig(), description="Optimisation.")

    @model_validator(mode="after")
    def _training_fits_the_model(self) -> Recipe:
        needed = {"uar": {"categories"}, "ccc": {"dimensions"}, "mean": {"categories", "dimensions"}}
        if missing := needed[self.training.monitor] - set(self.model.heads):
            raise ValueError(
                f"training.monitor = {self.training.monitor!r} needs model.heads to have {sorted(missing)}"
            )
        if self.model.expected_dimensions and (unknown := sorted(set(self.data.labels.names) - set(EMOTIONS))):
            raise ValueError(f"model.expected_dimensions: categories without a prototype: {', '.join(unknown)}")
        config = self.training
        if self.model.uses_hidden_states and (config.spec_augment or config.mixup):
            raise ValueError(f'spec_augment and mixup are for CNNs, not for encoder = "{self.model.encoder}"')
        for_states = ("varied_copies", "borrow_rooms", "other_clips")
        if not self.model.uses_hidden_states and (given := [name for name in for_states if getattr(config, name)]):
            raise ValueError(f"training.{given[0]} requires encoder = ladder or layer_mix")
        if not self.model.uses_hidden_states and self.data.speech_only:
            raise ValueError("data.speech_only requires encoder = ladder or layer_mix")
        if bool(config.varied_copies) != bool(config.borrow_rooms):
            raise ValueError("varied_copies and borrow_rooms belong together: give both or neither")
        if min(config.other_clips, default=0) < 0:
            raise ValueError(f"other_clips = {config.other_clips}: expected numbers of clips, at least 0")
        return self

    @model_validator(mode="after")
    def _corpora_can_be_left_out(self) -> Recipe:
        names = self.training.leave_out
        if not names:
            return self
        folded = {corpus.reader for corpus in self.data.corpora if corpus.split.rule in FOLDED}
        if unknown := sorted(set(names) - folded):
            raise ValueError(
                f"training.leave_out: data.corpora have no {', '.join(unknown)} whose split has folds "
                f"({', '.join(FOLDED)})"
            )
        if len(set(names)) < max(2, len(names)):
            raise ValueError("training.leave_out: expected at least two corpora, each named once")
        if self.data.composed is not None and self.data.composed.task != "mix":
            raise ValueError(f'training.leave_out: pairs of task = "{self.data.composed.task}" have no corpora')
        return self

    @property
    def hash(self) -> str:
        """SHA-256 of all values that differ from the defaults, so that new keys do not change the hash.

        Keys that do not affect the run are left out (text.multilingual is for export), and so is bf16, which was the
        default before "auto".
        """
        values = self.model_dump(mode="json", exclude_defaults=True)
        training = {name: value for name, value in values.pop("training", {}).items() if name not in _WITHOUT_EFFECT}
        if training.get("precision") == "bf16":
            del training["precision"]
        values["text"] = {name: value for name, value in values.get("text", {}).items() if name != "multilingual"}
        if not values["text"]:
            del values["text"]
        return hash_of([_DEFAULTS, values | ({"training": training} if training else {})])

    @property
    def run_id(self) -> str:
        """Name of the run's folder in a study: the first 16 digits of the hash."""
        return self.hash[:16]

    def unimodal(self, modality: Modality) -> Recipe:
        """The recipe of a unimodal model of a late fusion: the same recipe with that fusion."""
        changes = {"fusion": modality, "late_weight": ModelConfig.model_fields["late_weight"].default}
        return self.model_copy(update={"model": self.model.model_copy(update=changes)})

    def with_fold(self, fold: int) -> Recipe:
        """The recipe with another test fold for every corpus whose split has folds."""
        return self._with_splits(lambda corpus: {"fold": fold})

    def without_corpus(self, name: str) -> Recipe:
        """The recipe that tests on all rows of one corpus and trains on all rows of the others.

        Corpora whose split has no folds keep their parts. The weights are fitted on the development rows as well.
        """
        recipe = self._with_splits(lambda corpus: {"all_rows": "test" if corpus.reader == name else "train"})
        return recipe._with_development()

    def with_all_speakers(self) -> Recipe:
        """The recipe that trains on all rows of every corpus whose split has folds.

        Official test parts of other corpora stay for test. The weights are fitted on the development rows as well.
        """
        return self._with_splits(lambda corpus: {"all_rows": "train"})._with_development()

    def _with_development(self) -> Recipe:
        """The recipe fitted on the development part too, and thus without early stopping on it."""
        training = self.training.model_copy(update={"fit": "train+dev", "patience": 0})
        return self.model_copy(update={"training": training})

    @property
    def tests_whole_corpus(self) -> bool:
        """Whether all rows of a corpus are the test part, so that none of its speakers and recordings train."""
        return any(corpus.split.all_rows == "test" for corpus in self.data.corpora)

    def _with_splits(self, changes: Callable[[CorpusConfig], dict[str, Any]]) -> Recipe:
        """The recipe with changes to the split of every corpus whose split has folds."""
        corpora = list(self.data.corpora)
        for i, corpus in enumerate(corpora):
            if corpus.split.rule in FOLDED:
                split = corpus.split.model_copy(update=changes(corpus))
                corpora[i] = corpus.model_copy(update={"split": split})
        return self.model_copy(update={"data": self.data.model_copy(update={"corpora": corpora})})


def load_recipe(path: Path | str, overrides: list[str] | None = None) -> Recipe:
    """Read a TOML recipe and apply overrides such as `model.fusion=audio_only` or `data.corpora.0.split.fold=3`.

    Raises:
        EmofuseError: the file cannot be read, is not TOML, or has an unknown key or a value of the wrong type.
    """
    tree = read_toml(path)
    for override in overrides or []:
        _set(tree, override)
    return parse_recipe(tree, source=str(path))


def split_config(options: dict[str, Any]) -> SplitConfig:
    """Validate options of a split, given by the names of `SplitConfig`.

    Raises:
        EmofuseError: a value is out of range, or options conflict.
    """
    return parse(SplitConfig, options, source="")


def read_toml(path: Path | str) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        EmofuseError: the file cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise EmofuseError(f"{path}: cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EmofuseError(f"{path} is not valid TOML ({error}).") from error


def parse_recipe(tree: dict[str, Any], *, source: str) -> Recipe:
    """Validate a recipe given as nested dictionaries; `source` is its name in error messages."""
    return parse(Recipe, tree, source=source)


def parse(kind: type[AnySection], tree: dict[str, Any], *, source: str) -> AnySection:
    """Validate a section given as nested dictionaries; `source` is its name in error messages.

    Raises:
        EmofuseError: a key is unknown or missing, or a value has the wrong type.
    """
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        start = f"{source}: " if source else ""
        raise EmofuseError(start + "; ".join(_explain(e, kind) for e in error.errors())) from None


def dump_toml(recipe: Recipe) -> str:
    """Write the resolved recipe as TOML; reading it returns an equal recipe."""
    import tomli_w

    return tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True))


def _explain(error: Any, kind: type[Section]) -> str:
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        meant = suggest_key(kind, [str(part) for part in error["loc"]])
        return f"unknown key {place!r}" + (
            f"; did you mean `{meant}`?" if meant else "; check its spelling and section"
        )
    if error["type"] == "missing":
        return f"key {place!r} is missing"
    message = error["msg"].removeprefix("Value error, ")
    value = "" if isinstance(error["input"], dict) else f" (found {error['input']!r})"
    return f"{place}: {message}{value}" if place else message


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
        meant = suggest_key(Recipe, [*path, last])
        hint = f" Did you mean `{meant}`?" if meant and meant != key.strip() else ""
        raise EmofuseError(f"--set {override!r}: the recipe has no key {key.strip()!r}.{hint}") from None
