"""A bundle: the folder of an exported model with everything that prediction needs.

It holds `model.onnx` (the network), `bundle.json` (the facts below) and `README.md` (the model card), and depending on
the model `speech_encoder.onnx` (its frozen speech encoder), `adapter.npz` (its speaker adapter), `text_encoder/` and
`multilingual_encoder/` (which reads languages that the text encoder does not read).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from emofuse.encoders.multilingual import FACTS_FILE as MULTILINGUAL_FACTS_FILE
from emofuse.encoders.multilingual import MODEL_FILE as MULTILINGUAL_MODEL_FILE
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
MULTILINGUAL_ENCODER_FOLDER = "multilingual_encoder"
DEFAULT_FOLDER = Path(__file__).resolve().parent.parent / "bundles" / "default"


class BundleError(EmofuseError):
    """A bundle cannot be used."""


@dataclass(frozen=True)
class Bundle:
    """The facts of an exported model.

    Attributes:
        name: name of the recipe that trained the model.
        labels: categories in the order of the output `probabilities`; empty without that head.
        dimensions: names in the order of the output `dimensions` (values 0..1); empty without that head.
        reads: modalities that the model uses, of "audio" and "text".
        reads_text_alone: whether the model can predict from text without audio.
        front_end: settings of `emofuse.audio.FrontEnd`.
        speech_encoder: facts that `export_speech_encoder` returned; empty for a model that reads log-Mel frames.
        adapter: settings of a `SpeakerAdapter`, whose arrays are in `adapter.npz`; empty without one.
        calibration: `Calibration` of predictions from "audio" (with or without words), from "audio_adapted" (minus the
            offset of a speaker) and from "text" alone; each may be missing.
        text_encoder: `name`, `weights_hash`, `pooling` and `dim` of the text encoder used in training; empty for a
            model that does not read text.
        text_languages: ISO 639-1 codes of the languages whose transcripts the model can use.
        multilingual_encoder: facts of the multilingual text encoder: `languages`, further ones in which the model reads
            texts without a voice, and `scores` of each on lines that it was not trained on; empty without one.
        duration_range: shortest and longest clip in training, in seconds; empty if unknown.
        licence: licence of the weights.
        created: ISO 8601 date and time of the export.
        model_sha256: hash of `model.onnx`.
        files: SHA-256 of every file by its path in the folder, except `bundle.json` and READMEs, which people may edit;
            empty in old bundles.
        training_data: one dictionary per corpus: name, rows, seconds, licence.
        metrics: results of the run, from its `metrics.json`.
        notes: sentences about the training for the model card.
        weights: storage of the weights: "fp32" or "fp16" (half the size; the arithmetic is fp32 in both cases).
        format_version: version of this layout.
        folder: path of the bundle (not stored).
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
    multilingual_encoder: dict[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION
    folder: Path = Path()

    @property
    def model_path(self) -> Path:
        """Path of the model's ONNX file."""
        return self.folder / MODEL_FILE

    @property
    def text_encoder_path(self) -> Path:
        """Folder of the text encoder, which not every bundle has."""
        return self.folder / TEXT_ENCODER_FOLDER

    @property
    def multilingual_encoder_path(self) -> Path:
        """Folder of the multilingual text encoder, which not every bundle has."""
        return self.folder / MULTILINGUAL_ENCODER_FOLDER

    def load_adapter(self) -> SpeakerAdapter | None:
        """Load the speaker adapter; None if the bundle has none.

        Raises:
            BundleError: its file is missing or damaged.
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
                f"{path}: not a usable speaker adapter ({error}). Copy or export the bundle again."
            ) from error

    def save(self, folder: Path) -> None:
        """Write `bundle.json` into an existing folder."""
        write_json(folder / FACTS_FILE, {key: value for key, value in asdict(self).items() if key != "folder"})

    @classmethod
    def load(cls, folder: Path | str) -> Bundle:
        """Read and check a bundle.

        Raises:
            BundleError: the folder is not a bundle, is incomplete, has another format version, or a file does not match
                its hash.
        """
        folder = Path(folder)
        facts = _read_facts(folder)
        names = {f.name: f for f in fields(cls) if f.name != "folder"}
        facts.setdefault("files", {})  # older bundles do not have these
        facts.setdefault("multilingual_encoder", {})
        if missing := [name for name in names if name not in facts]:
            raise BundleError(f"{folder / FACTS_FILE}: {missing} missing. Export the bundle again.")
        for name, expected in names.items():
            kind = str(expected.type).partition("[")[0]
            if type(facts[name]).__name__ != kind:
                raise BundleError(f"{folder / FACTS_FILE}: {name} is {facts[name]!r}; expected type {kind}.")
        bundle = cls(**{name: facts[name] for name in names}, folder=folder)
        if bundle.text_encoder and not bundle.text_encoder_path.is_dir():
            raise BundleError(f"{folder}: {TEXT_ENCODER_FOLDER}/ is missing. Copy or export the bundle again.")
        bundle._check_files()
        return bundle

    def _check_files(self) -> None:
        """Compare every file with its hash; an old bundle without `files` has only that of the model."""
        expected = {**self.files, MODEL_FILE: self.model_sha256}
        needed = [ADAPTER_FILE] * bool(self.adapter) + [SPEECH_ENCODER_FILE] * bool(self.speech_encoder)
        needed += [f"{TEXT_ENCODER_FOLDER}/{name}" for name in TEXT_ENCODER_FILES] * bool(self.text_encoder)
        if self.multilingual_encoder:
            names = (MULTILINGUAL_FACTS_FILE, MULTILINGUAL_MODEL_FILE)
            needed += [f"{MULTILINGUAL_ENCODER_FOLDER}/{name}" for name in names]
        if self.files and (unlisted := [name for name in needed if name not in expected]):
            raise BundleError(f"{self.folder / FACTS_FILE}: `files` lacks {unlisted}. Export the bundle again.")
        for name, digest in expected.items():
            path = self.folder / name
            if not path.is_file():
                raise BundleError(f"{self.folder}: {name} is missing. Copy or export the bundle again.")
            if (actual := sha256(path)) != digest:
                raise BundleError(
                    f"{path}: wrong hash ({actual[:12]}..., expected {str(digest)[:12]}...). The file is damaged or "
                    "belongs to another bundle. Copy or export the bundle again."
                )


def hash_files(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a bundle by its path, except `bundle.json` and READMEs."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in (FACTS_FILE, CARD_FILE))
    return {path.relative_to(folder).as_posix(): sha256(path) for path in paths}


def default_bundle() -> Bundle:
    """Load the bundle that ships in the package.

    Raises:
        BundleError: this installation does not have it.
    """
    if not DEFAULT_FOLDER.is_dir():
        raise BundleError("This installation has no default model. Name a bundle with --model (Python: model=).")
    return Bundle.load(DEFAULT_FOLDER)


def _read_facts(folder: Path) -> dict[str, Any]:
    path = folder / FACTS_FILE
    if not path.is_file():
        raise BundleError(
            f"{folder}: not a bundle; expected a folder with {FACTS_FILE}, as `emofuse export` writes it."
        )
    facts = read_json(path)
    version = facts.get("format_version") if isinstance(facts, dict) else None
    if not isinstance(version, int):
        raise BundleError(f"{path}: not a bundle, because it has no format_version.")
    if version != FORMAT_VERSION:
        age, remedy = (
            ("an older", "Export its run again.") if version < FORMAT_VERSION else ("a newer", "Upgrade emofuse.")
        )
        raise BundleError(
            f"{folder}: this bundle was made by {age} emofuse: its format is {version}, this one reads "
            f"{FORMAT_VERSION}. {remedy}"
        )
    return facts
