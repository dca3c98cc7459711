"""A bundle: the folder that holds an exported model and all that prediction needs to know about it.

`model.onnx` (the network), `bundle.json` (the facts below), `README.md` (the model card); `speech_encoder.onnx` where
the model hears through a frozen encoder, `adapter.npz` where it can adapt to a speaker, and `text_encoder/` where it
reads text.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from emofuse.errors import EmofuseError
from emofuse.files import read_json, sha256, write_json

if TYPE_CHECKING:
    from emofuse.models.adapter import SpeakerAdapter

FORMAT_VERSION = 2
MODEL_FILE = "model.onnx"
SPEECH_ENCODER_FILE = "speech_encoder.onnx"
ADAPTER_FILE = "adapter.npz"
FACTS_FILE = "bundle.json"
CARD_FILE = "README.md"
TEXT_ENCODER_FOLDER = "text_encoder"
TEXT_ENCODER_FILES = ("encoder.json", "model.onnx", "tokenizer.json")
DEFAULT_FOLDER = Path(__file__).resolve().parent.parent / "bundles" / "default"


class BundleError(EmofuseError):
    """A bundle that cannot be used."""


@dataclass(frozen=True)
class Bundle:
    """The facts of an exported model.

    Attributes:
        name: name of the recipe it was trained by.
        labels: categories in the order of the output `probabilities`; empty without that head.
        dimensions: names in the order of the output `dimensions` (values 0..1); empty without that head.
        reads: modalities that the model listens to, of "audio" and "text".
        reads_text_alone: whether text has a say where there is no audio.
        front_end: settings of `emofuse.audio.FrontEnd`.
        speech_encoder: what `export_speech_encoder` said of the encoder whose states the model hears; empty for one
            that hears log-Mel frames.
        adapter: the numbers of a `SpeakerAdapter`, whose arrays are in `adapter.npz`; empty without one.
        calibration: `Calibration` of answers that rest on "audio" (with or without words) and on "text" alone; either
            may be absent.
        text_encoder: `name`, `weights_hash`, `pooling` and `dim` of the summary embedding it was trained with; empty
            for a model that reads no text.
        text_languages: ISO 639-1 codes of the languages whose transcripts it can use.
        duration_range: shortest and longest clip in training, in seconds; empty if not known.
        licence: licence of the weights.
        created: ISO 8601 date and time of the export.
        model_sha256: hash of `model.onnx`.
        files: SHA-256 of every file by its path in the folder, without `bundle.json` and READMEs, which people may
            edit; empty in a bundle that was exported before there were such hashes.
        training_data: one dictionary a corpus: name, rows, seconds, licence.
        metrics: the run's results, as its `metrics.json` has them.
        notes: sentences on its training that whoever uses it should know, for the model card.
        weights: how the weights are stored: "fp32" or "fp16" (half the size; computed in fp32 all the same).
        format_version: version of this layout.
        folder: where the bundle lies (not stored).
    """

    name: str
    labels: list[str]
    dimensions: list[str]
    reads: list[str]
    reads_text_alone: bool
    front_end: dict[str, Any]
    text_encoder: dict[str, Any]
    text_languages: list[str]
    duration_range: list[float]
    licence: str
    created: str
    model_sha256: str = ""
    files: dict[str, str] = field(default_factory=dict)
    training_data: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    weights: str = "fp32"
    speech_encoder: dict[str, Any] = field(default_factory=dict)
    adapter: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION
    folder: Path = Path()

    @property
    def model_path(self) -> Path:
        """The ONNX file."""
        return self.folder / MODEL_FILE

    @property
    def speech_encoder_path(self) -> Path:
        """The ONNX file of the speech encoder, if it has one."""
        return self.folder / SPEECH_ENCODER_FILE

    @property
    def text_encoder_path(self) -> Path:
        """The folder of the text encoder, if it has one."""
        return self.folder / TEXT_ENCODER_FOLDER

    def load_adapter(self) -> SpeakerAdapter | None:
        """The speaker adapter; None if it has none.

        Raises:
            BundleError: its file is absent or damaged.
        """
        if not self.adapter:
            return None
        from emofuse.models.adapter import SpeakerAdapter

        path = self.folder / ADAPTER_FILE
        try:
            with np.load(path, allow_pickle=False) as tensors:
                return SpeakerAdapter.load(dict(tensors), self.adapter)
        except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
            raise BundleError(
                f"{path}: no usable speaker adapter ({error}). Copy or export the bundle again."
            ) from error

    def save(self, folder: Path) -> None:
        """Write `bundle.json` into an existing folder."""
        write_json(folder / FACTS_FILE, {key: value for key, value in asdict(self).items() if key != "folder"})

    @classmethod
    def load(cls, folder: Path | str) -> Bundle:
        """Read and check a bundle.

        Raises:
            BundleError: the folder is no bundle, is incomplete, was made by a newer emofuse, or a file is not the one
                whose hash was written down.
        """
        folder = Path(folder)
        facts = _read_facts(folder)
        names = {f.name: f for f in fields(cls) if f.name != "folder"}
        facts.setdefault("files", {})  # older bundles have none
        if missing := [name for name in names if name not in facts]:
            raise BundleError(f"{folder / FACTS_FILE}: incomplete, without {missing}. Export the bundle again.")
        for name, expected in names.items():
            kind = str(expected.type).partition("[")[0]
            if type(facts[name]).__name__ != kind:
                found = facts[name]
                raise BundleError(f"{folder / FACTS_FILE}: {name} should be of type {kind} (found {found!r}).")
        bundle = cls(**{name: facts[name] for name in names}, folder=folder)
        if bundle.text_encoder and not bundle.text_encoder_path.is_dir():
            raise BundleError(
                f"{folder}: incomplete bundle, {TEXT_ENCODER_FOLDER}/ is missing. Copy or export the bundle again."
            )
        bundle._check_files()
        return bundle

    def _check_files(self) -> None:
        """Compare every file with its hash; in a bundle without `files` the model alone."""
        expected = {**self.files, MODEL_FILE: self.model_sha256}
        needed = [ADAPTER_FILE] * bool(self.adapter) + [SPEECH_ENCODER_FILE] * bool(self.speech_encoder)
        needed += [f"{TEXT_ENCODER_FOLDER}/{name}" for name in TEXT_ENCODER_FILES] * bool(self.text_encoder)
        if self.files and (unlisted := [name for name in needed if name not in expected]):
            raise BundleError(f"{self.folder / FACTS_FILE}: files has no hash of {unlisted}. Export the bundle again.")
        for name, digest in expected.items():
            path = self.folder / name
            if not path.is_file():
                raise BundleError(f"{self.folder}: incomplete bundle, {name} is missing. Copy or export it again.")
            if (found := sha256(path)) != digest:
                raise BundleError(
                    f"{path}: wrong hash ({found[:12]}..., expected {str(digest)[:12]}...): "
                    "the file is damaged or belongs to another bundle. Copy or export the bundle again."
                )


def hash_files(folder: Path) -> dict[str, str]:
    """The `files` of a bundle: SHA-256 of every file by its path, without `bundle.json` and READMEs."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in (FACTS_FILE, CARD_FILE))
    return {path.relative_to(folder).as_posix(): sha256(path) for path in paths}


def default_bundle() -> Bundle:
    """The bundle that ships in the package.

    Raises:
        BundleError: this installation has none.
    """
    if not DEFAULT_FOLDER.is_dir():
        raise BundleError("This installation has no default model. Name a bundle with --model (Python: model=).")
    return Bundle.load(DEFAULT_FOLDER)


def _read_facts(folder: Path) -> dict[str, Any]:
    path = folder / FACTS_FILE
    if not path.is_file():
        raise BundleError(f"{folder}: no bundle (expected a folder with {FACTS_FILE}, as `emofuse export` makes it).")
    facts = read_json(path)
    version = facts.get("format_version") if isinstance(facts, dict) else None
    if not isinstance(version, int):
        raise BundleError(f"{path}: no bundle (it has no format_version).")
    if version < FORMAT_VERSION:
        raise BundleError(
            f"{folder}: made by an older emofuse (bundle format {version}, this one reads {FORMAT_VERSION}). "
            "Export its run again."
        )
    if version > FORMAT_VERSION:
        raise BundleError(
            f"{folder}: made by a newer emofuse (bundle format {version}, this one reads {FORMAT_VERSION}). "
            "Upgrade emofuse."
        )
    return facts
